//! Data searched window by window, so that what is found does not depend on how much of it is at hand.
//!
//! A window has a piece of the data, in which keywords are looked for, what little stands before it that a rule looks back
//! at, and what follows that it looks ahead at. Each keyword belongs to one window, which decides on it. So each byte is
//! searched once, no secret is cut, and what is found lies behind what was written before.

use super::Redactor;
use super::base64;
use super::encoding::Encoding;
use super::engine::Engine;
use super::escapes::{self, Moves, source};
use super::merge::{Extract, Found, Merger, Settled, What};
use super::scan::{Carry, Close, Part, Scan, Span};
use super::view::View;
use std::sync::Arc;

/// How windows are cut, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// How long a piece is.
    pub(super) piece: usize,
    /// How much before a piece is seen: more than a rule looks back.
    pub(super) history: usize,
    /// How much behind a piece is seen: more than a rule looks ahead. For each byte of a character.
    pub(super) ahead: usize,
}

impl Sizes {
    pub(super) const USUAL: Self = Self { piece: 256 << 10, history: 4 << 10, ahead: 96 << 10 };

    /// How much of the data has to be there for the next window, if it is not the last.
    pub(super) fn window(self, encoding: Encoding) -> usize {
        self.piece + self.ahead * encoding.unit()
    }
}

/// How much longer than a byte a character is at most, and a little: a window begins where a character does.
const MORE: u64 = 4;

/// Data on its way through the search.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    redactor: Redactor,
    pub(super) encoding: Encoding,
    pub(super) sizes: Sizes,
    /// Up to where keywords were looked for.
    pub(super) from: u64,
    /// The state that the last search left, in places of the data: as text in the encoding, and as bytes.
    carries: [Carry<u64>; 2],
    /// Where a word of base64 is read on.
    word: Option<u64>,
    merger: Merger,
}

impl Flow {
    pub(super) fn new(redactor: Redactor, encoding: Encoding, sizes: Sizes) -> Self {
        Self { redactor, encoding, sizes, from: 0, carries: Default::default(), word: None, merger: Merger::default() }
    }

