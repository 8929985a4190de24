//! `evaluation.completeness`: the run was evaluated, and the verdict on record is no better than its own results.

use super::evidence::Evidence;
use super::params::Params;
use super::receipt_completeness::{ReceiptCompleteness, require_keys};
use super::{IDS, Invariant, InvariantResult, of_commitment};
use crate::commitment::Commitment;
use crate::envelope::EventType;
use crate::error::Error;
use crate::json::{Object, Value};
use crate::payload::{Member, RecordedEvaluation, RecordedResult};
use crate::run::{Counted, Event, Snapshot};
use crate::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The last EVALUATION has results, a verdict that follows from them, complete evidence, and the required invariants.
///
/// Of a run with a committed policy, the policy says which invariants are required, and those must be among the results.
/// It does not compute the results again: a replay does.
#[derive(Clone, Debug, Default)]
pub struct EvaluationCompleteness {
    /// Keys that must be put before the EVALUATION.
    pub required_evidence_keys: Vec<String>,
    /// Invariants that must be among the results.
    pub required_invariants: Vec<String>,
    /// Whether the blobs of the required keys are looked at; of all that was put, if no keys are required.
    pub verify_blobs: bool,
    /// Whether `receipt.completeness` must be among the results.
    pub require_receipt_completeness_in_results: bool,
}

impl EvaluationCompleteness {
    /// Its id.
    pub const ID: &'static str = "evaluation.completeness";

    /// From parameters, named as the fields.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let invariant = Self {
            required_evidence_keys: params.texts("required_evidence_keys")?.unwrap_or_default(),
            required_invariants: params.texts("required_invariants")?.unwrap_or_default(),
            verify_blobs: params.flag("verify_blobs", false)?,
            require_receipt_completeness_in_results: params.flag("require_receipt_completeness_in_results", false)?,
        };
        params.end()?;
        Ok(invariant)
    }

    /// The ids that must be among the results, each with whether this version knows that.
    fn required_ids(&self, run: &Snapshot) -> BTreeMap<String, bool> {
        let receipt = self.require_receipt_completeness_in_results.then(|| ReceiptCompleteness::ID.to_owned());
        let rules = of_commitment(run).into_iter().filter(|(rule, required)| *required && !rule.is_about_the_ending());
        // An unknown invariant may be about the ending.
        let committed = rules.map(|(rule, _)| (rule.id().to_owned(), IDS.contains(&rule.id())));
        let asked = receipt.into_iter().chain(self.required_invariants.iter().cloned()).map(|id| (id, true));
        committed.chain(asked).collect()
    }

    /// Checks the evidence that must have been put before the EVALUATION.
    fn check_evidence(&self, run: &Snapshot, evaluation: &Event, result: &mut InvariantResult) {
        let mut evidence = Evidence::of(run);
        evidence.keep(|put| put.seq < evaluation.seq);
        require_keys(result, &evidence, &self.required_evidence_keys);
        if !self.verify_blobs {
            return;
        }
        let keys: BTreeSet<&[u8]> = self.required_evidence_keys.iter().map(String::as_bytes).collect();
        evidence.keep(|put| keys.is_empty() || put.key.as_ref().is_some_and(|key| keys.contains(key.as_bytes())));
        evidence.report_problems(result);
        evidence.check_blobs(result);
    }
}

