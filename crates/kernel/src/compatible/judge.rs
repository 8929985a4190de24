//! Judging a run of the compatible store by one invariant at a time, without reading it anew for each.

use super::CompatibleStore;
use crate::error::Result;
use crate::halves::Halves;
use crate::read::snapshot::{read_whole, snapshot_of};
use crate::store::sqlite;
use receipt_core::id::RunId;
use receipt_core::invariant::{self, Invariant};
use receipt_core::json::Object;
use receipt_core::run::Snapshot;
use receipt_core::verdict::InvariantResult;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

/// A snapshot, and what would be different if anything had been written since it was taken.
#[derive(Debug)]
pub(super) struct Cache {
    mark: Mark,
    snapshot: Snapshot,
}

/// Changes with every write: SQLite's `data_version` with those of other connections, `total_changes` with those of this
/// one, `schema_version` with tables that come and go, and the files themselves with those that went past SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    run_id: RunId,
    data_version: i64,
    schema_version: i64,
    total_changes: u64,
    files: [Option<(u64, SystemTime)>; 2],
}

/// Every evidence key that a built-in invariant reads.
fn reads() -> &'static [&'static str] {
    static READS: OnceLock<Vec<&'static str>> = OnceLock::new();
    READS.get_or_init(|| {
        let all = invariant::IDS.iter().filter_map(|id| invariant::from_params(id, &Object::new()).ok());
        let mut keys: Vec<_> = all.flat_map(|invariant| invariant.reads().iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    })
}

impl CompatibleStore {
    /// Judges a run as it is now by one invariant. A run that cannot be read is UNKNOWN.
    pub fn evaluate(&mut self, run_id: &RunId, invariant: &dyn Invariant) -> InvariantResult {
        match self.judged(run_id, invariant) {
            Ok(result) => result,
            Err(error) => invariant::evaluate(invariant, &Snapshot::unreadable(run_id.clone(), error.to_string())),
        }
    }

    fn judged(&mut self, run_id: &RunId, invariant: &dyn Invariant) -> Result<InvariantResult> {
        // What a transaction has written may be rolled back, and nothing would show it.
        let mark = if self.connection.is_autocommit() { Some(self.mark(run_id)?) } else { None };
        if self.cache.as_ref().is_some_and(|cache| Some(&cache.mark) != mark.as_ref()) {
            self.cache = None;
        }
        if let Some(cache) = &self.cache {
            return Ok(invariant::evaluate(invariant, &cache.snapshot));
        }
        let snapshot = self.snapshot(run_id, reads())?;
        let result = invariant::evaluate(invariant, &snapshot);
        // Taken before the snapshot: a write in between makes it stale at once.
        self.cache = mark.map(|mark| Cache { mark, snapshot });
        Ok(result)
    }

    /// A run as it is now, with what is known of its evidence.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn snapshot(&self, run_id: &RunId, reads: &[&str]) -> Result<Snapshot> {
        let halves = Halves::open(&self.connection, &self.path, run_id)?;
        let store = sqlite::look(&self.connection)?;
        let builder = match halves.map(|halves| halves.read(&store)).transpose()?.flatten() {
            Some(builder) => builder,
            None => read_whole(&store, run_id)?,
        };
        snapshot_of(&store, run_id, builder, reads)
    }

    fn mark(&self, run_id: &RunId) -> Result<Mark> {
        let number =
            |sql| -> rusqlite::Result<i64> { self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0)) };
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Mark {
            run_id: run_id.clone(),
            data_version: number("PRAGMA data_version")?,
            schema_version: number("PRAGMA schema_version")?,
            total_changes: self.connection.total_changes(),
            files: [file_mark(&self.path), file_mark(Path::new(&log))],
        })
    }
}

fn file_mark(path: &Path) -> Option<(u64, SystemTime)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}
