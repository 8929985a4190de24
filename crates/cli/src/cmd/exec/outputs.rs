//! `--output`: files and folders that are put on record when the command has ended.

use super::Record;
use super::intent::text;
use super::keep::{Keep, Kept, json_bytes};
use receipt_kernel::write::Part;
use receipt_kernel::{Object, Put, Value, Verdict};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Puts a path on record under `output:PATH`. One that is not there is recorded as such, and the run can be no better than
/// FAIL: the command has not made the file that was asked for.
pub(super) fn put(record: &mut Record, path: &Path) {
    let key = format!("output:{}", path.to_string_lossy());
    let done = match fs::metadata(path) {
        _ if record.is_ledger(path) => Err(io::Error::other("it is the ledger itself, or a file kept beside it")),
        Ok(meta) if meta.is_file() => put_file(record, &key, path, true),
        Ok(meta) if meta.is_dir() => put_folder(record, &key, path),
        Ok(_) => Err(io::Error::other("neither a file nor a folder")),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let told = [("missing", Value::from(missing)), ("error", Value::from(error.to_string()))];
        record.put(&key, Object::from_iter(told));
        let path = path.to_string_lossy();
        record.limit(Verdict::Fail, &format!("output {path} could not be put on record: {error}"));
    }
}

/// Puts a file. `follow` says whether the path itself may be a link.
fn put_file(record: &mut Record, key: &str, path: &Path, follow: bool) -> io::Result<()> {
    // A pipe that has taken the file's place would be waited for.
    let flags = OFlags::NONBLOCK | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no longer a file"));
    }
    let keep = read(&mut file, Keep::new(&record.ledger, record.class, None).map_err(io::Error::other)?)?;
    match keep.finish() {
        // Half of a file is none, and the file is still there.
        Ok(Kept { cut: Some(error), .. }) | Err(error) => record.not_kept(format!("{key} could not be kept: {error}")),
        Ok(kept) => record.put_kept(key, kept, None),
    }
    Ok(())
}

fn read(file: &mut File, mut keep: Keep) -> io::Result<Keep> {
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(keep),
            Ok(read) => keep.push(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts a folder: each file under `output:PATH/rel`, and under the folder's own key a list of all that is in it. Links are
/// listed with where they lead, and not followed.
fn put_folder(record: &mut Record, key: &str, folder: &Path) -> io::Result<()> {
    let mut entries = Vec::new();
    for relative in list(folder)? {
        let path = folder.join(&relative);
        let mut entry = Object::from_iter([("path", text(relative.as_os_str()))]);
        if record.is_ledger(&path) {
            // Nothing more is asked about it: another run removes its files beside the ledger when it ends.
            entry.insert("type", "ledger");
            entries.push(Value::from(entry));
            continue;
        }
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_symlink() {
            entry.insert("type", "symlink");
            entry.insert("target", text(fs::read_link(&path)?.as_os_str()));
        } else if kind.is_file() {
            entry.insert("type", "file");
            let before = record.items.len();
            put_file(record, &format!("{key}/{}", relative.to_string_lossy()), &path, false)?;
            describe(&mut entry, record.items.get(before..).and_then(<[Part]>::last));
        } else {
            entry.insert("type", if kind.is_dir() { "folder" } else { "other" });
        }
        entries.push(Value::from(entry));
    }
    record.put(key, Object::from_iter([("entries", Value::Array(entries))]));
    Ok(())
}

/// Says of a file where it lies and how large it is; nothing of one that could not be put.
fn describe(entry: &mut Object, item: Option<&Part>) {
    let Some(item) = item else { return };
    let stored = item.record.to_object();
    for name in ["ref", "sha256"] {
        entry.insert(name, stored.get(name).cloned().unwrap_or_default());
    }
    entry.insert("bytes_len", item.len);
}

/// Everything in a folder and the folders in it, relative to it, in the order of the bytes of the paths.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut rest = vec![PathBuf::new()];
    while let Some(inside) = rest.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let relative = inside.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                rest.push(relative.clone());
            }
            found.push(relative);
        }
    }
    found.sort_unstable_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(found)
}

/// A list or another small document as evidence.
pub(super) fn put_json(record: &mut Record, key: &str, object: Object) -> receipt_kernel::Result<()> {
    let bytes = json_bytes(object)?;
    let stored = record.writer.put(key, &bytes, Put::json())?;
    let key = record.gate.text(key).into_inner();
    record.items.push(Part { key, len: stored.bytes_len, record: stored });
    Ok(())
}
