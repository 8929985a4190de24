//! `receipt witness`: cosigns a checkpoint that only adds to what was cosigned before.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::{input, keys};
use receipt_kernel::core::checkpoint::{Checkpoint, ConsistencyProof, SignedCheckpoint};
use receipt_kernel::core::note::{KeyKind, Standing, VerifierKey};
use receipt_kernel::{Object, Value};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Cosign a checkpoint that is consistent with the last one seen, and print it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt witness --key witness.key --log \"$(cat ledger.vkey)\" --state seen.note new.note
  receipt witness --key witness.key --log \"$(cat ledger.vkey)\" --state seen.note newer.note proof.txt

The state holds the last checkpoint that was cosigned; one file a log. A smaller or forked log is refused with status 1,
and both heads are shown. Run one at a time for a state.")]
pub(crate) struct Args {
    /// The witness's key, from `receipt keygen --witness`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The verifier key of the log
    #[arg(long, value_name = "KEY")]
    log: VerifierKey,
    /// What was cosigned last; made where there is none
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// The checkpoint
    checkpoint: PathBuf,
    /// The proof that it adds to the last one, from `receipt prove --from`; not needed the first time
    proof: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let key = keys::read(&args.key)?;
    if key.verifier().kind() != KeyKind::Cosignature {
        return Err(Error::Input(format!("{} is no witness's key: make one with keygen --witness", show(&args.key))));
    }
    if key.verifier().public_bytes() == args.log.public_bytes() {
        return Err(Error::Input("this is the log's own key: who vouches for itself is no witness".to_owned()));
    }
    let new = input::checkpoint(&args.checkpoint)?;
    check_log(&args.log, &new)?;
    if args.state.symlink_metadata().is_ok() {
        let seen = input::checkpoint(&args.state)?;
        check_grown(&seen, &new, args.proof.as_deref())?;
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cosigned = new.signed(&key, time);
    // On disk before anybody sees it: a witness that forgets would sign a fork.
    store(&args.state, &cosigned)?;
    let note = cosigned.to_string();
    if context.json {
        context.print_json(&Object::from_iter([("checkpoint", Value::from(note))]).into())?;
    } else {
        context.print(&note.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_log(log: &VerifierKey, new: &SignedCheckpoint) -> Result<()> {
    let is_its = *log.name() == new.checkpoint().origin;
    if is_its && matches!(new.note().standing(log), Standing::Good { .. }) {
        return Ok(());
    }
    Err(Error::Refused(format!("refused: the checkpoint is not signed with {log}")))
}

fn check_grown(seen: &SignedCheckpoint, new: &SignedCheckpoint, proof: Option<&Path>) -> Result<()> {
    let refuse = |problem: &str| {
        let (seen, new) = (told(seen.checkpoint()), told(new.checkpoint()));
        Error::Refused(format!("refused: {problem}\nseen  {seen}\nasked {new}"))
    };
    let (old, head) = (seen.checkpoint().head, new.checkpoint().head);
    if seen.checkpoint().origin != new.checkpoint().origin {
        return Err(refuse("the state is of another log"));
    }
    if head.size < old.size {
        return Err(refuse("the log is smaller than it was"));
    }
    let path = match proof {
        None => Vec::new(),
        Some(file) => {
            let proof = ConsistencyProof::parse(&input::read_text(file)?).map_err(receipt_kernel::Error::from)?;
            if proof.old != old.size || proof.checkpoint.checkpoint() != new.checkpoint() {
                return Err(refuse("the proof is not from the one to the other"));
            }
            proof.path
        }
    };
    head.check_consistency(&old, &path).map_err(|problem| refuse(&problem.to_string()))
}

fn told(checkpoint: &Checkpoint) -> String {
    format!("{} size {} root {}", checkpoint.origin, checkpoint.head.size, checkpoint.head.root)
}

fn store(path: &Path, checkpoint: &SignedCheckpoint) -> Result<()> {
    let failed = |source| Error::File { what: show(path), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    write!(file, "{checkpoint}").and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
