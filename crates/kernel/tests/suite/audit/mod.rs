//! An audit finds each kind of tampering with a ledger, and says which it was.

#![allow(clippy::too_many_lines)] // tables

mod damage;
mod events;
mod evidence;
mod path;

use crate::common::{RECIPIENT, new_path};
use crate::forge::Forger;
use receipt_core::json::Value;
use receipt_kernel::{Actor, Audit, Check, Error, EvidenceClass, Ledger, Object, Policy, Put, Report, RunId, Verdict};
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
    assert_eq!((report.runs, report.events, report.blobs, report.outcomes.unfinished), (2, 20, 4, 0));
    assert_eq!(report.checks.iter().map(|check| check.check).collect::<Vec<_>>(), Check::ALL);
    for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Fork, Check::Key] {
        let found = report.check(check).unwrap();
        assert_eq!((found.verdict, found.required), (Verdict::Unknown, false));
        assert_eq!(found.reasons[0].code, "NO_ANCHOR");
    }
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
