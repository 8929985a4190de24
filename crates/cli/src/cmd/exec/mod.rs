//! `receipt exec`: records a command as a run.
//!
//! The command line is on disk before the command starts. Its output is shown and kept at the same time; no transaction is open
//! while it runs. Whatever happens to the command, the run is finalized. It is left open if this process is ended, or if output
//! that is kept cannot be put: `receipt recover` ends it then.

mod child;
mod end;
mod git;
mod intent;
mod keep;
mod outputs;
mod pty;
mod record;
mod report;
mod signals;
mod start;
mod streams;
mod wait;
mod walk;
pub(crate) mod witness;

use crate::context::{Context, show};
use crate::error::{Error, Result};
use child::How;
use end::End;
use keep::Keep;
use receipt_kernel::{EvidenceClass, Object, Policy};
use record::Record;
use report::Closing;
use rustix::termios::isatty;
use signals::Signals;
use start::Terminals;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

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
    /// Whether the command writes to a terminal, so that it colours and draws as it would without us; `--tty` alone says
    /// always, and `auto` where this one's output is a terminal
    #[arg(
        long, value_enum, value_name = "WHEN", default_value_t = Tty::Auto,
        num_args = 0..=1, require_equals = true, default_missing_value = "always"
    )]
    pub(crate) tty: Tty,
    /// How long to wait for output that goes on after the command, because something that it started holds it open: a number
    /// and ms, s, m or h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(crate) wait_output: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// When the command is given a terminal to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tty {
    Auto,
    Always,
    Never,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let policy = policy(args.policy.as_deref())?;
    let run_id = args.run.clone().map_or_else(intent::run_id, Ok)?;
    let ledger = context.open_or_create()?;
    let path = context.ledger_path()?;
    // A command line that is refused leaves no run behind.
    if args.class == EvidenceClass::Sealed && ledger.recipients()?.is_none() {
        return Err(receipt_kernel::Error::NoRecipient.into());
    }
    let on_stderr = context.json;
    let terminals = terminals(args.tty, on_stderr)?;
    let signals = Signals::catch().map_err(|source| Error::File { what: "signals".to_owned(), source })?;
    let gate = ledger.gate()?;
    let meta = Object::from_iter([("recorded_by", "receipt exec")]);
    // Before the run is there to be seen, so that nobody takes it for interrupted.
    let keep = |key| Keep::new(&ledger, args.class, Some((run_id.as_str(), key)));
    let keeps = [keep("stdout")?, keep("stderr")?];
    let mut writer = ledger.start(&run_id, policy, context.actor(), meta)?;
    walk::reach(&mut writer, walk::COLLECT, "recording a command")?;
    let mut record = Record::new(writer, ledger.clone(), gate, path, args.class);
    record.intend(&args.command, &terminals.names())?;

    let waiting = || tell_waiting(context, args.wait_output);
    let how = How { signals, terminals, on_stderr, wait_output: args.wait_output, waiting: &waiting };
    let mut ran = child::run(&args.command, keeps, how);
    if let End::Error(error, _) = &ran.end {
        let program = args.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        let _ = writeln!(context.stderr(), "receipt: {}", record.shown(&format!("{program}: {error}")));
    }
    let concluded = record.conclude(&mut ran, &args.output);
    Ok(Closing::new(&record, &ran.end, concluded).report(context))
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

/// The terminals that the command is to write to.
fn terminals(when: Tty, on_stderr: bool) -> Result<Terminals> {
    let (out, err) = (io::stdout(), io::stderr());
    let shown = start::shown_on(&out, &err, on_stderr);
    let wanted = shown.map(|shown| when == Tty::Always || (when == Tty::Auto && isatty(shown)));
    match Terminals::open(wanted, shown) {
        // A machine without pseudoterminals: nobody asked for one.
        Err(_) if when == Tty::Auto => Ok(Terminals::default()),
        opened => opened.map_err(|source| Error::File { what: "a terminal for the command".to_owned(), source }),
    }
}

fn tell_waiting(context: &Context, wait_output: Duration) {
    if !context.quiet && !context.json {
        let msg = "receipt: the command has ended and its output has not: something that it started holds it open, or \
                   nobody reads it";
        let _ = writeln!(context.stderr(), "{msg}. Waiting for {wait_output:?} (--wait-output); Ctrl-C ends the wait.");
    }
}

/// A time such as `10s`.
fn time(text: &str) -> std::result::Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        // 0 needs no unit.
        "" if number.chars().all(|digit| digit == '0') => Some(0),
        _ => None,
    };
    let millis = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    millis.map(Duration::from_millis).ok_or_else(|| "expected a number and ms, s, m or h, such as 10s".to_owned())
}
