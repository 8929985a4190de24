//! A run read back: an honest one has no findings, and each act of tampering has its own.

use receipt_core::Verdict;
use receipt_core::canonical;
use receipt_core::chain::Link;
use receipt_core::commitment::Commitment;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef};
use receipt_core::id::{BlobHash, BlobRef, EventHash, RunId, Timestamp};
use receipt_core::invariant::{self, LedgerChainValid};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::RunStart;
use receipt_core::policy::Policy;
use receipt_core::run::{Area, Cell, EventRow, RunFacts, RunReader, RunRow, Snapshot, SnapshotBuilder};
use receipt_core::stage::Stage;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A column's value, owned.
#[derive(Clone, Debug)]
enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Held {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Integer(value) => Cell::Integer(*value),
            Self::Real(value) => Cell::Real(*value),
            Self::Text(bytes) => Cell::Text(bytes),
            Self::Blob(bytes) => Cell::Blob(bytes),
        }
    }
}

fn text(text: impl Into<String>) -> Held {
    Held::Text(text.into().into_bytes())
}

/// seq, event_type, envelope_json, event_hash, prev_event_hash, created_at, run_id.
type Row = [Held; 7];
const SEQ: usize = 0;
const TYPE: usize = 1;
const ENVELOPE: usize = 2;
const HASH: usize = 3;
const PREV: usize = 4;
const CREATED: usize = 5;
const RUN_ID: usize = 6;

/// policy_id, policy_version, stage_graph_id, created_at, meta_json.
type Head = [Held; 5];

#[derive(Clone, Debug)]
pub(crate) struct Run {
    id: String,
    rows: Vec<Row>,
    head: Option<Head>,
}

