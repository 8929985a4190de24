//! The full re-check of a ledger: a report by kind of tampering, not one boolean.
//!
//! Every event is read and hashed again, every column compared, every blob hashed. Runs and blobs are dealt out to as
//! many threads as there are cores, each with a read transaction of its own, and memory does not grow with the ledger,
//! with a run or with a blob. What the ledger alone cannot settle is UNKNOWN, with what would settle it.

use super::anchors::{self, Anchors, Audited};
use super::ending::Ending;
use super::excuses::Excuses;
use super::findings::Findings;
use super::parts::{Deal, Job, LongRun, Order, PART, Part, index_broken};
pub use super::report::{Check, CheckReport, Coverage, Report};

use crate::cores::cores;
use crate::error::{Error, Result};
use crate::evidence::digest::Digest256;
use crate::ledger::Ledger;
use crate::read::evidence::Evidence;
use crate::read::evidence::ledger::{Judge, Seen};
use crate::read::imports::{Import, Imports};
use crate::read::pool::Pool;
use crate::read::run::{finish, reader_behind, show};
use crate::store::{ReadTransaction, Size, Visit};
use receipt_core::envelope::EventType;
use receipt_core::id::{BlobHash, RunId};
use receipt_core::run::{EventRow, RunReader};
use receipt_core::verdict::{Reason, Verdict};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events and blobs done.
    pub done: u64,
    /// About how many there are.
    pub total: u64,
}

/// An audit to be run: of which runs, on how many threads, telling whom how far it is.
pub struct Audit<'a> {
    ledger: &'a Ledger,
    runs: Option<Vec<RunId>>,
    files: Vec<(String, Digest256)>,
    threads: usize,
    part: u64,
    anchors: Option<&'a Anchors>,
    progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

impl fmt::Debug for Audit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("runs", &self.runs).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Re-checks the whole ledger; see [`Audit`].
    ///
    /// # Errors
    /// Where the store cannot be opened. One that cannot be *read* is UNKNOWN in the report.
    pub fn audit(&self) -> Result<Report> {
        Audit::of(self).run()
    }
}

impl<'a> Audit<'a> {
    /// An audit of everything, on every core.
    pub fn of(ledger: &'a Ledger) -> Self {
        let threads = cores();
        Self { ledger, runs: None, files: Vec::new(), threads, part: PART, anchors: None, progress: None }
    }

    /// Checks only these runs, and the evidence that they put.
    #[must_use]
    pub fn runs(mut self, runs: impl IntoIterator<Item = RunId>) -> Self {
        self.runs = Some(runs.into_iter().collect());
        self
    }

