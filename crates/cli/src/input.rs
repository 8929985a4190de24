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
    let failed = |source| Error::File { what: show(path), source };
    let wait = if path.starts_with("/dev/fd") { OFlags::empty() } else { OFlags::NONBLOCK };
    let flags = (wait | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    match () {
        () if kind.is_file() || (kind.is_fifo() && wait.is_empty()) => Ok(file),
        () if kind.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        () => Err(Error::Input(format!("{} is no plain file", show(path)))),
    }
}

/// Reads a text that is at most so many bytes long; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let from: Box<dyn Read> = if path.as_os_str() == "-" { open(path)? } else { Box::new(plain_file(path)?) };
    let read = from.take(MAX_TEXT + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::File { what: show(path), source })?;
    if bytes.len() as u64 > MAX_TEXT {
        return Err(Error::Input(format!("{} is over the limit of {MAX_TEXT} bytes", show(path))));
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
    let bytes = read_text(path)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Input(format!("{} is not UTF-8 text", show(path))))?;
    Policy::from_toml(&text).map_err(|error| Error::Input(format!("{}: {error}", show(path))))
}

/// An actor as `KIND:ID`.
pub(crate) fn actor(text: &str) -> std::result::Result<Actor, String> {
    match text.split_once(':') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok(Actor::new(kind, id)),
        _ => Err("expected KIND:ID, such as human:ada or agent:builder".to_owned()),
    }
}
