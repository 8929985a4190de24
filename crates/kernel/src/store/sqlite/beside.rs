//! A second SQLite library in this process, which has the same file open.
//!
//! POSIX locks belong to a process: neither library sees the locks of the other. The other takes itself for the last one
//! when it closes the file, and then removes the log (`-wal`) and its index (`-shm`) under our open connections
//! (<https://www.sqlite.org/howtocorrupt.html>, "Multiple copies of SQLite linked into the same application"). What we commit
//! after that goes into a file without a name, and a checkpoint of ours would write old pages over new ones.
//!
//! So each connection remembers which two files it has opened. They are compared before a commit is acknowledged, before
//! the log is copied into the database, and before the connection is closed.

use super::failed;
use crate::error::{Error, Result};
use crate::store::StoreErrorKind;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The log is copied into the database once it has this many pages, as SQLite does by itself
/// (<https://www.sqlite.org/c3ref/wal_autocheckpoint.html>).
const LONG_LOG: i64 = 1000;

/// A log of [`LONG_LOG`] pages is no shorter than this: the smallest page of a ledger, and the header of its frame.
const LONG_LOG_BYTES: u64 = LONG_LOG as u64 * (4096 + 24);

/// The first region of the index, which SQLite maps into memory (<https://www.sqlite.org/walformat.html>).
const SHM_REGION: u64 = 32 << 10;

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(meta: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: meta.dev(), inode: meta.ino() }
    }

    /// Elsewhere locks belong to whoever opened the file, so that two libraries see each other: one file is as any other.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }

    /// `None` for what is no file, and wherever nothing is to be guarded.
    fn at(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok().filter(|_| cfg!(unix))?;
        Some(Self::of(&meta))
    }
}

/// The log of a database and its index, as they lie beside it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Log {
    wal: FileId,
    shm: FileId,
}

/// The connections of this library to one database.
#[derive(Debug, Default)]
struct Ours {
    connections: usize,
    /// The files that the first of them has opened. SQLite gives the index of the first to all that come later.
    log: Option<Log>,
}

/// The databases that this process has open through this library.
static OPEN: Mutex<BTreeMap<FileId, Ours>> = Mutex::new(BTreeMap::new());

