//! Writes a run out as a bundle.

use super::import::kept_proof;
use super::replay::reads;
use crate::error::{Error, Result};
use crate::evidence::redact::without_secrets;
use crate::ledger::Ledger;
use crate::log;
use crate::read::evidence::Evidence;
use crate::read::evidence::receipt::Receipt;
use crate::read::imports::Imports;
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::bundle::{self, Blob, Header, LinesDigest, MAX_BLOBS, MAX_LINE, PIECE, Proof, Row, State};
use receipt_core::envelope::{Envelope, EventType, Scratch};
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, EventHash, RunId};
use receipt_core::payload::BlobExpire;
use receipt_core::run::{Area, RunReader, blobs_cited, blobs_referred_to};
use receipt_core::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// A bundle to be written.
#[derive(Clone, Debug)]
pub struct Export {
    run: RunId,
    withhold: BTreeSet<String>,
    proof: Option<Proof>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many events.
    pub events: u64,
    /// How many blobs are listed.
    pub blobs: u64,
    /// How many of them are withheld: because that was asked for, or because they are of class sealed and not encrypted, as
    /// the Python package leaves them.
    pub withheld: u64,
    /// How many of them are in the bundle sealed, as ciphertext.
    pub sealed: u64,
    /// How many of them are listed without their bytes, which retention or a redaction has removed.
    pub removed: u64,
    /// Why no proof is in it though the ledger has a checkpoint that covers the run: the run or the log is broken.
    pub unproved: Option<String>,
}

impl Export {
    /// All of a run; sealed evidence as the ciphertext that it is, which anybody can verify and only its recipients open.
    pub fn of(run: RunId) -> Self {
        Self { run, withhold: BTreeSet::new(), proof: None }
    }

    /// The same without the bytes of what was put under this key, under whichever other key they were put too.
    #[must_use]
    pub fn withhold(mut self, key: impl Into<String>) -> Self {
        self.withhold.insert(key.into());
        self
    }

    /// The same with this proof that an event of it is in a log. Where none is given, and the ledger has a checkpoint that
    /// covers the run, its own is put in.
    #[must_use]
    pub fn proof(mut self, proof: Proof) -> Self {
        self.proof = Some(proof);
        self
    }
}

impl Ledger {
    /// Writes a run out as a bundle, as it is at one instant. What was written is a bundle only if this returns no
    /// error. A run that does not verify is written as it lies there, its events byte by byte, so that its bundle does not
    /// verify either; what only columns of its events say is in no bundle. Of such a run of the Python package no evidence
    /// leaves, as nothing says what was of class sealed.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunBroken`] for rows that cannot be read as a run and its events, and for events
    /// that do not verify if something is to be withheld, as an edited event may name another key;
    /// [`Error::BlobUnavailable`] for evidence whose bytes no bundle can hold. [`Error::KeyNotPut`] for a key to be
    /// withheld that is not there, [`Error::TooLarge`] over a limit of the format, [`Error::Io`] where `out` fails.
    pub fn export(&self, export: &Export, out: &mut dyn Write) -> Result<Exported> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let mut lines = Lines { out, digest: LinesDigest::default() };
        let listed = write_run(transaction.as_ref(), export, &mut lines)?;
        let (events, unproved) = (listed.events, listed.unproved);
        let mut exported = Exported { events, unproved, blobs: listed.blobs.len() as u64, ..Exported::default() };
        if exported.blobs > MAX_BLOBS {
            return Err(Error::TooLarge { what: "a list of blobs", bytes: exported.blobs, limit: MAX_BLOBS });
        }
        let count = bundle::blobs_line(exported.blobs);
        lines.digest.line(&count);
        lines.write(&count)?;
        let receipted = listed.blobs.values().any(|named| named.receipted);
        let imported = receipted && Imports::read(transaction.as_ref())?.contains(&export.run);
        for (hash, named) in listed.blobs {
            let blob = record(transaction.as_ref(), hash, &named, imported)?;
            exported.withheld += u64::from(matches!(blob.state, State::Withheld | State::Sealed));
            exported.removed += u64::from(blob.state == State::Expired);
            exported.sealed += u64::from(blob.state == State::Live && blob.class == EvidenceClass::Sealed);
            lines.blob(transaction.as_ref(), &blob)?;
        }
        let trailer = std::mem::take(&mut lines.digest).trailer();
        lines.write(&trailer)?;
        lines.out.flush().map_err(output)?;
        Ok(exported)
    }
}

