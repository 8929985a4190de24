//! Secrets whose characters are written as escapes: `%2D` of URLs, encoded once or more, `\u002d`, `\x2d` and `\/` of strings,
//! the entities of HTML; or which have the colours and links of a terminal or a line break of a shell between them. They are
//! searched for in the text that the escapes stand for, one level deep, and found in the text as it is.

use super::rules;
use super::{CONTEXT, LONGEST};

/// What escapes begin with that two hexadecimal digits follow.
const ESCAPES: [&str; 3] = ["%", "\\u00", "\\x"];

/// The character that an escape stands for, if for any, and how long it is, if one begins here.
fn escape(text: &[u8]) -> Option<(Option<u8>, usize)> {
    match text {
        [b'\\', b'/', ..] => return Some((Some(b'/'), 2)),
        // A line that a shell goes on with.
        [b'\\', b'\n', ..] => return Some((None, 2)),
        [b'\\', b'\r', b'\n', ..] => return Some((None, 3)),
        [0x1B, ..] => return sequence(text).map(|length| (None, length)),
        // A colour as a program logs it, which has the escape character as an escape itself.
        [b'\\', b'0', b'3', b'3', b'[', ..] => return Some((None, 4 + parameters(&text[4..])?)),
        [b'\\', b'e', b'[', ..] => return Some((None, 2 + parameters(&text[2..])?)),
        [b'&', ..] => return entity(text),
        _ => {}
    }
    let begin = ESCAPES.iter().find(|begin| text.starts_with(begin.as_bytes()))?.len();
    // Of a text that was encoded more than once, `%2541` is a letter as `%41` is.
    let again = if text[0] == b'%' { text[1..].chunks(2).take(4).take_while(|two| *two == b"25").count() } else { 0 };
    let of = |begin: usize| {
        let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
        let value = digit(begin)? * 16 + digit(begin + 1)?;
        Some((u8::try_from(value).ok()?, begin + 2))
    };
    let (value, length) = (0..=again).rev().find_map(|again| of(begin + 2 * again))?;
    if value == 0x1B
        && let Some(more) = parameters(&text[length..])
    {
        return Some((None, length + more));
    }
    Some((Some(value), length))
}

/// The character that an entity of HTML stands for, itself encoded once more or not, and how long it is.
fn entity(text: &[u8]) -> Option<(Option<u8>, usize)> {
    let again = text[1..].chunks(4).take(3).take_while(|four| *four == b"amp;").count();
    let of = |again: usize| {
        let rest = text.get(1 + 4 * again..)?;
        let near = &rest[..rest.len().min(8)];
        let end = near.iter().position(|byte| *byte == b';')?;
        let letter = match &near[..end] {
            b"quot" => b'"',
            b"apos" => b'\'',
            b"amp" => b'&',
            b"lt" => b'<',
            b"gt" => b'>',
            [b'#', b'x' | b'X', digits @ ..] => u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?,
            [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
            _ => return None,
        };
        Some((Some(letter), 1 + 4 * again + end + 1))
    };
    (0..=again).rev().find_map(of)
}

/// How long the parameters and the end of a control sequence are that begin here: `[1;31m`.
fn parameters(text: &[u8]) -> Option<usize> {
    let numbers = text.strip_prefix(b"[")?.iter().take(32);
    let length = 1 + numbers.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':' | b'?')).count();
    text.get(length).filter(|byte| byte.is_ascii_alphabetic()).map(|_| length + 1)
}

/// How long a sequence of a terminal is that begins here: a colour, a link (OSC 8), a set of characters.
fn sequence(text: &[u8]) -> Option<usize> {
    match text {
        [0x1B, b'[', ..] => colour(text),
        [0x1B, b'(' | b')', _, ..] => Some(3),
        [0x1B, b']', ..] => {
            let near = &text[1..text.len().min(LINK)];
            let end = 1 + near.iter().position(|byte| matches!(byte, 0x07 | 0x1B | b'\n'))?;
            match &text[end..] {
                [0x07, ..] => Some(end + 1),
                [0x1B, b'\\', ..] => Some(end + 2),
                _ => None,
            }
        }
        _ => None,
    }
}

/// How long a link of a terminal may be.
const LINK: usize = 2 << 10;

