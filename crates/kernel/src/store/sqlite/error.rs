//! SQLite's result codes as the kinds of a store's error: the one place that maps them.

use crate::error::{Error, Result};
use crate::store::{StoreError, StoreErrorKind};
use rusqlite::{Connection, Error as Sqlite, ErrorCode, ffi};
use std::borrow::Cow;

/// The name of this backend in its errors.
pub(super) const BACKEND: &str = "sqlite";

/// A failure that this backend found itself.
pub(crate) fn failed(kind: StoreErrorKind, problem: impl Into<Cow<'static, str>>) -> Error {
    StoreError::new(kind, BACKEND, problem).into()
}

/// Refuses a write that did not change exactly the row that it was for. SQLite calls a write that a constraint (`ON
/// CONFLICT IGNORE`) or a trigger (`RAISE(IGNORE)`) swallowed a success.
pub(super) fn one(table: &str, rows: usize) -> Result<()> {
    if rows == 1 { Ok(()) } else { Err(ignored(table, rows, 1)) }
}

/// A write that changed other rows than the `wanted`.
pub(super) fn ignored(table: &str, rows: usize, wanted: i64) -> Error {
    failed(StoreErrorKind::Ignored, format!("{rows} rows of table {table} changed instead of {wanted}"))
}

/// A failure to read or write bytes.
pub(super) fn io(error: std::io::Error) -> Error {
    StoreError::io(BACKEND, error).into()
}

impl From<Sqlite> for StoreError {
    fn from(error: Sqlite) -> Self {
        let kind = kind(&error);
        match error {
            // Its text has the statement in it, which may have values in it.
            Sqlite::SqlInputError { msg, .. } => Self::new(kind, BACKEND, msg),
            error => Self::new(kind, BACKEND, error.to_string()).caused_by(error),
        }
    }
}

impl From<Sqlite> for Error {
    fn from(error: Sqlite) -> Self {
        StoreError::from(error).into()
    }
}

/// The error of a COMMIT. SQLite writes a transaction to the log, syncs the log, and enters the transaction into the index
/// that other connections read. If the sync or the index fails, the transaction lies in the log: nobody sees it now, and
/// a recovery after a crash may take it up. A write that failed leaves no such transaction.
pub(super) fn at_commit(error: Sqlite) -> Error {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    let is_io = extended & 0xff == ffi::SQLITE_IOERR;
    let error = StoreError::from(error);
    if is_io && extended != ffi::SQLITE_IOERR_WRITE { error.in_doubt().into() } else { error.into() }
}

/// The error of an INSERT into `events`. SQLite says that the disk is full if no row id is left above the highest one. No
/// ledger has so many rows: somebody has written that number into the file.
pub(super) fn at_insert(connection: &Connection, error: Sqlite) -> Error {
    let highest = "SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'), 0), \
                   coalesce((SELECT max(id) FROM events), 0))";
    let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
    let spent = is_full && connection.query_row(highest, [], |row| row.get(0)).is_ok_and(|id: i64| id == i64::MAX);
    let problem = "no row id is left for events, as somebody has set the highest number by hand: import the runs into a new ledger";
    if spent { failed(StoreErrorKind::Corrupt, problem) } else { error.into() }
}

fn kind(error: &Sqlite) -> StoreErrorKind {
    use StoreErrorKind::{Busy, Constraint, Corrupt, Full, Io, Misuse, Other, ReadOnly};
    let Some(code) = error.sqlite_error() else {
        return match error {
            Sqlite::FromSqlConversionFailure(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::Utf8Error(..)
            | Sqlite::InvalidColumnType(..)
            | Sqlite::QueryReturnedNoRows => Corrupt,
            _ => Misuse,
        };
    };
    match code.extended_code {
        // The index of the log, which processes share, could not grow.
        ffi::SQLITE_IOERR_SHMSIZE => return Full,
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS => return Corrupt,
        _ => {}
    }
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Busy,
        ErrorCode::DiskFull => Full,
        ErrorCode::ReadOnly => ReadOnly,
        ErrorCode::ConstraintViolation => Constraint,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => Corrupt,
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => Io,
        ErrorCode::Unknown if code.extended_code == ffi::SQLITE_ERROR => Misuse,
        ErrorCode::ApiMisuse | ErrorCode::ParameterOutOfRange | ErrorCode::TooBig => Misuse,
        _ => Other,
    }
}

