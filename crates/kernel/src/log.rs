//! The log over all runs: extended and signed as a checkpoint, and proved from.
//!
//! A checkpoint is made in one write transaction: every event that came since the last one is read back and hashed, the
//! tree grows by it, and what was written is read again and recomputed from the last root, before anything is signed.
//! The checkpoint is durable before the caller sees it. Cost grows with the new events; a proof reads O(log n) rows.

use crate::error::{Error, Result};
use crate::ledger::{Ledger, sound_event};
use crate::read::pool::{self, Pool};
use crate::store::{ReadTransaction, Segment, StoredCheckpoint, Visit, WriteTransaction};
use crate::write::Gate;
use receipt_core::canonical::Scratch;
use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::id::{EventRef, NodeHash, RunId, Seq, Timestamp};
use receipt_core::merkle::{self, Frontier, Subtree, TreeHead};
use receipt_core::note::{KeyKind, KeyName, Signing, Standing, VerifierKey};
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

/// How many hashes a row of the tree holds, and how many levels it spans: 2^8.
const WIDTH: u64 = 256;
const HEIGHT: u8 = 8;

/// How many rows are read before the tree grows by them.
const BATCH: usize = 8192;
const STEP: i64 = 8192;

const ORIGIN: &str = "origin";

/// How a checkpoint is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The key that signs; its name is the ledger's origin.
    pub key: &'a Signing,
    /// The key that signed the last checkpoint, where another one takes over: both sign.
    pub previous: Option<&'a Signing>,
    /// None is made where the last one is younger.
    pub interval: Duration,
}

impl<'a> Publish<'a> {
    /// With this key, as often as asked for.
    pub fn by(key: &'a Signing) -> Self {
        Self { key, previous: None, interval: Duration::ZERO }
    }
}

/// A checkpoint that is on disk.
#[derive(Clone, Debug)]
pub struct Published {
    /// It.
    pub checkpoint: SignedCheckpoint,
    /// How many events it has that the one before had not; `None` where it is the last one again.
    pub new_events: Option<u64>,
}

impl Ledger {
    /// The name of this ledger's log, where it has one yet.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn origin(&self) -> Result<Option<KeyName>> {
        let mut store = self.lock();
        let transaction = store.read()?;
        origin(transaction.as_ref())
    }

    /// Gives the log its name, for good.
    ///
    /// # Errors
    /// [`Error::OriginBound`] where it has another; [`Error::SecretName`], as a name is published with each checkpoint.
    pub fn bind_origin(&self, name: &KeyName) -> Result<()> {
        let gate = self.gate()?;
        self.transact(|store| bind(store, &gate, name))
    }

    /// Makes a checkpoint over everything that was committed before, whatever wrote it; gives the last one again where
    /// nothing is new, or too little time has passed.
    ///
    /// # Errors
    /// [`Error::LogBroken`] where an event or the log is not as it was written, [`Error::WrongKey`]; nothing is signed.
    pub fn checkpoint(&self, how: &Publish<'_>) -> Result<Published> {
        let (now, gate) = (self.now(), self.gate()?);
        let mut store = self.lock();
        // Only a file can be read beside the write transaction, and only another core helps.
        let threads = pool::cores();
        let mut beside = if threads > 1 && store.path().is_some() { Some(store.reopen()?) } else { None };
        let mut transaction = store.write()?;
        // The transaction keeps other writers out, so that these see what it sees.
        let readers = beside.as_mut().map(|store| Pool::of(store.as_mut(), threads)).transpose()?;
        let published = publish(transaction.as_mut(), readers, &gate, how, now)?;
        transaction.commit()?;
        Ok(published)
    }

    /// The last checkpoint that was made, as it lies there: nothing of it has been checked.
    ///
    /// # Errors
    /// Where the store cannot be read, or what lies there is no checkpoint.
    pub fn last_checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        let mut store = self.lock();
        let transaction = store.read()?;
        let last = transaction.last_checkpoint()?;
        Ok(last.map(|last| SignedCheckpoint::parse(last.note.as_bytes())).transpose()?)
    }

    /// Proves that an event is in the last checkpoint.
    ///
    /// # Errors
    /// [`Error::NotLogged`] for one that came later; [`Error::LogBroken`] where the log leads elsewhere.
    pub fn prove_event(&self, event: &EventRef) -> Result<InclusionProof> {
        let mut store = self.lock();
        let transaction = store.read()?;
        prove_event(transaction.as_ref(), event)
    }

    /// Proves that a run's newest event that a checkpoint covers is in it: the chain binds those before it. Gives the
    /// event too.
    ///
    /// # Errors
    /// As [`Self::prove_event`]; [`Error::RunNotFound`].
    pub fn prove_run(&self, run: &str) -> Result<(EventRef, InclusionProof)> {
        let mut store = self.lock();
        let transaction = store.read()?;
        prove_run(transaction.as_ref(), &RunId::new(run))
    }

    /// Proves that the last checkpoint only adds to an older one.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] where it does not; [`Error::NotLogged`] where there is none.
    pub fn prove_from(&self, old: &Checkpoint) -> Result<ConsistencyProof> {
        let mut store = self.lock();
        let transaction = store.read()?;
        let store = transaction.as_ref();
        let checkpoint = last(store)?;
        let head = checkpoint.checkpoint().head;
        let foreign = |problem: &str| Error::ForeignCheckpoint { problem: problem.to_owned() };
        if checkpoint.checkpoint().origin != old.origin {
            return Err(foreign("it has another origin"));
        }
        let path = merkle::prove_consistency(old.head.size, head.size, |at| node(store, at))?.unwrap_or_default();
        head.check_consistency(&old.head, &path).map_err(|problem| foreign(&problem.to_string()))?;
        Ok(ConsistencyProof { old: old.head.size, path, checkpoint })
    }
}

