//! Two questions, two words: whether a record is intact, and whether somebody may rely on its run.

use crate::common::Place;
use crate::forge::{Forger, get, set};
use receipt_kernel::Value;

/// A folder with four runs: a build that passed, one that failed, one that is not ended and one that ended as UNKNOWN.
fn builds() -> Place {
    let place = Place::new();
    place.ok(&["exec", "--run", "good", "--", "true"]);
    place.gives(1, &["exec", "--run", "bad", "--", "false"]);
    place.ok(&["start", "open"]);
    place.ok(&["start", "left"]);
    place.ok(&["recover", "left"]);
    for run in ["good", "bad", "open", "left"] {
        place.ok(&["export", run, "-o", &format!("{run}.receipt")]);
    }
    place
}

/// The codes of what a gate misses of each run.
fn codes(document: &serde_json::Value) -> Vec<Vec<String>> {
    let runs = document["runs"].as_array().unwrap().iter();
    let codes = |run: &serde_json::Value| {
        let missing = run["missing"].as_array().unwrap().iter();
        missing.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
    };
    runs.map(codes).collect()
}

#[test]
fn only_what_is_intact_and_ended_well_is_let_on_from_a_ledger_and_from_a_bundle() {
    let place = builds();
    for (status, run, missing) in [
        (0, "good", vec![]),
        (1, "bad", vec!["GATE_OUTCOME"]),
        (3, "open", vec!["GATE_UNFINISHED"]),
        (3, "left", vec!["GATE_OUTCOME"]),
    ] {
        for (from, status) in [(run.to_owned(), status), (format!("{run}.receipt"), status)] {
            let told = place.json(status, &["gate", &from, "--allow-warn"]);
            let found = codes(&told).concat();
            assert!(missing.iter().all(|code| found.contains(&(*code).to_owned())), "{from}: {told}");
            assert_eq!(found.is_empty(), missing.is_empty(), "{from}: {told}");
        }
        // Its record is another question.
        assert!(place.ok(&["verify", run]).starts_with("INTACT "), "{run}");
        assert!(place.ok(&["verify", &format!("{run}.receipt")]).starts_with("INTACT "), "{run}");
    }
    // One that may not be relied on stops all, and it alone is named as the one.
    let told = place.json(1, &["gate", "good", "bad"]);
    let runs = told["runs"].as_array().unwrap();
    let verdict = |name: &str| runs.iter().find(|run| run["name"] == name).unwrap()["verdict"].clone();
    assert_eq!((verdict("good"), verdict("bad")), ("pass".into(), "fail".into()), "{told}");
}

#[test]
fn a_gate_names_what_it_asks_about() {
    let place = builds();
    assert_eq!(place.run(&["gate"]).status.code(), Some(2), "a gate without runs would let on whatever there is");
    assert_eq!(place.error(2, &["gate", "goo"]), "run_not_found", "nothing is decided by the beginning of an id");
    assert_eq!(place.error(2, &["gate", "gone"]), "run_not_found");
    let line = place.ok(&["gate", "good"]);
    assert!(line.contains("good may be relied on: intact, passed, under policy exec 1 (sha256:"), "{line}");
    let line = place.gives(1, &["gate", "bad"]);
    assert!(line.contains("bad may not be relied on\n") && line.contains("the run ended as FAIL"), "{line}");
}

#[test]
fn whoever_records_a_run_chooses_its_policy_and_a_gate_says_which_one_it_has_to_be() {
    let place = builds();
    let digest = place.json(0, &["gate", "good"])["runs"][0]["policy"]["digest"].as_str().unwrap().to_owned();
    place.file("other.toml", OTHER.as_bytes());
    place.ok(&["exec", "--run", "mine", "--policy", "other.toml", "--", "true"]);
    let zeros = format!("sha256:{}", "0".repeat(64));
    for (status, run, policy) in [
        (0, "good", digest.as_str()),
        (0, "good.receipt", &digest),
        (0, "mine", "other.toml"),
        (1, "good", "other.toml"),
        (1, "good.receipt", "other.toml"),
        (1, "mine", &digest),
        (1, "good", &zeros),
    ] {
        let told = place.json(status, &["gate", run, "--policy", policy]);
        let wanted: &[&str] = if status == 0 { &[] } else { &["GATE_OTHER_POLICY"] };
        assert_eq!(codes(&told).concat(), wanted, "{run} {policy}");
    }
    for bad in ["sha256:abc", "gone.toml", ""] {
        place.error(2, &["gate", "good", "--policy", bad]);
    }
}

const OTHER: &str = r#"
id = "mine"
version = "1"
stage_graph = "v1_default"
[[invariant]]
id = "receipt.completeness"
keys = ["stdout"]
[[invariant]]
id = "evaluation.completeness"
[[invariant]]
id = "finalization.completeness"
"#;

