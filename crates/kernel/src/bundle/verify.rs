//! Checks a bundle, which anybody may have written, line by line.

use super::aside::Aside;
use super::replay::{REPLAY_LIMIT, WORK, evaluator, reads};
use super::told::{Compared, Told};
use crate::check::findings::Findings;
use crate::check::proof::unsigned;
use crate::check::report::{Check, CheckReport};
use crate::error::{Error, Result};
use crate::evidence::Digest256;
use crate::evidence::retention::Retention;
use crate::read::evidence::Evidence;
use crate::read::receipts::{Receipt, Receipts, kept};
use crate::store::MAX_BYTES_IN_MEMORY;
use receipt_core::bundle::{Blob, Header, Item, MAX_BLOBS, MAX_LINE, Problem, Reader, Row, State};
use receipt_core::checkpoint::InclusionProof;
use receipt_core::envelope::{Envelope, EventType};
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobHash, BlobRef, EventHash, RunId, Seq};
use receipt_core::json::{Object, Value};
use receipt_core::note::VerifierKey;
use receipt_core::payload::BlobExpire;
use receipt_core::replay::{Replay, Replayed};
use receipt_core::run::{RunReader, blobs_referred_to};
use receipt_core::verdict::{Reason, Verdict};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read};
use std::sync::Arc;

const OTHER_FILE: &str = "the file given is not the one recorded";

/// A bundle to be checked.
#[derive(Clone, Debug)]
pub struct Verify<'k> {
    keys: &'k [VerifierKey],
    files: &'k [(String, Digest256)],
    receipts: Option<&'k Receipts>,
    replay_limit: u64,
}

impl Default for Verify<'_> {
    fn default() -> Self {
        Self { keys: &[], files: &[], receipts: None, replay_limit: REPLAY_LIMIT }
    }
}

/// What a bundle looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReport {
    /// The run, where there is a header that says so.
    pub run: Option<RunId>,
    /// The last event that could be read.
    pub head: Option<(Seq, EventHash)>,
    /// The verdict that the run ended with, where it has.
    pub recorded: Option<Verdict>,
    /// One for each of [`Check::BUNDLE`], in their order.
    pub checks: Vec<CheckReport>,
    /// Evidence whose bytes are not in the bundle: the key that it was put under, where it was put, and the blob.
    pub absent: Vec<(Option<String>, BlobHash)>,
    /// The receipts of removals (BLOB_EXPIRE) among its events.
    pub receipts: Receipts,
    /// What became of each recorded evaluation.
    pub evaluations: Vec<Replayed>,
    /// How many events were read and hashed.
    pub events: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
}

impl BundleReport {
    /// The verdict over the required checks.
    pub fn overall_verdict(&self) -> Verdict {
        let required = self.checks.iter().filter(|check| check.required);
        Verdict::overall(required.map(|check| (check.verdict, true)))
    }

    /// The report of one check.
    pub fn check(&self, check: Check) -> Option<&CheckReport> {
        self.checks.iter().find(|report| report.check == check)
    }

    /// `{"overall_verdict", "run", "head", "recorded", "checks", "absent", "evaluations", "events", "blobs"}`
    pub fn to_value(&self) -> Value {
        let head = self.head.map(|(seq, hash)| {
            Object::from_iter([("event_hash", Value::from(hash.to_string())), ("seq", Value::from(seq.get()))])
        });
        let absent = self.absent.iter().map(|(key, blob)| {
            let blob = Value::from(BlobRef(*blob).to_string());
            Value::from(Object::from_iter([("blob", blob), ("key", Value::from(key.clone()))]))
        });
        Object::from_iter([
            ("overall_verdict", Value::from(self.overall_verdict())),
            ("run", Value::from(self.run.as_ref().map(RunId::as_str))),
            ("head", Value::from(head)),
            ("recorded", Value::from(self.recorded)),
            ("checks", Value::Array(self.checks.iter().map(CheckReport::to_value).collect())),
            ("absent", Value::Array(absent.collect())),
            ("evaluations", Value::Array(self.evaluations.iter().map(Replayed::to_value).collect())),
            ("events", self.events.into()),
            ("blobs", self.blobs.into()),
        ])
        .into()
    }
}

