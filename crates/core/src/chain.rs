//! The hash chain: where an event stands in its run, and how the next one is joined to the last.

use crate::id::{EventHash, EventRef, RunId, Seq};

/// The place of an event: which run, which seq, and the hash of the event before it.
///
/// The store makes it from the head that it reads in the same transaction in which it writes the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The run.
    pub run_id: RunId,
    /// The place in it.
    pub seq: Seq,
    /// The hash of the event at `seq - 1`; `None` for the first.
    pub prev: Option<EventHash>,
}

impl Link {
    /// The place of a run's first event.
    pub fn first(run_id: RunId) -> Self {
        Self { run_id, seq: Seq::FIRST, prev: None }
    }

    /// The place after an event with this hash; `None` if the run is full (2^63 - 1 events).
    pub fn after(&self, hash: EventHash) -> Option<Self> {
        Some(Self { run_id: self.run_id.clone(), seq: self.seq.next()?, prev: Some(hash) })
    }

    /// The reference of the event at this place.
    pub fn event_ref(&self) -> EventRef {
        EventRef { run_id: self.run_id.clone(), seq: self.seq }
    }
}
