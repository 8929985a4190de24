//! Envelopes, version 1: a draft becomes sealed bytes, and stored bytes are read back and checked.
//!
//! Sealing writes the canonical bytes once, with room for `event_hash` in its place, and hashes what stands around it.
//! Reading scans the stored text once, checks that it is in one of the two exact forms, and gives the fields as
//! slices; no values are built until somebody asks for the payload.

use crate::canonical::{self, Form, Scratch};
use crate::chain::Link;
use crate::error::{Error, JsonProblem};
use crate::id::{self, BlobRef, EventHash, EventRef, RunId, Seq, Timestamp};
use crate::json::{self, Limits, Object, Text, Value};
use crate::scan::{
    ACTOR, EVENT_HASH, EVENT_SCHEMA_VERSION, EVENT_TYPE, MEMBERS, PAYLOAD, POLICY, PREV_EVENT_HASH, REFS, RUN_ID, SEQ,
    STAGE, Scanned, TS, scan,
};
use crate::stage::Stage;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The version of the envelope that this crate writes and reads.
pub const SCHEMA_VERSION: i64 = 1;

/// What happened.
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

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of actor, such as `system`, `human` or `agent`.
    pub kind: String,
    /// Which one.
    pub id: String,
}

impl Actor {
    /// An actor.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

/// Which policy and stage graph an event was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRef {
    /// The policy's id.
    pub policy_id: String,
    /// Its version.
    pub policy_version: String,
    /// The id of the stage graph.
    pub stage_graph_id: String,
}

/// An envelope before it has its place: all that its writer decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What happened.
    pub event_type: EventType,
    /// The stage that the run is in; for STAGE_ADVANCE the new one.
    pub stage: Stage,
    /// The run's policy.
    pub policy: Arc<PolicyRef>,
    /// Who did it.
    pub actor: Arc<Actor>,
    /// What there is to say of it.
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

/// What stands in the text for the hash until it is known.
const NO_HASH: &[u8] = b"\"event_hash\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",";

/// An event that has its place and its hash, as the exact bytes to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its place.
    pub link: Link,
    /// What happened.
    pub event_type: EventType,
    /// Its hash.
    pub hash: EventHash,
    /// The canonical text with `event_hash` in it: ASCII.
    pub text: Vec<u8>,
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
            "stage" => write_text(out, self.stage.as_str()),
            "ts" => write_plain(out, &self.ts.to_string()),
            _ => write_place(out, name, link),
        }
        Ok(())
    }
}

/// The members that say where an event stands, which no writer decides.
const PLACE: [&str; 4] = ["event_hash", "prev_event_hash", "run_id", "seq"];

/// One of [`PLACE`] but the hash.
fn write_place(out: &mut Vec<u8>, name: &str, link: &Link) {
    match (name, link.prev) {
        ("run_id", _) => write_text(out, link.run_id.as_str()),
        ("seq", _) => canonical::write_i64(out, link.seq.get()),
        (_, Some(hash)) => {
            out.extend_from_slice(b"\"sha256:");
            out.extend_from_slice(&id::hex(hash.as_bytes()));
            out.push(b'"');
        }
        (_, None) => out.extend_from_slice(b"null"),
    }
}

/// Ends the text, whose last member has a comma behind it, hashes it, and writes the hash into its place.
fn close(text: &mut Vec<u8>, hash_at: usize) -> EventHash {
    text.pop();
    text.push(b'}');
    let hash = hash_around(text, hash_at..hash_at + NO_HASH.len());
    text[hash_at + NO_HASH.len() - 66..hash_at + NO_HASH.len() - 2].copy_from_slice(&id::hex(hash.as_bytes()));
    hash
}

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
    /// [`Error::Draft`] where it is none; [`Error::Json`] where a member was not canonical.
    pub fn seal(&self, link: Link) -> Result<Sealed, Error> {
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
                    write_place(text, name, &link);
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
        let mut scratch = Scratch::default();
        let envelope = Envelope::read_hashed(&text, &mut scratch, Some(hash))?;
        let problem = || Error::Json { offset: 0, problem: JsonProblem::NotCanonical };
        if envelope.form != Form::Compact || envelope.claimed_hash != hash || !envelope.is_of(link.run_id.as_str()) {
            return Err(problem());
        }
        let event_type = envelope.event_type;
        Ok(Sealed { link, event_type, hash, text })
    }
}