fn open() -> MutexGuard<'static, BTreeMap<FileId, Ours>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file that SQLite keeps beside a database: beside the file that a link leads to.
pub(super) fn beside(real: &Path, ending: &str) -> PathBuf {
    let mut name = real.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The log that a connection has opened is not the log of its database any more.
pub(super) fn detached() -> Error {
    failed(StoreErrorKind::Detached, "another one has removed its log, and nothing of this is acknowledged")
}

/// A connection that knows which files it has opened.
#[derive(Debug)]
pub(crate) struct Guarded {
    connection: Connection,
    /// Dropped behind the connection: until that is closed, the database is open.
    counted: Counted,
    wal: PathBuf,
    shm: PathBuf,
    opened: Option<Log>,
    /// Whether the connection was closed because another library took its log away.
    closed: bool,
}

/// One of the connections in [`OPEN`].
#[derive(Debug)]
struct Counted(Option<FileId>);

impl Counted {
    fn new(database: Option<FileId>) -> Self {
        if let Some(database) = database {
            open().entry(database).or_default().connections += 1;
        }
        Self(database)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(database) = self.0 else { return };
        let mut open = open();
        let left = open.get_mut(&database).map(|ours| {
            ours.connections -= 1;
            ours.connections
        });
        if left == Some(0) {
            open.remove(&database);
        }
    }
}

impl Guarded {
    /// Guards a connection to the file at `path`, which has read.
    ///
    /// # Errors
    /// As [`Self::note`].
    pub(super) fn new(connection: Connection, path: &Path) -> Result<Self> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let counted = Counted::new(FileId::at(&real));
        let (wal, shm) = (beside(&real, "-wal"), beside(&real, "-shm"));
        let mut guarded = Self { connection, counted, wal, shm, opened: None, closed: false };
        guarded.note()?;
        Ok(guarded)
    }

    /// Remembers which files the connection has opened, as it must have since its journal mode was set.
    ///
    /// # Errors
    /// [`StoreErrorKind::Detached`] where they are not the files that lie there now.
    pub(super) fn note(&mut self) -> Result<()> {
        let Some(database) = self.counted.0 else { return Ok(()) };
        let mode: String = self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if mode != "wal" {
            return Ok(());
        }
        let (log, _) = self.log().ok_or_else(detached)?;
        let mut open = open();
        if *open.entry(database).or_default().log.get_or_insert(log) != log {
            return Err(detached());
        }
        self.opened = Some(log);
        Ok(())
    }

    /// Both files and the length of the log; `None` where one is missing, or has lost what SQLite has mapped of it.
    fn log(&self) -> Option<(Log, u64)> {
        let (wal, shm) = (fs::metadata(&self.wal).ok()?, fs::metadata(&self.shm).ok()?);
        let log = Log { wal: FileId::of(&wal), shm: FileId::of(&shm) };
        (shm.len() >= SHM_REGION).then_some((log, wal.len()))
    }

    /// Whether the files beside the database are still those that this connection has opened. If not, what it commits
    /// reaches nobody, and it must write nothing into the database.
    pub(crate) fn is_intact(&self) -> bool {
        !self.closed && self.opened.is_none_or(|opened| self.log().is_some_and(|(log, _)| log == opened))
    }

    /// Closes the connection. What is left in its place is not intact, so that nobody writes to it.
    pub(super) fn let_go(&mut self) -> Result<()> {
        self.skip_copy();
        self.closed = true;
        self.connection = Connection::open_in_memory()?;
        self.counted = Counted(None);
        Ok(())
    }

    /// The last connection to close copies its log into the database; this one does not if that is another log by now.
    fn skip_copy(&self) {
        if !self.is_intact() {
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }

    /// Settles a commit: that it went into the log of this database. If that log is long, it is copied into the database,
    /// where nobody stands in the way.
    ///
    /// The commit is durable already. So a failure to copy is no failure of that commit: whoever was told of one would
    /// write again what is recorded. SQLite does not tell of it either; the next commit tries the copy again.
    ///
    /// # Errors
    /// [`StoreErrorKind::Detached`] where the log was another one.
    pub(super) fn settle(&self) -> Result<()> {
        let Some(opened) = self.opened else { return Ok(()) };
        let (_, bytes) = self.log().filter(|(log, _)| *log == opened).ok_or_else(detached)?;
        if bytes >= LONG_LOG_BYTES {
            let _ = self.copy();
        }
        Ok(())
    }

    fn copy(&self) -> Result<()> {
        // A log that was copied is written from its beginning again and stays as long as it is: SQLite knows how much is used.
        let mut ask = self.connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        let (pages, copied): (i64, i64) = ask.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
        if pages >= LONG_LOG && copied < pages && self.is_intact() {
            self.connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query_row([], |_| Ok(()))?;
        }
        Ok(())
    }
}

impl Deref for Guarded {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.skip_copy();
    }
}

/// Whether this process has the database at `path` open through this library.
pub(super) fn is_open_here(path: &Path) -> bool {
    FileId::at(path).is_some_and(|database| open().contains_key(&database))
}

