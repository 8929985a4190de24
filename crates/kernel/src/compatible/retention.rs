//! Retention in the compatible store, by time alone, as the functions of the Python package ask for it.
//!
//! What is removed and the events that say so are one transaction. A maintenance run that the caller names is the
//! caller's: it is begun where it is new, and stays open. One that nobody names is a whole run, from RUN_START to
//! RUN_FINALIZE.

use super::{CompatibleStore, append};
use crate::error::{Error, Result};
use crate::evidence::retention::policy::Ttl;
use crate::read::run::read_facts;
use crate::store::sqlite::{self, SqliteTransaction};
use crate::store::{self, NewRun, ReadTransaction, WriteTransaction};
use receipt_core::canonical;
use receipt_core::envelope::{EventType, Members};
use receipt_core::evidence::{BlobFact, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::invariant::LedgerChainValid;
use receipt_core::json::{Limits, Object, Value};
use receipt_core::payload::{RunFinalize, StageAdvance};
use receipt_core::stage::Stage;
use rusqlite::types::ValueRef;

/// What is to be removed.
#[derive(Clone, Debug)]
pub struct Purge {
    /// How long public evidence is kept.
    pub public: Ttl,
    /// How long sealed evidence is kept.
    pub sealed: Ttl,
    /// How long after its removal a blob is `expired_hash_only`, before it is `purged`.
    pub hash: Ttl,
    /// The instant at which it is asked.
    pub now: Timestamp,
    /// What the events say of the policy.
    pub policy: Object,
}

/// A blob whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The address.
    pub hash: BlobHash,
    /// The media type.
    pub content_type: String,
    /// How many bytes it has.
    pub bytes_len: i64,
    /// When it was put, as the row has it.
    pub created_at: String,
    /// The class.
    pub class: EvidenceClass,
    /// The last instant at which it was kept.
    pub expires_at: Timestamp,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// The blobs that lost their bytes, or would.
    pub expired: Vec<Expired>,
    /// How many went from `expired_hash_only` to `purged`.
    pub purged: u64,
    /// Rows that were left alone, and why.
    pub problems: Vec<String>,
    /// The maintenance run that has the receipts; `None` where nothing was due.
    pub run_id: Option<String>,
}

/// The policy that maintenance runs name.
const POLICY: [&str; 3] = ["retention", "0.1.0", "v1_minimal"];

impl Purge {
    fn ttl(&self, class: EvidenceClass) -> Ttl {
        match class {
            EvidenceClass::Public => self.public,
            EvidenceClass::Sealed => self.sealed,
        }
    }
}

/// An instant of a row, of which one without an offset is in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{text}+00:00")))
}

impl CompatibleStore {
    /// What is due, in the order in which it was put, and the rows that cannot be judged.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn expired(&self, purge: &Purge) -> Result<(Vec<Expired>, Vec<String>)> {
        due(&sqlite::look(&self.connection)?, purge)
    }

    /// Removes what is due, and says so in events of one maintenance run.
    ///
    /// # Errors
    /// [`Error::RunFinalized`] where the run that is named has ended: nothing is removed; where the file cannot be written.
    pub fn purge(&mut self, purge: &Purge, maintenance_run: Option<&str>) -> Result<Purged> {
        let purged = self.transact(|transaction, now| {
            let (expired, problems) = due(transaction, purge)?;
            let mut done = Purged { problems, ..Purged::default() };
            let gone = long_gone(transaction, purge)?;
            if expired.is_empty() && gone.is_empty() {
                return Ok(done);
            }
            let run = Maintenance::begin(transaction, purge, maintenance_run, now)?;
            for blob in expired {
                match store::blob_fact(transaction, &blob.hash, false) {
                    BlobFact::Intact { .. } => {
                        run.remove(transaction, &blob, BlobState::Live, BlobState::ExpiredHashOnly)?;
                        done.expired.push(blob);
                    }
                    fact => done.problems.extend(left_alone(&blob.hash, &fact)),
                }
            }
            for blob in gone {
                run.remove(transaction, &blob, BlobState::ExpiredHashOnly, BlobState::Purged)?;
                done.purged += 1;
            }
            run.end(transaction, &done)?;
            done.run_id = Some(run.id.to_string());
            Ok(done)
        })?;
        // A reader of what was before keeps copies in the log; the next purge tries again.
        if self.path.to_str() != Some(":memory:") && !sqlite::scrub(&mut self.connection)? {
            let mut purged = purged;
            purged.problems.push("somebody still reads what was before: copies remain until the next purge".to_owned());
            return Ok(purged);
        }
        Ok(purged)
    }
}

