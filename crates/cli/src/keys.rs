//! Key files: text that only their owner may read, or the same encrypted with a passphrase, as `age -p` does it.

use crate::context::show;
use crate::error::{Error, Result};
use crate::{input, passphrase};
use age::secrecy::SecretString;
use receipt_kernel::core::note::Signing;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What an encrypted key file begins with (C2SP age, version 1).
const ENCRYPTED: &[u8] = b"age-encryption.org/v1\n";

/// Writes a new key file, readable by its owner only, and syncs it; nothing is overwritten, and no link is followed.
pub(crate) fn write(path: &Path, key: &Signing, passphrase: Option<SecretString>) -> Result<()> {
    let failed = |source| Error::File { what: show(path), source };
    let text = format!("{}\n", key.to_secret_text());
    let bytes = match passphrase {
        None => text.into_bytes(),
        Some(passphrase) => age::encrypt(&age::scrypt::Recipient::new(passphrase), text.as_bytes())
            .map_err(|error| Error::Input(format!("the key cannot be encrypted: {error}")))?,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Reads a key file; one that others can read is refused. Where it is encrypted its passphrase is asked for.
pub(crate) fn read(path: &Path) -> Result<Signing> {
    let file = input::plain_file_no_link(path)?;
    check_private(path, &file)?;
    let mut bytes = input::read_all(path, file, input::MAX_KEYS)?;
    if bytes.starts_with(ENCRYPTED) {
        let identity = age::scrypt::Identity::new(passphrase::ask(path)?);
        let wrong = |_| Error::Input(format!("{}: the passphrase does not open it", show(path)));
        bytes = age::decrypt(&identity, &bytes).map_err(wrong)?;
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::Input(format!("{} is no key file", show(path))))?;
    Ok(Signing::from_secret_text(text.trim_end()).map_err(receipt_kernel::Error::from)?)
}

/// Refuses a file that others can read.
pub(crate) fn check_private(path: &Path, file: &File) -> Result<()> {
    let mode = file.metadata().map_err(|source| Error::File { what: show(path), source })?.mode();
    let others = mode & 0o077;
    if others == 0 {
        return Ok(());
    }
    let mode = mode & 0o777;
    Err(Error::Input(format!(
        "{} can be read by others (mode {mode:o}): chmod 600, and think of a new key",
        show(path)
    )))
}
