//! `receipt verify`: what has been tampered with, by kind.

use super::bundle::{self, Subject};
use super::proof;
use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::hints;
use crate::input;
use crate::name::WholeName;
use crate::pin::{Pinning, Remembered};
use crate::term;
use receipt_kernel::audit::{CheckReport, Progress};
use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::note::KeyKind;
use receipt_kernel::core::witness::WitnessPolicy;
use receipt_kernel::{Anchors, Audit, Check, Digest256, Ledger, Reason, Report, RunId, Value, Verdict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check the ledger, some of its runs, or a bundle against every kind of tampering
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt verify
  receipt verify build-1 @last
  receipt verify build-1.receipt            a bundle, with no ledger at hand
  receipt verify old.receipt gone.receipt   the second has the receipts of what the first had to let go
  receipt verify --require tail,rollback    fails where those cannot be settled
  receipt verify --checkpoint kept.note --vkey KEY
  receipt verify --proof proof.txt --event event.json --vkey KEY      with no ledger at hand
  receipt verify --proof grown.txt --checkpoint kept.note --vkey KEY  a proof from prove --from

The exit status is the verdict's: 0 PASS or WARN, 1 FAIL, 3 UNKNOWN. Checks that the ledger alone cannot settle are
UNKNOWN and do not count, unless they are required. That several bundles are of one ledger only --vkey shows.")]
pub(crate) struct Args {
    /// The runs to check, by their whole ids or @last; all of them if none is named. Or bundles: files that end in
    /// .receipt, or any file as ./FILE
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// Checks that must not be UNKNOWN: names, or all
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
    /// A checkpoint that was kept outside; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// Who must have cosigned a checkpoint: a policy in the form of C2SP tlog-policy
    #[arg(long, value_name = "FILE")]
    pub(crate) witness_policy: Option<PathBuf>,
    /// A run that must have so many events, and the hash of the last of those
    #[arg(long, value_name = "RUN=COUNT:HASH")]
    pub(crate) expect: Vec<String>,
    /// A proof from `receipt prove`, to be checked by itself: that --event is in the log, or that the log only adds to
    /// --checkpoint
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "expect", "files", "threads"])]
    pub(crate) proof: Option<PathBuf>,
    /// The event that --proof is of: its hash, or a file with its text, as `receipt show EVENT --json` prints it
    #[arg(long, value_name = "HASH|FILE", requires = "proof")]
    pub(crate) event: Option<String>,
    /// Neither look at what was verified before, nor remember this
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// A file that was put by digest under this key, or whose bytes a bundle does not hold, to be compared with what was
    /// recorded
    #[arg(long = "evidence", value_name = "KEY=FILE", value_parser = file)]
    pub(crate) files: Vec<(String, PathBuf)>,
    /// How many threads; as many as there are cores where none is given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) trust: bundle::Trust,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    if let Some(proof) = &args.proof {
        return proof::run(proof, args, context);
    }
    let (runs, bundles) = subjects(args, context)?;
    if !bundles.is_empty() {
        return of_bundles(args, &runs, &bundles, context);
    }
    let required = required(&args.require, Check::ALL)?;
    let mut anchors = anchors(args)?;
    let ledger = context.open_read_only().map_err(|error| match error {
        Error::Kernel(receipt_kernel::Error::NotFound { .. }) => runs.iter().fold(error, or_file),
        error => error,
    })?;
    let named = find_runs(&runs, &ledger)?;
    for (run, ..) in &mut anchors.expected {
        if let Some(found) = WholeName::from(run.as_str()).find_if_there(&ledger)? {
            *run = found;
        }
    }
    let mut pinning = if args.no_pin { Pinning::off() } else { Pinning::of(&context.ledger_path()?) };
    let digests = digests(&args.files)?;
    let mut report;
    let mut tries = 0..TRIES;
    loop {
        anchors.pinned = pinning.anchors();
        report = check(args, context, &ledger, &anchors, &digests, &named)?;
        for check in &mut report.checks {
            check.required |= required.contains(&check.check);
        }
        // What was pinned meanwhile is another's finding: it counts once this ledger was held against it too.
        let Some((origin, head)) = report.head.as_ref().filter(|_| report.overall_verdict().is_success()) else {
            break;
        };
        match tries.next() {
            None => break pinning.give_up(),
            Some(_) if pinning.remember(origin.as_ref(), *head) == Remembered::Yes => break,
            Some(_) => pinning.read(),
        }
    }
    pinning.warn(context);
    print_pinned(context, &report, &named, &pinning)?;
    Ok(exit_code(report.overall_verdict()))
}

