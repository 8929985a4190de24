//! The store: what a backend must do, and all of it.
//!
//! A backend gives snapshots and transactions and moves rows; it knows nothing of stages, hashes or verdicts. Snapshots see
//! one instant. A write transaction excludes other writers of its scope from its first read to its commit, so that what was
//! read in it (a run's head) is still true when the event that follows is written. Dropped without a commit, it leaves
//! nothing.
//!
//! Rows come out as [`Cell`]s, whatever a hostile file holds in them. Each backend passes [`conformance`].

mod append;
mod blob;
pub mod conformance;
pub(crate) mod error;
mod log;
pub mod memory;
pub(crate) mod rows;
pub mod sqlite;

use blob::unreadable;
pub use blob::{MAX_BYTES_IN_MEMORY, blob_bytes, blob_fact, blob_state, check_blob};
pub(crate) use blob::{state_of, unavailable};
pub use error::{StoreError, StoreErrorKind};
pub use log::{LogRead, LogWrite, Segment, StoredCheckpoint};

use crate::error::Result;
use receipt_core::chain::Link;
use receipt_core::envelope::{Envelope, Sealed};
use receipt_core::evidence::{BlobRecord, BlobState};
use receipt_core::id::{BlobHash, EventHash, EventRef, RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow, RunRow};
use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// A backend. It is shared by all threads, each of which may read and write at the same time; what excludes what is said by
/// the [`Scope`] of a write.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Where the data lie, for messages: nothing is decided by it, and no secret is in it.
    fn location(&self) -> Location;

    /// What the backend can take.
    fn limits(&self) -> Limits;

    /// Snapshots of ONE instant, each for a thread of its own: as many as are wanted, or fewer if the backend cannot hold so
    /// many to the same instant, but never none. They see everything that was committed before the call.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>>;

    /// Begins a write transaction, which excludes other writers of its scope from its first read to its end; waits for those
    /// who are there. Reads in it see what was committed before it began, and its own writes.
    ///
    /// # Errors
    /// [`StoreErrorKind::Busy`] where others would not let go; [`StoreErrorKind::ReadOnly`].
    fn begin(&self, scope: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>>;

    /// Appends events of one run, all or none, if the run still ends where `expected` begins: the events have the places
    /// from `expected` on. A backend that others share over a network does all of it in one round trip.
    ///
    /// Under a `key`, the append is recorded once: if the run has the key already, nothing is written, and the caller
    /// compares what it stands for.
    ///
    /// # Errors
    /// [`StoreErrorKind::Misuse`] for events that do not follow `expected` and each other; [`StoreErrorKind::InDoubt`] if the
    /// events may be there or not: the same call under the same key tells; as [`Self::begin`].
    fn append(&self, events: &[NewEvent<'_>], expected: &Link, key: Option<NewKey<'_>>) -> Result<Outcome> {
        append::in_a_transaction(self.begin(Scope::Run(&expected.run_id))?, events, expected, key)
    }

    /// The fence: every event that has arrived up to here is committed, and none will ever arrive before it. Events after it
    /// may have arrived out of the order of their commits, and numbers may be missing for good.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn settled(&self) -> Result<Arrival>;

    /// Everything in the backend's schema that is not the kernel's: a table or column that is missing or of another kind, a
    /// constraint, a default, an index, a trigger.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn inspect(&self) -> Result<Vec<Problem>>;

    /// Sees to it that no copy of bytes that were removed stays where the backend can reach it.
    ///
    /// # Errors
    /// [`StoreErrorKind::ReadOnly`]; where the backend cannot be written.
    fn erase(&self) -> Result<Erasure>;
}

/// One instant of a backend, which a thread may take with it.
pub trait Snapshot: Send {
    /// Its reads.
    fn view(&self) -> Box<dyn ReadTransaction + '_>;
}

/// Where a store's data lie. There is no room in it for a user's name or password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// In memory, as long as the store lives.
    Memory,
    /// In a file.
    File(PathBuf),
    /// On a server.
    Server {
        /// Its name, and its port if that is not the usual one.
        host: String,
        /// Which of its ledgers.
        ledger: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server { host, ledger } => write!(f, "{ledger} on {host}"),
        }
    }
}

/// What a backend can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest blob, in bytes.
    pub largest_blob: u64,
    /// How many snapshots of one instant are of use. More may be asked for.
    pub readers: usize,
    /// Whether each statement of a transaction is a round trip over a network: then [`Store::append`] is quicker than one.
    pub is_remote: bool,
    /// The folder for evidence on its way into the store, which is as private as the store; `None` for the system's own.
    pub spool: Option<PathBuf>,
}

