//! A recorded run, its rows open to change.

use receipt_core::Verdict;
use receipt_core::canonical;
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef};
use receipt_core::id::{BlobHash, BlobRef, EventHash, RunId, Timestamp};
use receipt_core::invariant::{self, LedgerChainValid};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::RunStart;
use receipt_core::policy::Policy;
use receipt_core::run::{Area, Cell, EventRow, RunFacts, RunReader, RunRow, Snapshot, SnapshotBuilder};
use receipt_core::stage::Stage;
use std::collections::BTreeSet;

/// A column's value, owned.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Held {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Integer(value) => Cell::Integer(*value),
            Self::Real(value) => Cell::Real(*value),
            Self::Text(bytes) => Cell::Text(bytes),
            Self::Blob(bytes) => Cell::Blob(bytes),
        }
    }
}

pub(crate) fn text(text: impl Into<String>) -> Held {
    Held::Text(text.into().into_bytes())
}

/// seq, event_type, envelope_json, event_hash, prev_event_hash, created_at, run_id.
pub(crate) type Row = [Held; 7];
pub(crate) const SEQ: usize = 0;
pub(crate) const TYPE: usize = 1;
pub(crate) const ENVELOPE: usize = 2;
pub(crate) const HASH: usize = 3;
pub(crate) const PREV: usize = 4;
pub(crate) const CREATED: usize = 5;
pub(crate) const RUN_ID: usize = 6;

/// policy_id, policy_version, stage_graph_id, created_at, meta_json.
pub(crate) type Head = [Held; 5];

#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) head: Option<Head>,
}

