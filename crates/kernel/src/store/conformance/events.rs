//! Events: what comes back, in what order, and what is refused.

use super::{
    Case, Done, Problem, Row, at, chain, event, expired, following, head, look, new, new_run, put, record, refused,
    row, rows, run_ids, same, sealed, text, wanted, write_run,
};
use crate::store::Outcome;
use crate::store::{KeyRow, NewKey, Scope, Store, StoreErrorKind, Visit};
use receipt_core::chain::Link;
use receipt_core::envelope::{EventType, Sealed};
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::{RunId, Seq};

pub(super) const CASES: &[Case] = &[
    ("events come back byte for byte, in the order of their seq", events),
    ("ranges of a run that follow each other show each of its events once", ranges),
    ("a visitor can stop early", early_stop),
    ("a place holds one event", place_taken),
    ("an event needs the row of its run", event_without_run),
    ("each receipt of a removed blob is found, of whichever run", expiries),
    ("an append is recorded where the run ends, and nowhere else", appends),
    ("an append under a key is recorded once", appends_once),
    ("events that do not follow each other are not appended", stray_appends),
];

fn events(store: &dyn Store) -> Done {
    let (a, b) = (RunId::new("a"), RunId::new("b"));
    let (of_a, of_b) = (chain(&a, 5, "\u{1F600} \u{0} \"quoted\"")?, chain(&b, 2, "other")?);
    // By seq, not by when they were written.
    let mixed: Vec<&Sealed> = [&of_a[2], &of_b[0], &of_a[0], &of_a[4], &of_b[1], &of_a[1], &of_a[3]].to_vec();
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.insert_run(&new_run(&a))?;
    transaction.insert_run(&new_run(&b))?;
    for event in mixed {
        transaction.insert_event(event, at(9))?;
    }
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let store = transaction.as_ref();
    for (run, events) in [(&a, &of_a), (&b, &of_b)] {
        let all: Vec<Row> = events.iter().map(wanted).collect();
        same("events", &rows(store, run)?, &all)?;
        same("the head", &head(store, run)?, &all.last().cloned())?;
        for (seq, row) in (1..).zip(&all) {
            same("an event by its seq", &event(store, run, seq)?, &Some(row.clone()))?;
        }
    }
    same("an event that is not there", &event(store, &a, 6)?, &None)?;
    same("the last place of all", &event(store, &a, i64::MAX)?, &None)?;
    same("events of an unknown run", &rows(store, &RunId::new("A"))?, &Vec::new())?;
    same("the head of an unknown run", &head(store, &RunId::new("aa"))?, &None)
}

fn ranges(store: &dyn Store) -> Done {
    for id in ["a", "b", "c"] {
        let run = RunId::new(id);
        write_run(store, &run, &chain(&run, 5, id)?)?;
    }
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let run = RunId::new("b");
    let all = rows(transaction.as_ref(), &run)?;
    for (one, two) in (1..7).flat_map(|one| (one..7).map(move |two| (Seq::new(one), Seq::new(two)))) {
        let mut found = Vec::new();
        let mut counts = Vec::new();
        for (after, until) in [(None, one), (one, two), (two, None)] {
            let before = found.len();
            transaction.events_between(&run, after, until, &mut |event| {
                found.push(row(event));
                Visit::Continue(())
            })?;
            counts.push(found.len() - before);
        }
        same("the events of three ranges", &found, &all)?;
        let first = one.and_then(|one| usize::try_from(one.get()).ok()).map(|one| one.min(5));
        same("how many the first shows", &counts.first().copied(), &first)?;
    }
    Ok(())
}

fn early_stop(store: &dyn Store) -> Done {
    for id in ["a", "b", "c"] {
        let run = RunId::new(id);
        write_run(store, &run, &chain(&run, 3, "n")?)?;
        let mut transaction = store.begin(Scope::Ledger)?;
        let record = record(id.as_bytes(), "text/plain", EvidenceClass::Public);
        put(transaction.as_mut(), &record, &mut id.as_bytes())?;
        transaction.commit()?;
    }
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let mut counts = [0; 3];
    transaction.runs(&mut |_, _| {
        counts[0] += 1;
        Visit::Break(())
    })?;
    transaction.events(&RunId::new("a"), &mut |_| {
        counts[1] += 1;
        Visit::Break(())
    })?;
    transaction.blobs(&mut |_| {
        counts[2] += 1;
        Visit::Break(())
    })?;
    same("visits of runs, events and blobs before each stopped", &counts, &[1, 1, 1])
}

