//! `receipt pin`: what this user last verified of each ledger.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::{pin, term};
use receipt_kernel::{Object, Value};
use std::path::PathBuf;
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
    let mut pins = pin::read()?;
    match &args.what {
        What::List if context.json => {
            let pins = pins.iter().map(|pin| {
                Value::from(Object::from_iter([
                    ("size", Value::from(pin.head.size)),
                    ("root", pin.head.root.to_hex().into()),
                    ("ledger", pin.path.clone().into()),
                ]))
            });
            context.print_json(&Object::from_iter([("pins", Value::Array(pins.collect()))]).into())?;
        }
        What::List => {
            for pin in &pins {
                let line = format!("{} events  {}  {}", pin.head.size, pin.head.root, term::escape(&pin.path));
                context.print(&line)?;
            }
        }
        What::Forget { ledger } => {
            let name = pin::name(ledger);
            let before = pins.len();
            pins.retain(|pin| Some(&pin.path) != name.as_ref());
            if pins.len() == before {
                return Err(Error::Input("there is no pin of this ledger; `receipt pin list` shows them".to_owned()));
            }
            pin::write(&pins)?;
            context.done(Object::from_iter([("forgotten", Value::from(name.unwrap_or_default()))]), "forgotten")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
