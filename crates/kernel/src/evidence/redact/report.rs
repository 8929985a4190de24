//! What a redaction did. A report says where secrets stood, and never holds anything that is derived from them.

use super::Redactor;
use super::sniff::Scanned;
use std::fmt::Write;
use std::sync::Arc;

/// One secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule that found it.
    pub pattern_name: Arc<str>,
    /// Where it began in the original, in characters; a byte that is not UTF-8 counts as one.
    pub offset: u64,
    /// How many characters it had.
    pub length: u64,
    /// Where it began in the original, in bytes.
    pub byte_offset: u64,
    /// How many bytes it had.
    pub byte_length: u64,
    /// What stands in its place.
    pub replacement: Arc<str>,
}

/// Something that a rule found and an exception left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The rule that found it.
    pub pattern_name: Arc<str>,
    /// The exception that was used.
    pub allow: Arc<str>,
    /// Where it begins, in characters.
    pub offset: u64,
    /// How many characters it has.
    pub length: u64,
}

/// How many replacements, and how many uses of exceptions, a report lists. Of data that is full of secrets it says only
/// how many more there are: neither it nor the row that it is stored in grows with the data.
pub const LISTED: usize = 10_000;

/// What a redaction did: each replacement, in the order of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The replacements, the first [`LISTED`] of them.
    pub hits: Vec<Hit>,
    /// How many more there were.
    pub more_hits: usize,
    /// What exceptions left, the first [`LISTED`] of it.
    pub allowed: Vec<Allowed>,
    /// How many more there were.
    pub more_allowed: usize,
    /// What was scanned, or why it was not.
    pub scanned: Scanned,
    /// The digest of the rules, as [`Rules::digest`](super::Rules::digest) gives it.
    pub rules: Arc<str>,
}

impl Report {
    /// How many secrets were replaced.
    pub fn replaced(&self) -> usize {
        self.hits.len() + self.more_hits
    }

    /// How many were left because of an exception.
    pub fn left(&self) -> usize {
        self.allowed.len() + self.more_allowed
    }

    /// Whether there is more to say than that the built-in rules found nothing: something was replaced, allowed or not
    /// scanned, or the rules were others.
    pub fn says_something(&self) -> bool {
        let others = *self.rules != *Redactor::builtin().digest();
        self.replaced() > 0 || self.left() > 0 || !self.scanned.is_whole() || others
    }

    pub(super) fn hit(&mut self, hit: Hit) {
        if self.hits.len() < LISTED {
            self.hits.push(hit);
        } else {
            self.more_hits += 1;
        }
    }

    pub(super) fn allow(&mut self, used: Allowed) {
        if self.allowed.len() < LISTED {
            self.allowed.push(used);
        } else {
            self.more_allowed += 1;
        }
    }

    /// The stored form. `original_hash` is always empty: beside the redacted bytes, an unsalted hash of the original
    /// would let anybody test guesses of a short secret.
    pub fn to_json(&self) -> String {
        self.json(true)
    }

    /// The same with the members of the Python package 0.1.0 alone, and of ours only those that say something unusual: other
    /// rules than the built-in ones, data that was not scanned, exceptions, a list that was cut off.
    pub fn to_json_as_0_1_0(&self) -> String {
        self.json(false)
    }

    fn json(&self, whole: bool) -> String {
        let mut json = String::from("{\"hits\": [");
        // Writing to a String cannot fail, and no id, replacement or digest holds anything to escape.
        for (index, hit) in self.hits.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(
                json,
                "{comma}{{\"pattern_name\": \"{}\", \"offset\": {}, \"length\": {}, \"replacement\": \"{}\"}}",
                hit.pattern_name, hit.offset, hit.length, hit.replacement
            );
        }
        let _ = write!(json, "], \"original_hash\": \"\", \"redacted\": {}", !self.hits.is_empty());
        for (index, used) in self.allowed.iter().enumerate() {
            let comma = if index == 0 { ", \"allowed\": [" } else { ", " };
            // The id of an exception may hold a quote.
            let id = used.allow.replace(['"', '\\'], "_");
            let _ = write!(
                json,
                "{comma}{{\"pattern_name\": \"{}\", \"allow\": \"{id}\", \"offset\": {}, \"length\": {}}}",
                used.pattern_name, used.offset, used.length
            );
        }
        json.push_str(if self.allowed.is_empty() { "" } else { "]" });
        for (name, more) in [("more_hits", self.more_hits), ("more_allowed", self.more_allowed)] {
            if more > 0 {
                let _ = write!(json, ", \"{name}\": {more}");
            }
        }
        if whole || *self.rules != *Redactor::builtin().digest() {
            let _ = write!(json, ", \"rules\": \"{}\"", self.rules);
        }
        if whole || !self.scanned.is_whole() {
            let _ = write!(json, ", \"scanned\": {}", self.scanned.is_whole());
        }
        if let Some(why) = self.scanned.why() {
            let _ = write!(json, ", \"unscanned\": \"{why}\"");
        }
        json.push('}');
        json
    }
}
