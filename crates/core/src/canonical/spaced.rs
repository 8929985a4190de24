//! From the compact form to the spaced one.

/// Canonical text in the spaced form, in which the Python package stores an envelope: a space after each `,` and `:`.
///
/// ```
/// use receipt_core::canonical::spaced;
///
/// assert_eq!(spaced(br#"{"a":[1,2],"b":"x:\"y,"}"#), br#"{"a": [1, 2], "b": "x:\"y,"}"#);
/// ```
pub fn spaced(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() + compact.len() / 8);
    let mut rest = compact;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b',' | b':')) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let end = if from[0] == b'"' { string_end(from) } else { 1 };
        out.extend_from_slice(&from[..end]);
        if from[0] != b'"' {
            out.push(b' ');
        }
        rest = &from[end..];
    }
    out.extend_from_slice(rest);
    out
}

/// How long the JSON string is that a text begins with, its quotes counted.
fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    text.len()
}
