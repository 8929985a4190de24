//! The log: extended by checkpoints, proved from, and refused where an event is not as it was written.

use receipt_kernel::core::checkpoint::SignedCheckpoint;
use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::merkle::Frontier;
use receipt_kernel::core::note::{KeyKind, Signing, Standing};
use receipt_kernel::core::witness::WitnessPolicy;
use receipt_kernel::{
    Actor, Anchors, Append, Audit, Check, Error, EventRef, EventType, Ledger, Object, Pinned, Policy, Publish, Report,
    RunId, Value, Verdict,
};
use std::path::Path;
use std::time::Duration;

fn key(seed: u8) -> Signing {
    Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[seed; 32])
}

fn record(ledger: &Ledger, run: &str, events: usize) {
    let actor = Actor::new("test", "log");
    let has = ledger.has_run(run).unwrap();
    let mut writer = if has {
        ledger.resume(run, actor).unwrap()
    } else {
        ledger.start(run, Policy::structural().unwrap(), actor, Object::new()).unwrap()
    };
    for _ in usize::from(!has)..events {
        writer.append(Append::new(EventType::Remediation, Object::new())).unwrap();
    }
}

fn hashes(ledger: &Ledger, run: &str) -> Vec<EventHash> {
    let mut found = Vec::new();
    ledger.events(run, &mut |event| found.push(event.hash)).unwrap();
    found
}

