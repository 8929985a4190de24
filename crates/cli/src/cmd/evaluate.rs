//! `receipt evaluate`: judges a run by a policy.

use super::summary::reasons;
use super::verify::exit_code;
use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::{input, term};
use receipt_kernel::{Error as KernelError, Evaluation, Ledger, RunId, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Judge a run by its policy, and record that
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt evaluate build-1
  receipt evaluate build-1 --policy stricter.toml    judges, and records nothing

A finalized run can be judged again, and so can a run under a policy of a newer version; nothing is recorded then. The exit status is the verdict's: 0 PASS or WARN, 1
FAIL, 3 UNKNOWN.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// Judge by this policy instead, and record nothing
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let (run_id, evaluation, unrecorded) = judge(args, context)?;
    let verdict = evaluation.overall_verdict;
    if context.json {
        let mut value = evaluation.to_value();
        if let Value::Object(object) = &mut value {
            object.insert("run_id", run_id.as_str());
            object.insert("recorded", unrecorded.is_none());
        }
        context.print_json(&value)?;
        return Ok(exit_code(verdict));
    }
    for judged in &evaluation.results {
        let result = &judged.result;
        let optional = if judged.required { "" } else { " (not required)" };
        let name = term::escape(&result.invariant_id);
        context.print(&format!("{} {name}{optional}", term::verdict_column(result.verdict)))?;
        reasons(context, &result.reasons, 0)?;
    }
    for id in &evaluation.deferred {
        context.print(&format!(
            "{} {} (asked once the run has ended)",
            term::paint(term::SIDE, "later  "),
            term::escape(id)
        ))?;
    }
    if let Some(why) = unrecorded.filter(|_| !context.quiet) {
        context.print(&format!("{why}: judged, nothing recorded"))?;
    }
    context.print(&format!("{} {}", term::verdict(verdict), term::escape(run_id.as_str())))?;
    Ok(exit_code(verdict))
}

/// The evaluation, and why it was not recorded where it was not.
fn judge(args: &Args, context: &Context) -> Result<(RunId, Evaluation, Option<&'static str>)> {
    if let Some(path) = &args.policy {
        let policy = input::policy(path)?;
        let ledger = context.open_read_only()?;
        let run_id = args.run.find(&ledger)?;
        let evaluation = ledger.evaluate(run_id.as_str(), Some(&policy))?;
        return Ok((run_id, evaluation, Some("by another policy")));
    }
    let ledger: Ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let why = match ledger.resume(run_id.as_str(), context.actor()) {
        // A policy or stage graph that only a newer version can read: nothing can be appended, and the run can be judged.
        Err(KernelError::Input(_)) => "this version cannot read all of the run's policy",
        Err(error) => return Err(error.into()),
        Ok(mut run) => match run.evaluate() {
            Ok(evaluation) => return Ok((run_id, evaluation, None)),
            Err(KernelError::RunFinalized { .. }) => "the run is finalized",
            Err(error) => return Err(error.into()),
        },
    };
    let evaluation = ledger.evaluate(run_id.as_str(), None)?;
    Ok((run_id, evaluation, Some(why)))
}
