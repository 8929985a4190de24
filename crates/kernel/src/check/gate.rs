//! A gate: whether somebody may rely on a run.
//!
//! That a record is intact and that its run ended well are two questions. A gate asks both, and a third: under which policy
//! the run was judged, as whoever records a run chooses its policy. A gate lets nothing through that it is not sure of.

use super::ending::Ending;
use crate::bundle::{Finished, Replays};
use receipt_core::id::PolicyDigest;
use receipt_core::verdict::{Reason, Verdict};

/// What a run must be so that somebody may rely on it: intact, and ended as PASS.
///
/// ```
/// use receipt_kernel::{Actor, Audit, Gate, Ledger, Object, Policy, Verdict};
///
/// # let folder = tempfile::tempdir()?;
/// let ledger = Ledger::create(folder.path().join("ledger.db"))?;
/// let run = ledger.start("build-1", Policy::structural()?, Actor::new("system", "ci"), Object::new())?;
/// let run = run.run_id().clone();
///
/// let report = Audit::of(&ledger).runs([run]).run()?;
/// let missing = Gate::default().missing(report.overall_verdict(), report.endings.first());
/// assert!(missing.iter().any(|(verdict, reason)| *verdict == Verdict::Unknown && reason.code == "GATE_UNFINISHED"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    policy: Option<PolicyDigest>,
    allow_warn: bool,
}

impl Gate {
    /// The same, for runs that committed to the policy of this digest.
    #[must_use]
    pub const fn policy(self, digest: PolicyDigest) -> Self {
        Self { policy: Some(digest), ..self }
    }

    /// The same, where WARN is good enough, of the record and of the run.
    #[must_use]
    pub const fn allow_warn(self, allow: bool) -> Self {
        Self { allow_warn: allow, ..self }
    }

    /// What is missing: nothing if somebody may rely on the run. `record` is the verdict over the record, `ending` how the
    /// run ended, as the same audit read it.
    pub fn missing(&self, record: Verdict, ending: Option<&Ending>) -> Vec<(Verdict, Reason)> {
        let mut missing = Vec::new();
        if let Some(verdict) = self.short_of(record) {
            let msg = match record {
                Verdict::Warn => "its record is WARN, and only PASS is good enough here",
                Verdict::Unknown => "whether its record is intact is UNKNOWN",
                Verdict::Pass | Verdict::Fail => "its record is not intact",
            };
            missing.push((verdict, Reason::new("GATE_RECORD", msg)));
        }
        let Some(ending) = ending else {
            missing.push((Verdict::Unknown, Reason::new("GATE_UNREAD", "how the run ended could not be read")));
            return missing;
        };
        missing.extend(self.outcome(ending.outcome));
        missing.extend(self.judged_by(ending));
        missing
    }

    fn outcome(&self, outcome: Option<Verdict>) -> Option<(Verdict, Reason)> {
        let Some(outcome) = outcome else {
            return Some((Verdict::Unknown, Reason::new("GATE_UNFINISHED", "the run has not ended")));
        };
        let verdict = self.short_of(outcome)?;
        Some((verdict, Reason::new("GATE_OUTCOME", format!("the run ended as {outcome}"))))
    }

    fn judged_by(&self, ending: &Ending) -> Option<(Verdict, Reason)> {
        let Some(policy) = &ending.policy else {
            let msg = "the run commits to no policy, so that nothing says what its verdict means";
            return Some((Verdict::Unknown, Reason::new("GATE_NO_POLICY", msg)));
        };
        let wanted = self.policy.filter(|wanted| *wanted != policy.digest)?;
        let msg = format!("the run was judged by the policy {policy}, and {wanted} is asked for");
        Some((Verdict::Fail, Reason::new("GATE_OTHER_POLICY", msg)))
    }

    /// What is missing of a run whose evaluations were computed again, beside [`Self::missing`]: that they came out as they
    /// were recorded, in the run as the audit read it. A bundle's report has this in its checks already.
    pub fn replayed(&self, ending: &Ending, replays: &Replays) -> Vec<(Verdict, Reason)> {
        if replays.head != ending.head {
            let msg = "the run changed while it was checked";
            return vec![(Verdict::Unknown, Reason::new("GATE_UNREAD", msg))];
        }
        let mut missing = Vec::new();
        if let Some(verdict) = self.short_of(replays.verdict) {
            let msg = format!("its evaluations, computed again, are {}", replays.verdict);
            missing.push((verdict, Reason::new("GATE_REPLAY", msg)));
            let found = replays.evaluations.iter().flat_map(|it| &it.reasons).chain(&replays.reasons);
            missing.extend(found.map(|reason| (verdict, reason.clone())));
        }
        missing.extend(self.judged(ending, replays.finished.as_ref()));
        missing
    }

    /// What is missing of a run that ended well, judged as a whole now that it has ended. An evaluation within a run comes
    /// before its end, and judges nothing of how the run ended.
    pub fn judged(&self, ending: &Ending, finished: Option<&Finished>) -> Vec<(Verdict, Reason)> {
        let ended_well = ending.outcome.is_some_and(|outcome| self.short_of(outcome).is_none());
        let short =
            finished.filter(|_| ended_well).and_then(|finished| Some((self.short_of(finished.verdict)?, finished)));
        let Some((verdict, finished)) = short else { return Vec::new() };
        let msg = format!("the finished run, judged by its own policy, is {}", finished.verdict);
        let reasons = [Reason::new("GATE_JUDGED", msg)].into_iter().chain(finished.reasons.iter().cloned());
        reasons.map(|reason| (verdict, reason)).collect()
    }

    /// The verdict of a gate on what has this verdict; `None` if that is good enough.
    fn short_of(&self, verdict: Verdict) -> Option<Verdict> {
        match verdict {
            Verdict::Pass => None,
            Verdict::Warn if self.allow_warn => None,
            Verdict::Unknown => Some(Verdict::Unknown),
            Verdict::Warn | Verdict::Fail => Some(Verdict::Fail),
        }
    }
}
