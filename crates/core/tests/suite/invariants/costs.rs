//! What hostile evidence costs, counted in steps: no more for each event, claim and call than for a few of them.

use super::scene::{RUN, Scene, blob, object};
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::RunId;
use receipt_core::invariant::{self, Invariant};
use receipt_core::policy::Policy;
use receipt_core::replay::Replay;
use receipt_core::run::{Cell, RunRow, Steps};
use receipt_core::stage::{Stage, StageGraph};
use std::marker::PhantomData;
use std::sync::Arc;

/// How many claims, calls or puts there are, and then four times as many. Of the smallest quadratic walk over these,
/// half a step for each pair, there are more steps than [`MOST`] allows.
const COUNTS: [usize; 2] = [250, 1000];

/// How many steps each of them may cost. The most that any invariant takes today is about half of it.
const MOST: u64 = 40;

/// A run that claims `count` things, and has as many puts, events or calls to claim them by.
type Hostile = (&'static str, fn(usize) -> Scene);

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","))
}

/// `count` times the same with something more.
fn again(count: usize, more: impl FnMut(Scene, usize) -> Scene) -> Scene {
    (0..count).fold(Scene::factual(), more)
}

/// `count` puts, each of another blob.
fn puts(count: usize) -> Scene {
    again(count, |scene, index| scene.oracle(&format!("blob {index}"), "1"))
}

fn cites(index: usize) -> String {
    format!("\"{}\"", blob(&format!("blob {index}")))
}

