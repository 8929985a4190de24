//! The payload of the DECISION that is the receipt for a destroyed key.

use super::member;
use crate::canonical;
use crate::json::{Object, Value};

/// The private half of this key was destroyed, its owner says: `{"decision_id": "shred", "recipient", "reason", "lost",
/// "open_to_others", …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shred {
    /// The public half of the key.
    pub recipient: String,
}

/// This `decision_id` tells the DECISION from others.
const DECISION_ID: &str = "shred";

impl Shred {
    /// The payload: `lost` blobs nobody can open any more, `open_to_others` are sealed to other keys too.
    pub fn to_object(&self, reason: &str, [lost, open_to_others]: [usize; 2]) -> Object {
        Object::from_iter([
            ("decision_id", Value::from(DECISION_ID)),
            ("basis", Value::from(vec!["the private half of the key was destroyed"])),
            ("action_plan", "none: what is sealed to it alone cannot be opened any more".into()),
            ("recipient", self.recipient.as_str().into()),
            ("reason", reason.into()),
            ("lost", lost.into()),
            ("open_to_others", open_to_others.into()),
        ])
    }

    /// From the canonical text of a DECISION's payload; `None` if it says something else.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let text = |name| canonical::member(payload, name).and_then(member::unicode);
        let is_one = text("decision_id").is_some_and(|id| id == DECISION_ID);
        text("recipient").filter(|_| is_one).map(|recipient| Self { recipient })
    }
}
