//! The store of the Python package: one connection, its four tables, and its permissive order of events.
//!
//! Who embeds the kernel in Rust wants [`Ledger`](crate::Ledger). This store is what the Python class
//! `SqliteReceiptStore` stands on: any event that is an envelope of version 1 is appended, whatever the stage graph, the
//! policy or an earlier RUN_FINALIZE say, and raw SQL is run on the same connection. Verdicts are as strict as anywhere.

mod evidence;
mod judge;
mod retention;
mod statement;

pub use evidence::{BlobColumns, Incoming};
pub use retention::{Expired, Purge, Purged};
pub use statement::{Outcome, Parameters, SqlValue};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::store::StoreErrorKind::{Corrupt, Misuse};
use crate::store::sqlite::{self, SqliteTransaction};
use crate::store::{NewRun, ReadTransaction, Visit, WriteTransaction};
use judge::Cache;
use receipt_core::chain::Link;
use receipt_core::envelope::Members;
use receipt_core::id::{EventHash, EventRef, RunId, Seq, Timestamp};
use receipt_core::run::{Cell, RunRow};
use rusqlite::{Connection, OptionalExtension};
use std::path::{Path, PathBuf};

/// A store in an SQLite file, or in memory under the path `:memory:`.
#[derive(Debug)]
pub struct CompatibleStore {
    connection: Connection,
    path: PathBuf,
    cache: Option<Cache>,
}

/// What `runs` has of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunColumns {
    /// The run.
    pub run_id: String,
    /// The policy's id.
    pub policy_id: String,
    /// Its version.
    pub policy_version: String,
    /// The stage graph's id.
    pub stage_graph_id: String,
    /// When the row was written.
    pub created_at: String,
    /// What its writer said about it, as JSON.
    pub meta_json: String,
}

impl CompatibleStore {
    /// Opens a file that is there, or with `create` makes it, readable by its owner only. Its tables are made by
    /// [`Self::initialize_schema`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Io`]; [`Error::NotALedger`]; [`Error::NewerSchema`] also for a ledger that holds its evidence compressed.
    pub fn open(path: impl AsRef<Path>, create: bool) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self { connection: sqlite::connect_compatible(path, create)?, path: path.to_owned(), cache: None })
    }

    /// Makes the tables that are missing.
    ///
    /// # Errors
    /// [`Error::NewerSchema`]: nothing is changed; [`Busy`](crate::store::StoreErrorKind::Busy); where the file cannot be written.
    pub fn initialize_schema(&self) -> Result<()> {
        if !self.connection.is_autocommit() {
            return Err(sqlite::failed(Misuse, "commit or roll back before the schema is initialized"));
        }
        sqlite::initialize_compatible(&self.connection, include_str!("schema.sql"))
    }

    /// Writes a run's row; where it is there already nothing is changed, its meta neither.
    ///
    /// # Errors
    /// [`Error::RunExists`] where the row that is there names another policy or stage graph.
    pub fn ensure_run(&mut self, run: &RunColumns) -> Result<()> {
        self.transact(|transaction, now| {
            let mut held = None;
            let run_id = RunId::new(run.run_id.as_str());
            transaction.run(&run_id, &mut |row| {
                let ours = [&run.policy_id, &run.policy_version, &run.stage_graph_id];
                let theirs = [row.policy_id, row.policy_version, row.stage_graph_id];
                held = Some(ours.into_iter().zip(theirs).all(|(our, their)| their.as_str() == Some(our.as_str())));
            })?;
            match held {
                Some(true) => Ok(()),
                Some(false) => Err(Error::RunExists { run: run.run_id.clone() }),
                None => transaction.insert_run(&NewRun {
                    run_id: &run_id,
                    policy_id: &run.policy_id,
                    policy_version: &run.policy_version,
                    stage_graph_id: &run.stage_graph_id,
                    created_at: now,
                    meta_json: &run.meta_json,
                }),
            }
        })
    }

    /// A run's row.
    ///
    /// # Errors
    /// Where the file cannot be read, or a column of the row is not text.
    pub fn run(&self, run_id: &str) -> Result<Option<RunColumns>> {
        let mut found = None;
        sqlite::look(&self.connection)?.run(&RunId::new(run_id), &mut |row| found = Some(columns(run_id, row)))?;
        found.transpose()
    }

    /// Appends an event behind the last one of its run. What raw SQL has left open on this connection is committed with
    /// it, as the Python package does.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::Input`] for what is no envelope of version 1: nothing is stored.
    pub fn append(&mut self, run_id: &str, envelope: &Members) -> Result<EventRef> {
        self.transact(|transaction, now| append(transaction, &RunId::new(run_id), envelope, now))
    }

    /// The text of a run's events, in the order of their seq; nobody has checked it.
    ///
    /// # Errors
    /// Where the file cannot be read, or an envelope is not text.
    pub fn events(&self, run_id: &str, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut odd = false;
        sqlite::look(&self.connection)?.events(&RunId::new(run_id), &mut |row| {
            odd |= row.envelope_json.text().map(&mut *visit).is_none();
            Visit::Continue(())
        })?;
        if odd { Err(sqlite::failed(Corrupt, "an envelope is not stored as text")) } else { Ok(()) }
    }

    /// The text of one event; nobody has checked it.
    ///
    /// # Errors
    /// As [`Self::events`].
    pub fn event(&self, event: &EventRef) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        sqlite::look(&self.connection)?.event(&event.run_id, event.seq, &mut |row| {
            found = row.envelope_json.text().map(<[u8]>::to_vec);
        })?;
        Ok(found)
    }

    /// How many events a run has.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn event_count(&self, run_id: &str) -> Result<i64> {
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM events WHERE run_id = ?1")?;
        Ok(statement.query_row([run_id], |row| row.get(0))?)
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the connection; what raw SQL has not committed is rolled back.
    ///
    /// # Errors
    /// Where SQLite cannot end its work.
    pub fn close(self) -> Result<()> {
        sqlite::rollback(&self.connection);
        self.connection.close().map_err(|(_, error)| error.into())
    }

    /// Runs `write` in one write transaction and commits it. Where raw SQL has one open already it joins that: on success
    /// all of it is committed, on failure just what `write` did is undone.
    fn transact<T>(&mut self, write: impl FnOnce(&mut SqliteTransaction<'_>, Timestamp) -> Result<T>) -> Result<T> {
        let own = self.connection.is_autocommit();
        let begin = if own { "BEGIN IMMEDIATE" } else { "SAVEPOINT joined" };
        self.connection.prepare_cached(begin)?.execute([])?;
        let done = write(&mut sqlite::join(&self.connection), SystemClock.now())
            .and_then(|done| Ok(self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| done)?));
        if done.is_err() {
            if own {
                sqlite::rollback(&self.connection);
            } else {
                self.connection.execute_batch("ROLLBACK TO joined; RELEASE joined")?;
            }
        }
        done
    }
}

