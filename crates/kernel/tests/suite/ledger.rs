//! A run is recorded strictly: what is refused leaves nothing, what is acknowledged is there once, and no run ends
//! better than it was judged.

use crate::common::{actor, decision, new_path, start};
use receipt_core::chain::Link;
use receipt_core::envelope::{Draft, PolicyRef};
use receipt_core::id::Seq;
use receipt_core::json::{self, Limits};
use receipt_core::stage::Stage;
use receipt_kernel::clock::ManualClock;
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{NewRun, Scope, Store};
use receipt_kernel::{
    Actor, Append, Audit, Check, Error, ErrorKind, EventType, Ledger, Object, Policy, Put, RunId, RunWriter, Timestamp,
    Value, Verdict,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use tempfile::TempDir;

fn new_ledger() -> (TempDir, PathBuf, Ledger) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    (folder, path, ledger)
}

/// A run under a policy that it cannot satisfy.
fn start_failing(ledger: &Ledger, run: &str) -> RunWriter {
    let policy = "id = 'p'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'receipt.completeness'\nkeys = ['never']";
    ledger.start(run, Policy::from_toml(policy).unwrap(), actor(), Object::new()).unwrap()
}

fn walk(run: &mut RunWriter, stages: &[&str]) {
    for stage in stages {
        run.advance(stage, "onward").unwrap();
    }
}

fn texts(ledger: &Ledger, run: &str) -> Vec<String> {
    let mut texts = Vec::new();
    ledger.events(run, &mut |event| texts.push(String::from_utf8(event.text.to_vec()).unwrap())).unwrap();
    texts
}

fn types(ledger: &Ledger, run: &str) -> Vec<EventType> {
    let mut types = Vec::new();
    ledger.events(run, &mut |event| types.push(event.event_type)).unwrap();
    types
}

