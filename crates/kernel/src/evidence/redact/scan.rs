//! The search of a part of a text: where a keyword stands, its rules look at that place.

use super::LONGEST;
use super::assign::{
    Assigned, How, SINGLE, assigned, element, ends_value, folded_end, follows_letter, is_digest, is_flag,
    is_identifier, is_path, is_secret_name, name_before, name_rest, next_of_array, past_marker, quoted, unquoted_end,
    word_end,
};
use super::changes;
use super::data::{bare_end, data_end, is_query, query_end};
use super::engine::{Engine, fits};
use super::escapes;
use super::merge::Until;
use super::pattern::Pattern;
use super::references::is_reference;
use super::rules::{Bare, Boundary, Form, Named, Shape, is_marker, marker};
use super::steps::Match;
use super::tables::Column;
use super::work;

/// How much of a match may stand before its keyword.
const LEAD: usize = 96;
/// What it costs to try a rule, in bytes that could be looked at instead.
const ATTEMPT: usize = 16;
/// How often each byte may be looked at, and how much at least: more than any text makes the built-in rules look.
const MOST: u64 = 768;
const LEAST: u64 = 1 << 20;
/// Stands for a rule where a search was given up.
pub(super) const TOO_COSTLY: usize = usize::MAX - 1;
/// How far a rule looks first; one that matches up to there looks on.
const NEAR: usize = 4 << 10;

/// A secret that one rule found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Where what gives it away begins.
    pub(super) head: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: usize,
    pub(super) close: Close,
    /// How it goes on where its end lies beyond what a rule looks at.
    pub(super) until: Option<Until>,
    /// The exception that holds for it.
    pub(super) allow: Option<usize>,
}

/// What a value needs after it, to still end where it ended once another secret has taken its end away.
#[derive(Clone, Copy, Debug)]
pub(super) enum Close {
    Nothing,
    /// What opened it, which is all that lies between here and its start.
    Opener(usize),
    /// Quotes, as they stand here: without them what is around it would not be JSON.
    Quotes(usize, usize),
    Bytes(&'static str),
}

/// What a rule found: from where to where, and what it needs after it.
pub(super) type Found = (usize, usize, Close);

/// The part of a text that is searched: what begins between two places. A little of the text stands before it, and enough
/// behind it to decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'s> {
    pub(super) text: &'s [u8],
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether the text ends where the data does, or at least not within a secret.
    pub(super) ends: bool,
}

/// What a search leaves to the one of the part that follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Carry<P = usize> {
    /// Where each rule goes on; empty where all go on at once.
    pub(super) resume: Vec<P>,
    /// No PEM end line starts between a begin line that was tried and here.
    pub(super) pem_searched: P,
}

impl<P> Carry<P> {
    /// The same in other places.
    pub(super) fn map<Q>(&self, to: impl Fn(&P) -> Q) -> Carry<Q> {
        Carry { resume: self.resume.iter().map(&to).collect(), pem_searched: to(&self.pem_searched) }
    }
}

/// One search: the data, and what has been learned on the way that keeps it linear.
pub(super) struct Scan<'s> {
    pub(super) engine: &'s Engine,
    pub(super) data: &'s [u8],
    to: usize,
    ends: bool,
    /// How much may have been looked at when the search is given up, and whether it was.
    limit: u64,
    given_up: bool,
    pub(super) carry: Carry,
    /// The last words that were measured, which end at delimiters and at white space.
    pub(super) bare: Measured,
    pub(super) word: Measured,
    /// The name, whether it is one of a secret, and the string in either kind of quotes, that were looked at last: several
    /// rules look at each.
    pub(super) name: Known<usize, Option<Assigned>>,
    secret: Known<(usize, usize), bool>,
    pub(super) strings: [Known<usize, Option<(usize, usize)>>; 2],
    /// The column of a table that was read last.
    pub(super) table: Column,
    spans: Vec<Span>,
}

/// A run of characters, so that it is not measured again from each place in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    start: usize,
    end: usize,
}

impl Measured {
    pub(super) fn end(&mut self, at: usize, measure: impl FnOnce(usize) -> usize) -> usize {
        if at < self.start || at >= self.end {
            *self = Self { start: at, end: measure(at) };
        }
        self.end
    }
}

/// An answer, and what it is the answer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<Q, A>(Option<(Q, A)>);

impl<Q: Copy + PartialEq, A: Copy> Known<Q, A> {
    const NOTHING: Self = Self(None);

