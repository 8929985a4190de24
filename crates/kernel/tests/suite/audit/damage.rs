//! Files that are hostile or damaged: findings, never a panic, never a PASS.

use super::{SETTLED, scene};
use crate::common::new_path;
use crate::forge::Forger;
use receipt_kernel::{Anchors, Audit, Check, Ledger, Verdict};
use rusqlite::Connection;
use std::path::Path;

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
