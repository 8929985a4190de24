//! The full re-check of a ledger: a report by kind of tampering, not one boolean.
//!
//! Every event is read and hashed again, every column compared, every blob hashed. Runs and blobs are dealt out to as
//! many threads as there are cores, each with a read transaction of its own, and memory does not grow with the ledger,
//! with a run or with a blob. What the ledger alone cannot settle is UNKNOWN, with what would settle it.

use crate::anchor::{self, Anchors};
use crate::error::{Error, Result};
use crate::evidence::Digest256;
use crate::ledger::{Ledger, finish, reader_behind, show};
use crate::read::evidence::{Evidence, Judge, Seen};
use crate::read::pool::{self, Pool};
use crate::store::{ReadTransaction, Size, Visit};
use receipt_core::envelope::EventType;
use receipt_core::id::{BlobHash, EventRef, RunId, Seq};
use receipt_core::json::{Object, Value};
use receipt_core::merkle::TreeHead;
use receipt_core::note::KeyName;
use receipt_core::run::{Area, Cell, EventRow, RunFacts, RunReader};
use receipt_core::verdict::{Reason, Verdict};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A kind of tampering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Events edited, reordered, removed from the middle, spliced in from another run.
    Content,
    /// Anything in a row that its envelope contradicts.
    Columns,
    /// Blob bytes changed, missing, or expired without a receipt.
    Evidence,
    /// Stages against the committed graph; one finalize, last.
    Path,
    /// Whether each run commits to its policy, stage graph and row, so that they can be checked at all.
    Commitment,
    /// Newest events cut off.
    Tail,
    /// A whole run removed.
    Runs,
    /// The whole file replaced by an older copy.
    Rollback,
    /// Two histories shown to two readers.
    Fork,
    /// History signed again by whoever has the key.
    Key,
    /// Of a bundle: its form, and the digest over its lines.
    Format,
    /// Of a bundle: each recorded evaluation against the same computed again.
    Replay,
    /// Of a bundle: its run against the log whose checkpoint it carries.
    Log,
}

impl Check {
    /// Those of a ledger, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::Content,
        Self::Columns,
        Self::Evidence,
        Self::Path,
        Self::Commitment,
        Self::Tail,
        Self::Runs,
        Self::Rollback,
        Self::Fork,
        Self::Key,
    ];

    /// Those of a bundle, in the order of the report.
    pub const BUNDLE: [Self; 10] = [
        Self::Format,
        Self::Content,
        Self::Columns,
        Self::Evidence,
        Self::Path,
        Self::Commitment,
        Self::Replay,
        Self::Log,
        Self::Tail,
        Self::Key,
    ];

    /// The name in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Columns => "columns",
            Self::Evidence => "evidence",
            Self::Path => "path",
            Self::Commitment => "commitment",
            Self::Tail => "tail",
            Self::Runs => "runs",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::Key => "key",
            Self::Format => "format",
            Self::Replay => "replay",
            Self::Log => "log",
        }
    }

    /// What it would take to settle it, where the ledger alone does not.
    const fn anchor(self) -> Option<&'static str> {
        Some(match self {
            Self::Tail => "the newest events could have been cut off: a checkpoint kept outside would settle it",
            Self::Runs => "a whole run could have been removed: a checkpoint kept outside would settle it",
            Self::Rollback => "the file could be an older copy: a checkpoint kept outside would settle it",
            Self::Fork => {
                "another reader could have been shown another history: a witness's cosignature would settle it"
            }
            Self::Key => "history could have been made anew: a witness, or an older checkpoint, would settle it",
            _ => return None,
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many reasons a check keeps; beyond them they are only counted.
const MAX_REASONS: usize = 1000;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether it counts towards the overall verdict.
    pub required: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// How many reasons there were beyond those kept.
    pub more: u64,
}

impl CheckReport {
    pub(crate) fn pass(check: Check) -> Self {
        Self { check, verdict: Verdict::Pass, required: true, reasons: Vec::new(), more: 0 }
    }

    pub(crate) fn find(&mut self, verdict: Verdict, reason: Reason) {
        self.verdict = self.verdict.worse(verdict);
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        } else {
            self.more += 1;
        }
    }

    /// Takes in what was found of the same check elsewhere.
    pub(crate) fn merge(&mut self, other: Self) {
        self.verdict = self.verdict.worse(other.verdict);
        let room = MAX_REASONS.saturating_sub(self.reasons.len());
        self.more += other.more + other.reasons.len().saturating_sub(room) as u64;
        self.reasons.extend(other.reasons.into_iter().take(room));
    }

    /// `{"check", "verdict", "required", "reasons": […]}`
    pub fn to_value(&self) -> Value {
        let mut reasons: Vec<Value> = self.reasons.iter().map(Reason::to_value).collect();
        if self.more > 0 {
            reasons.push(Reason::new("MORE_REASONS", format!("and {} more", self.more)).to_value());
        }
        Object::from_iter([
            ("check", Value::from(self.check.as_str())),
            ("verdict", self.verdict.into()),
            ("required", self.required.into()),
            ("reasons", Value::Array(reasons)),
        ])
        .into()
    }
}