    pub(super) fn ask(&mut self, question: Q, answer: impl FnOnce() -> A) -> A {
        match self.0 {
            Some((known, answer)) if known == question => answer,
            _ => self.0.insert((question, answer())).1,
        }
    }
}

impl<'s> Scan<'s> {
    /// All that rules find in a part of a text, in what its escapes stand for too.
    pub(super) fn run(engine: &'s Engine, part: Part<'s>, carry: &mut Carry) -> Vec<Span> {
        let mut spans = Self::search(engine, part, carry);
        let text = part.text;
        for (start, end) in escapes::regions(text, part.from, part.to) {
            let (decoded, moves) = escapes::decode(&text[start..end]);
            let place = |at: usize| escapes::place(&moves, at.saturating_sub(start)).min(decoded.len());
            let ends = part.ends || end < text.len();
            // From its beginning: a rule goes on where it went on in the window before. What is found twice is one.
            let inner = Part { text: &decoded, from: 0, to: place(part.to.min(end)), ends };
            let found = Scan::search(engine, inner, &mut Carry::default());
            // What seems to begin where the text was cut may be the end of something else.
            let cut = start > 0 && text[start - 1] > b' ';
            let whole = |span: &Span| !cut || span.head > 0;
            let mut places = escapes::Places::of(&moves);
            let mut at = |place| start + places.source(place);
            let mapped = found.into_iter().filter(whole).map(|span| {
                let (head, start, end) = (at(span.head), at(span.start), at(span.end));
                Span { head, start, end, close: Close::Nothing, ..span }
            });
            spans.extend(mapped.filter(|span| is_text(&text[span.start..span.end])));
        }
        spans
    }

    fn search(engine: &'s Engine, part: Part<'s>, carry: &mut Carry) -> Vec<Span> {
        let mut scan = Self {
            engine,
            data: part.text,
            to: part.to,
            ends: part.ends,
            limit: work::so_far() + LEAST + MOST * (part.to - part.from) as u64,
            given_up: false,
            carry: std::mem::take(carry),
            bare: Measured::default(),
            word: Measured::default(),
            name: Known::NOTHING,
            secret: Known::NOTHING,
            strings: [Known::NOTHING; 2],
            table: Column::default(),
            spans: Vec::new(),
        };
        engine.places(part.text, part.from, part.to, &mut |rule, head, tail| scan.try_rule(rule, head, tail));
        *carry = scan.carry;
        scan.spans
    }

    fn try_rule(&mut self, rule: usize, head: usize, tail: usize) {
        if self.given_up {
            return;
        }
        if work::so_far() > self.limit {
            // What is not decided on is not known to be clean.
            self.given_up = true;
            let (start, end, close) = (head, self.to.max(tail), Close::Nothing);
            self.spans.push(Span { head, start, end, rule: TOO_COSTLY, close, until: None, allow: None });
            return;
        }
        // Most texts have no keyword, and need no place for each rule.
        if self.carry.resume.is_empty() {
            self.carry.resume = vec![0; self.engine.len()];
        }
        work::looked(ATTEMPT);
        if head >= self.carry.resume[rule]
            && let Some((head, found)) = self.attempt(rule, head, tail)
        {
            self.add(head, rule, found);
        }
    }

    pub(super) fn add(&mut self, head: usize, rule: usize, (start, end, close): Found) {
        // Nothing is no secret, nor is what already stands in the place of one.
        let past = past_marker(self.data, start);
        if past >= end {
            return;
        }
        let until = self.until(rule, start, close);
        let start = past;
        let secret = &self.data[start..end];
        if !is_marker(secret) && !escapes::is_marker(secret) && self.engine.is_random(rule, secret) {
            let allow = self.engine.allowed(rule, secret);
            let goes_on = end - start >= LONGEST || !self.ends && end == self.data.len();
            self.spans.push(Span { head, start, end, rule, close, until: goes_on.then_some(until), allow });
        }
    }

    /// How a secret goes on if it is longer than what is looked at.
    fn until(&self, rule: usize, start: usize, close: Close) -> Until {
        match (close, self.engine.rule(rule).map(|rule| &rule.shape)) {
            (Close::Opener(_), _) => Until::Quote(self.data[start - 1]),
            (Close::Bytes("\n"), _) => Until::Line,
            (Close::Nothing, Some(Shape::Pem)) => Until::Block,
            // What stands between the tags of XML, or in a cell of a table.
            (Close::Nothing, Some(Shape::Value(_))) => Until::Quote(b'<'),
            (Close::Nothing | Close::Bytes(_) | Close::Quotes(..), _) => Until::Word,
        }
    }

