//! Ratios of the log: a checkpoint of new events against hashing them bare, and the time of an inclusion proof.
//!
//! `LOG_EVENTS` says how many events, 1,000,000 where it is not set.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::cast_precision_loss)]

use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::{Actor, Append, EventRef, EventType, Ledger, Object, Policy, Publish, RunId, Value};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let events: usize = std::env::var("LOG_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("l.db")).unwrap();
    let key = Signing::from_seed("example.com/bench".parse().unwrap(), KeyKind::Note, &[1; 32]);
    let actor = Actor::new("bench", "log");
    let mut run = ledger.start("run", Policy::structural().unwrap(), actor, Object::new()).unwrap();
    let mut left = events;
    while left > 0 {
        let count = left.min(10_000);
        let one = |index| Object::from_iter([("note", Value::from(format!("step {index} of the work, as it went")))]);
        run.append_batch((0..count).map(|index| Append::new(EventType::Remediation, one(index))).collect()).unwrap();
        left -= count;
    }
    let mut texts: Vec<Vec<u8>> = Vec::new();
    ledger.events("run", &mut |event| texts.push(event.text.to_vec())).unwrap();
    let begin = Instant::now();
    for text in &texts {
        black_box(EventHash::of(text));
    }
    let bare = begin.elapsed();
    drop(texts);
    let begin = Instant::now();
    ledger.checkpoint(&Publish::by(&key)).unwrap();
    let made = begin.elapsed();
    println!("checkpoint of {events} events: {made:?}; hashing them bare: {bare:?}");
    println!("  rate / bare hashing: {:.2} (wanted >= 0.50)", bare.as_secs_f64() / made.as_secs_f64());
    let proofs = 200;
    let begin = Instant::now();
    for index in 0..proofs {
        let seq = Seq::new(i64::try_from(1 + index * (events / proofs)).unwrap()).unwrap();
        black_box(ledger.prove_event(&EventRef { run_id: RunId::new("run"), seq }).unwrap());
    }
    let each = begin.elapsed() / u32::try_from(proofs).unwrap();
    println!("inclusion proof among {events}: {each:?} (wanted < 2 ms among 10,000,000)");
}
