//! Runs to be judged: sealed events and blobs, told in JSON.

use receipt_core::Verdict;
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef, Sealed};
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobHash, BlobRef, EventRef, RunId, Timestamp};
use receipt_core::invariant::{self, Invariant};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::RunStart;
use receipt_core::policy::Policy;
use receipt_core::run::{Cell, EventRow, RunRow, Snapshot, SnapshotBuilder, Strictness};
use receipt_core::stage::Stage;
use receipt_core::{InvariantResult, Reason};
use std::collections::BTreeMap;

pub(crate) const RUN: &str = "r1";

/// The text of a blob reference to these bytes.
pub(crate) fn blob(bytes: &str) -> String {
    BlobRef(BlobHash::of(bytes.as_bytes())).to_string()
}

/// The hexadecimal digits of the hash of these bytes.
pub(crate) fn hex(bytes: &str) -> String {
    BlobHash::of(bytes.as_bytes()).to_hex()
}

pub(crate) fn value(text: &str) -> Value {
    json::parse(text.as_bytes(), Limits::READ).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn object(text: &str) -> Object {
    value(text).as_object().unwrap().clone()
}

/// The payload of an EVIDENCE_PUT as a writer makes it.
pub(crate) fn evidence(key: &str, bytes: &str, meta: &str) -> Object {
    let (blob, hex, len) = (blob(bytes), hex(bytes), bytes.len());
    object(&format!(
        r#"{{"key":"{key}","meta":{meta},"evidence":{{"ref":"{blob}","sha256":"{hex}","bytes_len":{len},
            "content_type":"text/plain","evidence_class":"public"}}}}"#
    ))
}

#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) event_type: EventType,
    pub(crate) stage: String,
    pub(crate) payload: Object,
    pub(crate) blobs: Vec<BlobRef>,
    pub(crate) events: Vec<EventRef>,
}

/// A run that is being told.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) steps: Vec<Step>,
    pub(crate) facts: BTreeMap<BlobHash, BlobFact>,
    policy: Option<Policy>,
    /// Rows that are left out when it is read back.
    lost: Vec<usize>,
    stage: String,
}

impl Scene {
    /// Nothing yet.
    pub(crate) fn empty() -> Self {
        Self { steps: Vec::new(), facts: BTreeMap::new(), policy: None, lost: Vec::new(), stage: "START".to_owned() }
    }

    /// RUN_START with a payload.
    pub(crate) fn start(payload: &str) -> Self {
        Self::empty().event(EventType::RunStart, payload)
    }

