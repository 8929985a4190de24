//! The pure core of receipt-kernel: what an event's bytes are, how events chain, how a run is read back and judged.
//!
//! Nothing here knows I/O, a clock, randomness, threads or SQL. Data flows one way: a [`envelope::Draft`] is sealed
//! to canonical bytes with a hash; rows that a store gives back are read by [`run::RunReader`] into a
//! [`run::Snapshot`]; [`invariant`]s judge the snapshot; a [`policy::Policy`] says which, and what the overall
//! [`Verdict`] is.

mod base64;
pub mod bundle;
pub mod canonical;
pub mod chain;
pub mod checkpoint;
pub mod code;
pub mod commitment;
pub mod envelope;
pub mod error;
pub mod evidence;
pub mod id;
pub mod invariant;
pub mod json;
pub mod merkle;
pub mod note;
pub mod payload;
pub mod policy;
pub mod replay;
pub mod run;
pub mod stage;
pub mod verdict;
pub mod visible;
pub mod witness;

pub use error::Error;
pub use verdict::{InvariantResult, Reason, Verdict};
