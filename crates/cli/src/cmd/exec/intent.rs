//! What is on record before the command starts: what it is, where, when, and from which state of the work.

use super::git;
use crate::error::{Error, Result};
use receipt_kernel::clock::{Clock, SystemClock};
use receipt_kernel::core::json::Text;
use receipt_kernel::{Object, Value};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The id of a run that was given none, such as `20261123T221500Z-3f9a1c07`.
pub(super) fn run_id() -> Result<String> {
    let now = SystemClock.now().to_string();
    let digits: String =
        now.chars().take_while(|at| *at != '.' && *at != '+').filter(|at| *at != '-' && *at != ':').collect();
    let random = random_hex().map_err(|source| Error::File { what: "random numbers".to_owned(), source })?;
    Ok(format!("{digits}Z-{random}"))
}

/// Eight random hexadecimal digits.
fn random_hex() -> io::Result<String> {
    let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{random:08x}"))
}

/// The evidence `command`. Of the environment only the names: the values are where secrets are kept. `terminals` are the
/// streams that are a terminal to it.
pub(super) fn command(argv: &[OsString], terminals: &[&str]) -> Object {
    let folder = std::env::current_dir().unwrap_or_default();
    let mut names: Vec<OsString> = std::env::vars_os().map(|(name, _)| name).collect();
    names.sort_unstable();
    let texts = |items: &[OsString]| Value::Array(items.iter().map(|item| text(item).into()).collect());
    let git = git::facts(&folder, std::env::var_os("GIT_DIR").as_deref());
    Object::from_iter([
        ("argv", texts(argv)),
        ("cwd", text(folder.as_os_str()).into()),
        ("environment", texts(&names)),
        ("git_commit", Value::from(git.as_ref().and_then(|git| git.commit.clone()))),
        ("git", git.map_or(Value::Null, said_by_git)),
        ("terminals", Value::from(terminals.to_vec())),
        ("started_at", Value::from(SystemClock.now().to_string())),
    ])
}

fn said_by_git(git: git::Facts) -> Value {
    let branch = git.branch.map(|branch| text(OsStr::from_bytes(&branch)));
    Value::from(Object::from_iter([
        ("commit", Value::from(git.commit)),
        ("branch", branch.map_or(Value::Null, Value::from)),
        ("unread", Value::from(git.unread)),
    ]))
}

/// Text of the system as JSON text, exactly: a byte that is not UTF-8 becomes the lone surrogate that Python's
/// `surrogateescape` (PEP 383) makes of it.
pub(super) fn text(text: &OsStr) -> Text {
    let mut out = Text::from("");
    for chunk in text.as_bytes().utf8_chunks() {
        chunk.valid().chars().for_each(|character| out.push(u32::from(character)));
        chunk.invalid().iter().for_each(|byte| out.push(0xDC00 + u32::from(*byte)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_exactly() {
        let exact = text(OsStr::from_bytes(b"a\xffb"));
        assert_eq!(exact.code_points().collect::<Vec<_>>(), [0x61, 0xDCFF, 0x62]);
    }
}
