//! The runs that a ledger writes about itself: what retention removed, what a redaction replaced, which key was destroyed,
//! which run was imported.
//!
//! What such a run is, `maintenance` in its RUN_START says, and nothing else: its id is only a name.

use super::{Clean, Gate, OpenRun, RunWriter};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::read::maintenance::{Kind, MAINTENANCE};
use crate::read::run::has_row;
use crate::store::WriteTransaction;
use receipt_core::envelope::Actor;
use receipt_core::id::RunId;
use receipt_core::json::{Object, Value};
use receipt_core::policy::Policy;
use receipt_core::stage::Stage;

/// How a maintenance run ends.
pub(crate) struct End<'e> {
    /// Why it goes on to its evaluation.
    pub(crate) reason: &'e str,
    /// What is decided, why, and what follows.
    pub(crate) decision: [&'e str; 3],
    pub(crate) summary: &'e str,
}

impl Ledger {
    /// Starts a maintenance run in the transaction that does its work, or the first of it: if that is refused, no run is
    /// left open. `meta` is redacted as any run's, and `said` stands beside the kind.
    pub(crate) fn maintain_in(
        &self,
        transaction: &mut dyn WriteTransaction,
        gate: Gate,
        kind: Kind,
        actor: &Actor,
        meta: &Object,
        said: Clean<Object>,
    ) -> Result<RunWriter> {
        let stamp: String = self.now().to_string().chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let mut id = format!("{}-{stamp}Z", kind.as_str());
        // Another one in this second.
        while has_row(transaction, &RunId::new(id.as_str()))? {
            id.push('+');
        }
        let said = said.with("kind", Clean::ours(kind.as_str())).into_inner();
        let maintenance = Some((MAINTENANCE, Clean::ours(Value::from(said))));
        gate.start(self, &id, Policy::structural()?, actor.clone(), meta.clone(), maintenance)?.write(transaction)
    }
}

impl OpenRun<'_> {
    /// Ends a maintenance run that stands in COLLECT.
    pub(crate) fn close(&mut self, end: &End<'_>) -> Result<()> {
        self.judge(end.reason)?;
        let [id, basis, plan] = end.decision;
        self.decide(id, &[basis], plan)?;
        self.end(end.summary, Ok).map(drop)
    }

    /// Goes from COLLECT to DECIDE by way of an evaluation.
    pub(crate) fn judge(&mut self, reason: &str) -> Result<()> {
        let reason = self.gate().text(reason);
        self.advance(&Stage::new("EVALUATE"), reason)?;
        self.evaluate()?;
        self.advance(&Stage::new("DECIDE"), Clean::ours("evaluated")).map(drop)
    }
}
