//! `receipt redact`: replaces a blob's bytes by their redaction.

use crate::cmd::cat;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::term;
use receipt_kernel::{BlobHash, BlobRef, Ledger, Object, Value};
use std::process::ExitCode;

/// Replace a blob's bytes by their redaction, with a receipt
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt scan
  receipt redact blob://sha256:9f2c…

The redacted bytes are put, the old ones removed, and a receipt in a run of its own names both and the rules, all in one
transaction; no copy of the old bytes stays in the ledger's files. The events that put the old blob stay, and verify. A
secret that was on record is known to whoever read it: revoke it. The exit status is 3 where somebody who still reads kept
the files from being scrubbed: then run `receipt retain`.")]
pub(crate) struct Args {
    /// The blob: blob://sha256:…, or all of its digits
    blob: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let hash = whole_blob(&ledger, &args.blob)?;
    let done = ledger.redact(&hash, &context.actor())?;
    let (old, new) = (BlobRef(done.old).to_string(), BlobRef(done.new.hash).to_string());
    let document = Object::from_iter([
        ("run_id", Value::from(done.run_id.as_str())),
        ("old", old.as_str().into()),
        ("new", new.as_str().into()),
        ("redactions", done.redactions.into()),
        ("rules", done.rules.as_str().into()),
        ("scrubbed", done.scrubbed.into()),
    ]);
    let line =
        format!("replaced {} in {old}, which is now {new}; the receipt is in run {}", done.redactions, done.run_id);
    context.done(document, &term::escape(&line))?;
    Ok(if done.scrubbed { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The blob of exactly this address. Bytes are removed here: the beginning of an address is not enough.
fn whole_blob(ledger: &Ledger, text: &str) -> Result<BlobHash> {
    match cat::whole_blob(text) {
        Ok(hash) => Ok(hash),
        Err(digits) => {
            let found = cat::find_blob(ledger, text)?;
            Err(Error::Input(format!("{digits} is only the beginning of an address: give all of {}", BlobRef(found))))
        }
    }
}
