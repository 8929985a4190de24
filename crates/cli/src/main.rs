//! `receipt`: records a command as a run, and verifies what was recorded.

mod args;
mod cmd;
mod context;
mod error;
mod hints;
mod input;
mod keys;
mod name;
mod passphrase;
mod pin;
mod place;
mod term;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(error) => return error::usage(&error),
    };
    let context = context::Context::new(&args.global);
    match cmd::run(&args.verb, &context) {
        Ok(code) => code,
        Err(error) => error.report(&context),
    }
}
