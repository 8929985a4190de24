//! Values that stand in members of an object: numbers, values before their names, objects below a name, cookies.

use super::LONGEST;
use super::assign::{Assigned, DOUBLE, How, SINGLE, assigned, quoted, skip_space};
use super::data::{bare_end, is_literal};
use super::pairs;
use super::references::is_reference;
use super::rules::{Named, is_marker};
use super::scan::{Close, Found, Scan};

/// How long a number may be, how long `value` is, and how long a value before its name may be.
const NUMBER: usize = 64;
const VALUE: usize = 5;
const PAIR: usize = 4 << 10;

impl Scan<'_> {
    /// A number of JSON under the name of a secret. What stands in its place must be a text.
    pub(super) fn number(&self, named: &Named, at: &Assigned, tail: usize) -> Option<Found> {
        let data = self.data;
        let near = &data[at.value..data.len().min(at.value + NUMBER)];
        let digits = near.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        let (start, end) = (at.value, at.value + digits);
        let ends = data.get(end).is_none_or(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace());
        let number = digits > 1 && near.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
        if !(at.named
            && matches!(at.how, How::Colon | How::Pair)
            && number
            && ends
            && self.fitting(named, tail, start, end))
        {
            return None;
        }
        let quotes = data[tail..at.value].iter().take_while(|byte| matches!(byte, b'\\' | b'"' | b'\'')).count();
        Some((start, end, Close::Quotes(tail, tail + quotes)))
    }

    /// The members of an object that stands under the name of a secret.
    pub(super) fn members(&mut self, rule: usize, named: &Named, head: usize, tail: usize, at: Assigned) {
        for value in pairs::below(self.data, at.value, false) {
            for quote in named.quotes.list() {
                if let Some((start, end)) = quoted(self.data, value, *quote)
                    && self.fitting(named, tail, start, end)
                {
                    self.add(head, rule, (start, end, Close::Opener(value)));
                }
            }
            let inside = Assigned { value, named: true, how: How::Colon, ..at };
            if let Some(found) = self.number(named, &inside, tail) {
                self.add(head, rule, found);
            }
        }
    }

    /// A value that stands before its name, or before what only a cookie has.
    pub(super) fn pair(&mut self, head: usize) -> Option<Found> {
        let data = self.data;
        let at = self.name.ask(VALUE + head, || assigned(data, head + VALUE))?;
        let string = [DOUBLE, SINGLE].into_iter().find_map(|quote| {
            let string = &mut self.strings[usize::from(quote == SINGLE)];
            string.ask(at.value, || quoted(data, at.value, quote))
        });
        let (start, end, after) = if let Some((start, end)) = string {
            (start, end, end + (start - at.value))
        } else {
            let end = self.bare.end(at.value, |at| bare_end(data, at));
            (at.value, end, end)
        };
        if start >= end || after > data.len() || end - start > PAIR {
            return None;
        }
        let wanted = |key: &[u8]| pairs::holds_name(key) || pairs::is_of_cookie(key);
        let (key, place) = pairs::partner(data, after, wanted)?;
        let value = &data[start..end];
        let secret = if pairs::is_of_cookie(key) {
            value.len() >= 8 && !is_reference(value) && !is_marker(value)
        } else {
            let (engine, name) = (self.engine, pairs::name_at(data, place));
            let by_rule = || engine.named(name).iter().any(|rule| engine.is_secret(*rule, value));
            pairs::names_password(name) && value.len() >= 4 && !is_reference(value) && !is_marker(value) || by_rule()
        };
        let close = if string.is_some() { Close::Opener(at.value) } else { Close::Bytes(" ") };
        (secret && (string.is_some() || is_literal(value))).then_some((start, end, close))
    }

    /// The values of what is called cookies: of a map all, of a list those of each of its members.
    ///
    /// Gives where it stopped to look.
    pub(super) fn cookies(&mut self, rule: usize, head: usize, tail: usize) -> usize {
        let data = self.data;
        let name = tail - usize::from(matches!(data.get(tail - 1), Some(b'"' | b'\'' | b'\\')));
        let Some(at) = assigned(data, name) else { return tail };
        let (mut open, limit) = (at.value, data.len().min(at.value + LONGEST));
        while open < limit && data[open] == b'{' {
            let values = pairs::below(data, open, !at.array);
            for value in &values {
                let string = [DOUBLE, SINGLE].iter().find_map(|quote| quoted(data, *value, *quote));
                let long = string.filter(|(start, end)| end - start >= 8 && !is_reference(&data[*start..*end]));
                if let Some((start, end)) = long {
                    self.add(head, rule, (start, end, Close::Opener(*value)));
                }
            }
            if !at.array {
                return tail;
            }
            let Some(next) = memchr::memchr(b'}', &data[open..limit.min(open + PAIR)]) else { return open };
            let after = skip_space(data, open + next + 1);
            if data.get(after) != Some(&b',') {
                return open;
            }
            open = skip_space(data, after + 1);
        }
        open
    }
}