/// How often a ledger is verified while others pin what they find in it.
const TRIES: usize = 3;

/// One verify.
fn check(
    args: &Args,
    context: &Context,
    ledger: &Ledger,
    anchors: &Anchors,
    digests: &[(String, Digest256)],
    named: &[RunId],
) -> Result<Report> {
    let bar = context.bar("events and blobs");
    let tell = |progress: Progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let mut audit = Audit::of(ledger).against(anchors).progress(&tell).files(digests.to_vec());
    if let Some(threads) = args.threads {
        audit = audit.threads(threads);
    }
    if !named.is_empty() {
        // What is expected of a run is worth nothing where its events are not read.
        let mut runs = named.to_vec();
        for (run, ..) in &anchors.expected {
            if ledger.has_run(run.as_str())? {
                runs.push(run.clone());
            }
        }
        runs.sort_unstable();
        runs.dedup();
        audit = audit.runs(runs);
    }
    let report = audit.run();
    bar.finish_and_clear();
    Ok(report?)
}

/// The runs and the bundles that the arguments name.
fn subjects(args: &Args, context: &Context) -> Result<(Vec<WholeName>, Vec<PathBuf>)> {
    let (mut runs, mut bundles) = (Vec::new(), Vec::new());
    for argument in &args.runs {
        match bundle::subject(argument, context)? {
            Subject::Run(run) => runs.push(run),
            Subject::Bundle(path) => bundles.push(path),
        }
    }
    Ok((runs, bundles))
}

fn of_bundles(args: &Args, runs: &[WholeName], bundles: &[PathBuf], context: &Context) -> Result<ExitCode> {
    let anchored = !args.checkpoint.is_empty() || !args.expect.is_empty() || args.witness_policy.is_some();
    if anchored {
        let problem = "--checkpoint, --expect and --witness-policy are for a ledger; a bundle has its own checkpoint";
        return Err(Error::Input(problem.to_owned()));
    }
    if !runs.is_empty() {
        return Err(Error::Input("bundles are checked without a ledger: name bundles, or runs".to_owned()));
    }
    if bundles.len() > 1 && !args.files.is_empty() {
        return Err(Error::Input("--evidence is for one bundle: check each by itself".to_owned()));
    }
    let required = required(&args.require, Check::BUNDLE)?;
    bundle::run(bundles, &args.trust, &digests(&args.files)?, &required, context)
}

