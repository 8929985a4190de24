//! `receipt rules`: what is taken for a secret.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::{input, term};
use receipt_kernel::{Ledger, Object, Redactor, Rules, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what is redacted, or set the ledger's own rules
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt rules                     the rules in force, and their digest
  receipt rules check ours.toml     whether a file is understood
  receipt rules set ours.toml       from now on, for all that this ledger records
  receipt rules unset
  receipt --rules ours.toml put build-1 log build.log

A file adds rules, replaces those of the same id, switches others off, and may list exceptions:
  off = [\"json_web_token\"]
  [[rule]]
  id = \"badge\"
  keywords = [\"badge-\"]
  pattern = 'badge-[0-9]{4}'
  [[allow]]
  id = \"test-badge\"
  pattern = 'badge-0000'
The built-in rules are always there beneath it. A file that is not understood in full is refused, and nothing is recorded.")]
pub(crate) struct Args {
    #[command(subcommand)]
    does: Option<Does>,
}

#[derive(Debug, clap::Subcommand)]
enum Does {
    /// Say whether a file of rules is understood, and change nothing
    Check {
        /// The file
        file: PathBuf,
    },
    /// Set the ledger's own rules, in place of those before
    Set {
        /// The file
        file: PathBuf,
    },
    /// Go by the built-in rules alone again
    Unset,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let read = |path: &PathBuf| input::utf8(path);
    let (rules, said) = match &args.does {
        None => (in_force(context)?, None),
        Some(Does::Check { file }) => (Rules::builtin()?.with(&read(file)?)?, Some("understood")),
        Some(Does::Set { file }) => {
            let text = read(file)?;
            context.open()?.set_own_rules(Some(&text))?;
            (Rules::builtin()?.with(&text)?, Some("set"))
        }
        Some(Does::Unset) => {
            context.open()?.set_own_rules(None)?;
            (Rules::builtin()?, Some("unset"))
        }
    };
    // Where they can be read they can be used, or it is said here.
    let digest = Redactor::new(rules.clone())?.digest().to_owned();
    let ids: Vec<&str> = rules.ids().collect();
    let count = format!("{} rules, {digest}", ids.len());
    let line = said.map_or_else(|| format!("{}\n{count}", ids.join("\n")), |said| format!("{said}: {count}"));
    let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
    let document = Object::from_iter([("rules", Value::from(ids)), ("digest", digest.as_str().into())]);
    context.done(document, &term::escape_lines(&line))?;
    Ok(ExitCode::SUCCESS)
}

/// The rules of the ledger, where there is one, and of the command line.
fn in_force(context: &Context) -> Result<Rules> {
    let own = match context.open_read_only() {
        Ok(ledger) => Ledger::own_rules(&ledger)?,
        Err(Error::Kernel(receipt_kernel::Error::NotFound { .. })) => None,
        Err(error) => return Err(error),
    };
    let named = context.named_rules()?;
    Ok(Rules::builtin()?.with(&own.unwrap_or_default())?.with(&named.unwrap_or_default())?)
}
