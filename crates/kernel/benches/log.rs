//! Ratios of the log, which fail where they are missed: a checkpoint of new events against hashing them bare, and the time
//! of an inclusion proof in a large log.
//!
//! `LOG_EVENTS` says how many events are new, 1,000,000 where it is not set; `LOG_LEAVES` how large the log is that is
//! proved from, 10,000,000.

#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // it prints a table of ratios

use receipt_kernel::core::checkpoint::Checkpoint;
use receipt_kernel::core::id::{EventHash, Seq, Timestamp};
use receipt_kernel::core::merkle::Frontier;
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{Scope, Segment, Store, StoredCheckpoint};
use receipt_kernel::{Actor, Append, EventRef, EventType, Ledger, Object, Policy, Publish, RunId, Value};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir_in(std::env::var("SPEED_DIR").unwrap_or_else(|_| ".".to_owned()))?;
    let key = Signing::from_seed("example.com/bench".parse()?, KeyKind::Note, &[1; 32]);
    let ratio = checkpoint(folder.path(), &key, number("LOG_EVENTS", 1_000_000)?)?;
    let proof = proof(folder.path(), &key, number("LOG_LEAVES", 10_000_000)?)?;
    if ratio && proof { Ok(()) } else { Err("a ratio was missed".into()) }
}

fn number(name: &str, otherwise: u64) -> Outcome<u64> {
    Ok(std::env::var(name).map_or(Ok(otherwise), |text| text.parse())?)
}

fn row(what: &str, got: f64, wanted: &str, ok: bool, note: &str) -> bool {
    let mark = if ok { "ok    " } else { "MISSED" };
    println!("{mark} {what:<48} {got:>8.2}  wanted {wanted:<10} {note}");
    ok
}

fn actor() -> Actor {
    Actor::new("bench", "log")
}

fn events(from: u64, count: u64) -> Vec<Append> {
    let one = |index| Object::from_iter([("note", Value::from(format!("step {index} of the work, as it went")))]);
    (from..from + count).map(|index| Append::new(EventType::Remediation, one(index))).collect()
}

/// A checkpoint of events that are all new, three times over, each against hashing those events in memory.
fn checkpoint(folder: &Path, key: &Signing, count: u64) -> Outcome<bool> {
    let ledger = Ledger::create(folder.join("checkpoint.db"))?;
    let mut ratios = Vec::new();
    let mut rate = 0.0;
    for round in 0..3 {
        let id = format!("run-{round}");
        let mut run = ledger.start(&id, Policy::structural()?, actor(), Object::new())?;
        for from in (0..count).step_by(10_000) {
            run.append_batch(events(from, 10_000.min(count - from)))?;
        }
        let mut bare = Duration::ZERO;
        let mut texts: Vec<Box<[u8]>> = Vec::new();
        let mut hash = |texts: &mut Vec<Box<[u8]>>| {
            let begin = Instant::now();
            for text in &*texts {
                black_box(EventHash::of(text));
            }
            bare += begin.elapsed();
            texts.clear();
        };
        ledger.events(&id, &mut |event| {
            texts.push(Box::from(&*event.text));
            if texts.len() == 100_000 {
                hash(&mut texts);
            }
        })?;
        hash(&mut texts);
        let begin = Instant::now();
        let published = ledger.checkpoint(&Publish::by(key))?;
        let made = begin.elapsed().as_secs_f64();
        assert_eq!(published.new_events, Some(count + 1));
        ratios.push(bare.as_secs_f64() / made);
        rate = count as f64 / made;
    }
    ratios.sort_by(f64::total_cmp);
    let note = format!("{count} events, {rate:.0} events/s");
    Ok(row("checkpoint of new events / hashing them bare", ratios[1], ">= 0.50", ratios[1] >= 0.5, &note))
}

