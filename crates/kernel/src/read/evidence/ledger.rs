//! The facts about the evidence of a ledger, or of some of its runs.

use super::Evidence;
use super::case::{Case, File, Form, Held, Lies, Said, other_length};
use super::receipt::Receipt;
use super::removals::{Removals, each_put};
use super::together::Together;
use crate::check::excuses::Excuses;
use crate::check::findings::Findings;
use crate::check::report::Check;
use crate::error::Result;
use crate::evidence::digest::Digest256;
use crate::read::imports::Imports;
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::envelope::EventType;
use receipt_core::evidence::{BlobFact, BlobRecord, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId};
use receipt_core::run::RunReader;
use receipt_core::verdict::{Reason, Verdict};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Arguments;
use std::sync::{Arc, Mutex, PoisonError};

/// Of how many blobs it is remembered that their row is not what an event says.
const MAX_DOUBTS: usize = 65_536;

/// Judges the evidence of a ledger, or of some of its runs. Threads share it.
pub(crate) struct Judge<'a> {
    /// Whether the whole ledger is checked: then each blob is hashed once, by itself, and not for each event.
    whole: bool,
    /// Files that are kept elsewhere.
    files: &'a [(String, Digest256)],
    /// The keys of those that were not asked for yet.
    unused: Mutex<BTreeSet<String>>,
    /// Blobs whose row is not what an event says, which may be because of others that put the same bytes; and that event.
    doubts: Mutex<HashMap<BlobHash, String>>,
    /// Read when they are first needed: which runs were imported, and the receipts of removals.
    imports: Mutex<Option<Arc<Imports>>>,
    removals: Mutex<Option<Arc<Removals>>>,
    /// The receipts that counted, if there are anchors to hold them against.
    excuses: Option<Mutex<Excuses>>,
}

/// An event that put a blob, and where it stands.
#[derive(Clone, Copy)]
struct Put<'p> {
    pointer: Arguments<'p>,
    run: &'p RunId,
    said: &'p Evidence,
    bytes_len: u64,
}

/// Until a row is not what an event says, nobody asks whether the run was imported.
const OWN: Form = Form::Ledger { imported: false };

/// The columns of a blob's row.
pub(crate) struct Row {
    /// As [`store::blob_state`] has it.
    fact: BlobFact,
    bytes_len: Option<u64>,
    class: Option<EvidenceClass>,
    content_type: Option<String>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(whole: bool, files: &'a [(String, Digest256)]) -> Self {
        Self {
            whole,
            files,
            unused: Mutex::new(files.iter().map(|(key, _)| key.clone()).collect()),
            doubts: Mutex::default(),
            imports: Mutex::default(),
            removals: Mutex::default(),
            excuses: None,
        }
    }

    /// Keeps the receipts that count.
    pub(crate) fn keeping_excuses(mut self, keep: bool) -> Self {
        self.excuses = keep.then(Mutex::default);
        self
    }

    /// Those that were kept.
    pub(crate) fn into_excuses(self) -> Excuses {
        let kept = self.excuses.map(|kept| kept.into_inner().unwrap_or_else(PoisonError::into_inner));
        kept.unwrap_or_default()
    }

    /// A judge of some runs, with these receipts and no others.
    pub(crate) fn knowing(removals: Arc<Removals>) -> Self {
        let judge = Self::new(false, &[]);
        Self { removals: Mutex::new(Some(removals)), ..judge }
    }

    /// Judges the evidence that the events of a run say they put.
    pub(crate) fn puts(
        &self,
        store: &dyn ReadTransaction,
        run: &RunId,
        puts: &mut Vec<Evidence>,
        seen: &Seen,
        committed: bool,
        found: &mut Findings,
    ) {
        for said in puts.drain(..) {
            let pointer = format_args!("event://{run}/{}", said.seq);
            if let Some(reason) = said.malformed(committed) {
                found.find(Check::Evidence, Verdict::Fail, reason.at(pointer));
            }
            let Some((hash, bytes_len)) = said.blob() else { continue };
            let put = Put { pointer, run, said: &said, bytes_len };
            let first = seen.first(hash, bytes_len);
            if let Some((verdict, code, msg)) = first.and_then(|first| other_length(first, bytes_len)) {
                let reason = Reason::new(code, msg).at(pointer).at(BlobRef(hash));
                found.find(Check::Evidence, verdict, reason);
            }
            let row = match Row::read(store, &hash) {
                Ok(row) => row,
                Err(error) => {
                    found.read_failure(&error);
                    continue;
                }
            };
            // Each event is compared; the bytes are hashed once.
            let fact = if self.whole || first.is_some() || !matches!(row.fact, BlobFact::Intact { .. }) {
                row.fact.clone()
            } else {
                found.blobs += 1;
                store::blob_fact(store, &hash, false)
            };
            let case =
                Case::new(OWN, Lies::Found(fact), row.held(), Some(Said::of(&said, bytes_len, committed, |it| it)));
            self.judge(store, &hash, Case { again: first.is_some(), ..case }, Some(put), found);
        }
    }

