//! Rules of a ledger's own, today's rules over what was recorded before, and blobs replaced by their redaction.

use crate::common::actor;
use receipt_core::evidence::BlobFact;
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::evidence::scan::{Place, Scanned};
use receipt_kernel::{
    Actor, Append, BlobHash, Error, EventType, EvidenceClass, Ledger, Object, Policy, Put, Redactor, Rules, RunId,
    RunWriter, Value, Verdict,
};
use std::fs;
use std::path::Path;

const OURS: &str = "[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n";

/// No rule knows it, until a ledger has [`OURS`].
const CANARY: &str = "badge-7351";

fn start(ledger: &Ledger, run: &str) -> RunWriter {
    let mut writer = crate::common::start(ledger, run);
    writer.advance("COLLECT", "collecting").unwrap();
    writer
}

fn finish(writer: &mut RunWriter) {
    writer.advance("EVALUATE", "done").unwrap();
    writer.evaluate().unwrap();
    writer.advance("DECIDE", "evaluated").unwrap();
    writer.decide("d", &["it is done"], "none").unwrap();
    writer.finalize("done").unwrap();
}

/// A ledger that recorded the canary before it had a rule for it, opened again with one.
fn ledger(path: &Path) -> (Ledger, BlobHash) {
    let ledger = Ledger::create(path).unwrap();
    let mut run = start(&ledger, "old");
    let text = format!("{}\nthe door opens with {CANARY}\n", "a line of a log\n".repeat(2000));
    let hash = run.put("log", text.as_bytes(), Put::text()).unwrap().hash;
    run.append(Append::new(EventType::Remediation, Object::from_iter([("note", format!("used {CANARY}"))]))).unwrap();
    finish(&mut run);
    ledger.set_own_rules(Some(OURS)).unwrap();
    drop((run, ledger));
    (Ledger::open(path).unwrap(), hash)
}

fn rules_of(scanned: &Scanned) -> Vec<(bool, &str)> {
    let blob = |place: &Place| matches!(place, Place::Blob(_));
    scanned.findings.iter().map(|finding| (blob(&finding.place), &*finding.rule)).collect()
}

