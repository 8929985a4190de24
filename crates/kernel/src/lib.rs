//! receipt-kernel: an embeddable flight recorder for runs.
//!
//! A run is any piece of work that someone will later be asked about. The kernel records what happened as an
//! append-only, hash-chained [`Ledger`], keeps the evidence by content address with secrets redacted before they are
//! written, walks an explicit stage graph, evaluates invariants, and re-checks all of it on demand
//! ([`Ledger::audit`]).

pub mod bundle;
pub mod check;
pub mod clock;
pub mod compatible;
mod cores;
pub mod drill;
pub mod error;
pub mod evidence;
pub mod ledger;
pub mod log;
mod read;
pub mod store;
mod unnamed;
pub mod write;

pub use check::anchors::{Anchors, Pinned};
pub use check::audit::Audit;
pub use check::ending::{Ending, Outcomes, PolicyName};
pub use check::gate::Gate;
pub use check::report::{Check, Coverage, Report};
pub use check::{anchors as anchor, audit, proof};
pub use error::{Error, ErrorKind, Result};
pub use evidence::redact::{Redactor, Rules};
pub use evidence::retention::{Retained, Retention, Ttl};
pub use evidence::{Digest256, Put};
pub use ledger::Ledger;
pub use log::{Publish, Published};
pub use receipt_core as core;
pub use receipt_core::envelope::{Actor, EventType};
pub use receipt_core::evidence::{BlobRecord, EvidenceClass};
pub use receipt_core::id::{BlobHash, BlobRef, EventRef, RunId, Timestamp};
pub use receipt_core::json::{Object, Value};
pub use receipt_core::policy::{Evaluation, Policy};
pub use receipt_core::run::Snapshot;
pub use receipt_core::verdict::{InvariantResult, Reason, Verdict};
pub use write::{Append, Appended, RunWriter, Source, Spool};

/// The README's example, run as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
