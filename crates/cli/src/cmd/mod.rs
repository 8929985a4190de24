//! The verbs: one file each.

pub(crate) mod exec;
pub(crate) mod verify;

use crate::args::Verb;
use crate::context::Context;
use crate::error::Result;
use std::process::ExitCode;

pub(crate) fn run(verb: &Verb, context: &Context) -> Result<ExitCode> {
    match verb {
        Verb::Exec(args) => exec::run(args, context),
        Verb::Verify(args) => verify::run(args, context),
    }
}
