//! The types, actors and policies that envelopes name.

use std::fmt;

/// The version of the envelope that this crate writes and reads.
pub const SCHEMA_VERSION: i64 = 1;

/// The type of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A run began; commits to its policy and stage graph.
    RunStart,
    /// The run went to another stage.
    StageAdvance,
    /// Evidence was put on record.
    EvidencePut,
    /// A policy was evaluated.
    Evaluation,
    /// Somebody decided.
    Decision,
    /// Something was done about a failure.
    Remediation,
    /// The run ended; nothing may follow.
    RunFinalize,
    /// Retention removed a blob's bytes.
    BlobExpire,
    /// A type of the writer's own. It is only ever read, and only by those who take what the Python package took.
    Own,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 8] = [
        Self::RunStart,
        Self::StageAdvance,
        Self::EvidencePut,
        Self::Evaluation,
        Self::Decision,
        Self::Remediation,
        Self::RunFinalize,
        Self::BlobExpire,
    ];

    /// The word in the envelope, such as `RUN_START`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunStart => "RUN_START",
            Self::StageAdvance => "STAGE_ADVANCE",
            Self::EvidencePut => "EVIDENCE_PUT",
            Self::Evaluation => "EVALUATION",
            Self::Decision => "DECISION",
            Self::Remediation => "REMEDIATION",
            Self::RunFinalize => "RUN_FINALIZE",
            Self::BlobExpire => "BLOB_EXPIRE",
            Self::Own => "a type of its own",
        }
    }

    /// From exactly such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The actor: whoever did what the event records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The kind of actor, such as `system`, `human` or `agent`.
    pub kind: String,
    /// The actor's name among those of its kind.
    pub id: String,
}

impl Actor {
    /// An actor.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

/// The policy and the stage graph that an event was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRef {
    /// The policy's id.
    pub policy_id: String,
    /// Its version.
    pub policy_version: String,
    /// The id of the stage graph.
    pub stage_graph_id: String,
}
