//! Invariants: of this kernel's stores in Rust, and of stores that somebody else wrote through what they show.

use crate::errors;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use receipt_kernel::core::canonical;
use receipt_kernel::core::evidence::BlobFact;
use receipt_kernel::core::invariant::{self, Invariant};
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::core::run::SnapshotBuilder;
use receipt_kernel::{BlobHash, InvariantResult, Object, RunId, Snapshot, Value};
use std::sync::{Arc, Mutex, PoisonError};

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

/// A value as canonical JSON.
pub(crate) fn value_to_json(value: &Value) -> PyResult<Vec<u8>> {
    canonical::to_bytes(value, Limits::READ).map_err(|error| errors::of_input(&error))
}

/// Raises where an invariant of this id does not take these parameters (JSON).
#[pyfunction]
pub(crate) fn check_invariant(id: &str, params: &[u8]) -> PyResult<()> {
    of_params(id, params).map(drop)
}

/// A run of a store that somebody else wrote: the envelopes it shows, and what it says of the blobs they speak of.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct ForeignRun {
    snapshot: Mutex<Snapshot>,
}

#[pymethods]
impl ForeignRun {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "Python's lists become ours")]
    fn new(run_id: &str, envelopes: Vec<Vec<u8>>) -> Self {
        let mut builder = SnapshotBuilder::new(RunId::new(run_id));
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
            (None, "missing") => BlobFact::Missing,
            (None, "expired") => BlobFact::Removed,
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