#[cfg(test)]
mod tests {
    use super::at_commit;
    use crate::error::ErrorKind;
    use crate::store::{StoreError, StoreErrorKind};
    use rusqlite::{Error, ffi};

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn each_result_code_has_a_kind_that_says_what_to_do() {
        use StoreErrorKind::{Busy, Constraint, Corrupt, Full, Io, Misuse, Other, ReadOnly};
        let codes = [
            (ffi::SQLITE_BUSY, Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, Busy),
            (ffi::SQLITE_LOCKED, Busy),
            (ffi::SQLITE_FULL, Full),
            (ffi::SQLITE_IOERR_SHMSIZE, Full),
            (ffi::SQLITE_READONLY, ReadOnly),
            (ffi::SQLITE_READONLY_DBMOVED, ReadOnly),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Constraint),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, Constraint),
            (ffi::SQLITE_CORRUPT, Corrupt),
            (ffi::SQLITE_NOTADB, Corrupt),
            (ffi::SQLITE_IOERR_SHORT_READ, Corrupt),
            (ffi::SQLITE_IOERR_WRITE, Io),
            (ffi::SQLITE_IOERR_FSYNC, Io),
            (ffi::SQLITE_CANTOPEN, Io),
            (ffi::SQLITE_ERROR, Misuse),
            (ffi::SQLITE_MISUSE, Misuse),
            (ffi::SQLITE_TOOBIG, Misuse),
            (ffi::SQLITE_NOMEM, Other),
        ];
        for (code, kind) in codes {
            let error = StoreError::from(failure(code));
            assert_eq!((error.kind(), error.backend()), (kind, "sqlite"), "{code}");
            assert_eq!(error.kind().recourse() == ErrorKind::Retry, kind == Busy, "{code}");
        }
        assert_eq!(StoreError::from(Error::QueryReturnedNoRows).kind(), Corrupt);
        assert_eq!(StoreError::from(Error::InvalidParameterCount(1, 2)).kind(), Misuse);
    }

    #[test]
    fn a_commit_is_in_doubt_if_it_may_lie_in_the_log() {
        let codes = [
            (ffi::SQLITE_IOERR_FSYNC, "commit_in_doubt"),
            (ffi::SQLITE_IOERR_SHMSIZE, "commit_in_doubt"),
            (ffi::SQLITE_IOERR_WRITE, "store_failed"),
            (ffi::SQLITE_FULL, "disk_full"),
            (ffi::SQLITE_BUSY, "busy"),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "store_failed"),
        ];
        for (code, word) in codes {
            assert_eq!(at_commit(failure(code)).code(), word, "{code}");
        }
        assert_eq!(at_commit(failure(ffi::SQLITE_IOERR_FSYNC)).kind(), ErrorKind::Stop);
    }

    #[test]
    fn the_error_of_a_store_carries_no_value_of_a_statement() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE runs (run_id TEXT)").unwrap();
        for sql in ["INSERT INTO nowhere VALUES ('hunter2')", "SELECT nowhere FROM runs WHERE run_id = 'hunter2'"] {
            let error = crate::Error::from(connection.prepare(sql).map(drop).unwrap_err());
            assert_eq!(error.of_store(), Some(StoreErrorKind::Misuse), "{error:?}");
            let mut told = format!("{error} {error:?}");
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                told.extend([format!(" {source} {source:?}")]);
                cause = source.source();
            }
            assert!(!told.contains("hunter2"), "{told}");
            assert!(told.contains("nowhere"), "a control: {told}");
        }
    }
}
