//! What the command line is given: files, standard input, JSON, policies, references.

use crate::context::{Context, show};
use crate::error::{Error, Result};
use receipt_kernel::core::checkpoint::SignedCheckpoint;
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{Actor, EventRef, Ledger, Object, Policy, Value};
use std::fs::File;
use std::io::{self, Read};
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

pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_TEXT + 1).read_to_end(&mut bytes);
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

/// An event as `event://RUN/SEQ` or `RUN/SEQ`, whose run may be named as everywhere.
pub(crate) fn event_ref(context: &Context, ledger: &Ledger, text: &str) -> Result<Option<EventRef>> {
    if let Some(exact) = EventRef::parse(text) {
        return Ok(Some(exact));
    }
    let Some(found) = EventRef::parse(&format!("event://{text}")) else { return Ok(None) };
    let run_id = context.find_run(ledger, found.run_id.as_str())?;
    Ok(Some(EventRef { run_id, seq: found.seq }))
}