fn both(test: impl Fn(&Ledger, Option<&Path>)) {
    test(&Ledger::in_memory(), None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    test(&Ledger::create(&path).unwrap(), Some(&path));
}

#[test]
fn a_checkpoint_covers_all_that_came_before_in_the_order_in_which_it_came() {
    both(|ledger, _| {
        let key = key(1);
        record(ledger, "a", 3);
        record(ledger, "b", 300);
        record(ledger, "a", 2);
        let first = ledger.checkpoint(&Publish::by(&key)).unwrap();
        assert_eq!(first.new_events, Some(305));
        let (a, b) = (hashes(ledger, "a"), hashes(ledger, "b"));
        let mut frontier = Frontier::default();
        for hash in a[..3].iter().chain(&b).chain(&a[3..]) {
            assert!(frontier.push(hash, |_, _| {}));
        }
        assert_eq!(first.checkpoint.checkpoint().head, frontier.head());
        assert!(matches!(first.checkpoint.note().standing(key.verifier()), Standing::Good { .. }));
        let again = ledger.checkpoint(&Publish::by(&key)).unwrap();
        assert_eq!((again.checkpoint.to_string(), again.new_events), (first.checkpoint.to_string(), None));
    });
}

#[test]
fn every_event_is_proved_and_every_older_checkpoint_is_a_beginning() {
    both(|ledger, _| {
        let key = key(1);
        let mut older = Vec::new();
        for (round, events) in [1, 7, 255, 1, 300, 2].into_iter().enumerate() {
            record(ledger, &format!("run-{}", round % 2), events);
            older.push(ledger.checkpoint(&Publish::by(&key)).unwrap().checkpoint);
        }
        for run in ["run-0", "run-1"] {
            for (hash, seq) in hashes(ledger, run).into_iter().zip(1..) {
                let event = EventRef { run_id: RunId::new(run), seq: Seq::new(seq).unwrap() };
                let proof = ledger.prove_event(&event).unwrap();
                assert_eq!(proof.check(&hash), Ok(()));
                assert!(proof.check(&EventHash::of(b"another")).is_err());
            }
        }
        for old in &older {
            let proof = ledger.prove_from(old.checkpoint()).unwrap();
            assert_eq!(proof.check(&old.checkpoint().head), Ok(()));
        }
        record(ledger, "run-0", 1);
        let (event, _) = ledger.prove_run("run-0").unwrap();
        let newest = EventRef { seq: event.seq.next().unwrap(), ..event };
        assert!(matches!(ledger.prove_event(&newest), Err(Error::NotLogged { .. })));
    });
}

#[test]
fn a_new_key_needs_the_old_one_and_an_interval_holds_back() {
    both(|ledger, _| {
        let (old, new) = (key(1), key(2));
        record(ledger, "a", 3);
        ledger.checkpoint(&Publish::by(&old)).unwrap();
        record(ledger, "a", 3);
        assert!(matches!(ledger.checkpoint(&Publish::by(&new)), Err(Error::WrongKey { .. })));
        let held = ledger.checkpoint(&Publish { interval: Duration::from_secs(3600), ..Publish::by(&old) }).unwrap();
        assert_eq!(held.new_events, None);
        let both = ledger.checkpoint(&Publish { previous: Some(&old), ..Publish::by(&new) }).unwrap();
        for key in [&old, &new] {
            assert!(matches!(both.checkpoint.note().standing(key.verifier()), Standing::Good { .. }));
        }
        record(ledger, "a", 1);
        assert!(matches!(ledger.checkpoint(&Publish::by(&old)), Err(Error::WrongKey { .. })));
        let after = ledger.checkpoint(&Publish::by(&new)).unwrap().checkpoint;
        assert_eq!(after.note().standing(old.verifier()), Standing::Unsigned);
        let stranger = Signing::from_seed("example.com/other".parse().unwrap(), KeyKind::Note, &[3; 32]);
        assert!(matches!(ledger.checkpoint(&Publish::by(&stranger)), Err(Error::WrongKey { .. })));
    });
}

#[test]
fn a_log_is_not_named_after_a_secret() {
    let name = format!("example.com/gh{}_{}", "p", "a1B2c3D4e5F6g7H8i9".repeat(2));
    let ledger = Ledger::in_memory();
    record(&ledger, "a", 1);
    let refused = ledger.bind_origin(&name.parse().unwrap());
    assert!(matches!(refused, Err(Error::SecretName { .. })), "{refused:?}");
    let key = Signing::from_seed(name.parse().unwrap(), KeyKind::Note, &[1; 32]);
    assert!(matches!(ledger.checkpoint(&Publish::by(&key)), Err(Error::SecretName { .. })));
    assert_eq!(ledger.origin().unwrap(), None);
    ledger.bind_origin(&"example.com/log".parse().unwrap()).unwrap();
}

#[test]
fn nothing_is_signed_over_an_event_or_a_tree_that_was_changed() {
    for sql in [
        "UPDATE events SET envelope_json = replace(envelope_json, 'REMEDIATION', 'REMEDIATIOM') WHERE id = 9",
        "UPDATE events SET event_hash = replace(event_hash, 'a', 'b') WHERE id = 9",
        "UPDATE events SET seq = 77 WHERE id = 9",
        "UPDATE log_tiles SET hashes = zeroblob(length(hashes))",
        "UPDATE log_tiles SET hashes = substr(hashes, 33)",
        "UPDATE log_checkpoints SET note = replace(note, 'a', 'b')",
        "UPDATE log_checkpoints SET size = size - 1",
        "DELETE FROM log_tiles",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let key = key(1);
        let ledger = Ledger::create(&path).unwrap();
        record(&ledger, "a", 5);
        ledger.checkpoint(&Publish::by(&key)).unwrap();
        record(&ledger, "a", 5);
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
        assert!(raw.execute(sql, []).unwrap() > 0, "{sql}");
        assert!(ledger.checkpoint(&Publish::by(&key)).is_err(), "{sql}");
        let count: i64 = raw.query_row("SELECT count(*) FROM log_checkpoints", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "{sql}");
    }
}

/// Commits an act of tampering on a copy, and gives the checks that then FAIL.
fn failing(acts: &[&str], anchors: &Anchors, path: &Path) -> Vec<&'static str> {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.execute_batch(
        "PRAGMA foreign_keys = OFF; DROP TRIGGER IF EXISTS events_are_not_updated; \
         DROP TRIGGER IF EXISTS events_are_not_deleted",
    )
    .unwrap();
    for act in acts {
        assert!(raw.execute(act, []).unwrap() > 0, "{act} changed nothing");
    }
    drop(raw);
    let ledger = Ledger::open_read_only(path).unwrap();
    let report = Audit::of(&ledger).against(anchors).run().unwrap();
    let failed = report.checks.iter().filter(|check| check.verdict == Verdict::Fail);
    failed.map(|check| check.check.as_str()).collect()
}

