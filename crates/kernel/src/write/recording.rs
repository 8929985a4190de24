//! Evidence that comes in while something runs: kept as it comes, so that an end of this process loses next to nothing of it.
//!
//! Evidence is redacted and, of class sealed, encrypted before it is written into a file beside the ledger, a segment after
//! the other. [`Recording::save`] writes the rest (at most a segment and the text that the redaction still looks at) into one
//! of two files in turn, so that one of them is whole whenever the machine stops. The caller removes the files when their
//! evidence is on record; [`Ledger::recover`](crate::Ledger::recover) takes in those of a run whose recorder was ended.

use super::intake::{PARTS_TYPE, Part, Source};
use super::spoolfile::{self, Frame, SpoolFiles};
use crate::error::{Error, Result};
use crate::evidence::Put;
use crate::evidence::redact::{Report, StreamRedactor};
use crate::evidence::seal::Recipients;
use crate::ledger::Ledger;
use crate::write::RunWriter;
use receipt_core::canonical;
use receipt_core::envelope::EventType;
use receipt_core::evidence::EvidenceClass;
use receipt_core::json::{Limits, Object, Value};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// How much is written, and encrypted, at once.
pub(super) const SEGMENT: usize = 1 << 20;
/// The largest evidence that is put in one piece. SQLite lays out a whole row in memory, more than once: this size, and not
/// that of the stream, sets how much memory a recording takes.
pub(crate) const PART: u64 = 4 << 20;

/// Evidence that is coming in.
#[derive(Debug)]
pub struct Recording {
    redactor: StreamRedactor,
    /// Redacted bytes that are in no segment yet.
    ready: Vec<u8>,
    recipients: Option<Recipients>,
    pieces: Vec<Piece>,
    files: SpoolFiles,
    /// How many bytes have come; how many had at the last save, and at the last save of all of them.
    came: [u64; 3],
    /// Whether a piece could not be kept, so that nothing more is taken.
    is_cut: bool,
}

/// A segment: where it lies, as it will lie in the ledger.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) frame: Frame,
    pub(super) lies: Lies,
}

#[derive(Debug)]
pub(super) enum Lies {
    /// At this place in the file of segments.
    File(u64),
    Memory(Vec<u8>),
}

/// Evidence that has come in, ready to be put on record.
#[derive(Debug)]
pub struct Recorded {
    pieces: Vec<Piece>,
    /// The bytes after the last segment; `None` only if there are none.
    last: Option<Vec<u8>>,
    /// How many segments, and the last bytes after them, the put that is under way has read.
    taken: usize,
    recipients: Option<Recipients>,
    report: Report,
    files: SpoolFiles,
    /// Whether the files hold all of it.
    is_saved: bool,
    /// Whether the recorder was ended before it.
    left: bool,
}

/// Evidence that stays beside the ledger for [`Ledger::recover`](crate::Ledger::recover).
#[derive(Debug)]
pub struct Left {
    /// The first of its files.
    pub file: PathBuf,
    /// Why its end is not in them.
    pub problem: Option<io::Error>,
}

/// Files that were saved, and may lie in a cache yet.
#[derive(Debug)]
pub struct Saved(Vec<File>);

impl Saved {
    /// Waits until they are durable.
    ///
    /// # Errors
    /// If one of them cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.0.iter().try_for_each(File::sync_data)
    }
}

impl Ledger {
    /// Begins to record evidence of a class. With a run and a key, the evidence is kept for [`Self::recover`] beside a
    /// ledger that is a file. Begin before the run is started: from here on [`Self::recover`] refuses the run, until the
    /// recording is put or dropped.
    ///
    /// # Errors
    /// [`Error::NoRecipient`] for sealed evidence in a ledger that has none; [`Error::BeingRecorded`] if somebody records
    /// this already; [`Error::RunExists`] if the run was recorded before and is to be recovered; [`Error::SecretName`] for a
    /// run whose id has a secret in it; as [`Self::redactor`]; [`Error::Io`].
    pub fn record(&self, class: EvidenceClass, under: Option<(&str, &str)>) -> Result<Recording> {
        let recipients = match class {
            EvidenceClass::Public => None,
            EvidenceClass::Sealed => Some(self.recipients()?.ok_or(Error::NoRecipient)?),
        };
        let gate = self.gate()?;
        // Both are written into a file here, and only later into the ledger.
        let under = under.map(|(run, key)| Ok::<_, Error>((gate.name("the run's id", run)?, gate.text(key))));
        let under = under.transpose()?;
        let under = under.as_ref().map(|(run, key)| (&***run, key.as_str()));
        let files = SpoolFiles::new(self, under, recipients.is_some())?;
        let redactor = gate.redactor().stream();
        let (ready, pieces) = (Vec::new(), Vec::new());
        Ok(Recording { redactor, ready, recipients, pieces, files, came: [0; 3], is_cut: false })
    }
}

