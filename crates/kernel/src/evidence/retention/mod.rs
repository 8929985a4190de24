//! Retention: how long evidence is kept, and its removal with a receipt for each blob.
//!
//! The time for which evidence is kept is data in the ledger ([`Retention`]). [`Ledger::retain`] removes the blobs that are
//! due, in batches: in one transaction the bytes go, the state changes, and a BLOB_EXPIRE event of a maintenance run says so.
//! A process that is killed at any point leaves bytes that are there, or bytes that are gone and receipted; never anything
//! between.

mod plan;
pub(crate) mod policy;

pub use plan::{Due, Plan};
pub use policy::{Retention, Ttl};

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::case::wrong;
use crate::read::maintenance::Kind;
use crate::store::{self, Erasure, ReadTransaction, Scope, Visit};
use crate::write::maintenance::End;
use crate::write::{Clean, OpenRun};
use plan::plan;
use receipt_core::envelope::{Actor, EventType};
use receipt_core::evidence::{BlobFact, BlobState};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::json::{Limits, Object};
use receipt_core::payload::{BlobExpire, Cause};
use receipt_core::stage::Stage;
use receipt_core::verdict::Reason;
use receipt_core::{canonical, json};
use std::collections::{BTreeSet, HashSet};

/// Under which name the ledger keeps its retention.
const SETTING: &str = "retention";

/// How many blobs the first transaction removes.
const BATCH: usize = 256;

/// The result of a removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// The maintenance run that has the receipts; `None` if nothing was due.
    pub run_id: Option<RunId>,
    /// How many blobs lost their bytes.
    pub expired: u64,
    /// How many went from `expired_hash_only` to `purged`.
    pub purged: u64,
    /// How many bytes were removed.
    pub bytes: u64,
    /// Rows that were left alone, and why.
    pub problems: Vec<Reason>,
    /// Whether no copy of what was removed is left in the ledger's files. If somebody still reads the state before, a
    /// later [`Ledger::retain`] makes up for it.
    pub scrubbed: bool,
}

impl Ledger {
    /// How long this ledger keeps its evidence, if that was set.
    ///
    /// # Errors
    /// [`Error::RetentionInvalid`] if the setting is no retention; if the store cannot be read.
    pub fn retention(&self) -> Result<Option<Retention>> {
        read_retention(self.look()?.view().as_ref())
    }

    /// Sets how long this ledger keeps its evidence: `change` is given what is set, or the default. If it fails,
    /// nothing is changed. The reasons of holds are redacted.
    ///
    /// # Errors
    /// The error of `change`; [`Error::SecretName`] for a key; as [`Self::retention`]; if the store cannot be written.
    pub fn set_retention<E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Retention) -> Result<(), E>,
    ) -> Result<Retention, E> {
        let gate = self.gate()?;
        self.transact(Scope::Ledger, |transaction| {
            let mut retention = read_retention(transaction)?.unwrap_or_default();
            if let Err(error) = change(&mut retention) {
                return Ok(Err(error));
            }
            retention.keys.keys().try_for_each(|key| gate.name("a key of evidence", key).map(drop))?;
            retention.holds.keys().try_for_each(|run| gate.name("the id of a run on hold", run).map(drop))?;
            for reason in retention.holds.values_mut() {
                *reason = gate.text(reason).into_inner();
            }
            let json = canonical::to_bytes(&retention.to_value(), Limits::WRITE)?;
            transaction.set(SETTING, &String::from_utf8_lossy(&json))?;
            Ok(Ok(retention))
        })?
    }

    /// The blobs that will be due at an instant if nothing is put until then. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::RetentionUnset`]; if the store cannot be read.
    pub fn plan_retention(&self, now: Timestamp) -> Result<Plan> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let retention = read_retention(transaction.as_ref())?.ok_or(Error::RetentionUnset)?;
        plan(transaction.as_ref(), &retention, now)
    }

    /// Removes the blobs that are due now, with a receipt for each blob in a maintenance run of its own. `progress` is told how many
    /// blobs are done, of how many.
    ///
    /// # Errors
    /// [`Error::RetentionUnset`]; if the store cannot be read or written: the blobs removed until then are receipted.
    pub fn retain(&self, actor: &Actor, progress: &mut dyn FnMut(u64, u64)) -> Result<Retained> {
        let now = self.now();
        let plan = self.plan_retention(now)?;
        let mut done = Retained { problems: plan.problems, ..Retained::default() };
        if !plan.due.is_empty() {
            let retention = self.retention()?.ok_or(Error::RetentionUnset)?;
            let sweep = Sweep { now, done: &mut done, retention, left: HashSet::new(), most: BATCH };
            sweep.run(self, actor, progress)?;
        }
        done.scrubbed = self.store.erase()? == Erasure::Done;
        Ok(done)
    }
}

fn read_retention(store: &dyn ReadTransaction) -> Result<Option<Retention>> {
    let Some(text) = store.setting(SETTING)? else { return Ok(None) };
    Retention::from_value(&json::parse(text.as_bytes(), Limits::READ)?).map(Some)
}

/// The removal of the blobs that are due, batch by batch.
struct Sweep<'s> {
    now: Timestamp,
    done: &'s mut Retained,
    /// The maintenance run commits to it: if it is set anew meanwhile, the rest is left for another run.
    retention: Retention,
    /// The blobs that were left alone: they stay due.
    left: HashSet<BlobHash>,
    /// How many blobs the next transaction removes. Each reads the ledger again, so that each does more than the one before.
    most: usize,
}

