//! Queries in SQL: parameters into Rust, and rows back.

use crate::errors;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyString};
use receipt_kernel::core::run::Cell;
use receipt_kernel::store::sqlite::{Parameters, SqliteStore};
use std::path::Path;

/// A value of a statement, which Rust holds.
enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Value {
    fn of_python(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            Ok(Self::Null)
        } else if value.is_instance_of::<PyInt>() {
            let too_large = |_| PyOverflowError::new_err("Python int too large to convert to SQLite INTEGER");
            value.extract().map(Self::Integer).map_err(too_large)
        } else if let Ok(number) = value.cast::<PyFloat>() {
            Ok(Self::Real(number.value()))
        } else if let Ok(text) = value.cast::<PyString>() {
            Ok(Self::Text(text.to_str()?.to_owned()))
        } else if let Ok(bytes) = value.extract() {
            Ok(Self::Blob(bytes))
        } else {
            Err(PyTypeError::new_err(format!("type '{}' is not supported by SQL", value.get_type().name()?)))
        }
    }

    fn of_cell(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(number) => Self::Integer(number),
            Cell::Real(number) => Self::Real(number),
            // What is not text is shown as what it is.
            Cell::Text(text) => {
                String::from_utf8(text.to_vec()).map_or_else(|it| Self::Blob(it.into_bytes()), Self::Text)
            }
            Cell::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Integer(number) => Cell::Integer(*number),
            Self::Real(number) => Cell::Real(*number),
            Self::Text(text) => Cell::Text(text.as_bytes()),
            Self::Blob(bytes) => Cell::Blob(bytes),
        }
    }

    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(match self {
            Self::Null => py.None().into_bound(py),
            Self::Integer(number) => number.into_pyobject(py)?.into_any(),
            Self::Real(number) => PyFloat::new(py, number).into_any(),
            Self::Text(text) => PyString::new(py, &text).into_any(),
            Self::Blob(bytes) => PyBytes::new(py, &bytes).into_any(),
        })
    }
}

/// The parameters of a statement: a dict of names, or a sequence.
fn parameters(given: &Bound<'_, PyAny>) -> PyResult<(Vec<String>, Vec<Value>)> {
    if let Ok(names) = given.cast::<PyDict>() {
        let pairs = names.iter().map(|(name, value)| Ok((name.extract()?, Value::of_python(&value)?)));
        return Ok(pairs.collect::<PyResult<Vec<_>>>()?.into_iter().unzip());
    }
    let values = given.try_iter()?.map(|value| Value::of_python(&value?));
    Ok((Vec::new(), values.collect::<PyResult<_>>()?))
}

/// The rows that a statement gives, each a dict.
pub(crate) fn query<'py>(
    py: Python<'py>,
    path: &Path,
    sql: &str,
    given: &Bound<'py, PyAny>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let is_named = given.is_instance_of::<PyDict>();
    let (names, values) = parameters(given)?;
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    let read = py.detach(|| {
        let cells: Vec<Cell<'_>> = values.iter().map(Value::cell).collect();
        let pairs: Vec<(&str, Cell<'_>)> = names.iter().map(String::as_str).zip(cells.iter().copied()).collect();
        let parameters = if is_named { Parameters::Names(&pairs) } else { Parameters::Places(&cells) };
        SqliteStore::query(path, sql, parameters, &mut |names, row| {
            if columns.is_empty() {
                columns = names.to_vec();
            }
            rows.push(row.iter().copied().map(Value::of_cell).collect::<Vec<_>>());
            Ok(())
        })
    });
    read.map_err(|error| errors::of_ledger(py, &error))?;
    let dicts = rows.into_iter().map(|row| {
        let dict = PyDict::new(py);
        for (name, value) in columns.iter().zip(row) {
            dict.set_item(name, value.into_python(py)?)?;
        }
        Ok(dict)
    });
    dicts.collect()
}

/// Whether this process has the ledger file at `path` open through the kernel's SQLite.
#[pyfunction]
pub(crate) fn is_open(path: std::path::PathBuf) -> bool {
    SqliteStore::is_open_here(&path)
}

/// Whether this process has the ledger file at `path` open, and not through the kernel's SQLite.
#[pyfunction]
pub(crate) fn is_open_elsewhere(path: std::path::PathBuf) -> bool {
    SqliteStore::is_open_elsewhere(&path)
}
