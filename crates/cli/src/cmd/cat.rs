//! `receipt cat`: the bytes of evidence.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::input;
use crate::name::ReadName;
use data_encoding::BASE64;
use receipt_kernel::core::payload::EvidencePut;
use receipt_kernel::evidence::seal::{self, Identities};
use receipt_kernel::{BlobHash, BlobRef, Error as KernelError, EventType, Ledger, Object, RunId, Value};
use std::collections::BTreeSet;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write evidence to standard output, its bytes unchanged
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt cat build-1 stdout              what was put last under that key
  receipt cat blob://sha256:…             a blob
  receipt cat 3f2a90c1 > evidence.bin     by the beginning of its address, 8 digits or more
  receipt cat build-1 dump -i key.txt     sealed evidence, opened with a private key

The bytes are hashed first: nothing is written of evidence that was changed. Output that was recorded in parts is
put together, each part opened if it is sealed; --raw asks for the list of the parts.")]
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
        Some(key) => {
            let (run, hash) = by_key(context, &ledger, &args.what, key)?;
            let hash = today(context, &ledger, hash, &run)?;
            (Some(run), hash)
        }
        None => (None, find_blob(&ledger, args.what.as_str())?),
    };
    let evidence = Evidence::find(&ledger, hash, run.as_ref(), args)?;
    evidence.check()?;
    if context.json {
        let mut bytes = Vec::new();
        evidence.write(&mut bytes)?;
        context.print_json(&document(run.as_ref(), hash, &bytes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout().lock();
    evidence.write(&mut out)?;
    out.flush().map_err(Error::output)?;
    Ok(ExitCode::SUCCESS)
}

/// Evidence as it is to be written: its blobs, one after the other.
struct Evidence<'l> {
    ledger: &'l Ledger,
    blobs: Vec<BlobHash>,
    identities: Option<Identities>,
}

impl<'l> Evidence<'l> {
    fn find(ledger: &'l Ledger, hash: BlobHash, run: Option<&RunId>, args: &Args) -> Result<Self> {
        let identities =
            args.identity.as_deref().map(|path| Ok::<_, Error>(Identities::parse(&input::read_keys(path)?)?));
        let identities = identities.transpose()?;
        let parts = if args.raw { None } else { ledger.parts(&hash, run)? };
        let Some(parts) = parts else { return Ok(Self { ledger, blobs: vec![hash], identities }) };
        // Each part is an age file: one after the other they are none.
        if parts.sealed && identities.is_none() && parts.blobs.len() > 1 {
            return Err(Error::SealedParts { count: parts.blobs.len() });
        }
        Ok(Self { ledger, blobs: parts.blobs, identities })
    }

    /// All of it is checked, and opened if it is sealed, before its first byte is written.
    fn check(&self) -> Result<()> {
        // A blob that is written as it lies is hashed before its own first byte.
        if self.blobs.len() == 1 && self.identities.is_none() {
            return Ok(());
        }
        let blobs: BTreeSet<&BlobHash> = self.blobs.iter().collect();
        blobs.into_iter().try_for_each(|blob| self.write_blob(blob, &mut io::sink()))
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        self.blobs.iter().try_for_each(|blob| self.write_blob(blob, out))
    }

    fn write_blob(&self, blob: &BlobHash, out: &mut dyn Write) -> Result<()> {
        let Some(identities) = &self.identities else {
            return self.ledger.copy_blob(blob, out).map_err(|error| unwritten(error, Error::output));
        };
        let temporary = |source| Error::File { what: "a temporary file".to_owned(), source };
        let mut file = tempfile::tempfile().map_err(temporary)?;
        self.ledger.copy_blob(blob, &mut file).map_err(|error| unwritten(error, temporary))?;
        file.rewind().map_err(temporary)?;
        seal::open(&file, identities, out).map(drop).map_err(|error| unwritten(error, Error::output))
    }
}

/// An output that cannot be written is no fault of the ledger's.
fn unwritten(error: KernelError, output: impl FnOnce(io::Error) -> Error) -> Error {
    match error {
        KernelError::Io { source, .. } => output(source),
        error => error.into(),
    }
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

/// How many keys are named if the one that was asked for is not there.
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

/// The blob that has the bytes of evidence of a run: if secrets were taken out, the one that replaced it.
fn today(context: &Context, ledger: &Ledger, hash: BlobHash, run: &RunId) -> Result<BlobHash> {
    let current = ledger.current(&hash, Some(run))?;
    if current != hash {
        context.note(&format!("secrets were taken out of {}: this is {}", BlobRef(hash), BlobRef(current)));
    }
    Ok(current)
}
