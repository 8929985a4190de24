//! Secrets taken out of evidence and payloads before anything is hashed or stored.
//!
//! What a secret looks like is data ([`Rules`]): `rules.toml`, and what a user adds. Whatever its content type says, data
//! is scanned as bytes; UTF-16 is recognised and scanned by code unit; base64 and escapes are looked into, one level deep.
//! One pass finds the keywords at which a rule could begin, and each rule then looks at its own place only, so that clean
//! data costs one pass and hostile data stays linear. Data is searched window by window, whether it comes in pieces or not:
//! `flow` cuts the windows, `scan` searches one, `merge` joins what overlaps, and `write` replaces it.
//!
//! What a rule finds is a *span*: the secret itself, without the name in front of it and the quotes around it, so
//! that JSON stays JSON. Spans that overlap become one, replaced once: nothing of a reported secret is left, and
//! nothing next to it is lost. Redacting again changes nothing, but where a replacement made a value short enough for a rule
//! that has a longest one.
//!
//! A [`Report`] says where secrets stood, and never holds anything that is derived from them.

mod allow;
mod assign;
mod automaton;
mod base64;
mod builtin;
mod changes;
mod data;
mod encoding;
mod engine;
mod escapes;
mod fields;
mod flow;
#[cfg(test)]
mod hostile;
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
mod scan;
mod sniff;
mod steps;
mod stream;
mod tables;
mod view;
pub(crate) mod withheld;
mod work;
mod write;

pub use pattern::MAX_COMPILED;
pub use report::{Allowed, Hit, LISTED, Report};
pub use rules::{
    MAX_ALLOWED, MAX_EXPRESSIONS, MAX_FILE, MAX_KEYWORD, MAX_KEYWORD_BYTES, MAX_KEYWORDS, MAX_RULES, Rule, Rules,
};
pub use sniff::Scanned;
pub use stream::StreamRedactor;

use crate::error::Result;
use encoding::Encoding;
use engine::Engine;
use flow::{Flow, Sizes};
use merge::{Group, Then};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use write::{Sink, Writer};

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
    /// The same where a search was given up.
    costly: (Arc<str>, Arc<str>),
    /// A text at which it fails.
    fault: Option<Arc<str>>,
}

impl Redactor {
    /// The redactor of the built-in rules.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Redactor> = LazyLock::new(|| Redactor::of(Some(Engine::builtin()), builtin::DIGEST));
        &BUILTIN
    }

    /// The redactor of these rules.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`](crate::Error::RulesInvalid) where they are more than can be searched for at once.
    pub fn new(rules: Rules) -> Result<Self> {
        let digest = rules.digest()?;
        Ok(Self::of(Some(Engine::new(rules)), &digest))
    }

    fn of(engine: Option<Engine>, digest: &str) -> Self {
        let all = ("all".into(), "[REDACTED:all]".into());
        let costly = ("too_costly".into(), "[REDACTED:too_costly]".into());
        Self { engine: engine.map(Arc::new), digest: digest.into(), all, costly, fault: None }
    }

    /// The same, but it panics where this text stands: for tests of what a fault in the redaction itself does.
    #[doc(hidden)]
    #[must_use]
    pub fn with_planted_fault(self, text: &str) -> Self {
        Self { fault: Some(text.into()), ..self }
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
    ///
    /// If redaction itself fails, which is a fault of this program, the data is withheld, and the report says so.
    pub fn redact<'a>(&self, data: &'a [u8]) -> (Cow<'a, [u8]>, Report) {
        withheld::guarded(|| self.redact_by(data, Sizes::USUAL)).unwrap_or_else(|| {
            let mut report = Report { rules: Arc::clone(&self.digest), ..Report::default() };
            withheld::note(&mut report);
            (Cow::Borrowed(withheld::TEXT.as_bytes()), report)
        })
    }

    fn redact_by<'a>(&self, data: &'a [u8], sizes: Sizes) -> (Cow<'a, [u8]>, Report) {
        let encoding = Encoding::of(data);
        let (mut writer, mut out) = (Writer::new(self.clone(), encoding), Whole { data, same: 0, redacted: None });
        writer.notice(data);
        Flow::new(self.clone(), encoding, sizes).run(data, &mut |data, settled| writer.write(data, settled, &mut out));
        (out.redacted.map_or(Cow::Borrowed(data), Cow::Owned), writer.finish(false))
    }

    /// Replaces every secret in a short text; `None` if there is none.
    pub fn redact_text(&self, text: &str) -> Option<String> {
        let redacted = withheld::guarded(|| {
            let groups = self.groups(text.as_bytes());
            let dirty = groups.iter().any(|group| !matches!(group.then, Then::Kept(_)));
            dirty.then(|| self.replaced(&text.into(), &groups).to_string_lossy())
        });
        redacted.unwrap_or_else(|| Some(withheld::TEXT.to_owned()))
    }

    /// Starts redacting data that comes in pieces.
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor::new(self.clone(), Sizes::USUAL)
    }

    /// The same, in windows that move on by so many bytes: for tests of what lies across them.
    #[doc(hidden)]
    pub fn stream_in_windows(&self, piece: usize) -> StreamRedactor {
        StreamRedactor::new(self.clone(), Sizes { piece, ..Sizes::USUAL })
    }

    /// The id and the replacement of a rule.
    fn rule(&self, rule: usize) -> (&Arc<str>, &Arc<str>) {
        let found = self.engine.as_ref().and_then(|engine| engine.rule(rule));
        if rule == scan::TOO_COSTLY {
            return (&self.costly.0, &self.costly.1);
        }
        found.map_or((&self.all.0, &self.all.1), |rule| (&rule.id, &rule.replacement))
    }

    fn allow(&self, allow: usize) -> Arc<str> {
        let found = self.engine.as_ref().and_then(|engine| engine.exception(allow));
        Arc::clone(found.unwrap_or(&self.all.0))
    }

    /// What is to be replaced in a text, in order, none of it twice.
    fn groups(&self, text: &[u8]) -> Vec<Group> {
        let mut groups = Vec::new();
        let flow = Flow::new(self.clone(), Encoding::Bytes, Sizes::USUAL);
        flow.run(text, &mut |_, settled| groups.extend_from_slice(&settled.groups));
        groups
    }
}

/// Data that is redacted whole: it is copied once something in it is replaced.
struct Whole<'d> {
    data: &'d [u8],
    /// How much of it was given before that.
    same: usize,
    redacted: Option<Vec<u8>>,
}

impl Sink for Whole<'_> {
    fn same(&mut self, bytes: &[u8]) {
        match &mut self.redacted {
            Some(out) => out.extend_from_slice(bytes),
            None => self.same += bytes.len(),
        }
    }

    fn other(&mut self, bytes: &[u8]) {
        let copy = || {
            let mut out = Vec::with_capacity(self.data.len());
            out.extend_from_slice(&self.data[..self.same]);
            out
        };
        self.redacted.get_or_insert_with(copy).extend_from_slice(bytes);
    }
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
