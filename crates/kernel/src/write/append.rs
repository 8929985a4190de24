//! Appending decisions and remediations: batches, idempotency keys, references.

use super::gate::{Clean, Gate};
use super::run::{OpenRun, RunWriter};
use crate::error::{Error, Result};
use crate::read::head::sound_event;
use crate::read::run::has_row;
use crate::store::{KeyRow, ReadTransaction, Scope, Visit};
use receipt_core::canonical;
use receipt_core::envelope::{EventType, Scratch};
use receipt_core::id::{BlobRef, EventRef, RunId};
use receipt_core::json::{Limits, Object, Value};
use receipt_core::payload::EvidencePut;
use receipt_core::run::EventRow;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What is to be appended to a run.
#[derive(Clone, Debug)]
pub struct Append {
    /// DECISION or REMEDIATION; the other types have operations of their own.
    pub event_type: EventType,
    /// What there is to say.
    pub payload: Object,
    /// Blobs that it is about.
    pub blobs: Vec<BlobRef>,
    /// Events that it is about.
    pub events: Vec<EventRef>,
    /// The idempotency key: the same key twice gives the same event once.
    pub key: Option<String>,
}

impl Append {
    /// An event of this type that says this.
    pub fn new(event_type: EventType, payload: Object) -> Self {
        Self { event_type, payload, blobs: Vec::new(), events: Vec::new(), key: None }
    }

    /// The same under an idempotency key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same referring to an event.
    #[must_use]
    pub fn about(mut self, event: EventRef) -> Self {
        self.events.push(event);
        self
    }
}

/// What is to be appended, after the gate.
struct Ready {
    event_type: EventType,
    payload: Clean<Object>,
    blobs: Vec<BlobRef>,
    events: Vec<EventRef>,
    /// The idempotency key, and the digest of what it stands for: everything but the time and the place.
    key: Option<(String, [u8; 32])>,
}

impl Ready {
    fn new(gate: &Gate, event: Append) -> Result<Self> {
        let Append { event_type, payload, blobs, events, key } = event;
        check_type(event_type)?;
        let key = key.map(|key| gate.name("the idempotency key", &key).map(|key| (*key).to_owned())).transpose()?;
        let payload = gate.object(payload);
        let mut ready = Self { event_type, payload, blobs, events, key: None };
        if let Some(key) = key {
            // Of the redacted payload, so that no digest of a secret is stored.
            ready.key = Some((key, ready.digest()?));
        }
        Ok(ready)
    }

    fn digest(&self) -> Result<[u8; 32]> {
        let text = |value: Value| canonical::to_bytes(&value, Limits::WRITE);
        let blobs = text(self.blobs.iter().map(BlobRef::to_string).collect::<Vec<_>>().into())?;
        let events = text(self.events.iter().map(EventRef::to_string).collect::<Vec<_>>().into())?;
        let payload = text(self.payload.clone().into_inner().into())?;
        Ok(digest_of(self.event_type, &payload, [&blobs, &events]))
    }
}

/// The digest of `{"blobs", "event_type", "events", "payload"}` in canonical text, whose parts are in it already.
fn digest_of(event_type: EventType, payload: &[u8], [blobs, events]: [&[u8]; 2]) -> [u8; 32] {
    let event_type = event_type.as_str().as_bytes();
    let parts: [&[u8]; 9] = [
        b"{\"blobs\":",
        blobs,
        b",\"event_type\":\"",
        event_type,
        b"\",\"events\":",
        events,
        b",\"payload\":",
        payload,
        b"}",
    ];
    parts.into_iter().fold(Sha256::new(), Digest::chain_update).finalize().into()
}

/// An event that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where it is.
    pub event_ref: EventRef,
    /// Whether it was there before, under the same idempotency key.
    pub repeated: bool,
}

impl RunWriter {
    /// Appends a DECISION or a REMEDIATION.
    ///
    /// # Errors
    /// [`Error::ReservedType`] for other types; [`Error::EventNotFound`], [`Error::RunNotFound`] and
    /// [`Error::BlobNotFound`] for a reference to what this ledger does not have; [`Error::KeyConflict`];
    /// [`Error::SecretName`]; [`Error::TooLarge`]; [`Error::RunFinalized`].
    pub fn append(&mut self, event: Append) -> Result<Appended> {
        let mut appended = self.append_batch(vec![event])?;
        appended.pop().ok_or_else(|| Error::internal("an append gave no event"))
    }

    /// Appends many in one transaction: all or none. An event may refer to an earlier one of the batch.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_batch(&mut self, events: Vec<Append>) -> Result<Vec<Appended>> {
        let ready = events.into_iter().map(|event| Ready::new(&self.gate, event)).collect::<Result<Vec<_>>>()?;
        self.ledger.transact_anew(Scope::Run(&self.run_id), |transaction| match self.open(transaction) {
            Ok(mut run) => ready.iter().map(|event| run.append(event)).collect(),
            // What was recorded before the end is acknowledged after it too: a retry must not look like a loss.
            Err(ended @ Error::RunFinalized { .. }) => {
                let all = ready
                    .iter()
                    .map(|event| recorded(transaction, &self.run_id, event))
                    .collect::<Result<Option<Vec<_>>>>()?;
                all.filter(|all| !all.is_empty()).ok_or(ended)
            }
            Err(error) => Err(error),
        })
    }
}

