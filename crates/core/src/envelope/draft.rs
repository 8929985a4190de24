//! A draft: an envelope before it has its place.

use super::layout::MEMBERS;
use super::seal::{INNER, NO_HASH, Sealed, close, write_name, write_place, write_plain};
use super::types::{Actor, EventType, PolicyRef, SCHEMA_VERSION};
use crate::canonical;
use crate::chain::Link;
use crate::error::{Error, JsonProblem};
use crate::id::{BlobRef, EventRef, Timestamp};
use crate::json::{Object, Text, Value};
use crate::stage::Stage;
use std::sync::Arc;

/// An envelope before it has its place: all that its writer decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The type of the event.
    pub event_type: EventType,
    /// The stage that the run is in; for STAGE_ADVANCE the new one.
    pub stage: Stage,
    /// The run's policy.
    pub policy: Arc<PolicyRef>,
    /// The actor: whoever did what the event records.
    pub actor: Arc<Actor>,
    /// The payload.
    pub payload: Object,
    /// Blobs that it is about.
    pub blobs: Vec<BlobRef>,
    /// Events that it is about.
    pub events: Vec<EventRef>,
    /// When.
    pub ts: Timestamp,
    /// Further members of the envelope, which are kept and hashed. None may have the name of a member of version 1.
    pub extra: Object,
}

impl Draft {
    /// Gives the draft its place, writes its canonical bytes and hashes them.
    ///
    /// # Errors
    /// [`Error::Draft`] for an extra member with a name of version 1, [`Error::Json`] for a payload over a limit.
    pub fn seal(&self, link: Link) -> Result<Sealed, Error> {
        let mut text = Vec::with_capacity(1024);
        text.push(b'{');
        let mut hash_at = 0;
        let mut extra = self.extra.iter().peekable();
        for name in MEMBERS {
            while let Some((key, value)) = extra.next_if(|(key, _)| key.as_bytes() <= name.as_bytes()) {
                if *key == name {
                    let problem = format!("{name} is a member that the kernel writes");
                    return Err(Error::Draft { field: "extra", problem });
                }
                write_extra(&mut text, key, value)?;
            }
            if name == "event_hash" {
                hash_at = text.len();
                text.extend_from_slice(NO_HASH);
            } else {
                self.write_member(&mut text, name, &link)?;
                text.push(b',');
            }
        }
        for (key, value) in extra {
            write_extra(&mut text, key, value)?;
        }
        let hash = close(&mut text, hash_at);
        Ok(Sealed { link, event_type: self.event_type, hash, text })
    }

    fn write_member(&self, out: &mut Vec<u8>, name: &str, link: &Link) -> Result<(), Error> {
        write_name(out, name);
        match name {
            "actor" => write_strings(out, &[("id", &self.actor.id), ("kind", &self.actor.kind)]),
            "event_schema_version" => canonical::write_i64(out, SCHEMA_VERSION),
            "event_type" => write_plain(out, self.event_type.as_str()),
            "payload" => canonical::write_object(out, &self.payload, INNER)?,
            "policy" => write_strings(
                out,
                &[
                    ("policy_id", &self.policy.policy_id),
                    ("policy_version", &self.policy.policy_version),
                    ("stage_graph_id", &self.policy.stage_graph_id),
                ],
            ),
            "refs" => {
                write_list(out, b"{\"blobs\":[", self.blobs.iter().map(BlobRef::to_string));
                write_list(out, b"],\"events\":[", self.events.iter().map(EventRef::to_string));
                out.extend_from_slice(b"]}");
            }
            "stage" => canonical::write_utf8(out, self.stage.as_str()),
            "ts" => write_plain(out, &self.ts.to_string()),
            _ => write_place(out, name, link),
        }
        Ok(())
    }
}

fn write_extra(out: &mut Vec<u8>, key: &Text, value: &Value) -> Result<(), Error> {
    if key.as_str().is_none() {
        return Err(Error::Json { offset: out.len(), problem: JsonProblem::SurrogateKey });
    }
    canonical::write_string(out, key);
    out.push(b':');
    canonical::write_value(out, value, INNER)?;
    out.push(b',');
    Ok(())
}

fn write_strings(out: &mut Vec<u8>, members: &[(&str, &str)]) {
    for (index, (name, value)) in members.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write_name(out, name);
        canonical::write_utf8(out, value);
    }
    out.push(b'}');
}

fn write_list(out: &mut Vec<u8>, before: &[u8], items: impl Iterator<Item = String>) {
    out.extend_from_slice(before);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        canonical::write_utf8(out, &item);
    }
}
