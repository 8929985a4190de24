//! `finalization.completeness`: the run ended, last, with a verdict that its evaluation bears.

use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::envelope::EventType;
use crate::error::Error;
use crate::id::EventRef;
use crate::json::{Object, Text};
use crate::payload::{Member, RecordedEvaluation, RunFinalize};
use crate::run::{Event, Snapshot};
use crate::verdict::{Reason, Verdict};

/// RUN_FINALIZE is the last event; its verdict is no better than that of the last EVALUATION.
#[derive(Clone, Debug)]
pub struct FinalizationCompleteness {
    /// Whether it must refer to an earlier DECISION or EVALUATION of this run.
    pub require_decision_ref: bool,
    /// Whether a run may end as WARN.
    pub allow_warn_as_success: bool,
}

impl Default for FinalizationCompleteness {
    fn default() -> Self {
        Self { require_decision_ref: false, allow_warn_as_success: true }
    }
}

impl FinalizationCompleteness {
    /// Its id.
    pub const ID: &'static str = "finalization.completeness";

    /// From parameters, named as the fields.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let invariant = Self {
            require_decision_ref: params.flag("require_decision_ref", false)?,
            allow_warn_as_success: params.flag("allow_warn_as_success", true)?,
        };
        params.end()?;
        Ok(invariant)
    }
}

impl Invariant for FinalizationCompleteness {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        Object::from_iter([
            ("require_decision_ref", self.require_decision_ref),
            ("allow_warn_as_success", self.allow_warn_as_success),
        ])
    }

    fn is_about_the_ending(&self) -> bool {
        true
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        let Some(finalize) = run.of_type(EventType::RunFinalize).next_back() else {
            result.find(Verdict::Fail, Reason::new("NO_FINALIZE", "No RUN_FINALIZE event found in run"));
            return result;
        };
        let verdict = verdict(&mut result, finalize, run.is_compatible());
        if verdict == Some(Verdict::Warn) && !self.allow_warn_as_success {
            result.find(
                Verdict::Fail,
                Reason::new("WARN_NOT_ALLOWED", "the run ended as warn, which this policy refuses"),
            );
        }
        if run.is_compatible() {
            check_compatible_evaluation(&mut result, run, finalize);
        } else if let Some(verdict) = verdict.filter(|verdict| verdict.is_success()) {
            check_evaluation(&mut result, run, finalize, verdict);
        }
        if self.require_decision_ref {
            check_decision_ref(&mut result, run, finalize);
        }
        if let Some(last) = run.events().next_back().filter(|last| last.event_type != EventType::RunFinalize) {
            let msg = format!("RUN_FINALIZE is not the last event. Last event type: '{}'", last.event_type);
            result.find(Verdict::Fail, Reason::new("NOT_LAST_EVENT", msg));
        }
        let is_first = run.events().next().is_some_and(|first| first.event_type == EventType::RunFinalize);
        if is_first && !run.is_compatible() {
            let msg = "the run begins with RUN_FINALIZE: there is nothing that it could be the end of";
            result.find(Verdict::Fail, Reason::new("NOTHING_BEFORE_FINALIZE", msg));
        }
        match verdict {
            Some(verdict) if result.verdict == Verdict::Pass => result.with("overall_verdict", verdict),
            _ => result,
        }
    }
}

fn verdict(result: &mut InvariantResult, finalize: &Event, compatible: bool) -> Option<Verdict> {
    let verdict = RunFinalize::parse(finalize.payload.json()).verdict;
    let (code, msg) = match verdict {
        Member::Is(_) => return verdict.known(),
        Member::Malformed if compatible => return None,
        Member::Nothing => ("NO_VERDICT", "RUN_FINALIZE event missing overall_verdict in payload"),
        Member::Malformed => ("BAD_VERDICT", "overall_verdict is none of pass, warn, fail and unknown"),
    };
    result.find(Verdict::Fail, Reason::new(code, msg));
    None
}

/// A success must rest on an EVALUATION that is no worse.
fn check_evaluation(result: &mut InvariantResult, run: &Snapshot, finalize: &Event, verdict: Verdict) {
    let Some(evaluation) = last_evaluation(run, finalize) else {
        let msg = "the run ended as a success and no EVALUATION stands before that";
        result.find(Verdict::Fail, Reason::new("NO_EVALUATION", msg));
        return;
    };
    let evaluated = RecordedEvaluation::verdict_of(evaluation.payload.json()).known();
    if evaluated.is_none_or(|evaluated| evaluated.worse(verdict) != verdict) {
        result.find(Verdict::Fail, better(run, evaluation));
    }
}

/// For the Python package's classes a run may end without an EVALUATION, and with a word of its own; but it does not pass
/// after it failed.
fn check_compatible_evaluation(result: &mut InvariantResult, run: &Snapshot, finalize: &Event) {
    let Some(evaluation) = last_evaluation(run, finalize) else { return };
    let evaluated = RecordedEvaluation::folded_of(evaluation.payload.json());
    let passes = RunFinalize::parse(finalize.payload.json()).folded == Some(Verdict::Pass);
    if passes && evaluated.is_some_and(Verdict::is_failure) {
        result.find(Verdict::Fail, better(run, evaluation));
    }
}

fn last_evaluation<'r>(run: &'r Snapshot, finalize: &Event) -> Option<&'r Event> {
    run.of_type(EventType::Evaluation).rfind(|event| event.seq < finalize.seq)
}

fn better(run: &Snapshot, evaluation: &Event) -> Reason {
    let msg = "the run ended with a better verdict than its last EVALUATION has";
    Reason::new("VERDICT_INCONSISTENCY", msg).at(run.event_ref(evaluation))
}

fn check_decision_ref(result: &mut InvariantResult, run: &Snapshot, finalize: &Event) {
    if finalize.events().next().is_none() {
        let msg = "RUN_FINALIZE has no event references (expected DECISION or EVALUATION ref)";
        result.find(Verdict::Fail, Reason::new("NO_DECISION_REF", msg));
        return;
    }
    let earlier = |text: &Text| {
        let target = text.as_str().and_then(EventRef::parse).filter(|target| target.run_id == *run.run_id())?;
        run.event_at(target.seq).filter(|event| event.seq < finalize.seq)
    };
    let decides = |event: &Event| matches!(event.event_type, EventType::Decision | EventType::Evaluation);
    let msg = if finalize.events().any(|text| earlier(&text).is_none()) {
        "RUN_FINALIZE refers to something that is no earlier event of this run"
    } else if finalize.events().filter_map(|text| earlier(&text)).any(decides) {
        return;
    } else {
        "RUN_FINALIZE refers to no earlier DECISION or EVALUATION of this run"
    };
    result.find(Verdict::Fail, Reason::new("BAD_DECISION_REF", msg).at(run.event_ref(finalize)));
}
