//! `receipt cat`: the bytes of evidence.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::input;
use crate::name::ReadName;
use data_encoding::BASE64;
use receipt_kernel::core::payload::EvidencePut;
use receipt_kernel::evidence::seal::{self, Identities};
use receipt_kernel::{BlobHash, BlobRef, Error as KernelError, EventType, Ledger, Object, RunId, Value};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write evidence to standard output, its bytes unchanged
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt cat build-1 stdout              what was put last under that key
  receipt cat blob://sha256:…             a blob
  receipt cat 3f2a90c1 > evidence.bin     by the beginning of its address, 8 digits or more
  receipt cat build-1 dump -i key.txt     what was sealed, opened with a private key

The bytes are hashed first: nothing is written of evidence that was changed. Output that was recorded in parts is
put together, unless --raw asks for the list of its parts.")]
pub(crate) struct Args {
    /// blob://…, the hexadecimal address or its beginning; or a run
    #[arg(value_name = "BLOB|RUN")]
    what: ReadName,
    /// The key of the run's evidence
    key: Option<String>,
    /// Open sealed evidence with this age identity file, or SSH private key
    #[arg(long, short, value_name = "FILE", conflicts_with = "raw")]
    identity: Option<PathBuf>,
    /// Write a list of parts as it is
    #[arg(long)]
    raw: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open_read_only()?;
    let (run, hash) = match &args.key {
        Some(key) => by_key(context, &ledger, &args.what, key).map(|(run, hash)| (Some(run), hash))?,
        None => (None, find_blob(&ledger, args.what.as_str())?),
    };
    if let Some(identity) = &args.identity {
        return unseal(context, &ledger, (run, hash), identity);
    }
    let hash = if args.key.is_some() { today(context, &ledger, hash)? } else { hash };
    let blobs = if args.raw { vec![hash] } else { parts(&ledger, hash)? };
    if context.json {
        let mut bytes = Vec::new();
        blobs.iter().try_for_each(|blob| ledger.copy_blob(blob, &mut bytes))?;
        context.print_json(&document(run.as_ref(), hash, &bytes))?;
        return Ok(ExitCode::SUCCESS);
    }
    if blobs.len() > 1 {
        // All of them before the first byte of any.
        blobs.iter().try_for_each(|blob| ledger.copy_blob(blob, &mut io::sink()))?;
    }
    let mut out = io::stdout().lock();
    for blob in &blobs {
        ledger.copy_blob(blob, &mut out).map_err(written)?;
    }
    io::Write::flush(&mut out).map_err(Error::output)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens sealed evidence: all of it is opened and checked before the first byte is written.
fn unseal(
    context: &Context,
    ledger: &Ledger,
    (run, hash): (Option<RunId>, BlobHash),
    identity: &Path,
) -> Result<ExitCode> {
    let identities = Identities::parse(&input::read_keys(identity)?)?;
    let temporary = |source| Error::File { what: "a temporary file".to_owned(), source };
    let mut file = tempfile::tempfile().map_err(temporary)?;
    ledger.copy_blob(&hash, &mut file)?;
    file.rewind().map_err(temporary)?;
    seal::open(&file, &identities, &mut io::sink())?;
    file.rewind().map_err(temporary)?;
    if context.json {
        let mut bytes = Vec::new();
        seal::open(&file, &identities, &mut bytes)?;
        context.print_json(&document(run.as_ref(), hash, &bytes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    seal::open(&file, &identities, &mut out).map_err(written)?;
    io::Write::flush(&mut out).map_err(Error::output)?;
    Ok(ExitCode::SUCCESS)
}

/// The bytes as a document, with the run that they were found in.
fn document(run: Option<&RunId>, hash: BlobHash, bytes: &[u8]) -> Value {
    let mut document = Object::from_iter([
        ("ref", Value::from(BlobRef(hash).to_string())),
        ("bytes_len", bytes.len().into()),
        ("base64", BASE64.encode(bytes).into()),
    ]);
    if let Some(run) = run {
        document.insert("run_id", run.as_str());
    }
    document.into()
}

/// What went wrong with the output is no fault of the ledger's.
fn written(error: KernelError) -> Error {
    match error {
        KernelError::Io { source, .. } => Error::output(source),
        error => error.into(),
    }
}

/// How many keys are named where another was asked for.
const NAMED: usize = 12;

/// The last evidence that a run put under a key.
fn by_key(context: &Context, ledger: &Ledger, name: &ReadName, key: &str) -> Result<(RunId, BlobHash)> {
    let run_id = name.find(ledger)?;
    if name.is_beginning_of(&run_id) {
        context.note(&format!("{} is run {run_id}", name.as_str()));
    }
    let mut found = None;
    let mut known = Vec::new();
    ledger.events(run_id.as_str(), &mut |event| {
        if event.event_type != EventType::EvidencePut {
            return;
        }
        let put = EvidencePut::parse(event.payload.json());
        let name = put.key().unwrap_or_default();
        if name == key {
            found = put.hash.ok();
        } else if !known.iter().any(|other| other == name) {
            known.push(name.to_owned());
        }
    })?;
    found.map(|hash| (run_id.clone(), hash)).ok_or_else(|| {
        let more = known.len().saturating_sub(NAMED);
        known.truncate(NAMED);
        known.extend((more > 0).then(|| format!("and {more} more")));
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::NoEvidence { run: run_id.to_string(), key: key.to_owned(), known }
    })
}

/// The blob of a reference or a whole address; else the digits.
pub(crate) fn whole_blob(text: &str) -> Result<BlobHash, &str> {
    let digits = text.strip_prefix("blob://").unwrap_or(text);
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    BlobHash::parse_bytes(digits.as_bytes()).ok_or(digits)
}

/// The blob that a text names in order to read it: a reference, an address, or the unique beginning of one.
pub(crate) fn find_blob(ledger: &Ledger, text: &str) -> Result<BlobHash> {
    let digits = match whole_blob(text) {
        Ok(hash) => return Ok(hash),
        Err(digits) => digits,
    };
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !(8..64).contains(&digits.len()) {
        let wanted = "expected blob://sha256:…, at least 8 of its hexadecimal digits, or a run and a key";
        return Err(Error::Input(format!("{text:?} names no blob: {wanted}")));
    }
    match ledger.blobs_beginning(digits, 1000)?.as_slice() {
        [hash] => Ok(*hash),
        [] => Err(KernelError::BlobNotFound { blob: digits.to_owned() }.into()),
        many => Err(Error::ManyBlobs { digits: digits.to_owned(), count: many.len() }),
    }
}

/// The blob that has the bytes of what a run put under a key: what replaced them, where secrets were taken out.
fn today(context: &Context, ledger: &Ledger, hash: BlobHash) -> Result<BlobHash> {
    let current = ledger.current(&hash)?;
    if current != hash {
        context.note(&format!("secrets were taken out of {}: this is {}", BlobRef(hash), BlobRef(current)));
    }
    Ok(current)
}

/// The blobs to be written one after the other: the parts where it is a list of parts, else the blob itself.
fn parts(ledger: &Ledger, hash: BlobHash) -> Result<Vec<BlobHash>> {
    match ledger.parts(&hash) {
        Ok(parts) => Ok(parts.unwrap_or_else(|| vec![hash])),
        Err(KernelError::BlobUnavailable { blob, problem }) if problem.ends_with("it is none") => {
            let problem = format!("{problem}; --raw writes it as it is");
            Err(KernelError::BlobUnavailable { blob, problem }.into())
        }
        Err(error) => Err(error.into()),
    }
}
