//! What anchors settle, before it is told in a report.

use super::report::{Check, CheckReport, Coverage, Report};
use receipt_core::verdict::{Reason, Verdict};
use std::collections::BTreeMap;

/// What was found, before it is told in a report.
#[derive(Default)]
pub(super) struct Settled {
    checks: BTreeMap<Check, CheckReport>,
    coverage: Vec<Coverage>,
}

impl Settled {
    /// An anchor that holds settles these checks, for as much as it covers.
    pub(super) fn cover(&mut self, anchor: &str, events: u64, of: u64) {
        let coverage = Coverage { anchor: anchor.to_owned(), events, of };
        for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Key] {
            self.find(check, Verdict::Pass, "COVERED", coverage.to_string());
        }
        self.coverage.push(coverage);
    }

    pub(super) fn settle(&mut self, check: Check) -> &mut CheckReport {
        self.checks.entry(check).or_insert_with(|| CheckReport::pass(check))
    }

    pub(super) fn find(&mut self, check: Check, verdict: Verdict, code: &'static str, msg: impl Into<String>) {
        self.settle(check).find(verdict, Reason::new(code, msg.into()));
    }

    pub(super) fn has_failed(&self, check: Check) -> bool {
        self.checks.get(&check).is_some_and(|report| report.verdict == Verdict::Fail)
    }

    pub(super) fn tell(self, report: &mut Report) {
        report.coverage.extend(self.coverage);
        for (check, found) in self.checks {
            let Some(entry) = report.checks.iter_mut().find(|entry| entry.check == check) else { continue };
            if entry.reasons.iter().any(|reason| reason.code == "NO_ANCHOR") {
                entry.verdict = Verdict::Pass;
                entry.reasons.clear();
            }
            entry.merge(found);
            entry.required = true;
        }
    }
}
