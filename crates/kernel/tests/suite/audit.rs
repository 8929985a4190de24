//! Every act of tampering is found under the check that is about it, whatever else lies in the file, and what is sound
//! passes.

#![allow(clippy::too_many_lines)] // tables

use crate::common::{RECIPIENT, new_path};
use crate::forge::Forger;
use receipt_core::canonical;
use receipt_core::json::{self, Limits, Value};
use receipt_kernel::{
    Actor, Anchors, Append, Audit, Check, Error, EventType, EvidenceClass, Ledger, Object, Policy, Put, Report, RunId,
    Verdict,
};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;

/// The checks that a ledger settles by itself.
const SETTLED: [Check; 5] = [Check::Content, Check::Columns, Check::Evidence, Check::Path, Check::Commitment];

pub(crate) fn record(ledger: &Ledger, id: &str, finish: bool) {
    let actor = Actor::new("system", "test");
    let meta = Object::from_iter([("branch", "main")]);
    ledger.add_recipients([RECIPIENT]).unwrap();
    let mut run = ledger.start(id, Policy::structural().unwrap(), actor, meta).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.put("log", format!("the log of {id}").as_bytes(), Put::text()).unwrap();
    let sealed = Put::text().of_class(EvidenceClass::Sealed);
    run.put("notes", format!("the notes of {id}").as_bytes(), sealed).unwrap();
    run.advance("EVALUATE", "collected").unwrap();
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("ship", &["it passed"], "release it").unwrap();
    if finish {
        assert_eq!(run.finalize("released").unwrap(), Verdict::Pass);
    }
}

/// The events of run a: 1 RUN_START, 2 STAGE_ADVANCE, 3 and 4 EVIDENCE_PUT, 5 STAGE_ADVANCE, 6 EVALUATION,
/// 7 STAGE_ADVANCE, 8 DECISION, 9 STAGE_ADVANCE, 10 RUN_FINALIZE.
pub(crate) fn scene() -> (TempDir, PathBuf) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", true);
    record(&ledger, "b", true);
    (folder, path)
}

/// The report, which must be the same however many threads made it, and in whatever parts they read the runs.
pub(crate) fn audit(path: &Path) -> Report {
    let ledger = Ledger::open_read_only(path).unwrap();
    let one = Audit::of(&ledger).threads(1).run().unwrap();
    let four = Audit::of(&ledger).threads(4).run().unwrap();
    assert_eq!(one, four);
    for part in [1, 3] {
        assert_eq!(one, Audit::of(&ledger).threads(3).parts_of(part).run().unwrap(), "in parts of {part}");
    }
    one
}

type Finding = (Check, &'static str, &'static str);

/// Whether these findings are there, and every check that none of them is of says PASS.
fn assert_found(name: &str, report: &Report, findings: &[Finding]) {
    for &(check, code, pointer) in findings {
        let found = report.check(check).unwrap();
        assert_eq!(found.verdict, Verdict::Fail, "{name}: {check} {found:?}");
        let there = found.reasons.iter().any(|reason| {
            reason.code == code && (pointer.is_empty() || reason.pointers.iter().any(|at| at.contains(pointer)))
        });
        assert!(there, "{name}: no {code} at {pointer}: {found:#?}");
    }
    for check in SETTLED {
        if findings.iter().all(|(of, ..)| *of != check) {
            let found = report.check(check).unwrap();
            assert_eq!(found.verdict, Verdict::Pass, "{name}: {found:#?}");
        }
    }
    assert_eq!(report.overall_verdict(), if findings.is_empty() { Verdict::Pass } else { Verdict::Fail }, "{name}");
}

