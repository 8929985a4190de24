//! A run read whole: its facts, its events, and what is known of the blobs that they speak of.

use super::evidence::of_run::OfRun;
use super::run::finish;
use crate::error::{Error, Result};
use crate::store::rows::Batch;
use crate::store::{ReadTransaction, Visit};
use receipt_core::id::RunId;
use receipt_core::run::{Snapshot, SnapshotBuilder, Strictness};
use std::sync::mpsc::sync_channel;
use std::thread;

/// A run with its events, and what is known of the blobs that they speak of.
pub(crate) fn take_snapshot(store: &dyn ReadTransaction, run_id: &RunId, reads: &[&str]) -> Result<Snapshot> {
    take_snapshot_judging(store, run_id, reads, Strictness::Native)
}

/// The same, to be judged by these rules.
pub(crate) fn take_snapshot_judging(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    reads: &[&str],
    strictness: Strictness,
) -> Result<Snapshot> {
    let builder = SnapshotBuilder::judging(run_id.clone(), strictness);
    snapshot_of(store, run_id, read_events(store, run_id, builder)?, reads)
}

/// A run of these events, and what is known of the blobs that they speak of.
fn snapshot_of(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    builder: SnapshotBuilder,
    reads: &[&str],
) -> Result<Snapshot> {
    let mut snapshot = finish(store, run_id, |row| builder.finish(row))?;
    let mut evidence = OfRun::new(store, run_id);
    loop {
        let wanted = snapshot.wanted(reads);
        if wanted.is_empty() {
            return Ok(snapshot);
        }
        for blob in wanted {
            let texts = snapshot.events().map(|event| &*event.text);
            let fact = evidence.fact(&blob.hash, blob.bytes, texts);
            snapshot.supply(blob.hash, fact);
        }
    }
}

/// Shows a builder every row of a run. Those of a long run are looked at on another core while the store reads on.
fn read_events(store: &dyn ReadTransaction, run_id: &RunId, builder: SnapshotBuilder) -> Result<SnapshotBuilder> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Batch>(4);
        let look = move |mut builder: SnapshotBuilder| {
            for batch in &receiver {
                batch.each(|row| builder.event(row));
            }
            builder
        };
        let (mut idle, mut looking) = (Some((builder, look)), None);
        let mut batch = Batch::default();
        store.events(run_id, &mut |row| {
            batch.push(row);
            if batch.is_full() {
                if let Some((builder, look)) = idle.take() {
                    looking = Some(scope.spawn(move || look(builder)));
                }
                // It ends before the rows do only where it has panicked, which joining it tells.
                let _ = sender.send(std::mem::take(&mut batch));
            }
            Visit::Continue(())
        })?;
        if let Some(looking) = looking {
            let _ = sender.send(batch);
            drop(sender);
            return looking.join().map_err(|_| Error::internal("a thread that read a run's events has failed"));
        }
        let (mut builder, _) = idle.ok_or_else(|| Error::internal("a run's events were given to no thread"))?;
        batch.each(|row| builder.event(row));
        Ok(builder)
    })
}
