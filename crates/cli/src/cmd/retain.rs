//! `receipt retain`: removes evidence whose time is over, with receipts.

use super::{summary, verify};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::name::WholeName;
use crate::{hints, term};
use receipt_kernel::evidence::retention::Plan;
use receipt_kernel::{Ledger, Object, Retained, Retention, Timestamp, Ttl, Value, Verdict};
use std::process::ExitCode;

/// Remove evidence whose time is over, with a receipt for each
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  receipt retain set --public 30d --sealed 7d --key 'stdout*=90d'
  receipt retain hold build-1 'asked for by the auditors'
  receipt retain --dry-run
  receipt retain

What is kept how long is set in the ledger; where nothing is set, nothing is removed. Bytes, state and receipt change in
one transaction, and no copy of the bytes stays in the ledger's files. The exit status is 1 where a row could not be
judged, and 3 where somebody who still reads kept the files from being scrubbed: run it again."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    does: Option<Does>,
    /// Say what is due, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What will be due at this instant, such as 2026-01-31T00:00:00Z
    #[arg(long, requires = "dry_run", value_name = "INSTANT", value_parser = instant)]
    at: Option<Timestamp>,
}

#[derive(Debug, clap::Subcommand)]
enum Does {
    /// Set how long evidence is kept; what is not named stays as it is
    Set(Set),
    /// Show how long evidence is kept
    Show,
    /// Keep a run's evidence, whatever its age
    Hold {
        /// The run: its whole id, or @last
        run: WholeName,
        /// Why
        reason: String,
    },
    /// Let a run's evidence go again
    Release {
        /// The run: its whole id, or @last
        run: WholeName,
    },
}

#[derive(Debug, clap::Args)]
struct Set {
    /// How long public evidence is kept: 90s, 15m, 12h, 30d, or forever
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    public: Option<Ttl>,
    /// How long sealed evidence is kept
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    sealed: Option<Ttl>,
    /// How long after its bytes a blob's address is looked after
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    hash: Option<Ttl>,
    /// How long everything is kept beyond its time
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    grace: Option<Ttl>,
    /// How long evidence under a key is kept; a key may end in *
    #[arg(long = "key", value_name = "KEY=TIME", value_parser = key)]
    keys: Vec<(String, Ttl)>,
    /// Let the class decide again for a key
    #[arg(long, value_name = "KEY")]
    drop_key: Vec<String>,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected an instant with an offset, such as 2026-01-31T00:00:00Z".to_owned())
}

fn ttl(text: &str) -> Result<Ttl, String> {
    if text == "forever" {
        return Ok(Ttl::Forever);
    }
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("expected a number with a unit of s, m, h or d, or forever".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "expected a whole number before the unit".to_owned())?;
    count.checked_mul(unit).map(Ttl::Seconds).ok_or_else(|| "that is longer than can be counted".to_owned())
}

fn key(text: &str) -> Result<(String, Ttl), String> {
    let (key, time) = text.rsplit_once('=').ok_or("expected KEY=TIME")?;
    if key.is_empty() {
        return Err("expected a key before the =".to_owned());
    }
    if key.strip_suffix('*').unwrap_or(key).contains('*') {
        return Err(
            "a key may end in *, which stands for all that begin so; it stands for nothing elsewhere".to_owned()
        );
    }
    Ok((key.to_owned(), ttl(time)?))
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    match &args.does {
        None if args.dry_run => dry_run(args.at, context),
        None => retain(context),
        Some(Does::Show) => {
            let retention = context.open_read_only()?.retention()?.ok_or(receipt_kernel::Error::RetentionUnset)?;
            show(context, &retention)
        }
        Some(Does::Set(set)) => change(context, &context.open()?, |retention| set.apply(retention)),
        Some(Does::Hold { run, reason }) => {
            if reason.contains(char::is_control) {
                return Err(Error::Input("the reason holds a line feed or another control character".to_owned()));
            }
            let ledger = context.open()?;
            let run = run.find(&ledger)?;
            change(context, &ledger, |retention| {
                retention.holds.insert(run.to_string(), reason.clone());
                Ok(())
            })
        }
        Some(Does::Release { run }) => {
            let ledger = context.open()?;
            let run = run.find(&ledger)?;
            change(context, &ledger, |retention| {
                let held = retention.holds.remove(run.as_str());
                held.map(drop).ok_or_else(|| {
                    Error::Input(format!(
                        "run {:?} is not held; `receipt retain show` lists those that are",
                        run.as_str()
                    ))
                })
            })
        }
    }
}

