//! Secrets in base64, one level deep: words of it that stand for text are searched as that text. A secret found there is
//! replaced in the encoding, so that what is around it still decodes.

use super::encoding::Encoding;
use super::merge::{Found, Then, What};
use super::scan::Part;
use super::sniff::is_control;
use super::work;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding as Alphabet};
use std::cmp::Ordering;

/// The shortest word that is looked at: it has two blocks in it, wherever it begins.
pub(super) const SHORTEST: usize = 24;
const BLOCK: usize = 8;
/// The longest word that is only looked at if it begins as text does.
const LONG: usize = 4 << 10;

fn is_base64(byte: u8) -> bool {
    CLASS[usize::from(byte)]
}

static CLASS: [bool; 256] = {
    let mut class = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        class[byte as usize] = belongs(byte);
        byte += 1;
    }
    class
};

/// Without branches, so that many bytes can be looked at with one wide instruction.
#[allow(clippy::needless_bitwise_bool)]
const fn belongs(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'+') | (byte == b'/') | (byte == b'-') | (byte == b'_')
}

/// How many characters of base64 begin here, of at most so many.
fn run(data: &[u8], at: usize, most: usize) -> usize {
    let data = &data[at..];
    let data = &data[..data.len().min(most)];
    let full = |block: &&[u8; 16]| block.iter().fold(true, |all, byte| all & belongs(*byte));
    let sure = data.as_chunks::<16>().0.iter().take_while(full).count() * 16;
    sure + data[sure..].iter().take_while(|byte| is_base64(**byte)).count()
}

/// How many characters before a place are read again where a word goes on from one part of the data to the next. They make
/// whole threes of bytes, and hold the name that a secret may have. Fewer than a window sees of what is before it.
const AGAIN: usize = 512;

/// Base64 that stands in some data.
struct Word {
    /// Its characters, without the breaks between its lines.
    text: Vec<u8>,
    /// Where each line begins: in the text, and in the data.
    lines: Vec<(usize, usize)>,
    end: usize,
    /// How many `=` follow.
    padding: usize,
}

impl Word {
    /// The word that begins here.
    fn read(data: &[u8], start: usize) -> Self {
        let mut word = Self { text: Vec::new(), lines: Vec::new(), end: start, padding: 0 };
        let mut at = start;
        loop {
            let length = run(data, at, usize::MAX);
            word.lines.push((word.text.len(), at));
            word.text.extend_from_slice(&data[at..at + length]);
            word.end = at + length;
            word.padding = data[word.end..].iter().take(2).take_while(|byte| **byte == b'=').count();
            // Only between full lines; after the last one comes something else.
            let line_break = match &data[word.end..] {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] | [b'\\', b'n', ..] => 2,
                [b'\\', b'r', b'\\', b'n', ..] => 4,
                _ => 0,
            };
            let next = word.end + line_break;
            let goes_on = data.get(next).is_some_and(|byte| is_base64(*byte));
            if line_break == 0 || length < SHORTEST || !length.is_multiple_of(4) || !goes_on {
                return word;
            }
            at = next;
        }
    }

    /// Where a character of the text is in the data.
    fn place(&self, at: usize) -> usize {
        let line = self.lines.partition_point(|(first, _)| *first <= at).saturating_sub(1);
        let (first, place) = self.lines[line];
        place + (at - first)
    }

    /// How many of its characters stand before a place of the data.
    fn before(&self, place: usize) -> usize {
        let line = self.lines.partition_point(|(_, begin)| *begin <= place).saturating_sub(1);
        let (first, begin) = self.lines[line];
        let next = self.lines.get(line + 1).map_or(self.text.len(), |(first, _)| *first);
        next.min(first + place.saturating_sub(begin))
    }

    /// Where in the data a part of the word begins that goes on at a place.
    fn resumed(&self, place: usize) -> usize {
        self.place(self.before(place).saturating_sub(AGAIN) / 4 * 4)
    }

    fn alphabet(&self) -> Alphabet {
        let url = self.text.iter().any(|byte| matches!(byte, b'-' | b'_'));
        if url { BASE64URL_NOPAD } else { BASE64_NOPAD }
    }

    /// What it stands for, as far as it goes.
    fn decode(&self) -> Option<Vec<u8>> {
        let length = self.text.len();
        // One character too many stands for nothing.
        let text = &self.text[..length - usize::from(length % 4 == 1)];
        self.alphabet().decode(text).ok().or_else(|| self.alphabet().decode(&text[..text.len() / 4 * 4]).ok())
    }
}

