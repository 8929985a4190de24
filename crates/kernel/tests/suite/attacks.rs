//! What somebody who holds only the file can do to what binds nothing: row ids, the log's own rows, indexes, constraints,
//! the files beside it. Each is committed on a ledger that passes before.

mod expiry;

use crate::common::{actor, decision, new_path, start};
use crate::forge::{Forger, hash};
use receipt_kernel::anchor::Pinned;
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::core::checkpoint::{Checkpoint, SignedCheckpoint};
use receipt_kernel::core::id::{EventHash, NodeHash};
use receipt_kernel::core::merkle::{Frontier, TreeHead, leaf_hash};
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::core::witness::WitnessPolicy;
use receipt_kernel::{
    Anchors, Audit, Check, Error, Ledger, Object, Policy, Publish, Put, Reason, Report, RunId, Timestamp, Ttl, Value,
    Verdict,
};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use tempfile::TempDir;

fn key() -> Signing {
    Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[1; 32])
}

/// A whole run of seven events with one piece of evidence.
fn record(ledger: &Ledger, run: &str) {
    let mut writer = start(ledger, run);
    writer.advance("COLLECT", "collecting").unwrap();
    writer.put("log", format!("the log of {run}").as_bytes(), Put::text()).unwrap();
    writer.append(decision(run)).unwrap();
    writer.finalize_as(Verdict::Fail, "done").unwrap();
}

const LENGTH: u64 = 5;

/// Two runs under a checkpoint, and one that came after it.
fn scene() -> (TempDir, std::path::PathBuf, Anchors) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a");
    record(&ledger, "b");
    let kept = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint;
    record(&ledger, "c");
    let anchors = Anchors {
        checkpoints: vec![("kept".to_owned(), kept)],
        key: Some(key().verifier().clone()),
        ..Anchors::default()
    };
    assert_eq!(judged(&path, &Anchors::default()).overall_verdict(), Verdict::Pass, "the control");
    assert_eq!(judged(&path, &anchors).overall_verdict(), Verdict::Pass, "the control");
    (folder, path, anchors)
}

fn judged(path: &Path, anchors: &Anchors) -> Report {
    Audit::of(&Ledger::open_read_only(path).unwrap()).against(anchors).run().unwrap()
}

fn codes(report: &Report, check: Check) -> (Verdict, Vec<&str>) {
    let report = report.check(check).unwrap();
    (report.verdict, report.reasons.iter().map(|reason| reason.code.as_ref()).collect())
}

/// The events of run `a` where the next checkpoint looks for new ones.
const AGAIN: &str = "UPDATE events SET id = id + 1000 WHERE run_id = 'a'";

