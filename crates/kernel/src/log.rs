//! The log over all runs: extended and signed as a checkpoint, and proved from.
//!
//! A checkpoint is made in one write transaction: every event that came since the last one is read back and hashed, the
//! tree grows by it, and what was written is read again and recomputed from the last root, before anything is signed.
//! The checkpoint is durable before the caller sees it. Cost grows with the new events; a proof reads O(log n) rows.

use crate::error::{Error, Result};
use crate::ledger::{Ledger, sound_event};
use crate::store::{ReadTransaction, Segment, StoredCheckpoint, Visit, WriteTransaction};
use receipt_core::canonical::Scratch;
use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::id::{EventHash, EventRef, NodeHash, RunId, Seq, Timestamp};
use receipt_core::merkle::{self, Frontier, Subtree, TreeHead};
use receipt_core::note::{KeyKind, KeyName, Signing, Standing, VerifierKey};
use std::time::Duration;

/// How many hashes a row of the tree holds, and how many levels it spans: 2^8.
const WIDTH: u64 = 256;
const HEIGHT: u8 = 8;

/// How many events are read before the tree is written.
const BATCH: usize = 8192;

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
    /// [`Error::OriginBound`] where it has another.
    pub fn bind_origin(&self, name: &KeyName) -> Result<()> {
        self.transact(|store| bind(store, name))
    }

    /// Makes a checkpoint over everything that was committed before, whatever wrote it; gives the last one again where
    /// nothing is new, or too little time has passed.
    ///
    /// # Errors
    /// [`Error::LogBroken`] where an event or the log is not as it was written, [`Error::WrongKey`]; nothing is signed.
    pub fn checkpoint(&self, how: &Publish<'_>) -> Result<Published> {
        let now = self.now();
        self.transact(|store| publish(store, how, now))
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

fn bind(store: &mut dyn WriteTransaction, name: &KeyName) -> Result<()> {
    match origin(store)? {
        None => store.bind_log_meta(ORIGIN, name.as_str()),
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
    let mut seq = last.ok_or_else(|| Error::RunNotFound { run: run_id.to_string() })?;
    while store.leaf_of(run_id, seq)?.is_none() {
        let before = Seq::new(seq.get() - 1);
        let none = || Error::NotLogged { what: format!("any event of run {:?}", run_id.as_str()) };
        seq = before.ok_or_else(none)?;
    }
    let event = EventRef { run_id: run_id.clone(), seq };
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

fn publish(store: &mut dyn WriteTransaction, how: &Publish<'_>, now: Timestamp) -> Result<Published> {
    if how.key.verifier().kind() != KeyKind::Note {
        return Err(wrong_key("it is a witness's key"));
    }
    if origin(store)?.is_some_and(|origin| origin != *how.key.verifier().name()) {
        return Err(wrong_key("its name is not the ledger's origin"));
    }
    bind(store, how.key.verifier().name())?;
    let before = Before::read(store)?;
    let keys = before.keys(how)?;
    if let Some((checkpoint, made)) = &before.checkpoint {
        let age = now.as_micros().saturating_sub(made.as_micros());
        let young = age >= 0 && Duration::from_micros(age.unsigned_abs()) < how.interval;
        if keys.len() == 1 && young {
            return Ok(Published { checkpoint: checkpoint.clone(), new_events: None });
        }
    }
    let grown = Growth::new(store, &before)?.run(store, before.last_event_id)?;
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

/// An event on its way into the log.
struct Leaf {
    event: EventRef,
    hash: EventHash,
}

/// The tree while it grows. Rows are written when they are full, and once at the end.
struct Growth {
    frontier: Frontier,
    /// Of each level the row that is not full yet.
    rows: Vec<Vec<u8>>,
    segment: Option<Segment>,
    last: Option<Leaf>,
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
        Ok(Self { frontier: before.frontier.clone(), rows, segment, last: None, last_event_id })
    }

    /// Takes in every event behind this row.
    fn run(mut self, store: &mut dyn WriteTransaction, mut after: i64) -> Result<Self> {
        loop {
            let (batch, last_id) = read_batch(store, after)?;
            after = last_id;
            let is_last = batch.len() < BATCH;
            for leaf in batch {
                self.add(store, leaf)?;
            }
            if is_last {
                break;
            }
        }
        self.last_event_id = after;
        let mut count = self.frontier.head().size;
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

    fn add(&mut self, store: &mut dyn WriteTransaction, leaf: Leaf) -> Result<()> {
        let index = self.frontier.head_size();
        match &mut self.segment {
            Some(segment) if follows(segment, &leaf.event) => segment.count += 1,
            segment => {
                if let Some(done) = segment.take() {
                    store.put_segment(&done)?;
                }
                let EventRef { run_id, seq } = leaf.event.clone();
                *segment = Some(Segment { first_leaf: index, run_id, first_seq: seq, count: 1 });
            }
        }
        let mut failed = Ok(());
        let rows = &mut self.rows;
        let pushed = self.frontier.push(&leaf.hash, |at, hash| {
            if at.level.is_multiple_of(HEIGHT) && failed.is_ok() {
                failed = put(store, rows, at, hash);
            }
        });
        self.last = Some(leaf);
        if pushed { failed } else { Err(broken("the log is full")) }
    }
}

fn follows(segment: &Segment, event: &EventRef) -> bool {
    let next = i64::try_from(segment.count).ok().and_then(|count| segment.first_seq.get().checked_add(count));
    segment.run_id == event.run_id && next == Some(event.seq.get())
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

/// The next events, each read back and hashed, and the row of the last.
fn read_batch(store: &dyn ReadTransaction, after: i64) -> Result<(Vec<Leaf>, i64)> {
    let mut batch: Vec<Leaf> = Vec::new();
    let mut failed = None;
    let mut last_id = after;
    let mut scratch = Scratch::default();
    store.events_after(after, &mut |id, run, row| {
        let run_id = match (run.as_str(), batch.last()) {
            (Some(run), Some(last)) if last.event.run_id.as_str() == run => last.event.run_id.clone(),
            (Some(run), _) => RunId::new(run),
            (None, _) => {
                failed = Some(broken("an event has a run id that is no text"));
                return Visit::Break(());
            }
        };
        match sound_event(&run_id, row, &mut scratch) {
            Ok(envelope) => {
                let event = EventRef { run_id, seq: envelope.seq };
                batch.push(Leaf { event, hash: envelope.hash });
                last_id = id;
            }
            Err(error) => failed = Some(broken(error.to_string())),
        }
        if failed.is_none() && batch.len() < BATCH { Visit::Continue(()) } else { Visit::Break(()) }
    })?;
    failed.map_or(Ok((batch, last_id)), Err)
}

/// Reads what was written, and computes the root anew from the one that was signed before.
fn recompute(store: &dyn ReadTransaction, mut frontier: Frontier, head: TreeHead) -> Result<()> {
    let old = frontier.head();
    let mut row = Vec::new();
    for index in old.size..head.size {
        if row.is_empty() || index.is_multiple_of(WIDTH) {
            row = store.log_tile(0, index / WIDTH)?.ok_or_else(|| broken("a row that was written is not there"))?;
        }
        let from = usize::try_from(index % WIDTH).unwrap_or(0) * 32;
        let leaf = row.get(from..from + 32).and_then(|hash| hash.try_into().ok()).map(NodeHash::from_bytes);
        let leaf = leaf.ok_or_else(|| broken("a leaf that was written is not there"))?;
        if !frontier.push_leaf(leaf, |_, _| {}) {
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

/// Reads the newest event once more, and proves it along the stored path.
fn prove_back(store: &dyn ReadTransaction, leaf: &Leaf, head: TreeHead) -> Result<()> {
    let mut hash = None;
    store.event(&leaf.event.run_id, leaf.event.seq, &mut |row| {
        let mut scratch = Scratch::default();
        hash = sound_event(&leaf.event.run_id, row, &mut scratch).ok().map(|envelope| envelope.hash);
    })?;
    let index = store.leaf_of(&leaf.event.run_id, leaf.event.seq)?;
    let (Some(hash), Some(index)) = (hash, index) else { return Err(broken("the newest event is not in it")) };
    let path = merkle::prove_inclusion(index, head.size, |at| node(store, at))?.unwrap_or_default();
    head.check_inclusion(&hash, index, &path).map_err(|problem| broken(problem.to_string()))
}
