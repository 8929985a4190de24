//! A stream on its way into a run: redacted as it comes, put on record in parts.

use receipt_kernel::write::{Left, Part, Recorded, Recording, Saved};
use receipt_kernel::{EvidenceClass, Ledger, Object, Put, RunWriter, Value};
use std::io;

/// A stream that is being recorded.
#[derive(Debug)]
pub(super) struct Keep {
    recording: Recording,
    /// Why nothing more is kept.
    cut: Option<io::Error>,
    text: Utf8,
}

impl Keep {
    /// A stream of nothing yet, kept, redacted and sealed as this ledger has it. With a run and a key it is kept for
    /// `receipt recover`, which refuses the run from here on.
    pub(super) fn new(
        ledger: &Ledger,
        class: EvidenceClass,
        under: Option<(&str, &str)>,
    ) -> receipt_kernel::Result<Self> {
        Ok(Self { recording: ledger.record(class, under)?, cut: None, text: Utf8::default() })
    }

    /// Takes the next piece. If one cannot be kept, the stream is kept up to there and still shown to its end.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.cut.is_none() {
            self.text.push(piece);
            self.cut = self.recording.push(piece).err();
        }
    }

    /// Saves the stream so far. If that cannot be done the recording goes on: it is for the case that this process ends.
    pub(super) fn save(&mut self) -> Option<Saved> {
        self.recording.save().ok()?
    }

    /// Ends the stream.
    pub(super) fn finish(self) -> io::Result<Kept> {
        let Self { recording, cut, text } = self;
        let recorded = if cut.is_some() { recording.cut() } else { recording.finish()? };
        Ok(Kept { recorded, cut, is_text: text.is_valid() })
    }
}

/// A stream that has ended, ready to be put on record.
#[derive(Debug)]
pub(super) struct Kept {
    recorded: Recorded,
    /// Why the stream goes on after the part of it that was kept.
    pub(super) cut: Option<io::Error>,
    is_text: bool,
}

/// `{"key", "ref", "sha256", "content_type", "bytes_len", "evidence_class"}`
pub(super) fn item(part: &Part) -> Value {
    let mut object = part.record.to_object();
    object.insert("key", part.key.as_str());
    object.into()
}

impl Kept {
    /// Puts it under a key; if it is larger than one part, in parts, and a list of them under the key. Beside evidence that
    /// ends before its stream does stands `"interrupted": true`.
    pub(super) fn put(
        &mut self,
        writer: &mut RunWriter,
        key: &str,
        (kind, class): (Option<&str>, EvidenceClass),
        items: &mut Vec<Part>,
    ) -> receipt_kernel::Result<()> {
        let meta = self.cut.iter().map(|_| ("interrupted", Value::from(true))).collect();
        let put = Put { kind: kind.map(str::to_owned), meta, ..Put::of_type(self.content_type()) }.of_class(class);
        writer.put_recorded(key, &mut self.recorded, put, &mut |part| items.push(part))
    }

    /// Removes the files that were kept for `receipt recover`: the stream is on record.
    pub(super) fn discard(self) {
        self.recorded.discard();
    }

    /// Leaves those files to `receipt recover`: the stream could not be put on record. `None` if they hold nothing of it.
    pub(super) fn leave(self) -> Option<Left> {
        self.recorded.leave()
    }

    /// Why not all of it was looked into for secrets.
    pub(super) fn unscanned(&self) -> Option<&'static str> {
        self.recorded.unscanned()
    }

    fn content_type(&self) -> &'static str {
        if self.is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" }
    }
}

/// JSON as it is put on record.
pub(super) fn json_bytes(object: Object) -> receipt_kernel::Result<Vec<u8>> {
    use receipt_kernel::core::{canonical, json::Limits};
    Ok(canonical::to_bytes(&object.into(), Limits::WRITE)?)
}

/// Whether a stream that comes in pieces is UTF-8.
#[derive(Debug, Default)]
struct Utf8 {
    broken: bool,
    /// The beginning of a character whose rest is in the next piece.
    open: Vec<u8>,
}

impl Utf8 {
    fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let (false, false, Some((first, more))) = (self.broken, self.open.is_empty(), rest.split_first()) {
            self.open.push(*first);
            rest = more;
            self.settle_open();
        }
        if self.broken {
            return;
        }
        if let Err(error) = std::str::from_utf8(rest) {
            self.broken = error.error_len().is_some();
            self.open = rest.get(error.valid_up_to()..).unwrap_or_default().to_vec();
        }
    }

    fn settle_open(&mut self) {
        match std::str::from_utf8(&self.open) {
            Ok(_) => self.open.clear(),
            Err(error) => self.broken = error.error_len().is_some(),
        }
    }

    fn is_valid(&self) -> bool {
        !self.broken && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_utf8(pieces: &[&[u8]]) -> bool {
        let mut text = Utf8::default();
        for piece in pieces {
            text.push(piece);
        }
        text.is_valid()
    }

    #[test]
    fn utf8_is_told_whatever_the_pieces() {
        let euro = "a€b".as_bytes();
        for cut in 0..=euro.len() {
            for second in cut..=euro.len() {
                assert!(is_utf8(&[&euro[..cut], &euro[cut..second], &euro[second..]]));
            }
        }
        assert!(!is_utf8(&[&euro[..2]]));
        assert!(!is_utf8(&[&euro[..2], b"x"]));
        assert!(!is_utf8(&[b"\xff"]));
        assert!(!is_utf8(&[b"ok", b"\xff", b"ok"]));
    }
}