fn find_runs(names: &[WholeName], ledger: &Ledger) -> Result<Vec<RunId>> {
    let find = |name: &WholeName| {
        name.find(ledger).map_err(|error| match error {
            Error::Kernel(receipt_kernel::Error::RunNotFound { .. }) => or_file(error, name),
            error => error,
        })
    };
    let mut found = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// A name of no run may be that of a bundle.
fn or_file(error: Error, name: &WholeName) -> Error {
    let name = name.as_str();
    if Path::new(name).is_file() { Error::NoFileOfRun { name: name.to_owned() } } else { error }
}

fn anchors(args: &Args) -> Result<Anchors> {
    let mut keys = args.trust.keys()?;
    let mut anchors = Anchors { key: keys.pop(), ..Anchors::default() };
    if anchors.key.as_ref().is_some_and(|key| key.kind() != KeyKind::Note) {
        return Err(Error::Input("--vkey: this is a witness's key; witnesses stand in --witness-policy".to_owned()));
    }
    if !keys.is_empty() {
        return Err(Error::Input("--vkey: a ledger has one key; witnesses stand in --witness-policy".to_owned()));
    }
    for path in &args.checkpoint {
        anchors.checkpoints.push((show(path), input::checkpoint(path)?));
    }
    anchors.witnesses = witnesses(args)?;
    for text in &args.expect {
        let expected = expected(text);
        let wanted = || Error::Input(format!("--expect: {text:?} is not RUN=COUNT:sha256:HEX"));
        anchors.expected.push(expected.ok_or_else(wanted)?);
    }
    Ok(anchors)
}

pub(super) fn witnesses(args: &Args) -> Result<Option<WitnessPolicy>> {
    let Some(path) = &args.witness_policy else { return Ok(None) };
    let policy =
        WitnessPolicy::parse(&input::utf8(path)?).map_err(|error| Error::Input(format!("{}: {error}", show(path))))?;
    Ok(Some(policy))
}

fn expected(text: &str) -> Option<(RunId, Seq, EventHash)> {
    let (run, rest) = text.rsplit_once('=')?;
    let (count, hash) = rest.split_once(':')?;
    Some((RunId::new(run), Seq::new(count.parse().ok()?)?, EventHash::parse_bytes(hash.as_bytes())?))
}

fn file(text: &str) -> Result<(String, PathBuf), String> {
    let (key, path) = text.split_once('=').ok_or("expected KEY=FILE")?;
    Ok((key.to_owned(), path.into()))
}

fn digests(files: &[(String, PathBuf)]) -> Result<Vec<(String, Digest256)>> {
    files.iter().map(|(key, path)| Ok((key.clone(), digest(path)?))).collect()
}

fn digest(path: &Path) -> Result<Digest256> {
    Digest256::of(input::plain_file(path)?).map_err(|source| Error::File { what: show(path), source })
}

/// The checks of these names, of those that there are.
fn required(names: &[String], of: [Check; 10]) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for name in names {
        match of.iter().find(|check| check.as_str() == name) {
            Some(check) => checks.push(*check),
            None if name == "all" => checks.extend(of),
            None => {
                let known = of.map(Check::as_str).join(", ");
                return Err(Error::Input(format!("--require: there is no check {name:?}; there are: {known}, all")));
            }
        }
    }
    Ok(checks)
}

/// Prints a report.
pub(crate) fn print(context: &Context, report: &Report) -> Result<()> {
    print_pinned(context, report, &[], &Pinning::off())
}

/// Prints a report, with the runs that it is of if it is not of all, and what the pins say to it.
fn print_pinned(context: &Context, report: &Report, only: &[RunId], pinning: &Pinning) -> Result<()> {
    let verdict = report.overall_verdict();
    let names: Vec<&str> = only.iter().map(RunId::as_str).collect();
    if context.json {
        let mut value = report.to_value();
        if let Value::Object(object) = &mut value {
            if !names.is_empty() {
                object.insert("run_ids", names);
            }
            object.insert("pins", pinning.to_value(report));
            object.insert("warnings", pinning.warnings.clone());
        }
        return context.print_json(&value);
    }
    print_checks(context, &report.checks)?;
    for line in pinning.lines(report) {
        context.print(&term::escape(&line))?;
    }
    let Report { runs, events, blobs, unfinished, .. } = report;
    let line =
        format!("{} {runs} runs, {events} events, {blobs} blobs, {unfinished} unfinished", term::verdict(verdict));
    if !names.is_empty() {
        let more = names.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<String> = names.iter().take(SHOWN).map(|name| term::escape(name)).collect();
        return context.print(&format!("{line}: {}{more}", shown.join(", ")));
    }
    context.print(&line)
}

/// Prints each check with its verdict and its first reasons.
pub(crate) fn print_checks(context: &Context, checks: &[CheckReport]) -> Result<()> {
    for check in checks {
        let note = if check.required { "" } else { "  (does not count)" };
        context.print(&format!(
            "{} {}{}",
            term::verdict_column(check.verdict),
            check.check,
            term::paint(term::SIDE, note)
        ))?;
        reasons(context, &check.reasons, check.more)?;
    }
    Ok(())
}

/// How many reasons are shown of one check.
const SHOWN: usize = 10;

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
