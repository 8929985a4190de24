//! Data written with its secrets replaced, and the report of it.

use super::encoding::Encoding;
use super::merge::{Group, Then};
use super::sniff::{self, Census, Scanned};
use super::{Allowed, Hit, Redactor, Report};
use std::sync::Arc;

/// Writes data with its secrets replaced, and counts where it is.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    redactor: Redactor,
    pub(super) encoding: Encoding,
    characters: u64,
    bytes: u64,
    census: Census,
    packed: Option<&'static str>,
    noticed: bool,
    report: Report,
}

impl Writer {
    pub(super) fn new(redactor: Redactor, encoding: Encoding) -> Self {
        let report = Report { rules: Arc::clone(&redactor.digest), ..Report::default() };
        let census = Census::default();
        Self { redactor, encoding, characters: 0, bytes: 0, census, packed: None, noticed: false, report }
    }

    /// Looks at what kind of data it is; the first piece has the beginning.
    pub(super) fn notice(&mut self, data: &[u8]) {
        if !self.noticed {
            self.noticed = true;
            self.packed = sniff::packed(&data[..data.len().min(sniff::HEAD)]);
        }
        if self.encoding == Encoding::Bytes {
            self.census.count(data);
        }
    }

    pub(super) fn finish(mut self) -> Report {
        let binary = self.census.is_binary().then_some("binary");
        if let Some(why) = self.packed.or(binary) {
            self.report.scanned = Scanned::Unscanned(why);
        }
        self.report
    }

    /// Writes `data[from..to]`, in which all of `groups` lie.
    pub(super) fn write(&mut self, data: &[u8], from: usize, to: usize, groups: &[Group], out: &mut Vec<u8>) {
        let mut at = from;
        for group in groups {
            out.extend_from_slice(&data[at..group.start]);
            self.pass(&data[at..group.start]);
            let (offset, byte_offset) = (self.characters, self.bytes);
            self.pass(&data[group.start..group.end]);
            let (length, byte_length) = (self.characters - offset, self.bytes - byte_offset);
            let (id, replacement) = self.redactor.rule(group.rule);
            let (pattern_name, replacement) = (Arc::clone(id), Arc::clone(replacement));
            at = group.end;
            match &group.then {
                Then::Kept(allow) => {
                    out.extend_from_slice(&data[group.start..group.end]);
                    let allow = self.redactor.allow(*allow);
                    self.report.allow(Allowed { pattern_name, allow, offset, length });
                    continue;
                }
                Then::Encoded(bytes) => out.extend_from_slice(bytes),
                then => {
                    if let Then::Quoted(from, to) = then {
                        out.extend_from_slice(&data[*from..*to]);
                    }
                    self.encoding.write(&replacement, out);
                    match then {
                        Then::Again(from, to) | Then::Quoted(from, to) => out.extend_from_slice(&data[*from..*to]),
                        Then::Text(close) => self.encoding.write(close, out),
                        _ => {}
                    }
                }
            }
            self.report.hit(Hit { pattern_name, offset, length, byte_offset, byte_length, replacement });
        }
        out.extend_from_slice(&data[at..to]);
        self.pass(&data[at..to]);
    }

    fn pass(&mut self, data: &[u8]) {
        let mark = self.bytes == 0 && self.encoding.is_marked(data);
        self.characters += self.encoding.characters(data) - u64::from(mark);
        self.bytes += data.len() as u64;
    }
}
