//! A copy of the file as it is at one instant.

use super::SqliteStore;
use super::open::private_file;
use crate::error::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};

impl SqliteStore {
    /// Copies the ledger whole, as it is at one instant, while others go on writing. `progress` is told how many pages
    /// are done, of how many. The copy appears under its name when it is complete and synced, or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file at `to`; [`Error::Io`].
    pub fn backup(&self, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        if to.symlink_metadata().is_ok() {
            return Err(Error::Exists { path: to.to_owned() });
        }
        let part = partial_name(to);
        let named = |error| match error {
            // What the user named, not what is there for a while.
            Error::Io { path, source } if path == part => Error::Io { path: to.to_owned(), source },
            error => error,
        };
        let copied = self.copy_to(&part, progress).map_err(named).and_then(|()| {
            let io = |source| Error::Io { path: to.to_owned(), source };
            fs::File::open(&part).and_then(|file| file.sync_all()).map_err(io)?;
            // A hard link fails where a file has appeared in the meantime; a rename would replace it.
            fs::hard_link(&part, to).map_err(io)?;
            let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
        });
        let _ = fs::remove_file(&part);
        copied
    }

    fn copy_to(&self, part: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let io = |source| Error::Io { path: part.to_owned(), source };
        private_file().create_new(true).open(part).map_err(io)?;
        // Held open, this transaction keeps the copy at one instant, and keeps it from starting anew at each write.
        let source = self.reader()?;
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        let mut copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let backup = rusqlite::backup::Backup::new(&source, &mut copy)?;
        loop {
            let more = backup.step(256)?;
            let pages = backup.progress();
            let total = u64::try_from(pages.pagecount).unwrap_or(0);
            progress(total - u64::try_from(pages.remaining).unwrap_or(0), total);
            if more == rusqlite::backup::StepResult::Done {
                break;
            }
        }
        drop(backup);
        // The copy of a WAL file would otherwise leave a log and an index of its own beside it.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.close().map_err(|(_, error)| error.into())
    }
}
fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".part{}", std::process::id()));
    PathBuf::from(name)
}
