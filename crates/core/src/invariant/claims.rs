//! The `claims_map`: what a run claims and what it cites for it, typed once for all invariants that read it.

use super::InvariantResult;
use super::evidence::{Document, Evidence};
use super::mode;
use crate::canonical;
use crate::id::BlobRef;
use crate::json::{Limits, Object, Text, Value};
use crate::run::{Counted, Snapshot, Steps};
use crate::verdict::{Reason, Verdict};

/// Evidence `claims_map`.
pub(super) const CLAIMS_MAP: Document = Document {
    key: "claims_map",
    missing: "CLAIMS_MAP_MISSING",
    malformed: "CLAIMS_MAP_MALFORMED",
    expired: "CLAIMS_MAP_EXPIRED",
    corrupt: "CLAIMS_MAP_CORRUPT",
};

/// How sure a claim says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    High,
    Medium,
    Low,
    Unspecified,
    /// A word that is none of them; nothing follows from it.
    Unknown,
}

impl Level {
    pub(super) const KNOWN: [Self; 4] = [Self::High, Self::Medium, Self::Low, Self::Unspecified];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Unspecified => "unspecified",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|level| level.as_str() == word)
    }
}

/// One claim.
#[derive(Debug)]
pub(super) struct Claim<'r> {
    /// Its id, or its place as `idx:0`.
    pub(super) label: String,
    pub(super) refs: Counted<'r, Text>,
    pub(super) confidence: Level,
    pub(super) tool_call_ids: Counted<'r, Text>,
    pub(super) scope: Option<Text>,
}

impl Claim<'_> {
    /// The blobs that it cites.
    pub(super) fn blobs(&self) -> impl Iterator<Item = BlobRef> {
        self.refs.iter().filter_map(Text::as_str).filter_map(BlobRef::parse)
    }

    /// Adds what is wrong with each citation that is neither a blob nor an event of this run.
    pub(super) fn check_refs(&self, run: &Snapshot, result: &mut InvariantResult) {
        for text in &self.refs {
            let shown = text.to_string_lossy();
            if BlobRef::parse(&shown).is_none() && !super::evidence::is_event_of(run, &shown) {
                let shown: String = shown.chars().take(120).collect();
                let msg =
                    format!("claim {}: {shown:?} is neither a blob reference nor an event of this run", self.label);
                result.find(Verdict::Fail, Reason::new("EVIDENCE_REF_BAD", msg));
            }
        }
    }

    /// Adds that its confidence is none that is known.
    pub(super) fn check_confidence(&self, result: &mut InvariantResult) {
        if self.confidence == Level::Unknown {
            let msg = format!("claim {}: confidence is none of high, medium, low, unspecified", self.label);
            result.find(Verdict::Fail, Reason::new("CONFIDENCE_UNKNOWN", msg));
        }
    }
}

/// The claims of a run, with the evidence beside them, as an invariant about claims needs them.
pub(super) struct Claimed<'r> {
    pub(super) mode: String,
    pub(super) evidence: Evidence<'r>,
    /// The `claims_map`.
    pub(super) document: Value,
    /// A PASS in this mode, or a FAIL if evidence is malformed; to be added to.
    pub(super) result: InvariantResult,
    steps: &'r Steps,
}

impl<'r> Claimed<'r> {
    /// Loads the `claims_map` in the modes that are concerned; the error is the whole answer if there is nothing to
    /// judge.
    pub(super) fn load(
        id: &str,
        run: &'r Snapshot,
        modes: &[String],
        missing: (Verdict, &str),
    ) -> Result<Self, InvariantResult> {
        let (mode, mut result) = mode::begin(id, run, modes)?;
        let evidence = Evidence::of(run);
        evidence.report_problems(&mut result);
        match evidence.document(&CLAIMS_MAP, missing) {
            Ok(document) => Ok(Self { mode, evidence, document, result, steps: run.steps() }),
            Err((verdict, reason)) => {
                result.find(verdict, reason);
                Err(result)
            }
        }
    }

    /// The claims, and what is wrong with them added to the result. The error is the whole answer if there is no
    /// list of them.
    pub(super) fn claims(&mut self) -> Result<Counted<'r, Claim<'r>>, InvariantResult> {
        let Some(items) = self.document.get("claims").and_then(Value::as_array) else {
            let reason = Reason::new(CLAIMS_MAP.malformed, "claims_map.claims must be a list");
            self.result.find(Verdict::Fail, reason);
            return Err(self.result.clone());
        };
        let mut problems = Vec::new();
        let claims =
            items.iter().enumerate().map(|(index, item)| claim(index, item, self.steps, &mut problems)).collect();
        for problem in problems {
            self.result.find(Verdict::Fail, problem);
        }
        Ok(Counted::new(claims, self.steps))
    }
}

fn claim<'r>(index: usize, item: &Value, steps: &'r Steps, problems: &mut Vec<Reason>) -> Claim<'r> {
    let nothing = Object::new();
    let object = item.as_object().unwrap_or_else(|| {
        problems.push(Reason::new("CLAIM_MALFORMED", format!("claim[{index}] not an object")));
        &nothing
    });
    let member = |key| object.get(key).filter(|value| !value.is_null());
    let label = label(index, member("id"));
    let shown = label.clone().unwrap_or_else(|| format!("idx:{index}"));
    let mut wrong = |what: &str| {
        problems.push(Reason::new("CLAIM_MALFORMED", format!("claim {shown}: {what}")));
    };
    if label.is_none() {
        wrong("id must be text or a number");
    }
    let confidence = match member("confidence") {
        None => Level::Unspecified,
        Some(Value::String(word)) => Level::parse(&word.to_string_lossy().to_lowercase()).unwrap_or(Level::Unknown),
        Some(_) => {
            wrong("confidence must be text");
            Level::Unknown
        }
    };
    let scope = member("scope");
    if scope.is_some_and(|scope| scope.as_text().is_none()) {
        wrong("scope must be text");
    }
    let tool_call_ids = texts(member("tool_call_ids"));
    if tool_call_ids.as_ref().is_none_or(|ids| ids.iter().any(|id| id.as_bytes().is_empty())) {
        wrong("tool_call_ids must be a list of texts, none of them empty");
    }
    let refs = texts(member("evidence_refs"));
    if refs.is_none() {
        wrong("evidence_refs must be a list of texts");
    }
    Claim {
        label: shown,
        refs: Counted::new(refs.unwrap_or_default(), steps),
        confidence,
        tool_call_ids: Counted::new(tool_call_ids.unwrap_or_default(), steps),
        scope: scope.and_then(Value::as_text).cloned(),
    }
}

fn label(index: usize, id: Option<&Value>) -> Option<String> {
    match id {
        None => Some(format!("idx:{index}")),
        Some(Value::String(text)) => Some(text.to_string_lossy()),
        Some(number @ Value::Number(_)) => {
            canonical::to_bytes(number, Limits::WRITE).ok().and_then(|digits| String::from_utf8(digits).ok())
        }
        Some(_) => None,
    }
}

/// The texts of a list; none if there is no list, and `None` if it is not a list of texts.
fn texts(value: Option<&Value>) -> Option<Vec<Text>> {
    let Some(value) = value else { return Some(Vec::new()) };
    value.as_array()?.iter().map(|item| item.as_text().cloned()).collect()
}
