//! `run.stage_transitions`: the run walked the stage graph that it committed to.

use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::error::Error;
use crate::json::Object;
use crate::run::{Area, Snapshot};
use crate::verdict::{Reason, Verdict};

/// Every step is one of the committed graph, and nothing follows the ending. An unfinished run is fine.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTransitions;

impl StageTransitions {
    /// Its id.
    pub const ID: &'static str = "run.stage_transitions";

    /// The invariant takes no parameters.
    ///
    /// # Errors
    /// [`Error::Policy`] for any.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        Params::new(Self::ID, params).end().map(|()| Self)
    }
}

impl Invariant for StageTransitions {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        report_path(&mut result, run);
        if run.facts().commitment.is_none() {
            let msg = "RUN_START commits to no stage graph, so that no transition can be checked";
            result.find(Verdict::Unknown, Reason::new("STAGE_GRAPH_UNCOMMITTED", msg));
        }
        result
    }
}

/// Adds what is wrong with the path. Findings that were only counted may have been about it.
pub(super) fn report_path(result: &mut InvariantResult, run: &Snapshot) {
    for finding in run.facts().findings.iter().filter(|finding| finding.area == Area::Path) {
        result.find(finding.verdict, finding.reason.clone());
    }
    let more = run.facts().more_findings;
    if more > 0 {
        result.find(Verdict::Unknown, Reason::new("MORE_FINDINGS", format!("and {more} more findings of any kind")));
    }
}
