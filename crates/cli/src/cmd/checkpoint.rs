//! `receipt checkpoint`: signs what the ledger holds now.

use crate::context::Context;
use crate::error::Result;
use crate::keys;
use receipt_kernel::{Object, Publish, Value};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Sign a checkpoint over all events, and print it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt checkpoint --key ledger.key > kept.note      keep it where the ledger's owner cannot write
  receipt checkpoint --key new.key --previous old.key  a new key takes over; both sign

Every new event is read back and hashed before anything is signed. Where nothing is new the last one is printed again.")]
pub(crate) struct Args {
    /// The key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The key that signed before, where a new one takes over
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Make none where the last one is younger than so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    interval: u64,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let key = keys::read(&args.key)?;
    let previous = args.previous.as_deref().map(keys::read).transpose()?;
    let how = Publish { key: &key, previous: previous.as_ref(), interval: Duration::from_secs(args.interval) };
    let made = context.open()?.checkpoint(&how)?;
    let note = made.checkpoint.to_string();
    if context.json {
        let head = made.checkpoint.checkpoint().head;
        let document = Object::from_iter([
            ("checkpoint", Value::from(note)),
            ("size", head.size.into()),
            ("root", head.root.to_hex().into()),
            ("new_events", made.new_events.map_or(Value::Null, Value::from)),
        ]);
        context.print_json(&document.into())?;
    } else {
        context.print(&note.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