/// What a write transaction is about, and other writers are kept from. A backend may keep them from more.
///
/// What is shared by all runs (a blob's row, a setting) can be written in any scope; removing bytes needs [`Scope::Ledger`],
/// as another run may be putting the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One run, also one that is about to be started.
    Run(&'a RunId),
    /// Several runs.
    Runs(&'a [RunId]),
    /// The log: no other transaction extends it.
    Log,
    /// Everything.
    Ledger,
}

/// How far events have arrived, in the numbers that [`LogRead::events_after`] gives them. It orders them for the log;
/// nothing else may rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(pub i64);

/// What came of erasing removed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Erasure {
    /// No copy is left where the backend can reach it.
    Done,
    /// Somebody stands in the way: it has to be tried again.
    Blocked {
        /// Who, for people.
        by: String,
    },
    /// Copies may be left where the backend cannot reach them: in replicas, old versions or backups.
    OutOfReach {
        /// Where, for people.
        why: String,
    },
}

/// A row for `events`.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// The event, sealed in its place.
    pub event: &'a Sealed,
    /// When it was.
    pub created_at: Timestamp,
}

/// An idempotency key, and what it is to stand for.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    /// The key.
    pub key: &'a str,
    /// What it stands for.
    pub row: KeyRow,
}

/// What came of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The events are durable.
    Recorded,
    /// The run has the key already, for this. Nothing was written.
    Replayed(KeyRow),
    /// The run ends elsewhere: the next event goes here, as far as the row of the last one says so; `None` if there is no
    /// such run, or its last row is no row of an event. Nothing was written.
    Moved(Option<Link>),
}

/// Something in a backend's schema that is not the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the tables are not those of a ledger, so that nothing in them can be read as one. Else something stands
    /// beside what is ours: what was recorded can be read, and nothing may be written, as it would take part in the write.
    pub malformed: bool,
    /// Whether it is a trigger, which would run with each write.
    pub is_trigger: bool,
    /// What it is.
    pub msg: String,
}

/// Goes on, or stops early.
pub type Visit = ControlFlow<()>;

/// What is shown an event's row.
pub type Visitor<'v> = &'v mut dyn FnMut(&EventRow<'_>) -> Visit;

/// A run's id, raw, and its row where there is one.
pub type VisitRun<'v> = &'v mut dyn FnMut(Cell<'_>, Option<&RunRow<'_>>) -> Visit;

/// A row of `blobs` without its bytes.
#[derive(Clone, Copy, Debug)]
pub struct BlobRow<'a> {
    /// The address.
    pub sha256: Cell<'a>,
    /// The media type.
    pub content_type: Cell<'a>,
    /// How many bytes were put.
    pub bytes_len: Cell<'a>,
    /// The class.
    pub evidence_class: Cell<'a>,
    /// `live`, `expired_hash_only` or `purged`.
    pub state: Cell<'a>,
    /// When it was put.
    pub created_at: Cell<'a>,
    /// When its bytes were removed; NULL where they were not.
    pub expired_at: Cell<'a>,
    /// How many bytes are there; `None` for NULL.
    pub stored_len: Option<u64>,
    /// Whether the bytes are stored as bytes, and not as text or a number.
    pub is_blob: bool,
}

/// How many rows a ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Runs.
    pub runs: u64,
    /// Events.
    pub events: u64,
    /// Blobs.
    pub blobs: u64,
}

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The event that was appended under it.
    pub seq: Seq,
    /// SHA-256 of what was to be appended.
    pub digest: [u8; 32],
}

/// Reads, all of one instant.
pub trait ReadTransaction: LogRead {
    /// Every run that has a row or events, those with a row first, each group in the order of their ids.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn runs(&self, visit: VisitRun<'_>) -> Result<()>;

    /// A run's row.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn run(&self, run: &RunId, visit: &mut dyn FnMut(&RunRow<'_>)) -> Result<()>;

    /// A run's events in the order of their seq.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn events(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>) -> Visit) -> Result<()>;