impl Invariant for EvaluationCompleteness {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        Object::from_iter([
            ("required_evidence_keys", Value::from(self.required_evidence_keys.clone())),
            ("required_invariants", Value::from(self.required_invariants.clone())),
            ("verify_blobs", Value::from(self.verify_blobs)),
            ("require_receipt_completeness_in_results", Value::from(self.require_receipt_completeness_in_results)),
        ])
    }

    fn is_about_the_ending(&self) -> bool {
        true
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        let Some(evaluation) = run.of_type(EventType::Evaluation).next_back() else {
            result.find(Verdict::Fail, Reason::new("NO_EVALUATION", "No EVALUATION events found in run"));
            return result;
        };
        let said = RecordedEvaluation::parse(evaluation.payload.json());
        let compatible = run.is_compatible();
        let results = Counted::new(results(&mut result, &said, compatible), run.steps());
        let overall = overall_verdict(&mut result, &said, compatible);
        let needs_evidence = |overall: &Verdict| *overall == Verdict::Pass || overall.is_success() && !compatible;
        if let Some(overall) = overall.filter(needs_evidence) {
            check_evidence_complete(&mut result, &said, overall, compatible);
        }
        let judged: BTreeSet<&str> = results.iter().filter_map(|item| item.id.as_deref()).collect();
        let required = self.required_ids(run);
        for (id, known) in &required {
            if !judged.contains(id.as_str()) {
                let msg = format!("Required invariant '{id}' not found in evaluation results");
                let verdict = if *known { Verdict::Fail } else { Verdict::Unknown };
                result.find(verdict, Reason::new("MISSING_INVARIANT", msg));
            }
        }
        if compatible {
            check_compatible_consistency(&mut result, &said, &required, &results);
        } else if let Some(overall) = overall {
            check_consistency(&mut result, run, overall, &results);
        }
        self.check_evidence(run, evaluation, &mut result);
        if !compatible {
            check_remediation(&mut result, run);
        }
        if result.verdict != Verdict::Pass {
            return result;
        }
        let ids: Vec<&str> = results.iter().filter_map(|item| item.id.as_deref()).collect();
        result.with("evaluation_count", run.of_type(EventType::Evaluation).count()).with("invariants_evaluated", ids)
    }
}

/// A result on record that can be read.
struct Recorded {
    id: Option<String>,
    /// In the compatible reading `None` where it says something of its own.
    verdict: Option<Verdict>,
    /// Whether it says of itself that it is required.
    says_required: bool,
}

/// The results of an EVALUATION that can be read, with what is wrong with the others added.
fn results(result: &mut InvariantResult, evaluation: &RecordedEvaluation<'_>, compatible: bool) -> Vec<Recorded> {
    if evaluation.results == Member::Malformed {
        malformed(result, "results must be a list");
        return Vec::new();
    }
    let mut items = evaluation.results.known().into_iter().flat_map(|results| results.iter()).peekable();
    if items.peek().is_none() {
        result.find(Verdict::Fail, Reason::new("EMPTY_RESULTS", "EVALUATION event has no results"));
    }
    items.filter_map(|item| recorded(result, item, compatible)).collect()
}

fn recorded(result: &mut InvariantResult, item: RecordedResult<'_>, compatible: bool) -> Option<Recorded> {
    if !item.is_object {
        malformed(result, "a result must be an object");
        return None;
    }
    if item.id == Member::Malformed && (item.id_is_nested || !compatible) {
        malformed(result, "a result's invariant_id must be text");
        return None;
    }
    let (id, says_required) = (item.id.known(), item.says_required);
    if compatible {
        return Some(Recorded { id, verdict: item.folded, says_required });
    }
    let Some(verdict) = item.verdict.known() else {
        let msg = format!("Invariant '{}' has a verdict that is none of the four", id.as_deref().unwrap_or("?"));
        result.find(Verdict::Fail, Reason::new("BAD_VERDICT", msg));
        return None;
    };
    Some(Recorded { id, verdict: Some(verdict), says_required })
}

fn malformed(result: &mut InvariantResult, msg: &str) {
    result.find(Verdict::Fail, Reason::new("EVALUATION_MALFORMED", format!("EVALUATION: {msg}")));
}

fn overall_verdict(
    result: &mut InvariantResult,
    evaluation: &RecordedEvaluation<'_>,
    compatible: bool,
) -> Option<Verdict> {
    let (code, msg) = match evaluation.verdict {
        Member::Is(verdict) => return Some(verdict),
        Member::Malformed if compatible => return None,
        Member::Nothing => ("NO_OVERALL_VERDICT", "EVALUATION event missing overall_verdict"),
        Member::Malformed => ("BAD_VERDICT", "overall_verdict is none of pass, warn, fail and unknown"),
    };
    result.find(Verdict::Fail, Reason::new(code, msg));
    None
}