fn assert_each_found(acts: &[(&str, &str, &[Finding])]) {
    for (name, sql, findings) in acts {
        let (_folder, path) = scene();
        assert_eq!(audit(&path).overall_verdict(), Verdict::Pass);
        Forger::open(&path).execute_batch(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_found(name, &audit(&path), findings);
    }
}

/// Edits events of a run from `from` on and makes all hashes and columns behind them anew.
pub(crate) fn forge(path: &Path, run: &str, from: i64, edit: impl Fn(i64, &mut Object)) {
    Forger::open(path).edit(run, |events| {
        for (event, seq) in events.iter_mut().zip(1..).filter(|(_, seq)| *seq >= from) {
            edit(seq, event);
        }
    });
}

pub(crate) fn payload(envelope: &mut Object, key: &str, value: impl Into<Value>) {
    let Some(Value::Object(mut payload)) = envelope.remove("payload") else { panic!() };
    payload.insert(key, value);
    envelope.insert("payload", payload);
}

#[test]
fn a_sound_ledger_passes_and_what_only_an_anchor_can_settle_is_unknown_and_not_required() {
    let (_folder, path) = scene();
    let report = audit(&path);
    assert_found("nothing", &report, &[]);
    assert_eq!((report.runs, report.events, report.blobs, report.unfinished), (2, 20, 4, 0));
    assert_eq!(report.checks.iter().map(|check| check.check).collect::<Vec<_>>(), Check::ALL);
    for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Fork, Check::Key] {
        let found = report.check(check).unwrap();
        assert_eq!((found.verdict, found.required), (Verdict::Unknown, false));
        assert_eq!(found.reasons[0].code, "NO_ANCHOR");
    }
}

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

#[test]
fn evidence_that_was_changed_or_removed_is_found() {
    let one = |code: &'static str| [(Check::Evidence, code, "blob://sha256:"), (Check::Evidence, code, "")];
    let (changed, missing, malformed, silent) =
        (one("BLOB_HASH_MISMATCH"), one("BLOB_MISSING"), one("BLOB_MALFORMED"), one("EXPIRED_WITHOUT_RECEIPT"));
    let length: &[Finding] =
        &[(Check::Evidence, "BLOB_HASH_MISMATCH", ""), (Check::Evidence, "EVIDENCE_LENGTH_MISMATCH", "event://a/3")];
    assert_each_found(&[
        (
            "replaced",
            "UPDATE blobs SET data = CAST(replace(data, 'log', 'lag') AS BLOB) WHERE data = CAST('the log of a' AS BLOB)",
            &changed,
        ),
        ("cut", "UPDATE blobs SET data = X'00', bytes_len = 1 WHERE data = CAST('the log of a' AS BLOB)", length),
        ("text", "UPDATE blobs SET data = CAST(data AS TEXT)", &malformed),
        ("a number", "UPDATE blobs SET data = 5 WHERE bytes_len = 12", &malformed),
        ("NULL", "UPDATE blobs SET data = NULL WHERE bytes_len = 12", &malformed),
        ("an unknown state", "UPDATE blobs SET state = 'zzz'", &malformed),
        ("a state in bytes", "UPDATE blobs SET state = CAST(state AS BLOB)", &malformed),
        ("expired but there", "UPDATE blobs SET state = 'expired_hash_only'", &malformed),
        ("an unknown class", "UPDATE blobs SET evidence_class = 'bogus'", &malformed),
        ("bytes_len", "UPDATE blobs SET bytes_len = bytes_len + 1", &malformed),
        ("bytes_len text", "UPDATE blobs SET bytes_len = 'many'", &malformed),
        ("content_type bytes", "UPDATE blobs SET content_type = X'ff'", &malformed),
        ("removed", "DELETE FROM blobs WHERE bytes_len = 12", &missing),
        (
            "renamed",
            "UPDATE blobs SET sha256 = upper(sha256) WHERE bytes_len = 12",
            &[missing[0], (Check::Evidence, "BLOB_MALFORMED", "")],
        ),
        (
            "expired without a receipt",
            "UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE bytes_len = 12",
            &silent,
        ),
        ("purged without a receipt", "UPDATE blobs SET data = NULL, state = 'purged' WHERE bytes_len = 12", &silent),
        (
            "a blob of nobody, damaged",
            "INSERT INTO blobs (sha256, content_type, bytes_len, data, created_at) VALUES (lower(hex(zeroblob(32))), 't', 1, X'00', 'now')",
            &changed,
        ),
    ]);
}

