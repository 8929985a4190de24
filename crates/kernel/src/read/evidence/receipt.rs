//! Receipts: the BLOB_EXPIRE events that say who removed a blob's bytes, and when.

use crate::evidence::retention::policy::Retention;
use crate::store;
use receipt_core::canonical;
use receipt_core::envelope::{Envelope, EventType};
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::{BlobHash, RunId, Timestamp};
use receipt_core::json::{self, Limits};
use receipt_core::payload::BlobExpire;
use std::collections::HashMap;
use std::sync::Arc;

/// A BLOB_EXPIRE event, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) hash: BlobHash,
    pub(crate) run: RunId,
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) bytes_len: Option<u64>,
    class: Option<EvidenceClass>,
    /// The blob that has the bytes without their secrets, if a redaction removed them.
    pub(crate) replaced_by: Option<BlobHash>,
    /// Whether retention removed the bytes, and until when it says that they were kept.
    retention: Option<(Option<Timestamp>, Option<Arc<Retention>>)>,
}

impl Receipt {
    /// `None` for one that names no blob, has no instant, or says that nothing was removed by it. `kept` is the retention
    /// that its run commits to.
    pub(crate) fn of(envelope: &Envelope<'_>, kept: Option<&Arc<Retention>>) -> Option<Self> {
        if envelope.event_type != EventType::BlobExpire {
            return None;
        }
        let said = BlobExpire::parse(envelope.payload_json()).filter(|said| said.removes)?;
        Some(Self {
            hash: said.hash,
            run: RunId::new(envelope.run_id().to_string_lossy()),
            seq: envelope.seq.get(),
            at: store::instant(envelope)?,
            bytes_len: said.bytes_len,
            class: said.class,
            replaced_by: said.replaced_by,
            retention: said.by_retention.then(|| (said.kept_until, kept.cloned())),
        })
    }

    /// Whether it excuses that what was put then, under this key, is gone.
    fn covers(&self, key: Option<&str>, put: Timestamp) -> bool {
        if self.at < put {
            return false;
        }
        let Some((until, kept)) = &self.retention else { return true };
        let Some(until) = until.filter(|until| *until >= put && *until <= self.at) else { return false };
        let Some(kept) = kept else { return true };
        let class = self.class.unwrap_or_default();
        kept.until(key.unwrap_or_default(), class, put).is_some_and(|wanted| wanted <= until)
    }

    /// Whether it is of a blob of this class. Retention goes by the class.
    pub(crate) fn is_of_class(&self, class: Option<EvidenceClass>) -> bool {
        self.retention.is_none() || self.class == class
    }
}

/// The retention that a run commits to in its first event.
pub(crate) fn kept(envelope: &Envelope<'_>) -> Option<Arc<Retention>> {
    let meta = canonical::member(envelope.payload_json(), "meta")?;
    let retention = json::parse(canonical::member(meta, "retention")?, Limits::READ).ok()?;
    Retention::from_value(&retention).ok().map(Arc::new)
}

/// The last receipt of each blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts(pub(super) HashMap<BlobHash, Receipt>);

impl Receipts {
    /// Whether there is one for a blob.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.0.contains_key(hash)
    }

    pub(crate) fn get(&self, hash: &BlobHash) -> Option<&Receipt> {
        self.0.get(hash)
    }

    /// Adds receipts from somewhere else.
    pub fn extend(&mut self, others: &Self) {
        others.0.values().for_each(|receipt| self.add(receipt.clone()));
    }

    pub(crate) fn add(&mut self, receipt: Receipt) {
        let last = self.0.entry(receipt.hash).or_insert_with(|| receipt.clone());
        if receipt.at >= last.at {
            *last = receipt;
        }
    }

    /// The one that excuses that what an event put is gone.
    pub(crate) fn cover(&self, hash: &BlobHash, key: Option<&str>, put: Option<Timestamp>) -> Option<&Receipt> {
        self.0.get(hash).filter(|receipt| put.is_some_and(|put| receipt.covers(key, put)))
    }
}
