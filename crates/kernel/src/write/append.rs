//! Appending decisions and remediations: batches, idempotency keys, references.

use super::end::End;
use super::gate::{Clean, Gate};
use super::run::{OpenRun, RunWriter};
use crate::error::{Error, Result};
use crate::evidence::redact::without_secrets;
use crate::read::head::{read_head, sound_event};
use crate::read::run::has_row;
use crate::store::{KeyRow, NewEvent, NewKey, Outcome, ReadTransaction, Scope, Visit};
use receipt_core::canonical;
use receipt_core::envelope::{EventType, Scratch, Sealed};
use receipt_core::id::{BlobRef, EventRef, RunId, Timestamp};
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
        for about in &events {
            gate.name("the run of an event that is referred to", about.run_id.as_str())?;
        }
        let payload = gate.object(payload);
        let mut ready = Self { event_type, payload, blobs, events, key: None };
        if let Some(key) = key {
            // Of the redacted payload, so that no digest of a secret is stored.
            ready.key = Some((key, ready.digest()?));
        }
        Ok(ready)
    }

    /// Whether it is compared with what is stored: it may be recorded already, or be about an event that is.
    fn looks_back(&self) -> bool {
        self.key.is_some() || !self.events.is_empty()
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
        let mut ready = events.into_iter().map(|event| Ready::new(&self.gate, event)).collect::<Result<Vec<_>>>()?;
        if self.ledger.store.limits().is_remote
            && let Some(appended) = self.append_at_once(&mut ready)?
        {
            return Ok(appended);
        }
        self.ledger.transact_anew(Scope::Run(&self.run_id), |transaction| match self.open(transaction) {
            Ok(mut run) => run.append(&mut ready),
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

/// How many events are sealed before they are stored, at most: their texts are in memory that long.
const TOGETHER: usize = 256;

/// Events that have their places, each with its instant, and are not stored yet.
struct Placed(Vec<(Sealed, Timestamp)>);

impl Placed {
    fn rows(&self) -> Vec<NewEvent<'_>> {
        self.0.iter().map(|(event, created_at)| NewEvent { event, created_at: *created_at }).collect()
    }

    fn appended(&self) -> impl Iterator<Item = Appended> {
        self.0.iter().map(|(event, _)| Appended { event_ref: event.link.event_ref(), repeated: false })
    }
}

impl End<'_> {
    /// The payload is lent to the draft and not copied: the batch may have to be written once more.
    fn place(&mut self, event: &mut Ready) -> Result<(Sealed, Timestamp)> {
        let payload = std::mem::take(&mut event.payload);
        let draft = self.draft(event.event_type, payload);
        let draft = draft.blobs(event.blobs.iter().copied()).events(event.events.iter().cloned());
        let sealed = self.seal(&draft)?;
        let ts = draft.ts;
        event.payload = draft.into_payload();
        Ok((sealed, ts))
    }
}

impl RunWriter {
    /// Appends in one round trip, behind the end that the run had a moment ago. `None`, and nothing written, if a transaction
    /// has to see to it: a later event of the batch looks back, an event is recorded already or refused, or the run goes on or
    /// has ended since.
    fn append_at_once(&self, ready: &mut [Ready]) -> Result<Option<Vec<Appended>>> {
        if ready.is_empty() || ready[1..].iter().any(Ready::looks_back) {
            return Ok(None);
        }
        let head = {
            let snapshot = self.ledger.look()?;
            let view = snapshot.view();
            let mut put = None;
            let mut sound = |event: &Ready| event.check(view.as_ref(), &self.run_id, &mut put).is_ok();
            match read_head(view.as_ref(), &self.run_id) {
                Ok(head) if ready.iter().all(&mut sound) => head,
                _ => return Ok(None),
            }
        };
        let expected = head.next.clone();
        let mut end = End { writer: self, head };
        let placed = Placed(ready.iter_mut().map(|event| end.place(event)).collect::<Result<_>>()?);
        let key = ready[0].key.as_ref();
        let key = key.map(|(key, digest)| NewKey { key, row: KeyRow { seq: expected.seq, digest: *digest } });
        match self.ledger.store.append(&placed.rows(), &expected, key)? {
            Outcome::Recorded => Ok(Some(placed.appended().collect())),
            Outcome::Replayed(_) | Outcome::Moved(_) => Ok(None),
        }
    }
}

impl OpenRun<'_> {
    fn append(&mut self, events: &mut [Ready]) -> Result<Vec<Appended>> {
        let mut appended = Vec::with_capacity(events.len());
        // An event that looks back finds the earlier ones of the batch stored.
        for events in events.chunk_by_mut(|_, next| !next.looks_back()) {
            for events in events.chunks_mut(TOGETHER) {
                self.append_together(events, &mut appended)?;
            }
        }
        Ok(appended)
    }

    /// Only the first of the events may look back.
    fn append_together(&mut self, events: &mut [Ready], appended: &mut Vec<Appended>) -> Result<()> {
        let mut placed = Placed(Vec::with_capacity(events.len()));
        for event in events {
            if let Some(found) = recorded(self.transaction, &self.writer.run_id, event)? {
                appended.push(found);
                continue;
            }
            event.check(self.transaction, &self.end.writer.run_id, &mut self.put)?;
            if let Some((key, digest)) = &event.key {
                let row = KeyRow { seq: self.head.next.seq, digest: *digest };
                self.transaction.insert_key(&self.end.writer.run_id, key, row)?;
            }
            placed.0.push(self.end.place(event)?);
        }
        self.transaction.insert_events(&placed.rows())?;
        appended.extend(placed.appended());
        Ok(())
    }
}

impl Ready {
    /// Refuses references to what this ledger does not have; `put` is as in [`OpenRun`].
    fn check(&self, store: &dyn ReadTransaction, run_id: &RunId, put: &mut Option<BTreeSet<BlobRef>>) -> Result<()> {
        check_events(store, &self.events)?;
        for blob in &self.blobs {
            let mut there = false;
            store.blob(&blob.0, &mut |_| there = true)?;
            if there {
                continue;
            }
            // Evidence that was put by its digest alone has no row. The run is read for it once, not for each reference.
            let put = match &mut *put {
                Some(put) => put,
                none => none.insert(blobs_put(store, run_id)?),
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
            return Err(Error::no_run(about.run_id.as_str()));
        }
        if !there {
            return Err(Error::EventNotFound { event: without_secrets(&about.to_string()) });
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
