//! `claims.evidence_binding`: each claim cites evidence that is there.

use super::claims::{Claim, Claimed};
use super::evidence::check_blob;
use super::{Invariant, InvariantResult, mode};
use crate::error::Error;
use crate::id::BlobRef;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};
use std::collections::BTreeSet;

/// The `claims_map` is there, and each claim in it cites at least one blob; each blob that is cited is in the store.
#[derive(Clone, Debug)]
pub struct ClaimsEvidenceBinding {
    /// The modes that it concerns.
    pub require_in_modes: Vec<String>,
}

impl Default for ClaimsEvidenceBinding {
    fn default() -> Self {
        Self { require_in_modes: mode::factual() }
    }
}

impl ClaimsEvidenceBinding {
    /// Its id.
    pub const ID: &'static str = "claims.evidence_binding";

    /// From parameters: `require_in_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        mode::from_params(Self::ID, params).map(|require_in_modes| Self { require_in_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let missing = (Verdict::Fail, "claims_map evidence required in factual/mixed mode");
        let mut claimed = Claimed::load(Self::ID, run, &self.require_in_modes, missing)?;
        let claims = claimed.claims(true)?;
        let output = claimed.evidence.latest("final_output").and_then(|put| put.hash).map(BlobRef);
        let mut result = claimed.result;
        if claims.is_empty() && !run.is_compatible() {
            result.find(Verdict::Warn, Reason::new("NO_CLAIMS", "claims_map makes no claims"));
        }
        let mut labels = BTreeSet::new();
        for claim in &claims {
            if run.is_compatible() {
                check_compatible_claim(&mut result, run, claim);
                continue;
            }
            if !labels.insert(claim.label.as_str()) {
                let msg = format!("claim {}: another claim has this id", claim.label);
                result.find(Verdict::Warn, Reason::new("CLAIM_ID_DUPLICATE", msg));
            }
            check_claim(&mut result, run, claim, output);
        }
        result.evidence_refs.sort_unstable();
        result.evidence_refs.dedup();
        Ok(result.with("claim_count", claims.len()))
    }
}

fn check_claim(result: &mut InvariantResult, run: &Snapshot, claim: &Claim<'_>, output: Option<BlobRef>) {
    let label = &claim.label;
    claim.check_refs(run, result);
    if claim.refs.is_empty() {
        result.find(Verdict::Fail, Reason::new("CLAIM_UNBOUND", format!("claim {label} has no evidence_refs")));
    } else if claim.blobs().next().is_none() {
        result.find(Verdict::Fail, Reason::new("CLAIM_UNBOUND", format!("claim {label} cites no blob")));
    } else if claim.blobs().all(|blob| Some(blob) == output) {
        let msg = format!("claim {label} cites nothing but the output that makes it");
        result.find(Verdict::Warn, Reason::new("CLAIM_CITES_OUTPUT", msg));
    }
    check_blobs(result, run, claim);
}

/// For the Python package's classes a claim cites something, whatever it is; each blob that it cites is in the store.
fn check_compatible_claim(result: &mut InvariantResult, run: &Snapshot, claim: &Claim<'_>) {
    let label = &claim.label;
    if claim.refs.is_empty() && claim.odd_refs == 0 {
        return result.find(Verdict::Fail, Reason::new("CLAIM_UNBOUND", format!("claim {label} has no evidence_refs")));
    }
    claim.check_refs(run, result);
    for _ in 0..claim.odd_refs {
        let msg = format!("claim {label}: a reference is no text");
        result.find(Verdict::Warn, Reason::new("EVIDENCE_REF_BAD", msg));
    }
    for text in claim.astray("blob://sha256:") {
        let msg = format!("claim {label}: {:?} names no blob", text.chars().take(120).collect::<String>());
        result.find(Verdict::Fail, Reason::new("EVIDENCE_REF_MISSING", msg));
    }
    check_blobs(result, run, claim);
}

fn check_blobs(result: &mut InvariantResult, run: &Snapshot, claim: &Claim<'_>) {
    for blob in claim.blobs() {
        result.evidence_refs.push(blob.to_string());
        check_blob(result, run, blob.0, &format!("claim {}: blob {blob}", claim.label), "EVIDENCE_REF_MISSING");
    }
}

impl Invariant for ClaimsEvidenceBinding {
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
