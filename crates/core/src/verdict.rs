//! Verdicts, the reasons for them, and the one rule by which many become one.

use crate::json::{Object, Value};
use std::borrow::Cow;
use std::fmt;

/// The answer of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Verified and satisfied.
    Pass,
    /// Verified, but degraded.
    Warn,
    /// Verified and violated.
    Fail,
    /// Nobody can verify it. This is a failure, never a shrug.
    Unknown,
}

impl Verdict {
    /// The word in a ledger: `pass`, `warn`, `fail` or `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    /// From exactly such a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pass, Self::Warn, Self::Fail, Self::Unknown].into_iter().find(|verdict| verdict.as_str() == word)
    }

    /// PASS and WARN.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }

    /// FAIL and UNKNOWN.
    pub const fn is_failure(self) -> bool {
        !self.is_success()
    }

    /// The worse of two: FAIL over UNKNOWN over WARN over PASS.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Warn => 1,
            Self::Unknown => 2,
            Self::Fail => 3,
        }
    }

    /// The overall verdict of many, each with whether it is required: FAIL if a required one is FAIL; else UNKNOWN if a
    /// required one is UNKNOWN; else WARN if any is not PASS; else PASS. Of none at all: UNKNOWN.
    ///
    /// ```
    /// use receipt_core::Verdict::{self, Fail, Pass, Unknown, Warn};
    ///
    /// assert_eq!(Verdict::overall([(Pass, true), (Unknown, true)]), Unknown);
    /// assert_eq!(Verdict::overall([(Pass, true), (Fail, false)]), Warn);
    /// assert_eq!(Verdict::overall([]), Unknown);
    /// ```
    pub fn overall(verdicts: impl IntoIterator<Item = (Verdict, bool)>) -> Verdict {
        let counted = verdicts.into_iter().map(|(verdict, required)| match verdict {
            Self::Fail | Self::Unknown if !required => Self::Warn,
            verdict => verdict,
        });
        counted.reduce(Self::worse).unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

impl From<Verdict> for Value {
    fn from(verdict: Verdict) -> Self {
        Self::from(verdict.as_str())
    }
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A word in capitals that programs may rely on.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub msg: String,
    /// The things that it is about: `event://…`, `blob://…`, or a key.
    pub pointers: Vec<String>,
}

impl Reason {
    /// A reason that points at nothing.
    pub fn new(code: &'static str, msg: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), msg: msg.into(), pointers: Vec::new() }
    }

    /// Adds a pointer to something that the reason is about.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "pointers are made where they are passed")]
    pub fn at(mut self, pointer: impl ToString) -> Self {
        self.pointers.push(pointer.to_string());
        self
    }

    /// `{"code", "msg", "pointers"}`
    pub fn to_value(&self) -> Value {
        Object::from_iter([
            ("code", Value::from(&*self.code)),
            ("msg", Value::from(self.msg.as_str())),
            ("pointers", Value::from(self.pointers.clone())),
        ])
        .into()
    }
}

/// The answer of an invariant about a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct InvariantResult {
    /// The invariant, such as `ledger.chain_valid`.
    pub invariant_id: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why. A PASS may have reasons too; FAIL and UNKNOWN always have.
    pub reasons: Vec<Reason>,
    /// The evidence it looked at, as `blob://` references.
    pub evidence_refs: Vec<String>,
    /// Figures for people and programs.
    pub meta: Object,
}

impl InvariantResult {
    /// A result with nothing to add.
    pub fn new(invariant_id: &str, verdict: Verdict) -> Self {
        Self {
            invariant_id: invariant_id.to_owned(),
            verdict,
            reasons: Vec::new(),
            evidence_refs: Vec::new(),
            meta: Object::new(),
        }
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reasons.push(reason);
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(key, value);
        self
    }

    /// `{"invariant_id", "verdict", "reasons", "evidence_refs", "meta"}`
    pub fn to_value(&self) -> Value {
        Object::from_iter([
            ("invariant_id", Value::from(self.invariant_id.as_str())),
            ("verdict", self.verdict.into()),
            ("reasons", Value::Array(self.reasons.iter().map(Reason::to_value).collect())),
            ("evidence_refs", Value::from(self.evidence_refs.clone())),
            ("meta", self.meta.clone().into()),
        ])
        .into()
    }
}
