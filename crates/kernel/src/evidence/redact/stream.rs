//! Redaction of data that comes in pieces, in bounded memory.

use super::encoding::Encoding;
use super::flow::{Flow, Sizes};
use super::merge::Extract;
use super::write::Writer;
use super::{Redactor, Report, withheld};

/// Redacts data that comes in pieces, in bounded memory.
///
/// However the data is cut, the output and the report are those of [`Redactor::redact`].
#[derive(Clone, Debug)]
pub struct StreamRedactor {
    redactor: Redactor,
    sizes: Sizes,
    /// What is not written yet, and what is seen before it.
    buffer: Vec<u8>,
    /// Where in the data the buffer begins.
    base: u64,
    /// There once the encoding is known.
    work: Option<(Flow, Writer)>,
    /// Whether redaction failed: what came since then is withheld.
    failed: bool,
}

impl StreamRedactor {
    pub(super) fn new(redactor: Redactor, sizes: Sizes) -> Self {
        Self { redactor, sizes, buffer: Vec::new(), base: 0, work: None, failed: false }
    }

    /// Takes the next piece, and appends to `out` what can be written by now.
    pub fn push(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) {
        while !chunk.is_empty() && !self.failed {
            let (now, later) = chunk.split_at(chunk.len().min(self.room()));
            self.buffer.extend_from_slice(now);
            chunk = later;
            if self.room() == 0 {
                self.next(false, out);
            }
        }
    }

    /// Appends the rest to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Report {
        // What is there may be more than one window.
        while !self.failed && !self.is_done() {
            self.next(true, out);
        }
        let writer = self.work.map(|(_, writer)| writer);
        let writer = writer.unwrap_or_else(|| Writer::new(self.redactor, Encoding::Bytes));
        writer.finish(self.failed)
    }

    fn is_done(&self) -> bool {
        let end = self.base + self.buffer.len() as u64;
        self.work.as_ref().is_some_and(|(flow, _)| flow.from == end)
    }

    /// How many bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next window; if that fails, nothing of it and of what follows is written.
    fn next(&mut self, complete: bool, out: &mut Vec<u8>) {
        let written = out.len();
        if withheld::guarded(|| self.window(complete, out)).is_none() {
            out.truncate(written);
            out.extend_from_slice(withheld::TEXT.as_bytes());
            (self.failed, self.buffer) = (true, Vec::new());
        }
    }

    /// How much has to come before the next window is there, and something after it.
    fn room(&self) -> usize {
        let (from, encoding) = match &self.work {
            Some((flow, _)) => (flow.from, flow.encoding),
            None => (0, Encoding::of(&self.buffer)),
        };
        let there = (self.base + self.buffer.len() as u64).saturating_sub(from);
        (self.sizes.window(encoding) + 1).saturating_sub(usize::try_from(there).unwrap_or(usize::MAX))
    }

    /// Searches the next window, and writes what is settled by it.
    fn window(&mut self, complete: bool, out: &mut Vec<u8>) {
        let encoding = Encoding::of(&self.buffer);
        let (flow, writer) = self.work.get_or_insert_with(|| {
            let flow = Flow::new(self.redactor.clone(), encoding, self.sizes);
            (flow, Writer::new(self.redactor.clone(), encoding))
        });
        let data = Extract { base: self.base, bytes: &self.buffer, encoding: flow.encoding };
        let from = flow.from;
        let settled = flow.window(data, complete);
        writer.notice(data.between(from, flow.from));
        writer.write(data, &settled, out);
        let keep = flow.needs().min(settled.upto);
        let past = data.between(self.base, keep).len();
        self.buffer.drain(..past);
        self.base += past as u64;
    }
}
