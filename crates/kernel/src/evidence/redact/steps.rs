//! Expressions that can be matched in one way only, which the next byte decides at each place: those are walked along the
//! text, group and all, without an automaton.

use super::work;
use regex_syntax::hir::{Capture, Class, Hir, HirKind, Look, Repetition};

/// Bytes, each of which may stand at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    const NONE: Self = Self([0; 4]);
    const ALL: Self = Self([u64::MAX; 4]);

    fn of(bytes: impl Iterator<Item = u8>) -> Self {
        bytes.fold(Self::NONE, |Self(mut held), byte| {
            held[usize::from(byte >> 6)] |= 1 << (byte & 63);
            Self(held)
        })
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(one, other)| one & other != 0)
    }

    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] | other.0[index]))
    }

    fn are_of_words(&self) -> bool {
        (0..=u8::MAX).all(|byte| !self.has(byte) || is_of_word(byte))
    }
}

/// How many alternatives are compared, each with each; an automaton is better at more.
const MOST_WAYS: usize = 64;

/// What may follow.
#[derive(Clone, Copy)]
struct After {
    begins: Bytes,
    /// Whether nothing has to.
    open: bool,
    /// Whether a word has to begin or end right here.
    boundary: bool,
}

/// An expression for what begins a text.
#[derive(Debug)]
pub(super) struct Steps {
    steps: Vec<Step>,
    /// Whether all of it is the secret.
    all: bool,
}

#[derive(Debug)]
enum Step {
    /// One byte of each.
    Word(Vec<Bytes>),
    /// One of these bytes, at least and at most so often, and as often as there is one.
    Run(Bytes, usize, usize),
    /// All of these, as often as the first byte of one more is there.
    Again(Vec<Step>, Bytes, usize, usize),
    /// The one of these that there is.
    Ways(Vec<Vec<Step>>),
    /// A word begins or ends here.
    Boundary,
    /// The text ends here.
    End,
    /// What is asked for.
    Secret(Vec<Step>),
}

/// A match: where its secret begins and ends, and where it ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) stop: usize,
}

impl Steps {
    /// `None` where there may be several ways, or where more than the next byte says which one it is.
    ///
    /// The secret is the group of this number; 0 is all.
    pub(super) fn of(parts: &[Hir], group: usize) -> Option<Self> {
        let steps = sequence(parts, group, After { begins: Bytes::NONE, open: true, boundary: false })?;
        Some(Self { steps, all: group == 0 })
    }

    /// The match that begins with the text, where one does and has a secret.
    pub(super) fn find(&self, text: &[u8]) -> Option<Match> {
        let mut seen = Seen::default();
        let stop = walk(&self.steps, text, 0, &mut seen);
        work::looked(seen.far + 1);
        let stop = stop?;
        let (start, end) = if self.all { (0, stop) } else { seen.secret? };
        Some(Match { start, end, stop })
    }
}

/// What is seen on a walk.
#[derive(Default)]
struct Seen {
    secret: Option<(usize, usize)>,
    /// How far it went.
    far: usize,
}

/// Whether these parts, which follow each other, can end at one place only if what follows them is to match.
pub(super) fn end_at_one_place(parts: &[Hir], then: &Hir) -> bool {
    let (begins, may_be_empty) = first(then);
    !may_be_empty && sequence(parts, usize::MAX, After { begins, open: false, boundary: false }).is_some()
}

fn sequence(parts: &[Hir], group: usize, mut after: After) -> Option<Vec<Step>> {
    let mut steps = Vec::with_capacity(parts.len());
    for part in parts.iter().rev() {
        add(part, group, after, &mut steps)?;
        let (begins, may_be_empty) = first(part);
        let boundary = *part.kind() == HirKind::Look(Look::WordAscii);
        after = match may_be_empty {
            _ if boundary => After { boundary, ..after },
            false => After { begins, open: false, boundary },
            true if after.boundary => After { begins: Bytes::ALL, open: after.open, boundary },
            true => After { begins: begins.or(after.begins), open: after.open, boundary },
        };
    }
    steps.reverse();
    // Words that follow each other are one.
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Word(word)), Step::Word(more)) => word.extend(more),
            (_, step) => joined.push(step),
        }
    }
    Some(joined)
}

/// Adds the steps of an expression, the last one first.
fn add(hir: &Hir, group: usize, after: After, steps: &mut Vec<Step>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(_) | HirKind::Class(_) => {
            let (bytes, _) = beginning(hir);
            (!bytes.is_empty()).then_some(())?;
            steps.push(Step::Word(bytes));
        }
        HirKind::Repetition(repetition) => steps.push(again(repetition, group, after)?),
        HirKind::Capture(Capture { sub, index, .. }) => {
            let inner = sequence(std::slice::from_ref(sub), group, after)?;
            if usize::try_from(*index) == Ok(group) {
                steps.push(Step::Secret(inner));
            } else {
                steps.extend(inner.into_iter().rev());
            }
        }
        HirKind::Concat(parts) => steps.extend(sequence(parts, group, after)?.into_iter().rev()),
        HirKind::Alternation(ways) => {
            (ways.len() <= MOST_WAYS).then_some(())?;
            let begin: Vec<Begin> = ways.iter().map(Begin::of).collect();
            let apart = (1..begin.len()).all(|one| begin[..one].iter().all(|other| begin[one].differs(other)));
            apart.then_some(())?;
            let ways = ways.iter().map(|way| sequence(std::slice::from_ref(way), group, after));
            steps.push(Step::Ways(ways.collect::<Option<_>>()?));
        }
        HirKind::Look(Look::WordAscii) => steps.push(Step::Boundary),
        HirKind::Look(Look::End) => steps.push(Step::End),
        HirKind::Look(_) => return None,
    }
    Some(())
}

