//! The store over SQLite: one file, WAL, every acknowledged commit synced to disk.
//!
//! The bundled library is 3.51.3 or later, because older ones can lose commits in WAL mode when two connections reset
//! the log at once (fixed in 3.51.3; see the SQLite release log and its page on write-ahead logging).

use super::pieces::{self, First};
use super::{
    BlobRow, KeyRow, NewBlob, NewRun, Problem, ReadTransaction, Size, Snapshot, Store, Visit, VisitRun, Visitor,
    WriteTransaction, one,
};
use crate::error::{Error, Result};
use receipt_core::envelope::Sealed;
use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow, RunRow};
use rusqlite::blob::ZeroBlob;
use rusqlite::types::{Null, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, OptionalExtension, Row, params};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

mod inspect;
mod snapshot;

/// The store schema that this kernel writes, as `schema_meta` names it.
const SCHEMA_VERSION: u32 = 1;

/// The oldest library without the WAL-reset race: 3.51.3.
const MIN_SQLITE: i32 = 3_051_003;

/// How long a writer waits for others before it gives up.
const BUSY_LIMIT: Duration = Duration::from_secs(60);

/// How long a store that is to be scrubbed waits for readers of what was before.
const SCRUB_LIMIT: Duration = Duration::from_secs(2);

/// Blobs up to this size are written and read in one piece, larger ones in pieces of it.
const PIECE: usize = pieces::PIECE;
const PIECE_LEN: i64 = 1 << 20;

/// The size of a page in a new file.
const PAGE: i64 = 8192;

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
    connection: Connection,
    path: PathBuf,
    mode: Mode,
    layout: Layout,
}

