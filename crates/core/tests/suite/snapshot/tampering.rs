//! Each act of tampering gives its findings.

use super::rows::ROW_ACTS;
use super::run::{ENVELOPE, Held, PREV, SEQ, honest, record, story, text};
use super::stories::STORY_ACTS;
use receipt_core::Verdict;
use receipt_core::run::Area;
use std::collections::BTreeSet;

use Area::{Columns, Path};

/// Every code that reading a run can give.
const CODES: [&str; 27] = [
    "BAD_COLUMN_TYPE",
    "BAD_VERDICT",
    "COMMITMENT_MALFORMED",
    "EVENT_AFTER_FINALIZE",
    "EVENT_HASH_COLUMN_MISMATCH",
    "EVENT_HASH_MISMATCH",
    "EVENT_TYPE_MISMATCH",
    "FINALIZED_EARLY",
    "ILLEGAL_TRANSITION",
    "MALFORMED_ENVELOPE",
    "MULTIPLE_FINALIZE",
    "NOT_CANONICAL",
    "POLICY_CHANGED",
    "PREV_HASH_COLUMN_MISMATCH",
    "PREV_HASH_MISMATCH",
    "RUN_ID_COLUMN_MISMATCH",
    "RUN_ID_MISMATCH",
    "RUN_ROW_MISMATCH",
    "RUN_ROW_MISSING",
    "SECOND_RUN_START",
    "SEQ_GAP",
    "SEQ_MISMATCH",
    "STAGE_CONTRADICTION",
    "STAGE_GRAPH_UNKNOWN",
    "STAGE_JUMP",
    "VERDICT_NOT_EVALUATED",
    "WRONG_INITIAL_STAGE",
];

#[test]
fn each_act_of_tampering_gives_its_findings_and_no_others() {
    assert_eq!(honest().found(), BTreeSet::new(), "the positive control");
    let mut codes = BTreeSet::new();
    let mut tried = 0;
    let edited = ROW_ACTS.iter().map(|(name, act, wanted)| {
        let mut run = honest();
        act(&mut run);
        (*name, run, *wanted)
    });
    let retold = STORY_ACTS.iter().map(|(name, act, wanted)| {
        let mut story = story();
        act(&mut story);
        (*name, record("run/1", &story), *wanted)
    });
    for (name, run, wanted) in edited.chain(retold) {
        let found = run.found();
        let wanted: BTreeSet<_> = wanted.iter().map(|(area, code)| (*area, (*code).to_owned())).collect();
        assert_eq!(found, wanted, "{name}");
        let chain_breaks = wanted.iter().any(|(area, _)| *area != Path);
        assert_eq!(run.chain_verdict() == Verdict::Fail, chain_breaks, "{name}");
        codes.extend(found.into_iter().map(|(_, code)| code));
        tried += 1;
    }
    assert_eq!(tried, ROW_ACTS.len() + STORY_ACTS.len());
    assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), CODES);
}

#[test]
fn a_column_of_the_wrong_type_is_a_finding_whatever_it_holds() {
    let values = [
        Held::Null,
        Held::Integer(1),
        Held::Real(f64::NAN),
        Held::Real(4.0),
        Held::Blob(b"RUN_START".to_vec()),
        text("4"),
    ];
    let mut tried = 0;
    for column in 0..7 {
        for value in &values {
            let right = match column {
                SEQ => matches!(value, Held::Integer(_)),
                PREV => matches!(value, Held::Null | Held::Text(_)),
                _ => matches!(value, Held::Text(_)),
            };
            if right {
                continue;
            }
            let mut run = honest();
            run.rows[3][column] = value.clone();
            assert!(run.found().contains(&(Columns, "BAD_COLUMN_TYPE".to_owned())), "column {column}: {value:?}");
            tried += 1;
        }
    }
    for column in 0..5 {
        for value in &values[..5] {
            let mut run = honest();
            run.head.as_mut().unwrap()[column] = value.clone();
            assert!(run.found().contains(&(Columns, "BAD_COLUMN_TYPE".to_owned())), "run column {column}: {value:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, 5 + 4 + 5 * 5 + 5 * 5);
}

#[test]
fn any_byte_of_any_envelope_changed_is_a_finding_that_points_at_it() {
    let honest = honest();
    let mut tried = 0;
    for index in 0..honest.rows.len() {
        for at in 0..honest.envelope(index).len() {
            let mut run = honest.clone();
            let Held::Text(bytes) = &mut run.rows[index][ENVELOPE] else { panic!() };
            bytes[at] ^= 1;
            let facts = run.facts();
            let pointer = format!("event://run/1/{}", index + 1);
            let at_it = facts.findings.iter().any(|finding| finding.reason.pointers == [pointer.as_str()]);
            assert!(at_it, "event {index}, byte {at}: {:?}", facts.findings);
            tried += 1;
        }
    }
    assert!(tried > 5000, "{tried}");
}
