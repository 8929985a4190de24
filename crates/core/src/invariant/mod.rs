//! Invariants: pure functions of a snapshot. One file each, named after it.
//!
//! An invariant never raises. Malformed data is FAIL with a `*_MALFORMED` code; what cannot be read is UNKNOWN with
//! `READ_FAILURE`; both are settled here, once, for all of them.

mod ledger_chain_valid;

pub use ledger_chain_valid::LedgerChainValid;

use crate::error::Error;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{InvariantResult, Reason, Verdict};
use std::fmt::Debug;
use std::sync::Arc;

/// Something that must be true of a run.
pub trait Invariant: Debug + Send + Sync {
    /// Its id, such as `ledger.chain_valid`.
    fn id(&self) -> &str;

    /// Its parameters in full, the defaults among them, without `id` and `required`.
    fn params(&self) -> Object {
        Object::new()
    }

    /// The evidence keys whose bytes it reads.
    fn reads(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it can only be asked of a run that has ended.
    fn is_about_the_ending(&self) -> bool {
        false
    }

    /// What it says of a snapshot that could be taken. Call [`evaluate`] instead.
    fn judge(&self, run: &Snapshot) -> InvariantResult;
}

/// Judges a snapshot by one invariant.
///
/// UNKNOWN with `READ_FAILURE` where the snapshot could not be taken. No answer but that of `ledger.chain_valid` is
/// better than FAIL where a row of the run could not be read as an event (`EVENT_MALFORMED`): it might have been the
/// one that mattered.
pub fn evaluate(invariant: &dyn Invariant, run: &Snapshot) -> InvariantResult {
    if let Some(problem) = run.read_failure() {
        let reason = Reason::new("READ_FAILURE", format!("the run could not be read: {problem}"));
        return InvariantResult::new(invariant.id(), Verdict::Unknown).because(reason);
    }
    let mut result = invariant.judge(run);
    let unreadable = run.facts().unreadable;
    if unreadable > 0 && result.verdict != Verdict::Fail {
        let msg = format!("{unreadable} rows of the run cannot be read as events; ledger.chain_valid says which");
        result = result.because(Reason::new("EVENT_MALFORMED", msg));
        result.verdict = Verdict::Fail;
    }
    result
}

/// The built-in invariant of this id, with these parameters.
///
/// # Errors
/// [`Error::Policy`] for an unknown id, an unknown parameter, or one of the wrong type.
pub fn from_params(id: &str, params: &Object) -> Result<Arc<dyn Invariant>, Error> {
    let _ = params;
    match id {
        "ledger.chain_valid" => Ok(Arc::new(LedgerChainValid)),
        _ => Err(Error::Policy { at: id.to_owned(), problem: "no such invariant".to_owned() }),
    }
}
