//! Each removal has one receipt, whoever else is at work.

use super::{DAY, at, scene};
use crate::common::actor;
use receipt_core::evidence::{BlobState, EvidenceClass};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::{BlobHash, Error, Ledger, Object, Policy, Put, Retention, Ttl, Value, Verdict};
use std::sync::Arc;
use std::thread;

#[test]
fn each_removal_has_one_receipt_in_a_run_that_begins_and_ends_properly() {
    let scene = scene();
    let hashes: Vec<_> =
        (0..300).map(|i| scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public)).collect();
    let mut told = Vec::new();
    scene.clock.set(at(31));
    let done = scene.ledger.retain(&actor(), &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!((done.expired, done.purged, done.scrubbed), (300, 0, true));
    assert_eq!(done.bytes, 300 * 6 + 290 + 200);
    assert_eq!(told, [(256, 300), (300, 300)], "two batches");
    let run = done.run_id.unwrap();
    let receipts = scene.receipts(run.as_str());
    let mut named: Vec<_> =
        receipts.iter().map(|receipt| receipt.get("sha256").unwrap().as_str().unwrap().to_owned()).collect();
    named.sort();
    let mut wanted: Vec<_> = hashes.iter().map(BlobHash::to_hex).collect();
    wanted.sort();
    assert_eq!(named, wanted);
    let receipt = receipts[0].as_object().unwrap();
    let member = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap();
    assert_eq!((member("from_state"), member("to_state")), ("live", "expired_hash_only"));
    assert_eq!(member("kept_until"), "2026-01-31T00:00:00+00:00");
    let facts = scene.ledger.events(run.as_str(), &mut |_| {}).unwrap();
    assert!(facts.finalized && facts.findings.is_empty());
    assert_eq!(scene.ledger.evaluate(run.as_str(), None).unwrap().overall_verdict, Verdict::Pass);
    let report = scene.ledger.audit().unwrap();
    assert_eq!((report.overall_verdict(), report.outcomes.unfinished), (Verdict::Pass, 0));
    // Again: nothing more to do, no run, no receipt.
    let again = scene.retain_on(32);
    assert_eq!((again.run_id, again.expired), (None, 0));
}

#[test]
fn two_who_retain_at_once_receipt_each_blob_once() {
    let scene = scene();
    for i in 0..600 {
        scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public);
    }
    scene.clock.set(at(31));
    let handles: Vec<_> = (0..2)
        .map(|_| {
            let (path, clock) = (scene.path.clone(), scene.clock.clone());
            thread::spawn(move || {
                let ledger = Ledger::open(&path).unwrap().with_clock(clock);
                ledger.retain(&actor(), &mut |_, _| {}).unwrap()
            })
        })
        .collect();
    let done: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    assert_eq!(done.iter().map(|done| done.expired).sum::<u64>(), 600);
    let runs = done.iter().filter_map(|done| done.run_id.as_ref());
    assert_eq!(runs.map(|run| scene.receipts(run.as_str()).len()).sum::<usize>(), 600);
    assert_eq!(scene.ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn a_blob_goes_from_live_to_hash_only_to_purged_and_each_step_is_receipted() {
    let scene = scene();
    let default = Retention::default();
    assert_eq!([default.public, default.sealed, default.hash], [Ttl::Forever; 3], "what is not set is never removed");
    scene.set(|retention| retention.hash = Ttl::Seconds(DAY.cast_unsigned() * 365));
    let hash = scene.put("a", "k", "data", EvidenceClass::Sealed);
    assert_eq!(scene.state(&hash), "live");
    scene.retain_on(8);
    assert_eq!(scene.state(&hash), "expired_hash_only");
    assert_eq!(scene.retain_on(8 + 365).purged, 0, "to the last instant");
    let done = scene.retain_on(8 + 366);
    assert_eq!((done.expired, done.purged, done.bytes), (0, 1, 0));
    assert_eq!(scene.state(&hash), BlobState::Purged.as_str());
    let receipt = &scene.receipts(done.run_id.unwrap().as_str())[0];
    assert_eq!(receipt.get("to_state").and_then(Value::as_str), Some("purged"));
    assert_eq!(scene.evidence(), (Verdict::Pass, vec!["EXPIRED_WITH_RECEIPT".to_owned()]));
}

#[test]
fn what_is_put_while_retention_runs_is_not_removed() {
    let scene = scene();
    for i in 0..400 {
        scene.put(&format!("r{i}"), "k", &format!("data {i}"), EvidenceClass::Public);
    }
    scene.clock.set(at(31));
    let last = scene.plan_on(31).due.last().unwrap().hash;
    let text = (0..400).map(|i| format!("data {i}")).find(|text| BlobHash::of(text.as_bytes()) == last).unwrap();
    let (path, clock) = (scene.path.clone(), scene.clock.clone());
    let mut put = Some(move || {
        let ledger = Ledger::open(&path).unwrap().with_clock(clock);
        let mut run = ledger.start("late", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        run.put("k", text.as_bytes(), Put::text()).unwrap();
    });
    // Between the first batch and the second.
    let done = scene.ledger.retain(&actor(), &mut |_, _| {
        if let Some(put) = put.take() {
            put();
        }
    });
    assert_eq!(done.unwrap().expired, 399);
    assert_eq!(scene.state(&last), "live");
}

#[test]
fn retention_works_in_memory_too() {
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::in_memory().with_clock(clock.clone());
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok(())
    });
    set.unwrap();
    let mut run = ledger.start("a", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let hash = run.put("k", b"data", Put::text()).unwrap().hash;
    run.finalize("over").unwrap();
    clock.set(at(31));
    assert_eq!(ledger.retain(&actor(), &mut |_, _| {}).unwrap().expired, 1);
    assert!(matches!(ledger.blob(&hash), Err(Error::BlobUnavailable { .. })));
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
}
