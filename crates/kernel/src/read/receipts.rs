//! Receipts: the BLOB_EXPIRE events that say who removed a blob's bytes, and when one of them excuses that.
//!
//! A receipt counts if the whole run that holds it verifies, if its `ts` is an instant, and if it does not come before the
//! last put of the blob. One of retention counts only if the retention that its run commits to allowed the removal. A
//! receipt in an imported run speaks for that run's own evidence and for no other.

use super::evidence::{Evidence, Judge, Seen};
use super::imports::Imports;
use crate::check::findings::Findings;
use crate::check::report::Check;
use crate::error::Result;
use crate::evidence::retention::Retention;
use crate::read::run::finish;
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::envelope::{Envelope, EventType, Scratch};
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::{BlobHash, RunId, Timestamp};
use receipt_core::json::{self, Limits};
use receipt_core::payload::BlobExpire;
use receipt_core::run::RunReader;
use receipt_core::verdict::Verdict;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What a BLOB_EXPIRE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) hash: BlobHash,
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) bytes_len: Option<u64>,
    class: Option<EvidenceClass>,
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
            seq: envelope.seq.get(),
            at: store::instant(envelope)?,
            bytes_len: said.bytes_len,
            class: said.class,
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

    /// Whether it is of a blob of this class. What retention removes hangs on the class.
    pub(crate) fn is_of_class(&self, class: Option<EvidenceClass>) -> bool {
        self.retention.is_none() || self.class == class
    }
}

/// The retention that a run commits to in its first event.
pub(crate) fn kept(envelope: &Envelope<'_>) -> Option<Arc<Retention>> {
    let payload = json::parse(envelope.payload_json(), Limits::READ).ok()?;
    Retention::from_value(payload.get("meta")?.get("retention")?).ok().map(Arc::new)
}

/// The last receipt of each blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts(HashMap<BlobHash, Receipt>);

impl Receipts {
    /// Whether there is one for a blob.
    pub fn contains(&self, hash: &BlobHash) -> bool {
        self.0.contains_key(hash)
    }

    /// Adds those of somewhere else.
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

/// The receipts of a ledger, each with what it speaks for.
#[derive(Debug)]
pub(crate) struct Removals {
    imports: Arc<Imports>,
    /// Those of runs that were recorded here.
    receipts: Receipts,
    /// The last one that a run has of its own, for its own evidence: the order of its events says whether it comes after a put.
    own: HashMap<RunId, HashMap<BlobHash, Receipt>>,
    /// When each of these blobs was put last by a run that was recorded here, once it was asked: `None` if that is no instant.
    puts: Mutex<Option<HashMap<BlobHash, Option<Timestamp>>>>,
    /// Whether each put of a blob is judged, so that none has to be looked for.
    whole: bool,
}

/// An event that put a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PutBy<'p> {
    pub(crate) run: &'p RunId,
    pub(crate) seq: i64,
    pub(crate) key: Option<&'p str>,
    pub(crate) ts: Option<Timestamp>,
}

impl Removals {
    /// Reads every run that has a receipt. If `whole`, the caller judges all runs and their evidence itself.
    pub(crate) fn read(store: &dyn ReadTransaction, whole: bool, imports: &Arc<Imports>) -> Result<Self> {
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
        let all = Self::of(&sound, whole, imports);
        if whole || sound.iter().all(|(_, held)| !held.puts) {
            return Ok(all);
        }
        // A run whose own evidence is not as it was put does not verify either.
        let judge = Judge::knowing(Arc::new(all));
        let mut good = Vec::new();
        for (run, held) in sound {
            if !held.puts || evidence_verifies(store, &judge, &run)? {
                good.push((run, held));
            }
        }
        Ok(Self::of(&good, whole, imports))
    }

    fn of(runs: &[(RunId, Held)], whole: bool, imports: &Arc<Imports>) -> Self {
        let (mut receipts, mut own) = (Receipts::default(), HashMap::new());
        for (run, held) in runs {
            if !imports.contains(run) {
                held.receipts.iter().for_each(|receipt| receipts.add(receipt.clone()));
            }
            if held.puts {
                own.insert(run.clone(), held.receipts.iter().map(|it| (it.hash, it.clone())).collect());
            }
        }
        Self { imports: Arc::clone(imports), receipts, own, puts: Mutex::default(), whole }
    }

    /// The receipt that excuses that a blob's bytes are gone; that of any run recorded here if no event that put it is named.
    pub(crate) fn excuse(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        put: Option<PutBy<'_>>,
    ) -> Result<Option<Receipt>> {
        let Some(put) = put else {
            let own = || self.own.values().find_map(|own| own.get(hash));
            return Ok(self.receipts.0.get(hash).or_else(own).cloned());
        };
        let own = self.own.get(put.run).and_then(|own| own.get(hash)).filter(|own| own.seq > put.seq);
        if self.imports.contains(put.run) {
            let since = self.imports.at(put.run);
            let here = self.receipts.0.get(hash).filter(|receipt| since.is_some_and(|since| receipt.at >= since));
            return Ok(own.or(here).cloned());
        }
        let Some(found) = own.or_else(|| self.receipts.cover(hash, put.key, put.ts)) else { return Ok(None) };
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

/// What is known of the blobs of one run whose bytes are gone; read when the first of them is met.
pub(crate) struct OfRun<'r> {
    store: &'r dyn ReadTransaction,
    run: &'r RunId,
    known: Option<(Removals, HashMap<BlobHash, Vec<Evidence>>)>,
}

impl<'r> OfRun<'r> {
    pub(crate) fn new(store: &'r dyn ReadTransaction, run: &'r RunId) -> Self {
        Self { store, run, known: None }
    }

    /// Whether a receipt excuses that a blob's bytes are gone, for each of the run's events, whose texts these are, that put it.
    pub(crate) fn is_receipted<'e>(
        &mut self,
        hash: &BlobHash,
        events: impl IntoIterator<Item = &'e [u8]>,
    ) -> Result<bool> {
        let (store, run) = (self.store, self.run);
        let (removals, puts) = match &mut self.known {
            Some(known) => known,
            none => {
                let imports = Arc::new(Imports::read(store)?);
                none.insert((Removals::read(store, false, &imports)?, puts_of(events)))
            }
        };
        let Some(puts) = puts.get(hash) else { return Ok(removals.excuse(store, hash, None)?.is_some()) };
        for put in puts {
            if removals.excuse(store, hash, Some(put.by(run)))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
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

/// What a run holds that was read to its end and found good.
struct Held {
    receipts: Vec<Receipt>,
    /// Whether it puts evidence of its own.
    puts: bool,
}

impl Held {
    /// `None` for a run that does not verify.
    fn read(store: &dyn ReadTransaction, run: &RunId) -> Result<Option<Self>> {
        let mut reader = RunReader::new(run.clone());
        let mut held = Self { receipts: Vec::new(), puts: false };
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

fn evidence_verifies(store: &dyn ReadTransaction, judge: &Judge<'_>, run: &RunId) -> Result<bool> {
    let (seen, mut found) = (Seen::default(), Findings::default());
    let mut reader = RunReader::new(run.clone());
    store.events(run, &mut |row| {
        let put = reader.read(row).filter(|it| it.event_type == EventType::EvidencePut);
        if let Some(put) = put.map(|put| Evidence::of(&put)) {
            judge.puts(store, run, &mut vec![put], &seen, reader.commitment().is_some(), &mut found);
        }
        Visit::Continue(())
    })?;
    Ok(found.entry(Check::Evidence).verdict != Verdict::Fail)
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
