//! Secrets that overlap become one group, replaced once: nothing of a reported secret is left, and nothing next to it is
//! lost.
//!
//! Secrets come in window by window. A group is closed when every secret that could still touch it is known; one that goes
//! on and on stays open, in memory that does not grow with it.

use super::base64::Encoded;
use super::encoding::{Encoding, narrow};
use std::cmp::Reverse;

/// Something that a rule found. Its places are those of the whole data.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where what gives it away begins.
    pub(super) head: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rule: usize,
    pub(super) what: What,
}

/// What is to be done with something that was found.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// It is replaced. `close` must follow it if another secret takes its end away; `until` says how it goes on if its
    /// end lies beyond what a rule looks at.
    Secret { close: Box<[u8]>, until: Option<Until> },
    /// It is replaced between these quotes: without them what is around it would not be JSON.
    Quoted(Box<[u8]>),
    /// It is replaced in an encoding. `close` is as that of a secret.
    Encoded { encoded: Box<Encoded>, close: Box<[u8]> },
    /// It stays because of this exception.
    Kept(usize),
}

/// Secrets that overlap, as one.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Where the first keyword begins, the one whose rule counts.
    pub(super) head: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rule: usize,
    pub(super) then: Then,
}

/// What is written in the place of a group.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// The replacement of its rule, and these bytes.
    Replacement(Box<[u8]>),
    /// The same between these quotes.
    Quoted(Box<[u8]>),
    /// The replacement in an encoding.
    Encoded(Box<Encoded>),
    /// The group as it is, because of this exception.
    Kept(usize),
}

impl Then {
    /// Writes what stands in the place of a group whose rule has this replacement.
    pub(super) fn write(&self, replacement: &str, encoding: Encoding, out: &mut Vec<u8>) {
        let (before, after): (&[u8], &[u8]) = match self {
            Self::Replacement(close) => (&[], close),
            Self::Quoted(quotes) => (quotes, quotes),
            Self::Encoded(encoded) => return encoded.write(replacement, out),
            Self::Kept(_) => return,
        };
        out.extend_from_slice(before);
        encoding.write(replacement, out);
        out.extend_from_slice(after);
    }
}

/// How far a secret goes on that is longer than a rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To white space or a quote.
    Word,
    /// To the end of its line.
    Line,
    /// To this quote, or to the end of its line.
    Quote(u8),
    /// As far as base64 goes, over lines.
    Block,
}