/// A success needs `evidence_complete` to be `true`; nothing else that a program might take for it will do, but in the
/// compatible reading.
fn check_evidence_complete(
    result: &mut InvariantResult,
    evaluation: &RecordedEvaluation<'_>,
    overall: Verdict,
    compatible: bool,
) {
    match evaluation.evidence_complete {
        Member::Is(true) => {}
        _ if compatible && evaluation.seems_complete => {}
        Member::Malformed if !compatible => malformed(result, "evidence_complete must be true or false"),
        _ => {
            let msg = format!(
                "overall_verdict is '{}' but evidence_complete is False. Incomplete evidence cannot produce a PASS verdict.",
                overall.as_str()
            );
            result.find(Verdict::Fail, Reason::new("SILENT_DOWNGRADE", msg));
        }
    }
}

/// Adds each result that is worse than the whole. Only a committed policy can say that an invariant is not required: a
/// result's own word for it is worth nothing.
fn check_consistency(result: &mut InvariantResult, run: &Snapshot, overall: Verdict, results: &Counted<'_, Recorded>) {
    let listed = run.facts().commitment.iter().flat_map(Commitment::invariants);
    let optional: BTreeSet<&str> = listed.filter(|listed| !listed.required).map(|listed| listed.id.as_str()).collect();
    for item in results {
        let Some(verdict) = item.verdict else { continue };
        let optional = item.id.as_deref().is_some_and(|id| optional.contains(id));
        let allowed = Verdict::overall([(verdict, !optional)]);
        if allowed.worse(overall) != overall {
            result.find(Verdict::Fail, inconsistency(item, verdict, overall.as_str()));
        }
    }
}

/// Adds each failure that the whole hides, for the Python package's classes: words of somebody's own are no failures, a
/// warning may hide what nothing calls required, and what a word of somebody's own hides nobody can tell.
fn check_compatible_consistency(
    result: &mut InvariantResult,
    evaluation: &RecordedEvaluation<'_>,
    required: &BTreeMap<String, bool>,
    results: &Counted<'_, Recorded>,
) {
    if evaluation.verdict == Member::Nothing {
        return;
    }
    let shown = evaluation.folded.map_or("a word of its own", Verdict::as_str);
    for item in results {
        let Some(verdict) = item.verdict.filter(|verdict| verdict.is_failure()) else { continue };
        let is_required = item.says_required || item.id.as_ref().is_some_and(|id| required.contains_key(id));
        let found = match evaluation.folded {
            Some(Verdict::Pass) => Verdict::Fail,
            Some(Verdict::Warn) if is_required => Verdict::Fail,
            None => Verdict::Warn,
            Some(_) => continue,
        };
        result.find(found, inconsistency(item, verdict, shown));
    }
}

fn inconsistency(item: &Recorded, verdict: Verdict, overall: &str) -> Reason {
    let (id, verdict) = (item.id.as_deref().unwrap_or("?"), verdict.as_str());
    let msg = format!("Invariant '{id}' has verdict='{verdict}' but overall_verdict is '{overall}'");
    Reason::new("VERDICT_INCONSISTENCY", msg)
}

/// A failed evaluation that a later one turned into a success, with nothing on record that was done about it.
fn check_remediation(result: &mut InvariantResult, run: &Snapshot) {
    let mut failed: Option<&Event> = None;
    for event in run.events() {
        match event.event_type {
            EventType::Remediation => failed = None,
            EventType::Evaluation => {
                let verdict = RecordedEvaluation::verdict_of(event.payload.json()).known();
                if verdict.is_none_or(Verdict::is_failure) {
                    failed = Some(event);
                } else if let Some(failed) = failed.take() {
                    let msg = "a failed EVALUATION was followed by a success without a REMEDIATION between them";
                    result.find(Verdict::Warn, Reason::new("UNREMEDIATED_FAILURE", msg).at(run.event_ref(failed)));
                }
            }
            _ => {}
        }
    }
}
