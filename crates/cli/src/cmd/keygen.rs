//! `receipt keygen`: makes a key that signs checkpoints, or a witness's.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::{keys, passphrase};
use receipt_kernel::core::note::{KeyKind, KeyName, Signing};
use receipt_kernel::{Object, Value};
use std::path::PathBuf;
use std::process::ExitCode;

/// Make a key, and print the verifier key that goes with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt keygen example.com/ci ledger.key > ledger.vkey
  receipt keygen --encrypt example.com/ci ledger.key
  receipt keygen --witness example.com/watcher witness.key

The file is readable by its owner only; nothing is overwritten. Keep it away from the ledger.
A passphrase is read from the file that $RECEIPT_PASSPHRASE_FILE names, else from the terminal.")]
pub(crate) struct Args {
    /// The key's name: for a ledger's key, the ledger's origin
    name: KeyName,
    /// The file for the private key
    file: PathBuf,
    /// Make a key for `receipt witness`
    #[arg(long)]
    witness: bool,
    /// Encrypt the file with a passphrase, which is asked for wherever the key is used
    #[arg(long)]
    encrypt: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::Input(format!("no random numbers: {error}")))?;
    let kind = if args.witness { KeyKind::Cosignature } else { KeyKind::Note };
    let key = Signing::from_seed(args.name.clone(), kind, &seed);
    let passphrase = args.encrypt.then(|| passphrase::choose(&args.file)).transpose()?;
    keys::write(&args.file, &key, passphrase)?;
    let vkey = key.verifier().to_string();
    if context.json {
        context
            .print_json(&Object::from_iter([("vkey", Value::from(vkey)), ("file", show(&args.file).into())]).into())?;
    } else {
        context.print(&vkey)?;
    }
    Ok(ExitCode::SUCCESS)
}
