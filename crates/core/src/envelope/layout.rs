//! The members of an envelope, and where they stand in a text.

use crate::canonical::Form;
use std::ops::Range;

/// The members of an envelope, version 1, in the order in which they are hashed.
pub(super) const MEMBERS: [&str; 12] = [
    "actor",
    "event_hash",
    "event_schema_version",
    "event_type",
    "payload",
    "policy",
    "prev_event_hash",
    "refs",
    "run_id",
    "seq",
    "stage",
    "ts",
];

// Their places in `MEMBERS`.
pub(super) const ACTOR: usize = 0;
pub(super) const EVENT_HASH: usize = 1;
pub(super) const EVENT_SCHEMA_VERSION: usize = 2;
pub(super) const EVENT_TYPE: usize = 3;
pub(super) const PAYLOAD: usize = 4;
pub(super) const POLICY: usize = 5;
pub(super) const PREV_EVENT_HASH: usize = 6;
pub(super) const REFS: usize = 7;
pub(super) const RUN_ID: usize = 8;
pub(super) const SEQ: usize = 9;
pub(super) const STAGE: usize = 10;
pub(super) const TS: usize = 11;

/// The place of each member of version 1 in the compact form, by its index in [`MEMBERS`].
/// A member that is not there has an empty place, which no value has.
pub(super) type Places = [Range<usize>; MEMBERS.len()];

/// The result of one pass over an envelope's text.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) form: Form,
    pub(super) places: Places,
    /// The place of `event_hash` in the compact form, with its comma.
    pub(super) hash_member: Range<usize>,
    /// Whether its frame is one that was remembered: then the members in it have been found sound before.
    pub(super) framed: bool,
    /// The places of the members in the stored text. They are empty if a remembered frame fitted: nobody needs them then.
    pub(super) stored: Places,
    /// Whether it has members beyond those of version 1.
    pub(super) extra: bool,
}
