//! `ledger.chain_valid`: the events are there, in order, unchanged, and each column says what its envelope says.

use super::Invariant;
use super::params::Params;
use crate::error::Error;
use crate::id::RunId;
use crate::json::Object;
use crate::run::{Area, Finding, RunFacts, Snapshot};
use crate::verdict::{InvariantResult, Reason, Verdict};

/// Seq 1, 2, 3…; each `prev_event_hash` the event before; each hash that of its bytes; each column its envelope.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerChainValid;

impl LedgerChainValid {
    /// Its id.
    pub const ID: &'static str = "ledger.chain_valid";

    /// The invariant takes no parameters.
    ///
    /// # Errors
    /// [`Error::Policy`] for any.
    pub fn from_params(params: &Object) -> Result<Self, Error> {
        Params::new(Self::ID, params).end().map(|()| Self)
    }
}

impl Invariant for LedgerChainValid {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn judge(&self, run: &Snapshot) -> InvariantResult {
        Self::of_facts(run.run_id(), run.facts())
    }
}

impl LedgerChainValid {
    /// Judges a run whose rows were read and whose events were not kept.
    pub fn of_facts(run: &RunId, facts: &RunFacts) -> InvariantResult {
        let mut result = InvariantResult::new(Self::ID, Verdict::Pass);
        // A row that nothing binds is no part of the chain.
        let counts = |finding: &&Finding| finding.area != Area::Path && finding.verdict != Verdict::Warn;
        for finding in facts.findings.iter().filter(counts) {
            result.find(finding.verdict, finding.reason.clone());
        }
        if facts.more_findings > 0 {
            let reason = Reason::new("MORE_FINDINGS", format!("and {} more findings", facts.more_findings));
            result.find(Verdict::Fail, reason);
        }
        if facts.events == 0 {
            result.find(Verdict::Unknown, Reason::new("NO_EVENTS", format!("No events found for run_id={run}")));
        }
        if result.verdict == Verdict::Pass {
            return result.with("event_count", facts.events);
        }
        result
    }
}
