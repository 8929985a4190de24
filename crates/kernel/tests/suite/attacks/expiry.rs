//! Whoever holds the file removes evidence that an anchor covers, and appends a run with receipts for it: that run verifies.

use super::{codes, judged, key, record};
use crate::common::{actor, new_path};
use crate::forge::{Forger, get, rechain, set};
use receipt_kernel::anchor::Pinned;
use receipt_kernel::core::checkpoint::SignedCheckpoint;
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::core::witness::WitnessPolicy;
use receipt_kernel::{Anchors, Audit, Check, Error, Ledger, Object, Publish, RunId, Ttl, Value, Verdict};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What the check of evidence says, beside how many removals there were.
fn evidence(path: &Path, anchors: &Anchors) -> (Verdict, Vec<String>) {
    let report = judged(path, anchors);
    let (verdict, codes) = codes(&report, Check::Evidence);
    let codes = codes.into_iter().filter(|code| *code != "EXPIRED_WITH_RECEIPT");
    (verdict, codes.map(str::to_owned).collect())
}

fn warns() -> (Verdict, Vec<String>) {
    (Verdict::Warn, vec!["EXPIRY_NOT_ANCHORED".to_owned()])
}

fn passes() -> (Verdict, Vec<String>) {
    (Verdict::Pass, Vec::new())
}

fn with(checkpoints: &[&SignedCheckpoint]) -> Anchors {
    let named = |it: &&SignedCheckpoint| (format!("of {}", it.checkpoint().head.size), (*it).clone());
    Anchors { checkpoints: checkpoints.iter().map(named).collect(), ..Anchors::default() }
}

fn pin(path: &Path) -> Vec<Pinned> {
    let (origin, head) = judged(path, &Anchors::default()).head.unwrap();
    vec![Pinned { name: "the pin".to_owned(), origin, head }]
}

/// Two runs under a kept checkpoint.
fn scene() -> (TempDir, PathBuf, SignedCheckpoint) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    record(&ledger, "a");
    record(&ledger, "b");
    let kept = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint;
    (folder, path, kept)
}

/// Removes all evidence, as anybody can who has the file. Gives the run with the receipts.
fn remove(path: &Path) -> RunId {
    let ledger = Ledger::open(path).unwrap();
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(0);
        Ok(())
    });
    set.unwrap();
    ledger.retain(&actor(), &mut |_, _| {}).unwrap().run_id.unwrap()
}

#[test]
fn evidence_that_an_anchor_covers_is_not_excused_by_a_receipt_that_it_does_not_cover() {
    let (_folder, path, kept) = scene();
    let keyed =
        |checkpoints: &[&SignedCheckpoint]| Anchors { key: Some(key().verifier().clone()), ..with(checkpoints) };
    let pinned = Anchors { pinned: pin(&path), ..Anchors::default() };
    let both = Anchors { pinned: pin(&path), ..keyed(&[&kept]) };
    for anchors in [&with(&[&kept]), &keyed(&[&kept]), &pinned, &both] {
        assert_eq!(evidence(&path, anchors), passes(), "the control");
    }
    let run = remove(&path);
    assert_eq!(evidence(&path, &Anchors::default()), passes(), "nothing from outside knew of the evidence");
    for anchors in [&with(&[&kept]), &keyed(&[&kept]), &pinned, &both] {
        assert_eq!(evidence(&path, anchors), warns());
    }
    let report = judged(&path, &with(&[&kept]));
    let reasons = &report.check(Check::Evidence).unwrap().reasons;
    let found = reasons.iter().find(|reason| reason.code == "EXPIRY_NOT_ANCHORED").unwrap();
    let receipt = |event: &Object| get(event, &["event_type"]).and_then(Value::as_str) == Some("BLOB_EXPIRE");
    let receipts = Forger::open(&path).events(run.as_str()).iter().filter(|event| receipt(event)).count();
    assert_eq!((receipts, found.pointers.len()), (2, 2), "{found:?}");
    assert!(found.pointers.iter().all(|it| it.starts_with(&format!("event://{run}/"))), "{found:?}");
    assert_eq!(report.overall_verdict(), Verdict::Warn);
    // A verify that warned moves the pin on. That is no signature: the checkpoint still knows of no removal.
    let moved = Anchors { pinned: pin(&path), ..with(&[&kept]) };
    assert_eq!(evidence(&path, &moved), warns());
    assert_eq!(evidence(&path, &Anchors { pinned: pin(&path), ..Anchors::default() }), passes());
    // Nor does it help to ask for one run alone.
    let ledger = Ledger::open_read_only(&path).unwrap();
    let report = Audit::of(&ledger).runs([RunId::new("a")]).against(&with(&[&kept])).run().unwrap();
    assert_eq!(report.check(Check::Evidence).unwrap().verdict, Verdict::Warn);
}

