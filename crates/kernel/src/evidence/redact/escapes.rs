//! Secrets whose characters are written as escapes: `%2D` of URLs, `\u002d`, `\x2d` and `\/` of strings, or which have the
//! colours of a terminal between them. They are searched for in
//! the text that the escapes stand for, one level deep, and found in the text as it is.

use super::rules;
use super::{CONTEXT, LONGEST};

/// What escapes begin with: first those that two hexadecimal digits follow.
pub(super) const ESCAPES: [&str; 5] = ["%", "\\u00", "\\x", "\\/", "\u{1b}["];

/// How many of them are followed by two hexadecimal digits.
const DIGITS: usize = 3;

/// The character that an escape stands for, if for any, and how long it is, if one begins here.
fn escape(text: &[u8]) -> Option<(Option<u8>, usize)> {
    match text {
        [b'\\', b'/', ..] => return Some((Some(b'/'), 2)),
        [0x1B, ..] => return colour(text).map(|length| (None, length)),
        _ => {}
    }
    let begin = ESCAPES[..DIGITS].iter().find(|begin| text.starts_with(begin.as_bytes()))?.len();
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let value = digit(begin)? * 16 + digit(begin + 1)?;
    Some((Some(u8::try_from(value).ok()?), begin + 2))
}

/// How long the colour of a terminal is that begins here: ESC [ numbers m, or K as grep writes it.
pub(super) fn colour(text: &[u8]) -> Option<usize> {
    let numbers = text.strip_prefix(b"\x1b[")?.iter().take(24);
    let length = 2 + numbers.take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    matches!(text.get(length), Some(b'm' | b'K')).then_some(length + 1)
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
    ESCAPES[..DIGITS].iter().any(|begin| ends(begin))
}

/// Whether what already stands in the place of a secret was written with escapes later.
pub(super) fn is_marker(text: &[u8]) -> bool {
    text.len() <= 3 * 64 && text.starts_with(b"%5") && rules::is_marker(&decode(text).0)
}

/// The word that an escape is in, with a little of its line before it; where it is a colour, all of its line.
pub(super) fn around(data: &[u8], at: usize) -> (usize, usize) {
    let ends_line = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
    let parts = |byte: &u8| *byte <= b' ' && *byte != 0x1B || *byte == 0x7F;
    let far = at.saturating_sub(LONGEST);
    let word = data[far..at].iter().rposition(parts).map_or(far, |place| far + place + 1);
    // What comes before it may be its name: to where a word begins, on the same line.
    let near = word.saturating_sub(CONTEXT);
    let line = memchr::memrchr3(b'\n', b'\r', 0, &data[near..word]).map_or(near, |place| near + place + 1);
    let cut = line > 0 && !parts(&data[line - 1]);
    let skipped = if cut { data[line..word].iter().position(parts).map_or(word - line, |place| place + 1) } else { 0 };
    let after = &data[at..data.len().min(at + LONGEST)];
    let end = if data[at] == 0x1B { after.iter().position(ends_line) } else { after.iter().position(parts) };
    (line + skipped, at + end.unwrap_or(after.len()))
}

/// From where on in a shortened text places have moved to the left, and by how much.
pub(super) type Moves = Vec<(usize, usize)>;

/// Where a place of a shortened text was before.
pub(super) fn source(moves: &[(usize, usize)], place: usize) -> usize {
    Places { moves, passed: 0 }.source(place)
}

/// The same for one place after the other, which are mostly near each other.
pub(super) struct Places<'m> {
    moves: &'m [(usize, usize)],
    /// How many moves the last place was behind.
    passed: usize,
}

impl<'m> Places<'m> {
    pub(super) fn of(moves: &'m [(usize, usize)]) -> Self {
        Self { moves, passed: 0 }
    }

    pub(super) fn source(&mut self, place: usize) -> usize {
        let moves = self.moves;
        let is_behind = |passed: &usize| {
            let (last, next) = (passed.checked_sub(1).and_then(|index| moves.get(index)), moves.get(*passed));
            last.is_none_or(|(at, _)| *at <= place) && next.is_none_or(|(at, _)| *at > place)
        };
        let near = (self.passed..=moves.len().min(self.passed + NEXT)).find(is_behind);
        self.passed = near.unwrap_or_else(|| moves.partition_point(|(at, _)| *at <= place));
        place + self.passed.checked_sub(1).map_or(0, |index| moves[index].1)
    }
}

/// How many moves ahead of the last place are looked at before all are.
const NEXT: usize = 4;

/// A text without the backslashes before its slashes, as JSON may have them in base64; and from where on, by how much,
/// places moved to the left. `None` where there are none.
pub(super) fn without_slashes(data: &[u8]) -> Option<(Vec<u8>, Moves)> {
    // To look for one character is much faster than for two.
    if !data.contains(&b'\\') || !data.windows(2).any(|pair| pair == b"\\/") {
        return None;
    }
    let (mut text, mut moves, mut at) = (Vec::with_capacity(data.len()), Vec::new(), 0);
    while let Some(length) = data[at..].windows(2).position(|pair| pair == b"\\/") {
        text.extend_from_slice(&data[at..at + length]);
        moves.push((text.len(), moves.len() + 1));
        text.push(b'/');
        at += length + 2;
    }
    text.extend_from_slice(&data[at..]);
    Some((text, moves))
}

/// A text without its escapes, and from where on, by how much, places moved to the left.
pub(super) fn decode(text: &[u8]) -> (Vec<u8>, Moves) {
    let (mut bytes, mut moves, mut at) = (Vec::with_capacity(text.len()), Vec::new(), 0);
    while at < text.len() {
        let plain = text[at..].iter().position(|byte| matches!(byte, b'%' | b'\\' | 0x1B)).unwrap_or(text.len() - at);
        bytes.extend_from_slice(&text[at..at + plain]);
        at += plain;
        let Some(&byte) = text.get(at) else { break };
        let (byte, length) = escape(&text[at..]).unwrap_or((Some(byte), 1));
        bytes.extend(byte);
        at += length;
        if at > bytes.len() + moves.last().map_or(0, |(_, by)| *by) {
            moves.push((bytes.len(), at - bytes.len()));
        }
    }
    (bytes, moves)
}
