//! Rows of runs, keys and settings.

use super::{
    Case, Done, Problem, at, blob, blob_ids, bytes, chain, event, expired, head, look, new_run, put, record, refused,
    rows, run_ids, run_of, same, text, wanted, write_run,
};
use crate::error::Error;
use crate::store::{KeyRow, NewRun, Scope, Size, Store};
use receipt_core::evidence::EvidenceClass;
use receipt_core::id::{BlobHash, RunId, Seq};
use std::io::Cursor;

pub(super) const CASES: &[Case] = &[
    ("a new store is empty and sound", empty),
    ("a run's row comes back as it was written", run_row),
    ("a run is inserted once", run_once),
    ("a setting is what it was set to last", settings),
    ("a key stands for one event of one run", keys),
    ("runs come in the order of their ids, whatever text those are", run_order),
    ("a run id may have a NUL in it", nul_in_run_id),
    ("the size grows with what is written", size),
];

fn empty(store: &dyn Store) -> Done {
    same("the schema", &store.inspect()?, &Vec::new())?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let store = transaction.as_ref();
    let run = RunId::new("r");
    let hash = BlobHash::of(b"nothing");
    same("runs", &run_ids(store)?, &Vec::new())?;
    same("a run", &run_of(store, &run)?, &None)?;
    same("events", &rows(store, &run)?, &Vec::new())?;
    same("the head", &head(store, &run)?, &None)?;
    same("an event", &event(store, &run, 1)?, &None)?;
    same("blobs", &blob_ids(store)?, &Vec::new())?;
    same("a blob", &blob(store, &hash)?, &None)?;
    same("a blob's bytes", &bytes(store, &hash)?, &Vec::new())?;
    same("receipts", &expired(store)?, &Vec::new())?;
    same("a key", &store.key(&run, "k")?, &None)?;
    same("the size", &store.size()?, &Size::default())
}

fn run_row(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    write_run(store, &run, &[])?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let wanted = [text("p \u{e9}"), text("1.0"), text("v1_minimal"), text(at(7)), text(r#"{"a":1}"#)];
    same("the row", &run_of(transaction.as_ref(), &run)?, &Some(wanted))?;
    same("another run's row", &run_of(transaction.as_ref(), &RunId::new("R"))?, &None)?;
    same("runs", &run_ids(transaction.as_ref())?, &vec![(text("r"), true)])
}

fn run_once(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    write_run(store, &run, &chain(&run, 1, "first")?)?;
    let mut transaction = store.begin(Scope::Ledger)?;
    let again = NewRun { policy_id: "other", ..new_run(&run) };
    match refused("a second row for a run", transaction.insert_run(&again))? {
        Error::RunExists { run } if run == "r" => {}
        error => return Err(Problem(format!("a second row gave {error:?}, not RunExists"))),
    }
    drop(transaction);
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let policy = run_of(transaction.as_ref(), &run)?.map(|row| row[0].clone());
    same("the policy in the row", &policy, &Some(text("p \u{e9}")))?;
    same("events", &rows(transaction.as_ref(), &run)?.len(), &1)
}

fn settings(store: &dyn Store) -> Done {
    let mut transaction = store.begin(Scope::Ledger)?;
    same("a setting that was never set", &transaction.setting("a")?, &None)?;
    transaction.set("a", "1")?;
    transaction.set("b", "")?;
    transaction.set("a", "2")?;
    transaction.commit()?;
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.set("a", "3")?;
    drop(transaction);
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let found = (transaction.setting("a")?, transaction.setting("b")?, transaction.setting("A")?);
    same("the settings", &found, &(Some("2".to_owned()), Some(String::new()), None))
}

fn keys(store: &dyn Store) -> Done {
    let (a, b) = (RunId::new("a"), RunId::new("b"));
    let row = |seq: i64, digest| KeyRow { seq: Seq::new(seq).unwrap_or(Seq::FIRST), digest: [digest; 32] };
    write_run(store, &a, &chain(&a, 2, "n")?)?;
    write_run(store, &b, &chain(&b, 2, "n")?)?;
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.insert_key(&a, "k", row(1, 1))?;
    transaction.insert_key(&a, "", row(2, 2))?;
    transaction.insert_key(&b, "k", row(2, 3))?;
    transaction.commit()?;
    let mut transaction = store.begin(Scope::Ledger)?;
    refused("a key that is taken", transaction.insert_key(&a, "k", row(2, 4)))?;
    drop(transaction);
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("a key", &transaction.key(&a, "k")?, &Some(row(1, 1)))?;
    same("the empty key", &transaction.key(&a, "")?, &Some(row(2, 2)))?;
    same("the same key of another run", &transaction.key(&b, "k")?, &Some(row(2, 3)))?;
    same("a key in capitals", &transaction.key(&a, "K")?, &None)
}

fn run_order(store: &dyn Store) -> Done {
    let ids =
        ["b", "a/b/c", "", "a", "\u{e9}", "\u{1F600}", "\u{FF5E}", "B", " a ", "'; DROP TABLE runs; --", "a/", "%"];
    for id in ids {
        let run = RunId::new(id);
        write_run(store, &run, &chain(&run, 1, id)?)?;
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let wanted_ids: Vec<_> = sorted.iter().map(|id| (text(id), true)).collect();
    same("the ids", &run_ids(transaction.as_ref())?, &wanted_ids)?;
    for id in ids {
        let run = RunId::new(id);
        let events = chain(&run, 1, id)?;
        same("a run's events", &rows(transaction.as_ref(), &run)?, &events.iter().map(wanted).collect())?;
    }
    Ok(())
}

fn nul_in_run_id(store: &dyn Store) -> Done {
    for id in ["a\0b", "a", "a\0"] {
        let run = RunId::new(id);
        write_run(store, &run, &chain(&run, 1, id)?)?;
    }
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    let wanted_ids: Vec<_> = ["a", "a\0", "a\0b"].into_iter().map(|id| (text(id), true)).collect();
    same("the ids", &run_ids(transaction.as_ref())?, &wanted_ids)?;
    let run = RunId::new("a\0b");
    same("events", &rows(transaction.as_ref(), &run)?, &chain(&run, 1, "a\0b")?.iter().map(wanted).collect())
}

fn size(store: &dyn Store) -> Done {
    let run = RunId::new("r");
    let events = chain(&run, 30, "n")?;
    write_run(store, &run, &events)?;
    let mut transaction = store.begin(Scope::Ledger)?;
    put(transaction.as_mut(), &record(b"a", "t", EvidenceClass::Public), &mut Cursor::new(b"a"))?;
    put(transaction.as_mut(), &record(b"b", "t", EvidenceClass::Public), &mut Cursor::new(b"b"))?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("the size", &transaction.size()?, &Size { runs: 1, events: 30, blobs: 2 })?;
    same("the rows", &transaction.rows()?, &Size { runs: 1, events: 30, blobs: 2 })
}
