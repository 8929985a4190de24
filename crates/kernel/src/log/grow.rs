//! The tree while it grows by the events that came since the last checkpoint.

use super::before::Before;
use super::{HEIGHT, WIDTH, broken};
use crate::cores::cores;
use crate::error::Result;
use crate::read::head::sound_event;
use crate::read::pool::Pool;
use crate::store::{Arrival, ReadTransaction, Segment, Visit, WriteTransaction};
use receipt_core::envelope::Scratch;
use receipt_core::id::{EventRef, NodeHash, RunId, Seq};
use receipt_core::merkle::{self, Frontier, Subtree};
use std::collections::HashMap;

/// How many rows are read before the tree grows by them.
const BATCH: usize = 8192;
const STEP: i64 = 8192;

/// The events that may be new to the log.
pub(super) struct New<'s> {
    /// Threads that read them ahead.
    pub(super) readers: Option<Pool<'s>>,
    /// How far they are settled. Those that arrived after it wait for the next checkpoint.
    pub(super) fence: Arrival,
}

/// Events on their way into the log.
#[derive(Default)]
struct Batch {
    /// Their leaves.
    leaves: Vec<NodeHash>,
    /// Which they are: the first of each stretch of one run, and how many.
    stretches: Vec<(EventRef, u64)>,
    /// The row of the last one.
    last_id: i64,
}

impl Batch {
    fn push(&mut self, run_id: &RunId, seq: Seq, leaf: NodeHash) {
        self.leaves.push(leaf);
        match self.stretches.last_mut() {
            Some((first, count)) if follows(first, *count, run_id, seq) => *count += 1,
            _ => self.stretches.push((EventRef { run_id: run_id.clone(), seq }, 1)),
        }
    }
}

/// The tree while it grows. Rows are written when they are full, and once at the end.
pub(super) struct Growth {
    pub(super) frontier: Frontier,
    /// Of each level the row that is not full yet.
    rows: Vec<Vec<u8>>,
    segment: Option<Segment>,
    /// How many events the log has of each run that has new ones.
    covered: HashMap<RunId, u64>,
    /// The newest event, where there is a new one.
    pub(super) last: Option<EventRef>,
    pub(super) last_event_id: i64,
}

impl Growth {
    pub(super) fn new(store: &dyn ReadTransaction, before: &Before) -> Result<Self> {
        let mut rows = Vec::new();
        let mut count = before.frontier.head().size;
        while count > 0 {
            let level = u8::try_from(rows.len()).unwrap_or(u8::MAX);
            let open = if count.is_multiple_of(WIDTH) { None } else { store.log_tile(level, count / WIDTH)? };
            rows.push(open.unwrap_or_default());
            count /= WIDTH;
        }
        let mut segment = None;
        store.segments(before.frontier.head().size, &mut |last| {
            segment = Some(last);
            Visit::Continue(())
        })?;
        let last_event_id = before.last_event_id;
        let (frontier, covered) = (before.frontier.clone(), HashMap::new());
        Ok(Self { frontier, rows, segment, covered, last: None, last_event_id })
    }

    /// Takes in every event after this row and up to the fence. If there are many, `readers` read them ahead, a stretch of rows each in turn;
    /// this thread grows the tree.
    pub(super) fn run(mut self, store: &mut dyn WriteTransaction, new: New<'_>, after: i64) -> Result<Self> {
        let New { readers, fence: Arrival(fence) } = new;
        let last = i64::try_from(store.size()?.events).unwrap_or(i64::MAX).clamp(after, fence.max(after));
        match (stretches(after, last), readers) {
            (Some(stretches), Some(mut readers)) if stretches.len() >= 2 * cores() => {
                readers.in_order(
                    &stretches,
                    |view, stretch| read_stretch(view, stretch),
                    |batch| self.add(store, batch),
                )?;
            }
            _ => self.last_event_id = after,
        }
        // What stands after the last row that was counted on: nothing, or everything if nobody has read ahead.
        loop {
            let batch = read_stretch(store, &(self.last_event_id, fence))?;
            let is_last = batch.leaves.len() < BATCH;
            self.add(store, batch)?;
            if is_last {
                break;
            }
        }
        let (all, logged) = (store.count_events()?, self.frontier.head_size());
        if all != logged {
            // One that was hidden would be signed over, and could be swapped for another later.
            return Err(broken(format!("it would have {logged} of {all} events; `verify` names the others")));
        }
        let mut count = logged;
        for (level, row) in (0u8..).zip(&self.rows) {
            if !row.is_empty() {
                store.put_log_tile(level, count / WIDTH, row)?;
            }
            count /= WIDTH;
        }
        if let Some(segment) = &self.segment {
            store.put_segment(segment)?;
        }
        Ok(self)
    }