    /// RUN_START in a mode, which is JSON.
    pub(crate) fn mode(mode: &str) -> Self {
        Self::start(&format!(r#"{{"meta":{{"mode":{mode}}}}}"#))
    }

    pub(crate) fn factual() -> Self {
        Self::mode(r#""factual""#)
    }

    /// RUN_START that commits to a policy.
    pub(crate) fn committed(policy: &str) -> Self {
        let policy = Policy::from_toml(policy).unwrap();
        let commitment = Some(policy.commitment().unwrap());
        let payload = RunStart { commitment, meta: object(r#"{"mode":"factual"}"#) }.to_object();
        let scene = Self { policy: Some(policy), ..Self::empty() };
        scene.step(EventType::RunStart, payload)
    }

    fn step(mut self, event_type: EventType, payload: Object) -> Self {
        let stage = self.stage.clone();
        self.steps.push(Step { event_type, stage, payload, blobs: Vec::new(), events: Vec::new() });
        self
    }

    pub(crate) fn event(self, event_type: EventType, payload: &str) -> Self {
        self.step(event_type, object(payload))
    }

    /// From here on events are in this stage, whatever a graph says.
    pub(crate) fn at(mut self, stage: &str) -> Self {
        stage.clone_into(&mut self.stage);
        self
    }

    /// STAGE_ADVANCE.
    pub(crate) fn advance(self, to: &str) -> Self {
        let payload = Object::from_iter([("from_stage", self.stage.as_str()), ("to_stage", to), ("reason", "")]);
        self.at(to).step(EventType::StageAdvance, payload)
    }

    /// The last event refers to an event.
    pub(crate) fn refers(mut self, run: &str, seq: i64) -> Self {
        let target = EventRef::parse(&format!("event://{run}/{seq}")).unwrap();
        self.steps.last_mut().unwrap().events.push(target);
        self
    }

    /// The last event names a blob.
    pub(crate) fn names(mut self, bytes: &str) -> Self {
        self.steps.last_mut().unwrap().blobs.push(BlobRef(BlobHash::of(bytes.as_bytes())));
        self
    }

    /// An event that is no longer there when the run is read back.
    pub(crate) fn losing(mut self, index: usize) -> Self {
        self.lost.push(index);
        self
    }

    /// EVIDENCE_PUT of bytes that are in the store.
    pub(crate) fn put(self, key: &str, bytes: &str) -> Self {
        self.put_as(key, bytes, "{}")
    }

    /// The same with `payload.meta`.
    pub(crate) fn put_as(self, key: &str, bytes: &str, meta: &str) -> Self {
        self.store(bytes).step(EventType::EvidencePut, evidence(key, bytes, meta)).names(bytes)
    }

    /// EVIDENCE_PUT of a kind.
    pub(crate) fn put_kind(self, key: &str, bytes: &str, kind: &str) -> Self {
        self.put_as(key, bytes, &format!(r#"{{"evidence_kind":"{kind}"}}"#))
    }

    /// EVIDENCE_PUT of an oracle of a class.
    pub(crate) fn oracle(self, bytes: &str, class: &str) -> Self {
        self.put_as("oracle", bytes, &format!(r#"{{"evidence_kind":"oracle:test_log","oracle_class":{class}}}"#))
    }

    /// Evidence `claims_map` with these claims.
    pub(crate) fn claims(self, claims: &str) -> Self {
        self.put("claims_map", &format!(r#"{{"claims":{claims}}}"#))
    }

    /// Bytes that lie in the store, whoever put them.
    pub(crate) fn store(self, bytes: &str) -> Self {
        let held = BlobFact::Intact { bytes_len: bytes.len() as u64, bytes: Some(bytes.as_bytes().into()) };
        self.fact(bytes, held)
    }

    /// What is found where these bytes should lie.
    pub(crate) fn fact(mut self, bytes: &str, fact: BlobFact) -> Self {
        self.facts.insert(BlobHash::of(bytes.as_bytes()), fact);
        self
    }

    pub(crate) fn evaluation(self, verdict: &str) -> Self {
        let payload = format!(
            r#"{{"overall_verdict":"{verdict}","evidence_complete":true,
                "results":[{{"invariant_id":"x","verdict":"{verdict}"}}]}}"#
        );
        self.event(EventType::Evaluation, &payload)
    }

    pub(crate) fn finalize(self, verdict: &str) -> Self {
        self.event(EventType::RunFinalize, &format!(r#"{{"overall_verdict":"{verdict}"}}"#))
    }

    fn sealed(&self) -> Vec<Sealed> {
        let (policy_id, graph) = match &self.policy {
            Some(policy) => (policy.id().to_owned(), policy.graph().id().to_owned()),
            None => ("p".to_owned(), "g".to_owned()),
        };
        let mut link = Link::first(RunId::new(RUN));
        let mut sealed = Vec::new();
        for step in &self.steps {
            let draft = Draft {
                event_type: step.event_type,
                stage: Stage::new(&*step.stage),
                policy: PolicyRef {
                    policy_id: policy_id.clone(),
                    policy_version: "1".to_owned(),
                    stage_graph_id: graph.clone(),
                }
                .into(),
                actor: Actor::new("system", "test").into(),
                payload: step.payload.clone(),
                blobs: step.blobs.clone(),
                events: step.events.clone(),
                ts: Timestamp::from_micros(1_767_225_600_000_000),
                extra: Object::new(),
            };
            let event = draft.seal(link).unwrap();
            link = event.link.after(event.hash).unwrap();
            sealed.push(event);
        }
        sealed
    }

    /// The exact texts of its events.
    pub(crate) fn texts(&self) -> Vec<Box<[u8]>> {
        self.sealed().into_iter().map(|event| event.text.into()).collect()
    }

    /// Reads it back.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.read(|_, text| text)
    }

    /// Reads it back to be judged by these rules.
    pub(crate) fn judging(&self, strictness: Strictness) -> Snapshot {
        self.read_by(strictness, |_, text| text)
    }

    /// Reads it back with the text of events changed on the way.
    pub(crate) fn read(&self, change: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> Snapshot {
        self.read_by(Strictness::Native, change)
    }

    fn read_by(&self, strictness: Strictness, change: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> Snapshot {
        let mut builder = SnapshotBuilder::judging(RunId::new(RUN), strictness);
        for (index, event) in self.sealed().into_iter().enumerate() {
            if self.lost.contains(&index) {
                continue;
            }
            let hash = event.hash.to_string();
            let prev = event.link.prev.map(|prev| prev.to_string());
            let text = change(index, event.text);
            builder.event(&EventRow {
                run_id: Cell::Text(RUN.as_bytes()),
                seq: Cell::Integer(event.link.seq.get()),
                event_type: Cell::Text(event.event_type.as_str().as_bytes()),
                envelope_json: Cell::Text(&text),
                event_hash: Cell::Text(hash.as_bytes()),
                prev_event_hash: prev.as_ref().map_or(Cell::Null, |prev| Cell::Text(prev.as_bytes())),
                created_at: Cell::Text(b"2026-01-01T00:00:00+00:00"),
            });
        }
        let (id, graph, meta) = match &self.policy {
            Some(policy) => (policy.id(), policy.graph().id(), r#"{"mode":"factual"}"#),
            None => ("p", "g", "{}"),
        };
        let mut snapshot = builder.finish(Some(&RunRow {
            policy_id: Cell::Text(id.as_bytes()),
            policy_version: Cell::Text(b"1"),
            stage_graph_id: Cell::Text(graph.as_bytes()),
            created_at: Cell::Text(b"2026-01-01T00:00:00+00:00"),
            meta_json: Cell::Text(meta.as_bytes()),
        }));
        for (hash, fact) in &self.facts {
            snapshot.supply(*hash, fact.clone());
        }
        snapshot
    }
}

/// What an invariant must say of a run.
pub(crate) struct Case {
    pub(crate) label: String,
    pub(crate) result: InvariantResult,
    verdict: Verdict,
    codes: Vec<String>,
}

impl Case {
    pub(crate) fn check(&self) {
        let codes: Vec<String> = self.result.reasons.iter().map(|reason: &Reason| reason.code.to_string()).collect();
        assert_eq!(
            (self.result.verdict, codes),
            (self.verdict, self.codes.clone()),
            "{}: {:?}",
            self.label,
            self.result
        );
    }
}

/// This invariant must say this of this run.
pub(crate) fn case(
    label: impl Into<String>,
    invariant: &dyn Invariant,
    scene: &Scene,
    verdict: Verdict,
    codes: &[&str],
) -> Case {
    of_snapshot(label, invariant, &scene.snapshot(), verdict, codes)
}

pub(crate) fn of_snapshot(
    label: impl Into<String>,
    invariant: &dyn Invariant,
    run: &Snapshot,
    verdict: Verdict,
    codes: &[&str],
) -> Case {
    let result = invariant::evaluate(invariant, run);
    Case { label: label.into(), result, verdict, codes: codes.iter().map(ToString::to_string).collect() }
}
