//! The log's rows, and the order in which events arrive.

use super::{Case, Done, Problem, append, at, chain, ensure, look, refused, same, write_run};
use crate::store::{Arrival, ReadTransaction, Scope, Segment, Store, StoredCheckpoint, Visit, WriteTransaction};
use receipt_core::id::{RunId, Seq};

pub(super) const CASES: &[Case] = &[
    ("the log's rows come back as they were written", log_rows),
    ("what is bound to the log is bound once", log_bound),
    ("the log's rows are written with everything else, or not at all", log_dropped),
    ("events come in the order in which they were written, of whichever run", arrivals),
    ("the fence has what is committed before it, and nothing comes there later", fence),
];

fn segment(first_leaf: u64, run: &str, first_seq: i64, count: u64) -> Done<Segment> {
    let first_seq = Seq::new(first_seq).ok_or_else(|| Problem("a seq that is none".to_owned()))?;
    Ok(Segment { first_leaf, run_id: RunId::new(run), first_seq, count })
}

fn checkpoint(size: u64, note: &str) -> StoredCheckpoint {
    let text = |text: &str| text.to_owned();
    StoredCheckpoint { size, last_event_id: 7, vkey: text("key"), note: text(note), created_at: at(5).to_string() }
}

/// Three stretches of two runs, two checkpoints, and rows of the tree of which one is replaced by a longer one.
fn write_log(transaction: &mut dyn WriteTransaction) -> Done {
    for stretch in [segment(0, "a", 1, 3)?, segment(3, "b", 1, 2)?, segment(5, "a", 4, 1)?, segment(5, "a", 4, 4)?] {
        transaction.put_segment(&stretch)?;
    }
    for (level, index, hashes) in [(0, 0, &[1; 32][..]), (0, 0, &[2; 64]), (0, 1, &[3; 32]), (1, 0, &[4; 32])] {
        transaction.put_log_tile(level, index, hashes)?;
    }
    transaction.put_checkpoint(&checkpoint(3, "one"), at(5))?;
    Ok(transaction.put_checkpoint(&checkpoint(9, "two"), at(5))?)
}

fn stretches(store: &dyn ReadTransaction, from: u64) -> Done<Vec<Segment>> {
    let mut found = Vec::new();
    store.segments(from, &mut |segment| {
        found.push(segment);
        Visit::Continue(())
    })?;
    Ok(found)
}

fn log_rows(store: &dyn Store) -> Done {
    let mut transaction = store.begin(Scope::Ledger)?;
    write_log(transaction.as_mut())?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let read = snapshot.view();
    same("the last checkpoint", &read.last_checkpoint()?, &Some(checkpoint(9, "two")))?;
    let all = vec![segment(0, "a", 1, 3)?, segment(3, "b", 1, 2)?, segment(5, "a", 4, 4)?];
    same("the stretches", &stretches(read.as_ref(), 0)?, &all)?;
    same("the stretches from a leaf on", &stretches(read.as_ref(), 4)?, &all[1..].to_vec())?;
    same("a row of the tree", &read.log_tile(0, 0)?, &Some(vec![2; 64]))?;
    same("another row", &read.log_tile(1, 0)?, &Some(vec![4; 32]))?;
    same("a row that is not there", &read.log_tile(1, 1)?, &None)?;
    let leaf = |run: &str, seq: i64| -> Done<Option<u64>> {
        let seq = Seq::new(seq).ok_or_else(|| Problem("a seq that is none".to_owned()))?;
        Ok(read.leaf_of(&RunId::new(run), seq)?)
    };
    let leaves =
        [leaf("a", 1)?, leaf("a", 3)?, leaf("a", 4)?, leaf("a", 7)?, leaf("a", 8)?, leaf("b", 2)?, leaf("c", 1)?];
    same("the leaves", &leaves, &[Some(0), Some(2), Some(5), Some(8), None, Some(4), None])?;
    let covered = |run: &str| read.covered(&RunId::new(run));
    same("how many events the log has", &[covered("a")?, covered("b")?, covered("c")?], &[7, 2, 0])
}

fn log_bound(store: &dyn Store) -> Done {
    same("what is bound", &look(store)?.view().log_meta("origin")?, &None)?;
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.bind_log_meta("origin", "one")?;
    transaction.commit()?;
    let mut transaction = store.begin(Scope::Ledger)?;
    refused("a second binding", transaction.bind_log_meta("origin", "two"))?;
    drop(transaction);
    same("what is bound", &look(store)?.view().log_meta("origin")?, &Some("one".to_owned()))
}