fn columns(run_id: &str, row: &RunRow<'_>) -> Result<RunColumns> {
    let text = |cell: Cell<'_>| {
        cell.as_str().map(str::to_owned).ok_or_else(|| sqlite::failed(Corrupt, "a column of the run's row is not text"))
    };
    Ok(RunColumns {
        run_id: run_id.to_owned(),
        policy_id: text(row.policy_id)?,
        policy_version: text(row.policy_version)?,
        stage_graph_id: text(row.stage_graph_id)?,
        created_at: text(row.created_at)?,
        meta_json: text(row.meta_json)?,
    })
}

/// Links an envelope behind the last event of its run, by the columns of that event's row, seals and stores it.
fn append(
    transaction: &mut SqliteTransaction<'_>,
    run_id: &RunId,
    envelope: &Members,
    now: Timestamp,
) -> Result<EventRef> {
    let link = next(transaction, run_id)?;
    let sealed = envelope.seal(link)?;
    transaction.insert_event(&sealed, now)?;
    Ok(sealed.link.event_ref())
}

/// Where the next event of a run goes.
fn next(transaction: &SqliteTransaction<'_>, run_id: &RunId) -> Result<Link> {
    let sql = "SELECT seq, event_hash FROM events WHERE run_id = ?1 ORDER BY seq DESC LIMIT 1";
    let mut statement = transaction.prepare(sql)?;
    let last: Option<(i64, String)> =
        statement.query_row([run_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((seq, hash)) = last else {
        let mut there = false;
        transaction.run(run_id, &mut |_| there = true)?;
        let missing = || Error::RunNotFound { run: run_id.to_string() };
        return there.then(|| Link::first(run_id.clone())).ok_or_else(missing);
    };
    let here = Seq::new(seq).zip(EventHash::parse_bytes(hash.as_bytes()));
    let behind = here.and_then(|(seq, hash)| Link { run_id: run_id.clone(), seq, prev: None }.after(hash));
    behind.ok_or_else(|| Error::RunBroken {
        run: run_id.to_string(),
        problem: "the row of its last event has no seq or no hash that can be followed".to_owned(),
    })
}
