//! Where the ledger lies: the path that was named, else the nearest one that belongs to this user.

use crate::context::show;
use crate::error::{Error, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The folder that a ledger lies in by default, and its name there.
const FOLDER: &str = ".receipt";
const NAME: &str = "ledger.db";
/// The variable that lists ledgers of others that may be used without being named each time.
const SAFE: &str = "RECEIPT_SAFE_LEDGER";

/// Where a ledger lies, and whether the user said so.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Whether the path was named, with `--ledger` or `$RECEIPT_LEDGER`. Nothing is made there unless `init` is to.
    pub(crate) is_named: bool,
}

impl Place {
    /// The ledger that was named, else the one in this folder or the nearest parent that has one, else where one would be
    /// made.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            return Self::named(path);
        }
        let here = env::current_dir().unwrap_or_default();
        let Some(folder) = here.ancestors().map(|at| at.join(FOLDER)).find(|folder| folder.join(NAME).is_file()) else {
            return Self::new(None);
        };
        Self::own(&folder, folder.join(NAME))
    }

    /// The ledger that was named, else the one to be made in this folder.
    pub(crate) fn new(named: Option<&Path>) -> Result<Self> {
        match named {
            Some(path) => Self::named(path),
            None => Self::own(Path::new(FOLDER), Path::new(FOLDER).join(NAME)),
        }
    }

    fn named(path: &Path) -> Result<Self> {
        check_name(path)?;
        Ok(Self { path: path.to_owned(), is_named: true })
    }

    /// A ledger that nobody named must belong to this user: whoever can write into a folder above this one could put a
    /// ledger there, with rules that redact nothing.
    fn own(folder: &Path, path: PathBuf) -> Result<Self> {
        let beside =
            |ending: &str| PathBuf::from([path.as_os_str(), OsStr::new(ending)].into_iter().collect::<OsString>());
        let parts = [folder.to_owned(), path.clone(), beside("-wal"), beside("-shm"), beside("-journal")];
        if let Some(owner) = parts.iter().find_map(|part| foreign_owner(part))
            && !is_listed(&path)
        {
            let path = env::current_dir().map_or(path.clone(), |here| here.join(&path));
            return Err(Error::ForeignLedger { path: show(&path), owner });
        }
        Ok(Self { path, is_named: false })
    }
}

/// Who owns a path, or the link in its place, if it is somebody else.
fn foreign_owner(path: &Path) -> Option<u32> {
    let owners = [fs::symlink_metadata(path), fs::metadata(path)];
    owners.into_iter().flatten().map(|meta| meta.uid()).find(|owner| !is_ours(*owner))
}

/// Whether a user is this one; for root under `sudo` the one who called it as well, as git has it.
fn is_ours(owner: u32) -> bool {
    let user = rustix::process::geteuid();
    let caller = || env::var("SUDO_UID").ok().and_then(|caller| caller.parse::<u32>().ok());
    owner == user.as_raw() || (user.is_root() && Some(owner) == caller())
}

/// Whether the user lists a ledger among those of others that are safe.
fn is_listed(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let listed = env::var_os(SAFE).unwrap_or_default();
    env::split_paths(&listed).any(|safe| safe.is_absolute() && safe.canonicalize().is_ok_and(|safe| safe == path))
}

/// Refuses what is no path but the address of a database, before anything runs. An address may hold a password, so that
/// none of it is shown but its scheme.
pub(crate) fn check_name(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(bad("the ledger's path is empty", None));
    }
    let first = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    if let Some(colon) = first.iter().position(|byte| *byte == b':') {
        // Without the slashes it may as well be a user and a password.
        let is_address = bytes[colon..].starts_with(b"://");
        let scheme = std::str::from_utf8(&first[..colon]).ok().filter(|scheme| is_address && is_scheme(scheme));
        return Err(bad("the ledger is named by an address, and this version opens files only", scheme));
    }
    let query = bytes.iter().position(|byte| *byte == b'?').map(|at| &bytes[at..]);
    if query.is_some_and(|query| query.contains(&b'=')) {
        return Err(bad("the ledger's path ends in options (?NAME=VALUE), and a path has none", None));
    }
    Ok(())
}

/// Whether a word is the scheme of an address (RFC 3986, section 3.1).
fn is_scheme(word: &str) -> bool {
    let known = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
    word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.chars().all(known)
}

fn bad(problem: &str, scheme: Option<&str>) -> Error {
    let scheme = scheme.map(|scheme| format!(": {scheme}://…")).unwrap_or_default();
    Error::LedgerName { problem: format!("{problem}{scheme}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_no_paths_and_nothing_but_their_scheme_is_shown() {
        for name in [
            "",
            ":memory:",
            "file:x.db",
            "file:/x.db",
            "FILE:x.db?mode=ro",
            "postgres://ada:secret@host/db",
            "ada:secret@host/db",
            "x+y-z.1:secret",
            "sqlite::memory:",
            "/srv/ledger.db?mode=memory&key=secret",
            "./x.db?cache=shared",
        ] {
            let error = check_name(Path::new(name)).expect_err(name).to_string();
            assert!(!error.contains("secret") && !error.contains("ada"), "{error}");
        }
        for name in ["ledger.db", "./a:b.db", "/srv/a:b/ledger.db", "a?b.db", "ünï.db", "-"] {
            assert!(check_name(Path::new(name)).is_ok(), "{name}");
        }
    }
}
