//! The log's rows: what a backend keeps of them.

use super::Visit;
use crate::error::Result;
use receipt_core::id::{RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow};

/// A stretch of leaves that are consecutive events of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The place of the first in the log.
    pub first_leaf: u64,
    /// The run.
    pub run_id: RunId,
    /// The place of the first in its run.
    pub first_seq: Seq,
    /// How many.
    pub count: u64,
}

impl Segment {
    /// The leaf of an event, if the stretch has it.
    pub(super) fn leaf(&self, seq: Seq) -> Option<u64> {
        let past = u64::try_from(seq.get().checked_sub(self.first_seq.get())?).ok()?;
        (past < self.count).then(|| self.first_leaf.checked_add(past)).flatten()
    }

    /// The seq of the last event.
    pub(super) fn end(&self) -> u64 {
        u64::try_from(self.first_seq.get() - 1).unwrap_or(0).saturating_add(self.count)
    }
}

/// A checkpoint as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many leaves it covers.
    pub size: u64,
    /// The last row of `events` that it covers.
    pub last_event_id: i64,
    /// The verifier key of who signed it.
    pub vkey: String,
    /// The signed note.
    pub note: String,
    /// When it was made.
    pub created_at: String,
}

/// Reads of the log. A ledger that has none is one whose log is empty.
pub trait LogRead {
    /// What is bound to the log under a key, such as `origin`.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn log_meta(&self, key: &str) -> Result<Option<String>>;

    /// The last checkpoint.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>>;

    /// The hashes of a row of the log's tree, 32 bytes each; see `schema.sql`.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn log_tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>>;

    /// The stretches from the one that holds this leaf on, in their order.
    ///
    /// # Errors
    /// Where the backend cannot be read, or a row is none.
    fn segments(&self, from_leaf: u64, visit: &mut dyn FnMut(Segment) -> Visit) -> Result<()>;

    /// The leaf of an event, where the log knows it.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn leaf_of(&self, run: &RunId, seq: Seq) -> Result<Option<u64>>;

    /// How many events of a run the log says that it has.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn covered(&self, run: &RunId) -> Result<u64>;

    /// The seq and recorded hash of a run's events from `first` to `last`, in their order.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn hashes(&self, run: &RunId, first: Seq, last: Seq, visit: &mut dyn FnMut(i64, Cell<'_>) -> Visit) -> Result<()>;

    /// The events of whichever run that came after the one in row `id`, in the order in which they came.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn events_after(&self, id: i64, visit: &mut dyn FnMut(i64, Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()>;

    /// Exactly how many events there are.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn count_events(&self) -> Result<u64>;
}

/// Writes to the log.
pub trait LogWrite {
    /// Binds a value to the log.
    ///
    /// # Errors
    /// Where there is one already.
    fn bind_log_meta(&mut self, key: &str, value: &str) -> Result<()>;

    /// Writes a row of the log's tree, in place of a shorter one.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn put_log_tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> Result<()>;

    /// Writes a stretch, in place of a shorter one.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn put_segment(&mut self, segment: &Segment) -> Result<()>;

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint, now: Timestamp) -> Result<()>;
}
