//! `receipt backup`: copies the ledger, and checks the copy.

use super::verify;
use crate::context::Context;
use crate::error::Result;
use crate::place;
use receipt_kernel::Ledger;
use std::path::PathBuf;
use std::process::ExitCode;

/// Copy the ledger while others write it, and verify the copy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt backup /mnt/safe/ledger.db
  receipt backup /mnt/safe/ledger.db && receipt verify --ledger /mnt/safe/ledger.db

The copy appears when it is whole, or not at all; nothing is overwritten. The exit status is the copy's verdict.")]
pub(crate) struct Args {
    /// The file to be made
    to: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    place::check_name(&args.to)?;
    let from = context.ledger_path()?;
    let bar = context.bar("pages");
    let copied = Ledger::backup(&from, &args.to, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied?;
    let report = Ledger::open_read_only(&args.to)?.audit()?;
    verify::print(context, &report)?;
    Ok(verify::exit_code(report.overall_verdict()))
}
