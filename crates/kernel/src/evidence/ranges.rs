//! Ranges of a text, as those in which secrets were found.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of a text, of which those that overlap are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Whether one of them overlaps this range.
    pub(super) fn touch(&self, range: &Range<u64>) -> bool {
        self.0.range(..range.end).next_back().is_some_and(|(_, end)| *end > range.start) && !range.is_empty()
    }

    pub(super) fn add(&mut self, mut range: Range<u64>) {
        while let Some((&start, &end)) = self.0.range(..range.end).next_back().filter(|(_, end)| **end > range.start) {
            self.0.remove(&start);
            range = range.start.min(start)..range.end.max(end);
        }
        if !range.is_empty() {
            self.0.insert(range.start, range.end);
        }
    }
}

/// Texts that follow one another, each of so many bytes, as one.
#[derive(Clone, Debug, Default)]
pub(super) struct Joined {
    /// Where each ends in the whole.
    ends: Vec<u64>,
}

impl Joined {
    pub(super) fn push(&mut self, bytes_len: u64) {
        self.ends.push(self.len() + bytes_len);
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where a text begins in the whole.
    pub(super) fn start(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Where it ends.
    pub(super) fn end(&self, index: usize) -> u64 {
        self.ends[index]
    }

    /// The share of each text in a range of the whole.
    pub(super) fn shares(&self, range: Range<u64>) -> impl Iterator<Item = (usize, Range<u64>)> {
        let first = self.ends.partition_point(|end| *end <= range.start);
        (first..self.ends.len())
            .take_while({
                let end = range.end;
                move |index| self.start(*index) < end
            })
            .map(move |index| {
                let start = self.start(index);
                (index, range.start.max(start) - start..range.end.min(self.ends[index]) - start)
            })
            .filter(|(_, share)| !share.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Joined, Ranges};

    #[test]
    fn ranges_that_overlap_are_one() {
        let mut ranges = Ranges::default();
        for range in [10..20, 30..40, 5..6, 19..31, 50..50] {
            ranges.add(range);
        }
        assert_eq!(ranges.0.into_iter().collect::<Vec<_>>(), [(5, 6), (10, 40)]);
    }

    #[test]
    fn a_range_touches_what_it_shares_a_byte_with() {
        let mut ranges = Ranges::default();
        ranges.add(10..20);
        ranges.add(1..2);
        let touched = [0..1, 2..10, 20..30, 15..15, 1..2, 0..99, 19..20, 9..11].map(|range| ranges.touch(&range));
        assert_eq!(touched, [false, false, false, false, true, true, true, true]);
    }

    #[test]
    fn a_range_of_the_whole_has_a_share_in_each_text_that_it_lies_in() {
        let mut joined = Joined::default();
        for len in [3, 0, 2, 4] {
            joined.push(len);
        }
        let shares = |range| joined.shares(range).collect::<Vec<_>>();
        assert_eq!(shares(1..7), [(0, 1..3), (2, 0..2), (3, 0..2)]);
        assert_eq!(shares(3..5), [(2, 0..2)]);
        assert_eq!(shares(8..99), [(3, 3..4)]);
        assert_eq!((shares(9..12), joined.len(), joined.start(2)), (vec![], 9, 3));
    }
}
