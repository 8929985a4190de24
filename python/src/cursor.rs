//! Values of raw SQL, into Rust and back.

use crate::errors;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};
use receipt_kernel::compatible::{Outcome, Parameters, SqlValue};

/// The parameters of a statement: a mapping of names, or a sequence.
pub(crate) fn parameters(given: &Bound<'_, PyAny>) -> PyResult<Parameters> {
    if let Ok(names) = given.cast::<PyDict>() {
        let pairs = names.iter().map(|(name, value)| Ok((name.extract::<String>()?, from_python(&value)?)));
        return pairs.collect::<PyResult<_>>().map(Parameters::Names);
    }
    let values = given.try_iter()?.map(|value| from_python(&value?));
    values.collect::<PyResult<_>>().map(Parameters::Places)
}

fn from_python(value: &Bound<'_, PyAny>) -> PyResult<SqlValue> {
    if value.is_none() {
        Ok(SqlValue::Null)
    } else if value.is_instance_of::<PyInt>() {
        let number = value.extract::<i64>();
        number
            .map(SqlValue::Integer)
            .map_err(|_| PyOverflowError::new_err("Python int too large to convert to SQLite INTEGER"))
    } else if let Ok(number) = value.cast::<PyFloat>() {
        Ok(SqlValue::Real(number.value()))
    } else if let Ok(text) = value.cast::<PyString>() {
        Ok(SqlValue::Text(text.to_str()?.to_owned()))
    } else if let Ok(bytes) = value.extract::<Vec<u8>>() {
        Ok(SqlValue::Blob(bytes))
    } else {
        let problem = format!("type '{}' is not supported by SQL", value.get_type().name()?);
        Err(errors::of_class(value.py(), "StoreError", problem))
    }
}

/// What a statement gave: the names of its columns, its rows, how many rows it changed, the last rowid.
pub(crate) type Given<'py> = (Vec<String>, Vec<Bound<'py, PyTuple>>, i64, i64);

pub(crate) fn outcome(py: Python<'_>, outcome: Outcome) -> PyResult<Given<'_>> {
    let rows = outcome.rows.into_iter().map(|row| {
        let values = row.into_iter().map(|value| to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, values)
    });
    Ok((outcome.columns, rows.collect::<PyResult<_>>()?, outcome.changed, outcome.last_rowid))
}

fn to_python(py: Python<'_>, value: SqlValue) -> PyResult<Bound<'_, PyAny>> {
    match value {
        SqlValue::Null => Ok(py.None().into_bound(py)),
        SqlValue::Integer(number) => Ok(number.into_pyobject(py)?.into_any()),
        SqlValue::Real(number) => Ok(PyFloat::new(py, number).into_any()),
        SqlValue::Text(text) => Ok(PyString::new(py, &text).into_any()),
        SqlValue::Blob(bytes) => Ok(PyBytes::new(py, &bytes).into_any()),
    }
}

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
