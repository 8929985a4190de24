//! What excuses that evidence is gone, and what a stranger's run changes: nothing that is kept here.

use crate::common::{RECIPIENT, actor, decision, new_path, start};
use crate::forge::{Bundle, Forger, event_like, rechain, set};
use receipt_core::evidence::EvidenceClass;
use receipt_core::json::Value;
use receipt_core::note::{KeyKind, Signing};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::{
    Audit, BlobHash, Check, Error, EventType, Ledger, Object, Policy, Publish, Put, RunId, Source, Timestamp, Ttl,
    Verdict,
};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const DAY: i64 = 86_400_000_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + day * DAY)
}

/// A ledger that keeps public evidence for 30 days and sealed evidence for 7.
struct Scene {
    #[allow(dead_code, reason = "it is there as long as the scene")]
    folder: TempDir,
    path: PathBuf,
    ledger: Ledger,
    clock: Arc<ManualClock>,
}

fn scene() -> Scene {
    let (folder, path) = new_path();
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::create(&path).unwrap().with_clock(clock.clone());
    ledger.add_recipients([RECIPIENT]).unwrap();
    let kept: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        retention.sealed = Ttl::Seconds(7 * 86_400);
        Ok(())
    });
    kept.unwrap();
    Scene { folder, path, ledger, clock }
}

impl Scene {
    /// A run that puts this, passes and is over.
    fn put(&self, run: &str, key: &str, data: &[u8], put: Put) -> BlobHash {
        let mut writer = start(&self.ledger, run);
        writer.advance("COLLECT", "collecting").unwrap();
        let hash = writer.put(key, data, put).unwrap().hash;
        writer.advance("EVALUATE", "collected").unwrap();
        writer.evaluate().unwrap();
        writer.advance("DECIDE", "evaluated").unwrap();
        writer.finalize("over").unwrap();
        hash
    }

    fn retain_on(&self, day: i64) -> RunId {
        self.clock.set(at(day));
        self.ledger.retain(&actor(), &mut |_, _| {}).unwrap().run_id.unwrap()
    }