#[test]
fn an_anchor_settles_what_the_ledger_alone_cannot_and_each_act_has_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let (key, witness) = (key(1), Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]));
    let ledger = Ledger::create(&path).unwrap();
    ledger.bind_origin(key.verifier().name()).unwrap();
    record(&ledger, "a", 4);
    record(&ledger, "b", 3);
    let early = folder.path().join("early.db");
    Ledger::backup(&path, &early, &mut |_, _| {}).unwrap();
    ledger.checkpoint(&Publish::by(&key)).unwrap();
    record(&ledger, "a", 2);
    let checkpoint = ledger.checkpoint(&Publish::by(&key)).unwrap().checkpoint;
    let policy = format!("witness W {}\nquorum W\n", witness.verifier());
    let anchors = Anchors {
        checkpoints: vec![("kept.note".to_owned(), checkpoint.clone().signed(&witness, 1))],
        key: Some(key.verifier().clone()),
        witnesses: Some(WitnessPolicy::parse(&policy).unwrap()),
        pinned: Vec::new(),
        expected: vec![(RunId::new("b"), Seq::new(3).unwrap(), hashes(&ledger, "b")[2])],
    };
    record(&ledger, "b", 1);
    drop(ledger);
    let sound = Ledger::open_read_only(&path).unwrap();
    let report = Audit::of(&sound).against(&anchors).run().unwrap();
    for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Fork, Check::Key] {
        let report = report.check(check).unwrap();
        assert_eq!((report.verdict, report.required), (Verdict::Pass, true), "{report:?}");
    }
    drop(sound);
    let try_acts = |acts: &[&str]| {
        let copy = folder.path().join("copy.db");
        let _ = std::fs::remove_file(&copy);
        Ledger::backup(&path, &copy, &mut |_, _| {}).unwrap();
        failing(acts, &anchors, &copy)
    };
    let no_log = ["DELETE FROM log_checkpoints", "DELETE FROM log_segments", "DELETE FROM log_tiles"];
    assert_eq!(try_acts(&["DELETE FROM events WHERE run_id = 'a' AND seq > 4"]), ["tail"]);
    assert_eq!(try_acts(&["DELETE FROM events WHERE run_id = 'a'", "DELETE FROM runs WHERE run_id = 'a'"]), ["runs"]);
    assert!(try_acts(&["DELETE FROM events WHERE run_id = 'a' AND seq = 2"]).contains(&"content"));
    // Without the log's own rows the order of the events alone leads to the root, or does not.
    assert!(try_acts(&no_log).is_empty());
    let tail = [&no_log[..], &["DELETE FROM events WHERE id > 8"]].concat();
    assert_eq!(try_acts(&tail), ["tail", "rollback", "fork"]);
    let run = [
        &no_log[..],
        &[
            "DELETE FROM events WHERE run_id = 'b' AND seq = 3",
            "UPDATE events SET seq = 3 WHERE run_id = 'b' AND seq = 4",
        ],
    ]
    .concat();
    assert!(try_acts(&run).contains(&"key"));
    assert!(try_acts(&["UPDATE log_tiles SET hashes = zeroblob(length(hashes))"]).contains(&"key"));
    assert!(try_acts(&["UPDATE log_meta SET value = 'example.com/other'"]).contains(&"key"));
    assert_eq!(failing(&["UPDATE runs SET run_id = run_id"], &anchors, &early), ["tail", "rollback", "fork"]);
}