#[test]
fn a_run_that_row_ids_keep_out_of_the_log_fails_the_first_verify_and_is_not_signed_over() {
    let hidden = "UPDATE events SET id = id - 1000 WHERE run_id = 'c'";
    let acts: &[&[&str]] = &[
        &[hidden],
        // The next checkpoint would have as many leaves as there are events, those of one run twice.
        &[hidden, "UPDATE log_checkpoints SET last_event_id = last_event_id - 5"],
        &["UPDATE log_checkpoints SET last_event_id = last_event_id - 5"],
        &["UPDATE log_checkpoints SET last_event_id = last_event_id + 2"],
        &["UPDATE log_checkpoints SET last_event_id = 1000"],
        // Between those that the checkpoint covers.
        &[
            "UPDATE events SET id = id * -10",
            "UPDATE events SET id = -id",
            "UPDATE events SET id = id - 145 WHERE run_id = 'c'",
            "UPDATE log_checkpoints SET last_event_id = 100",
        ],
        // The order in which a run's own events came.
        &["UPDATE events SET id = 100 - id WHERE run_id = 'c'"],
        &["UPDATE events SET id = 1000 WHERE run_id = 'c' AND seq = 2"],
        // The log forgets which run its leaves are, so that they come a second time in the place of those that are hidden.
        &[
            "UPDATE log_segments SET run_id = 'nobody' WHERE run_id = 'a'",
            AGAIN,
            "UPDATE events SET id = -id WHERE run_id = 'c'",
        ],
        &[
            "UPDATE log_segments SET run_id = 'c' WHERE run_id = 'a'",
            AGAIN,
            "UPDATE events SET id = -id WHERE run_id = 'c'",
        ],
        &[
            "UPDATE log_segments SET count = 3 WHERE run_id = 'a'",
            "INSERT INTO log_segments VALUES (3, 'nobody', 1, 2)",
            "UPDATE events SET id = id + 1000 WHERE run_id = 'a' AND seq > 3",
            "UPDATE events SET id = -id WHERE run_id = 'c' AND seq > 3",
        ],
        // Stretches that overlap, leave a gap, are empty or are not in their order.
        &["UPDATE log_segments SET first_leaf = first_leaf + 1 WHERE run_id = 'b'"],
        &["UPDATE log_segments SET first_seq = 2 WHERE run_id = 'b'"],
        &["UPDATE log_segments SET count = count - 1 WHERE run_id = 'b'"],
        &["INSERT INTO log_segments VALUES (1000, 'c', 1, 0)"],
    ];
    for act in acts {
        let (_folder, path, anchors) = scene();
        let forger = Forger::open(&path);
        act.iter().for_each(|sql| forger.sql(sql));
        drop(forger);
        for anchors in [&Anchors::default(), &anchors] {
            let report = judged(&path, anchors);
            assert_eq!(report.overall_verdict(), Verdict::Fail, "{act:?}: {report:#?}");
        }
        let refused = Ledger::open(&path).unwrap().checkpoint(&Publish::by(&key()));
        assert!(matches!(refused, Err(Error::LogBroken { .. })), "{act:?}: {refused:?}");
    }
}

#[test]
fn a_run_hidden_before_there_is_any_log_is_found_and_not_signed_over() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a");
    record(&ledger, "b");
    Forger::open(&path).sql("UPDATE events SET id = -id WHERE run_id = 'a'");
    assert_eq!(codes(&judged(&path, &Anchors::default()), Check::Content), (Verdict::Fail, vec!["UNLOGGED_EVENT"]));
    assert!(matches!(ledger.checkpoint(&Publish::by(&key())), Err(Error::LogBroken { .. })));
}

#[test]
fn stretches_of_the_log_that_overlap_leave_a_gap_or_come_twice_are_found() {
    for act in [
        "UPDATE log_segments SET run_id = 'a' WHERE run_id = 'b'",
        "UPDATE log_segments SET first_seq = 2 WHERE run_id = 'b'",
        "UPDATE log_segments SET count = count - 1 WHERE run_id = 'b'",
        "UPDATE log_segments SET count = 0 WHERE run_id = 'b'",
        "UPDATE log_segments SET count = 9 WHERE run_id = 'a'",
        "UPDATE log_segments SET first_leaf = first_leaf + 1 WHERE run_id = 'b'",
        "DELETE FROM log_segments WHERE run_id = 'a'",
        "UPDATE log_segments SET run_id = 'c' WHERE run_id = 'a'",
        "INSERT INTO log_segments VALUES (1000, 'c', 1, 0)",
    ] {
        let (_folder, path, _) = scene();
        Forger::open(&path).sql(act);
        assert_eq!(judged(&path, &Anchors::default()).overall_verdict(), Verdict::Fail, "{act}");
    }
}

/// Somebody without the key signs a log of his own, in which one run stands twice and another not at all. There are as many
/// leaves as rows.
#[test]
fn a_log_that_counts_a_run_twice_is_found_whoever_signed_it() {
    let (_folder, path, _) = scene();
    let forger = Forger::open(&path);
    let hashes = |run: &str| {
        forger
            .events(run)
            .iter()
            .map(|event| EventHash::parse_bytes(hash(event).as_bytes()).unwrap())
            .collect::<Vec<_>>()
    };
    let leaves: Vec<NodeHash> = ["a", "a", "b"].iter().flat_map(|run| hashes(run)).map(|it| leaf_hash(&it)).collect();
    let mut frontier = Frontier::default();
    assert!(leaves.iter().all(|leaf| frontier.push_leaf(*leaf, |_, _| {})));
    let tile: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    let other = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[2; 32]);
    let note = Checkpoint::new(other.verifier().name().clone(), frontier.head()).sign(&[&other]).unwrap().to_string();
    forger.execute("UPDATE log_tiles SET hashes = ?1", [tile]).unwrap();
    let sql = "UPDATE log_checkpoints SET size = 15, last_event_id = 15, note = ?1, vkey = ?2";
    forger.execute(sql, [note, other.verifier().to_string()]).unwrap();
    forger.sql(
        "DELETE FROM log_segments; INSERT INTO log_segments VALUES (0, 'a', 1, 5), (5, 'a', 1, 5), (10, 'b', 1, 5); \
         UPDATE events SET id = -id WHERE run_id = 'c'",
    );
    drop(forger);
    assert_eq!(codes(&judged(&path, &Anchors::default()), Check::Content), (Verdict::Fail, vec!["LOG_MALFORMED"]));
    let signed = Ledger::open(&path).unwrap().checkpoint(&Publish::by(&other));
    assert!(matches!(signed, Err(Error::LogBroken { .. })), "{signed:?}");
}

