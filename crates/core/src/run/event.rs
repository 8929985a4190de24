//! An event of a snapshot, and the memory that the events of a snapshot share.

use super::refs::references;
use crate::envelope::{Envelope, EventType};
use crate::error::Error;
use crate::evidence::{REDACTION_FAILED, UNSCANNED};
use crate::id::{EventHash, Seq};
use crate::json::{self, Limits, Object, Text, Value};
use crate::stage::Stage;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

/// An event of a snapshot: checked and typed.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// The type of the event.
    pub event_type: EventType,
    /// The stage that the run was in.
    pub stage: Stage,
    /// The hash of its bytes.
    pub hash: EventHash,
    /// The payload.
    pub payload: Payload,
    /// The exact bytes in compact form.
    pub text: Bytes,
    /// The place of `ts` in them, a JSON string.
    ts: Range<usize>,
    /// The place of `refs` in them.
    refs: Range<usize>,
}

/// Bytes that lie among others in memory that is shared.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    all: Option<Arc<Vec<u8>>>,
    place: Range<usize>,
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.all.as_ref().and_then(|all| all.get(self.place.clone())).unwrap_or_default()
    }
}

/// The payload of an event: an object whose values are built when somebody first asks for one. Reading a run and judging it
/// builds none. The scanner lets nothing pass that is nested deeper than the parser goes.
#[derive(Clone, Debug)]
pub struct Payload {
    text: Bytes,
    parsed: OnceLock<Object>,
}

impl Payload {
    /// Its canonical text.
    pub fn json(&self) -> &[u8] {
        &self.text
    }
}

impl Deref for Payload {
    type Target = Object;

    fn deref(&self) -> &Object {
        self.parsed.get_or_init(|| object(&self.text).unwrap_or_default())
    }
}

/// The object that a payload is.
fn object(json: &[u8]) -> Result<Object, Error> {
    match json::parse(json, Limits::READ)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Draft { field: "payload", problem: "it must be an object".to_owned() }),
    }
}

impl Event {
    /// Whether it says that something was withheld because redaction failed.
    pub(super) fn says_withheld(&self) -> bool {
        // Values are built only of what may say so.
        if std::str::from_utf8(self.payload.json()).is_ok_and(|text| !text.contains(REDACTION_FAILED)) {
            return false;
        }
        let says = |object: &Object| object.get(UNSCANNED).is_some_and(|why| why.as_str() == Some(REDACTION_FAILED));
        says(&self.payload)
            || self.payload.get("meta").is_some_and(|meta| matches!(meta, Value::Object(meta) if says(meta)))
    }

    /// An event of an envelope that was read.
    pub fn from_envelope(envelope: &Envelope<'_>) -> Self {
        let mut event = Self::at(0, envelope, envelope.stage());
        event.share(&Arc::new(envelope.compact().to_vec()));
        event
    }

    /// An event whose bytes begin at this place of memory that is yet to be shared.
    fn at(start: usize, envelope: &Envelope<'_>, stage: Stage) -> Self {
        let moved = |place: Range<usize>| start + place.start..start + place.end;
        let bytes = |place| Bytes { place: moved(place), ..Bytes::default() };
        Self {
            seq: envelope.seq,
            event_type: envelope.event_type,
            stage,
            hash: envelope.hash,
            payload: Payload { text: bytes(envelope.payload_place()), parsed: OnceLock::new() },
            text: bytes(0..envelope.compact().len()),
            ts: envelope.ts_place(),
            refs: envelope.refs_place(),
        }
    }

    /// `refs.blobs`, as written.
    pub fn blobs(&self) -> impl Iterator<Item = Text> {
        references(&self.text[self.refs.clone()], "blobs")
    }

    /// `refs.events`, as written.
    pub fn events(&self) -> impl Iterator<Item = Text> {
        references(&self.text[self.refs.clone()], "events")
    }

    /// When, as written; see [`Timestamp::parse`](crate::id::Timestamp::parse).
    pub fn ts(&self) -> Text {
        json::parse_string(&self.text[self.ts.clone()]).unwrap_or_default()
    }

    /// Gives it the memory that its bytes lie in.
    fn share(&mut self, all: &Arc<Vec<u8>>) {
        self.text.all = Some(Arc::clone(all));
        self.payload.text.all = Some(Arc::clone(all));
    }
}

/// Events as they come, their bytes one after the other in a few pieces of memory.
#[derive(Debug, Default)]
pub(super) struct Events {
    list: Vec<Event>,
    /// The bytes of the events from `shared` on.
    bytes: Vec<u8>,
    shared: usize,
    /// The stage of the last event, as JSON: mostly that of the next one.
    stage: Option<(Vec<u8>, Stage)>,
}

impl Events {
    /// How many bytes make a piece.
    const PIECE: usize = 1 << 18;

    /// How many more it has room for, which the last event of most pieces needs.
    const ROOM: usize = 1 << 12;

    /// The next event.
    pub(super) fn push(&mut self, envelope: &Envelope<'_>) {
        if self.bytes.is_empty() && self.shared > 0 {
            self.bytes.reserve(Self::PIECE + Self::ROOM);
        }
        let stage = self.stage(envelope);
        self.list.push(Event::at(self.bytes.len(), envelope, stage));
        self.bytes.extend_from_slice(envelope.compact());
        if self.bytes.len() >= Self::PIECE {
            self.share();
        }
    }

    fn stage(&mut self, envelope: &Envelope<'_>) -> Stage {
        match &self.stage {
            Some((json, stage)) if json == envelope.stage_json() => stage.clone(),
            _ => self.stage.insert((envelope.stage_json().to_vec(), envelope.stage())).1.clone(),
        }
    }

    fn share(&mut self) {
        let all = Arc::new(std::mem::take(&mut self.bytes));
        self.list[self.shared..].iter_mut().for_each(|event| event.share(&all));
        self.shared = self.list.len();
    }

    /// Joins these events with others that come after them.
    pub(super) fn followed_by(mut self, mut others: Self) -> Self {
        self.share();
        others.share();
        self.list.append(&mut others.list);
        self.shared = self.list.len();
        self
    }

    /// Ends the collection, and gives all events.
    pub(super) fn end(mut self) -> Vec<Event> {
        self.share();
        self.list
    }
}
