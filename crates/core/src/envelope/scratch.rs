//! What is kept from one envelope to the next.

use super::frames::Frames;
use crate::canonical::Buffers;
use crate::id::EventHash;

/// What one text after the other can be scanned with: buffers, and what is remembered of the last envelopes.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) buffers: Buffers,
    pub(super) frames: Frames,
    /// The last envelope's claim of its hash.
    pub(super) claimed: Option<EventHash>,
}