impl OpenRun<'_> {
    fn append(&mut self, event: &Ready) -> Result<Appended> {
        let run_id = &self.writer.run_id;
        if let Some(appended) = recorded(self.transaction, run_id, event)? {
            return Ok(appended);
        }
        check_events(self.transaction, &event.events)?;
        self.check_blobs(&event.blobs)?;
        if let Some((key, digest)) = &event.key {
            let row = KeyRow { seq: self.head.next.seq, digest: *digest };
            self.transaction.insert_key(run_id, key, row)?;
        }
        let draft = self.draft(event.event_type, event.payload.clone());
        self.write(&draft.blobs(event.blobs.iter().copied()).events(event.events.iter().cloned()))
    }

    /// Refuses a reference to a blob that this ledger does not have.
    fn check_blobs(&mut self, blobs: &[BlobRef]) -> Result<()> {
        for blob in blobs {
            let mut there = false;
            self.transaction.blob(&blob.0, &mut |_| there = true)?;
            if there {
                continue;
            }
            // Evidence that was put by its digest alone has no row. The run is read for it once, not for each reference.
            let put = match &mut self.put {
                Some(put) => put,
                none => none.insert(blobs_put(self.transaction, &self.writer.run_id)?),
            };
            if !put.contains(blob) {
                return Err(Error::BlobNotFound { blob: blob.to_string() });
            }
        }
        Ok(())
    }
}

/// The event that an append's idempotency key stands for, where it was appended before.
fn recorded(store: &dyn ReadTransaction, run_id: &RunId, event: &Ready) -> Result<Option<Appended>> {
    let Some((key, digest)) = &event.key else { return Ok(None) };
    let Some(row) = store.key(run_id, key)? else { return Ok(None) };
    let event_ref = EventRef { run_id: run_id.clone(), seq: row.seq };
    // The row is no evidence of what was recorded. The stored event is: it is hashed and compared.
    let mut stored = None;
    store.event(run_id, row.seq, &mut |row| stored = Some(stored_digest(run_id, row)))?;
    let Some(stored) = stored else {
        let problem = format!("{event_ref}, which an idempotency key stands for, is gone");
        return Err(Error::RunBroken { run: run_id.to_string(), problem });
    };
    if stored? != Some(*digest) {
        return Err(Error::KeyConflict { key: key.clone(), at: event_ref.to_string() });
    }
    Ok(Some(Appended { event_ref, repeated: true }))
}

/// The digest of a stored event, as [`Ready::digest`] gives it; `None` if no append could have written the event.
fn stored_digest(run_id: &RunId, row: &EventRow<'_>) -> Result<Option<[u8; 32]>> {
    let mut scratch = Scratch::default();
    let envelope = sound_event(run_id, row, &mut scratch)?;
    let list = |name| canonical::member(envelope.refs_json(), name);
    let refs = list("blobs").zip(list("events"));
    Ok(refs.map(|(blobs, events)| digest_of(envelope.event_type, envelope.payload_json(), [blobs, events])))
}

/// Refuses a reference to an event that this ledger does not have.
fn check_events(store: &dyn ReadTransaction, events: &[EventRef]) -> Result<()> {
    for about in events {
        let mut there = false;
        store.event(&about.run_id, about.seq, &mut |_| there = true)?;
        if !there && !has_row(store, &about.run_id)? {
            return Err(Error::RunNotFound { run: about.run_id.to_string() });
        }
        if !there {
            return Err(Error::EventNotFound { event: about.to_string() });
        }
    }
    Ok(())
}

/// The blobs that a run has put.
fn blobs_put(store: &dyn ReadTransaction, run_id: &RunId) -> Result<BTreeSet<BlobRef>> {
    let mut found = BTreeSet::new();
    store.events(run_id, &mut |row| {
        let mut scratch = Scratch::default();
        let envelope = sound_event(run_id, row, &mut scratch).ok();
        let put = envelope.filter(|envelope| envelope.event_type == EventType::EvidencePut);
        found.extend(put.and_then(|put| EvidencePut::of_envelope(&put).hash.ok()).map(BlobRef));
        Visit::Continue(())
    })?;
    Ok(found)
}

fn check_type(event_type: EventType) -> Result<()> {
    let instead = match event_type {
        EventType::Decision | EventType::Remediation => return Ok(()),
        EventType::RunStart => "start a run",
        EventType::StageAdvance => "advance the run",
        EventType::EvidencePut => "put the evidence",
        EventType::Evaluation => "evaluate the run",
        EventType::RunFinalize => "finalize the run",
        EventType::BlobExpire => "retention writes it",
        EventType::Own => "use one of the eight types",
    };
    Err(Error::ReservedType { event_type: event_type.as_str(), instead })
}
