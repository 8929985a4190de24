//! What the invariants of one run are told of its blobs.

use super::Evidence;
use super::case::{Case, Form, Lies, Said};
use super::ledger::{Row, removals};
use super::removals::Removals;
use crate::error::Result;
use crate::read::imports::Imports;
use crate::store::{self, ReadTransaction};
use receipt_core::envelope::{Envelope, EventType, Scratch};
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobHash, RunId};
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of the blobs of one run whose bytes are gone; read when the first of them is met.
pub(crate) struct OfRun<'r> {
    store: &'r dyn ReadTransaction,
    run: &'r RunId,
    removals: Option<Removals>,
    puts: Option<HashMap<BlobHash, Vec<Evidence>>>,
}

impl<'r> OfRun<'r> {
    pub(crate) fn new(store: &'r dyn ReadTransaction, run: &'r RunId) -> Self {
        Self { store, run, removals: None, puts: None }
    }

    /// What invariants are told of a blob, by each of the run's events, whose texts these are, that put it.
    pub(crate) fn fact<'e>(
        &mut self,
        hash: &BlobHash,
        bytes: bool,
        events: impl IntoIterator<Item = &'e [u8]>,
    ) -> BlobFact {
        let fact = store::blob_fact(self.store, hash, bytes);
        if !matches!(fact, BlobFact::Removed | BlobFact::Missing) {
            return fact;
        }
        self.judged(hash, &fact, events).unwrap_or_else(|error| BlobFact::Unreadable { problem: error.to_string() })
    }

    /// The worst that follows for any of the events.
    fn judged<'e>(
        &mut self,
        hash: &BlobHash,
        fact: &BlobFact,
        events: impl IntoIterator<Item = &'e [u8]>,
    ) -> Result<BlobFact> {
        let (store, run) = (self.store, self.run);
        let puts = self.puts.get_or_insert_with(|| puts_of(events)).get(hash).map(Vec::as_slice).unwrap_or_default();
        if *fact == BlobFact::Missing && puts.iter().any(|put| put.by_digest) {
            return Ok(BlobFact::Elsewhere);
        }
        if *fact == BlobFact::Missing && puts.is_empty() {
            return Ok(BlobFact::Missing);
        }
        let removals = match &mut self.removals {
            Some(removals) => removals,
            none => none.insert(removals(store, &Arc::new(Imports::read(store)?))?),
        };
        let (row, form) = (Row::read(store, hash)?, Form::Ledger { imported: removals.imports.contains(run) });
        let mut worst = None;
        for put in puts.iter().map(Some).chain(puts.is_empty().then_some(None)) {
            let receipt = removals.excuse(store, hash, put.map(|put| put.by(run)))?;
            let said = put.and_then(|put| Some(Said::of(put, put.bytes_len?, false, |it| it)));
            let case = Case::new(form, Lies::Found(fact.clone()), row.held(), said);
            let judged = Case { receipt: receipt.as_ref(), ..case }.judge().fact;
            if judged != BlobFact::Expired {
                return Ok(judged);
            }
            worst = Some(judged);
        }
        Ok(worst.unwrap_or_else(|| fact.clone()))
    }
}

/// What each blob was put by.
fn puts_of<'e>(events: impl IntoIterator<Item = &'e [u8]>) -> HashMap<BlobHash, Vec<Evidence>> {
    let (mut puts, mut scratch) = (HashMap::<_, Vec<_>>::new(), Scratch::default());
    for text in events {
        let envelope = Envelope::read(text, &mut scratch).ok();
        let put = envelope.filter(|it| it.event_type == EventType::EvidencePut).map(|it| Evidence::of(&it));
        if let Some((put, (hash, _))) = put.and_then(|put| put.blob().map(|blob| (put, blob))) {
            puts.entry(hash).or_default().push(put);
        }
    }
    puts
}
