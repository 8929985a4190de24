//! What makes a run a maintenance run: its RUN_START says so, and nothing else. Its id is only a name.

use receipt_core::canonical;
use receipt_core::envelope::{Envelope, EventType};
use receipt_core::json::{self, Limits, Value};

/// The member of RUN_START's payload that makes a run a maintenance run. No caller can set it.
pub(crate) const MAINTENANCE: &str = "maintenance";

/// What a maintenance run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Retain,
    Redact,
    Shred,
    Import,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "retain",
            Self::Redact => "redact",
            Self::Shred => "shred",
            Self::Import => "import",
        }
    }
}

/// What a run's first event says of the maintenance that the run is, where it is one.
pub(crate) fn maintenance(envelope: &Envelope<'_>) -> Option<Value> {
    let starts = envelope.event_type == EventType::RunStart;
    let member = canonical::member(envelope.payload_json(), MAINTENANCE).filter(|_| starts)?;
    json::parse(member, Limits::READ).ok().filter(|value| value.as_object().is_some())
}
