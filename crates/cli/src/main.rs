//! `receipt`: records a command as a run, and verifies what was recorded.

mod args;
mod cmd;
mod context;
mod error;
mod term;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let parsed = args::Args::try_parse();
    let args = match parsed {
        Ok(args) => args,
        Err(error) => return error::usage(&error),
    };
    let context = context::Context::new(&args.global);
    match cmd::run(&args.verb, &context) {
        Ok(code) => code,
        Err(error) => error.report(&context),
    }
}
