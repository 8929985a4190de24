//! Evidence that comes in while something runs: kept as it comes, so that an end of this process loses next to nothing of it.
//!
//! What is redacted and, of class sealed, encrypted is written into a file beside the ledger, a segment after the other.
//! What is in work yet (at most a segment and what the redaction looks at) is written whenever [`Recording::save`] is
//! called, into one of two files in turn, so that one of them is whole whenever the machine stops. The files are gone when
//! what they hold is on record; [`Ledger::recover`](crate::Ledger::recover) takes in those of a run whose recorder was ended.

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
use std::collections::VecDeque;
use std::fs::File;
use std::io;

/// How much is written, and encrypted, at once.
pub(super) const SEGMENT: usize = 1 << 20;
/// The largest evidence that is put in one piece. SQLite lays out a whole row in memory, more than once, so that this and
/// not the stream sets how much memory a recording takes.
const PART: u64 = 4 << 20;

/// Evidence that is coming in.
#[derive(Debug)]
pub struct Recording {
    redactor: StreamRedactor,
    /// What is redacted and in no segment yet.
    ready: Vec<u8>,
    recipients: Option<Recipients>,
    pieces: Vec<Piece>,
    files: SpoolFiles,
    /// How much has come, how much had when it was last saved, and when that was all of it.
    came: [u64; 3],
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
    pieces: VecDeque<Piece>,
    /// What is in no segment; none only where a segment is the last.
    last: Option<Vec<u8>>,
    recipients: Option<Recipients>,
    report: Report,
    files: SpoolFiles,
    /// Whether the recorder was ended before it.
    left: bool,
}

/// What was saved and may lie in a cache yet.
#[derive(Debug)]
pub struct Saved(Vec<File>);

impl Saved {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        self.0.iter().try_for_each(File::sync_data)
    }
}

impl Ledger {
    /// Begins to record evidence of a class. With a run and a key, what comes is kept for [`Self::recover`] beside a
    /// ledger that is a file.
    ///
    /// # Errors
    /// [`Error::NoRecipient`] for sealed evidence in a ledger that has none; as [`Self::redactor`]; [`Error::Io`].
    pub fn record(&self, class: EvidenceClass, under: Option<(&str, &str)>) -> Result<Recording> {
        let recipients = match class {
            EvidenceClass::Public => None,
            EvidenceClass::Sealed => Some(self.recipients()?.ok_or(Error::NoRecipient)?),
        };
        let files = SpoolFiles::new(self, under, recipients.is_some());
        let redactor = self.redactor()?.stream();
        Ok(Recording { redactor, ready: Vec::new(), recipients, pieces: Vec::new(), files, came: [0; 3] })
    }
}

impl Recording {
    /// The next piece.
    ///
    /// # Errors
    /// Where the file cannot be written, or the machine has no randomness.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.came[0] += piece.len() as u64;
        self.redactor.push(piece, &mut self.ready);
        self.write_segments()
    }

    fn write_segments(&mut self) -> io::Result<()> {
        while self.ready.len() >= SEGMENT {
            let rest = self.ready.split_off(SEGMENT);
            let segment = std::mem::replace(&mut self.ready, rest);
            let (frame, bytes) = framed(&segment, self.recipients.as_ref())?;
            let at = self.files.append(&frame, &bytes)?;
            self.pieces.push(Piece { frame, lies: Lies::File(at) });
        }
        Ok(())
    }

    /// Saves what has come so far. A last line that is still growing is left for the next time: half of a secret is not
    /// known for one.
    ///
    /// # Errors
    /// As [`Self::push`]; what has come is not lost by that.
    pub fn save(&mut self) -> io::Result<Option<Saved>> {
        let [came, saved, whole] = self.came;
        if came == whole || !self.files.is_named() {
            return Ok(None);
        }
        let mut text = self.ready.clone();
        self.redactor.clone().finish(&mut text);
        self.came[1] = came;
        if came == saved {
            self.came[2] = came;
        } else {
            text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        }
        let (frame, bytes) = framed(&text, self.recipients.as_ref())?;
        self.files.save(self.pieces.len() as u64, &frame, &bytes).map(|files| Some(Saved(files)))
    }

    /// The whole, ready to be put on record.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> io::Result<Recorded> {
        let report = self.redactor.clone().finish(&mut self.ready);
        self.write_segments()?;
        let Self { ready, recipients, pieces, files, .. } = self;
        let last = (!ready.is_empty() || pieces.is_empty()).then_some(ready);
        Ok(Recorded { pieces: pieces.into(), last, recipients, report, files, left: false })
    }
}

