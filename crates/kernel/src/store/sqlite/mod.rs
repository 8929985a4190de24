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
mod connect;
mod error;
mod inspect;
mod log;
mod open;
mod pieces;
mod query;
mod read;
mod readers;
mod snapshot;
mod write;

use beside::Guarded;
use connect::wait;
pub(crate) use error::failed;
pub use query::{Parameters, VisitRow};
use read::{cell, event_row};
use readers::Readers;

use crate::cores::cores;
use crate::error::Result;
use crate::store::{
    Arrival, Erasure, Limits, Location, Problem, Scope, Snapshot, Store, StoreError, StoreErrorKind, Visit,
    WriteTransaction,
};
use receipt_core::id::{EventHash, EventRef};
use receipt_core::run::EventRow;
use rusqlite::{CachedStatement, Connection};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    path: PathBuf,
    layout: Layout,
    /// Closed before the writer: SQLite removes the log of a file when its last connection is closed, if that may write.
    readers: Readers,
    /// None if the file was opened to read only.
    writer: Option<Mutex<Writer>>,
}

/// The connection that writes.
#[derive(Debug)]
struct Writer {
    connection: Guarded,
    /// The schema that was inspected (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
    schema: i64,
}

/// The connection that writes while somebody has it.
struct Writing<'s>(MutexGuard<'s, Writer>);

impl Deref for Writing<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0.connection
    }
}

/// One reader a core, and one that lists their work.
fn useful_readers() -> usize {
    cores() + 1
}

impl Store for SqliteStore {
    fn location(&self) -> Location {
        Location::File(self.path.clone())
    }

    fn limits(&self) -> Limits {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let spool = Some(folder.unwrap_or(Path::new(".")).to_owned());
        Limits { largest_blob: MAX_BLOB, readers: useful_readers(), is_remote: false, spool }
    }

    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>> {
        self.of_one_instant(wanted)
    }

    /// Whatever the scope is, there is one writer of a file at a time.
    fn begin(&self, _: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>> {
        let mut writer = self.writer()?;
        for _ in 0..SCHEMA_TRIES {
            self.take_up(&mut writer)?;
            writer.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let schema = schema_version(&writer.connection);
            // Nobody else writes from here on, so that only another library can still take the log away.
            let is_ours = writer.connection.is_intact();
            if is_ours && schema.as_ref().is_ok_and(|schema| *schema == writer.schema) {
                let (connection, layout) = (Writing(writer), self.layout);
                return Ok(Box::new(Inside { connection, layout, own: true, last_event: None }));
            }
            // Somebody has changed it since: what is there now would take part in each write.
            rollback(&writer.connection);
            schema?;
            if is_ours {
                writer.accept_schema(&self.path, self.layout)?;
            }
        }
        Err(failed(StoreErrorKind::Busy, "somebody keeps changing the schema"))
    }

    /// Rows are numbered in the order of their commits, as there is one writer at a time.
    fn settled(&self) -> Result<Arrival> {
        let last = "SELECT coalesce(max(id), 0) FROM events";
        Ok(Arrival(self.reader()?.prepare_cached(last)?.query_row([], |row| row.get(0))?))
    }

    fn inspect(&self) -> Result<Vec<Problem>> {
        let reader = self.reader()?;
        inspect::problems(&reader, self.layout)
    }

    /// Removed content is overwritten where it lay (secure_delete); the log is emptied into the file, and free pages are
    /// given back.
    fn erase(&self) -> Result<Erasure> {
        let mut writer = self.writer()?;
        self.take_up(&mut writer)?;
        let done = scrub(&mut writer.connection)?;
        let by = || "a connection that still reads what was before".to_owned();
        Ok(if done { Erasure::Done } else { Erasure::Blocked { by: by() } })
    }
}

impl SqliteStore {
    fn writer(&self) -> Result<MutexGuard<'_, Writer>> {
        let read_only = || failed(StoreErrorKind::ReadOnly, "the file was opened to read");
        // Whoever panicked in a transaction has rolled it back.
        Ok(self.writer.as_ref().ok_or_else(read_only)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the file again where another library of this process has taken the log away, see [`beside`]: what had been
    /// acknowledged lies in the database then.
    fn take_up(&self, writer: &mut Writer) -> Result<()> {
        if writer.connection.is_intact() {
            return Ok(());
        }
        Self::existing(&self.path)?;
        // Closed first: connections of one library share what they have mapped of the index.
        self.readers.close();
        writer.connection.let_go()?;
        *writer = Writer::open(&self.path, self.layout)?;
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
}

/// A connection that a transaction has, or shares.
pub(crate) trait Held: Deref<Target = Connection> {
    /// The files of the connection; none where another store acts on it, or nothing is written.
    fn guard(&self) -> Option<&Guarded> {
        None
    }
}

impl Held for &Connection {}

impl Held for Writing<'_> {
    fn guard(&self) -> Option<&Guarded> {
        Some(&self.0.connection)
    }
}

/// The view that a connection gives inside a transaction; rolled back when dropped, unless the transaction is somebody
/// else's.
pub(crate) struct Inside<C: Held> {
    pub(super) connection: C,
    layout: Layout,
    /// Whether it began here, and is to be rolled back here.
    own: bool,
    last_event: Option<(EventRef, EventHash)>,
}

/// The view of a connection that somebody else has.
pub(crate) type SqliteTransaction<'c> = Inside<&'c Connection>;

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
    fn over(connection: &'c Connection, layout: Layout) -> Self {
        Self { connection, layout, own: false, last_event: None }
    }
}

impl<C: Held> Inside<C> {
    pub(crate) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
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

impl<C: Held> Drop for Inside<C> {
    fn drop(&mut self) {
        if self.own {
            rollback(&self.connection);
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
            let connection = &store.writer().unwrap().connection;
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("secure_delete")), (2, 1, 1));
            assert_eq!(pragma("trusted_schema"), 0);
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
        }
    }
}
