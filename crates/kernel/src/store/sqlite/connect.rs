//! A connection to a file, and what it is set to.

use super::beside::{Guarded, beside};
use super::{BUSY_LIMIT, Mode};
use crate::error::{Error, Result};
use crate::store::StoreErrorKind;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A file in a folder that cannot be written has no room for SQLite's shared memory; without a log beside it, it is
/// whole by itself and is opened as unchanging.
pub(super) fn connect_read_only(path: &Path) -> Result<Guarded> {
    let error = match connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, Mode::ReadOnly) {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let is_detached = matches!(&error, Error::Store(error) if error.kind() == StoreErrorKind::Detached);
    if is_detached || beside(path, "-wal").exists() {
        return Err(error);
    }
    let escaped: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = PathBuf::from(format!("file:{escaped}?immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    connect(&uri, flags, Mode::ReadOnly).map_err(|_| error)
}

pub(super) fn connect(path: &Path, flags: OpenFlags, mode: Mode) -> Result<Guarded> {
    let connection = connect_bare(path, flags, mode)?;
    // The log is copied once it is known to be that of this database.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Guarded::new(connection, path)
}

fn connect_bare(path: &Path, flags: OpenFlags, mode: Mode) -> Result<Connection> {
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
pub(super) fn wait(tries: i32) -> bool {
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
