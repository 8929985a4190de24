//! The search: one pass of an automaton finds the keywords, and the rules of each keyword look at its place only.

use super::LONGEST;
use super::assign::{
    Assigned, DOUBLE, How, SINGLE, assigned, element, ends_value, folded_end, follows_letter, is_digest, is_flag,
    is_identifier, is_path, is_secret_name, name_before, name_rest, next_of_array, past_marker, quoted, unquoted_end,
    weight, word_end,
};
use super::changes;
use super::data::{bare_end, data_end, is_query, query_end};
use super::encoding::FOLDED;
use super::escapes::{self, ESCAPES};
use super::keywords::Keywords;
use super::pattern::Pattern;
use super::references::is_reference;
use super::rules::{Bare, Boundary, Form, Named, Quotes, Rules, Shape, is_marker, marker};
use super::steps::Match;
use super::tables::Column;
use std::collections::HashMap;

/// How much of a match may stand before its keyword.
const LEAD: usize = 96;
/// A text shorter than this is not worth being searched side by side, see [`Keywords`].
const SHORT: usize = 256;
/// How much before a place has to be there to search from it; what is looked at is less.
pub(super) const HISTORY: usize = 2 << 10;
/// How far a rule looks first; one that matches up to there looks on.
const NEAR: usize = 4 << 10;

/// Rules, ready to search with.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) rules: Rules,
    keywords: Keywords,
    owners: Vec<Owner>,
}

/// What a keyword of the automaton is there for.
#[derive(Debug)]
enum Owner {
    /// These rules.
    Rules(Vec<usize>),
    /// A letter of [`FOLDED`].
    Folded,
    /// What an escape of [`ESCAPES`] begins with.
    Escape,
}

impl Engine {
    /// `None` where the automaton would be too large.
    pub(super) fn build(rules: Rules) -> Option<Self> {
        let mut keywords: Vec<String> = FOLDED.iter().map(|(letter, _)| letter.to_string()).collect();
        let mut owners: Vec<Owner> = keywords.iter().map(|_| Owner::Folded).collect();
        let mut places: HashMap<String, usize> = HashMap::new();
        keywords.extend(ESCAPES.map(str::to_owned));
        owners.extend(ESCAPES.map(|_| Owner::Escape));
        places.extend(keywords.iter().cloned().zip(0..));
        for (index, rule) in rules.rules.iter().enumerate() {
            for keyword in &rule.keywords {
                let Some(&place) = places.get(keyword) else {
                    places.insert(keyword.clone(), keywords.len());
                    keywords.push(keyword.clone());
                    owners.push(Owner::Rules(vec![index]));
                    continue;
                };
                match &mut owners[place] {
                    Owner::Rules(held) if held.last() == Some(&index) => {}
                    Owner::Rules(held) => held.push(index),
                    Owner::Folded | Owner::Escape => return None,
                }
            }
        }
        let keywords = Keywords::build(&keywords)?;
        Some(Self { rules, keywords, owners })
    }

    /// Whether a text has no keyword, and so surely nothing to find.
    pub(super) fn rules_out(&self, text: &[u8]) -> bool {
        !self.keywords.are_in(text)
    }

    /// The rules under which the value of a member of this name is a secret because of it.
    pub(super) fn named(&self, name: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        if self.rules_out(name) {
            return found;
        }
        self.keywords.find(name, 0, &mut |hit| {
            let Owner::Rules(owners) = &self.owners[hit.keyword] else { return };
            found.extend(owners.iter().copied().filter(|rule| match &self.rules.rules[*rule].shape {
                Shape::Value(named) => {
                    let ends = !named.ends || hit.tail == name.len();
                    let meant = !named.guarded || is_secret_name(name, hit.head, hit.tail) && !is_identifier(name);
                    ends && meant
                }
                _ => false,
            }));
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a value is a secret by this rule, which goes by its name.
    pub(super) fn is_secret(&self, rule: usize, value: &[u8]) -> bool {
        let Shape::Value(named) = &self.rules.rules[rule].shape else { return false };
        let harmless = named.guarded && is_digest(value);
        !value.is_empty()
            && !harmless
            && !is_reference(value)
            && !is_marker(value)
            && fits(named, value)
            && self.is_random(rule, value)
    }

    /// The rule for the values of cookies.
    pub(super) fn rule_of_cookies(&self) -> Option<usize> {
        self.rules.rules.iter().position(|rule| matches!(rule.shape, Shape::Cookies))
    }

    fn is_random(&self, rule: usize, secret: &[u8]) -> bool {
        self.rules.rules[rule].entropy.is_none_or(|floor| entropy(secret) >= floor)
    }

    /// The exception that holds for what a rule found.
    pub(super) fn allowed(&self, rule: usize, secret: &[u8]) -> Option<usize> {
        let id = &self.rules.rules[rule].id;
        self.rules.allow.iter().position(|entry| entry.holds(id, secret))
    }
}

/// Whether all of a value is what a rule asks for.
fn fits(named: &Named, value: &[u8]) -> bool {
    let matches =
        named.pattern.as_ref().is_none_or(|pattern| pattern.regex().is_none_or(|regex| regex.is_match(value)));
    matches && (named.least == 0 || weight(value) >= named.least)
}

/// Bits a character.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / total;
    counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

impl Quotes {
    pub(super) fn list(self) -> &'static [u8] {
        match self {
            Self::Either => &[DOUBLE, SINGLE],
            Self::Double => &[DOUBLE],
            Self::Single => &[SINGLE],
            Self::None => &[],
        }
    }
}

/// A secret that one rule found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Where what gives it away begins.
    pub(super) head: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) rule: usize,
    pub(super) close: Close,
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

/// What a rule found.
pub(super) type Found = (usize, usize, Close);

/// One search: the data, and what has been learned on the way that keeps it linear.
pub(super) struct Scan<'s> {
    pub(super) engine: &'s Engine,
    pub(super) data: &'s [u8],
    /// Where each rule goes on.
    resume: Vec<usize>,
    /// No PEM end line starts between a begin line that was tried and here.
    pub(super) pem_searched: usize,
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
    /// Texts with escapes in them, not yet searched as what they stand for.
    escaped: Vec<(usize, usize)>,
    /// Whether there is a letter that is a case of an ASCII letter without being one.
    folded: bool,
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

/// A letter stands in the data that must be folded to ASCII first.
pub(super) struct Unfolded;

impl<'s> Scan<'s> {
    /// All that begins at or after `from`; `data` may have a little before it.
    pub(super) fn run(engine: &'s Engine, data: &'s [u8], from: usize) -> Result<Vec<Span>, Unfolded> {
        // Most names and words of a payload are short, and without a keyword.
        if data.len() < SHORT && engine.rules_out(data) {
            return Ok(Vec::new());
        }
        let mut scan = Self::search(engine, data, from);
        if scan.folded {
            return Err(Unfolded);
        }
        for (start, end) in std::mem::take(&mut scan.escaped) {
            let (text, moves) = escapes::decode(&data[start..end]);
            let found = Scan::search(engine, &text, 0).spans;
            // What seems to begin where the text was cut may be the end of something else.
            let cut = start > 0 && data[start - 1] > b' ';
            let whole = |span: &Span| !cut || span.head > 0;
            let mut places = escapes::Places::of(&moves);
            let mut at = |place| start + places.source(place);
            let mapped = found.into_iter().filter(whole).map(|span| {
                let (head, start, end) = (at(span.head), at(span.start), at(span.end));
                Span { head, start, end, close: Close::Nothing, ..span }
            });
            scan.spans.extend(mapped.filter(|span| span.head >= from && is_text(&data[span.start..span.end])));
        }
        Ok(scan.spans)
    }

