//! What retention leaves alone, and says so.

use super::{at, codes, scene};
use crate::common::actor;
use crate::forge::{Forger, set};
use receipt_core::evidence::EvidenceClass;
use receipt_kernel::{Error, Object, Policy, Put, Ttl, Value};
use rusqlite::Connection;

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
