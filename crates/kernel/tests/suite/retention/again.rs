//! The same bytes put again.

use super::{at, scene};
use crate::common::actor;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::{BlobHash, Check, EventType, Ledger, Object, Policy, Put, RunId, Value, Verdict};
use rusqlite::Connection;

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
fn a_sealed_blob_that_is_put_again_as_public_is_kept_no_longer_than_sealed_ones() {
    let scene = scene();
    scene.put("a", "k", "data", EvidenceClass::Public);
    // As the Python package leaves it, which encrypts nothing.
    Connection::open(&scene.path).unwrap().execute("UPDATE blobs SET evidence_class = 'sealed'", []).unwrap();
    let record = scene.start("b").put("k", b"data", Put::text()).unwrap();
    assert_eq!(record.class, EvidenceClass::Sealed);
    assert_eq!(scene.retain_on(8).expired, 1);
}
