//! `receipt recover`: ends interrupted runs.

use crate::context::Context;
use crate::error::Result;
use crate::name::WholeName;
use crate::term;
use receipt_kernel::store::Visit;
use receipt_kernel::{Ledger, Object, RunId, Value};
use std::process::ExitCode;

/// Finalize an interrupted run as UNKNOWN
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt recover build-1
  receipt recover --all     every unfinished run: make sure that nobody is still writing them")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    run: Option<WholeName>,
    /// Every unfinished run that this kernel started
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let runs = match &args.run {
        Some(run) => vec![run.find(&ledger)?],
        None => unfinished(&ledger)?,
    };
    let mut recovered = Vec::new();
    let mut failed = None;
    for run in &runs {
        match ledger.recover(run.as_str(), context.actor()) {
            Ok(verdict) => recovered.push((run.as_str(), verdict)),
            // The others are recovered all the same; the first failure is the one that is told.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    let line = match recovered.as_slice() {
        [] => "no run is unfinished".to_owned(),
        runs => {
            let runs = runs.iter().map(|(run, verdict)| format!("{run} as {verdict}"));
            format!("finalized {}", runs.collect::<Vec<_>>().join(", "))
        }
    };
    let recovered = Value::from(recovered.iter().map(|(run, _)| *run).collect::<Vec<_>>());
    context.done(Object::from_iter([("recovered", recovered)]), &term::escape(&line))?;
    Ok(ExitCode::SUCCESS)
}

fn unfinished(ledger: &Ledger) -> Result<Vec<RunId>> {
    let mut runs = Vec::new();
    // An imported run is not ours to end.
    let imported = ledger.imported()?;
    ledger.runs(&mut |run_id, facts| {
        if !facts.finalized && facts.commitment.is_some() && !imported.contains(run_id) {
            runs.push(run_id.clone());
        }
        Visit::Continue(())
    })?;
    Ok(runs)
}
