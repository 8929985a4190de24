//! A run being written: strict about stages, endings and time.

use crate::error::{Error, Result};
use crate::evidence::{self, Digest256, Put};
use crate::ledger::Ledger;
use crate::read::head::read_head;
use crate::read::snapshot::take_snapshot;
use crate::store::{Scope, WriteTransaction};
use crate::write::{Appended, Clean, End, Gate, Source, Taken, policy_ref, take};
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef};
use receipt_core::evidence::{BlobRecord, EvidenceClass};
use receipt_core::id::{BlobRef, RunId};
use receipt_core::json::{Object, Value};
use receipt_core::payload::{RecordedEvaluation, RunFinalize, StageAdvance};
use receipt_core::policy::{Evaluation, Policy};
use receipt_core::stage::Stage;
use receipt_core::verdict::Verdict;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Deref;
use std::sync::Arc;

/// A run that is open for writing, in this process and perhaps in others at the same time.
#[derive(Clone, Debug)]
pub struct RunWriter {
    pub(super) ledger: Ledger,
    pub(super) run_id: RunId,
    policy: Arc<Policy>,
    pub(super) policy_ref: Clean<Arc<PolicyRef>>,
    pub(super) actor: Clean<Arc<Actor>>,
    pub(super) gate: Gate,
}

impl RunWriter {
    /// The writer of a run that is on record.
    pub(crate) fn new(ledger: Ledger, gate: Gate, run_id: RunId, policy: Policy, actor: Clean<Arc<Actor>>) -> Self {
        let policy_ref = Clean::ours(Arc::new(policy_ref(&policy)));
        Self { ledger, run_id, policy: Arc::new(policy), policy_ref, actor, gate }
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// The policy that the run committed to.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The stage that the run is in.
    ///
    /// # Errors
    /// [`Error::RunFinalized`] once it has ended; where the store cannot be read.
    pub fn stage(&self) -> Result<Stage> {
        let snapshot = self.ledger.look()?;
        let transaction = snapshot.view();
        Ok(read_head(transaction.as_ref(), &self.run_id)?.stage)
    }

    /// Goes to another stage.
    ///
    /// # Errors
    /// [`Error::Input`] where the stage graph has no such step: nothing is recorded, and the error names the steps
    /// that there are.
    pub fn advance(&mut self, stage: &str, reason: &str) -> Result<Appended> {
        let to = Stage::new(stage);
        let reason = self.gate.text(reason);
        self.transact_anew(|run| run.advance(&to, reason.clone()))
    }

    /// Puts evidence on record under a key: redacted, stored under the hash of what is stored, and referred to by an
    /// EVIDENCE_PUT event, all in one transaction.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::RunFinalized`]; [`Error::NoRecipient`] for sealed evidence in a ledger that has none.
    pub fn put(&mut self, key: &str, data: &[u8], put: Put) -> Result<BlobRecord> {
        let source = match put.class {
            EvidenceClass::Public => Source::redacted_by(self.gate.redactor(), data),
            EvidenceClass::Sealed => {
                let recipients = self.ledger.recipients()?.ok_or(Error::NoRecipient)?;
                Source::sealed_by(self.gate.redactor(), data, &recipients)?
            }
        };
        self.put_source(key, source, put)
    }

    /// The same from a reader, which is read to its end: evidence of any size up to 990 MB ([`MAX_BLOB`]), in memory that
    /// does not grow with it.
    ///
    /// [`MAX_BLOB`]: crate::store::sqlite::MAX_BLOB
    ///
    /// # Errors
    /// As [`Self::put`]; [`Error::TooLarge`] as soon as more than that has been read (see
    /// [`Digesting`](crate::evidence::Digesting)); [`Error::Io`] where it cannot be read.
    pub fn put_reader(&mut self, key: &str, from: &mut dyn Read, put: Put) -> Result<BlobRecord> {
        match take(&self.ledger, put.class, from)? {
            Taken::Whole(bytes) => self.put(key, &bytes, put),
            Taken::Spooled(source) => self.put_source(key, source, put),
        }
    }

    /// Puts evidence on record by its digest, its size and a name: its bytes stay where they are, and whoever has them can
    /// show that they are what was meant.
    ///
    /// # Errors
    /// [`Error::SealedByDigest`] for class sealed, as a digest outside a ciphertext says what lies in it;
    /// [`Error::RunFinalized`].
    pub fn put_digest(&mut self, key: &str, digest: &Digest256, name: &str, put: Put) -> Result<BlobRecord> {
        if put.class == EvidenceClass::Sealed {
            return Err(Error::SealedByDigest);
        }
        let (key, put, name) = (self.gate.text(key), self.gate.put(put), self.gate.text(name));
        let name = Clean::ours(Object::new()).with("name", name);
        let meta = evidence::unclaimed(put.meta()).with("by_digest", name);
        let content_type = put.content_type.clone();
        let record = BlobRecord { hash: digest.hash, content_type, bytes_len: digest.bytes_len, class: put.class };
        self.transact_anew(|run| run.put(key.clone(), &record, meta.clone()))?;
        Ok(record)
    }

    /// Puts evidence on record from a file that is already redacted; see [`Spool`](crate::write::Spool).
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_source(&mut self, key: &str, mut source: Source<'_>, put: Put) -> Result<BlobRecord> {
        let (key, put) = (self.gate.text(key), self.gate.put(put));
        self.transact_anew(|run| {
            let now = run.writer.ledger.now();
            let stored = evidence::store(run.transaction, &mut source, &put, now)?;
            run.put(key.clone(), &stored.record, stored.note(evidence::unclaimed(put.meta())))?;
            Ok(stored.record)
        })
    }

    /// Judges the run as it is by its policy, and records the evaluation.
    ///
    /// # Errors
    /// [`Error::RunFinalized`]; where the store cannot be read or written.
    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime only")]
    pub fn evaluate(&mut self) -> Result<Evaluation> {
        self.transact_anew(|run| run.evaluate())
    }

    /// Records a decision, referring to the last evaluation where there is one.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn decide(&mut self, decision_id: &str, basis: &[&str], action_plan: &str) -> Result<Appended> {
        self.transact_anew(|run| run.decide(decision_id, basis, action_plan))
    }

