//! `receipt pin`: what this user last verified of each ledger.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::pin::{self, Pins};
use crate::term;
use receipt_kernel::{Object, Value};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// List or forget what was last verified of each ledger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt pin list
  receipt pin forget .receipt/ledger.db    after a ledger was replaced on purpose")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show every pin
    List,
    /// Remove a ledger's pin
    Forget {
        /// The ledger's file
        ledger: PathBuf,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    match &args.what {
        What::List => list(context)?,
        What::Forget { ledger } => forget(ledger, context)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context) -> Result<()> {
    let pins = Pins::read();
    if context.json {
        let listed = pins.iter().map(|pin| Value::from(pin.to_object())).collect();
        let document = [("pins", Value::Array(listed)), ("warnings", pins.problems.clone().into())];
        return context.print_json(&Object::from_iter(document).into());
    }
    pins.problems.iter().for_each(|problem| context.warn(problem));
    for pin in pins.iter() {
        let since = pin.since.map_or("-".to_owned(), |since| since.to_string().chars().take(19).collect());
        let line = format!("{} events  {}  {since}  {}", pin.head.size, pin.head.root, term::escape(&pin.path));
        context.print(&line)?;
    }
    Ok(())
}

fn forget(ledger: &Path, context: &Context) -> Result<()> {
    let names = pin::names(ledger);
    let mut removed = 0;
    let changed = Pins::change(|pins| {
        removed = pins.remove(&names);
        removed > 0
    });
    changed.map_err(Error::Input)?;
    if removed == 0 {
        return Err(Error::Input("there is no pin of this ledger; `receipt pin list` shows them".to_owned()));
    }
    let name = names.first().cloned().unwrap_or_default();
    context.done(Object::from_iter([("forgotten", Value::from(name))]), "forgotten")
}
