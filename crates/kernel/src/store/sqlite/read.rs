//! The reads of a transaction: rows found by an index, and read from their table.

use super::error::{failed, io};
use super::{Held, Inside, Layout, PIECE, PIECE_LEN, pieces};
use crate::error::Result;
use crate::store::{BlobRow, KeyRow, ReadTransaction, Size, StoreErrorKind, Visit, VisitRun, Visitor};
use receipt_core::id::{BlobHash, RunId, Seq};
use receipt_core::run::{Cell, EventRow, RunRow};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, params};
use std::io::Read;

pub(super) fn cell<'r>(row: &'r Row<'_>, index: usize) -> Result<Cell<'r>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(bytes),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    })
}

pub(super) fn event_row<'r>(row: &'r Row<'_>, first: usize) -> Result<EventRow<'r>> {
    Ok(EventRow {
        run_id: cell(row, first)?,
        seq: cell(row, first + 1)?,
        event_type: cell(row, first + 2)?,
        envelope_json: cell(row, first + 3)?,
        event_hash: cell(row, first + 4)?,
        prev_event_hash: cell(row, first + 5)?,
        created_at: cell(row, first + 6)?,
    })
}

fn run_row<'r>(row: &'r Row<'_>, first: usize) -> Result<RunRow<'r>> {
    Ok(RunRow {
        policy_id: cell(row, first)?,
        policy_version: cell(row, first + 1)?,
        stage_graph_id: cell(row, first + 2)?,
        created_at: cell(row, first + 3)?,
        meta_json: cell(row, first + 4)?,
    })
}

/// The rows of a run, found in the index and read from the table. SQLite takes a column that an index has from there, so
/// that a row in the table which contradicts the index would otherwise be shown as the index has it. An entry of the index
/// without a row in the table is a row of NULLs, and a finding.
macro_rules! events_of_run {
    () => {
        "SELECT e.run_id, e.seq, e.event_type, e.envelope_json, e.event_hash, e.prev_event_hash, e.created_at \
         FROM events AS i LEFT JOIN events AS e ON e.id = i.id WHERE i.run_id = ?1"
    };
}

/// The rows of `runs`, likewise found in the index and read from the table: the id as the index has it, whether the table
/// has the same, and the other columns.
macro_rules! runs {
    () => {
        "SELECT i.run_id, r.run_id IS i.run_id, r.policy_id, r.policy_version, r.stage_graph_id, r.created_at, r.meta_json \
         FROM runs AS i LEFT JOIN runs AS r ON r.rowid = i.rowid"
    };
}

/// The ids in `events` that `runs` does not have: from one id to the next by the index, not by reading all rows.
const ORPHANS: &str = "WITH RECURSIVE ids (id) AS ( \
    SELECT min(run_id) FROM events \
    UNION ALL \
    SELECT (SELECT min(run_id) FROM events WHERE run_id > ids.id) FROM ids WHERE ids.id IS NOT NULL) \
    SELECT id FROM ids WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ids.id) \
    UNION ALL \
    SELECT NULL WHERE EXISTS (SELECT 1 FROM events WHERE run_id IS NULL)";

