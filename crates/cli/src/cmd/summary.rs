//! Prints a report for a person. The first line answers two questions, each with a word of its own: whether the record is
//! intact, and how its runs ended.

use crate::context::Context;
use crate::error::Result;
use crate::hints;
use crate::pin::Pinning;
use crate::term;
use receipt_kernel::audit::CheckReport;
use receipt_kernel::bundle::BundleReport;
use receipt_kernel::{BlobRef, Check, Coverage, Ending, Outcomes, Reason, Report, RunId, Verdict};

/// How many reasons are shown of one check, and how many runs are named.
const SHOWN: usize = 10;

/// The word for a record: whether it is what was written. How its runs ended is another question.
pub(crate) const fn word(record: Verdict) -> &'static str {
    match record {
        Verdict::Pass | Verdict::Warn => "INTACT",
        Verdict::Fail => "TAMPERED",
        Verdict::Unknown => "UNKNOWN",
    }
}

/// The word in its colour, padded to the width of the widest.
fn painted(record: Verdict) -> String {
    term::paint(term::style_of(record), &format!("{:<8}", word(record)))
}

/// An intact record may hold what nobody could settle but whoever looks into it, such as a removal that no anchor covers.
const fn warned(record: Verdict) -> &'static str {
    if matches!(record, Verdict::Warn) { ", with a warning" } else { "" }
}

/// How a run ended, for a sentence.
pub(crate) const fn ended(outcome: Option<Verdict>) -> &'static str {
    match outcome {
        Some(Verdict::Pass) => "passed",
        Some(Verdict::Warn) => "passed with a warning",
        Some(Verdict::Fail) => "failed",
        Some(Verdict::Unknown) => "ended as UNKNOWN",
        None => "not ended",
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn evidence(number: u64) -> String {
    count(number, "piece of evidence", "pieces of evidence")
}

/// A run, and how it ended: what a record that was tampered with says of that is worth nothing.
fn one_run(ending: &Ending, record: Verdict) -> String {
    let run = format!("run {}", term::escape(ending.run.as_str()));
    if record == Verdict::Fail { run } else { format!("{run} ({})", ended(ending.outcome)) }
}

/// How many runs there are, and how they ended.
fn runs(all: u64, outcomes: Outcomes, record: Verdict) -> String {
    let Outcomes { pass, warn, fail, unknown, unfinished } = outcomes;
    let outcomes = [Some(Verdict::Pass), Some(Verdict::Warn), Some(Verdict::Fail), Some(Verdict::Unknown), None];
    let counted = [pass, warn, fail, unknown, unfinished].into_iter().zip(outcomes).filter(|(count, _)| *count > 0);
    let counted: Vec<String> = counted.map(|(count, outcome)| format!("{count} {}", ended(outcome))).collect();
    let all = count(all, "run", "runs");
    if counted.is_empty() || record == Verdict::Fail { all } else { format!("{all} ({})", counted.join(", ")) }
}

/// The first runs of several, for the end of a line.
fn names(runs: &[RunId]) -> String {
    let shown: Vec<String> = runs.iter().take(SHOWN).map(|run| term::escape(run.as_str())).collect();
    let more = runs.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(": {}{more}", shown.join(", "))
}

/// Prints the report of a ledger, with the runs that it is of if it is not of all, and what the pins say to it.
pub(crate) fn ledger(context: &Context, report: &Report, only: &[RunId], pinning: &Pinning) -> Result<()> {
    let verdict = report.overall_verdict();
    let what = match report.endings.as_slice() {
        [ending] if only.len() == 1 => one_run(ending, verdict),
        _ => runs(report.runs, report.outcomes, verdict),
    };
    let events = count(report.events, "event", "events");
    let named = if only.len() > 1 { names(only) } else { String::new() };
    let blobs = evidence(report.blobs);
    context.print(&format!("{} {what}, {events}, {blobs}{}{named}", painted(verdict), warned(verdict)))?;
    if context.quiet {
        return Ok(());
    }
    for Coverage { anchor, events, of } in &report.coverage {
        let since = pinning.since(anchor).unwrap_or_else(|| term::escape(anchor));
        context.print(&format!("covered: {events} of {}, by {since}", count(*of, "event", "events")))?;
    }
    uncovered(context, &report.checks)?;
    checks(context, &report.checks)?;
    for line in pinning.lines(report) {
        context.print(&term::escape(&line))?;
    }
    Ok(())
}

/// Prints the report of a bundle.
pub(crate) fn bundle(context: &Context, report: &BundleReport) -> Result<()> {
    let verdict = report.overall_verdict();
    let what = match &report.ending {
        Some(ending) => one_run(ending, verdict),
        None => "no run".to_owned(),
    };
    let (events, blobs) = (count(report.events, "event", "events"), evidence(report.blobs));
    context.print(&format!("{} {what}, {events}, {blobs}{}", painted(verdict), warned(verdict)))?;
    if context.quiet {
        return Ok(());
    }
    if let Some((seq, hash)) = report.head {
        context.print(&format!("head: event {seq}, {hash}"))?;
    }
    for (key, blob) in &report.absent {
        let key = key.as_deref().map_or("evidence".to_owned(), term::escape);
        context.print(&format!("not in the bundle: {key} {}", term::paint(term::SIDE, &BlobRef(*blob).to_string())))?;
    }
    uncovered(context, &report.checks)?;
    checks(context, &report.checks)
}

/// Prints one line that names the checks that are open and do not count, with the command that would settle them.
fn uncovered(context: &Context, checks: &[CheckReport]) -> Result<()> {
    let open: Vec<Check> =
        checks.iter().filter(|it| !it.required && it.verdict != Verdict::Pass).map(|it| it.check).collect();
    if open.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = open.iter().map(|check| check.as_str()).collect();
    let hint = hints::of_uncovered(&open);
    context.print(&format!("not covered: {}  {}", names.join(", "), term::paint(term::SIDE, &format!("({hint})"))))
}

/// Prints the checks that a person has to look at: all of them where more was asked for.
fn checks(context: &Context, checks: &[CheckReport]) -> Result<()> {
    // Of evidence that was removed with a receipt, the check is PASS and says so.
    let tells =
        |it: &CheckReport| it.verdict != Verdict::Pass || (it.check == Check::Evidence && !it.reasons.is_empty());
    let looked_at = |check: &&CheckReport| context.verbose || (check.required && tells(check));
    checks.iter().filter(looked_at).try_for_each(|check| one(context, check))
}

/// Prints each check with its verdict and its first reasons.
pub(crate) fn all(context: &Context, checks: &[CheckReport]) -> Result<()> {
    checks.iter().try_for_each(|check| one(context, check))
}

fn one(context: &Context, check: &CheckReport) -> Result<()> {
    let note = if check.required { "" } else { "  (does not count)" };
    context.print(&format!(
        "{} {}{}",
        term::verdict_column(check.verdict),
        check.check,
        term::paint(term::SIDE, note)
    ))?;
    reasons(context, &check.reasons, check.more)
}

/// Prints the first reasons of a check with what they point at; `more` were not even kept.
pub(crate) fn reasons(context: &Context, reasons: &[Reason], more: u64) -> Result<()> {
    for reason in reasons.iter().take(SHOWN) {
        let mut line = format!("        {} {}", term::escape(&reason.code), term::escape(&reason.msg));
        if let Some(hint) = hints::of_reason(&reason.code) {
            line.push_str("; ");
            line.push_str(hint);
        }
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