impl Set {
    fn apply(&self, retention: &mut Retention) -> Result<()> {
        retention.public = self.public.unwrap_or(retention.public);
        retention.sealed = self.sealed.unwrap_or(retention.sealed);
        retention.hash = self.hash.unwrap_or(retention.hash);
        match self.grace {
            Some(Ttl::Seconds(seconds)) => retention.grace_seconds = seconds,
            Some(Ttl::Forever) => {
                return Err(Error::Input("--grace: to keep evidence for ever, set its time".to_owned()));
            }
            None => {}
        }
        for key in &self.drop_key {
            let dropped = retention.keys.remove(key);
            dropped.ok_or_else(|| Error::Input(format!("--drop-key: no time is set for the key {key:?}")))?;
        }
        retention.keys.extend(self.keys.iter().cloned());
        Ok(())
    }
}

fn change(context: &Context, ledger: &Ledger, change: impl FnOnce(&mut Retention) -> Result<()>) -> Result<ExitCode> {
    show(context, &ledger.set_retention(change)?)
}

fn show(context: &Context, retention: &Retention) -> Result<ExitCode> {
    let mut lines = vec![
        format!("public   {}", time(retention.public)),
        format!("sealed   {}", time(retention.sealed)),
        format!("address  {}", time(retention.hash)),
        format!("grace    {}", time(Ttl::Seconds(retention.grace_seconds))),
    ];
    lines.extend(retention.keys.iter().map(|(key, ttl)| format!("key {key}  {}", time(*ttl))));
    lines.extend(retention.holds.iter().map(|(run, reason)| format!("hold {run}  {reason}")));
    let Value::Object(document) = retention.to_value() else { return Ok(ExitCode::SUCCESS) };
    // Each by itself: a line feed in a name or reason must not look like another line.
    let lines: Vec<String> = lines.iter().map(|line| term::escape(line)).collect();
    context.done(document, &lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn time(ttl: Ttl) -> String {
    match ttl {
        Ttl::Forever => "forever".to_owned(),
        Ttl::Seconds(seconds) => {
            let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
            let (size, unit) =
                units.into_iter().find(|(size, _)| seconds != 0 && seconds % size == 0).unwrap_or((1, "s"));
            format!("{}{unit}", seconds / size)
        }
    }
}

fn dry_run(at: Option<Timestamp>, context: &Context) -> Result<ExitCode> {
    let now = at.unwrap_or_else(|| receipt_kernel::clock::Clock::now(&receipt_kernel::clock::SystemClock));
    let Plan { due, held, problems, more } = context.open_read_only()?.plan_retention(now)?;
    let listed = due.iter().map(|due| {
        Value::from(Object::from_iter([
            ("sha256", Value::from(due.hash.to_string())),
            ("to_state", due.to.as_str().into()),
            ("evidence_class", due.class.as_str().into()),
            ("bytes_len", due.bytes_len.into()),
            ("kept_until", due.until.to_string().into()),
        ]))
    });
    let document = Object::from_iter([
        ("due", Value::Array(listed.collect())),
        ("held", held.into()),
        ("problems", Value::Array(problems.iter().map(receipt_kernel::Reason::to_value).collect())),
        ("more_problems", more.into()),
    ]);
    let mut lines: Vec<String> = due
        .iter()
        .map(|due| format!("{} to {}, kept until {}", receipt_kernel::BlobRef(due.hash), due.to.as_str(), due.until))
        .collect();
    lines.push(format!("{} blobs are due, {held} are held; nothing was changed", due.len()));
    context.done(document, &lines.join("\n"))?;
    problem_lines(context, &problems, more)
}

fn problem_lines(context: &Context, problems: &[receipt_kernel::Reason], more: u64) -> Result<ExitCode> {
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !context.json {
        summary::reasons(context, problems, more)?;
        context.print(&hints::LEFT_ALONE)?;
    }
    Ok(verify::exit_code(Verdict::Fail))
}

fn retain(context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let bar = context.bar("blobs");
    let retained = ledger.retain(&context.actor(), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let Retained { run_id, expired, purged, bytes, problems, scrubbed } = retained?;
    let document = Object::from_iter([
        ("run_id", run_id.as_ref().map_or(Value::Null, |run| Value::from(run.as_str()))),
        ("expired", expired.into()),
        ("purged", purged.into()),
        ("bytes", bytes.into()),
        ("scrubbed", scrubbed.into()),
        ("problems", Value::Array(problems.iter().map(receipt_kernel::Reason::to_value).collect())),
    ]);
    let mut line = format!("expired {expired} blobs ({}), purged {purged}", term::size(bytes));
    if let Some(run) = &run_id {
        line = format!("{line}; the receipts are in run {run}");
    }
    if !scrubbed {
        line.push_str("\nsomebody still reads what was removed: run `receipt retain` again when they have ended");
    }
    context.done(document, &term::escape_lines(&line))?;
    match problem_lines(context, &problems, 0)? {
        ExitCode::SUCCESS if !scrubbed => Ok(verify::exit_code(Verdict::Unknown)),
        code => Ok(code),
    }
}