    /// The log has a run's events from the first on, each once and in their order: what comes next is the next one.
    fn follow(&mut self, store: &dyn WriteTransaction, first: &EventRef, count: u64) -> Result<()> {
        let covered = match self.covered.get(&first.run_id) {
            Some(covered) => *covered,
            None => store.covered(&first.run_id)?,
        };
        if covered.checked_add(1) != u64::try_from(first.seq.get()).ok() {
            return Err(broken(format!("{first} would follow {covered} events of its run; `verify` tells more")));
        }
        self.covered.insert(first.run_id.clone(), covered + count);
        Ok(())
    }

    fn add(&mut self, store: &mut dyn WriteTransaction, batch: Batch) -> Result<()> {
        let mut first_leaf = self.frontier.head_size();
        self.last_event_id = batch.last_id;
        for (first, count) in batch.stretches {
            self.follow(store, &first, count)?;
            self.last = Some(nth(&first, count - 1).ok_or_else(|| broken("a seq that is none"))?);
            match &mut self.segment {
                Some(segment) if continues(segment, &first) => segment.count += count,
                segment => {
                    if let Some(done) = segment.take() {
                        store.put_segment(&done)?;
                    }
                    let EventRef { run_id, seq: first_seq } = first;
                    *segment = Some(Segment { first_leaf, run_id, first_seq, count });
                }
            }
            first_leaf += count;
        }
        for leaf in batch.leaves {
            let mut failed = Ok(());
            let rows = &mut self.rows;
            let pushed = self.frontier.push_leaf(leaf, |at, hash| {
                if at.level.is_multiple_of(HEIGHT) && failed.is_ok() {
                    failed = put(store, rows, at, hash);
                }
            });
            if pushed { failed } else { Err(broken("the log is full")) }?;
        }
        Ok(())
    }
}

/// The event so many behind another of its run.
fn nth(first: &EventRef, behind: u64) -> Option<EventRef> {
    let seq = first.seq.get().checked_add(i64::try_from(behind).ok()?).and_then(Seq::new)?;
    Some(EventRef { run_id: first.run_id.clone(), seq })
}

fn follows(first: &EventRef, count: u64, run_id: &RunId, seq: Seq) -> bool {
    let next = i64::try_from(count).ok().and_then(|count| first.seq.get().checked_add(count));
    next == Some(seq.get()) && first.run_id == *run_id
}

fn continues(segment: &Segment, event: &EventRef) -> bool {
    let first = EventRef { run_id: segment.run_id.clone(), seq: segment.first_seq };
    follows(&first, segment.count, &event.run_id, event.seq)
}

fn put(store: &mut dyn WriteTransaction, rows: &mut Vec<Vec<u8>>, at: Subtree, hash: NodeHash) -> Result<()> {
    let level = at.level / HEIGHT;
    while rows.len() <= usize::from(level) {
        rows.push(Vec::new());
    }
    let row = &mut rows[usize::from(level)];
    row.extend_from_slice(hash.as_bytes());
    if (at.index + 1).is_multiple_of(WIDTH) {
        store.put_log_tile(level, at.index / WIDTH, row)?;
        row.clear();
    }
    Ok(())
}

/// The rows behind the first and up to the second.
type Stretch = (i64, i64);

/// Of at most [`BATCH`] rows each; `None` where the rows are numbered as no writer of a ledger numbers them.
fn stretches(after: i64, last: i64) -> Option<Vec<Stretch>> {
    let count = last.checked_sub(after)?.checked_add(STEP - 1)? / STEP;
    let from = |index: i64| after + index * STEP;
    (count <= 1 << 20).then(|| (0..count).map(|index| (from(index), from(index + 1).min(last))).collect())
}

/// The first events of a stretch of rows, each read back and hashed.
fn read_stretch(store: &(impl ReadTransaction + ?Sized), &(after, until): &Stretch) -> Result<Batch> {
    let mut batch = Batch { last_id: after, ..Batch::default() };
    let mut failed = None;
    let mut scratch = Scratch::default();
    let mut known: Option<RunId> = None;
    store.events_after(after, &mut |id, run, row| {
        if id > until || batch.leaves.len() == BATCH {
            return Visit::Break(());
        }
        let Some(text) = run.as_str() else {
            failed = Some(broken("an event has a run id that is no text"));
            return Visit::Break(());
        };
        let run_id = known.take().filter(|known| known.as_str() == text).unwrap_or_else(|| RunId::new(text));
        match sound_event(&run_id, row, &mut scratch) {
            Ok(envelope) => {
                batch.push(&run_id, envelope.seq, merkle::leaf_hash(&envelope.hash));
                batch.last_id = id;
                known = Some(run_id);
                Visit::Continue(())
            }
            Err(error) => {
                failed = Some(broken(error.to_string()));
                Visit::Break(())
            }
        }
    })?;
    failed.map_or(Ok(batch), Err)
}
