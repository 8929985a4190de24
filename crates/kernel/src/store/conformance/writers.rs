//! Writers and readers at the same time: transactions, instants, scopes.

use super::{
    Case, Done, Owned, Problem, append, at, blob_ids, bytes, chain, ensure, following, head, look, new_run, put,
    record, refused, rows, run_ids, same, sealed, write_run,
};
use crate::store::Outcome;
use crate::store::{KeyRow, NewEvent, ReadTransaction, Scope, Snapshot, Store, WriteTransaction};
use receipt_core::envelope::EventType;
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::{BlobHash, RunId, Seq};
use std::io::Cursor;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    ("a transaction sees its own writes", own_writes),
    ("a dropped transaction leaves nothing", dropped),
    ("a store can be written after something was refused", usable_after_refusal),
    ("a read transaction sees one instant", one_instant),
    ("snapshots that were taken together see one instant", snapshots),
    ("many writers at once lose and double nothing", many_writers),
    ("appends that race are recorded one after the other", racing_appends),
    ("a writer keeps others out of its scope", scopes),
];

/// Writes one of everything, without a commit.
fn one_of_each(transaction: &mut dyn WriteTransaction, run: &RunId) -> Done {
    transaction.insert_run(&new_run(run))?;
    for event in &chain(run, 2, "n")? {
        transaction.insert_event(event, at(9))?;
    }
    let record = record(b"evidence", "text/plain", EvidenceClass::Public);
    put(transaction, &record, &mut Cursor::new(b"evidence"))?;
    Ok(transaction.insert_key(run, "k", KeyRow { seq: Seq::FIRST, digest: [7; 32] })?)
}

/// How much of [`one_of_each`] is there.
fn seen(store: &dyn ReadTransaction, run: &RunId) -> Done<[usize; 5]> {
    Ok([
        run_ids(store)?.len(),
        rows(store, run)?.len(),
        head(store, run)?.iter().len(),
        blob_ids(store)?.len() + bytes(store, &BlobHash::of(b"evidence"))?.len(),
        store.key(run, "k")?.iter().len(),
    ])
}

const ALL_SEEN: [usize; 5] = [1, 2, 1, 9, 1];

