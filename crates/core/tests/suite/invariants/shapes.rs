//! A good factual run with each spot of it replaced by each kind of value: nothing panics, and nothing malformed passes.

use super::scene::{Scene, blob, hex, object};
use receipt_core::Verdict;
use receipt_core::canonical;
use receipt_core::envelope::EventType;
use receipt_core::invariant::{self, IDS, Invariant};
use receipt_core::json::{Limits, Object, Value};
use receipt_core::run::Strictness;
use std::collections::BTreeMap;
use std::sync::Arc;

fn invariants() -> Vec<Arc<dyn Invariant>> {
    let params = |id: &str| match id {
        "run.stage_required_path" => object(r#"{"required_path":["START"]}"#),
        "finalization.completeness" => object(r#"{"require_decision_ref":true}"#),
        _ => Object::new(),
    };
    IDS.iter().map(|id| invariant::from_params(id, &params(id)).unwrap()).collect()
}

/// The JSON evidence of the run.
fn documents() -> [(&'static str, Value); 3] {
    let claims = format!(
        r#"{{"claims":[{{"id":"c","evidence_refs":["{e}"],"confidence":"high","tool_call_ids":["t1"],"scope":"auth"}}],
            "output_ref":"{o}","output_sha256":"{hex}"}}"#,
        e = blob("e"),
        o = blob("o"),
        hex = hex("o"),
    );
    let trace =
        format!(r#"{{"calls":[{{"id":"t1","ok":true,"output_ref":"{}","output_sha256":"{}"}}]}}"#, blob("t"), hex("t"));
    let status = r#"{"code":0,"signal":null,"error":null}"#;
    [("exit_status", status.to_owned()), ("tool_trace", trace), ("claims_map", claims)]
        .map(|(key, text)| (key, Value::from(object(&text))))
}

fn text(value: &Value) -> String {
    String::from_utf8(canonical::to_bytes(value, Limits { depth: usize::MAX, ..Limits::READ }).unwrap()).unwrap()
}

fn story(documents: &[(&'static str, Value); 3]) -> Scene {
    let run = Scene::factual().oracle("e", "1").put("final_output", "o").put_kind("tool", "t", "tool:output");
    let run = documents.iter().fold(run, |run, (key, value)| run.put(key, &text(value)));
    run.evaluation("pass").event(EventType::Decision, r#"{"decision_id":"d"}"#).finalize("pass").refers("r1", 8)
}

fn replacements() -> Vec<Value> {
    let mut deep = Value::from("x");
    for _ in 0..190 {
        deep = Value::Array(vec![deep]);
    }
    let huge = object(&format!(r#"{{"n":{}}}"#, "9".repeat(4000))).get("n").unwrap().clone();
    let some = Object::from_iter([("x", 1)]);
    vec![Value::Null, Value::Array(vec![]), "x".into(), "".into(), 5.into(), true.into(), some.into(), deep, huge]
}

/// Every spot of a value, as the steps that lead to it.
fn spots(value: &Value) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut rest = vec![(Vec::new(), value)];
    while let Some((path, value)) = rest.pop() {
        let inner: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(object) => object.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        };
        for (index, value) in inner.into_iter().enumerate() {
            rest.push(([path.as_slice(), &[index]].concat(), value));
        }
        all.push(path);
    }
    all
}

fn replaced(value: &Value, path: &[usize], new: &Value) -> Value {
    let mut value = value.clone();
    let mut at = &mut value;
    for step in path {
        at = match at {
            Value::Array(items) => &mut items[*step],
            Value::Object(object) => object.iter_mut().nth(*step).unwrap().1,
            other => panic!("{other:?}"),
        };
    }
    *at = new.clone();
    value
}

fn verdicts(scene: &Scene, strictness: Strictness) -> BTreeMap<String, Verdict> {
    let run = scene.judging(strictness);
    let results = invariants().into_iter().map(|invariant| invariant::evaluate(invariant.as_ref(), &run));
    results.map(|result| (result.invariant_id, result.verdict)).collect()
}

/// The run once for every spot of its payloads and documents and every replacement, with what was replaced.
fn mutants() -> Vec<(String, Scene)> {
    let whole = documents();
    let good = story(&whole);
    let mut mutants = Vec::new();
    for new in replacements() {
        for (index, step) in good.steps.iter().enumerate() {
            let payload = Value::from(step.payload.clone());
            for path in spots(&payload).into_iter().filter(|path| !path.is_empty()) {
                let mut scene = good.clone();
                scene.steps[index].payload = replaced(&payload, &path, &new).as_object().unwrap().clone();
                mutants.push((format!("{} {index} {path:?} {}", step.event_type, new.kind()), scene));
            }
        }
        for index in 0..whole.len() {
            for path in spots(&whole[index].1) {
                let mut changed = whole.clone();
                changed[index].1 = replaced(&whole[index].1, &path, &new);
                mutants.push((format!("{} {path:?} {}", whole[index].0, new.kind()), story(&changed)));
            }
        }
    }
    mutants
}

#[test]
fn no_value_anywhere_makes_an_invariant_panic() {
    let mut cells = 0;
    for strictness in [Strictness::Native, Strictness::Compatible] {
        let good = verdicts(&story(&documents()), strictness);
        let passing = good.iter().filter(|(_, verdict)| **verdict == Verdict::Pass).count();
        assert_eq!((passing, good["run.stage_transitions"]), (IDS.len() - 1, Verdict::Unknown), "{good:?}");
        for (_, scene) in mutants() {
            cells += verdicts(&scene, strictness).len();
        }
    }
    assert!(cells > 16_000, "{cells}");
}

#[test]
fn a_malformed_shape_never_passes_the_invariants_that_read_it() {
    let whole = documents();
    let good = story(&whole);
    let readers = |scene: &Scene, ids: &[&str], what: &str| {
        let verdicts = verdicts(scene, Strictness::Native);
        for id in ids {
            assert_eq!(verdicts[*id], Verdict::Fail, "{id}: {what}");
        }
    };
    for new in [Value::Array(vec![]), 5.into(), true.into(), Object::from_iter([("x", 1)]).into()] {
        let kind = new.kind();
        let put = |member: &str| {
            let mut scene = good.clone();
            scene.steps[1].payload.insert(member, new.clone());
            scene
        };
        let everyone = ["receipt.completeness", "claims.evidence_binding", "confidence.sanity", "refs.closed_world"];
        readers(&put("key"), &everyone, &format!("key {kind}"));
        readers(&put("evidence"), &everyone, &format!("evidence {kind}"));
        if kind != "object" {
            readers(&put("meta"), &everyone, &format!("meta {kind}"));
        }
        let claim = |member: usize| {
            let mut changed = whole.clone();
            changed[2].1 = replaced(&whole[2].1, &[0, 0, member], &new);
            story(&changed)
        };
        let claimed = ["claims.evidence_binding", "confidence.sanity", "refs.closed_world", "tools.trace_consistency"];
        for member in 0..5 {
            // In the order of the keys: confidence, evidence_refs, id, scope, tool_call_ids.
            let is_legal = matches!((member, kind), (1 | 4, "array") | (2, "number"));
            if !is_legal {
                readers(&claim(member), &claimed, &format!("claim {member} {kind}"));
            }
        }
        let mut scene = good.clone();
        scene.steps[7].payload.insert("overall_verdict", new.clone());
        readers(&scene, &["evaluation.completeness", "finalization.completeness"], &format!("verdict {kind}"));
    }
}

#[test]
fn a_bad_run_does_not_pass_by_being_malformed() {
    let whole = documents();
    let weak = |scene: Scene| {
        let mut scene = scene;
        scene.steps[1].payload.insert("meta", object(r#"{"evidence_kind":"model:generated"}"#));
        scene
    };
    assert_eq!(verdicts(&weak(story(&whole)), Strictness::Native)["confidence.sanity"], Verdict::Fail);
    for new in replacements() {
        for path in spots(&whole[2].1) {
            let mut changed = whole.clone();
            changed[2].1 = replaced(&whole[2].1, &path, &new);
            let verdict = verdicts(&weak(story(&changed)), Strictness::Native)["confidence.sanity"];
            // No claim at all says nothing that could be too sure of itself.
            let no_claims = changed[2].1.get("claims") == Some(&Value::Array(vec![]));
            assert!(verdict != Verdict::Pass || no_claims, "{path:?} {}", new.kind());
        }
    }
}
