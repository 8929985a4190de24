//! Whatever statement of it fails, and whether or not it had been done: what an operation wrote is there as a whole or not
//! at all, so that no bytes are gone without a receipt and no event speaks of evidence that is not there.

use crate::common::{RECIPIENT, actor, decision};
use crate::forge::Forger;
use crate::passing::log_reads;
use receipt_core::evidence::{BlobRecord, BlobState};
use receipt_core::id::{BlobHash, EventHash, EventRef, RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow, RunRow};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{
    Arrival, BlobRow, Erasure, KeyRow, Limits, Location, LogRead, LogWrite, NewBlob, NewEvent, NewRun, Problem,
    ReadTransaction, Scope, Segment, Size, Snapshot, Store, StoreError, StoreErrorKind, StoredCheckpoint, Visit,
    VisitRun, WriteTransaction,
};
use receipt_kernel::{Anchors, Audit, Check, Error, Ledger, Object, Policy, Publish, Put, Ttl, Verdict};
use rusqlite::Connection;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// How the statement that is to fail does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It is not done.
    Before,
    /// It is done, and said to have failed.
    After,
    /// It is not done, and the transaction is committed as far as it came: the planted fault, which must be caught.
    Torn,
    /// Rows of the log's tree are written otherwise than they were given; nothing is said to have failed.
    Flipped,
    /// The commit is done, somebody changes the file by this SQL, and the commit is said to have reached nobody.
    Detached(&'static str),
}

/// Counts the statements that write; from one on all of them fail, as for a process that has died.
#[derive(Clone, Debug)]
struct Plan {
    fault: Fault,
    at: u64,
    done: Arc<AtomicU64>,
}

impl Plan {
    fn new(fault: Fault, at: u64) -> Self {
        Self { fault, at, done: Arc::default() }
    }

    fn run<T>(&self, write: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if number < self.at {
            return write();
        }
        if number == self.at && self.fault == Fault::After {
            write()?;
        }
        Err(StoreError::new(StoreErrorKind::Io, "planned", "the planned failure").into())
    }

    fn was_met(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.at
    }
}

#[derive(Debug)]
struct Failing {
    inner: SqliteStore,
    plan: Plan,
}

impl Store for Failing {
    fn location(&self) -> Location {
        self.inner.location()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>, Error> {
        self.inner.snapshots(wanted)
    }

    fn begin(&self, scope: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>, Error> {
        Ok(Box::new(FailingTransaction {
            inner: Some(self.inner.begin(scope)?),
            plan: self.plan.clone(),
            location: self.inner.location(),
        }))
    }

    fn settled(&self) -> Result<Arrival, Error> {
        self.inner.settled()
    }

    fn inspect(&self) -> Result<Vec<Problem>, Error> {
        self.inner.inspect()
    }

    fn erase(&self) -> Result<Erasure, Error> {
        self.plan.run(|| self.inner.erase())
    }
}

struct FailingTransaction<'s> {
    inner: Option<Box<dyn WriteTransaction + 's>>,
    plan: Plan,
    location: Location,
}

impl FailingTransaction<'_> {
    fn reads(&self) -> &dyn ReadTransaction {
        self.inner.as_ref().unwrap().as_ref()
    }

    fn with<T>(&self, read: &mut dyn FnMut(&dyn ReadTransaction) -> T) -> T {
        read(self.reads())
    }

    fn write<T>(&mut self, write: impl FnOnce(&mut dyn WriteTransaction) -> Result<T, Error>) -> Result<T, Error> {
        let inner = self.inner.as_mut().unwrap().as_mut();
        self.plan.run(|| write(inner))
    }
}

impl Drop for FailingTransaction<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| self.plan.fault == Fault::Torn && self.plan.was_met()) {
            inner.commit().unwrap();
        }
    }
}

impl LogRead for FailingTransaction<'_> {
    log_reads!(self);
}

