//! The log: extended by checkpoints, proved from, and refused where an event is not as it was written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::merkle::Frontier;
use receipt_kernel::core::note::{KeyKind, Signing, Standing};
use receipt_kernel::{Actor, Append, Error, EventRef, EventType, Ledger, Object, Policy, Publish, RunId};
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