    fn attempt(&mut self, rule: usize, head: usize, tail: usize) -> Option<(usize, Found)> {
        let engine = self.engine;
        let (start, end) = match &engine.rule(rule)?.shape {
            Shape::Pattern(form) => return self.matched(rule, form, head, tail),
            Shape::Value(named) => return self.value(rule, named, head, tail).map(|found| (head, found)),
            Shape::Address => self.address(rule, head, tail)?,
            Shape::Pem => self.pem(head, tail)?,
            Shape::Pair => return self.pair(head).map(|found| (head, found)),
            Shape::Cookies => {
                self.carry.resume[rule] = self.cookies(rule, head, tail);
                return None;
            }
        };
        self.carry.resume[rule] = end;
        Some((head, (start, end, Close::Nothing)))
    }

    fn matched(&mut self, rule: usize, form: &Form, head: usize, tail: usize) -> Option<(usize, Found)> {
        let data = self.data;
        let before = form.lead.as_ref().map_or(0, |lead| {
            let kept = &data[head.saturating_sub(LEAD)..head];
            kept.iter().rev().take_while(|byte| lead[usize::from(**byte)]).count()
        });
        let begin = head - before;
        let preceded = match form.boundary {
            Boundary::None => false,
            Boundary::Lower => data[..begin].last().is_some_and(u8::is_ascii_lowercase) && follows_letter(data, begin),
            Boundary::Word => data[..begin].last().is_some_and(u8::is_ascii_alphanumeric) && follows_word(data, begin),
        };
        if preceded {
            return None;
        }
        let find = |length: usize| form.pattern.find(&data[begin..data.len().min(begin + length)]);
        let mut found = find(NEAR)?;
        if found.stop >= NEAR - 1 {
            found = find(LONGEST)?;
        }
        let Match { start, end, stop } = found;
        if marker(&data[begin + start..]).is_some() {
            return None;
        }
        // A keyword may be the last that matched, and begin the next one.
        self.carry.resume[rule] = (begin + stop).saturating_sub(tail - head).max(head + 1);
        if let Some(again) = &form.again {
            self.again(rule, again, begin, begin + stop);
        }
        Some((begin, (begin + start, begin + end, Close::Nothing)))
    }

    /// What follows a match that ends at `at`, as often as it does.
    fn again(&mut self, rule: usize, pattern: &Pattern, head: usize, mut at: usize) {
        let (data, limit) = (self.data, self.data.len().min(head + LONGEST));
        let rest = |at: usize| &data[at.min(limit)..limit];
        while let Some(found) = pattern.groups(rest(at), rest(at).len()) {
            if let Some(secret) = found.get_group(1) {
                self.add(head, rule, (at + secret.start, at + secret.end, Close::Nothing));
            }
            at += found.get_group(0).map_or(0, |whole| whole.end).max(1);
        }
        self.carry.resume[rule] = self.carry.resume[rule].max(at.min(limit));
    }

    fn value(&mut self, rule: usize, named: &Named, head: usize, tail: usize) -> Option<Found> {
        let tail = if named.ends { tail } else { tail + name_rest(self.data, tail) };
        let Some(at) = self.name.ask(tail, || assigned(self.data, tail)) else {
            self.column(rule, named, head, tail);
            return None;
        };
        if named.guarded && !self.secret.ask((head, tail), || is_secret_name(self.data, head, tail)) {
            return None;
        }
        if self.data.get(at.value) == Some(&b'{') {
            self.members(rule, named, head, tail, at);
        }
        if at.array {
            self.rest_of_array(rule, named, head, tail, at);
        }
        if at.how == How::Element {
            let (start, end) = element(self.data, at.value)?;
            return self.fitting(named, tail, start, end).then_some((start, end, Close::Nothing));
        }
        for &quote in named.quotes.list() {
            let string = &mut self.strings[usize::from(quote == SINGLE)];
            let Some((start, end)) = string.ask(at.value, || quoted(self.data, at.value, quote)) else {
                continue;
            };
            // What follows a mark was looked at when the mark was made.
            if matches!(named.bare, Bare::Word | Bare::Line) && !is_marker(&self.data[start..end]) {
                self.glued(rule, head, at.value, (start, end), quote);
            }
            self.changed(rule, named, head, tail, end + (start - at.value));
            // Not resumed after: a rule that reads escapes otherwise may see another value inside of this one.
            return self.fitting(named, tail, start, end).then_some((start, end, Close::Opener(at.value)));
        }
        if matches!(named.bare, Bare::Plain | Bare::Data)
            && matches!(self.data.get(at.value), Some(b'"' | b'\'' | b'\\'))
        {
            return None;
        }
        if let Some(found) = self.number(named, &at, tail) {
            return Some(found);
        }
        if let Some(end) = changes::side(self.data, at.value) {
            self.changed(rule, named, head, tail, end);
        }
        let (end, close) = self.bare_value(named, (head, tail), &at)?;
        let start = at.value;
        self.carry.resume[rule] = end;
        self.fitting(named, tail, start, end).then_some((start, end, Close::Bytes(close)))
    }

