//! Scratch memory: a reader keeps buffers, the last hash and frames from one envelope to the next.

use super::frames::Frames;
use crate::canonical::Buffers;
use crate::id::EventHash;

/// Scratch memory for scanning one text after the other: buffers, and frames of the last envelopes.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) buffers: Buffers,
    pub(super) frames: Frames,
    /// The last envelope's claim of its hash.
    pub(super) claimed: Option<EventHash>,
}
