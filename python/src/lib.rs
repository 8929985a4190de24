//! The native half of the Python package: what it does in Rust, with the GIL released wherever no Python object is touched.
//!
//! What Python passes in and takes out is bytes, text and JSON; classes, enums and defaults are Python's own.

#![expect(clippy::needless_pass_by_value, reason = "what Python passes becomes ours where the call begins")]

mod bytes;
mod canonical;
mod errors;
mod judge;
mod ledger;
mod policy;
mod query;
mod redact;
mod rows;
mod seal;

use pyo3::prelude::*;

/// The native half of `receipt_kernel`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::canonical::{canonical_json, compute_hash, compute_hash_raw, recorded_json};
    #[pymodule_export]
    use super::judge::{ForeignRun, Judge, check_invariant, evaluate_policy};
    #[pymodule_export]
    use super::ledger::{Ledger, Run};
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::query::{is_open, is_open_elsewhere};
    #[pymodule_export]
    use super::redact::redact;
    #[pymodule_export]
    use super::seal::{Sealer, keep_for_ever, parse_event_ref};

    /// The version of the package and of the kernel in it.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python names it so")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
