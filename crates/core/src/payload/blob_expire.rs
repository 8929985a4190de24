//! The payload of BLOB_EXPIRE.

use super::member;
use crate::canonical;
use crate::evidence::{BlobState, EvidenceClass};
use crate::id::{BlobHash, Timestamp};
use crate::json::{Object, Value};

/// The blob whose bytes were removed, and why: `{"sha256", "bytes_len", "evidence_class", "from_state", "to_state", "reason", …}`.
///
/// The Python package leaves out the states and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobExpire {
    /// The blob.
    pub hash: BlobHash,
    /// How many bytes it had.
    pub bytes_len: Option<u64>,
    /// Its class.
    pub class: Option<EvidenceClass>,
    /// Whether bytes went: from `expired_hash_only` to `purged` none go.
    pub removes: bool,
    /// Whether retention removed it.
    pub by_retention: bool,
    /// The blob of the same bytes without secrets, where a redaction removed it.
    pub replaced_by: Option<BlobHash>,
    /// The last instant at which retention kept it.
    pub kept_until: Option<Timestamp>,
}

/// Why the bytes of a blob go.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'c> {
    /// They were kept as long as they had to be.
    Retention {
        /// The last instant at which they were kept.
        kept_until: Timestamp,
    },
    /// They hold secrets.
    Redaction {
        /// The blob of the same bytes without them.
        replaced_by: BlobHash,
        /// How many secrets were replaced.
        redactions: usize,
        /// The digest of the rules.
        rules: &'c str,
    },
}

impl BlobExpire {
    /// The payload of a blob of this length and class that goes from one state to the other.
    pub fn to_object(
        hash: BlobHash,
        bytes_len: u64,
        class: EvidenceClass,
        [from, to]: [BlobState; 2],
        cause: Cause<'_>,
    ) -> Object {
        let mut payload = Object::from_iter([
            ("sha256", Value::from(hash.to_string())),
            ("bytes_len", bytes_len.into()),
            ("evidence_class", class.as_str().into()),
            ("from_state", from.as_str().into()),
            ("to_state", to.as_str().into()),
        ]);
        match cause {
            Cause::Retention { kept_until } => {
                payload.insert("reason", RETENTION);
                payload.insert("kept_until", kept_until.to_string());
            }
            Cause::Redaction { replaced_by, redactions, rules } => {
                payload.insert("reason", "redaction");
                payload.insert("replaced_by", replaced_by.to_string());
                payload.insert("redactions", redactions);
                payload.insert("redaction_rules", rules);
            }
        }
        payload
    }

    /// From the canonical text of the payload; `None` if it names no blob.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let member = |name| canonical::member(payload, name);
        let word = |name| member(name).and_then(member::plain);
        let from = member::given(member("from_state"));
        Some(Self {
            hash: BlobHash::parse_bytes(word("sha256")?.as_bytes())?,
            bytes_len: member("bytes_len").and_then(member::count),
            class: word("evidence_class").and_then(EvidenceClass::parse),
            removes: from.is_none_or(|from| member::plain(from) == Some(BlobState::Live.as_str())),
            by_retention: word("reason") == Some(RETENTION),
            replaced_by: word("replaced_by").and_then(|hash| BlobHash::parse_bytes(hash.as_bytes())),
            kept_until: word("kept_until").and_then(Timestamp::parse),
        })
    }
}

const RETENTION: &str = "retention";