    /// Ends the run with the verdict of its last evaluation: UNKNOWN where there is none, or where evidence or a
    /// remediation has come since; FAIL where the chain is no longer valid.
    ///
    /// A run that ends as PASS or WARN ends in a terminal stage. Where one directly follows the stage that the run is
    /// in, the step is taken here. FAIL and UNKNOWN may end a run in any stage.
    ///
    /// # Errors
    /// [`Error::Input`] where a successful run is not one step from a terminal stage; [`Error::RunFinalized`].
    pub fn finalize(&mut self, summary: &str) -> Result<Verdict> {
        self.end(summary, Ok)
    }

    /// Ends the run with a verdict that is not better than the one that [`Self::finalize`] would give.
    ///
    /// # Errors
    /// [`Error::VerdictTooGood`], and as [`Self::finalize`].
    pub fn finalize_as(&mut self, verdict: Verdict, summary: &str) -> Result<Verdict> {
        self.end(summary, |allowed| {
            if verdict.worse(allowed) == verdict {
                Ok(verdict)
            } else {
                Err(Error::VerdictTooGood { asked: verdict, allowed })
            }
        })
    }

    pub(crate) fn finalize_interrupted(&mut self) -> Result<Verdict> {
        let summary = "interrupted: recovered without knowing how the work ended";
        self.end(summary, |allowed| Ok(Verdict::Unknown.worse(allowed)))
    }

    /// `choose` is given the best verdict that the run allows.
    fn end(&mut self, summary: &str, choose: impl Fn(Verdict) -> Result<Verdict>) -> Result<Verdict> {
        self.transact_anew(|run| run.end(summary, &choose))
    }

    /// Runs `write` on the run with its head, in one write transaction of which nothing remains if it fails. It keeps all
    /// other writers out: bytes are removed that other runs may be putting.
    pub(crate) fn transact_alone<T>(&self, write: impl FnOnce(&mut OpenRun<'_>) -> Result<T>) -> Result<T> {
        self.ledger.transact(Scope::Ledger, |transaction| write(&mut self.open(transaction)?))
    }

    /// Runs `write` on the run with its head, see [`Ledger::transact_anew`](crate::ledger::Ledger::transact_anew).
    fn transact_anew<T>(&self, mut write: impl FnMut(&mut OpenRun<'_>) -> Result<T>) -> Result<T> {
        self.ledger.transact_anew(Scope::Run(&self.run_id), |transaction| write(&mut self.open(transaction)?))
    }

    /// The run with its head, inside a write transaction.
    pub(crate) fn open<'w>(&'w self, transaction: &'w mut dyn WriteTransaction) -> Result<OpenRun<'w>> {
        let head = read_head(transaction, &self.run_id)?;
        Ok(OpenRun { end: End { writer: self, head }, transaction, put: None })
    }
}

/// A run inside a write transaction: the head moves with each event.
pub(crate) struct OpenRun<'w> {
    pub(super) end: End<'w>,
    pub(crate) transaction: &'w mut dyn WriteTransaction,
    /// The blobs that the run has put, once somebody has asked.
    pub(super) put: Option<BTreeSet<BlobRef>>,
}

impl<'w> Deref for OpenRun<'w> {
    type Target = End<'w>;

