//! When a receipt excuses that bytes are gone.
//!
//! A receipt counts if the whole run that holds it verifies, if its `ts` is an instant, and if it does not come before the
//! last put of the blob. One of retention counts only if the retention that its run commits to allowed the removal. A
//! receipt in an imported run speaks for that run's own evidence and for no other.

use super::receipt::{Receipt, Receipts, kept};
use super::{Evidence, PutBy};
use crate::error::Result;
use crate::read::imports::Imports;
use crate::read::run::finish;
use crate::store::{ReadTransaction, Visit};
use receipt_core::envelope::EventType;
use receipt_core::id::{BlobHash, RunId, Timestamp};
use receipt_core::run::RunReader;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// The receipts of a ledger, each with what it speaks for.
#[derive(Debug)]
pub(crate) struct Removals {
    pub(super) imports: Arc<Imports>,
    /// Those of runs that were recorded here.
    receipts: Receipts,
    /// The last one that a run has of its own, for its own evidence: the order of its events says whether it comes after a put.
    own: HashMap<RunId, HashMap<BlobHash, Receipt>>,
    /// When each of these blobs was put last by a run that was recorded here, once it was asked: `None` if that is no instant.
    puts: Mutex<Option<HashMap<BlobHash, Option<Timestamp>>>>,
    /// Whether each put of a blob is judged, so that none has to be looked for.
    whole: bool,
}

/// Whether a run's own evidence verifies with the receipts that are known so far.
pub(crate) type Verifies<'v> = &'v dyn Fn(&Arc<Removals>, &RunId) -> Result<bool>;

impl Removals {
    /// Reads every run that has a receipt. Without `verifies`, the caller judges all runs and their evidence itself.
    pub(crate) fn read(
        store: &dyn ReadTransaction,
        imports: &Arc<Imports>,
        verifies: Option<Verifies<'_>>,
    ) -> Result<Self> {
        let mut runs = BTreeSet::new();
        store.expiries(&mut |run, _| {
            runs.extend(run.as_str().map(RunId::new));
            Visit::Continue(())
        })?;
        let mut sound = Vec::new();
        for run in runs {
            if let Some(held) = Held::read(store, &run)? {
                sound.push((run, held));
            }
        }
        let all = Arc::new(Self::of(&sound, verifies.is_none(), imports));
        // A run whose own evidence is not as it was put does not verify either, and speaks for no other.
        for (run, held) in &mut sound {
            if let Some(verifies) = verifies.filter(|_| held.puts) {
                held.alone = !verifies(&all, run)?;
            }
        }
        Ok(Self::of(&sound, verifies.is_none(), imports))
    }

    fn of(runs: &[(RunId, Held)], whole: bool, imports: &Arc<Imports>) -> Self {
        let (mut receipts, mut own) = (Receipts::default(), HashMap::new());
        for (run, held) in runs {
            if !imports.contains(run) && !held.alone {
                held.receipts.iter().for_each(|receipt| receipts.add(receipt.clone()));
            }
            if held.puts {
                own.insert(run.clone(), held.receipts.iter().map(|it| (it.hash, it.clone())).collect());
            }
        }
        Self { imports: Arc::clone(imports), receipts, own, puts: Mutex::default(), whole }
    }

    /// Whether the run was imported.
    pub(crate) fn is_imported(&self, run: &RunId) -> bool {
        self.imports.contains(run)
    }

    /// The receipt that excuses that a blob's bytes are gone. If no event that put it is named, a run recorded here has to say
    /// so: an imported run speaks for its own evidence alone.
    pub(crate) fn excuse(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        put: Option<PutBy<'_>>,
    ) -> Result<Option<Receipt>> {
        let Some(put) = put else { return Ok(self.receipts.0.get(hash).cloned()) };
        // In one run the order of the events decides, and not their time.
        let of_run = self.own.get(put.run).and_then(|own| own.get(hash));
        let own = of_run.filter(|own| own.seq > put.seq);
        if self.imports.contains(put.run) {
            let since = self.imports.at(put.run);
            let here = self.receipts.0.get(hash).filter(|receipt| since.is_some_and(|since| receipt.at >= since));
            return Ok(own.or(here).cloned());
        }
        let elsewhere = || self.receipts.cover(hash, put.key, put.ts).filter(|receipt| Some(*receipt) != of_run);
        let Some(found) = own.or_else(elsewhere) else { return Ok(None) };
        let last = self.whole || self.is_last(store, found)?;
        Ok(last.then(|| found.clone()))
    }

    /// Whether nothing recorded here has put the blob again since.
    fn is_last(&self, store: &dyn ReadTransaction, receipt: &Receipt) -> Result<bool> {
        let mut puts = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        if puts.is_none() {
            *puts = Some(self.last_puts(store)?);
        }
        let last = puts.as_ref().and_then(|puts| puts.get(&receipt.hash));
        Ok(last.is_some_and(|last| last.is_some_and(|last| receipt.at >= last)))
    }

    fn last_puts(&self, store: &dyn ReadTransaction) -> Result<HashMap<BlobHash, Option<Timestamp>>> {
        let mut last = HashMap::new();
        let mut own: BTreeSet<BlobHash> = self.receipts.0.keys().copied().collect();
        own.extend(self.own.values().flat_map(HashMap::keys));
        each_put(store, &|hash| own.contains(hash), &mut |run, put, _| {
            if let Some((hash, _)) = put.blob().filter(|_| !self.imports.contains(run)) {
                let last = last.entry(hash).or_insert(put.ts);
                *last = last.zip(put.ts).map(|(last, ts)| last.max(ts));
            }
        })?;
        Ok(last)
    }
}

/// The receipts of a run that was read to its end and verifies.
struct Held {
    receipts: Vec<Receipt>,
    /// Whether it puts evidence of its own.
    puts: bool,
    /// Whether its receipts count for its own evidence alone.
    alone: bool,
}

impl Held {
    /// `None` for a run that does not verify.
    fn read(store: &dyn ReadTransaction, run: &RunId) -> Result<Option<Self>> {
        let mut reader = RunReader::new(run.clone());
        let mut held = Self { receipts: Vec::new(), puts: false, alone: false };
        let mut retention = None;
        store.events(run, &mut |row| {
            let Some(envelope) = reader.read(row) else { return Visit::Continue(()) };
            match envelope.event_type {
                EventType::RunStart => retention = kept(&envelope),
                EventType::EvidencePut => held.puts = true,
                _ => held.receipts.extend(Receipt::of(&envelope, retention.as_ref())),
            }
            Visit::Continue(())
        })?;
        let facts = finish(store, run, |row| reader.finish(row))?;
        Ok(facts.is_clean().then_some(held))
    }
}

/// Shows every event of every run that puts one of the blobs that are `wanted`, and whether its run verifies.
pub(crate) fn each_put(
    store: &dyn ReadTransaction,
    wanted: &dyn Fn(&BlobHash) -> bool,
    visit: &mut dyn FnMut(&RunId, &Evidence, bool),
) -> Result<()> {
    let mut runs = Vec::new();
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    for run in runs {
        let mut reader = RunReader::new(run.clone());
        let mut puts = Vec::new();
        store.events(&run, &mut |row| {
            let put = reader.read(row).filter(|it| it.event_type == EventType::EvidencePut);
            let put = put.map(|put| Evidence::of(&put));
            puts.extend(put.filter(|put| put.blob().is_some_and(|(hash, _)| wanted(&hash))));
            Visit::Continue(())
        })?;
        let sound = finish(store, &run, |row| reader.finish(row))?.is_clean();
        for put in &puts {
            visit(&run, put, sound);
        }
    }
    Ok(())
}
