//! What the command line is given: files, standard input, JSON, policies, references.

use crate::context::show;
use crate::error::{Error, Result};
use receipt_kernel::core::checkpoint::SignedCheckpoint;
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{Actor, Object, Policy, Value};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The largest text that is read into memory from a file that the command line names.
const MAX_TEXT: u64 = 16 << 20;
/// The largest file of keys.
pub(crate) const MAX_KEYS: u64 = 1 << 20;

/// Opens a file to be read; `-` is standard input.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|source| Error::File { what: show(path), source })?;
    Ok(Box::new(file))
}

/// Opens a plain file. Of anything else the opening or the reading could wait for ever, as of a pipe that nobody writes;
/// but for one that was handed over open, as a shell does with `<(…)`.
pub(crate) fn plain_file(path: &Path) -> Result<File> {
    plain_file_with(path, OFlags::empty())
}

/// A plain file that is no link, as a file of secrets must be.
pub(crate) fn plain_file_no_link(path: &Path) -> Result<File> {
    plain_file_with(path, OFlags::NOFOLLOW)
}

fn plain_file_with(path: &Path, flags: OFlags) -> Result<File> {
    let failed = |source| Error::File { what: show(path), source };
    let is_handed_over = ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|open| path.starts_with(open));
    let wait = if is_handed_over { OFlags::empty() } else { OFlags::NONBLOCK };
    let flags = (flags | wait | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    match kind {
        kind if kind.is_file() || (kind.is_fifo() && is_handed_over) => Ok(file),
        kind if kind.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        _ => Err(Error::Input(format!("{} is no plain file", show(path)))),
    }
}

/// Reads a file that is at most [`MAX_TEXT`] bytes long; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>> {
    let is_input = path.as_os_str() == "-";
    let from: Box<dyn Read> = if is_input { Box::new(io::stdin().lock()) } else { Box::new(plain_file(path)?) };
    read_all(path, from, MAX_TEXT)
}

/// Reads UTF-8 text from a file that is at most [`MAX_TEXT`] bytes long; `-` is standard input.
pub(crate) fn utf8(path: &Path) -> Result<String> {
    String::from_utf8(read_text(path)?).map_err(|_| Error::Input(format!("{} is not UTF-8 text", show(path))))
}

/// Reads a key or a list of keys, at most [`MAX_KEYS`] bytes.
pub(crate) fn read_keys(path: &Path) -> Result<Vec<u8>> {
    read_all(path, plain_file(path)?, MAX_KEYS)
}

/// Reads all of what was opened, and no more than the limit.
pub(crate) fn read_all(path: &Path, from: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::File { what: show(path), source })?;
    if bytes.len() as u64 > limit {
        return Err(Error::Input(format!("{} is over the limit of {limit} bytes", show(path))));
    }
    Ok(bytes)
}

/// A JSON object: the argument itself, or `@FILE`, or `@-` for standard input.
pub(crate) fn object(option: &str, argument: Option<&str>) -> Result<Object> {
    let Some(argument) = argument else { return Ok(Object::new()) };
    let bytes = match argument.strip_prefix('@') {
        Some(path) => read_text(Path::new(path))?,
        None => argument.as_bytes().to_vec(),
    };
    let value = json::parse(&bytes, Limits::WRITE).map_err(|error| Error::Input(format!("{option}: {error}")))?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(Error::Input(format!(
            "{option}: expected a JSON object such as {{\"note\":\"…\"}}, got {}",
            other.kind()
        ))),
    }
}

/// The signed checkpoint in a file.
pub(crate) fn checkpoint(path: &Path) -> Result<SignedCheckpoint> {
    SignedCheckpoint::parse(&read_text(path)?).map_err(|error| Error::Input(format!("{}: {error}", show(path))))
}

/// The policy in a file.
pub(crate) fn policy(path: &Path) -> Result<Policy> {
    Policy::from_toml(&utf8(path)?).map_err(|error| Error::Input(format!("{}: {error}", show(path))))
}

/// An actor as `KIND:ID`.
pub(crate) fn actor(text: &str) -> std::result::Result<Actor, String> {
    match text.split_once(':') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(Actor::new(kind, id)),
        _ => Err("expected KIND:ID, such as human:ada or agent:builder".to_owned()),
    }
}