impl Run {
    pub(crate) fn event_row(row: &Row) -> EventRow<'_> {
        let [seq, event_type, envelope_json, event_hash, prev_event_hash, created_at, run_id] =
            row.each_ref().map(Held::cell);
        EventRow { run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at }
    }

    pub(crate) fn run_row(&self) -> Option<RunRow<'_>> {
        self.head.as_ref().map(|head| {
            let [policy_id, policy_version, stage_graph_id, created_at, meta_json] = head.each_ref().map(Held::cell);
            RunRow { policy_id, policy_version, stage_graph_id, created_at, meta_json }
        })
    }

    pub(crate) fn facts(&self) -> RunFacts {
        let mut reader = RunReader::new(RunId::new(&*self.id));
        for row in &self.rows {
            reader.read(&Self::event_row(row));
        }
        let facts = reader.finish(self.run_row().as_ref());
        self.assert_parts_agree(&facts);
        facts
    }

    /// However a run is divided: what its parts show together is what one reader shows, or that one has to read it.
    pub(crate) fn assert_parts_agree(&self, facts: &RunFacts) {
        let count = self.rows.len();
        if !(2..=64).contains(&count) {
            return;
        }
        let every: Vec<usize> = (1..count).collect();
        for cuts in (1..count).map(|cut| vec![cut]).chain([every]) {
            let rows_are_sound = facts.findings.iter().all(|finding| finding.reason.pointers[0].starts_with("run://"));
            match self.facts_in_parts(&cuts) {
                Some(joined) => assert_eq!(format!("{joined:?}"), format!("{facts:?}"), "{cuts:?}"),
                // A verdict whose evaluation another part has is the one sound thing that a part cannot judge.
                None => assert!(!rows_are_sound || facts.finalized, "{cuts:?}: {facts:?}"),
            }
        }
    }

    /// The facts as readers of parts give them, each part ending in front of one of these rows; `None` where it must be
    /// read whole.
    pub(crate) fn facts_in_parts(&self, cuts: &[usize]) -> Option<RunFacts> {
        let begins = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([self.rows.len()]);
        let parts = begins.zip(ends).map(|(begin, end)| {
            let mut reader = RunReader::new(RunId::new(&*self.id));
            if begin > 0 {
                reader.read(&Self::event_row(&self.rows[0]));
                reader = reader.behind(&Self::event_row(&self.rows[begin - 1]))?;
            }
            for row in &self.rows[begin..end] {
                reader.read(&Self::event_row(row));
            }
            Some(reader)
        });
        let parts = parts.collect::<Option<Vec<_>>>()?;
        Some(RunReader::join(parts)?.finish(self.run_row().as_ref()))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut builder = SnapshotBuilder::new(RunId::new(&*self.id));
        for row in &self.rows {
            builder.event(&Self::event_row(row));
        }
        builder.finish(self.run_row().as_ref())
    }

    pub(crate) fn chain_verdict(&self) -> Verdict {
        invariant::evaluate(&LedgerChainValid, &self.snapshot()).verdict
    }

    pub(crate) fn found(&self) -> BTreeSet<(Area, String)> {
        self.facts().findings.iter().map(|finding| (finding.area, finding.reason.code.to_string())).collect()
    }

    pub(crate) fn envelope(&self, index: usize) -> String {
        match &self.rows[index][ENVELOPE] {
            Held::Text(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Replaces what must be there in an envelope's text.
    pub(crate) fn edit(&mut self, index: usize, from: &str, to: &str) {
        let edited = self.envelope(index).replacen(from, to, 1);
        assert_ne!(edited, self.envelope(index), "{from} is not there");
        self.rows[index][ENVELOPE] = text(edited);
    }

    /// Makes an envelope's own hash right again, and gives it.
    pub(crate) fn rehash(&mut self, index: usize) -> String {
        let Ok(Value::Object(mut members)) = json::parse(self.envelope(index).as_bytes(), Limits::READ) else {
            panic!()
        };
        members.remove("event_hash");
        let bytes = canonical::to_bytes(&members.clone().into(), Limits::READ).unwrap();
        let hash = EventHash::of(&bytes).to_string();
        members.insert("event_hash", hash.as_str());
        self.rows[index][ENVELOPE] = Held::Text(canonical::to_bytes(&members.into(), Limits::READ).unwrap());
        hash
    }
}

pub(crate) fn object(text: &str) -> Object {
    json::parse(text.as_bytes(), Limits::READ).unwrap().as_object().unwrap().clone()
}

pub(crate) fn policy() -> Policy {
    Policy::from_toml(
        "id = 'release'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'ledger.chain_valid'",
    )
    .unwrap()
}

pub(crate) fn draft(event_type: EventType, stage: &str, payload: Object) -> Draft {
    let policy = PolicyRef {
        policy_id: "release".to_owned(),
        policy_version: "1".to_owned(),
        stage_graph_id: "v1_default".to_owned(),
    };
    Draft {
        event_type,
        stage: Stage::new(stage),
        policy: policy.into(),
        actor: Actor::new("system", "ci").into(),
        payload,
        blobs: Vec::new(),
        events: Vec::new(),
        ts: Timestamp::from_micros(1_767_225_600_000_000),
        extra: Object::new(),
    }
}

pub(crate) fn advance(from: &str, to: &str) -> Draft {
    let payload = Object::from_iter([("from_stage", from), ("to_stage", to), ("reason", "")]);
    draft(EventType::StageAdvance, to, payload)
}

pub(crate) fn evidence(stage: &str, key: &str) -> Draft {
    let blob = BlobRef(BlobHash::of(key.as_bytes()));
    Draft { blobs: vec![blob], ..draft(EventType::EvidencePut, stage, Object::from_iter([("key", key)])) }
}

pub(crate) fn finalize(stage: &str, verdict: &str) -> Draft {
    draft(EventType::RunFinalize, stage, Object::from_iter([("overall_verdict", verdict), ("summary", "")]))
}

/// RUN_START, three EVIDENCE_PUT, and the whole way through the default graph: 11 events.
pub(crate) fn story() -> Vec<Draft> {
    let start = RunStart { commitment: Some(policy().commitment().unwrap()), meta: object(r#"{"mode":"factual"}"#) };
    vec![
        draft(EventType::RunStart, "START", start.to_object()),
        advance("START", "COLLECT"),
        evidence("COLLECT", "stdout"),
        evidence("COLLECT", "stderr"),
        evidence("COLLECT", "exit"),
        advance("COLLECT", "EVALUATE"),
        draft(EventType::Evaluation, "EVALUATE", object(r#"{"overall_verdict":"pass","results":[]}"#)),
        advance("EVALUATE", "DECIDE"),
        draft(EventType::Decision, "DECIDE", object(r#"{"decision_id":"d1"}"#)),
        advance("DECIDE", "FINALIZE"),
        finalize("FINALIZE", "pass"),
    ]
}

pub(crate) fn record(id: &str, drafts: &[Draft]) -> Run {
    let mut link = Link::first(RunId::new(id));
    let mut rows = Vec::new();
    for draft in drafts {
        let sealed = draft.seal(link).unwrap();
        rows.push([
            Held::Integer(sealed.link.seq.get()),
            text(sealed.event_type.as_str()),
            Held::Text(sealed.text),
            text(sealed.hash.to_string()),
            sealed.link.prev.map_or(Held::Null, |prev| text(prev.to_string())),
            text("2026-01-01T00:00:00+00:00"),
            text(id),
        ]);
        link = sealed.link.after(sealed.hash).unwrap();
    }
    let head = [
        text("release"),
        text("1"),
        text("v1_default"),
        text("2026-01-01T00:00:00+00:00"),
        text(r#"{"mode":"factual"}"#),
    ];
    Run { id: id.to_owned(), rows, head: Some(head) }
}

pub(crate) fn honest() -> Run {
    record("run/1", &story())
}