/// What a ledger, or some of its runs, looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each [`Check`], in their order.
    pub checks: Vec<CheckReport>,
    /// How many runs were read.
    pub runs: u64,
    /// How many events were read and hashed.
    pub events: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
    /// How many runs are not finalized.
    pub unfinished: u64,
    /// What each anchor that holds covers.
    pub coverage: Vec<Coverage>,
    /// The log's name and the head over all events, as they were at the instant of the audit: what may be remembered of the
    /// ledger if the verdict is good. Only an audit of the whole ledger against anchors has one.
    pub head: Option<(Option<KeyName>, TreeHead)>,
}

/// How much of a ledger an anchor from outside speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The anchor, by the name under which it was given.
    pub anchor: String,
    /// How many events it covers, the first ones of the log.
    pub events: u64,
    /// How many events the ledger has.
    pub of: u64,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} covers {} of {} events", self.anchor, self.events, self.of)
    }
}

impl Report {
    /// The verdict over the required checks.
    pub fn overall_verdict(&self) -> Verdict {
        let required = self.checks.iter().filter(|check| check.required);
        Verdict::overall(required.map(|check| (check.verdict, true)))
    }

    /// The report of one check.
    pub fn check(&self, check: Check) -> Option<&CheckReport> {
        self.checks.iter().find(|report| report.check == check)
    }

