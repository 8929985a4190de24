//! Findings, check by check, on their way into a report.

use super::ending::{Ending, Outcomes};
use super::report::{Check, CheckReport};
use crate::error::Error;
use receipt_core::id::{EventRef, RunId};
use receipt_core::run::{Area, RunFacts};
use receipt_core::verdict::{Reason, Verdict};

/// Findings, check by check.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) checks: Vec<CheckReport>,
    pub(super) runs: u64,
    pub(crate) events: u64,
    pub(crate) outcomes: Outcomes,
    pub(super) committed: u64,
    pub(crate) blobs: u64,
    pub(crate) expired: u64,
    /// Whether the store could not be read to its end.
    pub(super) failed: bool,
}

impl Findings {
    /// Every check of `checks` has its verdict and its reasons, in order.
    pub(crate) fn settle(&mut self, checks: &[Check]) {
        if self.events == 0 && self.entry(Check::Content).verdict == Verdict::Pass {
            let reason = Reason::new("NO_EVENTS", "there are no events to check");
            self.find(Check::Content, Verdict::Unknown, reason);
        }
        if self.committed == 0 && self.runs > 0 {
            // Nothing said which way was allowed; only endings could be checked.
            let path = self.entry(Check::Path);
            if path.verdict == Verdict::Pass {
                path.verdict = Verdict::Unknown;
                path.required = false;
                path.reasons.push(Reason::new("STAGE_GRAPH_UNCOMMITTED", "no run commits to a stage graph"));
            }
        }
        for &check in checks {
            let entry = self.entry(check);
            if let Some(anchor) = check.anchor() {
                entry.verdict = Verdict::Unknown;
                entry.required = false;
                entry.reasons.push(Reason::new("NO_ANCHOR", anchor));
            }
            // From whichever thread they came, in one order: that of the events.
            entry.reasons.sort_by_cached_key(|reason| {
                let event = reason.pointers.first().and_then(|pointer| EventRef::parse(pointer));
                (event, reason.pointers.clone(), reason.code.clone())
            });
        }
        self.checks.sort_by_key(|report| checks.iter().position(|check| *check == report.check));
    }

    pub(crate) fn entry(&mut self, check: Check) -> &mut CheckReport {
        let index = self.checks.iter().position(|report| report.check == check).unwrap_or_else(|| {
            self.checks.push(CheckReport::pass(check));
            self.checks.len() - 1
        });
        &mut self.checks[index]
    }

    pub(crate) fn find(&mut self, check: Check, verdict: Verdict, reason: Reason) {
        self.entry(check).find(verdict, reason);
    }

    pub(super) fn is_success(&self) -> bool {
        self.checks.iter().all(|report| report.verdict.is_success())
    }

    /// Takes in what was found elsewhere.
    pub(super) fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.outcomes.merge(other.outcomes);
        self.committed += other.committed;
        self.blobs += other.blobs;
        self.expired += other.expired;
        self.failed |= other.failed;
        for report in other.checks {
            self.entry(report.check).merge(report);
        }
        let commitment = self.entry(Check::Commitment);
        commitment.required = commitment.verdict != Verdict::Unknown;
    }

    /// The store could not be read to its end: nothing that depends on it can be PASS.
    pub(crate) fn read_failure(&mut self, error: &Error) {
        self.failed = true;
        for check in [Check::Content, Check::Columns, Check::Evidence, Check::Path] {
            self.find(check, Verdict::Unknown, Reason::new("READ_FAILURE", error.to_string()));
        }
    }

    /// What became of a run, and how it ended.
    pub(crate) fn run(&mut self, run: &RunId, facts: RunFacts) -> Ending {
        let pointer = format!("run://{run}");
        let ending = Ending::of(run, &facts);
        self.outcomes.count(ending.outcome);
        self.runs += 1;
        self.events += facts.events;
        if facts.more_findings > 0 {
            let reason = Reason::new("MORE_FINDINGS", format!("and {} more findings", facts.more_findings));
            self.find(Check::Content, Verdict::Fail, reason.at(&pointer));
        }
        for finding in facts.findings {
            let check = match finding.area {
                Area::Content => Check::Content,
                Area::Columns => Check::Columns,
                Area::Path => Check::Path,
            };
            self.find(check, finding.verdict, finding.reason);
        }
        if facts.events == 0 {
            let reason = Reason::new("NO_EVENTS", format!("run {:?} has a row and no events", run.as_str()));
            self.find(Check::Content, Verdict::Unknown, reason.at(&pointer));
        } else if facts.commitment.is_none() {
            let msg = "RUN_START commits to no policy and stage graph: nothing binds the run's row and its stages";
            self.find(Check::Commitment, Verdict::Unknown, Reason::new("RUN_UNCOMMITTED", msg).at(&pointer));
        } else {
            self.committed += 1;
        }
        if !facts.finalized && facts.commitment.is_some() {
            let msg = "the run is unfinished: it has no RUN_FINALIZE";
            self.find(Check::Path, Verdict::Warn, Reason::new("RUN_UNFINISHED", msg).at(&pointer));
        }
        let commitment = self.entry(Check::Commitment);
        commitment.required = commitment.verdict != Verdict::Unknown;
        ending
    }
}