impl Recording {
    /// Takes the next piece. After an error nothing more is taken, and [`Self::cut`] gives the evidence up to there.
    ///
    /// # Errors
    /// If the file cannot be written, or the machine has no randomness.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.is_cut {
            return Err(cut());
        }
        self.came[0] += piece.len() as u64;
        self.redactor.push(piece, &mut self.ready);
        let written = self.write_segments();
        self.is_cut = written.is_err();
        written
    }

    fn write_segments(&mut self) -> io::Result<()> {
        while let Some(segment) = self.ready.get(..SEGMENT) {
            let (frame, bytes) = framed(segment, self.recipients.as_ref())?;
            let at = self.files.append(&frame, &bytes)?;
            self.pieces.push(Piece { frame, lies: Lies::File(at) });
            self.ready.drain(..SEGMENT);
        }
        Ok(())
    }

    /// Saves the evidence so far. A last line that is still growing is left for the next time: half of a secret is not
    /// known for one.
    ///
    /// # Errors
    /// As [`Self::push`]; nothing is lost by that, and the next save tries again.
    pub fn save(&mut self) -> io::Result<Option<Saved>> {
        let [came, saved, whole] = self.came;
        if came == whole || !self.files.is_named() {
            return Ok(None);
        }
        let mut text = self.ready.clone();
        self.redactor.clone().finish(&mut text);
        let is_whole = came == saved;
        if !is_whole {
            text.truncate(lines(&text));
        }
        let (frame, bytes) = framed(&text, self.recipients.as_ref())?;
        let files = self.files.save(self.pieces.len() as u64, &frame, &bytes)?;
        self.came = [came, came, if is_whole { came } else { whole }];
        Ok(Some(Saved(files)))
    }

    /// The whole, ready to be put on record.
    ///
    /// # Errors
    /// If a piece was not taken, so that this is not the whole: see [`Self::cut`].
    pub fn finish(mut self) -> io::Result<Recorded> {
        if self.is_cut {
            return Err(cut());
        }
        let report = self.redactor.clone().finish(&mut self.ready);
        Ok(self.into_recorded(report))
    }

    /// The evidence up to a piece that could not be taken, ready to be put on record: whole lines, as half of a secret is not
    /// known for one.
    pub fn cut(mut self) -> Recorded {
        let certain = self.ready.len();
        let report = self.redactor.clone().finish(&mut self.ready);
        self.ready.truncate(lines(&self.ready).max(certain));
        self.into_recorded(report)
    }

    fn into_recorded(mut self, report: Report) -> Recorded {
        let segments = self.pieces.len();
        // A segment that cannot be written is put from memory with the rest.
        let _ = self.write_segments();
        let is_saved = self.came[0] == self.came[2] && self.pieces.len() == segments;
        let Self { ready, recipients, pieces, files, .. } = self;
        let last = (!ready.is_empty() || pieces.is_empty()).then_some(ready);
        let mut recorded = Recorded { pieces, last, taken: 0, recipients, report, files, is_saved, left: false };
        // So that nothing is lost if this process ends before all of it is on record, or the disk has no room for that.
        let _ = recorded.save();
        recorded
    }
}

fn cut() -> io::Error {
    io::Error::other("an earlier piece could not be kept")
}