impl<'k> Verify<'k> {
    /// The same with keys, each of which must have signed the checkpoint that the bundle carries.
    #[must_use]
    pub fn keys(self, keys: &'k [VerifierKey]) -> Self {
        Self { keys, ..self }
    }

    /// The same with files that the bundle does not hold, each for the evidence that was first put under a key: what is
    /// withheld, is sealed or was recorded by digest must be that file. Of what is sealed it is the ciphertext.
    #[must_use]
    pub fn files(self, files: &'k [(String, Digest256)]) -> Self {
        Self { files, ..self }
    }

    /// The same with receipts from elsewhere: the [`BundleReport::receipts`] of bundles that were checked before, with the
    /// same keys, and found good. Evidence that expired is receipted in the run of the removal, whose bundle is another.
    #[must_use]
    pub fn receipts(self, receipts: &'k Receipts) -> Self {
        Self { receipts: Some(receipts), ..self }
    }

    /// The same with another limit than [`REPLAY_LIMIT`]; 0 for no replay, so that it is UNKNOWN.
    #[must_use]
    pub fn replay_limit(self, bytes: u64) -> Self {
        Self { replay_limit: bytes, ..self }
    }

    /// Reads a bundle to its end and checks it.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read. Whatever is wrong with what can be read is in the report.
    pub fn run(&self, input: &mut dyn BufRead) -> Result<BundleReport> {
        self.run_into(input, &mut ())
    }

    /// The same, and shows all of it to `sink` as it is read, before it is known whether it is good.
    pub(super) fn run_into(&self, input: &mut dyn BufRead, sink: &mut dyn Sink) -> Result<BundleReport> {
        Ok(self.read(input, self.nothing_found(), sink)?.report(self))
    }

    /// The keys that it was given.
    pub(super) fn trusted(&self) -> &[VerifierKey] {
        self.keys
    }

    fn nothing_found(&self) -> Found<'k> {
        Found { keep: self.replay_limit > 0, files: self.files, elsewhere: self.receipts, ..Found::default() }
    }

    fn read(&self, input: &mut dyn BufRead, mut found: Found<'k>, sink: &mut dyn Sink) -> Result<Found<'k>> {
        let mut lines = Lines { input, line: Vec::new(), reader: Reader::default(), number: 0 };
        let read = read_all(&mut lines, &mut found, self.replay_limit, sink);
        match read {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Malformed(problem)) => {
                let reason = Reason::new("BUNDLE_MALFORMED", format!("line {}: {problem}", lines.number));
                found.findings.find(Check::Format, Verdict::Fail, reason);
            }
        }
        Ok(found)
    }
}

/// Who is shown a bundle while it is read.
pub(super) trait Sink {
    fn start(&mut self, _header: &Header, _row: &Row) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, _envelope: &Envelope<'_>, _text: &[u8]) -> Result<()> {
        Ok(())
    }

    fn blob(&mut self, _blob: &Blob, _bytes: &mut dyn Read) -> Result<()> {
        Ok(())
    }
}

impl Sink for () {}

/// Why reading ended early.
enum Stop {
    /// The bundle is at fault.
    Malformed(Problem),
    /// It could not be read, or what was read could not be taken.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A bundle's lines.
struct Lines<'i> {
    input: &'i mut dyn BufRead,
    line: Vec<u8>,
    reader: Reader<Aside>,
    number: u64,
}

impl Lines<'_> {
    /// What the next line says; `None` behind the last.
    fn next(&mut self) -> Result<Option<Item<'_>>, Stop> {
        self.number += 1;
        self.line.clear();
        let read = Read::take(&mut self.input, MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line);
        read.map_err(|source| Error::Io { path: "the bundle".into(), source })?;
        match self.line.pop() {
            None => self.reader.finish().map(|()| None).map_err(Stop::Malformed),
            Some(b'\n') => self.reader.line(&self.line).map(Some).map_err(Stop::Malformed),
            Some(_) if self.line.len() >= MAX_LINE => Err(Stop::Malformed(Problem::LongLine)),
            Some(_) => Err(Stop::Malformed(Problem::CutOff)),
        }
    }
}