impl Sweep<'_> {
    /// The run begins in the transaction of its first batch, and ends in that of its last: one that fails leaves no run open.
    fn run(mut self, ledger: &Ledger, actor: &Actor, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let (gate, said) = (ledger.gate()?, Clean::ours(Object::new()));
        let meta = Object::from_iter([("retention", self.retention.to_value())]);
        let (run, mut left) = ledger.transact(Scope::Ledger, |transaction| {
            let run = ledger.maintain_in(transaction, gate, Kind::Retain, actor, &meta, said)?;
            let mut open = run.open(transaction)?;
            open.advance(&Stage::new("COLLECT"), Clean::ours("removing what is due"))?;
            let left = self.step(&mut open)?;
            Ok((run, left))
        })?;
        self.done.run_id = Some(run.run_id().clone());
        loop {
            let done = self.done.expired + self.done.purged;
            progress(done, done + left);
            if left == 0 {
                return Ok(());
            }
            left = run.transact_alone(|run| self.step(run))?;
        }
    }

    /// Removes a batch, and ends the run if it was the last. Gives how many blobs are left to do.
    fn step(&mut self, run: &mut OpenRun<'_>) -> Result<u64> {
        let left = self.batch(run)?;
        if left == 0 {
            let summary = format!("expired {} blobs, purged {}", self.done.expired, self.done.purged);
            let decision = ["retention", "the retention that RUN_START commits to", "none"];
            run.close(&End { reason: "removed what was due", decision, summary: &summary })?;
        }
        Ok(left)
    }

    /// One transaction: nothing that was put or held in the meantime is removed. Gives how many blobs are left to do.
    fn batch(&mut self, run: &mut OpenRun<'_>) -> Result<u64> {
        if read_retention(run.transaction)?.as_ref() != Some(&self.retention) {
            let msg = "how long evidence is kept was set anew: the rest is left for the next time";
            self.done.problems.push(Reason::new("RETENTION_CHANGED", msg));
            return Ok(0);
        }
        let mut due = plan(run.transaction, &self.retention, self.now)?.due;
        due.retain(|due| !self.left.contains(&due.hash));
        let rest = due.len().saturating_sub(self.most);
        due.truncate(self.most);
        self.most *= 2;
        let (mut expired, mut purged, mut bytes) = (0, 0, 0);
        for due in due {
            match due.from {
                BlobState::Live => match store::blob_fact(run.transaction, &due.hash, false) {
                    BlobFact::Intact { .. } => (expired, bytes) = (expired + 1, bytes + due.bytes_len),
                    fact => {
                        self.left.insert(due.hash);
                        self.done.problems.extend(left_alone(&due.hash, &fact));
                        continue;
                    }
                },
                _ => purged += 1,
            }
            remove(run, &due, self.now)?;
        }
        self.done.expired += expired;
        self.done.purged += purged;
        self.done.bytes += bytes;
        Ok(rest as u64)
    }
}

/// Bytes that are not what was put are evidence of tampering: they stay.
fn left_alone(hash: &BlobHash, fact: &BlobFact) -> Option<Reason> {
    let (_, code, msg) = wrong(fact)?;
    Some(Reason::new(code, format!("left alone: {msg}")).at(BlobRef(*hash)))
}

/// Removes a blob's bytes, changes its state, and says so.
fn remove(run: &mut OpenRun<'_>, due: &Due, now: Timestamp) -> Result<()> {
    if !run.transaction.expire_blob(&due.hash, due.from, due.to, now)? {
        return Err(Error::internal("a blob changed its state inside a transaction"));
    }
    let cause = Cause::Retention { kept_until: due.until };
    let payload = BlobExpire::to_object(due.hash, due.bytes_len, due.class, [due.from, due.to], cause);
    let draft = run.draft(EventType::BlobExpire, Clean::ours(payload)).blobs([BlobRef(due.hash)]);
    run.write(&draft).map(drop)
}

/// A blob of these that a run on hold refers to, and the run: its bytes are not to be removed. Each such run is read once.
pub(super) fn held_by(store: &dyn ReadTransaction, blobs: &BTreeSet<BlobHash>) -> Result<Option<(BlobHash, String)>> {
    let retention = read_retention(store)?.unwrap_or_default();
    for run in retention.holds.keys() {
        let mut held = None;
        store.events(&RunId::new(run.as_str()), &mut |row| {
            held = row.envelope_json.text().and_then(|text| named(text).find(|named| blobs.contains(named)));
            if held.is_some() { Visit::Break(()) } else { Visit::Continue(()) }
        })?;
        if let Some(held) = held {
            return Ok(Some((held, run.clone())));
        }
    }
    Ok(None)
}

/// Every blob that a text refers to.
fn named(text: &[u8]) -> impl Iterator<Item = BlobHash> {
    const PREFIX: &[u8] = b"blob://sha256:";
    let hash = |at: usize| text.get(at + PREFIX.len()..at + PREFIX.len() + 64).and_then(BlobHash::parse_bytes);
    (0..text.len()).filter(|at| text[*at..].starts_with(PREFIX)).filter_map(hash)
}