impl LogWrite for FailingTransaction<'_> {
    fn bind_log_meta(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.write(|it| it.bind_log_meta(key, value))
    }

    fn put_log_tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> Result<(), Error> {
        // What a failing disk would do between a write and its reading back.
        let flipped = vec![0; hashes.len()];
        let hashes = if self.plan.fault == Fault::Flipped { &flipped } else { hashes };
        self.write(|it| it.put_log_tile(level, index, hashes))
    }

    fn put_segment(&mut self, segment: &Segment) -> Result<(), Error> {
        self.write(|it| it.put_segment(segment))
    }

    fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint, now: Timestamp) -> Result<(), Error> {
        self.write(|it| it.put_checkpoint(checkpoint, now))
    }
}

impl ReadTransaction for FailingTransaction<'_> {
    fn runs(&self, visit: VisitRun<'_>) -> Result<(), Error> {
        self.reads().runs(visit)
    }

    fn run(&self, run: &RunId, visit: &mut dyn FnMut(&RunRow<'_>)) -> Result<(), Error> {
        self.reads().run(run, visit)
    }

    fn events(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>) -> Visit) -> Result<(), Error> {
        self.reads().events(run, visit)
    }

    fn head(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<(), Error> {
        self.reads().head(run, visit)
    }

    fn event(&self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<(), Error> {
        self.reads().event(run, seq, visit)
    }

    fn blob(&self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<(), Error> {
        self.reads().blob(hash, visit)
    }

    fn blob_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        self.reads().blob_bytes(hash, visit)
    }

    fn blobs(&self, visit: &mut dyn FnMut(Cell<'_>) -> Visit) -> Result<(), Error> {
        self.reads().blobs(visit)
    }

    fn expiries(&self, visit: &mut dyn FnMut(Cell<'_>, &EventRow<'_>) -> Visit) -> Result<(), Error> {
        self.reads().expiries(visit)
    }

    fn size(&self) -> Result<Size, Error> {
        self.reads().size()
    }

    fn rows(&self) -> Result<Size, Error> {
        self.reads().rows()
    }

    fn key(&self, run: &RunId, key: &str) -> Result<Option<KeyRow>, Error> {
        self.reads().key(run, key)
    }

    fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        self.reads().setting(name)
    }
}

impl WriteTransaction for FailingTransaction<'_> {
    fn insert_run(&mut self, run: &NewRun<'_>) -> Result<(), Error> {
        self.write(|it| it.insert_run(run))
    }

    /// One statement for each event: a batch may fail after some of them.
    fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<(), Error> {
        events.iter().try_for_each(|event| self.write(|it| it.insert_events(std::slice::from_ref(event))))
    }

    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<(), Error> {
        self.write(|it| it.put_blob(blob, data))
    }

    fn set_class(&mut self, blob: &BlobRecord) -> Result<(), Error> {
        self.write(|it| it.set_class(blob))
    }

    fn expire_blob(&mut self, hash: &BlobHash, from: BlobState, to: BlobState, at: Timestamp) -> Result<bool, Error> {
        self.write(|it| it.expire_blob(hash, from, to, at))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        self.write(|it| it.set(name, value))
    }

    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<(), Error> {
        self.write(|it| it.insert_key(run, key, row))
    }

    fn last_event(&self) -> Option<(EventRef, EventHash)> {
        self.inner.as_ref().unwrap().last_event()
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        let inner = self.inner.take().unwrap();
        if let (Fault::Detached(sql), Location::File(path)) = (self.plan.fault, &self.location) {
            inner.commit()?;
            Forger::open(path).sql(sql);
            return Err(StoreError::new(StoreErrorKind::Detached, "planned", "the log is gone").into());
        }
        // A commit that fails may have been done.
        self.plan
            .run(|| inner.commit())
            .map_err(|_| StoreError::new(StoreErrorKind::InDoubt, "planned", "the planned failure of a commit").into())
    }
}

