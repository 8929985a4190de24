//! Key files: text that only their owner may read.

use crate::context::show;
use crate::error::{Error, Result};
use receipt_kernel::core::note::Signing;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Writes a new key file, readable by its owner only, and syncs it; nothing is overwritten.
pub(crate) fn write(path: &Path, key: &Signing) -> Result<()> {
    let failed = |source| Error::File { what: show(path), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    writeln!(file, "{}", key.to_secret_text()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Reads a key file; one that others can read is refused.
pub(crate) fn read(path: &Path) -> Result<Signing> {
    let failed = |source| Error::File { what: show(path), source };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        let msg = format!(
            "{} can be read by others (mode {:o}): chmod 600, and think of a new key",
            show(path),
            mode & 0o777
        );
        return Err(Error::Input(msg));
    }
    let mut text = String::new();
    Read::take(&mut file, 4096).read_to_string(&mut text).map_err(failed)?;
    Ok(Signing::from_secret_text(text.trim_end()).map_err(receipt_kernel::Error::from)?)
}
