//! `receipt prove`: an event is in the log, or the log only grew.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::input;
use crate::name::{Named, WholeName};
use receipt_kernel::{Object, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Prove that an event or run is in the last checkpoint, or that it only adds to an older one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt prove build-1/3              an event (C2SP tlog-proof)
  receipt prove build-1                its newest event in a checkpoint; the chain binds those before it
  receipt prove --from kept.note       what `receipt witness` asks for (the body of C2SP tlog-witness)")]
pub(crate) struct Args {
    /// The event (RUN/SEQ) or run, by the run's whole id or @last
    #[arg(value_name = "EVENT|RUN", required_unless_present = "from", conflicts_with = "from")]
    what: Option<WholeName>,
    /// The older checkpoint
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let proof = match (&args.from, &args.what) {
        (Some(path), _) => ledger.prove_from(input::checkpoint(path)?.checkpoint())?.to_string(),
        (None, Some(what)) => match what.find_event(&ledger)? {
            Named::Event(event) => ledger.prove_event(&event)?.to_string(),
            Named::Run(run) => ledger.prove_run(run.as_str())?.1.to_string(),
        },
        (None, None) => return Err(Error::Input("name an event, a run or --from CHECKPOINT".to_owned())),
    };
    if context.json {
        context.print_json(&Object::from_iter([("proof", Value::from(proof))]).into())?;
    } else {
        context.print(&proof.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
