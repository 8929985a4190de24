//! Bundles: one run as a file that can be checked with no ledger at hand.
//!
//! [`Ledger::export`](crate::Ledger::export) writes one, [`Verify`] checks one, and
//! [`Ledger::import`](crate::Ledger::import) checks one and puts its run into another ledger. All stream: memory does
//! not grow with the bundle, its events or its blobs; only SQLite takes a blob into memory as it is imported. The form is that of [`receipt_core::bundle`].

mod aside;
mod export;
mod found;
mod import;
mod lines;
mod proof;
mod replay;
mod report;
mod sink;
mod told;
mod verify;

pub use crate::read::evidence::receipt::Receipts;
pub use export::{Export, Exported};
pub use import::Imported;
pub(crate) use import::proof_name;
pub use replay::{Finished, REPLAY_LIMIT, Replays, evaluator};
pub use report::BundleReport;
pub use verify::Verify;