    /// A blob by itself, whatever events say of it.
    pub(crate) fn blob(&self, store: &dyn ReadTransaction, hash: &BlobHash, found: &mut Findings) {
        found.blobs += 1;
        let fact = store::blob_fact(store, hash, false);
        let row = if fact == BlobFact::Removed { Row::read(store, hash) } else { Ok(Row::none()) };
        match row {
            Ok(row) => self.judge(store, hash, Case::new(OWN, Lies::Found(fact), row.held(), None), None, found),
            Err(error) => found.read_failure(&error),
        }
    }

    /// Judges a case, whose remaining facts are looked up only if they are needed; `put` is the event that it is of.
    fn judge(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        case: Case<'_, &str>,
        put: Option<Put<'_>>,
        found: &mut Findings,
    ) {
        let facts = self.other_facts(store, hash, &case, put);
        let (form, receipt) = match facts {
            Ok(facts) => facts,
            Err(error) => return found.read_failure(&error),
        };
        let mut case = Case { form, ..case };
        case.receipt = receipt.as_ref();
        if let Some(put) = put.filter(|_| case.is_away()) {
            case.file = self.file(hash, put);
        }
        let judged = case.judge();
        if judged.fact == BlobFact::Expired && (put.is_none() || !(case.again || self.whole)) {
            found.expired += 1;
        }
        if let (BlobFact::Expired, Some(receipt), Some(put), Some(kept)) = (&judged.fact, &receipt, put, &self.excuses)
        {
            kept.lock().unwrap_or_else(PoisonError::into_inner).note(receipt, put.run, put.said.seq);
        }
        for (verdict, code, msg) in judged.found {
            let reason = Reason::new(code, msg);
            let reason = put.map_or(reason.clone(), |put| reason.at(put.pointer)).at(BlobRef(*hash));
            found.find(Check::Evidence, verdict, reason);
        }
        if let Some(put) = put.filter(|put| judged.doubt && !self.doubt(hash, put.pointer)) {
            let msg = "more blobs are not what an event says than can be looked into at once";
            let reason = Reason::new("EVIDENCE_CLASS_UNSETTLED", msg).at(put.pointer).at(BlobRef(*hash));
            found.find(Check::Evidence, Verdict::Unknown, reason);
        }
    }

    /// Whether the run was imported, and the receipt that counts, if the case hangs on them.
    fn other_facts(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        case: &Case<'_, &str>,
        put: Option<Put<'_>>,
    ) -> Result<(Form, Option<Receipt>)> {
        let imported = match put.filter(|_| case.differs() || case.is_missing()) {
            Some(put) => self.imports(store)?.contains(put.run),
            None => false,
        };
        let receipted = case.is_removed() || (imported && case.is_missing());
        let form = Form::Ledger { imported };
        if !receipted {
            return Ok((form, None));
        }
        Ok((form, self.removals(store)?.excuse(store, hash, put.map(|put| put.said.by(put.run)))?))
    }