/// How a text is searched: the text, its encoding, between which of its places, and whether it ends where it ends.
pub(super) type Search<'a> = &'a dyn Fn(&[u8], Encoding, (usize, usize), bool) -> Vec<Found>;

/// What the words of base64 hold that begin in a part of the data; first the one that went on from what came before, if
/// there is a place where it is to be `resumed`. Gives that place for the part that follows.
pub(super) fn found(part: Part<'_>, resumed: Option<usize>, search: Search<'_>) -> (Vec<Found>, Option<usize>) {
    let Part { text: data, from, to, .. } = part;
    let (mut found, mut behind, mut next) = (Vec::new(), from, None);
    let mut read = |start: usize| {
        let word = Word::read(data, start);
        in_word(&word, part, search, &mut found);
        next = (word.end > to).then(|| word.resumed(to));
        word.end
    };
    match resumed {
        Some(start) => behind = read(start),
        // A word that began before and does not go on was seen to be none of text.
        None if from > 0 && is_base64(data[from - 1]) && !is_line_break(data, from - 1) => {
            behind += run(data, from, LONG);
        }
        None => {}
    }
    for at in full_blocks(&data[..data.len().min(to + WIDE)]) {
        if at < behind {
            continue;
        }
        let mut start = at - data[behind..at].iter().rev().take(BLOCK).take_while(|byte| is_base64(**byte)).count();
        start += usize::from(is_line_break(data, start));
        if start >= to {
            break;
        }
        let length = run(data, start, LONG);
        behind = start + length;
        if length == LONG || length >= SHORTEST && begins_text(&data[start..start + SHORTEST]) {
            behind = read(start);
        }
    }
    (found, next)
}

/// Whether the letter of an escaped line break stands here, which is none of a word.
fn is_line_break(data: &[u8], at: usize) -> bool {
    matches!(data[at], b'n' | b'r' | b't') && data[..at].ends_with(b"\\")
}

/// Where two blocks begin that are all base64.
fn full_blocks(data: &[u8]) -> impl Iterator<Item = usize> {
    let (wide, rest) = data.as_chunks::<WIDE>();
    let mut last = [0; WIDE];
    last[..rest.len()].copy_from_slice(rest);
    let mut before = 0;
    let all = wide.iter().map(full).chain(std::iter::once_with(move || full(&last))).enumerate();
    all.flat_map(move |(index, full)| {
        // A bit each for the last block of what came before, and for the blocks from here on.
        let blocks = full << 1 | before;
        before = full >> (WIDE / BLOCK - 1);
        let mut pairs = blocks & blocks >> 1;
        std::iter::from_fn(move || {
            let first = (pairs != 0).then(|| pairs.trailing_zeros() as usize)?;
            pairs &= pairs - 1;
            Some(index * WIDE + first * BLOCK - BLOCK)
        })
    })
}

/// How much is looked at together.
const WIDE: usize = 8 * BLOCK;

/// A bit for each block, set where all of it is base64.
fn full(wide: &[u8; WIDE]) -> u32 {
    let mut flags = [0_u8; WIDE];
    for (flag, byte) in flags.iter_mut().zip(wide) {
        *flag = u8::from(belongs(*byte));
    }
    let blocks = flags.as_chunks::<BLOCK>().0.iter().enumerate();
    blocks.map(|(index, block)| u32::from(*block == [1; BLOCK]) << index).sum()
}

