//! Puts the run of a bundle into a ledger, chain and hashes unchanged, and what was kept before as it was.
//!
//! A run of the ledger's own records which run that was, so that what a stranger wrote is known as a stranger's.

use super::report::BundleReport;
use super::sink::Sink;
use super::verify::Verify;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::head::{read_head_hash, sound_event};
use crate::read::imports::{self, IMPORTS};
use crate::read::maintenance::Kind;
use crate::read::run::read_facts;
use crate::store::{self, NewBlob, NewRun, ReadTransaction, Scope, WriteTransaction};
use crate::write::maintenance::End;
use crate::write::{Clean, Gate};
use receipt_core::bundle::{Blob, Header, Proof, Row, State};
use receipt_core::canonical;
use receipt_core::chain::Link;
use receipt_core::checkpoint::InclusionProof;
use receipt_core::envelope::{Actor, Envelope, Scratch, Sealed};
use receipt_core::evidence::{BlobFact, BlobRecord};
use receipt_core::id::{RunId, Seq, Timestamp};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::stage::Stage;
use std::io::{BufRead, Read};

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What the bundle looked like. Unless it is PASS or WARN, nothing was written.
    pub report: BundleReport,
    /// Whether its run is new to the ledger; if not, it was there as it is.
    pub new: bool,
}

impl Ledger {
    /// Checks a bundle and, if it is PASS or WARN, puts its run into this ledger in one transaction: the same texts,
    /// the same hashes. What is there already stays; a run that is there as it is in the bundle is no error.
    ///
    /// A bundle whose evidence is not all in it is UNKNOWN, and is not taken.
    ///
    /// A maintenance run records the import. What the bundle says of a blob that is here already changes nothing about it.
    ///
    /// # Errors
    /// [`Error::ImportConflict`] for a run or a blob that is there and is another; [`Error::Io`]; as writing does.
    pub fn import(&self, verify: &Verify<'_>, input: &mut dyn BufRead) -> Result<Imported> {
        let now = self.now();
        // Known before the store is taken, as the record of the import is redacted too.
        let gate = self.gate()?;
        let mut transaction = self.store.begin(Scope::Ledger)?;
        let mut target = Target { transaction: transaction.as_mut(), header: None, known: false, next: 1, now };
        let report = verify.run_into(input, &mut target)?;
        let (new, header) = (!target.known, target.header.take());
        if report.overall_verdict().is_success() {
            if let Some(header) = header {
                if new {
                    record_import(self, transaction.as_mut(), gate, &header)?;
                }
                keep_proof(transaction.as_mut(), &header, verify)?;
            }
            transaction.commit()?;
        }
        Ok(Imported { report, new })
    }
}

/// Writes the run that says what was imported.
fn record_import(ledger: &Ledger, transaction: &mut dyn WriteTransaction, gate: Gate, header: &Header) -> Result<()> {
    let actor = Actor::new("system", "import");
    // The id is on record, in the run itself.
    let said = Clean::ours(imports::record(&header.run_id, header.events, &header.head));
    let run = ledger.maintain_in(transaction, gate, Kind::Import, &actor, &Object::new(), said)?;
    let mut run = run.open(transaction)?;
    run.advance(&Stage::new("COLLECT"), Clean::ours("imported"))?;
    let decision = ["import", "the bundle verified", "none"];
    run.close(&End { reason: "the run is as RUN_START says", decision, summary: "imported a run" })?;
    transaction.set(IMPORTS, "true")
}

/// Keeps the proof that the run is in the log of the ledger that it came from, and the keys that signed its checkpoint, so
/// that a bundle made here still has it. A proof proves itself to whoever reads it, wherever it lay.
fn keep_proof(transaction: &mut dyn WriteTransaction, header: &Header, verify: &Verify<'_>) -> Result<()> {
    let Some(proof) = &header.proof else { return Ok(()) };
    let keys: Vec<String> = verify.trusted().iter().map(ToString::to_string).collect();
    let value = Object::from_iter([
        ("seq", Value::from(proof.seq.get())),
        ("text", proof.text.as_str().into()),
        ("keys", keys.into()),
    ]);
    let json = canonical::to_bytes(&value.into(), Limits::WRITE)?;
    transaction.set(&proof_name(&header.run_id), &String::from_utf8_lossy(&json))
}

pub(crate) fn proof_name(run: &RunId) -> String {
    format!("proof of {run}")
}

