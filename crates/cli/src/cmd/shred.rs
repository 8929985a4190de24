//! `receipt shred`: records that a key was destroyed.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::term;
use receipt_kernel::evidence::shred::Shredded;
use receipt_kernel::{Object, Value};
use std::process::ExitCode;

/// Record that the private half of a recipient was destroyed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  shred -u 2026-10.txt && receipt shred age1… 'the period is over'

Evidence sealed to that recipient alone can then be opened by nobody, in any copy of the ledger; its ciphertext stays and
still verifies. The receipt names each such blob. Nothing more is sealed to the recipient. That the key is destroyed is
your word: the ledger cannot see it.")]
pub(crate) struct Args {
    /// The public key, as `receipt recipients` shows it
    recipient: String,
    /// Why
    reason: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    if args.reason.trim().is_empty() {
        return Err(Error::Input("the reason is empty: say why, as it is on record for good".to_owned()));
    }
    let Shredded { run_id, lost, open_to_others } =
        context.open()?.shred(&args.recipient, &args.reason, &context.actor())?;
    let document = Object::from_iter([
        ("run_id", Value::from(run_id.as_str())),
        ("lost", lost.into()),
        ("open_to_others", open_to_others.into()),
    ]);
    let line = format!(
        "{lost} blobs can be opened by nobody any more, {open_to_others} by others; the receipt is in run {run_id}"
    );
    context.done(document, &term::escape(&line))?;
    Ok(ExitCode::SUCCESS)
}
