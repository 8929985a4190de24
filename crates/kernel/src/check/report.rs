//! A report: by kind of tampering, a verdict, and why.

use super::ending::{Ending, Outcomes};
use receipt_core::json::{Object, Value};
use receipt_core::merkle::TreeHead;
use receipt_core::note::KeyName;
use receipt_core::verdict::{Reason, Verdict};
use std::fmt;

/// A kind of tampering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Events edited, reordered, removed from the middle, spliced in from another run.
    Content,
    /// Anything in a row that its envelope contradicts.
    Columns,
    /// Blob bytes changed, missing, or expired without a receipt.
    Evidence,
    /// Stages against the committed graph; one finalize, last.
    Path,
    /// Whether each run commits to its policy, stage graph and row, so that they can be checked at all.
    Commitment,
    /// Newest events cut off.
    Tail,
    /// A whole run removed.
    Runs,
    /// The whole file replaced by an older copy.
    Rollback,
    /// Two histories shown to two readers.
    Fork,
    /// History signed again by whoever has the key.
    Key,
    /// Of a bundle: its form, and the digest over its lines.
    Format,
    /// Of a bundle: each recorded evaluation against the same computed again.
    Replay,
    /// Of a bundle: its run against the log whose checkpoint it carries.
    Log,
}

impl Check {
    /// Those of a ledger, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::Content,
        Self::Columns,
        Self::Evidence,
        Self::Path,
        Self::Commitment,
        Self::Tail,
        Self::Runs,
        Self::Rollback,
        Self::Fork,
        Self::Key,
    ];

    /// Those of a bundle, in the order of the report.
    pub const BUNDLE: [Self; 10] = [
        Self::Format,
        Self::Content,
        Self::Columns,
        Self::Evidence,
        Self::Path,
        Self::Commitment,
        Self::Replay,
        Self::Log,
        Self::Tail,
        Self::Key,
    ];

    /// The name in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Columns => "columns",
            Self::Evidence => "evidence",
            Self::Path => "path",
            Self::Commitment => "commitment",
            Self::Tail => "tail",
            Self::Runs => "runs",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::Key => "key",
            Self::Format => "format",
            Self::Replay => "replay",
            Self::Log => "log",
        }
    }

    /// What it would take to settle it, where the ledger alone does not.
    pub(super) const fn anchor(self) -> Option<&'static str> {
        Some(match self {
            Self::Tail => "the newest events could have been cut off: a checkpoint kept outside would settle it",
            Self::Runs => "a whole run could have been removed: a checkpoint kept outside would settle it",
            Self::Rollback => "the file could be an older copy: a checkpoint kept outside would settle it",
            Self::Fork => {
                "another reader could have been shown another history: a witness's cosignature would settle it"
            }
            Self::Key => "history could have been made anew: a witness, or an older checkpoint, would settle it",
            _ => return None,
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many reasons a check keeps; beyond them they are only counted.
const MAX_REASONS: usize = 1000;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether it counts towards the overall verdict.
    pub required: bool,
    /// Why.
    pub reasons: Vec<Reason>,
    /// How many reasons there were beyond those kept.
    pub more: u64,
}

impl CheckReport {
    pub(crate) fn pass(check: Check) -> Self {
        Self { check, verdict: Verdict::Pass, required: true, reasons: Vec::new(), more: 0 }
    }

    pub(crate) fn find(&mut self, verdict: Verdict, reason: Reason) {
        self.verdict = self.verdict.worse(verdict);
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        } else {
            self.more += 1;
        }
    }

    /// Takes in what was found of the same check elsewhere.
    pub(crate) fn merge(&mut self, other: Self) {
        self.verdict = self.verdict.worse(other.verdict);
        let room = MAX_REASONS.saturating_sub(self.reasons.len());
        self.more += other.more + other.reasons.len().saturating_sub(room) as u64;
        self.reasons.extend(other.reasons.into_iter().take(room));
    }

    /// `{"check", "verdict", "required", "reasons": […]}`
    pub fn to_value(&self) -> Value {
        let mut reasons: Vec<Value> = self.reasons.iter().map(Reason::to_value).collect();
        if self.more > 0 {
            reasons.push(Reason::new("MORE_REASONS", format!("and {} more", self.more)).to_value());
        }
        Object::from_iter([
            ("check", Value::from(self.check.as_str())),
            ("verdict", self.verdict.into()),
            ("required", self.required.into()),
            ("reasons", Value::Array(reasons)),
        ])
        .into()
    }
}

/// The verdict over the required ones of these checks.
pub(crate) fn overall(checks: &[CheckReport]) -> Verdict {
    let required = checks.iter().filter(|check| check.required);
    Verdict::overall(required.map(|check| (check.verdict, true)))
}

/// The report of one check among these.
pub(crate) fn find(checks: &[CheckReport], check: Check) -> Option<&CheckReport> {
    checks.iter().find(|report| report.check == check)
}

/// What a ledger, or some of its runs, looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each [`Check`], in their order.
    pub checks: Vec<CheckReport>,
    /// How many runs were read.
    pub runs: u64,
    /// How many events were read and hashed.
    pub events: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
    /// How the runs ended.
    pub outcomes: Outcomes,
    /// How each run ended, in the order of their ids; empty unless the audit was of named runs.
    pub endings: Vec<Ending>,
    /// What each anchor that holds covers.
    pub coverage: Vec<Coverage>,
    /// The log's name and the head over all events, as they were at the instant of the audit: what may be remembered of the
    /// ledger if the verdict is good. Only an audit of the whole ledger against anchors has one.
    pub head: Option<(Option<KeyName>, TreeHead)>,
}

/// How much of a ledger an anchor from outside speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The anchor, by the name under which it was given.
    pub anchor: String,
    /// How many events it covers, the first ones of the log.
    pub events: u64,
    /// How many events the ledger has.
    pub of: u64,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} covers {} of {} events", self.anchor, self.events, self.of)
    }
}

impl Report {
    /// The verdict over the required checks.
    pub fn overall_verdict(&self) -> Verdict {
        overall(&self.checks)
    }

    /// The report of one check.
    pub fn check(&self, check: Check) -> Option<&CheckReport> {
        find(&self.checks, check)
    }

    /// `{"overall_verdict", "checks": [{"check", "verdict", "required", "reasons": […]}], "runs", "events", "blobs",
    /// "unfinished", "outcomes": {"pass", "warn", "fail", "unknown", "unfinished"}, "coverage": [{"anchor", "events", "of"}]}`
    pub fn to_value(&self) -> Value {
        let checks = self.checks.iter().map(CheckReport::to_value);
        let coverage = self.coverage.iter().map(|Coverage { anchor, events, of }| {
            let members =
                [("anchor", Value::from(anchor.as_str())), ("events", (*events).into()), ("of", (*of).into())];
            Value::from(Object::from_iter(members))
        });
        Object::from_iter([
            ("overall_verdict", Value::from(self.overall_verdict())),
            ("checks", Value::Array(checks.collect())),
            ("runs", self.runs.into()),
            ("events", self.events.into()),
            ("blobs", self.blobs.into()),
            ("unfinished", self.outcomes.unfinished.into()),
            ("outcomes", self.outcomes.to_value()),
            ("coverage", Value::Array(coverage.collect())),
        ])
        .into()
    }
}