fn output(source: std::io::Error) -> Error {
    Error::Io { path: "the bundle".into(), source }
}

/// How a run speaks of a blob.
#[derive(Default)]
struct Named {
    /// It was put under a key that is to be withheld.
    withheld: bool,
    /// Its record, where an event recorded it by digest: the ledger may never have had its bytes.
    by_digest: Option<Blob>,
    /// What the run's events say of its class, its type and its length: another run's may say otherwise.
    class: Option<EvidenceClass>,
    content_type: Option<String>,
    bytes_len: Option<u64>,
    /// A receipt of this run says that its bytes were removed since it was put.
    receipted: bool,
}

impl Named {
    /// The record of evidence that was gone before its run was imported: it has no row.
    fn gone(&self, hash: BlobHash) -> Option<Blob> {
        let (class, content_type) = (self.class.unwrap_or_default(), self.content_type.clone().unwrap_or_default());
        let bytes_len = self.bytes_len.filter(|_| self.receipted)?;
        Some(Blob { hash, state: State::Expired, bytes_len, class, content_type })
    }
}

/// What a run's events showed.
struct Listed {
    events: u64,
    unproved: Option<String>,
    blobs: BTreeMap<BlobHash, Named>,
    /// The keys of the evidence whose bytes the run's invariants read, once they were asked for.
    reads: Option<Vec<&'static str>>,
}

fn write_run(store: &dyn ReadTransaction, export: &Export, lines: &mut Lines<'_>) -> Result<Listed> {
    let run = &export.run;
    let broken = |problem: &str| Error::RunBroken { run: run.to_string(), problem: problem.to_owned() };
    let (events, head) = extent(store, run)?;
    let mut row = None;
    store.run(run, &mut |cells| row = Row::from_cells(cells))?;
    let row = row.ok_or_else(|| broken("its row is missing, or holds no text"))?;
    let (proof, unproved) = match &export.proof {
        Some(proof) => (Some(proof.clone()), None),
        // A broken log or run proves nothing; the run is written all the same.
        None => match proof_of(store, run) {
            Err(error @ (Error::RunBroken { .. } | Error::LogBroken { .. })) => (None, Some(error.to_string())),
            proof => (proof?, None),
        },
    };
    let header = Header { run_id: run.clone(), events, head, proof };
    for line in [header.to_line(), row.to_line()] {
        lines.digest.line(&line);
        lines.write(&line)?;
    }
    let mut listed = Listed { events, unproved, blobs: BTreeMap::new(), reads: None };
    let mut reader = RunReader::new(run.clone());
    let mut keys_left = export.withhold.clone();
    let mut written = Ok(());
    store.events(run, &mut |row| {
        let text = row.envelope_json.text().unwrap_or_default();
        if reader.read(row).is_some_and(|envelope| list(&envelope, export, &mut keys_left, &mut listed.blobs)) {
            listed.cite(store, &reader, text);
        }
        lines.digest.event(text);
        written = lines.write(text);
        if written.is_ok() { Visit::Continue(()) } else { Visit::Break(()) }
    })?;
    written?;
    let facts = reader.finish(Some(&row.cells()));
    if facts.unreadable > 0 {
        return Err(broken(&format!("{} of its rows cannot be read as events", facts.unreadable)));
    }
    let edited = facts.findings.iter().any(|found| found.area == Area::Content && found.verdict == Verdict::Fail);
    if !export.withhold.is_empty() && (edited || facts.more_findings > 0) {
        // An edited event may name another key for what was to be withheld, and its bytes would leave.
        return Err(broken("its events do not verify, so that nothing says what was put under a key to be withheld"));
    }
    if facts.commitment.is_none() && (edited || facts.more_findings > 0) {
        // The Python package leaves evidence of class sealed as it is. In an edited run nothing says which that is.
        listed.blobs.values_mut().for_each(|named| named.withheld = true);
    }
    match keys_left.pop_first() {
        Some(key) => Err(Error::KeyNotPut { run: run.to_string(), key: without_secrets(&key) }),
        None => Ok(listed),
    }
}

