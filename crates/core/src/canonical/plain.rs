//! Plain bytes, which stand for themselves in a canonical string, and the escapes of the others.

/// Whether a byte stands for itself in a canonical string.
pub(super) const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E) && byte != b'"' && byte != b'\\'
}

/// The letter of the two-character escape that a character must be written with, if it has one.
pub(super) const fn short_escape(point: u32) -> Option<u8> {
    Some(match point {
        0x22 => b'"',
        0x5C => b'\\',
        0x08 => b'b',
        0x0C => b'f',
        0x0A => b'n',
        0x0D => b'r',
        0x09 => b't',
        _ => return None,
    })
}

/// How many plain bytes there are up to one that is not, eight at a time.
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    let mut passed = 0;
    for chunk in text.chunks_exact(8) {
        let word = u64::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7]]);
        let stop = stops(word);
        if stop != 0 {
            return passed + (stop.trailing_zeros() / 8) as usize;
        }
        passed += 8;
    }
    let tail = &text[passed..];
    passed + tail.iter().position(|byte| !is_plain(*byte)).unwrap_or(tail.len())
}

/// The high bit of each byte of `word` that is not plain, the lowest such byte being exact: what is borrowed or carried
/// to the next byte comes only from a byte that is not plain itself.
const fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let above = word | word.wrapping_add(ONES);
    (control | quote | backslash | above) & HIGH
}
