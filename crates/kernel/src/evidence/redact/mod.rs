//! Secrets taken out of evidence and payloads before anything is hashed or stored.
//!
//! What a secret looks like is data ([`Rules`]): `rules.toml`, and what a user adds. Whatever its content type says, data
//! is scanned as bytes; UTF-16 is recognised and scanned by code unit; base64 and escapes are looked into, one level deep.
//! One pass of a keyword automaton finds the places where a rule could begin, and each rule then looks at its own place
//! only, so that clean data costs one pass and hostile data stays linear.
//!
//! What a rule finds is a *span*: the secret itself, without the name in front of it and the quotes around it, so
//! that JSON stays JSON. Spans that overlap become one, replaced once: nothing of a reported secret is left, and
//! nothing next to it is lost. Redacting again changes nothing, but where a replacement made a value short enough for a rule
//! that has a longest one.
//!
//! A [`Report`] says where secrets stood, and never holds anything that is derived from them.

mod allow;
mod assign;
mod base64;
mod changes;
mod data;
mod encoding;
mod engine;
mod escapes;
mod fields;
mod keywords;
mod members;
mod merge;
mod pairs;
mod pattern;
mod payload;
mod pem;
mod references;
mod report;
mod rules;
mod sniff;
mod steps;
mod stream;
mod tables;
mod write;

pub use pattern::MAX_COMPILED;
pub use report::{Allowed, Hit, LISTED, Report};
pub use rules::{
    MAX_ALLOWED, MAX_EXPRESSIONS, MAX_FILE, MAX_KEYWORD, MAX_KEYWORD_BYTES, MAX_KEYWORDS, MAX_RULES, Rule, Rules,
};
pub use sniff::Scanned;
pub use stream::StreamRedactor;

use crate::error::Result;
use encoding::{Encoding, fold, narrow};
use engine::{Close, Engine, Scan, Span};
use escapes::source;
use merge::{Group, Then, join, merge};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use write::Writer;

/// The longest quoted string, block or match that is taken for one secret.
const LONGEST: usize = 32 << 10;
/// How far a name, or what decides whether a word begins, may be to the left of a keyword.
const CONTEXT: usize = 64;

/// A text for an error or a message, with the secrets that the built-in rules know replaced: what a caller gave may be a
/// secret in the wrong place.
pub fn without_secrets(text: &str) -> String {
    Redactor::builtin().redact_text(text).unwrap_or_else(|| text.to_owned())
}

/// Finds secrets and replaces them. See the [module](self) for how. Clones share the rules.
///
/// ```
/// use receipt_kernel::evidence::redact::Redactor;
///
/// let (clean, report) = Redactor::builtin().redact(br#"{"password": "hunter2"}"#);
/// assert_eq!(&*clean, br#"{"password": "[REDACTED:password]"}"#);
/// assert_eq!(report.hits[0].offset, 14);
/// ```
#[derive(Clone, Debug)]
pub struct Redactor {
    /// `None` if the rules cannot be used: then nothing is known to be clean, and everything is replaced.
    engine: Option<Arc<Engine>>,
    digest: Arc<str>,
    /// What a rule that is not there is called, and what stands in the place of what it finds.
    all: (Arc<str>, Arc<str>),
}