/// How the matches of an alternative begin.
struct Begin {
    /// `None` where one may be empty.
    first: Option<Bytes>,
    bytes: Vec<Bytes>,
}

impl Begin {
    fn of(hir: &Hir) -> Self {
        let (begins, may_be_empty) = first(hir);
        Self { first: (!may_be_empty).then_some(begins), bytes: beginning(hir).0 }
    }

    /// Whether no text begins with a match of both.
    fn differs(&self, other: &Self) -> bool {
        let at_once = self.first.zip(other.first).is_some_and(|(one, other)| !one.meets(&other));
        at_once || self.bytes.iter().zip(&other.bytes).any(|(one, other)| !one.meets(other))
    }
}

fn again(Repetition { min, max, greedy, sub }: &Repetition, group: usize, after: After) -> Option<Step> {
    let (least, most) = (usize::try_from(*min).ok()?, max.map_or(Some(usize::MAX), |max| usize::try_from(max).ok())?);
    let (begins, may_be_empty) = first(sub);
    let more = match most {
        0 | 1 => after,
        _ if after.boundary => After { begins: Bytes::ALL, open: after.open, boundary: false },
        _ => After { begins: begins.or(after.begins), ..after },
    };
    let inner = sequence(std::slice::from_ref(sub), group, more)?;
    let single = match &inner[..] {
        [Step::Word(word)] if word.len() == 1 => Some(word[0]),
        _ => None,
    };
    let told = if after.boundary {
        // Within a word none ends.
        least > 0 && single.is_some_and(|bytes| bytes.are_of_words())
    } else {
        // Where what follows begins as one more of it does, the next byte does not say which of the two it is. And where
        // nothing has to follow, one more that is cut short is none.
        !begins.meets(&after.begins) && (single.is_some() || !after.open)
    };
    (!may_be_empty && (least == most || *greedy && told)).then_some(())?;
    Some(match single {
        Some(bytes) => Step::Run(bytes, least, most),
        None => Step::Again(inner, begins, least, most),
    })
}

/// The bytes that a match may begin with, and whether it may be empty.
fn first(hir: &Hir) -> (Bytes, bool) {
    match hir.kind() {
        HirKind::Empty => (Bytes::NONE, true),
        HirKind::Look(Look::End) => (Bytes::NONE, false),
        HirKind::Look(_) => (Bytes::ALL, true),
        HirKind::Literal(_) | HirKind::Class(_) => (beginning(hir).0.first().copied().unwrap_or(Bytes::ALL), false),
        HirKind::Repetition(Repetition { sub, min, .. }) => {
            let (begins, may_be_empty) = first(sub);
            (begins, *min == 0 || may_be_empty)
        }
        HirKind::Capture(Capture { sub, .. }) => first(sub),
        HirKind::Concat(parts) => {
            let mut begins = Bytes::NONE;
            for part in parts {
                let (more, may_be_empty) = first(part);
                begins = begins.or(more);
                if !may_be_empty {
                    return (begins, false);
                }
            }
            (begins, true)
        }
        HirKind::Alternation(ways) => ways
            .iter()
            .map(first)
            .fold((Bytes::NONE, false), |(held, empty), (more, also)| (held.or(more), empty || also)),
    }
}

/// What the first bytes of every match may be, as far as that is known at once; and whether that is all of a match.
fn beginning(hir: &Hir) -> (Vec<Bytes>, bool) {
    match hir.kind() {
        HirKind::Literal(literal) => (literal.0.iter().map(|byte| Bytes::of([*byte].into_iter())).collect(), true),
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges().iter().flat_map(|range| range.start()..=range.end());
            (vec![Bytes::of(ranges)], true)
        }
        HirKind::Capture(Capture { sub, .. }) => beginning(sub),
        HirKind::Concat(parts) => {
            let mut all = Vec::new();
            for part in parts {
                let (more, whole) = beginning(part);
                all.extend(more);
                if !whole {
                    return (all, false);
                }
            }
            (all, true)
        }
        _ => (Vec::new(), false),
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the steps end that begin here.
fn walk(steps: &[Step], text: &[u8], mut at: usize, seen: &mut Seen) -> Option<usize> {
    for step in steps {
        seen.far = seen.far.max(at);
        match step {
            Step::Word(word) => {
                let here = text.get(at..at + word.len())?;
                word.iter().zip(here).all(|(bytes, byte)| bytes.has(*byte)).then_some(())?;
                at += word.len();
            }
            Step::Run(bytes, least, most) => {
                let reach = &text[at..text.len().min(at.saturating_add(*most))];
                let count = reach.iter().position(|byte| !bytes.has(*byte)).unwrap_or(reach.len());
                seen.far = seen.far.max(at + count);
                (count >= *least).then_some(())?;
                at += count;
            }
            Step::Again(steps, begins, least, most) => {
                let mut count = 0;
                while count < *most && (count < *least || text.get(at).is_some_and(|byte| begins.has(*byte))) {
                    at = walk(steps, text, at, seen)?;
                    count += 1;
                }
            }
            Step::Ways(ways) => {
                let before = seen.secret;
                at = ways.iter().find_map(|way| {
                    seen.secret = before;
                    walk(way, text, at, seen)
                })?;
            }
            Step::End => (at == text.len()).then_some(())?,
            Step::Boundary => {
                let is_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|byte| is_of_word(*byte));
                (is_word(at.checked_sub(1)) != is_word(Some(at))).then_some(())?;
            }
            Step::Secret(steps) => {
                let start = at;
                at = walk(steps, text, at, seen)?;
                seen.secret = Some((start, at));
            }
        }
    }
    Some(at)
}
