//! `vectors/invariants.jsonl`: runs, and what an invariant says of them, which the Python package's tests read too.
//! `compatible` is what it says for the classes of the Python package, where that is something else.

use super::scene::{Case, Scene, Step, of_snapshot, value};
use receipt_core::Verdict;
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobRef, EventRef};
use receipt_core::invariant;
use receipt_core::json::Value;
use receipt_core::run::Strictness;

const VECTORS: &str = include_str!("../../../../../vectors/invariants.jsonl");

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {key} in {value:?}"))
}

fn texts<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v str> {
    value.get(key).and_then(Value::as_array).unwrap_or_default().iter().map(|item| item.as_str().unwrap())
}

fn step(event: &Value) -> Step {
    Step {
        event_type: EventType::parse(text(event, "type")).unwrap(),
        stage: text(event, "stage").to_owned(),
        payload: event.get("payload").and_then(Value::as_object).unwrap().clone(),
        blobs: texts(event, "blobs").map(|text| BlobRef::parse(text).unwrap()).collect(),
        events: texts(event, "events").map(|text| EventRef::parse(text).unwrap()).collect(),
    }
}

fn scene(vector: &Value) -> Scene {
    let array = |key: &str| vector.get(key).and_then(Value::as_array).unwrap().to_vec();
    let mut scene = Scene::empty();
    scene.steps = array("events").iter().map(step).collect();
    array("blobs").iter().fold(scene, |scene, blob| {
        let bytes = text(blob, "text");
        match text(blob, "is") {
            "intact" => scene.store(bytes),
            "missing" => scene.fact(bytes, BlobFact::Missing),
            "corrupt" => scene.fact(bytes, BlobFact::Corrupt),
            "expired" => scene.fact(bytes, BlobFact::Expired),
            "removed" => scene.fact(bytes, BlobFact::Removed),
            other => panic!("{other}"),
        }
    })
}

/// The cases of the file.
pub(crate) fn all() -> Vec<Case> {
    let judged = |strictness| VECTORS.lines().map(move |line| judge(&value(line), strictness));
    judged(Strictness::Native).chain(judged(Strictness::Compatible)).collect()
}

fn judge(vector: &Value, strictness: Strictness) -> Case {
    let id = text(vector, "invariant");
    let invariant = invariant::from_params(id, vector.get("params").and_then(Value::as_object).unwrap()).unwrap();
    let answer = match strictness {
        Strictness::Native => vector,
        Strictness::Compatible => vector.get("compatible").unwrap_or(vector),
    };
    let codes: Vec<&str> = texts(answer, "codes").collect();
    let verdict = Verdict::parse(text(answer, "verdict")).unwrap();
    let label = format!("{strictness:?}: {}", text(vector, "truth"));
    of_snapshot(label, invariant.as_ref(), &scene(vector).judging(strictness), verdict, &codes)
}

#[test]
fn an_invariant_says_of_each_run_what_it_must() {
    let cases = all();
    cases.iter().for_each(Case::check);
    assert_eq!(cases.len(), 2 * 614);
}
