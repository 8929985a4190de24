//! How runs ended, which is another question than whether their record is intact.

use receipt_core::commitment::Commitment;
use receipt_core::id::{EventHash, PolicyDigest, RunId, Seq};
use receipt_core::json::{Object, Value};
use receipt_core::run::RunFacts;
use receipt_core::verdict::Verdict;
use std::fmt;

/// How many runs ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Ended as PASS.
    pub pass: u64,
    /// Ended as WARN.
    pub warn: u64,
    /// Ended as FAIL.
    pub fail: u64,
    /// Ended as UNKNOWN, or with a verdict that cannot be read.
    pub unknown: u64,
    /// Not ended.
    pub unfinished: u64,
}

impl Outcomes {
    pub(super) fn count(&mut self, outcome: Option<Verdict>) {
        let count = match outcome {
            Some(Verdict::Pass) => &mut self.pass,
            Some(Verdict::Warn) => &mut self.warn,
            Some(Verdict::Fail) => &mut self.fail,
            Some(Verdict::Unknown) => &mut self.unknown,
            None => &mut self.unfinished,
        };
        *count += 1;
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Self { pass, warn, fail, unknown, unfinished } = other;
        self.pass += pass;
        self.warn += warn;
        self.fail += fail;
        self.unknown += unknown;
        self.unfinished += unfinished;
    }

    /// `{"pass", "warn", "fail", "unknown", "unfinished"}`
    pub fn to_value(&self) -> Value {
        let Self { pass, warn, fail, unknown, unfinished } = *self;
        let members =
            [("pass", pass), ("warn", warn), ("fail", fail), ("unknown", unknown), ("unfinished", unfinished)];
        Object::from_iter(members.map(|(name, count)| (name, Value::from(count)))).into()
    }
}

/// The policy that a run committed to, by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The digest of its text, which alone says that it is this policy and no other of that name.
    pub digest: PolicyDigest,
}

impl PolicyName {
    fn of(commitment: &Commitment) -> Self {
        Self { id: commitment.id().to_owned(), version: commitment.version().to_owned(), digest: commitment.digest() }
    }

    /// `{"id", "version", "digest"}`
    pub fn to_value(&self) -> Value {
        Object::from_iter([
            ("id", Value::from(self.id.as_str())),
            ("version", self.version.as_str().into()),
            ("digest", self.digest.to_string().into()),
        ])
        .into()
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.id, self.version, self.digest)
    }
}

/// How one run ended, as its hashed events say. It is worth what the verdict over the record is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The run.
    pub run: RunId,
    /// The last event that could be read.
    pub head: Option<(Seq, EventHash)>,
    /// The verdict that it ended with; `None` if it has not ended.
    pub outcome: Option<Verdict>,
    /// The policy that it committed to; none in a run that the Python package wrote.
    pub policy: Option<PolicyName>,
}

impl Ending {
    pub(super) fn of(run: &RunId, facts: &RunFacts) -> Self {
        Self {
            run: run.clone(),
            head: facts.head,
            outcome: facts.outcome(),
            policy: facts.commitment.as_ref().map(PolicyName::of),
        }
    }
}