fn log_dropped(store: &dyn Store) -> Done {
    let mut transaction = store.begin(Scope::Ledger)?;
    write_log(transaction.as_mut())?;
    drop(transaction);
    let snapshot = look(store)?;
    let read = snapshot.view();
    same("the last checkpoint", &read.last_checkpoint()?, &None)?;
    same("the stretches", &stretches(read.as_ref(), 0)?, &Vec::new())?;
    same("a row of the tree", &read.log_tile(0, 0)?, &None)
}

fn arrivals(store: &dyn Store) -> Done {
    let runs = ["b", "a", "c"].map(RunId::new);
    for run in &runs {
        write_run(store, run, &chain(run, 3, "n")?)?;
    }
    append(store, &runs[1])?;
    let snapshot = look(store)?;
    let read = snapshot.view();
    let (mut found, mut ids) = (Vec::new(), Vec::new());
    read.events_after(0, &mut |id, run, row| {
        ids.push(id);
        found.push((run.as_str().unwrap_or_default().to_owned(), row.seq.integer().unwrap_or_default()));
        Visit::Continue(())
    })?;
    let wanted = runs.iter().flat_map(|run| (1..=3).map(|seq| (run.to_string(), seq)));
    let wanted: Vec<_> = wanted.chain([("a".to_owned(), 4)]).collect();
    same("the events", &found, &wanted)?;
    ensure(ids.windows(2).all(|pair| pair[0] < pair[1]) && ids[0] > 0, "their ids do not grow from 1 on")?;
    let mut later = 0;
    read.events_after(ids[5], &mut |_, _, _| {
        later += 1;
        Visit::Continue(())
    })?;
    same("the events after the sixth", &later, &4)?;
    let mut hashes = Vec::new();
    let [first, last] = [2, 3].map(Seq::new);
    let range = first.zip(last).ok_or_else(|| Problem("a seq that is none".to_owned()))?;
    read.hashes(&runs[0], range.0, range.1, &mut |seq, hash| {
        hashes.push((seq, hash.as_str().unwrap_or_default().to_owned()));
        Visit::Continue(())
    })?;
    let events = chain(&runs[0], 3, "n")?;
    let wanted: Vec<_> = (2..).zip(&events[1..]).map(|(seq, event)| (seq, event.hash.to_string())).collect();
    same("the hashes", &hashes, &wanted)?;
    same("how many events there are", &read.count_events()?, &10)
}

fn last_arrival(store: &dyn ReadTransaction) -> Done<i64> {
    let mut last = 0;
    store.events_after(0, &mut |id, _, _| {
        last = id;
        Visit::Continue(())
    })?;
    Ok(last)
}

/// The run and the number of each event that has arrived up to a fence.
pub(super) fn arrivals_up_to(store: &dyn ReadTransaction, fence: Arrival) -> Done<Vec<(String, i64)>> {
    let mut found = Vec::new();
    store.events_after(0, &mut |id, run, _| {
        if id > fence.0 {
            return Visit::Break(());
        }
        found.push((run.as_str().unwrap_or_default().to_owned(), id));
        Visit::Continue(())
    })?;
    Ok(found)
}

fn fence(store: &dyn Store) -> Done {
    fence_between([store, store])
}

/// The first handle is asked for the fence while the second writes.
pub(super) fn fence_between([store, writer]: [&dyn Store; 2]) -> Done {
    let Arrival(empty) = store.settled()?;
    let run = RunId::new("r");
    let events = chain(&run, 2, "n")?;
    write_run(writer, &run, &events[..1])?;
    let Arrival(first) = store.settled()?;
    let arrived = last_arrival(look(store)?.view().as_ref())?;
    ensure(empty < arrived && arrived <= first, "what was committed is not settled")?;
    // The fence is asked for while an event is on its way: that one comes after it.
    let mut transaction = writer.begin(Scope::Run(&run))?;
    transaction.insert_event(&events[1], at(9))?;
    let Arrival(meanwhile) = store.settled()?;
    transaction.commit()?;
    let arrived = last_arrival(look(store)?.view().as_ref())?;
    ensure(meanwhile < arrived, "an event was settled before it was committed")?;
    ensure(store.settled()?.0 >= arrived, "what was committed is not settled")
}
