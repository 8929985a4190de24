//! Honest runs, whole and in part, and no run at all.

use super::run::{CREATED, ENVELOPE, honest, policy, record, story, text};
use receipt_core::Verdict;
use receipt_core::json::{self, Limits};
use receipt_core::stage::Stage;
use std::collections::BTreeSet;

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
