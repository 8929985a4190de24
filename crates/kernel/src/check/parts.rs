//! The work of an audit, dealt out: short runs by the handful, long ones in parts.

use super::findings::Findings;
use crate::read::evidence::ledger::Seen;
use crate::read::run::show;
use crate::store::ReadTransaction;
use receipt_core::id::{BlobHash, RunId, Seq};
use receipt_core::run::{Cell, EventRow, RunReader};
use receipt_core::verdict::Reason;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that an index lists in their order, each once. One that comes twice, or too late, would be looked at twice and hide
/// that another row is looked at by nobody.
#[derive(Default)]
pub(super) struct Order(Option<Vec<u8>>);

impl Order {
    pub(super) fn is_next(&mut self, id: Cell<'_>) -> bool {
        // An id that is no text has no place in this order, and is reported by itself.
        let Some(text) = id.text() else { return true };
        let is_next = self.0.as_deref().is_none_or(|last| last < text);
        self.0 = Some(text.to_vec());
        is_next
    }
}

pub(super) fn index_broken(table: &str, id: Cell<'_>) -> Reason {
    Reason::new("INDEX_MISMATCH", format!("the index of table {table} lists {:?} twice, or out of order", show(id)))
}

/// About how many events a thread is given at once: enough that dealing them out costs nothing, few enough that no thread
/// is long alone at the end.
const SHARE: u64 = 2048;

/// How many events a part of a long run has, where nothing else is asked for.
pub(super) const PART: u64 = 2048;

/// Deals out runs: short ones by the handful, long ones in parts.
pub(super) struct Deal<'d> {
    pub(super) give: &'d mut dyn FnMut(Job),
    /// Where to ask how long a run is.
    pub(super) store: &'d dyn ReadTransaction,
    /// How many events may still be dealt out in parts: about as many as there are.
    pub(super) budget: u64,
    /// About how many events of a long run make a part.
    pub(super) part: u64,
    pub(super) batch: Vec<RunId>,
    /// About how many events the batch has.
    pub(super) events: u64,
}

impl Deal<'_> {
    pub(super) fn run(&mut self, run: RunId) {
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

    pub(super) fn flush(&mut self) {
        self.events = 0;
        (self.give)(Job::Runs(std::mem::take(&mut self.batch)));
    }
}

/// A run that several threads read in parts.
pub(super) struct LongRun {
    pub(super) run: RunId,
    /// The seq of the last event of each part but the last.
    cuts: Vec<Seq>,
    done: Mutex<Done>,
    pub(super) seen: Seen,
}

/// The parts of a long run, as far as they have come.
struct Done {
    /// What each part showed: nothing if it could not be read by itself.
    parts: Vec<Option<Part>>,
    /// How many are not done.
    left: usize,
}

/// What reading a run, or a part of one, showed.
pub(super) type Part = (RunReader, Findings);

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
    pub(super) fn bounds(&self, index: usize) -> (Option<Seq>, Option<Seq>) {
        let cut = |index: usize| self.cuts.get(index).copied();
        (index.checked_sub(1).and_then(cut), cut(index))
    }

    /// Takes in a part; gives all of them to whoever brings the last one.
    pub(super) fn done(&self, index: usize, part: Option<Part>) -> Option<Vec<Option<Part>>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.parts[index] = part;
        done.left -= 1;
        (done.left == 0).then(|| std::mem::take(&mut done.parts))
    }
}

/// A piece of the work.
pub(super) enum Job {
    Runs(Vec<RunId>),
    Part(Arc<LongRun>, usize),
    Blobs(Vec<BlobHash>),
    /// How many rows there are.
    Rows,
}
