//! Evidence, judged: the words of a run's events are held against the bytes that lie there.
//!
//! [`case`] alone judges the facts. [`ledger`] gathers them from a ledger, `bundle/told.rs` from a bundle,
//! and [`of_run`] for the invariants of one run. [`removals`] says which [`receipt`] counts.

pub(crate) mod case;
pub(crate) mod ledger;
pub(crate) mod of_run;
pub(crate) mod receipt;
pub(crate) mod removals;
pub(crate) mod together;

use crate::store;
use receipt_core::envelope::Envelope;
use receipt_core::id::{RunId, Timestamp};
use receipt_core::payload::EvidencePut;
use receipt_core::verdict::Reason;
use std::ops::Deref;

/// An EVIDENCE_PUT: where it stands, and what it says.
pub(crate) struct Evidence {
    pub(crate) seq: i64,
    pub(crate) ts: Option<Timestamp>,
    said: EvidencePut,
}

/// An event that put a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBy<'p> {
    pub(crate) run: &'p RunId,
    pub(crate) seq: i64,
    pub(crate) key: Option<&'p str>,
    pub(crate) ts: Option<Timestamp>,
}

impl Deref for Evidence {
    type Target = EvidencePut;

    fn deref(&self) -> &EvidencePut {
        &self.said
    }
}

impl Evidence {
    pub(crate) fn of(envelope: &Envelope<'_>) -> Self {
        let said = EvidencePut::of_envelope(envelope);
        Self { seq: envelope.seq.get(), ts: store::instant(envelope), said }
    }

    /// The flaw in the event's claim, if it has one.
    pub(crate) fn malformed(&self, committed: bool) -> Option<Reason> {
        self.said.claim_flaw(committed).map(|flaw| Reason::new("EVIDENCE_MALFORMED", flaw.msg))
    }

    /// The event, of this run, as a receipt is compared with it.
    pub(crate) fn by<'p>(&'p self, run: &'p RunId) -> PutBy<'p> {
        PutBy { run, seq: self.seq, key: self.key(), ts: self.ts }
    }
}
