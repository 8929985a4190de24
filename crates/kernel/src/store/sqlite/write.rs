//! The writes of a transaction, each of which must have written what it was to write.

use super::beside::Guarded;
use super::error::{at_commit, at_insert, failed, ignored, io, one};
use super::pieces::{self, First};
use super::{Held, Inside, Layout, MAX_BLOB, PIECE};
use crate::error::{Error, Result};
use crate::store::{KeyRow, NewBlob, NewEvent, NewRun, StoreErrorKind, WriteTransaction};
use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, EventHash, EventRef, RunId, Timestamp};
use rusqlite::blob::ZeroBlob;
use rusqlite::params;
use rusqlite::types::Null;
use std::io::{Read, Write};

impl<C: Held> Inside<C> {
    fn insert_whole(&self, blob: &NewBlob<'_>, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != blob.record.bytes_len {
            return Err(failed(StoreErrorKind::Io, "the evidence ended too early"));
        }
        self.insert_blob(blob, &bytes)
    }

    fn insert_blob(&self, blob: &NewBlob<'_>, data: &dyn rusqlite::ToSql) -> Result<()> {
        let sql = "INSERT INTO blobs (sha256, content_type, bytes_len, evidence_class, state, data, created_at, \
                   redaction_json) VALUES (?1, ?2, ?3, ?4, 'live', ?5, ?6, ?7)";
        let too_large = |_| failed(StoreErrorKind::Misuse, "a blob is larger than a number of SQLite");
        let length = i64::try_from(blob.record.bytes_len).map_err(too_large)?;
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

impl<C: Held> WriteTransaction for Inside<C> {
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

    /// The statement is found once for all of them: that costs as much as a tenth of an insert.
    fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<()> {
        let sql = concat!("INSERT INTO events (", event_columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
        let mut statement = self.prepare(sql)?;
        for NewEvent { event, created_at } in events {
            let text = std::str::from_utf8(&event.text)
                .map_err(|_| Error::internal("an event was sealed to text that is not UTF-8"))?;
            let inserted = statement.execute(params![
                event.link.run_id.as_str(),
                event.link.seq.get(),
                event.event_type.as_str(),
                text,
                event.hash.to_string(),
                event.link.prev.map(|hash| hash.to_string()),
                created_at.to_string(),
            ]);
            let inserted = inserted.map_err(|error| at_insert(&self.connection, error))?;
            one("events", inserted)?;
        }
        drop(statement);
        let last = events.last().map(|last| (last.event.link.event_ref(), last.event.hash));
        self.last_event = last.or(self.last_event.take());
        Ok(())
    }

    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<()> {
        let bytes_len = blob.record.bytes_len;
        if bytes_len > MAX_BLOB {
            return Err(Error::TooLarge { what: "evidence", bytes: bytes_len, limit: MAX_BLOB });
        }
        self.prepare("DELETE FROM blobs WHERE sha256 = ?1")?.execute([blob.record.hash.to_hex()])?;
        let hash = &blob.record.hash;
        if self.layout == Layout::Compressed {
            pieces::remove(&self.connection, hash)?;
            // What is encrypted does not compress.
            if blob.record.class == EvidenceClass::Public {
                return match pieces::begin(data, bytes_len)? {
                    First::Plain(whole) => self.insert_whole(blob, &whole),
                    First::Pieces(writer) => {
                        self.insert_blob(blob, &Null)?;
                        writer.write(&self.connection, hash, data, bytes_len)
                    }
                };
            }
        }
        if bytes_len <= PIECE as u64 {
            let mut whole = Vec::new();
            data.take(bytes_len).read_to_end(&mut whole).map_err(io)?;
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
        if changed == 0 {
            let there = "SELECT count(*) FROM blobs WHERE sha256 = ?1 AND state = ?2";
            let there = self.prepare(there)?.query_row([&hash.to_hex(), from.as_str()], |row| row.get(0))?;
            return if there == 0 { Ok(false) } else { Err(ignored("blobs", 0, there)) };
        }
        if self.layout == Layout::Compressed {
            pieces::remove(&self.connection, hash)?;
        }
        Ok(true)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
        one("settings", self.prepare(sql)?.execute([name, value])?)
    }

    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<()> {
        let sql = "INSERT INTO idempotency_keys (run_id, key, seq, draft_sha256) VALUES (?1, ?2, ?3, ?4)";
        one("idempotency_keys", self.prepare(sql)?.execute(params![run.as_str(), key, row.seq.get(), row.digest])?)
    }

    fn last_event(&self) -> Option<(EventRef, EventHash)> {
        self.last_event.clone()
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.prepare("COMMIT")?.execute([]).map_err(at_commit)?;
        self.connection.guard().map_or(Ok(()), Guarded::settle)
    }
}

fn copy_exactly(from: &mut dyn Read, to: &mut dyn Write, length: u64) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        from.read_exact(&mut piece[..want]).map_err(io)?;
        to.write_all(&piece[..want]).map_err(io)?;
        left -= want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::store::sqlite::{Layout, SqliteStore, SqliteTransaction};
    use crate::store::{
        KeyRow, LogWrite, NewBlob, NewRun, Segment, StoreErrorKind, StoredCheckpoint, WriteTransaction,
    };
    use receipt_core::chain::Link;
    use receipt_core::envelope::{EventType, Sealed};
    use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
    use receipt_core::id::{BlobHash, EventHash, RunId, Seq, Timestamp};
    use rusqlite::Connection;

    fn at() -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000)
    }

    fn blob() -> BlobRecord {
        let content_type = "text/plain".to_owned();
        BlobRecord { hash: BlobHash::of(b"x"), content_type, bytes_len: 1, class: EvidenceClass::Public }
    }

    fn run(run_id: &RunId) -> NewRun<'_> {
        let (policy_id, policy_version, stage_graph_id, meta_json) = ("p", "1", "g", "{}");
        NewRun { run_id, policy_id, policy_version, stage_graph_id, created_at: at(), meta_json }
    }

    fn put(it: &mut SqliteTransaction<'_>) -> Result<()> {
        let blob = NewBlob { record: &blob(), created_at: at(), redaction_json: None };
        it.put_blob(&blob, &mut b"x".as_slice())
    }

    fn insert_event(it: &mut SqliteTransaction<'_>) -> Result<()> {
        let link = Link::first(RunId::new("r"));
        let event = Sealed { link, event_type: EventType::RunStart, hash: EventHash::of(b"e"), text: b"{}".to_vec() };
        it.insert_event(&event, at())
    }

    fn put_segment(it: &mut SqliteTransaction<'_>) -> Result<()> {
        it.put_segment(&Segment { first_leaf: 0, run_id: RunId::new("r"), first_seq: Seq::FIRST, count: 1 })
    }

    fn put_checkpoint(it: &mut SqliteTransaction<'_>) -> Result<()> {
        let text = String::new;
        let last = StoredCheckpoint { size: 1, last_event_id: 1, vkey: text(), note: text(), created_at: text() };
        it.put_checkpoint(&last, at())
    }

    fn expire(it: &mut SqliteTransaction<'_>) -> Result<()> {
        it.expire_blob(&BlobHash::of(b"x"), BlobState::Live, BlobState::ExpiredHashOnly, at()).map(drop)
    }

    type Write = fn(&mut SqliteTransaction<'_>) -> Result<()>;

    /// Each write, the statement that it makes, and its table.
    const WRITES: [(&str, &str, Write); 11] = [
        ("INSERT", "runs", |it| it.insert_run(&run(&RunId::new("s")))),
        ("INSERT", "events", insert_event),
        ("INSERT", "blobs", put),
        ("UPDATE", "blobs", |it| it.set_class(&blob())),
        ("UPDATE", "blobs", expire),
        ("INSERT", "settings", |it| it.set("a", "1")),
        ("INSERT", "idempotency_keys", |it| {
            it.insert_key(&RunId::new("r"), "k", KeyRow { seq: Seq::FIRST, digest: [0; 32] })
        }),
        ("INSERT", "log_meta", |it| it.bind_log_meta("origin", "o")),
        ("INSERT", "log_tiles", |it| it.put_log_tile(0, 0, &[0; 32])),
        ("INSERT", "log_segments", put_segment),
        ("INSERT", "log_checkpoints", put_checkpoint),
    ];

    /// A writer refuses a schema that it does not know before it writes, so that only here a write meets the trigger.
    #[test]
    fn a_write_that_changes_no_row_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        drop(SqliteStore::create(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let mut it = SqliteTransaction::over(&connection, Layout::Shared);
        it.insert_run(&run(&RunId::new("r"))).unwrap();
        for (act, table, write) in WRITES {
            let connection = &connection;
            let again = |sql: &str| connection.execute_batch(sql).unwrap();
            if act == "UPDATE" {
                put(&mut it).unwrap();
            }
            let trigger = format!("CREATE TRIGGER planted BEFORE {act} ON {table} BEGIN SELECT RAISE(IGNORE); END");
            again(&trigger);
            let error = write(&mut it).unwrap_err();
            assert_eq!(error.of_store(), Some(StoreErrorKind::Ignored), "{act} {table}: {error}");
            assert!(error.to_string().contains(table), "{error}");
            again("DROP TRIGGER planted");
            write(&mut it).expect("the control");
        }
        assert!(
            !it.expire_blob(&BlobHash::of(b"x"), BlobState::Live, BlobState::Purged, at()).unwrap(),
            "it has expired"
        );
    }
}