fn read_all(lines: &mut Lines<'_>, found: &mut Found<'_>, limit: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut header = None;
    loop {
        match lines.next()? {
            None => return Ok(()),
            Some(Item::Header(line)) => header = Some(line),
            Some(Item::Row(row)) => {
                let header = header.take().ok_or(Stop::Malformed(Problem::Header))?;
                sink.start(&header, &row)?;
                let reader = RunReader::new(header.run_id.clone());
                found.run = Some(Run { reader, header, row, proved: None, reads: None });
            }
            Some(Item::Event(text)) => found.event(text, limit, sink)?,
            Some(Item::Blobs(_) | Item::Piece(_)) => {}
            Some(Item::End) => found.whole = true,
            Some(Item::Blob(blob)) => {
                let mut pieces = Pieces::of(lines, &blob, found.wants(&blob, limit));
                let shown = sink.blob(&blob, &mut pieces);
                if pieces.stop.is_none() {
                    shown?;
                }
                io::copy(&mut pieces, &mut io::sink()).ok();
                let (bytes, hash) = pieces.finish()?;
                found.blob(&blob, bytes, hash);
            }
        }
    }
}

/// The bytes of a blob, hashed as they are read.
struct Pieces<'l, 'i> {
    lines: &'l mut Lines<'i>,
    left: u64,
    hasher: Sha256,
    ready: Vec<u8>,
    at: usize,
    kept: Option<Vec<u8>>,
    stop: Option<Stop>,
}

impl<'l, 'i> Pieces<'l, 'i> {
    fn of(lines: &'l mut Lines<'i>, blob: &Blob, keep: bool) -> Self {
        let left = if blob.state == State::Live { blob.bytes_len } else { 0 };
        let kept = keep.then(Vec::new);
        Self { lines, left, hasher: Sha256::new(), ready: Vec::new(), at: 0, kept, stop: None }
    }

    fn fill(&mut self) -> Result<(), Stop> {
        let Some(Item::Piece(piece)) = self.lines.next()? else { return Err(Stop::Malformed(Problem::CutOff)) };
        self.hasher.update(piece);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        self.left -= piece.len() as u64;
        self.ready.clear();
        self.ready.extend_from_slice(piece);
        self.at = 0;
        Ok(())
    }

    fn finish(self) -> Result<(Option<Vec<u8>>, BlobHash), Stop> {
        match self.stop {
            Some(stop) => Err(stop),
            None => Ok((self.kept, BlobHash::from_bytes(self.hasher.finalize().into()))),
        }
    }
}

impl Read for Pieces<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            if self.left == 0 || self.stop.is_some() {
                return Ok(0);
            }
            if let Err(stop) = self.fill() {
                self.stop = Some(stop);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the bundle is malformed"));
            }
        }
        let count = out.len().min(self.ready.len() - self.at);
        out[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The run as it is read.
struct Run {
    header: Header,
    row: Row,
    reader: RunReader,
    /// The hash of the event that the header's proof is of.
    proved: Option<EventHash>,
    /// The keys of the evidence whose bytes its invariants read, once they were asked for.
    reads: Option<Vec<&'static str>>,
}

/// How many characters of a key are kept.
const MAX_KEY: usize = 256;

#[derive(Default)]
struct Found<'k> {
    findings: Findings,
    /// Files that were given for what is not in the bundle, and the keys that something was compared for.
    files: &'k [(String, Digest256)],
    compared: HashSet<&'k str>,
    /// The receipts of removals among the events, and those from elsewhere.
    receipts: Receipts,
    elsewhere: Option<&'k Receipts>,
    /// The retention that the run commits to.
    retention: Option<Arc<Retention>>,
    run: Option<Run>,
    told: HashMap<BlobHash, Told>,
    absent: Vec<(Option<String>, BlobHash)>,
    events: Vec<Box<[u8]>>,
    /// Whether the events are still kept for replay.
    keep: bool,
    kept: u64,
    /// The bytes of events before each evaluation, added up.
    work: u64,
    evaluations: u64,
    blobs: u64,
    whole: bool,
}