fn broken(problem: impl Into<String>) -> Error {
    Error::LogBroken { problem: problem.into() }
}

fn wrong_key(problem: impl Into<String>) -> Error {
    Error::WrongKey { problem: problem.into() }
}

pub(crate) fn origin(store: &dyn ReadTransaction) -> Result<Option<KeyName>> {
    Ok(store.log_meta(ORIGIN)?.map(|name| name.parse()).transpose()?)
}

fn bind(store: &mut dyn WriteTransaction, gate: &Gate, name: &KeyName) -> Result<()> {
    match origin(store)? {
        None => {
            let name = gate.name("the log's name", name.as_str())?;
            store.bind_log_meta(ORIGIN, &name)
        }
        Some(bound) if bound == *name => Ok(()),
        Some(bound) => Err(Error::OriginBound { origin: bound.to_string() }),
    }
}

fn last(store: &dyn ReadTransaction) -> Result<SignedCheckpoint> {
    let last = store.last_checkpoint()?.ok_or_else(|| Error::NotLogged { what: "this ledger".to_owned() })?;
    Ok(SignedCheckpoint::parse(last.note.as_bytes())?)
}

/// Proves the newest event of a run that a checkpoint covers.
pub(crate) fn prove_run(store: &dyn ReadTransaction, run_id: &RunId) -> Result<(EventRef, InclusionProof)> {
    let mut last = None;
    store.head(run_id, &mut |row| last = row.seq.integer().and_then(Seq::new))?;
    let last = last.ok_or_else(|| Error::RunNotFound { run: run_id.to_string() })?;
    // A run's events came into the log in their order: those that are in it come before those that are not.
    let (mut logged, mut left) = (None, 0..last.get());
    while !left.is_empty() {
        let middle = left.start + (left.end - left.start) / 2;
        let seq = Seq::new(middle + 1);
        match seq.map(|seq| store.leaf_of(run_id, seq)).transpose()?.flatten() {
            Some(_) => (logged, left.start) = (seq, middle + 1),
            None => left.end = middle,
        }
    }
    let none = || Error::NotLogged { what: format!("any event of run {:?}", run_id.as_str()) };
    let event = EventRef { run_id: run_id.clone(), seq: logged.ok_or_else(none)? };
    let proof = prove_event(store, &event)?;
    Ok((event, proof))
}

/// A node of the tree, from the row that has it or the nodes below it.
pub(crate) fn node(store: &dyn ReadTransaction, at: Subtree) -> Result<NodeHash> {
    let below = at.level % HEIGHT;
    let first = at.index << below;
    let missing = || broken(format!("its tree has no node {} of level {}", at.index, at.level));
    let row = store.log_tile(at.level / HEIGHT, first / WIDTH)?.ok_or_else(missing)?;
    let from = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
    let nodes = row.chunks_exact(32).skip(from).take(1 << below).filter_map(|hash| hash.try_into().ok());
    let nodes: Vec<NodeHash> = nodes.map(NodeHash::from_bytes).collect();
    if nodes.len() == 1 << below { Ok(merkle::join(&nodes)) } else { Err(missing()) }
}

