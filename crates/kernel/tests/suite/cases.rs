//! The table of what evidence can be. Each case goes through a ledger (whole, and the run alone), through a bundle, through
//! the replay of both, and through an import: one judgement, so one answer, and where a form knows less the table says why.

use crate::common::{RECIPIENT, actor, new_path, start};
use crate::forge::{Bundle, Forger, event_like, get, rechain, set};
use receipt_core::json::Value;
use receipt_kernel::Verdict::{Fail, Pass, Unknown, Warn};
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::check::report::CheckReport;
use receipt_kernel::clock::ManualClock;
use receipt_kernel::{
    Audit, BlobHash, Check, Digest256, Error, Ledger, Object, Policy, Put, Reason, RunId, RunWriter, Timestamp, Ttl,
    Verdict,
};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const LOG: &[u8] = b"twelve bytes";

type Answer = (Verdict, &'static [&'static str]);

const PASS: Answer = (Pass, &[]);

/// What a replay says.
enum Replayed {
    /// The same of both.
    Is(Answer),
    /// The run does not verify: of a ledger that is FAIL; a bundle says FAIL of its evidence, and UNKNOWN of its replay.
    Unsound,
    /// Of the ledger, and of the bundle.
    Differs(Answer, Answer),
}

struct Case {
    name: &'static str,
    /// What run `a` puts before it is judged.
    puts: fn(&mut RunWriter),
    /// What is done once it is over.
    after: fn(&Scene),
    /// What somebody does to its events, in the ledger and in the bundle, and gives them their hashes.
    forge: fn(&mut Vec<Object>),
    /// What somebody does to the rows.
    sql: &'static str,
    /// The like of it, done to the bundle.
    records: fn(&mut Bundle),
    /// A file that is given for the key `log`.
    file: Option<&'static [u8]>,
    evidence: Answer,
    /// What a bundle says, if it is something else, and why.
    bundle: Option<(Answer, &'static str)>,
    replay: Replayed,
}

fn log(run: &mut RunWriter) {
    run.put("log", LOG, Put::text()).unwrap();
}

/// A case with which nothing is wrong.
const SOUND: Case = Case {
    name: "sound",
    puts: log,
    after: |_| {},
    forge: |_| {},
    sql: "",
    records: |_| {},
    file: None,
    evidence: PASS,
    bundle: None,
    replay: Replayed::Is(PASS),
};

const NOT_SHOWN: &str = "a bundle has one run: the receipt may be in another";
const OTHERS: &str = "a bundle has one run: another one may have put the blob as sealed";
const LEFT_OUT: &str = "whoever made the bundle left the bytes out, or never had them";

/// The events that put something, by their place among those.
fn put(events: &mut [Object], at: usize) -> &mut Object {
    events.iter_mut().filter(|event| is_a(event, "EVIDENCE_PUT")).nth(at).unwrap()
}

fn is_a(event: &Object, event_type: &str) -> bool {
    event.get("event_type").and_then(Value::as_str) == Some(event_type)
}

fn say(events: &mut [Object], at: usize, member: &str, value: impl Into<Value>) {
    set(put(events, at), &["payload", "evidence", member], value);
}

/// Makes the decision of the run a receipt of it for the log.
fn receipt(events: &mut [Object], members: &[(&'static str, Value)]) {
    let at = events.iter().position(|event| is_a(event, "DECISION")).unwrap();
    let mut payload = Object::from_iter([("sha256", Value::from(BlobHash::of(LOG).to_hex()))]);
    for (name, value) in members {
        payload.insert(*name, value.clone());
    }
    let stage = events[at].get("stage").and_then(Value::as_str).unwrap().to_owned();
    events[at] = event_like(&events[at], "BLOB_EXPIRE", &stage, payload);
}

/// Puts the log once more, after the decision.
fn put_again(events: &mut Vec<Object>) {
    let at = events.iter().position(|event| is_a(event, "DECISION") || is_a(event, "BLOB_EXPIRE")).unwrap();
    let stage = events[at].get("stage").and_then(Value::as_str).unwrap().to_owned();
    let payload = get(put(events, 0), &["payload"]).and_then(Value::as_object).unwrap().clone();
    let again = event_like(&events[at], "EVIDENCE_PUT", &stage, payload);
    events.insert(at + 1, again);
}

const REMOVE: &str = "UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE bytes_len = 12";

fn record(bundle: &mut Bundle) -> &mut (Object, Option<Vec<u8>>) {
    let log = BlobHash::of(LOG).to_hex();
    bundle.blobs.iter_mut().find(|blob| blob.0.get("sha256").and_then(Value::as_str) == Some(&log)).unwrap()
}

fn expired(bundle: &mut Bundle) {
    let record = record(bundle);
    record.0.insert("state", "expired");
    record.1 = None;
}

const CASES: &[Case] = &[
    SOUND,
    Case { name: "of no bytes", puts: |run| _ = run.put("log", b"", Put::text()).unwrap(), ..SOUND },
    Case {
        name: "other bytes",
        sql: "UPDATE blobs SET data = CAST('twelve bytez' AS BLOB)",
        records: |bundle| record(bundle).1 = Some(b"twelve bytez".to_vec()),
        evidence: (Fail, &["BLOB_HASH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "fewer bytes",
        sql: "UPDATE blobs SET data = X'00', bytes_len = 1",
        records: |bundle| {
            record(bundle).0.insert("bytes_len", 1);
            record(bundle).1 = Some(vec![0]);
        },
        evidence: (Fail, &["BLOB_HASH_MISMATCH", "EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "nothing there",
        sql: "DELETE FROM blobs",
        records: |bundle| {
            let missing = [("bytes_len", Value::from(0)), ("content_type", "".into()), ("state", "missing".into())];
            for (name, value) in missing {
                record(bundle).0.insert(name, value);
            }
            record(bundle).1 = None;
        },
        evidence: (Fail, &["BLOB_MISSING"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time with another length",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "bytes_len", 11),
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time as another type",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "content_type", "text/html"),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time as sealed",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "evidence_class", "sealed"),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice under two types, of which the first stays",
        puts: |run| {
            log(run);
            run.put("again", LOG, Put::json()).unwrap();
        },
        ..SOUND
    },
    Case {
        name: "an event that names two blobs",
        forge: |events| say(events, 0, "sha256", BlobHash::of(b"").to_hex()),
        evidence: (Fail, &["EVIDENCE_MALFORMED"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "a row of another type",
        sql: "UPDATE blobs SET content_type = 'text/html'",
        records: |bundle| drop(record(bundle).0.insert("content_type", "text/html")),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "a row of a stricter class than any event says",
        sql: "UPDATE blobs SET evidence_class = 'sealed'",
        records: |bundle| drop(record(bundle).0.insert("evidence_class", "sealed")),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        bundle: Some(((Warn, &["EVIDENCE_CLASS_UNPROVED"]), OTHERS)),
        // Whether another run put it so is asked once the whole ledger was read; a replay reads one run.
        replay: Replayed::Differs((Fail, &["REPLAY_UNSOUND", "EVIDENCE_ROW_MISMATCH"]), PASS),
        ..SOUND
    },
    Case {
        name: "another run put it as sealed",
        after: |scene| {
            start(&scene.ledger, "b").put("log", LOG, Put::text()).unwrap();
            Forger::open(&scene.path).edit("b", |events| say(events, 0, "evidence_class", "sealed"));
            scene.sql("UPDATE blobs SET evidence_class = 'sealed'");
        },
        // Plain text of class sealed does not leave its ledger.
        records: |bundle| {
            record(bundle).0.insert("state", "live");
            record(bundle).1 = Some(LOG.to_vec());
        },
        bundle: Some(((Warn, &["EVIDENCE_CLASS_UNPROVED"]), OTHERS)),
        ..SOUND
    },
    Case {
        name: "a run that commits to nothing, of another class and type than the row",
        forge: |events| {
            events[0].insert("payload", Object::new());
            say(events, 0, "evidence_class", "secret");
            say(events, 0, "content_type", "text/html");
        },
        replay: Replayed::Is((Unknown, &["REPLAY_UNCOMMITTED"])),
        ..SOUND
    },
    Case {
        name: "removed, and nothing says by whom",
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_INPUT_GONE"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed by retention",
        after: |scene| {
            scene.clock.set(at(40));
            scene.ledger.retain(&actor(), &mut |_, _| {}).unwrap();
        },
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs((Warn, &["REPLAY_EVIDENCE_EXPIRED"]), (Unknown, &["REPLAY_INPUT_GONE"])),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of the run itself",
        forge: |events| receipt(events, &[("bytes_len", 12.into())]),
        sql: REMOVE,
        records: expired,
        replay: Replayed::Is((Warn, &["REPLAY_EVIDENCE_EXPIRED"])),
        ..SOUND
    },
    Case {
        name: "removed, purged, with a receipt of the run itself",
        forge: |events| receipt(events, &[]),
        sql: "UPDATE blobs SET data = NULL, state = 'purged'",
        records: expired,
        replay: Replayed::Is((Warn, &["REPLAY_EVIDENCE_EXPIRED"])),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of the run itself that stands before the last put",
        forge: |events| {
            receipt(events, &[]);
            put_again(events);
        },
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_INPUT_GONE"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt for another length",
        forge: |events| receipt(events, &[("bytes_len", 11.into())]),
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of retention for another class",
        forge: |events| receipt(events, &[("reason", "retention".into()), ("evidence_class", "sealed".into())]),
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_INPUT_GONE"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed with a receipt, and a row of another length",
        forge: |events| receipt(events, &[]),
        sql: "UPDATE blobs SET data = NULL, state = 'expired_hash_only', bytes_len = 5",
        records: |bundle| {
            expired(bundle);
            record(bundle).0.insert("bytes_len", 5);
        },
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "removed with a receipt, and the file is another",
        forge: |events| receipt(events, &[]),
        sql: REMOVE,
        records: expired,
        file: Some(b"twelve bytez"),
        evidence: (Fail, &["EVIDENCE_FILE_MISMATCH"]),
        // A replay of a ledger is given no files.
        replay: Replayed::Differs((Warn, &["REPLAY_EVIDENCE_EXPIRED"]), (Unknown, &["REPLAY_UNSOUND"])),
        ..SOUND
    },
    Case {
        name: "by digest",
        puts: by_digest,
        evidence: (Warn, &["EVIDENCE_ELSEWHERE"]),
        bundle: Some(((Unknown, &["EVIDENCE_WITHHELD"]), LEFT_OUT)),
        ..SOUND
    },
    Case { name: "by digest, and the file is the one", puts: by_digest, file: Some(LOG), ..SOUND },
    Case {
        name: "by digest, and the file is another",
        puts: by_digest,
        file: Some(b"twelve bytez"),
        evidence: (Fail, &["EVIDENCE_FILE_MISMATCH"]),
        replay: Replayed::Differs(PASS, (Unknown, &["REPLAY_UNSOUND"])),
        ..SOUND
    },
    Case {
        name: "by digest, and then whole as another type",
        puts: |run| {
            by_digest(run);
            run.put("whole", LOG, Put::json()).unwrap();
        },
        ..SOUND
    },
    Case {
        name: "by digest, and another run puts it whole later",
        puts: by_digest,
        after: |scene| _ = start(&scene.ledger, "b").put("log", LOG, Put::json()).unwrap(),
        ..SOUND
    },
    Case {
        name: "by digest with another length, and then whole",
        puts: |run| {
            by_digest(run);
            run.put("whole", LOG, Put::json()).unwrap();
        },
        forge: |events| say(events, 0, "bytes_len", 11),
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "withheld",
        records: |bundle| {
            record(bundle).0.insert("state", "withheld");
            record(bundle).1 = None;
        },
        bundle: Some(((Unknown, &["EVIDENCE_WITHHELD"]), LEFT_OUT)),
        replay: Replayed::Differs(PASS, (Unknown, &["REPLAY_INPUT_GONE"])),
        ..SOUND
    },
    Case {
        name: "withheld, and the file is the one",
        records: |bundle| {
            record(bundle).0.insert("state", "withheld");
            record(bundle).1 = None;
        },
        file: Some(LOG),
        // Nothing is missing from the ledger.
        evidence: (Unknown, &["EVIDENCE_FILE_UNUSED"]),
        bundle: Some((PASS, "what was left out can be compared with a file")),
        ..SOUND
    },
    Case {
        name: "sealed",
        puts: |run| {
            log(run);
            run.put("notes", b"notes", Put::text().of_class(receipt_kernel::EvidenceClass::Sealed)).unwrap();
        },
        ..SOUND
    },
];

fn by_digest(run: &mut RunWriter) {
    let file = Digest256 { hash: BlobHash::of(LOG), bytes_len: 12 };
    run.put_digest("log", &file, "log.txt", Put::text()).unwrap();
}

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

#[test]
fn an_import_judges_as_its_bundle_did_and_so_does_the_bundle_that_is_made_of_it() {
    let mut taken = 0;
    for (case, shared) in CASES.iter().flat_map(|case| [(case, false), (case, true)]) {
        let name = format!("{}{}", case.name, if shared { ", shared with a run of mine" } else { "" });
        let scene = scene(case);
        (case.after)(&scene);
        let bundle = scene.bundle(case);
        let files: Vec<_> =
            case.file.map(|file| ("log".to_owned(), Digest256::of(file).unwrap())).into_iter().collect();
        let asked = Verify::default().files(&files);
        let before = asked.run(&mut &bundle[..]).unwrap();

        let here = Ledger::in_memory();
        if shared {
            let mut mine = start(&here, "mine");
            mine.put("k", LOG, Put::of_type("image/png")).unwrap();
            mine.put("k", b"", Put::of_type("image/png")).unwrap();
        }
        let imported = here.import(&asked, &mut &bundle[..]).unwrap();
        if !imported.report.overall_verdict().is_success() {
            assert!(!here.has_run("a").unwrap(), "{name}: nothing of it is kept");
            // Of what is not in the bundle nothing could be kept.
            let left_out = case.name == "withheld, and the file is the one";
            assert_eq!(before.overall_verdict().is_success(), left_out, "{name}");
            continue;
        }
        taken += 1;
        // With the bytes at hand no file is of use.
        let files = if shared { Vec::new() } else { files };
        let asked = Verify::default().files(&files);
        for (verdict, codes) in audited(&here, &files) {
            let same = (verdict, &codes) == (evidence(&before).0, &evidence(&before).1);
            // Its class is from here on what its own events say.
            let proved = verdict == Pass && evidence(&before).1 == ["EVIDENCE_CLASS_UNPROVED"];
            assert!(
                same || proved || shared && verdict == Pass,
                "{name}: {verdict} {codes:?}, in the bundle {:?}",
                evidence(&before)
            );
        }
        let replayed = here.replay(&RunId::new("a")).unwrap();
        let replay = before.check(Check::Replay).unwrap();
        assert!(replayed.verdict == replay.verdict || shared && replayed.verdict == Pass, "{name}: {replayed:?}");

        let again = exported(&here);
        let after = asked.run(&mut &again[..]).unwrap();
        assert!(after.overall_verdict().is_success(), "{name}: {after:#?}");
        let there = Ledger::in_memory();
        assert!(there.import(&asked, &mut &again[..]).unwrap().new, "{name}");
        for (verdict, codes) in audited(&there, &files) {
            assert_eq!((verdict, codes), evidence(&after), "{name}: imported from a ledger that had imported it");
        }
        assert_eq!(exported(&there), again, "{name}");
    }
    assert!(taken >= 18, "{taken}");
}

#[test]
fn what_only_others_vouch_for_is_not_imported() {
    let scene = scene(&SOUND);
    scene.clock.set(at(40));
    let removal = scene.ledger.retain(&actor(), &mut |_, _| {}).unwrap().run_id.unwrap();
    let (bundle, mut removal_bundle) = (exported(&scene.ledger), Vec::new());
    scene.ledger.export(&Export::of(removal), &mut removal_bundle).unwrap();
    let receipts = Verify::default().run(&mut &removal_bundle[..]).unwrap().receipts;
    let asked = Verify::default().receipts(&receipts);
    assert_eq!(evidence(&asked.run(&mut &bundle[..]).unwrap()), (Pass, vec![]), "the control");
    let here = Ledger::in_memory();
    let imported = here.import(&asked, &mut &bundle[..]).unwrap();
    assert_eq!(evidence(&imported.report), (Unknown, vec!["EXPIRY_UNPROVED".to_owned()]));
    assert!(!here.has_run("a").unwrap());
}

#[test]
fn a_receipt_in_a_run_of_mine_does_not_excuse_that_a_row_is_missing() {
    let scene = scene(&SOUND);
    let forger = Forger::open(&scene.path);
    forger.edit("a", |events| {
        receipt(events, &[]);
        rechain(events);
    });
    drop(forger);
    scene.sql("DELETE FROM blobs");
    let ledger = Ledger::open_read_only(&scene.path).unwrap();
    for found in audited(&ledger, &[]) {
        assert_eq!(found, (Fail, vec!["BLOB_MISSING".to_owned()]));
    }
}

/// What verify and replay say of a run that ended well though nothing evaluated it, in a ledger and as a bundle.
#[test]
fn a_run_that_ended_well_without_an_evaluation_is_never_borne_out_by_a_replay() {
    for (commits, ended, verify, replay) in [
        (true, "pass", Fail, [Fail, Unknown]),
        (false, "pass", Pass, [Unknown, Unknown]),
        (false, "warn", Pass, [Unknown, Unknown]),
        (false, "fail", Pass, [Pass, Pass]),
    ] {
        let name = format!("{commits}, {ended}");
        let scene = scene(&SOUND);
        let change = |events: &mut Vec<Object>| {
            events.retain(|event| !is_a(event, "EVALUATION"));
            set(events.last_mut().unwrap(), &["payload", "verdict"], ended);
            set(events.last_mut().unwrap(), &["payload", "overall_verdict"], ended);
            if !commits {
                events[0].insert("payload", Object::new());
            }
            rechain(events);
        };
        let mut bundle = Bundle::read(&exported(&scene.ledger));
        change(&mut bundle.events);
        Forger::open(&scene.path).edit("a", change);
        let ledger = Ledger::open_read_only(&scene.path).unwrap();
        let path = |checks: &[CheckReport]| {
            let path = checks.iter().find(|check| check.check == Check::Path).unwrap();
            if path.required { path.verdict } else { Pass }
        };
        let in_ledger = ledger.audit().unwrap();
        let report = Verify::default().run(&mut &bundle.write()[..]).unwrap();
        assert_eq!([path(&in_ledger.checks), path(&report.checks)], [verify; 2], "{name}");
        let of_bundle = report.check(Check::Replay).unwrap();
        let replays = ledger.replay(&RunId::new("a")).unwrap();
        assert_eq!([replays.verdict, of_bundle.verdict], replay, "{name}: {replays:?} {of_bundle:?}");
        let counts = of_bundle.required || of_bundle.verdict == Pass;
        assert_eq!(counts, commits || of_bundle.verdict == Pass, "{name}: nothing binds a run that commits to nothing");
        if !commits && replay == [Unknown; 2] {
            assert_eq!(replays.reasons[0].code, "REPLAY_NOT_EVALUATED");
            assert_eq!(of_bundle.reasons[0].code, "REPLAY_NOT_EVALUATED");
        }
    }
}
