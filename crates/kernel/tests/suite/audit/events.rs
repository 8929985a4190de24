//! Events and rows that somebody edited.

use super::{Finding, assert_each_found, assert_found, audit, forge, payload, scene};
use crate::common::new_path;
use crate::forge::Forger;
use receipt_core::json::Value;
use receipt_kernel::{Actor, Append, Check, EventType, Ledger, Object, Policy, Verdict};
use rusqlite::{Connection, params};

#[test]
fn events_that_were_edited_reordered_removed_or_spliced_in_are_found() {
    use Check::{Columns, Content, Path};
    assert_each_found(&[
        ("edited", "UPDATE events SET envelope_json = replace(envelope_json, '\"ship\"', '\"shop\"') WHERE run_id = 'a' AND seq = 8",
            &[(Content, "EVENT_HASH_MISMATCH", "event://a/8")]),
        ("reformatted", "UPDATE events SET envelope_json = replace(envelope_json, ',\"seq\"', ', \"seq\"') WHERE run_id = 'a' AND seq = 8",
            &[(Content, "NOT_CANONICAL", "event://a/8")]),
        ("a key twice", "UPDATE events SET envelope_json = replace(envelope_json, '\"seq\":8', '\"seq\":8,\"seq\":8') WHERE run_id = 'a' AND seq = 8",
            &[(Content, "NOT_CANONICAL", "event://a/8")]),
        ("a key more", "UPDATE events SET envelope_json = replace(envelope_json, '\"ts\"', '\"tr\":1,\"ts\"') WHERE run_id = 'a' AND seq = 8",
            &[(Content, "EVENT_HASH_MISMATCH", "event://a/8")]),
        ("removed from the middle", "DELETE FROM events WHERE run_id = 'a' AND seq = 6",
            &[(Content, "SEQ_GAP", "event://a/7"), (Content, "PREV_HASH_MISMATCH", "event://a/7"),
              (Path, "VERDICT_NOT_EVALUATED", "event://a/10")]),
        ("removed and renumbered", "DELETE FROM events WHERE run_id = 'a' AND seq = 8;
            UPDATE events SET seq = 8 WHERE run_id = 'a' AND seq = 9; UPDATE events SET seq = 9 WHERE run_id = 'a' AND seq = 10",
            &[(Content, "PREV_HASH_MISMATCH", "event://a/8"), (Columns, "SEQ_MISMATCH", "event://a/8")]),
        ("two swapped", "UPDATE events SET seq = 99 WHERE run_id = 'a' AND seq = 3;
            UPDATE events SET seq = 3 WHERE run_id = 'a' AND seq = 4; UPDATE events SET seq = 4 WHERE run_id = 'a' AND seq = 99",
            &[(Content, "PREV_HASH_MISMATCH", "event://a/3"), (Columns, "SEQ_MISMATCH", "event://a/3")]),
        ("spliced in from another run", "UPDATE events SET (envelope_json, event_hash, prev_event_hash) =
            (SELECT envelope_json, event_hash, prev_event_hash FROM events WHERE run_id = 'b' AND seq = 8) WHERE run_id = 'a' AND seq = 8",
            &[(Content, "RUN_ID_MISMATCH", "event://a/8"), (Content, "PREV_HASH_MISMATCH", "event://a/8")]),
        ("a run copied under another name", "INSERT INTO runs SELECT 'c', policy_id, policy_version, stage_graph_id, created_at, meta_json FROM runs WHERE run_id = 'a';
            INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at)
            SELECT 'c', seq, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events WHERE run_id = 'a'",
            &[(Content, "RUN_ID_MISMATCH", "event://c/1")]),
        ("the hash in the text cut", "UPDATE events SET envelope_json = replace(envelope_json, '\"event_hash\":\"sha256:', '\"event_hash\":\"sha256:0') WHERE run_id = 'a' AND seq = 8",
            &[(Content, "MALFORMED_ENVELOPE", "event://a/8")]),
        ("the hash in the text edited", "UPDATE events SET envelope_json = substr(envelope_json, 1, instr(envelope_json, 'sha256:') + 6) || '0123' ||
            substr(envelope_json, instr(envelope_json, 'sha256:') + 11) WHERE run_id = 'a' AND seq = 10",
            &[(Content, "EVENT_HASH_MISMATCH", "event://a/10"), (Columns, "EVENT_HASH_COLUMN_MISMATCH", "event://a/10"), (Columns, "EVENT_HASH_MISMATCH", "event://a/10")]),
        ("added behind the end", "INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at)
            SELECT run_id, 11, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events WHERE run_id = 'a' AND seq = 8",
            &[(Content, "PREV_HASH_MISMATCH", "event://a/11"), (Columns, "SEQ_MISMATCH", "event://a/11"), (Path, "EVENT_AFTER_FINALIZE", "event://a/11")]),
    ]);
}

