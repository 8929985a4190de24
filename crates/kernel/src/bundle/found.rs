//! What was found in a bundle, and what follows.

use super::proof::check_proof;
use super::replay::{Finished, Standing, WORK, evaluator, reads};
use super::report::BundleReport;
use super::sink::{Sink, Stop};
use super::told::Told;
use crate::check::findings::Findings;
use crate::check::report::Check;
use crate::error::Result;
use crate::evidence::digest::Digest256;
use crate::evidence::retention::policy::Retention;
use crate::read::evidence::Evidence;
use crate::read::evidence::receipt::{Receipt, Receipts, kept};
use crate::store::MAX_BYTES_IN_MEMORY;
use receipt_core::bundle::{Blob, Header, MAX_BLOBS, Problem, Row, State};
use receipt_core::envelope::EventType;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, EventHash, RunId};
use receipt_core::note::VerifierKey;
use receipt_core::payload::BlobExpire;
use receipt_core::replay::Replay;
use receipt_core::run::{RunReader, Steps, blobs_referred_to};
use receipt_core::verdict::{Reason, Verdict};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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

/// What a bundle is checked with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given<'k> {
    /// Each must have signed the checkpoint.
    pub(super) keys: &'k [VerifierKey],
    /// Files for what is not in the bundle.
    pub(super) files: &'k [(String, Digest256)],
    /// The receipts of removals from elsewhere.
    pub(super) receipts: Option<&'k Receipts>,
    /// How many bytes are kept for replay.
    pub(super) replay_limit: u64,
}

#[derive(Default)]
pub(super) struct Found<'k> {
    findings: Findings,
    given: Given<'k>,
    /// The keys of the files that something was compared with.
    compared: HashSet<&'k str>,
    /// The receipts of removals among the events.
    receipts: Receipts,
    /// Whether files stand only for what was recorded by digest.
    alone: bool,
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

impl<'k> Found<'k> {
    /// Nothing yet. If `alone`, nothing from outside stands for evidence that is not in the bundle, but for what was recorded
    /// by digest.
    pub(super) fn nothing(given: Given<'k>, alone: bool) -> Self {
        let keep = given.replay_limit > 0;
        Self { keep, given: Given { receipts: given.receipts.filter(|_| !alone), ..given }, alone, ..Self::default() }
    }

    /// The first two lines.
    pub(super) fn begin(&mut self, header: Header, row: Row) {
        let reader = RunReader::new(header.run_id.clone());
        self.run = Some(Run { reader, header, row, proved: None, reads: None });
    }

    /// The last line, which is right.
    pub(super) const fn end(&mut self) {
        self.whole = true;
    }

    /// The line of this number cannot be read, and none after it.
    pub(super) fn malformed(&mut self, line: u64, problem: Problem) {
        let reason = Reason::new("BUNDLE_MALFORMED", format!("line {line}: {problem}"));
        self.findings.find(Check::Format, Verdict::Fail, reason);
    }

    /// The class of a blob as its run says it: of a stricter one in its record nothing shows whose it is.
    pub(super) fn class(&self, blob: &Blob) -> EvidenceClass {
        self.told.get(&blob.hash).and_then(Told::class).unwrap_or(blob.class)
    }