/// Whether this process has the log of the database at `path` open, and not through this library.
pub(super) fn is_open_elsewhere(path: &Path) -> bool {
    let open = open();
    let Some(database) = FileId::at(path) else { return false };
    if open.contains_key(&database) {
        return false;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let files: Vec<FileId> = ["-wal", "-shm"].iter().filter_map(|ending| FileId::at(&beside(&real, ending))).collect();
    // Each name in there leads to the file that a descriptor of this process has open.
    let descriptors = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let mut held = descriptors.filter_map(|descriptor| FileId::at(&descriptor.path()));
    held.any(|file| files.contains(&file))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::beside;
    use crate::store::StoreErrorKind;
    use crate::store::sqlite::SqliteStore;
    use crate::{Actor, Append, Error, EventType, Ledger, Object, Policy, RunWriter, Verdict};
    use rusqlite::Connection;
    use std::fs;
    use std::path::{Path, PathBuf};

    struct Scene {
        _folder: tempfile::TempDir,
        path: PathBuf,
        ledger: Ledger,
        run: RunWriter,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("l.db");
            let ledger = Ledger::create(&path).unwrap();
            let policy = Policy::structural().unwrap();
            let run = ledger.start("r", policy, Actor::new("system", "test"), Object::new()).unwrap();
            Self { _folder: folder, path, ledger, run }
        }

        fn append(&mut self) -> Result<(), Error> {
            self.run.append(Append::new(EventType::Decision, Object::new())).map(drop)
        }
    }

    fn is_detached(appended: Result<(), Error>) -> bool {
        matches!(appended, Err(Error::Store(error)) if error.kind() == StoreErrorKind::Detached)
    }

    /// All that a library does that takes itself for the last one: it copies the log, and removes both files.
    fn another_library_closes(path: &Path) {
        let other = Connection::open(path).unwrap();
        other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        fs::remove_file(beside(path, "-wal")).unwrap();
        fs::remove_file(beside(path, "-shm")).unwrap();
    }

    /// The events that somebody finds who comes with nothing but the files.
    fn events_found(path: &Path) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        fs::copy(path, &copy).unwrap();
        // The index is made anew from the log.
        fs::copy(beside(path, "-wal"), beside(&copy, "-wal")).unwrap_or_default();
        let report = Ledger::open_read_only(&copy).unwrap().audit().unwrap();
        assert_eq!(report.overall_verdict(), Verdict::Warn, "the run is unfinished, and nothing else: {report:?}");
        report.events
    }

    #[test]
    fn nothing_is_lost_when_another_library_closes_the_file_between_two_appends() {
        let mut scene = Scene::new();
        for round in 1..=5 {
            scene.append().unwrap();
            another_library_closes(&scene.path);
            scene.append().unwrap();
            assert_eq!(events_found(&scene.path), 1 + 2 * round);
        }
        drop((scene.run, scene.ledger));
        assert!(!beside(&scene.path, "-wal").exists(), "the last connection to close tidies up");
        assert_eq!(events_found(&scene.path), 11);
    }

    #[test]
    fn the_control_loses_what_it_was_told_is_there() {
        let mut scene = Scene::new();
        let unguarded = Connection::open(&scene.path).unwrap();
        unguarded.execute_batch("PRAGMA synchronous = FULL").unwrap();
        unguarded.execute("INSERT INTO settings VALUES ('a', 'b')", []).unwrap();
        another_library_closes(&scene.path);
        unguarded.execute("INSERT INTO settings VALUES ('c', 'd')", []).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        fs::copy(&scene.path, &copy).unwrap();
        let found = Connection::open(&copy).unwrap();
        let count = found.query_row("SELECT count(*) FROM settings", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count, 1, "a commit that was acknowledged is in no file");
        // One of ours sees that the files are gone, and does not act on an index that is nobody's.
        assert!(is_detached(scene.append()), "another connection of this library holds the old index");
        drop(unguarded);
        scene.append().unwrap();
    }

    #[test]
    fn handles_that_share_an_index_nobody_has_any_more_refuse_until_one_is_left() {
        let mut scene = Scene::new();
        let other = Ledger::open(&scene.path).unwrap();
        another_library_closes(&scene.path);
        assert!(is_detached(scene.append()));
        assert_eq!(other.audit().unwrap().events, 1, "the other one has taken the file up again");
        scene.append().unwrap();
        assert_eq!(events_found(&scene.path), 2);
    }

    #[test]
    fn a_long_log_is_copied_although_sqlite_does_not_do_it_by_itself() {
        let scene = Scene::new();
        let mut run = scene.run;
        let event = || Append::new(EventType::Decision, Object::from_iter([("text", "x".repeat(4000))]));
        for _ in 0..40 {
            run.append_batch((0..100).map(|_| event()).collect()).unwrap();
        }
        let wal = fs::metadata(beside(&scene.path, "-wal")).unwrap().len();
        assert!(wal < 16 << 20, "the log of 16 MB of events has {wal} bytes");
    }

    #[test]
    fn a_process_knows_which_ledgers_it_has_open() {
        let scene = Scene::new();
        assert!(SqliteStore::is_open_here(&scene.path));
        assert!(!SqliteStore::is_open_elsewhere(&scene.path));
        let path = scene.path.clone();
        let raw = Connection::open(&path).unwrap();
        raw.query_row("SELECT count(*) FROM runs", [], |_| Ok(())).unwrap();
        drop((scene.run, scene.ledger));
        assert!(!SqliteStore::is_open_here(&path));
        assert!(SqliteStore::is_open_elsewhere(&path), "a connection that this store does not know of");
        drop(raw);
        assert!(!SqliteStore::is_open_elsewhere(&path));
    }

    #[test]
    fn an_index_that_was_cut_off_is_not_touched() {
        let mut scene = Scene::new();
        // So does a library that opens the file and sees nobody's lock.
        let shm = fs::OpenOptions::new().write(true).open(beside(&scene.path, "-shm")).unwrap();
        shm.set_len(3).unwrap();
        scene.append().unwrap();
        assert_eq!(events_found(&scene.path), 2);
    }
}