/// Bytes as they will lie in the ledger, and what is said of them.
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
    /// What was left by a recorder that was ended.
    pub(super) fn left(pieces: Vec<Piece>, last: Option<Vec<u8>>, files: SpoolFiles) -> Self {
        let (recipients, report) = (None, Report::default());
        Self { pieces: pieces.into(), last, recipients, report, files, left: true }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.frame.plain).sum::<u64>() + self.last.as_ref().map_or(0, Vec::len) as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the files that it lay in: it is on record, or nobody wants it.
    pub fn discard(self) {
        self.files.remove();
    }

    /// The next of its parts; the segments are taken from it.
    fn next_part(&mut self) -> io::Result<Option<Lying>> {
        let mut plain = Vec::new();
        while (plain.len() as u64) < PART {
            let Some(piece) = self.pieces.pop_front() else { break };
            let bytes = self.files.read(&piece)?;
            if !piece.frame.recipients.is_empty() {
                return Ok(Some(Lying { bytes, recipients: piece.frame.recipients }));
            }
            plain.extend(bytes);
        }
        if (plain.len() as u64) < PART
            && let Some(last) = self.last.take()
        {
            if let Some(recipients) = &self.recipients {
                let (frame, bytes) = framed(&last, Some(recipients))?;
                return Ok(Some(Lying { bytes, recipients: frame.recipients }));
            }
            plain.extend(last);
            return Ok(Some(Lying { bytes: plain, recipients: Vec::new() }));
        }
        Ok((!plain.is_empty()).then_some(Lying { bytes: plain, recipients: Vec::new() }))
    }
}

/// Bytes as they will lie in the ledger, and to whom they are encrypted.
struct Lying {
    bytes: Vec<u8>,
    recipients: Vec<String>,
}

impl RunWriter {
    /// Puts what was recorded under a key; if it is large in parts, each under a key of its own (`KEY.part-0001`), and under
    /// the key itself what names them. `done` is given what is on record as soon as it is. Public evidence of a `left`
    /// recording goes through the redaction once more.
    ///
    /// # Errors
    /// As [`Self::put`]; [`Error::Io`] if what was kept cannot be read. What `done` was given stays on record.
    pub fn put_recorded(
        &mut self,
        key: &str,
        recorded: &mut Recorded,
        put: Put,
        done: &mut dyn FnMut(Part),
    ) -> Result<()> {
        let unread = |source| Error::Io { path: format!("what was kept of {key}").into(), source };
        let (whole, report) = (recorded.len(), std::mem::take(&mut recorded.report));
        let Some(first) = recorded.next_part().map_err(unread)? else { return Ok(()) };
        let mut next = recorded.next_part().map_err(unread)?;
        if next.is_none() {
            let source = self.source(first, recorded.left);
            let source = if recorded.left { source } else { source.with_report(report) };
            let record = self.put_source(key, source, put)?;
            done(Part { key: key.to_owned(), record, len: whole });
            return Ok(());
        }
        let mut named: Vec<Value> = Vec::new();
        let is_sealed = !first.recipients.is_empty();
        let mut part = Some(first);
        while let Some(lying) = part {
            let key = format!("{key}.part-{:04}", named.len() + 1);
            let record = self.put_source(&key, self.source(lying, recorded.left), put.clone())?;
            named.push(record.to_part().into());
            done(Part { key, len: record.bytes_len, record });
            part = next.take();
            next = recorded.next_part().map_err(unread)?;
        }
        let manifest = Object::from_iter([("parts", Value::Array(named)), ("bytes_len", Value::from(whole))]);
        let manifest = canonical::to_bytes(&manifest.into(), Limits::WRITE)?;
        // What names the parts says nothing of what is in them; but what was redacted in them is said here, once.
        let of_parts = Put { content_type: PARTS_TYPE.to_owned(), class: EvidenceClass::Public, ..put };
        let source = Source::plain(manifest.into(), report).about_sealed(is_sealed);
        let record = self.put_source(key, source, of_parts)?;
        done(Part { key: key.to_owned(), record, len: whole });
        Ok(())
    }

    /// What is left of an earlier recorder goes through the redaction once more: it lay in a file that anybody could edit.
    fn source(&self, lying: Lying, left: bool) -> Source<'static> {
        let Lying { bytes, recipients } = lying;
        if !recipients.is_empty() {
            return Source::ciphertext(bytes, recipients);
        }
        if !left {
            return Source::plain(bytes.into(), Report::default());
        }
        let (bytes, report) = self.gate.redactor().redact(&bytes);
        Source::plain(bytes.into_owned().into(), report)
    }

    /// Puts on record what was coming in when the recorder of this run was ended.
    pub(crate) fn take_in_what_was_left(&mut self) -> Result<()> {
        let left = spoolfile::left(&self.ledger, self.run_id.as_str())?;
        left.into_iter().try_for_each(|(key, sealed, recorded)| self.take_in(&key, sealed, recorded))
    }

    /// Under a key, if that is not on record.
    fn take_in(&mut self, key: &str, sealed: bool, mut recorded: Recorded) -> Result<()> {
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