impl Until {
    fn stops(self, byte: u8) -> bool {
        match self {
            Self::Word => byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`'),
            Self::Line => matches!(byte, b'\n' | b'\r' | 0),
            Self::Quote(quote) => byte == quote || matches!(byte, b'\n' | b'\r' | 0),
            Self::Block => !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\r')),
        }
    }

    /// How much of the data goes with a secret that went on right before it, and whether it ends there.
    pub(super) fn length(self, data: &[u8], encoding: Encoding) -> (usize, bool) {
        let unit = encoding.unit();
        let found = match encoding {
            Encoding::Bytes => data.iter().position(|byte| self.stops(*byte)),
            Encoding::Utf16 { .. } | Encoding::Utf32 { .. } => {
                encoding.units(data).position(|unit| self.stops(narrow(unit))).map(|units| units * unit)
            }
        };
        (found.unwrap_or(data.len()), found.is_some())
    }
}

/// Some of the data: where it begins in all of it, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extract<'d> {
    pub(super) base: u64,
    pub(super) bytes: &'d [u8],
    pub(super) encoding: Encoding,
}

impl<'d> Extract<'d> {
    /// What lies between two places, as far as it is there.
    pub(super) fn between(&self, from: u64, to: u64) -> &'d [u8] {
        let place = |at: u64| usize::try_from(at.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.get(place(from)..place(to)).unwrap_or_default()
    }
}

/// A group that may still grow.
#[derive(Clone, Debug)]
struct Open {
    group: Group,
    /// What has to follow if the first secret of the group loses its end.
    close: Box<[u8]>,
    until: Option<Until>,
}

/// Joins what is found as it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Merger {
    pending: Vec<Found>,
    open: Option<Open>,
    /// What exceptions leave, as long as a secret could still touch it.
    kept: Vec<Group>,
    closed: Vec<Group>,
}

/// What is settled up to a place.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// In order, and none touches another.
    pub(super) groups: Vec<Group>,
    /// Where a group begins that is not closed yet.
    pub(super) open: Option<u64>,
    /// Up to where what is in no group can be written.
    pub(super) upto: u64,
}

impl Merger {
    pub(super) fn add(&mut self, found: impl IntoIterator<Item = Found>) {
        self.pending.extend(found);
    }

    /// Closes what can be closed if nothing that is added later begins before `upto`; all, if the data `ends`.
    pub(super) fn settle(&mut self, upto: u64, data: Extract<'_>, ends: bool) -> Settled {
        if self.pending.is_empty() && self.open.is_none() && self.kept.is_empty() {
            return Settled { upto, ..Settled::default() };
        }
        self.pending.sort_by_key(|found| (found.start, Reverse(found.end), found.head, found.rule));
        let ready = self.pending.partition_point(|found| found.start < upto);
        let later = self.pending.split_off(ready);
        for found in std::mem::replace(&mut self.pending, later) {
            self.go_on(found.start, data);
            self.take(found);
        }
        self.go_on(upto, data);
        if self.open.as_ref().is_some_and(|open| ends || open.group.end <= upto && open.until.is_none()) {
            self.close();
        }
        let mut groups = std::mem::take(&mut self.closed);
        let (done, held) = std::mem::take(&mut self.kept).into_iter().partition(|kept| ends || kept.end <= upto);
        self.kept = held;
        let done: Vec<Group> = done;
        groups.extend(done);
        groups.sort_by_key(|group| group.start);
        let open = self.open.as_ref().map(|open| open.group.start);
        let upto = self.kept.first().map_or(upto, |kept| kept.start.min(upto));
        Settled { groups, open, upto }
    }

    /// Lets a secret that is longer than a rule looks take what follows it, up to a place at most.
    fn go_on(&mut self, upto: u64, data: Extract<'_>) {
        let Some(open) = &mut self.open else { return };
        let Some(until) = open.until.filter(|_| open.group.end < upto) else { return };
        let (length, ends) = until.length(data.between(open.group.end, upto), data.encoding);
        open.group.end += length as u64;
        if ends {
            open.until = None;
        }
        self.drop_kept(self.open.as_ref().map_or(0, |open| open.group.start));
    }

    /// Where a secret begins, no exception before it holds that reaches into it.
    fn drop_kept(&mut self, start: u64) {
        while self.kept.last().is_some_and(|kept| kept.end > start) {
            self.kept.pop();
        }
    }

    fn take(&mut self, Found { head, start, end, rule, what }: Found) {
        let inside = self.open.as_ref().is_some_and(|open| start < open.group.end);
        let (close, until, then) = match what {
            What::Kept(allow) => {
                if !inside && self.kept.last().is_none_or(|kept| kept.end <= start) {
                    self.kept.push(Group { head, start, end, rule, then: Then::Kept(allow) });
                }
                return;
            }
            What::Secret { close, until } => (close, until, Then::Replacement(Box::default())),
            What::Quoted(quotes) => (Box::default(), None, Then::Quoted(quotes)),
            What::Encoded { encoded, close } => (close, None, Then::Encoded(encoded)),
        };
        self.drop_kept(start);
        let Some(open) = self.open.as_mut().filter(|_| inside) else {
            self.close();
            self.open = Some(Open { group: Group { head, start, end, rule, then }, close, until });
            return;
        };
        if head < open.group.head {
            (open.group.head, open.group.rule) = (head, rule);
        }
        let ends = end.cmp(&open.group.end);
        match (&mut open.group.then, then) {
            (Then::Encoded(encoded), Then::Encoded(other)) => {
                encoded.join(*other, start == open.group.start, ends, &open.close);
            }
            (then @ Then::Encoded(_), _) => *then = Then::Replacement(open.close.clone()),
            (then, _) if ends.is_gt() => *then = Then::Replacement(open.close.clone()),
            _ => {}
        }
        if ends.is_gt() {
            (open.group.end, open.until) = (end, until);
        }
    }

    fn close(&mut self) {
        self.closed.extend(self.open.take().map(|open| open.group));
    }
}
