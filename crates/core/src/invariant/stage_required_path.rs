//! `run.stage_required_path`: the run went through certain stages, in this order.

use super::params::Params;
use super::stage_transitions::report_path;
use super::{Invariant, InvariantResult, python_list};
use crate::envelope::EventType;
use crate::error::Error;
use crate::json::{Object, Value};
use crate::payload::StageAdvance;
use crate::run::Snapshot;
use crate::stage::Stage;
use crate::verdict::{Reason, Verdict};

/// The required stages were visited in order; others may lie between them. What contradicts the path is FAIL, but in the
/// compatible reading.
#[derive(Clone, Debug, Default)]
pub struct StageRequiredPath {
    /// The stages.
    pub required_path: Vec<String>,
}

impl StageRequiredPath {
    /// Its id.
    pub const ID: &'static str = "run.stage_required_path";

    /// From parameters: `required_path`, which must be given and name a stage.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter, one of the wrong type, or no stages.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let required_path = params.texts("required_path")?.unwrap_or_default();
        params.end()?;
        if required_path.is_empty() {
            return Err(params.wrong("required_path", "it must name at least one stage"));
        }
        Ok(Self { required_path })
    }
}

impl Invariant for StageRequiredPath {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        Object::from_iter([("required_path", Value::from(self.required_path.clone()))])
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        if run.facts().events == 0 {
            let msg = format!("No events found for run_id={}", run.run_id());
            return InvariantResult::new(Self::ID, Verdict::Unknown).because(Reason::new("NO_EVENTS", msg));
        }
        let mut visited: Vec<&Stage> = run.events().map(|event| &event.stage).collect();
        visited.dedup();
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass)
            .with("visited", visited.iter().copied().map(Value::from).collect::<Vec<_>>())
            .with("required", self.required_path.clone());
        let mut stages = run.steps().walk(&visited);
        let mut missing = self.required_path.iter().skip_while(|wanted| stages.any(|stage| stage.as_str() == *wanted));
        if let Some(first) = missing.next() {
            let missing: Vec<&str> = std::iter::once(first).chain(missing).map(String::as_str).collect();
            let visited: Vec<&str> = visited.iter().map(|stage| stage.as_str()).collect();
            let (missing, visited) = (python_list(missing), python_list(visited));
            let msg = format!("Required stages not visited (in order): {missing}. Visited: {visited}");
            result.find(Verdict::Fail, Reason::new("MISSING_STAGES", msg));
        }
        if run.facts().commitment.is_some() {
            report_path(&mut result, run);
        } else if !run.is_compatible() {
            report_contradictions(&mut result, run);
        }
        result
    }
}

/// Adds each STAGE_ADVANCE whose payload says otherwise than the stages around it. For a run with a committed graph,
/// reading it has found them.
fn report_contradictions(result: &mut InvariantResult, run: &Snapshot) {
    let mut before: Option<&Stage> = None;
    for event in run.events() {
        let advance = event.event_type == EventType::StageAdvance;
        if advance && StageAdvance::parse(event.payload.json()).contradicts(before, &event.stage) {
            let msg = "the payload of STAGE_ADVANCE contradicts the stages of the events";
            result.find(Verdict::Fail, Reason::new("STAGE_CONTRADICTION", msg).at(run.event_ref(event)));
        }
        before = Some(&event.stage);
    }
}
