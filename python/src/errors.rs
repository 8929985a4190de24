//! The kernel's errors as Python's exceptions, which `receipt_kernel.errors` defines.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use receipt_kernel::evidence::redact::without_secrets;
use receipt_kernel::store::StoreErrorKind;
use receipt_kernel::{Error, ErrorKind};

/// An exception of `receipt_kernel.errors`.
pub(crate) fn of_class(py: Python<'_>, class: &str, message: String) -> PyErr {
    let raised = py
        .import("receipt_kernel.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((&message,)))
        .map(PyErr::from_value);
    raised.unwrap_or_else(|_| PyRuntimeError::new_err(message))
}

/// What an operation on the compatible store raises.
pub(crate) fn of_store(py: Python<'_>, error: &Error) -> PyErr {
    let message = without_secrets(&error.to_string());
    match error {
        Error::RunNotFound { .. } => of_class(py, "UnknownRunError", message),
        Error::RunExists { .. } => {
            let message = format!("{message} under another policy, policy version or stage graph");
            of_class(py, "StoreError", message)
        }
        Error::Store(error) if error.kind() == StoreErrorKind::Constraint => of_class(py, "IntegrityError", message),
        _ if error.kind() == ErrorKind::Input => PyValueError::new_err(message),
        _ => of_class(py, "StoreError", message),
    }
}

/// What an operation on a native ledger raises.
pub(crate) fn of_ledger(py: Python<'_>, error: &Error) -> PyErr {
    of_class(py, "LedgerError", without_secrets(&error.to_string()))
}

/// What the core refuses.
pub(crate) fn of_input(error: &receipt_kernel::core::error::Error) -> PyErr {
    PyValueError::new_err(without_secrets(&error.to_string()))
}
