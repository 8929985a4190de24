//! Rows copied out of a store, so that another thread can look at them while the store reads on.

use receipt_core::run::{Cell, EventRow};
use std::ops::Range;

/// How many bytes of rows make a batch.
const BYTES: usize = 1 << 18;

/// How many rows make a batch, however short they are.
const ROWS: usize = 512;

/// Rows of `events`, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    cells: Vec<[Kept; 7]>,
}

/// A cell whose bytes lie in the batch.
#[derive(Debug)]
enum Kept {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl Batch {
    /// Copies a row.
    pub(crate) fn push(&mut self, row: &EventRow<'_>) {
        let EventRow { run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at } = *row;
        let cells = [run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at];
        let kept = cells.map(|cell| match cell {
            Cell::Null => Kept::Null,
            Cell::Integer(value) => Kept::Integer(value),
            Cell::Real(value) => Kept::Real(value),
            Cell::Text(bytes) => Kept::Text(self.copy(bytes)),
            Cell::Blob(bytes) => Kept::Blob(self.copy(bytes)),
        });
        self.cells.push(kept);
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Whether it is large enough to be passed on.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES || self.cells.len() >= ROWS
    }

    /// Shows each row as the store showed it.
    pub(crate) fn each(&self, mut visit: impl FnMut(&EventRow<'_>)) {
        for cells in &self.cells {
            let shown = |cell: &Kept| match cell {
                Kept::Null => Cell::Null,
                Kept::Integer(value) => Cell::Integer(*value),
                Kept::Real(value) => Cell::Real(*value),
                Kept::Text(place) => Cell::Text(&self.bytes[place.clone()]),
                Kept::Blob(place) => Cell::Blob(&self.bytes[place.clone()]),
            };
            let [run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at] =
                cells.each_ref().map(shown);
            visit(&EventRow { run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Cell, EventRow};

    #[test]
    fn a_row_is_shown_as_it_was_whatever_its_cells_hold() {
        let cells =
            [Cell::Null, Cell::Integer(-7), Cell::Real(0.5), Cell::Text(b"\xff"), Cell::Blob(b"\0"), Cell::Text(b"")];
        let mut batch = Batch::default();
        let row = |at: usize| {
            let cell = |column: usize| cells[(at + column) % cells.len()];
            EventRow {
                run_id: cell(0),
                seq: cell(1),
                event_type: cell(2),
                envelope_json: cell(3),
                event_hash: cell(4),
                prev_event_hash: cell(5),
                created_at: cell(0),
            }
        };
        (0..cells.len()).for_each(|at| batch.push(&row(at)));
        let mut at = 0;
        batch.each(|shown| {
            assert_eq!(format!("{shown:?}"), format!("{:?}", row(at)));
            at += 1;
        });
        assert_eq!(at, cells.len());
    }
}
