//! `receipt init`: makes a ledger.

use crate::context::{Context, show};
use crate::error::Result;
use receipt_kernel::core::note::KeyName;
use receipt_kernel::{Error, Ledger, Object, Redactor, Value};
use std::process::ExitCode;

/// Make a ledger in this folder, or at --ledger
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt init                             makes .receipt/ledger.db
  receipt init --ledger /srv/ci/ledger.db  makes it there; nothing is overwritten
  receipt init --origin example.com/ci     chooses the name that its checkpoints bear
  receipt init --compress                  evidence takes less room; the Python package 0.1.0 cannot read it")]
pub(crate) struct Args {
    /// The name of its log, for good: that of the key that will sign its checkpoints
    #[arg(long, value_name = "NAME")]
    origin: Option<KeyName>,
    /// Hold evidence compressed (zstd) where that pays, for good; addresses and hashes are those of the bytes that were put
    #[arg(long)]
    compress: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    // Before there is a file, so that the same path can be tried again.
    if args.origin.as_ref().is_some_and(|origin| Redactor::builtin().redact_text(origin.as_str()).is_some()) {
        return Err(Error::SecretName { what: "the log's name" }.into());
    }
    let path = context.new_ledger_path()?;
    let ledger = if args.compress { Ledger::create_compressed(&path) } else { Ledger::create(&path) }?;
    if let Some(origin) = &args.origin {
        ledger.bind_origin(origin)?;
    }
    let whole = path.canonicalize().unwrap_or(path);
    let document = Object::from_iter([("ledger", Value::from(whole.to_string_lossy().into_owned()))]);
    context
        .done(document, &format!("made a ledger at {}; `receipt exec -- CMD` records a command in it", show(&whole)))?;
    Ok(ExitCode::SUCCESS)
}
