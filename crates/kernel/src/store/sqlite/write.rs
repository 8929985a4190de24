//! The writes of a transaction, each of which must have written what it was to write.

use super::pieces::{self, First};
use super::{Layout, MAX_BLOB, PIECE, SqliteTransaction};
use crate::error::{Error, Result};
use crate::store::{KeyRow, NewBlob, NewRun, WriteTransaction, one};
use receipt_core::envelope::Sealed;
use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, RunId, Timestamp};
use rusqlite::blob::ZeroBlob;
use rusqlite::params;
use rusqlite::types::Null;
use std::io::{Read, Write};

impl SqliteTransaction<'_> {
    fn insert_whole(&self, blob: &NewBlob<'_>, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != blob.record.bytes_len {
            return Err(Error::store("the evidence ended too early"));
        }
        self.insert_blob(blob, &bytes)
    }

    fn insert_blob(&self, blob: &NewBlob<'_>, data: &dyn rusqlite::ToSql) -> Result<()> {
        let sql = "INSERT INTO blobs (sha256, content_type, bytes_len, evidence_class, state, data, created_at, \
                   redaction_json) VALUES (?1, ?2, ?3, ?4, 'live', ?5, ?6, ?7)";
        let length = i64::try_from(blob.record.bytes_len).map_err(|error| Error::store(error.to_string()))?;
        let inserted = self.prepare(sql)?.execute(params![
            blob.record.hash.to_hex(),
            blob.record.content_type,
            length,
            blob.record.class.as_str(),
            data,
            blob.created_at.to_string(),
            blob.redaction_json,
        ])?;
        one("blobs", inserted)
    }
}

macro_rules! run_columns {
    () => {
        "policy_id, policy_version, stage_graph_id, created_at, meta_json"
    };
}

impl WriteTransaction for SqliteTransaction<'_> {
    fn insert_run(&mut self, run: &NewRun<'_>) -> Result<()> {
        let sql = concat!("INSERT INTO runs (run_id, ", run_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
        let inserted = self.prepare(sql)?.execute(params![
            run.run_id.as_str(),
            run.policy_id,
            run.policy_version,
            run.stage_graph_id,
            run.created_at.to_string(),
            run.meta_json,
        ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(Error::RunExists { run: run.run_id.to_string() })
            }
            inserted => one("runs", inserted?),
        }
    }

    fn insert_event(&mut self, event: &Sealed, created_at: Timestamp) -> Result<()> {
        let text = std::str::from_utf8(&event.text).map_err(|error| Error::store(error.to_string()))?;
        let sql = concat!("INSERT INTO events (", event_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        if self.insert_event.is_none() {
            self.insert_event = Some(self.prepare(sql)?);
        }
        let Some(insert) = &mut self.insert_event else { return Err(Error::store("no statement")) };
        let inserted = insert.execute(params![
            event.link.run_id.as_str(),
            event.link.seq.get(),
            event.event_type.as_str(),
            text,
            event.hash.to_string(),
            event.link.prev.map(|hash| hash.to_string()),
            created_at.to_string(),
        ])?;
        one("events", inserted)
    }

    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<()> {
        let bytes_len = blob.record.bytes_len;
        if bytes_len > MAX_BLOB {
            return Err(Error::TooLarge { what: "evidence", bytes: bytes_len, limit: MAX_BLOB });
        }
        self.prepare("DELETE FROM blobs WHERE sha256 = ?1")?.execute([blob.record.hash.to_hex()])?;
        let hash = &blob.record.hash;
        if self.layout == Layout::Compressed {
            pieces::remove(self.connection, hash)?;
            // What is encrypted does not compress.
            if blob.record.class == EvidenceClass::Public {
                return match pieces::begin(data, bytes_len)? {
                    First::Plain(whole) => self.insert_whole(blob, &whole),
                    First::Pieces(writer) => {
                        self.insert_blob(blob, &Null)?;
                        writer.write(self.connection, hash, data, bytes_len)
                    }
                };
            }
        }
        if bytes_len <= PIECE as u64 {
            let mut whole = Vec::new();
            data.take(bytes_len).read_to_end(&mut whole).map_err(|error| Error::store(error.to_string()))?;
            return self.insert_whole(blob, &whole);
        }
        self.insert_blob(blob, &ZeroBlob(bytes_len))?;
        let rowid = self.connection.last_insert_rowid();
        let mut target = self.connection.blob_open("main", "blobs", "data", rowid, false)?;
        copy_exactly(data, &mut target, bytes_len)
    }

    fn set_class(&mut self, blob: &BlobRecord) -> Result<()> {
        let sql = "UPDATE blobs SET evidence_class = ?2, content_type = ?3 WHERE sha256 = ?1";
        let params = params![blob.hash.to_hex(), blob.class.as_str(), blob.content_type];
        one("blobs", self.prepare(sql)?.execute(params)?)
    }

    fn expire_blob(&mut self, hash: &BlobHash, from: BlobState, to: BlobState, at: Timestamp) -> Result<bool> {
        let sql = "UPDATE blobs SET state = ?3, data = NULL, redaction_json = NULL, \
                   expired_at = coalesce(expired_at, ?4) WHERE sha256 = ?1 AND state = ?2";
        let changed = self.prepare(sql)?.execute(params![hash.to_hex(), from.as_str(), to.as_str(), at.to_string()])?;
        if changed == 1 && self.layout == Layout::Compressed {
            pieces::remove(self.connection, hash)?;
        }
        Ok(changed == 1)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
        one("settings", self.prepare(sql)?.execute([name, value])?)
    }

    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<()> {
        let sql = "INSERT INTO idempotency_keys (run_id, key, seq, draft_sha256) VALUES (?1, ?2, ?3, ?4)";
        one("idempotency_keys", self.prepare(sql)?.execute(params![run.as_str(), key, row.seq.get(), row.digest])?)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.prepare("COMMIT")?.execute([])?;
        Ok(())
    }
}

fn copy_exactly(from: &mut dyn Read, to: &mut dyn Write, length: u64) -> Result<()> {
    let failed = |error: std::io::Error| Error::store(error.to_string());
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        from.read_exact(&mut piece[..want]).map_err(failed)?;
        to.write_all(&piece[..want]).map_err(failed)?;
        left -= want as u64;
    }
    Ok(())
}
