//! Base64 (RFC 4648 section 4) in which each string of bytes has one spelling.

use data_encoding::BASE64;

/// How long the text may be that decodes to `bytes` bytes.
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The bytes after `text`. Padding is asked for and stands at the end only: the library also reads padded texts that follow
/// one another, which would be a second spelling.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decode_into(text.as_ref(), &mut bytes).then_some(bytes)
}

/// Decodes into a buffer, whose content is replaced; `false`, and the buffer is empty, if the text is no base64.
pub(crate) fn decode_into(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    if text[..text.len().saturating_sub(2)].contains(&b'=') {
        return false;
    }
    let Ok(length) = BASE64.decode_len(text.len()) else { return false };
    out.resize(length, 0);
    let decoded = BASE64.decode_mut(text, out).ok();
    out.truncate(decoded.unwrap_or_default());
    decoded.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_spelling() {
        for length in 0..200_u8 {
            let bytes: Vec<u8> = (0..length).collect();
            let text = BASE64.encode(&bytes);
            assert_eq!(text.len(), encoded_len(bytes.len()));
            assert_eq!(decode(&text), Some(bytes));
        }
        // Each of these means bytes to the library, or to a decoder that is not strict.
        for other in ["QUE=QUE=", "QQ==QQ==", "QQ", "QQ=", "QR==", "QQ==\n", "Q Q=", "QQ=\u{0}", "-_-_", "====", "="] {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