impl<C: Held> ReadTransaction for Inside<C> {
    fn runs(&self, visit: VisitRun<'_>) -> Result<()> {
        let mut statement = self.prepare(concat!(runs!(), " ORDER BY i.run_id"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let own = row.get::<_, bool>(1)?.then(|| run_row(row, 2)).transpose()?;
            if visit(cell(row, 0)?, own.as_ref()).is_break() {
                return Ok(());
            }
        }
        let mut statement = self.prepare(ORPHANS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if visit(cell(row, 0)?, None).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn run(&self, run: &RunId, visit: &mut dyn FnMut(&RunRow<'_>)) -> Result<()> {
        let mut statement = self.prepare(concat!(runs!(), " WHERE i.run_id = ?1"))?;
        let mut rows = statement.query([run.as_str()])?;
        if let Some(row) = rows.next()?
            && row.get(1)?
        {
            visit(&run_row(row, 2)?);
        }
        Ok(())
    }

    fn events(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>) -> Visit) -> Result<()> {
        let sql = concat!(events_of_run!(), " ORDER BY i.seq");
        self.each_event(sql, [run.as_str()], visit)
    }

    /// By the index alone, so that ranges which together are everything leave out no row, whatever the rows hold.
    fn events_between(&self, run: &RunId, after: Option<Seq>, until: Option<Seq>, visit: Visitor<'_>) -> Result<()> {
        let after_sql = concat!(events_of_run!(), " AND i.seq > ?2 ORDER BY i.seq");
        let both_sql = concat!(events_of_run!(), " AND i.seq > ?2 AND i.seq <= ?3 ORDER BY i.seq");
        let until_sql = concat!(events_of_run!(), " AND i.seq <= ?2 ORDER BY i.seq");
        let null_sql = concat!(events_of_run!(), " AND i.seq IS NULL");
        match (after, until) {
            (None, None) => self.events(run, visit),
            (Some(after), None) => self.each_event(after_sql, params![run.as_str(), after.get()], visit),
            (Some(after), Some(until)) => {
                self.each_event(both_sql, params![run.as_str(), after.get(), until.get()], visit)
            }
            (None, Some(until)) => {
                // NULL sorts before every number and compares with none.
                let mut done = Visit::Continue(());
                self.each_event(null_sql, [run.as_str()], &mut |row| {
                    done = visit(row);
                    done
                })?;
                if done.is_break() {
                    return Ok(());
                }
                self.each_event(until_sql, params![run.as_str(), until.get()], visit)
            }
        }
    }

    fn head(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        let sql = concat!(events_of_run!(), " ORDER BY i.seq DESC LIMIT 1");
        self.each_event(sql, [run.as_str()], &mut |row| {
            visit(row);
            Visit::Continue(())
        })
    }

    fn event(&self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        let sql = concat!(events_of_run!(), " AND i.seq = ?2");
        self.each_event(sql, params![run.as_str(), seq.get()], &mut |row| {
            visit(row);
            Visit::Continue(())
        })
    }

    fn blob(&self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<()> {
        let sql = "SELECT b.sha256, b.content_type, b.bytes_len, b.evidence_class, b.state, CASE WHEN \
                   typeof(b.data) = 'blob' THEN length(b.data) ELSE length(CAST(b.data AS BLOB)) END, \
                   typeof(b.data) = 'blob', b.created_at, b.expired_at \
                   FROM blobs AS i LEFT JOIN blobs AS b ON b.rowid = i.rowid WHERE i.sha256 = ?1";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([hash.to_hex()])?;
        if let Some(row) = rows.next()? {
            let stored: Option<i64> = row.get(5)?;
            let stored = stored.and_then(|length| u64::try_from(length).ok());
            let in_pieces = match self.layout {
                Layout::Compressed if stored.is_none() => pieces::stored_len(&self.connection, hash)?,
                _ => None,
            };
            visit(&BlobRow {
                sha256: cell(row, 0)?,
                content_type: cell(row, 1)?,
                bytes_len: cell(row, 2)?,
                evidence_class: cell(row, 3)?,
                state: cell(row, 4)?,
                stored_len: stored.or(in_pieces),
                is_blob: in_pieces.is_some() || row.get(6)?,
                created_at: cell(row, 7)?,
                expired_at: cell(row, 8)?,
            });
        }
        Ok(())
    }

    fn blob_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let sql = "SELECT rowid, CASE WHEN length(data) <= ?2 THEN data END FROM blobs \
                   WHERE sha256 = ?1 AND data IS NOT NULL";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params![hash.to_hex(), PIECE_LEN])?;
        let Some(row) = rows.next()? else {
            return match self.layout {
                Layout::Compressed => pieces::visit(&self.connection, hash, visit),
                Layout::Shared => Ok(()),
            };
        };
        if let ValueRef::Blob(bytes) = row.get_ref(1)? {
            visit(bytes);
            return Ok(());
        }
        let rowid: i64 = row.get(0)?;
        let mut blob = self.connection.blob_open("main", "blobs", "data", rowid, true)?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = blob.read(&mut piece).map_err(io)?;
            if read == 0 {
                return Ok(());
            }
            visit(&piece[..read]);
        }
    }

    fn blobs(&self, visit: &mut dyn FnMut(Cell<'_>) -> Visit) -> Result<()> {
        let mut statement = self.prepare("SELECT sha256 FROM blobs ORDER BY sha256")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if visit(cell(row, 0)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn expiries(&self, visit: &mut dyn FnMut(Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        let sql = concat!("SELECT ", event_columns!(), " FROM events WHERE event_type = 'BLOB_EXPIRE' ORDER BY id");
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let row = event_row(row, 0)?;
            if visit(row.run_id, &row).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn size(&self) -> Result<Size> {
        // The ends of three b-trees: rows are never removed from the first two, seldom from the third. A row of any of
        // them takes more than 32 bytes, so that a forged number is no larger than the file has room for.
        let sql = "SELECT (SELECT max(rowid) FROM runs), (SELECT max(id) FROM events), (SELECT max(rowid) FROM blobs), \
                   (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size) / 32";
        let ends = |row: &Row<'_>| {
            let room: i64 = row.get(3)?;
            let end = |column| -> rusqlite::Result<u64> {
                Ok(count(row.get::<_, Option<i64>>(column)?.unwrap_or(0).min(room)))
            };
            Ok(Size { runs: end(0)?, events: end(1)?, blobs: end(2)? })
        };
        Ok(self.prepare(sql)?.query_row([], ends)?)
    }

    fn rows(&self) -> Result<Size> {
        // NOT INDEXED: SQLite counts the smallest b-tree otherwise, which is an index.
        let sql = "SELECT (SELECT count(*) FROM runs NOT INDEXED), (SELECT count(*) FROM events NOT INDEXED), \
                   (SELECT count(*) FROM blobs NOT INDEXED)";
        let size = |row: &Row<'_>| {
            Ok(Size { runs: count(row.get(0)?), events: count(row.get(1)?), blobs: count(row.get(2)?) })
        };
        Ok(self.prepare(sql)?.query_row([], size)?)
    }

    fn key(&self, run: &RunId, key: &str) -> Result<Option<KeyRow>> {
        let mut statement =
            self.prepare("SELECT seq, draft_sha256 FROM idempotency_keys WHERE run_id = ?1 AND key = ?2")?;
        let found = statement.query_row([run.as_str(), key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((seq, digest)) = found else { return Ok(None) };
        let seq =
            Seq::new(seq).ok_or_else(|| failed(StoreErrorKind::Corrupt, "an idempotency key points at no event"))?;
        Ok(Some(KeyRow { seq, digest }))
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        // A file that is only read may have been written before there was such a table.
        let known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings'";
        if self.prepare(known)?.query_row([], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
        let mut statement = self.prepare("SELECT value FROM settings WHERE name = ?1")?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
