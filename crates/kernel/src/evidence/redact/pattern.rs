//! Expressions, compiled when they are first needed; and those with a group in them, found without the cost of groups.

use super::automaton::Automaton;
use super::fields::invalid;
use super::steps::{Match, Steps, end_at_one_place};
use crate::error::Result;
use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, Span};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};
use std::sync::{Arc, OnceLock};

/// How large an expression may become.
const MAX_PATTERN: usize = 4 << 20;

/// The most bytes that a user's expressions may take together when they are compiled.
pub const MAX_COMPILED: usize = 128 << 20;

/// What is left of [`MAX_COMPILED`]; none of it for rules that are compiled unchecked.
pub(super) struct Room(pub(super) Option<usize>);

impl Room {
    /// Compiles an expression, and takes its room.
    pub(super) fn take(&mut self, pattern: &Pattern, at: &str) -> Result<()> {
        let Some(room) = &mut self.0 else { return Ok(()) };
        *room = room.checked_sub(pattern.check(at)?).ok_or_else(|| {
            invalid(at, &format!("up to this expression they take more than {MAX_COMPILED} bytes when compiled"))
        })?;
        Ok(())
    }

    pub(super) fn checks(&self) -> bool {
        self.0.is_some()
    }
}

/// An expression that is compiled when it is first needed.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    automaton: Arc<OnceLock<Option<Automaton>>>,
    /// For groups, and to check what a user wrote.
    compiled: Arc<OnceLock<Option<Regex>>>,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        Self { text, automaton: Arc::default(), compiled: Arc::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `None` for one that does not compile; a set that was checked has none.
    pub(super) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }

    fn compile(&self) -> std::result::Result<Regex, Box<BuildError>> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        Regex::builder().configure(config()).syntax(syntax).build(&self.text).map_err(Box::new)
    }

    /// How many bytes it takes when it is compiled.
    pub(super) fn check(&self, at: &str) -> Result<usize> {
        self.compile().map(|regex| regex.memory_usage()).map_err(|error| {
            let problem = match (error.syntax_error(), error.size_limit()) {
                (Some(error), _) => error.to_string(),
                (_, Some(limit)) => format!("the pattern takes more than {limit} bytes when compiled"),
                _ => error.to_string(),
            };
            invalid(at, &problem)
        })
    }

    fn automaton(&self) -> Option<&Automaton> {
        self.automaton.get_or_init(|| Automaton::of(&self.text, MAX_PATTERN)).as_ref()
    }

    /// Where a match ends that begins with the text.
    fn end(&self, text: &[u8]) -> Option<usize> {
        self.automaton()?.end(text)
    }

    /// Whether a match begins with the text; what does not compile matches.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        self.automaton().is_none_or(|automaton| automaton.end(text).is_some())
    }

    /// The groups of a match that begins with the text, and ends at `stop` at the latest; what follows there is still seen.
    pub(super) fn groups(&self, text: &[u8], stop: usize) -> Option<Captures> {
        let regex = self.regex()?;
        let mut groups = regex.create_captures();
        regex.search_captures(&Input::new(text).range(..stop).anchored(Anchored::Yes), &mut groups);
        groups.is_match().then_some(groups)
    }
}

fn config() -> Config {
    // What only finds groups need not be fast.
    Config::new().utf8_empty(false).nfa_size_limit(Some(MAX_PATTERN)).dfa(false)
}

/// An expression for what begins a text, of which one group is the secret; group 0 is all of it.
#[derive(Clone, Debug)]
pub(super) struct Grouped {
    pub(super) whole: Pattern,
    pub(super) group: usize,
    how: Arc<OnceLock<How>>,
}

/// How the group is found: by an automaton it costs some ten times what finding a match does.
#[derive(Debug)]
enum How {
    Steps(Steps),
    Parts(Box<Parts>),
    Whole,
}

impl Grouped {
    pub(super) fn new(pattern: &str, group: usize) -> Self {
        Self { whole: Pattern::new(format!(r"\A(?:{pattern})")), group, how: Arc::default() }
    }

