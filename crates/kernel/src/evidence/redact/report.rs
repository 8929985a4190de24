//! What a redaction did. A report says where secrets stood, and never holds anything that is derived from them.

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

/// What a redaction did: each replacement, in the order of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The replacements.
    pub hits: Vec<Hit>,
    /// What exceptions left.
    pub allowed: Vec<Allowed>,
    /// What was scanned, or why it was not.
    pub scanned: Scanned,
    /// The digest of the rules, as [`Rules::digest`](super::Rules::digest) gives it.
    pub rules: Arc<str>,
}

impl Report {
    /// The stored form. `original_hash` is always empty: beside the redacted bytes, an unsalted hash of the original
    /// would let anybody test guesses of a short secret.
    pub fn to_json(&self) -> String {
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
        let _ = write!(json, ", \"rules\": \"{}\", \"scanned\": {}", self.rules, self.scanned.is_whole());
        if let Some(why) = self.scanned.why() {
            let _ = write!(json, ", \"unscanned\": \"{why}\"");
        }
        json.push('}');
        json
    }
}