#[test]
fn evidence_whose_class_or_type_was_changed_is_found() {
    let found: &[Finding] = &[
        (Check::Evidence, "EVIDENCE_ROW_MISMATCH", "event://a/4"),
        (Check::Evidence, "EVIDENCE_ROW_MISMATCH", "blob://"),
    ];
    assert_each_found(&[
        (
            "sealed made public",
            "UPDATE blobs SET evidence_class = 'public' WHERE rowid = (SELECT min(rowid) FROM blobs WHERE evidence_class = 'sealed')",
            found,
        ),
        (
            "public made sealed, for a shorter life",
            "UPDATE blobs SET evidence_class = 'sealed' WHERE evidence_class = 'public'",
            &[
                (Check::Evidence, "EVIDENCE_ROW_MISMATCH", "event://"),
                (Check::Evidence, "EVIDENCE_ROW_MISMATCH", "blob://"),
            ],
        ),
        (
            "another type",
            "UPDATE blobs SET content_type = 'text/html' WHERE rowid = (SELECT min(rowid) FROM blobs WHERE evidence_class = 'sealed')",
            found,
        ),
    ]);
}

#[test]
fn the_same_evidence_put_as_another_type_or_class_passes() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let actor = Actor::new("system", "test");
    for id in ["a", "b"] {
        let mut run = ledger.start(id, Policy::structural().unwrap(), actor.clone(), Object::new()).unwrap();
        for class in [EvidenceClass::Public, EvidenceClass::Sealed] {
            run.put("log", b"same", Put::text()).unwrap();
            // As the Python package leaves it, which encrypts nothing.
            let sql = "UPDATE blobs SET evidence_class = ?1";
            Connection::open(&path).unwrap().execute(sql, [class.as_str()]).unwrap();
            let record = run.put("log", b"same", Put::json()).unwrap();
            assert_eq!(record.class, class);
            if id == "b" {
                let remove = "UPDATE blobs SET data = NULL, state = 'expired_hash_only'";
                Connection::open(&path).unwrap().execute(remove, []).unwrap();
                run.put("log", b"same", Put::json()).unwrap();
            }
        }
    }
    assert_eq!(audit(&path).check(Check::Evidence).unwrap().verdict, Verdict::Pass, "{:?}", audit(&path));
}

#[test]
fn expired_evidence_with_a_receipt_passes() {
    let (_folder, path) = scene();
    let hash: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT sha256 FROM blobs WHERE data = CAST('the log of a' AS BLOB)", [], |row| row.get(0))
        .unwrap();
    // The decision of run b becomes the receipt; all hashes behind it are made anew.
    forge(&path, "b", 8, |seq, envelope| {
        if seq == 8 {
            envelope.insert("event_type", "BLOB_EXPIRE");
            payload(envelope, "sha256", hash.as_str());
        }
    });
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = ?1", [&hash]).unwrap();
    assert_found("receipted", &audit(&path), &[]);
    // A receipt whose text was edited receipts nothing.
    Forger::open(&path).sql(
        "UPDATE events SET envelope_json = replace(envelope_json, '\"ship\"', '\"shop\"') WHERE run_id = 'b' AND seq = 8",
    );
    let findings = [
        (Check::Evidence, "EXPIRED_WITHOUT_RECEIPT", "event://a/3"),
        (Check::Content, "EVENT_HASH_MISMATCH", "event://b/8"),
    ];
    assert_found("a broken receipt", &audit(&path), &findings);
}

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
    assert_eq!((found.verdict, &*found.reasons[0].code, report.unfinished), (Verdict::Warn, "RUN_UNFINISHED", 1));
    assert_eq!(found.reasons[0].pointers, ["run://u"]);
    assert_eq!(report.overall_verdict(), Verdict::Warn);
}

