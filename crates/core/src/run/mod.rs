//! A run read back: rows in, verified facts out. Nothing else reads rows.
//!
//! [`RunReader`] takes a run's rows one by one, in the order of their seq, in memory that does not grow with the run. It
//! re-hashes every event, follows the chain, compares every column with its envelope, and walks the stages. What does
//! not fit is a [`Finding`], never an error. [`Snapshot`] keeps the typed events as well, for invariants to judge.

mod cells;
mod checks;
mod event;
mod facts;
mod part;
mod path;
mod reader;
mod refs;
mod row;
mod snapshot;
mod steps;
mod strictness;

pub use cells::{Cell, EventRow, RunRow};
pub use event::{Bytes, Event, Payload};
pub use facts::{Area, Finding, RunFacts};
pub use reader::RunReader;
pub use refs::{blobs_cited, blobs_referred_to};
pub use snapshot::{Snapshot, SnapshotBuilder, Wanted};
pub(crate) use steps::Counted;
pub use steps::{Steps, Walk};
pub use strictness::Strictness;
