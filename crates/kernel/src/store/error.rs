//! The error of a store: what kind of failure it is, which backend had it, and its cause.

use crate::error::kind::ErrorKind;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// What has failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Others kept the store locked for as long as the backend waits. The same call may succeed later.
    Busy,
    /// The store cannot be written: it was opened to read, or its file, folder or user may not be written.
    ReadOnly,
    /// There is no room. Nothing was written.
    Full,
    /// A constraint of the store refused a row: its place is taken, or it refers to a row that is not there.
    Constraint,
    /// The store reported success for a write that did not change the one row that it was to change. Something in the
    /// store that is not the kernel's swallowed the write.
    Ignored,
    /// What lies in the store is not what a kernel wrote there.
    Corrupt,
    /// The machine failed to read or write.
    Io,
    /// The store cannot be reached. The same call may succeed later.
    Unavailable,
    /// A commit that may have taken effect, or may not have. Whoever repeats the append under its idempotency key learns
    /// which.
    InDoubt,
    /// The handle holds files that are not those of the ledger any more: another SQLite library in this process has removed
    /// them. What was written last may be in the ledger, or not; nothing was acknowledged.
    Detached,
    /// The store was asked for what it does not have or do: a table, a parameter, a text of bytes.
    Misuse,
    /// Anything else.
    Other,
}

impl StoreErrorKind {
    /// What the caller can do.
    pub const fn recourse(self) -> ErrorKind {
        match self {
            Self::Busy | Self::Unavailable => ErrorKind::Retry,
            // Not even InDoubt: without an idempotency key, a repetition could be recorded twice.
            _ => ErrorKind::Stop,
        }
    }

    /// A stable word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::ReadOnly => "read_only",
            Self::Full => "disk_full",
            Self::Ignored => "write_ignored",
            Self::Unavailable => "store_unavailable",
            Self::InDoubt => "commit_in_doubt",
            Self::Detached => "store_detached",
            Self::Constraint | Self::Corrupt | Self::Io | Self::Misuse | Self::Other => "store_failed",
        }
    }

    /// What to do next, as a sentence; empty if the message says it all.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Busy => "try again; if it lasts, look for a process that holds the ledger open",
            Self::Full => "free some space and try again: the ledger is intact",
            Self::ReadOnly => "check the permissions of the ledger and of its folder",
            Self::Unavailable => "try again; if it lasts, look whether the server runs and can be reached",
            Self::Detached => "close whatever else has the ledger open in this process, and do it again",
            Self::InDoubt => "read the run to see whether the event is there, or repeat it under its idempotency key",
            _ => "",
        }
    }
}

/// A failed operation of a store. Nothing was written, unless its kind is [`StoreErrorKind::InDoubt`].
///
/// It never carries a secret: no address of a server with a password in it, no value of a row, no statement with a value
/// in it. A backend makes it from a text of its own and from errors that hold none of these.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    backend: &'static str,
    problem: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure of a backend, which says what is wrong.
    pub fn new(kind: StoreErrorKind, backend: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, backend, problem: problem.into(), source: None }
    }

    /// A failure to read or write bytes.
    pub fn io(backend: &'static str, source: std::io::Error) -> Self {
        Self::new(StoreErrorKind::Io, backend, source.to_string()).caused_by(source)
    }

    /// The same with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What has failed.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The backend that failed, such as `sqlite`.
    pub const fn backend(&self) -> &'static str {
        self.backend
    }

    /// What the backend said, for people.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// The same failure at a commit that may have taken effect.
    #[must_use]
    pub(crate) fn in_doubt(self) -> Self {
        Self { kind: StoreErrorKind::InDoubt, ..self }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, problem, .. } = self;
        match kind {
            StoreErrorKind::Busy => f.write_str("the ledger stayed locked by other writers"),
            StoreErrorKind::Full => f.write_str("the disk is full; nothing was written"),
            StoreErrorKind::ReadOnly => f.write_str("the ledger is read-only"),
            StoreErrorKind::Ignored => write!(f, "the ledger swallowed a write, and nothing was recorded: {problem}"),
            StoreErrorKind::Unavailable => write!(f, "the ledger's store cannot be reached: {problem}"),
            StoreErrorKind::InDoubt => {
                write!(f, "the store failed while it committed, so that this may be recorded or not: {problem}")
            }
            StoreErrorKind::Detached => {
                write!(f, "the ledger is open twice in this process, by two libraries: {problem}")
            }
            _ => write!(f, "the ledger's store failed: {problem}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}
