//! What a failure of redaction leaves: nothing of what was to be redacted, and a note that says so.
//!
//! Redaction must not fail. If it does all the same, by a fault of this program, nothing is known to be clean, and what
//! was to be recorded is withheld. The recorder goes on, and the run cannot be better than UNKNOWN.

use super::{Hit, Report, Scanned};
use receipt_core::evidence::{REDACTION_FAILED, UNSCANNED};
use receipt_core::json::Object;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The rule in reports.
pub(super) const RULE: &str = "redaction_failed";
/// What stands in the place of what is withheld.
pub(crate) const TEXT: &str = "[REDACTED:redaction_failed]";

/// Does what could panic; `None` if it did. Whatever it was working on must be dropped then.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Says in a report that some data was withheld.
pub(super) fn note(report: &mut Report) {
    report.scanned = Scanned::Unscanned(REDACTION_FAILED);
    report.hit(Hit {
        pattern_name: RULE.into(),
        offset: 0,
        length: 0,
        byte_offset: 0,
        byte_length: 0,
        replacement: TEXT.into(),
    });
}

/// What stands in the place of a payload.
pub(super) fn object() -> Object {
    Object::from_iter([(UNSCANNED, REDACTION_FAILED)])
}