/// The next event needs a higher number than the highest. That is no full disk: no room that anybody frees would help.
#[test]
fn a_ledger_without_a_row_id_left_says_so() {
    for act in [
        "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'events'",
        "UPDATE events SET id = 9223372036854775807 WHERE run_id = 'c' AND seq = 5",
    ] {
        let (_folder, path, _) = scene();
        Forger::open(&path).sql(act);
        let refused = Ledger::open(&path).unwrap().start("d", Policy::structural().unwrap(), actor(), Object::new());
        let error = refused.unwrap_err();
        assert_eq!((error.code(), error.hint()), ("store_failed", ""), "{act}: {error}");
        assert!(error.to_string().contains("row id"), "{act}: {error}");
    }
}

/// A number below 0 is none of a leaf, so that the row cannot be read as a stretch.
#[test]
fn a_stretch_before_the_first_leaf_is_no_pass_and_is_not_signed_over() {
    let (_folder, path, _) = scene();
    Forger::open(&path).sql("INSERT INTO log_segments VALUES (-5, 'c', 1, 5)");
    assert_eq!(codes(&judged(&path, &Anchors::default()), Check::Content), (Verdict::Unknown, vec!["READ_FAILURE"]));
    assert!(Ledger::open(&path).unwrap().checkpoint(&Publish::by(&key())).is_err());
}

/// The order of events that no checkpoint covers yet is bound by nothing but what was remembered of it.
#[test]
fn runs_that_change_places_after_the_pin_are_another_history() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a");
    record(&ledger, "b");
    drop(ledger);
    let (origin, head) = judged(&path, &Anchors::default()).head.unwrap();
    let pinned = Pinned { name: "the pin".to_owned(), origin, head };
    let anchors = Anchors { pinned: vec![pinned], ..Anchors::default() };
    assert_eq!(judged(&path, &anchors).overall_verdict(), Verdict::Pass, "the control");
    Forger::open(&path).sql("UPDATE events SET id = id + 100 WHERE run_id = 'a'");
    assert_eq!(codes(&judged(&path, &anchors), Check::Key), (Verdict::Fail, vec!["ROOT_MISMATCH"]));
}

