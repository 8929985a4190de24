//! Connections that only read: opened when they are needed, kept for whoever reads next.

use super::beside::Guarded;
use super::connect::connect_read_only;
use super::snapshot::{begin_together, data_version};
use super::{Layout, SqliteStore, SqliteTransaction, rollback};
use crate::error::Result;
use crate::store::{ReadTransaction, Snapshot};
use rusqlite::Connection;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

/// Connections that nobody uses; none of them has a transaction open.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Vec<Guarded>>);

impl Readers {
    pub(super) fn with(connection: Guarded) -> Self {
        Self(Mutex::new(vec![connection]))
    }

    fn take(&self) -> Option<Guarded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Closes those whose log was taken away.
    fn close_stale(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(Guarded::is_intact);
    }

    /// Closes all of them.
    pub(super) fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn put_back(&self, connection: Guarded) {
        rollback(&connection);
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_autocommit() && idle.len() < super::useful_readers() {
            idle.push(connection);
        }
    }
}

/// A connection that is put back when it is dropped.
pub(super) struct Reader<'s> {
    readers: &'s Readers,
    layout: Layout,
    /// There until it is dropped.
    connection: Option<Guarded>,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "nobody but drop takes it")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.put_back(connection);
        }
    }
}

impl Snapshot for Reader<'_> {
    fn view(&self) -> Box<dyn ReadTransaction + '_> {
        Box::new(SqliteTransaction::over(self, self.layout))
    }
}

impl SqliteStore {
    /// A connection without a transaction.
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        // Whoever has the writer now has seen to it.
        if let Some(Ok(mut writer)) = self.writer.as_ref().map(Mutex::try_lock) {
            self.take_up(&mut writer)?;
        }
        let connection = match self.readers.take().filter(Guarded::is_intact) {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        Ok(Reader { readers: &self.readers, layout: self.layout, connection: Some(connection) })
    }

    fn open_reader(&self) -> Result<Guarded> {
        self.readers.close_stale();
        Self::existing(&self.path)?;
        connect_read_only(&self.path)
    }

    /// As many snapshots as are wanted, all of one instant; one if writers never leave the time for more.
    pub(super) fn of_one_instant(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>> {
        let mut readers = (0..wanted.max(1)).map(|_| self.reader()).collect::<Result<Vec<_>>>()?;
        let connections: Vec<&Connection> = readers.iter().map(|reader| &**reader).collect();
        if connections.len() == 1 || !begin_together(&connections)? {
            readers.truncate(1);
            readers[0].prepare_cached("BEGIN")?.execute([])?;
            // The transaction's first read, which fixes what it sees.
            data_version(&readers[0])?;
        }
        Ok(readers.into_iter().map(|reader| Box::new(reader) as Box<dyn Snapshot>).collect())
    }
}
