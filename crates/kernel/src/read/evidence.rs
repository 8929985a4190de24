//! Evidence, judged: what the events say that they put, against what lies in the ledger.

use crate::audit::{Check, Findings};
use crate::error::Result;
use crate::evidence::Digest256;
use crate::store::{self, ReadTransaction, Receipts, Visit};
use receipt_core::canonical::{self, Scratch};
use receipt_core::envelope::{Envelope, EventType};
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::json::{self, Limits};
use receipt_core::verdict::{Reason, Verdict};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Arguments;
use std::sync::{Mutex, PoisonError};

/// Of how many blobs it is remembered that their row is stricter than an event says.
const MAX_STRICTER: usize = 65_536;

/// Judges the evidence of a ledger, or of some of its runs. Threads share it.
pub(crate) struct Judge<'a> {
    /// Whether the whole ledger is checked: then each blob is hashed once, by itself, and not for each event.
    whole: bool,
    /// Files that are kept elsewhere.
    files: &'a [(String, Digest256)],
    /// The keys of those that were not asked for yet.
    unused: Mutex<BTreeSet<String>>,
    /// Blobs whose row has a stricter class than an event that put them says, and that event.
    stricter: Mutex<HashMap<BlobHash, String>>,
    expired: Expired,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(whole: bool, files: &'a [(String, Digest256)]) -> Self {
        let unused = Mutex::new(files.iter().map(|(key, _)| key.clone()).collect());
        Self { whole, files, unused, stricter: Mutex::default(), expired: Expired::default() }
    }

    pub(crate) fn puts(
        &self,
        store: &dyn ReadTransaction,
        run: &RunId,
        puts: &mut Vec<Evidence>,
        seen: &Seen,
        committed: bool,
        found: &mut Findings,
    ) {
        for put in puts.drain(..) {
            let pointer = format_args!("event://{run}/{}", put.seq);
            let Some((hash, bytes_len)) = put.blob else {
                // The Python package lets an EVIDENCE_PUT say anything; one of ours always says which blob.
                if committed || put.says_something {
                    let msg = "payload.evidence does not name one blob by ref and sha256, with its length";
                    let reason = Reason::new("EVIDENCE_MALFORMED", msg).at(pointer);
                    found.find(Check::Evidence, Verdict::Fail, reason);
                }
                continue;
            };
            if put.by_digest && self.is_elsewhere(store, pointer, &hash, &put, found) {
                continue;
            }
            if committed {
                self.check_claim(store, pointer, &hash, &put, found);
            }
            if seen.is_new(hash) {
                self.check_blob(store, &hash, Some((pointer, bytes_len, put.ts)), found);
            } else if (seen.shared || self.expired.is_asked()) && store::blob_state(store, &hash) == BlobFact::Removed {
                // Put again: a receipt for what was there before is none for this.
                self.check_removal(store, &hash, Some((pointer, bytes_len, put.ts)), found);
            }
        }
    }

    /// Whether evidence that was recorded by digest has no row, as it should; it is compared with the file that was given
    /// for its key.
    fn is_elsewhere(
        &self,
        store: &dyn ReadTransaction,
        pointer: Arguments<'_>,
        hash: &BlobHash,
        put: &Evidence,
        found: &mut Findings,
    ) -> bool {
        if store::blob_state(store, hash) != BlobFact::Missing {
            return false;
        }
        let key = put.key.as_deref();
        if let Some(key) = key {
            self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
        let given = || self.files.iter().filter(|(name, _)| Some(name.as_str()) == key).map(|(_, file)| file);
        let is_it =
            |file: &Digest256| file.hash == *hash && put.blob.is_some_and(|(_, length)| length == file.bytes_len);
        let (verdict, reason) = match given().next() {
            Some(_) if given().any(is_it) => return true,
            Some(_) => (Verdict::Fail, Reason::new("EVIDENCE_FILE_MISMATCH", "the file given is not the one recorded")),
            None => {
                let msg = "recorded by digest, its bytes kept elsewhere: --evidence KEY=FILE would settle it";
                (Verdict::Warn, Reason::new("EVIDENCE_ELSEWHERE", msg))
            }
        };
        found.find(Check::Evidence, verdict, reason.at(pointer).at(BlobRef(*hash)));
        true
    }

    /// Compares a blob's row with what an event of ours says that it put. The first type of the same bytes stays; of
    /// two classes the stricter one does.
    fn check_claim(
        &self,
        store: &dyn ReadTransaction,
        pointer: Arguments<'_>,
        hash: &BlobHash,
        put: &Evidence,
        found: &mut Findings,
    ) {
        let (mut problems, mut unsettled) = (Vec::new(), false);
        let read = store.blob(hash, &mut |row| {
            let class = row.evidence_class.as_str().and_then(EvidenceClass::parse);
            if put.class.is_some_and(|said| class.is_none_or(|class| class < said)) {
                problems.push("the blob's class is less strict than the event says");
            }
            if put.class.zip(class).is_some_and(|(said, class)| class > said) {
                let mut stricter = self.stricter.lock().unwrap_or_else(PoisonError::into_inner);
                if stricter.len() < MAX_STRICTER {
                    stricter.entry(*hash).or_insert_with(|| pointer.to_string());
                } else if !stricter.contains_key(hash) {
                    unsettled = true;
                }
            }
            if put.content_type.as_deref().is_some_and(|said| row.content_type.as_str() != Some(said)) {
                problems.push("the blob's content type is not the one that the event says");
            }
        });
        if let Err(error) = read {
            found.read_failure(&error);
        }
        if unsettled {
            let msg = "more blobs have a stricter class than an event says than can be looked into at once";
            let reason = Reason::new("EVIDENCE_CLASS_UNSETTLED", msg).at(pointer).at(BlobRef(*hash));
            found.find(Check::Evidence, Verdict::Unknown, reason);
        }
        for problem in problems {
            let reason = Reason::new("EVIDENCE_ROW_MISMATCH", problem).at(pointer).at(BlobRef(*hash));
            found.find(Check::Evidence, Verdict::Fail, reason);
        }
    }

    /// What only shows once everything was looked at.
    pub(crate) fn end(&self, store: &dyn ReadTransaction, found: &mut Findings) -> Result<()> {
        for key in &*self.unused.lock().unwrap_or_else(PoisonError::into_inner) {
            let msg = format!("a file was given for the key {key:?}, and no evidence recorded by digest has it");
            found.find(Check::Evidence, Verdict::Unknown, Reason::new("EVIDENCE_FILE_UNUSED", msg));
        }
        self.check_stricter(store, found)
    }

    /// Of two classes the stricter one stays: a row may be stricter than one event says, but not than every one. Of few blobs
    /// it is, and only where it is all events are asked.
    fn check_stricter(&self, store: &dyn ReadTransaction, found: &mut Findings) -> Result<()> {
        let mut left = std::mem::take(&mut *self.stricter.lock().unwrap_or_else(PoisonError::into_inner));
        let mut runs = Vec::new();
        if !left.is_empty() {
            store.runs(&mut |id, _| {
                runs.extend(id.as_str().map(RunId::new));
                Visit::Continue(())
            })?;
        }
        let mut scratch = Scratch::default();
        for run in runs {
            store.events(&run, &mut |row| {
                let is_put = row.event_type.as_str() == Some(EventType::EvidencePut.as_str());
                let envelope = row.envelope_json.text().filter(|_| is_put);
                let said =
                    envelope.and_then(|text| Envelope::read(text, &mut scratch).ok()).map(|it| Evidence::of(&it));
                if let Some(((hash, _), EvidenceClass::Sealed)) = said.and_then(|put| put.blob.zip(put.class)) {
                    left.remove(&hash);
                }
                if left.is_empty() { Visit::Break(()) } else { Visit::Continue(()) }
            })?;
        }
        for (hash, pointer) in left {
            let msg = "the blob's class is stricter than any event says";
            let reason = Reason::new("EVIDENCE_ROW_MISMATCH", msg).at(pointer).at(BlobRef(hash));
            found.find(Check::Evidence, Verdict::Fail, reason);
        }
        Ok(())
    }

    /// Looks at a blob; for an event that put it, its absence and its length count too.
    pub(crate) fn check_blob(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        put: Option<Put<'_>>,
        found: &mut Findings,
    ) {
        let fact = match put {
            Some(_) if self.whole => store::blob_state(store, hash),
            _ => {
                found.blobs += 1;
                store::blob_fact(store, hash, false)
            }
        };
        let blob = BlobRef(*hash);
        let (verdict, reason) = match fact {
            BlobFact::Intact { bytes_len, .. } | BlobFact::TooLarge { bytes_len } => match put {
                Some((_, said, _)) if said != bytes_len => {
                    let msg = format!("the event says {said} bytes, the blob has {bytes_len}");
                    (Verdict::Fail, Reason::new("EVIDENCE_LENGTH_MISMATCH", msg))
                }
                _ => return,
            },
            BlobFact::Expired | BlobFact::Elsewhere => return,
            BlobFact::Removed => {
                if self.check_removal(store, hash, put, found) && (put.is_none() || !self.whole) {
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
        let reason = put.map_or(reason.clone(), |(pointer, ..)| reason.at(pointer)).at(blob);
        found.find(Check::Evidence, verdict, reason);
    }

    /// Whether a receipt says who removed a blob's bytes.
    fn check_removal(
        &self,
        store: &dyn ReadTransaction,
        hash: &BlobHash,
        put: Option<Put<'_>>,
        found: &mut Findings,
    ) -> bool {
        match self.expired.has_receipt(store, hash, put.and_then(|(.., ts)| ts)) {
            Ok(true) => return true,
            Ok(false) => {
                let msg = "the bytes are gone, and no BLOB_EXPIRE event since they were put says who removed them";
                let reason = Reason::new("EXPIRED_WITHOUT_RECEIPT", msg);
                let reason = put.map_or(reason.clone(), |(pointer, ..)| reason.at(pointer)).at(BlobRef(*hash));
                found.find(Check::Evidence, Verdict::Fail, reason);
            }
            Err(error) => found.read_failure(&error),
        }
        false
    }
}

/// The blobs of a run that were looked at.
#[derive(Default)]
pub(crate) struct Seen {
    blobs: Mutex<HashSet<BlobHash>>,
    /// Whether several threads look: then one that was seen may not have been looked at yet.
    shared: bool,
}

impl Seen {
    /// Of a run that several threads read.
    pub(crate) fn of_threads() -> Self {
        Self { shared: true, ..Self::default() }
    }

    /// Bounded: a run that puts more blobs than this has some of them looked at again.
    const MOST: usize = 65_536;

    fn is_new(&self, hash: BlobHash) -> bool {
        let mut seen = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= Self::MOST && !seen.contains(&hash) {
            seen.clear();
        }
        seen.insert(hash)
    }
}

/// The event that put a blob, how long the blob is there, and when that was.
type Put<'p> = (Arguments<'p>, u64, Option<Timestamp>);

/// What `payload.evidence` has, in the order in which [`Evidence::of`] takes it apart.
const FIELDS: [&str; 5] = ["bytes_len", "evidence_class", "content_type", "ref", "sha256"];

/// What an EVIDENCE_PUT says that it put.
pub(crate) struct Evidence {
    pub(crate) seq: i64,
    pub(crate) blob: Option<(BlobHash, u64)>,
    pub(crate) class: Option<EvidenceClass>,
    pub(crate) content_type: Option<String>,
    pub(crate) says_something: bool,
    key: Option<String>,
    pub(crate) by_digest: bool,
    pub(crate) ts: Option<Timestamp>,
}

impl Evidence {
    pub(crate) fn of(envelope: &Envelope<'_>) -> Self {
        let (mut key, mut evidence, mut meta) = (None, None, None);
        for (name, value) in canonical::members(envelope.payload_json()) {
            match name {
                b"key" => key = Some(value),
                b"evidence" => evidence = Some(value).filter(|json| json.starts_with(b"{")),
                b"meta" => meta = Some(value).filter(|json| json.starts_with(b"{")),
                _ => {}
            }
        }
        let mut fields = [None; FIELDS.len()];
        for (key, value) in evidence.into_iter().flat_map(canonical::members) {
            if let Some(index) = FIELDS.iter().position(|name| name.as_bytes() == key) {
                fields[index] = Some(value);
            }
        }
        let [bytes_len, evidence_class, content_type, blob, sha256] = fields;
        // Parsed as JSON, each by itself, only where it is not plain.
        let text = |field: Option<&'_ [u8]>| match field?.strip_prefix(b"\"")?.strip_suffix(b"\"")? {
            plain if !plain.contains(&b'\\') => std::str::from_utf8(plain).ok().map(str::to_owned),
            _ => json::parse(field?, Limits::READ).ok()?.as_str().map(str::to_owned),
        };
        let hash = text(sha256).and_then(|sha256| BlobHash::parse_bytes(sha256.as_bytes()));
        let named = hash.filter(|hash| text(blob).and_then(|blob| BlobRef::parse(&blob)) == Some(BlobRef(*hash)));
        let bytes_len = bytes_len.and_then(|json| std::str::from_utf8(json).ok()?.parse().ok());
        let note = meta.and_then(|meta| canonical::member(meta, "by_digest"));
        Self {
            key: text(key),
            ts: store::instant(envelope),
            by_digest: note.is_some_and(|note| note.starts_with(b"{")),
            seq: envelope.seq.get(),
            blob: named.zip(bytes_len),
            class: text(evidence_class).and_then(|class| EvidenceClass::parse(&class)),
            content_type: text(content_type),
            says_something: evidence.is_some_and(|evidence| evidence != b"{}"),
        }
    }
}

/// The receipts of removals, read once, when the first blob is met whose bytes are gone.
#[derive(Default)]
struct Expired(Mutex<Option<Receipts>>);

impl Expired {
    /// Whether a blob's removal is receipted; where an event put it, by a receipt that does not come before that.
    fn has_receipt(&self, store: &dyn ReadTransaction, hash: &BlobHash, put: Option<Timestamp>) -> Result<bool> {
        let mut receipts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receipts) = receipts.as_ref() {
            return Ok(receipts.cover(hash, put));
        }
        Ok(receipts.insert(store::receipts(store)?).cover(hash, put))
    }

    /// Whether a blob was met whose bytes are gone.
    fn is_asked(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}