#[test]
fn rows_of_the_log_of_another_type_are_findings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", 5);
    ledger.checkpoint(&Publish::by(&key(1))).unwrap();
    let verdict = |act: &str| {
        let copy = folder.path().join("copy.db");
        let _ = std::fs::remove_file(&copy);
        Ledger::backup(&path, &copy, &mut |_, _| {}).unwrap();
        assert!(rusqlite::Connection::open(&copy).unwrap().execute(act, []).unwrap() > 0, "{act} changed nothing");
        let ledger = Ledger::open_read_only(&copy).unwrap();
        let report =
            Audit::of(&ledger).against(&Anchors::default()).run().unwrap_or_else(|error| panic!("{act}: {error}"));
        report.overall_verdict()
    };
    // The run is unfinished.
    assert_eq!(verdict("UPDATE log_tiles SET hashes = hashes"), Verdict::Warn, "the control");
    for act in [
        "UPDATE log_tiles SET hashes = 'text'",
        "UPDATE log_tiles SET hashes = 5",
        "UPDATE log_tiles SET hashes = x'00'",
        "UPDATE log_segments SET run_id = x'61'",
        "UPDATE log_segments SET run_id = ''",
        "UPDATE log_segments SET first_seq = 'text'",
        "UPDATE log_segments SET count = 'text'",
        "UPDATE log_segments SET count = -1",
        "UPDATE log_segments SET count = 9223372036854775807",
        "UPDATE log_segments SET first_seq = -9223372036854775808",
        "UPDATE log_checkpoints SET note = x'00ff'",
        "UPDATE log_checkpoints SET note = 5",
        "UPDATE log_checkpoints SET size = 'text'",
        "UPDATE log_checkpoints SET last_event_id = 'text'",
        "UPDATE log_meta SET value = x'00ff'",
        "UPDATE log_meta SET value = 'no origin at all\n'",
    ] {
        assert!(verdict(act).is_failure(), "{act}: {:?}", verdict(act));
    }
}

#[test]
fn history_made_anew_by_whoever_has_the_key_is_another_root() {
    let key = key(1);
    let (one, two) = (Ledger::in_memory(), Ledger::in_memory());
    for (ledger, run) in [(&one, "a"), (&two, "z")] {
        record(ledger, run, 4);
        ledger.checkpoint(&Publish::by(&key)).unwrap();
    }
    let kept = one.last_checkpoint().unwrap().unwrap();
    let anchors = Anchors {
        checkpoints: vec![("kept".to_owned(), kept)],
        key: Some(key.verifier().clone()),
        ..Anchors::default()
    };
    let report = Audit::of(&two).against(&anchors).run().unwrap();
    let key = report.check(Check::Key).unwrap();
    assert_eq!((key.verdict, key.reasons[0].code.as_ref()), (Verdict::Fail, "ROOT_MISMATCH"));
    assert_eq!(report.check(Check::Tail).unwrap().verdict, Verdict::Unknown);
    let stranger = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[4; 32]);
    let anchors = Anchors { key: Some(stranger.verifier().clone()), ..Anchors::default() };
    let report = Audit::of(&two).against(&anchors).run().unwrap();
    assert_eq!(report.check(Check::Key).unwrap().reasons[0].code, "FOREIGN_KEY");
}

/// The report on a ledger with these anchors.
fn judged(ledger: &Ledger, anchors: &Anchors) -> Report {
    Audit::of(ledger).against(anchors).run().unwrap()
}

fn found(report: &Report, check: Check) -> (Verdict, Vec<&str>) {
    let report = report.check(check).unwrap();
    (report.verdict, report.reasons.iter().map(|reason| reason.code.as_ref()).collect())
}