#[test]
fn an_anchor_of_no_events_settles_nothing_and_each_other_one_says_what_it_covers() {
    let witness = Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]);
    let policy = WitnessPolicy::parse(&format!("witness W {}\nquorum W\n", witness.verifier())).unwrap();
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let empty = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint.signed(&witness, 1);
    assert_eq!(empty.checkpoint().head.size, 0);
    record(&ledger, "a");
    let some = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint;
    record(&ledger, "b");
    drop(ledger);
    let anchors = |notes: &[&SignedCheckpoint], witnessed: bool| Anchors {
        checkpoints: notes.iter().map(|note| ("kept".to_owned(), (*note).clone())).collect(),
        key: Some(key().verifier().clone()),
        witnesses: witnessed.then(|| policy.clone()),
        ..Anchors::default()
    };
    let settled = [Check::Tail, Check::Runs, Check::Rollback, Check::Key];
    let report = judged(&path, &anchors(&[&empty], true));
    for check in settled.into_iter().chain([Check::Fork]) {
        let report = report.check(check).unwrap();
        assert_eq!((report.verdict, report.required), (Verdict::Unknown, true), "{report:?}");
        assert!(report.reasons.iter().any(|reason| reason.code == "EMPTY_ANCHOR"), "{report:?}");
    }
    assert_eq!((report.overall_verdict(), report.coverage.len()), (Verdict::Unknown, 0));
    // Beside one that covers something it is still said that it does not.
    let report = judged(&path, &anchors(&[&empty, &some], false));
    assert_eq!(codes(&report, Check::Tail), (Verdict::Unknown, vec!["EMPTY_ANCHOR", "COVERED"]));
    let report = judged(&path, &anchors(&[&some], false));
    for check in settled {
        assert_eq!(codes(&report, check), (Verdict::Pass, vec!["COVERED"]));
        assert_eq!(report.check(check).unwrap().reasons[0].msg, "kept covers 5 of 10 events");
    }
    let [covered] = report.coverage.as_slice() else { panic!("{report:?}") };
    assert_eq!((covered.events, covered.of), (LENGTH, 2 * LENGTH));
    let json = report.to_value();
    let json = json.get("coverage").and_then(Value::as_array).unwrap();
    assert_eq!(json[0].get("events").and_then(Value::as_i64), Some(5), "{json:?}");
    // A pin of nothing is none.
    let nothing = TreeHead { size: 0, root: empty.checkpoint().head.root };
    let nothing = Pinned { name: "the pin".to_owned(), origin: None, head: nothing };
    let pinned = Anchors { pinned: vec![nothing], ..Anchors::default() };
    assert_eq!(codes(&judged(&path, &pinned), Check::Tail), (Verdict::Unknown, vec!["NO_ANCHOR"]));
}

/// Ends a thread beside a test, also if the test fails.
struct Ends<'d>(&'d AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_may_be_pinned_is_exactly_what_was_hashed_while_others_write() {
    let (_folder, path) = new_path();
    record(&Ledger::create(&path).unwrap(), "first");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = Ends(&done);
        scope.spawn(|| {
            let ledger = Ledger::open(&path).unwrap();
            let mut runs = 0;
            while !done.load(Ordering::Relaxed) {
                record(&ledger, &format!("run-{runs}"));
                runs += 1;
            }
        });
        let mut grown = 0;
        for _ in 0..60 {
            let report = judged(&path, &Anchors::default());
            let (_, head) = report.head.unwrap();
            assert_eq!(head.size, report.events);
            grown += u64::from(head.size > LENGTH);
        }
        assert!(grown > 0, "nothing was written meanwhile");
    });
    let some = Ledger::open_read_only(&path).unwrap();
    let some = Audit::of(&some).runs([RunId::new("first")]).against(&Anchors::default()).run().unwrap();
    assert_eq!(some.head, None, "not all of the ledger was hashed");
}

#[test]
fn an_anchor_beside_some_runs_believes_no_hash_that_nobody_computed() {
    let (_folder, path, anchors) = scene();
    Forger::open(&path)
        .sql("UPDATE events SET envelope_json = replace(envelope_json, 'done', 'gone') WHERE run_id = 'b' AND seq = 5");
    let ledger = Ledger::open_read_only(&path).unwrap();
    let report = Audit::of(&ledger).runs([RunId::new("a")]).against(&anchors).run().unwrap();
    assert_eq!(codes(&report, Check::Key), (Verdict::Fail, vec!["LEAF_CHANGED", "COVERED"]), "{report:#?}");
    // Nor does a quorum over the ledger's own last checkpoint.
    let witness = Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]);
    let policy = WitnessPolicy::parse(&format!("witness W {}\nquorum W\n", witness.verifier())).unwrap();
    let note = ledger.last_checkpoint().unwrap().unwrap().signed(&witness, 1).to_string();
    Connection::open(&path).unwrap().execute("UPDATE log_checkpoints SET note = ?1", [note]).unwrap();
    let anchors = Anchors { witnesses: Some(policy), ..Anchors::default() };
    let report = Audit::of(&ledger).runs([RunId::new("a")]).against(&anchors).run().unwrap();
    assert_eq!(codes(&report, Check::Fork).0, Verdict::Fail, "{report:#?}");
}