fn raw(path: &Path) -> Vec<u8> {
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    folder.flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

#[test]
fn a_ledgers_own_rules_count_for_all_that_it_records() {
    let ledger = Ledger::in_memory();
    ledger.set_own_rules(Some(OURS)).unwrap();
    let meta = Object::from_iter([("m", CANARY)]);
    let mut run = ledger.start("run", Policy::structural().unwrap(), Actor::new("cli", CANARY), meta).unwrap();
    run.advance("COLLECT", CANARY).unwrap();
    let record = run.put("log", CANARY.as_bytes(), Put::text()).unwrap();
    run.append(Append::new(EventType::Remediation, Object::from_iter([("note", CANARY)]))).unwrap();
    run.finalize(CANARY).unwrap();
    assert_eq!(&*ledger.blob(&record.hash).unwrap(), b"[REDACTED:badge]");
    let mut texts = 0;
    ledger
        .events("run", &mut |event| {
            texts += 1;
            assert_eq!(holds(&event.text, CANARY), 0, "{}", String::from_utf8_lossy(&event.text));
        })
        .unwrap();
    assert_eq!(texts, 5);
    assert_eq!(ledger.own_rules().unwrap().as_deref(), Some(OURS));
}

#[test]
fn rules_that_are_not_understood_are_refused_and_with_them_nothing_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::create(&path).unwrap();
    assert!(matches!(ledger.set_own_rules(Some("off = [\"nothing\"]")), Err(Error::RulesInvalid { .. })));
    assert_eq!(ledger.own_rules().unwrap(), None);
    ledger.set_own_rules(Some(OURS)).unwrap();
    drop(ledger);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE settings SET value = '\"nonsense\"' WHERE name = 'redaction_rules'";
    let changed = connection.execute(sql, []).unwrap();
    assert_eq!(changed, 1);
    drop(connection);
    let ledger = Ledger::open(&path).unwrap();
    let started = ledger.start("run", Policy::structural().unwrap(), actor(), Object::new());
    assert!(matches!(started, Err(Error::RulesInvalid { .. })));
    assert!(!ledger.has_run("run").unwrap());
    // Who brings rules of his own can record.
    let ledger = ledger.with_redactor(Redactor::builtin().clone());
    ledger.start("run", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
}

#[test]
fn an_event_says_what_was_not_scanned_and_by_which_rules() {
    let ledger = Ledger::in_memory();
    let allow = "[[allow]]\nid = \"door\"\npattern = 'badge-0000'\n";
    ledger.set_own_rules(Some(&format!("{OURS}{allow}"))).unwrap();
    let mut run = start(&ledger, "run");
    run.put("clean", b"nothing", Put::text()).unwrap();
    run.put("dirty", CANARY.as_bytes(), Put::text()).unwrap();
    run.put("allowed", b"badge-0000", Put::text()).unwrap();
    run.put("packed", b"\x1f\x8b\x08\0 packed", Put::text()).unwrap();
    let mut said = Vec::new();
    ledger
        .events("run", &mut |event| {
            if event.event_type == EventType::EvidencePut {
                let meta = event.payload.get("meta").cloned().unwrap();
                let number = |key: &str| meta.get(key).and_then(Value::as_i64);
                let why = meta.get("unscanned").and_then(Value::as_str).map(str::to_owned);
                said.push((number("redactions"), number("allowed"), why, meta.get("redaction_rules").is_some()));
            }
        })
        .unwrap();
    assert_eq!(
        said,
        [
            // The ledger's rules are not the built-in ones alone: that is said even if they found nothing.
            (None, None, None, true),
            (Some(1), None, None, true),
            (None, Some(1), None, true),
            (None, None, Some("gzip".to_owned()), true)
        ]
    );
}

#[test]
fn todays_rules_find_what_was_recorded_before() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, hash) = ledger(&folder.path().join("ledger.db"));
    let scanned = ledger.scan(&[]).unwrap();
    assert_eq!(rules_of(&scanned), [(false, "badge"), (true, "badge")]);
    assert_eq!(scanned.findings[1].place, Place::Blob(hash));
    assert_eq!(scanned.findings[1].at, Some((32021, 10)));
    assert_eq!((scanned.events, scanned.blobs, scanned.unscanned.len()), (10, 1, 0));
    assert_eq!(scanned.rules, Rules::builtin().unwrap().with(OURS).unwrap().digest().unwrap());
    assert_eq!(ledger.scan(&[RunId::new("old")]).unwrap(), scanned);
    start(&ledger, "other");
    assert!(ledger.scan(&[RunId::new("other")]).unwrap().findings.is_empty());
    assert!(matches!(ledger.scan(&[RunId::new("nobody")]), Err(Error::RunNotFound { .. })));
}

#[test]
fn what_cannot_be_looked_into_is_named() {
    let ledger = Ledger::in_memory();
    ledger.add_recipients(["age1l9kdttktc9g6lzhm4uksn2qvjylw7klzhc50gvghf5rv53uuf5rq4r39zz"]).unwrap();
    let mut run = start(&ledger, "run");
    run.put("packed", b"PK\x03\x04 packed", Put::text()).unwrap();
    run.put("sealed", b"a secret", Put::text().of_class(EvidenceClass::Sealed)).unwrap();
    let scanned = ledger.scan(&[]).unwrap();
    let mut why: Vec<&str> = scanned.unscanned.iter().map(|(_, why)| why.as_str()).collect();
    why.sort_unstable();
    assert_eq!(why, ["sealed", "zip"]);
}

