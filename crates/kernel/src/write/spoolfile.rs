//! The files of a recording: their form, their names, and how those of a recorder that was ended are read.
//!
//! ```text
//! {"class":"public","format":"receipt-spool-1","key":"stdout","run_id":"build-1"}
//! {"after":0,"len":1048576,"plain":1048576,"recipients":[],"sha256":"…"}
//! 1048576 bytes
//! …
//! ```
//!
//! Segments follow one another in the first file, which is made and locked before its run is on record. Each of the two
//! others has one frame, for the output after as many segments as it says. Reading ends at a frame that is not whole, whose
//! bytes have another hash, or that does not fit the class of the file.

use super::recording::{Lies, Piece, Recorded, SEGMENT};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::store::Location;
use data_encoding::HEXLOWER;
use receipt_core::canonical;
use receipt_core::id::BlobHash;
use receipt_core::json::{self, Limits, Object, Value};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FORMAT: &str = "receipt-spool-1";
/// The longest line before bytes.
const LONGEST: u64 = 64 << 10;
/// How much longer than a segment a frame may be: by its encryption, or by output that is still in the redaction.
const SLACK: u64 = 4 << 20;
/// How every ciphertext begins.
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// The line before the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// How long it is as it lies there, and how long the evidence in it is.
    pub(super) stored: u64,
    pub(super) plain: u64,
    pub(super) hash: BlobHash,
    /// To whom it is encrypted.
    pub(super) recipients: Vec<String>,
}

/// The files of one recording.
#[derive(Debug)]
pub(super) struct SpoolFiles {
    /// Their name without an ending, and the first line of each. A recording without a run has one file and no name for it.
    named: Option<(PathBuf, Vec<u8>)>,
    segments: Option<File>,
    end: u64,
    rests: [Option<File>; 2],
    saves: u64,
    /// After how many segments the last save came, and how many bytes of evidence it had.
    saved: Option<(u64, u64)>,
    /// Whether a file was made whose entry in the folder may not be durable.
    has_new_entry: bool,
    /// Whether they may hold evidence. Files that never did are removed with this value.
    is_used: bool,
    folder: Option<PathBuf>,
}

const REST: [&str; 2] = ["-rest0", "-rest1"];

impl SpoolFiles {
    /// Files with a name are made and locked here, so that nobody finds the run without its recorder.
    ///
    /// # Errors
    /// [`Error::BeingRecorded`] if somebody records this already; [`Error::RunExists`] if the files of an earlier recorder
    /// are still there; [`Error::Io`].
    pub(super) fn new(ledger: &Ledger, under: Option<(&str, &str)>, sealed: bool) -> Result<Self> {
        let mut files = Self::without_name(ledger.store.limits().spool);
        let Some((run, key)) = under else { return Ok(files) };
        let Some(path) = stem(ledger, run).map(|stem| named(&stem, key)) else { return Ok(files) };
        let header = header(run, key, sealed);
        let file = files.segments.insert(claim(ledger, run, &path)?);
        (files.end, files.has_new_entry) = (header.len() as u64, true);
        let written = file.write_all_at(&header, 0);
        files.named = Some((path.clone(), header));
        written.map_err(|source| Error::Io { path, source })?;
        Ok(files)
    }

