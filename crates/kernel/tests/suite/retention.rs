//! Evidence is removed when its time is over and not before, with a receipt for each blob, and no copy of it stays.

use crate::common::{RECIPIENT, actor};
use crate::forge::{Forger, set};
use receipt_core::evidence::{BlobFact, BlobState, EvidenceClass};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::evidence::retention::Plan;
use receipt_kernel::{
    BlobHash, Check, Error, EventType, Ledger, Object, Policy, Put, Reason, Retained, Retention, RunId, RunWriter,
    Timestamp, Ttl, Value, Verdict,
};
use rusqlite::{Connection, params};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use tempfile::TempDir;

const DAY: i64 = 86_400;

struct Scene {
    _folder: TempDir,
    path: PathBuf,
    ledger: Ledger,
    clock: Arc<ManualClock>,
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + day * DAY) * 1_000_000)
}

/// A ledger on day 0, which keeps public evidence for 30 days and sealed evidence for 7.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::create(&path).unwrap().with_clock(clock.clone());
    ledger.add_recipients([RECIPIENT]).unwrap();
    let scene = Scene { _folder: folder, path, ledger, clock };
    scene.set(|retention| {
        retention.public = Ttl::Seconds(30 * DAY.unsigned_abs());
        retention.sealed = Ttl::Seconds(7 * DAY.unsigned_abs());
    });
    scene
}

impl Scene {
    fn set(&self, change: impl FnOnce(&mut Retention)) {
        let changed: Result<_, Error> = self.ledger.set_retention(|retention| {
            change(retention);
            Ok(())
        });
        changed.unwrap();
    }

    fn start(&self, run: &str) -> RunWriter {
        crate::common::start(&self.ledger, run)
    }

    /// A run that puts this under this key, and that is over.
    fn put(&self, run: &str, key: &str, data: &str, class: EvidenceClass) -> BlobHash {
        let mut writer = self.start(run);
        let hash = writer.put(key, data.as_bytes(), Put::text().of_class(class)).unwrap().hash;
        writer.finalize_as(Verdict::Unknown, "over").unwrap();
        hash
    }

    fn retain_on(&self, day: i64) -> Retained {
        self.clock.set(at(day));
        self.ledger.retain(&actor(), &mut |_, _| {}).unwrap()
    }

    fn plan_on(&self, day: i64) -> Plan {
        self.ledger.plan_retention(at(day)).unwrap()
    }

    fn state(&self, hash: &BlobHash) -> String {
        let connection = Connection::open(&self.path).unwrap();
        let sql = "SELECT state FROM blobs WHERE sha256 = ?1";
        connection.query_row(sql, [hash.to_hex()], |row| row.get(0)).unwrap()
    }

    fn edit(&self, sql: &str, hash: &BlobHash) {
        let connection = Connection::open(&self.path).unwrap();
        assert_eq!(connection.execute(sql, params![hash.to_hex()]).unwrap(), 1);
    }

    fn receipts(&self, run: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let visit = &mut |event: receipt_core::run::Event| {
            if event.event_type == EventType::BlobExpire {
                found.push((*event.payload).clone().into());
            }
        };
        self.ledger.events(run, visit).unwrap();
        found
    }

    fn evidence(&self) -> (Verdict, Vec<String>) {
        let report = self.ledger.audit().unwrap();
        let check = report.check(Check::Evidence).unwrap();
        (check.verdict, check.reasons.iter().map(|reason| reason.code.to_string()).collect())
    }
}

fn codes(reasons: &[Reason]) -> Vec<String> {
    let mut codes: Vec<_> = reasons.iter().map(|reason| reason.code.to_string()).collect();
    codes.sort();
    codes
}

#[test]
fn nothing_is_removed_where_nobody_has_said_how_long_it_is_kept() {
    let ledger = Ledger::in_memory();
    assert!(ledger.retention().unwrap().is_none());
    assert!(matches!(ledger.retain(&actor(), &mut |_, _| {}), Err(Error::RetentionUnset)));
    assert!(matches!(ledger.plan_retention(at(0)), Err(Error::RetentionUnset)));
}

#[test]
fn evidence_is_kept_to_the_last_instant_of_its_time_and_instants_are_compared_as_instants() {
    let scene = scene();
    let public = scene.put("a", "k", "public", EvidenceClass::Public);
    let sealed = scene.put("b", "k", "sealed", EvidenceClass::Sealed);
    let due = |now: &str| -> Vec<BlobHash> {
        let plan = scene.ledger.plan_retention(Timestamp::parse(now).unwrap()).unwrap();
        plan.due.iter().map(|due| due.hash).collect()
    };
    assert_eq!(due("2026-01-08T00:00:00+00:00"), []);
    assert_eq!(due("2026-01-08T05:30:00+05:30"), [], "the same instant, elsewhere");
    assert_eq!(due("2026-01-07T19:00:00-05:00"), []);
    assert_eq!(due("2026-01-08T00:00:00.000001Z"), [sealed]);
    assert_eq!(due("2026-01-08T05:30:01+05:30"), [sealed]);
    assert_eq!(due("2026-01-07T19:00:01-05:00"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00Z"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00.000001Z").len(), 2);
    // Whatever its row says.
    scene.edit("UPDATE blobs SET created_at = '2000-01-01T00:00:00+00:00' WHERE sha256 = ?1", &public);
    assert_eq!(due("2026-01-31T00:00:00Z"), [sealed]);
    assert_eq!(due("2026-01-31T00:00:00.000001Z").len(), 2);
}