fn place_taken(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 2, "first")?;
    write_run(store, &run, &events)?;
    let other = sealed(EventType::Decision, "second", events[1].link.clone())?;
    let mut transaction = store.begin(Scope::Ledger)?;
    refused("an event in a place that is taken", transaction.insert_event(&other, at(9)))?;
    drop(transaction);
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("events", &rows(transaction.as_ref(), &run)?, &events.iter().map(wanted).collect())
}

fn event_without_run(store: &dyn Store) -> Done {
    let run = RunId::new("nobody");
    let events = chain(&run, 1, "n")?;
    let mut transaction = store.begin(Scope::Ledger)?;
    // Some backends can only say so at the commit.
    let done = transaction.insert_event(&events[0], at(9)).and_then(|()| transaction.commit());
    refused("an event of a run that has no row", done)?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("events", &rows(transaction.as_ref(), &run)?, &Vec::new())?;
    same("runs", &run_ids(transaction.as_ref())?, &Vec::new())
}

fn expiries(store: &dyn Store) -> Done {
    let mut all = Vec::new();
    for id in ["a", "b"] {
        let run = RunId::new(id);
        let mut events = chain(&run, 2, "n")?;
        let next = events.last().and_then(|last| last.link.after(last.hash));
        let next = next.ok_or_else(|| Problem("the run is full".to_owned()))?;
        let receipt = sealed(EventType::BlobExpire, "gone", next)?;
        all.push((text(id), wanted(&receipt)));
        events.push(receipt);
        write_run(store, &run, &events)?;
    }
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("receipts", &expired(transaction.as_ref())?, &all)
}

fn appends(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 4, "n")?;
    let first = &events[0].link;
    same("an append to no run", &store.append(&new(&events[..1]), first, None)?, &Outcome::Moved(None))?;
    write_run(store, &run, &[])?;
    same("an append to an empty run", &store.append(&new(&events[..1]), first, None)?, &Outcome::Recorded)?;
    let second = &events[1].link;
    same("an append of two", &store.append(&new(&events[1..3]), second, None)?, &Outcome::Recorded)?;
    let moved = Outcome::Moved(Some(events[3].link.clone()));
    same("the same again", &store.append(&new(&events[1..3]), second, None)?, &moved)?;
    same("an append further on", &store.append(&new(&events[3..]), &events[3].link, None)?, &Outcome::Recorded)?;
    let other = sealed(EventType::Decision, "another", events[3].link.clone())?;
    let moved = Outcome::Moved(Some(following(store, &run)?));
    same("another history", &store.append(&new(&[other]), &events[3].link, None)?, &moved)?;
    let snapshot = look(store)?;
    same("the events", &rows(snapshot.view().as_ref(), &run)?, &events.iter().map(wanted).collect())
}

fn appends_once(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 3, "n")?;
    write_run(store, &run, &events[..1])?;
    let key = |seq: Seq, digest| Some(NewKey { key: "k", row: KeyRow { seq, digest: [digest; 32] } });
    let (second, third) = (&events[1].link, &events[2].link);
    let append = |event: &Sealed, link: &Link, digest| {
        store.append(&new(std::slice::from_ref(event)), link, key(link.seq, digest))
    };
    same("an append under a key", &append(&events[1], second, 7)?, &Outcome::Recorded)?;
    let held = Outcome::Replayed(KeyRow { seq: second.seq, digest: [7; 32] });
    same("the same under the same key", &append(&events[1], second, 7)?, &held)?;
    same("another under the same key", &append(&events[2], third, 8)?, &held)?;
    let snapshot = look(store)?;
    same("the events", &rows(snapshot.view().as_ref(), &run)?, &events[..2].iter().map(wanted).collect())
}

fn stray_appends(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 4, "n")?;
    write_run(store, &run, &events[..1])?;
    let gap = [events[1].clone(), events[3].clone()];
    for (events, expected) in [(&gap[..], &events[1].link), (&events[2..], &events[1].link)] {
        let error = refused("events that do not follow", store.append(&new(events), expected, None))?;
        same("the kind of the error", &error.of_store(), &Some(StoreErrorKind::Misuse))?;
    }
    let snapshot = look(store)?;
    same("the events", &rows(snapshot.view().as_ref(), &run)?.len(), &1)
}
