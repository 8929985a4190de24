//! Puts the run of a bundle into a ledger, chain and hashes unchanged.

use super::verify::{BundleReport, Sink, Verify};
use crate::error::{Error, Result};
use crate::ledger::{Ledger, read_facts, read_head_hash};
use crate::store::{self, NewBlob, NewRun, WriteTransaction};
use receipt_core::bundle::{Blob, Header, Row, State};
use receipt_core::chain::Link;
use receipt_core::envelope::{Envelope, Sealed};
use receipt_core::evidence::{BlobFact, BlobRecord, EvidenceClass};
use receipt_core::id::{RunId, Timestamp};
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
    /// # Errors
    /// [`Error::ImportConflict`] for a run or a blob that is there and is another; [`Error::Io`]; as writing does.
    pub fn import(&self, verify: &Verify<'_>, input: &mut dyn BufRead) -> Result<Imported> {
        let now = self.now();
        let mut store = self.lock();
        let mut transaction = store.write()?;
        let mut target = Target { transaction: transaction.as_mut(), run: None, known: false, next: 1, now };
        let report = verify.run_into(input, &mut target)?;
        let new = !target.known;
        if report.overall_verdict().is_success() {
            transaction.commit()?;
        }
        Ok(Imported { report, new })
    }
}

struct Target<'t> {
    transaction: &'t mut dyn WriteTransaction,
    run: Option<RunId>,
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
        self.run = Some(run.clone());
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
        let Some(run_id) = self.run.clone().filter(|_| !self.known) else { return Ok(()) };
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
        let mut held = None;
        self.transaction.blob(&blob.hash, &mut |row| {
            let class = row.evidence_class.as_str().and_then(EvidenceClass::parse);
            held = Some((class, row.content_type.as_str() == Some(&blob.content_type)));
        })?;
        let mut record = BlobRecord {
            hash: blob.hash,
            content_type: blob.content_type.clone(),
            bytes_len: blob.bytes_len,
            class: blob.class,
        };
        let Some((class, same_type)) = held else {
            return self
                .transaction
                .put_blob(&NewBlob { record: &record, created_at: self.now, redaction_json: None }, bytes);
        };
        let fact = store::blob_fact(self.transaction, &blob.hash, false);
        if !same_type || !matches!(fact, BlobFact::Intact { .. }) {
            let problem = "it has another content type, or its bytes are not there as they were put";
            return Err(conflict(format!("blob {}", blob.hash), problem));
        }
        if class < Some(blob.class) {
            record.class = blob.class;
            return self.transaction.set_class(&record);
        }
        Ok(())
    }
}