/// Whether base64 begins as text does: without control characters, or as UTF-16.
fn begins_text(base64: &[u8]) -> bool {
    let mut head = [0; SHORTEST / 4 * 3];
    for (four, three) in base64.chunks_exact(4).zip(head.chunks_exact_mut(3)) {
        let bits = four.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(sextet(*byte)));
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    !head.iter().copied().any(is_control) || Encoding::of(&head) != Encoding::Bytes
}

fn sextet(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    }
}

fn in_word(word: &Word, part: Part<'_>, search: Search<'_>, found: &mut Vec<Found>) {
    let Some(text) = word.decode() else { return };
    let encoding = Encoding::of(&text);
    let decoded = |place: usize| (word.before(place) / 4 * 3).min(text.len());
    // From its beginning: a rule goes on where it went on in the window before. What is found twice is one.
    let range = (0, if part.to < word.end { decoded(part.to) } else { text.len() });
    let ends = part.ends || word.end < part.text.len();
    let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(text.len());
    for Found { head, start, end, rule, what } in search(&text, encoding, range, ends) {
        let (begin, mut stop) = (at(start), at(end));
        let (then, close) = match what {
            What::Secret { close, until } => {
                let more = until.map_or(0, |until| until.length(&text[stop..], encoding).0);
                work::looked(more);
                stop += more;
                (Ok(Then::Replacement(Box::default())), close)
            }
            What::Quoted(quotes) => (Ok(Then::Quoted(quotes)), Box::default()),
            kept @ (What::Kept(_) | What::Encoded { .. }) => (Err(kept), Box::default()),
        };
        // Whole threes are replaced.
        let (first, last) = (begin / 3 * 3, (stop.div_ceil(3) * 3).min(text.len()));
        let start = word.place(first / 3 * 4);
        let end = if last == text.len() { word.end + word.padding } else { word.place(last / 3 * 4) };
        let head = word.place(at(head) / 3 * 4).min(start);
        let encoded = |then| {
            // What comes last may be of any length only where the word has no padding and needed some.
            let unpadded = last == text.len() && word.padding == 0 && !word.text.len().is_multiple_of(4);
            let (before, after) = (text[first..begin].into(), text[stop..last].into());
            let encoded = Encoded { before, then, after, encoding, alphabet: word.alphabet(), unpadded };
            What::Encoded { encoded: Box::new(encoded), close }
        };
        let what = then.map_or_else(|kept| kept, encoded);
        found.push(Found { head: head as u64, start: start as u64, end: end as u64, rule, what });
    }
}

/// Some threes of a text with a secret in them, to be replaced in base64 of the same length modulo four.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    /// What is left of the first three bytes.
    before: Box<[u8]>,
    then: Then,
    /// What is left of the last ones.
    after: Box<[u8]>,
    encoding: Encoding,
    alphabet: Alphabet,
    unpadded: bool,
}

impl Encoded {
    /// Takes in a secret that overlaps this one and does not begin before it, in the same word. `close` must follow the first
    /// of them if that loses its end.
    pub(super) fn join(&mut self, other: Self, together: bool, ends: Ordering, close: &[u8]) {
        // Both have a beginning or an end of the same three bytes: less is left of them.
        if together && other.before.len() < self.before.len() {
            self.before = other.before;
        }
        match ends {
            Ordering::Less => {}
            Ordering::Equal if other.after.len() >= self.after.len() => {}
            Ordering::Equal | Ordering::Greater => {
                (self.after, self.unpadded) = (other.after, other.unpadded);
                self.then = Then::Replacement(close.into());
            }
        }
    }

    /// Writes it with this replacement in the place of the secret.
    pub(super) fn write(&self, replacement: &str, out: &mut Vec<u8>) {
        let mut bytes = self.before.to_vec();
        self.then.write(replacement, self.encoding, &mut bytes);
        while !(bytes.len() + self.after.len()).is_multiple_of(3) && !self.unpadded {
            self.encoding.write(" ", &mut bytes);
        }
        bytes.extend_from_slice(&self.after);
        out.extend_from_slice(self.alphabet.encode(&bytes).as_bytes());
    }
}
