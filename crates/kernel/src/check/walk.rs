//! One pass over the log and over the events: what each leaf is, and whether all events are there.

use super::excuses::Places;
use super::report::Check;
use super::settled::Settled;
use crate::error::Result;
use crate::store::{ReadTransaction, Segment, Visit};
use receipt_core::envelope::{Envelope, Scratch};
use receipt_core::id::{EventHash, NodeHash, RunId, Seq};
use receipt_core::merkle::{Frontier, TreeHead, leaf_hash};
use receipt_core::run::{Cell, EventRow};
use receipt_core::verdict::Verdict;
use std::collections::{BTreeMap, HashMap};

/// How many leaves a row of the tree holds.
const WIDTH: u64 = 256;

/// How far the column `event_hash` can be relied on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashes {
    /// It was compared with the hashed bytes of each event.
    Compared,
    /// Nobody has compared it.
    Unknown,
}

/// What an event's bytes hash to, if they are of the place that the row has.
fn hash_of(run: &RunId, row: &EventRow<'_>, scratch: &mut Scratch) -> Option<EventHash> {
    let envelope = Envelope::read(row.envelope_json.text()?, scratch).ok()?;
    let is_here = envelope.is_of(run.as_str()) && row.seq.integer() == Some(envelope.seq.get());
    is_here.then_some(envelope.hash)
}