#[test]
fn an_audit_beside_retention_sees_each_removal_with_its_receipt() {
    let (_folder, path) = new_path();
    let on_day = |day: i64| {
        let clock = ManualClock::new(Timestamp::from_micros((1_767_225_600 + day * 86_400) * 1_000_000));
        Ledger::open_or_create(&path).unwrap().with_clock(Arc::new(clock))
    };
    let (ledger, later) = (on_day(0), on_day(40));
    let set = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok::<_, Error>(())
    });
    set.unwrap();
    record(&ledger, "first");
    let done = AtomicBool::new(false);
    let mut removed = 0;
    thread::scope(|scope| {
        let end = Ends(&done);
        let retaining = scope.spawn(|| {
            let mut removed = 0;
            for round in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let mut run = start(&ledger, &format!("round-{round}"));
                run.advance("COLLECT", "collecting").unwrap();
                for piece in 0..20 {
                    run.put("log", format!("{round} {piece}").as_bytes(), Put::text()).unwrap();
                }
                run.finalize_as(Verdict::Fail, "done").unwrap();
                removed += later.retain(&actor(), &mut |_, _| {}).unwrap().expired;
            }
            removed
        });
        for _ in 0..40 {
            let ledger = Ledger::open_read_only(&path).unwrap();
            let report = Audit::of(&ledger).threads(8).run().unwrap();
            assert!(report.overall_verdict().is_success(), "{report:#?}");
        }
        drop(end);
        removed = retaining.join().unwrap();
    });
    assert!(removed > 0, "nothing was removed meanwhile");
}

/// Changes the schema as only whoever holds the file can: what SQLite itself keeps of it.
fn rewrite_schema(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&format!("PRAGMA writable_schema = ON; {sql}; PRAGMA writable_schema = OFF")).unwrap();
}

/// Runs SQL while a table has no unique index, which is put back as it was: a row that is added stands in the table alone.
fn without_index(path: &Path, table: &str, constraint: &str, sql: &str) {
    let root = |connection: &Connection| -> i64 {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        connection.query_row(sql, [format!("sqlite_autoindex_{table}_1")], |row| row.get(0)).unwrap()
    };
    let root = root(&Connection::open(path).unwrap());
    let definition: String = Connection::open(path)
        .unwrap()
        .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
        .unwrap();
    assert!(definition.contains(constraint), "{definition}");
    let quoted = |text: &str| text.replace('\'', "''");
    rewrite_schema(
        path,
        &format!(
            "DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_{table}_1'; \
             UPDATE sqlite_schema SET sql = '{}' WHERE name = '{table}'",
            quoted(&definition.replace(constraint, ""))
        ),
    );
    Forger::open(path).sql(sql);
    rewrite_schema(
        path,
        &format!(
            "UPDATE sqlite_schema SET sql = '{}' WHERE name = '{table}'; \
             INSERT INTO sqlite_schema VALUES ('index', 'sqlite_autoindex_{table}_1', '{table}', {root}, NULL)",
            quoted(&definition)
        ),
    );
}

#[test]
fn a_row_that_no_index_leads_to_is_found_in_each_table() {
    let copy = |table: &str, key: &str, other: &str| {
        format!(
            "CREATE TEMP TABLE one AS SELECT * FROM {table} ORDER BY rowid LIMIT 1; \
             UPDATE one SET {key} = {other}; INSERT INTO {table} SELECT * FROM one"
        )
    };
    let acts = [
        ("events", ",\n    UNIQUE (run_id, seq)", copy("events", "id", "900"), Check::Content),
        ("events", ",\n    UNIQUE (run_id, seq)", copy("events", "(id, seq)", "(900, 99)"), Check::Content),
        (
            "events",
            ",\n    UNIQUE (run_id, seq)",
            copy("events", "(id, run_id, seq)", "(900, 'nobody', 1)"),
            Check::Content,
        ),
        ("runs", "run_id TEXT PRIMARY KEY", copy("runs", "run_id", "'d'"), Check::Columns),
        ("blobs", "sha256 TEXT PRIMARY KEY", copy("blobs", "sha256", "lower(hex(zeroblob(32)))"), Check::Evidence),
    ];
    for (table, constraint, sql, check) in acts {
        let (_folder, path, anchors) = scene();
        let without = if constraint.contains("PRIMARY") { " PRIMARY KEY" } else { constraint };
        without_index(&path, table, without, "SELECT 1");
        assert_eq!(judged(&path, &anchors).overall_verdict(), Verdict::Pass, "the control");
        without_index(&path, table, without, &sql);
        let report = judged(&path, &anchors);
        let (verdict, found) = codes(&report, check);
        assert!(verdict == Verdict::Fail && found[0] == "INDEX_MISMATCH", "{table}: {report:#?}");
    }
}