/// What may stand inside an envelope, which is itself one level deep.
const INNER: Limits = Limits { depth: Limits::WRITE.depth - 1, ..Limits::WRITE };

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

fn write_name(out: &mut Vec<u8>, name: &str) {
    write_plain(out, name);
    out.push(b':');
}

/// Text that is known to need no escapes.
fn write_plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    canonical::write_utf8(out, text);
}

fn write_strings(out: &mut Vec<u8>, members: &[(&str, &str)]) {
    for (index, (name, value)) in members.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write_name(out, name);
        write_text(out, value);
    }
    out.push(b'}');
}

fn write_list(out: &mut Vec<u8>, before: &[u8], items: impl Iterator<Item = String>) {
    out.extend_from_slice(before);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(out, &item);
    }
}

/// The hash of canonical text without its `event_hash` member, whose place (its comma with it) is given.
fn hash_around(text: &[u8], member: Range<usize>) -> EventHash {
    let mut hasher = Sha256::new();
    hasher.update(&text[..member.start]);
    hasher.update(&text[member.end..]);
    EventHash::from_bytes(hasher.finalize().into())
}

/// Which of `event_hash` and `prev_event_hash` of an envelope that cannot be read are none. If the latter is, the former
/// may be of other bytes.
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

/// An envelope as it was read: checked to be in an exact form, hashed, and its fields at hand as slices.
///
/// Slices are of the compact form. Strings among them are JSON, with quotes and escapes.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    text: &'a [u8],
    /// What happened.
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

    /// The same, of a text whose hash is known.
    fn read_hashed(stored: &'a [u8], scratch: &'a mut Scratch, known: Option<EventHash>) -> Result<Self, Error> {
        let mut scanned = Scanned::default();
        scan(stored, scratch, &mut scanned)?;
        let Scratch { buffers, frames, claimed } = scratch;
        let text = match scanned.form {
            Form::Compact => stored,
            Form::Spaced => buffers.compact(),
        };
        let envelope = Self::of(text, &scanned, *claimed, known)?;
        if !scanned.framed {
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
        let Scanned { form, places, hash_member, framed, .. } = scanned;
        let field = |member: usize| {
            let value = &text[places[member].clone()];
            if value.is_empty() { Err(malformed(MEMBERS[member], "it is missing")) } else { Ok(value) }
        };
        let version = field(EVENT_SCHEMA_VERSION)?;
        if version != b"1" {
            let newer =
                std::str::from_utf8(version).ok().and_then(|text| text.parse::<i64>().ok()).is_some_and(|v| v > 1);
            let problem =
                if newer { "it is newer than supported: update receipt-kernel" } else { "it must be the integer 1" };
            return Err(malformed("event_schema_version", problem));
        }
        // Writing a hash out is quicker than reading one, and mostly it is the one that is expected.
        let hash = |member: usize, likely: Option<EventHash>| {
            let digits = quoted(field(member)?).unwrap_or_default();
            let hash = likely.filter(|likely| likely.is_written(digits)).or_else(|| EventHash::parse_bytes(digits));
            hash.ok_or_else(|| malformed(MEMBERS[member], "it must be sha256: and 64 lower-case hexadecimal digits"))
        };
        let prev_json = field(PREV_EVENT_HASH)?;
        let prev = if prev_json == b"null" { None } else { Some(hash(PREV_EVENT_HASH, before)?) };
        let real = known.unwrap_or_else(|| hash_around(text, hash_member.clone()));
        let claimed_hash = hash(EVENT_HASH, Some(real))?;
        let envelope = Self {
            text,
            event_type: event_type(field(EVENT_TYPE)?)?,
            seq: integer(field(SEQ)?)
                .and_then(Seq::new)
                .ok_or_else(|| malformed("seq", "it must be an integer from 1 on"))?,
            claimed_hash,
            claimed_json: field(EVENT_HASH)?,
            prev_json,
            hash: real,
            prev,
            form: *form,
            run_id: string("run_id", field(RUN_ID)?)?,
            stage: string("stage", field(STAGE)?)?,
            ts: string("ts", field(TS)?)?,
            payload: field(PAYLOAD)?,
            policy: field(POLICY)?,
            actor: field(ACTOR)?,
            refs: field(REFS)?,
        };
        envelope.check_shapes(*framed)?;
        Ok(envelope)
    }

    /// What stands in a frame that is remembered was checked when it was first read.
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
        if self.refs != br#"{"blobs":[],"events":[]}"# {
            let refs = json::parse(self.refs, Limits::READ)?;
            let lists = ["blobs", "events"].map(|key| refs.get(key).and_then(Value::as_array));
            let strings = |items: &[Value]| items.iter().all(|item| item.as_text().is_some());
            if !lists.into_iter().all(|list| list.is_some_and(strings)) {
                return Err(malformed("refs", "it must have blobs and events, both lists of strings"));
            }
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

    /// When, as written; see [`Timestamp::parse`].
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

    /// Where in [`Self::compact`] the payload stands.
    pub(crate) fn payload_place(&self) -> Range<usize> {
        self.place(self.payload)
    }

    /// Where in [`Self::compact`] the ts stands, a JSON string.
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

fn malformed(field: &'static str, problem: &str) -> Error {
    Error::Draft { field, problem: problem.to_owned() }
}

fn quoted(json: &[u8]) -> Option<&[u8]> {
    json.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn string<'a>(field: &'static str, json: &'a [u8]) -> Result<&'a [u8], Error> {
    if json.first() == Some(&b'"') { Ok(json) } else { Err(malformed(field, "it must be a string")) }
}

fn integer(json: &[u8]) -> Option<i64> {
    if (1..=18).contains(&json.len()) && json.iter().all(u8::is_ascii_digit) {
        return Some(json.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(json).ok()?.parse().ok()
}

fn event_type(json: &[u8]) -> Result<EventType, Error> {
    let word = quoted(json).and_then(|word| std::str::from_utf8(word).ok());
    word.and_then(EventType::parse).ok_or_else(|| malformed("event_type", "it is not one of the eight types"))
}

fn decode(json: &[u8]) -> Text {
    json::parse_string(json).unwrap_or_default()
}

/// Whether a JSON string, as checked by the scanner, stands for this text.
pub(crate) fn same_text(json: &[u8], text: &[u8]) -> bool {
    let inner = quoted(json).unwrap_or_default();
    if inner.contains(&b'\\') { decode(json).as_bytes() == text } else { inner == text }
}

/// Whether a JSON object, as checked by the scanner, has these members, all strings. Quick for exactly these members.
fn has_strings(json: &[u8], names: &[&str]) -> bool {
    let mut rest = json;
    let quick = names.iter().enumerate().all(|(index, name)| {
        let before: &[u8] = if index == 0 { b"{\"" } else { b",\"" };
        let value = rest
            .strip_prefix(before)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"\":\""));
        let end = value.and_then(|value| Some((value, value.iter().position(|byte| matches!(byte, b'"' | b'\\'))?)));
        match end {
            Some((value, end)) if value[end] == b'"' => {
                rest = &value[end + 1..];
                true
            }
            _ => false,
        }
    });
    if quick && rest == b"}" {
        return true;
    }
    let Ok(value) = json::parse(json, Limits::READ) else { return false };
    names.iter().all(|name| value.get(name).and_then(Value::as_text).is_some())
}

impl RunId {
    /// The id in an envelope; `None` where it holds a lone surrogate, which no writer can have stored as a column.
    pub fn from_text(text: &Text) -> Option<Self> {
        text.as_str().map(Self::new)
    }
}
