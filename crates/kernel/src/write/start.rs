//! How a run begins: its row and its RUN_START, in one transaction.

use super::{Clean, Gate, Place, RunWriter, policy_ref};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::store::{NewRun, WriteTransaction};
use receipt_core::canonical;
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, EventType, PolicyRef, Sealed};
use receipt_core::id::{RunId, Timestamp};
use receipt_core::json::{Limits, Object, Value};
use receipt_core::policy::Policy;
use std::sync::Arc;

/// The beginning of a run, which nobody has written yet.
pub(crate) struct Start {
    writer: RunWriter,
    names: Clean<Arc<PolicyRef>>,
    sealed: Sealed,
    ts: Timestamp,
    meta_json: String,
}

impl Gate {
    /// Drafts the beginning of a run. `more` is a member of its payload beside `meta` and `commitment`.
    pub(crate) fn start(
        self,
        ledger: &Ledger,
        run_id: &str,
        policy: Policy,
        actor: Actor,
        meta: Object,
        more: Option<(&'static str, Clean<Value>)>,
    ) -> Result<Start> {
        let run_id = RunId::for_new_run(run_id)?;
        self.name("the run's id", run_id.as_str())?;
        let start = self.run_start(&policy, meta)?;
        let ts = ledger.now();
        let stage = Clean::ours(policy.graph().initial().clone());
        let (names, actor) = (Clean::ours(Arc::new(policy_ref(&policy))), self.actor(actor));
        let place = Place { stage, policy: &names, actor: &actor, ts, clock: None };
        let payload = start.payload();
        let payload = match more {
            Some((name, value)) => payload.with(name, value),
            None => payload,
        };
        let sealed = self.draft(EventType::RunStart, place, payload).seal(Link::first(run_id.clone()))?;
        let meta_json = canonical::to_bytes(&start.meta.clone().into(), Limits::WRITE)?;
        let meta_json = String::from_utf8_lossy(&meta_json).into_owned();
        let writer = RunWriter::new(ledger.clone(), self, run_id, policy, actor);
        Ok(Start { writer, names, sealed, ts, meta_json })
    }
}

impl Start {
    pub(crate) fn run_id(&self) -> &RunId {
        self.writer.run_id()
    }

    pub(crate) fn write(self, transaction: &mut dyn WriteTransaction) -> Result<RunWriter> {
        let Self { writer, names, sealed, ts, meta_json } = self;
        transaction.insert_run(&NewRun {
            run_id: writer.run_id(),
            policy_id: &names.policy_id,
            policy_version: &names.policy_version,
            stage_graph_id: &names.stage_graph_id,
            created_at: ts,
            meta_json: &meta_json,
        })?;
        transaction.insert_event(&sealed, ts)?;
        Ok(writer)
    }
}
