//! `receipt init`: makes a ledger.

use crate::context::{Context, show};
use crate::error::Result;
use receipt_kernel::{Ledger, Object, Value};
use std::process::ExitCode;

/// Make a ledger in this folder, or at --ledger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt init                             makes .receipt/ledger.db
  receipt init --ledger /srv/ci/ledger.db  makes it there; nothing is overwritten")]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let path = context.new_ledger_path();
    Ledger::create(&path)?;
    let whole = path.canonicalize().unwrap_or(path);
    let document = Object::from_iter([("ledger", Value::from(whole.to_string_lossy().into_owned()))]);
    context
        .done(document, &format!("made a ledger at {}; `receipt exec -- CMD` records a command in it", show(&whole)))?;
    Ok(ExitCode::SUCCESS)
}
