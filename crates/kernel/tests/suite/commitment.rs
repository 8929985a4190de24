//! A run under a policy of a newer version verifies; judging it is UNKNOWN. A row of a run that commits to nothing is a
//! warning if no event agrees with it.

use crate::audit::{audit, forge, payload, record, scene};
use crate::forge::Forger;
use receipt_core::canonical;
use receipt_core::id::PolicyDigest;
use receipt_core::json::{Limits, Value};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::{Actor, Check, Error, Ledger, Object, Report, RunId, Verdict};
use std::path::Path;

/// Changes the policy that run a commits to, its digest wherever it stands, and all hashes.
fn under(path: &Path, change: impl Fn(&mut Object)) {
    let digest_of = |policy: &Object| {
        let bytes = canonical::to_bytes(&policy.clone().into(), Limits::READ).unwrap();
        PolicyDigest::of(&bytes).to_string()
    };
    let ledger = Ledger::open_read_only(path).unwrap();
    let start = ledger.snapshot("a", &[]).unwrap();
    let commitment = start.facts().commitment.as_ref().unwrap();
    let mut policy = commitment.policy().as_object().unwrap().clone();
    change(&mut policy);
    let digest = digest_of(&policy);
    drop(ledger);
    forge(path, "a", 1, |seq, envelope| {
        if seq == 1 {
            let commitment = Object::from_iter([
                ("policy", Value::from(policy.clone())),
                ("policy_digest", Value::from(digest.as_str())),
            ]);
            payload(envelope, "commitment", commitment);
        } else if envelope.get("event_type").and_then(Value::as_str) == Some("EVALUATION") {
            payload(envelope, "policy_digest", digest.as_str());
        }
    });
}

fn with_invariant(invariant: Object) -> impl Fn(&mut Object) {
    move |policy| {
        let mut invariants = policy.get("invariants").and_then(Value::as_array).unwrap().to_vec();
        invariants.push(invariant.clone().into());
        policy.insert("invariants", Value::Array(invariants));
    }
}

fn signed(required: bool) -> Object {
    Object::from_iter([("id", Value::from("model.signed")), ("key", "k".into()), ("required", required.into())])
}

fn check(report: &Report, check: Check) -> (Verdict, Vec<&str>) {
    let found = report.check(check).unwrap();
    (found.verdict, found.reasons.iter().map(|reason| &*reason.code).collect())
}

#[test]
fn a_run_under_an_invariant_that_is_not_known_verifies_and_is_unknown_when_it_is_judged() {
    for (required, verdict) in [(true, Verdict::Unknown), (false, Verdict::Warn)] {
        let (_folder, path) = scene();
        under(&path, with_invariant(signed(required)));
        let report = audit(&path);
        assert_eq!(report.overall_verdict(), Verdict::Pass, "{report:#?}");
        let ledger = Ledger::open(&path).unwrap();
        let evaluation = ledger.evaluate("a", None).unwrap();
        assert_eq!(evaluation.overall_verdict, verdict);
        let result = &evaluation.results.iter().find(|judged| judged.result.invariant_id == "model.signed").unwrap();
        assert_eq!((result.result.verdict, &*result.result.reasons[0].code), (Verdict::Unknown, "UNKNOWN_INVARIANT"));
        // The recorded evaluation has no result of it: that cannot be, whoever judged.
        let replayed = ledger.replay(&RunId::new("a")).unwrap().evaluations;
        assert_eq!(replayed[0].verdict, Verdict::Fail, "{replayed:?}");
        let mut bundle = Vec::new();
        ledger.export(&Export::of(RunId::new("a")), &mut bundle).unwrap();
        let report = Verify::default().replay_limit(0).run(&mut &bundle[..]).unwrap();
        for settled in [Check::Content, Check::Columns, Check::Path] {
            assert_eq!(report.check(settled).unwrap().verdict, Verdict::Pass, "{report:#?}");
        }
    }
}