/// One pass over the log and over the events after it.
///
/// The log's own rows (which events its leaves are, how many, up to which row) bind nothing. They are held to this: the
/// leaves of a run are its events from the first on, each once and in their order; so are those that come after, one by one.
/// If these are then as many as there are rows, they are the same set.
pub(super) struct Walk<'a> {
    store: &'a dyn ReadTransaction,
    pub(super) hashes: Hashes,
    pub(super) frontier: Frontier,
    /// The roots at the sizes of the anchors.
    pub(super) at: BTreeMap<u64, NodeHash>,
    wanted: Vec<u64>,
    row: Vec<u8>,
    /// How many events of each run the walk has come by: those from the first on.
    covered: HashMap<RunId, i64>,
    /// How many events of the log were met.
    met: u64,
    /// How many rows the table of events has, if somebody has counted them.
    rows: Option<u64>,
    /// Where the events stand that somebody asks for.
    pub(super) places: Places,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        store: &'a dyn ReadTransaction,
        heads: &[(String, TreeHead)],
        hashes: Hashes,
        rows: Option<u64>,
    ) -> Self {
        let mut walk = Self {
            store,
            hashes,
            frontier: Frontier::default(),
            at: BTreeMap::new(),
            wanted: heads.iter().map(|(_, head)| head.size).collect(),
            row: Vec::new(),
            covered: HashMap::new(),
            met: 0,
            rows,
            places: Places::default(),
        };
        walk.note();
        walk
    }

    fn note(&mut self) {
        if self.wanted.contains(&self.frontier.head_size()) {
            let head = self.frontier.head();
            self.at.insert(head.size, head.root);
        }
    }

    pub(super) fn run(&mut self, found: &mut Settled) -> Result<()> {
        if let Some(after) = self.logged(found)? {
            self.newer(after, found)?;
        }
        Ok(())
    }

    /// The leaves of the log; gives the last row that they cover, if they fit together.
    pub(super) fn logged(&mut self, found: &mut Settled) -> Result<Option<i64>> {
        let last = self.store.last_checkpoint()?;
        let (size, after) = last.map_or((0, 0), |last| (last.size, last.last_event_id));
        let mut segments = Vec::new();
        self.store.segments(0, &mut |segment| {
            segments.push(segment);
            Visit::Continue(())
        })?;
        for segment in &segments {
            if !self.is_next(segment) || !self.segment(segment, found)? {
                let msg = format!("the log's rows do not fit together at leaf {}", self.frontier.head_size());
                found.find(Check::Content, Verdict::Fail, "LOG_MALFORMED", msg);
                return Ok(None);
            }
        }
        if self.frontier.head_size() != size {
            let msg = format!("the log has {} leaves, its last checkpoint {size}", self.frontier.head_size());
            found.find(Check::Content, Verdict::Fail, "LOG_MALFORMED", msg);
        }
        Ok(Some(after))
    }

    /// Whether a stretch begins where the log and its run have come to.
    fn is_next(&self, segment: &Segment) -> bool {
        let covered = self.covered.get(&segment.run_id).copied().unwrap_or(0);
        segment.count > 0
            && segment.first_leaf == self.frontier.head_size()
            && covered.checked_add(1) == Some(segment.first_seq.get())
    }

    /// The leaves of one stretch; false if the tree has not as many.
    fn segment(&mut self, segment: &Segment, found: &mut Settled) -> Result<bool> {
        let mut done = 0;
        while done < segment.count {
            let count = (segment.count - done).min(4096);
            let first = i64::try_from(done).ok().and_then(|done| segment.first_seq.get().checked_add(done));
            let Some(first) = first.and_then(Seq::new) else { return Ok(false) };
            let last = i64::try_from(count - 1).ok().and_then(|count| first.get().checked_add(count));
            let Some(last) = last.and_then(Seq::new) else { return Ok(false) };
            self.places.note(&segment.run_id, first.get(), last.get(), self.frontier.head_size());
            let hashes = self.hashes_of(&segment.run_id, first, last)?;
            let mut missing = Vec::new();
            for seq in first.get()..=last.get() {
                let index = self.frontier.head_size();
                let Some(leaf) = self.leaf(index)? else { return Ok(false) };
                match hashes.get(&seq) {
                    None => missing.push((index, seq)),
                    Some(hash) => {
                        self.met += 1;
                        if hash.as_ref().map(leaf_hash) != Some(leaf) {
                            let msg =
                                format!("event://{}/{seq} is not what the log has as leaf {index}", segment.run_id);
                            found.find(Check::Key, Verdict::Fail, "LEAF_CHANGED", msg);
                        }
                    }
                }
                if !self.frontier.push_leaf(leaf, |_, _| {}) {
                    return Ok(false);
                }
                self.note();
            }
            self.missing(&segment.run_id, &missing, found)?;
            self.covered.insert(segment.run_id.clone(), last.get());
            done += count;
        }
        Ok(true)
    }

    /// The hashes of a run's events from `first` to `last`, of each that is there.
    fn hashes_of(&self, run: &RunId, first: Seq, last: Seq) -> Result<BTreeMap<i64, Option<EventHash>>> {
        let mut hashes = BTreeMap::new();
        let before = Seq::new(first.get() - 1);
        let mut scratch = Scratch::default();
        match self.hashes {
            Hashes::Compared => self.store.hashes(run, first, last, &mut |seq, cell| {
                hashes.insert(seq, cell.text().and_then(EventHash::parse_bytes));
                Visit::Continue(())
            })?,
            Hashes::Unknown => self.store.events_between(run, before, Some(last), &mut |row| {
                if let Some(seq) = row.seq.integer().filter(|seq| (first.get()..=last.get()).contains(seq)) {
                    hashes.insert(seq, hash_of(run, row, &mut scratch));
                }
                Visit::Continue(())
            })?,
        }
        Ok(hashes)
    }

    fn leaf(&mut self, index: u64) -> Result<Option<NodeHash>> {
        if index.is_multiple_of(WIDTH) {
            self.row = self.store.log_tile(0, index / WIDTH)?.unwrap_or_default();
        }
        let from = usize::try_from(index % WIDTH).unwrap_or(0) * 32;
        let hash = self.row.get(from..from + 32).and_then(|hash| hash.try_into().ok());
        Ok(hash.map(NodeHash::from_bytes))
    }

    /// Names events that the log has and the ledger has not.
    fn missing(&self, run: &RunId, missing: &[(u64, i64)], found: &mut Settled) -> Result<()> {
        let (Some((first_leaf, first)), Some((last_leaf, last))) = (missing.first(), missing.last()) else {
            return Ok(());
        };
        let mut newest = None;
        self.store.head(run, &mut |row| newest = Some(row.seq.integer().unwrap_or(0)))?;
        let count = missing.len();
        let msg = format!(
            "run {run}: {count} events from {first} to {last} are missing (leaves {first_leaf} to {last_leaf})"
        );
        let (check, code) = match newest {
            None => (Check::Runs, "RUN_MISSING"),
            Some(newest) if *first > newest => (Check::Tail, "TAIL_MISSING"),
            Some(_) => (Check::Content, "EVENT_MISSING"),
        };
        found.find(check, Verdict::Fail, code, msg);
        Ok(())
    }

    /// The events that no checkpoint covers yet.
    fn newer(&mut self, after: i64, found: &mut Settled) -> Result<()> {
        let store = self.store;
        let (mut newer, mut failed) = (0, None);
        let mut scratch = Scratch::default();
        store.events_after(after, &mut |id, run, row| {
            newer += 1;
            failed = self.next(id, run, row, &mut scratch).err();
            if failed.is_some() { Visit::Break(()) } else { Visit::Continue(()) }
        })?;
        if let Some((code, msg)) = failed {
            found.find(Check::Content, Verdict::Fail, code, msg);
            return Ok(());
        }
        let all = self.rows.map_or_else(|| store.rows().map(|rows| rows.events), Ok)?;
        let here = self.met + newer;
        if all != here {
            let msg = format!(
                "the log leads to {here} of {all} events: others stand among those that it covers, and are not in it{}",
                self.first_hidden()?
            );
            found.find(Check::Content, Verdict::Fail, "UNLOGGED_EVENT", msg);
        }
        Ok(())
    }

    fn next(
        &mut self,
        id: i64,
        run: Cell<'_>,
        row: &EventRow<'_>,
        scratch: &mut Scratch,
    ) -> std::result::Result<(), (&'static str, String)> {
        let bad = || ("BAD_EVENT_HASH", format!("the event in row {id} has no hash"));
        let run = RunId::new(run.as_str().ok_or_else(bad)?);
        let hash = match self.hashes {
            Hashes::Compared => row.event_hash.text().and_then(EventHash::parse_bytes),
            Hashes::Unknown => hash_of(&run, row, scratch),
        };
        let hash = hash.ok_or_else(bad)?;
        let covered = self.covered.get(&run).copied().unwrap_or(0);
        if row.seq.integer().is_none() || row.seq.integer() != covered.checked_add(1) {
            let msg =
                format!("the event in row {id} of run {run} comes after {covered} others of it, and is not the next");
            return Err(("UNLOGGED_EVENT", msg));
        }
        self.places.note(&run, covered + 1, covered + 1, self.frontier.head_size());
        if !self.frontier.push(&hash, |_, _| {}) {
            return Err(bad());
        }
        self.note();
        self.covered.insert(run, covered + 1);
        Ok(())
    }

    /// The first run, for a message, that has another length than the log knows of.
    fn first_hidden(&self) -> Result<String> {
        let mut named = String::new();
        let mut failed = None;
        self.store.runs(&mut |id, _| {
            let Some(run) = id.as_str().map(RunId::new) else { return Visit::Continue(()) };
            let mut length = 0;
            failed = self.store.head(&run, &mut |row| length = row.seq.integer().unwrap_or(0)).err();
            let covered = self.covered.get(&run).copied().unwrap_or(0);
            if length != covered {
                named = format!(" (run {run} has {length}, of which the log leads to {covered})");
            }
            if named.is_empty() && failed.is_none() { Visit::Continue(()) } else { Visit::Break(()) }
        })?;
        failed.map_or(Ok(named), Err)
    }
}