/// An index that leads to one row twice and to another never has as many entries as its table has rows.
#[test]
fn an_index_that_lists_a_row_twice_is_found() {
    for (table, key, check) in [("runs", "run_id", Check::Columns), ("blobs", "sha256", Check::Evidence)] {
        let (_folder, path, anchors) = scene();
        // The tree of a table without row ids is that of an index: here its last column is taken for the row id.
        let first = format!("(SELECT min({key}) FROM {table})");
        let other = format!("(SELECT max({key}) FROM {table})");
        Forger::open(&path).sql(&format!(
            "CREATE TABLE fake (k TEXT, n INTEGER, r INTEGER, PRIMARY KEY (k, n)) WITHOUT ROWID; \
             INSERT INTO fake SELECT {key}, 0, rowid FROM {table} WHERE {key} <> {other}; \
             INSERT INTO fake SELECT {key}, 1, rowid FROM {table} WHERE {key} = {first}"
        ));
        rewrite_schema(
            &path,
            &format!(
                "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'fake') \
                 WHERE name = 'sqlite_autoindex_{table}_1'; DELETE FROM sqlite_schema WHERE name = 'fake'"
            ),
        );
        let report = judged(&path, &anchors);
        let reasons = &report.check(check).unwrap().reasons;
        let twice = |reason: &Reason| reason.code == "INDEX_MISMATCH" && reason.msg.contains("twice");
        assert!(reasons.iter().any(twice), "{table}: {report:#?}");
        assert_eq!(report.overall_verdict(), Verdict::Fail);
    }
}

