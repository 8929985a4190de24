//! A long run in parts, each read by a reader of its own, so that threads can share it.
//!
//! Parts only ever say that nothing is wrong. Where anything is, or might be, there is no joined reader: the run is to be
//! read again from its first row to its last by one reader, whose findings are the run's.

use super::cells::EventRow;
use super::facts::RunFacts;
use super::reader::RunReader;

impl RunReader {
    /// The reader of a later part of the run whose first row this one has read; `before` is the row in front of the part.
    /// `None` if something is wrong with either.
    #[must_use]
    pub fn behind(self, before: &EventRow<'_>) -> Option<Self> {
        if self.rows != 1 || !self.facts.is_clean() {
            return None;
        }
        let mut part = Self::judging(self.run_id.clone(), self.strictness);
        part.rows = 1;
        part.next_seq = before.seq.integer()?;
        part.prev = None;
        part.read(before)?;
        if !part.facts.is_clean() {
            return None;
        }
        part.from = part.facts.head;
        part.policy = self.policy;
        part.meta = self.meta;
        let RunFacts { commitment, started, .. } = self.facts;
        let RunFacts { finalized, head, .. } = part.facts;
        part.facts = RunFacts { head, commitment, finalized, started, ..RunFacts::default() };
        Some(part)
    }

    /// The reader that would be, had one read what these have: all parts of a run in their order, the first from its first
    /// row on. `None` if something is wrong.
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut joined: Option<Self> = None;
        for mut part in parts {
            if !part.facts.is_clean() || part.from != joined.as_ref().and_then(|joined| joined.facts.head) {
                return None;
            }
            if let Some(before) = joined {
                if before.facts.finalized {
                    return None;
                }
                part.facts.events += before.facts.events;
                part.said.add(&before.said);
                if part.facts.evaluated.is_none() {
                    part.facts.evaluated = before.facts.evaluated;
                    part.facts.unjudged |= before.facts.unjudged;
                }
            }
            joined = Some(part);
        }
        joined
    }
}
