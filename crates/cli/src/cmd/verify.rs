//! `receipt verify`: what has been tampered with, by kind.

use crate::context::Context;
use crate::error::Result;
use receipt_kernel::{Audit, Verdict};
use std::process::ExitCode;

/// Check the ledger, or some of its runs, against every kind of tampering
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The runs to check; all of them where none is named
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let mut audit = Audit::of(&ledger);
    if !args.runs.is_empty() {
        let runs = args.runs.iter().map(|run| context.find_run(&ledger, run)).collect::<Result<Vec<_>>>()?;
        audit = audit.runs(runs);
    }
    let report = audit.run()?;
    let verdict = report.overall_verdict();
    if context.json {
        context.print_json(&report.to_value())?;
    } else {
        context.print(&verdict)?;
    }
    Ok(exit_code(verdict))
}

/// 0 for PASS and WARN, 1 for FAIL, 3 for UNKNOWN.
pub(crate) fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Pass | Verdict::Warn => 0,
        Verdict::Fail => 1,
        Verdict::Unknown => 3,
    })
}
