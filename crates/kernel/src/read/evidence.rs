//! Evidence, judged: what the events say that they put, against what lies in the ledger.

use super::imports::Imports;
use super::receipts::{PutBy, Removals, each_put};
use crate::check::findings::Findings;
use crate::check::report::Check;
use crate::error::Result;
use crate::evidence::Digest256;
use crate::store::{self, ReadTransaction};
use receipt_core::envelope::Envelope;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::payload::EvidencePut;
use receipt_core::verdict::{Reason, Verdict};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Arguments;
use std::ops::Deref;
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
}

/// An event that put a blob, and where it stands.
#[derive(Clone, Copy)]
struct Put<'p> {
    pointer: Arguments<'p>,
    run: &'p RunId,
    said: &'p Evidence,
    bytes_len: u64,
}

/// What a blob's row says of it.
struct Row {
    /// As [`store::blob_state`] has it.
    fact: BlobFact,
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
        }
    }

    /// The same for some runs, with these receipts and no others.
    pub(crate) fn knowing(removals: Arc<Removals>) -> Self {
        let judge = Self::new(false, &[]);
        Self { removals: Mutex::new(Some(removals)), ..judge }
    }

    /// What the events of a run say that they put.
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
            if first.is_some_and(|first| first != bytes_len) {
                let msg = "the event says another length than one before it that put the same bytes";
                let reason = Reason::new("EVIDENCE_LENGTH_MISMATCH", msg).at(pointer).at(BlobRef(hash));
                found.find(Check::Evidence, Verdict::Fail, reason);
            }
            let row = match Row::read(store, &hash) {
                Ok(row) => row,
                Err(error) => {
                    found.read_failure(&error);
                    continue;
                }
            };
            if said.by_digest && row.fact == BlobFact::Missing {
                self.elsewhere(&hash, put, found);
                continue;
            }
            if committed && row.fact != BlobFact::Missing {
                self.check_claim(store, &hash, put, &row, found);
            }
            // Each event is compared; the bytes are hashed once.
            let fact = if self.whole || first.is_some() || !matches!(row.fact, BlobFact::Intact { .. }) {
                row.fact
            } else {
                found.blobs += 1;
                store::blob_fact(store, &hash, false)
            };
            self.check_fact(store, &hash, fact, Some(put), first.is_none(), found);
        }
    }

    /// A blob by itself, whatever events say of it.
    pub(crate) fn blob(&self, store: &dyn ReadTransaction, hash: &BlobHash, found: &mut Findings) {
        found.blobs += 1;
        self.check_fact(store, hash, store::blob_fact(store, hash, false), None, true, found);
    }

    /// Evidence that was recorded by digest and has no row, as it should: it is compared with the file that was given for
    /// its key.
    fn elsewhere(&self, hash: &BlobHash, put: Put<'_>, found: &mut Findings) {
        let key = put.said.key();
        if let Some(key) = key {
            self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
        let given = || self.files.iter().filter(|(name, _)| Some(name.as_str()) == key).map(|(_, file)| file);
        let is_it = |file: &Digest256| file.hash == *hash && put.bytes_len == file.bytes_len;
        let (verdict, reason) = match given().next() {
            Some(_) if given().any(is_it) => return,
            Some(_) => (Verdict::Fail, Reason::new("EVIDENCE_FILE_MISMATCH", "the file given is not the one recorded")),
            None => {
                let msg = "recorded by digest, its bytes kept elsewhere: --evidence KEY=FILE would settle it";
                (Verdict::Warn, Reason::new("EVIDENCE_ELSEWHERE", msg))
            }
        };
        found.find(Check::Evidence, verdict, reason.at(put.pointer).at(BlobRef(*hash)));
    }

    /// Compares a blob's row with what an event says that it put. Of runs that were recorded here the first type of the same
    /// bytes stays, and of two classes the stricter one; what imported runs say changes neither.
    fn check_claim(&self, store: &dyn ReadTransaction, hash: &BlobHash, put: Put<'_>, row: &Row, found: &mut Findings) {
        let said = put.said;
        let same_type = said.content_type.is_none() || said.content_type == row.content_type;
        let same_class = said.class.is_none() || said.class == row.class;
        if same_type && same_class {
            return;
        }
        let imported = match self.imports(store) {
            Ok(imports) => imports.contains(put.run),
            Err(error) => return found.read_failure(&error),
        };
        let mut problems = Vec::new();
        if !imported && said.class.is_some_and(|said| row.class.is_none_or(|class| class < said)) {
            problems.push("the blob's class is less strict than the event says");
        }
        if !imported && !same_type {
            problems.push("the blob's content type is not the one that the event says");
        }
        for problem in &problems {
            let reason = Reason::new("EVIDENCE_ROW_MISMATCH", *problem).at(put.pointer).at(BlobRef(*hash));
            found.find(Check::Evidence, Verdict::Fail, reason);
        }
        if problems.is_empty() && !self.doubt(hash, put.pointer) {
            let msg = "more blobs are not what an event says than can be looked into at once";
            let reason = Reason::new("EVIDENCE_CLASS_UNSETTLED", msg).at(put.pointer).at(BlobRef(*hash));
            found.find(Check::Evidence, Verdict::Unknown, reason);
        }
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

    /// Judges what was found where a blob should lie; `put` is an event that put it, and `first` whether no other of its
    /// run did before.
    fn check_fact(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        fact: BlobFact,
        put: Option<Put<'_>>,
        first: bool,
        found: &mut Findings,
    ) {
        let (verdict, reason) = match fact {
            BlobFact::Intact { bytes_len, .. } | BlobFact::TooLarge { bytes_len } => {
                return check_length(hash, bytes_len, put, found);
            }
            BlobFact::Expired | BlobFact::Elsewhere => return,
            BlobFact::Removed => {
                if self.check_removal(store, hash, put, found) && (put.is_none() || (first && !self.whole)) {
                    found.expired += 1;
                }
                return;
            }
            BlobFact::Missing => (Verdict::Fail, Reason::new("BLOB_MISSING", "evidence was put and is not there")),
            BlobFact::Corrupt => (
                Verdict::Fail,
                Reason::new("BLOB_HASH_MISMATCH", "the bytes are not what was put: they hash to something else"),
            ),
            BlobFact::Malformed { problem } => (Verdict::Fail, Reason::new("BLOB_MALFORMED", problem)),
            BlobFact::Unreadable { problem } => (Verdict::Unknown, Reason::new("READ_FAILURE", problem)),
        };
        if first {
            find(found, verdict, reason, hash, put);
        }
    }

    /// Whether a receipt says who removed a blob's bytes.
    fn check_removal(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        put: Option<Put<'_>>,
        found: &mut Findings,
    ) -> bool {
        let by = put.map(|put| put.said.by(put.run));
        let receipt = self.removals(store).and_then(|removals| removals.excuse(store, hash, by));
        let class = Row::read(store, hash).map(|row| row.class);
        match receipt.and_then(|receipt| Ok((receipt, class?))) {
            Ok((Some(receipt), class)) if receipt.is_of_class(class) => {
                if let Some(bytes_len) = receipt.bytes_len {
                    check_length(hash, bytes_len, put, found);
                }
                return true;
            }
            Ok(_) => {
                let msg = "the bytes are gone, and no BLOB_EXPIRE event of a run that verifies, since they were put, says \
                           who removed them";
                find(found, Verdict::Fail, Reason::new("EXPIRED_WITHOUT_RECEIPT", msg), hash, put);
            }
            Err(error) => found.read_failure(&error),
        }
        false
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
        Ok(Arc::clone(removals.insert(Arc::new(Removals::read(store, self.whole, &imports)?))))
    }

    /// What only shows once everything was looked at.
    pub(crate) fn end(&self, store: &dyn ReadTransaction, found: &mut Findings) -> Result<()> {
        for key in &*self.unused.lock().unwrap_or_else(PoisonError::into_inner) {
            let msg = format!("a file was given for the key {key:?}, and no evidence recorded by digest has it");
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
                together.add(put, row, imports.contains(run));
            }
        })?;
        for (hash, pointer) in doubts {
            if rows.get(&hash).is_none_or(|(row, together)| !together.allow(row)) {
                let msg = "the blob's class or content type is one that no event says";
                let reason = Reason::new("EVIDENCE_ROW_MISMATCH", msg).at(pointer).at(BlobRef(hash));
                found.find(Check::Evidence, Verdict::Fail, reason);
            }
        }
        Ok(())
    }
}

