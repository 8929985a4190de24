//! Members and items of canonical text as they stand there. No values are built.

use super::plain::plain_len;

/// The members of a canonical object, whose text a [`Form`](super::Form) was found for: keys and values as they stand there, keys
/// without their quotes. No values are built. Of other text it gives what it can make out.
pub fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = object.strip_prefix(b"{").unwrap_or_default();
    std::iter::from_fn(move || {
        let key = &rest[..value_len(rest)];
        let behind = rest[key.len()..].strip_prefix(b":")?;
        let value = &behind[..value_len(behind)];
        rest = behind[value.len()..].strip_prefix(b",").unwrap_or_default();
        Some((key.strip_prefix(b"\"")?.strip_suffix(b"\"")?, value))
    })
}

/// The value of one of [`members`]; `name` must need no escapes.
pub fn member<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

/// The items of a canonical array, as [`members`] gives those of an object.
pub fn items(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = array.strip_prefix(b"[").unwrap_or_default();
    std::iter::from_fn(move || {
        let item = &rest[..value_len(rest)];
        rest = rest[item.len()..].strip_prefix(b",").unwrap_or_default();
        (!item.is_empty()).then_some(item)
    })
}

/// How long the value at the beginning of canonical text is.
fn value_len(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += 1;
                loop {
                    at += plain_len(text.get(at..).unwrap_or_default());
                    match text.get(at) {
                        None | Some(b'"') => break,
                        // An escape; any other byte that is not plain does not stand in canonical text.
                        Some(_) => at += 2,
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b':' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 && matches!(text.get(at), None | Some(b',' | b':' | b'}' | b']')) {
            return at.min(text.len());
        }
    }
    at.min(text.len())
}
