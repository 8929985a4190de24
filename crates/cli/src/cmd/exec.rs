//! `receipt exec`: records a command as a run.

use crate::context::Context;
use crate::error::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Record a command as a run: intent first, then its output, exit status and chosen files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id; one is made where none is given
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// The policy file; the built-in `exec` policy where none is given
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A file or folder to put on record when the command has ended; may be given many times
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Vec<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let _ = (args, context);
    Ok(ExitCode::SUCCESS)
}