const BLOBS: i64 = 3;

fn clock(day: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros((1_767_225_600 + day * 86_400) * 1_000_000)))
}

/// A copy of a ledger with evidence, which is kept for 30 days.
fn scene(compressed: bool) -> (TempDir, PathBuf) {
    static MADE: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    fs::write(&path, MADE[usize::from(compressed)].get_or_init(|| made(compressed))).unwrap();
    (folder, path)
}

fn made(compressed: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = if compressed { Ledger::create_compressed(&path) } else { Ledger::create(&path) };
    let ledger = ledger.unwrap().with_clock(clock(0));
    ledger.add_recipients([RECIPIENT]).unwrap();
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok(())
    });
    set.unwrap();
    let mut run = ledger.start("r", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    for number in 0..BLOBS {
        run.put("k", format!("evidence {number} ").repeat(500).as_bytes(), Put::text()).unwrap();
    }
    run.finalize_as(Verdict::Unknown, "over").unwrap();
    drop((run, ledger));
    fs::read(&path).unwrap()
}

fn failing(path: &Path, plan: &Plan, day: i64) -> Ledger {
    Ledger::over(Arc::new(Failing { inner: SqliteStore::open(path).unwrap(), plan: plan.clone() }))
        .with_clock(clock(day))
}

/// How many blobs have lost their bytes, how many of those no event receipts, and how many receipts there are.
fn gone(path: &Path) -> (i64, i64, i64) {
    let connection = Connection::open(path).unwrap();
    let sql = "WITH receipts AS (SELECT json_extract(envelope_json, '$.payload.sha256') AS sha256 FROM events \
               WHERE event_type = 'BLOB_EXPIRE') \
               SELECT count(*), count(*) FILTER (WHERE sha256 NOT IN (SELECT sha256 FROM receipts)), \
               (SELECT count(*) FROM receipts) FROM blobs WHERE state <> 'live'";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

fn evidence(path: &Path) -> Verdict {
    Ledger::open_read_only(path).unwrap().audit().unwrap().check(Check::Evidence).unwrap().verdict
}

/// No maintenance run of this kind was left open.
fn assert_none_open(path: &Path, kind: &str) {
    let mut open = Vec::new();
    let ledger = Ledger::open_read_only(path).unwrap();
    let read = ledger.runs(&mut |run, facts| {
        open.extend((run.as_str().starts_with(kind) && !facts.finalized).then(|| run.clone()));
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    assert_eq!(open, []);
}

/// Lets an operation fail at its first statement, its second, and so on until it ends; gives how many there were.
fn at_every_statement(fault: Fault, operation: &mut dyn FnMut(&Plan) -> Result<(), Error>) -> u64 {
    let mut plan = Plan::new(fault, 1);
    loop {
        let done = operation(&plan);
        if !plan.was_met() {
            done.unwrap();
            return plan.at - 1;
        }
        plan = Plan::new(fault, plan.at + 1);
    }
}

#[test]
fn retention_that_fails_at_any_statement_removes_no_bytes_without_a_receipt() {
    for (fault, compressed) in [(Fault::Before, false), (Fault::After, false), (Fault::Before, true)] {
        let mut seen = Vec::new();
        let statements = at_every_statement(fault, &mut |plan| {
            let (_folder, path) = scene(compressed);
            let done = failing(&path, plan, 31).retain(&actor(), &mut |_, _| {});
            let (gone, unreceipted, receipts) = gone(&path);
            assert_eq!((unreceipted, receipts), (0, gone), "{fault:?} at {}", plan.at);
            assert_eq!(evidence(&path), Verdict::Pass);
            assert_none_open(&path, "retain-");
            seen.push(gone);
            // Whoever comes next makes up for it, and receipts nothing twice.
            let again = Ledger::open(&path).unwrap().with_clock(clock(31)).retain(&actor(), &mut |_, _| {}).unwrap();
            assert_eq!((i64::try_from(again.expired).unwrap(), again.scrubbed), (BLOBS - gone, true));
            assert_eq!(self::gone(&path), (BLOBS, 0, BLOBS));
            done.map(drop)
        });
        assert!(statements > 4 * BLOBS.unsigned_abs(), "{statements} statements");
        assert!(seen.contains(&0) && seen.contains(&BLOBS), "{seen:?}");
    }
}

#[test]
fn an_append_that_failed_or_is_in_doubt_is_settled_by_its_key() {
    for fault in [Fault::Before, Fault::After] {
        let mut doubts = Vec::new();
        let statements = at_every_statement(fault, &mut |plan| {
            let (_folder, path) = scene(false);
            let whole = Ledger::open(&path).unwrap();
            whole.start("s", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
            let event = || decision("n").with_key("k");
            let done = failing(&path, plan, 1).resume("s", actor()).unwrap().append(event());
            let again = whole.resume("s", actor()).unwrap().append(event()).unwrap();
            let in_doubt = done.as_ref().is_err_and(|error| error.of_store() == Some(StoreErrorKind::InDoubt));
            if in_doubt {
                doubts.push(again.repeated);
            }
            assert!(in_doubt || again.repeated == done.is_ok(), "{fault:?} at {}: {done:?}, {again:?}", plan.at);
            assert_eq!(whole.snapshot("s", &[]).unwrap().events().len(), 2);
            done.map(drop)
        });
        assert_eq!(statements, 3, "the key, the event, the commit");
        assert_eq!(doubts, [fault == Fault::After], "a commit in doubt may have been done, or not");
    }
}

/// Only the bytes that lie there say whether a commit has reached the file: a column that holds the right hash says nothing.
#[test]
fn a_commit_that_was_taken_away_is_recorded_if_the_bytes_of_its_event_are_there() {
    for (sql, recorded) in [
        ("SELECT 1", true),
        (
            "UPDATE events SET envelope_json = replace(envelope_json, '\"n\"', '\"m\"') WHERE run_id = 's' AND seq = 2",
            false,
        ),
        ("DELETE FROM events WHERE run_id = 's' AND seq = 2", false),
    ] {
        let (_folder, path) = scene(false);
        let whole = Ledger::open(&path).unwrap();
        whole.start("s", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        let plan = Plan::new(Fault::Detached(sql), u64::MAX);
        let done = failing(&path, &plan, 1).resume("s", actor()).unwrap().append(decision("n"));
        assert_eq!(done.is_ok(), recorded, "{sql}: {done:?}");
    }
}

#[test]
fn a_put_that_fails_at_any_statement_leaves_evidence_with_its_event_or_neither() {
    for fault in [Fault::Before, Fault::After] {
        let statements = at_every_statement(fault, &mut |plan| {
            let (_folder, path) = scene(true);
            let mut run = failing(&path, plan, 1).start("s", Policy::structural()?, actor(), Object::new())?;
            let done = run.put("k", "new evidence ".repeat(500).as_bytes(), Put::text());
            let connection = Connection::open(&path).unwrap();
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let blobs = count("SELECT count(*) FROM blobs");
            assert_eq!(blobs, count("SELECT count(*) FROM events WHERE event_type = 'EVIDENCE_PUT'"));
            assert_eq!(blobs, count("SELECT count(DISTINCT sha256) FROM blob_pieces"));
            assert_eq!(evidence(&path), Verdict::Pass);
            done.map(drop)
        });
        assert!(statements >= 5, "{statements} statements");
    }
}

#[test]
fn a_shredded_key_is_receipted_or_still_there_to_be_shredded() {
    let statements = at_every_statement(Fault::Before, &mut |plan| {
        let (_folder, path) = scene(false);
        let ledger = Ledger::open(&path).unwrap();
        let mut run = ledger.start("s", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        let sealed = Put::text().of_class(receipt_kernel::EvidenceClass::Sealed);
        run.put("k", b"secret", sealed).unwrap();
        let done = failing(&path, plan, 1).shred(RECIPIENT, "over", &actor());
        assert!(ledger.recipients().unwrap().is_some() || done.is_ok(), "the recipient goes with the receipt");
        assert_none_open(&path, "shred-");
        let again = ledger.shred(RECIPIENT, "over", &actor()).unwrap();
        assert_eq!(again.lost, 1);
        assert_eq!(ledger.recipients().unwrap().map(|_| ()), None, "nothing more is sealed to it");
        done.map(drop)
    });
    assert!(statements > 5, "{statements} statements");
}

#[test]
fn a_transaction_that_is_torn_would_be_found_out() {
    let mut torn = 0;
    at_every_statement(Fault::Torn, &mut |plan| {
        let (_folder, path) = scene(false);
        let done = failing(&path, plan, 31).retain(&actor(), &mut |_, _| {});
        let (_, unreceipted, _) = gone(&path);
        if unreceipted > 0 {
            torn += 1;
            assert_eq!(evidence(&path), Verdict::Fail);
        }
        done.map(drop)
    });
    assert_eq!(torn, BLOBS, "once for each, between its bytes and its receipt");
}

/// More events than a row of the log's tree has, of two runs.
fn fill(path: &Path) {
    let ledger = Ledger::open(path).unwrap();
    for run in ["s", "t"] {
        let mut run = ledger.start(run, Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        run.append_batch((0..150).map(|index| decision(index.to_string())).collect()).unwrap();
        run.finalize_as(Verdict::Unknown, "over").unwrap();
    }
}

#[test]
fn a_checkpoint_that_fails_at_any_statement_was_never_made_or_is_the_one_that_is_made_next() {
    let key = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[1; 32]);
    for fault in [Fault::Before, Fault::After, Fault::Torn] {
        let mut broken = 0;
        let statements = at_every_statement(fault, &mut |plan| {
            let (_folder, path) = scene(false);
            fill(&path);
            let done = failing(&path, plan, 1).checkpoint(&Publish::by(&key));
            let ledger = Ledger::open(&path).unwrap();
            let report = Audit::of(&ledger).against(&Anchors::default()).run().unwrap();
            if fault == Fault::Torn {
                // The control: rows of the log without their checkpoint are found.
                broken += u64::from(report.overall_verdict() == Verdict::Fail);
                return done.map(drop);
            }
            assert_eq!(report.overall_verdict(), Verdict::Pass, "{fault:?} at {}", plan.at);
            let next = ledger.checkpoint(&Publish::by(&key)).unwrap().checkpoint;
            assert_eq!(next.checkpoint().head.size, report.events);
            assert!(done.as_ref().is_ok_and(|made| made.checkpoint == next) || plan.was_met());
            let anchors = Anchors { checkpoints: vec![("next".to_owned(), next)], ..Anchors::default() };
            let report = Audit::of(&ledger).against(&anchors).run().unwrap();
            assert_eq!(report.overall_verdict(), Verdict::Pass, "{fault:?} at {}", plan.at);
            done.map(drop)
        });
        // The name, a full row of the tree, its open rows, three stretches of runs, the checkpoint, the commit.
        assert!(statements >= 9, "{statements} statements");
        assert_eq!(broken > 0, fault == Fault::Torn);
    }
}

#[test]
fn a_tree_that_lies_there_otherwise_than_it_was_written_is_not_signed() {
    let key = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[1; 32]);
    for fault in [Fault::Before, Fault::Flipped] {
        let (_folder, path) = scene(false);
        let made = failing(&path, &Plan::new(fault, u64::MAX), 1).checkpoint(&Publish::by(&key));
        match fault {
            Fault::Flipped => assert!(matches!(made, Err(Error::LogBroken { .. })), "{made:?}"),
            _ => assert!(made.is_ok(), "the control"),
        }
    }
}