    pub(super) fn event(&mut self, text: &[u8], limit: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
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
                    self.told.entry(receipt.hash).or_default().removed(receipt.clone());
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
            let run_id = run.header.run_id.clone();
            self.put(&run_id, &put, read, committed);
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

    fn put(&mut self, run: &RunId, put: &Evidence, read: bool, committed: bool) {
        let pointer = format!("event://{run}/{}", put.seq);
        if let Some(reason) = put.malformed(committed) {
            self.findings.find(Check::Evidence, Verdict::Fail, reason.at(&pointer));
        }
        let Some((hash, bytes_len)) = put.blob() else { return };
        let covered = self.given.receipts.and_then(|it| it.cover(&hash, put.key(), put.ts)).is_some();
        let told = self.told.entry(hash).or_default();
        told.read |= read;
        if let Some((verdict, code, msg)) = told.put(put, bytes_len, committed, covered) {
            let reason = Reason::new(code, msg).at(&pointer).at(BlobRef(hash));
            self.findings.find(Check::Evidence, verdict, reason);
        }
    }

    /// Whether a blob's bytes are to be kept for replay.
    pub(super) fn wants(&mut self, blob: &Blob, limit: u64) -> bool {
        let wanted = self.keep && self.told.get(&blob.hash).is_some_and(|told| told.read);
        if !wanted || blob.state != State::Live || blob.bytes_len > MAX_BYTES_IN_MEMORY {
            return false;
        }
        self.kept = self.kept.saturating_add(blob.bytes_len);
        self.keep = self.kept <= limit;
        self.keep
    }

    pub(super) fn blob(&mut self, blob: &Blob, bytes: Option<Vec<u8>>, hash: BlobHash) {
        self.blobs += u64::from(blob.state == State::Live);
        let told = self.told.entry(blob.hash).or_default();
        let files = if self.alone && !told.by_digest() { &[] } else { self.given.files };
        let (judged, absent) = told.judge(blob, hash, bytes, self.given.receipts, files, &mut self.compared);
        told.fact = Some(judged.fact);
        if absent {
            self.absent.push((told.key.clone(), blob.hash));
        }
        let put = told.put;
        for (verdict, code, msg) in judged.found {
            self.find_blob(verdict, Reason::new(code, msg), put, blob.hash);
        }
    }

    fn find_blob(&mut self, verdict: Verdict, reason: Reason, put: Option<i64>, blob: BlobHash) {
        let run = self.run.as_ref().map(|run| run.header.run_id.as_str()).unwrap_or_default();
        let reason = put.map_or(reason.clone(), |seq| reason.at(format!("event://{run}/{seq}")));
        self.findings.find(Check::Evidence, verdict, reason.at(BlobRef(blob)));
    }

    pub(super) fn report(mut self) -> BundleReport {
        let named = self.told.iter().filter(|(_, told)| self.whole && told.fact.is_none());
        let unlisted: Vec<_> = named.map(|(hash, told)| (*hash, told.put)).collect();
        for (hash, put) in unlisted {
            let reason = Reason::new("BLOB_MISSING", "an event names it, and the bundle does not list it");
            self.find_blob(Verdict::Fail, reason, put, hash);
        }
        for (key, _) in self.given.files.iter().filter(|(key, _)| !self.compared.contains(key.as_str())) {
            let msg =
                format!("a file was given for the key {key:?}, and nothing of that key is missing from the bundle");
            self.findings.find(Check::Evidence, Verdict::Unknown, Reason::new("EVIDENCE_FILE_UNUSED", msg));
        }
        let run = self.run.take();
        let mut report = BundleReport {
            run: run.as_ref().map(|run| run.header.run_id.clone()),
            head: None,
            recorded: None,
            ending: None,
            checks: Vec::new(),
            absent: std::mem::take(&mut self.absent),
            receipts: std::mem::take(&mut self.receipts),
            evaluations: Vec::new(),
            finished: None,
            events: 0,
            blobs: self.blobs,
        };
        let mut ended = false;
        match run {
            Some(run) => ended = self.run(run, &mut report),
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
    fn run(&mut self, run: Run, report: &mut BundleReport) -> bool {
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
        report.ending = Some(self.findings.run(&header.run_id, facts));
        let proved = check_proof(&header, proved, self.given.keys, &mut self.findings);
        if self.whole {
            self.replay(&header, &row, sound, committed, report);
        }
        proved && ends_here && sound
    }

    fn replay(&mut self, header: &Header, row: &Row, sound: bool, committed: bool, report: &mut BundleReport) {
        let standing = Standing {
            sound: sound && self.findings.entry(Check::Evidence).verdict != Verdict::Fail,
            committed,
            evaluations: self.evaluations,
            recorded: report.recorded,
            fits: self.keep,
        };
        if let Some(reason) = standing.refused(&header.run_id) {
            self.findings.find(Check::Replay, Verdict::Unknown, reason);
            self.findings.entry(Check::Replay).required = committed;
            return;
        }
        if self.evaluations == 0 {
            return;
        }
        let told = &self.told;
        let blob = |hash: &BlobHash, _| told.get(hash).and_then(|told| told.fact.clone()).unwrap_or(BlobFact::Missing);
        let (run_id, events, evaluator) = (&header.run_id, self.events.as_slice(), evaluator());
        let steps = &Steps::default();
        let replay = Replay { run_id, events, row: &row.cells(), blob: &blob, evaluator, steps };
        report.evaluations = replay.all();
        let ended = report.ending.as_ref().is_some_and(|ending| ending.outcome.is_some());
        report.finished = ended.then(|| replay.whole()).flatten().as_ref().map(Finished::of);
        for replayed in &report.evaluations {
            for reason in &replayed.reasons {
                self.findings.find(Check::Replay, replayed.verdict, reason.clone());
            }
        }
    }
}
