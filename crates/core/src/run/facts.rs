//! The facts about a run that reading its rows showed.

use crate::commitment::Commitment;
use crate::id::{EventHash, Seq};
use crate::json::Text;
use crate::stage::Stage;
use crate::verdict::{Reason, Verdict};

/// The kind of tampering that a finding speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Events edited, reordered, removed or spliced in.
    Content,
    /// A column that its envelope contradicts.
    Columns,
    /// Stages and endings against what the run committed to.
    Path,
}

/// Something in a ledger that should not be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub area: Area,
    /// FAIL if it contradicts the record; WARN if nothing binds what it says; UNKNOWN if it cannot be checked.
    pub verdict: Verdict,
    /// The reason: a code and a message.
    pub reason: Reason,
}

/// How many findings are kept for one run; beyond them they are only counted.
pub(super) const MAX_FINDINGS: usize = 1000;

/// The facts about a run that reading its rows showed.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// How many rows there were.
    pub events: u64,
    /// The last event that could be read: its seq and the hash of its bytes.
    pub head: Option<(Seq, EventHash)>,
    /// The findings, in the order of the rows.
    pub findings: Vec<Finding>,
    /// How many findings there were beyond those kept.
    pub more_findings: u64,
    /// How many rows could not be read as events at all.
    pub unreadable: u64,
    /// The policy and stage graph that RUN_START commits to; a run written by the Python package has none.
    pub commitment: Option<Commitment>,
    /// The verdict that RUN_FINALIZE recorded; `None` for a run that is unfinished or has none that can be read.
    pub recorded_verdict: Option<Verdict>,
    /// The verdict of the last EVALUATION before the end of the run, if there is one that can be read.
    pub evaluated: Option<Verdict>,
    /// Whether evidence or a remediation came after that EVALUATION, which judged nothing of it.
    pub unjudged: bool,
    /// Whether there is a RUN_FINALIZE.
    pub finalized: bool,
    /// The first event's ts.
    pub started: Option<Text>,
    /// The stage of the last event.
    pub stage: Option<Stage>,
}

impl RunFacts {
    /// How the run ended: the verdict that RUN_FINALIZE recorded, UNKNOWN where that cannot be read; `None` if it has not
    /// ended.
    pub fn outcome(&self) -> Option<Verdict> {
        self.finalized.then(|| self.recorded_verdict.unwrap_or(Verdict::Unknown))
    }

    /// The best verdict that the run may end with: that of its last EVALUATION, if that judged all that was put. Without a
    /// judgement a run cannot end well; it may always end worse.
    pub fn best_ending(&self) -> Verdict {
        let evaluated = self.evaluated.unwrap_or(Verdict::Unknown);
        if self.unjudged { evaluated.worse(Verdict::Unknown) } else { evaluated }
    }

    /// How many findings are FAIL. Of those that were only counted, all are taken to be.
    pub fn failures(&self) -> u64 {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() as u64 + self.more_findings
    }

    /// Whether every row could be read, and nothing was wrong with any.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0 && self.unreadable == 0
    }

    /// Whether every row could be read, and no finding is FAIL.
    pub fn is_sound(&self) -> bool {
        self.unreadable == 0 && self.failures() == 0
    }

    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}
