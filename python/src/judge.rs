//! Invariants: of this kernel's stores in Rust, and of stores that somebody else wrote through what they show.

use crate::errors;
use crate::policy::{Policy, value_to_json};
use crate::rows::Rows;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use receipt_kernel::compatible;
use receipt_kernel::core::evidence::BlobFact;
use receipt_kernel::core::invariant::{self, Invariant};
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::core::run::{SnapshotBuilder, Strictness};
use receipt_kernel::{BlobHash, InvariantResult, Object, RunId, Snapshot};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The invariant of an id, with parameters as JSON.
pub(crate) fn of_params(id: &str, params: &[u8]) -> PyResult<Arc<dyn Invariant>> {
    let params = json::parse(params, Limits::READ).map_err(|error| errors::of_input(&error))?;
    let none = Object::new();
    let params = params.as_object().unwrap_or(&none);
    invariant::from_params(id, params).map_err(|error| errors::of_input(&error))
}

/// A result as JSON.
pub(crate) fn to_json(result: &InvariantResult) -> PyResult<Vec<u8>> {
    value_to_json(&result.to_value())
}

/// Raises where an invariant of this id does not take these parameters (JSON).
#[pyfunction]
pub(crate) fn check_invariant(id: &str, params: &[u8]) -> PyResult<()> {
    of_params(id, params).map(drop)
}

/// What judges the runs of one store, and remembers the run that it read last.
#[pyclass(frozen, module = "receipt_kernel._native")]
#[derive(Default)]
pub(crate) struct Judge {
    last: Mutex<Option<(Mark, Arc<Snapshot>)>>,
}

/// Changes with every write: SQLite's `data_version` with those of other connections, `total_changes` with those of this
/// one, `schema_version` with tables that come and go, and the files themselves with those that went past SQLite.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    run_id: String,
    numbers: [i64; 3],
    files: [Option<(u64, SystemTime)>; 2],
}

impl Mark {
    /// `None` inside a transaction: what it has written may be rolled back, and nothing would show it.
    fn of(connection: &Bound<'_, PyAny>, path: &Path, run_id: &str) -> PyResult<Option<Self>> {
        if connection.getattr("in_transaction")?.extract()? {
            return Ok(None);
        }
        let pragma = |sql| -> PyResult<i64> {
            let cursor = connection.call_method0("cursor")?;
            cursor.setattr("row_factory", connection.py().None())?;
            cursor.call_method1("execute", (sql,))?.call_method0("fetchone")?.get_item(0)?.extract()
        };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Some(Self {
            run_id: run_id.to_owned(),
            numbers: [
                pragma("PRAGMA data_version")?,
                pragma("PRAGMA schema_version")?,
                connection.getattr("total_changes")?.extract()?,
            ],
            files: [file_mark(path), file_mark(Path::new(&log))],
        }))
    }
}

fn file_mark(path: &Path) -> Option<(u64, SystemTime)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

#[pymethods]
impl Judge {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// What a built-in invariant says of a run that a connection of `sqlite3` reads, as JSON.
    fn evaluate(
        &self,
        py: Python<'_>,
        connection: &Bound<'_, PyAny>,
        path: PathBuf,
        run_id: &str,
        invariant_id: &str,
        params: &[u8],
    ) -> PyResult<Vec<u8>> {
        let invariant = of_params(invariant_id, params)?;
        let mark = Mark::of(connection, &path, run_id);
        let known = {
            let last = self.lock();
            let same = |(known, _): &&(Mark, Arc<Snapshot>)| matches!(&mark, Ok(Some(mark)) if mark == known);
            last.as_ref().filter(same).map(|(_, snapshot)| Arc::clone(snapshot))
        };
        let snapshot = known.unwrap_or_else(|| {
            let snapshot = Arc::new(snapshot(connection, run_id, compatible::reads(), Strictness::Compatible));
            // Taken before the snapshot: a write in between makes it stale at once.
            *self.lock() = mark.ok().flatten().map(|mark| (mark, Arc::clone(&snapshot)));
            snapshot
        });
        to_json(&py.detach(|| invariant::evaluate(invariant.as_ref(), &snapshot)))
    }
}

