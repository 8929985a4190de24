//! What a verb can fail with, and the one place that turns it into a message and an exit status.

use crate::context::Context;
use crate::hints;
use crate::term::{BAD, HEAD, escape, escape_lines, paint};
use receipt_kernel::core::canonical;
use receipt_kernel::core::json::Limits;
use receipt_kernel::evidence::redact::without_secrets;
use receipt_kernel::{ErrorKind, Object, Value};
use std::io::{self, Write};
use std::process::ExitCode;
use thiserror::Error as ThisError;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The command line or its input was wrong.
const BAD_INPUT: u8 = 2;
/// The ledger could not be read or written.
const BAD_LEDGER: u8 = 4;
/// A shell gives this status of a program that the broken pipe has ended.
const OUTPUT_CLOSED: u8 = 128 + 13;

#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error(transparent)]
    Kernel(#[from] receipt_kernel::Error),
    #[error("there are no runs in this ledger")]
    NoRuns,
    #[error("every run of this ledger was imported, and @last is the last one that was recorded here")]
    NoOwnRuns,
    #[error("{count} runs begin with {name:?}")]
    ManyRuns { name: String, count: usize },
    #[error("{what}: {source}")]
    File { what: String, source: io::Error },
    /// The name of the ledger is the path of no file.
    #[error("{problem}")]
    LedgerName { problem: String },
    #[error("the ledger at {path} belongs to another user (uid {owner}), and nobody named it")]
    ForeignLedger { path: String, owner: u32 },
    #[error("{0}")]
    Input(String),
    /// A witness that will not cosign: a finding, and no mistake of who asked.
    #[error("{0}")]
    Refused(String),
    #[error("no run has the id {name:?}; these begin with it: {}", list(ids, *count))]
    NotWhole { name: String, ids: Vec<String>, count: usize },
    #[error("{name:?} is a run, and an event of another")]
    EventOrRun { name: String },
    #[error("{name:?} is a run of this ledger, and a file")]
    FileOrRun { name: String },
    /// What was taken for a run is a file.
    #[error("there is no run {name:?}, but there is a file of that name")]
    NoFileOfRun { name: String },
    #[error("run {run:?} has no evidence under the key {key:?}; it has: {known}")]
    NoEvidence { run: String, key: String, known: String },
    #[error("{count} blobs begin with {digits}")]
    ManyBlobs { digits: String, count: usize },
    #[error("the evidence is sealed in {count} parts, and each is an age file of its own")]
    SealedParts { count: usize },
    #[error("run {run:?} has no event {seq}")]
    NoEvent { run: String, seq: i64 },
    /// Whoever read the output has gone. Nobody is told; but it is no success.
    #[error("the output was closed")]
    OutputClosed,
}

