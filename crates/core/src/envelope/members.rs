//! An envelope that somebody else has made, by its members.

use super::read::Envelope;
use super::scratch::Scratch;
use super::seal::{INNER, NO_HASH, PLACE, Sealed, close, write_name, write_place};
use crate::canonical::{self, Form};
use crate::chain::Link;
use crate::error::{Error, JsonProblem};
use crate::id::EventHash;
use crate::json::{self, Limits};
use std::collections::BTreeMap;

/// An envelope that somebody else has made, before it has its place: its members by name, each as canonical JSON.
///
/// ```
/// use receipt_core::chain::Link;
/// use receipt_core::envelope::Members;
/// use receipt_core::id::RunId;
///
/// let envelope = br#"{"actor":{"id":"a","kind":"k"},"event_schema_version":1,"event_type":"DECISION","payload":{},"policy":{
///     "policy_id":"p","policy_version":"1","stage_graph_id":"g"},"refs":{"blobs":[],"events":[]},"stage":"DECIDE",
///     "ts":"2026-01-01T00:00:00+00:00"}"#;
/// let sealed = Members::parse(envelope)?.seal(Link::first(RunId::new("r")))?;
/// assert!(sealed.text.starts_with(br#"{"actor":{"id":"a","kind":"k"},"event_hash":"sha256:"#));
/// # Ok::<(), receipt_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<String, Vec<u8>>);

impl Members {
    /// From JSON in any form.
    ///
    /// # Errors
    /// [`Error::Json`] for what is no JSON object, or over a limit.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let value = json::parse(json, Limits::WRITE)?;
        let shape = || Error::Json { offset: 0, problem: JsonProblem::Shape { wanted: "an object" } };
        let mut members = Self::default();
        for (key, value) in value.as_object().ok_or_else(shape)? {
            let surrogate = || Error::Json { offset: 0, problem: JsonProblem::SurrogateKey };
            members.insert(key.as_str().ok_or_else(surrogate)?, canonical::to_bytes(value, INNER)?);
        }
        Ok(members)
    }

    /// Sets a member, whose bytes must be canonical. A place of the caller's is forgotten: the store gives it.
    pub fn insert(&mut self, name: &str, canonical: Vec<u8>) {
        if !PLACE.contains(&name) {
            self.0.insert(name.to_owned(), canonical);
        }
    }

    /// The canonical bytes of a member.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Gives the envelope its place, hashes it, and reads it back: what is sealed is an envelope of version 1.
    ///
    /// # Errors
    /// [`Error::Draft`] if it is none; [`Error::Json`] if a member was not canonical.
    pub fn seal(&self, link: Link) -> Result<Sealed, Error> {
        let (text, hash) = self.close(&link);
        let mut scratch = Scratch::default();
        let envelope = Envelope::read_hashed(&text, &mut scratch, Some(hash))?;
        let problem = || Error::Json { offset: 0, problem: JsonProblem::NotCanonical };
        if envelope.form != Form::Compact || envelope.claimed_hash != hash || !envelope.is_of(link.run_id.as_str()) {
            return Err(problem());
        }
        let event_type = envelope.event_type;
        Ok(Sealed { link, event_type, hash, text })
    }

    /// Gives the envelope its place and hashes it, whatever its members are: the canonical text, and the hash. Use
    /// [`Self::seal`] for an event that every reader must take.
    pub fn close(&self, link: &Link) -> (Vec<u8>, EventHash) {
        let mut text = Vec::with_capacity(512 + self.0.values().map(Vec::len).sum::<usize>());
        text.push(b'{');
        let mut hash_at = 0;
        let mut place = PLACE.iter().peekable();
        let mut place_before = |text: &mut Vec<u8>, next: Option<&str>| {
            while let Some(name) = place.next_if(|name| next.is_none_or(|next| **name < next)) {
                if *name == "event_hash" {
                    hash_at = text.len();
                    text.extend_from_slice(NO_HASH);
                } else {
                    write_name(text, name);
                    write_place(text, name, link);
                    text.push(b',');
                }
            }
        };
        for (name, value) in &self.0 {
            place_before(&mut text, Some(name));
            canonical::write_utf8(&mut text, name);
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b',');
        }
        place_before(&mut text, None);
        let hash = close(&mut text, hash_at);
        (text, hash)
    }
}
