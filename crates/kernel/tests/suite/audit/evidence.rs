//! Evidence that somebody changed or removed.

use super::{Finding, assert_each_found, assert_found, audit, forge, payload, scene};
use crate::common::new_path;
use crate::forge::Forger;
use receipt_kernel::{Actor, Check, EvidenceClass, Ledger, Object, Policy, Put, Verdict};
use rusqlite::Connection;

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
