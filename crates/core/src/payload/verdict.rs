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

pub(super) fn parse(json: &[u8]) -> Option<Verdict> {
    member::plain(json).and_then(Verdict::parse)
}