/// Events are hashed many at once: where the false one stands among them makes no difference.
#[test]
fn one_edited_event_of_a_long_run_is_found_wherever_it_stands() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let actor = Actor::new("system", "test");
    let mut run = ledger.start("a", Policy::structural().unwrap(), actor, Object::new()).unwrap();
    let decision = |index| Object::from_iter([("note", Value::from(format!("step {index} of them")))]);
    let events = (2..=200).map(|index| Append::new(EventType::Decision, decision(index))).collect();
    run.append_batch(events).unwrap();
    drop((run, ledger));
    let connection = Forger::open(&path);
    let replace = |seq: i64, from: &str, to: &str| {
        let sql = "UPDATE events SET envelope_json = replace(envelope_json, ?2, ?3) WHERE seq = ?1";
        assert_eq!(connection.execute(sql, params![seq, from, to]).unwrap(), 1);
    };
    assert_eq!(audit(&path).check(Check::Content).unwrap().verdict, Verdict::Pass);
    for seq in [2, 17, 63, 64, 65, 128, 129, 192, 193, 200] {
        replace(seq, "step", "stop");
        let content = audit(&path).check(Check::Content).unwrap().clone();
        assert_eq!(content.verdict, Verdict::Fail, "{seq}");
        let found: Vec<_> = content.reasons.iter().map(|reason| (&*reason.code, reason.pointers.concat())).collect();
        assert_eq!(found, [("EVENT_HASH_MISMATCH", format!("event://a/{seq}"))]);
        replace(seq, "stop", "step");
    }
}

#[test]
fn events_that_were_edited_with_new_hashes_are_found_where_the_chain_goes_on() {
    let (_folder, path) = scene();
    let before: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT envelope_json FROM events WHERE run_id = 'a' AND seq = 9", [], |row| row.get(0))
        .unwrap();
    forge(&path, "a", 8, |seq, envelope| {
        if seq == 8 {
            payload(envelope, "decision_id", "stop");
        }
    });
    // All of the history behind it made anew: nothing in the ledger contradicts that; only an anchor would.
    let report = audit(&path);
    assert_found("all made anew", &report, &[]);
    assert_eq!(report.check(Check::Key).unwrap().verdict, Verdict::Unknown);
    // The next event as it was before: it still names the hash of the one that was edited.
    let sql = "UPDATE events SET envelope_json = ?1 WHERE run_id = 'a' AND seq = 9";
    Forger::open(&path).execute(sql, [before]).unwrap();
    let findings = [
        (Check::Content, "PREV_HASH_MISMATCH", "event://a/9"),
        (Check::Columns, "EVENT_HASH_COLUMN_MISMATCH", "event://a/9"),
        (Check::Columns, "EVENT_HASH_MISMATCH", "event://a/9"),
    ];
    assert_found("one made anew", &audit(&path), &findings);
}

