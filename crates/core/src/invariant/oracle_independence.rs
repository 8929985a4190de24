//! `oracle.independence_minimum`: who vouches for a claim is as independent as the claim is sure.

use super::claims::{Claim, Claimed, Level};
use super::evidence::{Evidence, check_blob};
use super::mode;
use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::error::Error;
use crate::id::BlobRef;
use crate::json::{Object, Text, Value};
use crate::payload::Member;
use crate::run::{Snapshot, Steps};
use crate::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The oracle class that claims of one kind need: 0 local to 3 third party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleMinimum {
    /// The run's mode.
    pub mode: String,
    /// The claim's confidence: `high`, `medium`, `low` or `unspecified`.
    pub confidence: String,
    /// The claim's scope; of any, if it is not given. A row with a scope goes before one without.
    pub scope: Option<String>,
    /// The least class, 0 to 3.
    pub min_class: u8,
}

/// The most independent class.
const MAX_CLASS: u8 = 3;

/// Each claim that cites an oracle cites one whose class meets the minimum for the run's mode and the claim's confidence
/// and scope. Mode `exploratory` is skipped unless `require_in_modes` names it, though the table may have rows for it.
#[derive(Clone, Debug)]
pub struct OracleIndependence {
    /// The modes that it concerns.
    pub require_in_modes: Vec<String>,
    /// The minimums; if there is no row the minimum is 0.
    pub policy: Vec<OracleMinimum>,
    /// Whether a claim whose minimum is above 0 must cite an oracle at all.
    pub require_oracle: bool,
}

impl Default for OracleIndependence {
    fn default() -> Self {
        Self { require_in_modes: mode::factual(), policy: Self::default_policy(), require_oracle: false }
    }
}

impl OracleIndependence {
    /// Its id.
    pub const ID: &'static str = "oracle.independence_minimum";

    /// Any oracle will do, in modes factual, mixed and exploratory.
    pub fn default_policy() -> Vec<OracleMinimum> {
        let modes = ["factual", "mixed", "exploratory"].into_iter();
        let rows = modes.flat_map(|mode| ["high", "medium", "low"].map(|confidence| (mode, confidence)));
        rows.map(|(mode, confidence)| OracleMinimum {
            mode: mode.to_owned(),
            confidence: confidence.to_owned(),
            scope: None,
            min_class: 0,
        })
        .collect()
    }

