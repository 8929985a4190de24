//! The store over SQLite: one file, WAL, every acknowledged commit synced to disk.
//!
//! The bundled library is 3.51.3 or later, because older ones can lose commits in WAL mode when two connections reset
//! the log at once (fixed in 3.51.3; see the SQLite release log and its page on write-ahead logging).

// Before the modules, so that they see it.
macro_rules! event_columns {
    () => {
        "run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at"
    };
}

mod backup;
mod beside;
mod error;
mod inspect;
mod log;
mod open;
mod pieces;
mod query;
mod read;
mod snapshot;
mod write;

use beside::Guarded;
pub(crate) use error::failed;
use open::wait;
pub use query::{Parameters, VisitRow};
use read::{cell, event_row};

use crate::error::Result;
use crate::store::{Problem, ReadTransaction, Snapshot, Store, StoreError, StoreErrorKind, Visit, WriteTransaction};
use receipt_core::id::{EventHash, EventRef};
use receipt_core::run::EventRow;
use rusqlite::{CachedStatement, Connection};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a writer waits for others before it gives up.
const BUSY_LIMIT: Duration = Duration::from_secs(60);

/// How often a writer looks at a schema that somebody changes at the same time.
const SCHEMA_TRIES: u32 = 8;

/// How long a store that is to be scrubbed waits for readers of what was before.
const SCRUB_LIMIT: Duration = Duration::from_secs(2);

/// Blobs up to this size are written and read in one piece, larger ones in pieces of it.
const PIECE: usize = pieces::PIECE;
const PIECE_LEN: i64 = 1 << 20;

/// The largest blob: SQLite's own limit on a row is 10^9 bytes (SQLITE_MAX_LENGTH), and a row has other columns too.
pub const MAX_BLOB: u64 = 990_000_000;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    ReadWrite,
    ReadOnly,
}

/// How evidence lies in a file, which is decided when the file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// As the Python package has it.
    Shared,
    /// Compressed where that pays, see [`pieces`].
    Compressed,
}

/// A ledger in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Guarded,
    path: PathBuf,
    mode: Mode,
    layout: Layout,
    /// The schema that was inspected (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
    schema: i64,
}

impl Store for SqliteStore {
    fn read(&mut self) -> Result<Box<dyn ReadTransaction + '_>> {
        self.take_up()?;
        Ok(Box::new(self.begin("BEGIN")?))
    }

    fn write(&mut self) -> Result<Box<dyn WriteTransaction + '_>> {
        if self.mode == Mode::ReadOnly {
            return Err(failed(StoreErrorKind::ReadOnly, "the file was opened to read"));
        }
        for _ in 0..SCHEMA_TRIES {
            self.take_up()?;
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let schema = schema_version(&self.connection);
            // Nobody else writes from here on, so that only another library can still take the log away.
            let is_ours = self.connection.is_intact();
            if is_ours && schema.as_ref().is_ok_and(|schema| *schema == self.schema) {
                return Ok(Box::new(self.begun()));
            }
            // Somebody has changed it since: what is there now would take part in each write.
            rollback(&self.connection);
            schema?;
            if is_ours {
                self.accept_schema()?;
            }
        }
        Err(failed(StoreErrorKind::Busy, "somebody keeps changing the schema"))
    }

    fn snapshots(&mut self, wanted: usize) -> Result<Vec<Box<dyn Snapshot>>> {
        self.take_up()?;
        snapshot::of_one_instant(&self.path, wanted)
    }

    fn reopen(&self) -> Result<Box<dyn Store>> {
        Ok(Box::new(Self::open_read_only(&self.path)?))
    }

    fn inspect(&mut self) -> Result<Vec<Problem>> {
        inspect::problems(&self.connection, self.layout)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    /// Removed content is overwritten where it lay (secure_delete); the log is emptied into the file, and free pages are
    /// given back.
    fn scrub(&mut self) -> Result<bool> {
        if self.mode == Mode::ReadOnly {
            return Err(failed(StoreErrorKind::ReadOnly, "the file was opened to read"));
        }
        self.take_up()?;
        scrub(&mut self.connection)
    }
}

/// A transaction; rolled back when dropped, unless it is somebody else's.
pub(crate) struct SqliteTransaction<'c> {
    pub(super) connection: &'c Connection,
    /// The files of the connection; none where another store acts on it.
    guard: Option<&'c Guarded>,
    layout: Layout,
    /// Whether it began here, and is to be rolled back here.
    own: bool,
    /// Kept at hand: a batch runs it for every event.
    insert_event: Option<CachedStatement<'c>>,
    last_event: Option<(EventRef, EventHash)>,
}

