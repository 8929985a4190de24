//! The `claims_map`: what a run claims and what it cites for it, typed once for all invariants that read it.

use super::InvariantResult;
use super::evidence::{Document, Evidence};
use super::mode;
use crate::canonical;
use crate::id::{BlobRef, EventRef};
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
    /// How many of its references are no texts; in the compatible reading only, as another has a problem then.
    pub(super) odd_refs: usize,
    /// In the compatible reading, whether what its references should be is none, and whether that is so of its scope.
    pub(super) odd: [bool; 2],
    pub(super) confidence: Level,
    pub(super) tool_call_ids: Counted<'r, Text>,
    pub(super) scope: Option<Text>,
}

impl Claim<'_> {
    /// The blobs that it cites.
    pub(super) fn blobs(&self) -> impl Iterator<Item = BlobRef> {
        self.refs.iter().filter_map(Text::as_str).filter_map(BlobRef::parse)
    }

    /// Adds what is wrong with each citation that is neither a blob nor an event of this run. In the compatible reading
    /// it may be anything else but an event that is not there.
    pub(super) fn check_refs(&self, run: &Snapshot, result: &mut InvariantResult) {
        for text in &self.refs {
            let shown = text.to_string_lossy();
            if run.is_compatible() && EventRef::parse(&shown).is_none() {
                continue;
            }
            if BlobRef::parse(&shown).is_none() && !super::evidence::is_event_of(run, &shown) {
                let shown: String = shown.chars().take(120).collect();
                let msg =
                    format!("claim {}: {shown:?} is neither a blob reference nor an event of this run", self.label);
                result.find(Verdict::Fail, Reason::new("EVIDENCE_REF_BAD", msg));
            }
        }
    }

    /// The citations that begin like those of blobs and name none.
    pub(super) fn astray<'c>(&'c self, prefix: &'c str) -> impl Iterator<Item = &'c str> {
        let texts = self.refs.iter().filter_map(Text::as_str);
        texts.filter(move |text| text.starts_with(prefix) && BlobRef::parse(text).is_none())
    }

    /// Adds that its references, and its scope if that is asked for, are what the Python package cannot read.
    pub(super) fn check_odd(&self, scope: bool, result: &mut InvariantResult) {
        let [refs, odd_scope] = self.odd;
        if refs || scope && odd_scope {
            let msg = format!("claim {}: evidence_refs must be a list, scope text", self.label);
            result.find(Verdict::Fail, Reason::new("CLAIM_MALFORMED", msg));
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
    ///
    /// In the compatible reading one invariant alone is `strict` and asks for a list of objects; for the others a map
    /// without such a list claims nothing, and what is no object is no claim.
    pub(super) fn claims(&mut self, strict: bool) -> Result<Counted<'r, Claim<'r>>, InvariantResult> {
        let (steps, compatible) = (self.steps, self.evidence.run().is_compatible());
        let claims = self.document.get("claims");
        let items: &[Value] = match claims.and_then(Value::as_array) {
            Some(items) => items,
            None if compatible && !strict && claims_nothing(&self.document) => &[],
            None => {
                let reason = Reason::new(CLAIMS_MAP.malformed, "claims_map.claims must be a list");
                self.result.find(Verdict::Fail, reason);
                return Err(self.result.clone());
            }
        };
        let mut problems = Vec::new();
        let read = |(index, item)| {
            if compatible {
                compatible_claim(index, item, steps, &mut problems)
            } else {
                Some(claim(index, item, steps, &mut problems))
            }
        };
        let claims = items.iter().enumerate().filter_map(read).collect();
        if compatible && !strict {
            problems.clear();
        }
        for problem in problems {
            self.result.find(Verdict::Fail, problem);
        }
        Ok(Counted::new(claims, self.steps))
    }
}

/// Whether Python finds no claims in a `claims_map` without a list of them, and not an error.
fn claims_nothing(document: &Value) -> bool {
    document.as_object().is_some()
        && match document.get("claims") {
            Some(Value::Bool(claims)) => !claims,
            Some(Value::Number(_)) => false,
            _ => true,
        }
}

/// A claim as the Python package reads it: what is not the text that it should be says nothing.
fn compatible_claim<'r>(index: usize, item: &Value, steps: &'r Steps, problems: &mut Vec<Reason>) -> Option<Claim<'r>> {
    let Some(object) = item.as_object() else {
        problems.push(Reason::new("CLAIM_MALFORMED", format!("claim[{index}] not an object")));
        return None;
    };
    let list = |key| object.get(key).and_then(Value::as_array).unwrap_or_default();
    let texts = |key| list(key).iter().filter_map(Value::as_text).cloned().collect::<Vec<_>>();
    let word = object.get("confidence").and_then(Value::as_text).map(|word| word.to_string_lossy().to_lowercase());
    let refs = texts("evidence_refs");
    let ids = texts("tool_call_ids").into_iter().filter(|id| !id.as_bytes().is_empty()).collect();
    Some(Claim {
        label: label(index, object.get("id").filter(|id| !id.is_null())).unwrap_or_else(|| format!("idx:{index}")),
        odd_refs: list("evidence_refs").len() - refs.len(),
        refs: Counted::new(refs, steps),
        odd: [
            object.get("evidence_refs").is_some_and(|refs| matches!(refs, Value::Number(_) | Value::Bool(true))),
            object.get("scope").is_some_and(|scope| matches!(scope, Value::Array(_) | Value::Object(_))),
        ],
        confidence: word.and_then(|word| Level::parse(&word)).unwrap_or(Level::Unknown),
        tool_call_ids: Counted::new(ids, steps),
        scope: object.get("scope").and_then(Value::as_text).cloned(),
    })
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
        odd_refs: 0,
        odd: [false; 2],
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