    /// The values of an array after the first one.
    fn rest_of_array(&mut self, rule: usize, named: &Named, head: usize, tail: usize, mut at: Assigned) {
        let limit = at.value + LONGEST;
        while let Some(next) = next_of_array(self.data, at.value).filter(|next| *next < limit) {
            at.value = next;
            for quote in named.quotes.list() {
                if let Some((start, end)) = quoted(self.data, next, *quote)
                    && self.fitting(named, tail, start, end)
                {
                    self.add(head, rule, (start, end, Close::Opener(next)));
                }
            }
        }
    }

    /// What goes on right behind a quote, as it may in a shell, belongs to the value.
    fn glued(&mut self, rule: usize, head: usize, value: usize, (start, end): (usize, usize), quote: u8) {
        let after = end + (start - value);
        if self.data.get(after - 1) == Some(&quote) && !ends_value(self.data, after) {
            let end = self.word_end(after);
            self.add(head, rule, (after, end, Close::Bytes(" ")));
        }
    }

    /// Where a word that begins here ends.
    pub(super) fn word_end(&mut self, at: usize) -> usize {
        let data = self.data;
        self.word.end(at, |at| unquoted_end(data, at, false))
    }

    pub(super) fn fitting(&self, named: &Named, tail: usize, start: usize, end: usize) -> bool {
        let text = &self.data[start..end];
        let harmless =
            named.guarded && (is_identifier(name_before(self.data, tail)) || is_digest(text) || is_path(text));
        !harmless && !is_reference(text) && fits(named, text)
    }

    /// Where a value without quotes ends, and what it needs after it.
    fn bare_value(
        &mut self,
        named: &Named,
        (head, tail): (usize, usize),
        at: &Assigned,
    ) -> Option<(usize, &'static str)> {
        let (data, value) = (self.data, at.value);
        let bare = self.bare.end(value, |at| bare_end(data, at));
        let (end, close) = match named.bare {
            Bare::None => return None,
            Bare::Plain => (bare, " "),
            Bare::Data => (data_end(data, (head, tail), at, bare, || self.word_end(value))?, " "),
            Bare::Word | Bare::Line if at.named => return None,
            Bare::Word | Bare::Line if is_query(data, tail, at) => (query_end(data, value, bare), " "),
            // A flag's value is one word, and so is what stands on a line of its own.
            Bare::Line if !is_flag(data, tail) && !matches!(data.get(value - 1), Some(b'\n' | b'\r')) => {
                (folded_end(data, unquoted_end(data, value, true)), "\n")
            }
            Bare::Word | Bare::Line => (self.word_end(value), " "),
        };
        // What follows a mark was looked at when the mark was made.
        (end > value && marker(&data[value..]).is_none()).then_some((end, close))
    }

    fn address(&mut self, rule: usize, head: usize, tail: usize) -> Option<(usize, usize)> {
        let end = word_end(self.data, tail);
        let at = (tail + 1..end).find(|&at| self.data[at] == b'@');
        let Some(at) = at else {
            self.carry.resume[rule] = end;
            return None;
        };
        let end = end.min(unquoted_end(self.data, at, false));
        Some((head, end))
    }
}

/// Whether what escapes stand in is no reference as it is written, as `%DB_PASSWORD%` is, and begins with no mark: what
/// follows one was looked at when the mark was made.
fn is_text(source: &[u8]) -> bool {
    marker(source).is_none() && !is_reference(source)
}

/// Whether a match goes on from a longer word; a digit that ends an escape is none of a word.
fn follows_word(data: &[u8], at: usize) -> bool {
    let digit = data[..at].last().is_some_and(u8::is_ascii_digit);
    follows_letter(data, at) || digit && !escapes::ends_with_one(&data[..at])
}
