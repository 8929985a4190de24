//! A run read and checked, without keeping its events.

use crate::error::{Error, Result};
use crate::store::{ReadTransaction, Visit};
use receipt_core::id::{RunId, Seq};
use receipt_core::run::{Cell, RunFacts, RunReader};

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

/// The text of a cell for a person, cut to a line.
pub(crate) fn show(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(bytes) | Cell::Blob(bytes) => String::from_utf8_lossy(bytes).chars().take(120).collect(),
    }
}
