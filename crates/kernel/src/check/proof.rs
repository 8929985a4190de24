//! Proofs checked with no ledger at hand: an event is in the log of a checkpoint, or a log only added to an older one.

use super::report::{Check, CheckReport};
use receipt_core::checkpoint::{Checkpoint, ConsistencyProof, InclusionProof, SignedCheckpoint};
use receipt_core::id::EventHash;
use receipt_core::merkle::ProofProblem;
use receipt_core::note::{KeyKind, Standing, VerifierKey};
use receipt_core::verdict::{Reason, Verdict};
use receipt_core::witness::WitnessPolicy;

/// Whose word is taken for a checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'k> {
    /// Keys, each of which must have signed it; one of them the log's.
    pub keys: &'k [VerifierKey],
    /// Who must have cosigned it.
    pub witnesses: Option<&'k WitnessPolicy>,
}

impl Trust<'_> {
    /// Whether the event is in the log of the proof's checkpoint: [`Check::Log`], and [`Check::Fork`] where witnesses are
    /// asked for.
    pub fn inclusion(&self, proof: &InclusionProof, event: &EventHash) -> Vec<CheckReport> {
        self.judge(proof.check(event), &proof.checkpoint)
    }

    /// Whether the log of the proof's checkpoint only adds to that of `old`: the same checks.
    pub fn consistency(&self, proof: &ConsistencyProof, old: &Checkpoint) -> Vec<CheckReport> {
        let new = proof.checkpoint.checkpoint();
        if new.origin != old.origin {
            let msg = format!("the proof is of the log {}, the older checkpoint of {}", new.origin, old.origin);
            let mut log = CheckReport::pass(Check::Log);
            log.find(Verdict::Fail, Reason::new("FOREIGN_LOG", msg));
            return vec![log];
        }
        let mut checks = self.judge(proof.check(&old.head), &proof.checkpoint);
        if old.head.size == 0 {
            // Every log adds to an empty one.
            checks[0].find(Verdict::Unknown, empty_anchor("the older checkpoint"));
        }
        checks
    }

    fn judge(&self, proved: Result<(), ProofProblem>, checkpoint: &SignedCheckpoint) -> Vec<CheckReport> {
        let mut log = CheckReport::pass(Check::Log);
        if let Err(problem) = proved {
            log.find(Verdict::Fail, Reason::new("PROOF_MISMATCH", problem.to_string()));
        } else if covers_nothing(checkpoint) {
            log.find(Verdict::Unknown, empty_anchor("the proof's checkpoint"));
        } else if let Some((verdict, reason)) = unsigned(checkpoint, self.keys) {
            log.find(verdict, reason);
        }
        let Some(policy) = self.witnesses else { return vec![log] };
        let mut fork = CheckReport::pass(Check::Fork);
        let (is_met, doubts) = witnessed(policy, checkpoint);
        for (check, reason) in doubts {
            if check == Check::Fork { &mut fork } else { &mut log }.find(Verdict::Fail, reason);
        }
        if !is_met {
            fork.find(Verdict::Unknown, no_quorum());
        } else if covers_nothing(checkpoint) {
            fork.find(Verdict::Unknown, empty_anchor("the proof's checkpoint"));
        }
        vec![log, fork]
    }
}

/// Whether the key is that of the checkpoint's log, and has signed it. A witness's key is no log's, whatever its name.
pub(crate) fn is_log_of(key: &VerifierKey, checkpoint: &SignedCheckpoint) -> bool {
    key.kind() == KeyKind::Note && *key.name() == checkpoint.checkpoint().origin && has_signed(key, checkpoint)
}

fn has_signed(key: &VerifierKey, checkpoint: &SignedCheckpoint) -> bool {
    matches!(checkpoint.note().standing(key), Standing::Good { .. })
}

/// Why the checkpoint is not signed by all of the keys, of which there must be one at least, and one of them the log's.
pub(crate) fn unsigned(checkpoint: &SignedCheckpoint, keys: &[VerifierKey]) -> Option<(Verdict, Reason)> {
    if keys.is_empty() {
        let msg = "the proof holds, but nobody said whose signature to trust: a verifier key would settle it";
        return Some((Verdict::Unknown, Reason::new("NO_KEY", msg)));
    }
    if let Some(key) = keys.iter().find(|key| !has_signed(key, checkpoint)) {
        let msg = format!("the checkpoint is not signed by {}", key.name().as_str());
        return Some((Verdict::Fail, Reason::new("CHECKPOINT_UNSIGNED", msg)));
    }
    if !keys.iter().any(|key| is_log_of(key, checkpoint)) {
        let origin = checkpoint.checkpoint().origin.as_str();
        let msg = format!("the checkpoint is of {origin}, whose key is none of those given");
        return Some((Verdict::Fail, Reason::new("CHECKPOINT_FOREIGN", msg)));
    }
    None
}

/// Whether the checkpoint has the policy's quorum, and what speaks against it.
pub(crate) fn witnessed(policy: &WitnessPolicy, checkpoint: &SignedCheckpoint) -> (bool, Vec<(Check, Reason)>) {
    let mut doubts = Vec::new();
    if !policy.logs().is_empty() && !policy.logs().iter().any(|key| is_log_of(key, checkpoint)) {
        let msg = "no log of the witness policy signed the checkpoint";
        doubts.push((Check::Key, Reason::new("FOREIGN_KEY", msg)));
    }
    let cosigned = policy.check(checkpoint);
    for name in &cosigned.bad {
        let msg = format!("the line of {name} is not its cosignature");
        doubts.push((Check::Fork, Reason::new("BAD_COSIGNATURE", msg)));
    }
    for name in &cosigned.own {
        let msg = format!("the witness {name} has the key of the log itself, which vouches for nothing");
        doubts.push((Check::Fork, Reason::new("LOG_IS_WITNESS", msg)));
    }
    (cosigned.quorum && policy.asks_for_witnesses(), doubts)
}

/// Whether a checkpoint is of an empty log: every history begins so.
pub(crate) fn covers_nothing(checkpoint: &SignedCheckpoint) -> bool {
    checkpoint.checkpoint().head.size == 0
}

pub(crate) fn empty_anchor(name: &str) -> Reason {
    Reason::new("EMPTY_ANCHOR", format!("{name} covers no event, which settles nothing"))
}

pub(crate) fn no_quorum() -> Reason {
    Reason::new("NO_QUORUM", "too few witnesses of the policy have cosigned")
}