impl Judge {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Mark, Arc<Snapshot>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An evaluation by a policy of a run that a connection of `sqlite3` reads, as JSON.
#[pyfunction]
pub(crate) fn evaluate_policy(connection: &Bound<'_, PyAny>, run_id: &str, policy: &Policy) -> PyResult<Vec<u8>> {
    let policy = policy.get();
    let snapshot = snapshot(connection, run_id, &policy.reads(), Strictness::Native);
    value_to_json(&policy.evaluate(&snapshot).to_value())
}

/// A run as a connection sees it at one instant; one that says why, where it cannot be read.
fn snapshot(connection: &Bound<'_, PyAny>, run_id: &str, reads: &[&str], strictness: Strictness) -> Snapshot {
    let begun = (|| {
        let open: bool = connection.getattr("in_transaction")?.extract()?;
        if !open {
            connection.call_method1("execute", ("BEGIN",))?;
        }
        PyResult::Ok(!open)
    })();
    let run = RunId::new(run_id);
    let read = match &begun {
        Ok(_) => {
            compatible::snapshot(&Rows::new(connection), &run, reads, strictness).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if matches!(begun, Ok(true)) {
        // What was only read needs no end: where this fails, the next statement says so.
        let _ = connection.call_method1("execute", ("ROLLBACK",));
    }
    read.unwrap_or_else(|problem| Snapshot::unreadable(run, problem))
}

/// A run of a store that somebody else wrote: the envelopes it shows, and what it says of the blobs they speak of.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct ForeignRun {
    snapshot: Mutex<Snapshot>,
}

#[pymethods]
impl ForeignRun {
    #[new]
    fn new(run_id: &str, envelopes: Vec<Vec<u8>>) -> Self {
        let mut builder = SnapshotBuilder::judging(RunId::new(run_id), Strictness::Compatible);
        for envelope in &envelopes {
            builder.event_text(envelope);
        }
        Self { snapshot: Mutex::new(builder.finish(None)) }
    }

    /// The blobs that are still to be told of: address, and whether their bytes are wanted.
    fn wanted(&self, reads: Vec<String>) -> Vec<(String, bool)> {
        let keys: Vec<&str> = reads.iter().map(String::as_str).collect();
        let wanted = self.lock().wanted(&keys);
        wanted.into_iter().map(|blob| (blob.hash.to_hex(), blob.bytes)).collect()
    }

    /// What is known of a blob: its bytes, or what stands in their place (`missing`, `expired`, `malformed`, or the text
    /// of a read failure).
    #[pyo3(signature = (sha256, data=None, state="missing"))]
    fn supply(&self, sha256: &str, data: Option<Vec<u8>>, state: &str) -> PyResult<()> {
        let hash = BlobHash::parse_bytes(sha256.as_bytes());
        let hash = hash.ok_or_else(|| PyValueError::new_err("not a SHA-256 in hexadecimal digits"))?;
        let fact = match (data, state) {
            (Some(data), _) if BlobHash::of(&data) != hash => BlobFact::Corrupt,
            (Some(data), _) => BlobFact::Intact { bytes_len: data.len() as u64, bytes: Some(Arc::from(data)) },
            (None, "intact") => BlobFact::Intact { bytes_len: 0, bytes: None },
            (None, "missing") => BlobFact::Missing,
            (None, "expired") => BlobFact::Expired,
            (None, "malformed") => BlobFact::Malformed { problem: "it is live and has no bytes".to_owned() },
            (None, problem) => BlobFact::Unreadable { problem: problem.to_owned() },
        };
        self.lock().supply(hash, fact);
        Ok(())
    }

    /// What an invariant says of it, as JSON.
    fn evaluate(&self, invariant_id: &str, params: &[u8]) -> PyResult<Vec<u8>> {
        let invariant = of_params(invariant_id, params)?;
        to_json(&invariant::evaluate(invariant.as_ref(), &self.lock()))
    }
}

impl ForeignRun {
    fn lock(&self) -> std::sync::MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
