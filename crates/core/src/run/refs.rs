//! The blobs that an event refers to, and those that the bytes of a blob name.

use crate::canonical;
use crate::envelope::Envelope;
use crate::id::{BlobHash, BlobRef};
use crate::json::{self, Limits, Text, Value};

/// Every blob that the bytes of a blob name, if they are JSON; what [`Snapshot::wanted`](super::Snapshot::wanted) follows.
pub fn blobs_cited(bytes: &[u8]) -> Vec<BlobHash> {
    json::parse(bytes, Limits::READ).map(|value| hashes_in(&value)).unwrap_or_default()
}

/// The blobs that an envelope refers to, as a canonical list of strings has them; others are left out.
pub fn blobs_referred_to<'e>(envelope: &Envelope<'e>) -> impl Iterator<Item = BlobHash> + use<'e> {
    references(envelope.refs_json(), "blobs").filter_map(|text| hash_in(&text))
}

/// The texts of one of the two lists of references, each parsed when it is asked for: there may be millions.
pub(super) fn references<'r>(refs: &'r [u8], list: &str) -> impl Iterator<Item = Text> + use<'r> {
    canonical::member(refs, list).into_iter().flat_map(canonical::items).filter_map(json::parse_string)
}

/// The blob that a text names, as a reference or as bare hexadecimal digits.
pub(super) fn hash_in(text: &Text) -> Option<BlobHash> {
    let text = text.as_str()?;
    BlobRef::parse(text).map(|blob| blob.0).or_else(|| BlobHash::parse_bytes(text.as_bytes()))
}

/// Every blob that a value names, however deep.
fn hashes_in(value: &Value) -> Vec<BlobHash> {
    let mut found = Vec::new();
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => found.extend(hash_in(text)),
            Value::Array(items) => rest.extend(items),
            Value::Object(object) => rest.extend(object.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found
}
