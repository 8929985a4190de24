//! Evidence: what class it has, how strong it is, and what is known of the blob it lies in.

use crate::id::{BlobHash, BlobRef};
use crate::json::{Object, Value};
use std::sync::Arc;

/// The member in which an event says why something was not looked into for secrets: of its payload, or of the meta of
/// evidence.
pub const UNSCANNED: &str = "unscanned";
/// It was withheld: to redact it failed, by a fault of the program that recorded it.
pub const REDACTION_FAILED: &str = "REDACTION_FAILED";

/// How evidence is stored and how long it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceClass {
    /// Kept long, safe to show.
    #[default]
    Public,
    /// Kept short; the stricter of the two.
    Sealed,
}

impl EvidenceClass {
    /// `public` or `sealed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Sealed => "sealed",
        }
    }

    /// From exactly such a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Public, Self::Sealed].into_iter().find(|class| class.as_str() == word)
    }
}

/// Whether a blob's bytes are kept. It only ever goes forward, until the same bytes are put again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobState {
    /// They are there.
    Live,
    /// They were removed; their address, length and type are kept.
    ExpiredHashOnly,
    /// The time for which even those are looked after is over.
    Purged,
}

impl BlobState {
    /// `live`, `expired_hash_only` or `purged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::ExpiredHashOnly => "expired_hash_only",
            Self::Purged => "purged",
        }
    }

    /// From exactly such a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Live, Self::ExpiredHashOnly, Self::Purged].into_iter().find(|state| state.as_str() == word)
    }
}

/// How much evidence of a kind can carry. It is derived from the kind and never declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceStrength {
    /// Somebody said so.
    Weak,
    /// A person's material, or a summary.
    Medium,
    /// A tool or an oracle produced it.
    Strong,
}

impl EvidenceStrength {
    /// The strength of a kind; a kind that is not in the table is weak.
    pub fn of_kind(kind: &str) -> Self {
        match kind {
            "oracle:test_log"
            | "oracle:pytest_log"
            | "oracle:linter_output"
            | "oracle:retrieval_bundle"
            | "oracle:sandbox_exec"
            | "oracle:static_analysis"
            | "tool:trace"
            | "tool:output" => Self::Strong,
            "user:provided" | "user:document" | "model:summary" => Self::Medium,
            _ => Self::Weak,
        }
    }

    /// `strong`, `medium` or `weak`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Medium => "medium",
            Self::Weak => "weak",
        }
    }
}

/// A blob as `payload.evidence` of its EVIDENCE_PUT describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// SHA-256 of the stored bytes.
    pub hash: BlobHash,
    /// The media type, as it was declared.
    pub content_type: String,
    /// How many bytes are stored.
    pub bytes_len: u64,
    /// The class that it is stored under.
    pub class: EvidenceClass,
}

impl BlobRecord {
    /// `{"ref", "sha256", "content_type", "bytes_len", "evidence_class"}`
    pub fn to_object(&self) -> Object {
        Object::from_iter([
            ("ref", Value::from(BlobRef(self.hash).to_string())),
            ("sha256", Value::from(self.hash.to_string())),
            ("content_type", Value::from(self.content_type.as_str())),
            ("bytes_len", Value::from(self.bytes_len)),
            ("evidence_class", Value::from(self.class.as_str())),
        ])
    }

    /// `{"ref", "sha256", "bytes_len"}`, as a list of parts names it.
    pub fn to_part(&self) -> Object {
        Object::from_iter([
            ("ref", Value::from(BlobRef(self.hash).to_string())),
            ("sha256", Value::from(self.hash.to_string())),
            ("bytes_len", Value::from(self.bytes_len)),
        ])
    }
}

/// A blob as the store found it. The store looked, hashed, and says only this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobFact {
    /// Its bytes are there and hash to its name.
    Intact {
        /// How many bytes.
        bytes_len: u64,
        /// The bytes, if the snapshot asked for them.
        bytes: Option<Arc<[u8]>>,
    },
    /// Its bytes are there and hash to its name, but are too many to be read into memory as was asked.
    TooLarge {
        /// How many bytes.
        bytes_len: u64,
    },
    /// Its bytes were removed by retention, and a BLOB_EXPIRE event says so.
    Expired,
    /// Its bytes were removed, and no event says by whom.
    Removed,
    /// There is no such blob.
    Missing,
    /// An event recorded its digest, size and name alone: its bytes are kept elsewhere.
    Elsewhere,
    /// Its bytes hash to something else.
    Corrupt,
    /// Its row cannot be what a writer left, such as `live` without bytes.
    Malformed {
        /// The problem.
        problem: String,
    },
    /// The store could not read it.
    Unreadable {
        /// The store's message.
        problem: String,
    },
}
