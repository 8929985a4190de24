//! `receipt decide`: records a decision about a run.

use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::term;
use receipt_kernel::{Object, Value};
use std::process::ExitCode;

/// Record a decision, referring to the last evaluation
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt decide build-1 --id ship --basis 'the tests pass' --plan 'release it'
  receipt decide @last --basis 'two tests fail' --basis 'they are new' --plan 'fix them'")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// The decision's id
    #[arg(long, default_value = "decision")]
    id: String,
    /// What it rests on; may be given many times
    #[arg(long, value_name = "TEXT")]
    basis: Vec<String>,
    /// What is to be done
    #[arg(long, value_name = "TEXT", default_value = "")]
    plan: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let basis: Vec<&str> = args.basis.iter().map(String::as_str).collect();
    let appended = ledger.resume(run_id.as_str(), context.actor())?.decide(&args.id, &basis, &args.plan)?;
    let event = appended.event_ref.to_string();
    let document =
        Object::from_iter([("run_id", Value::from(run_id.as_str())), ("event", Value::from(event.as_str()))]);
    let id = ledger.gate()?.text(&args.id);
    context.done(document, &term::escape(&format!("decision {} is recorded as {event}", *id)))?;
    Ok(ExitCode::SUCCESS)
}
