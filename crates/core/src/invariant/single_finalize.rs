//! `run.single_finalize`: a run ends exactly once.

use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::envelope::EventType;
use crate::error::Error;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};

/// Exactly one RUN_FINALIZE.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleFinalize;

impl SingleFinalize {
    /// Its id.
    pub const ID: &'static str = "run.single_finalize";

    /// The invariant takes no parameters.
    ///
    /// # Errors
    /// [`Error::Policy`] for any.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        Params::new(Self::ID, params).end().map(|()| Self)
    }
}

impl Invariant for SingleFinalize {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn is_about_the_ending(&self) -> bool {
        true
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        match run.of_type(EventType::RunFinalize).count() {
            0 => result.find(Verdict::Fail, Reason::new("NO_FINALIZE", "Run has no RUN_FINALIZE event")),
            1 => {}
            count => {
                let msg = format!("Run has {count} RUN_FINALIZE events (expected exactly 1)");
                result.find(Verdict::Fail, Reason::new("MULTIPLE_FINALIZE", msg));
            }
        }
        result
    }
}
