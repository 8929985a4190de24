//! `refs.closed_world`: claims cite only what this run put on record, before it claimed anything.

use super::claims::{CLAIMS_MAP, Claim, Claimed};
use super::evidence::{Put, check_blob};
use super::{Invariant, InvariantResult, mode};
use crate::error::Error;
use crate::id::BlobRef;
use crate::json::Object;
use crate::run::Snapshot;
use crate::verdict::{Reason, Verdict};
use std::collections::BTreeSet;

/// Each blob that a claim cites was put by an EVIDENCE_PUT of this run that stands before the `claims_map`. References to
/// events of this run are passed over. In the compatible reading it is enough that an EVIDENCE_PUT before the end names it.
#[derive(Clone, Debug)]
pub struct RefsClosedWorld {
    /// The modes that it concerns.
    pub require_in_modes: Vec<String>,
}

impl Default for RefsClosedWorld {
    fn default() -> Self {
        Self { require_in_modes: mode::factual() }
    }
}

impl RefsClosedWorld {
    /// Its id.
    pub const ID: &'static str = "refs.closed_world";

    /// From parameters: `require_in_modes`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an unknown parameter or one of the wrong type.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        mode::from_params(Self::ID, params).map(|require_in_modes| Self { require_in_modes })
    }

    fn answer(&self, run: &Snapshot) -> Result<InvariantResult, InvariantResult> {
        let missing = (Verdict::Unknown, "cannot verify closed-world without claims_map");
        let mut claimed = Claimed::load(Self::ID, run, &self.require_in_modes, missing)?;
        let claims = claimed.claims(false)?;
        let (evidence, mut result) = (claimed.evidence, claimed.result);
        let map_seq = evidence.latest(CLAIMS_MAP.key).map(|put| put.seq);
        let cited: BTreeSet<BlobRef> = claims.iter().flat_map(Claim::blobs).collect();
        let is_earlier = |put: &Put| map_seq.is_some_and(|map| put.seq < map);
        let is_inside = |blob: &BlobRef| {
            let compatible = run.is_compatible() && evidence.has(blob.0);
            compatible || evidence.puts_of(blob.0).any(is_earlier)
        };
        let (inside, outside): (Vec<BlobRef>, Vec<BlobRef>) = cited.iter().copied().partition(is_inside);
        for claim in &claims {
            claim.check_refs(run, &mut result);
            claim.check_odd(false, &mut result);
        }
        let mut outside: Vec<String> = outside.iter().map(BlobRef::to_string).collect();
        if run.is_compatible() {
            let astray: BTreeSet<&str> = claims.iter().flat_map(|claim| claim.astray("blob://")).collect();
            outside.extend(astray.into_iter().map(str::to_owned));
        }
        if !outside.is_empty() {
            let msg = format!("claims reference {} blob(s) not produced by this run", outside.len());
            let reason = outside.iter().fold(Reason::new("REFS_OUTSIDE_RUN", msg), Reason::at);
            result.find(Verdict::Fail, reason);
            result.meta.insert("orphans", outside);
        }
        for blob in inside {
            check_blob(&mut result, run, blob.0, &format!("cited blob {blob}"), "EVIDENCE_REF_MISSING");
        }
        Ok(result.with("refs_checked", cited.len()))
    }
}

impl Invariant for RefsClosedWorld {
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