/// A ledger of one run, whose third event says this.
fn told(text: &str) -> Ledger {
    let ledger = Ledger::in_memory();
    let mut run =
        ledger.start("a", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.append(Append::new(EventType::Remediation, Object::from_iter([("note", Value::from(text))]))).unwrap();
    run.finalize_as(Verdict::Unknown, "done").unwrap();
    ledger
}

#[test]
fn history_made_anew_before_the_first_checkpoint_is_seen_by_the_pin_alone() {
    let (honest, forged) = (told("it failed"), told("it passed"));
    let head = judged(&honest, &Anchors::default()).head.unwrap().1;
    let pinned = Pinned { name: "the pin".to_owned(), origin: None, head };
    let pinned = Anchors { pinned: vec![pinned], ..Anchors::default() };
    assert_eq!(judged(&honest, &pinned).overall_verdict(), Verdict::Pass, "the control");
    let report = judged(&forged, &pinned);
    assert_eq!(
        (found(&report, Check::Key), report.overall_verdict()),
        ((Verdict::Fail, vec!["ROOT_MISMATCH"]), Verdict::Fail)
    );
    // Whoever kept nothing is told so.
    let report = judged(&forged, &Anchors::default());
    assert_eq!(found(&report, Check::Key), (Verdict::Unknown, vec!["NO_ANCHOR"]));
    // A checkpoint made over the new history does not help it.
    forged.checkpoint(&Publish::by(&key(1))).unwrap();
    assert_eq!(judged(&forged, &pinned).overall_verdict(), Verdict::Fail);
}

#[test]
fn two_histories_of_one_size_under_one_origin_and_key_are_told_apart() {
    let (key, witness) = (key(1), Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]));
    let (one, two) = (told("it failed"), told("it passed"));
    let [a, b] = [&one, &two].map(|ledger| ledger.checkpoint(&Publish::by(&key)).unwrap().checkpoint);
    assert_eq!(a.checkpoint().head.size, b.checkpoint().head.size);
    let policy = WitnessPolicy::parse(&format!("witness W {}\nquorum W\n", witness.verifier())).unwrap();
    let anchors = |notes: &[&SignedCheckpoint]| Anchors {
        checkpoints: notes.iter().map(|note| ("kept".to_owned(), (*note).clone())).collect(),
        key: Some(key.verifier().clone()),
        witnesses: Some(policy.clone()),
        ..Anchors::default()
    };
    let seen = a.clone().signed(&witness, 1);
    assert_eq!(judged(&one, &anchors(&[&seen])).overall_verdict(), Verdict::Pass, "the control");
    for notes in [&[&seen][..], &[&b, &seen], &[&seen, &b]] {
        let report = judged(&two, &anchors(notes));
        assert_eq!(found(&report, Check::Key).0, Verdict::Fail, "{report:#?}");
        assert_eq!(found(&report, Check::Fork).0, Verdict::Fail, "{report:#?}");
    }
    assert!(matches!(two.prove_from(a.checkpoint()), Err(Error::ForeignCheckpoint { .. })));
}

#[test]
fn a_witness_that_nobody_asked_for_or_that_is_the_log_itself_settles_no_fork() {
    let seed = [1; 32];
    let log = key(1);
    let own = Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Cosignature, &seed);
    assert_eq!(own.verifier().public_bytes(), log.verifier().public_bytes());
    let ledger = told("it failed");
    let checkpoint = ledger.checkpoint(&Publish::by(&log)).unwrap().checkpoint.signed(&own, 1);
    let with = |key: &Signing, policy: &str| {
        let anchors = Anchors {
            checkpoints: vec![("kept".to_owned(), checkpoint.clone())],
            key: Some(key.verifier().clone()),
            witnesses: Some(WitnessPolicy::parse(policy).unwrap()),
            ..Anchors::default()
        };
        judged(&ledger, &anchors)
    };
    let none = with(&log, "quorum none\n");
    assert_eq!(
        (found(&none, Check::Fork), none.overall_verdict()),
        ((Verdict::Unknown, vec!["NO_QUORUM"]), Verdict::Unknown)
    );
    let itself = format!("witness W {}\nquorum W\n", own.verifier());
    assert_eq!(found(&with(&log, &itself), Check::Fork), (Verdict::Fail, vec!["LOG_IS_WITNESS", "NO_QUORUM"]));
    // A cosignature is not what a log signs with, though name and key are the log's.
    assert_eq!(found(&with(&own, "quorum none\n"), Check::Key).0, Verdict::Fail);
}