    fn sql(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    /// Removes a blob's bytes as somebody does who has the file.
    fn remove(&self, hash: &BlobHash) {
        let hex = hash.to_hex();
        self.sql(&format!("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE sha256 = '{hex}'"));
    }

    fn edit(&self, run: &str, change: impl FnOnce(&mut Vec<Object>)) {
        Forger::open(&self.path).edit(run, change);
    }

    fn import(&self, bundle: &[u8]) -> Verdict {
        self.ledger.import(&Verify::default(), &mut &bundle[..]).unwrap().report.overall_verdict()
    }

    fn bundle(&self, run: &str) -> Vec<u8> {
        let mut bundle = Vec::new();
        self.ledger.export(&Export::of(RunId::new(run)), &mut bundle).unwrap();
        bundle
    }

    /// The verdict of evidence in the whole ledger, and in one run.
    fn evidence(&self, run: &str) -> [Verdict; 2] {
        let ledger = Ledger::open_read_only(&self.path).unwrap();
        let whole = ledger.audit().unwrap();
        let one = Audit::of(&ledger).runs([RunId::new(run)]).run().unwrap();
        [whole, one].map(|report| report.check(Check::Evidence).unwrap().verdict)
    }

    fn row(&self, hash: &BlobHash) -> (String, String) {
        let connection = Connection::open(&self.path).unwrap();
        let sql = "SELECT evidence_class, content_type FROM blobs WHERE sha256 = ?1";
        connection.query_row(sql, [hash.to_hex()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }
}

const FAIL: [Verdict; 2] = [Verdict::Fail; 2];
const PASS: [Verdict; 2] = [Verdict::Pass; 2];

fn is_receipt(event: &Object) -> bool {
    event.get("event_type").and_then(Value::as_str) == Some("BLOB_EXPIRE")
}

fn change_receipt(events: &mut [Object], path: &[&str], value: impl Into<Value>) {
    set(events.iter_mut().find(|event| is_receipt(event)).unwrap(), path, value);
}

#[test]
fn a_receipt_counts_only_if_its_whole_run_verifies() {
    let scene = scene();
    let hash = scene.put("a", "log", b"gone after 30 days", Put::text());
    let run = scene.retain_on(40);
    assert_eq!(scene.evidence("a"), PASS, "the control");
    assert!(scene.ledger.blob(&hash).is_err());
    // Its path, its columns, its chain and its commitment; none of it is in the receipt.
    for sql in [
        "UPDATE events SET event_type = 'DECISION' WHERE event_type = 'RUN_FINALIZE' AND run_id = ?",
        "UPDATE events SET seq = 900 WHERE event_type = 'RUN_FINALIZE' AND run_id = ?",
        "UPDATE runs SET meta_json = '{}' WHERE run_id = ?",
        "UPDATE events SET envelope_json = replace(envelope_json, 'expired 1 blobs', 'expired 2 blobs') WHERE run_id = ?",
    ] {
        let (folder, path) = new_path();
        std::fs::copy(&scene.path, &path).unwrap();
        let copy = Scene { folder, path, ledger: scene.ledger.clone(), clock: scene.clock.clone() };
        let changed = Forger::open(&copy.path).execute(&sql.replace('?', "?1"), [run.as_str()]).unwrap();
        assert!(changed > 0, "{sql}");
        assert_eq!(copy.evidence("a"), FAIL, "{sql}");
    }
}

#[test]
fn a_receipt_counts_only_if_it_has_an_instant_and_comes_after_the_last_put_and_the_time_that_was_set() {
    type Change = fn(&mut Vec<Object>);
    let changes: [(&str, Change); 7] = [
        ("removed by hand before the put", |events| {
            change_receipt(events, &["ts"], at(-1).to_string());
            change_receipt(events, &["payload", "reason"], "by hand");
        }),
        ("no instant", |events| change_receipt(events, &["ts"], "some time")),
        ("another blob", |events| change_receipt(events, &["payload", "sha256"], BlobHash::of(b"other").to_hex())),
        ("before the put", |events| events.iter_mut().for_each(|event| set(event, &["ts"], at(-1).to_string()))),
        ("kept until a time before the put", |events| {
            change_receipt(events, &["payload", "kept_until"], "2000-01-01T00:00:00+00:00");
        }),
        ("not kept as long as was set", |events| {
            change_receipt(events, &["payload", "kept_until"], at(29).to_string());
        }),
        ("of another class", |events| change_receipt(events, &["payload", "evidence_class"], "sealed")),
    ];
    for (what, change) in changes {
        let scene = scene();
        scene.put("a", "log", b"gone after 30 days", Put::text());
        let run = scene.retain_on(40);
        scene.edit(run.as_str(), |_| {});
        let row = "UPDATE runs SET created_at = (SELECT substr(envelope_json, instr(envelope_json, '\"ts\":\"') + 6, 25) \
                   FROM events WHERE events.run_id = runs.run_id AND seq = 1)";
        assert_eq!(scene.evidence("a"), PASS, "the control");
        scene.edit(run.as_str(), change);
        if what == "before the put" {
            scene.sql(row);
        }
        assert_eq!(scene.evidence("a"), FAIL, "{what}");
    }
}

/// A run does not verify either if its own evidence is not what it put.
#[test]
fn a_receipt_counts_only_if_the_evidence_of_its_own_run_is_as_it_was_put() {
    let scene = scene();
    let gone = scene.put("a", "log", b"gone by hand", Put::text());
    let own = scene.put("remover", "list", b"what is to go", Put::text());
    scene.remove(&gone);
    scene.edit("remover", |events| {
        let payload = [
            ("sha256", Value::from(gone.to_string())),
            ("from_state", "live".into()),
            ("to_state", "expired_hash_only".into()),
            ("reason", "by hand".into()),
        ];
        let receipt = event_like(&events[2], "BLOB_EXPIRE", "COLLECT", Object::from_iter(payload));
        events.insert(3, receipt);
    });
    assert_eq!(scene.evidence("a"), PASS, "the control");
    scene.sql(&format!("UPDATE blobs SET data = x'00', bytes_len = 1 WHERE sha256 = '{}'", own.to_hex()));
    assert_eq!(scene.evidence("a"), FAIL);
}

#[test]
fn bytes_that_were_put_again_by_another_run_need_a_receipt_of_their_own() {
    let scene = scene();
    let hash = scene.put("a", "log", b"the same bytes", Put::text());
    scene.retain_on(40);
    scene.clock.set(at(41));
    scene.put("b", "log", b"the same bytes", Put::text());
    assert_eq!(scene.evidence("a"), PASS, "they are back");
    scene.remove(&hash);
    assert_eq!(scene.evidence("a"), FAIL);
    assert_eq!(scene.evidence("b"), FAIL);
}

#[test]
fn the_receipt_of_an_imported_run_says_nothing_of_what_was_recorded_here() {
    let stranger = scene();
    stranger.put("theirs", "log", b"the same bytes", Put::text());
    let receipt = stranger.retain_on(40);
    let bundle = stranger.bundle(receipt.as_str());

    let scene = scene();
    let hash = scene.put("a", "log", b"the same bytes", Put::text());
    assert_eq!(scene.import(&bundle), Verdict::Pass);
    assert_eq!(scene.evidence("a"), PASS, "nothing is gone yet");
    scene.remove(&hash);
    assert_eq!(scene.evidence("a"), FAIL);
    // The same receipt, were it of a run that was recorded here, would count.
    let record = scene.ledger.imported().unwrap().into_iter().find(|run| run.as_str().starts_with("import-")).unwrap();
    let forger = Forger::open(&scene.path);
    forger.execute("DELETE FROM events WHERE run_id = ?1", [record.as_str()]).unwrap();
    forger.execute("DELETE FROM runs WHERE run_id = ?1", [record.as_str()]).unwrap();
    drop(forger);
    assert_eq!(scene.evidence("a"), PASS, "a whole run was taken away, as a checkpoint shows");
}

#[test]
fn an_imported_run_cannot_say_that_another_one_was_imported() {
    let scene = scene();
    scene.put("a", "log", b"mine", Put::text());
    let receipt = scene.retain_on(40);
    // A stranger who has seen the run of the receipt writes that it was imported.
    let seen = Bundle::read(&scene.bundle(receipt.as_str()));
    let last = seen.events.last().unwrap();
    let stranger = Ledger::in_memory();
    start(&stranger, "x").finalize_as(Verdict::Unknown, "over").unwrap();
    let mut bundle = Vec::new();
    stranger.export(&Export::of(RunId::new("x")), &mut bundle).unwrap();
    let mut forged = Bundle::read(&bundle);
    let said = Object::from_iter([
        ("kind", Value::from("import")),
        ("run_id", receipt.as_str().into()),
        ("events", last.get("seq").cloned().unwrap()),
        ("head", last.get("event_hash").cloned().unwrap()),
    ]);
    set(&mut forged.events[0], &["payload", "maintenance"], said);
    rechain(&mut forged.events);
    assert!(scene.import(&forged.write()).is_success());
    assert_eq!(scene.evidence("a"), PASS, "the receipt is still one of this ledger");
    assert!(!scene.ledger.imported().unwrap().contains(&receipt));
}

/// The bundle of a run that puts these bytes, where its events and its record say that they are sealed, or of another type.
fn hostile(data: &[u8], class: &str, content_type: &str, ts: Timestamp) -> Vec<u8> {
    let stranger = scene();
    stranger.clock.set(ts);
    stranger.put("theirs", "claims_map", data, Put::text());
    let mut bundle = Bundle::read(&stranger.bundle("theirs"));
    for event in &mut bundle.events {
        if event.get("event_type").and_then(Value::as_str) == Some("EVIDENCE_PUT") {
            set(event, &["payload", "evidence", "evidence_class"], class);
            set(event, &["payload", "evidence", "content_type"], content_type);
        }
    }
    // Its evaluation judged another head.
    bundle.events.truncate(3);
    bundle.rechain();
    set(&mut bundle.blobs[0].0, &["evidence_class"], class);
    set(&mut bundle.blobs[0].0, &["content_type"], content_type);
    bundle.write()
}

#[test]
fn an_import_changes_neither_the_class_nor_the_type_nor_the_time_of_what_is_here() {
    for data in [&b"my bytes"[..], b""] {
        let scene = scene();
        let hash = scene.put("a", "log", data, Put::text());
        let row = scene.row(&hash);
        let bundle = hostile(data, "sealed", "application/vnd.age", at(365 * 7900));
        assert_eq!(scene.import(&bundle), Verdict::Warn, "it is not finished");
        assert_eq!(scene.row(&hash), row);
        assert_eq!(scene.evidence("a"), PASS);
        assert_eq!(scene.evidence("theirs"), PASS);
        let plan = |day| scene.ledger.plan_retention(at(day)).unwrap();
        assert_eq!((plan(29).due.len(), plan(31).due.len()), (0, 1), "as was set for public evidence");
        let exported = Bundle::read(&scene.bundle("a"));
        assert_eq!(exported.blobs[0].0.get("state").and_then(Value::as_str), Some("live"));
        // It goes when its time is over here, and the receipt is good for both runs.
        scene.retain_on(31);
        assert_eq!(scene.evidence("a"), PASS);
        assert_eq!(scene.evidence("theirs"), PASS);
    }
}

#[test]
fn what_a_stranger_brought_first_is_kept_as_it_is_put_here() {
    let scene = scene();
    assert_eq!(scene.import(&hostile(b"", "sealed", "application/vnd.age", at(0))), Verdict::Warn);
    assert_eq!(scene.evidence("theirs"), PASS);
    let hash = scene.put("a", "empty", b"", Put::text());
    assert_eq!(scene.row(&hash), ("public".to_owned(), "text/plain; charset=utf-8".to_owned()));
    assert_eq!(scene.evidence("a"), PASS);
    assert_eq!(scene.evidence("theirs"), PASS);
}

#[test]
fn a_row_that_no_event_says_is_found_whoever_put_the_blob() {
    let scene = scene();
    assert_eq!(scene.import(&hostile(b"theirs alone", "public", "image/png", at(0))), Verdict::Warn);
    assert_eq!(scene.evidence("theirs"), PASS, "the control");
    scene.sql("UPDATE blobs SET content_type = 'text/html'");
    assert_eq!(scene.evidence("theirs"), FAIL);
    scene.sql("UPDATE blobs SET content_type = 'image/png', evidence_class = 'sealed'");
    assert_eq!(scene.evidence("theirs"), FAIL);
}

#[test]
fn the_row_of_a_blob_whose_bytes_are_gone_says_the_length_that_was_put() {
    let scene = scene();
    let hash = scene.put("a", "log", b"gone after 30 days", Put::text());
    scene.retain_on(40);
    assert_eq!(scene.evidence("a"), PASS, "the control");
    for length in ["17", "-18", "'18 bytes'", "18.5"] {
        scene.sql(&format!("UPDATE blobs SET bytes_len = {length} WHERE sha256 = '{}'", hash.to_hex()));
        assert_eq!(scene.evidence("a"), FAIL, "{length}");
    }
}

/// A stranger's events may be of any time. What they put has been here since it was imported.
#[test]
fn evidence_that_was_imported_is_kept_from_the_day_of_its_import() {
    let scene = scene();
    // What this key puts is kept for ever where nobody says otherwise.
    let set: Result<_, Error> = scene.ledger.set_retention(|retention| {
        retention.keys.clear();
        Ok(())
    });
    set.unwrap();
    scene.clock.set(at(100));
    assert_eq!(scene.import(&hostile(b"theirs alone", "public", "image/png", at(-900))), Verdict::Warn);
    let plan = |day| scene.ledger.plan_retention(at(day)).unwrap();
    assert_eq!(plan(129).due.len(), 0);
    assert_eq!(plan(131).due.len(), 1, "the control: {:?}", plan(131));
}

#[test]
fn each_put_of_a_blob_is_compared_and_not_only_the_first() {
    for (member, value) in [
        ("bytes_len", Value::from(11)),
        ("evidence_class", "sealed".into()),
        ("content_type", "text/html".into()),
        ("ref", "blob://sha256:00".into()),
        ("sha256", BlobHash::of(b"").to_hex().into()),
    ] {
        let scene = scene();
        let mut run = start(&scene.ledger, "a");
        for key in ["one", "two", "three"] {
            run.put(key, b"twelve bytes", Put::text()).unwrap();
        }
        assert_eq!(scene.evidence("a"), PASS, "the control");
        scene.edit("a", |events| set(&mut events[3], &["payload", "evidence", member], value));
        assert_eq!(scene.evidence("a"), FAIL, "{member}");
    }
}

#[test]
fn an_imported_run_still_has_the_proof_of_the_ledger_that_it_came_from() {
    let stranger = scene();
    stranger.put("theirs", "log", b"bytes", Put::text());
    let signing = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[7; 32]);
    stranger.ledger.checkpoint(&Publish::by(&signing)).unwrap();
    let bundle = stranger.bundle("theirs");
    let scene = scene();
    let keys = [signing.verifier().clone()];
    let verify = Verify::default().keys(&keys);
    assert!(scene.ledger.import(&verify, &mut &bundle[..]).unwrap().new);
    let exported = scene.bundle("theirs");
    assert_eq!(exported, bundle);
    let report = verify.run(&mut &exported[..]).unwrap();
    assert_eq!(report.check(Check::Log).unwrap().verdict, Verdict::Pass);
    assert_eq!(report.check(Check::Tail).unwrap().verdict, Verdict::Pass);
}

#[test]
fn an_imported_run_that_is_gone_or_another_contradicts_the_record_of_its_import() {
    let stranger = scene();
    stranger.put("theirs", "log", b"bytes", Put::text());
    let bundle = stranger.bundle("theirs");
    for act in ["nothing", "gone", "another"] {
        let scene = scene();
        scene.ledger.import(&Verify::default(), &mut &bundle[..]).unwrap();
        let forger = Forger::open(&scene.path);
        match act {
            "gone" => {
                forger.sql("DELETE FROM events WHERE run_id = 'theirs'; DELETE FROM runs WHERE run_id = 'theirs'");
            }
            "another" => {
                forger.edit("theirs", |events| set(events.last_mut().unwrap(), &["ts"], "2026-02-03T00:00:00+00:00"));
            }
            _ => {}
        }
        drop(forger);
        let report = scene.ledger.audit().unwrap();
        let content = report.check(Check::Content).unwrap();
        let codes: Vec<&str> = content.reasons.iter().map(|reason| reason.code.as_ref()).collect();
        let wanted = if act == "nothing" { (Verdict::Pass, vec![]) } else { (Verdict::Fail, vec!["IMPORT_CHANGED"]) };
        assert_eq!((content.verdict, codes), wanted, "{act}: {report:#?}");
    }
}

#[test]
fn the_id_of_a_run_says_nothing_of_what_it_is() {
    let scene = scene();
    let meta = Object::from_iter([("recipient", RECIPIENT)]);
    let run = scene.ledger.start("shred-20260101T000000Z", Policy::structural().unwrap(), actor(), meta).unwrap();
    drop(run);
    let names = scene.ledger.add_recipients([RECIPIENT]).unwrap();
    assert_eq!(names, [RECIPIENT], "nobody destroyed it");
    let mut other = start(&scene.ledger, "sealed");
    other.put("k", b"secret", Put::text().of_class(EvidenceClass::Sealed)).unwrap();
    let shredded = scene.ledger.shred(RECIPIENT, "the period is over", &actor()).unwrap();
    assert!(matches!(scene.ledger.add_recipients([RECIPIENT]), Err(Error::BadRecipient { .. })));
    // Under another id it is the same.
    let forger = Forger::open(&scene.path);
    let events = crate::forge::renamed(&forger.events(shredded.run_id.as_str()), "any name");
    forger.add_run(&events);
    forger.execute("DELETE FROM events WHERE run_id = ?1", [shredded.run_id.as_str()]).unwrap();
    forger.execute("DELETE FROM runs WHERE run_id = ?1", [shredded.run_id.as_str()]).unwrap();
    drop(forger);
    assert!(matches!(scene.ledger.add_recipients([RECIPIENT]), Err(Error::BadRecipient { .. })));
}

#[test]
fn evidence_sealed_to_a_key_is_in_its_receipt_or_is_refused() {
    let scene = scene();
    let mut run = start(&scene.ledger, "sealed");
    let sealed = || Put::text().of_class(EvidenceClass::Sealed);
    let late = Source::sealed(b"late", &scene.ledger.recipients().unwrap().unwrap()).unwrap();
    run.put("k", b"secret", sealed()).unwrap();
    run.put("l", b"another", sealed()).unwrap();
    // An event counts that hashes to what it says.
    let forger = Forger::open(&scene.path);
    forger.sql("UPDATE events SET envelope_json = replace(envelope_json, '\"key\":\"l\"', '\"key\":\"m\"')");
    drop(forger);
    assert_eq!(scene.ledger.shred(RECIPIENT, "the period is over", &actor()).unwrap().lost, 1);
    let mut other = start(&scene.ledger, "other");
    let refused = other.put_source("late", late, sealed());
    assert!(matches!(refused, Err(Error::BadRecipient { .. })), "{refused:?}");
    assert!(matches!(other.put("k", b"later", sealed()), Err(Error::NoRecipient)));
}

#[test]
fn no_column_says_when_evidence_was_put_or_removed() {
    let scene = scene();
    scene.put("a", "log", b"kept for 30 days", Put::text());
    let forger = Forger::open(&scene.path);
    forger.sql("UPDATE events SET created_at = '2000-01-01T00:00:00+00:00'");
    forger.sql("UPDATE blobs SET created_at = '2000-01-01T00:00:00+00:00'");
    drop(forger);
    let plan = |day| scene.ledger.plan_retention(at(day)).unwrap().due.len();
    assert_eq!((plan(0), plan(29), plan(31)), (0, 0, 1));
    scene.retain_on(31);
    let set: Result<_, Error> = scene.ledger.set_retention(|retention| {
        retention.hash = Ttl::Seconds(10 * 86_400);
        Ok(())
    });
    set.unwrap();
    scene.sql("UPDATE blobs SET expired_at = '2000-01-01T00:00:00+00:00'");
    assert_eq!((plan(32), plan(42)), (0, 1), "since the receipt");
}

#[test]
fn what_a_run_speaks_of_that_does_not_verify_is_not_removed() {
    let scene = scene();
    scene.put("a", "log", b"of a run whose end was changed", Put::text());
    scene.put("b", "log", b"of another one", Put::text());
    assert_eq!(scene.ledger.plan_retention(at(31)).unwrap().due.len(), 2, "the control");
    Forger::open(&scene.path).sql("UPDATE events SET event_type = 'DECISION' WHERE seq = 7 AND run_id = 'a'");
    let plan = scene.ledger.plan_retention(at(31)).unwrap();
    assert_eq!((plan.due.len(), plan.problems.len()), (1, 1));
}

#[test]
fn a_run_of_a_ledger_is_judged_again_only_if_it_verifies() {
    let fresh = || {
        let scene = scene();
        scene.put("a", "log", b"bytes", Put::text());
        let replays = scene.ledger.replay(&RunId::new("a")).unwrap();
        assert_eq!((replays.verdict, replays.evaluations.len()), (Verdict::Pass, 1), "the control");
        scene
    };
    let replayed = |scene: &Scene| scene.ledger.replay(&RunId::new("a")).unwrap().verdict;
    for sql in [
        "UPDATE events SET envelope_json = replace(envelope_json, '\"over\"', '\"gone\"') WHERE run_id = 'a'",
        "DELETE FROM events WHERE event_type = 'EVALUATION'",
        "UPDATE blobs SET data = x'0000000000'",
        "UPDATE runs SET policy_version = '2'",
    ] {
        let scene = fresh();
        Forger::open(&scene.path).sql(sql);
        assert_eq!(replayed(&scene), Verdict::Fail, "{sql}");
    }
    // Without its evaluation and with every hash computed again, it ended well with nothing that says so.
    let scene = fresh();
    scene.edit("a", |events| {
        events.retain(|event| event.get("event_type").and_then(Value::as_str) != Some("EVALUATION"));
    });
    assert_eq!(replayed(&scene), Verdict::Fail);
    // A run that commits to nothing may end as it likes; there is nothing to compute again.
    let scene = fresh();
    scene.edit("a", |events| {
        events.retain(|event| event.get("event_type").and_then(Value::as_str) != Some("EVALUATION"));
        set(&mut events[0], &["payload"], Object::new());
    });
    let replays = scene.ledger.replay(&RunId::new("a")).unwrap();
    assert_eq!((replays.verdict, &*replays.reasons[0].code), (Verdict::Unknown, "REPLAY_NOT_EVALUATED"));
}

#[test]
fn what_judging_a_run_again_costs_is_limited() {
    let scene = scene();
    let mut run = start(&scene.ledger, "long");
    run.evaluate().unwrap();
    for _ in 0..40 {
        run.append(decision("x".repeat(1000))).unwrap();
    }
    // One evaluation at its beginning: few events come before it, and too many are kept.
    let long = scene.ledger.replay_within(&RunId::new("long"), 20_000).unwrap();
    assert_eq!((long.verdict, &*long.reasons[0].code), (Verdict::Unknown, "REPLAY_TOO_LARGE"));
    assert_eq!(scene.ledger.replay(&RunId::new("long")).unwrap().evaluations.len(), 1, "the control");
    let mut run = start(&scene.ledger, "many");
    for _ in 0..40 {
        run.evaluate().unwrap();
    }
    let replayed = |limit| scene.ledger.replay_within(&RunId::new("many"), limit).unwrap();
    let text: u64 = 60_000;
    assert_eq!(replayed(text).evaluations.len(), 40, "the control");
    let (mut size, mut work) = (0, 0);
    let read = scene.ledger.events("many", &mut |event| {
        work += if event.event_type == EventType::Evaluation { size } else { 0 };
        size += event.text.len() as u64;
    });
    read.unwrap();
    // Enough for the events, and one evaluation more than for reading them again for each evaluation.
    let mut more = 0;
    while work <= size * 64 {
        run.evaluate().unwrap();
        more += 1;
        let last = scene.ledger.snapshot("many", &[]).unwrap().events().next_back().unwrap().text.len() as u64;
        work += size;
        size += last;
    }
    let many = replayed(size);
    assert_eq!((many.verdict, many.evaluations.len()), (Verdict::Unknown, 0), "{more} more");
    assert_eq!(many.reasons[0].code, "REPLAY_TOO_LARGE");
}

/// The Python package leaves evidence of class sealed in plain text. Whoever edits an event of it, hashes left as they
/// were, must not have it sent out by somebody else.
#[test]
fn evidence_that_was_sealed_does_not_leave_an_edited_run_of_the_python_package() {
    let scene = scene();
    let secret = b"in plain text";
    scene.put("a", "log", secret, Put::text());
    scene.edit("a", |events| {
        set(&mut events[0], &["payload"], Object::from_iter([("meta", Object::new())]));
        set(&mut events[2], &["payload", "evidence", "evidence_class"], "sealed");
    });
    scene.sql("UPDATE blobs SET evidence_class = 'sealed'");
    let leaves = || {
        let bundle = scene.bundle("a");
        let bytes = Bundle::read(&bundle).blobs.iter().filter_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
        bytes.iter().any(|bytes| bytes == secret)
    };
    assert!(!leaves(), "it is sealed");
    let class = |from: &str, to: &str| {
        let forger = Forger::open(&scene.path);
        let text = |class: &str| format!("\"evidence_class\":\"{class}\"");
        forger.sql(&format!(
            "UPDATE events SET envelope_json = replace(envelope_json, '{}', '{}')",
            text(from),
            text(to)
        ));
        forger.sql(&format!("UPDATE blobs SET evidence_class = '{to}'"));
    };
    class("sealed", "public");
    assert!(!leaves(), "nothing says that it ever was public");
    // The control: of a run that verifies what is public leaves.
    class("public", "sealed");
    scene.edit("a", |events| set(&mut events[2], &["payload", "evidence", "evidence_class"], "public"));
    scene.sql("UPDATE blobs SET evidence_class = 'public'");
    assert!(leaves(), "the control");
}