    /// `{"overall_verdict", "checks": [{"check", "verdict", "required", "reasons": […]}], "runs", "events", "blobs",
    /// "unfinished", "coverage": [{"anchor", "events", "of"}]}`
    pub fn to_value(&self) -> Value {
        let checks = self.checks.iter().map(CheckReport::to_value);
        let coverage = self.coverage.iter().map(|Coverage { anchor, events, of }| {
            let members =
                [("anchor", Value::from(anchor.as_str())), ("events", (*events).into()), ("of", (*of).into())];
            Value::from(Object::from_iter(members))
        });
        Object::from_iter([
            ("overall_verdict", Value::from(self.overall_verdict())),
            ("checks", Value::Array(checks.collect())),
            ("runs", self.runs.into()),
            ("events", self.events.into()),
            ("blobs", self.blobs.into()),
            ("unfinished", self.unfinished.into()),
            ("coverage", Value::Array(coverage.collect())),
        ])
        .into()
    }
}

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
        let threads = pool::cores();
        Self { ledger, runs: None, files: Vec::new(), threads, part: PART, anchors: None, progress: None }
    }

    /// The same of these runs only, and of the evidence that they put.
    #[must_use]
    pub fn runs(mut self, runs: impl IntoIterator<Item = RunId>) -> Self {
        self.runs = Some(runs.into_iter().collect());
        self
    }

    /// The same with files that are kept elsewhere, each for the evidence under a key: whatever was put under it by digest
    /// must be that file.
    #[must_use]
    pub fn files(mut self, files: impl IntoIterator<Item = (String, Digest256)>) -> Self {
        self.files.extend(files);
        self
    }

    /// The same, settling what these anchors settle; the checks that they bear on are required from then on. What the ledger's
    /// own log shows missing is FAIL without any anchor. All of it is of the instant that the rest is of.
    #[must_use]
    pub fn against(mut self, anchors: &'a Anchors) -> Self {
        self.anchors = Some(anchors);
        self
    }

    /// The same on this many threads, at least one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// The same with a long run read in parts of about this many events, at least one: 2,048 where nothing is said. Threads
    /// share the parts of a run.
    #[must_use]
    pub fn parts_of(mut self, events: u64) -> Self {
        self.part = events.max(1);
        self
    }

    /// The same, telling how far it is.
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
        let mut store = self.ledger.lock();
        let tally = Tally::default();
        let (malformed, foreign): (Vec<_>, Vec<_>) = store.inspect()?.into_iter().partition(|it| it.malformed);
        for problem in foreign {
            // What is recorded stands by its hashes; but nobody writes here any more, and its owner has to know why.
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
        let mut pool = Pool::of(store.as_mut(), self.threads)?;
        // Whoever writes through this handle need not wait for the audit.
        drop(store);
        match self.walk(&mut pool, &tally) {
            Err(error @ Error::RunNotFound { .. }) => return Err(error),
            Err(error) => tally.lock().read_failure(&error),
            Ok(()) => {}
        }
        let mut report = tally.report();
        if let Some(anchors) = self.anchors {
            anchor::settle(pool.view().as_ref(), anchors, self.runs.is_none(), &mut report);
        }
        Ok(report)
    }

    fn walk(&self, pool: &mut Pool, tally: &Tally) -> Result<()> {
        let size = pool.view().size()?;
        let total = size.events + if self.runs.is_none() { size.blobs } else { 0 };
        let judge = Judge::new(self.runs.is_none(), &self.files);
        let shared = Shared { tally, judge: &judge, total, progress: self.progress, rows: Mutex::default() };
        // One thread has no use for parts.
        let budget = if self.threads > 1 { size.events } else { 0 };
        let mut listed = Size::default();
        pool.deal(|view, give| self.jobs(view, budget, tally, &mut listed, give), |view, job| shared.work(view, &job))?;
        shared.end(pool.view().as_ref(), listed)
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
                    return Err(Error::RunNotFound { run: run.to_string() });
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

/// Names that an index lists in their order, each once. One that comes twice, or too late, would be looked at twice and hide
/// that another row is looked at by nobody.
#[derive(Default)]
struct Order(Option<Vec<u8>>);

impl Order {
    fn is_next(&mut self, id: Cell<'_>) -> bool {
        // What is no text has no place among those that are, and is reported by itself.
        let Some(text) = id.text() else { return true };
        let is_next = self.0.as_deref().is_none_or(|last| last < text);
        self.0 = Some(text.to_vec());
        is_next
    }
}

fn index_broken(table: &str, id: Cell<'_>) -> Reason {
    Reason::new("INDEX_MISMATCH", format!("the index of table {table} lists {:?} twice, or out of order", show(id)))
}

/// About how many events a thread is given at once: enough that dealing them out costs nothing, few enough that no thread
/// is long alone at the end.
const SHARE: u64 = 2048;

/// How many events a part of a long run has, where nothing else is asked for.
const PART: u64 = 2048;

/// Deals out runs: short ones by the handful, long ones in parts.
struct Deal<'d> {
    give: &'d mut dyn FnMut(Job),
    /// Where to ask how long a run is.
    store: &'d dyn ReadTransaction,
    /// How many events may still be dealt out in parts: about as many as there are.
    budget: u64,
    /// About how many events of a long run make a part.
    part: u64,
    batch: Vec<RunId>,
    /// About how many events the batch has.
    events: u64,
}

impl Deal<'_> {
    fn run(&mut self, run: RunId) {
        // The seq of the last row says about how long it is; whatever it says, all of the run is read. A seq may be any
        // number: all parts together are no more than there are events for.
        let mut length = 0;
        let seq =
            &mut |row: &EventRow<'_>| length = row.seq.integer().and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
        let asked = if self.budget > 0 { self.store.head(&run, seq).is_ok() } else { false };
        if asked && length / 2 >= self.part && length <= self.budget {
            self.budget -= length;
            return self.long_run(run, length);
        }
        self.events = self.events.saturating_add(length);
        self.batch.push(run);
        if self.events >= SHARE || self.batch.len() >= 16 {
            self.flush();
        }
    }

    fn long_run(&mut self, run: RunId, length: u64) {
        let count = length / self.part;
        let cuts = (1..count).filter_map(|part| Seq::new(i64::try_from(length / count * part).ok()?)).collect();
        let run = Arc::new(LongRun::new(run, cuts));
        for part in 0..run.parts() {
            (self.give)(Job::Part(Arc::clone(&run), part));
        }
    }

    fn flush(&mut self) {
        self.events = 0;
        (self.give)(Job::Runs(std::mem::take(&mut self.batch)));
    }
}

/// A run that several threads read in parts.
struct LongRun {
    run: RunId,
    /// The seq of the last event of each part but the last.
    cuts: Vec<Seq>,
    done: Mutex<Done>,
    seen: Seen,
}

/// The parts of a long run, as far as they have come.
struct Done {
    /// What each part showed: nothing if it could not be read by itself.
    parts: Vec<Option<Part>>,
    /// How many are not done.
    left: usize,
}

/// What reading a run, or a part of one, showed.
type Part = (RunReader, Findings);