impl SqliteStore {
    /// Makes a new file, readable by its owner only, and its folder where there is none.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        Self::create_as(path, Layout::Shared)
    }

    /// The same, of a file that holds evidence compressed where that pays. The Python package cannot read it, and is
    /// refused. Sealed evidence, which is encrypted, lies as it is.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_compressed(path: &Path) -> Result<Self> {
        Self::create_as(path, Layout::Compressed)
    }

    fn create_as(path: &Path, layout: Layout) -> Result<Self> {
        let io = |source: std::io::Error| Error::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
            private_folder().create(folder).map_err(io)?;
        }
        private_file().create_new(true).open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
            _ => io(source),
        })?;
        let store = Self::open_mode(path, Mode::ReadWrite, layout)?;
        // Another process could have been the one to fill the file.
        if store.layout == layout { Ok(store) } else { Err(Error::Exists { path: path.to_owned() }) }
    }

    /// Opens a file that is there, to read and to write. One that the Python package wrote gets the tables and triggers
    /// of this kernel beside its own.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotALedger`], [`Error::NewerSchema`].
    pub fn open(path: &Path) -> Result<Self> {
        Self::existing(path)?;
        Self::open_mode(path, Mode::ReadWrite, Layout::Shared)
    }

    /// Opens a file that is there, to read only: nothing in it changes, and nothing in its schema is trusted.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::existing(path)?;
        Self::open_mode(path, Mode::ReadOnly, Layout::Shared)
    }

    fn existing(path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => Self::beside(path),
            Ok(_) => Err(Error::NotALedger { path: path.to_owned(), problem: "it is not a file".to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NotFound { path: path.to_owned() })
            }
            Err(source) => Err(Error::Io { path: path.to_owned(), source }),
        }
    }

    /// SQLite opens the files beside a database without looking what they are: a pipe in place of one would be waited for,
    /// and a link would be followed. It finds them beside the file that a link leads to.
    fn beside(path: &Path) -> Result<()> {
        let real = fs::canonicalize(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        for ending in ["-journal", "-wal", "-shm"] {
            let mut name = real.clone().into_os_string();
            name.push(ending);
            if fs::symlink_metadata(&name).is_ok_and(|meta| !meta.is_file()) {
                let problem = format!("{ending} beside it is not a plain file");
                return Err(Error::NotALedger { path: path.to_owned(), problem });
            }
        }
        Ok(())
    }

    /// `layout` is that of a file that is still empty.
    fn open_mode(path: &Path, mode: Mode, layout: Layout) -> Result<Self> {
        if rusqlite::version_number() < MIN_SQLITE {
            return Err(Error::OldSqlite { found: rusqlite::version() });
        }
        let opened = match mode {
            Mode::ReadWrite => connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, mode),
            Mode::ReadOnly => connect_read_only(path),
        };
        let connection = opened.map_err(|error| not_a_ledger(path, error))?;
        let mut store = Self { connection, path: path.to_owned(), mode, layout };
        if mode == Mode::ReadWrite {
            store.initialize().map_err(|error| not_a_ledger(path, error))?;
        }
        store.layout = read_layout(&store.connection)?.unwrap_or(Layout::Shared);
        Ok(store)
    }

    /// Makes what is missing of the schema, in one transaction; a file of a newer schema is left alone.
    fn initialize(&mut self) -> Result<()> {
        // Before anything is written: a file of a newer schema, or of something else, stays as it is.
        read_layout(&self.connection)?;
        self.check_owner()?;
        // Both take effect in a file that is still empty. Rows of a kilobyte leave a fifth of a page of 4 KiB unused; pages
        // larger than this save little more, and each durable append writes whole pages.
        self.connection.pragma_update(None, "page_size", PAGE)?;
        // Pages that retention frees go back to the disk.
        self.connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        switch_to_wal(&self.connection)?;
        let found = read_layout(&self.connection)?;
        let is_new = found.is_none();
        self.layout = found.unwrap_or(self.layout);
        let complete: i64 = self.connection.query_row(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('runs', 'events', 'blobs', 'schema_meta', \
             'idempotency_keys', 'settings', 'events_are_not_updated', 'events_are_not_deleted', 'log_meta', \
             'log_checkpoints', 'log_segments', 'log_segments_of_run', 'log_tiles')",
            [],
            |row| row.get(0),
        )?;
        if complete < 13 {
            let compressed = if is_new && self.layout == Layout::Compressed { pieces::schema() } else { "" };
            let script = format!("BEGIN IMMEDIATE; {} {compressed} COMMIT;", include_str!("../schema.sql"));
            if let Err(error) = self.connection.execute_batch(&script) {
                rollback(&self.connection);
                return Err(error.into());
            }
        }
        // Whatever else stands in the schema would take part in each of our writes.
        match self.inspect()?.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(Error::NotALedger { path: self.path.clone(), problem: problem.msg }),
        }
    }

    fn check_owner(&self) -> Result<()> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE name IN ('runs', 'events', 'blobs', 'schema_meta')) \
                   FROM sqlite_master WHERE type IN ('table', 'view')";
        let counts = |row: &Row<'_>| -> rusqlite::Result<(i64, i64)> { Ok((row.get(0)?, row.get(1)?)) };
        match self.connection.query_row(sql, [], counts)? {
            (1.., 0) => {
                let problem = "it is a database of something else".to_owned();
                Err(Error::NotALedger { path: self.path.clone(), problem })
            }
            _ => Ok(()),
        }
    }

    /// Copies the ledger whole, as it is at one instant, while others go on writing. `progress` is told how many pages
    /// are done, of how many. The copy appears under its name when it is complete and synced, or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file at `to`; [`Error::Io`].
    pub fn backup(&self, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        if to.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let part = partial_name(to);
        let named = |error| match error {
            // What the user named, not what is there for a while.
            Error::Io { path, source } if path == part => Error::Io { path: to.to_owned(), source },
            error => error,
        };
        let copied = self.copy_to(&part, progress).map_err(named).and_then(|()| {
            let io = |source| Error::Io { path: to.to_owned(), source };
            fs::File::open(&part).and_then(|file| file.sync_all()).map_err(io)?;
            // A hard link fails where a file has appeared in the meantime; a rename would replace it.
            fs::hard_link(&part, to).map_err(io)?;
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        });
        let _ = fs::remove_file(&part);
        copied
    }

    fn copy_to(&self, part: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let io = |source| Error::Io { path: part.to_owned(), source };
        private_file().create_new(true).open(part).map_err(io)?;
        // Held open, this transaction keeps the copy at one instant, and keeps it from starting anew at each write.
        let transaction = self.begin("BEGIN")?;
        transaction.connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        let mut copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy)?;
        loop {
            let more = backup.step(256)?;
            let pages = backup.progress();
            let total = u64::try_from(pages.pagecount).unwrap_or(0);
            progress(total - u64::try_from(pages.remaining).unwrap_or(0), total);
            if more == rusqlite::backup::StepResult::Done {
                break;
            }
        }
        drop(backup);
        // The copy of a WAL file would otherwise leave a log and an index of its own beside it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.close().map_err(|(_, error)| error.into())
    }
}