/// How long the whole lines of a text are.
fn lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Bytes as they will lie in the ledger, and their frame.
fn framed(bytes: &[u8], recipients: Option<&Recipients>) -> io::Result<(Frame, Vec<u8>)> {
    let source = match recipients {
        Some(recipients) => Source::encrypted(bytes, Report::default(), recipients).map_err(io::Error::other)?,
        None => Source::plain(bytes.into(), Report::default()),
    };
    let names = recipients.map(|recipients| recipients.names().to_vec()).unwrap_or_default();
    let frame = Frame { stored: source.len, plain: bytes.len() as u64, hash: source.hash, recipients: names };
    Ok((frame, source.into_bytes()?))
}

impl Recorded {
    /// The evidence of a recorder that was ended.
    pub(super) fn left(pieces: Vec<Piece>, last: Option<Vec<u8>>, files: SpoolFiles) -> Self {
        let (recipients, report) = (None, Report::default());
        Self { pieces, last, taken: 0, recipients, report, files, is_saved: true, left: true }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.frame.plain).sum::<u64>() + self.last.as_ref().map_or(0, Vec::len) as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why not all of it was looked into for secrets.
    pub fn unscanned(&self) -> Option<&'static str> {
        self.report.scanned.why()
    }

    /// Removes the files of evidence that is on record, or that nobody wants.
    pub fn discard(mut self) {
        self.files.remove();
    }

    /// Leaves evidence that could not be put on record for [`Ledger::recover`](crate::Ledger::recover). `None` if no file holds
    /// any of it.
    pub fn leave(mut self) -> Option<Left> {
        let problem = self.save().and_then(|()| self.files.sync()).err();
        if let Some(file) = self.files.left(self.pieces.len() as u64) {
            return Some(Left { file: file.to_owned(), problem });
        }
        self.discard();
        None
    }

    /// Writes the bytes after the last segment into a file, if they are in none.
    fn save(&mut self) -> io::Result<()> {
        if !self.is_saved && self.files.is_named() {
            let (frame, bytes) = framed(self.last.as_deref().unwrap_or_default(), self.recipients.as_ref())?;
            self.files.save(self.pieces.len() as u64, &frame, &bytes)?;
        }
        self.is_saved = true;
        Ok(())
    }

    /// The next of its parts. Nothing is taken out: after a put that failed all of it can still be left, or put again.
    fn next_part(&mut self) -> io::Result<Option<Lying>> {
        let mut plain = Vec::new();
        while (plain.len() as u64) < PART {
            let Some(piece) = self.pieces.get(self.taken) else { break };
            let bytes = self.files.read(piece)?;
            self.taken += 1;
            let Frame { plain: len, recipients, .. } = &piece.frame;
            if !recipients.is_empty() {
                return Ok(Some(Lying { bytes, len: *len, recipients: recipients.clone() }));
            }
            plain.extend(bytes);
        }
        let mut is_last = false;
        if (plain.len() as u64) < PART
            && self.taken == self.pieces.len()
            && let Some(last) = &self.last
        {
            self.taken += 1;
            if let Some(recipients) = &self.recipients {
                let (frame, bytes) = framed(last, Some(recipients))?;
                return Ok(Some(Lying { bytes, len: frame.plain, recipients: frame.recipients }));
            }
            plain.extend_from_slice(last);
            is_last = true;
        }
        let len = plain.len() as u64;
        Ok((is_last || len > 0).then_some(Lying { bytes: plain, len, recipients: Vec::new() }))
    }
}

/// Bytes as they will lie in the ledger, how many bytes of evidence are in them, and to whom they are encrypted.
struct Lying {
    bytes: Vec<u8>,
    len: u64,
    recipients: Vec<String>,
}

