//! The pin: what this user last verified of each ledger, kept in the user's state folder like a known_hosts line.
//!
//! A line is `SIZE ROOT ORIGIN PATH`, the origin `-` where the log has no name yet; a ledger is known by its path. The
//! folder is `$XDG_STATE_HOME/receipt`, else `~/.local/state/receipt` (XDG Base Directory Specification).

use crate::context::show;
use crate::error::{Error, Result};
use receipt_kernel::core::id::NodeHash;
use receipt_kernel::core::merkle::TreeHead;
use receipt_kernel::core::note::KeyName;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What was verified of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) head: TreeHead,
    pub(crate) origin: Option<KeyName>,
    pub(crate) path: String,
}

impl Pin {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let size = words.next()?.parse().ok()?;
        let root: NodeHash = words.next()?.parse().ok()?;
        let origin = match words.next()? {
            "-" => None,
            name => Some(name.parse().ok()?),
        };
        Some(Self { head: TreeHead { size, root }, origin, path: words.next()?.to_owned() })
    }

    fn line(&self) -> String {
        let origin = self.origin.as_ref().map_or("-", KeyName::as_str);
        format!("{} {} {origin} {}\n", self.head.size, self.head.root, self.path)
    }
}

/// The name under which a ledger is pinned; none for a path that cannot stand on a line.
pub(crate) fn name(ledger: &Path) -> Option<String> {
    let whole = ledger.canonicalize().unwrap_or_else(|_| ledger.to_owned());
    whole.into_os_string().into_string().ok().filter(|path| !path.chars().any(char::is_control))
}

fn file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("receipt/pins"))
}

/// Every pin. None where there is no file; an error where it cannot be understood, so that no pin is lost unseen.
pub(crate) fn read() -> Result<Vec<Pin>> {
    let Some(file) = file() else { return Ok(Vec::new()) };
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| Error::File { what: show(&file), source })?,
    };
    let pin = |line| {
        Pin::parse(line)
            .ok_or_else(|| Error::Input(format!("{}: {line:?} is no pin; mend the line or use --no-pin", show(&file))))
    };
    text.lines().map(pin).collect()
}

/// Writes every pin, in place of those that were there.
pub(crate) fn write(pins: &[Pin]) -> Result<()> {
    let Some(file) = file() else { return Ok(()) };
    let failed = |source| Error::File { what: show(&file), source };
    let Some(folder) = file.parent() else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let text: String = pins.iter().map(Pin::line).collect();
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    new.persist(&file).map_err(|error| failed(error.error))?;
    Ok(())
}