    /// Compares files that are kept elsewhere, each with the evidence under a key: whatever was put under it by digest
    /// must be that file.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = (String, Digest256)>) -> Self {
        self.files.extend(files);
        self
    }

    /// Settles what these anchors settle; the checks that they bear on are then required. An event that the ledger's
    /// own log shows missing is FAIL without any anchor. Audit and anchors read one instant.
    #[must_use]
    pub fn against(mut self, anchors: &'a Anchors) -> Self {
        self.anchors = Some(anchors);
        self
    }

    /// Uses this many threads, at least one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Reads a long run in parts of about this many events, at least one; 2,048 by default. Threads
    /// share the parts of a run.
    #[must_use]
    pub fn parts_of(mut self, events: u64) -> Self {
        self.part = events.max(1);
        self
    }

    /// Tells how far it is.
    #[must_use]
    pub fn progress(mut self, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`Ledger::audit`]; [`Error::RunNotFound`] for a run asked for that is not there.
    pub fn run(self) -> Result<Report> {
        let store = self.ledger.store.as_ref();
        let tally = Tally::default();
        let (malformed, foreign): (Vec<_>, Vec<_>) = store.inspect()?.into_iter().partition(|it| it.malformed);
        for problem in foreign {
            // The record stands by its hashes; but nobody writes here any more, and its owner has to know why.
            let code = if problem.is_trigger { "FOREIGN_TRIGGER" } else { "FOREIGN_SCHEMA" };
            tally.lock().find(Check::Columns, Verdict::Warn, Reason::new(code, problem.msg));
        }
        if !malformed.is_empty() {
            for problem in malformed {
                tally.lock().find(Check::Content, Verdict::Fail, Reason::new("SCHEMA_MALFORMED", problem.msg));
            }
            for check in [Check::Columns, Check::Evidence, Check::Path, Check::Commitment] {
                let reason = Reason::new("SCHEMA_MALFORMED", "nothing was read: the tables are not those of a ledger");
                tally.lock().find(check, Verdict::Unknown, reason);
            }
            return Ok(tally.report());
        }
        let mut pool = Pool::of(store, self.threads)?;
        let (rows, excuses) = match self.walk(&mut pool, &tally) {
            Err(error @ Error::RunNotFound { .. }) => return Err(error),
            Err(error) => {
                tally.lock().read_failure(&error);
                (None, Excuses::default())
            }
            Ok(walked) => walked,
        };
        let mut report = tally.report();
        if let Some(anchors) = self.anchors {
            let events = rows.map(|rows| rows.events);
            let audited = Audited { whole: self.runs.is_none(), events, excuses: &excuses };
            anchors::settle(pool.view().as_ref(), anchors, audited, &mut report);
        }
        Ok(report)
    }

    /// Gives how many rows each table has, if they were counted, and the receipts that counted.
    fn walk(&self, pool: &mut Pool<'_>, tally: &Tally) -> Result<(Option<Size>, Excuses)> {
        let size = pool.view().size()?;
        let total = size.events + if self.runs.is_none() { size.blobs } else { 0 };
        let judge = Judge::new(self.runs.is_none(), &self.files).keeping_excuses(self.anchors.is_some());
        let shared = Shared {
            tally,
            judge: &judge,
            total,
            progress: self.progress,
            rows: Mutex::default(),
            imports: Mutex::default(),
            endings: self.runs.is_some(),
        };
        // One thread has no use for parts.
        let budget = if self.threads > 1 { size.events } else { 0 };
        let mut listed = Size::default();
        pool.deal(|view, give| self.jobs(view, budget, tally, &mut listed, give), |view, job| shared.work(view, &job))?;
        shared.end(pool.view().as_ref(), listed)?;
        let rows = shared.rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((rows, judge.into_excuses()))
    }

    /// Deals out the work: runs first, then blobs. `budget` is about how many events there are.
    fn jobs(
        &self,
        store: &dyn ReadTransaction,
        budget: u64,
        tally: &Tally,
        listed: &mut Size,
        give: &mut dyn FnMut(Job),
    ) -> Result<()> {
        if self.runs.is_none() {
            give(Job::Rows);
        }
        let mut deal = Deal { give, store, budget, part: self.part, batch: Vec::new(), events: 0 };
        if let Some(runs) = &self.runs {
            for run in runs {
                let mut known = false;
                store.run(run, &mut |_| known = true)?;
                store.head(run, &mut |_| known = true)?;
                if !known {
                    return Err(Error::no_run(run.as_str()));
                }
                deal.run(run.clone());
            }
            deal.flush();
            return Ok(());
        }
        let mut order = [Order::default(), Order::default(), Order::default()];
        store.runs(&mut |id, row| {
            listed.runs += u64::from(row.is_some());
            if !order[usize::from(row.is_none())].is_next(id) {
                tally.lock().find(Check::Columns, Verdict::Fail, index_broken("runs", id));
            }
            if let Some(id) = id.as_str() {
                deal.run(RunId::new(id));
            } else {
                let reason = Reason::new("BAD_COLUMN_TYPE", format!("run_id {:?} is not UTF-8 text", show(id)));
                tally.lock().find(Check::Columns, Verdict::Fail, reason);
            }
            Visit::Continue(())
        })?;
        deal.flush();
        let mut batch = Vec::new();
        store.blobs(&mut |id| {
            listed.blobs += 1;
            if !order[2].is_next(id) {
                tally.lock().find(Check::Evidence, Verdict::Fail, index_broken("blobs", id));
            }
            if let Some(hash) = id.text().and_then(BlobHash::parse_bytes) {
                batch.push(hash);
            } else {
                let msg = format!("a blob has the address {:?}, which is no hash", show(id));
                tally.lock().find(Check::Evidence, Verdict::Fail, Reason::new("BLOB_MALFORMED", msg));
            }
            if batch.len() >= 16 {
                give(Job::Blobs(std::mem::take(&mut batch)));
            }
            Visit::Continue(())
        })?;
        give(Job::Blobs(batch));
        Ok(())
    }
}