    fn without_name(folder: Option<PathBuf>) -> Self {
        let (segments, rests, saved) = (None, [None, None], None);
        let (has_new_entry, is_used) = (false, false);
        Self { named: None, segments, end: 0, rests, saves: 0, saved, has_new_entry, is_used, folder }
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    fn segments(&mut self) -> io::Result<&File> {
        if self.segments.is_none() {
            self.segments = Some(match &self.folder {
                Some(folder) => tempfile::tempfile_in(folder)?,
                None => tempfile::tempfile()?,
            });
        }
        self.segments.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Writes a segment after the others; says where its bytes begin. After an error the next one takes its place.
    pub(super) fn append(&mut self, frame: &Frame, bytes: &[u8]) -> io::Result<u64> {
        self.is_used = true;
        let line = frame.line(0, 0);
        let (begin, at) = (self.end, self.end + line.len() as u64);
        let file = self.segments()?;
        file.write_all_at(&line, begin)?;
        file.write_all_at(bytes, at)?;
        self.end = at + bytes.len() as u64;
        Ok(at)
    }

    /// Writes the output after so many segments, in place of the save before the last; gives the files to be made durable, in
    /// this order. After an error the last save is as it was, and the next one takes the place of the one that failed.
    pub(super) fn save(&mut self, after: u64, frame: &Frame, bytes: &[u8]) -> io::Result<Vec<File>> {
        let (Some((stem, header)), Some(segments)) = (&self.named, &self.segments) else { return Ok(Vec::new()) };
        self.is_used = true;
        let turn = usize::from(self.saves % 2 == 1);
        let file = match &mut self.rests[turn] {
            Some(file) => file,
            none => {
                let file = make(&with(stem, REST[turn]))?;
                self.has_new_entry = true;
                none.insert(file)
            }
        };
        let whole = [header.as_slice(), &frame.line(after, self.saves + 1), bytes].concat();
        file.set_len(0)?;
        file.write_all_at(&whole, 0)?;
        self.saves += 1;
        self.saved = Some((after, frame.plain));
        let mut files = vec![segments.try_clone()?, file.try_clone()?];
        if self.has_new_entry
            && let Some(folder) = stem.parent()
        {
            files.push(File::open(folder)?);
            self.has_new_entry = false;
        }
        Ok(files)
    }

    /// The first of the files, if evidence lies in them after so many segments.
    pub(super) fn left(&self, segments: u64) -> Option<&Path> {
        let rest = self.saved.is_some_and(|(after, plain)| after == segments && plain > 0);
        self.named.as_ref().filter(|_| segments > 0 || rest).map(|(path, _)| path.as_path())
    }

    /// Waits until all of them are durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let folder = self.named.as_ref().and_then(|(path, _)| path.parent()).map(File::open).transpose()?;
        self.segments.iter().chain(self.rests.iter().flatten()).chain(&folder).try_for_each(File::sync_data)
    }

    /// The bytes of a segment, if they are still the ones that were written.
    pub(super) fn read(&self, piece: &Piece) -> io::Result<Vec<u8>> {
        let bytes = match &piece.lies {
            Lies::Memory(bytes) => bytes.clone(),
            Lies::File(at) => {
                let mut bytes = vec![0; usize::try_from(piece.frame.stored).map_err(io::Error::other)?];
                let file = self.segments.as_ref().ok_or(io::ErrorKind::NotFound)?;
                file.read_exact_at(&mut bytes, *at)?;
                bytes
            }
        };
        if BlobHash::of(&bytes) == piece.frame.hash { Ok(bytes) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Removes them.
    pub(super) fn remove(&mut self) {
        if let Some((stem, _)) = self.named.take() {
            // The first one last: its lock keeps others from the name, and without it the others mean nothing.
            for path in REST.map(|rest| with(&stem, rest)).into_iter().chain([stem]) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// A recorder whose run could not be started, or that was given nothing, leaves no file behind.
impl Drop for SpoolFiles {
    fn drop(&mut self) {
        if !self.is_used {
            self.remove();
        }
    }
}

impl Frame {
    fn line(&self, after: u64, save: u64) -> Vec<u8> {
        let object = Object::from_iter([
            ("after", Value::from(after)),
            ("save", Value::from(save)),
            ("len", Value::from(self.stored)),
            ("plain", Value::from(self.plain)),
            ("recipients", Value::from(self.recipients.clone())),
            ("sha256", Value::from(self.hash.to_string())),
        ]);
        line(object)
    }

    /// The next frame of a file of a class, with the number of segments that it comes after and of the save; `None` if the
    /// next one is not whole, or no recorder can have written it.
    fn read(from: &mut impl BufRead, sealed: bool) -> Option<(Self, u64, u64)> {
        let object = read_line(from)?;
        let number = |name| object.get(name)?.as_i64().and_then(|number| u64::try_from(number).ok());
        let names = object.get("recipients")?.as_array()?.iter();
        let recipients = names.map(|name| Some(name.as_str()?.to_owned())).collect::<Option<Vec<_>>>()?;
        let hash = BlobHash::parse_bytes(object.get("sha256")?.as_str()?.as_bytes())?;
        let frame = Self { stored: number("len")?, plain: number("plain")?, hash, recipients };
        let is_ours = frame.stored <= SEGMENT as u64 + SLACK && frame.fits(sealed);
        is_ours.then_some((frame, number("after")?, number("save")?))
    }

    /// Whether it is of a class. Plain bytes that claim to be encrypted would not be redacted again, and encrypted ones
    /// without a recipient could not be put.
    fn fits(&self, sealed: bool) -> bool {
        if sealed {
            !self.recipients.is_empty() && self.plain < self.stored
        } else {
            self.recipients.is_empty() && self.plain == self.stored
        }
    }
}

fn line(object: Object) -> Vec<u8> {
    let mut line = canonical::to_bytes(&object.into(), Limits::READ).unwrap_or_default();
    line.push(b'\n');
    line
}

fn read_line(from: &mut impl BufRead) -> Option<Object> {
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\n")?;
    match json::parse(line, Limits::READ).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn header(run: &str, key: &str, sealed: bool) -> Vec<u8> {
    let class = if sealed { "sealed" } else { "public" };
    line(Object::from_iter([("class", class), ("format", FORMAT), ("key", key), ("run_id", run)]))
}

/// How the names of a run's files begin: beside the ledger itself, by whatever links and folders it was reached.
fn stem(ledger: &Ledger, run: &str) -> Option<PathBuf> {
    let Location::File(path) = ledger.store.location() else { return None };
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    Some(with(&path, &format!("-spool-{}-", digest(run))))
}

/// The name of the first file of a key, which may be any text.
fn named(stem: &Path, key: &str) -> PathBuf {
    with(stem, &digest(key))
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..16])
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Makes the first file and locks it until the recorder is gone. A file of that name is left of a run of the same id in
/// another ledger, if this one has no such run and nobody holds the file.
fn claim(ledger: &Ledger, run: &str, path: &Path) -> Result<File> {
    let unmade = |source| Error::Io { path: path.to_owned(), source };
    let old = match open_plain(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(unmade)?),
    };
    if let Some(old) = &old {
        // Under the lock: a recorder that has just begun has its file, and not yet its run.
        old.as_ref().map_or(Ok(()), |old| lock(old, run, path))?;
        if ledger.has_run(run)? {
            return Err(Error::RunExists { run: run.to_owned() });
        }
        std::fs::remove_file(path).map_err(unmade)?;
    }
    let file = match create(path) {
        // Another recorder of the same run was quicker, here and below.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::BeingRecorded { run: run.to_owned() });
        }
        created => created.map_err(unmade)?,
    };
    lock(&file, run, path)?;
    let (ours, there) = (file.metadata().map_err(unmade)?, std::fs::symlink_metadata(path));
    match there {
        Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(file),
        _ => Err(Error::BeingRecorded { run: run.to_owned() }),
    }
}

fn lock(file: &File, run: &str, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::BeingRecorded { run: run.to_owned() }),
        Err(TryLockError::Error(source)) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Makes a file in the place of any other. Its name is ours by the lock on the first one.
fn make(path: &Path) -> io::Result<File> {
    let _ = std::fs::remove_file(path);
    create(path)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// The recordings of a run whose recorder was ended, each with its key and whether it is sealed.
pub(super) fn left(ledger: &Ledger, run: &str) -> Result<Vec<(String, bool, Recorded)>> {
    let Some(stem) = stem(ledger, run) else { return Ok(Vec::new()) };
    let unread = |source| Error::Io { path: "what was kept beside the ledger".into(), source };
    let folder = stem.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = stem.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name();
        let is_rest = REST.iter().any(|rest| name.as_encoded_bytes().ends_with(rest.as_bytes()));
        if name.as_encoded_bytes().starts_with(&prefix) && !is_rest {
            found.push(folder.join(name));
        }
    }
    found.sort_unstable();
    let read = found.into_iter().filter_map(|path| read(&stem, run, &path).transpose());
    read.collect()
}

fn read(stem: &Path, run: &str, path: &Path) -> Result<Option<(String, bool, Recorded)>> {
    let unread = |source| Error::Io { path: path.to_owned(), source };
    let Some(file) = open_plain(path).map_err(unread)? else { return Ok(None) };
    lock(&file, run, path)?;
    let mut reader = BufReader::new(file.try_clone().map_err(unread)?);
    let Some(header) = read_line(&mut reader) else {
        // The machine stopped before anything of it was durable.
        if file.metadata().map_err(unread)?.len() == 0 {
            let _ = std::fs::remove_file(path);
        }
        return Ok(None);
    };
    let text = |name| header.get(name).and_then(Value::as_str);
    let (Some(FORMAT), Some(key), true) = (text("format"), text("key"), text("run_id") == Some(run)) else {
        return Ok(None);
    };
    let sealed = match text("class") {
        Some("public") => false,
        Some("sealed") => true,
        _ => return Ok(None),
    };
    if named(stem, key) != path {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    // A segment is full. Anything shorter is none of ours, and there could be any number of them.
    while let Some((frame, ..)) = Frame::read(&mut reader, sealed).filter(|(frame, ..)| frame.plain == SEGMENT as u64) {
        let at = reader.stream_position().map_err(unread)?;
        let Some(_) = bytes(&mut reader, &frame) else { break };
        pieces.push(Piece { frame, lies: Lies::File(at) });
    }
    let mut last = None;
    let rests = REST.map(|rest| rest_of(&with(path, rest), &header, sealed, pieces.len() as u64));
    if let Some((frame, rest, _)) = rests.into_iter().flatten().max_by_key(|(.., save)| *save) {
        if !sealed {
            last = Some(rest);
        } else if frame.plain > 0 || pieces.is_empty() {
            pieces.push(Piece { frame, lies: Lies::Memory(rest) });
        }
    }
    let mut files = SpoolFiles::without_name(None);
    (files.named, files.segments, files.is_used) = (Some((path.to_owned(), Vec::new())), Some(file), true);
    Ok(Some((key.to_owned(), sealed, Recorded::left(pieces, last, files))))
}

/// Opens a plain file that is no link; of anything else, such as a pipe, the reading could wait for ever.
fn open_plain(path: &Path) -> io::Result<Option<File>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    // Opened for writing too, a pipe that has come in its place meanwhile does not hold up the opening.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

fn bytes(from: &mut impl Read, frame: &Frame) -> Option<Vec<u8>> {
    // The frame says how many there are, and whoever writes the file may say anything.
    let mut bytes = Vec::new();
    from.take(frame.stored).read_to_end(&mut bytes).ok()?;
    let is_ours = frame.recipients.is_empty() || bytes.starts_with(AGE);
    (is_ours && BlobHash::of(&bytes) == frame.hash).then_some(bytes)
}

/// The output that was saved after so many segments.
fn rest_of(path: &Path, header: &Object, sealed: bool, segments: u64) -> Option<(Frame, Vec<u8>, u64)> {
    let mut reader = BufReader::new(open_plain(path).ok()??);
    read_line(&mut reader).filter(|line| line == header)?;
    let (frame, after, save) = Frame::read(&mut reader, sealed)?;
    let bytes = bytes(&mut reader, &frame)?;
    (after == segments).then_some((frame, bytes, save))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_that_made_a_file_makes_its_name_durable_too() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(folder.path().join("l.db")).unwrap();
        let mut files = SpoolFiles::new(&ledger, Some(("r", "k")), false).unwrap();
        let frame = Frame { stored: 1, plain: 1, hash: BlobHash::of(b"x"), recipients: Vec::new() };
        for names in [true, true, false, false] {
            let saved = files.save(0, &frame, b"x").unwrap();
            let folders = saved.iter().filter(|file| file.metadata().unwrap().is_dir());
            assert_eq!((saved.len(), folders.count()), (2 + usize::from(names), usize::from(names)));
        }
        files.remove();
    }
}