fn prove_event(store: &dyn ReadTransaction, event: &EventRef) -> Result<InclusionProof> {
    let not_logged = || Error::NotLogged { what: event.to_string() };
    let mut hash = None;
    store.event(&event.run_id, event.seq, &mut |row| {
        let mut scratch = Scratch::default();
        hash = Some(sound_event(&event.run_id, row, &mut scratch).map(|envelope| envelope.hash));
    })?;
    let hash = hash.unwrap_or_else(|| Err(Error::RunNotFound { run: event.run_id.to_string() }))?;
    let checkpoint = last(store)?;
    let head = checkpoint.checkpoint().head;
    let index = store.leaf_of(&event.run_id, event.seq)?.ok_or_else(not_logged)?;
    let path = merkle::prove_inclusion(index, head.size, |at| node(store, at))?.ok_or_else(not_logged)?;
    head.check_inclusion(&hash, index, &path).map_err(|problem| broken(format!("{event}: {problem}")))?;
    Ok(InclusionProof { extra: Some(event.to_string().into_bytes()), index, path, checkpoint })
}

fn publish(
    store: &mut dyn WriteTransaction,
    readers: Option<Pool>,
    gate: &Gate,
    how: &Publish<'_>,
    now: Timestamp,
) -> Result<Published> {
    if how.key.verifier().kind() != KeyKind::Note {
        return Err(wrong_key("it is a witness's key"));
    }
    if origin(store)?.is_some_and(|origin| origin != *how.key.verifier().name()) {
        return Err(wrong_key("its name is not the ledger's origin"));
    }
    bind(store, gate, how.key.verifier().name())?;
    let before = Before::read(store)?;
    let keys = before.keys(how)?;
    if let Some((checkpoint, made)) = &before.checkpoint {
        let age = now.as_micros().saturating_sub(made.as_micros());
        let young = age >= 0 && Duration::from_micros(age.unsigned_abs()) < how.interval;
        if keys.len() == 1 && young {
            return Ok(Published { checkpoint: checkpoint.clone(), new_events: None });
        }
    }
    let grown = Growth::new(store, &before)?.run(store, readers, before.last_event_id)?;
    let (old, head) = (before.frontier.head(), grown.frontier.head());
    if let (Some((checkpoint, _)), true) = (&before.checkpoint, head == old && keys.len() == 1) {
        return Ok(Published { checkpoint: checkpoint.clone(), new_events: None });
    }
    recompute(store, before.frontier.clone(), head)?;
    if let Some(event) = &grown.last {
        prove_back(store, event, head)?;
    }
    let checkpoint = Checkpoint::new(how.key.verifier().name().clone(), head).sign(&keys)?;
    let stored = StoredCheckpoint {
        size: head.size,
        last_event_id: grown.last_event_id,
        vkey: how.key.verifier().to_string(),
        note: checkpoint.to_string(),
        created_at: String::new(),
    };
    store.put_checkpoint(&stored, now)?;
    Ok(Published { checkpoint, new_events: Some(head.size - old.size) })
}

/// The log as the last checkpoint left it.
struct Before {
    checkpoint: Option<(SignedCheckpoint, Timestamp)>,
    key: Option<VerifierKey>,
    last_event_id: i64,
    frontier: Frontier,
}

impl Before {
    /// Reads it, and checks that the stored tree still leads to the root that was signed.
    fn read(store: &dyn ReadTransaction) -> Result<Self> {
        let Some(last) = store.last_checkpoint()? else {
            return Ok(Self { checkpoint: None, key: None, last_event_id: 0, frontier: Frontier::default() });
        };
        let checkpoint = SignedCheckpoint::parse(last.note.as_bytes())?;
        let key: VerifierKey = last.vkey.parse()?;
        if !matches!(checkpoint.note().standing(&key), Standing::Good { .. }) {
            return Err(broken("the signature of the last checkpoint does not hold"));
        }
        let frontier = Frontier::load(last.size, |at| node(store, at))?;
        if frontier.head() != checkpoint.checkpoint().head {
            return Err(broken("its tree does not lead to the root of the last checkpoint"));
        }
        let made = Timestamp::parse(&last.created_at).unwrap_or(Timestamp::from_micros(0));
        let last_event_id = last.last_event_id;
        Ok(Self { checkpoint: Some((checkpoint, made)), key: Some(key), last_event_id, frontier })
    }

    /// The keys that must sign next.
    fn keys<'a>(&self, how: &Publish<'a>) -> Result<Vec<&'a Signing>> {
        match (&self.key, how.previous) {
            (Some(key), Some(previous)) if key == previous.verifier() && key != how.key.verifier() => {
                Ok(vec![how.key, previous])
            }
            (Some(key), _) if key != how.key.verifier() => {
                Err(wrong_key(format!("the last checkpoint was signed with {key}")))
            }
            _ => Ok(vec![how.key]),
        }
    }
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
struct Growth {
    frontier: Frontier,
    /// Of each level the row that is not full yet.
    rows: Vec<Vec<u8>>,
    segment: Option<Segment>,
    /// How many events the log has of each run that has new ones.
    covered: HashMap<RunId, u64>,
    /// The newest event, where there is a new one.
    last: Option<EventRef>,
    last_event_id: i64,
}

