//! Today's rules over what is stored already: secrets that were recorded before a rule knew them, and their replacement.
//!
//! A blob's bytes can be replaced by their redaction ([`Ledger::redact`]), with a receipt in a maintenance run: in one
//! transaction the redacted bytes are put, the old ones removed, and a BLOB_EXPIRE event names both and the rules. What a
//! secret in an event says stays there: events are never changed. It has to be revoked where it is valid.

use super::Put;
use super::redact::{Redactor, Report};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::maintenance::Kind;
use crate::store::{self, Erasure, Visit};
use crate::write::maintenance::End;
use crate::write::{Clean, OpenRun, Source, Spool};
use receipt_core::envelope::{Actor, EventType};
use receipt_core::evidence::{BlobFact, BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, EventRef, RunId};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::{BlobExpire, Cause};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a blob's bytes.
    Blob(BlobHash),
    /// In an event, which cannot be changed.
    Event(EventRef),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(hash) => BlobRef(*hash).fmt(f),
            Self::Event(event) => event.fmt(f),
        }
    }
}

/// A secret that lies open in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// The rule that found it.
    pub rule: Arc<str>,
    /// In a blob, where it begins and how many characters it has.
    pub at: Option<(u64, u64)>,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The secrets, in the order of the runs and events, then of the blobs.
    pub findings: Vec<Finding>,
    /// How many more there are in blobs that are so full of them that not all are listed.
    pub more: u64,
    /// What could not be looked into, and why.
    pub unscanned: Vec<(String, String)>,
    /// How often an exception of the rules was used.
    pub allowed: u64,
    /// How many events were scanned.
    pub events: u64,
    /// How many blobs were.
    pub blobs: u64,
    /// The digest of the rules.
    pub rules: String,
}

/// A blob whose bytes were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The maintenance run that has the receipt.
    pub run_id: RunId,
    /// What its bytes were.
    pub old: BlobHash,
    /// What they are now.
    pub new: BlobRecord,
    /// How many secrets were replaced.
    pub redactions: usize,
    /// The digest of the rules.
    pub rules: String,
    /// Whether no copy of the old bytes is left in the ledger's files. Where somebody still reads what was before, a later
    /// [`Ledger::retain`] makes up for it.
    pub scrubbed: bool,
}

impl Ledger {
    /// Looks for secrets in what is stored: in these runs and their evidence, or with none named in all there is.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RulesInvalid`]; where the store cannot be read.
    pub fn scan(&self, runs: &[RunId]) -> Result<Scanned> {
        let redactor = self.redactor()?;
        let mut scanned = Scanned { rules: redactor.digest().to_owned(), ..Scanned::default() };
        let mut blobs = BTreeSet::new();
        let mut all = runs.to_vec();
        if all.is_empty() {
            self.run_ids(&mut |run, _| {
                all.push(run);
                Visit::Continue(())
            })?;
            blobs = self.all_blobs(&mut scanned)?;
        }
        for run in &all {
            self.scan_run(&redactor, run, &mut scanned, &mut blobs)?;
        }
        for hash in blobs {
            self.scan_blob(&redactor, &hash, &mut scanned)?;
        }
        Ok(scanned)
    }

    fn all_blobs(&self, scanned: &mut Scanned) -> Result<BTreeSet<BlobHash>> {
        let mut blobs = BTreeSet::new();
        self.look()?.view().blobs(&mut |id| {
            match id.text().and_then(BlobHash::parse_bytes) {
                Some(hash) => _ = blobs.insert(hash),
                None => scanned.unscanned.push(("a blob".to_owned(), "its address is no hash".to_owned())),
            }
            Visit::Continue(())
        })?;
        Ok(blobs)
    }

    fn scan_run(
        &self,
        redactor: &Redactor,
        run: &RunId,
        scanned: &mut Scanned,
        blobs: &mut BTreeSet<BlobHash>,
    ) -> Result<()> {
        let facts = self.events(run.as_str(), &mut |event| {
            scanned.events += 1;
            let place = Place::Event(EventRef { run_id: run.clone(), seq: event.seq });
            blobs.extend(event.blobs().filter_map(|blob| Some(BlobRef::parse(blob.as_str()?)?.0)));
            // Actors and what else there is beside the payload too.
            match json::parse(&event.text, Limits::READ) {
                Ok(Value::Object(mut envelope)) => {
                    let found = |rule: &Arc<str>| {
                        scanned.findings.push(Finding { place: place.clone(), rule: Arc::clone(rule), at: None });
                    };
                    redactor.redact_object_by(&mut envelope, &mut { found });
                }
                _ => scanned.unscanned.push((place.to_string(), "it cannot be read".to_owned())),
            }
        })?;
        if facts.unreadable > 0 {
            let problem = format!("{} of its events cannot be read", facts.unreadable);
            scanned.unscanned.push((format!("run {run}"), problem));
        }
        Ok(())
    }

