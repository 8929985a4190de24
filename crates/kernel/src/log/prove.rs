//! Proofs from the stored rows of the tree: O(log n) reads each.

use super::{broken, node};
use crate::error::{Error, Result};
use crate::evidence::redact::without_secrets;
use crate::ledger::Ledger;
use crate::read::head::sound_event;
use crate::store::ReadTransaction;
use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::envelope::Scratch;
use receipt_core::id::{EventRef, RunId, Seq};
use receipt_core::merkle::{self};

impl Ledger {
    /// Proves that an event is in the last checkpoint.
    ///
    /// # Errors
    /// [`Error::NotLogged`] for one that came later; [`Error::LogBroken`] where the log leads elsewhere.
    pub fn prove_event(&self, event: &EventRef) -> Result<InclusionProof> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        prove_event(transaction.as_ref(), event)
    }

    /// Proves that a run's newest event that a checkpoint covers is in it: the chain binds those before it. Gives the
    /// event too.
    ///
    /// # Errors
    /// As [`Self::prove_event`]; [`Error::RunNotFound`].
    pub fn prove_run(&self, run: &str) -> Result<(EventRef, InclusionProof)> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        prove_run(transaction.as_ref(), &RunId::new(run))
    }

    /// Proves that the last checkpoint only adds to an older one.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] where it does not; [`Error::NotLogged`] where there is none.
    pub fn prove_from(&self, old: &Checkpoint) -> Result<ConsistencyProof> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
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
fn last(store: &dyn ReadTransaction) -> Result<SignedCheckpoint> {
    let last = store.last_checkpoint()?.ok_or_else(|| Error::NotLogged { what: "this ledger".to_owned() })?;
    Ok(SignedCheckpoint::parse(last.note.as_bytes())?)
}

/// Proves the newest event of a run that a checkpoint covers.
pub(crate) fn prove_run(store: &dyn ReadTransaction, run_id: &RunId) -> Result<(EventRef, InclusionProof)> {
    let mut last = None;
    store.head(run_id, &mut |row| last = row.seq.integer().and_then(Seq::new))?;
    let last = last.ok_or_else(|| Error::no_run(run_id.as_str()))?;
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
    let none = || Error::NotLogged { what: without_secrets(&format!("any event of run {:?}", run_id.as_str())) };
    let event = EventRef { run_id: run_id.clone(), seq: logged.ok_or_else(none)? };
    let proof = prove_event(store, &event)?;
    Ok((event, proof))
}

fn prove_event(store: &dyn ReadTransaction, event: &EventRef) -> Result<InclusionProof> {
    let not_logged = || Error::NotLogged { what: without_secrets(&event.to_string()) };
    let mut hash = None;
    store.event(&event.run_id, event.seq, &mut |row| {
        let mut scratch = Scratch::default();
        hash = Some(sound_event(&event.run_id, row, &mut scratch).map(|envelope| envelope.hash));
    })?;
    let hash = hash.unwrap_or_else(|| Err(Error::no_run(event.run_id.as_str())))?;
    let checkpoint = last(store)?;
    let head = checkpoint.checkpoint().head;
    let index = store.leaf_of(&event.run_id, event.seq)?.ok_or_else(not_logged)?;
    let path = merkle::prove_inclusion(index, head.size, |at| node(store, at))?.ok_or_else(not_logged)?;
    head.check_inclusion(&hash, index, &path).map_err(|problem| broken(format!("{event}: {problem}")))?;
    Ok(InclusionProof { extra: Some(event.to_string().into_bytes()), index, path, checkpoint })
}
