//! How a command ended, and the status that a shell gives for it.

use rustix::process::WaitStatus;
use std::io::{self, ErrorKind};

/// How a command ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started, or nobody could say how it ended; with the status that a shell gives for that.
    Error(String, u8),
}

impl End {
    /// The exit status that a shell gives for it.
    pub(super) fn status(&self) -> u8 {
        match self {
            // What does not fit is no success.
            Self::Code(code) => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal(signal) => u8::try_from(*signal).map_or(u8::MAX, |signal| signal.saturating_add(128)),
            Self::Error(_, status) => *status,
        }
    }

    pub(super) fn not_started(error: &io::Error) -> Self {
        Self::Error(error.to_string(), if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
    }

    pub(super) fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Error("nobody could say how the command ended".to_owned(), 126),
        }
    }

    pub(super) fn unknown(error: &io::Error) -> Self {
        Self::Error(format!("nobody could say how the command ended: {error}"), 126)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "the command had ended with status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal} had ended the command (status {})", self.status()),
            Self::Error(error, status) => write!(f, "the command was not run: {error} (status {status})"),
        }
    }
}