#[test]
fn a_checkpoint_after_the_removal_settles_it() {
    let (_folder, path, kept) = scene();
    remove(&path);
    let ledger = Ledger::open(&path).unwrap();
    let after = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint;
    assert_eq!(evidence(&path, &with(&[&after])), passes());
    assert_eq!(evidence(&path, &with(&[&kept, &after])), passes());
    let both = Anchors { pinned: pin(&path), ..with(&[&after]) };
    assert_eq!(evidence(&path, &both), passes());
    // Without the key nobody knows who signed the one in the file.
    assert_eq!(evidence(&path, &with(&[&kept])), warns());
    let key = Some(key().verifier().clone());
    assert_eq!(evidence(&path, &Anchors { key, ..with(&[&kept]) }), passes());
    // What was put after the anchor is not what it knew of.
    record(&ledger, "c");
    remove(&path);
    assert_eq!(evidence(&path, &with(&[&after])), passes());
}

#[test]
fn what_witnesses_saw_counts_as_what_was_kept() {
    let witness = Signing::from_seed("w".parse().unwrap(), KeyKind::Cosignature, &[9; 32]);
    let policy = WitnessPolicy::parse(&format!("witness W {}\nquorum W\n", witness.verifier())).unwrap();
    let (_folder, path, kept) = scene();
    let before = pin(&path);
    remove(&path);
    let seen = kept.signed(&witness, 1);
    assert_eq!(evidence(&path, &Anchors { witnesses: Some(policy.clone()), ..with(&[&seen]) }), warns());
    let after = Ledger::open(&path).unwrap().checkpoint(&Publish::by(&key())).unwrap().checkpoint.signed(&witness, 1);
    assert_eq!(evidence(&path, &Anchors { witnesses: Some(policy.clone()), ..with(&[&after]) }), passes());
    // So does the ledger's own last checkpoint, if they have signed that.
    assert_eq!(evidence(&path, &Anchors { pinned: before.clone(), ..Anchors::default() }), warns());
    Forger::open(&path).execute("UPDATE log_checkpoints SET note = ?1", [after.to_string()]).unwrap();
    assert_eq!(evidence(&path, &Anchors { pinned: before, witnesses: Some(policy), ..Anchors::default() }), passes());
}

/// What is done to each event of the run with the receipts, and whether they excuse anything then.
type Act = (&'static str, fn(&mut Object), bool);

/// What the run of a receipt commits to, and what the receipt says, are hashed. They must allow the removal.
#[test]
fn a_receipt_for_what_is_kept_longer_excuses_nothing() {
    let fails = (Verdict::Fail, vec!["EXPIRED_WITHOUT_RECEIPT".to_owned(); 2]);
    let acts: [Act; 5] = [
        ("nothing", |_| {}, true),
        ("kept for ever", |event| retention(event, -1), false),
        ("kept for a century", |event| retention(event, 3_155_760_000), false),
        ("not due yet", |event| kept_until(event, "2999-01-01T00:00:00+00:00"), false),
        ("due before it was put", |event| kept_until(event, "2000-01-01T00:00:00+00:00"), false),
    ];
    for (name, act, good) in acts {
        let (_folder, path, _) = scene();
        let run = remove(&path);
        let forger = Forger::open(&path);
        let mut events = forger.events(run.as_str());
        events.iter_mut().for_each(act);
        rechain(&mut events);
        forger.add_run(&events);
        drop(forger);
        let found = evidence(&path, &Anchors::default());
        let found = (found.0, found.1.into_iter().filter(|code| code == "EXPIRED_WITHOUT_RECEIPT").collect());
        assert_eq!(found, if good { passes() } else { fails.clone() }, "{name}");
    }
}

fn retention(event: &mut Object, seconds: i64) {
    if get(event, &["event_type"]).and_then(Value::as_str) == Some("RUN_START") {
        set(event, &["payload", "meta", "retention", "public_ttl_seconds"], seconds);
    }
}

fn kept_until(event: &mut Object, at: &str) {
    if get(event, &["event_type"]).and_then(Value::as_str) == Some("BLOB_EXPIRE") {
        set(event, &["payload", "kept_until"], at);
    }
}