impl Found<'_> {
    fn event(&mut self, text: &[u8], limit: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Some(run) = &mut self.run else { return Err(Stop::Malformed(Problem::Header)) };
        let Some(envelope) = run.reader.read_text(text) else { return Ok(()) };
        sink.event(&envelope, text)?;
        if run.header.proof.as_ref().is_some_and(|proof| proof.seq == envelope.seq) {
            run.proved = Some(envelope.hash);
        }
        for hash in blobs_referred_to(&envelope) {
            self.told.entry(hash).or_default();
        }
        let mut put = None;
        match envelope.event_type {
            EventType::EvidencePut => {
                put = Some(Evidence::of(&envelope));
            }
            EventType::RunStart => self.retention = kept(&envelope),
            EventType::BlobExpire => {
                if let Some(said) = BlobExpire::parse(envelope.payload_json()) {
                    self.told.entry(said.hash).or_default();
                }
                if let Some(receipt) = Receipt::of(&envelope, self.retention.as_ref()) {
                    self.told.entry(receipt.hash).or_default().expired = true;
                    self.receipts.add(receipt);
                }
            }
            EventType::Evaluation => {
                self.evaluations += 1;
                self.work = self.work.saturating_add(self.kept);
            }
            _ => {}
        }
        if let Some(put) = put {
            let committed = run.reader.commitment().is_some();
            let reads = run.reads.get_or_insert_with(|| reads(run.reader.commitment()));
            let read = put.key().is_some_and(|key| reads.contains(&key));
            let pointer = format!("event://{}/{}", run.header.run_id, put.seq);
            if let Some((hash, _)) = put.blob() {
                let covered = self.elsewhere.and_then(|it| it.cover(&hash, put.key(), put.ts)).is_some();
                self.told.entry(hash).or_default().uncovered |= !covered;
            }
            self.put(&put, read, committed, pointer);
        }
        if self.told.len() as u64 > MAX_BLOBS {
            return Err(Stop::Malformed(Problem::ManyBlobs));
        }
        self.keep(text, limit);
        Ok(())
    }

    fn keep(&mut self, text: &[u8], limit: u64) {
        self.kept = self.kept.saturating_add(text.len() as u64);
        self.keep &= self.kept <= limit && self.work <= limit.saturating_mul(WORK);
        if self.keep {
            self.events.push(text.into());
        } else {
            self.events = Vec::new();
        }
    }

    fn put(&mut self, put: &Evidence, read: bool, committed: bool, pointer: String) {
        if let Some(reason) = put.malformed(committed) {
            self.findings.find(Check::Evidence, Verdict::Fail, reason.at(pointer));
        }
        let Some((hash, bytes_len)) = put.blob() else { return };
        let told = self.told.entry(hash).or_default();
        told.read |= read;
        told.by_digest |= put.by_digest;
        // What was put again is not what was removed before.
        told.expired = false;
        if let Some((_, before)) = told.put {
            told.contradicted |= before != bytes_len;
        } else {
            told.put = Some((put.seq, bytes_len));
            told.key = put.key().map(|key| key.chars().take(MAX_KEY).collect());
        }
        if let Some(said) = put.content_type.as_ref().filter(|_| committed) {
            let said = BlobHash::of(said.as_bytes());
            told.contradicted |= told.content_type.is_some_and(|before| before != said);
            told.content_type.get_or_insert(said);
        }
        told.class = told.class.max(put.class.filter(|_| committed));
    }

    /// Whether a blob's bytes are to be kept for replay.
    fn wants(&mut self, blob: &Blob, limit: u64) -> bool {
        let wanted = self.keep && self.told.get(&blob.hash).is_some_and(|told| told.read);
        if !wanted || blob.state != State::Live || blob.bytes_len > MAX_BYTES_IN_MEMORY {
            return false;
        }
        self.kept = self.kept.saturating_add(blob.bytes_len);
        self.keep = self.kept <= limit;
        self.keep
    }

    fn blob(&mut self, blob: &Blob, bytes: Option<Vec<u8>>, hash: BlobHash) {
        let told = self.told.entry(blob.hash).or_default();
        let bytes_len = blob.bytes_len;
        let mut found = Vec::new();
        told.fact = Some(match blob.state {
            State::Live => {
                self.blobs += 1;
                if hash == blob.hash {
                    BlobFact::Intact { bytes_len, bytes: bytes.map(Into::into) }
                } else {
                    let msg = "the bytes are not what was put: they hash to something else";
                    found.push((Verdict::Fail, "BLOB_HASH_MISMATCH", msg));
                    BlobFact::Corrupt
                }
            }
            State::Withheld | State::Sealed => match told.compare(blob, self.files, &mut self.compared) {
                Compared::Same if told.by_digest => BlobFact::Elsewhere,
                Compared::Same if !told.read => BlobFact::Intact { bytes_len, bytes: None },
                compared => {
                    match compared {
                        Compared::Same => {}
                        Compared::Other => found.push((Verdict::Fail, "EVIDENCE_FILE_MISMATCH", OTHER_FILE)),
                        Compared::Nothing => {
                            let sealed = blob.state == State::Sealed;
                            let code = if sealed { "EVIDENCE_SEALED" } else { "EVIDENCE_WITHHELD" };
                            let msg = "its bytes are not in the bundle: --evidence KEY=FILE would settle it";
                            found.push((Verdict::Unknown, code, msg));
                        }
                    }
                    self.absent.push((told.key.clone(), blob.hash));
                    BlobFact::Unreadable { problem: format!("it is {}", blob.state.as_str()) }
                }
            },
            State::Expired => {
                match told.compare(blob, self.files, &mut self.compared) {
                    Compared::Other => found.push((Verdict::Fail, "EVIDENCE_FILE_MISMATCH", OTHER_FILE)),
                    Compared::Same | Compared::Nothing => {}
                }
                self.absent.push((told.key.clone(), blob.hash));
                if told.expired || self.elsewhere.is_some_and(|it| it.contains(&blob.hash) && !told.uncovered) {
                    BlobFact::Expired
                } else {
                    let msg = "its bytes were removed, and the event that says so is not in this run: the bundle of the run \
                               that removed them, given beside this one, would settle it";
                    found.push((Verdict::Unknown, "EXPIRY_UNPROVED", msg));
                    BlobFact::Unreadable { problem: msg.to_owned() }
                }
            }
            State::Missing => BlobFact::Missing,
        });
        found.extend(told.differs(blob));
        let at = told.put.map(|(seq, _)| seq);
        for (verdict, code, msg) in found {
            self.find_blob(verdict, Reason::new(code, msg), at, blob.hash);
        }
    }

    fn find_blob(&mut self, verdict: Verdict, reason: Reason, put: Option<i64>, blob: BlobHash) {
        let run = self.run.as_ref().map(|run| run.header.run_id.as_str()).unwrap_or_default();
        let reason = put.map_or(reason.clone(), |seq| reason.at(format!("event://{run}/{seq}")));
        self.findings.find(Check::Evidence, verdict, reason.at(BlobRef(blob)));
    }

    fn report(mut self, asked: &Verify<'_>) -> BundleReport {
        let named = self.told.iter().filter(|(_, told)| self.whole && told.fact.is_none());
        let unlisted: Vec<_> = named.map(|(hash, told)| (*hash, told.put)).collect();
        for (hash, put) in unlisted {
            let reason = Reason::new("BLOB_MISSING", "an event names it, and the bundle does not list it");
            self.find_blob(Verdict::Fail, reason, put.map(|(seq, _)| seq), hash);
        }
        for (key, _) in self.files.iter().filter(|(key, _)| !self.compared.contains(key.as_str())) {
            let msg =
                format!("a file was given for the key {key:?}, and nothing of that key is missing from the bundle");
            self.findings.find(Check::Evidence, Verdict::Unknown, Reason::new("EVIDENCE_FILE_UNUSED", msg));
        }
        let run = self.run.take();
        let mut report = BundleReport {
            run: run.as_ref().map(|run| run.header.run_id.clone()),
            head: None,
            recorded: None,
            checks: Vec::new(),
            absent: std::mem::take(&mut self.absent),
            receipts: std::mem::take(&mut self.receipts),
            evaluations: Vec::new(),
            events: 0,
            blobs: self.blobs,
        };
        let mut ended = false;
        match run {
            Some(run) => ended = self.run(run, asked, &mut report),
            None => self.unread(&[Check::Content, Check::Columns, Check::Commitment, Check::Log]),
        }
        if !self.whole {
            self.unread(&[Check::Evidence, Check::Path, Check::Replay]);
        }
        self.findings.settle(&Check::BUNDLE);
        report.events = self.findings.events;
        if ended {
            // What is proved to be in the log is the run's end, and nothing follows an end.
            let tail = self.findings.entry(Check::Tail);
            (tail.verdict, tail.required) = (Verdict::Pass, true);
            tail.reasons.clear();
        }
        report.checks = self.findings.checks;
        report
    }

    fn unread(&mut self, checks: &[Check]) {
        for check in checks {
            let reason = Reason::new("NOT_READ", "the bundle could not be read to its end");
            self.findings.find(*check, Verdict::Unknown, reason);
        }
    }

    /// What became of the run; whether its end is proved to be in the log.
    fn run(&mut self, run: Run, asked: &Verify<'_>, report: &mut BundleReport) -> bool {
        let Run { header, row, reader, proved, .. } = run;
        let facts = reader.finish(Some(&row.cells()));
        report.head = facts.head;
        report.recorded = facts.recorded_verdict;
        let pointer = format!("run://{}", header.run_id);
        if self.whole && (facts.events != header.events || facts.head.map(|(_, hash)| hash) != Some(header.head)) {
            let reason = Reason::new("HEAD_MISMATCH", "the last event is not the one that the header names");
            self.findings.find(Check::Content, Verdict::Fail, reason.at(&pointer));
        }
        let sound = facts.is_sound() && self.whole;
        let ends_here =
            facts.finalized && facts.head.map(|(seq, _)| seq) == header.proof.as_ref().map(|proof| proof.seq);
        let committed = facts.commitment.is_some();
        self.findings.run(&header.run_id, facts);
        let proved = check_proof(&header, proved, asked.keys, &mut self.findings);
        if self.whole {
            self.replay(&header, &row, sound, committed, report);
        }
        proved && ends_here && sound
    }

    fn replay(&mut self, header: &Header, row: &Row, sound: bool, committed: bool, report: &mut BundleReport) {
        if self.evaluations == 0 {
            return;
        }
        let skipped = if !committed {
            Some(("REPLAY_UNCOMMITTED", "the run commits to no policy, so that nothing can be computed again"))
        } else if !sound {
            Some(("REPLAY_UNSOUND", "the run is not sound, so that nothing is computed from it"))
        } else if !self.keep {
            Some(("REPLAY_TOO_LARGE", "the run is too large to be judged again within the limit: give a larger one"))
        } else {
            None
        };
        if let Some((code, msg)) = skipped {
            self.findings.find(
                Check::Replay,
                Verdict::Unknown,
                Reason::new(code, msg).at(format!("run://{}", header.run_id)),
            );
            self.findings.entry(Check::Replay).required = committed;
            return;
        }
        let told = &self.told;
        let blob = |hash: &BlobHash, _| told.get(hash).and_then(|told| told.fact.clone()).unwrap_or(BlobFact::Missing);
        let (run_id, events, evaluator) = (&header.run_id, self.events.as_slice(), evaluator());
        report.evaluations = Replay { run_id, events, row: &row.cells(), blob: &blob, evaluator }.all();
        for replayed in &report.evaluations {
            for reason in &replayed.reasons {
                self.findings.find(Check::Replay, replayed.verdict, reason.clone());
            }
        }
    }
}

