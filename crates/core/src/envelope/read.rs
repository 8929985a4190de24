//! An envelope read back: its fields as slices of the text.

use super::layout::{
    ACTOR, EVENT_HASH, EVENT_SCHEMA_VERSION, EVENT_TYPE, MEMBERS, PAYLOAD, POLICY, PREV_EVENT_HASH, REFS, RUN_ID, SEQ,
    STAGE, Scanned, TS,
};
use super::scan::scan;
use super::scratch::Scratch;
use super::seal::hash_around;
use super::shape::{
    decode, event_type, has_references, has_strings, integer, malformed, member_of, quoted, same_text, string,
};
use super::types::EventType;
use crate::canonical::Form;
use crate::error::Error;
use crate::id::{EventHash, Seq};
use crate::json::{self, Limits, Text, Value};
use crate::stage::Stage;
use std::ops::Range;

/// An envelope as it was read: checked to be in an exact form, hashed, and its fields at hand as slices.
///
/// Slices are of the compact form. Strings among them are JSON, with quotes and escapes.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    text: &'a [u8],
    /// The type of the event.
    pub event_type: EventType,
    /// The place that the envelope says it has.
    pub seq: Seq,
    /// The hash that the envelope says it has.
    pub claimed_hash: EventHash,
    /// The hash of its bytes.
    pub hash: EventHash,
    /// The hash of the event before, as the envelope says.
    pub prev: Option<EventHash>,
    /// The stored form.
    pub form: Form,
    claimed_json: &'a [u8],
    prev_json: &'a [u8],
    type_json: &'a [u8],
    run_id: &'a [u8],
    stage: &'a [u8],
    ts: &'a [u8],
    payload: &'a [u8],
    policy: &'a [u8],
    actor: &'a [u8],
    refs: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads stored text, which must be in one of the two exact forms and have every member of version 1.
    ///
    /// The claimed hash is *not* compared with the real one: both are given.
    ///
    /// # Errors
    /// [`Error::Json`] for text in neither form; [`Error::Draft`] for one that is not an envelope of version 1.
    pub fn read(stored: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, Error> {
        Self::read_hashed(stored, scratch, None)
    }

    /// Reads stored text as the Python package takes it: only the members that give an event its place must be there, and
    /// the others may hold anything.
    ///
    /// # Errors
    /// As [`Self::read`], of those members.
    pub fn read_compatible(stored: &'a [u8], scratch: &'a mut Scratch) -> Result<Self, Error> {
        // A frame is remembered only of what is whole.
        Self::of_scan(stored, scratch, |text, scanned, before| match Self::of(text, scanned, before, None) {
            Ok(envelope) => Ok((envelope, true)),
            Err(_) => Self::placed(text, scanned, before, None).map(|envelope| (envelope, false)),
        })
    }

    /// Reads stored text whose hash somebody else has computed, if it is `known`.
    pub(super) fn read_hashed(
        stored: &'a [u8],
        scratch: &'a mut Scratch,
        known: Option<EventHash>,
    ) -> Result<Self, Error> {
        Self::of_scan(stored, scratch, |text, scanned, before| Ok((Self::of(text, scanned, before, known)?, true)))
    }

    /// Scans stored text and makes an envelope of it. `make` is given the text in compact form and the claimed hash of the
    /// envelope before, and says whether the frame of this one may be remembered.
    #[inline]
    fn of_scan(
        stored: &'a [u8],
        scratch: &'a mut Scratch,
        make: impl FnOnce(&'a [u8], &Scanned, Option<EventHash>) -> Result<(Self, bool), Error>,
    ) -> Result<Self, Error> {
        let mut scanned = Scanned::default();
        scan(stored, scratch, &mut scanned)?;
        let Scratch { buffers, claimed, frames } = scratch;
        let text = match scanned.form {
            Form::Compact => stored,
            Form::Spaced => buffers.compact(),
        };
        let (envelope, is_whole) = make(text, &scanned, *claimed)?;
        if is_whole && !scanned.framed {
            frames.learn(stored, text, &scanned);
        }
        *claimed = Some(envelope.claimed_hash);
        Ok(envelope)
    }

    /// `before` is an event hash that `prev_event_hash` is likely to be.
    #[inline]
    fn of(
        text: &'a [u8],
        scanned: &Scanned,
        before: Option<EventHash>,
        known: Option<EventHash>,
    ) -> Result<Self, Error> {
        let field = |member: usize| member_of(text, scanned, member);
        let version = field(EVENT_SCHEMA_VERSION)?;
        if version != b"1" {
            let newer =
                std::str::from_utf8(version).ok().and_then(|text| text.parse::<i64>().ok()).is_some_and(|v| v > 1);
            let problem =
                if newer { "it is newer than supported: update receipt-kernel" } else { "it must be the integer 1" };
            return Err(malformed("event_schema_version", problem));
        }
        let envelope = Self::placed(text, scanned, before, known)?;
        event_type(field(EVENT_TYPE)?)?;
        string("stage", field(STAGE)?)?;
        string("ts", field(TS)?)?;
        for member in [PAYLOAD, POLICY, ACTOR, REFS] {
            field(member)?;
        }
        envelope.check_shapes(scanned.framed)?;
        Ok(envelope)
    }

    /// An envelope whose place and hashes are what they must be, whatever its other members are. One that is missing is
    /// the empty text at its beginning.
    #[inline]
    fn placed(
        text: &'a [u8],
        scanned: &Scanned,
        before: Option<EventHash>,
        known: Option<EventHash>,
    ) -> Result<Self, Error> {
        let field = |member: usize| member_of(text, scanned, member);
        let any = |member: usize| &text[scanned.places[member].clone()];
        // Writing a hash out is quicker than reading one, and mostly it is the one that is expected.
        let hash = |member: usize, likely: Option<EventHash>| {
            let digits = quoted(field(member)?).unwrap_or_default();
            let hash = likely.filter(|likely| likely.is_written(digits)).or_else(|| EventHash::parse_bytes(digits));
            hash.ok_or_else(|| malformed(MEMBERS[member], "it must be sha256: and 64 lower-case hexadecimal digits"))
        };
        let prev_json = field(PREV_EVENT_HASH)?;
        let prev = if prev_json == b"null" { None } else { Some(hash(PREV_EVENT_HASH, before)?) };
        let real = known.unwrap_or_else(|| hash_around(text, scanned.hash_member.clone()));
        let claimed_hash = hash(EVENT_HASH, Some(real))?;
        let type_json = any(EVENT_TYPE);
        let seq = integer(field(SEQ)?).and_then(Seq::new);
        Ok(Self {
            text,
            event_type: event_type(type_json).unwrap_or(EventType::Own),
            seq: seq.ok_or_else(|| malformed("seq", "it must be an integer from 1 on"))?,
            claimed_hash,
            claimed_json: field(EVENT_HASH)?,
            prev_json,
            type_json,
            hash: real,
            prev,
            form: scanned.form,
            run_id: string("run_id", field(RUN_ID)?)?,
            stage: any(STAGE),
            ts: any(TS),
            payload: any(PAYLOAD),
            policy: any(POLICY),
            actor: any(ACTOR),
            refs: any(REFS),
        })
    }

    /// Checks the members that must be objects or lists. A remembered frame was checked when it was first read.
    fn check_shapes(&self, framed: bool) -> Result<(), Error> {
        if self.payload.first() != Some(&b'{') {
            return Err(malformed("payload", "it must be an object"));
        }
        if !framed && !has_strings(self.policy, &["policy_id", "policy_version", "stage_graph_id"]) {
            return Err(malformed("policy", "it must have policy_id, policy_version and stage_graph_id, all strings"));
        }
        if !framed && !has_strings(self.actor, &["id", "kind"]) {
            return Err(malformed("actor", "it must have id and kind, both strings"));
        }
        if self.refs != br#"{"blobs":[],"events":[]}"# && !has_references(self.refs) {
            return Err(malformed("refs", "it must have blobs and events, both lists of strings"));
        }
        Ok(())
    }

    /// The whole envelope in compact form.
    pub fn compact(&self) -> &'a [u8] {
        self.text
    }

    /// The text of [`Self::claimed_hash`], for comparison with a column.
    pub fn claimed_hash_text(&self) -> &'a [u8] {
        quoted(self.claimed_json).unwrap_or_default()
    }

    /// The text of [`Self::prev`], for comparison with a column.
    pub fn prev_text(&self) -> Option<&'a [u8]> {
        quoted(self.prev_json)
    }

    /// The run that the envelope says it is of.
    pub fn run_id(&self) -> Text {
        decode(self.run_id)
    }

    /// Whether the type, as a column of text holds it, is this one. The Python package lets it be a number.
    pub fn is_of_type(&self, column: &[u8]) -> bool {
        match self.type_json {
            [b'"', ..] => same_text(self.type_json, column),
            b"true" => column == b"1",
            b"false" => column == b"0",
            number => number == column,
        }
    }

    /// Whether the envelope says that it is of this run.
    pub fn is_of(&self, run_id: &str) -> bool {
        same_text(self.run_id, run_id.as_bytes())
    }

    /// The stage, as the JSON string that it is, for quick comparison.
    pub fn stage_json(&self) -> &'a [u8] {
        self.stage
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        Stage::new(decode(self.stage).to_string_lossy())
    }

    /// When, as written; see [`Timestamp::parse`](crate::id::Timestamp::parse).
    pub fn ts(&self) -> Text {
        decode(self.ts)
    }

    /// `ts` between its quotes, as it stands in the JSON: an instant has no escapes.
    pub(crate) fn ts_plain(&self) -> &'a [u8] {
        quoted(self.ts).unwrap_or_default()
    }

    /// The payload as JSON, an object.
    pub fn payload_json(&self) -> &'a [u8] {
        self.payload
    }

    /// The place of the payload in [`Self::compact`].
    pub(crate) fn payload_place(&self) -> Range<usize> {
        self.place(self.payload)
    }

    /// The place of the references in [`Self::compact`].
    pub(crate) fn refs_place(&self) -> Range<usize> {
        self.place(self.refs)
    }

    /// The place of the ts in [`Self::compact`], a JSON string.
    pub(crate) fn ts_place(&self) -> Range<usize> {
        self.place(self.ts)
    }

    fn place(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.len()
    }

    /// The policy reference as JSON, for quick comparison.
    pub fn policy_json(&self) -> &'a [u8] {
        self.policy
    }

    /// The references as JSON.
    pub fn refs_json(&self) -> &'a [u8] {
        self.refs
    }

    /// The whole envelope as a value.
    ///
    /// # Errors
    /// None that the scan has not ruled out.
    pub fn to_value(&self) -> Result<Value, Error> {
        json::parse(self.text, Limits::READ)
    }
}

/// Says of `event_hash` and of `prev_event_hash`, in an envelope that cannot be read, whether each is no hash. If the
/// latter is none, the former may be of other bytes.
#[cold]
pub(crate) fn no_hashes(stored: &[u8]) -> [bool; 2] {
    let (mut scratch, mut scanned) = (Scratch::default(), Scanned::default());
    if let Err(Error::Json { .. }) = scan(stored, &mut scratch, &mut scanned) {
        return [false; 2];
    }
    let text = match scanned.form {
        Form::Compact => stored,
        Form::Spaced => scratch.buffers.compact(),
    };
    let member = |member: usize| &text[scanned.places[member].clone()];
    let hash = |index: usize| quoted(member(index)).and_then(EventHash::parse_bytes);
    let no_prev = member(PREV_EVENT_HASH) != b"null" && hash(PREV_EVENT_HASH).is_none();
    let is_other = |claimed| no_prev && claimed != hash_around(text, scanned.hash_member.clone());
    [hash(EVENT_HASH).is_none_or(is_other), no_prev]
}
