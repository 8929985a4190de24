//! Invariants that a run commits to and this version cannot judge: their answer is UNKNOWN.

use super::{IDS, Invariant};
use crate::commitment::Listed;
use crate::error::Error;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{InvariantResult, Reason, Verdict};

/// An invariant of a newer version, or one of ours with parameters that we do not know.
#[derive(Clone, Debug)]
pub struct Unjudged {
    id: String,
    params: Object,
    reason: Reason,
}

impl Unjudged {
    /// An invariant that a policy lists, which could not be made for this reason.
    pub(super) fn listed(listed: &Listed, error: &Error) -> Self {
        let Listed { id, params, .. } = listed;
        let reason = if IDS.contains(&id.as_str()) {
            Reason::new("UNKNOWN_PARAMETER", format!("this version cannot judge by these parameters: {error}"))
        } else {
            Reason::new("UNKNOWN_INVARIANT", format!("this version has no invariant {id:?}: a newer one may"))
        };
        Self { id: id.clone(), params: params.clone(), reason }
    }

    /// A member of a policy, which may say how to judge.
    pub(crate) fn member(name: &str) -> Self {
        let msg = format!("this version does not know what {name:?} of a policy asks for: a newer one may");
        Self { id: format!("policy.{name}"), params: Object::new(), reason: Reason::new("UNKNOWN_POLICY_MEMBER", msg) }
    }
}

impl Invariant for Unjudged {
    fn id(&self) -> &str {
        &self.id
    }

    fn params(&self) -> Object {
        self.params.clone()
    }

    fn judge(&self, _run: &Snapshot) -> InvariantResult {
        InvariantResult::new(&self.id, Verdict::Unknown).because(self.reason.clone())
    }
}