#[test]
fn a_run_without_events_is_unknown_and_never_a_pass() {
    let (_folder, path) = scene();
    let connection = Forger::open(&path);
    connection.execute_batch("INSERT INTO runs VALUES ('empty', 'p', '1', 'g', 'now', '{}')").unwrap();
    let report = audit(&path);
    let found = report.check(Check::Content).unwrap();
    assert_eq!((found.verdict, &*found.reasons[0].code), (Verdict::Unknown, "NO_EVENTS"));
    assert_eq!(report.overall_verdict(), Verdict::Unknown);
    connection.execute_batch("DELETE FROM runs WHERE run_id = 'empty'; DELETE FROM events WHERE run_id = 'b'").unwrap();
    assert_eq!(audit(&path).overall_verdict(), Verdict::Unknown, "all events of a run removed, and its row left");
    connection.execute_batch("INSERT INTO runs VALUES ('empty', 'p', '1', 'g', 'now', '{}')").unwrap();
    let ledger = Ledger::open_read_only(&path).unwrap();
    let named = Audit::of(&ledger).runs([RunId::new("empty")]).run().unwrap();
    assert_eq!(named.overall_verdict(), Verdict::Unknown);
}

#[test]
fn a_run_asked_for_by_name_must_be_there() {
    let (_folder, path) = scene();
    let ledger = Ledger::open_read_only(&path).unwrap();
    for threads in [1, 4] {
        let found = Audit::of(&ledger).threads(threads).runs([RunId::new("a"), RunId::new("A")]).run();
        assert!(matches!(&found, Err(Error::RunNotFound { run }) if run == "A"), "{found:?}");
    }
    let report = Audit::of(&ledger).runs([RunId::new("a")]).run().unwrap();
    assert_eq!((report.overall_verdict(), report.runs, report.events, report.blobs), (Verdict::Pass, 1, 10, 2));
    // Only what was asked for counts.
    Forger::open(&path).execute_batch("UPDATE events SET event_type = 'DECISION' WHERE run_id = 'b'; UPDATE blobs SET data = X'00' WHERE data = CAST('the log of a' AS BLOB)").unwrap();
    let b = Audit::of(&ledger).runs([RunId::new("b")]).run().unwrap();
    assert_eq!(b.check(Check::Evidence).unwrap().verdict, Verdict::Pass);
    assert_eq!(b.check(Check::Columns).unwrap().verdict, Verdict::Fail);
    let a = Audit::of(&ledger).runs([RunId::new("a")]).run().unwrap();
    assert_eq!(a.check(Check::Evidence).unwrap().verdict, Verdict::Fail);
    assert_eq!(a.check(Check::Columns).unwrap().verdict, Verdict::Pass);
}

#[test]
fn an_empty_ledger_is_unknown() {
    let (_folder, path) = new_path();
    drop(Ledger::create(&path).unwrap());
    assert_eq!(audit(&path).overall_verdict(), Verdict::Unknown);
    assert_eq!(Ledger::in_memory().audit().unwrap().overall_verdict(), Verdict::Unknown);
}

#[test]
fn a_ledger_in_memory_is_audited_too() {
    let ledger = Ledger::in_memory();
    record(&ledger, "a", true);
    let report = Audit::of(&ledger).threads(4).run().unwrap();
    assert_eq!((report.overall_verdict(), report.events, report.blobs), (Verdict::Pass, 10, 2));
    assert_eq!(Audit::of(&ledger).threads(1).run().unwrap(), report);
}

