//! The keywords of all rules, found in one pass over the data.
//!
//! Short texts are looked up in a table by their first three bytes, which takes no longer to make than to read the
//! keywords. Once a process has searched much, an automaton is made, which takes milliseconds, and goes through long texts
//! faster. A step of an automaton waits for the one before it; so that the machine does not, a block of data is cut into
//! lanes that are walked side by side.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, PatternID};
use std::cmp::Reverse;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many lanes there are, and how long each is at most.
const LANES: usize = 8;
const LANE: usize = 16 << 10;
/// How much is searched with the table before the automaton is made.
const MUCH: usize = 8 << 20;
/// The shortest text that the automaton is better at.
const LONG: usize = 4 << 10;

/// The keywords of all rules, in lower case.
#[derive(Debug)]
pub(super) struct Keywords {
    words: Vec<Box<str>>,
    table: Table,
    /// How much was searched without the automaton.
    searched: AtomicUsize,
    /// `None` in it where they are too many.
    automaton: OnceLock<Option<Walker>>,
}

/// A keyword in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which.
    pub(super) keyword: usize,
    pub(super) head: usize,
    pub(super) tail: usize,
}

/// Some data being walked from one place to another.
struct Lane<'d> {
    state: StateID,
    /// What is still to be walked.
    data: &'d [u8],
    /// Where that begins.
    at: usize,
    hits: Vec<Hit>,
}

impl Keywords {
    pub(super) fn of(words: Vec<Box<str>>) -> Self {
        let (searched, automaton) = (AtomicUsize::new(0), OnceLock::new());
        Self { table: Table::of(&words), words, searched, automaton }
    }

    /// Whether there is one in a text.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        (0..text.len()).any(|at| self.table.begin(&self.words, &text[at..]).next().is_some())
    }

    /// Every keyword that begins between two places, from left to right, of those at one place the shortest first.
    pub(super) fn find(&self, data: &[u8], from: usize, to: usize, found: &mut dyn FnMut(Hit)) {
        if data.len() - from >= LONG && self.searched.fetch_add(to - from, Ordering::Relaxed) >= MUCH {
            let walker = self.automaton.get_or_init(|| Walker::build(&self.words));
            if let Some(walker) = walker {
                return walker.find(data, from, to, found);
            }
        }
        for head in from..to {
            for keyword in self.table.begin(&self.words, &data[head..]) {
                found(Hit { keyword, head, tail: head + self.words[keyword].len() });
            }
        }
    }
}

/// The keywords by their first three bytes.
#[derive(Debug)]
struct Table {
    /// The first keyword of each slot.
    first: Vec<u16>,
    /// The one that follows each in its slot.
    next: Vec<u16>,
}

/// No keyword.
const NONE: u16 = u16::MAX;
/// How many bits the number of a slot has.
const SLOTS: u32 = 13;

impl Table {
    fn of(words: &[Box<str>]) -> Self {
        let (mut first, mut next) = (vec![NONE; 1 << SLOTS], vec![NONE; words.len()]);
        let mut order: Vec<u16> = (0..NONE).take(words.len()).collect();
        order.sort_unstable_by_key(|word| Reverse(words[usize::from(*word)].len()));
        for word in order {
            if let Some(slot) = slot(words[usize::from(word)].as_bytes()) {
                next[usize::from(word)] = std::mem::replace(&mut first[slot], word);
            }
        }
        Self { first, next }
    }

    /// The keywords that a text begins with, the shortest first.
    fn begin<'t>(&'t self, words: &'t [Box<str>], text: &'t [u8]) -> impl Iterator<Item = usize> + 't {
        let first = slot(text).map_or(NONE, |slot| self.first[slot]);
        let of = |word: u16| (word != NONE).then_some(usize::from(word));
        let all = std::iter::successors(of(first), move |word| of(self.next[*word]));
        all.filter(|word| {
            let word = words[*word].as_bytes();
            text.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word))
        })
    }
}

/// The slot of a text, the same for all cases of its letters; none for one that is too short.
#[inline]
fn slot(text: &[u8]) -> Option<usize> {
    let [a, b, c, ..] = text else { return None };
    let key = u32::from_le_bytes([*a, *b, *c, 0]) | 0x0020_2020;
    Some((key.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SLOTS)) as usize)
}

/// The automaton of some keywords, in any case of their ASCII letters.
#[derive(Debug)]
struct Walker {
    automaton: DFA,
    start: StateID,
    longest: usize,
}

impl Walker {
    /// `None` where they are too many.
    fn build(words: &[Box<str>]) -> Option<Self> {
        let words = words.iter().map(|word| word.as_bytes());
        let automaton = DFA::builder().ascii_case_insensitive(true).prefilter(false).build(words).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        Some(Self { start, longest: automaton.max_pattern_len(), automaton })
    }