    /// Those behind one place and up to another. Whatever a hostile file holds, ranges that follow each other from `None`
    /// to `None` show every row that [`Self::events`] shows. A backend that cannot go there by an index need write nothing.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn events_between(&self, run: &RunId, after: Option<Seq>, until: Option<Seq>, visit: Visitor<'_>) -> Result<()> {
        self.events(run, &mut |row| {
            let seq = row.seq.integer();
            let outside = seq.is_some_and(|seq| {
                after.is_some_and(|after| seq <= after.get()) || until.is_some_and(|until| seq > until.get())
            });
            if outside { Visit::Continue(()) } else { visit(row) }
        })
    }

    /// The event of the highest seq.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn head(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()>;

    /// One event.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn event(&self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()>;

    /// A blob's row.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn blob(&self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<()>;

    /// A blob's bytes, in pieces; nobody has hashed them.
    ///
    /// # Errors
    /// [`crate::Error::BlobUnavailable`] where what lies there, in a form of the backend's own, gives no bytes; where the backend
    /// cannot be read.
    fn blob_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// The address of every blob.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn blobs(&self, visit: &mut dyn FnMut(Cell<'_>) -> Visit) -> Result<()>;

    /// Every event of type BLOB_EXPIRE, of whichever run.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn expiries(&self, visit: &mut dyn FnMut(Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()>;

    /// About how much there is, quickly; for showing progress and for dealing out work. Nothing else may rest on it.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn size(&self) -> Result<Size>;

    /// Exactly how many rows each table has, counted in the tables themselves and not in an index: a row that no index
    /// leads to is counted too.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn rows(&self) -> Result<Size>;

    /// What an idempotency key of a run stands for.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn key(&self, run: &RunId, key: &str) -> Result<Option<KeyRow>>;

    /// What was set under a name.
    ///
    /// # Errors
    /// Where the backend cannot be read.
    fn setting(&self, name: &str) -> Result<Option<String>>;
}

/// A row for `runs`.
#[derive(Clone, Copy, Debug)]
pub struct NewRun<'a> {
    /// The run.
    pub run_id: &'a RunId,
    /// The policy's id.
    pub policy_id: &'a str,
    /// Its version.
    pub policy_version: &'a str,
    /// The stage graph's id.
    pub stage_graph_id: &'a str,
    /// When the run began.
    pub created_at: Timestamp,
    /// What its writer says about it, as JSON.
    pub meta_json: &'a str,
}

/// A row for `blobs`.
#[derive(Clone, Copy, Debug)]
pub struct NewBlob<'a> {
    /// What it is.
    pub record: &'a BlobRecord,
    /// When it was put.
    pub created_at: Timestamp,
    /// What was redacted, as JSON.
    pub redaction_json: Option<&'a str>,
}

/// Reads and writes that take effect together at [`WriteTransaction::commit`], or not at all.
pub trait WriteTransaction: ReadTransaction + LogWrite {
    /// Writes a run's row.
    ///
    /// # Errors
    /// [`crate::Error::RunExists`].
    fn insert_run(&mut self, run: &NewRun<'_>) -> Result<()>;

    /// Writes events in their order: of each exactly its bytes.
    ///
    /// # Errors
    /// Where the place of one is taken.
    fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<()>;

    /// Writes one event.
    ///
    /// # Errors
    /// As [`Self::insert_events`].
    fn insert_event(&mut self, event: &Sealed, created_at: Timestamp) -> Result<()> {
        self.insert_events(&[NewEvent { event, created_at }])
    }

    /// Writes a blob with exactly `record.bytes_len` bytes of `data`, in place of any row of the same address.
    ///
    /// # Errors
    /// Where `data` cannot be read or ends too early.
    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<()>;

    /// Sets a blob's class and media type.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn set_class(&mut self, blob: &BlobRecord) -> Result<()>;

    /// Moves a blob from one state to a later one and removes its bytes; `false`, and nothing done, where it is not in
    /// the first.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn expire_blob(&mut self, hash: &BlobHash, from: BlobState, to: BlobState, at: Timestamp) -> Result<bool>;

    /// Sets a value under a name, in place of any before.
    ///
    /// # Errors
    /// Where the backend cannot be written.
    fn set(&mut self, name: &str, value: &str) -> Result<()>;

    /// Writes an idempotency key.
    ///
    /// # Errors
    /// Where the run has it already.
    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<()>;

    /// The event that was inserted last, by which somebody tells later whether a commit in doubt took effect. A backend whose
    /// commits are never in doubt need not know.
    fn last_event(&self) -> Option<(EventRef, EventHash)> {
        None
    }

    /// Makes it all durable and seen.
    ///
    /// # Errors
    /// Where it cannot be made durable: then nothing was written, unless the error's kind is [`StoreErrorKind::InDoubt`].
    fn commit(self: Box<Self>) -> Result<()>;
}

/// When an event was, where its ts is an instant.
pub(crate) fn instant(envelope: &Envelope<'_>) -> Option<Timestamp> {
    envelope.ts().as_str().and_then(Timestamp::parse)
}