impl LongRun {
    fn new(run: RunId, cuts: Vec<Seq>) -> Self {
        let left = cuts.len() + 1;
        let done = Mutex::new(Done { parts: (0..left).map(|_| None).collect(), left });
        Self { run, cuts, done, seen: Seen::default() }
    }

    fn parts(&self) -> usize {
        self.cuts.len() + 1
    }

    /// A part begins behind the first seq and ends with the second.
    fn bounds(&self, index: usize) -> (Option<Seq>, Option<Seq>) {
        let cut = |index: usize| self.cuts.get(index).copied();
        (index.checked_sub(1).and_then(cut), cut(index))
    }

    /// Takes in a part; gives all of them to whoever brings the last one.
    fn done(&self, index: usize, part: Option<Part>) -> Option<Vec<Option<Part>>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.parts[index] = part;
        done.left -= 1;
        (done.left == 0).then(|| std::mem::take(&mut done.parts))
    }
}

/// A piece of the work.
enum Job {
    Runs(Vec<RunId>),
    Part(Arc<LongRun>, usize),
    Blobs(Vec<BlobHash>),
    /// How many rows there are.
    Rows,
}

/// What all threads share.
struct Shared<'a> {
    tally: &'a Tally,
    judge: &'a Judge<'a>,
    total: u64,
    progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// How many rows each table has, once they were counted.
    rows: Mutex<Option<Size>>,
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
        found.run(run, facts);
        self.tally.lock().merge(found);
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
        if let Some(envelope) = self.reader.read(row)
            && envelope.event_type == EventType::EvidencePut
        {
            self.puts.push(Evidence::of(&envelope));
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
    done: AtomicU64,
}

/// What was found, check by check.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) checks: Vec<CheckReport>,
    runs: u64,
    pub(crate) events: u64,
    pub(crate) unfinished: u64,
    committed: u64,
    pub(crate) blobs: u64,
    pub(crate) expired: u64,
    /// Whether the store could not be read to its end.
    failed: bool,
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
        Report {
            checks: findings.checks,
            runs,
            events: findings.events,
            blobs: findings.blobs,
            unfinished: findings.unfinished,
            coverage: Vec::new(),
            head: None,
        }
    }
}

impl Findings {
    /// Every check of `checks` has its verdict and its reasons, in order.
    pub(crate) fn settle(&mut self, checks: &[Check]) {
        if self.events == 0 && self.entry(Check::Content).verdict == Verdict::Pass {
            let reason = Reason::new("NO_EVENTS", "there are no events to check");
            self.find(Check::Content, Verdict::Unknown, reason);
        }
        if self.committed == 0 && self.runs > 0 {
            // Nothing said which way was allowed; only endings could be checked.
            let path = self.entry(Check::Path);
            if path.verdict == Verdict::Pass {
                path.verdict = Verdict::Unknown;
                path.required = false;
                path.reasons.push(Reason::new("STAGE_GRAPH_UNCOMMITTED", "no run commits to a stage graph"));
            }
        }
        for &check in checks {
            let entry = self.entry(check);
            if let Some(anchor) = check.anchor() {
                entry.verdict = Verdict::Unknown;
                entry.required = false;
                entry.reasons.push(Reason::new("NO_ANCHOR", anchor));
            }
            // From whichever thread they came, in one order: that of the events.
            entry.reasons.sort_by_cached_key(|reason| {
                let event = reason.pointers.first().and_then(|pointer| EventRef::parse(pointer));
                (event, reason.pointers.clone(), reason.code.clone())
            });
        }
        self.checks.sort_by_key(|report| checks.iter().position(|check| *check == report.check));
    }

    pub(crate) fn entry(&mut self, check: Check) -> &mut CheckReport {
        let index = self.checks.iter().position(|report| report.check == check).unwrap_or_else(|| {
            self.checks.push(CheckReport::pass(check));
            self.checks.len() - 1
        });
        &mut self.checks[index]
    }

    pub(crate) fn find(&mut self, check: Check, verdict: Verdict, reason: Reason) {
        self.entry(check).find(verdict, reason);
    }

    fn is_success(&self) -> bool {
        self.checks.iter().all(|report| report.verdict.is_success())
    }

