//! The rules, ready to search with: which of them a keyword belongs to, and what they say of a value.

use super::allow::Allow;
use super::assign::{DOUBLE, SINGLE, is_digest, is_identifier, is_secret_name, weight};
use super::builtin::{self, Held};
use super::encoding::is_folded;
use super::escapes;
use super::keywords::Keywords;
use super::references::is_reference;
use super::rules::{Named, Quotes, Rule, Rules, Shape, is_marker};
use std::sync::Arc;

/// Rules, ready to search with.
#[derive(Debug)]
pub(super) struct Engine {
    rules: Vec<Held>,
    allow: Vec<Allow>,
    keywords: Keywords,
    /// The rule of each keyword.
    owners: Vec<u16>,
}

impl Engine {
    /// The built-in rules.
    pub(super) fn builtin() -> Self {
        Self::of(builtin::rules(), Vec::new())
    }

    pub(super) fn new(Rules { rules, allow, .. }: Rules) -> Self {
        let keywords = |rule: &Rule| rule.keywords.iter().map(|word| word.as_str().into()).collect();
        Self::of(rules.into_iter().map(|rule| (keywords(&rule), rule)).map(|(words, rule)| (rule.into(), words)), allow)
    }

    fn of(rules: impl Iterator<Item = (Held, Vec<Box<str>>)>, allow: Vec<Allow>) -> Self {
        let (mut held, mut owners, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (rule, keywords)) in (0..=u16::MAX).zip(rules) {
            held.push(rule);
            owners.extend(keywords.iter().map(|_| index));
            words.extend(keywords);
        }
        Self { rules: held, allow, keywords: Keywords::of(words), owners }
    }

    /// How many rules there are.
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// A rule, by its place among all.
    pub(super) fn rule(&self, rule: usize) -> Option<&Rule> {
        self.rules.get(rule)?.rule()
    }

    /// The name of an exception.
    pub(super) fn exception(&self, allow: usize) -> Option<&Arc<str>> {
        self.allow.get(allow).map(|entry| &entry.id)
    }

    /// Shows each place between two where a rule is to be tried, from left to right: the rule, and where its keyword begins
    /// and ends.
    pub(super) fn places(&self, text: &[u8], from: usize, to: usize, found: &mut dyn FnMut(usize, usize, usize)) {
        let owner = |keyword: usize| usize::from(self.owners[keyword]);
        self.keywords.find(text, from, to, &mut |hit| found(owner(hit.keyword), hit.head, hit.tail));
    }

    /// Whether a text has no keyword, hidden or not, and so surely nothing to find.
    pub(super) fn rules_out(&self, text: &[u8]) -> bool {
        !self.keywords.are_in(text) && !escapes::are_in(text) && !is_folded(text)
    }

    /// The rules under which the value of a member of this name is a secret because of it.
    pub(super) fn named(&self, name: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        self.places(name, 0, name.len(), &mut |rule, head, tail| {
            let Some(Shape::Value(named)) = self.rule(rule).map(|rule| &rule.shape) else { return };
            let ends = !named.ends || tail == name.len();
            if ends && (!named.guarded || is_secret_name(name, head, tail) && !is_identifier(name)) {
                found.push(rule);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether a value is a secret by this rule, which goes by its name.
    pub(super) fn is_secret(&self, rule: usize, value: &[u8]) -> bool {
        let Some(Shape::Value(named)) = self.rule(rule).map(|rule| &rule.shape) else { return false };
        let harmless = named.guarded && is_digest(value);
        let stands = !is_reference(value) && !is_marker(value);
        !value.is_empty() && !harmless && stands && fits(named, value) && self.is_random(rule, value)
    }

    /// The rule for the values of cookies.
    pub(super) fn rule_of_cookies(&self) -> Option<usize> {
        let is_one = |held: &Held| matches!(held.rule().map(|rule| &rule.shape), Some(Shape::Cookies));
        self.rules.iter().position(|held| held.may_say("cookies") && is_one(held))
    }

    pub(super) fn is_random(&self, rule: usize, secret: &[u8]) -> bool {
        self.rule(rule).and_then(|rule| rule.entropy).is_none_or(|floor| entropy(secret) >= floor)
    }

    /// The exception that holds for what a rule found.
    pub(super) fn allowed(&self, rule: usize, secret: &[u8]) -> Option<usize> {
        let id = &self.rule(rule)?.id;
        self.allow.iter().position(|entry| entry.holds(id, secret))
    }
}

/// Whether all of a value is what a rule asks for.
pub(super) fn fits(named: &Named, value: &[u8]) -> bool {
    named.pattern.as_ref().is_none_or(|pattern| pattern.begins(value))
        && (named.least == 0 || weight(value) >= named.least)
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