#[test]
fn a_step_that_the_graph_does_not_have_is_refused_and_not_recorded() {
    let (_folder, _, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    for stage in ["FINALIZE", "START", "EVALUATE", "collect", ""] {
        let error = run.advance(stage, "why not").unwrap_err();
        assert!(matches!(error, Error::Input(_)) && error.kind() == ErrorKind::Input, "{stage}: {error:?}");
    }
    assert_eq!(types(&ledger, "r"), [EventType::RunStart]);
    assert_eq!(run.stage().unwrap().as_str(), "START");
    run.advance("COLLECT", "that is one").unwrap();
    assert_eq!(run.stage().unwrap().as_str(), "COLLECT");
}

#[test]
fn nothing_follows_the_end_of_a_run() {
    let (_folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    run.finalize("stopped").unwrap();
    let before = texts(&ledger, "r");
    let mut other = Ledger::open(&path).unwrap().resume("r", actor()).unwrap();
    let ended = |error: Error| assert!(matches!(error, Error::RunFinalized { .. }), "{error:?}");
    for run in [&mut run, &mut other] {
        ended(run.advance("COLLECT", "n").unwrap_err());
        ended(run.put("log", b"late", Put::text()).unwrap_err());
        ended(run.append(decision("late")).unwrap_err());
        ended(run.evaluate().unwrap_err());
        ended(run.decide("d", &[], "n").unwrap_err());
        ended(run.finalize("again").unwrap_err());
        ended(run.stage().unwrap_err());
    }
    ended(ledger.recover("r", actor()).unwrap_err());
    assert_eq!(texts(&ledger, "r"), before);
    assert_eq!(ledger.audit().unwrap().blobs, 0);
}

#[test]
fn a_type_that_has_an_operation_of_its_own_is_not_appended_by_hand() {
    let ledger = Ledger::in_memory();
    let mut run = start(&ledger, "r");
    for event_type in EventType::ALL {
        let done = run.append(Append::new(event_type, Object::new()));
        match event_type {
            EventType::Decision | EventType::Remediation => drop(done.unwrap()),
            _ => assert!(matches!(done, Err(Error::ReservedType { .. })), "{event_type}: {done:?}"),
        }
    }
    assert_eq!(types(&ledger, "r"), [EventType::RunStart, EventType::Decision, EventType::Remediation]);
}

#[test]
fn a_run_is_started_once() {
    let (_folder, path, ledger) = new_ledger();
    start(&ledger, "r");
    for ledger in [ledger.clone(), Ledger::open(&path).unwrap()] {
        let again = ledger.start("r", Policy::exec().unwrap(), actor(), Object::new());
        assert!(matches!(&again, Err(Error::RunExists { run }) if run == "r"), "{again:?}");
    }
    assert_eq!(ledger.audit().unwrap().events, 1);
}

#[test]
fn time_does_not_run_backwards_in_a_run_and_what_the_clock_said_is_kept() {
    let at = |second: i64| Timestamp::from_micros(1_767_225_600_000_000 + second * 1_000_000);
    let clock = Arc::new(ManualClock::new(at(100)));
    let ledger = Ledger::in_memory().with_clock(clock.clone());
    let mut run = start(&ledger, "r");
    for (second, ts, noted) in
        [(50, 100, Some(50)), (100, 100, None), (-9_000_000, 100, Some(-9_000_000)), (200, 200, None)]
    {
        clock.set(at(second));
        run.append(decision("n")).unwrap();
        let last = texts(&ledger, "r").pop().unwrap();
        let envelope = json::parse(last.as_bytes(), Limits::READ).unwrap();
        let text = |key: &str| envelope.get(key).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(text("ts"), Some(at(ts).to_string()));
        assert_eq!(text("clock_ts"), noted.map(|second: i64| at(second).to_string()));
    }
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Warn);
}

#[test]
fn a_run_without_an_evaluation_ends_as_unknown() {
    let ledger = Ledger::in_memory();
    let mut run = start(&ledger, "r");
    for better in [Verdict::Pass, Verdict::Warn] {
        let error = run.finalize_as(better, "trust me").unwrap_err();
        assert!(matches!(error, Error::VerdictTooGood { asked, allowed: Verdict::Unknown } if asked == better));
    }
    assert_eq!(run.finalize("stopped").unwrap(), Verdict::Unknown);
    assert_eq!(ledger.snapshot("r", &[]).unwrap().facts().recorded_verdict, Some(Verdict::Unknown));
}

#[test]
fn what_came_after_the_evaluation_makes_it_stale() {
    let later: [fn(&mut RunWriter); 2] = [
        |run| drop(run.put("more", b"more", Put::text()).unwrap()),
        |run| drop(run.append(Append::new(EventType::Remediation, Object::new())).unwrap()),
    ];
    for later in later {
        let ledger = Ledger::in_memory();
        let mut run = start(&ledger, "r");
        walk(&mut run, &["COLLECT"]);
        run.put("log", b"fine", Put::text()).unwrap();
        walk(&mut run, &["EVALUATE"]);
        assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
        later(&mut run);
        walk(&mut run, &["DECIDE"]);
        assert!(matches!(
            run.finalize_as(Verdict::Pass, "n"),
            Err(Error::VerdictTooGood { allowed: Verdict::Unknown, .. })
        ));
        // Judged again, it may end well.
        let mut again = ledger.resume("r", actor()).unwrap();
        again.evaluate().unwrap();
        assert_eq!(again.finalize("n").unwrap(), Verdict::Pass);
    }
}

#[test]
fn a_run_that_failed_its_evaluation_ends_as_failed() {
    let ledger = Ledger::in_memory();
    let mut run = start_failing(&ledger, "r");
    assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Fail);
    for better in [Verdict::Pass, Verdict::Warn, Verdict::Unknown] {
        let error = run.finalize_as(better, "trust me").unwrap_err();
        assert!(matches!(error, Error::VerdictTooGood { allowed: Verdict::Fail, .. }), "{error:?}");
    }
    assert_eq!(types(&ledger, "r").len(), 2);
    assert_eq!(run.finalize("failed").unwrap(), Verdict::Fail);
}