    /// From parameters: `require_in_modes`, `policy` (a list of tables of `mode`, `confidence`, `scope` if wanted, and
    /// `min_class`), `require_oracle`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter, one of the wrong type, or two rows for the same claims.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let require_in_modes = params.texts("require_in_modes")?.unwrap_or_else(mode::factual);
        let policy = match params.take("policy") {
            None => Self::default_policy(),
            Some(rows) => minimums(rows).map_err(|problem| params.wrong("policy", problem))?,
        };
        let require_oracle = params.flag("require_oracle", false)?;
        params.end().map(|()| Self { require_in_modes, policy, require_oracle })
    }

    /// The least class for claims of this mode, confidence and scope.
    pub fn min_class_for(&self, mode: &str, confidence: &str, scope: Option<&str>) -> u8 {
        let steps = Steps::default();
        self.minimums(mode, &steps).class(confidence, scope)
    }

    fn minimums<'a>(&'a self, mode: &'a str, steps: &'a Steps) -> Minimums<'a> {
        let rows = steps.walk(&self.policy).filter(|row| row.mode == mode).rev();
        // Of two rows for the same claims the first counts: later pairs replace earlier ones.
        let rows = rows.map(|row| ((row.confidence.as_str(), row.scope.as_deref()), row.min_class)).collect();
        Minimums { mode, rows }
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let mode = mode::of_run(run);
        if !self.require_in_modes.iter().any(|required| required == "exploratory")
            && mode.as_deref() == Ok("exploratory")
        {
            return Err(mode::skipped(InvariantResult::new(Self::ID, Verdict::Pass).with("mode", "exploratory")));
        }
        let missing = (Verdict::Unknown, "cannot verify oracle independence without claims_map");
        let mut claimed = Claimed::load(Self::ID, run, &self.require_in_modes, missing)?;
        let claims = claimed.claims(false)?;
        let Claimed { mode, evidence, mut result, .. } = claimed;
        if claims.is_empty() {
            return Ok(result.with("claim_count", 0));
        }
        let (minimums, mut known) = (self.minimums(&mode, run.steps()), BTreeMap::new());
        let details = claims
            .iter()
            .filter_map(|claim| self.check_claim(&mut result, run, &evidence, claim, &minimums, &mut known));
        let details: Vec<Object> = details.collect();
        let passing = details.iter().filter(|details| details.get("satisfied") == Some(&Value::Bool(true))).count();
        Ok(result
            .with("claims_with_oracle", details.len())
            .with("claims_passing", passing)
            .with("claim_details", details))
    }

    /// Adds what is wrong with a claim's oracles, and gives its details if it has any.
    fn check_claim(
        &self,
        result: &mut InvariantResult,
        run: &Snapshot,
        evidence: &Evidence<'_>,
        claim: &Claim<'_>,
        minimums: &Minimums<'_>,
        known: &mut BTreeMap<BlobRef, Oracle>,
    ) -> Option<Object> {
        let mode = minimums.mode;
        claim.check_odd(true, result);
        if !run.is_compatible() {
            claim.check_confidence(result);
            if claim.confidence == Level::Unknown {
                return None;
            }
        }
        let (label, level) = (&claim.label, claim.confidence.as_str());
        let scope = claim.scope.as_ref().map(Text::to_string_lossy);
        let minimum = minimums.class(level, scope.as_deref());
        let mut oracles: Vec<(BlobRef, i64)> = Vec::new();
        for blob in claim.blobs() {
            let oracle = *known.entry(blob).or_insert_with(|| Oracle::of(evidence, blob));
            oracle.report(result, claim, blob);
            if let Some(class) = oracle.class {
                check_blob(result, run, blob.0, &format!("claim {label}: oracle blob"), "EVIDENCE_REF_MISSING");
                oracles.push((blob, class));
            }
        }
        let Some(observed) = oracles.iter().map(|(_, class)| *class).max() else {
            if self.require_oracle && minimum > 0 {
                let msg = format!("claim {label}: no oracle, but class {minimum} is required for ({mode}, {level})");
                result.find(Verdict::Fail, Reason::new("ORACLE_MISSING", msg));
            }
            return None;
        };
        let satisfied = observed >= i64::from(minimum);
        if !satisfied {
            let msg = format!("claim {label}: oracle class {observed} < required {minimum} for ({mode}, {level})");
            let reason = Reason::new("ORACLE_CLASS_BELOW_MINIMUM", msg);
            let reason = oracles.iter().fold(reason, |reason, (blob, _)| reason.at(blob));
            result.find(Verdict::Fail, reason);
        }
        Some(Object::from_iter([
            ("claim_id", Value::from(label.as_str())),
            ("min_required", Value::from(u32::from(minimum))),
            ("observed_class", Value::from(observed)),
            ("satisfied", Value::from(satisfied)),
        ]))
    }
}

/// The least classes in one mode, by confidence and scope.
struct Minimums<'a> {
    mode: &'a str,
    rows: BTreeMap<(&'a str, Option<&'a str>), u8>,
}

impl Minimums<'_> {
    /// The least class for a scope: that of the scope's own row, else that of the row for any scope.
    fn class(&self, confidence: &str, scope: Option<&str>) -> u8 {
        let own = scope.and_then(|scope| self.rows.get(&(confidence, Some(scope))));
        own.or_else(|| self.rows.get(&(confidence, None))).copied().unwrap_or(0)
    }
}

/// A blob as an oracle's, by all its puts. It is worked out once, however many claims cite the blob.
#[derive(Clone, Copy, Default)]
struct Oracle {
    /// The class of a blob that was put as an oracle's at least once: the least of all its puts, and 0 if one of them is
    /// not an oracle's. In the compatible reading, the last that it was given, whatever it is.
    class: Option<i64>,
    malformed: bool,
    other_kind: bool,
}