    fn find(&self, data: &[u8], from: usize, to: usize, found: &mut dyn FnMut(Hit)) {
        let data = &data[..data.len().min(to.saturating_add(self.longest))];
        let (mut at, mut hits) = (from, Vec::new());
        while at < data.len() {
            let length = (data.len() - at).div_ceil(LANES).clamp(256, LANE);
            let mut lanes = std::array::from_fn(|lane| {
                let begin = (at + lane * length).min(data.len());
                let end = (begin + length).min(data.len());
                // What ends in the lane may begin before it.
                let warm = from.max(begin.saturating_sub(self.longest));
                let state = data[warm..begin].iter().fold(self.start, |state, byte| self.step(state, *byte));
                Lane { state, data: &data[begin..end], at: begin, hits: Vec::new() }
            });
            self.walk(&mut lanes);
            at += LANES * length;
            for lane in lanes {
                hits.extend(lane.hits);
            }
            hits.sort_unstable_by_key(|hit: &Hit| (hit.head, hit.tail));
            // Of those that begin before here, none ends in what comes.
            let sure = if at < data.len() { at - self.longest } else { data.len() };
            let ready = hits.partition_point(|hit| hit.head < sure.max(from));
            hits.drain(..ready).filter(|hit| hit.head < to).for_each(&mut *found);
        }
    }

    fn step(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    #[allow(clippy::needless_range_loop)] // the places of all lanes at once
    fn walk<'d>(&self, lanes: &mut [Lane<'d>; LANES]) {
        // All are of one length but perhaps the last ones: side by side as far as they go together.
        let together = lanes.iter().map(|lane| lane.data.len()).min().unwrap_or_default();
        let data: [&'d [u8]; LANES] = std::array::from_fn(|lane| &lanes[lane].data[..together]);
        let mut states: [StateID; LANES] = std::array::from_fn(|lane| lanes[lane].state);
        for at in 0..together {
            for lane in 0..LANES {
                states[lane] = self.step(states[lane], data[lane][at]);
            }
            if states.iter().any(|state| self.automaton.is_match(*state)) {
                for (lane, state) in lanes.iter_mut().zip(states) {
                    self.note(state, lane.at + at + 1, &mut lane.hits);
                }
            }
        }
        for (lane, state) in lanes.iter_mut().zip(states) {
            lane.state = state;
            for at in together..lane.data.len() {
                lane.state = self.step(lane.state, lane.data[at]);
                self.note(lane.state, lane.at + at + 1, &mut lane.hits);
            }
        }
    }

    fn note(&self, state: StateID, tail: usize, hits: &mut Vec<Hit>) {
        if !self.automaton.is_match(state) {
            return;
        }
        for index in 0..self.automaton.match_len(state) {
            let pattern: PatternID = self.automaton.match_pattern(state, index);
            let head = tail - self.automaton.pattern_len(pattern);
            hits.push(Hit { keyword: pattern.as_usize(), head, tail });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn table_and_lanes_find_what_a_plain_search_finds(data in "[abAB]{0,3000}", from in 0..4_usize, to in 0..9000_usize) {
            let words: Vec<Box<str>> = ["abba", "aba", "abb", "bbbb", "aabab"].map(Into::into).to_vec();
            let (from, to) = (from.min(data.len()), to.clamp(from, data.len().max(from)).min(data.len()));
            let lower = data.to_ascii_lowercase();
            let all = (from..to).flat_map(|head| {
                let begins = |(_, word): &(usize, &str)| lower[head..].starts_with(*word);
                let words = words.iter().map(|word| &**word);
                let mut at: Vec<_> = words.clone().enumerate().filter(begins).map(|(word, _)| (head, word)).collect();
                let words: Vec<&str> = words.collect();
                at.sort_by_key(|(_, word)| words[*word].len());
                at
            });
            let all: Vec<_> = all.collect();
            let (walker, keywords) = (Walker::build(&words).unwrap(), Keywords::of(words.clone()));
            let (mut by_table, mut by_lanes) = (Vec::new(), Vec::new());
            keywords.find(data.as_bytes(), from, to, &mut |hit| by_table.push((hit.head, hit.keyword)));
            walker.find(data.as_bytes(), from, to, &mut |hit| by_lanes.push((hit.head, hit.keyword)));
            prop_assert_eq!(&by_table, &all);
            prop_assert_eq!(&by_lanes, &all);
            prop_assert_eq!(keywords.are_in(&data.as_bytes()[from..to]), words.iter().any(|word| lower[from..to].contains(&**word)));
        }
    }
}