impl RunWriter {
    /// Puts recorded evidence under a key; if it is large in parts, each under a key of its own (`KEY.part-0001`), and a list
    /// of them under the key itself. `done` is given each of them as soon as it is on record. Public evidence of a `left`
    /// recording goes through the redaction once more.
    ///
    /// # Errors
    /// As [`Self::put`]; [`Error::Io`] if a file of the recording cannot be read. The parts that `done` was given stay on
    /// record.
    pub fn put_recorded(
        &mut self,
        key: &str,
        recorded: &mut Recorded,
        put: Put,
        done: &mut dyn FnMut(Part),
    ) -> Result<()> {
        let key = &*self.gate.text(key);
        let unread = |source| Error::Io { path: format!("what was kept of {key}").into(), source };
        recorded.taken = 0;
        let report = recorded.report.clone();
        let Some(first) = recorded.next_part().map_err(unread)? else { return Ok(()) };
        let mut next = recorded.next_part().map_err(unread)?;
        if next.is_none() {
            let len = first.len;
            let source = self.source(first, recorded.left);
            let source = if recorded.left { source } else { source.with_report(report) };
            let len = if source.is_sealed() { len } else { source.len };
            let record = self.put_source(key, source, put)?;
            done(Part { key: key.to_owned(), record, len });
            return Ok(());
        }
        let (mut named, mut whole): (Vec<Value>, u64) = (Vec::new(), 0);
        let is_sealed = !first.recipients.is_empty();
        let mut part = Some(first);
        while let Some(lying) = part {
            let key = format!("{key}.part-{:04}", named.len() + 1);
            let len = lying.len;
            let record = self.put_source(&key, self.source(lying, recorded.left), put.clone())?;
            // A second redaction may have changed how long it is; how long sealed evidence is, only its frame says.
            whole += if is_sealed { len } else { record.bytes_len };
            named.push(record.to_part().into());
            done(Part { key, len: record.bytes_len, record });
            part = next.take();
            next = recorded.next_part().map_err(unread)?;
        }
        let manifest = Object::from_iter([("parts", Value::Array(named)), ("bytes_len", Value::from(whole))]);
        let manifest = canonical::to_bytes(&manifest.into(), Limits::WRITE)?;
        // The list holds nothing of the parts' evidence, and so is public; the redactions in all of them are said here, once.
        let of_parts = Put { content_type: PARTS_TYPE.to_owned(), class: EvidenceClass::Public, ..put };
        let source = Source::plain(manifest.into(), report).about_sealed(is_sealed);
        let record = self.put_source(key, source, of_parts)?;
        done(Part { key: key.to_owned(), record, len: whole });
        Ok(())
    }

    /// The evidence of an earlier recorder goes through the redaction once more, and so do the names of its recipients: they
    /// lay in a file that anybody could edit.
    fn source(&self, lying: Lying, left: bool) -> Source<'static> {
        let Lying { bytes, recipients, .. } = lying;
        if !recipients.is_empty() {
            let cleaned = |name: String| if left { self.gate.text(&name).into_inner() } else { name };
            return Source::ciphertext(bytes, recipients.into_iter().map(cleaned).collect());
        }
        if !left {
            return Source::plain(bytes.into(), Report::default());
        }
        let (bytes, report) = self.gate.redactor().redact(&bytes);
        Source::plain(bytes.into_owned().into(), report)
    }

    /// Puts on record the evidence that was coming in when the recorder of this run was ended.
    pub(crate) fn take_in_what_was_left(&mut self) -> Result<()> {
        let left = spoolfile::left(&self.ledger, self.run_id.as_str())?;
        left.into_iter().try_for_each(|(key, sealed, recorded)| self.take_in(&key, sealed, recorded))
    }

    /// Puts a recording that was left under its key, if nothing is on record under it, and removes its files.
    fn take_in(&mut self, key: &str, sealed: bool, mut recorded: Recorded) -> Result<()> {
        let key = &*self.gate.text(key);
        let snapshot = self.ledger.snapshot(self.run_id.as_str(), &[])?;
        let mut puts = snapshot.of_type(EventType::EvidencePut);
        if puts.all(|put| put.payload.get("key").and_then(Value::as_str) != Some(key)) {
            let class = if sealed { EvidenceClass::Sealed } else { EvidenceClass::Public };
            let meta = Object::from_iter([("interrupted", Value::from(true))]);
            let put = Put { meta, ..Put::of_type("application/octet-stream") }.of_kind("tool:output").of_class(class);
            self.put_recorded(key, &mut recorded, put, &mut |_| {})?;
        }
        recorded.discard();
        Ok(())
    }
}
