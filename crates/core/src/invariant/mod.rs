//! Invariants: pure functions of a snapshot. One file each, named after it.
//!
//! An invariant never raises. Malformed data is FAIL with a `*_MALFORMED` code; what cannot be read is UNKNOWN with
//! `READ_FAILURE`. What several of them need is typed once: `evidence` (what a run put), `claims` (its
//! `claims_map`), `mode` (whom that concerns), `params` (what a policy says).

mod claims;
mod claims_evidence_binding;
mod confidence_sanity;
mod epistemic_mode_requirements;
mod evaluation_completeness;
mod evidence;
mod exit_status;
mod finalization_completeness;
mod ledger_chain_valid;
mod mode;
mod oracle_independence;
mod output_bound_to_claims;
mod params;
mod receipt_completeness;
mod refs_closed_world;
mod single_finalize;
mod stage_required_path;
mod stage_transitions;
mod tool_trace_consistency;
mod unjudged;

pub use claims_evidence_binding::ClaimsEvidenceBinding;
pub use confidence_sanity::ConfidenceSanity;
pub use epistemic_mode_requirements::EpistemicModeRequirements;
pub use evaluation_completeness::EvaluationCompleteness;
pub use exit_status::ExitStatus;
pub use finalization_completeness::FinalizationCompleteness;
pub use ledger_chain_valid::LedgerChainValid;
pub use oracle_independence::{OracleIndependence, OracleMinimum};
pub use output_bound_to_claims::OutputBoundToClaims;
pub use receipt_completeness::ReceiptCompleteness;
pub use refs_closed_world::RefsClosedWorld;
pub use single_finalize::SingleFinalize;
pub use stage_required_path::StageRequiredPath;
pub use stage_transitions::StageTransitions;
pub use tool_trace_consistency::ToolTraceConsistency;
pub use unjudged::Unjudged;

use crate::commitment::{Commitment, Listed};
use crate::error::Error;
use crate::evidence::REDACTION_FAILED;
use crate::id::EventRef;
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

    /// Judges a snapshot that could be taken. Call [`evaluate`] instead.
    fn judge(&self, run: &Snapshot) -> InvariantResult;
}

/// Judges a snapshot by one invariant.
///
/// UNKNOWN with `READ_FAILURE` if the snapshot could not be taken, and with `NO_EVENTS` if an answer would be a
/// success about a run that is not there. No answer but that of `ledger.chain_valid` is better than FAIL if a row of
/// the run could not be read as an event (`EVENT_MALFORMED`): it might have been the one that mattered. For the same
/// reason no answer is better than UNKNOWN if something was withheld (`REDACTION_FAILED`).
pub fn evaluate(invariant: &dyn Invariant, run: &Snapshot) -> InvariantResult {
    if let Some(problem) = run.read_failure() {
        let reason = Reason::new("READ_FAILURE", format!("the run could not be read: {problem}"));
        return InvariantResult::new(invariant.id(), Verdict::Unknown).because(reason);
    }
    let mut result = invariant.judge(run);
    let unreadable = run.facts().unreadable;
    if unreadable > 0 && result.verdict != Verdict::Fail {
        let msg = format!("{unreadable} rows of the run cannot be read as events; ledger.chain_valid says which");
        result.find(Verdict::Fail, Reason::new("EVENT_MALFORMED", msg));
    }
    if let Some(seq) = run.withheld().filter(|_| result.verdict.is_success()) {
        let msg = "something was withheld from the run, as redaction itself failed: a fault of the recorder";
        let reason = Reason::new(REDACTION_FAILED, msg).at(EventRef { run_id: run.run_id().clone(), seq });
        result.find(Verdict::Unknown, reason);
    }
    if run.facts().events == 0 && result.verdict.is_success() {
        let msg = format!("No events found for run_id={}", run.run_id());
        result.find(Verdict::Unknown, Reason::new("NO_EVENTS", msg));
    }
    result
}

impl InvariantResult {
    /// Adds a reason, and its verdict if that is worse than what was found so far.
    fn find(&mut self, verdict: Verdict, reason: Reason) {
        self.verdict = self.verdict.worse(verdict);
        self.reasons.push(reason);
    }
}

/// A list of texts as Python's `repr` shows it, which the messages of the Python package have.
fn python_list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items = items.into_iter().map(|item| python_text(item.as_ref()));
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn python_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if letter == quote || letter == '\\' => shown.extend(['\\', letter]),
            // Two digits: it is ASCII.
            _ if letter.is_ascii_control() => shown.extend(format!("\\x{:02x}", u32::from(letter)).chars()),
            _ => shown.push(letter),
        }
    }
    shown.push(quote);
    shown
}

/// Makes an invariant of parameters.
type Make = fn(&Object) -> Result<Arc<dyn Invariant>, Error>;

macro_rules! registry {
    ($($invariant:ident),+ $(,)?) => {
        /// The ids of the built-in invariants.
        pub const IDS: &[&str] = &[$($invariant::ID),+];

        /// The maker of each invariant, in the order of [`IDS`].
        const MAKERS: &[Make] = &[$(|params| Ok(Arc::new($invariant::from_params(params)?))),+];
    };
}

registry! {
    LedgerChainValid,
    StageTransitions,
    StageRequiredPath,
    ReceiptCompleteness,
    EvaluationCompleteness,
    FinalizationCompleteness,
    SingleFinalize,
    EpistemicModeRequirements,
    ClaimsEvidenceBinding,
    RefsClosedWorld,
    OutputBoundToClaims,
    ConfidenceSanity,
    OracleIndependence,
    ToolTraceConsistency,
    ExitStatus,
}

/// The built-in invariant of this id, with these parameters.
///
/// # Errors
/// [`Error::Policy`] for an unknown id, an unknown parameter, or one of the wrong type.
pub fn from_params(id: &str, params: &Object) -> Result<Arc<dyn Invariant>, Error> {
    let Some(index) = IDS.iter().position(|known| *known == id) else {
        return Err(Error::policy(id, format!("no such invariant; there are: {}", IDS.join(", "))));
    };
    MAKERS[index](params)
}

/// The invariant that a run commits to: what this version cannot judge is [`Unjudged`].
pub fn committed(listed: &Listed) -> Arc<dyn Invariant> {
    from_params(&listed.id, &listed.params).unwrap_or_else(|error| Arc::new(Unjudged::listed(listed, &error)))
}

/// The invariants that a run commits to, with whether each is required.
fn of_commitment(run: &Snapshot) -> Vec<(Arc<dyn Invariant>, bool)> {
    let listed = run.facts().commitment.iter().flat_map(Commitment::invariants);
    listed.map(|listed| (committed(listed), listed.required)).collect()
}
