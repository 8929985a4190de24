//! What counts as bytes.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Only bytes-like objects are evidence.
pub(crate) fn bytes_of(data: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    // A list of numbers would do for `extract`, and is no evidence.
    let bytes = data.py().import("builtins")?.getattr("memoryview")?.call1((data,));
    let bytes = bytes.and_then(|view| view.call_method0("tobytes"));
    bytes?.extract().map_err(|_: PyErr| PyTypeError::new_err("evidence must be bytes"))
}
