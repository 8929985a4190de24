//! The table of what evidence can be. Each case goes through a ledger (whole, and the run alone), through a bundle, through
//! the replay of both, and through an import: one judgement, so one answer, and where a form knows less the table says why.

mod ending;
mod import;
mod table;

use crate::common::{RECIPIENT, actor, new_path};
use crate::forge::{Bundle, Forger, rechain, set};
use receipt_kernel::Verdict::{Fail, Pass, Unknown, Warn};
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::check::report::CheckReport;
use receipt_kernel::clock::ManualClock;
use receipt_kernel::{Audit, Check, Digest256, Error, Ledger, Object, Policy, Reason, RunId, Timestamp, Ttl, Verdict};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use table::{Answer, CASES, Case, Replayed, is_a};
use tempfile::TempDir;

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + day * 86_400_000_000)
}

struct Scene {
    path: PathBuf,
    ledger: Ledger,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

/// A ledger that keeps evidence for 30 days, with run `a` of a case.
fn scene(case: &Case) -> Scene {
    let (folder, path) = new_path();
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::create(&path).unwrap().with_clock(clock.clone());
    ledger.add_recipients([RECIPIENT]).unwrap();
    let kept: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok(())
    });
    kept.unwrap();
    let policy = "id = 'p'\nversion = '1'\nstage_graph = 'v1_default'\n[[invariant]]\nid = 'ledger.chain_valid'\n\
                  [[invariant]]\nid = 'receipt.completeness'\nkeys = ['log']";
    let mut run = ledger.start("a", Policy::from_toml(policy).unwrap(), actor(), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    (case.puts)(&mut run);
    run.advance("EVALUATE", "collected").unwrap();
    assert!(run.evaluate().unwrap().overall_verdict.is_success());
    run.advance("DECIDE", "evaluated").unwrap();
    run.decide("ship", &["it passed"], "release it").unwrap();
    run.finalize_as(Warn, "released").unwrap();
    Scene { path, ledger, clock, _folder: folder }
}

impl Scene {
    fn sql(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    /// The bundle of the run before the rows were touched, with the case's changes.
    fn bundle(&self, case: &Case) -> Vec<u8> {
        let mut bundle = Bundle::read(&exported(&self.ledger));
        forge(case, &mut bundle.events);
        (case.records)(&mut bundle);
        bundle.write()
    }
}

fn exported(ledger: &Ledger) -> Vec<u8> {
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("a")), &mut bundle).unwrap();
    bundle
}

/// Changes the events so that nothing but the change is wrong with them.
fn forge(case: &Case, events: &mut Vec<Object>) {
    (case.forge)(events);
    rechain(events);
    let at = events.iter().position(|event| is_a(event, "EVALUATION")).unwrap();
    let head = events[at - 1].get("event_hash").cloned().unwrap();
    set(&mut events[at], &["payload", "snapshot_head", "event_hash"], head);
    rechain(events);
}

fn answer(found: &CheckReport) -> (Verdict, Vec<String>) {
    (found.verdict, codes(found.reasons.iter().filter(|reason| reason.code != "EXPIRED_WITH_RECEIPT")))
}

/// Each code once, in the order in which they came.
fn codes<'r>(reasons: impl IntoIterator<Item = &'r Reason>) -> Vec<String> {
    let mut codes = Vec::new();
    for code in reasons.into_iter().map(|reason| reason.code.to_string()) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes
}

fn wanted((verdict, codes): Answer) -> (Verdict, Vec<String>) {
    (verdict, codes.iter().map(|code| (*code).to_owned()).collect())
}

fn evidence(report: &BundleReport) -> (Verdict, Vec<String>) {
    answer(report.check(Check::Evidence).unwrap())
}

#[test]
fn each_case_has_one_answer_in_a_ledger_in_a_bundle_and_in_the_replay_of_both() {
    for case in CASES {
        let name = case.name;
        let scene = scene(case);
        (case.after)(&scene);
        let bundle = scene.bundle(case);
        let forger = Forger::open(&scene.path);
        forger.edit("a", |events| forge(case, events));
        // A run that commits to nothing has the row that it had.
        drop(forger);
        scene.sql(case.sql);
        let files: Vec<_> =
            case.file.map(|file| ("log".to_owned(), Digest256::of(file).unwrap())).into_iter().collect();

        let ledger = Ledger::open_read_only(&scene.path).unwrap();
        for audit in [Audit::of(&ledger), Audit::of(&ledger).runs([RunId::new("a")]), Audit::of(&ledger).threads(1)] {
            let report = audit.files(files.clone()).run().unwrap();
            assert_eq!(answer(report.check(Check::Evidence).unwrap()), wanted(case.evidence), "{name}: ledger");
        }
        let report = Verify::default().files(&files).run(&mut &bundle[..]).unwrap();
        let in_bundle = case.bundle.map_or(case.evidence, |(answer, _)| answer);
        assert_eq!(evidence(&report), wanted(in_bundle), "{name}: bundle {report:#?}");
        for check in [Check::Format, Check::Content, Check::Columns] {
            assert_eq!(report.check(check).unwrap().verdict, Pass, "{name}: {check} is not what the case is about");
        }

        let replays = ledger.replay(&RunId::new("a")).unwrap();
        let reasons = replays.reasons.iter().chain(replays.evaluations.iter().flat_map(|it| &it.reasons));
        let (of_ledger, of_bundle) = ((replays.verdict, codes(reasons)), answer(report.check(Check::Replay).unwrap()));
        let (ledger_wanted, bundle_wanted) = match case.replay {
            Replayed::Is(answer) => (wanted(answer), wanted(answer)),
            Replayed::Differs(ledger, bundle) => (wanted(ledger), wanted(bundle)),
            Replayed::Unsound => {
                let unsound = ["REPLAY_UNSOUND"].iter().chain(case.evidence.1).map(|code| (*code).to_owned());
                ((Fail, unsound.collect()), (Unknown, vec!["REPLAY_UNSOUND".to_owned()]))
            }
        };
        assert_eq!(of_ledger, ledger_wanted, "{name}: replay of the ledger");
        assert_eq!(of_bundle, bundle_wanted, "{name}: replay of the bundle");
        assert!(case.bundle.is_none_or(|(answer, why)| answer != case.evidence && !why.is_empty()), "{name}");
    }
    assert!(CASES.len() >= 30);
}

/// The evidence of run `a` in a ledger: of the whole, and of the run alone.
fn audited(ledger: &Ledger, files: &[(String, Digest256)]) -> [(Verdict, Vec<String>); 2] {
    [Audit::of(ledger), Audit::of(ledger).runs([RunId::new("a")])].map(|audit| {
        let report = audit.files(files.to_vec()).run().unwrap();
        answer(report.check(Check::Evidence).unwrap())
    })
}