#[test]
fn a_run_may_end_worse_than_it_was_judged() {
    for verdict in [Verdict::Warn, Verdict::Unknown, Verdict::Fail] {
        let ledger = Ledger::in_memory();
        let mut run = start(&ledger, "r");
        walk(&mut run, &["COLLECT", "EVALUATE", "DECIDE"]);
        run.evaluate().unwrap();
        assert_eq!(run.finalize_as(verdict, "n").unwrap(), verdict);
    }
}

#[test]
fn a_run_ends_well_only_in_a_terminal_stage_or_one_step_before_it() {
    let (_folder, _, ledger) = new_ledger();
    let stages = ["COLLECT", "EVALUATE"];
    for early in 0..=stages.len() {
        let mut run = start(&ledger, &format!("early{early}"));
        walk(&mut run, &stages[..early]);
        assert_eq!(run.evaluate().unwrap().overall_verdict, Verdict::Pass);
        let before = texts(&ledger, run.run_id().as_str());
        assert!(matches!(run.finalize("n"), Err(Error::Input(_))));
        assert_eq!(texts(&ledger, run.run_id().as_str()), before);
        assert_eq!(run.finalize_as(Verdict::Unknown, "given up").unwrap(), Verdict::Unknown);
    }
    for walked in [&["COLLECT", "EVALUATE", "DECIDE"][..], &["COLLECT", "EVALUATE", "DECIDE", "FINALIZE"]] {
        let mut run = start(&ledger, &format!("late{}", walked.len()));
        walk(&mut run, walked);
        run.evaluate().unwrap();
        assert_eq!(run.finalize("n").unwrap(), Verdict::Pass);
        let facts = ledger.snapshot(run.run_id().as_str(), &[]).unwrap().facts().clone();
        assert_eq!(facts.stage.as_ref().map(Stage::as_str), Some("FINALIZE"));
    }
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

// Keys and batches.

#[test]
fn a_key_gives_the_same_event_once() {
    let (_folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    let first = run.append(decision("n").with_key("k")).unwrap();
    assert!(!first.repeated);
    let mut other = Ledger::open(&path).unwrap().resume("r", Actor::new("human", "somebody else")).unwrap();
    for run in [&mut run, &mut other] {
        let again = run.append(decision("n").with_key("k")).unwrap();
        assert_eq!((again.event_ref, again.repeated), (first.event_ref.clone(), true));
        for different in [
            decision("m"),
            Append::new(EventType::Remediation, decision("n").payload),
            decision("n").about(first.event_ref.clone()),
        ] {
            let error = run.append(different.with_key("k")).unwrap_err();
            assert!(matches!(&error, Error::KeyConflict { key, at } if key == "k" && at == "event://r/2"), "{error:?}");
        }
    }
    // Keys are a run's own.
    assert!(!start(&ledger, "s").append(decision("m").with_key("k")).unwrap().repeated);
    assert_eq!(types(&ledger, "r").len(), 2);
    let batch = || (0..3).map(|index| decision(index).with_key(format!("b{index}"))).collect::<Vec<_>>();
    let first = run.append_batch(batch()).unwrap();
    let mut more = batch();
    more.push(decision(3).with_key("b3"));
    more.push(decision(3).with_key("b3"));
    let again = other.append_batch(more).unwrap();
    assert_eq!(again.iter().map(|it| it.repeated).collect::<Vec<_>>(), [true, true, true, false, true]);
    assert!(again.iter().zip(&first).all(|(again, first)| again.event_ref == first.event_ref));
    assert_eq!(types(&ledger, "r").len(), 6);
}

#[test]
fn a_retry_after_the_end_gets_the_event_that_was_recorded_before_it_and_appends_nothing() {
    let (_folder, _, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    let first = run.append(decision("n").with_key("k")).unwrap();
    ledger.recover("r", Actor::new("system", "test")).unwrap();
    let again = run.append(decision("n").with_key("k")).unwrap();
    assert_eq!((again.event_ref, again.repeated), (first.event_ref, true));
    for late in [vec![decision("n")], vec![decision("n").with_key("new")], Vec::new()] {
        assert!(matches!(run.append_batch(late).unwrap_err(), Error::RunFinalized { .. }));
    }
    let half = vec![decision("n").with_key("k"), decision("m").with_key("m")];
    assert!(matches!(run.append_batch(half).unwrap_err(), Error::RunFinalized { .. }));
    assert!(matches!(run.append(decision("m").with_key("k")).unwrap_err(), Error::KeyConflict { .. }));
    assert_eq!(types(&ledger, "r").len(), 3);
}

#[test]
fn a_key_whose_event_was_cut_off_acknowledges_nothing() {
    let (_folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    run.append(decision("n").with_key("k")).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("DROP TRIGGER events_are_not_deleted; DELETE FROM events WHERE seq = 2").unwrap();
    let error = run.append(decision("n").with_key("k")).unwrap_err();
    assert!(matches!(&error, Error::RunBroken { problem, .. } if problem.contains("event://r/2")), "{error:?}");
}

#[test]
fn a_batch_is_recorded_whole_or_not_at_all() {
    let (_folder, _, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    run.append(decision("taken").with_key("taken")).unwrap();
    let bad = [
        decision("x".repeat(2 << 20)),
        decision(nested(300)),
        decision("other").with_key("taken"),
        Append::new(EventType::RunFinalize, Object::new()),
    ];
    for bad in bad {
        let batch = vec![decision("before").with_key("before"), bad, decision("after")];
        run.append_batch(batch).unwrap_err();
        assert_eq!(types(&ledger, "r").len(), 2);
    }
    // The key in front of the bad event was not used up.
    assert!(!run.append(decision("something else").with_key("before")).unwrap().repeated);
    assert!(run.append_batch(Vec::new()).unwrap().is_empty());
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Warn);
}

// Limits.

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

fn parsed(text: &str) -> Value {
    json::parse(text.as_bytes(), Limits::READ).unwrap()
}

#[test]
fn what_is_over_a_limit_is_refused_and_nothing_of_it_is_stored() {
    let (_folder, _, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    let refused = [
        decision(nested(199)),
        decision(parsed(&"9".repeat(4301))),
        decision(parsed(r#"{"\ud800":1}"#)),
        decision(nested(Limits::READ.depth)),
        decision("x".repeat(1 << 20)),
    ];
    for (index, event) in refused.into_iter().enumerate() {
        let error = run.append(event).unwrap_err();
        assert!(matches!(error, Error::Input(_) | Error::TooLarge { .. }), "{index}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Input);
    }
    assert_eq!(types(&ledger, "r").len(), 1);
    let taken =
        [nested(198), parsed(&"9".repeat(4300)), parsed(r#""\ud800 and \udc00\ud83d""#), "x".repeat(1_000_000).into()];
    for value in taken {
        run.append(decision(value.clone())).unwrap();
        let mut last = None;
        ledger.events("r", &mut |event| last = event.payload.get("note").cloned()).unwrap();
        assert_eq!(last, Some(value));
    }
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Warn);
}

#[test]
fn a_run_id_is_text_that_can_be_typed_and_shown() {
    let (_folder, _, ledger) = new_ledger();
    let policy = || Policy::structural().unwrap();
    for id in ["", " a", "a ", "a\t", "@last", "a\0b", "a\nb", "a\u{1b}[31m", "\u{85}", &"x".repeat(257)] {
        let refused = ledger.start(id, policy(), actor(), Object::new());
        assert!(matches!(refused, Err(Error::Input(_))), "{id:?}: {refused:?}");
    }
    assert_eq!(ledger.audit().unwrap().runs, 0);
    let ids = ["a", "a/b/1", "b\u{e4}r \u{1F600}", "..", "%2e", "'; --", &"x".repeat(256)];
    for id in ids {
        let mut run = start(&ledger, id);
        let appended = run.append(decision("n")).unwrap();
        assert_eq!(appended.event_ref.to_string(), format!("event://{id}/2"));
        assert_eq!(appended.event_ref.to_string().parse::<receipt_kernel::EventRef>().unwrap(), appended.event_ref);
    }
    let report = ledger.audit().unwrap();
    assert_eq!((report.runs, report.overall_verdict()), (ids.len() as u64, Verdict::Warn));
}

// Resuming.

#[test]
fn a_run_is_taken_up_by_another_handle() {
    let (_folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    run.advance("COLLECT", "n").unwrap();
    let mut other = Ledger::open(&path).unwrap().resume("r", Actor::new("human", "ada")).unwrap();
    assert_eq!(other.stage().unwrap().as_str(), "COLLECT");
    assert_eq!(other.policy().digest().unwrap(), run.policy().digest().unwrap());
    other.put("log", b"from the other", Put::text()).unwrap();
    run.advance("EVALUATE", "n").unwrap();
    other.evaluate().unwrap();
    run.advance("DECIDE", "n").unwrap();
    assert_eq!(other.finalize("n").unwrap(), Verdict::Pass);
    assert!(texts(&ledger, "r")[2].contains(r#""actor":{"id":"ada","kind":"human"}"#));
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
    assert!(matches!(ledger.resume("s", actor()), Err(Error::RunNotFound { .. })));
    assert!(matches!(ledger.recover("s", actor()), Err(Error::RunNotFound { .. })));
}

/// A run that commits to nothing, as the Python package writes them, whose second event is at this place.
fn write_uncommitted(path: &std::path::Path, id: &str, second: Seq) {
    let run = RunId::new(id);
    let ts = Timestamp::from_micros(1_767_225_600_000_000);
    let policy = PolicyRef { policy_id: "p".into(), policy_version: "1".into(), stage_graph_id: "g".into() };
    let mut draft = Draft {
        event_type: EventType::RunStart,
        stage: Stage::new("START"),
        policy: policy.into(),
        actor: actor().into(),
        payload: Object::from_iter([("meta", Object::new())]),
        blobs: Vec::new(),
        events: Vec::new(),
        ts,
        extra: Object::new(),
    };
    let first = draft.seal(Link::first(run.clone())).unwrap();
    draft.event_type = EventType::Decision;
    let second = draft.seal(Link { run_id: run.clone(), seq: second, prev: Some(first.hash) }).unwrap();
    let store = SqliteStore::open(path).unwrap();
    let mut transaction = store.begin(Scope::Ledger).unwrap();
    let row = NewRun {
        run_id: &run,
        policy_id: "p",
        policy_version: "1",
        stage_graph_id: "g",
        created_at: ts,
        meta_json: "{}",
    };
    transaction.insert_run(&row).unwrap();
    transaction.insert_event(&first, ts).unwrap();
    transaction.insert_event(&second, ts).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_run_that_commits_to_nothing_is_read_and_not_continued() {
    let (_folder, path, ledger) = new_ledger();
    write_uncommitted(&path, "python", Seq::new(2).unwrap());
    assert!(matches!(ledger.resume("python", actor()), Err(Error::RunUncommitted { .. })));
    assert!(matches!(ledger.recover("python", actor()), Err(Error::RunUncommitted { .. })));
    assert!(matches!(ledger.evaluate("python", None), Err(Error::RunUncommitted { .. })));
    assert!(ledger.evaluate("python", Some(&Policy::structural().unwrap())).is_ok());
    let report = ledger.audit().unwrap();
    assert_eq!(report.check(Check::Content).unwrap().verdict, Verdict::Pass);
    let commitment = report.check(Check::Commitment).unwrap();
    assert_eq!(
        (commitment.verdict, commitment.required, &*commitment.reasons[0].code),
        (Verdict::Unknown, false, "RUN_UNCOMMITTED")
    );
    assert_eq!(report.overall_verdict(), Verdict::Pass);
}

#[test]
fn an_interrupted_run_is_recovered_as_unknown_whatever_stage_it_is_in() {
    let (_folder, _, ledger) = new_ledger();
    for walked in 0..=4 {
        let id = format!("r{walked}");
        let mut run = start(&ledger, &id);
        walk(&mut run, &["COLLECT", "EVALUATE", "DECIDE", "REMEDIATE"][..walked]);
        run.evaluate().unwrap();
        ledger.recover(&id, Actor::new("human", "ada")).unwrap();
        assert_eq!(ledger.snapshot(&id, &[]).unwrap().facts().recorded_verdict, Some(Verdict::Unknown));
        assert!(matches!(run.append(decision("late")), Err(Error::RunFinalized { .. })));
    }
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn an_interrupted_run_that_had_failed_is_recovered_as_failed() {
    let ledger = Ledger::in_memory();
    start_failing(&ledger, "r").evaluate().unwrap();
    ledger.recover("r", actor()).unwrap();
    assert_eq!(ledger.snapshot("r", &[]).unwrap().facts().recorded_verdict, Some(Verdict::Fail));
}

#[test]
fn a_run_whose_end_was_changed_is_not_continued() {
    let acts = [
        "UPDATE events SET envelope_json = replace(envelope_json, '\"note\":\"n\"', '\"note\":\"m\"') WHERE seq = 2",
        "UPDATE events SET envelope_json = '{' WHERE seq = 2",
        "UPDATE events SET envelope_json = X'00' WHERE seq = 2",
        "UPDATE events SET event_hash = 'sha256:00' WHERE seq = 2",
        "UPDATE events SET event_type = 'REMEDIATION' WHERE seq = 2",
        "UPDATE events SET seq = 3 WHERE seq = 2",
    ];
    for act in acts {
        let (_folder, path, ledger) = new_ledger();
        let mut run = start(&ledger, "r");
        run.append(decision("n")).unwrap();
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute_batch(&format!("DROP TRIGGER events_are_not_updated; {act}")).unwrap();
        let error = run.append(decision("n")).unwrap_err();
        assert!(matches!(error, Error::RunBroken { .. }) && error.kind() == ErrorKind::Stop, "{act}: {error:?}");
        assert_eq!(ledger.audit().unwrap().events, 2);
    }
}

#[test]
fn a_run_that_is_full_says_so() {
    for last in [i64::MAX, i64::MAX - 1] {
        let (_folder, path, ledger) = new_ledger();
        let mut run = start(&ledger, "r");
        // The head is the event of the highest seq, whatever lies below it.
        write_uncommitted(&path, "full", Seq::new(last).unwrap());
        let raw = rusqlite::Connection::open(&path).unwrap();
        let first = "SELECT envelope_json, event_hash FROM events WHERE run_id = 'r'";
        let first: (String, String) = raw.query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let head = Draft {
            event_type: EventType::Decision,
            stage: Stage::new("START"),
            policy: PolicyRef {
                policy_id: "structural".into(),
                policy_version: "1".into(),
                stage_graph_id: "v1_default".into(),
            }
            .into(),
            actor: actor().into(),
            payload: Object::new(),
            blobs: Vec::new(),
            events: Vec::new(),
            ts: Timestamp::from_micros(0),
            extra: Object::new(),
        };
        let prev = first.1.parse().unwrap();
        let sealed =
            head.seal(Link { run_id: RunId::new("r"), seq: Seq::new(last).unwrap(), prev: Some(prev) }).unwrap();
        let store = SqliteStore::open(&path).unwrap();
        let mut transaction = store.begin(Scope::Ledger).unwrap();
        transaction.insert_event(&sealed, Timestamp::from_micros(0)).unwrap();
        transaction.commit().unwrap();
        let error = run.append(decision("n")).unwrap_err();
        assert!(matches!(&error, Error::RunBroken { problem, .. } if problem.contains("full")), "{error:?}");
        for threads in [1, 2] {
            let report = Audit::of(&ledger).threads(threads).run().unwrap();
            assert_eq!((report.events, report.overall_verdict()), (4, Verdict::Fail));
        }
    }
}

// Secrets.

#[test]
fn a_secret_is_nowhere_in_the_files() {
    // Put together here, so that no secret stands in this file.
    let secret = |index: usize| format!("{}-{}", "sk", "Zq7x".repeat(8) + &format!("{index:04}"));
    let secrets: Vec<String> = (0..12).map(secret).collect();
    let (folder, path, ledger) = new_ledger();
    let meta = Object::from_iter([("token", Value::from(secrets[0].as_str())), ("plain", "canary-that-stays".into())]);
    let mut run = ledger.start("r", Policy::structural().unwrap(), Actor::new("agent", &secrets[1]), meta).unwrap();
    run.advance("COLLECT", &format!("with {}", secrets[2])).unwrap();
    let mut put = Put::text();
    put.meta = Object::from_iter([("url", secrets[3].as_str())]);
    run.put("log", format!("export KEY={}\n", secrets[4]).as_bytes(), put).unwrap();
    let mut large = vec![b'.'; 3 << 20];
    large.extend_from_slice(secrets[5].as_bytes());
    run.put("large", &large, Put::of_type("application/octet-stream")).unwrap();
    run.append(decision(secrets[6].as_str()).with_key("k")).unwrap();
    run.append_batch(vec![decision(Value::Array(vec![Object::from_iter([("deep", secrets[7].as_str())]).into()]))])
        .unwrap();
    run.decide(&secrets[8], &[&secrets[9]], &secrets[10]).unwrap();
    run.evaluate().unwrap();
    let mut run = ledger.resume("r", Actor::new("agent", &secrets[1])).unwrap();
    run.finalize_as(Verdict::Unknown, &secrets[11]).unwrap();
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(path.with_extension("db-wal").exists());
    assert!(holds("canary-that-stays"), "the search finds what is there");
    for (index, secret) in secrets.iter().enumerate() {
        assert!(!holds(secret), "secret {index} is in the files");
    }
    assert!(!holds(&"Zq7x".repeat(4)), "part of a secret is in the files");
    assert!(ledger.audit().unwrap().overall_verdict().is_success());
}

// Many at once.

#[test]
fn many_writers_of_one_run_lose_and_double_nothing() {
    let (_folder, path, ledger) = new_ledger();
    start(&ledger, "r");
    let (writers, each) = (16, 100);
    thread::scope(|scope| {
        for writer in 0..writers {
            let path = &path;
            scope.spawn(move || {
                let mut run = Ledger::open(path).unwrap().resume("r", actor()).unwrap();
                for index in 0..each {
                    run.append(decision(format!("{writer}.{index}")).with_key(format!("{writer}.{index}"))).unwrap();
                }
            });
        }
    });
    let mut notes = std::collections::BTreeSet::new();
    let mut seqs = Vec::new();
    let facts = ledger
        .events("r", &mut |event| {
            seqs.push(event.seq.get());
            notes.extend(event.payload.get("note").and_then(Value::as_str).map(str::to_owned));
        })
        .unwrap();
    assert_eq!(seqs, (1..=1 + writers * each).collect::<Vec<i64>>());
    assert_eq!(notes.len(), 1600);
    assert!(facts.findings.is_empty());
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Warn);
}
