//! Envelopes, version 1: a draft becomes sealed bytes, and stored bytes are read back and checked.
//!
//! Sealing writes the canonical bytes once, with room for `event_hash` in its place, and hashes what stands around it.
//! Reading scans the stored text once, checks that it is in one of the two exact forms, and gives the fields as
//! slices; no values are built until somebody asks for the payload.

mod draft;
mod frames;
mod layout;
mod members;
mod read;
mod scan;
mod scratch;
mod seal;
mod shape;
mod types;

pub use draft::Draft;
pub use members::Members;
pub use read::Envelope;
pub(crate) use read::no_hashes;
pub use scratch::Scratch;
pub use seal::Sealed;
pub use types::{Actor, EventType, PolicyRef, SCHEMA_VERSION};