const HOSTILE: [Hostile; 15] = [
    ("empty claims", |count| Scene::factual().claims(&list(count, |_| "{}".to_owned()))),
    ("claims of one id", |count| Scene::factual().claims(&list(count, |_| r#"{"id":"a"}"#.to_owned()))),
    ("claims that cite a blob each", |count| {
        let claim = |index| format!(r#"{{"confidence":"high","evidence_refs":[{}]}}"#, cites(index));
        puts(count).claims(&list(count, claim))
    }),
    ("claims that cite one blob, put many times", |count| {
        let claim = |_| format!(r#"{{"confidence":"high","evidence_refs":["{}"]}}"#, blob("blob"));
        again(count, |scene, _| scene.oracle("blob", "9")).claims(&list(count, claim))
    }),
    ("a claim that cites many blobs", |count| {
        let claim = format!(r#"[{{"confidence":"high","evidence_refs":{}}}]"#, list(count, cites));
        puts(count).claims(&claim)
    }),
    ("claims that cite an event each", |count| {
        let claim = |index| format!(r#"{{"confidence":"high","evidence_refs":["event://r1/{}"]}}"#, index + 1);
        puts(count).claims(&list(count, claim))
    }),
    ("claims that rest on a call each", |count| {
        let claim = |index| format!(r#"{{"tool_call_ids":["call {index}"]}}"#);
        let call = |index| format!(r#"{{"id":"call {index}","output_ref":{}}}"#, cites(index));
        let trace = format!(r#"{{"calls":{}}}"#, list(count, call));
        puts(count).put("tool_trace", &trace).claims(&list(count, claim))
    }),
    ("calls of one id", |count| {
        let call = |index| format!(r#"{{"id":"call","output_ref":{}}}"#, cites(index));
        let trace = format!(r#"{{"calls":{}}}"#, list(count, call));
        let claim = |_| r#"{"tool_call_ids":["call"]}"#.to_owned();
        puts(count).put("tool_trace", &trace).claims(&list(count, claim))
    }),
    ("evidence under a key each", |count| {
        again(count, |scene, index| scene.put(&format!("key {index}"), "x")).claims("[]")
    }),
    ("exit statuses", |count| again(count, |scene, _| scene.put("exit_status", r#"{"code":0}"#)).claims("[]")),
    ("beginnings", |count| {
        again(count, |scene, _| scene.event(EventType::RunStart, r#"{"meta":{"mode":"factual"}}"#)).claims("[]")
    }),
    ("stages", |count| again(count, |scene, index| scene.advance(["A", "B"][index % 2]))),
    ("evaluations", |count| again(count, |scene, index| scene.evaluation(["fail", "pass"][index % 2]))),
    ("results of an evaluation", |count| {
        let result = |index| format!(r#"{{"invariant_id":"x{index}","verdict":"fail"}}"#);
        let payload = format!(r#"{{"overall_verdict":"pass","results":{}}}"#, list(count, result));
        puts(count).event(EventType::Evaluation, &payload)
    }),
    ("an ending that refers to many events", |count| {
        let end = puts(count).evaluation("pass").finalize("pass");
        (0..count).fold(end, |scene, index| scene.refers(RUN, i64::try_from(index).unwrap() + 1))
    }),
];

/// Every invariant, with as many parameters as there are claims.
fn invariants(count: usize) -> Vec<Arc<dyn Invariant>> {
    let keys = list(count, |index| format!("\"key {index}\""));
    let row = |index| format!(r#"{{"mode":"factual","confidence":"high","scope":"s{index}","min_class":1}}"#);
    let params = |id: &str| match id {
        "run.stage_required_path" => format!(r#"{{"required_path":{}}}"#, list(count, |index| format!("\"s{index}\""))),
        "receipt.completeness" => format!(r#"{{"required_keys":{keys}}}"#),
        "evaluation.completeness" => format!(r#"{{"required_evidence_keys":{keys},"verify_blobs":true}}"#),
        "finalization.completeness" => r#"{"require_decision_ref":true}"#.to_owned(),
        "epistemic.mode_requirements" => format!(r#"{{"requirements":{{"factual":{keys}}}}}"#),
        "oracle.independence_minimum" => format!(r#"{{"policy":{}}}"#, list(count, row)),
        _ => "{}".to_owned(),
    };
    invariant::IDS.iter().map(|id| invariant::from_params(id, &object(&params(id))).unwrap()).collect()
}

#[test]
fn no_invariant_walks_all_evidence_for_each_claim() {
    let mut most = 0;
    for count in COUNTS {
        for (name, scene) in HOSTILE {
            let snapshot = scene(count).snapshot();
            for invariant in invariants(count) {
                let before = snapshot.steps().taken();
                invariant::evaluate(invariant.as_ref(), &snapshot);
                let steps = snapshot.steps().taken() - before;
                let each = steps / count as u64;
                assert!(each <= MOST, "{name}: {} takes {steps} steps for {count}", invariant.id());
                most = most.max(each);
            }
        }
    }
    assert!(most >= 4, "{most}: the control: steps are counted");
}

/// Whether a type can be cloned.
struct Clones<T>(PhantomData<T>);

#[allow(dead_code)]
impl<T: Clone> Clones<T> {
    const ANSWER: bool = true;
}

trait Otherwise {
    const ANSWER: bool = false;
}

impl<T> Otherwise for Clones<T> {}

/// A graph may have as many stages as 4 MB hold, and a run an advance in each event.
#[test]
fn a_stage_graph_is_shared_and_never_copied() {
    const { assert!(Clones::<Arc<StageGraph>>::ANSWER && Clones::<Stage>::ANSWER, "the control") };
    const { assert!(!Clones::<StageGraph>::ANSWER) };
    let snapshot = committed().advance("COLLECT").snapshot();
    let graph = |commitment: &receipt_core::commitment::Commitment| commitment.graph().unwrap().clone();
    let [one, other] = [snapshot.facts().clone(), snapshot.facts().clone()].map(|facts| facts.commitment.unwrap());
    assert!(Arc::ptr_eq(&graph(&one), &graph(&other)));
}

#[test]
fn a_message_does_not_name_every_stage_of_a_graph() {
    let stages = |count: usize| (0..count).map(|index| Stage::new(format!("stage-{index}")));
    let graph = |count: usize| {
        let steps = stages(count).map(|stage| (stage, [Stage::new("end")].into())).collect();
        StageGraph::new("g", Stage::new("stage-0"), [Stage::new("end")].into(), steps).unwrap()
    };
    let said = |count| graph(count).check_step(&Stage::new("x"), &Stage::new("end")).unwrap_err().to_string();
    assert!(said(10).contains("stage-9") && !said(10).contains("and more"), "{}", said(10));
    assert!(said(100_000).len() < 2000, "{}", said(100_000).len());
}

const POLICY: &str =
    "id = 'p'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'receipt.completeness'\n";

fn committed() -> Scene {
    Scene::committed(POLICY)
}

/// A run that is judged again and again: an evaluation for each of these puts.
fn judged(count: usize) -> Scene {
    (0..count).fold(committed(), |scene, index| scene.put("k", &format!("blob {index}")).evaluation("pass"))
}

#[test]
fn an_evaluation_that_is_computed_again_costs_as_many_steps_as_there_are_events_before_it() {
    let policy = Policy::from_toml(POLICY).unwrap();
    let row = RunRow {
        policy_id: Cell::Text(policy.id().as_bytes()),
        policy_version: Cell::Text(b"1"),
        stage_graph_id: Cell::Text(policy.graph().id().as_bytes()),
        created_at: Cell::Text(b"2026-01-01T00:00:00+00:00"),
        meta_json: Cell::Text(br#"{"mode":"factual"}"#),
    };
    // With the evidence at hand there is one answer; where it is gone, other answers are tried out, and each costs as much.
    for (fact, most) in [(BlobFact::Intact { bytes_len: 6, bytes: None }, 20), (BlobFact::Expired, 100)] {
        for count in COUNTS.map(|count| count / 10) {
            let (scene, steps) = (judged(count), Steps::default());
            let events = scene.texts();
            let blob = |_: &_, _| fact.clone();
            let run_id = &RunId::new(RUN);
            let replay = Replay { run_id, events: &events, row: &row, blob: &blob, evaluator: "e", steps: &steps };
            let replayed = replay.all();
            assert_eq!(replayed.len(), count);
            let before: i64 = replayed.iter().map(|it| it.seq.get()).sum();
            let each = steps.taken() / u64::try_from(before).unwrap();
            assert!(each <= most, "{fact:?}: {each} steps for each event before each of {count} evaluations");
            assert!(each >= 2, "{each}: the control");
        }
    }
}
