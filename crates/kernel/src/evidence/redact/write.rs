//! Data written with its secrets replaced, and the report of it.

use super::encoding::Encoding;
use super::merge::{Extract, Group, Settled, Then};
use super::sniff::{self, Census, Scanned};
use super::{Allowed, Hit, Redactor, Report, withheld};
use std::sync::Arc;

/// Where redacted data goes.
pub(super) trait Sink {
    /// The next bytes of the data, as they are.
    fn same(&mut self, bytes: &[u8]);
    /// Bytes in the place of others.
    fn other(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn same(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn other(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A place in the data, in characters and in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    characters: u64,
    bytes: u64,
}

/// Writes data with its secrets replaced, and counts where it is.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    redactor: Redactor,
    encoding: Encoding,
    /// Up to where all is written or replaced.
    at: Place,
    /// Where the group began whose first part is past, if one has.
    began: Option<Place>,
    census: Census,
    packed: Option<&'static str>,
    noticed: bool,
    report: Report,
}

impl Writer {
    pub(super) fn new(redactor: Redactor, encoding: Encoding) -> Self {
        let report = Report { rules: Arc::clone(&redactor.digest), ..Report::default() };
        let (at, began, census) = (Place::default(), None, Census::default());
        Self { redactor, encoding, at, began, census, packed: None, noticed: false, report }
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

    /// The report. If the redaction `failed`, it says so.
    pub(super) fn finish(mut self, failed: bool) -> Report {
        if failed {
            withheld::note(&mut self.report);
            return self.report;
        }
        let binary = self.census.is_binary().then_some("binary");
        if let Some(why) = self.packed.or(binary) {
            self.report.scanned = Scanned::Unscanned(why);
        }
        self.report
    }

    /// Writes what is settled of the data, from where the last call ended.
    pub(super) fn write(&mut self, data: Extract<'_>, settled: &Settled, out: &mut dyn Sink) {
        for group in &settled.groups {
            let began = self.begin(data, group.start, out);
            let bytes = self.pass(data, group.end);
            self.began = None;
            self.put(group, began, bytes, out);
        }
        match settled.open {
            Some(start) => {
                self.began = Some(self.begin(data, start, out));
                self.pass(data, settled.upto);
            }
            None => out.same(self.pass(data, settled.upto)),
        }
    }

    /// Writes what stands before a group, unless the group has begun already.
    fn begin(&mut self, data: Extract<'_>, start: u64, out: &mut dyn Sink) -> Place {
        if let Some(began) = self.began {
            return began;
        }
        out.same(self.pass(data, start));
        self.at
    }

    /// Writes what stands in the place of a group, of which `bytes` are the last that were passed.
    fn put(&mut self, group: &Group, began: Place, bytes: &[u8], out: &mut dyn Sink) {
        let (offset, byte_offset) = (began.characters, began.bytes);
        let (length, byte_length) = (self.at.characters - offset, self.at.bytes - byte_offset);
        let (id, replacement) = self.redactor.rule(group.rule);
        let (pattern_name, replacement) = (Arc::clone(id), Arc::clone(replacement));
        if let Then::Kept(allow) = group.then {
            out.same(bytes);
            let allow = self.redactor.allow(allow);
            return self.report.allow(Allowed { pattern_name, allow, offset, length });
        }
        let mut text = Vec::with_capacity(replacement.len() * self.encoding.unit());
        group.then.write(&replacement, self.encoding, &mut text);
        out.other(&text);
        self.report.hit(Hit { pattern_name, offset, length, byte_offset, byte_length, replacement });
    }

    /// Goes on to a place, and gives what lies between.
    fn pass<'d>(&mut self, data: Extract<'d>, to: u64) -> &'d [u8] {
        let bytes = data.between(self.at.bytes, to);
        let mark = self.at.bytes == 0 && self.encoding.is_marked(bytes);
        self.at.characters += self.encoding.characters(bytes) - u64::from(mark);
        self.at.bytes += bytes.len() as u64;
        bytes
    }
}
