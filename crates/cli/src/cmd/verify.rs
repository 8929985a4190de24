//! `receipt verify`: what has been tampered with, by kind.

use crate::context::{self, Context};
use crate::error::{Error, Result};
use crate::term;
use receipt_kernel::audit::Progress;
use receipt_kernel::{Audit, Check, Digest256, Reason, Report, Verdict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check the ledger, or some of its runs, against every kind of tampering
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt verify
  receipt verify build-1 @last
  receipt verify --require tail,rollback    fails where those cannot be settled

The exit status is the verdict's: 0 PASS or WARN, 1 FAIL, 3 UNKNOWN. Checks that the ledger alone cannot settle are
UNKNOWN and do not count, unless they are required.")]
pub(crate) struct Args {
    /// The runs to check; all of them where none is named
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// Checks that must not be UNKNOWN: names, or all
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
    /// A file that was put by digest under this key, to be compared with what was recorded
    #[arg(long = "evidence", value_name = "KEY=FILE", value_parser = file)]
    pub(crate) files: Vec<(String, PathBuf)>,
    /// How many threads; as many as there are cores where none is given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let required = required(&args.require)?;
    let ledger = context.open_read_only()?;
    let bar = context.bar("events and blobs");
    let show = |progress: Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let files = args.files.iter().map(|(key, path)| Ok((key.clone(), digest(path)?))).collect::<Result<Vec<_>>>()?;
    let mut audit = Audit::of(&ledger).progress(&show).files(files);
    if let Some(threads) = args.threads {
        audit = audit.threads(threads);
    }
    if !args.runs.is_empty() {
        let runs = args.runs.iter().map(|run| context.find_run(&ledger, run)).collect::<Result<Vec<_>>>()?;
        audit = audit.runs(runs);
    }
    let report = audit.run();
    bar.finish_and_clear();
    let mut report = report?;
    for check in &mut report.checks {
        check.required |= required.contains(&check.check);
    }
    print(context, &report)?;
    Ok(exit_code(report.overall_verdict()))
}

fn file(text: &str) -> Result<(String, PathBuf), String> {
    let (key, path) = text.split_once('=').ok_or("expected KEY=FILE")?;
    Ok((key.to_owned(), path.into()))
}

fn digest(path: &Path) -> Result<Digest256> {
    let failed = |source| Error::File { what: context::show(path), source };
    Digest256::of(std::fs::File::open(path).map_err(failed)?).map_err(failed)
}

fn required(names: &[String]) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for name in names {
        match Check::ALL.into_iter().find(|check| check.as_str() == name) {
            Some(check) => checks.push(check),
            None if name == "all" => checks.extend(Check::ALL),
            None => {
                let known = Check::ALL.map(Check::as_str).join(", ");
                return Err(Error::Input(format!("--require: there is no check {name:?}; there are: {known}, all")));
            }
        }
    }
    Ok(checks)
}

/// Prints a report, as JSON where that was asked for.
pub(crate) fn print(context: &Context, report: &Report) -> Result<()> {
    let verdict = report.overall_verdict();
    if context.json {
        return context.print_json(&report.to_value());
    }
    for check in &report.checks {
        let note = if check.required { "" } else { "  (does not count)" };
        context.print(&format!(
            "{} {}{}",
            term::verdict_column(check.verdict),
            check.check,
            term::paint(term::SIDE, note)
        ))?;
        reasons(context, &check.reasons, check.more)?;
    }
    let Report { runs, events, blobs, unfinished, .. } = report;
    let line =
        format!("{} {runs} runs, {events} events, {blobs} blobs, {unfinished} unfinished", term::verdict(verdict));
    context.print(&line)
}

/// How many reasons are shown of one check.
const SHOWN: usize = 10;

/// Prints the first reasons of a check with what they point at; `more` were not even kept.
pub(crate) fn reasons(context: &Context, reasons: &[Reason], more: u64) -> Result<()> {
    for reason in reasons.iter().take(SHOWN) {
        let mut line = format!("        {} {}", term::escape(&reason.code), term::escape(&reason.msg));
        if !reason.pointers.is_empty() {
            line.push(' ');
            line.push_str(&term::paint(term::SIDE, &term::escape(&reason.pointers.join(" "))));
        }
        context.print(&line)?;
    }
    let more = more + reasons.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        context.print(&format!("        and {more} more"))?;
    }
    Ok(())
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