    /// Searches data that is at hand whole, and shows what is settled of it.
    pub(super) fn run(mut self, data: &[u8], each: &mut dyn FnMut(Extract<'_>, &Settled)) {
        let whole = Extract { base: 0, bytes: data, encoding: self.encoding };
        loop {
            let settled = self.window(whole, true);
            each(whole, &settled);
            if self.from == data.len() as u64 {
                return;
            }
        }
    }

    /// Searches the next window. The data that is there must have the window in it, unless it is `complete`, and what was
    /// not settled.
    pub(super) fn window(&mut self, data: Extract<'_>, complete: bool) -> Settled {
        let (sizes, encoding, length) = (self.sizes, self.encoding, data.bytes.len());
        let boundary = |at: usize| encoding.boundary(data.bytes, at);
        let from = within(self.from, data.base);
        let last = complete && length - from <= sizes.piece;
        let to = if last { length } else { boundary(from + sizes.piece) };
        let begin = boundary(from.saturating_sub(sizes.history));
        let end = length.min(to + sizes.ahead * encoding.unit());
        let base = data.base + begin as u64;
        let ends = complete && end == length;
        let part = Part { text: &data.bytes[begin..end], from: from - begin, to: to - begin, ends };
        self.trip(part.text);
        let found = match self.redactor.engine.clone() {
            Some(engine) => self.search(&engine, base, part),
            None => self.all(),
        };
        self.merger.add(found);
        self.from = data.base + to as u64;
        // What is found from now on lies in the window that comes next.
        let upto = if last { to } else { boundary(to.saturating_sub(sizes.history)) };
        self.merger.settle(data.base + upto as u64, data, last)
    }

    fn trip(&self, text: &[u8]) {
        let planted = |fault: &Arc<str>| memchr::memmem::find(text, fault.as_bytes()).is_some();
        assert!(!self.redactor.fault.as_ref().is_some_and(planted), "a planted fault");
    }

    /// From where on the next window sees the data.
    pub(super) fn needs(&self) -> u64 {
        self.from.saturating_sub(self.sizes.history as u64 + MORE)
    }

    /// Without rules nothing is known to be clean.
    fn all(&self) -> Vec<Found> {
        let what = What::Secret { close: Box::default(), until: None };
        let all = Found { head: 0, start: 0, end: u64::MAX, rule: usize::MAX, what };
        if self.from == 0 { vec![all] } else { Vec::new() }
    }

    fn search(&mut self, engine: &Engine, base: u64, part: Part<'_>) -> Vec<Found> {
        let mut found = self.open(engine, base, part, self.encoding);
        if self.encoding != Encoding::Bytes {
            // Its beginning says how a text is written, and a program may have appended to it in another way.
            found.extend(self.open(engine, base, part, Encoding::Bytes));
        }
        if self.encoding == Encoding::Bytes && (part.text.len() >= base64::SHORTEST || self.word.is_some()) {
            found.extend(self.hidden(engine, base, part));
        }
        found
    }

    /// Searches the text as it lies open, and behind its escapes.
    fn open(&mut self, engine: &Engine, base: u64, part: Part<'_>, encoding: Encoding) -> Vec<Found> {
        let view = View::of(encoding, part.text);
        let carry = &mut self.carries[usize::from(encoding == Encoding::Bytes)];
        let mut inside = carry.map(|at| view.place(within(*at, base)));
        let spans = Scan::run(engine, view.part(part), &mut inside);
        *carry = inside.map(|at| base + view.source(*at) as u64);
        of_spans(spans, &view, base, part.text, encoding)
    }

    /// What lies in base64.
    fn hidden(&mut self, engine: &Engine, base: u64, part: Part<'_>) -> Vec<Found> {
        let search = |text: &[u8], encoding: Encoding, (from, to): (usize, usize), ends: bool| {
            if encoding == Encoding::Bytes && engine.rules_out(text) {
                return Vec::new();
            }
            once(engine, text, encoding, (from, to), ends)
        };
        let word = self.word.take().map(|word| within(word, base));
        let (mut found, next) = match escapes::without_slashes(part.text) {
            None => base64::found(part, word, &search),
            Some((text, moves)) => {
                let place = |at: usize| escapes::place(&moves, at).min(text.len());
                let inner = Part { text: &text, from: place(part.from), to: place(part.to), ends: part.ends };
                let (mut found, next) = base64::found(inner, word.map(place), &search);
                for found in &mut found {
                    put_back_slashes(found, &moves, part.text);
                }
                (found, next.map(|at| source(&moves, at)))
            }
        };
        self.word = next.map(|at| base + at as u64);
        for found in &mut found {
            (found.head, found.start, found.end) = (base + found.head, base + found.start, base + found.end);
        }
        found
    }
}

/// A place of the data in some of it that begins at `base`.
fn within(at: u64, base: u64) -> usize {
    usize::try_from(at.saturating_sub(base)).unwrap_or(usize::MAX)
}

/// What is found in a text that is no window of a longer one.
fn once(engine: &Engine, text: &[u8], encoding: Encoding, (from, to): (usize, usize), ends: bool) -> Vec<Found> {
    let view = View::of(encoding, text);
    let part = view.part(Part { text, from, to, ends });
    let spans = Scan::run(engine, part, &mut Carry::default());
    of_spans(spans, &view, 0, text, encoding)
}

/// The longest that opens a value, quotes and what escapes them, and is written again behind its replacement.
const OPENER: usize = 64;

/// Spans of a view as they lie in the data.
fn of_spans(spans: Vec<Span>, view: &View<'_>, base: u64, data: &[u8], encoding: Encoding) -> Vec<Found> {
    let mut source = view.sources();
    let found = spans.into_iter().map(|span| {
        let (head, start, end) = (source(span.head), source(span.start), source(span.end));
        let what = match (span.allow, span.close) {
            (Some(allow), _) => What::Kept(allow),
            (None, Close::Quotes(from, to)) => {
                What::Quoted(data.get(source(from)..source(to)).unwrap_or_default().into())
            }
            (None, close) => {
                let close: Box<[u8]> = match close {
                    Close::Nothing | Close::Quotes(..) => Box::default(),
                    Close::Opener(open) => {
                        data.get(source(open)..start).filter(|text| text.len() <= OPENER).unwrap_or_default().into()
                    }
                    Close::Bytes(text) => {
                        let mut bytes = Vec::new();
                        encoding.write(text, &mut bytes);
                        bytes.into()
                    }
                };
                What::Secret { close, until: span.until }
            }
        };
        Found { head: base + head as u64, start: base + start as u64, end: base + end as u64, rule: span.rule, what }
    });
    found.collect()
}

/// The place of something that was found in a text without the backslashes before its slashes.
fn put_back_slashes(found: &mut Found, moves: &Moves, data: &[u8]) {
    let source = |place: u64| source(moves, within(place, 0)) as u64;
    (found.head, found.start, found.end) = (source(found.head), source(found.start), source(found.end));
    // The backslash before a slash goes with it.
    let (before, from) = data.split_at(within(found.start, 0).min(data.len()));
    found.start -= u64::from(before.ends_with(b"\\") && from.starts_with(b"/"));
}
