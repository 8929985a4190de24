//! A stream on its way into a run: redacted as it comes, put on record in parts.

use receipt_kernel::write::{Part, Recorded, Recording, Saved};
use receipt_kernel::{EvidenceClass, Ledger, Object, Put, RunWriter, Value};
use std::io;

/// A stream that is being recorded.
#[derive(Debug)]
pub(super) struct Keep {
    recording: io::Result<Recording>,
    text: Utf8,
}

impl Keep {
    /// A stream of nothing yet, kept, redacted and sealed as this ledger has it. With a run and a key, what comes is kept for
    /// `receipt recover`.
    pub(super) fn new(
        ledger: &Ledger,
        class: EvidenceClass,
        under: Option<(&str, &str)>,
    ) -> receipt_kernel::Result<Self> {
        Ok(Self { recording: Ok(ledger.record(class, under)?), text: Utf8::default() })
    }

    /// The next piece. What cannot be kept is told at the end: until then the stream must go on.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.text.push(piece);
        if let Ok(recording) = &mut self.recording
            && let Err(error) = recording.push(piece)
        {
            self.recording = Err(error);
        }
    }

    /// Saves what has come so far. If that cannot be done the recording goes on: it is for the case that this process ends.
    pub(super) fn save(&mut self) -> Option<Saved> {
        self.recording.as_mut().ok()?.save().ok()?
    }

    /// The whole of it.
    pub(super) fn finish(self) -> io::Result<Kept> {
        Ok(Kept { recorded: self.recording?.finish()?, is_text: self.text.is_valid() })
    }
}

/// A stream that has ended, ready to be put on record.
#[derive(Debug)]
pub(super) struct Kept {
    recorded: Recorded,
    is_text: bool,
}

/// `{"key", "ref", "sha256", "content_type", "bytes_len", "evidence_class"}`
pub(super) fn item(part: &Part) -> Value {
    let mut object = part.record.to_object();
    object.insert("key", part.key.as_str());
    object.into()
}

impl Kept {
    /// Puts it under a key; in parts, and under the key what names them, where it is larger than one part.
    pub(super) fn put(
        &mut self,
        writer: &mut RunWriter,
        key: &str,
        (kind, class): (Option<&str>, EvidenceClass),
        items: &mut Vec<Part>,
    ) -> receipt_kernel::Result<()> {
        let put = Put { kind: kind.map(str::to_owned), ..Put::of_type(self.content_type()) }.of_class(class);
        writer.put_recorded(key, &mut self.recorded, put, &mut |part| items.push(part))
    }

    /// Forgets what was kept for `receipt recover`: the run has ended.
    pub(super) fn discard(self) {
        self.recorded.discard();
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
