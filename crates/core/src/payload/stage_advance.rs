//! The payload of STAGE_ADVANCE.

use super::member::{self, Member};
use crate::canonical;
use crate::json::{Object, Value};
use crate::stage::Stage;

/// From which stage to which a run goes: `{"from_stage", "to_stage", "reason"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageAdvance {
    /// `from_stage`
    pub from: Member<Stage>,
    /// `to_stage`
    pub to: Member<Stage>,
}

impl StageAdvance {
    /// The payload of a step, to which its writer adds the `reason`.
    pub fn to_object(from: &Stage, to: &Stage) -> Object {
        Object::from_iter([("from_stage", Value::from(from)), ("to_stage", Value::from(to))])
    }

    /// From the canonical text of the payload.
    pub fn parse(payload: &[u8]) -> Self {
        let stage = |name| Member::read(canonical::member(payload, name), |json| member::unicode(json).map(Stage::new));
        Self { from: stage("from_stage"), to: stage("to_stage") }
    }

    /// Whether it says that the run goes from this stage to that one.
    pub fn says(&self, from: &Stage, to: &Stage) -> bool {
        matches!((&self.from, &self.to), (Member::Is(said), Member::Is(then)) if said == from && then == to)
    }

    /// Whether it says otherwise. A run without a commitment may leave either out; its first event comes `from` none.
    pub fn contradicts(&self, from: Option<&Stage>, to: &Stage) -> bool {
        let differs = |said: &Member<Stage>, stage: &Stage| match said {
            Member::Nothing => false,
            Member::Malformed => true,
            Member::Is(said) => said != stage,
        };
        from.is_some_and(|from| differs(&self.from, from)) || differs(&self.to, to)
    }
}
