//! The verdict that an EVALUATION and a RUN_FINALIZE record.

use super::member::{self, Member};
use crate::canonical;
use crate::verdict::Verdict;

/// The member that holds it.
pub(super) const NAME: &str = "overall_verdict";

/// The one that a payload records.
pub(super) fn of(payload: &[u8]) -> Member<Verdict> {
    Member::read(canonical::member(payload, NAME), parse)
}

/// The one that a payload records, as [`folded`] reads it.
pub(super) fn folded_of(payload: &[u8]) -> Option<Verdict> {
    canonical::member(payload, NAME).and_then(folded)
}

pub(super) fn parse(json: &[u8]) -> Option<Verdict> {
    member::plain(json).and_then(Verdict::parse)
}

/// The verdict that a word means, whatever its case and the spaces around it: `PASS` is `pass`.
pub(super) fn folded(json: &[u8]) -> Option<Verdict> {
    member::unicode(json).and_then(|word| Verdict::parse(&word.trim().to_lowercase()))
}
