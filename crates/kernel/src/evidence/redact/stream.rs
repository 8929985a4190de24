//! Redaction of data that comes in pieces, in bounded memory.

use super::encoding::Encoding;
use super::engine::HISTORY;
use super::write::Writer;
use super::{Redactor, Report, base64};

/// How much is gathered before it is scanned, and how much of that is scanned again with what follows.
const WINDOW: usize = 1 << 20;
const OVERLAP: usize = 64 << 10;

/// Redacts data that comes in pieces, in bounded memory.
///
/// However the data is cut, the output is that of [`Redactor::redact`], as long as no secret with its name in front
/// is longer than 64 KiB.
#[derive(Clone, Debug)]
pub struct StreamRedactor {
    redactor: Redactor,
    /// What is not written yet, after a little of what is.
    buffer: Vec<u8>,
    /// Where in the buffer what is not written begins.
    from: usize,
    /// There once the encoding is known.
    writer: Option<Writer>,
}

impl StreamRedactor {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, buffer: Vec::new(), from: 0, writer: None }
    }

    /// Takes the next piece, and appends to `out` what can be written by now.
    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while !chunk.is_empty() {
            let room = (self.from + WINDOW).saturating_sub(self.buffer.len());
            let (now, later) = chunk.split_at(chunk.len().min(room));
            self.buffer.extend_from_slice(now);
            chunk = later;
            if self.buffer.len() >= self.from + WINDOW {
                self.settle(false, out);
            }
        }
    }

    /// Appends the rest to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        self.settle(true, out);
        self.writer.map(Writer::finish).unwrap_or_default()
    }

    /// Writes all of the buffer, or all but the last part, in which a secret may have only begun.
    fn settle(&mut self, all: bool, out: &mut Vec<u8>) {
        let (data, from) = (&self.buffer, self.from);
        let writer = self.writer.get_or_insert_with(|| Writer::new(self.redactor.clone(), Encoding::of(data)));
        let mut groups = self.redactor.groups(data, writer.encoding, from);
        let mut cut = data.len();
        if !all {
            cut = writer.encoding.boundary(data, cut - OVERLAP);
            while let Some(group) = groups.iter().rev().find(|group| group.head < cut && cut < group.end) {
                cut = group.head;
            }
            if cut <= from {
                // One secret fills the window.
                cut = data.len();
            }
            groups.retain(|group| group.end <= cut && group.head < cut);
        }
        writer.notice(&data[from..cut]);
        writer.write(data, from, cut, &groups, out);
        let keep = writer.encoding.boundary(data, cut.saturating_sub(HISTORY));
        // Base64 goes on where four of its characters belong together.
        let keep = keep - base64::before(data, keep) % 4;
        self.buffer.drain(..keep);
        self.from = cut - keep;
    }
}
