//! The keywords of all rules, found in one pass over the data.
//!
//! Of each keyword three characters in a row stand for it, the rarest that it has. A bit for every three that stand for
//! some keyword says of nearly every place in the data that none is there; at the others the keywords are compared. Making
//! these tables takes next to no time, and no step of the pass waits for the one before it.

/// The bits of a hash of three characters.
const BITS: u32 = 16;
const WORDS: usize = 1 << (BITS - 6);

/// The keywords, in any case of their ASCII letters.
#[derive(Debug)]
pub(super) struct Keywords {
    keywords: Vec<Vec<u8>>,
    /// A bit for each hash that stands for some keyword.
    present: Box<[u64; WORDS]>,
    /// By hash: what stands for a keyword, and where in it.
    entries: Vec<Entry>,
    /// Where the entries of a hash begin.
    first: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u32,
    keyword: usize,
    offset: usize,
}

/// A keyword in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which.
    pub(super) keyword: usize,
    pub(super) head: usize,
    pub(super) tail: usize,
}

/// What three characters come to, in any case of ASCII letters.
fn hash(three: [u8; 3]) -> u32 {
    let word = u32::from_le_bytes([three[0], three[1], three[2], 0]) | 0x0020_2020;
    word.wrapping_mul(0x9E37_79B1) >> (32 - BITS)
}

/// How often a character is seen, about.
fn frequency(byte: u8) -> u32 {
    const LETTERS: &[u8] = b"zqjxkvbywgpfmucdlhrsnioate";
    match byte.to_ascii_lowercase() {
        b' ' => 40,
        b'0'..=b'9' => 12,
        b'=' | b'/' | b'.' | b':' | b'_' | b'-' => 10,
        letter => {
            LETTERS.iter().position(|known| *known == letter).map_or(2, |place| 3 + u32::try_from(place).unwrap_or(0))
        }
    }
}

impl Keywords {
    /// A keyword with fewer than three bytes is found where enough of the bytes `after` follow it, or, for the two of a
    /// letter outside ASCII, anything. `None` where they are too many.
    pub(super) fn build(keywords: &[String], after: &[u8]) -> Option<Self> {
        let keywords: Vec<Vec<u8>> = keywords.iter().map(|keyword| keyword.as_bytes().to_vec()).collect();
        let (mut present, mut entries) = (Box::new([0_u64; WORDS]), Vec::new());
        for (keyword, text) in keywords.iter().enumerate() {
            let rarest = (0..text.len().saturating_sub(2))
                .min_by_key(|at| text[*at..at + 3].iter().map(|byte| frequency(*byte)).sum::<u32>());
            let mut note = |three: [u8; 3], offset: usize| entries.push(Entry { hash: hash(three), keyword, offset });
            match (&text[..], rarest) {
                (_, Some(at)) => note([text[at], text[at + 1], text[at + 2]], at),
                ([first], _) => after.iter().for_each(|a| after.iter().for_each(|b| note([*first, *a, *b], 0))),
                ([first, second], _) => {
                    let follows = |byte: &u8| !first.is_ascii() || after.contains(byte);
                    (0..=u8::MAX).filter(follows).for_each(|a| note([*first, *second, a], 0));
                }
                _ => return None,
            }
        }
        entries.sort_unstable();
        entries.dedup();
        for Entry { hash, .. } in &entries {
            present[*hash as usize / 64] |= 1 << (hash % 64);
        }
        let mut first = vec![0; 1 << BITS];
        for (index, entry) in entries.iter().enumerate().rev() {
            first[entry.hash as usize] = u16::try_from(index).ok()?;
        }
        Some(Self { keywords, present, entries, first })
    }

    /// Whether there may be one in a text.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        text.windows(3).any(|three| self.has(hash([three[0], three[1], three[2]])))
    }

    fn has(&self, hash: u32) -> bool {
        self.present[hash as usize / 64] >> (hash % 64) & 1 != 0
    }

    /// Every keyword that begins at or after `from`, in the order of the characters that stand for them.
    pub(super) fn find(&self, data: &[u8], from: usize, found: &mut dyn FnMut(Hit)) {
        for (at, three) in data[from..].windows(3).enumerate() {
            let hash = hash([three[0], three[1], three[2]]);
            if self.has(hash) {
                self.compare(hash, data, from, from + at, found);
            }
        }
    }

    fn compare(&self, hash: u32, data: &[u8], from: usize, at: usize, found: &mut dyn FnMut(Hit)) {
        let first = usize::from(self.first[hash as usize]);
        for entry in self.entries[first..].iter().take_while(|entry| entry.hash == hash) {
            let keyword = &self.keywords[entry.keyword];
            let Some(head) = at.checked_sub(entry.offset).filter(|head| *head >= from) else { continue };
            let tail = head + keyword.len();
            if data.get(head..tail).is_some_and(|text| text.eq_ignore_ascii_case(keyword)) {
                found(Hit { keyword: entry.keyword, head, tail });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_tables_find_what_a_plain_search_finds(data in "[abAB%]{0,300}", from in 0..4_usize) {
            let words = ["abba", "aba", "bbbb", "aabab", "%"].map(str::to_owned);
            let from = from.min(data.len());
            let keywords = Keywords::build(&words, b"ab%").unwrap();
            let mut found = Vec::new();
            keywords.find(data.as_bytes(), from, &mut |hit| found.push((hit.head, hit.keyword)));
            let lower = data.to_ascii_lowercase();
            let mut all = Vec::new();
            for head in from..data.len() {
                for (word, text) in words.iter().enumerate() {
                    if lower[head..].starts_with(text.as_str()) && (text != "%" || head + 2 < data.len()) {
                        all.push((head, word));
                    }
                }
            }
            found.sort_unstable();
            prop_assert_eq!(&found, &all);
            prop_assert!(all.is_empty() || keywords.may_be_in(data.as_bytes()));
        }
    }
}