/// How many events a run has, and the hash of the last one's bytes, whatever the event itself says that it is.
fn extent(store: &dyn ReadTransaction, run: &RunId) -> Result<(u64, EventHash)> {
    let mut head = None;
    store.head(run, &mut |row| {
        let text = row.envelope_json.text().unwrap_or_default();
        head = Some(Envelope::read(text, &mut Scratch::default()).map(|envelope| envelope.hash));
    })?;
    let head = head.ok_or_else(|| Error::no_run(run.as_str()))?;
    let head = head.map_err(|error| {
        let problem = format!("its last row cannot be read as an event: {error}");
        Error::RunBroken { run: run.to_string(), problem }
    })?;
    let mut events = 0;
    store.events(run, &mut |_| {
        events += 1;
        Visit::Continue(())
    })?;
    Ok((events, head))
}

/// What proves the run to be in the log of the ledger that it was imported from, or in this one's, as far as a checkpoint
/// covers it.
fn proof_of(store: &dyn ReadTransaction, run: &RunId) -> Result<Option<Proof>> {
    if let Some(proof) = kept_proof(store, run)? {
        return Ok(Some(proof));
    }
    match log::prove_run(store, run) {
        Ok((event, proof)) => Ok(Some(Proof { seq: event.seq, text: proof.to_string() })),
        Err(Error::NotLogged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists the blobs that an event names; says whether it put one that was not put before.
fn list(
    envelope: &Envelope<'_>,
    export: &Export,
    keys_left: &mut BTreeSet<String>,
    blobs: &mut BTreeMap<BlobHash, Named>,
) -> bool {
    for hash in blobs_referred_to(envelope) {
        blobs.entry(hash).or_default();
    }
    if envelope.event_type == EventType::BlobExpire {
        BlobExpire::parse(envelope.payload_json()).map(|said| blobs.entry(said.hash).or_default());
        if let Some(receipt) = Receipt::of(envelope, None) {
            blobs.entry(receipt.hash).or_default().receipted = true;
        }
    }
    if envelope.event_type != EventType::EvidencePut {
        return false;
    }
    let put = Evidence::of(envelope);
    let Some((hash, bytes_len)) = put.blob() else { return false };
    let named = blobs.entry(hash).or_default();
    named.receipted = false;
    named.bytes_len.get_or_insert(bytes_len);
    // An event by digest says nothing of the row.
    if !put.by_digest {
        named.class = named.class.max(put.class);
        if named.content_type.is_none() {
            named.content_type.clone_from(&put.content_type);
        }
    }
    if put.by_digest {
        let class = put.class.unwrap_or(EvidenceClass::Public);
        let content_type = put.content_type.clone().unwrap_or_default();
        named.by_digest.get_or_insert(Blob { hash, state: State::Withheld, bytes_len, class, content_type });
    }
    if let Some(key) = put.key()
        && export.withhold.contains(key)
    {
        named.withheld = true;
        keys_left.remove(key);
    }
    true
}

impl Listed {
    /// Lists what a blob cites that the run's policy reads, so that an evaluation can be computed again.
    fn cite(&mut self, store: &dyn ReadTransaction, reader: &RunReader, text: &[u8]) {
        let mut scratch = Scratch::default();
        let Ok(envelope) = Envelope::read(text, &mut scratch) else { return };
        let reads = self.reads.get_or_insert_with(|| reads(reader.commitment()));
        let put = Evidence::of(&envelope);
        let read = put.key().is_some_and(|key| reads.contains(&key));
        let Some((hash, _)) = put.blob().filter(|_| read) else { return };
        if let BlobFact::Intact { bytes: Some(bytes), .. } = store::blob_fact(store, &hash, true) {
            for cited in blobs_cited(&bytes) {
                self.blobs.entry(cited).or_default();
            }
        }
    }
}

/// A blob's record, from its row.
fn record(store: &dyn ReadTransaction, hash: BlobHash, named: &Named, imported: bool) -> Result<Blob> {
    let state = match store::blob_state(store, &hash) {
        BlobFact::Intact { .. } => State::Live,
        BlobFact::Removed | BlobFact::Expired => State::Expired,
        BlobFact::Missing => {
            let elsewhere = named.by_digest.clone().or_else(|| named.gone(hash).filter(|_| imported));
            return Ok(elsewhere.unwrap_or_else(|| Blob::missing(hash)));
        }
        fact => return Err(store::unavailable(&hash, &fact).unwrap_or_else(|| Error::internal("a blob of no state"))),
    };
    let mut blob = None;
    store.blob(&hash, &mut |row| {
        let class = row.evidence_class.as_str().and_then(EvidenceClass::parse);
        let bytes_len = row.bytes_len.integer().and_then(|length| u64::try_from(length).ok());
        let parts = row.content_type.as_str().zip(bytes_len).zip(class);
        blob = parts.map(|((content_type, bytes_len), class)| {
            let class = named.class.map_or(class, |said| said.max(class));
            let content_type = named.content_type.clone().unwrap_or_else(|| content_type.to_owned());
            // Of bytes that are gone the row says what anybody may have written into it.
            let bytes_len = named.bytes_len.filter(|_| state == State::Expired).unwrap_or(bytes_len);
            Blob { hash, state, bytes_len, class, content_type }
        });
    })?;
    if let Some(blob) = blob.as_mut().filter(|blob| blob.state == State::Live) {
        if named.withheld {
            blob.state = State::Withheld;
        } else if blob.class == EvidenceClass::Sealed && !is_encrypted(store, &hash)? {
            blob.state = State::Sealed;
        }
    }
    let problem = "its row is not one that a writer left".to_owned();
    blob.ok_or_else(|| Error::BlobUnavailable { blob: hash.to_string(), problem })
}

/// Whether a blob of class sealed lies there as an age file. Whatever its row says, plain text does not leave as sealed.
fn is_encrypted(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<bool> {
    let mut head: Vec<u8> = Vec::with_capacity(AGE.len());
    store.blob_bytes(hash, &mut |piece| head.extend(piece.iter().take(AGE.len() - head.len())))?;
    Ok(head == AGE)
}

/// How an age file begins.
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// Where the lines go.
struct Lines<'o> {
    out: &'o mut dyn Write,
    digest: LinesDigest,
}

impl Lines<'_> {
    fn write(&mut self, line: &[u8]) -> Result<()> {
        if line.len() > MAX_LINE {
            return Err(Error::TooLarge { what: "a line", bytes: line.len() as u64, limit: MAX_LINE as u64 });
        }
        self.out.write_all(line).and_then(|()| self.out.write_all(b"\n")).map_err(output)
    }

    /// Writes a blob's record and its bytes.
    fn blob(&mut self, store: &dyn ReadTransaction, blob: &Blob) -> Result<()> {
        let record = blob.to_line();
        self.digest.blob(&record);
        self.write(&record)?;
        if blob.state != State::Live {
            return Ok(());
        }
        let mut bytes_len = 0;
        let (mut rest, mut line) = (Vec::with_capacity(PIECE), Vec::new());
        let mut written = Ok(());
        store.blob_bytes(&blob.hash, &mut |mut piece| {
            bytes_len += piece.len() as u64;
            while !piece.is_empty() && written.is_ok() {
                let (part, behind) = piece.split_at(piece.len().min(PIECE - rest.len()));
                rest.extend_from_slice(part);
                piece = behind;
                if rest.len() == PIECE {
                    bundle::write_piece(&mut line, &rest);
                    rest.clear();
                    written = self.write(&line);
                }
            }
        })?;
        written?;
        if !rest.is_empty() {
            bundle::write_piece(&mut line, &rest);
            self.write(&line)?;
        }
        // Other bytes than were put are written as they are, for the bundle's reader to find; but a record says how many
        // follow.
        if bytes_len == blob.bytes_len {
            return Ok(());
        }
        let error = store::unavailable(&blob.hash, &BlobFact::Corrupt);
        Err(error.unwrap_or_else(|| Error::internal("a corrupt blob")))
    }
}
