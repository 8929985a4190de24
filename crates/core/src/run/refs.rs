//! The blobs that an event refers to, and those that the bytes of a blob name.

use crate::envelope::Envelope;
use crate::id::{BlobHash, BlobRef};
use crate::json::{self, Limits, Text, Value};

/// Every blob that the bytes of a blob name, where they are JSON; what [`Snapshot::wanted`](super::Snapshot::wanted) follows.
pub fn blobs_cited(bytes: &[u8]) -> Vec<BlobHash> {
    json::parse(bytes, Limits::READ).map(|value| hashes_in(&value)).unwrap_or_default()
}

/// The blobs that an envelope refers to, as a canonical list of strings has them; others are left out.
pub fn blobs_referred_to(envelope: &Envelope<'_>) -> Vec<BlobHash> {
    if envelope.refs_json().starts_with(br#"{"blobs":[]"#) {
        return Vec::new();
    }
    let refs = json::parse(envelope.refs_json(), Limits::READ).unwrap_or_default();
    let items = refs.get("blobs").and_then(Value::as_array).unwrap_or_default();
    items.iter().filter_map(Value::as_text).filter_map(hash_in).collect()
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
