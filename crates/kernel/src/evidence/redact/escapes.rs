//! Secrets whose characters are written as escapes: `%2D` of URLs, `\u002d` and `\x2d` of strings. They are searched for in
//! the text that the escapes stand for, one level deep, and found in the text as it is.

use super::assign;
use super::engine::{Close, LONGEST, Span};

/// What escapes begin with, each followed by two hexadecimal digits.
pub(super) const ESCAPES: [&str; 3] = ["%", "\\u00", "\\x"];

/// How far before an escape its text may begin, in what is kept of the text before.
const BEFORE: usize = 1 << 10;

/// The character that an escape stands for, and how long it is, if one begins here.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let begin = ESCAPES.iter().find(|begin| text.starts_with(begin.as_bytes()))?.len();
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let value = digit(begin)? * 16 + digit(begin + 1)?;
    Some((u8::try_from(value).ok()?, begin + 2))
}

pub(super) fn is_escape(text: &[u8]) -> bool {
    escape(text).is_some()
}

/// Whether a text ends with an escape.
pub(super) fn ends_with_one(text: &[u8]) -> bool {
    let ends = |begin: &str| {
        let length = begin.len() + 2;
        text.len() >= length && escape(&text[text.len() - length..]).is_some_and(|(_, found)| found == length)
    };
    ESCAPES.iter().any(|begin| ends(begin))
}

/// Whether what already stands in the place of a secret was written with escapes later.
pub(super) fn is_marker(text: &[u8]) -> bool {
    text.len() <= 3 * 64 && text.first() == Some(&b'%') && assign::is_marker(decode(text).bytes())
}

/// The word that an escape is in.
pub(super) fn around(data: &[u8], at: usize) -> (usize, usize) {
    let parts = |byte: &u8| *byte <= b' ' || *byte == 0x7F;
    let before = &data[at.saturating_sub(BEFORE)..at];
    let start = before.iter().rposition(parts).map_or(at - before.len(), |place| at - before.len() + place + 1);
    let after = &data[at..data.len().min(at + LONGEST)];
    (start, at + after.iter().position(parts).unwrap_or(after.len()))
}

/// A text without its escapes, and where each of its characters came from.
pub(super) struct Decoded {
    bytes: Vec<u8>,
    /// Where each began; and, last, where the text ended.
    places: Vec<usize>,
}

/// Takes the escapes out of a text.
pub(super) fn decode(text: &[u8]) -> Decoded {
    let (mut bytes, mut places, mut at) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1), 0);
    while let Some(&byte) = text.get(at) {
        let (byte, length) = match byte {
            b'%' | b'\\' => escape(&text[at..]).unwrap_or((byte, 1)),
            _ => (byte, 1),
        };
        bytes.push(byte);
        places.push(at);
        at += length;
    }
    places.push(at);
    Decoded { bytes, places }
}

impl Decoded {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was found in it, where it is in the data, in which the text begins at `base`.
    pub(super) fn place(&self, span: Span, base: usize) -> Span {
        let at = |place: usize| base + self.places[place];
        Span { head: at(span.head), start: at(span.start), end: at(span.end), close: Close::Nothing, ..span }
    }
}