    fn deref(&self) -> &End<'w> {
        &self.end
    }
}

impl OpenRun<'_> {
    /// Says that evidence was put.
    pub(crate) fn put(&mut self, key: Clean<String>, record: &BlobRecord, meta: Clean<Object>) -> Result<Appended> {
        let payload = Clean::evidence_put(key, record, meta);
        self.put = None;
        self.write(&self.draft(EventType::EvidencePut, payload).blobs([BlobRef(record.hash)]))
    }

    /// Seals and stores a draft behind the head, which it then is.
    pub(crate) fn write(&mut self, draft: &Clean<Draft>) -> Result<Appended> {
        let sealed = self.end.seal(draft)?;
        self.transaction.insert_event(&sealed, draft.ts)?;
        Ok(Appended { event_ref: sealed.link.event_ref(), repeated: false })
    }

    /// Judges the run as it is by its policy, and records the evaluation.
    pub(crate) fn evaluate(&mut self) -> Result<Evaluation> {
        let policy = &self.writer.policy;
        let snapshot = take_snapshot(self.transaction, &self.writer.run_id, &policy.reads())?;
        let evaluation = policy.evaluate(&snapshot);
        let (judged, head) = (evaluation.to_object(), snapshot.facts().head);
        let payload = RecordedEvaluation::to_object(judged, crate::bundle::evaluator(), policy.digest()?, head);
        // Its texts are those of the policy and of what is on record.
        self.write(&self.draft(EventType::Evaluation, Clean::ours(payload)))?;
        Ok(evaluation)
    }

    /// Records a decision, referring to the last evaluation if there is one.
    pub(crate) fn decide(&mut self, decision_id: &str, basis: &[&str], action_plan: &str) -> Result<Appended> {
        let payload = self.gate().object(Object::from_iter([
            ("decision_id", Value::from(decision_id)),
            ("basis", Value::from(basis.to_vec())),
            ("action_plan", Value::from(action_plan)),
        ]));
        let snapshot = take_snapshot(self.transaction, &self.writer.run_id, &[])?;
        let evaluation = snapshot.of_type(EventType::Evaluation).next_back();
        let evaluation = evaluation.map(|event| snapshot.event_ref(event));
        self.write(&self.draft(EventType::Decision, payload).events(evaluation))
    }

    /// Ends the run; `choose` is given the best verdict that it allows.
    pub(crate) fn end(&mut self, summary: &str, choose: impl FnOnce(Verdict) -> Result<Verdict>) -> Result<Verdict> {
        let summary = self.gate().text(summary);
        let snapshot = take_snapshot(self.transaction, &self.writer.run_id, &[])?;
        let facts = snapshot.facts();
        let verdict = choose(if facts.is_sound() { facts.best_ending() } else { Verdict::Fail })?;
        self.step_to_the_end(verdict)?;
        let payload = Clean::ours(RunFinalize::to_object(verdict)).with("summary", summary);
        let basis = snapshot.events().rev();
        let mut basis = basis.filter(|event| matches!(event.event_type, EventType::Decision | EventType::Evaluation));
        let basis = basis.next().map(|event| snapshot.event_ref(event));
        self.write(&self.draft(EventType::RunFinalize, payload).events(basis))?;
        Ok(verdict)
    }

    pub(crate) fn advance(&mut self, to: &Stage, reason: Clean<impl Into<Value>>) -> Result<Appended> {
        let from = self.head.stage.clone();
        self.writer.policy.graph().check_step(&from, to)?;
        // Both are stages of the graph that the run committed to.
        let payload = Clean::ours(StageAdvance::to_object(&from, to)).with("reason", reason);
        self.write(&self.draft_in(Clean::ours(to.clone()), EventType::StageAdvance, payload))
    }

    fn step_to_the_end(&mut self, verdict: Verdict) -> Result<()> {
        let graph = self.writer.policy.graph();
        if verdict.is_failure() && graph.next(&self.head.stage).all(|next| !graph.is_terminal(next)) {
            return Ok(());
        }
        if graph.is_terminal(&self.head.stage) {
            return Ok(());
        }
        let last = graph.next(&self.head.stage).find(|next| graph.is_terminal(next)).cloned();
        let last = last.ok_or_else(|| receipt_core::Error::IllegalTransition {
            graph: graph.id().to_owned(),
            from: self.head.stage.to_string(),
            to: "its end".to_owned(),
            allowed: graph.next(&self.head.stage).map(Stage::as_str).collect::<Vec<_>>().join(", "),
        })?;
        self.advance(&last, Clean::ours("finalizing")).map(drop)
    }
}