#[test]
fn a_redacted_blob_has_a_receipt_and_leaves_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (ledger, hash) = ledger(&path);
    let opens = format!("the door opens with {CANARY}");
    assert!(holds(&raw(&path), &opens) > 0, "the canary is not even there before");
    let done = ledger.redact(&hash, &actor()).unwrap();
    assert!(done.scrubbed);
    assert_eq!((done.old, done.redactions), (hash, 1));
    assert_eq!(holds(&raw(&path), &opens), 0);
    assert!(ledger.blob(&done.new.hash).unwrap().ends_with(b"the door opens with [REDACTED:badge]\n"));
    assert!(matches!(ledger.blob_record(&hash).unwrap().1, BlobFact::Expired));
    let mut receipt = None;
    ledger
        .events(done.run_id.as_str(), &mut |event| {
            if event.event_type == EventType::BlobExpire {
                receipt = Some(event.payload);
            }
        })
        .unwrap();
    let receipt = receipt.unwrap();
    let said = |key: &str| receipt.get(key).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(said("sha256"), hash.to_string());
    assert_eq!(said("replaced_by"), done.new.hash.to_string());
    assert_eq!(said("redaction_rules"), done.rules);
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
    // A bundle of the old run has not the receipt, which is in another one.
    for (run, verdict) in [("old", Verdict::Unknown), (done.run_id.as_str(), Verdict::Pass)] {
        let mut bundle = Vec::new();
        ledger.export(&Export::of(RunId::new(run)), &mut bundle).unwrap();
        let report = Verify::default().run(&mut &bundle[..]).unwrap();
        assert_eq!(report.overall_verdict(), verdict, "{report:#?}");
    }
    // What events say stays there.
    assert_eq!(rules_of(&ledger.scan(&[]).unwrap()), [(false, "badge")]);
    let again = ledger.redact(&done.new.hash, &actor());
    assert!(matches!(again, Err(Error::NothingToRedact { .. })));
}

#[test]
fn a_removed_blob_without_the_receipt_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (ledger, hash) = ledger(&path);
    drop(ledger);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE sha256 = ?1";
    assert_eq!(connection.execute(sql, [hash.to_string()]).unwrap(), 1);
    drop(connection);
    assert_eq!(Ledger::open(&path).unwrap().audit().unwrap().overall_verdict(), Verdict::Fail);
}

#[test]
fn what_is_on_hold_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, hash) = ledger(&folder.path().join("ledger.db"));
    let hold = |held: bool| {
        let changed: Result<_, Error> = ledger.set_retention(|retention| {
            retention.holds.clear();
            if held {
                retention.holds.insert("old".to_owned(), "asked for".to_owned());
            }
            Ok(())
        });
        changed.unwrap();
    };
    hold(true);
    let refused = ledger.redact(&hash, &actor());
    assert!(matches!(refused, Err(Error::Held { .. })));
    assert!(matches!(ledger.blob_record(&hash).unwrap().1, BlobFact::Intact { .. }));
    hold(false);
    ledger.redact(&hash, &actor()).unwrap();
}

#[test]
fn a_secret_reaches_the_files_by_no_way_that_evidence_is_named_or_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = Ledger::create(&path).unwrap();
    ledger.set_own_rules(Some(OURS)).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    let meta = || Object::from_iter([("note", format!("with {CANARY}"))]);
    let actor = Actor::new(format!("kind-{CANARY}"), format!("id {CANARY}"));
    let mut run = ledger.start("r", Policy::structural().unwrap(), actor, meta()).unwrap();
    run.advance("COLLECT", &format!("because of {CANARY}")).unwrap();
    let put = || Put { meta: meta(), ..Put::of_type(format!("text/plain; a={CANARY}")).of_kind(format!("k:{CANARY}")) };
    let key = format!("key {CANARY}");
    let record = run.put(&key, format!("a {CANARY}").as_bytes(), put()).unwrap();
    assert!(record.content_type.contains("[REDACTED:badge]"));
    run.put_reader(&key, &mut format!("b {CANARY}").as_bytes(), put()).unwrap();
    let digest = receipt_kernel::evidence::Digest256 { hash: record.hash, bytes_len: 9 };
    run.put_digest(&key, &digest, &format!("name {CANARY}"), put()).unwrap();
    run.append(Append::new(EventType::Remediation, meta())).unwrap();
    assert_eq!(holds(&raw(&path), CANARY), 0, "while it is open, with its WAL");
    assert!(holds(&raw(&path), "REDACTED:badge") > 10);
}