impl Run {
    fn event_row(row: &Row) -> EventRow<'_> {
        let [seq, event_type, envelope_json, event_hash, prev_event_hash, created_at, run_id] =
            row.each_ref().map(Held::cell);
        EventRow { run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at }
    }

    fn run_row(&self) -> Option<RunRow<'_>> {
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
    fn assert_parts_agree(&self, facts: &RunFacts) {
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
    fn facts_in_parts(&self, cuts: &[usize]) -> Option<RunFacts> {
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

    fn chain_verdict(&self) -> Verdict {
        invariant::evaluate(&LedgerChainValid, &self.snapshot()).verdict
    }

    pub(crate) fn found(&self) -> BTreeSet<(Area, String)> {
        self.facts().findings.iter().map(|finding| (finding.area, finding.reason.code.to_string())).collect()
    }

    fn envelope(&self, index: usize) -> String {
        match &self.rows[index][ENVELOPE] {
            Held::Text(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Replaces what must be there in an envelope's text.
    fn edit(&mut self, index: usize, from: &str, to: &str) {
        let edited = self.envelope(index).replacen(from, to, 1);
        assert_ne!(edited, self.envelope(index), "{from} is not there");
        self.rows[index][ENVELOPE] = text(edited);
    }

    /// Makes an envelope's own hash right again, and gives it.
    fn rehash(&mut self, index: usize) -> String {
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

fn policy() -> Policy {
    Policy::from_toml(
        "id = 'release'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'ledger.chain_valid'",
    )
    .unwrap()
}

fn draft(event_type: EventType, stage: &str, payload: Object) -> Draft {
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

fn advance(from: &str, to: &str) -> Draft {
    let payload = Object::from_iter([("from_stage", from), ("to_stage", to), ("reason", "")]);
    draft(EventType::StageAdvance, to, payload)
}

fn evidence(stage: &str, key: &str) -> Draft {
    let blob = BlobRef(BlobHash::of(key.as_bytes()));
    Draft { blobs: vec![blob], ..draft(EventType::EvidencePut, stage, Object::from_iter([("key", key)])) }
}

fn finalize(stage: &str, verdict: &str) -> Draft {
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

fn honest() -> Run {
    record("run/1", &story())
}

#[test]
fn an_honest_run_has_no_findings() {
    let facts = honest().facts();
    assert_eq!(facts.findings, []);
    assert_eq!((facts.events, facts.unreadable, facts.more_findings, facts.finalized), (11, 0, 0, true));
    assert_eq!(facts.recorded_verdict, Some(Verdict::Pass));
    assert_eq!(facts.stage, Some(Stage::new("FINALIZE")));
    assert_eq!(facts.head.map(|(seq, _)| seq.get()), Some(11));
    assert_eq!(facts.commitment.map(|commitment| commitment.digest()), policy().digest().ok());
    assert_eq!(honest().chain_verdict(), Verdict::Pass);
}

#[test]
fn an_honest_run_in_the_spaced_form_has_no_findings_either() {
    let mut run = honest();
    for index in 0..run.rows.len() {
        let value = json::parse(run.envelope(index).as_bytes(), Limits::READ).unwrap();
        run.rows[index][ENVELOPE] = text(crate::spaced::spaced(&value));
    }
    assert_eq!(run.found(), BTreeSet::new());
    assert_eq!(run.facts().head, honest().facts().head);
}

#[test]
fn every_prefix_of_an_honest_run_is_clean_because_only_an_outside_anchor_can_tell() {
    for length in 1..=honest().rows.len() {
        let mut run = honest();
        run.rows.truncate(length);
        assert_eq!(run.found(), BTreeSet::new());
        assert_eq!(run.facts().finalized, length == 11);
    }
}

#[test]
fn when_the_store_wrote_an_event_is_advisory() {
    let mut run = honest();
    run.rows[3][CREATED] = text("yesterday");
    assert_eq!(run.found(), BTreeSet::new());
}

use Area::{Columns, Content, Path};

/// What is done, how, and each finding that it must give, no more and no fewer.
type Act = (&'static str, fn(&mut Run), &'static [(Area, &'static str)]);

const UNREADABLE: &[(Area, &str)] = &[(Content, "MALFORMED_ENVELOPE")];
const INEXACT: &[(Area, &str)] = &[(Content, "NOT_CANONICAL")];

/// What somebody does to the rows of a finished run. Rows 2, 3 and 4 are EVIDENCE_PUT: the path does not hang on them.
const ROW_ACTS: [Act; 57] = [
    ("a payload is edited", |run| run.edit(3, "stderr", "stdxxx"), &[(Content, "EVENT_HASH_MISMATCH")]),
    (
        "a payload is edited and its hash made right",
        |run| {
            run.edit(3, "stderr", "stdxxx");
            run.rehash(3);
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "a payload is edited and its hash made right in the column too",
        |run| {
            run.edit(3, "stderr", "stdxxx");
            run.rows[3][HASH] = text(run.rehash(3));
        },
        &[(Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "two events change places, their rows keep their seq",
        |run| {
            run.rows.swap(2, 3);
            run.rows[2][SEQ] = Held::Integer(3);
            run.rows[3][SEQ] = Held::Integer(4);
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "two events change places with their seq",
        |run| run.rows.swap(2, 3),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is doubled",
        |run| run.rows.insert(3, run.rows[3].clone()),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is removed from the middle",
        |run| drop(run.rows.remove(3)),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is removed and the rows behind it renumbered",
        |run| {
            run.rows.remove(3);
            for (index, row) in run.rows.iter_mut().enumerate() {
                row[SEQ] = Held::Integer(i64::try_from(index).unwrap() + 1);
            }
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the first event is removed",
        |run| drop(run.rows.remove(0)),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event of another run is spliced in",
        |run| {
            run.rows[3] = record("run/2", &story()).rows.swap_remove(3);
            run.rows[3][RUN_ID] = text(&*run.id);
        },
        &[(Content, "RUN_ID_MISMATCH"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the whole run is copied under another id",
        |run| {
            "run/2".clone_into(&mut run.id);
            run.rows.iter_mut().for_each(|row| row[RUN_ID] = text("run/2"));
        },
        &[(Content, "RUN_ID_MISMATCH")],
    ),
    (
        "the inner hash is edited",
        |run| {
            let other = run.rows[3][HASH].clone();
            let (Held::Text(hash), Held::Text(other)) = (&run.rows[4][HASH], other) else { panic!() };
            let [hash, other] = [hash.clone(), other].map(|bytes| String::from_utf8(bytes).unwrap());
            run.edit(4, &hash, &other);
        },
        &[(Content, "EVENT_HASH_MISMATCH"), (Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash and its column are edited",
        |run| {
            let Held::Text(hash) = run.rows[4][HASH].clone() else { panic!() };
            run.rows[4][HASH] = run.rows[3][HASH].clone();
            let Held::Text(other) = run.rows[3][HASH].clone() else { panic!() };
            run.edit(4, &String::from_utf8(hash).unwrap(), &String::from_utf8(other).unwrap());
        },
        &[(Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash is removed",
        |run| run.edit(3, "\"event_hash\"", "\"event_hasx\""),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash is no hash",
        |run| run.edit(3, "event_hash\":\"sha256:", "event_hash\":\"sha255:"),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner prev is no hash, and the inner hash is of what was there before",
        |run| run.edit(3, "prev_event_hash\":\"sha256:", "prev_event_hash\":\"sha255:"),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner prev is no hash, and the inner hash is right",
        |run| {
            run.edit(3, "prev_event_hash\":\"sha256:", "prev_event_hash\":\"sha255:");
            run.rehash(3);
        },
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the columns of the hashes hold bytes",
        |run| (run.rows[3][HASH], run.rows[3][PREV]) = (Held::Blob(vec![0]), Held::Blob(vec![0])),
        &[(Columns, "BAD_COLUMN_TYPE"), (Columns, "EVENT_HASH_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner prev is edited and the hash made right everywhere",
        |run| {
            let Held::Text(prev) = run.rows[10][PREV].clone() else { panic!() };
            run.edit(10, &String::from_utf8(prev).unwrap(), &EventHash::of(b"x").to_string());
            run.rows[10][HASH] = text(run.rehash(10));
            run.rows[10][PREV] = text(EventHash::of(b"x").to_string());
        },
        &[(Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner seq is edited and the hash made right everywhere",
        |run| {
            run.edit(10, "\"seq\":11", "\"seq\":12");
            run.rows[10][HASH] = text(run.rehash(10));
        },
        &[(Columns, "SEQ_MISMATCH")],
    ),
    (
        "the inner run_id is edited and the hash made right everywhere",
        |run| {
            run.edit(10, "run/1", "run/9");
            run.rows[10][HASH] = text(run.rehash(10));
        },
        &[(Content, "RUN_ID_MISMATCH")],
    ),
    ("a key is doubled in the text", |run| run.edit(3, r#"{"key":"#, r#"{"key":"stdout","key":"#), INEXACT),
    ("members change places in the text", |run| run.edit(3, r#""kind":"system""#, r#""aind":"system""#), INEXACT),
    ("a space is put into the text", |run| run.edit(3, r#"{"key":"#, r#"{"key": "#), INEXACT),
    (
        "a space is put behind a bracket",
        |run| run.edit(3, r#"{"key":"#, r#"{ "key":"#),
        &[(Content, "MALFORMED_ENVELOPE")],
    ),
    ("a line break is put behind the text", |run| run.edit(3, "\"}", "\"}\n"), UNREADABLE),
    ("a letter is escaped that needs no escape", |run| run.edit(3, "stderr", "std\\u0065rr"), INEXACT),
    (
        "text is not UTF-8",
        |run| {
            let Held::Text(bytes) = &mut run.rows[3][ENVELOPE] else { panic!() };
            bytes[12] = 0xFF;
        },
        INEXACT,
    ),
    (
        "text is nested 100,000 deep",
        |run| run.edit(3, r#""stderr""#, &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        UNREADABLE,
    ),
    ("text is not JSON", |run| run.rows[3][ENVELOPE] = text("{bad"), UNREADABLE),
    ("text is a number", |run| run.rows[3][ENVELOPE] = text("5"), UNREADABLE),
    ("text is null", |run| run.rows[3][ENVELOPE] = text("null"), UNREADABLE),
    ("text is empty", |run| run.rows[3][ENVELOPE] = text(""), UNREADABLE),
    ("NaN is written into a payload", |run| run.edit(3, r#""stderr""#, "NaN"), UNREADABLE),
    ("the version is raised", |run| run.edit(3, "version\":1,", "version\":999,"), UNREADABLE),
    ("the type is one that there is not", |run| run.edit(3, "EVIDENCE_PUT", "EVIDENCE_PUS"), UNREADABLE),
    (
        "an envelope is stored as a blob",
        |run| run.rows[3][ENVELOPE] = Held::Blob(run.envelope(3).into_bytes()),
        &[(Content, "MALFORMED_ENVELOPE"), (Columns, "BAD_COLUMN_TYPE")],
    ),
    (
        "the column seq is edited to the greatest",
        |run| run.rows[10][SEQ] = Held::Integer(i64::MAX),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column seq is edited in the middle",
        |run| run.rows[3][SEQ] = Held::Integer(i64::MAX),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column seq is negative",
        |run| run.rows[3][SEQ] = Held::Integer(i64::MIN),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column event_type is edited",
        |run| run.rows[6][TYPE] = text("DECISION"),
        &[(Columns, "EVENT_TYPE_MISMATCH")],
    ),
    (
        "the column event_type is not UTF-8",
        |run| run.rows[6][TYPE] = Held::Text(vec![0xFF]),
        &[(Columns, "EVENT_TYPE_MISMATCH")],
    ),
    (
        "the column event_hash is edited",
        |run| run.rows[3][HASH] = run.rows[4][HASH].clone(),
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column event_hash is emptied",
        |run| run.rows[3][HASH] = text(""),
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column event_hash is in capitals",
        |run| {
            let Held::Text(hash) = run.rows[3][HASH].clone() else { panic!() };
            run.rows[3][HASH] = Held::Text(hash.to_ascii_uppercase());
        },
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column run_id is edited in the table, and not in the index",
        |run| run.rows[3][RUN_ID] = text("run/2"),
        &[(Columns, "RUN_ID_COLUMN_MISMATCH")],
    ),
    (
        "the column prev_event_hash is edited",
        |run| run.rows[3][PREV] = run.rows[4][PREV].clone(),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash is emptied",
        |run| run.rows[3][PREV] = Held::Null,
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash of the first is filled",
        |run| run.rows[0][PREV] = run.rows[1][PREV].clone(),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash is no hash",
        |run| run.rows[0][PREV] = text(""),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the run's policy_id is edited",
        |run| run.head.as_mut().unwrap()[0] = text("other"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's policy_version is edited",
        |run| run.head.as_mut().unwrap()[1] = text("2"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's stage_graph_id is edited",
        |run| run.head.as_mut().unwrap()[2] = text("v1_minimal"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's created_at is edited",
        |run| run.head.as_mut().unwrap()[3] = text("2020-01-01T00:00:00+00:00"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's meta is edited",
        |run| run.head.as_mut().unwrap()[4] = text(r#"{"mode": "creative"}"#),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    ("the run's meta is not JSON", |run| run.head.as_mut().unwrap()[4] = text("{"), &[(Columns, "RUN_ROW_MISMATCH")]),
    ("the run's row is removed", |run| run.head = None, &[(Columns, "RUN_ROW_MISSING")]),
];

/// What a program writes, or somebody who seals everything anew: hashes are right, the story is not.
type Retold = (&'static str, fn(&mut Vec<Draft>), &'static [(Area, &'static str)]);

const STORY_ACTS: [Retold; 19] = [
    (
        "a stage is skipped",
        |story| story[1] = advance("START", "DECIDE"),
        &[(Path, "ILLEGAL_TRANSITION"), (Path, "STAGE_JUMP")],
    ),
    (
        "the last step is one that the graph has not",
        |story| {
            story.truncate(5);
            story.push(advance("COLLECT", "DECIDE"));
        },
        &[(Path, "ILLEGAL_TRANSITION")],
    ),
    (
        "the last step is to a stage that the graph has not",
        |story| {
            story.truncate(5);
            story.push(advance("COLLECT", "NOWHERE"));
        },
        &[(Path, "ILLEGAL_TRANSITION")],
    ),
    (
        "an event is in another stage than the run",
        |story| story[8].stage = Stage::new("FINALIZE"),
        &[(Path, "STAGE_JUMP"), (Path, "ILLEGAL_TRANSITION"), (Path, "STAGE_CONTRADICTION")],
    ),
    (
        "the last event is in another stage than the run",
        |story| {
            story.truncate(5);
            story[4].stage = Stage::new("EVALUATE");
        },
        &[(Path, "STAGE_JUMP")],
    ),
    (
        "the run begins twice",
        |story| {
            let again = Draft { stage: Stage::new("COLLECT"), ..story[0].clone() };
            story.insert(3, again);
        },
        &[(Path, "SECOND_RUN_START")],
    ),
    (
        "the run begins in the middle of its graph",
        |story| {
            story.truncate(1);
            story[0].stage = Stage::new("DECIDE");
        },
        &[(Path, "WRONG_INITIAL_STAGE")],
    ),
    ("an event follows the end", |story| story.push(evidence("FINALIZE", "late")), &[(Path, "EVENT_AFTER_FINALIZE")]),
    (
        "the run ends twice",
        |story| story.push(finalize("FINALIZE", "fail")),
        &[(Path, "EVENT_AFTER_FINALIZE"), (Path, "MULTIPLE_FINALIZE")],
    ),
    (
        "the run ends as PASS before a terminal stage",
        |story| {
            story.truncate(5);
            story.push(finalize("COLLECT", "pass"));
        },
        &[(Path, "FINALIZED_EARLY"), (Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "the run ends better than it was judged",
        |story| {
            story[6] = draft(EventType::Evaluation, "EVALUATE", object(r#"{"overall_verdict":"fail","results":[]}"#));
        },
        &[(Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "the run ends with a verdict that there is not",
        |story| story[10] = finalize("FINALIZE", "PASS"),
        &[(Path, "BAD_VERDICT")],
    ),
    ("the run ends without a verdict", |story| story[10].payload = Object::new(), &[(Path, "BAD_VERDICT")]),
    (
        "a step's payload contradicts its stage",
        |story| {
            story[5].payload.insert("to_stage", "DECIDE");
        },
        &[(Path, "STAGE_CONTRADICTION")],
    ),
    (
        "the policy changes on the way",
        |story| "2".clone_into(&mut Arc::make_mut(&mut story[4].policy).policy_version),
        &[(Path, "POLICY_CHANGED")],
    ),
    (
        "the committed policy is edited",
        |story| {
            let mut commitment = story[0].payload.get("commitment").unwrap().as_object().unwrap().clone();
            let mut policy = commitment.get("policy").unwrap().as_object().unwrap().clone();
            policy.insert("version", "2");
            commitment.insert("policy", policy);
            story[0].payload.insert("commitment", commitment);
        },
        &[(Content, "COMMITMENT_MALFORMED")],
    ),
    (
        "the committed graph is one of a newer version",
        |story| {
            let mut policy = policy().to_value().as_object().unwrap().clone();
            let mut graph = policy.get("stage_graph").unwrap().as_object().unwrap().clone();
            graph.insert("parallel", true);
            policy.insert("stage_graph", graph);
            story[0].payload.insert("commitment", Commitment::to(policy.into()).unwrap().to_value());
        },
        &[(Path, "STAGE_GRAPH_UNKNOWN")],
    ),
    (
        "the committed digest is edited",
        |story| {
            let mut commitment = story[0].payload.get("commitment").unwrap().as_object().unwrap().clone();
            commitment.insert("policy_digest", EventHash::of(b"x").to_string());
            story[0].payload.insert("commitment", commitment);
        },
        &[(Content, "COMMITMENT_MALFORMED")],
    ),
    (
        "all events name another policy than the committed one",
        |story| {
            for draft in story {
                "other".clone_into(&mut Arc::make_mut(&mut draft.policy).policy_id);
            }
        },
        &[(Columns, "COMMITMENT_MALFORMED")],
    ),
];

/// Every code that reading a run can give.
const CODES: [&str; 27] = [
    "BAD_COLUMN_TYPE",
    "BAD_VERDICT",
    "COMMITMENT_MALFORMED",
    "EVENT_AFTER_FINALIZE",
    "EVENT_HASH_COLUMN_MISMATCH",
    "EVENT_HASH_MISMATCH",
    "EVENT_TYPE_MISMATCH",
    "FINALIZED_EARLY",
    "ILLEGAL_TRANSITION",
    "MALFORMED_ENVELOPE",
    "MULTIPLE_FINALIZE",
    "NOT_CANONICAL",
    "POLICY_CHANGED",
    "PREV_HASH_COLUMN_MISMATCH",
    "PREV_HASH_MISMATCH",
    "RUN_ID_COLUMN_MISMATCH",
    "RUN_ID_MISMATCH",
    "RUN_ROW_MISMATCH",
    "RUN_ROW_MISSING",
    "SECOND_RUN_START",
    "SEQ_GAP",
    "SEQ_MISMATCH",
    "STAGE_CONTRADICTION",
    "STAGE_GRAPH_UNKNOWN",
    "STAGE_JUMP",
    "VERDICT_NOT_EVALUATED",
    "WRONG_INITIAL_STAGE",
];

#[test]
fn each_act_of_tampering_gives_its_findings_and_no_others() {
    assert_eq!(honest().found(), BTreeSet::new(), "the positive control");
    let mut codes = BTreeSet::new();
    let mut tried = 0;
    let edited = ROW_ACTS.iter().map(|(name, act, wanted)| {
        let mut run = honest();
        act(&mut run);
        (*name, run, *wanted)
    });
    let retold = STORY_ACTS.iter().map(|(name, act, wanted)| {
        let mut story = story();
        act(&mut story);
        (*name, record("run/1", &story), *wanted)
    });
    for (name, run, wanted) in edited.chain(retold) {
        let found = run.found();
        let wanted: BTreeSet<_> = wanted.iter().map(|(area, code)| (*area, (*code).to_owned())).collect();
        assert_eq!(found, wanted, "{name}");
        let chain_breaks = wanted.iter().any(|(area, _)| *area != Path);
        assert_eq!(run.chain_verdict() == Verdict::Fail, chain_breaks, "{name}");
        codes.extend(found.into_iter().map(|(_, code)| code));
        tried += 1;
    }
    assert_eq!(tried, ROW_ACTS.len() + STORY_ACTS.len());
    assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), CODES);
}

#[test]
fn a_column_of_the_wrong_type_is_a_finding_whatever_it_holds() {
    let values = [
        Held::Null,
        Held::Integer(1),
        Held::Real(f64::NAN),
        Held::Real(4.0),
        Held::Blob(b"RUN_START".to_vec()),
        text("4"),
    ];
    let mut tried = 0;
    for column in 0..7 {
        for value in &values {
            let right = match column {
                SEQ => matches!(value, Held::Integer(_)),
                PREV => matches!(value, Held::Null | Held::Text(_)),
                _ => matches!(value, Held::Text(_)),
            };
            if right {
                continue;
            }
            let mut run = honest();
            run.rows[3][column] = value.clone();
            assert!(run.found().contains(&(Columns, "BAD_COLUMN_TYPE".to_owned())), "column {column}: {value:?}");
            tried += 1;
        }
    }
    for column in 0..5 {
        for value in &values[..5] {
            let mut run = honest();
            run.head.as_mut().unwrap()[column] = value.clone();
            assert!(run.found().contains(&(Columns, "BAD_COLUMN_TYPE".to_owned())), "run column {column}: {value:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, 5 + 4 + 5 * 5 + 5 * 5);
}

#[test]
fn any_byte_of_any_envelope_changed_is_a_finding_that_points_at_it() {
    let honest = honest();
    let mut tried = 0;
    for index in 0..honest.rows.len() {
        for at in 0..honest.envelope(index).len() {
            let mut run = honest.clone();
            let Held::Text(bytes) = &mut run.rows[index][ENVELOPE] else { panic!() };
            bytes[at] ^= 1;
            let facts = run.facts();
            let pointer = format!("event://run/1/{}", index + 1);
            let at_it = facts.findings.iter().any(|finding| finding.reason.pointers == [pointer.as_str()]);
            assert!(at_it, "event {index}, byte {at}: {:?}", facts.findings);
            tried += 1;
        }
    }
    assert!(tried > 5000, "{tried}");
}

/// Its values would take several times the memory of its text.
#[test]
fn a_start_that_commits_to_something_and_is_over_the_limit_is_not_taken_apart() {
    for (bytes, wanted) in [(1 << 20, &[][..]), (5 << 20, &["COMMITMENT_MALFORMED"])] {
        let mut story = story();
        story[0].payload.insert("more", "x".repeat(bytes));
        let facts = record("run/1", &story).facts();
        let codes: Vec<&str> = facts.findings.iter().map(|found| found.reason.code.as_ref()).collect();
        assert_eq!((codes.as_slice(), facts.commitment.is_some()), (wanted, wanted.is_empty()));
    }
}

/// A run of the Python package, two of whose events name another policy than the others.
fn uncommitted() -> Run {
    let mut story = story();
    story[0].payload = object(r#"{"meta":{}}"#);
    story[8].stage = Stage::new("ANYWHERE");
    story.insert(4, story[0].clone());
    "2".clone_into(&mut Arc::make_mut(&mut story[3].policy).policy_version);
    "g".clone_into(&mut Arc::make_mut(&mut story[4].policy).stage_graph_id);
    record("run/1", &story)
}

#[test]
fn a_run_without_a_commitment_is_held_to_its_chain_and_to_nothing_that_it_never_promised() {
    let mut run = uncommitted();
    run.head.as_mut().unwrap()[4] = text("anything");
    assert_eq!(run.found(), BTreeSet::new());
    run.edit(3, "stderr", "stdxxx");
    assert_eq!(run.found(), BTreeSet::from([(Content, "EVENT_HASH_MISMATCH".to_owned())]));
}

#[test]
fn a_row_without_a_commitment_that_no_event_agrees_with_is_a_warning_and_no_break_of_the_chain() {
    // Columns and ts of the events: 2026-01-01, but the last one is stored in December.
    let row = |column: usize, value: Held| {
        let mut run = uncommitted();
        run.rows[11][CREATED] = text("2026-12-01T10:00:00.000001+00:00");
        run.head.as_mut().unwrap()[column] = value;
        run
    };
    let fine = [
        (0, "release"),
        (1, "1"),
        (1, "2"),
        (2, "v1_default"),
        (2, "g"),
        (3, "2026-01-01T00:00:00+00:00"),
        // The store's clock, while the events' ts is what their writer wants.
        (3, "2026-12-01T09:59:59.000001+00:00"),
        (3, "2025-06-01T00:00:00+00:00"),
    ];
    for (column, value) in fine {
        let run = row(column, text(value));
        assert_eq!(run.found(), BTreeSet::new(), "{column} {value}");
    }
    let edited = [
        (0, "other"),
        (0, ""),
        (0, "release "),
        (1, "3"),
        (1, "release"),
        (2, "v1_minimal"),
        (3, "2000-01-01T00:00:00+00:00"),
        (3, "2027-01-01T00:00:00+00:00"),
        (3, "9999-12-31T23:59:59+00:00"),
        (3, "yesterday"),
        (3, ""),
    ];
    for (column, value) in edited {
        let run = row(column, text(value));
        let facts = run.facts();
        let found: Vec<_> = facts.findings.iter().map(|finding| (finding.verdict, &*finding.reason.code)).collect();
        assert_eq!(found, [(Verdict::Warn, "RUN_ROW_UNCONFIRMED")], "{column} {value}");
        assert_eq!((facts.is_sound(), run.chain_verdict()), (true, Verdict::Pass), "{column} {value}");
    }
}

#[test]
fn a_run_with_more_policies_than_are_kept_may_have_any_row() {
    for (count, verdict) in [(63, Some(Verdict::Warn)), (200, None)] {
        let mut story = story();
        story[0].payload = object("{}");
        let mut drafts = vec![story[0].clone()];
        drafts.extend((0..count).map(|index| {
            let mut draft = story[8].clone();
            Arc::make_mut(&mut draft.policy).policy_version = format!("v{index}");
            draft
        }));
        let mut run = record("run/1", &drafts);
        run.head.as_mut().unwrap()[0] = text("other");
        assert_eq!(run.facts().findings.first().map(|finding| finding.verdict), verdict, "{count}");
    }
}

#[test]
fn findings_beyond_a_thousand_are_counted_and_not_kept() {
    let mut run = honest();
    run.rows = std::iter::repeat_n(run.rows[3].clone(), 3000).collect();
    let facts = run.facts();
    assert_eq!(facts.findings.len(), 1000);
    assert!(facts.more_findings >= 1999, "{}", facts.more_findings);
    assert_eq!(run.chain_verdict(), Verdict::Fail);
}

#[test]
fn no_rows_are_no_evidence() {
    let mut run = honest();
    run.rows.clear();
    assert_eq!(run.chain_verdict(), Verdict::Unknown);
    assert_eq!(run.facts().events, 0);
}