/// Inclusion proofs of events that are spread over a log. The log is written as a checkpoint writes it, but its other
/// leaves are hashes of nothing that was recorded.
fn proof(folder: &Path, key: &Signing, leaves: u64) -> Outcome<bool> {
    const PROVED: u64 = 200;
    let path = folder.join("proof.db");
    let ledger = Ledger::create(&path)?;
    let mut run = ledger.start("run", Policy::structural()?, actor(), Object::new())?;
    run.append_batch(events(0, PROVED - 1))?;
    let mut hashes = Vec::new();
    ledger.events("run", &mut |event| hashes.push(event.hash))?;
    ledger.bind_origin(key.verifier().name())?;
    let apart = leaves / PROVED;
    write_log(&path, key, leaves, |leaf| {
        let mine = leaf.is_multiple_of(apart).then(|| usize::try_from(leaf / apart).ok()).flatten();
        mine.and_then(|index| hashes.get(index).copied()).unwrap_or_else(|| EventHash::of(&leaf.to_be_bytes()))
    })?;
    let mut slowest = Duration::ZERO;
    let begin = Instant::now();
    for seq in 1..=i64::try_from(PROVED)? {
        let event = EventRef { run_id: RunId::new("run"), seq: Seq::new(seq).ok_or("no seq")? };
        let one = Instant::now();
        black_box(ledger.prove_event(&event)?);
        slowest = slowest.max(one.elapsed());
    }
    let each = begin.elapsed().as_secs_f64() * 1000.0 / PROVED as f64;
    let note = format!("among {leaves}; the slowest {:.2}", slowest.as_secs_f64() * 1000.0);
    Ok(row("inclusion proof, ms", each, "< 2", each < 2.0, &note))
}

/// Writes a log whose every `leaves / 200`th leaf is the next event of the run.
fn write_log(path: &Path, key: &Signing, leaves: u64, leaf: impl Fn(u64) -> EventHash) -> Outcome<()> {
    const WIDTH: u64 = 256;
    let store = SqliteStore::open(path)?;
    let mut transaction = store.begin(Scope::Log)?;
    let mut frontier = Frontier::default();
    let mut rows: Vec<Vec<u8>> = vec![Vec::new(); 8];
    for index in 0..leaves {
        let mut done = Vec::new();
        let pushed = frontier.push(&leaf(index), |at, hash| {
            if at.level.is_multiple_of(8) {
                let row = &mut rows[usize::from(at.level / 8)];
                row.extend_from_slice(hash.as_bytes());
                if (at.index + 1).is_multiple_of(WIDTH) {
                    done.push((at.level / 8, at.index / WIDTH, std::mem::take(row)));
                }
            }
        });
        assert!(pushed);
        done.iter().try_for_each(|(level, index, row)| transaction.put_log_tile(*level, *index, row))?;
    }
    let mut count = leaves;
    for (level, row) in (0..).zip(&rows) {
        if !row.is_empty() {
            transaction.put_log_tile(level, count / WIDTH, row)?;
        }
        count /= WIDTH;
    }
    let apart = leaves / 200;
    for (number, first_leaf) in (1..=200).zip((0..).step_by(usize::try_from(apart)?)) {
        let first_seq = Seq::new(number).ok_or("no seq")?;
        transaction.put_segment(&Segment { first_leaf, run_id: RunId::new("run"), first_seq, count: 1 })?;
        let other = Segment { first_leaf: first_leaf + 1, run_id: RunId::new("other"), first_seq, count: apart - 1 };
        transaction.put_segment(&other)?;
    }
    let checkpoint = Checkpoint::new(key.verifier().name().clone(), frontier.head()).sign(&[key])?;
    let stored = StoredCheckpoint {
        size: leaves,
        last_event_id: 200,
        vkey: key.verifier().to_string(),
        note: checkpoint.to_string(),
        created_at: String::new(),
    };
    transaction.put_checkpoint(&stored, Timestamp::from_micros(0))?;
    transaction.commit()?;
    Ok(())
}
