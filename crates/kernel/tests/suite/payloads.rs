//! Payloads that no writer leaves: the parser, the audit, the invariants and the bundle verifier give the same answer.

use crate::common::new_path;
use crate::forge::{Bundle, Forger, event_like, object, text};
use receipt_core::invariant;
use receipt_core::payload::EvidencePut;
use receipt_core::run::Snapshot;
use receipt_kernel::bundle::{BundleReport, Export, Verify};
use receipt_kernel::{
    Actor, Audit, BlobHash, Check, Ledger, Object, Policy, Put, Reason, Report, RunId, Value, Verdict,
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const EVENT: &str = "event://a/3";
const LOG: &[u8] = b"the log";

/// Who finds fault with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nobody.
    None,
    /// Everybody, but only in a run with a commitment.
    Committed,
    /// In a run without a commitment only the invariants: nothing is claimed of a blob.
    NoClaim,
    /// In a run without a commitment not the invariants, which the Python package lets leave the length out.
    NoLength,
    /// Everybody, in any run.
    Any,
}

/// Members of `payload.evidence` that replace those of the good one; `null` in the table below stands for itself, and a
/// name with a `-` before it is removed.
const EVIDENCE: &[(&str, Fault)] = &[
    ("{}", Fault::None),
    (r#"{"sha256":"UPPER"}"#, Fault::Any),
    (r#"{"sha256":"UPPER","ref":"blob://sha256:UPPER"}"#, Fault::Any),
    (r#"{"sha256":null}"#, Fault::Any),
    (r#"{"sha256":""}"#, Fault::Any),
    (r#"{"sha256":5}"#, Fault::Any),
    (r#"{"sha256":"HASH0"}"#, Fault::Any),
    (r#"{"-sha256":0}"#, Fault::Any),
    (r#"{"-ref":0}"#, Fault::Any),
    (r#"{"ref":null}"#, Fault::Any),
    (r#"{"ref":"HASH"}"#, Fault::Any),
    (r#"{"ref":"blob://sha256:OTHER"}"#, Fault::Any),
    (r#"{"sha256":"OTHER"}"#, Fault::Any),
    (r#"{"bytes_len":-7}"#, Fault::Any),
    (r#"{"bytes_len":7.0}"#, Fault::Any),
    (r#"{"bytes_len":"7"}"#, Fault::Any),
    (r#"{"bytes_len":true}"#, Fault::Any),
    (r#"{"bytes_len":9223372036854775808}"#, Fault::Any),
    (r#"{"bytes_len":18446744073709551615}"#, Fault::Any),
    (r#"{"bytes_len":18446744073709551616}"#, Fault::Any),
    (r#"{"bytes_len":null}"#, Fault::NoLength),
    (r#"{"-bytes_len":0}"#, Fault::NoLength),
    (r#"{"evidence_class":"secret"}"#, Fault::Committed),
    (r#"{"evidence_class":"Public"}"#, Fault::Committed),
    (r#"{"evidence_class":5}"#, Fault::Any),
    (r#"{"evidence_class":["sealed"]}"#, Fault::Any),
    (r#"{"content_type":"\ud800"}"#, Fault::Committed),
    (r#"{"content_type":5}"#, Fault::Any),
    (r#"{"more":[1,{"sha256":"OTHER"}]}"#, Fault::None),
];

/// The same of the payload.
const PAYLOAD: &[(&str, Fault)] = &[
    (r#"{"evidence":{}}"#, Fault::NoClaim),
    (r#"{"evidence":null}"#, Fault::NoClaim),
    (r#"{"-evidence":0}"#, Fault::NoClaim),
    (r#"{"evidence":[]}"#, Fault::Any),
    (r#"{"evidence":"blob://sha256:HASH"}"#, Fault::Any),
    (r#"{"evidence":5}"#, Fault::Any),
    (r#"{"key":null}"#, Fault::NoClaim),
    (r#"{"key":5}"#, Fault::NoClaim),
    (r#"{"-key":0}"#, Fault::NoClaim),
    (r#"{"key":"\ud800"}"#, Fault::None),
    (r#"{"meta":[]}"#, Fault::NoClaim),
    (r#"{"meta":null}"#, Fault::None),
    (r#"{"-meta":0}"#, Fault::None),
    (r#"{"meta":{"evidence_kind":5}}"#, Fault::NoClaim),
    (r#"{"meta":{"by_digest":"name"}}"#, Fault::None),
    (r#"{"meta":{"by_digest":null}}"#, Fault::None),
];

/// A ledger with one run, whose third event puts evidence, and the bundle of that run.
fn scene() -> (TempDir, PathBuf, Bundle) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let actor = Actor::new("system", "test");
    let mut run = ledger.start("a", Policy::structural().unwrap(), actor, Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    run.put("log", LOG, Put::text()).unwrap();
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("a")), &mut bundle).unwrap();
    drop(run);
    (folder, path, Bundle::read(&bundle))
}

/// The table's text with the hashes of this scene.
fn change(text: &str) -> Object {
    let hash = BlobHash::of(LOG).to_string();
    let other = BlobHash::of(b"other").to_string();
    let text = text.replace("UPPER", &hash.to_uppercase()).replace("OTHER", &other);
    object(text.replace("HASH", &hash).as_bytes())
}

fn changed(good: &Object, change: &Object) -> Object {
    let mut object = good.clone();
    for (key, value) in change {
        let name = key.as_str().unwrap();
        match name.strip_prefix('-') {
            Some(name) => drop(object.remove(name)),
            None => drop(object.insert(name, value.clone())),
        }
    }
    object
}

fn audit(path: &Path) -> Report {
    Audit::of(&Ledger::open_read_only(path).unwrap()).run().unwrap()
}

fn snapshot(path: &Path) -> Snapshot {
    Ledger::open_read_only(path).unwrap().snapshot("a", &[]).unwrap()
}

fn verify(bundle: &[u8]) -> BundleReport {
    Verify::default().run(&mut &*bundle).unwrap()
}

fn is_malformed(reasons: &[Reason]) -> bool {
    let codes = ["EVIDENCE_MALFORMED", "NO_EVIDENCE"];
    let of_event = |reason: &Reason| reason.pointers.iter().any(|at| at == EVENT);
    reasons
        .iter()
        .any(|reason| of_event(reason) && (codes.contains(&&*reason.code) || reason.msg.contains("two blobs")))
}

#[test]
fn every_reader_finds_the_same_fault_with_an_evidence_put() {
    let (_folder, path, whole) = scene();
    let good = whole.events[2].get("payload").and_then(Value::as_object).unwrap().clone();
    let good_evidence = good.get("evidence").and_then(Value::as_object).unwrap().clone();
    let evidence = EVIDENCE.iter().map(|(text, fault)| {
        let evidence = Value::from(changed(&good_evidence, &change(text)));
        (*text, *fault, changed(&good, &Object::from_iter([("evidence", evidence)])))
    });
    let payloads = PAYLOAD.iter().map(|(text, fault)| (*text, *fault, changed(&good, &change(text))));
    let mut cases = 0;
    for (name, fault, payload) in evidence.chain(payloads) {
        for committed in [true, false] {
            let name = format!("{name}, {}", if committed { "with a commitment" } else { "without" });
            let (is_flaw, is_claim_flaw) = match fault {
                Fault::None => (false, false),
                Fault::Committed => (committed, committed),
                Fault::NoClaim => (true, committed),
                Fault::NoLength => (committed, true),
                Fault::Any => (true, true),
            };
            let parsed = EvidencePut::parse(text(&payload).as_bytes());
            assert_eq!(parsed.flaw(committed).is_some(), is_flaw, "{name}: {parsed:?}");
            assert_eq!(parsed.claim_flaw(committed).is_some(), is_claim_flaw, "{name}: {parsed:?}");

            let mut bundle = whole.clone();
            if !committed {
                bundle.events[0].insert("payload", Object::new());
            }
            bundle.events[2].insert("payload", payload.clone());
            bundle.rechain();
            Forger::open(&path).edit("a", |events| events.clone_from(&bundle.events));

            let report = audit(&path);
            assert_eq!(report.check(Check::Content).unwrap().verdict, Verdict::Pass, "{name}: {report:?}");
            let found = report.check(Check::Evidence).unwrap();
            assert_eq!(is_malformed(&found.reasons), is_claim_flaw, "{name}: audit {found:?}");

            let report = verify(&bundle.write());
            let found = report.check(Check::Evidence).unwrap();
            assert_eq!(is_malformed(&found.reasons), is_claim_flaw, "{name}: bundle {found:?}");

            let run = snapshot(&path);
            let completeness = invariant::from_params("receipt.completeness", &Object::new()).unwrap();
            let result = invariant::evaluate(completeness.as_ref(), &run);
            assert_eq!(is_malformed(&result.reasons), is_flaw, "{name}: invariant {result:?}");
            assert!(!is_flaw || !run.evidence_is_complete(), "{name}: the evidence is called complete");
            cases += 1;
        }
    }
    assert_eq!(cases, 2 * (EVIDENCE.len() + PAYLOAD.len()));
}

/// The bundle with the trailer that is right for its lines.
fn with_trailer(bundle: &str) -> String {
    let mut lines: Vec<String> = bundle.lines().map(str::to_owned).collect();
    let mut trailer = object(lines.pop().unwrap().as_bytes());
    let covered = lines.iter().filter(|line| !line.starts_with('"')).map(|line| format!("{line}\n"));
    trailer.insert("sha256", BlobHash::of(covered.collect::<String>().as_bytes()).to_string());
    lines.push(text(&trailer));
    lines.join("\n") + "\n"
}

/// Texts that mean one thing to one JSON reader and another to the next: the parser takes none of them, and no envelope that
/// has one is read at all.
#[test]
fn a_payload_that_is_not_canonical_names_no_blob() {
    let (_folder, path, whole) = scene();
    let event = text(&whole.events[2]);
    let payload = text(whole.events[2].get("payload").and_then(Value::as_object).unwrap());
    let hash = BlobHash::of(LOG).to_string();
    let other = BlobHash::of(b"other").to_string();
    let escaped = format!("\\u{:04x}{}", u32::from(hash.as_bytes()[0]), &hash[1..]);
    let acts = [
        (format!("\"sha256\":\"{hash}\""), format!("\"sha256\":\"{other}\",\"sha256\":\"{hash}\"")),
        (format!("\"sha256\":\"{hash}\""), format!("\"sha256\":\"{hash}\",\"sha256\":\"{other}\"")),
        ("\"bytes_len\":7".to_owned(), "\"bytes_len\":7,\"bytes_len\":7".to_owned()),
        ("\"evidence\":{".to_owned(), "\"evidence\":{},\"evidence\":{".to_owned()),
        ("\"key\":\"log\"".to_owned(), "\"key\":\"log\",\"key\":\"log\"".to_owned()),
        (format!("\"sha256\":\"{hash}\""), format!("\"sha256\":\"{escaped}\"")),
        (format!("\"ref\":\"blob://sha256:{hash}\""), format!("\"ref\":\"blob://sha256:{escaped}\"")),
    ];
    let good = String::from_utf8(whole.write()).unwrap();
    assert_eq!(with_trailer(&good), good);
    assert_eq!(verify(good.as_bytes()).check(Check::Content).unwrap().verdict, Verdict::Pass);
    assert!(EvidencePut::parse(payload.as_bytes()).blob().is_some());
    for (from, to) in acts {
        let put = EvidencePut::parse(payload.replacen(&from, &to, 1).as_bytes());
        assert!(put.hash.is_err() && put.claim_flaw(false).is_some() && put.flaw(true).is_some(), "{to}: {put:?}");

        let forged = event.replacen(&from, &to, 1);
        assert_ne!(forged, event);
        let sql = "UPDATE events SET envelope_json = ?1 WHERE run_id = 'a' AND seq = 3";
        assert_eq!(Forger::open(&path).execute(sql, [&forged]).unwrap(), 1);
        assert_eq!(audit(&path).check(Check::Content).unwrap().verdict, Verdict::Fail, "{to}");
        let run = snapshot(&path);
        assert_eq!((run.events().len(), run.facts().is_clean()), (2, false), "{to}");
        let report = verify(with_trailer(&good.replacen(&event, &forged, 1)).as_bytes());
        assert_eq!(report.check(Check::Content).unwrap().verdict, Verdict::Fail, "{to}");
    }
}

#[test]
fn a_blob_expire_whose_from_state_is_not_live_is_no_receipt() {
    let (_folder, _path, whole) = scene();
    let cases =
        [("\"live\"", true), ("null", true), ("\"purged\"", false), ("5", false), ("[\"live\"]", false), ("{}", false)];
    for (from, is_receipt) in cases {
        let mut bundle = whole.clone();
        let hash = BlobHash::of(LOG);
        let payload = object(format!("{{\"from_state\":{from},\"sha256\":\"{hash}\"}}").as_bytes());
        let expire = event_like(&bundle.events[2], "BLOB_EXPIRE", "COLLECT", payload);
        bundle.events.push(expire);
        bundle.rechain();
        bundle.blobs[0].0.insert("state", "expired");
        bundle.blobs[0].1 = None;
        let report = verify(&bundle.write());
        let found = report.check(Check::Evidence).unwrap();
        let is_open = found.reasons.iter().any(|reason| reason.code == "EXPIRY_UNPROVED");
        assert_eq!(is_open, !is_receipt, "{from}: {found:?}");
        assert_eq!(found.verdict == Verdict::Pass, is_receipt, "{from}: {found:?}");
    }
}