impl Error {
    pub(crate) fn output(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::File { what: "standard output".to_owned(), source }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Kernel(error) => error.code(),
            Self::NoRuns | Self::NoOwnRuns | Self::NoFileOfRun { .. } | Self::NotWhole { .. } => "run_not_found",
            Self::ManyRuns { .. } | Self::EventOrRun { .. } | Self::FileOrRun { .. } => "run_ambiguous",
            Self::File { .. } => "io",
            Self::Input(_) | Self::LedgerName { .. } => "invalid_input",
            Self::ForeignLedger { .. } => "foreign_ledger",
            Self::Refused(_) => "refused",
            Self::NoEvidence { .. } => "evidence_not_found",
            Self::ManyBlobs { .. } => "blob_ambiguous",
            Self::SealedParts { .. } => "sealed_parts",
            Self::NoEvent { .. } => "event_not_found",
            Self::OutputClosed => "output_closed",
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Kernel(error) => hints::of_error(error),
            Self::NoRuns => "`receipt exec -- CMD` records one",
            Self::NoOwnRuns => {
                "name the run by its id, which `receipt runs` lists; `receipt exec -- CMD` records one here"
            }
            Self::ManyRuns { .. } => "give more of the id; `receipt runs` lists them",
            Self::LedgerName { .. } => "name a file; ./ before the name takes it for a path in this folder",
            Self::ForeignLedger { .. } => {
                "name it with --ledger to use it this once, or list it in RECEIPT_SAFE_LEDGER=PATH[:PATH]"
            }
            Self::NotWhole { .. } => "give the whole id: a beginning of one is enough only to read",
            Self::EventOrRun { .. } => "event://RUN/SEQ names the event, run://RUN the run",
            Self::FileOrRun { .. } => "./NAME names the file, run://NAME the run",
            Self::NoEvidence { .. } | Self::NoEvent { .. } => "`receipt log RUN` shows what there is",
            Self::ManyBlobs { .. } => "give more of the digits",
            Self::SealedParts { .. } => {
                "--identity FILE opens them as one; `receipt log RUN` shows the key of each, for the age program"
            }
            Self::NoFileOfRun { .. } => "./NAME takes a file for a bundle; without ./ its name must end in .receipt",
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "look whether the path is right, and whether the folder is the one you mean",
                io::ErrorKind::IsADirectory => "name a file; of a folder make one, as with `tar -cf`",
                io::ErrorKind::AlreadyExists => "choose another path; nothing is overwritten",
                io::ErrorKind::PermissionDenied => "whoever runs this must be allowed to read or write it",
                _ => "",
            },
            _ => "",
        }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Kernel(error) if error.kind() == ErrorKind::Input => BAD_INPUT,
            Self::Kernel(_) | Self::ForeignLedger { .. } => BAD_LEDGER,
            Self::OutputClosed => OUTPUT_CLOSED,
            Self::Refused(_) => 1,
            _ => BAD_INPUT,
        }
    }

    /// Tells that help could not be printed.
    fn unprinted(&self) -> ExitCode {
        if !matches!(self, Self::OutputClosed) {
            let _ = writeln!(io::stderr(), "error: {}", escape(&without_secrets(&self.to_string())));
        }
        ExitCode::from(self.status())
    }

    /// Tells the user, as JSON where they asked for it.
    pub(crate) fn report(&self, context: &Context) -> ExitCode {
        if context.json && !matches!(self, Self::OutputClosed) {
            let error = Object::from_iter([
                ("kind", Value::from(self.kind())),
                ("msg", Value::from(without_secrets(&self.to_string()))),
                ("hint", Value::from(self.hint())),
            ]);
            let document = Object::from_iter([("error", Value::from(error))]);
            if context.print_json(&document.into()).is_err() {
                let _ = writeln!(context.stderr(), "error: {}", escape(&without_secrets(&self.to_string())));
            }
        } else if !matches!(self, Self::OutputClosed) {
            let mut out = context.stderr();
            let message = without_secrets(&self.to_string());
            // Its lines are our own; elsewhere a line feed may be somebody else's.
            let message = match self {
                Self::Refused(_) => escape_lines(&message).replace('\n', "\n       "),
                _ => escape(&message),
            };
            let _ = writeln!(out, "{} {message}", paint(BAD, "error:"));
            if !self.hint().is_empty() {
                let _ = writeln!(out, " {} {}", paint(HEAD, "help:"), self.hint());
            }
        }
        ExitCode::from(self.status())
    }
}

/// The first ids, and how many more there are.
fn list(ids: &[String], count: usize) -> String {
    let mut words: Vec<String> = ids.iter().map(|id| format!("{id:?}")).collect();
    let more = count.saturating_sub(ids.len());
    words.extend((more > 0).then(|| format!("and {more} more")));
    words.join(", ")
}

/// A command line that clap refused, or a request for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let printed = error.print().and_then(|()| io::stdout().flush());
        return printed.map_or_else(|source| Error::output(source).unprinted(), |()| ExitCode::SUCCESS);
    }
    // Not in clap's colours: its message repeats arguments, which are anybody's bytes.
    let text = without_secrets(&error.to_string());
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if json {
        let error = Object::from_iter([
            ("kind", Value::from("usage")),
            ("msg", Value::from(text.trim().trim_start_matches("error: "))),
            ("hint", Value::from("`receipt --help` lists the verbs")),
        ]);
        let document = Value::from(Object::from_iter([("error", Value::from(error))]));
        let bytes = canonical::to_bytes(&document, Limits::READ).unwrap_or_default();
        let _ = io::stdout().write_all(&[&bytes, b"\n".as_slice()].concat());
    } else {
        let _ = io::stderr().write_all(escape_lines(&text).as_bytes());
    }
    ExitCode::from(BAD_INPUT)
}
