//! The facts that the invariants of one run are told of its blobs.

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

/// The facts about the blobs of one run; receipts are read when the first blob is met whose bytes are gone.
pub(crate) struct OfRun<'r> {
    store: &'r dyn ReadTransaction,
    run: &'r RunId,
    removals: Option<Removals>,
    puts: Option<HashMap<BlobHash, Vec<Evidence>>>,
    /// The facts without bytes. A replay asks for each evaluation, and hashing a blob each time would have no limit.
    known: HashMap<BlobHash, BlobFact>,
}

impl<'r> OfRun<'r> {
    pub(crate) fn new(store: &'r dyn ReadTransaction, run: &'r RunId) -> Self {
        Self { store, run, removals: None, puts: None, known: HashMap::new() }
    }

    /// The fact that invariants are told of a blob, by each of the run's events, whose texts these are, that put it.
    pub(crate) fn fact<'e>(
        &mut self,
        hash: &BlobHash,
        bytes: bool,
        events: impl IntoIterator<Item = &'e [u8]>,
    ) -> BlobFact {
        if let Some(known) = self.known.get(hash).filter(|_| !bytes) {
            return known.clone();
        }
        let mut fact = store::blob_fact(self.store, hash, bytes);
        if matches!(fact, BlobFact::Removed | BlobFact::Missing) {
            let judged = self.judged(hash, &fact, events);
            fact = judged.unwrap_or_else(|error| BlobFact::Unreadable { problem: error.to_string() });
        }
        if !bytes {
            self.known.insert(*hash, fact.clone());
        }
        fact
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

/// The events that put each blob.
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

#[cfg(test)]
mod tests {
    use super::OfRun;
    use crate::{Actor, Ledger, Object, Policy, Put};
    use receipt_core::evidence::BlobFact;

    #[test]
    fn a_blob_whose_bytes_nobody_wants_is_hashed_once_however_often_somebody_asks() {
        let (full, empty) = (Ledger::in_memory(), Ledger::in_memory());
        let policy = Policy::structural().unwrap();
        let mut run = full.start("r", policy, Actor::new("system", "test"), Object::new()).unwrap();
        let hash = run.put("log", b"a log", Put::text()).unwrap().hash;
        let (snapshot, other) = (full.look().unwrap(), empty.look().unwrap());
        let (view, nothing) = (snapshot.view(), other.view());
        let mut evidence = OfRun::new(view.as_ref(), run.run_id());
        let first = evidence.fact(&hash, false, []);
        assert_eq!(first, BlobFact::Intact { bytes_len: 5, bytes: None });
        // A store that has nothing shows whether it is asked.
        evidence.store = nothing.as_ref();
        assert_eq!(evidence.fact(&hash, false, []), first);
        assert_eq!(evidence.fact(&hash, true, []), BlobFact::Missing, "the control");
    }
}
