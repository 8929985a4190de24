//! `receipt finalize`: ends a run.

use super::verify::exit_code;
use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::term;
use receipt_kernel::{Object, Value, Verdict};
use std::process::ExitCode;

/// End a run with the verdict of its last evaluation
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt finalize build-1 --summary 'released as 1.4.0'
  receipt finalize build-1 --verdict fail --summary 'withdrawn'

Nothing follows the end of a run. A verdict may be worse than the evaluation's, never better. The exit status is the
verdict's: 0 PASS or WARN, 1 FAIL, 3 UNKNOWN.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// End it with this verdict: pass, warn, fail or unknown
    #[arg(long, value_parser = verdict)]
    verdict: Option<Verdict>,
    /// How it ended, in a sentence
    #[arg(long, value_name = "TEXT", default_value = "")]
    summary: String,
}

fn verdict(word: &str) -> Result<Verdict, String> {
    Verdict::parse(&word.to_ascii_lowercase()).ok_or_else(|| "expected pass, warn, fail or unknown".to_owned())
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let mut writer = ledger.resume(run_id.as_str(), context.actor())?;
    let verdict = match args.verdict {
        Some(verdict) => writer.finalize_as(verdict, &args.summary)?,
        None => writer.finalize(&args.summary)?,
    };
    let document = Object::from_iter([("run_id", Value::from(run_id.as_str())), ("overall_verdict", verdict.into())]);
    context.done(document, &format!("{} {} is finalized", term::verdict(verdict), term::escape(run_id.as_str())))?;
    Ok(exit_code(verdict))
}