    /// The match that begins with the text.
    pub(super) fn find(&self, text: &[u8]) -> Option<Match> {
        match self.how.get_or_init(|| How::of(&self.whole.text, self.group)) {
            How::Steps(steps) => return steps.find(text),
            How::Parts(parts) => {
                // Where something has to stand after the group, that there is a beginning says little.
                if parts.after.is_some() && self.whole.end(text).is_none() {
                    return None;
                }
                let found = parts.behind(text, parts.before.end(text)?);
                if found.is_some() || parts.only {
                    return found;
                }
            }
            How::Whole => {}
        }
        let stop = self.whole.end(text)?;
        let secret = match self.group {
            0 => Span::from(0..stop),
            group => self.whole.groups(text, stop)?.get_group(group)?,
        };
        Some(Match { start: secret.start, end: secret.end, stop })
    }
}

impl How {
    fn of(whole: &str, group: usize) -> Self {
        let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(whole);
        let Ok(HirKind::Concat(parts)) = parsed.map(Hir::into_kind) else { return Self::Whole };
        let [begin, parts @ ..] = &parts[..] else { return Self::Whole };
        if *begin.kind() != HirKind::Look(Look::Start) {
            return Self::Whole;
        }
        let steps = Steps::of(parts, group).map(Self::Steps);
        steps.or_else(|| Some(Self::Parts(Box::new(Parts::of(parts, group)?)))).unwrap_or(Self::Whole)
    }
}

/// What an expression is put together from, each part one for what begins a text.
///
/// What stands before the group, the group, and what stands after it are looked for one after the other, each where the one
/// before ended. Where all are found, that is the match: each is the one that the whole expression tries first. Where one is
/// missing behind the first, the whole expression may still match another way.
#[derive(Debug)]
struct Parts {
    before: Part,
    group: Part,
    after: Option<Part>,
    /// Whether there is no other way: what stands before the group ends at one place, and nothing has to stand after it.
    only: bool,
}

impl Parts {
    /// `None` where the group is not one of the parts that follow each other, or where what is behind it looks back: then
    /// nothing is found by parts.
    fn of(parts: &[Hir], group: usize) -> Option<Self> {
        let is_group = |part: &Hir| matches!(part.kind(), HirKind::Capture(capture) if usize::try_from(capture.index) == Ok(group));
        let place = parts.iter().position(is_group)?;
        if !parts[place..].iter().all(|part| part.properties().look_set().is_empty()) {
            return None;
        }
        let (before, after) = (&parts[..place], &parts[place + 1..]);
        Some(Self {
            before: Part::of(before)?,
            group: Part::of(&parts[place..=place])?,
            after: if after.is_empty() { None } else { Some(Part::of(after)?) },
            only: after.is_empty() && end_at_one_place(before, &parts[place]),
        })
    }

    /// The match whose group begins here.
    fn behind(&self, text: &[u8], start: usize) -> Option<Match> {
        let end = start + self.group.end(&text[start..])?;
        let stop = match &self.after {
            None => end,
            Some(after) => end + after.end(&text[end..])?,
        };
        Some(Match { start, end, stop })
    }
}

#[derive(Debug)]
enum Part {
    Steps(Steps),
    Automaton(Box<Automaton>),
}

impl Part {
    fn of(parts: &[Hir]) -> Option<Self> {
        if let Some(steps) = Steps::of(parts, 0) {
            return Some(Self::Steps(steps));
        }
        // Not by way of a text: what is written for a repetition of a repetition is read as another one.
        Automaton::of_hir(&Hir::concat(parts.to_vec()), MAX_PATTERN)
            .map(|automaton| Self::Automaton(Box::new(automaton)))
    }

