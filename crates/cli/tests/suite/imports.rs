//! Runs that were imported are a stranger's: `@last` is none of them, and nothing ends them.

use crate::common::Place;
use crate::forge::{Bundle, set};

/// A bundle of an open run, `theirs`, of the year 9998.
fn bundle_from_the_future(place: &Place) {
    let origin = Place::with_ledger();
    origin.ok(&["start", "theirs"]);
    origin.ok(&["export", "theirs", "-o", "theirs.receipt"]);
    let mut bundle = Bundle::read(&std::fs::read(origin.path().join("theirs.receipt")).unwrap());
    let late = "9998-01-01T00:00:00+00:00";
    for event in &mut bundle.events {
        set(event, &["ts"], late);
    }
    bundle.row.insert("created_at", late);
    bundle.rechain();
    place.file("theirs.receipt", &bundle.write());
}

#[test]
fn last_is_a_run_that_was_recorded_here_however_late_an_imported_one_says_that_it_began() {
    let place = Place::with_ledger();
    bundle_from_the_future(&place);
    place.ok(&["start", "mine"]);
    place.ok(&["import", "theirs.receipt"]);
    // The record of the import is a run too, and neither is a run that somebody recorded.
    assert_eq!(place.json(0, &["log", "@last"])["run_id"], "mine");
    place.ok(&["start", "newer"]);
    assert_eq!(place.json(0, &["log", "@last"])["run_id"], "newer");
    assert_eq!(place.json(0, &["advance", "@last", "COLLECT"])["run_id"], "newer");
}

#[test]
fn recover_all_ends_no_imported_run() {
    let place = Place::with_ledger();
    bundle_from_the_future(&place);
    place.ok(&["start", "mine"]);
    place.ok(&["import", "theirs.receipt"]);
    let recovered = place.json(0, &["recover", "--all"]);
    assert_eq!(recovered["recovered"], serde_json::json!(["mine"]));
    let runs = place.json(0, &["runs"]);
    let theirs = runs["runs"].as_array().unwrap().iter().find(|run| run["run_id"] == "theirs").unwrap().clone();
    assert_eq!(
        (&theirs["events"], &theirs["finalized"]),
        (&serde_json::json!(1), &serde_json::json!(false)),
        "{theirs}"
    );
}

#[test]
fn a_ledger_whose_runs_were_all_imported_has_no_last_one_and_says_what_to_do() {
    let place = Place::with_ledger();
    assert_eq!(place.error(2, &["log", "@last"]), "run_not_found");
    bundle_from_the_future(&place);
    place.ok(&["import", "theirs.receipt"]);
    for args in [["log", "@last"], ["verify", "@last"], ["recover", "@last"]] {
        let error = &place.json(2, &args)["error"];
        assert_eq!(error["kind"], "run_not_found", "{args:?}: {error}");
        assert!(error["msg"].as_str().unwrap().contains("imported"), "{args:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("`receipt runs`"), "{args:?}: {error}");
    }
}

/// A run whose policy has what only a newer version knows.
fn newer(place: &Place, run: &str, change: impl Fn(&mut receipt_kernel::Object)) {
    use crate::forge::{Forger, commitment, get};
    place.ok(&["start", run]);
    let forger = Forger::open(&place.ledger_path());
    let mut graph_id = String::new();
    forger.edit(run, |events| {
        let mut policy = get(&events[0], &["payload", "commitment", "policy"]).unwrap().as_object().unwrap().clone();
        change(&mut policy);
        let graph = policy.get("stage_graph").unwrap();
        graph_id.push_str(graph.as_str().or_else(|| graph.get("graph_id")?.as_str()).unwrap());
        set(&mut events[0], &["policy", "stage_graph_id"], graph_id.as_str());
        set(&mut events[0], &["payload", "commitment"], commitment(policy));
    });
    forger.execute("UPDATE runs SET stage_graph_id = ?1 WHERE run_id = ?2", [graph_id.as_str(), run]).unwrap();
}

#[test]
fn a_run_under_a_policy_of_a_newer_version_is_judged_unknown() {
    use receipt_kernel::Value;
    let place = Place::with_ledger();
    newer(&place, "graph", |policy| {
        let mut graph = policy.get("stage_graph").and_then(Value::as_object).unwrap().clone();
        graph.insert("parallel", true);
        policy.insert("stage_graph", graph);
    });
    newer(&place, "named-graph", |policy| drop(policy.insert("stage_graph", "v7_default")));
    newer(&place, "invariant", |policy| {
        let invariant =
            receipt_kernel::Object::from_iter([("id", Value::from("signed.by_all")), ("required", true.into())]);
        policy.insert("invariants", Value::Array(vec![invariant.into()]));
    });
    newer(&place, "member", |policy| drop(policy.insert("quorum", 3)));
    for run in ["graph", "named-graph", "invariant", "member"] {
        let evaluation = place.json(3, &["evaluate", run]);
        assert_eq!((&evaluation["overall_verdict"], &evaluation["run_id"]), (&"unknown".into(), &run.into()));
        if run.ends_with("graph") {
            assert_eq!(evaluation["recorded"], false, "{run}");
            assert!(place.gives(3, &["evaluate", run]).contains("judged, nothing recorded"), "{run}");
            // Nothing can be appended to it.
            assert_eq!(place.error(2, &["advance", run, "COLLECT"]), "invalid_input");
        }
    }
    // A run without a commitment is none of those.
    assert_eq!(place.error(2, &["evaluate", "nowhere"]), "run_not_found");
}