#[test]
fn a_finished_run_is_judged_as_a_whole_as_no_evaluation_in_it_judges_its_ending() {
    let place = builds();
    let ending = "[[invariant]]\nid = \"evaluation.completeness\"\n";
    for (name, more, status, missing) in [
        ("asks", "required_evidence_keys = [\"test_log\"]\n", 1, vec!["GATE_JUDGED", "MISSING_KEY"]),
        ("has", "required_evidence_keys = [\"stdout\"]\n", 0, vec![]),
    ] {
        let policy = format!("{}{ending}{more}", OTHER.split(ending).next().unwrap());
        place.file(&format!("{name}.toml"), policy.as_bytes());
        place.gives(status, &["exec", "--run", name, "--policy", &format!("{name}.toml"), "--", "true"]);
        place.ok(&["export", name, "-o", &format!("{name}.receipt")]);
        for from in [name.to_owned(), format!("{name}.receipt")] {
            let told = place.json(status, &["gate", &from]);
            assert_eq!(codes(&told).concat(), missing, "{from}: {told}");
        }
    }
}

#[test]
fn a_warning_is_let_on_only_where_that_was_asked_for() {
    let place = Place::new();
    let optional = format!("{OTHER}[[invariant]]\nid = \"exec.exit_status\"\nrequired = false\n");
    place.file("lax.toml", optional.as_bytes());
    place.gives(1, &["exec", "--run", "odd", "--policy", "lax.toml", "--", "false"]);
    assert_eq!(codes(&place.json(1, &["gate", "odd"])), [["GATE_OUTCOME"]]);
    assert!(codes(&place.json(0, &["gate", "odd", "--allow-warn"])).concat().is_empty());
}

#[test]
fn a_record_that_was_edited_is_not_let_on_whatever_its_run_says() {
    let place = builds();
    place.tamper(
        "UPDATE events SET envelope_json = replace(envelope_json, '\"fail\"', '\"pass\"') WHERE run_id = 'bad'",
    );
    let told = place.json(1, &["gate", "bad", "--no-pin"]);
    assert!(codes(&told).concat().contains(&"GATE_RECORD".to_owned()), "{told}");
    let text = place.gives(1, &["gate", "bad", "--no-pin"]);
    assert!(text.contains("TAMPERED run bad") && text.contains("EVENT_HASH_MISMATCH"), "{text}");
    // A required check that is open lets nothing on either.
    assert_eq!(codes(&place.json(3, &["gate", "good", "--no-pin", "--require", "tail"])), [["GATE_RECORD"]]);
}

#[test]
fn a_run_that_was_told_anew_as_a_success_verifies_and_its_evaluation_does_not_come_out_so() {
    let place = builds();
    Forger::open(&place.ledger_path()).edit("bad", |events| {
        for event in events {
            let is = |name| get(event, &["event_type"]).and_then(Value::as_str) == Some(name);
            let (evaluation, end) = (is("EVALUATION"), is("RUN_FINALIZE"));
            if evaluation || end {
                set(event, &["payload", "overall_verdict"], "pass");
            }
            if evaluation {
                let results = get(event, &["payload", "results"]).and_then(Value::as_array).unwrap().to_vec();
                let passed = |result: Value| match result {
                    Value::Object(mut result) => {
                        result.insert("verdict", "pass");
                        result.insert("reasons", Value::Array(Vec::new()));
                        Value::Object(result)
                    }
                    other => other,
                };
                set(event, &["payload", "results"], Value::Array(results.into_iter().map(passed).collect()));
            }
        }
    });
    assert!(place.ok(&["verify", "bad", "--no-pin"]).starts_with("INTACT   run bad (passed)"));
    let told = place.json(1, &["gate", "bad", "--no-pin"]);
    assert!(codes(&told).concat().contains(&"GATE_REPLAY".to_owned()), "{told}");
}

#[test]
fn the_first_line_of_verify_says_whether_the_record_is_intact_and_how_the_runs_ended() {
    let place = builds();
    let first = |args: &[&str], status| place.gives(status, args).lines().next().unwrap().to_owned();
    let line = first(&["verify", "--no-pin"], 0);
    let counts = "4 runs (1 passed, 1 failed, 1 ended as UNKNOWN, 1 not ended)";
    assert!(line.starts_with(&format!("INTACT   {counts}, ")), "{line}");
    assert_eq!(place.ok(&["verify", "-q", "--no-pin"]).lines().collect::<Vec<_>>(), [line]);
    assert_eq!(place.json(0, &["verify", "--no-pin"])["outcomes"]["fail"], 1);
    assert!(first(&["verify", "bad"], 0).starts_with("INTACT   run bad (failed), 12 events, 3 pieces of evidence"));
    // What is not covered is said in a line, and in full where more was asked for.
    let brief = place.ok(&["verify", "good", "--no-pin"]);
    assert!(brief.contains("not covered: tail, runs, rollback, fork, key  (a checkpoint kept elsewhere"), "{brief}");
    assert!(!brief.contains("NO_ANCHOR") && place.ok(&["verify", "good", "-v", "--no-pin"]).contains("NO_ANCHOR"));
    // What was verified before covers what there was then.
    place.ok(&["verify"]);
    let covered = place.ok(&["verify"]);
    assert!(covered.contains("covered: ") && covered.contains(", by your verify of 20"), "{covered}");
    place.tamper("DELETE FROM events WHERE run_id = 'good' AND seq = 12");
    assert!(first(&["verify"], 1).starts_with("TAMPERED 4 runs"));
    assert!(first(&["verify", "--no-pin", "--require", "fork"], 3).starts_with("UNKNOWN  4 runs"));
}
