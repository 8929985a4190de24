//! `receipt put`: puts evidence on record.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use crate::name::WholeName;
use crate::{input, term};
use receipt_kernel::evidence::Digesting;
use receipt_kernel::store::sqlite::MAX_BLOB;
use receipt_kernel::{BlobRecord, BlobRef, Error as KernelError, EvidenceClass, Put, RunWriter};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Put a file on record as evidence, redacted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  receipt put build-1 log build.log --kind oracle:test_log
  make test 2>&1 | receipt put @last test-output -
  receipt put build-1 image disk.img --by-digest       its bytes stay where they are
  receipt put build-1 dump core.txt --class sealed     encrypted to the ledger's recipients

Secrets that are known by their form are redacted before anything is written.")]
pub(crate) struct Args {
    /// The run: its whole id, or @last
    run: WholeName,
    /// The key that the evidence is found under
    key: String,
    /// The file; - is standard input
    file: PathBuf,
    /// The media type; guessed where none is given
    #[arg(long = "type", value_name = "TYPE")]
    content_type: Option<String>,
    /// How it is kept: public, or sealed (encrypted; see `receipt recipients`)
    #[arg(long, default_value = "public", value_parser = class)]
    class: EvidenceClass,
    /// Record only the file's digest, size and name; what is over 990 MB always is
    #[arg(long)]
    by_digest: bool,
    /// The provenance tag, such as oracle:test_log
    #[arg(long)]
    kind: Option<String>,
}

pub(super) fn class(word: &str) -> Result<EvidenceClass, String> {
    EvidenceClass::parse(word).ok_or_else(|| "expected public or sealed".to_owned())
}

/// How much of a file its media type is guessed from.
const HEAD: u64 = 1 << 16;

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let ledger = context.open()?;
    let run_id = args.run.find(&ledger)?;
    let mut writer = ledger.resume(run_id.as_str(), context.actor())?;
    let record = put(args, &mut writer)?;
    let mut document = record.to_object();
    document.insert("run_id", run_id.as_str());
    // As it is recorded.
    let key = ledger.gate()?.text(&args.key);
    document.insert("key", key.as_str());
    let (blob, size) = (BlobRef(record.hash), term::size(record.bytes_len));
    let line = format!("put {} as {blob} ({size}, {})", *key, record.content_type);
    context.done(document, &term::escape(&line))?;
    Ok(ExitCode::SUCCESS)
}

fn put(args: &Args, writer: &mut RunWriter) -> Result<BlobRecord> {
    let failed = |source| Error::File { what: show(&args.file), source };
    let mut from = input::open(&args.file)?;
    let mut head = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut head).map_err(failed)?;
    let content_type = args.content_type.clone().unwrap_or_else(|| guess(&args.file, &head));
    let mut put = Put::of_type(content_type).of_class(args.class);
    put.kind.clone_from(&args.kind);
    let mut from = Digesting::new(Read::chain(&head[..], from));
    let size = std::fs::metadata(&args.file).map_or(0, |meta| meta.len());
    if !args.by_digest && (size <= MAX_BLOB || args.class == EvidenceClass::Sealed) {
        match writer.put_reader(&args.key, &mut from, put.clone()) {
            // A stream says only at its end how long it is.
            Err(KernelError::TooLarge { what: "evidence", .. }) if args.class == EvidenceClass::Public => {}
            done => return Ok(done?),
        }
    }
    let digest = from.finish().map_err(failed)?;
    let name = args.file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    Ok(writer.put_digest(&args.key, &digest, &name, put)?)
}

/// The media types of some extensions.
const TYPES: [(&str, &str); 16] = [
    ("txt", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("xml", "application/xml"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("toml", "application/toml"),
    ("yaml", "application/yaml"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("svg", "image/svg+xml"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
];

/// The media type by the extension, else by whether the bytes begin as UTF-8 text.
fn guess(path: &Path, head: &[u8]) -> String {
    let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if let Some((_, known)) = TYPES.iter().find(|(name, _)| *name == extension) {
        return (*known).to_owned();
    }
    // A character may be cut where the head ends.
    let is_text = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    let guessed = if is_text && !head.contains(&0) { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    guessed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_guessed_by_extension_then_by_content() {
        assert_eq!(guess(Path::new("a.JSON"), b"\xff"), "application/json");
        assert_eq!(guess(Path::new("-"), b"plain"), "text/plain; charset=utf-8");
        assert_eq!(guess(Path::new("-"), "ä".as_bytes().get(..1).unwrap()), "text/plain; charset=utf-8");
        assert_eq!(guess(Path::new("a"), b"\xff\x00"), "application/octet-stream");
    }

    #[test]
    fn there_are_two_classes() {
        assert_eq!(class("sealed"), Ok(EvidenceClass::Sealed));
        assert!(class("secret").is_err());
    }
}