#[test]
fn the_path_under_an_invariant_that_is_not_known_is_checked() {
    let (_folder, path) = scene();
    under(&path, with_invariant(signed(true)));
    forge(&path, "a", 8, |seq, envelope| {
        if seq == 8 {
            envelope.insert("stage", "COLLECT");
        }
    });
    assert_eq!(
        check(&audit(&path), Check::Path),
        (Verdict::Fail, vec!["STAGE_JUMP", "ILLEGAL_TRANSITION", "STAGE_CONTRADICTION"])
    );
}

#[test]
fn a_run_under_a_newer_graph_verifies_but_for_its_path_and_is_not_continued() {
    let (_folder, path) = scene();
    under(&path, |policy| {
        let mut graph = policy.get("stage_graph").and_then(Value::as_object).unwrap().clone();
        graph.insert("parallel", true);
        policy.insert("stage_graph", graph);
    });
    let report = audit(&path);
    assert_eq!(check(&report, Check::Path), (Verdict::Unknown, vec!["STAGE_GRAPH_UNKNOWN"]));
    assert_eq!((check(&report, Check::Content).0, report.overall_verdict()), (Verdict::Pass, Verdict::Unknown));
    let ledger = Ledger::open(&path).unwrap();
    assert!(matches!(ledger.resume("a", Actor::new("system", "test")), Err(Error::Input(_))));
    assert_eq!(ledger.evaluate("a", None).unwrap().overall_verdict, Verdict::Unknown);
}

#[test]
fn a_run_under_an_unknown_invariant_goes_on_and_ends_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    record(&Ledger::create(&path).unwrap(), "a", false);
    under(&path, with_invariant(signed(true)));
    let ledger = Ledger::open(&path).unwrap();
    let mut run = ledger.resume("a", Actor::new("system", "test")).unwrap();
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Unknown);
    assert_eq!(run.finalize("released").unwrap(), Verdict::Unknown);
    let replayed = ledger.replay(&RunId::new("a")).unwrap().evaluations;
    let last = replayed.last().unwrap();
    assert_eq!((last.verdict, last.recorded), (Verdict::Pass, Some(Verdict::Unknown)), "{replayed:?}");
}

#[test]
fn a_row_that_no_event_of_an_uncommitted_run_agrees_with_is_a_warning() {
    let scene = || {
        let (folder, path) = scene();
        forge(&path, "a", 1, |seq, envelope| {
            if seq == 1 {
                envelope.insert("payload", Object::from_iter([("meta", Value::from(Object::new()))]));
            }
        });
        (folder, path)
    };
    let (_folder, path) = scene();
    assert_eq!(check(&audit(&path), Check::Columns), (Verdict::Pass, vec![]), "the control");
    for (column, value) in [
        ("policy_id", "'stricter'"),
        ("policy_version", "'9'"),
        ("stage_graph_id", "'v1_minimal'"),
        ("created_at", "'1999-01-01T00:00:00+00:00'"),
        ("created_at", "'2099-01-01T00:00:00+00:00'"),
    ] {
        let (_folder, path) = scene();
        let sql = format!("UPDATE runs SET {column} = {value} WHERE run_id = 'a'");
        Forger::open(&path).sql(&sql);
        let report = audit(&path);
        assert_eq!(check(&report, Check::Columns), (Verdict::Warn, vec!["RUN_ROW_UNCONFIRMED"]), "{sql}");
        assert_eq!(report.overall_verdict(), Verdict::Warn, "{sql}");
        assert!(report.check(Check::Columns).unwrap().reasons[0].msg.contains(column), "{sql}");
        // A bundle holds the row, and says the same; but for the time, which a stored event alone could confirm.
        let mut bundle = Vec::new();
        Ledger::open(&path).unwrap().export(&Export::of(RunId::new("a")), &mut bundle).unwrap();
        let bundled = Verify::default().run(&mut &bundle[..]).unwrap().check(Check::Columns).unwrap().verdict;
        assert_eq!(bundled, if column == "created_at" { Verdict::Pass } else { Verdict::Warn }, "{sql}");
    }
    // A row of a run with a commitment is bound, whatever its events say.
    let (_folder, path) = scene();
    Forger::open(&path).sql("UPDATE runs SET policy_id = 'x' WHERE run_id = 'b'");
    assert_eq!(check(&audit(&path), Check::Columns), (Verdict::Fail, vec!["RUN_ROW_MISMATCH"]));
}