    /// Where a match ends that begins with the text.
    fn end(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Steps(steps) => steps.find(text).map(|found| found.stop),
            Self::Automaton(automaton) => automaton.end(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the groups of the whole expression say.
    fn by_groups(grouped: &Grouped, text: &[u8]) -> Option<Match> {
        let groups = grouped.whole.groups(text, text.len())?;
        let secret = groups.get_group(grouped.group)?;
        Some(Match { start: secret.start, end: secret.end, stop: groups.get_group(0)?.end })
    }

    /// Expressions of all that there may be in them.
    fn pattern() -> impl Strategy<Value = String> {
        let letter =
            proptest::sample::select(vec!["a", "b", "ab", "[ab]", "[b:]", "[^a]", "(?i:B)", ":", "\\b", "\\z", "x?"]);
        let much = proptest::sample::select(vec!["?", "??", "*", "+", "{2}", "{0,2}", "{1,2}", "{1,3}?"]);
        letter.prop_map(str::to_owned).prop_recursive(4, 16, 3, move |inner| {
            let several = proptest::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                (inner, much.clone()).prop_map(|(inner, much)| format!("(?:{inner}){much}")),
                several.clone().prop_map(|inner| inner.concat()),
                several.prop_map(|inner| format!("(?:{})", inner.join("|"))),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_expression_finds_what_groups_find(
            (before, group, after) in (pattern(), pattern(), pattern()), text in "[abB:x]{0,16}"
        ) {
            for pattern in [format!("{before}({group}){after}"), format!("{before}({group})"), format!("({group}){after}")] {
                let grouped = Grouped::new(&pattern, 1);
                prop_assert_eq!(grouped.find(text.as_bytes()), by_groups(&grouped, text.as_bytes()), "{}", pattern);
            }
        }

        #[test]
        fn each_way_finds_what_groups_find(text in "[ab:\"x]{0,24}", which in 0..PATTERNS.len()) {
            let grouped = Grouped::new(PATTERNS[which], 1);
            prop_assert_eq!(grouped.find(text.as_bytes()), by_groups(&grouped, text.as_bytes()));
        }
    }

    /// Some where what comes before, the group and what comes after can be had in several ways.
    const PATTERNS: [&str; 22] = [
        // In one way only.
        "(?:a|b{2})x?[:\"]?([ab]{2,3})",
        "(?i:AB|aa|x)(?:ab){0,2}:{0,2}([abx]{1,3})",
        "(?:(a)b|ac|b)",
        "(?:(a):){2}x?",
        "a?(?:b(a)|x)b:",
        "a{2}?x*(b{2})",
        "a:?([ab]{1,3})\\b",
        "(a[ab]{1,2}\\b)(?::x)?",
        "(?:ab){2}\\b:([ab])",
        // In several, or not surely.
        "(a[ab:]{1,3})\\b",
        "(ab?)\\b",
        "(?:[ab:]{1,2}){2}(x?)\\b",
        "([ab:]{1,4}x?\\b)",
        // Written out, a repetition of a repetition is another one.
        "(a|[b:])(?:(?:[^a])?)?",
        "a{0,3}:{0,2}([ab]{1,5})",
        "(?:a|ab|abb)(b?a{0,4}):",
        "(?:ab??|a:?)([ab:]{2,6}?)\"",
        "[ab]{0,9}?:([^:]{1,4})(?:x|:x)",
        "(?i:A)?(a|ab)(b|:)?x",
        "a+x(?:ab|b)?(x{1,2}a?)",
        "a?(b{1,3})\\b",
        "(?s).{0,3}(a.?)",
    ];

    #[test]
    fn characters_beyond_ascii_are_found_as_by_groups() {
        for (pattern, text) in [("(?u)k([à-ü]{2})x", "kéèx"), ("k(?u:.)(a)", "kéa"), ("é(a)(?u:[é])?", "éaé")]
        {
            let grouped = Grouped::new(pattern, 1);
            assert!(grouped.find(text.as_bytes()).is_some(), "{pattern}");
            assert_eq!(grouped.find(text.as_bytes()), by_groups(&grouped, text.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn the_patterns_of_the_test_are_found_in_each_way() {
        let hows = PATTERNS.map(|pattern| How::of(&format!(r"\A(?:{pattern})"), 1));
        let count = |is: fn(&How) -> bool| hows.iter().filter(|how| is(how)).count();
        let (steps, parts) = (count(|how| matches!(how, How::Steps(_))), count(|how| matches!(how, How::Parts(_))));
        assert_eq!((steps, parts, count(|how| matches!(how, How::Whole))), (9, 8, 5));
    }
}
