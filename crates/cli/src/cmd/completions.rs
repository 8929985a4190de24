//! `receipt completions`: what a shell needs to complete command lines.

use crate::args;
use crate::context::Context;
use crate::error::{Error, Result};
use clap_complete::Shell;
use receipt_kernel::{Object, Value};
use std::io::Write;
use std::process::ExitCode;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt completions bash > ~/.local/share/bash-completion/completions/receipt
  receipt completions fish > ~/.config/fish/completions/receipt.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    // Into memory first: the generator panics where its reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "receipt", &mut script);
    if context.json {
        let script = String::from_utf8_lossy(&script).into_owned();
        let document = Object::from_iter([("shell", args.shell.to_string()), ("script", script)]);
        context.print_json(&Value::from(document))?;
    } else {
        std::io::stdout().write_all(&script).map_err(Error::output)?;
    }
    Ok(ExitCode::SUCCESS)
}