fn left_alone(hash: &BlobHash, fact: &BlobFact) -> Option<String> {
    store::unavailable(hash, fact).map(|error| format!("left alone: {error}"))
}

/// A row of `blobs`, as far as retention looks at it.
fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Option<Expired>, String)> {
    let text = |index| row.get_ref(index).map(|value| value.as_str().ok());
    let length = match row.get_ref(2)? {
        ValueRef::Integer(length) => Some(length),
        _ => None,
    };
    let hash = text(0)?;
    let name = hash.unwrap_or("a row without an address").chars().take(64).collect();
    let found = hash.and_then(|hash| BlobHash::parse_bytes(hash.as_bytes())).zip(text(1)?).zip(length);
    let class = text(4)?.and_then(EvidenceClass::parse);
    let since = text(3)?.filter(|since| instant(since).is_some());
    let blob = found.zip(class).zip(since).map(|((((hash, content_type), bytes_len), class), since)| Expired {
        hash,
        content_type: content_type.to_owned(),
        bytes_len,
        created_at: since.to_owned(),
        class,
        expires_at: Timestamp::from_micros(0),
    });
    Ok((blob, name))
}

fn due(transaction: &SqliteTransaction<'_>, purge: &Purge) -> Result<(Vec<Expired>, Vec<String>)> {
    let sql = "SELECT sha256, content_type, bytes_len, created_at, evidence_class FROM blobs WHERE state = 'live' \
               ORDER BY rowid";
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query([])?;
    let (mut due, mut problems) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (blob, name) = row_of(row)?;
        let Some(mut blob) = blob else {
            problems.push(format!(
                "left alone: {name}: its row has no address, type, length, class or instant that is one"
            ));
            continue;
        };
        let since = instant(&blob.created_at).unwrap_or(purge.now);
        if let Some(until) = purge.ttl(blob.class).until(since, 0).filter(|until| purge.now > *until) {
            blob.expires_at = until;
            due.push(blob);
        }
    }
    Ok((due, problems))
}

/// Blobs whose bytes have been gone for longer than even their addresses are looked after.
fn long_gone(transaction: &SqliteTransaction<'_>, purge: &Purge) -> Result<Vec<Expired>> {
    if purge.hash == Ttl::Forever {
        return Ok(Vec::new());
    }
    let sql = "SELECT sha256, content_type, bytes_len, expired_at, evidence_class FROM blobs \
               WHERE state = 'expired_hash_only' ORDER BY rowid";
    let mut statement = transaction.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(mut blob) = row_of(row)?.0 else { continue };
        let since = instant(&blob.created_at).unwrap_or(purge.now);
        if let Some(until) = purge.hash.until(since, 0).filter(|until| purge.now > *until) {
            blob.expires_at = until;
            gone.push(blob);
        }
    }
    Ok(gone)
}

/// The run that has the receipts.
struct Maintenance<'p> {
    id: RunId,
    /// Whether nobody named it, so that it is ended here.
    own: bool,
    purge: &'p Purge,
    now: Timestamp,
}

impl<'p> Maintenance<'p> {
    fn begin(
        transaction: &mut SqliteTransaction<'_>,
        purge: &'p Purge,
        named: Option<&str>,
        now: Timestamp,
    ) -> Result<Self> {
        let id = match named {
            Some(id) => RunId::for_new_run(id)?,
            None => free_id(transaction, now)?,
        };
        let run = Self { id, own: named.is_none(), purge, now };
        let facts = read_facts(transaction, &run.id)?;
        if facts.finalized {
            return Err(Error::RunFinalized { run: run.id.to_string() });
        }
        let mut there = false;
        transaction.run(&run.id, &mut |_| there = true)?;
        let meta =
            Object::from_iter([("type", "maintenance"), ("action", "purge_expired")].map(|(k, v)| (k, Value::from(v))));
        if !there {
            transaction.insert_run(&NewRun {
                run_id: &run.id,
                policy_id: POLICY[0],
                policy_version: POLICY[1],
                stage_graph_id: POLICY[2],
                created_at: now,
                meta_json: r#"{"type": "maintenance", "action": "purge_expired"}"#,
            })?;
        }
        if facts.events == 0 {
            run.write(transaction, EventType::RunStart, "START", Object::from_iter([("meta", meta)]), &[])?;
            let mut step = StageAdvance::to_object(&Stage::new("START"), &Stage::new("FINALIZE"));
            step.insert("reason", "removing what is due");
            run.write(transaction, EventType::StageAdvance, "FINALIZE", step, &[])?;
        }
        Ok(run)
    }

