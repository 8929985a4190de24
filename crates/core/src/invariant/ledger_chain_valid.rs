//! `ledger.chain_valid`: the events are there, in order, unchanged, and each column says what its envelope says.

use super::Invariant;
use crate::run::{Area, Snapshot};
use crate::verdict::{InvariantResult, Reason, Verdict};

/// Seq 1, 2, 3…; each `prev_event_hash` the event before; each hash that of its bytes; each column its envelope.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerChainValid;

impl Invariant for LedgerChainValid {
    fn id(&self) -> &'static str {
        "ledger.chain_valid"
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        let facts = run.facts();
        if facts.events == 0 {
            let reason = Reason::new("NO_EVENTS", format!("No events found for run_id={}", run.run_id()));
            return InvariantResult::new(self.id(), Verdict::Unknown).because(reason);
        }
        let broken = facts.findings.iter().filter(|finding| finding.area != Area::Path);
        let mut reasons: Vec<Reason> = broken.map(|finding| finding.reason.clone()).collect();
        if facts.more_findings > 0 {
            reasons.push(Reason::new("MORE_FINDINGS", format!("and {} more findings", facts.more_findings)));
        }
        if reasons.is_empty() {
            return InvariantResult::new(self.id(), Verdict::Pass).with("event_count", facts.events);
        }
        InvariantResult { reasons, ..InvariantResult::new(self.id(), Verdict::Fail) }
    }
}
