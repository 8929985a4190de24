//! Judging a ledger whose rows another SQLite library reads.
//!
//! The Python class `SqliteReceiptStore` goes through the `sqlite3` module of its interpreter: two SQLite libraries on one
//! file in one process lose each other's locks, and with them commits. Its rows come in here through a
//! [`ReadTransaction`], so that they are judged by the code that judges every other ledger.

use crate::error::Result;
use crate::read::snapshot::take_snapshot_judging;
use crate::store::ReadTransaction;
use receipt_core::id::RunId;
use receipt_core::invariant;
use receipt_core::json::Object;
use receipt_core::run::{Snapshot, Strictness};
use std::sync::OnceLock;

/// The tables of the Python package, as the inspection of a file compares them.
pub(crate) const SCHEMA: &str = include_str!("compatible/schema.sql");

/// A run as it is now, with what is known of its evidence. `reads` names the evidence whose bytes are wanted.
///
/// # Errors
/// Where the rows cannot be read.
pub fn snapshot(
    store: &dyn ReadTransaction,
    run_id: &RunId,
    reads: &[&str],
    strictness: Strictness,
) -> Result<Snapshot> {
    take_snapshot_judging(store, run_id, reads, strictness)
}

/// Every evidence key that a built-in invariant reads.
pub fn reads() -> &'static [&'static str] {
    static READS: OnceLock<Vec<&'static str>> = OnceLock::new();
    READS.get_or_init(|| {
        let all = invariant::IDS.iter().filter_map(|id| invariant::from_params(id, &Object::new()).ok());
        let mut keys: Vec<_> = all.flat_map(|invariant| invariant.reads().iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    })
}
