//! `receipt replay`: recorded evaluations, computed again.

use super::bundle::{self, Subject, Trust};
use super::{summary, verify};
use crate::context::Context;
use crate::error::Result;
use crate::term;
use receipt_kernel::bundle::Replays;
use receipt_kernel::core::replay::Replayed;
use receipt_kernel::{Check, Object, Reason, RunId, Value, Verdict};
use std::path::Path;
use std::process::ExitCode;

/// Compute a run's recorded evaluations again, and compare
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt replay @last
  receipt replay build-1.receipt

PASS where every result is as it was recorded, FAIL where one is not, UNKNOWN where the evidence is no longer there to
settle it, or another version judged. The exit status is that verdict's.")]
pub(crate) struct Args {
    /// The run, by its whole id or @last; or a bundle: a file that ends in .receipt, or any file as ./FILE
    run: String,
    #[command(flatten)]
    trust: Trust,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let run = match bundle::subject(&args.run, context)? {
        Subject::Bundle(path) => return of_bundle(&path, args, context),
        Subject::Run(run) => run,
    };
    let ledger = context.open_read_only()?;
    let run = run.find(&ledger)?;
    let Replays { verdict, reasons, evaluations, .. } = ledger.replay_within(&run, args.trust.replay_bytes())?;
    if reasons.is_empty() {
        return done(context, &run, &evaluations, verdict);
    }
    if context.json {
        let Value::Object(mut document) = document(&run, &evaluations, verdict.into()) else {
            return Ok(verify::exit_code(verdict));
        };
        document.insert("reasons", Value::Array(reasons.iter().map(Reason::to_value).collect()));
        context.print_json(&document.into())?;
    } else {
        let run = term::escape(run.as_str());
        context.print(&format!("{} run {run} was not computed again", term::verdict_column(verdict)))?;
        summary::reasons(context, &reasons, 0)?;
    }
    Ok(verify::exit_code(verdict))
}

/// What is wrong with the bundle elsewhere comes first: nothing is computed from what is not sound.
fn of_bundle(path: &Path, args: &Args, context: &Context) -> Result<ExitCode> {
    let keys = args.trust.keys()?;
    let report = bundle::check(path, &args.trust.verify(&keys))?;
    let verdict = report.check(Check::Replay).map_or(Verdict::Unknown, |check| check.verdict);
    let whole = report.overall_verdict();
    match &report.run {
        Some(run) if whole != Verdict::Fail && (verdict.is_success() || !report.evaluations.is_empty()) => {
            done(context, run, &report.evaluations, verdict)
        }
        _ => {
            bundle::print(context, &report)?;
            Ok(verify::exit_code(whole.worse(verdict)))
        }
    }
}

fn done(context: &Context, run: &RunId, evaluations: &[Replayed], verdict: Verdict) -> Result<ExitCode> {
    if context.json {
        context.print_json(&document(run, evaluations, verdict.into()))?;
    } else {
        bundle::print_replayed(context, run, evaluations)?;
    }
    Ok(verify::exit_code(verdict))
}

fn document(run: &RunId, evaluations: &[Replayed], verdict: Value) -> Value {
    Object::from_iter([
        ("run", Value::from(run.as_str())),
        ("verdict", verdict),
        ("evaluations", Value::Array(evaluations.iter().map(Replayed::to_value).collect())),
    ])
    .into()
}
