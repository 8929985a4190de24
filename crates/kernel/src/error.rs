//! What can go wrong with a ledger, split by what the caller can do about it.

pub(crate) mod kind;

pub use kind::ErrorKind;

use crate::evidence::redact::without_secrets;
use crate::store::error::{StoreError, StoreErrorKind};
use receipt_core::Verdict;
use std::path::PathBuf;
use thiserror::Error;

/// A result of the kernel.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation. What it was to write has not been written, not even in part; only of a commit that is in doubt
/// ([`StoreErrorKind::InDoubt`]) nobody knows.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Input that the core refuses.
    #[error(transparent)]
    Input(receipt_core::Error),
    /// There is no such run.
    #[error("there is no run {run:?} in this ledger")]
    RunNotFound {
        /// The run asked for.
        run: String,
    },
    /// A run of this id was started before.
    #[error("run {run:?} is already in this ledger")]
    RunExists {
        /// The run.
        run: String,
    },
    /// Nothing follows RUN_FINALIZE.
    #[error("run {run:?} is finalized; nothing can follow")]
    RunFinalized {
        /// The run.
        run: String,
    },
    /// Somebody is recording it.
    #[error("run {run:?} is still being recorded")]
    BeingRecorded {
        /// The run.
        run: String,
    },
    /// The run does not commit to a policy, so that the strict rules cannot be applied.
    #[error("run {run:?} was not started by this kernel: it commits to no policy, so it can be read but not continued")]
    RunUncommitted {
        /// The run.
        run: String,
    },
    /// The end of a run that was to be continued is not as it was written.
    #[error("run {run:?} cannot be continued: its last event is not as it was written ({problem})")]
    RunBroken {
        /// The run.
        run: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An event type that has an operation of its own.
    #[error("{event_type} is not appended by hand: {instead}")]
    ReservedType {
        /// The type.
        event_type: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A verdict that the run's last evaluation does not bear out.
    #[error("the run's last evaluation allows at best {allowed}, not {asked}")]
    VerdictTooGood {
        /// The verdict asked for.
        asked: Verdict,
        /// The best that the evaluation allows.
        allowed: Verdict,
    },
    /// An idempotency key that was used before, for something else.
    #[error("idempotency key {key:?} was used at {at} for another event")]
    KeyConflict {
        /// The key.
        key: String,
        /// The event that has it.
        at: String,
    },
    /// A name that holds a secret: it would be stored as it is, and redacted two names could become one.
    #[error("{what} looks like a secret, and nothing was recorded")]
    SecretName {
        /// What is named so.
        what: &'static str,
    },
    /// The log and the events contradict each other: nothing was signed.
    #[error("the log cannot be extended: {problem}")]
    LogBroken {
        /// What contradicts what.
        problem: String,
    },
    /// A key that is not the log's.
    #[error("this key cannot sign for this ledger: {problem}")]
    WrongKey {
        /// Why.
        problem: String,
    },
    /// The ledger has an origin already.
    #[error("this ledger's origin is {origin:?}, for good")]
    OriginBound {
        /// It.
        origin: String,
    },
    /// There is no checkpoint that covers it.
    #[error("no checkpoint covers {what}")]
    NotLogged {
        /// What.
        what: String,
    },
    /// A checkpoint that this log did not lead to.
    #[error("the checkpoint is not one of this ledger: {problem}")]
    ForeignCheckpoint {
        /// Why.
        problem: String,
    },
    /// More than fits.
    #[error("{what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An event that is not there.
    #[error("there is no event {event} in this ledger")]
    EventNotFound {
        /// The event.
        event: String,
    },
    /// Text that names no blob of this ledger.
    #[error("there is no blob {blob} in this ledger")]
    BlobNotFound {
        /// The blob.
        blob: String,
    },
    /// A blob whose bytes cannot be given.
    #[error("blob {blob} cannot be read back: {problem}")]
    BlobUnavailable {
        /// The blob.
        blob: String,
        /// Why.
        problem: String,
    },
    /// A blob whose type says that it is a list of parts, and that cannot be read as one.
    #[error("blob {blob} cannot be read as the list of parts that its type says it is: {problem}")]
    NotParts {
        /// The blob.
        blob: String,
        /// Why.
        problem: &'static str,
    },
    /// A key under which the run has put nothing.
    #[error("run {run:?} has put no evidence under the key {key:?}")]
    KeyNotPut {
        /// The run.
        run: String,
        /// The key.
        key: String,
    },
    /// Something of this name is in the ledger already, and it is another.
    #[error("{what} is already in this ledger, and it is not the one of the bundle: {problem}")]
    ImportConflict {
        /// The run or the blob.
        what: String,
        /// How it differs.
        problem: &'static str,
    },
    /// Sealed evidence needs somebody who can open it.
    #[error("evidence of class sealed is only stored encrypted, and this ledger has no recipient to encrypt to")]
    NoRecipient,
    /// Sealed evidence is not recorded by digest.
    #[error("evidence of class sealed is not recorded by digest: outside a ciphertext a digest says what lies in it")]
    SealedByDigest,
    /// A public key that is none.
    #[error("that is no recipient: {problem}")]
    BadRecipient {
        /// What is wrong with it.
        problem: String,
    },
    /// A private key that is none.
    #[error("the identity cannot be used: {problem}")]
    BadIdentity {
        /// What is wrong with it.
        problem: String,
    },
    /// Sealed evidence that does not open.
    #[error("the sealed evidence cannot be opened: {problem}")]
    NotOpened {
        /// Why.
        problem: String,
    },
    /// Nobody has said how long evidence is to be kept.
    #[error("this ledger has no retention policy: nothing is removed")]
    RetentionUnset,
    /// A retention policy that cannot be.
    #[error("the retention policy is wrong at {at}: {problem}")]
    RetentionInvalid {
        /// Where.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// A blob that was to be redacted, in which the rules find nothing.
    #[error("the rules find no secret in {blob}")]
    NothingToRedact {
        /// The blob.
        blob: String,
    },
    /// A blob whose bytes were to go, and that a run on hold refers to.
    #[error("{blob} is kept: run {run:?} is on hold and refers to it")]
    Held {
        /// The blob.
        blob: String,
        /// The run.
        run: String,
    },
    /// Redaction rules that are not understood in full; none of them is used.
    #[error("the redaction rules are wrong at {at}: {problem}")]
    RulesInvalid {
        /// Where.
        at: String,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing at the path.
    #[error("there is no ledger at {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// There is something at the path already.
    #[error("there is already a file at {}", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// There is a file, but it is no ledger.
    #[error("{} is not a ledger: {problem}", path.display())]
    NotALedger {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The ledger was written by a later version.
    #[error("the ledger has store schema version {found}, newer than supported ({supported})")]
    NewerSchema {
        /// The version in the file.
        found: String,
        /// The version that this kernel knows.
        supported: u32,
    },
    /// The SQLite library can lose commits.
    #[error("SQLite {found} can lose commits; 3.51.3 or later is needed")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// The store failed; its kind says how.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel contradicts itself.
    #[error("this is a fault of the kernel: {problem}")]
    Internal {
        /// What it found.
        problem: &'static str,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl From<receipt_core::Error> for Error {
    fn from(error: receipt_core::Error) -> Self {
        Self::Input(error.map_texts(&without_secrets))
    }
}

impl Error {
    /// There is no such run. The name is whatever the caller gave, which may be a secret in the wrong place.
    pub(crate) fn no_run(run: &str) -> Self {
        Self::RunNotFound { run: without_secrets(run) }
    }

    pub(crate) const fn internal(problem: &'static str) -> Self {
        Self::Internal { problem }
    }

    /// What has failed in the store, if it is the store that failed.
    pub const fn of_store(&self) -> Option<StoreErrorKind> {
        match self {
            Self::Store(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind().recourse(),
            Self::RunBroken { .. }
            | Self::LogBroken { .. }
            | Self::NotALedger { .. }
            | Self::NewerSchema { .. }
            | Self::OldSqlite { .. }
            | Self::NotFound { .. }
            | Self::BlobUnavailable { .. }
            | Self::NotParts { .. }
            | Self::Internal { .. }
            | Self::Io { .. } => ErrorKind::Stop,
            _ => ErrorKind::Input,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Input(_) => "invalid_input",
            Self::RunNotFound { .. } => "run_not_found",
            Self::RunExists { .. } => "run_exists",
            Self::RunFinalized { .. } => "run_finalized",
            Self::BeingRecorded { .. } => "run_being_recorded",
            Self::RunUncommitted { .. } => "run_uncommitted",
            Self::RunBroken { .. } => "run_broken",
            Self::ReservedType { .. } => "reserved_type",
            Self::VerdictTooGood { .. } => "verdict_too_good",
            Self::KeyConflict { .. } => "key_conflict",
            Self::SecretName { .. } => "secret_name",
            Self::LogBroken { .. } => "log_broken",
            Self::WrongKey { .. } => "wrong_key",
            Self::OriginBound { .. } => "origin_bound",
            Self::NotLogged { .. } => "not_logged",
            Self::ForeignCheckpoint { .. } => "foreign_checkpoint",
            Self::TooLarge { .. } => "too_large",
            Self::EventNotFound { .. } => "event_not_found",
            Self::BlobNotFound { .. } => "blob_not_found",
            Self::BlobUnavailable { .. } => "blob_unavailable",
            Self::NotParts { .. } => "not_parts",
            Self::KeyNotPut { .. } => "evidence_not_found",
            Self::ImportConflict { .. } => "import_conflict",
            Self::NoRecipient => "no_recipient",
            Self::SealedByDigest => "sealed_by_digest",
            Self::BadRecipient { .. } => "bad_recipient",
            Self::BadIdentity { .. } => "bad_identity",
            Self::NotOpened { .. } => "not_opened",
            Self::RetentionUnset => "retention_unset",
            Self::RetentionInvalid { .. } => "retention_invalid",
            Self::NothingToRedact { .. } => "nothing_to_redact",
            Self::Held { .. } => "held",
            Self::RulesInvalid { .. } => "rules_invalid",
            Self::NotFound { .. } => "ledger_not_found",
            Self::Exists { .. } => "file_exists",
            Self::NotALedger { .. } => "not_a_ledger",
            Self::NewerSchema { .. } => "newer_schema",
            Self::OldSqlite { .. } => "old_sqlite",
            Self::Store(error) => error.kind().code(),
            Self::Internal { .. } => "internal",
            Self::Io { .. } => "io",
        }
    }

    /// What to do next, as a sentence, if that is the same for every caller; empty if the message says it all. A program
    /// with commands knows more.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::RunFinalized { .. } => "start a new run and refer to this one",
            Self::BeingRecorded { .. } => "wait until the recorder has ended, or end it",
            Self::KeyConflict { .. } => "use a new key for a new event; repeat a key only to retry the same event",
            Self::SecretName { .. } => "choose another, such as a number or a random id",
            Self::SealedByDigest => "encrypt the file yourself, and record the result by digest as public",
            Self::ImportConflict { .. } => "nothing was written; import it into another ledger, and compare the two",
            Self::Exists { .. } => "choose another path; nothing is overwritten",
            Self::NewerSchema { .. } => "update receipt-kernel",
            Self::OldSqlite { .. } => "build with the bundled SQLite",
            Self::Store(error) => error.kind().hint(),
            Self::Io { .. } => "nothing was written; check the disk, its limits, and the permissions of the folder",
            _ => "",
        }
    }
}
