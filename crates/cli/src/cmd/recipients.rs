//! `receipt recipients`: who sealed evidence is encrypted to.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::{input, term};
use receipt_kernel::{Ledger, Object, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show or change who sealed evidence is encrypted to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  age-keygen -o 2026-11.txt                       a private key; keep it away from this machine
  receipt recipients add age1…                    its public half
  receipt recipients add --file ~/.ssh/id_ed25519.pub
  receipt recipients

Evidence of class sealed is encrypted to all of them, and can be opened with the private half of any one.")]
pub(crate) struct Args {
    #[command(subcommand)]
    does: Option<Does>,
}

#[derive(Debug, clap::Subcommand)]
enum Does {
    /// Seal to these too
    Add {
        /// Public keys: age1…, ssh-ed25519 … or ssh-rsa …
        #[arg(required_unless_present = "file")]
        keys: Vec<String>,
        /// A file with a public key a line
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Seal to this one no more
    Remove {
        /// The public key, as it is shown
        key: String,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let names = match &args.does {
        None => names(&context.open_read_only()?)?,
        Some(Does::Add { keys, file }) => {
            let text = match file {
                Some(path) => String::from_utf8(input::read_keys(path)?)
                    .map_err(|_| Error::Input(format!("{} is not UTF-8 text", show(path))))?,
                None => String::new(),
            };
            context.open()?.add_recipients(keys.iter().map(String::as_str).chain(text.lines()))?
        }
        Some(Does::Remove { key }) => context.open()?.remove_recipient(key)?,
    };
    let lines = if names.is_empty() { "nobody: sealed evidence is refused".to_owned() } else { names.join("\n") };
    context.done(Object::from_iter([("recipients", Value::from(names))]), &term::escape_lines(&lines))?;
    Ok(ExitCode::SUCCESS)
}

fn names(ledger: &Ledger) -> Result<Vec<String>> {
    Ok(ledger.recipients()?.map(|recipients| recipients.names().to_vec()).unwrap_or_default())
}