fn find(found: &mut Findings, verdict: Verdict, reason: Reason, hash: &BlobHash, put: Option<Put<'_>>) {
    let reason = put.map_or(reason.clone(), |put| reason.at(put.pointer)).at(BlobRef(*hash));
    found.find(Check::Evidence, verdict, reason);
}

fn check_length(hash: &BlobHash, bytes_len: u64, put: Option<Put<'_>>, found: &mut Findings) {
    if let Some(said) = put.map(|put| put.bytes_len).filter(|said| *said != bytes_len) {
        let msg = format!("the event says {said} bytes, the blob has {bytes_len}");
        find(found, Verdict::Fail, Reason::new("EVIDENCE_LENGTH_MISMATCH", msg), hash, put);
    }
}

impl Row {
    fn read(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Self> {
        let mut found = Self { fact: BlobFact::Missing, class: None, content_type: None };
        store.blob(hash, &mut |row| {
            found = Self {
                fact: store::state_of(hash, row),
                class: row.evidence_class.as_str().and_then(EvidenceClass::parse),
                content_type: row.content_type.as_str().map(str::to_owned),
            };
        })?;
        Ok(found)
    }
}

/// What all events together say of a blob.
#[derive(Default)]
struct Together {
    /// The strictest class of runs recorded here, and of imported ones.
    own: Option<EvidenceClass>,
    imported: Option<EvidenceClass>,
    /// Whether a run recorded here put it, and whether an imported one says the type of the row.
    is_own: bool,
    is_of_type: bool,
}

impl Together {
    fn add(&mut self, put: &Evidence, row: &Row, imported: bool) {
        if imported {
            self.imported = self.imported.max(put.class);
            self.is_of_type |= put.content_type == row.content_type;
        } else {
            self.is_own = true;
            self.own = self.own.max(put.class);
        }
    }

    fn allow(&self, row: &Row) -> bool {
        if self.is_own {
            self.own.is_none_or(|own| Some(own) == row.class)
        } else {
            self.is_of_type && self.imported == row.class
        }
    }
}

/// The blobs of a run that were looked at, each with the length that the first event says.
#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<BlobHash, u64>>);

impl Seen {
    /// Bounded: a run that puts more blobs than this has some of them looked at again.
    const MOST: usize = 65_536;

    /// What the first event that put a blob says of its length; `None` if this is the first.
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

/// An EVIDENCE_PUT: where it stands, and what it says.
pub(crate) struct Evidence {
    pub(crate) seq: i64,
    pub(crate) ts: Option<Timestamp>,
    said: EvidencePut,
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

    /// What is wrong with what the event claims, if something is.
    pub(crate) fn malformed(&self, committed: bool) -> Option<Reason> {
        self.said.claim_flaw(committed).map(|flaw| Reason::new("EVIDENCE_MALFORMED", flaw.msg))
    }

    /// The event, of this run, as a receipt is compared with it.
    pub(crate) fn by<'p>(&'p self, run: &'p RunId) -> PutBy<'p> {
        PutBy { run, seq: self.seq, key: self.key(), ts: self.ts }
    }
}
