//! `receipt.completeness`: the required evidence was put, and the blob of everything that was put is there.

use super::evidence::Evidence;
use super::params::Params;
use super::{Invariant, InvariantResult};
use crate::error::Error;
use crate::id::BlobRef;
use crate::json::{Object, Text};
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};
use std::collections::BTreeSet;

/// Each required key was put; each EVIDENCE_PUT names one blob; each blob is there and hashes to its name. A blob that
/// retention removed is WARN.
#[derive(Clone, Debug)]
pub struct ReceiptCompleteness {
    /// Keys that must be put. In a policy file also `keys`.
    pub required_keys: Vec<String>,
    /// Whether the blobs are looked at too.
    pub verify_blobs: bool,
}

impl Default for ReceiptCompleteness {
    fn default() -> Self {
        Self { required_keys: Vec::new(), verify_blobs: true }
    }
}

impl ReceiptCompleteness {
    /// Its id.
    pub const ID: &'static str = "receipt.completeness";

    /// From parameters: `required_keys` (or `keys`), `verify_blobs`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        let mut params = Params::new(Self::ID, params);
        let keys = params.texts("keys")?;
        let required_keys = params.texts("required_keys")?;
        if keys.is_some() && required_keys.is_some() {
            return Err(params.wrong("keys", "it is the short name of required_keys: give one of them"));
        }
        let verify_blobs = params.flag("verify_blobs", true)?;
        params.end()?;
        Ok(Self { required_keys: keys.or(required_keys).unwrap_or_default(), verify_blobs })
    }
}

impl Invariant for ReceiptCompleteness {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn params(&self) -> Object {
        let mut params = Object::new();
        params.insert("required_keys", self.required_keys.clone());
        params.insert("verify_blobs", self.verify_blobs);
        params
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        let evidence = Evidence::of(run);
        require_keys(&mut result, &evidence, &self.required_keys);
        evidence.report_problems(&mut result);
        let (mut found, mut seen): (Vec<Text>, BTreeSet<&[u8]>) = (Vec::new(), BTreeSet::new());
        for put in &evidence.puts {
            let Some(key) = put.key.as_ref().filter(|_| put.hash.is_some() || run.is_compatible()) else { continue };
            if seen.insert(key.as_bytes()) {
                found.push(key.clone());
            }
            result.evidence_refs.extend(put.cited.map(|hash| BlobRef(hash).to_string()));
        }
        if self.verify_blobs {
            evidence.check_blobs(&mut result);
        }
        result.with("found_keys", found)
    }
}

/// Adds which of the keys were never put.
pub(super) fn require_keys(result: &mut InvariantResult, evidence: &Evidence<'_>, keys: &[String]) {
    let put = evidence.puts.iter().filter(|put| !put.late).filter_map(|put| put.key.as_ref());
    let put: BTreeSet<&[u8]> = put.map(Text::as_bytes).collect();
    for key in keys {
        if !put.contains(key.as_bytes()) {
            let msg = format!("Required evidence key '{key}' not found in EVIDENCE_PUT events");
            result.find(Verdict::Fail, Reason::new("MISSING_KEY", msg));
        }
    }
}
