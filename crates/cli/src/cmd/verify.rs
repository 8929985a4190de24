//! `receipt verify`: what has been tampered with, by kind.

use super::audit::{Against, Audited, Subjects};
use super::{bundle, proof, summary};
use crate::context::Context;
use crate::error::Result;
use crate::pin::Pinning;
use receipt_kernel::{Report, RunId, Value, Verdict};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check the ledger, some of its runs, or bundles against every kind of tampering
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt verify
  receipt verify -v                         each check, whatever came of it
  receipt verify build-1 @last
  receipt verify build-1.receipt            a bundle, with no ledger at hand
  receipt verify old.receipt gone.receipt   the second has the receipts of what the first had to let go
  receipt verify --require tail,rollback    fails where those cannot be settled
  receipt verify --checkpoint kept.note --vkey KEY
  receipt verify --proof proof.txt --event event.json --vkey KEY      with no ledger at hand
  receipt verify --proof grown.txt --checkpoint kept.note --vkey KEY  a proof from prove --from

INTACT says that the record is what was written; with a warning, that the checks named below it need a look. It does not say that the runs in it ended well: `receipt gate` asks
both. The exit status is 0 for INTACT, 1 for TAMPERED, 3 for UNKNOWN. Checks that the ledger alone cannot settle do not
count, unless they are required. That several bundles are of one ledger only --vkey shows.")]
pub(crate) struct Args {
    /// The runs to check, by their whole ids or @last; all of them if none is named. Or bundles: files that end in
    /// .receipt, or any file as ./FILE
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// A proof from `receipt prove`, to be checked by itself: that --event is in the log, or that the log only adds to
    /// --checkpoint
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "expect", "files", "threads"])]
    pub(crate) proof: Option<PathBuf>,
    /// The event that --proof is of: its hash, or a file with its text, as `receipt show EVENT --json` prints it
    #[arg(long, value_name = "HASH|FILE", requires = "proof")]
    pub(crate) event: Option<String>,
    #[command(flatten)]
    pub(crate) against: Against,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    if let Some(proof) = &args.proof {
        return proof::run(proof, args, context);
    }
    match args.against.subjects(&args.runs, context)? {
        Subjects::Bundles(paths) => {
            let reports = args.against.bundles(&paths)?;
            bundle::print_all(context, &paths, &reports)?;
            Ok(exit_code(bundle::overall_of(&reports)))
        }
        Subjects::Runs(names) => {
            let Audited { report, runs, pinning, .. } = args.against.ledger(&names, context)?;
            print_pinned(context, &report, &runs, &pinning)?;
            Ok(exit_code(report.overall_verdict()))
        }
    }
}

/// Prints a report.
pub(crate) fn print(context: &Context, report: &Report) -> Result<()> {
    print_pinned(context, report, &[], &Pinning::off())
}

fn print_pinned(context: &Context, report: &Report, only: &[RunId], pinning: &Pinning) -> Result<()> {
    if !context.json {
        return summary::ledger(context, report, only, pinning);
    }
    let mut value = report.to_value();
    if let Value::Object(object) = &mut value {
        if !only.is_empty() {
            object.insert("run_ids", only.iter().map(RunId::as_str).collect::<Vec<_>>());
        }
        object.insert("pins", pinning.to_value(report));
        object.insert("warnings", pinning.warnings.clone());
    }
    context.print_json(&value)
}

/// 0 for PASS and WARN, 1 for FAIL, 3 for UNKNOWN.
pub(crate) fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(status(verdict))
}

/// The same as a number.
pub(crate) fn status(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass | Verdict::Warn => 0,
        Verdict::Fail => 1,
        Verdict::Unknown => 3,
    }
}
