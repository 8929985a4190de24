//! Sealed events: the canonical text with its hash in it, and how the hash gets there.

use super::types::EventType;
use crate::canonical;
use crate::chain::Link;
use crate::id::{self, EventHash};
use crate::json::Limits;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// An event that has its place and its hash, as the exact bytes to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its place.
    pub link: Link,
    /// The type of the event.
    pub event_type: EventType,
    /// Its hash.
    pub hash: EventHash,
    /// The canonical text with `event_hash` in it: ASCII.
    pub text: Vec<u8>,
}

/// The placeholder of the hash in the text until the hash is computed.
pub(super) const NO_HASH: &[u8] =
    b"\"event_hash\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",";

/// The members that say where an event stands, which no writer decides.
pub(super) const PLACE: [&str; 4] = ["event_hash", "prev_event_hash", "run_id", "seq"];

/// One of [`PLACE`] but the hash.
pub(super) fn write_place(out: &mut Vec<u8>, name: &str, link: &Link) {
    match (name, link.prev) {
        ("run_id", _) => canonical::write_utf8(out, link.run_id.as_str()),
        ("seq", _) => canonical::write_i64(out, link.seq.get()),
        (_, Some(hash)) => {
            out.extend_from_slice(b"\"sha256:");
            out.extend_from_slice(&id::hex(hash.as_bytes()));
            out.push(b'"');
        }
        (_, None) => out.extend_from_slice(b"null"),
    }
}

/// Ends the text, whose last member has a comma after it, hashes it, and writes the hash into its place.
pub(super) fn close(text: &mut Vec<u8>, hash_at: usize) -> EventHash {
    text.pop();
    text.push(b'}');
    let hash = hash_around(text, hash_at..hash_at + NO_HASH.len());
    text[hash_at + NO_HASH.len() - 66..hash_at + NO_HASH.len() - 2].copy_from_slice(&id::hex(hash.as_bytes()));
    hash
}

/// The limits of a value inside an envelope, which is itself one level deep.
pub(super) const INNER: Limits = Limits { depth: Limits::WRITE.depth - 1, ..Limits::WRITE };

pub(super) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_plain(out, name);
    out.push(b':');
}

/// Text that is known to need no escapes.
pub(super) fn write_plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// The hash of canonical text without its `event_hash` member, whose place (its comma with it) is given.
pub(super) fn hash_around(text: &[u8], member: Range<usize>) -> EventHash {
    let mut hasher = Sha256::new();
    hasher.update(&text[..member.start]);
    hasher.update(&text[member.end..]);
    EventHash::from_bytes(hasher.finalize().into())
}
