//! Both sides of a change: `password = "old" -> "new"`, `=>`, `→`. The name stands before the first value only.

use super::assign::{DOUBLE, SINGLE, quoted, skip_space};
use super::data::is_literal;
use super::rules::{Bare, Named};
use super::scan::{Close, Scan};

/// What stands between the two sides.
const ARROWS: [&[u8]; 9] =
    [b"-->", b"==>", b"->", b"=>", "→".as_bytes(), "➜".as_bytes(), "⇒".as_bytes(), b"-\\u003e", b"=\\u003e"];

/// How many values one name may have had.
const MOST: usize = 4;
/// How long a side without quotes may be.
const SIDE: usize = 256;

/// Where the next side begins after one that ends here, on the same line.
pub(super) fn next(data: &[u8], end: usize) -> Option<usize> {
    let at = blanks(data, end).min(data.len());
    let rest = &data[at..];
    let arrow = ARROWS.iter().find(|arrow| rest.starts_with(arrow));
    let length = match arrow {
        Some(arrow) => arrow.len(),
        None if at > end && (rest.starts_with(b"to ") || rest.starts_with(b"into ")) => {
            let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(0);
            let value = blanks(data, at + length);
            return matches!(data.get(value), Some(&(DOUBLE | SINGLE | b'\\'))).then_some(value);
        }
        None => return None,
    };
    let value = blanks(data, at + length);
    data.get(value).filter(|byte| !matches!(byte, b'\n' | b'\r' | b'{' | b'(' | b'[' | b'<')).map(|_| value)
}

/// Whether a word may be the other side: none of a program ends like this.
fn is_side(word: &[u8]) -> bool {
    is_literal(word) && !matches!(word.last(), Some(b';' | b')' | b'{' | b',' | b'>' | b'('))
}

/// Where a side ends that begins here without quotes, before an arrow: a word, or what says in brackets that there is none.
pub(super) fn side(data: &[u8], at: usize) -> Option<usize> {
    let near = &data[at..data.len().min(at + SIDE)];
    let closes = match near.first()? {
        b'(' => b')',
        b'<' => b'>',
        _ => b' ',
    };
    let end = memchr::memchr(closes, near)? + usize::from(closes != b' ');
    let rest = near.get(end..)?.strip_prefix(b" ")?;
    let arrow = ARROWS.iter().any(|arrow| rest.starts_with(arrow));
    let text = &near[..end];
    let line = !text.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b'"' | b'\''));
    // What calls or has a type is a line of a program, where an arrow is another one.
    let code = closes == b' ' && text.iter().any(|byte| b"(){}<>,;:".contains(byte));
    (arrow && line && !code).then_some(at + end)
}

fn blanks(data: &[u8], at: usize) -> usize {
    let near = &data[at.min(data.len())..data.len().min(at + 16)];
    let count = near.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    // The colours of a terminal are none of either.
    if data.get(at + count) == Some(&0x1B) { skip_space(data, at) } else { at + count }
}

impl Scan<'_> {
    /// What follows a value that ends here as the other side of a change.
    pub(super) fn changed(&mut self, rule: usize, named: &Named, head: usize, tail: usize, mut end: usize) {
        for _ in 0..MOST {
            let Some(value) = next(self.data, end) else { return };
            let quote = self.data.get(value).copied().filter(|byte| matches!(byte, b'"' | b'\'' | b'\\'));
            let string = [DOUBLE, SINGLE].iter().find_map(|quote| quoted(self.data, value, *quote));
            let (start, stop, close, after) = match (quote, string) {
                (Some(_), Some((start, stop))) => (start, stop, Close::Opener(value), stop + (start - value)),
                (Some(_), None) => return,
                _ => {
                    let stop = self.word_end(value);
                    (value, stop, Close::Bytes(" "), stop)
                }
            };
            let counts = quote.is_some() && !named.quotes.list().is_empty()
                || quote.is_none() && named.bare != Bare::None && is_side(&self.data[start..stop]);
            if counts && stop > start && self.fitting(named, tail, start, stop) {
                self.add(head, rule, (start, stop, close));
            }
            end = after;
        }
    }
}
