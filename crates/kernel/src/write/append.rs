//! Appending decisions and remediations: batches, idempotency keys, references.

use super::run::{OpenRun, RunWriter};
use crate::error::{Error, Result};
use crate::store::{KeyRow, ReadTransaction};
use receipt_core::canonical;
use receipt_core::envelope::{Draft, EventType};
use receipt_core::id::{BlobRef, EventRef, RunId};
use receipt_core::json::{Limits, Object, Value};
use sha2::{Digest, Sha256};

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

    /// What the idempotency key stands for: everything but the time and the place.
    fn digest(&self) -> Result<[u8; 32]> {
        let list = |items: Vec<String>| Value::from(items);
        let whole = Object::from_iter([
            ("event_type", Value::from(self.event_type.as_str())),
            ("payload", self.payload.clone().into()),
            ("blobs", list(self.blobs.iter().map(BlobRef::to_string).collect())),
            ("events", list(self.events.iter().map(EventRef::to_string).collect())),
        ]);
        Ok(Sha256::digest(canonical::to_bytes(&whole.into(), Limits::WRITE)?).into())
    }
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
    /// [`Error::ReservedType`] for other types; [`Error::KeyConflict`]; [`Error::SecretName`]; [`Error::TooLarge`];
    /// [`Error::RunFinalized`].
    pub fn append(&mut self, event: Append) -> Result<Appended> {
        let mut appended = self.append_batch(vec![event])?;
        appended.pop().ok_or_else(|| Error::store("an append gave no event"))
    }

    /// Appends many in one transaction: all or none.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_batch(&mut self, events: Vec<Append>) -> Result<Vec<Appended>> {
        let redactor = self.ledger.redactor()?;
        let mut ready = Vec::with_capacity(events.len());
        for mut event in events {
            check_type(event.event_type)?;
            if let Some(key) = &event.key {
                redactor.refuse_secret("the idempotency key", key)?;
            }
            redactor.redact_object(&mut event.payload);
            // Of the redacted payload, so that no digest of a secret is stored.
            let digest = event.key.is_some().then(|| event.digest()).transpose()?;
            ready.push((event, digest));
        }
        self.ledger.transact(|transaction| match self.open(transaction) {
            Ok(mut run) => ready.into_iter().map(|(event, digest)| run.append(event, digest)).collect(),
            // What was recorded before the end is acknowledged after it too: a retry must not look like a loss.
            Err(ended @ Error::RunFinalized { .. }) => {
                let repeated = |(event, digest): &(Append, _)| recorded(transaction, &self.run_id, event, *digest);
                let all = ready.iter().map(repeated).collect::<Result<Option<Vec<_>>>>()?;
                all.filter(|all| !all.is_empty()).ok_or(ended)
            }
            Err(error) => Err(error),
        })
    }
}

impl OpenRun<'_> {
    fn append(&mut self, event: Append, digest: Option<[u8; 32]>) -> Result<Appended> {
        let run_id = &self.writer.run_id;
        if let Some(appended) = recorded(self.transaction, run_id, &event, digest)? {
            return Ok(appended);
        }
        if let Some((key, digest)) = event.key.as_deref().zip(digest) {
            let row = KeyRow { seq: self.head.next.seq, digest };
            self.transaction.insert_key(run_id, key, row)?;
        }
        let Append { event_type, payload, blobs, events, .. } = event;
        let draft = Draft { blobs, events, ..self.draft(event_type, payload) };
        self.write(draft)
    }
}

/// The event that an append's idempotency key stands for, where it was appended before.
fn recorded(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    event: &Append,
    digest: Option<[u8; 32]>,
) -> Result<Option<Appended>> {
    let Some((key, digest)) = event.key.as_deref().zip(digest) else { return Ok(None) };
    let Some(row) = store.key(run_id, key)? else { return Ok(None) };
    let event_ref = EventRef { run_id: run_id.clone(), seq: row.seq };
    if row.digest != digest {
        return Err(Error::KeyConflict { key: key.to_owned(), at: event_ref.to_string() });
    }
    let mut there = false;
    store.event(run_id, row.seq, &mut |_| there = true)?;
    if !there {
        let problem = format!("{event_ref}, which an idempotency key stands for, is gone");
        return Err(Error::RunBroken { run: run_id.to_string(), problem });
    }
    Ok(Some(Appended { event_ref, repeated: true }))
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
    };
    Err(Error::ReservedType { event_type: event_type.as_str(), instead })
}
