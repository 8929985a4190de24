//! The built-in rules, each of which is read when it is first needed: a process that records one small event reads none.

use super::rules::{Rule, Rules};
use memchr::memmem;
use std::sync::OnceLock;

/// The built-in rules.
pub(super) const TEXT: &str = include_str!("../rules.toml");
/// Their digest, as [`Rules::digest`] gives it. A test holds it to that.
pub(super) const DIGEST: &str = include_str!("../rules.digest");

/// A rule that may not have been read yet.
#[derive(Debug)]
pub(super) struct Held {
    text: &'static str,
    rule: OnceLock<Option<Rule>>,
}

impl Held {
    /// Whether the rule may have this word in it; tells without reading it.
    pub(super) fn may_say(&self, word: &str) -> bool {
        self.text.is_empty() || self.text.contains(word)
    }

    /// `None` for a built-in rule that cannot be read, which a test sees to.
    pub(super) fn rule(&self) -> Option<&Rule> {
        self.rule.get_or_init(|| Rules::default().read(self.text, false).ok()?.rules.pop()).as_ref()
    }
}

impl From<Rule> for Held {
    fn from(rule: Rule) -> Self {
        Self { text: "", rule: OnceLock::from(Some(rule)) }
    }
}

/// Each built-in rule, and its keywords.
pub(super) fn rules() -> impl Iterator<Item = (Held, Vec<Box<str>>)> {
    let begin = "[[rule]]\n";
    let mut starts = memmem::find_iter(TEXT.as_bytes(), begin).peekable();
    std::iter::from_fn(move || {
        let (start, end) = (starts.next()?, starts.peek().copied().unwrap_or(TEXT.len()));
        let text = TEXT.get(start..end)?;
        Some((Held { text, rule: OnceLock::new() }, keywords(text)))
    })
}

/// The keywords of a rule as it is written: the strings of an array.
fn keywords(rule: &str) -> Vec<Box<str>> {
    let begin = "\nkeywords = [";
    let mut rest = memmem::find(rule.as_bytes(), begin.as_bytes()).map_or("", |at| &rule[at + begin.len()..]);
    let mut keywords = Vec::new();
    while let Some(open) = rest.find(['"', '\'', ']']) {
        let quote = rest.as_bytes()[open];
        if quote == b']' {
            break;
        }
        let (mut word, mut letters) = (String::new(), rest[open + 1..].chars());
        while let Some(letter) = letters.next().filter(|letter| *letter != char::from(quote)) {
            let escaped = if letter == '\\' && quote == b'"' { letters.next() } else { None };
            word.push(match escaped {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => letter,
            });
        }
        keywords.push(word.into());
        rest = letters.as_str();
    }
    keywords
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_the_one_that_is_read_from_the_whole_file() {
        let whole = Rules::builtin().unwrap();
        let one_by_one: Vec<_> = rules().collect();
        assert_eq!(one_by_one.len(), whole.len());
        for ((held, keywords), rule) in one_by_one.iter().zip(whole.iter()) {
            assert!(keywords.iter().map(|word| &**word).eq(rule.keywords()), "{}", rule.id());
            assert_eq!(format!("{:?}", held.rule().unwrap()), format!("{rule:?}"));
        }
    }

    #[test]
    fn the_digest_is_written_down() {
        let digest = Rules::builtin().unwrap().digest().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            // Tests run in the folder of their crate.
            std::fs::write("src/evidence/rules.digest", &digest).unwrap();
        } else {
            assert_eq!(DIGEST, digest, "run this test with UPDATE=1: the rules were changed");
        }
    }
}