impl Redactor {
    /// The redactor of the built-in rules.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Redactor> =
            LazyLock::new(|| Rules::builtin().and_then(Redactor::new).unwrap_or_else(|_| Redactor::of(None, "")));
        &BUILTIN
    }

    /// The redactor of these rules.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`](crate::Error::RulesInvalid) where they are more than can be searched for at once.
    pub fn new(rules: Rules) -> Result<Self> {
        let digest = rules.digest()?;
        let engine = Engine::build(rules).ok_or_else(|| fields::invalid("the keywords", "they are too many"))?;
        Ok(Self::of(Some(engine), &digest))
    }

    fn of(engine: Option<Engine>, digest: &str) -> Self {
        Self { engine: engine.map(Arc::new), digest: digest.into(), all: ("all".into(), "[REDACTED:all]".into()) }
    }

    /// The digest of the rules, as [`Rules::digest`] gives it.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest of the rules, if they are not the built-in ones: an event that they redacted names them.
    pub fn other_rules(&self) -> Option<&str> {
        (self.digest != Self::builtin().digest).then_some(&*self.digest)
    }

    /// Replaces every secret in data of any kind, in its own encoding. Clean data is given back as it is.
    pub fn redact<'a>(&self, data: &'a [u8]) -> (Cow<'a, [u8]>, Report) {
        let encoding = Encoding::of(data);
        let groups = self.groups(data, encoding, 0);
        let mut writer = Writer::new(self.clone(), encoding);
        writer.notice(data);
        if groups.is_empty() {
            return (Cow::Borrowed(data), writer.finish());
        }
        let mut out = Vec::with_capacity(data.len());
        writer.write(data, 0, data.len(), &groups, &mut out);
        (Cow::Owned(out), writer.finish())
    }

    /// Replaces every secret in a short text; `None` if there is none.
    pub fn redact_text(&self, text: &str) -> Option<String> {
        let groups = self.groups(text.as_bytes(), Encoding::Bytes, 0);
        let dirty = groups.iter().any(|group| !matches!(group.then, Then::Kept(_)));
        dirty.then(|| self.replaced(&text.into(), &groups).to_string_lossy())
    }

    /// Starts redacting data that comes in pieces.
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor::new(self.clone())
    }

    /// The id and the replacement of a rule.
    fn rule(&self, rule: usize) -> (&Arc<str>, &Arc<str>) {
        let found = self.engine.as_ref().and_then(|engine| engine.rules.rules.get(rule));
        found.map_or((&self.all.0, &self.all.1), |rule| (&rule.id, &rule.replacement))
    }

    fn allow(&self, allow: usize) -> Arc<str> {
        let found = self.engine.as_ref().and_then(|engine| engine.rules.allow.get(allow));
        found.map_or_else(|| Arc::clone(&self.all.0), |entry| Arc::clone(&entry.id))
    }

    /// What is to be replaced, in order, none of it twice. `data` may have a little before `from`.
    fn groups(&self, data: &[u8], encoding: Encoding, from: usize) -> Vec<Group> {
        let groups = self.open_groups(data, encoding, from);
        let Some(engine) = &self.engine else { return groups };
        if encoding != Encoding::Bytes || data.len() < base64::SHORTEST {
            return groups;
        }
        let replacement = |rule: usize| self.rule(rule).1.to_string();
        let search = |text: &[u8], encoding| {
            if encoding == Encoding::Bytes && engine.rules_out(text) {
                Vec::new()
            } else {
                self.open_groups(text, encoding, 0)
            }
        };
        let Some((text, moves)) = escapes::without_slashes(data) else {
            return join(groups, base64::groups(data, from, &replacement, &search));
        };
        let mut encoded = base64::groups(&text, 0, &replacement, &search);
        for group in &mut encoded {
            let source = |place| source(&moves, place);
            (group.head, group.start, group.end) = (source(group.head), source(group.start), source(group.end));
            // The backslash before a slash goes with it.
            group.start -= usize::from(data[..group.start].ends_with(b"\\") && data[group.start..].starts_with(b"/"));
        }
        encoded.retain(|group| group.head >= from);
        join(groups, encoded)
    }

    /// The same without what lies in base64.
    fn open_groups(&self, data: &[u8], encoding: Encoding, from: usize) -> Vec<Group> {
        let Some(engine) = &self.engine else {
            let rule = usize::MAX;
            return vec![Group { head: from, start: from, end: data.len(), rule, then: Then::Replacement }];
        };
        if encoding != Encoding::Bytes {
            let narrowed: Vec<u8> = encoding.units(data).map(narrow).collect();
            let width = encoding.width();
            let spans = Scan::run(engine, &narrowed, from / width).unwrap_or_default();
            return merge(moved(spans, |place| place * width));
        }
        if let Ok(spans) = Scan::run(engine, data, from) {
            return merge(spans);
        }
        let (folded, moves) = fold(data);
        let spans = Scan::run(engine, &folded, 0).unwrap_or_default();
        let spans = moved(spans, |place| source(&moves, place));
        merge(spans.into_iter().filter(|span| span.head >= from).collect())
    }
}

fn moved(mut spans: Vec<Span>, to: impl Fn(usize) -> usize) -> Vec<Span> {
    for span in &mut spans {
        (span.head, span.start, span.end) = (to(span.head), to(span.start), to(span.end));
        match &mut span.close {
            Close::Opener(open) => *open = to(*open),
            Close::Quotes(from, until) => (*from, *until) = (to(*from), to(*until)),
            Close::Nothing | Close::Bytes(_) => {}
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rules_nothing_is_kept() {
        let redactor = Redactor::of(None, "");
        assert_eq!(&*redactor.redact(b"anything").0, b"[REDACTED:all]");
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        stream.push(b"anything", &mut out);
        assert_eq!((stream.finish(&mut out).hits.len(), out), (1, b"[REDACTED:all]".to_vec()));
    }

    #[test]
    fn the_rules_compile() {
        assert!(Redactor::builtin().engine.is_some());
    }
}
