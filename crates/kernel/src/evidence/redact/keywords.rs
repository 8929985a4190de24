//! The keywords of all rules, found in one pass over the data.
//!
//! A step of an automaton waits for the one before it; so that the machine does not, a block of data is cut into lanes
//! that are walked side by side.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, PatternID};

/// How many lanes there are, and how long each is at most.
const LANES: usize = 8;
const LANE: usize = 16 << 10;

/// The automaton of some keywords, in any case of their ASCII letters.
#[derive(Debug)]
pub(super) struct Keywords {
    automaton: DFA,
    start: StateID,
    longest: usize,
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
    /// `None` where they are too many.
    pub(super) fn build(keywords: &[String]) -> Option<Self> {
        let automaton = DFA::builder().ascii_case_insensitive(true).prefilter(false).build(keywords).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        Some(Self { start, longest: automaton.max_pattern_len(), automaton })
    }

    /// Whether there is one in a text.
    pub(super) fn are_in(&self, text: &[u8]) -> bool {
        let mut state = self.start;
        text.iter().any(|byte| {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            self.automaton.is_match(state)
        })
    }

    /// Every keyword that begins at or after `from`, in the order of their ends.
    pub(super) fn find(&self, data: &[u8], from: usize, found: &mut dyn FnMut(Hit)) {
        let (mut at, mut hits) = (from, [const { Vec::new() }; LANES]);
        while at < data.len() {
            let length = (data.len() - at).div_ceil(LANES).clamp(256, LANE);
            let mut lanes = std::array::from_fn(|lane| {
                let begin = (at + lane * length).min(data.len());
                let end = (begin + length).min(data.len());
                // What ends in the lane may begin before it.
                let warm = from.max(begin.saturating_sub(self.longest));
                let state = data[warm..begin].iter().fold(self.start, |state, byte| self.step(state, *byte));
                Lane { state, data: &data[begin..end], at: begin, hits: std::mem::take(&mut hits[lane]) }
            });
            self.walk(&mut lanes);
            for (lane, hits) in lanes.into_iter().zip(&mut hits) {
                *hits = lane.hits;
                hits.drain(..).for_each(&mut *found);
            }
            at += LANES * length;
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
        fn lanes_find_what_a_plain_search_finds(data in "[abAB]{0,3000}", from in 0..4_usize) {
            let words = ["abba", "ab", "bbbb", "aabab"].map(str::to_owned);
            let from = from.min(data.len());
            let mut found = Vec::new();
            Keywords::build(&words).unwrap().find(data.as_bytes(), from, &mut |hit| found.push((hit.head, hit.keyword)));
            let lower = data.to_ascii_lowercase();
            let all = (from..data.len()).flat_map(|head| {
                let begins = |(_, word): &(usize, &String)| lower[head..].starts_with(word.as_str());
                words.iter().enumerate().filter(begins).map(|(word, _)| (head, word)).collect::<Vec<_>>()
            });
            let mut all: Vec<_> = all.collect();
            all.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, all);
        }
    }
}
