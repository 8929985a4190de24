//! The files of a recording: their form, their names, and what is left in them when a recorder was ended.
//!
//! ```text
//! {"class":"public","format":"receipt-spool-1","key":"stdout","run_id":"build-1"}
//! {"after":0,"len":1048576,"plain":1048576,"recipients":[],"sha256":"…"}
//! 1048576 bytes
//! …
//! ```
//!
//! Segments follow one another in the first file. Each of the two others has one frame, for what came after as many
//! segments as it says. A frame that is not whole, or whose bytes have another hash, ends what is read.

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
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FORMAT: &str = "receipt-spool-1";
/// The longest line before bytes.
const LONGEST: u64 = 64 << 10;
/// How much longer than a segment its ciphertext, or what is in work, may be.
const SLACK: u64 = 4 << 20;

/// What is said of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// How long it is as it lies there, and how long the evidence in it is.
    pub(super) stored: u64,
    pub(super) plain: u64,
    pub(super) hash: BlobHash,
    /// To whom it is encrypted.
    pub(super) recipients: Vec<String>,
}

/// The files of one recording, which are made when they are needed.
#[derive(Debug)]
pub(super) struct SpoolFiles {
    /// Their name without an ending, and what is said at the beginning of each; without these the file has no name.
    named: Option<(PathBuf, Vec<u8>)>,
    segments: Option<File>,
    end: u64,
    rests: [Option<File>; 2],
    saves: u64,
    folder: Option<PathBuf>,
}

const REST: [&str; 2] = ["-rest0", "-rest1"];