    /// The comparison with the files that were given for the key of evidence whose bytes are not here.
    fn file(&self, hash: &BlobHash, put: Put<'_>) -> File {
        let key = put.said.key();
        if let Some(key) = key.filter(|_| !self.files.is_empty()) {
            self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
        File::of(self.files, key, hash, put.bytes_len)
    }

    /// Keeps in mind that a row is not what an event says; `false` if there are too many.
    fn doubt(&self, hash: &BlobHash, pointer: Arguments<'_>) -> bool {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = doubts.len() >= MAX_DOUBTS;
        if !full {
            doubts.entry(*hash).or_insert_with(|| pointer.to_string());
        }
        !full || doubts.contains_key(hash)
    }

    fn imports(&self, store: &dyn ReadTransaction) -> Result<Arc<Imports>> {
        let mut imports = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(imports) = imports.as_ref() {
            return Ok(Arc::clone(imports));
        }
        Ok(Arc::clone(imports.insert(Arc::new(Imports::read(store)?))))
    }

    fn removals(&self, store: &dyn ReadTransaction) -> Result<Arc<Removals>> {
        let imports = self.imports(store)?;
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(removals) = removals.as_ref() {
            return Ok(Arc::clone(removals));
        }
        let read = if self.whole { Removals::read(store, &imports, None) } else { self::removals(store, &imports) };
        Ok(Arc::clone(removals.insert(Arc::new(read?))))
    }

    /// Finds problems that only show once everything was looked at.
    pub(crate) fn end(&self, store: &dyn ReadTransaction, found: &mut Findings) -> Result<()> {
        for key in &*self.unused.lock().unwrap_or_else(PoisonError::into_inner) {
            let msg = format!("a file was given for the key {key:?}, and nothing of that key is missing here");
            found.find(Check::Evidence, Verdict::Unknown, Reason::new("EVIDENCE_FILE_UNUSED", msg));
        }
        self.settle_doubts(store, found)
    }

    /// A row may be other than one event says, if it is what the events together say: the strictest class of runs recorded
    /// here, and only if there is none of those, what imported runs say. Of few blobs it is, and only then all events are asked.
    fn settle_doubts(&self, store: &dyn ReadTransaction, found: &mut Findings) -> Result<()> {
        let doubts = std::mem::take(&mut *self.doubts.lock().unwrap_or_else(PoisonError::into_inner));
        if doubts.is_empty() {
            return Ok(());
        }
        let imports = self.imports(store)?;
        let mut rows = HashMap::new();
        for hash in doubts.keys() {
            rows.insert(*hash, (Row::read(store, hash)?, Together::default()));
        }
        each_put(store, &|hash| doubts.contains_key(hash), &mut |run, put, sound| {
            let hash = put.blob().map(|(hash, _)| hash).filter(|_| sound);
            if let Some((row, together)) = hash.and_then(|hash| rows.get_mut(&hash)) {
                together.add(put, row.content_type.as_deref(), imports.contains(run));
            }
        })?;
        for (hash, pointer) in doubts {
            if rows.get(&hash).is_none_or(|(row, together)| !together.allow(row.class)) {
                let msg = "the blob's class or content type is one that no event says";
                let reason = Reason::new("EVIDENCE_ROW_MISMATCH", msg).at(pointer).at(BlobRef(hash));
                found.find(Check::Evidence, Verdict::Fail, reason);
            }
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn read(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Self> {
        let mut found = Self::none();
        store.blob(hash, &mut |row| {
            found = Self {
                fact: store::state_of(hash, row),
                bytes_len: row.bytes_len.integer().and_then(|length| u64::try_from(length).ok()),
                class: row.evidence_class.as_str().and_then(EvidenceClass::parse),
                content_type: row.content_type.as_str().map(str::to_owned),
            };
        })?;
        Ok(found)
    }

    /// The row as a record, if it can be one.
    pub(crate) fn record(self, hash: &BlobHash) -> Option<BlobRecord> {
        let Self { bytes_len, class, content_type, .. } = self;
        Some(BlobRecord { hash: *hash, content_type: content_type?, bytes_len: bytes_len?, class: class? })
    }

    pub(crate) fn is_of_type(&self, content_type: &str) -> bool {
        self.content_type.as_deref() == Some(content_type)
    }

    /// If there is no row.
    fn none() -> Self {
        Self { fact: BlobFact::Missing, bytes_len: None, class: None, content_type: None }
    }

    pub(crate) fn held(&self) -> Option<Held<&str>> {
        let held = Held { bytes_len: self.bytes_len, class: self.class, content_type: self.content_type.as_deref() };
        (self.fact != BlobFact::Missing).then_some(held)
    }
}

/// The blobs of a run that were looked at, each with the length that the first event says.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<BlobHash, u64>>);

impl Seen {
    /// Bounded: a run that puts more blobs than this has some of them looked at again.
    const MOST: usize = 65_536;

    /// The length in the first event that put a blob; `None` if this is the first.
    fn first(&self, hash: BlobHash, bytes_len: u64) -> Option<u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= Self::MOST && !seen.contains_key(&hash) {
            seen.clear();
        }
        match seen.entry(hash) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(bytes_len);
                None
            }
        }
    }
}

/// The receipts of a ledger, as whoever judges only some of its runs needs them.
pub(crate) fn removals(store: &dyn ReadTransaction, imports: &Arc<Imports>) -> Result<Removals> {
    let verifies =
        |known: &Arc<Removals>, run: &RunId| evidence_verifies(store, &Judge::knowing(Arc::clone(known)), run);
    Removals::read(store, imports, Some(&verifies))
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

/// The fact about a blob by itself, whatever events say of it.
pub(crate) fn fact(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<BlobFact> {
    let fact = store::blob_fact(store, hash, false);
    if fact != BlobFact::Removed {
        return Ok(fact);
    }
    let removals = Removals::read(store, &Arc::new(Imports::read(store)?), None)?;
    let (receipt, row) = (removals.excuse(store, hash, None)?, Row::read(store, hash)?);
    let case = Case::new(OWN, Lies::Found(fact), row.held(), None);
    Ok(Case { receipt: receipt.as_ref(), ..case }.judge().fact)
}
