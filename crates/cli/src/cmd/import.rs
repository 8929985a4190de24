//! `receipt import`: puts the run of a bundle into the ledger.

use super::bundle::{self, Trust};
use super::verify;
use crate::context::{Context, show};
use crate::error::Result;
use crate::term;
use receipt_kernel::bundle::BundleReport;
use receipt_kernel::{Object, RunId, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check a bundle, and put its run into the ledger as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt import build-1.receipt
  receipt init --ledger archive.db
  receipt import --ledger archive.db build-1.receipt --vkey example.org/log+1a2b3c4d+AbCd...

The bundle is checked first: unless it is PASS or WARN nothing is written. No ledger is made for it. A run that is there already as it is in the
bundle is no error; one that is another is refused. The exit status is the bundle's verdict.")]
pub(crate) struct Args {
    /// The bundle; - for standard input
    file: PathBuf,
    #[command(flatten)]
    trust: Trust,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let keys = args.trust.keys()?;
    let checks = args.trust.verify(&keys);
    let mut input = bundle::open(&args.file)?;
    let ledger = context.open()?;
    let imported = ledger.import(&checks, &mut *input)?;
    let verdict = imported.report.overall_verdict();
    if verdict.is_failure() {
        return refuse(context, &imported.report);
    }
    let run = imported.report.run.as_ref().map(RunId::as_str).unwrap_or_default();
    let document = Object::from_iter([
        ("run", Value::from(run)),
        ("new", imported.new.into()),
        ("report", imported.report.to_value()),
    ]);
    let done = if imported.new { "imported" } else { "was there already, as it is in" };
    let line = if imported.new {
        format!("{done} run {} from {}", term::escape(run), show(&args.file))
    } else {
        format!("run {} {done} {}", term::escape(run), show(&args.file))
    };
    context.done(document, &line)?;
    Ok(verify::exit_code(verdict))
}

fn refuse(context: &Context, report: &BundleReport) -> Result<ExitCode> {
    bundle::print(context, report)?;
    if !context.json {
        context.print(&"not imported: only a bundle that verifies is")?;
    }
    Ok(verify::exit_code(report.overall_verdict()))
}