#[test]
fn what_is_no_instant_is_refused_before_anything_is_compared() {
    for text in ["tomorrow", "zzz", "9", "", "2026-01-01", "2026-01-01T05:00:00", "2026-13-01T00:00:00Z"] {
        assert_eq!(Timestamp::parse(text), None, "{text}");
    }
}

#[test]
fn a_row_that_cannot_be_judged_is_reported_and_stops_nothing() {
    let scene = scene();
    let bad = ["evidence_class = 'bogus'", "state = 'zzz'", "data = NULL", "bytes_len = -1"];
    let broken: Vec<_> = (0..bad.len())
        .map(|i| scene.put(&format!("bad{i}"), "k", &format!("bad {i}"), EvidenceClass::Public))
        .collect();
    for (column, hash) in bad.iter().zip(&broken) {
        scene.edit(&format!("UPDATE blobs SET {column} WHERE sha256 = ?1"), hash);
    }
    let changed = scene.put("changed", "k", "changed", EvidenceClass::Public);
    scene.edit("UPDATE blobs SET data = X'00', bytes_len = 1 WHERE sha256 = ?1", &changed);
    let good: Vec<_> =
        (0..3).map(|i| scene.put(&format!("good{i}"), "k", &format!("good {i}"), EvidenceClass::Public)).collect();
    let done = scene.retain_on(100);
    assert_eq!((done.expired, done.purged), (3, 0));
    assert!(good.iter().all(|hash| scene.state(hash) == "expired_hash_only"));
    let mut wanted = vec!["BLOB_HASH_MISMATCH".to_owned()];
    wanted.extend(bad.iter().map(|_| "BLOB_MALFORMED".to_owned()));
    assert_eq!(codes(&done.problems), wanted);
    assert_eq!(scene.state(&changed), "live", "bytes that were changed are evidence of that");
}