impl Oracle {
    fn of(evidence: &Evidence<'_>, blob: BlobRef) -> Self {
        if evidence.run().is_compatible() {
            let class = evidence.puts_of(blob.0).filter_map(|put| put.oracle_number).last();
            return Self { class, ..Self::default() };
        }
        let (mut oracle, mut puts_without) = (Self::default(), false);
        for put in evidence.puts_of(blob.0) {
            let is_oracle = put.kind.as_ref().is_some_and(|kind| kind.starts_with("oracle:"));
            if put.oracle_class == Member::Nothing {
                puts_without = true;
                continue;
            }
            let number = put.oracle_class.known().and_then(|class| u8::try_from(class).ok());
            let number = number.filter(|class| *class <= MAX_CLASS);
            oracle.malformed |= number.is_none();
            oracle.other_kind |= !is_oracle;
            let number = number.filter(|_| is_oracle).map_or(0, i64::from);
            oracle.class = Some(oracle.class.map_or(number, |class| class.min(number)));
        }
        oracle.class = oracle.class.map(|class| if puts_without { 0 } else { class });
        oracle
    }

    /// Adds what is wrong with it, for a claim that cites it.
    fn report(self, result: &mut InvariantResult, claim: &Claim<'_>, blob: BlobRef) {
        if self.malformed {
            let msg = format!("claim {}: oracle_class must be an integer from 0 to {MAX_CLASS}", claim.label);
            result.find(Verdict::Fail, Reason::new("ORACLE_CLASS_MALFORMED", msg).at(blob));
        }
        if self.other_kind {
            let msg = format!("claim {}: evidence with an oracle_class must be of a kind oracle:…", claim.label);
            result.find(Verdict::Fail, Reason::new("ORACLE_KIND_MISMATCH", msg).at(blob));
        }
    }
}

fn minimums(rows: &Value) -> Result<Vec<OracleMinimum>, &'static str> {
    let rows = rows.as_array().ok_or("expected a list of tables of mode, confidence, scope and min_class")?;
    let rows = rows.iter().map(minimum).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    if rows.iter().all(|row| seen.insert((&row.mode, &row.confidence, &row.scope))) {
        Ok(rows)
    } else {
        Err("two rows are for the same mode, confidence and scope")
    }
}

fn minimum(row: &Value) -> Result<OracleMinimum, &'static str> {
    let row = row.as_object().ok_or("each row must be a table")?;
    let known = ["mode", "confidence", "scope", "min_class"];
    if row.iter().any(|(key, _)| !known.iter().any(|known| key == known)) {
        return Err("a row has a key that is none of mode, confidence, scope, min_class");
    }
    let text = |key| row.get(key).and_then(Value::as_str).map(str::to_owned);
    let confidence = text("confidence").filter(|word| Level::parse(word).is_some());
    let class = row.get("min_class").and_then(Value::as_i64).and_then(|class| u8::try_from(class).ok());
    if row.get("scope").is_some_and(|scope| scope.as_str().is_none()) {
        return Err("scope must be text");
    }
    Ok(OracleMinimum {
        mode: text("mode").ok_or("mode must be text")?,
        confidence: confidence.ok_or("confidence must be high, medium, low or unspecified")?,
        scope: text("scope"),
        min_class: class.filter(|class| *class <= MAX_CLASS).ok_or("min_class must be an integer from 0 to 3")?,
    })
}

impl Invariant for OracleIndependence {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        let rows = self.policy.iter().map(|row| {
            let mut object = Object::from_iter([
                ("mode", Value::from(row.mode.as_str())),
                ("confidence", Value::from(row.confidence.as_str())),
                ("min_class", Value::from(u32::from(row.min_class))),
            ]);
            if let Some(scope) = &row.scope {
                object.insert("scope", scope.as_str());
            }
            object
        });
        let mut params = mode::params(&self.require_in_modes);
        params.insert("policy", rows.collect::<Vec<_>>());
        params.insert("require_oracle", self.require_oracle);
        params
    }

    fn reads(&self) -> &'static [&'static str] {
        &["claims_map"]
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        self.answer(run).unwrap_or_else(std::convert::identity)
    }
}