    fn remove(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        blob: &Expired,
        from: BlobState,
        to: BlobState,
    ) -> Result<()> {
        if !transaction.expire_blob(&blob.hash, from, to, self.purge.now)? {
            return Err(Error::internal("a blob changed its state inside a transaction"));
        }
        let payload = Object::from_iter([
            ("sha256", Value::from(blob.hash.to_string())),
            ("bytes_len", blob.bytes_len.into()),
            ("created_at", blob.created_at.as_str().into()),
            ("evidence_class", blob.class.as_str().into()),
            ("expired_at", self.purge.now.to_string().into()),
            ("new_state", to.as_str().into()),
            ("policy", self.purge.policy.clone().into()),
        ]);
        self.write(transaction, EventType::BlobExpire, "FINALIZE", payload, &[BlobRef(blob.hash)])
    }

    /// Judges and ends a run that nobody named.
    fn end(&self, transaction: &mut SqliteTransaction<'_>, done: &Purged) -> Result<()> {
        if !self.own {
            return Ok(());
        }
        let result = LedgerChainValid::of_facts(&self.id, &read_facts(transaction, &self.id)?);
        let evaluation = Object::from_iter([
            ("results", Value::Array(vec![result.to_value()])),
            ("overall_verdict", result.verdict.into()),
            ("evidence_complete", true.into()),
        ]);
        self.write(transaction, EventType::Evaluation, "FINALIZE", evaluation, &[])?;
        let summary = format!("expired {} blobs, purged {}", done.expired.len(), done.purged);
        let mut finalize = RunFinalize::to_object(result.verdict);
        finalize.insert("summary", summary);
        self.write(transaction, EventType::RunFinalize, "FINALIZE", finalize, &[])
    }

    fn write(
        &self,
        transaction: &mut SqliteTransaction<'_>,
        event_type: EventType,
        stage: &str,
        payload: Object,
        blobs: &[BlobRef],
    ) -> Result<()> {
        let texts = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(key, value)| (*key, Value::from(*value))).collect::<Object>().into()
        };
        let blobs = blobs.iter().map(BlobRef::to_string).collect::<Vec<_>>();
        let refs = Object::from_iter([("blobs", Value::from(blobs)), ("events", Value::Array(Vec::new()))]);
        let members: [(&str, Value); 8] = [
            ("event_schema_version", 1.into()),
            ("event_type", event_type.as_str().into()),
            ("stage", stage.into()),
            ("actor", texts(&[("kind", "system"), ("id", "retention_policy")])),
            (
                "policy",
                texts(&[("policy_id", POLICY[0]), ("policy_version", POLICY[1]), ("stage_graph_id", POLICY[2])]),
            ),
            ("payload", payload.into()),
            ("refs", refs.into()),
            ("ts", self.now.to_string().into()),
        ];
        let mut envelope = Members::default();
        for (name, value) in members {
            envelope.insert(name, canonical::to_bytes(&value, Limits::WRITE)?);
        }
        append(transaction, &self.id, &envelope, self.now).map(drop)
    }
}

/// An id that no run has yet.
fn free_id(transaction: &SqliteTransaction<'_>, now: Timestamp) -> Result<RunId> {
    let stamp: String = now.to_string().chars().take(19).filter(char::is_ascii_alphanumeric).collect();
    for number in 1..u32::MAX {
        let id = RunId::new(format!("purge-{stamp}Z-{number}"));
        let mut there = false;
        transaction.run(&id, &mut |_| there = true)?;
        if !there {
            return Ok(id);
        }
    }
    Err(Error::internal("no id is left for a maintenance run"))
}
