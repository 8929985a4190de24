//! A run read whole: its facts, its events, and what is known of the blobs that they speak of.

use crate::error::{Error, Result};
use crate::read::receipts::OfRun;
use crate::store::rows::Batch;
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobHash, RunId, Seq};
use receipt_core::payload::EvidencePut;
use receipt_core::run::{Cell, RunFacts, RunReader, Snapshot, SnapshotBuilder};
use std::collections::BTreeSet;
use std::sync::mpsc::sync_channel;
use std::thread;

pub(crate) fn has_row(store: &dyn ReadTransaction, run_id: &RunId) -> Result<bool> {
    let mut found = false;
    store.run(run_id, &mut |_| found = true)?;
    Ok(found)
}

/// A run read whole and checked, without keeping its events.
pub(crate) fn read_facts(store: &dyn ReadTransaction, run_id: &RunId) -> Result<RunFacts> {
    let mut reader = RunReader::new(run_id.clone());
    store.events(run_id, &mut |row| {
        reader.read(row);
        Visit::Continue(())
    })?;
    finish(store, run_id, |row| reader.finish(row))
}

/// The reader of the part of a run behind an event, or of the run from its beginning. `None` where something is wrong with
/// what that part stands on.
pub(crate) fn reader_behind(store: &dyn ReadTransaction, run: &RunId, after: Option<Seq>) -> Result<Option<RunReader>> {
    let Some(after) = after else { return Ok(Some(RunReader::new(run.clone()))) };
    let (mut first, mut reader) = (Some(RunReader::new(run.clone())), None);
    store.event(run, Seq::FIRST, &mut |row| {
        first.as_mut().map(|first| first.read(row).is_some());
    })?;
    store.event(run, after, &mut |row| reader = first.take().and_then(|first| first.behind(row)))?;
    Ok(reader)
}

/// Ends the reading of a run with its row, which is only borrowed while the store shows it.
pub(crate) fn finish<T>(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    finish: impl FnOnce(Option<&receipt_core::run::RunRow<'_>>) -> T,
) -> Result<T> {
    let mut finish = Some(finish);
    let mut done = None;
    store.run(run_id, &mut |row| done = finish.take().map(|finish| finish(Some(row))))?;
    match (done, finish) {
        (Some(done), _) => Ok(done),
        (None, Some(finish)) => Ok(finish(None)),
        (None, None) => Err(Error::internal("a run's row was shown and not read")),
    }
}

/// A run with its events, and what is known of the blobs that they speak of.
pub(crate) fn take_snapshot(store: &dyn ReadTransaction, run_id: &RunId, reads: &[&str]) -> Result<Snapshot> {
    snapshot_of(store, run_id, read_whole(store, run_id)?, reads)
}

/// A run with its events.
pub(crate) fn read_whole(store: &dyn ReadTransaction, run_id: &RunId) -> Result<SnapshotBuilder> {
    read_events(store, run_id, SnapshotBuilder::new(run_id.clone()))
}

/// A run of these events, and what is known of the blobs that they speak of.
pub(crate) fn snapshot_of(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    builder: SnapshotBuilder,
    reads: &[&str],
) -> Result<Snapshot> {
    let mut snapshot = finish(store, run_id, |row| builder.finish(row))?;
    let puts = snapshot.of_type(EventType::EvidencePut).map(|event| EvidencePut::parse(event.payload.json()));
    let puts = puts.filter(|put| put.by_digest);
    let by_digest: BTreeSet<BlobHash> = puts.filter_map(|put| put.hash.ok()).collect();
    let mut removed = OfRun::new(store, run_id);
    loop {
        let wanted = snapshot.wanted(reads);
        if wanted.is_empty() {
            return Ok(snapshot);
        }
        for blob in wanted {
            let mut fact = store::blob_fact(store, &blob.hash, blob.bytes);
            if fact == BlobFact::Missing && by_digest.contains(&blob.hash) {
                fact = BlobFact::Elsewhere;
            }
            let texts = snapshot.events().iter().map(|event| &*event.text);
            if fact == BlobFact::Removed && removed.is_receipted(&blob.hash, texts)? {
                fact = BlobFact::Expired;
            }
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

/// The text of a cell for a person, cut to a line.
pub(crate) fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(bytes) | Cell::Blob(bytes) => String::from_utf8_lossy(bytes).chars().take(120).collect(),
    }
}