#[test]
fn evidence_whose_class_was_changed_in_its_row_is_left_alone() {
    let scene = scene();
    let mut run = scene.ledger.start("r", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    run.put("log", b"kept for 30 days", Put::text()).unwrap();
    let raw = Connection::open(&scene.path).unwrap();
    for (class, day, problems) in [("sealed", 10, 1), ("public", 10, 0), ("sealed", 40, 1), ("public", 40, 0)] {
        raw.execute("UPDATE blobs SET evidence_class = ?1", [class]).unwrap();
        let plan = scene.ledger.plan_retention(at(day)).unwrap();
        assert_eq!(codes(&plan.problems), vec!["EVIDENCE_ROW_MISMATCH"; problems], "{class} on day {day}");
        assert_eq!(plan.due.len(), usize::from(class == "public" && day == 40), "{class} on day {day}");
    }
}

#[test]
fn no_secret_is_kept_in_the_reason_of_a_hold_or_in_a_key() {
    let scene = scene();
    let secret = format!("gh{}_{}", "p", "a1B2c3D4e5F6g7H8i9".repeat(2));
    scene.set(|retention| {
        retention.holds.insert("r".to_owned(), format!("asked for with {secret}"));
    });
    let reason = scene.ledger.retention().unwrap().unwrap().holds["r"].clone();
    assert_eq!(reason, "asked for with [REDACTED:github_token]");
    let refused: Result<_, Error> = scene.ledger.set_retention(|retention| {
        retention.keys.insert(secret.clone(), Ttl::Forever);
        Ok(())
    });
    assert!(matches!(refused, Err(Error::SecretName { .. })));
}

#[test]
fn what_an_event_speaks_of_that_cannot_be_read_is_left_alone_and_stops_nothing() {
    for change in [
        "event_hash = 'none'",
        "envelope_json = envelope_json || ' '",
        "envelope_json = replace(envelope_json, '\"key\"', '\"key')",
    ] {
        let scene = scene();
        let left = scene.put("bad", "k", "left alone", EvidenceClass::Public);
        let good = scene.put("good", "k", "good", EvidenceClass::Public);
        let connection = Connection::open(&scene.path).unwrap();
        let sql = format!(
            "DROP TRIGGER events_are_not_updated; UPDATE events SET {change} WHERE run_id = 'bad' AND event_type = 'EVIDENCE_PUT'"
        );
        connection.execute_batch(&sql).unwrap();
        let done = scene.retain_on(100);
        assert_eq!((done.expired, codes(&done.problems)), (1, vec!["EVIDENCE_MALFORMED".to_owned()]), "{change}");
        assert_eq!((scene.state(&left), scene.state(&good)), ("live".to_owned(), "expired_hash_only".to_owned()));
    }
}

#[test]
fn what_a_malformed_event_put_is_left_alone_though_another_event_put_it_well() {
    for (member, value) in [("bytes_len", Value::from(-6)), ("evidence_class", "secret".into()), ("sha256", "".into())]
    {
        let scene = scene();
        let shared = scene.put("bad", "k", "shared", EvidenceClass::Public);
        assert_eq!(scene.put("well", "k", "shared", EvidenceClass::Public), shared);
        let good = scene.put("good", "k", "good", EvidenceClass::Public);
        assert_eq!(scene.plan_on(100).due.len(), 2, "both are due before the event is changed");
        Forger::open(&scene.path).edit("bad", |events| {
            let is_put = |event: &&mut Object| event.get("event_type").and_then(Value::as_str) == Some("EVIDENCE_PUT");
            set(events.iter_mut().find(is_put).unwrap(), &["payload", "evidence", member], value);
        });
        let done = scene.retain_on(100);
        assert_eq!((done.expired, codes(&done.problems)), (1, vec!["EVIDENCE_MALFORMED".to_owned()]), "{member}");
        assert_eq!((scene.state(&shared), scene.state(&good)), ("live".to_owned(), "expired_hash_only".to_owned()));
    }
}

#[test]
fn a_time_longer_than_instants_can_say_is_for_ever() {
    let since = at(0);
    for ttl in [
        Ttl::Forever,
        Ttl::from_seconds(-1),
        Ttl::from_seconds(i64::MIN),
        Ttl::Seconds(u64::MAX),
        Ttl::Seconds(1_000_000_000_000),
    ] {
        assert_eq!(ttl.until(since, u64::MAX), None);
        assert_eq!(ttl.until(since, 0), None, "{ttl:?}");
    }
    assert_eq!(Ttl::Seconds(0).until(since, 0), Some(since));
    assert_eq!(Ttl::Seconds(60).until(since, 30).unwrap().as_micros(), since.as_micros() + 90_000_000);
}

#[test]
fn a_retention_that_cannot_be_is_refused() {
    let value = |text: &str| receipt_core::json::parse(text.as_bytes(), receipt_core::json::Limits::READ).unwrap();
    for text in [
        r"[]",
        r#"{"public_ttl_seconds":"3600"}"#,
        r#"{"public_ttl_seconds":null}"#,
        r#"{"sealed_ttl_seconds":1.5}"#,
        r#"{"grace_seconds":-1}"#,
        r#"{"public":5}"#,
        r#"{"keys":{"a":"b"}}"#,
        r#"{"keys":[]}"#,
        r#"{"holds":{"a":5}}"#,
    ] {
        assert!(matches!(Retention::from_value(&value(text)), Err(Error::RetentionInvalid { .. })), "{text}");
    }
    let all =
        r#"{"public_ttl_seconds":-7,"sealed_ttl_seconds":0,"grace_seconds":5,"keys":{"k":9},"holds":{"r":"why"}}"#;
    let retention = Retention::from_value(&value(all)).unwrap();
    assert_eq!((retention.public, retention.sealed, retention.hash), (Ttl::Forever, Ttl::Seconds(0), Ttl::Forever));
    assert_eq!(Retention::from_value(&retention.to_value()).unwrap(), retention);
}

#[test]
fn each_removal_has_one_receipt_in_a_run_that_begins_and_ends_properly() {
    let scene = scene();
    let hashes: Vec<_> =
        (0..300).map(|i| scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public)).collect();
    let mut told = Vec::new();
    scene.clock.set(at(31));
    let done = scene.ledger.retain(&actor(), &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!((done.expired, done.purged, done.scrubbed), (300, 0, true));
    assert_eq!(done.bytes, 300 * 6 + 290 + 200);
    assert_eq!(told, [(256, 300), (300, 300)], "two batches");
    let run = done.run_id.unwrap();
    let receipts = scene.receipts(run.as_str());
    let mut named: Vec<_> =
        receipts.iter().map(|receipt| receipt.get("sha256").unwrap().as_str().unwrap().to_owned()).collect();
    named.sort();
    let mut wanted: Vec<_> = hashes.iter().map(BlobHash::to_hex).collect();
    wanted.sort();
    assert_eq!(named, wanted);
    let receipt = receipts[0].as_object().unwrap();
    let member = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap();
    assert_eq!((member("from_state"), member("to_state")), ("live", "expired_hash_only"));
    assert_eq!(member("kept_until"), "2026-01-31T00:00:00+00:00");
    let facts = scene.ledger.events(run.as_str(), &mut |_| {}).unwrap();
    assert!(facts.finalized && facts.findings.is_empty());
    assert_eq!(scene.ledger.evaluate(run.as_str(), None).unwrap().overall_verdict, Verdict::Pass);
    let report = scene.ledger.audit().unwrap();
    assert_eq!((report.overall_verdict(), report.unfinished), (Verdict::Pass, 0));
    // Again: nothing more to do, no run, no receipt.
    let again = scene.retain_on(32);
    assert_eq!((again.run_id, again.expired), (None, 0));
}

#[test]
fn two_who_retain_at_once_receipt_each_blob_once() {
    let scene = scene();
    for i in 0..600 {
        scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public);
    }
    scene.clock.set(at(31));
    let handles: Vec<_> = (0..2)
        .map(|_| {
            let (path, clock) = (scene.path.clone(), scene.clock.clone());
            thread::spawn(move || {
                let ledger = Ledger::open(&path).unwrap().with_clock(clock);
                ledger.retain(&actor(), &mut |_, _| {}).unwrap()
            })
        })
        .collect();
    let done: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    assert_eq!(done.iter().map(|done| done.expired).sum::<u64>(), 600);
    let runs = done.iter().filter_map(|done| done.run_id.as_ref());
    assert_eq!(runs.map(|run| scene.receipts(run.as_str()).len()).sum::<usize>(), 600);
    assert_eq!(scene.ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn a_blob_goes_from_live_to_hash_only_to_purged_and_each_step_is_receipted() {
    let scene = scene();
    let default = Retention::default();
    assert_eq!([default.public, default.sealed, default.hash], [Ttl::Forever; 3], "what is not set is never removed");
    scene.set(|retention| retention.hash = Ttl::Seconds(DAY.cast_unsigned() * 365));
    let hash = scene.put("a", "k", "data", EvidenceClass::Sealed);
    assert_eq!(scene.state(&hash), "live");
    scene.retain_on(8);
    assert_eq!(scene.state(&hash), "expired_hash_only");
    assert_eq!(scene.retain_on(8 + 365).purged, 0, "to the last instant");
    let done = scene.retain_on(8 + 366);
    assert_eq!((done.expired, done.purged, done.bytes), (0, 1, 0));
    assert_eq!(scene.state(&hash), BlobState::Purged.as_str());
    let receipt = &scene.receipts(done.run_id.unwrap().as_str())[0];
    assert_eq!(receipt.get("to_state").and_then(Value::as_str), Some("purged"));
    assert_eq!(scene.evidence(), (Verdict::Pass, vec!["EXPIRED_WITH_RECEIPT".to_owned()]));
}

#[test]
fn a_hold_on_a_run_keeps_what_it_put_and_refers_to() {
    let scene = scene();
    let shared = scene.put("first", "k", "shared", EvidenceClass::Public);
    assert_eq!(scene.put("held", "k", "shared", EvidenceClass::Public), shared);
    let own = scene.put("held2", "k", "own", EvidenceClass::Sealed);
    let free = scene.put("free", "k", "free", EvidenceClass::Public);
    scene
        .set(|retention| retention.holds.extend(["held", "held2"].map(|run| (run.to_owned(), "asked for".to_owned()))));
    let plan = scene.plan_on(100);
    assert_eq!((plan.due.len(), plan.due[0].hash, plan.held), (1, free, 2));
    // An event that cannot be read holds what it names all the same.
    let connection = Connection::open(&scene.path).unwrap();
    connection.execute_batch("DROP TRIGGER events_are_not_updated; UPDATE events SET envelope_json = envelope_json || ' ' WHERE run_id = 'held2'").unwrap();
    let plan = scene.plan_on(100);
    // Nobody knows any more when that was put, so that it is not due either.
    assert_eq!((plan.due.len(), plan.held, codes(&plan.problems)), (1, 1, vec!["EVIDENCE_MALFORMED".to_owned()]));
    connection.execute_batch("UPDATE events SET envelope_json = rtrim(envelope_json)").unwrap();
    assert_eq!(scene.retain_on(100).expired, 1);
    assert_eq!((scene.state(&own), scene.state(&shared)), ("live".to_owned(), "live".to_owned()));
    scene.set(|retention| retention.holds.clear());
    assert_eq!(scene.retain_on(100).expired, 2);
}

#[test]
fn a_key_has_a_time_of_its_own_and_grace_is_added_to_each() {
    let scene = scene();
    let log = scene.put("a", "stdout.1", "log", EvidenceClass::Public);
    let map = scene.put("b", "claims_map", "map", EvidenceClass::Sealed);
    let both = scene.put("c", "other", "both", EvidenceClass::Public);
    scene.put("d", "stdout", "both", EvidenceClass::Public);
    scene.set(|retention| {
        retention.keys.insert("stdout*".to_owned(), Ttl::Seconds(DAY.cast_unsigned()));
        retention.grace_seconds = DAY.cast_unsigned();
    });
    let due = |day| scene.plan_on(day).due.iter().map(|due| due.hash).collect::<Vec<_>>();
    assert_eq!(due(2), []);
    assert_eq!(due(3), [log]);
    assert_eq!(due(31), [log]);
    assert_eq!(due(32).len(), 2, "the longest of its keys counts");
    assert!(!due(100_000).contains(&map) && due(100_000).contains(&both), "what invariants read is kept");
}

#[test]
fn evidence_that_is_put_again_is_kept_from_then_on_and_what_had_gone_is_stored_again() {
    let scene = scene();
    let hash = scene.put("a", "k", "data", EvidenceClass::Public);
    scene.clock.set(at(20));
    scene.put("b", "k", "data", EvidenceClass::Public);
    assert_eq!(scene.plan_on(31).due, []);
    assert_eq!(scene.retain_on(51).expired, 1);
    scene.put("c", "k", "data", EvidenceClass::Public);
    assert_eq!((scene.state(&hash), &*scene.ledger.blob(&hash).unwrap()), ("live".to_owned(), b"data".as_slice()));
    assert_eq!(scene.plan_on(80).due, []);
    assert_eq!(scene.retain_on(82).expired, 1);
    assert_eq!(scene.ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn a_receipt_for_what_was_removed_before_is_none_for_what_was_put_again_since() {
    for again in ["b", "a"] {
        let scene = scene();
        let mut first = scene.start("a");
        let hash = first.put("k", b"data", Put::text()).unwrap().hash;
        assert_eq!(scene.retain_on(31).expired, 1);
        scene.clock.set(at(32));
        if again == "a" {
            first.put("k", b"data", Put::text()).unwrap();
        } else {
            scene.put(again, "k", "data", EvidenceClass::Public);
        }
        assert_eq!(scene.ledger.audit().unwrap().check(Check::Evidence).unwrap().verdict, Verdict::Pass);
        // Somebody removes it without a word.
        let connection = Connection::open(&scene.path).unwrap();
        let sql = "UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE sha256 = ?1";
        assert_eq!(connection.execute(sql, [hash.to_hex()]).unwrap(), 1);
        drop(connection);
        assert_eq!(scene.state(&hash), "expired_hash_only");
        let runs = [RunId::new(again)];
        let audit = || receipt_kernel::Audit::of(&scene.ledger);
        // In parts, threads share the events that put it.
        for audit in [audit(), audit().runs(runs), audit().threads(2).parts_of(1)] {
            let report = audit.run().unwrap();
            let evidence = report.check(Check::Evidence).unwrap();
            assert_eq!(evidence.verdict, Verdict::Fail, "{again}: {report:?}");
            assert!(evidence.reasons.iter().any(|reason| reason.code == "EXPIRED_WITHOUT_RECEIPT"), "{again}");
        }
        let snapshot = scene.ledger.snapshot(again, &[]).unwrap();
        assert_eq!(*snapshot.blob(&hash), BlobFact::Removed, "{again}");
    }
}

#[test]
fn evidence_that_had_gone_and_is_put_again_lives_from_then_on_and_its_event_says_that_it_was_restored() {
    let scene = scene();
    let hash = scene.put("a", "k", "data", EvidenceClass::Public);
    scene.retain_on(31);
    let restored = |run: &str| {
        let mut found = Vec::new();
        let visit = &mut |event: receipt_core::run::Event| {
            if event.event_type == EventType::EvidencePut {
                found.push(event.payload.get("meta").and_then(|meta| meta.get("restored")).cloned());
            }
        };
        scene.ledger.events(run, visit).unwrap();
        found
    };
    scene.put("b", "k", "data", EvidenceClass::Public);
    scene.put("c", "k", "data", EvidenceClass::Public);
    assert_eq!((restored("a"), restored("c")), (vec![None], vec![None]));
    assert_eq!(restored("b"), [Some(Value::from(true))]);
    let connection = Connection::open(&scene.path).unwrap();
    let sql = "SELECT state, created_at, expired_at FROM blobs WHERE sha256 = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let row: (String, String, Option<String>) = connection.query_row(sql, [hash.to_hex()], row).unwrap();
    assert_eq!(row, ("live".to_owned(), at(31).to_string(), None));
    assert_eq!(scene.evidence(), (Verdict::Pass, vec![]));
}

#[test]
fn of_two_classes_for_the_same_bytes_the_stricter_one_stays_and_row_and_answer_agree() {
    let scene = scene();
    let class = |hash: &BlobHash| {
        let (record, fact) = scene.ledger.blob_record(hash).unwrap();
        assert!(matches!(fact, BlobFact::Intact { .. }));
        record.unwrap().class
    };
    // What is put sealed is ciphertext, with an address of its own: public bytes do not become sealed by it.
    let public = scene.put("a", "k", "data", EvidenceClass::Public);
    let sealed = scene.put("b", "k", "data", EvidenceClass::Sealed);
    assert_ne!(public, sealed);
    assert_eq!((class(&public), class(&sealed)), (EvidenceClass::Public, EvidenceClass::Sealed));
    // The ciphertext, put as if it were public, stays sealed, and the answer says so.
    let ciphertext = scene.ledger.blob(&sealed).unwrap();
    let record = scene.start("c").put("k", &ciphertext, Put::text()).unwrap();
    assert_eq!((record.hash, record.class, class(&sealed)), (sealed, EvidenceClass::Sealed, EvidenceClass::Sealed));
    // What is there as public and arrives in a bundle as sealed stays public.
    let other = Ledger::in_memory();
    other
        .start("d", Policy::structural().unwrap(), actor(), Object::new())
        .unwrap()
        .put("k", &ciphertext, Put::of_type("application/vnd.age"))
        .unwrap();
    assert_eq!(other.blob_record(&sealed).unwrap().0.unwrap().class, EvidenceClass::Public);
    let mut bundle = Vec::new();
    scene.ledger.export(&Export::of(RunId::new("b")), &mut bundle).unwrap();
    assert!(other.import(&Verify::default(), &mut bundle.as_slice()).unwrap().new);
    assert_eq!(other.blob_record(&sealed).unwrap().0.unwrap().class, EvidenceClass::Public);
}

#[test]
fn a_stranger_settles_what_expired_by_the_bundle_of_its_removal() {
    let scene = scene();
    let evaluated = |run: &str, data: &str| {
        let mut writer = scene.start(run);
        writer.advance("COLLECT", "collecting").unwrap();
        let hash = writer.put("k", data.as_bytes(), Put::text()).unwrap().hash;
        writer.advance("EVALUATE", "collected").unwrap();
        assert_eq!(writer.evaluate().unwrap().overall_verdict, Verdict::Pass);
        writer.advance("DECIDE", "evaluated").unwrap();
        writer.decide("ship", &["it passed"], "release it").unwrap();
        writer.finalize("released").unwrap();
        hash
    };
    let export = |run: &RunId| {
        let mut bundle = Vec::new();
        scene.ledger.export(&Export::of(run.clone()), &mut bundle).unwrap();
        bundle
    };
    let evidence = |verify: Verify<'_>, bundle: &[u8]| {
        let report = verify.run(&mut &bundle[..]).unwrap();
        let codes = report.check(Check::Evidence).unwrap().reasons.iter().map(|reason| reason.code.to_string());
        (codes.collect::<Vec<_>>(), report.overall_verdict(), report.evaluations[0].verdict)
    };

    let hash = evaluated("a", "data");
    let removal = scene.retain_on(31).run_id.unwrap();
    let (run, removal) = (export(&RunId::new("a")), export(&removal));
    let unproved = (vec!["EXPIRY_UNPROVED".to_owned()], Verdict::Unknown);
    let alone = evidence(Verify::default(), &run);
    assert_eq!((alone.0, alone.1), unproved);
    let receipts = Verify::default().run(&mut &removal[..]).unwrap().receipts;
    assert!(receipts.contains(&hash));
    // As in the ledger: the evaluation is computed again without what has gone, and bears that out.
    assert_eq!(evidence(Verify::default().receipts(&receipts), &run), (Vec::new(), Verdict::Warn, Verdict::Warn));

    // What is put again after its removal, and then disappears, is not what that receipt is for.
    scene.clock.set(at(32));
    assert_eq!(evaluated("b", "data"), hash);
    scene.edit("UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE sha256 = ?1", &hash);
    let again = evidence(Verify::default().receipts(&receipts), &export(&RunId::new("b")));
    assert_eq!((again.0, again.1), unproved);
    assert_eq!(evidence(Verify::default().receipts(&receipts), &export(&RunId::new("a"))).1, Verdict::Warn);
}

#[test]
fn a_sealed_blob_that_is_put_again_as_public_is_kept_no_longer_than_sealed_ones() {
    let scene = scene();
    scene.put("a", "k", "data", EvidenceClass::Public);
    // As the Python package leaves it, which encrypts nothing.
    Connection::open(&scene.path).unwrap().execute("UPDATE blobs SET evidence_class = 'sealed'", []).unwrap();
    let record = scene.start("b").put("k", b"data", Put::text()).unwrap();
    assert_eq!(record.class, EvidenceClass::Sealed);
    assert_eq!(scene.retain_on(8).expired, 1);
}

#[test]
fn what_is_put_while_retention_runs_is_not_removed() {
    let scene = scene();
    for i in 0..400 {
        scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public);
    }
    scene.clock.set(at(31));
    let last = scene.plan_on(31).due.last().unwrap().hash;
    let text = (0..400).map(|i| format!("data {i}")).find(|text| BlobHash::of(text.as_bytes()) == last).unwrap();
    let (path, clock) = (scene.path.clone(), scene.clock.clone());
    let mut put = Some(move || {
        let ledger = Ledger::open(&path).unwrap().with_clock(clock);
        let mut run = ledger.start("late", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        run.put("k", text.as_bytes(), Put::text()).unwrap();
    });
    // Between the first batch and the second.
    let done = scene.ledger.retain(&actor(), &mut |_, _| {
        if let Some(put) = put.take() {
            put();
        }
    });
    assert_eq!(done.unwrap().expired, 399);
    assert_eq!(scene.state(&last), "live");
}

/// Every file of the ledger that holds the text.
fn files_with(path: &Path, text: &str) -> Vec<String> {
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    let holds = |path: &Path| fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
    let mut found: Vec<_> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| holds(path))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

const CANARY: &str = "CANARY-in-the-coal-mine";

/// Puts evidence of many sizes, all with the canary in it.
fn put_canaries(scene: &Scene) {
    for (i, lines) in [1, 60, 200, 5_000, 120_000].into_iter().enumerate() {
        scene.put(&format!("r{i}"), "k", &format!("{CANARY} {i}\n").repeat(lines), EvidenceClass::Public);
        scene.put(
            &format!("s{i}"),
            "claims_map",
            &format!("{i} other evidence\n").repeat(lines),
            EvidenceClass::Public,
        );
    }
}

#[test]
fn after_its_time_no_copy_of_the_bytes_is_left_in_any_file_though_others_have_the_ledger_open() {
    let scene = scene();
    put_canaries(&scene);
    assert!(!files_with(&scene.path, CANARY).is_empty(), "it would be seen");
    // Open, with a snapshot that was read before, and idle.
    let idle = Ledger::open_read_only(&scene.path).unwrap();
    idle.audit().unwrap();
    let writer = Ledger::open(&scene.path).unwrap();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    // Some of it may still lie in the log.
    let before = size(&scene.path) + size(&scene.path.with_extension("db-wal"));
    let done = scene.retain_on(31);
    assert_eq!((done.expired, done.scrubbed), (5, true));
    assert_eq!(files_with(&scene.path, CANARY), [""; 0]);
    assert_eq!(size(&scene.path.with_extension("db-wal")), 0);
    assert!(size(&scene.path) < before, "what is free goes back to the disk");
    assert_eq!(files_with(&scene.path, "4 other evidence"), ["ledger.db"], "what is kept is still there");
    assert_eq!(idle.audit().unwrap().overall_verdict(), Verdict::Pass);
    assert_eq!(writer.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn whoever_still_reads_what_was_before_is_told_of_and_a_later_run_makes_up_for_it() {
    let scene = scene();
    put_canaries(&scene);
    let reader = Connection::open(&scene.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM blobs;").unwrap();
    let done = scene.retain_on(31);
    assert_eq!((done.expired, done.scrubbed), (5, false));
    assert!(!files_with(&scene.path, CANARY).is_empty(), "the reader can still see it");
    reader.execute_batch("COMMIT").unwrap();
    let again = scene.retain_on(31);
    assert_eq!((again.expired, again.scrubbed), (0, true));
    assert_eq!(files_with(&scene.path, CANARY), [""; 0]);
}

#[test]
fn a_removal_that_does_not_overwrite_would_be_found_out() {
    let scene = scene();
    put_canaries(&scene);
    let careless = Connection::open(&scene.path).unwrap();
    careless.execute_batch("PRAGMA secure_delete = OFF; UPDATE blobs SET data = NULL, state = 'expired_hash_only'; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(!files_with(&scene.path, CANARY).is_empty());
    assert_eq!(scene.evidence().0, Verdict::Fail);
}

/// A factual run with claims that cite evidence, evaluated and finalized as PASS.
fn factual_run(scene: &Scene) -> (BlobHash, BlobHash) {
    let policy = "id = 'facts'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'receipt.completeness'\n\
                  [[invariant]]\nid = 'claims.evidence_binding'";
    let meta = Object::from_iter([("mode", "factual")]);
    let mut run = scene.ledger.start("facts", Policy::from_toml(policy).unwrap(), actor(), meta).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    let log = run.put("log", b"12 passed", Put::text().of_kind("oracle:test_log")).unwrap().hash;
    let claims = format!(
        r#"{{"claims":[{{"id":"c1","evidence_refs":["blob://sha256:{log}"],"confidence":"high","tool_call_ids":[]}}]}}"#
    );
    let map = run.put("claims_map", claims.as_bytes(), Put::json()).unwrap().hash;
    run.advance("EVALUATE", "collected").unwrap();
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("ship", &[], "release").unwrap();
    assert_eq!(run.finalize("done").unwrap(), Verdict::Pass);
    (log, map)
}

#[test]
fn a_recorded_evaluation_stays_provable_after_its_evidence_has_gone() {
    let scene = scene();
    let (log, map) = factual_run(&scene);
    let judged = || {
        let evaluation = scene.ledger.evaluate("facts", None).unwrap();
        let codes = evaluation
            .results
            .iter()
            .flat_map(|result| result.result.reasons.iter().map(|reason| reason.code.to_string()));
        (evaluation.overall_verdict, codes.collect::<Vec<_>>())
    };
    let replayed = || {
        let mut all = scene.ledger.replay(&RunId::new("facts")).unwrap().evaluations;
        let one = all.pop().unwrap();
        assert!(all.is_empty());
        (one.verdict, one.recorded.unwrap(), one.recomputed, codes(&one.reasons))
    };
    assert_eq!(judged(), (Verdict::Pass, vec![]));
    assert_eq!(replayed(), (Verdict::Pass, Verdict::Pass, Verdict::Pass, vec![]));
    let mut before = Vec::new();
    scene.ledger.events("facts", &mut |event| before.push(event.hash)).unwrap();
    assert_eq!(scene.retain_on(31).expired, 1, "the claims map is kept");
    assert_eq!((scene.state(&log), scene.state(&map)), ("expired_hash_only".to_owned(), "live".to_owned()));
    assert_eq!(judged(), (Verdict::Warn, vec!["BLOB_EXPIRED".to_owned(), "BLOB_EXPIRED".to_owned()]));
    // Computed again it is what was recorded, if what was removed with a receipt was as it was put: that is not PASS.
    let expired = vec!["REPLAY_EVIDENCE_EXPIRED".to_owned()];
    assert_eq!(replayed(), (Verdict::Warn, Verdict::Pass, Verdict::Pass, expired));
    scene.set(|retention| retention.keys.clear());
    assert_eq!(scene.retain_on(32).expired, 1);
    // Without the documents themselves nothing can be computed.
    let (verdict, recorded, _, reasons) = replayed();
    assert_eq!((verdict, recorded, reasons), (Verdict::Unknown, Verdict::Pass, vec!["REPLAY_INPUT_GONE".to_owned()]));
    let (verdict, codes) = judged();
    assert_eq!(verdict, Verdict::Unknown);
    assert!(codes.contains(&"CLAIMS_MAP_EXPIRED".to_owned()), "{codes:?}");
    // What was recorded is still as it was, and the ledger says so.
    let mut recorded = None;
    let mut after = Vec::new();
    let visit = &mut |event: receipt_core::run::Event| {
        after.push(event.hash);
        if event.event_type == EventType::Evaluation {
            recorded = event.payload.get("overall_verdict").and_then(Value::as_str).map(str::to_owned);
        }
    };
    scene.ledger.events("facts", visit).unwrap();
    assert_eq!((recorded.as_deref(), after), (Some("pass"), before));
    assert_eq!(scene.ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn an_evaluation_whose_evidence_went_without_a_receipt_or_never_was_is_not_borne_out_by_its_replay() {
    // Removed by somebody without a word.
    let scene = scene();
    let (log, _) = factual_run(&scene);
    scene.edit("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = ?1", &log);
    let replayed = scene.ledger.replay(&RunId::new("facts")).unwrap();
    assert_eq!(replayed.verdict, Verdict::Fail, "{replayed:?}");
    // A verdict that is wrong whatever the evidence was stays wrong when it has gone.
    let scene = self::scene();
    factual_run(&scene);
    assert_eq!(scene.retain_on(31).expired, 1);
    let connection = Connection::open(&scene.path).unwrap();
    connection.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
    let sql = "UPDATE events SET envelope_json = replace(envelope_json, '\"evidence_complete\":true', '\"evidence_complete\":false') \
               WHERE event_type = 'EVALUATION' AND run_id = 'facts'";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    let replayed = scene.ledger.replay(&RunId::new("facts")).unwrap();
    assert_eq!(replayed.verdict, Verdict::Fail, "{replayed:?}");
}

#[test]
fn expired_missing_and_changed_evidence_are_told_apart() {
    let scene = scene();
    let hashes: Vec<_> =
        (0..4).map(|i| scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public)).collect();
    scene.set(|retention| retention.holds.extend((1..4).map(|i| (format!("r{i}"), "kept".to_owned()))));
    assert_eq!(scene.retain_on(31).expired, 1);
    assert_eq!(scene.evidence(), (Verdict::Pass, vec!["EXPIRED_WITH_RECEIPT".to_owned()]));
    scene.edit("DELETE FROM blobs WHERE sha256 = ?1", &hashes[1]);
    scene.edit("UPDATE blobs SET data = CAST('atad 2' AS BLOB) WHERE sha256 = ?1", &hashes[2]);
    scene.edit("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = ?1", &hashes[3]);
    let (verdict, mut codes) = scene.evidence();
    codes.sort();
    codes.dedup();
    assert_eq!(verdict, Verdict::Fail);
    assert_eq!(codes, ["BLOB_HASH_MISMATCH", "BLOB_MISSING", "EXPIRED_WITHOUT_RECEIPT", "EXPIRED_WITH_RECEIPT"]);
    let fact = |hash| scene.ledger.blob_record(hash).map(|(_, fact)| fact);
    assert_eq!(fact(&hashes[0]).unwrap(), BlobFact::Expired);
    assert!(matches!(fact(&hashes[1]), Err(Error::BlobNotFound { .. })));
    assert_eq!(fact(&hashes[2]).unwrap(), BlobFact::Corrupt);
    assert_eq!(fact(&hashes[3]).unwrap(), BlobFact::Removed, "without a receipt");
}

#[test]
fn retention_works_in_memory_too() {
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::in_memory().with_clock(clock.clone());
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok(())
    });
    set.unwrap();
    let mut run = ledger.start("a", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let hash = run.put("k", b"data", Put::text()).unwrap().hash;
    run.finalize("over").unwrap();
    clock.set(at(31));
    assert_eq!(ledger.retain(&actor(), &mut |_, _| {}).unwrap().expired, 1);
    assert!(matches!(ledger.blob(&hash), Err(Error::BlobUnavailable { .. })));
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}