    fn search(engine: &'s Engine, data: &'s [u8], from: usize) -> Self {
        let (resume, spans, escaped) = (Vec::new(), Vec::new(), Vec::new());
        let mut scan = Self {
            engine,
            data,
            resume,
            pem_searched: 0,
            bare: Measured::default(),
            word: Measured::default(),
            name: Known::NOTHING,
            secret: Known::NOTHING,
            strings: [Known::NOTHING; 2],
            table: Column::default(),
            spans,
            escaped,
            folded: false,
        };
        engine.keywords.find(data, from, &mut |hit| match &engine.owners[hit.keyword] {
            Owner::Folded => scan.folded = true,
            Owner::Escape => scan.note_escape(hit.head),
            Owner::Rules(rules) => scan.attempt_all(rules, hit.head, hit.tail),
        });
        scan
    }

    fn attempt_all(&mut self, rules: &[usize], head: usize, tail: usize) {
        // Most texts have no keyword, and need no place for each rule.
        if self.resume.is_empty() {
            self.resume = vec![0; self.engine.rules.len()];
        }
        for &rule in rules {
            if head >= self.resume[rule]
                && let Some((head, found)) = self.attempt(rule, head, tail)
            {
                self.add(head, rule, found);
            }
        }
    }

    fn note_escape(&mut self, at: usize) {
        let known = self.escaped.last().is_some_and(|(_, end)| at < *end);
        if known || !escapes::is_escape(&self.data[at..]) {
            return;
        }
        let (start, end) = escapes::around(self.data, at);
        match self.escaped.last_mut() {
            // What is around both of two escapes is looked at once.
            Some(last) if start <= last.1 => last.1 = end,
            _ => self.escaped.push((start, end)),
        }
    }

    pub(super) fn add(&mut self, head: usize, rule: usize, (start, end, close): Found) {
        let past = past_marker(self.data, start);
        if past > start && past >= end {
            return;
        }
        let start = past;
        let secret = &self.data[start..end];
        if !is_marker(secret) && !escapes::is_marker(secret) && self.engine.is_random(rule, secret) {
            let allow = self.engine.allowed(rule, secret);
            self.spans.push(Span { head, start, end, rule, close, allow });
        }
    }

    fn attempt(&mut self, rule: usize, head: usize, tail: usize) -> Option<(usize, Found)> {
        let engine = self.engine;
        let (start, end) = match &engine.rules.rules[rule].shape {
            Shape::Pattern(form) => return self.matched(rule, form, head, tail),
            Shape::Value(named) => return self.value(rule, named, head, tail).map(|found| (head, found)),
            Shape::Address => self.address(rule, head, tail)?,
            Shape::Pem => self.pem(head, tail)?,
            Shape::Pair => return self.pair(head).map(|found| (head, found)),
            Shape::Cookies => {
                self.resume[rule] = self.cookies(rule, head, tail);
                return None;
            }
        };
        self.resume[rule] = end;
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
        self.resume[rule] = (begin + stop).saturating_sub(tail - head).max(head + 1);
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
        self.resume[rule] = self.resume[rule].max(at.min(limit));
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
            if matches!(named.bare, Bare::Word | Bare::Line) {
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
        self.resume[rule] = end;
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
            self.resume[rule] = end;
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
