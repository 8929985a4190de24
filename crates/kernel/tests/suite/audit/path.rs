//! Paths and commitments that somebody edited.

use super::{Finding, assert_found, audit, forge, payload, record, scene};
use crate::common::new_path;
use receipt_core::json::{Limits, Value};
use receipt_core::{canonical, json};
use receipt_kernel::{Check, Ledger, Object, Verdict};

#[test]
fn a_path_that_the_committed_graph_does_not_have_is_found_even_with_new_hashes() {
    let found = |seq: i64, edit: &dyn Fn(&mut Object), findings: &[Finding]| {
        let (_folder, path) = scene();
        forge(&path, "a", seq, |at, envelope| {
            if at == seq {
                edit(envelope);
            }
        });
        assert_found(findings[0].1, &audit(&path), findings);
    };
    let at = |code, pointer| (Check::Path, code, pointer);
    found(
        5,
        &|envelope| {
            envelope.insert("stage", "DECIDE");
            payload(envelope, "to_stage", "DECIDE");
        },
        &[at("ILLEGAL_TRANSITION", "event://a/5")],
    );
    found(8, &|envelope| drop(envelope.insert("stage", "START")), &[at("STAGE_JUMP", "event://a/8")]);
    found(2, &|envelope| payload(envelope, "from_stage", "DECIDE"), &[at("STAGE_CONTRADICTION", "event://a/2")]);
    found(8, &|envelope| drop(envelope.insert("event_type", "RUN_START")), &[at("SECOND_RUN_START", "event://a/8")]);
    found(
        8,
        &|envelope| drop(envelope.insert("event_type", "RUN_FINALIZE")),
        &[at("MULTIPLE_FINALIZE", "event://a/10"), at("EVENT_AFTER_FINALIZE", "event://a/9")],
    );
    found(10, &|envelope| payload(envelope, "overall_verdict", "splendid"), &[at("BAD_VERDICT", "event://a/10")]);
    found(
        10,
        &|envelope| drop(envelope.insert("stage", "DECIDE")),
        &[at("STAGE_JUMP", "event://a/10"), at("FINALIZED_EARLY", "event://a/10")],
    );
    found(1, &|envelope| drop(envelope.insert("stage", "COLLECT")), &[at("WRONG_INITIAL_STAGE", "event://a/1")]);
    found(
        8,
        &|envelope| {
            let Some(Value::Object(mut policy)) = envelope.remove("policy") else { panic!() };
            policy.insert("policy_id", "lax");
            envelope.insert("policy", policy);
        },
        &[at("POLICY_CHANGED", "event://a/8")],
    );
    found(
        3,
        &|envelope| payload(envelope, "evidence", Object::new()),
        &[(Check::Evidence, "EVIDENCE_MALFORMED", "event://a/3")],
    );
}

#[test]
fn a_commitment_that_was_edited_is_found_even_with_new_hashes() {
    let (_folder, path) = scene();
    forge(&path, "a", 1, |seq, envelope| {
        if seq == 1 {
            let text = String::from_utf8(canonical::to_bytes(&envelope.clone().into(), Limits::READ).unwrap()).unwrap();
            let edited = text.replace("\"required\":true", "\"required\":false");
            assert_ne!(edited, text);
            let Value::Object(edited) = json::parse(edited.as_bytes(), Limits::READ).unwrap() else { panic!() };
            *envelope = edited;
        }
    });
    let report = audit(&path);
    let found = report.check(Check::Content).unwrap();
    assert!(found.reasons.iter().any(|reason| reason.code == "COMMITMENT_MALFORMED"), "{found:?}");
    assert_eq!(report.overall_verdict(), Verdict::Fail);
}

#[test]
fn an_unfinished_run_is_a_warning() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", true);
    record(&ledger, "u", false);
    let report = audit(&path);
    let found = report.check(Check::Path).unwrap();
    assert_eq!(
        (found.verdict, &*found.reasons[0].code, report.outcomes.unfinished),
        (Verdict::Warn, "RUN_UNFINISHED", 1)
    );
    assert_eq!(found.reasons[0].pointers, ["run://u"]);
    assert_eq!(report.overall_verdict(), Verdict::Warn);
}
