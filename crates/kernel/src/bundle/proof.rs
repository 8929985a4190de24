//! The proof that a bundle carries, and the proof that a ledger kept of an imported run.

use crate::check::findings::Findings;
use crate::check::proof::unsigned;
use crate::check::report::Check;
use receipt_core::bundle::Header;
use receipt_core::checkpoint::InclusionProof;
use receipt_core::id::EventHash;
use receipt_core::note::VerifierKey;
use receipt_core::verdict::{Reason, Verdict};

/// Whether the proof holds, is of the run's last event, and is signed by all of the keys, of which there is one at least.
pub(super) fn check_proof(
    header: &Header,
    event: Option<EventHash>,
    keys: &[VerifierKey],
    findings: &mut Findings,
) -> bool {
    let mut find = |verdict, reason| {
        findings.find(Check::Log, verdict, reason);
        findings.entry(Check::Log).required = verdict == Verdict::Fail || !keys.is_empty();
        false
    };
    let Some(proof) = &header.proof else {
        return find(Verdict::Unknown, Reason::new("NO_PROOF", "the bundle carries no checkpoint"));
    };
    let parsed = match InclusionProof::parse(proof.text.as_bytes()) {
        Ok(parsed) if parsed.to_string() == proof.text => parsed,
        Ok(_) => return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", "the proof is not spelled as one is")),
        Err(error) => return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", error.to_string())),
    };
    let Some(event) = event else {
        return find(Verdict::Fail, Reason::new("PROOF_MALFORMED", format!("the run has no event {}", proof.seq)));
    };
    if let Err(problem) = parsed.check(&event) {
        return find(Verdict::Fail, Reason::new("PROOF_MISMATCH", problem.to_string()));
    }
    if let Some((verdict, reason)) = unsigned(&parsed.checkpoint, keys) {
        return find(verdict, reason);
    }
    if event != header.head {
        // Whoever has a proof of the beginning could have written the rest.
        let msg =
            format!("no event behind {} is proved to be in the log: a newer checkpoint would settle it", proof.seq);
        return find(Verdict::Unknown, Reason::new("PROOF_PARTIAL", msg));
    }
    true
}
