//! `output.bound_to_claims`: the claims are about the output that the run gave.

use super::claims::{CLAIMS_MAP, Claimed};
use super::evidence::{Evidence, check_blob};
use super::{Invariant, InvariantResult, mode};
use crate::error::Error;
use crate::id::{BlobHash, BlobRef};
use crate::json::{Object, Text, Value};
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};

/// The `claims_map` names the blob of evidence `final_output`, by `output_ref`, `output_sha256` or both.
#[derive(Clone, Debug)]
pub struct OutputBoundToClaims {
    /// The modes that it concerns.
    pub require_in_modes: Vec<String>,
}

impl Default for OutputBoundToClaims {
    fn default() -> Self {
        Self { require_in_modes: mode::factual() }
    }
}

impl OutputBoundToClaims {
    /// Its id.
    pub const ID: &'static str = "output.bound_to_claims";

    /// From parameters: `require_in_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        mode::from_params(Self::ID, params).map(|require_in_modes| Self { require_in_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let missing = (Verdict::Unknown, "cannot verify output binding without claims_map");
        let loaded = Claimed::load(Self::ID, run, &self.require_in_modes, missing);
        let Claimed { evidence, document, mut result, .. } = loaded.map_err(|result| without_claims(run, result))?;
        let Some(map) = document.as_object() else {
            result.find(Verdict::Fail, Reason::new(CLAIMS_MAP.malformed, "claims_map must be an object"));
            return Err(result);
        };
        let Some(hash) = evidence.latest("final_output").and_then(|put| put.hash) else {
            result.find(Verdict::Fail, output_missing());
            return Err(result);
        };
        check_binding(&mut result, map, BlobRef(hash), run.is_compatible());
        check_blob(&mut result, run, hash, "final_output", "FINAL_OUTPUT_MISSING");
        if result.verdict.is_success() {
            result.evidence_refs.push(BlobRef(hash).to_string());
        }
        Ok(result)
    }
}

fn output_missing() -> Reason {
    Reason::new("FINAL_OUTPUT_MISSING", "final_output evidence blob required in factual/mixed mode")
}

/// Where there is no `claims_map` to judge by, an output that is missing too is the worse of the two.
fn without_claims(run: &Snapshot, mut result: InvariantResult) -> InvariantResult {
    let is_missing = result.reasons.iter().any(|reason| reason.code == CLAIMS_MAP.missing);
    if is_missing && Evidence::of(run).latest("final_output").and_then(|put| put.hash).is_none() {
        result.reasons.retain(|reason| reason.code != CLAIMS_MAP.missing);
        result.find(Verdict::Fail, output_missing());
    }
    result
}

/// Each name that is given must be that of the output; at least one must be given. In the compatible reading one must be
/// right, and then the other may say nothing, or write the same hash in another way.
fn check_binding(result: &mut InvariantResult, map: &Object, output: BlobRef, compatible: bool) {
    let names = [("output_ref", output.to_string()), ("output_sha256", output.0.to_hex())];
    let given = names.iter().filter_map(|(key, right)| {
        map.get(key).filter(|value| !value.is_null()).map(|value| (value, value.as_str() == Some(right)))
    });
    let given: Vec<(&Value, bool)> = given.collect();
    let one_is_right = compatible && given.iter().any(|(_, right)| *right);
    let given: Vec<bool> =
        given.into_iter().map(|(value, right)| right || one_is_right && is_no_other(value, output.0)).collect();
    if given.is_empty() {
        let msg = "claims_map has no output_ref or output_sha256";
        result.find(Verdict::Fail, Reason::new("OUTPUT_NOT_BOUND", msg));
    } else if given.contains(&false) {
        let short = &output.0.to_hex()[..16];
        let msg = format!("claims_map output binding doesn't match final_output blob: expected sha={short}...");
        result.find(Verdict::Fail, Reason::new("OUTPUT_MISMATCH", msg));
    }
}

/// Whether what stands beside the right name of the output is no name of something else.
fn is_no_other(value: &Value, output: BlobHash) -> bool {
    let Some(text) = value.as_text().map(Text::to_string_lossy) else { return true };
    text.is_empty()
        || text.to_lowercase().trim_start_matches("blob://").trim_start_matches("sha256:") == output.to_hex()
}

impl Invariant for OutputBoundToClaims {
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
