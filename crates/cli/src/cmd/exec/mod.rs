//! `receipt exec`: records a command as a run.
//!
//! What is to be run is on disk before it starts. Its output is shown and kept at the same time; no transaction is open
//! while it runs. Whatever happens to the command, the run is finalized; what happens to this process is seen in the run
//! that is left open.

mod child;
mod intent;
mod keep;
mod outputs;
mod walk;

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::hints;
use crate::term::{self, escape};
use child::{End, Ran, Show, Signals};
use keep::{Keep, Kept};
use receipt_kernel::write::Part;
use receipt_kernel::{Evaluation, EvidenceClass, Ledger, Object, Policy, RunWriter, Value, Verdict};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Record a command as a run: intent first, then its output, exit status and chosen files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id; one is made where none is given
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// The policy file; the built-in `exec` policy where none is given
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A file or folder to put on record when the command has ended; may be given many times
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Vec<PathBuf>,
    /// How the command's output and the files are kept: public, or sealed (encrypted; see `receipt recipients`). The command
    /// line itself is on record in clear, but for what redaction finds
    #[arg(long, default_value = "public", value_parser = crate::cmd::put::class)]
    pub(crate) class: EvidenceClass,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// The ledger failed when the command had run.
const LEDGER_FAILED: u8 = 4;
/// How many reasons the closing lines give.
const REASONS_SHOWN: usize = 3;

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let policy = policy(args.policy.as_deref())?;
    let run_id = args.run.clone().map_or_else(intent::run_id, Ok)?;
    let ledger = context.open_or_create()?;
    let path = context.ledger_path()?;
    // All that can be refused is asked for before there is a run.
    if args.class == EvidenceClass::Sealed && ledger.recipients()?.is_none() {
        return Err(receipt_kernel::Error::NoRecipient.into());
    }
    let keeps = [Keep::new(&ledger)?, Keep::new(&ledger)?];
    let signals = Signals::catch().map_err(|source| Error::File { what: "signals".to_owned(), source })?;
    let meta = Object::from_iter([("recorded_by", "receipt exec")]);
    let mut writer = ledger.start(&run_id, policy, context.actor(), meta)?;
    walk::reach(&mut writer, walk::COLLECT, "recording a command")?;
    let mut record = Record::new(writer, ledger.clone(), path.clone());
    record.class = args.class;
    record.intend(&args.command)?;

    let shown = if context.json { Show::OnStderr } else { Show::Both };
    let ran = child::run(&args.command, keeps, signals, shown, &|| tell_waiting(context));
    let status = ran.end.status();
    if let End::Error(error, _) = &ran.end {
        let program = args.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        let _ = writeln!(context.stderr(), "receipt: {}: {}", escape(&program), escape(error));
    }
    let concluded = conclude(&mut record, ran, &args.output);
    Ok(report(&record, concluded, status, context))
}

fn policy(path: Option<&Path>) -> Result<Policy> {
    let Some(path) = path else { return Ok(Policy::exec().map_err(receipt_kernel::Error::from)?) };
    let policy = crate::input::policy(path)?;
    if walk::can_end(policy.graph()) {
        return Ok(policy);
    }
    let (from, path) = (policy.graph().initial(), show(path));
    Err(Error::Input(format!("{path}: its stage graph leads from {from} to no terminal stage")))
}

fn tell_waiting(context: &Context) {
    if !context.quiet && !context.json {
        let msg = "receipt: the command has ended and its output has not: something that it started holds it open, or \
                   nobody reads it. Waiting; Ctrl-C ends the wait.";
        let _ = writeln!(context.stderr(), "{msg}");
    }
}

/// What is put on record of a command, and how good its verdict can still be.
#[derive(Debug)]
struct Record {
    writer: RunWriter,
    ledger: Ledger,
    /// Of the output and the files.
    class: EvidenceClass,
    ledger_path: PathBuf,
    items: Vec<Part>,
    at_best: Verdict,
    /// Why it can be no better.
    limits: Vec<String>,
    /// The first failure of the ledger. Later steps are tried all the same: evidence that is too much for a disk leaves
    /// room for the event that says so.
    failure: Option<receipt_kernel::Error>,
}

impl Record {
    fn new(writer: RunWriter, ledger: Ledger, ledger_path: PathBuf) -> Self {
        let (items, limits) = (Vec::new(), Vec::new());
        let class = EvidenceClass::Public;
        Self { writer, ledger, class, ledger_path, items, at_best: Verdict::Pass, limits, failure: None }
    }

    fn intend(&mut self, command: &[OsString]) -> receipt_kernel::Result<()> {
        // Here it is still known that these are arguments; as text only the lines of JSON would be.
        let intended = self.ledger.gate()?.object(intent::command(command));
        outputs::put_json(self, "command", intended.into_inner())
    }

    /// The verdict can be no better than this.
    fn limit(&mut self, verdict: Verdict, why: String) {
        self.at_best = self.at_best.worse(verdict);
        self.limits.push(why);
    }

    fn put(&mut self, key: &str, object: Object) {
        let done = outputs::put_json(self, key, object);
        self.settle(key, done);
    }

    fn put_kept(&mut self, key: &str, kept: io::Result<Kept>, kind: Option<&str>) {
        match kept {
            Ok(kept) => {
                let done = kept.put(&mut self.writer, key, (kind, self.class), &mut self.items);
                self.settle(key, done);
            }
            Err(error) => self.limit(Verdict::Unknown, format!("{key} could not be kept: {error}")),
        }
    }

