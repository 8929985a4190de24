//! The log's rows in SQLite: see `schema.sql` for what each table holds.

use super::error::{failed, one};
use super::{Held, Inside, cell, event_row};
use crate::error::Result;
use crate::store::{LogRead, LogWrite, Segment, StoreErrorKind, StoredCheckpoint, Visit};
use receipt_core::id::{RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow};
use rusqlite::{OptionalExtension, Row, params};

fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| failed(StoreErrorKind::Misuse, "a number of the log is too large for a row"))
}

fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| failed(StoreErrorKind::Corrupt, "a row of the log has a number below 0"))
}

fn segment(row: &Row<'_>) -> Result<Segment> {
    let (first, run, seq, count): (i64, String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let first_seq =
        Seq::new(seq).ok_or_else(|| failed(StoreErrorKind::Corrupt, "a row of the log points at no event"))?;
    Ok(Segment { first_leaf: unsigned(first)?, run_id: RunId::new(run), first_seq, count: unsigned(count)? })
}

impl<C: Held> Inside<C> {
    /// A file of the Python package that was opened to read only has no log.
    fn has_log(&self) -> Result<bool> {
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN \
                   ('log_meta', 'log_checkpoints', 'log_segments', 'log_tiles')";
        Ok(self.prepare(sql)?.query_row([], |row| row.get::<_, i64>(0))? == 4)
    }

    /// The last stretch of a run that begins at this event or before it.
    fn segment_up_to(&self, run: &RunId, seq: Seq) -> Result<Option<Segment>> {
        if !self.has_log()? {
            return Ok(None);
        }
        let sql = "SELECT first_leaf, run_id, first_seq, count FROM log_segments \
                   WHERE run_id = ?1 AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params![run.as_str(), seq.get()])?;
        rows.next()?.map(segment).transpose()
    }
}

impl<C: Held> LogRead for Inside<C> {
    fn log_meta(&self, key: &str) -> Result<Option<String>> {
        if !self.has_log()? {
            return Ok(None);
        }
        let mut statement = self.prepare("SELECT value FROM log_meta WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>> {
        if !self.has_log()? {
            return Ok(None);
        }
        let sql = "SELECT size, last_event_id, vkey, note, created_at FROM log_checkpoints ORDER BY id DESC LIMIT 1";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(StoredCheckpoint {
            size: unsigned(row.get(0)?)?,
            last_event_id: row.get(1)?,
            vkey: row.get(2)?,
            note: row.get(3)?,
            created_at: row.get(4)?,
        }))
    }

    fn log_tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        let mut statement = self.prepare("SELECT hashes FROM log_tiles WHERE level = ?1 AND idx = ?2")?;
        Ok(statement.query_row(params![level, signed(index)?], |row| row.get(0)).optional()?)
    }

    fn segments(&self, from_leaf: u64, visit: &mut dyn FnMut(Segment) -> Visit) -> Result<()> {
        if !self.has_log()? {
            return Ok(());
        }
        // From leaf 0 on, a row that claims to come before that is shown too.
        let sql = "SELECT first_leaf, run_id, first_seq, count FROM log_segments WHERE first_leaf >= \
                   coalesce((SELECT max(first_leaf) FROM log_segments WHERE first_leaf <= ?1 AND ?1 > 0), \
                   (SELECT min(first_leaf) FROM log_segments)) ORDER BY first_leaf";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([signed(from_leaf)?])?;
        while let Some(row) = rows.next()? {
            if visit(segment(row)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn leaf_of(&self, run: &RunId, seq: Seq) -> Result<Option<u64>> {
        Ok(self.segment_up_to(run, seq)?.and_then(|found| found.leaf(seq)))
    }

    fn covered(&self, run: &RunId) -> Result<u64> {
        Ok(self.segment_up_to(run, Seq::MAX)?.map_or(0, |last| last.end()))
    }

    fn hashes(&self, run: &RunId, first: Seq, last: Seq, visit: &mut dyn FnMut(i64, Cell<'_>) -> Visit) -> Result<()> {
        let sql = "SELECT seq, event_hash FROM events WHERE run_id = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params![run.as_str(), first.get(), last.get()])?;
        while let Some(row) = rows.next()? {
            // What is no integer stands outside every range.
            let Some(seq) = cell(row, 0)?.integer() else { continue };
            if visit(seq, cell(row, 1)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn events_after(&self, id: i64, visit: &mut dyn FnMut(i64, Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        let sql = "SELECT id, run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at \
                   FROM events WHERE id > ?1 ORDER BY id";
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let (id, row) = (row.get(0)?, event_row(row, 1)?);
            if visit(id, row.run_id, &row).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn count_events(&self) -> Result<u64> {
        unsigned(self.prepare("SELECT count(*) FROM events")?.query_row([], |row| row.get(0))?)
    }
}

impl<C: Held> LogWrite for Inside<C> {
    fn bind_log_meta(&mut self, key: &str, value: &str) -> Result<()> {
        one("log_meta", self.prepare("INSERT INTO log_meta (key, value) VALUES (?1, ?2)")?.execute([key, value])?)
    }

    fn put_log_tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> Result<()> {
        let sql = "INSERT INTO log_tiles (level, idx, hashes) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes";
        one("log_tiles", self.prepare(sql)?.execute(params![level, signed(index)?, hashes])?)
    }

    fn put_segment(&mut self, segment: &Segment) -> Result<()> {
        let sql = "INSERT INTO log_segments (first_leaf, run_id, first_seq, count) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (first_leaf) DO UPDATE SET count = excluded.count";
        let Segment { first_leaf, run_id, first_seq, count } = segment;
        let params = params![signed(*first_leaf)?, run_id.as_str(), first_seq.get(), signed(*count)?];
        one("log_segments", self.prepare(sql)?.execute(params)?)
    }

    fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint, now: Timestamp) -> Result<()> {
        let sql =
            "INSERT INTO log_checkpoints (size, last_event_id, vkey, note, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let StoredCheckpoint { size, last_event_id, vkey, note, .. } = checkpoint;
        let params = params![signed(*size)?, last_event_id, vkey, note, now.to_string()];
        one("log_checkpoints", self.prepare(sql)?.execute(params)?)
    }
}