/// What all threads share.
struct Shared<'a> {
    tally: &'a Tally,
    judge: &'a Judge<'a>,
    total: u64,
    progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// How many rows each table has, once they were counted.
    rows: Mutex<Option<Size>>,
    /// The imports that runs are the records of.
    imports: Mutex<Vec<Import>>,
    /// Whether it is to be kept how each run ended.
    endings: bool,
}

impl Shared<'_> {
    fn work(&self, store: &dyn ReadTransaction, job: &Job) {
        let done = match job {
            Job::Runs(runs) => runs.iter().try_for_each(|run| self.check_run(store, run)),
            Job::Part(run, part) => self.check_part(store, run, *part),
            Job::Blobs(blobs) => {
                let mut found = Findings::default();
                for blob in blobs {
                    self.judge.blob(store, blob, &mut found);
                }
                self.tally.lock().merge(found);
                self.done(blobs.len() as u64);
                Ok(())
            }
            Job::Rows => store.rows().map(|rows| {
                *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
            }),
        };
        if let Err(error) = done {
            self.tally.lock().read_failure(&error);
        }
    }

    /// What only shows once everything was looked at.
    fn end(&self, store: &dyn ReadTransaction, listed: Size) -> Result<()> {
        self.check_rows(listed);
        self.check_imports(store)?;
        let mut found = Findings::default();
        let ended = self.judge.end(store, &mut found);
        self.tally.lock().merge(found);
        ended
    }

    fn done(&self, count: u64) {
        let done = self.tally.done.fetch_add(count, Ordering::Relaxed) + count;
        if let Some(progress) = self.progress {
            progress(Progress { done, total: self.total.max(done) });
        }
    }

    /// A run, read from its first row to its last.
    fn check_run(&self, store: &dyn ReadTransaction, run: &RunId) -> Result<()> {
        let seen = Seen::default();
        let mut rows = Rows::new(RunReader::new(run.clone()), self, store, &seen);
        let read = store.events(run, &mut |row| rows.next(row, run));
        if let Err(error) = read {
            self.tally.lock().merge(rows.found);
            return Err(error);
        }
        let (reader, found) = rows.end(run);
        self.end_run(store, run, reader, found)
    }

    fn end_run(&self, store: &dyn ReadTransaction, run: &RunId, reader: RunReader, mut found: Findings) -> Result<()> {
        let facts = finish(store, run, |row| reader.finish(row))?;
        let ending = found.run(run, facts);
        self.tally.lock().merge(found);
        if self.endings {
            self.tally.endings.lock().unwrap_or_else(PoisonError::into_inner).push(ending);
        }
        Ok(())
    }

    /// A part of a long run; with the last one, the run. Parts tell nothing but that all is well: where it is not, the run
    /// is read once more from its first row to its last, and what that shows is told.
    fn check_part(&self, store: &dyn ReadTransaction, long: &LongRun, index: usize) -> Result<()> {
        // A part that cannot be read is of no use, and the reading of the whole says why.
        let part = self.read_part(store, long, index).unwrap_or(None);
        let Some(parts) = long.done(index, part) else { return Ok(()) };
        let parts: Option<Vec<_>> = parts.into_iter().collect();
        let (readers, findings): (Vec<_>, Vec<_>) = parts.unwrap_or_default().into_iter().unzip();
        let sound = findings.iter().all(Findings::is_success);
        match RunReader::join(readers).filter(|_| sound) {
            Some(reader) => {
                let mut all = Findings::default();
                for found in findings {
                    all.merge(found);
                }
                self.end_run(store, &long.run, reader, all)
            }
            None => self.check_run(store, &long.run),
        }
    }

    fn read_part(&self, store: &dyn ReadTransaction, long: &LongRun, index: usize) -> Result<Option<Part>> {
        let run = &long.run;
        let (after, until) = long.bounds(index);
        let Some(reader) = reader_behind(store, run, after)? else { return Ok(None) };
        let mut rows = Rows::new(reader, self, store, &long.seen);
        store.events_between(run, after, until, &mut |row| rows.next(row, run))?;
        Ok(Some(rows.end(run)))
    }

    /// A run that is on record as imported is there, at least as far as it was then.
    fn check_imports(&self, store: &dyn ReadTransaction) -> Result<()> {
        let records = std::mem::take(&mut *self.imports.lock().unwrap_or_else(PoisonError::into_inner));
        let broken: BTreeSet<_> = Imports::settle(store, records)?.broken.into_iter().collect();
        for (by, run) in broken {
            let msg = format!("run {run} was imported, and is not there as it was then");
            let reason = Reason::new("IMPORT_CHANGED", msg).at(format!("run://{by}"));
            self.tally.lock().find(Check::Content, Verdict::Fail, reason);
        }
        Ok(())
    }

    /// Rows are found by an index, which whoever holds the file can take away, and put back once a row has been added. Each
    /// row that was read is another one of its table, or there is a finding; so if a table has as many rows as were read,
    /// those were all of them.
    fn check_rows(&self, listed: Size) {
        let Some(rows) = *self.rows.lock().unwrap_or_else(PoisonError::into_inner) else { return };
        let mut found = self.tally.lock();
        if found.failed {
            return;
        }
        let tables = [
            ("events", Check::Content, rows.events, found.events),
            ("runs", Check::Columns, rows.runs, listed.runs),
            ("blobs", Check::Evidence, rows.blobs, listed.blobs),
        ];
        for (table, check, rows, read) in tables {
            if rows != read {
                let msg = format!("table {table} has {rows} rows, and its index leads to {read}");
                found.find(check, Verdict::Fail, Reason::new("INDEX_MISMATCH", msg));
            }
        }
    }
}