/// Whether the proof holds, is of the run's last event, and is signed by all of the keys, of which there is one at least.
fn check_proof(header: &Header, event: Option<EventHash>, keys: &[VerifierKey], findings: &mut Findings) -> bool {
    let mut find = |verdict, reason| {
        findings.find(Check::Log, verdict, reason);
        findings.entry(Check::Log).required = verdict == Verdict::Fail || !keys.is_empty();
        false
    };
    let Some(proof) = &header.proof else {
        return find(Verdict::Unknown, Reason::new("NO_PROOF", "the bundle carries no checkpoint"));
    };
    let parsed = match InclusionProof::parse(proof.text.as_bytes()) {
        Ok(parsed) if parsed.to_string() == proof.text => parsed,
        Ok(_) => return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", "the proof is not spelled as one is")),
        Err(error) => return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", error.to_string())),
    };
    let Some(event) = event else {
        return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", format!("the run has no event {}", proof.seq)));
    };
    if let Err(problem) = parsed.check(&event) {
        return find(Verdict::Fail, Reason::new("PROOF_MISMATCH", problem.to_string()));
    }
    if let Some((verdict, reason)) = unsigned(&parsed.checkpoint, keys) {
        return find(verdict, reason);
    }
    if event != header.head {
        // Whoever has a proof of the beginning could have written the rest.
        let msg =
            format!("no event behind {} is proved to be in the log: a newer checkpoint would settle it", proof.seq);
        return find(Verdict::Unknown, Reason::new("PROOF_PARTIAL", msg));
    }
    true
}
