//! A checkpoint: the log grown by what is new, read back, recomputed, and only then signed.

use super::before::Before;
use super::grow::{Growth, New};
use super::{HEIGHT, ORIGIN, WIDTH, broken, node, origin, wrong_key};
use crate::cores::cores;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::head::sound_event;
use crate::read::pool::Pool;
use crate::store::{ReadTransaction, Scope, StoredCheckpoint, WriteTransaction};
use crate::write::Gate;
use receipt_core::checkpoint::{Checkpoint, SignedCheckpoint};
use receipt_core::envelope::Scratch;
use receipt_core::id::{EventRef, NodeHash, Timestamp};
use receipt_core::merkle::{self, Frontier, TreeHead};
use receipt_core::note::{KeyKind, KeyName, Signing};
use std::thread;
use std::time::Duration;

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

/// A checkpoint that is on disk.
#[derive(Clone, Debug)]
pub struct Published {
    /// The signed checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// How many events it has that the one before had not; `None` where it is the last one again.
    pub new_events: Option<u64>,
}

impl<'a> Publish<'a> {
    /// With this key, as often as asked for.
    pub fn by(key: &'a Signing) -> Self {
        Self { key, previous: None, interval: Duration::ZERO }
    }
}

impl Ledger {
    /// The name of this ledger's log, where it has one yet.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn origin(&self) -> Result<Option<KeyName>> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        origin(transaction.as_ref())
    }

    /// Gives the log its name, for good.
    ///
    /// # Errors
    /// [`Error::OriginBound`] where it has another; [`Error::SecretName`], as a name is published with each checkpoint.
    pub fn bind_origin(&self, name: &KeyName) -> Result<()> {
        let gate = self.gate()?;
        self.transact_anew(Scope::Log, |store| bind(store, &gate, name))
    }

    /// Makes a checkpoint over everything that was committed before, whatever wrote it; gives the last one again where
    /// nothing is new, or too little time has passed.
    ///
    /// # Errors
    /// [`Error::LogBroken`] where an event or the log is not as it was written, [`Error::WrongKey`]; nothing is signed.
    pub fn checkpoint(&self, how: &Publish<'_>) -> Result<Published> {
        let (now, gate) = (self.now(), self.gate()?);
        let store = self.store.as_ref();
        let mut transaction = store.begin(Scope::Log)?;
        // After this point nothing arrives up to the fence, so that the transaction and these see the same events there.
        let fence = store.settled()?;
        let threads = cores();
        let readers = if threads > 1 { Some(Pool::of(store, threads)?) } else { None };
        let published = publish(transaction.as_mut(), New { readers, fence }, &gate, how, now)?;
        transaction.commit()?;
        Ok(published)
    }

    /// The last checkpoint that was made, as it lies there: nothing of it has been checked.
    ///
    /// # Errors
    /// Where the store cannot be read, or what lies there is no checkpoint.
    pub fn last_checkpoint(&self) -> Result<Option<SignedCheckpoint>> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let last = transaction.last_checkpoint()?;
        Ok(last.map(|last| SignedCheckpoint::parse(last.note.as_bytes())).transpose()?)
    }
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

fn publish(
    store: &mut dyn WriteTransaction,
    new: New<'_>,
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
    let keys = before.keys(how.key, how.previous)?;
    if let Some((checkpoint, made)) = &before.checkpoint {
        let age = now.as_micros().saturating_sub(made.as_micros());
        let young = age >= 0 && Duration::from_micros(age.unsigned_abs()) < how.interval;
        if keys.len() == 1 && young {
            return Ok(Published { checkpoint: checkpoint.clone(), new_events: None });
        }
    }
    let grown = Growth::new(store, &before)?.run(store, new, before.last_event_id)?;
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
    let share = rows.len().div_ceil(cores());
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
