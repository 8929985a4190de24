//! Policies, and the JSON that values go to Python as.

use crate::errors;
use pyo3::prelude::*;
use receipt_kernel::Value;
use receipt_kernel::core::canonical;
use receipt_kernel::core::json::Limits;

/// A value as canonical JSON.
pub(crate) fn value_to_json(value: &Value) -> PyResult<Vec<u8>> {
    canonical::to_bytes(value, Limits::READ).map_err(|error| errors::of_input(&error))
}

/// A policy: which invariants a run is judged by, and which stages it may walk.
#[pyclass(frozen, module = "receipt_kernel._native")]
#[derive(Clone)]
pub(crate) struct Policy(receipt_kernel::Policy);

impl Policy {
    pub(crate) fn get(&self) -> &receipt_kernel::Policy {
        &self.0
    }
}

#[pymethods]
impl Policy {
    /// From the TOML of docs/FORMAT.md.
    #[staticmethod]
    fn from_toml(text: &str) -> PyResult<Self> {
        receipt_kernel::Policy::from_toml(text).map(Self).map_err(|error| errors::of_input(&error))
    }

    /// The structural invariants, with the graph `v1_default`.
    #[staticmethod]
    fn structural() -> PyResult<Self> {
        receipt_kernel::Policy::structural().map(Self).map_err(|error| errors::of_input(&error))
    }

    #[getter]
    fn id(&self) -> &str {
        self.0.id()
    }

    #[getter]
    fn version(&self) -> &str {
        self.0.version()
    }

    #[getter]
    fn digest(&self) -> PyResult<String> {
        self.0.digest().map(|digest| digest.to_string()).map_err(|error| errors::of_input(&error))
    }

    fn to_json(&self) -> PyResult<Vec<u8>> {
        value_to_json(&self.0.to_value())
    }
}