/// A run's rows on their way through a reader, and its evidence looked at by the handful.
struct Rows<'r> {
    reader: RunReader,
    shared: &'r Shared<'r>,
    store: &'r dyn ReadTransaction,
    seen: &'r Seen,
    puts: Vec<Evidence>,
    found: Findings,
    unreported: u64,
}

impl<'r> Rows<'r> {
    fn new(reader: RunReader, shared: &'r Shared<'r>, store: &'r dyn ReadTransaction, seen: &'r Seen) -> Self {
        Self { reader, shared, store, seen, puts: Vec::new(), found: Findings::default(), unreported: 0 }
    }

    fn next(&mut self, row: &EventRow<'_>, run: &RunId) -> Visit {
        match self.reader.read(row) {
            Some(envelope) if envelope.event_type == EventType::EvidencePut => self.puts.push(Evidence::of(&envelope)),
            Some(envelope) if envelope.event_type == EventType::RunStart => {
                let record = Import::of(run, &envelope);
                self.shared.imports.lock().unwrap_or_else(PoisonError::into_inner).extend(record);
            }
            _ => {}
        }
        self.unreported += 1;
        if self.unreported == 4096 {
            self.shared.done(std::mem::take(&mut self.unreported));
        }
        if self.puts.len() >= 256 {
            self.look(run);
        }
        Visit::Continue(())
    }

    fn look(&mut self, run: &RunId) {
        let committed = self.reader.commitment().is_some();
        self.shared.judge.puts(self.store, run, &mut self.puts, self.seen, committed, &mut self.found);
    }

    fn end(mut self, run: &RunId) -> Part {
        self.look(run);
        self.shared.done(self.unreported);
        (self.reader, self.found)
    }
}

/// The findings of all threads.
#[derive(Default)]
struct Tally {
    findings: Mutex<Findings>,
    endings: Mutex<Vec<Ending>>,
    done: AtomicU64,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(self) -> Report {
        let mut findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        let runs = findings.runs;
        let expired = findings.expired;
        if expired > 0 {
            let msg = format!("the bytes of {expired} blobs were removed, and a BLOB_EXPIRE event says so of each");
            findings.find(Check::Evidence, Verdict::Pass, Reason::new("EXPIRED_WITH_RECEIPT", msg));
        }
        findings.settle(&Check::ALL);
        let mut endings = self.endings.into_inner().unwrap_or_else(PoisonError::into_inner);
        endings.sort_unstable_by(|a, b| a.run.cmp(&b.run));
        Report {
            checks: findings.checks,
            runs,
            events: findings.events,
            blobs: findings.blobs,
            outcomes: findings.outcomes,
            endings,
            coverage: Vec::new(),
            head: None,
        }
    }
}

#[cfg(test)]
mod tests;