#[test]
fn every_column_that_its_envelope_contradicts_is_found() {
    use Check::{Columns, Content, Path};
    let at = "event://a/10";
    assert_each_found(&[
        (
            "seq",
            "UPDATE events SET seq = 11 WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "SEQ_MISMATCH", "event://a/11"), (Content, "SEQ_GAP", "event://a/11")],
        ),
        (
            "seq a float",
            "UPDATE events SET seq = 10.5 WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "seq text",
            "UPDATE events SET seq = 'ten' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "event_type",
            "UPDATE events SET event_type = 'DECISION' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "EVENT_TYPE_MISMATCH", at)],
        ),
        (
            "event_type bytes",
            "UPDATE events SET event_type = X'00' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "event_hash",
            "UPDATE events SET event_hash = 'sha256:00' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "EVENT_HASH_COLUMN_MISMATCH", at), (Columns, "EVENT_HASH_MISMATCH", at)],
        ),
        (
            "event_hash bytes",
            "UPDATE events SET event_hash = CAST(event_hash AS BLOB) WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "prev_event_hash",
            "UPDATE events SET prev_event_hash = 'sha256:00' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "PREV_HASH_COLUMN_MISMATCH", at), (Columns, "PREV_HASH_MISMATCH", at)],
        ),
        (
            "prev_event_hash NULL",
            "UPDATE events SET prev_event_hash = NULL WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "PREV_HASH_COLUMN_MISMATCH", at), (Columns, "PREV_HASH_MISMATCH", at)],
        ),
        (
            "prev_event_hash of the first",
            "UPDATE events SET prev_event_hash = '' WHERE run_id = 'a' AND seq = 1",
            &[(Columns, "PREV_HASH_COLUMN_MISMATCH", "event://a/1"), (Columns, "PREV_HASH_MISMATCH", "event://a/1")],
        ),
        (
            "prev_event_hash bytes",
            "UPDATE events SET prev_event_hash = X'00' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "created_at bytes",
            "UPDATE events SET created_at = X'00' WHERE run_id = 'a' AND seq = 10",
            &[(Columns, "BAD_COLUMN_TYPE", at)],
        ),
        (
            "envelope bytes",
            "UPDATE events SET envelope_json = CAST(envelope_json AS BLOB) WHERE run_id = 'a' AND seq = 8",
            &[(Columns, "BAD_COLUMN_TYPE", "event://a/8"), (Content, "MALFORMED_ENVELOPE", "event://a/8")],
        ),
        (
            "run_id",
            "UPDATE events SET run_id = 'b', seq = 11 WHERE run_id = 'a' AND seq = 8",
            &[
                (Content, "RUN_ID_MISMATCH", "event://b/11"),
                (Content, "SEQ_GAP", "event://a/9"),
                (Columns, "SEQ_MISMATCH", "event://b/11"),
                (Path, "EVENT_AFTER_FINALIZE", "event://b/11"),
            ],
        ),
    ]);
}

#[test]
fn every_part_of_a_runs_row_that_its_start_contradicts_is_found() {
    let found: &[Finding] = &[(Check::Columns, "RUN_ROW_MISMATCH", "run://a")];
    assert_each_found(&[
        ("policy_id", "UPDATE runs SET policy_id = 'other' WHERE run_id = 'a'", found),
        ("policy_version", "UPDATE runs SET policy_version = '2' WHERE run_id = 'a'", found),
        ("stage_graph_id", "UPDATE runs SET stage_graph_id = 'v1_minimal' WHERE run_id = 'a'", found),
        ("created_at", "UPDATE runs SET created_at = '2026-01-01T00:00:00+00:00' WHERE run_id = 'a'", found),
        ("meta_json", "UPDATE runs SET meta_json = '{\"branch\":\"other\"}' WHERE run_id = 'a'", found),
        ("meta_json cut", "UPDATE runs SET meta_json = '{' WHERE run_id = 'a'", found),
        (
            "meta_json bytes",
            "UPDATE runs SET meta_json = CAST(meta_json AS BLOB) WHERE run_id = 'a'",
            &[(Check::Columns, "BAD_COLUMN_TYPE", "run://a")],
        ),
        ("removed", "DELETE FROM runs WHERE run_id = 'a'", &[(Check::Columns, "RUN_ROW_MISSING", "run://a")]),
        (
            "run_id bytes",
            "UPDATE runs SET run_id = X'61' WHERE run_id = 'a'",
            &[(Check::Columns, "BAD_COLUMN_TYPE", ""), (Check::Columns, "RUN_ROW_MISSING", "run://a")],
        ),
        (
            "run_id NULL",
            "INSERT INTO runs VALUES (NULL, 'p', '1', 'g', 'now', '{}')",
            &[(Check::Columns, "BAD_COLUMN_TYPE", "")],
        ),
        (
            "run_id not UTF-8",
            "INSERT INTO runs VALUES (CAST(X'ff' AS TEXT), 'p', '1', 'g', 'now', '{}')",
            &[(Check::Columns, "BAD_COLUMN_TYPE", "")],
        ),
    ]);
}
