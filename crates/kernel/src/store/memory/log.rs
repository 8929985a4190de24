//! The log in memory.

use super::{MemoryTransaction, failed};
use crate::error::Result;
use crate::store::{LogRead, LogWrite, Segment, StoreErrorKind, StoredCheckpoint, Visit};
use receipt_core::id::{RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow};
use std::collections::BTreeMap;

/// The log in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryLog {
    meta: BTreeMap<String, String>,
    checkpoints: Vec<StoredCheckpoint>,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
    segments: BTreeMap<u64, Segment>,
    /// How many events of each run there are.
    covered: BTreeMap<RunId, u64>,
}

impl LogRead for MemoryTransaction<'_> {
    fn log_meta(&self, key: &str) -> Result<Option<String>> {
        Ok(self.tables.log.meta.get(key).cloned())
    }

    fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>> {
        Ok(self.tables.log.checkpoints.last().cloned())
    }

    fn log_tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.tables.log.tiles.get(&(level, index)).cloned())
    }

    fn segments(&self, from_leaf: u64, visit: &mut dyn FnMut(Segment) -> Visit) -> Result<()> {
        let segments = &self.tables.log.segments;
        let from = segments.range(..=from_leaf).next_back().map_or(0, |(first, _)| *first);
        for segment in segments.range(from..).map(|(_, segment)| segment) {
            if visit(segment.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn leaf_of(&self, run: &RunId, seq: Seq) -> Result<Option<u64>> {
        let mut of_run = self.tables.log.segments.values().filter(|segment| segment.run_id == *run);
        Ok(of_run.find_map(|segment| segment.leaf(seq)))
    }

    fn covered(&self, run: &RunId) -> Result<u64> {
        Ok(self.tables.log.covered.get(run).copied().unwrap_or(0))
    }

    fn hashes(&self, run: &RunId, first: Seq, last: Seq, visit: &mut dyn FnMut(i64, Cell<'_>) -> Visit) -> Result<()> {
        for ((_, seq), event) in self.tables.events.range((run.clone(), first)..=(run.clone(), last)) {
            if visit(seq.get(), event.row(run).event_hash).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn events_after(&self, id: i64, visit: &mut dyn FnMut(i64, Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        let skip = usize::try_from(id).unwrap_or(0);
        for (place, id) in self.tables.order.iter().zip(1..).skip(skip) {
            let Some(event) = self.tables.events.get(place) else { continue };
            if visit(id, Cell::Text(place.0.as_str().as_bytes()), &event.row(&place.0)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn count_events(&self) -> Result<u64> {
        Ok(self.tables.events.len() as u64)
    }
}

impl LogWrite for MemoryTransaction<'_> {
    fn bind_log_meta(&mut self, key: &str, value: &str) -> Result<()> {
        match self.write().log.meta.insert(key.to_owned(), value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(failed(StoreErrorKind::Constraint, "the log has that already")),
        }
    }

    fn put_log_tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> Result<()> {
        self.write().log.tiles.insert((level, index), hashes.to_vec());
        Ok(())
    }

    fn put_segment(&mut self, segment: &Segment) -> Result<()> {
        self.write().log.covered.insert(segment.run_id.clone(), segment.end());
        self.write().log.segments.insert(segment.first_leaf, segment.clone());
        Ok(())
    }

    fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint, now: Timestamp) -> Result<()> {
        self.write().log.checkpoints.push(StoredCheckpoint { created_at: now.to_string(), ..checkpoint.clone() });
        Ok(())
    }
}