    fn settle(&mut self, key: &str, done: receipt_kernel::Result<()>) {
        if let Err(error) = done {
            self.limit(Verdict::Unknown, format!("{key} could not be put on record: {error}"));
            self.failure.get_or_insert(error);
        }
    }

    /// Whether a path is the ledger itself or one of the files that SQLite keeps beside it.
    fn is_ledger(&self, path: &Path) -> bool {
        let (Ok(ledger), Ok(path)) = (self.ledger_path.canonicalize(), path.canonicalize()) else { return false };
        ["", "-wal", "-shm"].iter().any(|ending| {
            let mut name = ledger.clone().into_os_string();
            name.push(ending);
            path.as_os_str() == name
        })
    }
}

/// What is known of a run that was finalized.
struct Concluded {
    verdict: Verdict,
    evaluation: Evaluation,
}

/// Puts on record what the command left, judges it, and finalizes. The structural invariants about the ending are judged
/// when there is one: the worse of both verdicts stands. They are judged on what lies at the ledger's path: a command that
/// removes or replaces the ledger takes its record with it, and what was written since went nowhere.
fn conclude(record: &mut Record, ran: Ran, paths: &[PathBuf]) -> receipt_kernel::Result<Concluded> {
    let exit_status = ran.to_object();
    for stream in ran.streams {
        if stream.cut {
            record.limit(Verdict::Unknown, format!("{} was still open when the waiting for it was ended", stream.key));
        }
        record.put_kept(stream.key, stream.kept, Some("tool:output"));
    }
    record.put("exit_status", exit_status);
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        outputs::put(record, path);
    }
    let (verdict, _) = walk::finish(&mut record.writer, record.at_best, &record.limits)?;
    let ledger = Ledger::open_read_only(&record.ledger_path)?;
    let evaluation = ledger.evaluate(record.writer.run_id().as_str(), None)?;
    Ok(Concluded { verdict: verdict.worse(evaluation.overall_verdict), evaluation })
}

/// Tells how it ended, and gives the exit status: the command's own where it is not 0.
fn report(record: &Record, concluded: receipt_kernel::Result<Concluded>, status: u8, context: &Context) -> ExitCode {
    let (concluded, failed) = match concluded {
        Ok(concluded) => (Some(concluded), None),
        Err(error) => (None, Some(error)),
    };
    let failure = record.failure.as_ref().or(failed.as_ref());
    let of_record = match (failure, &concluded) {
        (None, Some(concluded)) => super::verify::status(concluded.verdict),
        _ => LEDGER_FAILED,
    };
    let status = if status == 0 { of_record } else { status };
    if context.json {
        // Whoever was to read it may have gone; the record is made.
        let _ = context.print_json(&document(record, concluded.as_ref(), failure, status));
    } else {
        let _ = tell(record, concluded.as_ref(), failure, context);
    }
    ExitCode::from(status)
}

fn document(
    record: &Record,
    concluded: Option<&Concluded>,
    failure: Option<&receipt_kernel::Error>,
    status: u8,
) -> Value {
    let mut document = Object::from_iter([
        ("run_id", Value::from(record.writer.run_id().as_str())),
        ("overall_verdict", Value::from(concluded.map(|concluded| concluded.verdict))),
        ("exit_code", Value::from(u32::from(status))),
        ("evidence", Value::Array(record.items.iter().map(keep::item).collect())),
        ("limits", Value::from(record.limits.clone())),
        ("evaluation", concluded.map_or(Value::Null, |concluded| concluded.evaluation.to_value())),
    ]);
    if let Some(failure) = failure {
        let error = Object::from_iter([
            ("kind", failure.code()),
            ("msg", &failure.to_string()),
            ("hint", hints::of_error(failure)),
        ]);
        document.insert("error", error);
    }
    document.into()
}

fn tell(
    record: &Record,
    concluded: Option<&Concluded>,
    failure: Option<&receipt_kernel::Error>,
    context: &Context,
) -> io::Result<()> {
    let mut out = context.stderr();
    let run_id = escape(record.writer.run_id().as_str());
    if let Some(failure) = failure {
        writeln!(out, "error: {}", escape(&failure.to_string()))?;
        let hint = hints::of_error(failure);
        if !hint.is_empty() {
            writeln!(out, " help: {hint}")?;
        }
    }
    let Some(Concluded { verdict, evaluation }) = concluded else {
        return writeln!(out, "receipt: run {run_id} was not concluded  (see: receipt recover {run_id})");
    };
    if context.quiet {
        return Ok(());
    }
    writeln!(out, "receipt: {}  run {run_id}  (see: receipt log {run_id})", term::verdict(*verdict))?;
    let reasons = reasons(record, *verdict, evaluation);
    for reason in reasons.iter().take(REASONS_SHOWN) {
        writeln!(out, "  {}", escape(reason))?;
    }
    match reasons.len().saturating_sub(REASONS_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

/// Why the verdict is not PASS, each reason once.
fn reasons(record: &Record, verdict: Verdict, evaluation: &Evaluation) -> Vec<String> {
    if verdict == Verdict::Pass {
        return Vec::new();
    }
    let mut reasons = record.limits.clone();
    for (result, reason) in evaluation.complaints() {
        let text = format!("{}: {} ({})", reason.code, reason.msg, result.invariant_id);
        if !reasons.contains(&text) {
            reasons.push(text);
        }
    }
    reasons
}