/// How long the colour of a terminal is that begins here: ESC [ numbers m, or K as grep writes it.
pub(super) fn colour(text: &[u8]) -> Option<usize> {
    Some(1 + parameters(text.strip_prefix(b"\x1b")?)?)
}

/// Where escapes are, from left to right.
fn all(text: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut signs = memchr::memchr3_iter(b'%', b'\\', 0x1B, text).peekable();
    let mut entities = memchr::memchr_iter(b'&', text).peekable();
    let next = move || match (signs.peek(), entities.peek()) {
        (Some(sign), Some(entity)) if sign > entity => entities.next(),
        (None, _) => entities.next(),
        _ => signs.next(),
    };
    std::iter::from_fn(next).filter(|at| escape(&text[*at..]).is_some())
}

pub(super) fn are_in(text: &[u8]) -> bool {
    all(text).next().is_some()
}

/// The texts with escapes in them, as far as they reach into what lies between two places. What is around both of two
/// escapes is one text.
pub(super) fn regions(text: &[u8], from: usize, to: usize) -> Vec<(usize, usize)> {
    let mut regions: Vec<(usize, usize)> = Vec::new();
    for at in all(text) {
        if regions.last().is_some_and(|(_, end)| at < *end) {
            continue;
        }
        let (start, end) = around(text, at);
        match regions.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ if start >= to => break,
            _ => regions.push((start, end)),
        }
    }
    regions.retain(|(_, end)| *end > from);
    regions
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
    let encoded = text.starts_with(b"%5") || text.starts_with(b"%25");
    text.len() <= 9 * 64 && encoded && rules::is_marker(&decode(text).0)
}

/// The word that an escape is in, with a little of its line before it; where it is a colour, all of its line.
fn around(data: &[u8], at: usize) -> (usize, usize) {
    let ends_line = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
    let parts = |byte: &u8| *byte <= b' ' && *byte != 0x1B || *byte == 0x7F;
    let far = at.saturating_sub(LONGEST);
    let word = data[far..at].iter().rposition(parts).map_or(far, |place| far + place + 1);
    // What comes before it may be its name: to where a word begins, on the same line.
    let near = word.saturating_sub(CONTEXT);
    let line = memchr::memrchr3(b'\n', b'\r', 0, &data[near..word]).map_or(near, |place| near + place + 1);
    let cut = line > 0 && !parts(&data[line - 1]);
    let skipped = if cut { data[line..word].iter().position(parts).map_or(word - line, |place| place + 1) } else { 0 };
    let limit = data.len().min(at + LONGEST);
    let whole = matches!(data[at], 0x1B | b'&') || data[at..].starts_with(b"\\033") || data[at..].starts_with(b"\\e");
    let ends = |from: usize| {
        let after = &data[from..limit];
        let end = if whole { after.iter().position(ends_line) } else { after.iter().position(parts) };
        from + end.unwrap_or(after.len())
    };
    let mut end = ends(at);
    // A word goes on behind a line break that a shell does not see.
    while end < limit && data[..end].ends_with(b"\\") && matches!(data[end], b'\n' | b'\r') {
        let next = end + if data[end..].starts_with(b"\r\n") { 2 } else { 1 };
        end = ends(next.min(limit));
    }
    (line + skipped, end)
}

/// From where on in a shortened text places have moved to the left, and by how much.
pub(super) type Moves = Vec<(usize, usize)>;

/// Where a place of a shortened text was before.
pub(super) fn source(moves: &[(usize, usize)], place: usize) -> usize {
    Places { moves, passed: 0 }.source(place)
}

/// The first place of a shortened text that was not before one of the text as it was.
pub(super) fn place(moves: &[(usize, usize)], at: usize) -> usize {
    let passed = moves.partition_point(|(from, by)| from + by <= at);
    let shifted = at - passed.checked_sub(1).map_or(0, |index| moves[index].1);
    // Inside of what was shortened: what comes next.
    moves.get(passed).map_or(shifted, |(from, _)| shifted.min(*from))
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
        let plain =
            text[at..].iter().position(|byte| matches!(byte, b'%' | b'\\' | 0x1B | b'&')).unwrap_or(text.len() - at);
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
