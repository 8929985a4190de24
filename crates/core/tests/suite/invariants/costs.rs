//! What hostile evidence costs: four times as much of it costs about four times the work, never sixteen times.

use super::scene::{Scene, blob};
use receipt_core::invariant::{self, Invariant};
use receipt_core::json::Object;
use receipt_core::run::Snapshot;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many claims, calls or puts there are: with so few a quadratic walk is already most of the time.
const FEW: usize = 4_000;

/// A run that claims `count` things, and has as many puts, events or calls to claim them by.
type Hostile = (&'static str, fn(usize) -> Scene);

fn list(count: usize, item: impl Fn(usize) -> String) -> String {
    format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","))
}

/// `count` puts, each of another blob.
fn puts(count: usize) -> Scene {
    (0..count).fold(Scene::factual(), |scene, index| scene.oracle(&format!("blob {index}"), "1"))
}

/// `count` puts of one blob.
fn puts_again(count: usize) -> Scene {
    (0..count).fold(Scene::factual(), |scene, _| scene.oracle("blob", "9"))
}

const HOSTILE: [Hostile; 6] = [
    ("empty claims", |count| Scene::factual().claims(&list(count, |_| "{}".to_owned()))),
    ("claims that cite a blob each", |count| {
        let claim =
            |index| format!(r#"{{"confidence":"high","evidence_refs":["{}"]}}"#, blob(&format!("blob {index}")));
        puts(count).claims(&list(count, claim))
    }),
    ("claims that cite one blob, put many times", |count| {
        let claim = |_| format!(r#"{{"confidence":"high","evidence_refs":["{}"]}}"#, blob("blob"));
        puts_again(count).claims(&list(count, claim))
    }),
    ("claims that cite an event each", |count| {
        let claim = |index| format!(r#"{{"confidence":"high","evidence_refs":["event://r/{}"]}}"#, index + 1);
        puts(count).claims(&list(count, claim))
    }),
    ("claims that rest on a call each", |count| {
        let claim = |index| format!(r#"{{"tool_call_ids":["call {index}"]}}"#);
        let call =
            |index: usize| format!(r#"{{"id":"call {index}","output_ref":"{}"}}"#, blob(&format!("blob {index}")));
        let trace = format!(r#"{{"calls":{}}}"#, list(count, call));
        puts(count).put("tool_trace", &trace).claims(&list(count, claim))
    }),
    ("evidence under a key each", |count| {
        (0..count).fold(Scene::factual(), |scene, index| scene.put(&format!("key {index}"), "x")).claims("[]")
    }),
];

/// The least time of so many tries, so that what else the machine does hardly counts.
fn cost(invariant: &dyn Invariant, run: &Snapshot, tries: u32) -> Duration {
    let once = |_| {
        let start = Instant::now();
        std::hint::black_box(invariant::evaluate(invariant, run));
        start.elapsed()
    };
    (0..tries).map(once).min().unwrap_or_default()
}

#[test]
fn no_invariant_walks_all_evidence_for_each_claim() {
    let invariants: Vec<Arc<dyn Invariant>> =
        invariant::IDS.iter().filter_map(|id| invariant::from_params(id, &Object::new()).ok()).collect();
    assert!(invariants.len() > 12, "{invariants:?}");
    for (name, scene) in HOSTILE {
        let (few, many) = (scene(FEW).snapshot(), scene(FEW * 4).snapshot());
        for invariant in &invariants {
            // A machine that was busy meanwhile is asked again, and longer; a walk that is quadratic stays so.
            let ratio = |tries| {
                let (few, many) = (cost(invariant.as_ref(), &few, tries), cost(invariant.as_ref(), &many, tries));
                // What takes no time at all has no ratio.
                many.as_secs_f64() / few.as_secs_f64().max(0.001)
            };
            let linear = [2, 8, 24].into_iter().any(|tries| ratio(tries) < 10.0);
            assert!(linear, "{name}: {} takes ten times as long for four times as much", invariant.id());
        }
    }
}
