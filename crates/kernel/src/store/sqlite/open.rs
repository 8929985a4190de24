//! Opening a file: what it must be, and how it is made.

use super::beside::beside;
use super::connect::{connect, connect_read_only};
use super::readers::Readers;
use super::{BUSY_LIMIT, Layout, Mode, SqliteStore, Writer, inspect, pieces, rollback, schema_version};
use crate::error::{Error, Result};
use crate::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// The store schema that this kernel writes, as `schema_meta` names it.
const SCHEMA_VERSION: u32 = 1;

/// The oldest library without the WAL-reset race: 3.51.3.
const MIN_SQLITE: i32 = 3_051_003;

/// The size of a page in a new file.
const PAGE: i64 = 8192;

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
        let store = Self::open_to_write(path, layout)?;
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
        Self::open_to_write(path, Layout::Shared)
    }

    /// Opens a file that is there, to read only: nothing in it changes, and nothing in its schema is trusted.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::existing(path)?;
        Self::open_to_read(path)
    }

    pub(super) fn existing(path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => Self::only_files_beside(path),
            Ok(_) => Err(Error::NotALedger { path: path.to_owned(), problem: "it is not a file".to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NotFound { path: path.to_owned() })
            }
            Err(source) => Err(Error::Io { path: path.to_owned(), source }),
        }
    }

    /// SQLite opens the files beside a database without looking what they are: a pipe in place of one would be waited for,
    /// and a link would be followed. It finds them beside the file that a link leads to.
    fn only_files_beside(path: &Path) -> Result<()> {
        let real = fs::canonicalize(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        for ending in ["-journal", "-wal", "-shm"] {
            if fs::symlink_metadata(beside(&real, ending)).is_ok_and(|meta| !meta.is_file()) {
                let problem = format!("{ending} beside it is not a plain file");
                return Err(Error::NotALedger { path: path.to_owned(), problem });
            }
        }
        Ok(())
    }

    fn open_to_read(path: &Path) -> Result<Self> {
        check_version()?;
        let opened = connect_read_only(path);
        let connection = opened.map_err(|error| not_a_ledger(path, error))?;
        let layout = read_layout(&connection)?.unwrap_or(Layout::Shared);
        Ok(Self { path: path.to_owned(), layout, readers: Readers::with(connection), writer: None })
    }

    /// `layout` is that of a file that is still empty.
    fn open_to_write(path: &Path, layout: Layout) -> Result<Self> {
        let writer = Writer::open(path, layout)?;
        let layout = read_layout(&writer.connection)?.unwrap_or(Layout::Shared);
        Ok(Self { path: path.to_owned(), layout, readers: Readers::default(), writer: Some(Mutex::new(writer)) })
    }
}

impl Writer {
    /// `layout` is that of a file that is still empty.
    pub(super) fn open(path: &Path, layout: Layout) -> Result<Self> {
        check_version()?;
        let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Mode::ReadWrite);
        let connection = opened.map_err(|error| not_a_ledger(path, error))?;
        let mut writer = Self { connection, schema: 0 };
        writer.initialize(path, layout).map_err(|error| not_a_ledger(path, error))?;
        // A file that was empty has its log only now.
        writer.connection.note()?;
        Ok(writer)
    }

    /// Makes what is missing of the schema, in one transaction; a file of a newer schema is left alone. `layout` is that of
    /// a file that is still empty.
    fn initialize(&mut self, path: &Path, layout: Layout) -> Result<()> {
        // Before anything is written: a file of a newer schema, or of something else, stays as it is.
        read_layout(&self.connection)?;
        self.check_owner(path)?;
        let is_empty = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0;
        if is_empty {
            // Rows of a kilobyte leave a fifth of a page of 4 KiB unused; pages larger than this save little more, and each
            // durable append writes whole pages.
            self.connection.pragma_update(None, "page_size", PAGE)?;
            // Pages that retention frees go back to the disk. In a file that has pages this is a commit of its own, which
            // each command would wait for.
            self.connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        switch_to_wal(&self.connection)?;
        let found = read_layout(&self.connection)?;
        let is_new = found.is_none();
        let layout = found.unwrap_or(layout);
        let complete: i64 = self.connection.query_row(
            "SELECT count(*) FROM sqlite_master WHERE name IN ('runs', 'events', 'blobs', 'schema_meta', \
             'idempotency_keys', 'settings', 'events_are_not_updated', 'events_are_not_deleted', 'log_meta', \
             'log_checkpoints', 'log_segments', 'log_segments_of_run', 'log_tiles')",
            [],
            |row| row.get(0),
        )?;
        if complete < 13 {
            let compressed = if is_new && layout == Layout::Compressed { pieces::schema() } else { "" };
            let script = format!("BEGIN IMMEDIATE; {} {compressed} COMMIT;", include_str!("schema.sql"));
            if let Err(error) = self.connection.execute_batch(&script) {
                rollback(&self.connection);
                return Err(error.into());
            }
        }
        self.accept_schema(path, layout)
    }

    /// Whatever stands in the schema and is not ours would take part in each of our writes.
    pub(super) fn accept_schema(&mut self, path: &Path, layout: Layout) -> Result<()> {
        // Before it is looked at: a change after this is noticed by the next write.
        let schema = schema_version(&self.connection)?;
        match inspect::problems(&self.connection, layout)?.into_iter().next() {
            None => self.schema = schema,
            Some(problem) => return Err(Error::NotALedger { path: path.to_owned(), problem: problem.msg }),
        }
        Ok(())
    }

    fn check_owner(&self, path: &Path) -> Result<()> {
        let sql = "SELECT count(*), count(*) FILTER (WHERE name IN ('runs', 'events', 'blobs', 'schema_meta')) \
                   FROM sqlite_master WHERE type IN ('table', 'view')";
        let counts = |row: &Row<'_>| -> rusqlite::Result<(i64, i64)> { Ok((row.get(0)?, row.get(1)?)) };
        match self.connection.query_row(sql, [], counts)? {
            (1.., 0) => {
                let problem = "it is a database of something else".to_owned();
                Err(Error::NotALedger { path: path.to_owned(), problem })
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a library that can lose commits.
fn check_version() -> Result<()> {
    if rusqlite::version_number() < MIN_SQLITE { Err(Error::OldSqlite { found: rusqlite::version() }) } else { Ok(()) }
}

/// How evidence lies in a file, by its version; `None` where it has no version yet.
pub(super) fn read_layout(connection: &Connection) -> Result<Option<Layout>> {
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
        let error = StoreError::from(error);
        if error.kind() != StoreErrorKind::Busy || Instant::now() > deadline {
            return Err(error.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[cfg(unix)]
pub(super) fn private_file() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(not(unix))]
pub(super) fn private_file() -> fs::OpenOptions {
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
    use StoreErrorKind::{Busy, Detached, Full, ReadOnly};
    match error {
        Error::Store(error) if !matches!(error.kind(), Busy | Detached | Full | ReadOnly) => {
            Error::NotALedger { path: path.to_owned(), problem: error.problem().to_owned() }
        }
        error => error,
    }
}