fn own_writes(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let mut transaction = store.begin(Scope::Ledger)?;
    one_of_each(transaction.as_mut(), &run)?;
    same("runs, events, heads, blobs and keys before the commit", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("runs, events, heads, blobs and keys after the commit", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)
}

fn dropped(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let mut transaction = store.begin(Scope::Ledger)?;
    one_of_each(transaction.as_mut(), &run)?;
    drop(transaction);
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("runs, events, heads, blobs and keys", &seen(transaction.as_ref(), &run)?, &[0; 5])?;
    drop(transaction);
    // What was dropped stands in the way of nothing.
    let mut transaction = store.begin(Scope::Ledger)?;
    one_of_each(transaction.as_mut(), &run)?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("runs, events, heads, blobs and keys, written again", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)
}

fn usable_after_refusal(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    write_run(store, &run, &[])?;
    let mut transaction = store.begin(Scope::Ledger)?;
    refused("a second row for a run", transaction.insert_run(&new_run(&run)))?;
    drop(transaction);
    let other = RunId::new("s");
    let events = chain(&other, 3, "n")?;
    write_run(store, &other, &events)?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("events", &rows(transaction.as_ref(), &other)?.len(), &3)
}

fn snapshots(store: &dyn Store) -> Done {
    snapshots_beside([store, store])
}

/// The first handle reads while the second writes.
pub(super) fn snapshots_beside([store, writer]: [&dyn Store; 2]) -> Done {
    let runs = ["a", "b"].map(RunId::new);
    write_run(writer, &runs[0], &chain(&runs[0], 2, "n")?)?;
    let snapshots = store.snapshots(3)?;
    ensure(!snapshots.is_empty(), "there is not even one")?;
    write_run(writer, &runs[1], &chain(&runs[1], 2, "n")?)?;
    let seen = |snapshots: &[Box<dyn Snapshot + '_>]| -> Done<Vec<u64>> {
        snapshots.iter().map(|it| Ok(it.view().rows()?.events)).collect()
    };
    same("what each sees", &seen(&snapshots)?, &vec![2; snapshots.len()])?;
    drop(snapshots);
    let later = store.snapshots(1)?;
    same("what a later one sees", &seen(&later)?, &vec![4])
}

const WRITERS: usize = 8;
pub(super) const EACH: usize = 20;

fn one_instant(store: &dyn Store) -> Done {
    one_instant_beside([store, store])
}

/// The first handle reads while the second writes.
pub(super) fn one_instant_beside([store, writer]: [&dyn Store; 2]) -> Done {
    let (run, later) = (RunId::new("r"), RunId::new("s"));
    let events = chain(&run, 2, "n")?;
    write_run(writer, &run, &events[..1])?;
    let snapshot = look(store)?;
    let before = snapshot.view();
    same("events", &rows(before.as_ref(), &run)?.len(), &1)?;
    let mut transaction = writer.begin(Scope::Ledger)?;
    transaction.insert_event(&events[1], at(9))?;
    transaction.insert_run(&new_run(&later))?;
    transaction.commit()?;
    same("events, a commit later", &rows(before.as_ref(), &run)?.len(), &1)?;
    same("runs, a commit later", &run_ids(before.as_ref())?.len(), &1)?;
    let snapshot = look(store)?;
    let after = snapshot.view();
    same("events in the next snapshot", &rows(after.as_ref(), &run)?.len(), &2)?;
    same("runs in the next snapshot", &run_ids(after.as_ref())?.len(), &2)
}

/// Has several threads work at the same time, the handles dealt out among them; each of them must succeed.
fn all_at_once(handles: [&dyn Store; 2], work: impl Fn(&dyn Store) -> Done + Sync) -> Done {
    let work = &work;
    thread::scope(|scope| {
        let handles = handles.into_iter().cycle().take(WRITERS);
        let threads: Vec<_> = handles.map(|store| scope.spawn(move || work(store))).collect();
        let done: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let panicked = |_| Err(Problem("a writer panicked".to_owned()));
        done.into_iter().try_for_each(|done| done.unwrap_or_else(panicked))
    })
}

/// Whether the run has so many events, each of which follows the one before.
pub(super) fn is_chain(store: &dyn Store, run: &RunId, count: usize) -> Done {
    let snapshot = look(store)?;
    let found = rows(snapshot.view().as_ref(), run)?;
    same("events", &found.len(), &count)?;
    for (pair, seq) in found.windows(2).zip(2..) {
        same("the seq of an event", &pair[1][0], &Owned::Integer(seq))?;
        same("the hash of the event before", &pair[1][4], &pair[0][3])?;
    }
    Ok(())
}

fn many_writers(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    write_run(store, &run, &chain(&run, 1, "n")?)?;
    all_at_once([store, store], |store| (0..EACH).try_for_each(|_| append(store, &run)))?;
    is_chain(store, &run, 1 + WRITERS * EACH)
}

fn racing_appends(store: &dyn Store) -> Done {
    race([store, store])
}

/// Each writer whose place was taken reads where the run ends now, and goes on there.
pub(super) fn race(handles: [&dyn Store; 2]) -> Done {
    let run = RunId::new("r");
    write_run(handles[0], &run, &chain(&run, 1, "n")?)?;
    all_at_once(handles, |store| {
        let mut next = following(store, &run)?;
        for _ in 0..EACH {
            loop {
                let event = sealed(EventType::Decision, "n", next.clone())?;
                match store.append(&[NewEvent { event: &event, created_at: at(9) }], &next, None)? {
                    Outcome::Recorded => break,
                    Outcome::Moved(Some(moved)) if moved.seq >= next.seq => next = moved,
                    outcome => return Err(Problem(format!("an append gave {outcome:?}"))),
                }
            }
            next = following(store, &run)?;
        }
        Ok(())
    })?;
    is_chain(handles[0], &run, 1 + WRITERS * EACH)
}

fn scopes(store: &dyn Store) -> Done {
    excluded([store, store])
}

/// A second writer begins while a first one has the scope, and must see what that one writes after it.
pub(super) fn excluded([store, other]: [&dyn Store; 2]) -> Done {
    let [a, b] = ["a", "b"].map(RunId::new);
    write_run(store, &a, &chain(&a, 1, "n")?)?;
    write_run(store, &b, &chain(&b, 1, "n")?)?;
    let both = [a.clone(), b.clone()];
    let pairs = [
        (Scope::Run(&a), Scope::Run(&a)),
        (Scope::Runs(&both), Scope::Run(&b)),
        (Scope::Run(&b), Scope::Runs(&both)),
        (Scope::Log, Scope::Log),
        (Scope::Ledger, Scope::Run(&a)),
        (Scope::Run(&a), Scope::Ledger),
        (Scope::Ledger, Scope::Log),
    ];
    for (turn, (first, second)) in pairs.into_iter().enumerate() {
        let turn = turn.to_string();
        let seen = thread::scope(|scope| -> Done<Option<String>> {
            let mut transaction = store.begin(first)?;
            let (started, has_started) = mpsc::channel();
            let waiting = scope.spawn(move || -> Done<Option<String>> {
                started.send(()).map_err(|_| Problem("nobody waits".to_owned()))?;
                Ok(other.begin(second)?.setting("turn")?)
            });
            has_started.recv().map_err(|_| Problem("the second writer has not started".to_owned()))?;
            // Time to begin too early in: a store that excludes nobody is caught, and one that does is never blamed.
            thread::sleep(Duration::from_millis(30));
            transaction.set("turn", &turn)?;
            transaction.commit()?;
            waiting.join().unwrap_or_else(|_| Err(Problem("the second writer panicked".to_owned())))
        })?;
        same(&format!("what {second:?} sees after {first:?}"), &seen, &Some(turn))?;
    }
    Ok(())
}
