//! `vectors/invariants.jsonl`: runs, and what an invariant says of them, which the Python package's tests read too.

use super::scene::{Case, Scene, Step, case, value};
use receipt_core::Verdict;
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::{BlobRef, EventRef};
use receipt_core::invariant;
use receipt_core::json::Value;

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
    let read = |line: &str| {
        let vector = value(line);
        let id = text(&vector, "invariant");
        let invariant = invariant::from_params(id, vector.get("params").and_then(Value::as_object).unwrap()).unwrap();
        let codes: Vec<&str> = texts(&vector, "codes").collect();
        let verdict = Verdict::parse(text(&vector, "verdict")).unwrap();
        case(text(&vector, "truth"), invariant.as_ref(), &scene(&vector), verdict, &codes)
    };
    VECTORS.lines().map(read).collect()
}

#[test]
fn an_invariant_says_of_each_run_what_it_must() {
    let cases = all();
    cases.iter().for_each(Case::check);
    assert_eq!(cases.len(), 213);
}
