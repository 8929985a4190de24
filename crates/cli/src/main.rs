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

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    if cmd::exec::witness::is_asked() {
        return cmd::exec::witness::run();
    }
    let args = match args::parse() {
        Ok(args) => args,
        Err(error) => return error::usage(&error),
    };
    let context = context::Context::new(&args.global);
    // A buffer may still hold output. If it were written at the end of the process, nobody would learn that it could not be.
    let done = cmd::run(&args.verb, &context).and_then(|code| {
        std::io::stdout().flush().map_err(error::Error::output)?;
        context.all_written().map(|()| code)
    });
    match done {
        Ok(code) => code,
        Err(error) => error.report(&context),
    }
}