    /// Takes in what was found elsewhere.
    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.unfinished += other.unfinished;
        self.committed += other.committed;
        self.blobs += other.blobs;
        self.expired += other.expired;
        self.failed |= other.failed;
        for report in other.checks {
            self.entry(report.check).merge(report);
        }
        let commitment = self.entry(Check::Commitment);
        commitment.required = commitment.verdict != Verdict::Unknown;
    }

    /// The store could not be read to its end: nothing that depends on it can be PASS.
    pub(crate) fn read_failure(&mut self, error: &Error) {
        self.failed = true;
        for check in [Check::Content, Check::Columns, Check::Evidence, Check::Path] {
            self.find(check, Verdict::Unknown, Reason::new("READ_FAILURE", error.to_string()));
        }
    }

    /// What became of a run.
    pub(crate) fn run(&mut self, run: &RunId, facts: RunFacts) {
        let pointer = format!("run://{run}");
        self.runs += 1;
        self.events += facts.events;
        if facts.more_findings > 0 {
            let reason = Reason::new("MORE_FINDINGS", format!("and {} more findings", facts.more_findings));
            self.find(Check::Content, Verdict::Fail, reason.at(&pointer));
        }
        for finding in facts.findings {
            let check = match finding.area {
                Area::Content => Check::Content,
                Area::Columns => Check::Columns,
                Area::Path => Check::Path,
            };
            self.find(check, finding.verdict, finding.reason);
        }
        if facts.events == 0 {
            let reason = Reason::new("NO_EVENTS", format!("run {:?} has a row and no events", run.as_str()));
            self.find(Check::Content, Verdict::Unknown, reason.at(&pointer));
        } else if facts.commitment.is_none() {
            let msg = "RUN_START commits to no policy and stage graph: nothing binds the run's row and its stages";
            self.find(Check::Commitment, Verdict::Unknown, Reason::new("RUN_UNCOMMITTED", msg).at(&pointer));
        } else {
            self.committed += 1;
        }
        if !facts.finalized {
            self.unfinished += 1;
            if facts.commitment.is_some() {
                let msg = "the run is unfinished: it has no RUN_FINALIZE";
                self.find(Check::Path, Verdict::Warn, Reason::new("RUN_UNFINISHED", msg).at(&pointer));
            }
        }
        let commitment = self.entry(Check::Commitment);
        commitment.required = commitment.verdict != Verdict::Unknown;
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Job, Tally};
    use crate::store::{Size, sqlite::SqliteStore};
    use crate::{Actor, Append, EventType, Ledger, Object, Policy, store::Store};

    /// How many parts are dealt out of a ledger of 20 runs, of which the first has this many events more; and the most that
    /// there may be.
    fn parts(path: &std::path::Path, more: usize, forge: &str) -> (u64, u64) {
        let ledger = Ledger::create(path).unwrap();
        for run in 0..20 {
            let policy = Policy::structural().unwrap();
            let mut run =
                ledger.start(&format!("run-{run}"), policy, Actor::new("system", "test"), Object::new()).unwrap();
            run.append(Append::new(EventType::Decision, Object::new())).unwrap();
            if run.run_id().as_str() == "run-0" {
                run.append_batch(vec![Append::new(EventType::Decision, Object::new()); more]).unwrap();
            }
        }
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch(&format!("DROP TRIGGER events_are_not_updated; {forge}"))
            .unwrap();
        let mut store = SqliteStore::open_read_only(path).unwrap();
        let view = store.read().unwrap();
        let size = view.size().unwrap();
        let mut found = 0;
        let audit = Audit::of(&ledger).parts_of(16);
        let count = &mut |job| found += u64::from(matches!(job, Job::Part(..)));
        audit.jobs(view.as_ref(), size.events, &Tally::default(), &mut Size::default(), count).unwrap();
        (found, size.events / 16 + 20)
    }

    #[test]
    fn a_seq_may_be_any_number_and_there_are_no_more_parts_than_there_are_events_for() {
        let folder = tempfile::tempdir().unwrap();
        let (honest, most) = parts(&folder.path().join("honest.db"), 400, "SELECT 1");
        assert!(honest > 20 && honest <= most, "{honest} of {most}: a long run is dealt out in parts");
        for seq in ["9223372036854775807", "1 << 62", "100000", "300"] {
            let forge = format!("UPDATE events SET seq = {seq} WHERE seq = 2");
            let (forged, most) = parts(&folder.path().join(format!("{}.db", seq.len())), 0, &forge);
            assert!(forged <= most, "{seq}: {forged} of {most}");
            // Nor if the row ids, by which the number of events is estimated, are forged as well.
            let forge = format!("{forge}; UPDATE events SET id = id + (1 << 61)");
            let (forged, most) = parts(&folder.path().join(format!("{}-ids.db", seq.len())), 0, &forge);
            assert!(forged <= most && most < 20_000, "{seq}: {forged} of {most}");
        }
    }
}
