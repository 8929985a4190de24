//! The payload of RUN_FINALIZE.

use super::member::Member;
use super::verdict;
use crate::json::Object;
use crate::verdict::Verdict;

/// With which verdict a run ended: `{"overall_verdict", "summary"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFinalize {
    /// `overall_verdict`
    pub verdict: Member<Verdict>,
    /// The same, whatever the case of the word and the spaces around it.
    pub folded: Option<Verdict>,
}

impl RunFinalize {
    /// The payload of an ending, to which its writer adds the `summary`.
    pub fn to_object(verdict: Verdict) -> Object {
        Object::from_iter([(verdict::NAME, verdict)])
    }

    /// From the canonical text of the payload.
    pub fn parse(payload: &[u8]) -> Self {
        Self { verdict: verdict::of(payload), folded: verdict::folded_of(payload) }
    }
}
