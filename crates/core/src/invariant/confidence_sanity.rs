//! `confidence.sanity`: no claim is surer than its evidence is strong.

use super::claims::{Claim, Claimed, Level};
use super::evidence::{Evidence, check_blob};
use super::{Invariant, InvariantResult, mode};
use crate::error::Error;
use crate::evidence::EvidenceStrength;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};

/// A `high` claim cites something stronger than weak, by the kind that it was put as; a `high` or `medium` claim cites
/// evidence that is there; not every claim is low.
#[derive(Clone, Debug)]
pub struct ConfidenceSanity {
    /// The modes that it concerns.
    pub require_in_modes: Vec<String>,
}

impl Default for ConfidenceSanity {
    fn default() -> Self {
        Self { require_in_modes: mode::factual() }
    }
}

impl ConfidenceSanity {
    /// Its id.
    pub const ID: &'static str = "confidence.sanity";

    /// From parameters: `require_in_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        mode::from_params(Self::ID, params).map(|require_in_modes| Self { require_in_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let missing = (Verdict::Unknown, "cannot verify confidence without claims_map");
        let mut claimed = Claimed::load(Self::ID, run, &self.require_in_modes, missing)?;
        let claims = claimed.claims(false)?;
        let (evidence, mut result) = (claimed.evidence, claimed.result);
        for claim in &claims {
            if !run.is_compatible() {
                claim.check_confidence(&mut result);
            }
            if matches!(claim.confidence, Level::High | Level::Medium) {
                check_substance(&mut result, run, &evidence, claim);
            }
        }
        // Only in the compatible reading may a word that is none of them stand.
        let level = |claim: &Claim<'_>| match claim.confidence {
            Level::Unknown if run.is_compatible() => Level::Unspecified,
            level => level,
        };
        let count = |wanted| claims.iter().filter(|claim| level(claim) == wanted).count();
        let low = count(Level::Low) + count(Level::Unspecified);
        if !claims.is_empty() && low == claims.len() {
            let msg = format!("all {low} claims are low/unspecified confidence in {} mode", claimed.mode);
            result.find(Verdict::Warn, Reason::new("ALL_LOW_CONFIDENCE", msg));
        }
        Ok(result.with("counts", Object::from_iter(Level::KNOWN.map(|level| (level.as_str(), count(level))))))
    }
}

/// Checks that a claim that is more than a guess cites evidence that is there.
fn check_substance(result: &mut InvariantResult, run: &Snapshot, evidence: &Evidence<'_>, claim: &Claim<'_>) {
    let (label, level) = (&claim.label, claim.confidence.as_str());
    if !run.is_compatible() {
        claim.check_refs(run, result);
    }
    let strength = claim.blobs().map(|blob| evidence.strength(blob.0)).max().unwrap_or(EvidenceStrength::Weak);
    if claim.confidence == Level::High && strength == EvidenceStrength::Weak {
        let msg = format!("claim {label}: high confidence but best evidence is {} (by provenance)", strength.as_str());
        result.find(Verdict::Fail, Reason::new("HIGH_CONFIDENCE_WEAK_EVIDENCE", msg));
        if run.is_compatible() {
            return;
        }
    } else if claim.blobs().next().is_none() && !run.is_compatible() {
        let msg = format!("claim {label}: {level} confidence but it cites no blob");
        result.find(Verdict::Fail, Reason::new("CLAIM_UNBOUND", msg));
    }
    for blob in claim.blobs() {
        check_blob(result, run, blob.0, &format!("claim {label}: blob {blob}"), "EVIDENCE_REF_MISSING");
    }
}

impl Invariant for ConfidenceSanity {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        mode::params(&self.require_in_modes)
    }

    fn reads(&self) -> &'static [&'static str] {
        &["claims_map"]
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        self.answer(run).unwrap_or_else(std::convert::identity)
    }
}