impl SqliteStore {
    /// Opens the file again where another library of this process has taken the log away, see [`beside`]: what had been
    /// acknowledged lies in the database then.
    fn take_up(&mut self) -> Result<()> {
        if self.connection.is_intact() {
            return Ok(());
        }
        // Closed first: connections of one library share what they have mapped of the index.
        self.connection.let_go()?;
        *self = Self::open_mode(&self.path, self.mode, self.layout)?;
        Ok(())
    }

    /// Whether this process has the ledger file at `path` open through the library that this store uses.
    pub fn is_open_here(path: &Path) -> bool {
        beside::is_open_here(path)
    }

    /// Whether this process has the log of the ledger file at `path` open, and not through the library that this store uses.
    /// Two SQLite libraries in one process lose what was committed, see [the page](https://www.sqlite.org/howtocorrupt.html); who is asked to open such a
    /// file should refuse. A host that has connections of its own through *this* library is told `true` as well.
    pub fn is_open_elsewhere(path: &Path) -> bool {
        beside::is_open_elsewhere(path)
    }

    /// Runs one SQL statement that only reads the file at `path`, and shows each row.
    ///
    /// # Errors
    /// Where it is no statement, more than one, or one that writes; where `parameters` are not those that it asks for; where
    /// the file cannot be read; what `visit` gives.
    pub fn query(path: &Path, sql: &str, parameters: Parameters<'_>, visit: VisitRow<'_>) -> Result<()> {
        query::query(path, sql, parameters, visit)
    }

    fn begin(&self, begin: &str) -> Result<SqliteTransaction<'_>> {
        self.connection.prepare_cached(begin)?.execute([])?;
        Ok(self.begun())
    }

    /// The transaction that has just begun on its connection.
    fn begun(&self) -> SqliteTransaction<'_> {
        let guard = Some(&self.connection);
        SqliteTransaction {
            connection: &self.connection,
            guard,
            layout: self.layout,
            own: true,
            insert_event: None,
            last_event: None,
        }
    }
}
/// Removed content is overwritten where it lay (secure_delete); the log is emptied into the file, and free pages are given
/// back. `false` where a reader of what was before stands in the way.
pub(crate) fn scrub(connection: &mut Connection) -> Result<bool> {
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    drop(pages);
    drop(vacuum);
    // Not in the busy handler: a reader may hold what was before for as long as it likes.
    let deadline = Instant::now() + SCRUB_LIMIT;
    connection.busy_timeout(Duration::ZERO)?;
    let checkpoint = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    let done = loop {
        match checkpoint() {
            Ok(0) => break Ok(true),
            Ok(_) if Instant::now() > deadline => break Ok(false),
            Ok(_) => thread::sleep(Duration::from_millis(20)),
            Err(error) => match StoreError::from(error) {
                error if error.kind() != StoreErrorKind::Busy => break Err(error.into()),
                _ if Instant::now() > deadline => break Ok(false),
                _ => thread::sleep(Duration::from_millis(20)),
            },
        }
    };
    connection.busy_handler(Some(wait))?;
    done
}

/// A number that is another one once the schema has changed.
fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))?)
}

pub(crate) fn rollback(connection: &Connection) {
    if !connection.is_autocommit() {
        // Where the rollback itself fails SQLite has rolled back already.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

impl<'c> SqliteTransaction<'c> {
    /// The view of a connection inside a transaction that somebody else has begun, and will end.
    fn inside(connection: &'c Connection, layout: Layout) -> Self {
        Self { connection, guard: None, layout, own: false, insert_event: None, last_event: None }
    }

    pub(crate) fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>> {
        Ok(self.connection.prepare_cached(sql)?)
    }

    fn each_event(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        visit: &mut dyn FnMut(&EventRow<'_>) -> Visit,
    ) -> Result<()> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if visit(&event_row(row, 0)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if self.own {
            rollback(self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SqliteStore;

    #[test]
    fn each_writing_connection_syncs_every_commit_checks_foreign_keys_and_wipes_what_it_removes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        for store in [SqliteStore::create(&path).unwrap(), SqliteStore::open(&path).unwrap()] {
            let pragma =
                |name: &str| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("secure_delete")), (2, 1, 1));
            assert_eq!(pragma("trusted_schema"), 0);
            let mode: String = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
    }
}