/// How evidence lies in a file, by its version; `None` where it has no version yet.
fn read_layout(connection: &Connection) -> Result<Option<Layout>> {
    let has_meta = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_meta'", [], |_| Ok(()))
        .optional()?;
    if has_meta.is_none() {
        return Ok(None);
    }
    let query = "SELECT CAST(value AS TEXT) FROM schema_meta WHERE key = 'store_schema_version'";
    let found: Option<String> = connection.query_row(query, [], |row| row.get(0)).optional()?;
    match found {
        None => Ok(None),
        Some(found) if found == SCHEMA_VERSION.to_string() => Ok(Some(Layout::Shared)),
        Some(found) if found == pieces::VERSION => Ok(Some(Layout::Compressed)),
        Some(found) => Err(Error::NewerSchema { found, supported: SCHEMA_VERSION }),
    }
}

/// The switch does not wait in the busy handler.
fn switch_to_wal(connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + BUSY_LIMIT;
    while let Err(error) = connection.pragma_update(None, "journal_mode", "WAL") {
        let error = Error::from(error);
        if !matches!(error, Error::Busy) || Instant::now() > deadline {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
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
            Err(error) => match Error::from(error) {
                Error::Busy if Instant::now() > deadline => break Ok(false),
                Error::Busy => thread::sleep(Duration::from_millis(20)),
                error => break Err(error),
            },
        }
    };
    connection.busy_handler(Some(wait))?;
    done
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".part{}", std::process::id()));
    PathBuf::from(name)
}

#[cfg(unix)]
fn private_file() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn private_file() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    options
}

fn private_folder() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn not_a_ledger(path: &Path, error: Error) -> Error {
    match error {
        Error::Store { message, .. } => Error::NotALedger { path: path.to_owned(), problem: message },
        error => error,
    }
}

/// A file in a folder that cannot be written has no room for SQLite's shared memory; without a log beside it, it is
/// whole by itself and is opened as unchanging.
fn connect_read_only(path: &Path) -> Result<Connection> {
    let error = match connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, Mode::ReadOnly) {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if Path::new(&log).exists() {
        return Err(error);
    }
    let escaped: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = PathBuf::from(format!("file:{escaped}?immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(&uri, flags, Mode::ReadOnly).map_err(|_| error)
}

fn connect(path: &Path, flags: OpenFlags, mode: Mode) -> Result<Connection> {
    let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Before anything else: every statement after this one may meet another writer.
    connection.busy_handler(Some(wait))?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Parameters are unbound behind each use of a statement, and a plan that had looked at their values would then be made
    // anew at the next (https://www.sqlite.org/queryplanner-ng.html#qpsg).
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    if mode == Mode::ReadWrite {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "secure_delete", true)?;
    } else {
        // Most readers go through the file once, and do that fastest in memory that stays in the processor's cache. KiB.
        connection.pragma_update(None, "cache_size", -512)?;
    }
    // The first read: here a file that is no database says so.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}

/// Waits a little longer each time, with the process id in it so that many waiting writers do not march in step.
fn wait(tries: i32) -> bool {
    let tries = u64::try_from(tries).unwrap_or(0);
    let step = 200 + u64::from(std::process::id() % 16) * 37;
    let pause = |tries: u64| Duration::from_micros(step * tries.clamp(1, 16));
    // Sixteen growing pauses, then equal ones.
    let waited = pause(tries.min(16)) * u32::try_from(tries.min(16)).unwrap_or(16) / 2
        + pause(16) * u32::try_from(tries.saturating_sub(16)).unwrap_or(u32::MAX);
    if waited > BUSY_LIMIT {
        return false;
    }
    thread::sleep(pause(tries));
    true
}

pub(crate) fn rollback(connection: &Connection) {
    if !connection.is_autocommit() {
        // Where the rollback itself fails SQLite has rolled back already.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

impl Store for SqliteStore {
    fn read(&mut self) -> Result<Box<dyn ReadTransaction + '_>> {
        Ok(Box::new(self.begin("BEGIN")?))
    }

    fn write(&mut self) -> Result<Box<dyn WriteTransaction + '_>> {
        if self.mode == Mode::ReadOnly {
            return Err(Error::ReadOnly);
        }
        Ok(Box::new(self.begin("BEGIN IMMEDIATE")?))
    }

    fn snapshots(&mut self, wanted: usize) -> Result<Vec<Box<dyn Snapshot>>> {
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
            return Err(Error::ReadOnly);
        }
        scrub(&mut self.connection)
    }
}

/// A transaction; rolled back when dropped, unless it is somebody else's.
pub(crate) struct SqliteTransaction<'c> {
    pub(super) connection: &'c Connection,
    layout: Layout,
    /// Whether it began here, and not with raw SQL on a connection of the compatible store.
    own: bool,
    /// Kept at hand: a batch runs it for every event.
    insert_event: Option<CachedStatement<'c>>,
}