/// The proof that a run was imported with, if the run was and its last event is still the one that is proved.
pub(super) fn kept_proof(store: &dyn ReadTransaction, run: &RunId) -> Result<Option<Proof>> {
    let Some(text) = store.setting(&proof_name(run))? else { return Ok(None) };
    let value = json::parse(text.as_bytes(), Limits::READ).unwrap_or_default();
    let seq = value.get("seq").and_then(Value::as_i64).and_then(Seq::new);
    let Some((seq, text)) = seq.zip(value.get("text").and_then(Value::as_str)) else { return Ok(None) };
    let mut proved = None;
    store.event(run, seq, &mut |row| {
        let mut scratch = Scratch::default();
        proved = sound_event(run, row, &mut scratch).ok().map(|envelope| envelope.hash);
    })?;
    let parsed = InclusionProof::parse(text.as_bytes()).ok().zip(proved);
    let holds = parsed.is_some_and(|(proof, event)| proof.check(&event).is_ok());
    Ok(holds.then(|| Proof { seq, text: text.to_owned() }))
}

struct Target<'t> {
    transaction: &'t mut dyn WriteTransaction,
    header: Option<Header>,
    /// The run is there already, as it is in the bundle.
    known: bool,
    /// The seq that the next event must have.
    next: i64,
    now: Timestamp,
}

fn conflict(what: String, problem: &'static str) -> Error {
    Error::ImportConflict { what, problem }
}

impl Sink for Target<'_> {
    fn start(&mut self, header: &Header, row: &Row) -> Result<()> {
        let run = &header.run_id;
        self.header = Some(header.clone());
        match read_head_hash(self.transaction, run) {
            Err(Error::RunNotFound { .. }) => {}
            Err(error) => return Err(error),
            Ok((seq, head)) => {
                self.known = true;
                let facts = read_facts(self.transaction, run)?;
                let mut same_row = false;
                self.transaction.run(run, &mut |cells| same_row = Row::from_cells(cells).as_ref() == Some(row))?;
                let same = head == header.head && seq.get().unsigned_abs() == header.events && facts.is_sound();
                let problem = "its events or its row are not the same";
                return if same && same_row {
                    Ok(())
                } else {
                    Err(conflict(format!("run {:?}", run.as_str()), problem))
                };
            }
        }
        let created_at = Timestamp::parse(&row.created_at).filter(|ts| ts.to_string() == row.created_at);
        self.transaction.insert_run(&NewRun {
            run_id: run,
            policy_id: &row.policy_id,
            policy_version: &row.policy_version,
            stage_graph_id: &row.stage_graph_id,
            created_at: created_at.ok_or_else(|| receipt_core::Error::Draft {
                field: "created_at",
                problem: "a run can be imported if it began at a timestamp of docs/FORMAT.md".to_owned(),
            })?,
            meta_json: &row.meta_json,
        })
    }

    fn event(&mut self, envelope: &Envelope<'_>, text: &[u8]) -> Result<()> {
        let Some(run_id) = self.header.as_ref().filter(|_| !self.known).map(|header| header.run_id.clone()) else {
            return Ok(());
        };
        if envelope.seq.get() != self.next {
            // The report says so, and nothing of this is kept.
            return Ok(());
        }
        self.next += 1;
        let link = Link { run_id, seq: envelope.seq, prev: envelope.prev };
        let (event_type, hash) = (envelope.event_type, envelope.hash);
        let ts = envelope.ts().as_str().and_then(Timestamp::parse).unwrap_or(self.now);
        self.transaction.insert_event(&Sealed { link, event_type, hash, text: text.to_vec() }, ts)
    }

    fn blob(&mut self, blob: &Blob, bytes: &mut dyn Read) -> Result<()> {
        if blob.state != State::Live {
            return Ok(());
        }
        let mut held = false;
        self.transaction.blob(&blob.hash, &mut |_| held = true)?;
        if !held {
            let record = BlobRecord {
                hash: blob.hash,
                content_type: blob.content_type.clone(),
                bytes_len: blob.bytes_len,
                class: blob.class,
            };
            let blob = NewBlob { record: &record, created_at: self.now, redaction_json: None };
            return self.transaction.put_blob(&blob, bytes);
        }
        // Class and type stay those that it has here.
        match store::blob_fact(self.transaction, &blob.hash, false) {
            BlobFact::Intact { .. } => Ok(()),
            _ => Err(conflict(format!("blob {}", blob.hash), "its bytes are not there as they were put")),
        }
    }
}