impl Growth {
    fn new(store: &dyn ReadTransaction, before: &Before) -> Result<Self> {
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

    /// Takes in every event after this row. If there are many, `readers` read them ahead, a stretch of rows each in turn;
    /// this thread grows the tree.
    fn run(mut self, store: &mut dyn WriteTransaction, readers: Option<Pool>, after: i64) -> Result<Self> {
        let last = i64::try_from(store.size()?.events).unwrap_or(i64::MAX).max(after);
        match (stretches(after, last), readers) {
            (Some(stretches), Some(mut readers)) if stretches.len() >= 2 * pool::cores() => {
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
            let batch = read_stretch(store, &(self.last_event_id, i64::MAX))?;
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

/// How many rows are read back before they are hashed, each by one thread.
const ROWS: u64 = 512;

/// Reads what was written, and computes the root anew from the one that was signed before.
fn recompute(store: &dyn ReadTransaction, mut frontier: Frontier, head: TreeHead) -> Result<()> {
    let old = frontier.head();
    while frontier.head_size() < head.size {
        let first = frontier.head_size();
        let whole = (head.size - first) / WIDTH;
        let pushed = if first.is_multiple_of(WIDTH) && whole > 0 {
            let rows = (first / WIDTH..).take(usize::try_from(whole.min(ROWS)).unwrap_or(1));
            let rows = rows.map(|row| leaves(store, row, 0, WIDTH)).collect::<Result<Vec<_>>>()?;
            join_all(&rows).into_iter().all(|root| frontier.push_subtree(HEIGHT, root, |_, _| {}))
        } else {
            let until = (head.size - first + first % WIDTH).min(WIDTH);
            let rest = leaves(store, first / WIDTH, first % WIDTH, until)?;
            rest.into_iter().all(|leaf| frontier.push_leaf(leaf, |_, _| {}))
        };
        if !pushed || frontier.head_size() == first {
            return Err(broken("the log is full"));
        }
    }
    let path = merkle::prove_consistency(old.size, head.size, |at| node(store, at))?.unwrap_or_default();
    let consistent = head.check_consistency(&old, &path);
    if frontier.head() != head || consistent.is_err() {
        return Err(broken("what was written does not lead to the root that was computed"));
    }
    Ok(())
}

/// Leaves of a row, as they were written.
fn leaves(store: &dyn ReadTransaction, row: u64, from: u64, until: u64) -> Result<Vec<NodeHash>> {
    let bytes = store.log_tile(0, row)?.ok_or_else(|| broken("a row that was written is not there"))?;
    let [skip, until] = [from, until].map(|place| usize::try_from(place).unwrap_or(usize::MAX));
    let hashes = bytes.chunks_exact(32).take(until).skip(skip).filter_map(|hash| hash.try_into().ok());
    let found: Vec<NodeHash> = hashes.map(NodeHash::from_bytes).collect();
    if found.len() == until.saturating_sub(skip) {
        Ok(found)
    } else {
        Err(broken("a leaf that was written is not there"))
    }
}

/// The root of each row, worked out on every core where there are many.
fn join_all(rows: &[Vec<NodeHash>]) -> Vec<NodeHash> {
    let share = rows.len().div_ceil(pool::cores());
    let join = |rows: &[Vec<NodeHash>]| rows.iter().map(|row| merkle::join(row)).collect::<Vec<_>>();
    if share < 16 {
        return join(rows);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = rows.chunks(share).map(|part| scope.spawn(move || join(part))).collect();
        // A part that is missing makes the root another one, which is found.
        parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
    })
}

/// Reads the newest event once more, and proves it along the stored path.
fn prove_back(store: &dyn ReadTransaction, newest: &EventRef, head: TreeHead) -> Result<()> {
    let mut hash = None;
    store.event(&newest.run_id, newest.seq, &mut |row| {
        let mut scratch = Scratch::default();
        hash = sound_event(&newest.run_id, row, &mut scratch).ok().map(|envelope| envelope.hash);
    })?;
    let index = store.leaf_of(&newest.run_id, newest.seq)?;
    let (Some(hash), Some(index)) = (hash, index) else { return Err(broken("the newest event is not in it")) };
    let path = merkle::prove_inclusion(index, head.size, |at| node(store, at))?.unwrap_or_default();
    head.check_inclusion(&hash, index, &path).map_err(|problem| broken(problem.to_string()))
}
