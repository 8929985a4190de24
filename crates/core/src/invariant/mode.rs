//! The mode of a run, `RUN_START.payload.meta.mode`, and whom it concerns.

use super::InvariantResult;
use super::params::Params;
use crate::commitment::Commitment;
use crate::envelope::EventType;
use crate::error::Error;
use crate::json::Object;
use crate::payload::RunStart;
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};

/// The modes that are known without a policy.
const KNOWN_MODES: [&str; 3] = ["factual", "mixed", "creative"];

/// The modes in which claims must be backed by evidence, unless a policy says otherwise.
pub(super) fn factual() -> Vec<String> {
    ["factual", "mixed"].map(str::to_owned).into()
}

/// The parameter of an invariant that has no other: `require_in_modes`.
pub(super) fn from_params(id: &'static str, params: &Object) -> Result<Vec<String>, Error> {
    let mut params = Params::new(id, params);
    let modes = params.texts("require_in_modes")?.unwrap_or_else(factual);
    params.end().map(|()| modes)
}

/// The parameter as [`from_params`] reads it.
pub(super) fn params(require_in_modes: &[String]) -> Object {
    Object::from_iter([("require_in_modes", require_in_modes.to_vec())])
}

/// The mode, in lower case.
///
/// A RUN_START that follows the first one cannot change it: two that differ are a contradiction. In the compatible reading
/// only the first one is looked at.
pub(super) fn of_run(run: &Snapshot) -> Result<String, Reason> {
    let mut mode: Option<String> = None;
    for event in run.of_type(EventType::RunStart) {
        let at = || run.event_ref(event);
        let malformed = |what| Reason::new("RUN_MODE_MALFORMED", format!("RUN_START.{what}")).at(at());
        if run.is_compatible() {
            mode =
                RunStart::compatible_mode_of(event.payload.json()).map_err(malformed)?.map(|mode| mode.to_lowercase());
            break;
        }
        let Some(said) = RunStart::mode_of(event.payload.json()).map_err(malformed)? else { continue };
        let said = said.to_lowercase();
        if mode.as_ref().is_some_and(|mode| *mode != said) {
            return Err(Reason::new("RUN_MODE_CONTRADICTION", "two RUN_STARTs name different modes").at(at()));
        }
        mode = Some(said);
    }
    mode.ok_or_else(|| Reason::new("RUN_MODE_MISSING", "RUN_START.meta.mode is required"))
}

/// Begins the answer of an invariant that concerns only some modes: the mode and a PASS to add to; or, as the error,
/// the whole answer if there is nothing to judge.
///
/// A mode that neither the invariant, nor the run's own policy, nor this crate knows might be one that it concerns. In the
/// compatible reading it is a mode of somebody's own, which it does not concern.
pub(super) fn begin(
    id: &str,
    run: &Snapshot,
    concerned: &[String],
) -> Result<(String, InvariantResult), InvariantResult> {
    let mode = of_run(run).map_err(|reason| InvariantResult::new(id, Verdict::Fail).because(reason))?;
    let result = |verdict| InvariantResult::new(id, verdict).with("mode", mode.as_str());
    if concerned.contains(&mode) {
        let result = result(Verdict::Pass);
        return Ok((mode, result));
    }
    if run.is_compatible() || KNOWN_MODES.contains(&mode.as_str()) || is_in_policy(run, &mode) {
        return Err(skipped(result(Verdict::Pass)));
    }
    let msg = format!("mode {mode:?} is unknown, so that nothing says whether {id} concerns it");
    Err(result(Verdict::Unknown).because(Reason::new("RUN_MODE_UNKNOWN", msg)))
}

/// An answer that says that nothing was judged.
pub(super) fn skipped(result: InvariantResult) -> InvariantResult {
    result.with("skipped", true)
}

fn is_in_policy(run: &Snapshot, mode: &str) -> bool {
    let mut listed = run.facts().commitment.iter().flat_map(Commitment::invariants);
    let table = listed.find(|listed| listed.id == super::EpistemicModeRequirements::ID);
    let table = table.and_then(|listed| super::from_params(&listed.id, &listed.params).ok());
    table.is_some_and(|table| table.params().get("requirements").and_then(|modes| modes.get(mode)).is_some())
}