    fn scan_blob(&self, redactor: &Redactor, hash: &BlobHash, scanned: &mut Scanned) -> Result<()> {
        let place = Place::Blob(*hash);
        let mut skip = |why: &str| scanned.unscanned.push((place.to_string(), why.to_owned()));
        let (record, fact) = match self.blob_record(hash) {
            Ok((record, fact)) => (record, fact),
            // Recorded by its digest alone, or missing: there are no bytes here.
            Err(Error::BlobNotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match fact {
            BlobFact::Expired | BlobFact::Removed | BlobFact::Missing | BlobFact::Elsewhere => return Ok(()),
            BlobFact::Malformed { problem } | BlobFact::Unreadable { problem } => {
                skip(&problem);
                return Ok(());
            }
            // What is not what was put may hold a secret all the same.
            BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Corrupt => {}
        }
        if record.is_some_and(|record| record.class == EvidenceClass::Sealed) {
            skip("sealed");
            return Ok(());
        }
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        let read = self.look()?.view().blob_bytes(hash, &mut |piece| {
            stream.push(piece, &mut out);
            out.clear();
        });
        if let Err(Error::BlobUnavailable { problem, .. }) = read {
            skip(&problem);
            return Ok(());
        }
        read?;
        let report = stream.finish(&mut out);
        scanned.blobs += 1;
        scanned.allowed += report.left() as u64;
        scanned.more += report.more_hits as u64;
        if let Some(why) = report.scanned.why() {
            scanned.unscanned.push((place.to_string(), why.to_owned()));
        }
        let finding = |hit: super::redact::Hit| Finding {
            place: place.clone(),
            rule: hit.pattern_name,
            at: Some((hit.offset, hit.length)),
        };
        scanned.findings.extend(report.hits.into_iter().map(finding));
        Ok(())
    }

    /// Replaces a blob's bytes by their redaction: what it is, where it went and by which rules is in a receipt.
    ///
    /// # Errors
    /// [`Error::NothingToRedact`] where today's rules find nothing in it; [`Error::BlobUnavailable`] where its bytes are
    /// not there, are not what was put, or are sealed; [`Error::Held`]; where the store cannot be written.
    pub fn redact(&self, hash: &BlobHash, actor: &Actor) -> Result<Redacted> {
        let redactor = self.redactor()?;
        let unavailable =
            |problem: &str| Error::BlobUnavailable { blob: hash.to_string(), problem: problem.to_owned() };
        let record = self.blob_record(hash)?.0.ok_or_else(|| unavailable("its row cannot be read"))?;
        if record.class == EvidenceClass::Sealed {
            return Err(unavailable("it is sealed, so that nobody can look into it here"));
        }
        let mut source = self.redaction(hash)?;
        let report = source.report().clone();
        if report.hits.is_empty() || source.hash() == *hash {
            return Err(Error::NothingToRedact { blob: hash.to_string() });
        }
        let meta = Object::from_iter([("redaction_rules", redactor.digest())]);
        let mut run = self.maintain(Kind::Redact, actor, &meta)?;
        run.advance("COLLECT", "replacing a blob by its redaction")?;
        let new = run.transact_alone(|run| replace(run, self, &record, &mut source, &report))?;
        let decision = ["redact", "the rules that RUN_START names", "revoke the secret where it is valid"];
        let summary = format!("redacted {} secrets", report.replaced());
        run.transact(|run| run.close(&End { reason: "replaced it", decision, summary: &summary }))?;
        Ok(Redacted {
            run_id: run.run_id().clone(),
            old: *hash,
            new,
            redactions: report.replaced(),
            rules: redactor.digest().to_owned(),
            scrubbed: self.store.erase()? == Erasure::Done,
        })
    }

    fn redaction(&self, hash: &BlobHash) -> Result<Source<'static>> {
        let mut spool = SpoolWriter(self.spool(EvidenceClass::Public)?);
        self.copy_blob(hash, &mut spool)?;
        spool.0.finish().map_err(|source| Error::Io { path: "the temporary file of the evidence".into(), source })
    }
}

struct SpoolWriter(Spool);

impl Write for SpoolWriter {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0.push(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One transaction: the redacted bytes are put, the old ones go, and the receipt names both.
fn replace(
    run: &mut OpenRun<'_>,
    ledger: &Ledger,
    old: &BlobRecord,
    source: &mut Source<'_>,
    report: &Report,
) -> Result<BlobRecord> {
    let fact = store::blob_fact(run.transaction, &old.hash, false);
    if !matches!(fact, BlobFact::Intact { .. } | BlobFact::TooLarge { .. }) {
        return Err(Error::BlobUnavailable {
            blob: old.hash.to_string(),
            problem: "its bytes are not there, or not what was put".to_owned(),
        });
    }
    if let Some(held) = super::retention::held_by(run.transaction, &old.hash)? {
        return Err(Error::Held { blob: old.hash.to_string(), run: held });
    }
    let now = ledger.now();
    let put = run.gate().put(Put::of_type(old.content_type.clone()));
    let stored = super::store(run.transaction, source, &put, now)?;
    let meta = Clean::ours(Object::from_iter([("redacted_from", BlobRef(old.hash).to_string())]));
    run.put(Clean::ours("redaction".to_owned()), &stored.record, stored.note(meta))?;
    let (from, to) = (BlobState::Live, BlobState::ExpiredHashOnly);
    if !run.transaction.expire_blob(&old.hash, from, to, now)? {
        return Err(Error::internal("a blob changed its state inside a transaction"));
    }
    let cause =
        Cause::Redaction { replaced_by: stored.record.hash, redactions: report.replaced(), rules: &report.rules };
    let payload = BlobExpire::to_object(old.hash, old.bytes_len, old.class, [from, to], cause);
    let blobs = [BlobRef(old.hash), BlobRef(stored.record.hash)];
    run.write(&run.draft(EventType::BlobExpire, Clean::ours(payload)).blobs(blobs))?;
    Ok(stored.record)
}
