//! Redaction, as the Python function gives it.

use crate::errors;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use receipt_kernel::evidence::redact::Report;
use receipt_kernel::{Redactor, Rules};
use std::borrow::Cow;

/// What stands for a hit: the rule, where it began and how long it was in characters, and what stands there now.
pub(crate) type Hit = (String, u64, u64, String);

/// A redactor of the built-in rules and of those of a text.
pub(crate) fn redactor(py: Python<'_>, rules: &str) -> PyResult<Redactor> {
    let redactor = py.detach(|| Redactor::new(Rules::builtin()?.with(rules)?));
    redactor.map_err(|error| errors::of_store(py, &error))
}

/// Replaces the secrets in bytes by the built-in rules. Gives the bytes and what was replaced.
#[pyfunction]
pub(crate) fn redact<'py>(py: Python<'py>, data: Bound<'py, PyBytes>) -> (Bound<'py, PyBytes>, Vec<Hit>) {
    let bytes = data.as_bytes();
    let (clean, report) = py.detach(|| Redactor::builtin().redact(bytes));
    let hits = hits_of(&report);
    match clean {
        Cow::Borrowed(_) => (data.clone(), hits),
        Cow::Owned(clean) => (PyBytes::new(py, &clean), hits),
    }
}

pub(crate) fn hits_of(report: &Report) -> Vec<Hit> {
    let hit = |hit: &receipt_kernel::evidence::redact::Hit| {
        (hit.pattern_name.to_string(), hit.offset, hit.length, hit.replacement.to_string())
    };
    report.hits.iter().map(hit).collect()
}