impl SpoolFiles {
    pub(super) fn new(ledger: &Ledger, under: Option<(&str, &str)>, sealed: bool) -> Self {
        let named = under.and_then(|(run, key)| Some((stem(ledger, run, Some(key))?, header(run, key, sealed))));
        let folder = ledger.store.limits().spool;
        Self { named, segments: None, end: 0, rests: [None, None], saves: 0, folder }
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    fn segments(&mut self) -> io::Result<&mut File> {
        if self.segments.is_none() {
            let (file, end) = match (&self.named, &self.folder) {
                (Some((stem, header)), _) => {
                    let mut file = make(stem)?;
                    // Held until the recorder is gone, so that nobody takes in what is still being recorded.
                    file.try_lock().map_err(io::Error::from)?;
                    file.write_all(header)?;
                    (file, header.len() as u64)
                }
                (None, Some(folder)) => (tempfile::tempfile_in(folder)?, 0),
                (None, None) => (tempfile::tempfile()?, 0),
            };
            (self.segments, self.end) = (Some(file), end);
        }
        self.segments.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Writes a segment after the others; says where its bytes begin.
    pub(super) fn append(&mut self, frame: &Frame, bytes: &[u8]) -> io::Result<u64> {
        self.segments()?;
        let line = frame.line(0, 0);
        let at = self.end + line.len() as u64;
        let file = self.segments()?;
        file.write_all(&line)?;
        file.write_all(bytes)?;
        self.end = at + bytes.len() as u64;
        Ok(at)
    }

    /// Writes what is in work after so many segments, in place of what was before the last time; gives the files to be made
    /// durable, in this order.
    pub(super) fn save(&mut self, after: u64, frame: &Frame, bytes: &[u8]) -> io::Result<Vec<File>> {
        let first = self.segments.is_none();
        let mut files = vec![self.segments()?.try_clone()?];
        let Some((stem, header)) = &self.named else { return Ok(files) };
        let turn = usize::from(self.saves % 2 == 1);
        self.saves += 1;
        let file = match &mut self.rests[turn] {
            Some(file) => file,
            none => none.insert(make(&with(stem, REST[turn]))?),
        };
        let whole = [header.as_slice(), &frame.line(after, self.saves), bytes].concat();
        file.set_len(0)?;
        file.write_all_at(&whole, 0)?;
        files.push(file.try_clone()?);
        if first && let Some(folder) = stem.parent() {
            files.push(File::open(folder)?);
        }
        Ok(files)
    }

    /// The bytes of a segment, if they are what they were.
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
    pub(super) fn remove(self) {
        if let Some((stem, _)) = self.named.filter(|_| self.segments.is_some()) {
            // Those of what is in work first: alone they mean nothing.
            for path in REST.map(|rest| with(&stem, rest)).into_iter().chain([stem]) {
                let _ = std::fs::remove_file(path);
            }
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

    /// The next frame of a file, with the number of segments that it comes after and of the save; `None` at the end of what
    /// is whole.
    fn read(from: &mut impl BufRead) -> Option<(Self, u64, u64)> {
        let object = read_line(from)?;
        let number = |name| object.get(name)?.as_i64().and_then(|number| u64::try_from(number).ok());
        let names = object.get("recipients")?.as_array()?.iter();
        let recipients = names.map(|name| Some(name.as_str()?.to_owned())).collect::<Option<Vec<_>>>()?;
        let hash = BlobHash::parse_bytes(object.get("sha256")?.as_str()?.as_bytes())?;
        let frame = Self { stored: number("len")?, plain: number("plain")?, hash, recipients };
        let is_ours = frame.stored <= SEGMENT as u64 + SLACK && frame.plain <= frame.stored;
        is_ours.then_some((frame, number("after")?, number("save")?))
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

/// The name of a recording's files: beside the ledger, of the run and the key, which may be any text.
fn stem(ledger: &Ledger, run: &str, key: Option<&str>) -> Option<PathBuf> {
    let Location::File(path) = ledger.store.location() else { return None };
    let digest = |text: &str| HEXLOWER.encode(&Sha256::digest(text)[..16]);
    let key = key.map(digest).unwrap_or_default();
    Some(with(&path, &format!("-spool-{}-{key}", digest(run))))
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

fn make(path: &Path) -> io::Result<File> {
    // A file of that name is what is left of a run of the same id in another ledger: the id is new in this one.
    let _ = std::fs::remove_file(path);
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// What was left of a run's recordings, each with its key and whether it is sealed.
pub(super) fn left(ledger: &Ledger, run: &str) -> Result<Vec<(String, bool, Recorded)>> {
    let Some(stem) = stem(ledger, run, None) else { return Ok(Vec::new()) };
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
    let read = found.into_iter().filter_map(|path| read(run, &path).transpose());
    read.collect()
}

fn read(run: &str, path: &Path) -> Result<Option<(String, bool, Recorded)>> {
    let unread = |source| Error::Io { path: path.to_owned(), source };
    let Some(file) = open_plain(path).map_err(unread)? else { return Ok(None) };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::BeingRecorded { run: run.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(unread(source)),
    }
    let mut reader = BufReader::new(file.try_clone().map_err(unread)?);
    let Some(header) = read_line(&mut reader) else { return Ok(None) };
    let text = |name| header.get(name).and_then(Value::as_str);
    let (Some(FORMAT), Some(key), true) = (text("format"), text("key"), text("run_id") == Some(run)) else {
        return Ok(None);
    };
    let sealed = text("class") != Some("public");
    let mut pieces = Vec::new();
    let mut segments = 0;
    // A segment is full. Anything shorter is none of ours, and there could be any number of them.
    while let Some((frame, ..)) = Frame::read(&mut reader).filter(|(frame, ..)| frame.plain == SEGMENT as u64) {
        let at = reader.stream_position().map_err(unread)?;
        let Some(_) = bytes(&mut reader, &frame) else { break };
        pieces.push(Piece { frame, lies: Lies::File(at) });
        segments += 1;
    }
    let mut last = None;
    let rests = REST.map(|rest| rest_of(&with(path, rest), segments));
    if let Some((frame, rest, _)) = rests.into_iter().flatten().max_by_key(|(.., save)| *save) {
        if frame.recipients.is_empty() && !sealed {
            last = Some(rest);
        } else if frame.plain > 0 || pieces.is_empty() {
            pieces.push(Piece { frame, lies: Lies::Memory(rest) });
        }
    }
    let named = Some((path.to_owned(), Vec::new()));
    let files = SpoolFiles { named, segments: Some(file), end: 0, rests: [None, None], saves: 0, folder: None };
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
    (BlobHash::of(&bytes) == frame.hash).then_some(bytes)
}

/// What was in work after so many segments.
fn rest_of(path: &Path, segments: u64) -> Option<(Frame, Vec<u8>, u64)> {
    let mut reader = BufReader::new(open_plain(path).ok()??);
    read_line(&mut reader)?;
    let (frame, after, save) = Frame::read(&mut reader)?;
    let bytes = bytes(&mut reader, &frame)?;
    (after == segments).then_some((frame, bytes, save))
}