/// Neither a panic nor PASS, whatever lies in the file; an error that says so will do.
fn assert_no_pass(name: &str, path: &Path) {
    let Ok(ledger) = Ledger::open_read_only(path) else { return };
    for threads in [1, 4] {
        let mut report = match Audit::of(&ledger).threads(threads).run() {
            Ok(report) => report,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        assert!(report.overall_verdict().is_failure(), "{name}: {report:#?}");
        let passed = |check: &Check| report.check(*check).unwrap().verdict == Verdict::Pass;
        let any_passed = SETTLED[..4].iter().any(passed);
        assert!(report.events > 0 || !any_passed, "{name}: PASS of what was not read: {report:#?}");
        report =
            Audit::of(&ledger).against(&Anchors::default()).run().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(report.overall_verdict().is_failure(), "{name}: {report:#?}");
    }
    let _ = ledger.snapshot("a", &["log"]);
    let _ = ledger.evaluate("a", None);
    let _ = ledger.runs(&mut |_, _| std::ops::ControlFlow::Continue(()));
    let _ = ledger.events("a", &mut |_| {});
}

#[test]
fn hostile_rows_give_findings_and_never_a_panic() {
    let deep = format!(
        "UPDATE events SET envelope_json = '{{\"actor\":{}' WHERE run_id = 'a' AND seq = 3",
        "[".repeat(100_000)
    );
    let deep_payload = format!(
        "UPDATE events SET envelope_json = replace(envelope_json, '\"payload\":{{', '\"payload\":{{\"a\":{}{},') WHERE run_id = 'a' AND seq = 3",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let rewrite = "CREATE TABLE copy AS SELECT * FROM events; DROP TABLE events;";
    let columns = "run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at";
    let loose = format!(
        "{rewrite} CREATE TABLE events (id INTEGER PRIMARY KEY, {columns}); INSERT INTO events SELECT * FROM copy;"
    );
    let acts: [(&str, String); 27] = [
        ("cut JSON", "UPDATE events SET envelope_json = '{bad' WHERE seq = 3".into()),
        ("no JSON", "UPDATE events SET envelope_json = '' WHERE seq = 3".into()),
        ("a number", "UPDATE events SET envelope_json = '5' WHERE seq = 1".into()),
        ("null", "UPDATE events SET envelope_json = 'null' WHERE seq = 10".into()),
        ("NaN", "UPDATE events SET envelope_json = 'NaN' WHERE seq = 10".into()),
        ("NaN in the payload", "UPDATE events SET envelope_json = replace(envelope_json, '\"payload\":{', '\"payload\":{\"a\":NaN,') WHERE seq = 8".into()),
        ("deep", deep),
        ("deep payload", deep_payload),
        ("not UTF-8", "UPDATE events SET envelope_json = CAST(X'7bff7d' AS TEXT) WHERE seq = 3".into()),
        ("a NUL", "UPDATE events SET envelope_json = envelope_json || char(0) WHERE seq = 3".into()),
        ("the last seq of all", "UPDATE events SET seq = 9223372036854775807 WHERE run_id = 'a' AND seq = 10".into()),
        ("a negative seq", "UPDATE events SET seq = -9223372036854775808 WHERE run_id = 'a' AND seq = 1".into()),
        ("seq 0", "UPDATE events SET seq = 0 WHERE run_id = 'a' AND seq = 1".into()),
        ("no table events", "DROP TABLE events".into()),
        ("no table runs", "DROP TABLE runs".into()),
        ("no table blobs", "DROP TABLE blobs".into()),
        ("no table schema_meta", "DROP TABLE schema_meta".into()),
        ("events a view", format!("{rewrite} CREATE VIEW events AS SELECT * FROM copy")),
        ("events without a column", format!("{rewrite} CREATE TABLE events (id, run_id, seq, event_type, envelope_json)")),
        ("events of nobody", "PRAGMA foreign_keys = OFF; DELETE FROM runs; DELETE FROM blobs".into()),
        ("a run id of bytes", "UPDATE events SET run_id = X'61' WHERE run_id = 'a'".into()),
        ("blobs without row ids", "CREATE TABLE copy AS SELECT * FROM blobs; DROP TABLE blobs; CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, content_type, bytes_len, evidence_class, state, data, created_at, expired_at, redaction_json) WITHOUT ROWID; INSERT INTO blobs SELECT * FROM copy".into()),
        ("events whose run id is NULL", format!("{loose} UPDATE events SET run_id = NULL WHERE run_id = 'a'")),
        ("every event twice", format!("{loose} INSERT INTO events ({columns}) SELECT {columns} FROM copy")),
        ("every seq text", format!("{loose} UPDATE events SET seq = CAST(seq AS TEXT)")),
        (
            "a run's row twice",
            "CREATE TABLE copy AS SELECT * FROM runs; DROP TABLE runs; CREATE TABLE runs AS SELECT * FROM copy;
             INSERT INTO runs SELECT run_id, 'other', policy_version, stage_graph_id, created_at, meta_json FROM copy"
                .into(),
        ),
        (
            "a blob's row twice",
            "CREATE TABLE copy AS SELECT * FROM blobs; DROP TABLE blobs; CREATE TABLE blobs AS SELECT * FROM copy;
             INSERT INTO blobs SELECT * FROM copy; UPDATE blobs SET data = X'00' WHERE rowid > 4"
                .into(),
        ),
    ];
    for (name, sql) in acts {
        let (_folder, path) = scene();
        Forger::open(&path).execute_batch(&sql).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_no_pass(name, &path);
    }
}

#[test]
fn a_file_without_tables_is_no_pass() {
    let (_folder, path) = new_path();
    std::fs::write(&path, "").unwrap();
    assert_no_pass("an empty file", &path);
}

#[test]
fn a_trigger_of_somebody_else_is_a_warning_until_it_is_gone() {
    let (_folder, path) = scene();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TRIGGER spy AFTER INSERT ON events BEGIN SELECT 1; END").unwrap();
    let report = Ledger::open_read_only(&path).unwrap().audit().unwrap();
    let columns = report.check(Check::Columns).unwrap();
    assert_eq!((columns.verdict, &*columns.reasons[0].code), (Verdict::Warn, "FOREIGN_TRIGGER"), "{report:#?}");
    assert_eq!((report.overall_verdict(), report.events), (Verdict::Warn, 20));
    let refused = Ledger::open(&path).unwrap_err().to_string();
    assert!(refused.contains("spy") && refused.contains("DROP TRIGGER"), "{refused}");
    // One that bears the name of ours is none of ours.
    let named = "DROP TRIGGER spy; DROP TRIGGER events_are_not_deleted;
        CREATE TRIGGER events_are_not_deleted AFTER INSERT ON events BEGIN UPDATE runs SET meta_json = ''; END";
    connection.execute_batch(named).unwrap();
    assert_eq!(Ledger::open_read_only(&path).unwrap().audit().unwrap().overall_verdict(), Verdict::Warn);
    assert!(Ledger::open(&path).is_err());
    connection.execute_batch("DROP TRIGGER events_are_not_deleted").unwrap();
    assert_eq!(Ledger::open(&path).unwrap().audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn a_file_with_damaged_pages_is_never_a_panic_nor_pass() {
    let (_folder, path) = scene();
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(&path).unwrap();
    for page in 1..whole.len() / 16_384 {
        let mut damaged = whole.clone();
        damaged[page * 16_384..(page + 1) * 16_384].fill(0xA5);
        std::fs::write(&path, damaged).unwrap();
        let Ok(ledger) = Ledger::open_read_only(&path) else { continue };
        // A page that nothing points at, or that only what is not audited uses, may be damaged unseen.
        let Ok(report) = ledger.audit() else { continue };
        assert!(report.events == 20 || report.overall_verdict().is_failure(), "page {page}: {report:?}");
    }
}

/// What is on record: the rows that the indexes find, as they lie in the tables; `None` where they cannot be read.
fn on_record(path: &Path) -> Option<Vec<String>> {
    let tables = [
        "SELECT r.run_id, r.policy_id, r.policy_version, r.stage_graph_id, r.created_at, r.meta_json \
         FROM runs AS i CROSS JOIN runs AS r ON r.rowid = i.rowid ORDER BY i.run_id",
        "SELECT e.run_id, e.seq, e.event_type, e.envelope_json, e.event_hash, e.prev_event_hash \
         FROM events AS i CROSS JOIN events AS e ON e.id = i.id ORDER BY i.run_id, i.seq",
        "SELECT b.sha256, b.content_type, b.bytes_len, b.evidence_class, b.state, b.data \
         FROM blobs AS i CROSS JOIN blobs AS b ON b.rowid = i.rowid ORDER BY i.sha256",
    ];
    let connection = Connection::open(path).ok()?;
    let mut record = Vec::new();
    for sql in tables {
        let mut statement = connection.prepare(sql).ok()?;
        let mut rows = statement.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            record.push((0..6).map(|column| format!("{:?}", row.get_ref(column))).collect::<Vec<_>>().join(" "));
        }
    }
    record.sort();
    Some(record)
}

/// `FLIPS` says how many, 1,000 where it is not set.
#[test]
fn a_bit_flipped_anywhere_in_the_file_is_found_or_changes_nothing_on_record() {
    let (_folder, path) = scene();
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = std::fs::read(&path).unwrap();
    let honest = on_record(&path).unwrap();
    let flips = std::env::var("FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(1000_u32);
    let (mut changed, mut state) = (0, 0x2545_F491_4F6C_DD1D_u64);
    for _ in 0..flips {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bit = usize::try_from(state >> 1).unwrap() % (whole.len() * 8);
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, flipped).unwrap();
        let now = on_record(&path).unwrap_or_default();
        let lost: Vec<&String> = honest.iter().filter(|row| !now.contains(row)).collect();
        changed += u32::from(!lost.is_empty());
        let audit = Ledger::open_read_only(&path).and_then(|ledger| ledger.audit());
        let passed = audit.is_ok_and(|report| report.overall_verdict() == Verdict::Pass);
        assert!(!passed || lost.is_empty(), "byte {}, bit {}: {lost:#?}", bit / 8, bit % 8);
    }
    assert!(changed > flips / 20, "the control: flips that change what is on record were tried");
}

#[test]
fn a_row_in_the_table_that_the_index_shows_otherwise_is_found() {
    let log = receipt_kernel::BlobHash::of(b"the log of a").to_hex();
    // Bytes that stand in the table's row alone: the index has no columns behind these.
    let acts = [
        (b"a\x05STAGE_ADVANCE".to_vec(), b"a\x07STAGE_ADVANCE".to_vec(), Check::Columns, "SEQ_MISMATCH"),
        (b"a\x05STAGE_ADVANCE".to_vec(), b"b\x05STAGE_ADVANCE".to_vec(), Check::Columns, "RUN_ID_COLUMN_MISMATCH"),
        (b"bstructural".to_vec(), b"cstructural".to_vec(), Check::Columns, "RUN_ROW_MISSING"),
        (
            format!("{log}text/plain").into_bytes(),
            format!("{}text/plain", log.replacen(&log[..1], "x", 1)).into_bytes(),
            Check::Evidence,
            "BLOB_MALFORMED",
        ),
    ];
    for (from, to, check, code) in acts {
        let (_folder, path) = scene();
        Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let mut file = std::fs::read(&path).unwrap();
        let at: Vec<usize> = (0..file.len() - from.len()).filter(|at| file[*at..].starts_with(&from)).collect();
        assert_eq!(at.len(), 1, "{code}");
        file[at[0]..at[0] + to.len()].copy_from_slice(&to);
        std::fs::write(&path, file).unwrap();
        let report = Ledger::open_read_only(&path).unwrap().audit().unwrap();
        let found = &report.checks.iter().find(|report| report.check == check).unwrap().reasons;
        assert!(found.iter().any(|reason| reason.code == code), "{code}: {report:?}");
        assert_eq!(report.overall_verdict(), Verdict::Fail);
    }
}

#[test]
fn an_audit_beside_a_writer_sees_a_sound_ledger() {
    let (_folder, path) = scene();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let ledger = Ledger::open(&path).unwrap();
            for index in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                record(&ledger, &format!("live{index}"), index % 2 == 0);
            }
        });
        let ledger = Ledger::open_read_only(&path).unwrap();
        let verdicts: Vec<Verdict> =
            (0..20).map(|_| Audit::of(&ledger).threads(3).run().unwrap().overall_verdict()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(verdicts.iter().all(|verdict| verdict.is_success()), "{verdicts:?}");
    });
}