/// What stands in a schema and is not ours runs with each write: nothing is written, and the reader is told.
#[test]
fn whatever_in_the_schema_is_not_ours_keeps_writers_out_and_is_a_finding() {
    let replaced = |table: &str, from: &str, to: &str| {
        format!("UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}'")
    };
    let acts = [
        replaced("events", "UNIQUE (run_id, seq)", "UNIQUE (run_id, seq) ON CONFLICT IGNORE"),
        replaced("events", "UNIQUE (run_id, seq)", "UNIQUE (run_id, seq) ON CONFLICT REPLACE"),
        replaced("events", "event_type TEXT NOT NULL", "event_type TEXT NOT NULL CHECK (length(event_type) < 90)"),
        replaced("events", "created_at TEXT NOT NULL", "created_at TEXT NOT NULL DEFAULT (hex(1))"),
        replaced("blobs", "sha256 TEXT PRIMARY KEY", "sha256 TEXT PRIMARY KEY ON CONFLICT IGNORE"),
        replaced("runs", "run_id TEXT PRIMARY KEY", "run_id TEXT PRIMARY KEY ON CONFLICT REPLACE"),
        replaced("idempotency_keys", "PRIMARY KEY (run_id, key)", "PRIMARY KEY (run_id, key) ON CONFLICT IGNORE"),
        replaced("log_segments", "first_leaf INTEGER PRIMARY KEY", "first_leaf INTEGER PRIMARY KEY ON CONFLICT IGNORE"),
        replaced("settings", "value TEXT NOT NULL", "value TEXT NOT NULL ON CONFLICT IGNORE"),
        "SELECT 1; ALTER TABLE events ADD COLUMN twice TEXT GENERATED ALWAYS AS (event_type || event_type)".to_owned(),
        "SELECT 1; ALTER TABLE blobs ADD COLUMN note TEXT DEFAULT 'x'".to_owned(),
        "SELECT 1; CREATE UNIQUE INDEX one_a_day ON events (created_at)".to_owned(),
        "SELECT 1; CREATE INDEX by_type ON events (upper(event_type))".to_owned(),
        "SELECT 1; CREATE TRIGGER spy BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END".to_owned(),
    ];
    for act in acts {
        let (_folder, path, _) = scene();
        rewrite_schema(&path, &act);
        let report = judged(&path, &Anchors::default());
        let (verdict, found) = codes(&report, Check::Columns);
        assert!(verdict != Verdict::Pass && found[0].starts_with("FOREIGN_"), "{act}: {report:#?}");
        assert!(matches!(Ledger::open(&path), Err(Error::NotALedger { .. })), "{act}");
    }
    // Whoever has the file open already does not write either, until it is gone.
    let (_folder, path, _) = scene();
    let ledger = Ledger::open(&path).unwrap();
    let mut run = start(&ledger, "open");
    let count = || -> i64 {
        let sql = "SELECT count(*) FROM events WHERE run_id = 'open'";
        Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let thief = "CREATE TRIGGER thief AFTER INSERT ON events BEGIN DELETE FROM events WHERE id = new.id; END";
    Connection::open(&path).unwrap().execute_batch(&format!("DROP TRIGGER events_are_not_deleted; {thief}")).unwrap();
    assert!(matches!(run.append(decision("one")), Err(Error::NotALedger { .. })));
    assert_eq!(count(), 1);
    Connection::open(&path).unwrap().execute_batch("DROP TRIGGER thief").unwrap();
    run.append(decision("two")).unwrap();
    assert_eq!(count(), 2);
    // The schema of the Python package, and tables that have nothing to do with a ledger, are no concern of ours.
    let (_folder, path, _) = scene();
    rewrite_schema(
        &path,
        "SELECT 1; CREATE INDEX idx_events_run_seq ON events(run_id, seq); CREATE INDEX idx_events_type ON events(event_type); \
         CREATE TABLE mine (a PRIMARY KEY ON CONFLICT IGNORE); CREATE INDEX of_mine ON mine (a); ANALYZE",
    );
    assert_eq!(judged(&path, &Anchors::default()).overall_verdict(), Verdict::Pass);
    assert!(Ledger::open(&path).is_ok());
}

/// Tables of another shape under the same names: nothing that is read through them passes.
#[test]
fn a_table_without_row_ids_or_a_view_in_its_place_is_no_pass() {
    for table in ["runs", "blobs", "events", "schema_meta", "log_checkpoints", "log_segments", "log_tiles"] {
        for act in [
            "CREATE VIEW {} AS SELECT * FROM aside",
            "CREATE TABLE {} AS SELECT * FROM aside",
            "CREATE TABLE {} (@) WITHOUT ROWID; INSERT INTO {} SELECT * FROM aside",
        ] {
            let (_folder, path, anchors) = scene();
            let forger = Forger::open(&path);
            let sql = "SELECT sql FROM sqlite_schema WHERE name = ?1";
            let definition: String = forger.query_row(sql, [table], |row| row.get(0)).unwrap();
            let columns = definition.split_once('(').unwrap().1.trim_end_matches(')').replace("AUTOINCREMENT", "");
            let act = act.replace("{}", table).replace('@', &columns);
            forger.sql(&format!("PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO aside; {act}"));
            // The triggers cannot be put back onto a view.
            drop(forger);
            let report = judged(&path, &anchors);
            assert_ne!(report.overall_verdict(), Verdict::Pass, "{act}: {report:#?}");
            assert!(Ledger::open(&path).is_err(), "{act}");
        }
    }
}

/// Without the index on (run_id, seq) each run would be found by reading every row of the table.
#[test]
fn a_table_of_events_without_its_index_is_none() {
    let (_folder, path, _) = scene();
    rewrite_schema(
        &path,
        "DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1'; \
         UPDATE sqlite_schema SET sql = replace(sql, 'UNIQUE (run_id, seq)', 'CHECK (1)') WHERE name = 'events'",
    );
    assert_eq!(codes(&judged(&path, &Anchors::default()), Check::Content).1[0], "SCHEMA_MALFORMED");
}

#[cfg(unix)]
#[test]
fn a_pipe_a_link_or_a_folder_beside_the_file_holds_nobody_up() {
    type Make<'m> = &'m dyn Fn(&Path);
    let make: [(&str, Make<'_>); 3] = [
        ("pipe", &|path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("link", &|path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
        ("folder", &|path| std::fs::create_dir(path).unwrap()),
    ];
    for ending in ["-journal", "-wal", "-shm"] {
        for (what, make) in make {
            let (folder, path, _) = scene();
            let mut beside = path.clone().into_os_string();
            beside.push(ending);
            let _ = std::fs::remove_file(&beside);
            make(Path::new(&beside));
            // Through a link it is the same file.
            let link = folder.path().join("link.db");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            for path in [&path, &link] {
                for opened in [Ledger::open(path), Ledger::open_read_only(path)] {
                    assert!(matches!(opened, Err(Error::NotALedger { .. })), "{what} {ending}: {opened:?}");
                }
            }
        }
    }
}

/// The act that reads all rows, which are then written to a new file.
const DUMP: &str = "SELECT 'dump'";

/// The file as others may leave it who mean no harm: its rows are the same.
#[test]
fn what_keeps_every_row_is_no_finding() {
    for act in [
        "VACUUM",
        "REINDEX",
        "ANALYZE",
        "PRAGMA optimize",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM",
        "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = FULL; VACUUM",
        "PRAGMA user_version = 7",
        "CREATE INDEX idx_events_run_seq ON events(run_id, seq)",
        "CREATE TABLE mine (a REFERENCES runs (run_id)); INSERT INTO mine VALUES ('a')",
        DUMP,
    ] {
        let (folder, path, anchors) = scene();
        Connection::open(&path).unwrap().execute_batch(act).unwrap();
        if act == DUMP {
            told_again(&path, &folder.path().join("new.db"));
        }
        assert_eq!(judged(&path, &anchors).overall_verdict(), Verdict::Pass, "{act}");
        let ledger = Ledger::open(&path).unwrap();
        record(&ledger, "after");
        ledger.checkpoint(&Publish::by(&key())).unwrap();
        assert_eq!(judged(&path, &anchors).overall_verdict(), Verdict::Pass, "{act}");
    }
}

/// What `sqlite3 ledger.db .dump | sqlite3 new.db` does: every definition and every row, in a new file of that name.
fn told_again(path: &Path, new: &Path) {
    let _ = std::fs::remove_file(new);
    let objects: Vec<(String, String, String)> = {
        let old = Connection::open(path).unwrap();
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
        let mut statement = old.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let connection = Connection::open(new).unwrap();
    connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; ATTACH '{}' AS old", path.display())).unwrap();
    for (_, name, sql) in objects.iter().filter(|(kind, ..)| kind == "table") {
        if name != "sqlite_sequence" {
            connection.execute_batch(sql).unwrap();
        }
        connection
            .execute_batch(&format!("DELETE FROM main.{name}; INSERT INTO main.{name} SELECT * FROM old.{name}"))
            .unwrap();
    }
    objects.iter().filter(|(kind, ..)| kind != "table").for_each(|(_, _, sql)| connection.execute_batch(sql).unwrap());
    drop(connection);
    std::fs::rename(new, path).unwrap();
    for ending in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        let _ = std::fs::remove_file(beside);
    }
}

#[test]
fn an_audit_beside_imports_sees_each_run_with_its_record() {
    let (_folder, path) = new_path();
    record(&Ledger::create(&path).unwrap(), "mine");
    let other = Ledger::in_memory();
    let bundles: Vec<Vec<u8>> = (0..30)
        .map(|number| {
            record(&other, &format!("theirs-{number}"));
            let mut bundle = Vec::new();
            other.export(&Export::of(RunId::new(format!("theirs-{number}"))), &mut bundle).unwrap();
            bundle
        })
        .collect();
    let imported = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let ledger = Ledger::open(&path).unwrap();
            for bundle in &bundles {
                ledger.import(&Verify::default(), &mut &bundle[..]).unwrap();
                imported.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut between = 0;
        while imported.load(Ordering::Relaxed) < bundles.len() {
            let report = judged(&path, &Anchors::default());
            assert_eq!(report.overall_verdict(), Verdict::Pass, "{report:#?}");
            between += 1;
        }
        assert!(between > 1, "nothing was imported meanwhile");
    });
    assert_eq!(judged(&path, &Anchors::default()).runs, 61);
}