impl SqliteStore {
    /// See [`snapshot`].
    pub(crate) fn data_version(&self) -> Result<i64> {
        snapshot::data_version(&self.connection)
    }

    /// Reads the store as it was when its data version was this one; `None` where that has passed.
    pub(crate) fn read_at(&mut self, version: i64) -> Result<Option<Box<dyn ReadTransaction + '_>>> {
        let transaction = self.begin("BEGIN")?;
        Ok(if self.data_version()? == version { Some(Box::new(transaction)) } else { None })
    }

    fn begin(&self, begin: &str) -> Result<SqliteTransaction<'_>> {
        self.connection.prepare_cached(begin)?.execute([])?;
        Ok(SqliteTransaction { connection: &self.connection, layout: self.layout, own: true, insert_event: None })
    }
}

/// A connection for the compatible store. Nothing that the kernel's triggers forbid is forbidden on it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Io`], [`Error::OldSqlite`], [`Error::NotALedger`]; [`Error::NewerSchema`] also for a file that holds evidence
/// compressed, which raw SQL cannot read.
pub(crate) fn connect_compatible(path: &Path, create: bool) -> Result<Connection> {
    if rusqlite::version_number() < MIN_SQLITE {
        return Err(Error::OldSqlite { found: rusqlite::version() });
    }
    if path != Path::new(":memory:") {
        let made = if create { private_file().create_new(true).open(path).map(drop) } else { Ok(()) };
        match made {
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Io { path: path.to_owned(), source });
            }
            _ => SqliteStore::existing(path)?,
        }
    }
    let connection =
        connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Mode::ReadWrite).map_err(|error| not_a_ledger(path, error))?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    if read_layout(&connection)? == Some(Layout::Compressed) {
        return Err(Error::NewerSchema { found: pieces::VERSION.to_owned(), supported: SCHEMA_VERSION });
    }
    Ok(connection)
}

/// Makes the tables of the compatible store where they are missing.
pub(crate) fn initialize_compatible(connection: &Connection, script: &str) -> Result<()> {
    read_layout(connection)?;
    switch_to_wal(connection)?;
    let script = format!("BEGIN IMMEDIATE; {script} COMMIT;");
    connection.execute_batch(&script).map_err(|error| {
        rollback(connection);
        error.into()
    })
}

/// What a connection of the compatible store sees now, inside whatever transaction is open on it.
pub(crate) fn look(connection: &Connection) -> Result<SqliteTransaction<'_>> {
    let own = connection.is_autocommit();
    if own {
        connection.prepare_cached("BEGIN")?.execute([])?;
    }
    Ok(SqliteTransaction { connection, layout: Layout::Shared, own, insert_event: None })
}

/// The writes of a transaction that somebody else has begun, and will end.
pub(crate) fn join(connection: &Connection) -> SqliteTransaction<'_> {
    SqliteTransaction::inside(connection, Layout::Shared)
}

impl<'c> SqliteTransaction<'c> {
    /// What a connection sees inside a transaction that somebody else has begun, and will end.
    fn inside(connection: &'c Connection, layout: Layout) -> Self {
        Self { connection, layout, own: false, insert_event: None }
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

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if self.own {
            rollback(self.connection);
        }
    }
}

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

macro_rules! event_columns {
    () => {
        "run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at"
    };
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

macro_rules! run_columns {
    () => {
        "policy_id, policy_version, stage_graph_id, created_at, meta_json"
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

impl ReadTransaction for SqliteTransaction<'_> {
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
                Layout::Compressed if stored.is_none() => pieces::stored_len(self.connection, hash)?,
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
                Layout::Compressed => pieces::visit(self.connection, hash, visit),
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
            let read = blob.read(&mut piece).map_err(|error| Error::store(error.to_string()))?;
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
        let seq = Seq::new(seq).ok_or_else(|| Error::store("an idempotency key points at no event"))?;
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

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
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
