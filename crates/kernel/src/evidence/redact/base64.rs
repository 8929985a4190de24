//! Secrets in base64, one level deep: words of it that stand for text are searched as that text. A secret found there is
//! replaced in the encoding, so that what is around it still decodes.

use super::encoding::Encoding;
use super::merge::{Group, Then};
use super::sniff::is_control;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding as Alphabet};

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

/// How many characters of base64 stand directly before a place, in what there is of the data, so that it can be cut
/// between the fours that belong together.
pub(super) fn before(data: &[u8], at: usize) -> usize {
    if data.get(at).is_none_or(|byte| !is_base64(*byte)) {
        return 0;
    }
    data[..at].iter().rev().take_while(|byte| is_base64(**byte)).count()
}

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

/// What base64 in the data has, from `from` on; `search` finds the groups of a decoded text.
pub(super) fn groups(
    data: &[u8],
    from: usize,
    replacement: &dyn Fn(usize) -> String,
    search: &dyn Fn(&[u8], Encoding) -> Vec<Group>,
) -> Vec<Group> {
    let (mut found, mut past) = (Vec::new(), 0);
    for at in full_blocks(data) {
        if at < past {
            continue;
        }
        let mut start = at - data[past..at].iter().rev().take(BLOCK).take_while(|byte| is_base64(**byte)).count();
        // The letter of an escaped line break is none of the word.
        if start > 0 && data[start - 1] == b'\\' && matches!(data[start], b'n' | b'r' | b't') {
            start += 1;
        }
        let length = run(data, start, LONG);
        past = start + length;
        if length == LONG || length >= SHORTEST && begins_text(&data[start..start + SHORTEST]) {
            let word = Word::read(data, start);
            past = word.end;
            found.extend(in_word(&word, replacement, search).into_iter().filter(|group| group.head >= from));
        }
    }
    found
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

fn in_word(
    word: &Word,
    replacement: &dyn Fn(usize) -> String,
    search: &dyn Fn(&[u8], Encoding) -> Vec<Group>,
) -> Vec<Group> {
    let Some(text) = word.decode() else { return Vec::new() };
    let encoding = Encoding::of(&text);
    let mut found: Vec<Group> = Vec::new();
    let mut groups = search(&text, encoding).into_iter().peekable();
    while let Some(mut group) = groups.next() {
        let (first, mut last) = (group.start / 3 * 3, group.end.div_ceil(3) * 3);
        // Two secrets in the same three bytes are replaced as one.
        while let Some(next) = groups.next_if(|next| next.start < last) {
            group.end = group.end.max(next.end);
            (group.then, last) = (Then::Replacement, group.end.div_ceil(3) * 3);
        }
        let last = last.min(text.len());
        let start = word.place(first / 3 * 4);
        let end = if last == text.len() { word.end + word.padding } else { word.place(last / 3 * 4) };
        let head = word.place(group.head / 3 * 4).min(start);
        let then = match group.then {
            Then::Kept(allow) => Then::Kept(allow),
            _ => Then::Encoded(encode(word, &text, (first, last), &group, encoding, &replacement(group.rule))),
        };
        found.push(Group { head, start, end, rule: group.rule, then });
    }
    found
}

/// Some threes of the text with a secret in them replaced, in base64 of the same length modulo four.
fn encode(
    word: &Word,
    text: &[u8],
    (first, last): (usize, usize),
    group: &Group,
    encoding: Encoding,
    replacement: &str,
) -> Vec<u8> {
    let mut bytes = text[first..group.start].to_vec();
    if let Then::Quoted(from, to) = &group.then {
        bytes.extend_from_slice(&text[*from..*to]);
    }
    encoding.write(replacement, &mut bytes);
    match &group.then {
        Then::Again(from, to) | Then::Quoted(from, to) => bytes.extend_from_slice(&text[*from..*to]),
        Then::Text(close) => encoding.write(close, &mut bytes),
        _ => {}
    }
    let rest = &text[group.end..last];
    // What comes last may be of any length only where the word has no padding and needed some.
    let unpadded = last == text.len() && word.padding == 0 && !word.text.len().is_multiple_of(4);
    while !(bytes.len() + rest.len()).is_multiple_of(3) && !unpadded {
        encoding.write(" ", &mut bytes);
    }
    bytes.extend_from_slice(rest);
    word.alphabet().encode(&bytes).into_bytes()
}
