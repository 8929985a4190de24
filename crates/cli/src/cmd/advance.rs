//! `receipt advance`: takes a run to another stage.

use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::term;
use receipt_kernel::{Object, Value};
use std::process::ExitCode;

/// Take a run to another stage, where its graph allows that
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt advance build-1 COLLECT
  receipt advance @last EVALUATE --reason 'all logs are in'

A step that the graph does not have is refused, not recorded; the error names the steps that there are.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// The stage to go to
    stage: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let appended = ledger.resume(run_id.as_str(), context.actor())?.advance(&args.stage, &args.reason)?;
    let event = appended.event_ref.to_string();
    let document = Object::from_iter([
        ("run_id", Value::from(run_id.as_str())),
        ("stage", Value::from(args.stage.as_str())),
        ("event", Value::from(event.as_str())),
    ]);
    context.done(document, &term::escape(&format!("{run_id} is in stage {} ({event})", args.stage)))?;
    Ok(ExitCode::SUCCESS)
}
