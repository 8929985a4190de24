//! Expressions, compiled when they are first needed; and those with a group in them, found without the cost of groups.

use super::rules::invalid;
use crate::error::Result;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};
use std::sync::{Arc, OnceLock};

/// How large an expression may become.
const MAX_PATTERN: usize = 4 << 20;

/// An expression that is compiled when it is first needed.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    compiled: Arc<OnceLock<Option<Regex>>>,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        Self { text, compiled: Arc::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `None` for one that does not compile; a set that was checked has none.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }

    fn compile(&self) -> std::result::Result<Regex, regex::Error> {
        RegexBuilder::new(&self.text).unicode(false).size_limit(MAX_PATTERN).build()
    }

    pub(super) fn check(&self, at: &str) -> Result<()> {
        self.compile().map(drop).map_err(|error| invalid(at, &error.to_string()))
    }
}

/// An expression for what begins a text, of which one group is the secret; group 0 is all of it.
#[derive(Clone, Debug)]
pub(super) struct Grouped {
    pub(super) whole: Pattern,
    pub(super) group: usize,
    parts: Arc<OnceLock<Option<Parts>>>,
}

/// A match: where its secret begins and ends, and where it ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) stop: usize,
}

impl Grouped {
    pub(super) fn new(pattern: &str, group: usize) -> Self {
        Self { whole: Pattern::new(format!(r"\A(?:{pattern})")), group, parts: Arc::default() }
    }

    /// The match that begins with the text.
    ///
    /// To find a group costs some ten times what finding a match does. So what stands before the group, the group, and what
    /// stands after it are looked for one after the other, each where the one before ended. Where all are found, that is
    /// the match: each is the one that the whole expression tries first. Where one is missing behind the first, the whole
    /// expression may still match another way.
    pub(super) fn find(&self, text: &[u8]) -> Option<Match> {
        if self.group == 0 {
            let end = self.whole.regex()?.find(text)?.end();
            return Some(Match { start: 0, end, stop: end });
        }
        if let Some(parts) = self.parts.get_or_init(|| Parts::of(&self.whole.text, self.group)) {
            // Where something has to stand after the group, that there is a beginning says little.
            if parts.after.is_some() && !self.whole.regex()?.is_match(text) {
                return None;
            }
            let start = parts.before.regex()?.find(text)?.end();
            let found = parts.behind(text, start);
            if found.is_some() || parts.only {
                return found;
            }
        }
        let whole = self.whole.regex()?.find(text)?;
        let groups = self.whole.regex()?.captures(&text[..text.len().min(whole.end() + 1)])?;
        let secret = groups.get(self.group)?;
        Some(Match { start: secret.start(), end: secret.end(), stop: whole.end() })
    }
}

/// What an expression is put together from, each part one for what begins a text.
#[derive(Debug)]
struct Parts {
    before: Pattern,
    group: Pattern,
    after: Option<Pattern>,
    /// Whether there is no other way: what stands before the group is of one length, and nothing has to stand after it.
    only: bool,
}

impl Parts {
    /// `None` where the group is not one of the parts that follow each other, where what is behind it looks back, or where a
    /// part does not compile by itself, as characters beyond ASCII do not: then nothing is found by parts.
    fn of(whole: &str, group: usize) -> Option<Self> {
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(whole).ok()?;
        let HirKind::Concat(parts) = parsed.kind() else { return None };
        let is_group = |part: &Hir| matches!(part.kind(), HirKind::Capture(capture) if usize::try_from(capture.index) == Ok(group));
        let place = parts.iter().position(is_group)?;
        if !parts[place..].iter().all(|part| part.properties().look_set().is_empty()) {
            return None;
        }
        let pattern = |parts: &[Hir]| Pattern::new(format!(r"\A(?:{})", Hir::concat(parts.to_vec())));
        let (before, after) = (&parts[..place], &parts[place + 1..]);
        let one_length = |part: &Hir| part.properties().minimum_len() == part.properties().maximum_len();
        let parts = Self {
            before: pattern(before),
            group: pattern(&parts[place..=place]),
            after: (!after.is_empty()).then(|| pattern(after)),
            only: before.iter().all(one_length) && after.is_empty(),
        };
        let compile = [&parts.before, &parts.group].into_iter().chain(&parts.after).all(|part| part.regex().is_some());
        compile.then_some(parts)
    }

    fn behind(&self, text: &[u8], start: usize) -> Option<Match> {
        let end = start + self.group.regex()?.find(&text[start..])?.end();
        let stop = match &self.after {
            None => end,
            Some(after) => end + after.regex()?.find(&text[end..])?.end(),
        };
        Some(Match { start, end, stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the groups of the whole expression say.
    fn by_groups(grouped: &Grouped, text: &[u8]) -> Option<Match> {
        let groups = grouped.whole.regex().unwrap().captures(text)?;
        let secret = groups.get(grouped.group)?;
        Some(Match { start: secret.start(), end: secret.end(), stop: groups.get(0)?.end() })
    }

    proptest! {
        #[test]
        fn parts_find_what_groups_find(text in "[ab:\"x]{0,24}", which in 0..PATTERNS.len()) {
            let grouped = Grouped::new(PATTERNS[which], 1);
            prop_assert_eq!(grouped.find(text.as_bytes()), by_groups(&grouped, text.as_bytes()));
        }
    }

    /// Some where what comes before, the group and what comes after can be had in several ways.
    const PATTERNS: [&str; 8] = [
        "a{0,3}:{0,2}([ab]{1,5})",
        "(?:a|ab|abb)(b?a{0,4}):",
        "(?:ab??|a:?)([ab:]{2,6}?)\"",
        "[ab]{0,9}?:([^:]{1,4})(?:x|:x)",
        "(?i:A)?(a|ab)(b|:)?x",
        "a?(?:b(a)|x)b?",
        "a?(b{1,3})\\b",
        "(?s).{0,3}(a.?)",
    ];

    #[test]
    fn a_pattern_whose_parts_do_not_compile_is_found_by_its_groups() {
        for (pattern, text) in [("(?u)k([à-ü]{2})x", "kéèx"), ("k(?u:.)(a)", "kéa"), ("é(a)(?u:[é])?", "éaé")]
        {
            let grouped = Grouped::new(pattern, 1);
            assert!(grouped.find(text.as_bytes()).is_some(), "{pattern}");
            assert_eq!(grouped.find(text.as_bytes()), by_groups(&grouped, text.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn the_patterns_of_the_test_are_taken_apart_where_they_can_be() {
        let apart = |pattern: &&&str| Parts::of(&format!(r"\A(?:{pattern})"), 1).is_some();
        assert_eq!(PATTERNS.iter().filter(apart).count(), 6);
    }
}