#[test]
fn the_checkpoint_of_another_log_in_the_ledger_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let witness = Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]);
    let other = Signing::from_seed("example.com/other".parse().unwrap(), KeyKind::Note, &[5; 32]);
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", 4);
    // The same events under another origin, as somebody else's log has them, seen by the witness.
    let foreign = ledger.checkpoint(&Publish::by(&other)).unwrap().checkpoint.signed(&witness, 1);
    drop(ledger);
    let anchors = Anchors {
        witnesses: Some(WitnessPolicy::parse(&format!("witness W {}\nquorum W\n", witness.verifier())).unwrap()),
        ..Anchors::default()
    };
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE log_checkpoints SET note = ?1", [foreign.to_string()]).unwrap();
    let open = || Ledger::open_read_only(&path).unwrap();
    assert_eq!(found(&judged(&open(), &anchors), Check::Fork).0, Verdict::Pass, "the control");
    raw.execute("UPDATE log_meta SET value = 'example.com/log' WHERE key = 'origin'", []).unwrap();
    let report = judged(&open(), &anchors);
    assert_eq!(found(&report, Check::Content), (Verdict::Fail, vec!["LOG_MALFORMED"]));
    assert_eq!(found(&report, Check::Fork).0, Verdict::Unknown);
}

#[test]
fn what_is_expected_of_a_run_is_its_length_and_the_event_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a", 4);
    record(&ledger, "b", 4);
    let known = hashes(&ledger, "b");
    drop(ledger);
    let expect = |seq: i64, hash| Anchors {
        expected: vec![(RunId::new("b"), Seq::new(seq).unwrap(), hash)],
        ..Anchors::default()
    };
    let ledger = Ledger::open_read_only(&path).unwrap();
    assert!(judged(&ledger, &expect(3, known[2])).overall_verdict().is_success(), "the control");
    let beyond = judged(&ledger, &expect(5, known[3]));
    assert_eq!((found(&beyond, Check::Tail).0, beyond.overall_verdict()), (Verdict::Fail, Verdict::Fail));
    assert_eq!(found(&judged(&ledger, &expect(3, known[3])), Check::Key), (Verdict::Fail, vec!["UNEXPECTED_HASH"]));
    drop(ledger);
    // The column still says what is expected; the event does not.
    let act = "UPDATE events SET envelope_json = replace(envelope_json, '\"id\":\"log\"', '\"id\":\"lag\"') WHERE run_id = 'b' AND seq = 3";
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
    assert_eq!(raw.execute(act, []).unwrap(), 1);
    let ledger = Ledger::open_read_only(&path).unwrap();
    let report = Audit::of(&ledger).runs([RunId::new("a")]).against(&expect(3, known[2])).run().unwrap();
    assert_eq!(found(&report, Check::Key), (Verdict::Fail, vec!["UNEXPECTED_HASH"]));
}

#[test]
fn a_long_log_that_several_threads_read_has_the_root_of_its_events_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("l.db")).unwrap();
    let mut order = Vec::new();
    // Rows that are full, rows that are not, and more than the threads read at once.
    for (round, count) in [300, 212, 257, 40_000].into_iter().enumerate() {
        for run in ["a", "b"].map(|name| format!("{name}{round}")) {
            let mut writer =
                ledger.start(&run, Policy::structural().unwrap(), Actor::new("test", "log"), Object::new()).unwrap();
            for from in (1..count).step_by(1000) {
                let many = (from..count.min(from + 1000)).map(|_| Append::new(EventType::Remediation, Object::new()));
                writer.append_batch(many.collect::<Vec<_>>()).unwrap();
            }
            order.extend(hashes(&ledger, &run));
        }
        let made = ledger.checkpoint(&Publish::by(&key(1))).unwrap();
        let mut frontier = Frontier::default();
        assert!(order.iter().all(|hash| frontier.push(hash, |_, _| {})));
        assert_eq!(made.checkpoint.checkpoint().head, frontier.head());
        let last = EventRef { run_id: RunId::new(format!("b{round}")), seq: Seq::new(count).unwrap() };
        let proof = ledger.prove_event(&last).unwrap();
        assert_eq!((proof.index + 1, proof.check(order.last().unwrap())), (order.len() as u64, Ok(())));
    }
}
