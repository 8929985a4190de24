//! What every backend must do, as a suite that each of them runs: [`check`].
//!
//! ```
//! use receipt_kernel::store::{conformance, memory::MemoryStore};
//!
//! conformance::check(&mut || Ok(Box::new(MemoryStore::default())))?;
//! # Ok::<(), conformance::Failures>(())
//! ```

use super::{
    BlobRow, KeyRow, NewBlob, NewRun, ReadTransaction, Segment, Size, Snapshot, Store, StoreErrorKind,
    StoredCheckpoint, Visit, WriteTransaction,
};
use crate::error::{Error, Result};
use crate::evidence::Put;
use crate::ledger::Ledger;
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef, Sealed};
use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, EventHash, RunId, Seq, Timestamp};
use receipt_core::json::Object;
use receipt_core::policy::Policy;
use receipt_core::run::{Cell, EventRow, RunRow};
use receipt_core::stage::Stage;
use receipt_core::verdict::Verdict;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// One thing that a backend does not do as it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What must be true.
    pub case: &'static str,
    /// What was found instead.
    pub problem: String,
}

/// Everything that a backend does not do as it must; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures(pub Vec<Failure>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store does not conform:")?;
        self.0.iter().try_for_each(|Failure { case, problem }| write!(f, "\n  {case}: {problem}"))
    }
}

impl std::error::Error for Failures {}

/// Runs the whole suite against stores that `make` makes: each call must give a new, empty one.
///
/// # Errors
/// [`Failures`], each with what must be true and what was found. Every case is run, whatever the others showed.
pub fn check(make: &mut dyn FnMut() -> Result<Box<dyn Store>>) -> std::result::Result<(), Failures> {
    let failed = CASES.iter().filter_map(|(case, run)| match make().map_err(Problem::from).and_then(run) {
        Ok(()) => None,
        Err(Problem(problem)) => Some(Failure { case, problem }),
    });
    let failed: Vec<Failure> = failed.collect();
    if failed.is_empty() { Ok(()) } else { Err(Failures(failed)) }
}

/// Why a case failed.
struct Problem(String);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(format!("{error} ({})", error.code()))
    }
}

impl From<receipt_core::Error> for Problem {
    fn from(error: receipt_core::Error) -> Self {
        Self(error.to_string())
    }
}

type Outcome<T = ()> = std::result::Result<T, Problem>;

fn ensure(holds: bool, problem: &str) -> Outcome {
    if holds { Ok(()) } else { Err(Problem(problem.to_owned())) }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, found: &T, wanted: &T) -> Outcome {
    if found == wanted { Ok(()) } else { Err(Problem(format!("{what}: found {found:.400?}, wanted {wanted:.400?}"))) }
}

fn refused<T>(what: &str, done: Result<T>) -> Outcome<Error> {
    match done {
        Ok(_) => Err(Problem(format!("{what} was not refused"))),
        Err(error) => Ok(error),
    }
}

type Case = fn(Box<dyn Store>) -> Outcome;

const CASES: &[(&str, Case)] = &[
    ("a new store is empty and sound", empty),
    ("a run's row comes back as it was written", run_row),
    ("a run is inserted once", run_once),
    ("events come back byte for byte, in the order of their seq", events),
    ("ranges of a run that follow each other show each of its events once", ranges),
    ("a visitor can stop early", early_stop),
    ("a place holds one event", place_taken),
    ("an event needs the row of its run", event_without_run),
    ("a transaction sees its own writes", own_writes),
    ("a dropped transaction leaves nothing", dropped),
    ("a store can be written after something was refused", usable_after_refusal),
    ("a read transaction sees one instant", one_instant),
    ("blobs of any size come back byte for byte", blobs),
    ("evidence that ends too early or cannot be read is refused", short_evidence),
    ("a blob's row and class can be replaced", replaced_blob),
    ("a blob's bytes are removed once, and it goes from state to state", expired_blob),
    ("a setting is what it was set to last", settings),
    ("a key stands for one event of one run", keys),
    ("runs come in the order of their ids, whatever text those are", run_order),
    ("a run id may have a NUL in it", nul_in_run_id),
    ("each receipt of a removed blob is found, of whichever run", expiries),
    ("the size grows with what is written", size),
    ("the log's rows come back as they were written", log_rows),
    ("what is bound to the log is bound once", log_bound),
    ("the log's rows are written with everything else, or not at all", log_dropped),
    ("events come in the order in which they were written, of whichever run", arrivals),
    ("snapshots that were taken together see one instant", snapshots),
    ("another handle sees what was committed", reopened),
    ("many writers at once lose and double nothing", many_writers),
    ("a run can be recorded, judged and audited", whole_run),
];

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + micros)
}

fn sealed(event_type: EventType, note: &str, link: Link) -> Outcome<Sealed> {
    let draft = Draft {
        event_type,
        stage: Stage::new("START"),
        policy: PolicyRef { policy_id: "p".into(), policy_version: "1".into(), stage_graph_id: "v1_minimal".into() }
            .into(),
        actor: Actor::new("system", "conformance").into(),
        payload: Object::from_iter([("note", note)]),
        blobs: Vec::new(),
        events: Vec::new(),
        ts: at(link.seq.get()),
        extra: Object::new(),
    };
    Ok(draft.seal(link)?)
}

/// A chain of this many events, the first a RUN_START.
fn chain(run: &RunId, count: usize, note: &str) -> Outcome<Vec<Sealed>> {
    let mut link = Some(Link::first(run.clone()));
    let mut events = Vec::new();
    while let Some(here) = link.take().filter(|_| events.len() < count) {
        let event_type = if events.is_empty() { EventType::RunStart } else { EventType::Decision };
        let event = sealed(event_type, note, here.clone())?;
        link = here.after(event.hash);
        events.push(event);
    }
    Ok(events)
}

fn new_run(run_id: &RunId) -> NewRun<'_> {
    NewRun {
        run_id,
        policy_id: "p \u{e9}",
        policy_version: "1.0",
        stage_graph_id: "v1_minimal",
        created_at: at(7),
        meta_json: r#"{"a":1}"#,
    }
}

/// Writes the run's row and these events, and commits.
fn write_run(store: &mut dyn Store, run: &RunId, events: &[Sealed]) -> Outcome {
    let mut transaction = store.write()?;
    transaction.insert_run(&new_run(run))?;
    for event in events {
        transaction.insert_event(event, at(9))?;
    }
    Ok(transaction.commit()?)
}

/// A cell that outlives its row.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

fn text(text: impl fmt::Display) -> Owned {
    Owned::Text(text.to_string().into_bytes())
}

impl From<Cell<'_>> for Owned {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(value) => Self::Integer(value),
            Cell::Real(value) => Self::Real(value),
            Cell::Text(bytes) => Self::Text(bytes.to_vec()),
            Cell::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

/// An event's row as it was found: seq, event_type, envelope_json, event_hash, prev_event_hash, created_at.
type Row = [Owned; 6];

fn row(row: &EventRow<'_>) -> Row {
    [row.seq, row.event_type, row.envelope_json, row.event_hash, row.prev_event_hash, row.created_at].map(Owned::from)
}

fn wanted(event: &Sealed) -> Row {
    [
        Owned::Integer(event.link.seq.get()),
        text(event.event_type),
        Owned::Text(event.text.clone()),
        text(event.hash),
        event.link.prev.map_or(Owned::Null, text),
        text(at(9)),
    ]
}

fn rows(store: &dyn ReadTransaction, run: &RunId) -> Outcome<Vec<Row>> {
    let mut found = Vec::new();
    store.events(run, &mut |event| {
        found.push(row(event));
        Visit::Continue(())
    })?;
    Ok(found)
}

fn head(store: &dyn ReadTransaction, run: &RunId) -> Outcome<Option<Row>> {
    let mut found = None;
    store.head(run, &mut |event| found = Some(row(event)))?;
    Ok(found)
}

fn event(store: &dyn ReadTransaction, run: &RunId, seq: i64) -> Outcome<Option<Row>> {
    let mut found = None;
    if let Some(seq) = Seq::new(seq) {
        store.event(run, seq, &mut |event| found = Some(row(event)))?;
    }
    Ok(found)
}

fn run_cells(row: &RunRow<'_>) -> [Owned; 5] {
    [row.policy_id, row.policy_version, row.stage_graph_id, row.created_at, row.meta_json].map(Owned::from)
}

fn run_of(store: &dyn ReadTransaction, run: &RunId) -> Outcome<Option<[Owned; 5]>> {
    let mut found = None;
    store.run(run, &mut |row| found = Some(run_cells(row)))?;
    Ok(found)
}

/// Every id, and whether it came with a row.
fn run_ids(store: &dyn ReadTransaction) -> Outcome<Vec<(Owned, bool)>> {
    let mut found = Vec::new();
    store.runs(&mut |id, row| {
        found.push((id.into(), row.is_some()));
        Visit::Continue(())
    })?;
    Ok(found)
}

/// A blob as it was found: sha256, content_type, bytes_len, evidence_class, state; length and kind of its bytes.
type FoundBlob = ([Owned; 5], Option<u64>, bool);

fn found_blob(row: &BlobRow<'_>) -> FoundBlob {
    let cells = [row.sha256, row.content_type, row.bytes_len, row.evidence_class, row.state].map(Owned::from);
    (cells, row.stored_len, row.is_blob)
}

fn blob(store: &dyn ReadTransaction, hash: &BlobHash) -> Outcome<Option<FoundBlob>> {
    let mut found = None;
    store.blob(hash, &mut |row| found = Some(found_blob(row)))?;
    Ok(found)
}

fn bytes(store: &dyn ReadTransaction, hash: &BlobHash) -> Outcome<Vec<u8>> {
    let mut found = Vec::new();
    store.blob_bytes(hash, &mut |piece| found.extend_from_slice(piece))?;
    Ok(found)
}

fn blob_ids(store: &dyn ReadTransaction) -> Outcome<Vec<Owned>> {
    let mut found = Vec::new();
    store.blobs(&mut |id| {
        found.push(id.into());
        Visit::Continue(())
    })?;
    Ok(found)
}

fn record(data: &[u8], content_type: &str, class: EvidenceClass) -> BlobRecord {
    BlobRecord { hash: BlobHash::of(data), content_type: content_type.to_owned(), bytes_len: data.len() as u64, class }
}

fn wanted_blob(record: &BlobRecord) -> FoundBlob {
    let length = i64::try_from(record.bytes_len).unwrap_or(-1);
    let cells = [
        text(record.hash),
        text(&record.content_type),
        Owned::Integer(length),
        text(record.class.as_str()),
        text("live"),
    ];
    (cells, Some(record.bytes_len), true)
}

fn put(transaction: &mut dyn WriteTransaction, record: &BlobRecord, data: &mut dyn Read) -> Result<()> {
    transaction.put_blob(&NewBlob { record, created_at: at(3), redaction_json: None }, data)
}

/// Gives its bytes in odd pieces, with an interruption between them, as files and pipes may.
struct Odd<'a> {
    rest: &'a [u8],
    calls: usize,
}

impl Read for Odd<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls == 2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = out.len().min(self.rest.len()).min(70_001);
        out[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}

/// Gives a little, then an error.
struct Failing(bool);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) || out.is_empty() {
            return Err(io::Error::other("the disk went away"));
        }
        out[0] = b'x';
        Ok(1)
    }
}

fn empty(mut store: Box<dyn Store>) -> Outcome {
    same("the schema", &store.inspect()?, &Vec::new())?;
    let transaction = store.read()?;
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

fn run_row(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    write_run(store.as_mut(), &run, &[])?;
    let transaction = store.read()?;
    let wanted = [text("p \u{e9}"), text("1.0"), text("v1_minimal"), text(at(7)), text(r#"{"a":1}"#)];
    same("the row", &run_of(transaction.as_ref(), &run)?, &Some(wanted))?;
    same("another run's row", &run_of(transaction.as_ref(), &RunId::new("R"))?, &None)?;
    same("runs", &run_ids(transaction.as_ref())?, &vec![(text("r"), true)])
}

fn run_once(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    write_run(store.as_mut(), &run, &chain(&run, 1, "first")?)?;
    let mut transaction = store.write()?;
    let again = NewRun { policy_id: "other", ..new_run(&run) };
    match refused("a second row for a run", transaction.insert_run(&again))? {
        Error::RunExists { run } if run == "r" => {}
        error => return Err(Problem(format!("a second row gave {error:?}, not RunExists"))),
    }
    drop(transaction);
    let transaction = store.read()?;
    let policy = run_of(transaction.as_ref(), &run)?.map(|row| row[0].clone());
    same("the policy in the row", &policy, &Some(text("p \u{e9}")))?;
    same("events", &rows(transaction.as_ref(), &run)?.len(), &1)
}

fn events(mut store: Box<dyn Store>) -> Outcome {
    let (a, b) = (RunId::new("a"), RunId::new("b"));
    let (of_a, of_b) = (chain(&a, 5, "\u{1F600} \u{0} \"quoted\"")?, chain(&b, 2, "other")?);
    // By seq, not by when they were written.
    let mixed: Vec<&Sealed> = [&of_a[2], &of_b[0], &of_a[0], &of_a[4], &of_b[1], &of_a[1], &of_a[3]].to_vec();
    let mut transaction = store.write()?;
    transaction.insert_run(&new_run(&a))?;
    transaction.insert_run(&new_run(&b))?;
    for event in mixed {
        transaction.insert_event(event, at(9))?;
    }
    transaction.commit()?;
    let transaction = store.read()?;
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

fn ranges(mut store: Box<dyn Store>) -> Outcome {
    for id in ["a", "b", "c"] {
        let run = RunId::new(id);
        write_run(store.as_mut(), &run, &chain(&run, 5, id)?)?;
    }
    let transaction = store.read()?;
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

fn early_stop(mut store: Box<dyn Store>) -> Outcome {
    for id in ["a", "b", "c"] {
        let run = RunId::new(id);
        write_run(store.as_mut(), &run, &chain(&run, 3, "n")?)?;
        let mut transaction = store.write()?;
        let record = record(id.as_bytes(), "text/plain", EvidenceClass::Public);
        put(transaction.as_mut(), &record, &mut id.as_bytes())?;
        transaction.commit()?;
    }
    let transaction = store.read()?;
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

fn place_taken(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    let events = chain(&run, 2, "first")?;
    write_run(store.as_mut(), &run, &events)?;
    let other = sealed(EventType::Decision, "second", events[1].link.clone())?;
    let mut transaction = store.write()?;
    refused("an event in a place that is taken", transaction.insert_event(&other, at(9)))?;
    drop(transaction);
    let transaction = store.read()?;
    same("events", &rows(transaction.as_ref(), &run)?, &events.iter().map(wanted).collect())
}

fn event_without_run(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("nobody");
    let events = chain(&run, 1, "n")?;
    let mut transaction = store.write()?;
    // Some backends can only say so at the commit.
    let done = transaction.insert_event(&events[0], at(9)).and_then(|()| transaction.commit());
    refused("an event of a run that has no row", done)?;
    let transaction = store.read()?;
    same("events", &rows(transaction.as_ref(), &run)?, &Vec::new())?;
    same("runs", &run_ids(transaction.as_ref())?, &Vec::new())
}

/// Writes one of everything, without a commit.
fn one_of_each(transaction: &mut dyn WriteTransaction, run: &RunId) -> Outcome {
    transaction.insert_run(&new_run(run))?;
    for event in &chain(run, 2, "n")? {
        transaction.insert_event(event, at(9))?;
    }
    let record = record(b"evidence", "text/plain", EvidenceClass::Public);
    put(transaction, &record, &mut Cursor::new(b"evidence"))?;
    Ok(transaction.insert_key(run, "k", KeyRow { seq: Seq::FIRST, digest: [7; 32] })?)
}

/// How much of [`one_of_each`] is there.
fn seen(store: &dyn ReadTransaction, run: &RunId) -> Outcome<[usize; 5]> {
    Ok([
        run_ids(store)?.len(),
        rows(store, run)?.len(),
        head(store, run)?.iter().len(),
        blob_ids(store)?.len() + bytes(store, &BlobHash::of(b"evidence"))?.len(),
        store.key(run, "k")?.iter().len(),
    ])
}

const ALL_SEEN: [usize; 5] = [1, 2, 1, 9, 1];

fn own_writes(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    let mut transaction = store.write()?;
    one_of_each(transaction.as_mut(), &run)?;
    same("runs, events, heads, blobs and keys before the commit", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)?;
    transaction.commit()?;
    let transaction = store.read()?;
    same("runs, events, heads, blobs and keys after the commit", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)
}

fn dropped(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    let mut transaction = store.write()?;
    one_of_each(transaction.as_mut(), &run)?;
    drop(transaction);
    let transaction = store.read()?;
    same("runs, events, heads, blobs and keys", &seen(transaction.as_ref(), &run)?, &[0; 5])?;
    drop(transaction);
    // What was dropped stands in the way of nothing.
    let mut transaction = store.write()?;
    one_of_each(transaction.as_mut(), &run)?;
    transaction.commit()?;
    let transaction = store.read()?;
    same("runs, events, heads, blobs and keys, written again", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)
}

fn usable_after_refusal(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    write_run(store.as_mut(), &run, &[])?;
    let mut transaction = store.write()?;
    refused("a second row for a run", transaction.insert_run(&new_run(&run)))?;
    drop(transaction);
    let other = RunId::new("s");
    let events = chain(&other, 3, "n")?;
    write_run(store.as_mut(), &other, &events)?;
    let transaction = store.read()?;
    same("events", &rows(transaction.as_ref(), &other)?.len(), &3)
}

fn one_instant(mut store: Box<dyn Store>) -> Outcome {
    let (run, later) = (RunId::new("r"), RunId::new("s"));
    let events = chain(&run, 2, "n")?;
    write_run(store.as_mut(), &run, &events[..1])?;
    let mut reader = store.reopen()?;
    let before = reader.read()?;
    same("events", &rows(before.as_ref(), &run)?.len(), &1)?;
    let mut transaction = store.write()?;
    transaction.insert_event(&events[1], at(9))?;
    transaction.insert_run(&new_run(&later))?;
    transaction.commit()?;
    same("events, a commit later", &rows(before.as_ref(), &run)?.len(), &1)?;
    same("runs, a commit later", &run_ids(before.as_ref())?.len(), &1)?;
    drop(before);
    let after = reader.read()?;
    same("events in the next transaction", &rows(after.as_ref(), &run)?.len(), &2)?;
    same("runs in the next transaction", &run_ids(after.as_ref())?.len(), &2)
}

/// Bytes that do not repeat, from an xorshift.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn blobs(mut store: Box<dyn Store>) -> Outcome {
    let pattern = |len: usize| (0..=250).cycle().take(len).collect::<Vec<u8>>();
    let mut all = vec![Vec::new(), vec![0], pattern(1000), pattern((1 << 20) + 1), pattern(3 << 20)];
    // What a store that compresses can make little of, alone and beside what it can.
    all.extend([noise(1000), noise(1 << 20), noise((1 << 20) + 7)]);
    all.extend([[noise(1 << 20), pattern(3 << 20)].concat(), [pattern(1 << 20), noise(1 << 20), vec![0]].concat()]);
    let mut ids = Vec::new();
    for (index, data) in all.iter().enumerate() {
        let class = if index % 2 == 0 { EvidenceClass::Public } else { EvidenceClass::Sealed };
        let record = record(data, "application/x-odd; v=\"\u{e9}\"", class);
        let mut transaction = store.write()?;
        put(transaction.as_mut(), &record, &mut Odd { rest: data, calls: 0 })?;
        transaction.commit()?;
        let transaction = store.read()?;
        same("the row", &blob(transaction.as_ref(), &record.hash)?, &Some(wanted_blob(&record)))?;
        let found = bytes(transaction.as_ref(), &record.hash)?;
        ensure(found == *data, &format!("{} bytes came back as {} other ones", data.len(), found.len()))?;
        ids.push(text(record.hash));
    }
    // Of a reader that has more, only what belongs to the blob is taken.
    let record = record(b"abc", "text/plain", EvidenceClass::Public);
    let mut transaction = store.write()?;
    put(transaction.as_mut(), &record, &mut Cursor::new(b"abcdef"))?;
    transaction.commit()?;
    ids.push(text(record.hash));
    let transaction = store.read()?;
    same("the bytes of a longer reader", &bytes(transaction.as_ref(), &record.hash)?, &b"abc".to_vec())?;
    let mut found = blob_ids(transaction.as_ref())?;
    let sort = |ids: &mut Vec<Owned>| ids.sort_by_key(|id| format!("{id:?}"));
    sort(&mut found);
    sort(&mut ids);
    same("the addresses", &found, &ids)
}

fn short_evidence(mut store: Box<dyn Store>) -> Outcome {
    for length in [10, 3 << 20] {
        let data = vec![b'x'; length];
        let record = record(&data, "text/plain", EvidenceClass::Public);
        let readers: [&mut dyn Read; 2] = [&mut Cursor::new(&data[..length - 1]), &mut Failing(false)];
        for reader in readers {
            let mut transaction = store.write()?;
            refused("evidence that ends too early", put(transaction.as_mut(), &record, reader))?;
            drop(transaction);
            let transaction = store.read()?;
            same("blobs", &blob_ids(transaction.as_ref())?, &Vec::new())?;
        }
    }
    Ok(())
}

fn replaced_blob(mut store: Box<dyn Store>) -> Outcome {
    let data = b"evidence ".repeat(200_000);
    let (first, other) = (record(&data, "text/plain", EvidenceClass::Public), record(b"b", "b", EvidenceClass::Public));
    let mut transaction = store.write()?;
    put(transaction.as_mut(), &first, &mut Cursor::new(&data))?;
    put(transaction.as_mut(), &other, &mut Cursor::new(b"b"))?;
    transaction.commit()?;
    let second = BlobRecord { content_type: "text/html".to_owned(), ..first.clone() };
    let mut transaction = store.write()?;
    put(transaction.as_mut(), &second, &mut Cursor::new(&data))?;
    transaction.commit()?;
    let transaction = store.read()?;
    same("the row after it was put again", &blob(transaction.as_ref(), &first.hash)?, &Some(wanted_blob(&second)))?;
    same("the blobs", &blob_ids(transaction.as_ref())?.len(), &2)?;
    drop(transaction);
    let third = BlobRecord { class: EvidenceClass::Sealed, ..second };
    let mut transaction = store.write()?;
    transaction.set_class(&third)?;
    transaction.commit()?;
    let transaction = store.read()?;
    same("the row after its class was set", &blob(transaction.as_ref(), &first.hash)?, &Some(wanted_blob(&third)))?;
    same("the bytes after that", &bytes(transaction.as_ref(), &first.hash)?, &data)?;
    same("the other blob", &blob(transaction.as_ref(), &other.hash)?, &Some(wanted_blob(&other)))
}

fn expired_blob(mut store: Box<dyn Store>) -> Outcome {
    use BlobState::{ExpiredHashOnly, Live, Purged};
    let data = b"evidence ".repeat(200_000);
    let gone = record(&data, "text/plain", EvidenceClass::Public);
    let kept = record(b"other", "text/plain", EvidenceClass::Public);
    let mut transaction = store.write()?;
    put(transaction.as_mut(), &gone, &mut Cursor::new(&data))?;
    put(transaction.as_mut(), &kept, &mut Cursor::new(b"other"))?;
    same("purged before it expired", &transaction.expire_blob(&gone.hash, ExpiredHashOnly, Purged, at(4))?, &false)?;
    same("expired", &transaction.expire_blob(&gone.hash, Live, ExpiredHashOnly, at(4))?, &true)?;
    same("expired again", &transaction.expire_blob(&gone.hash, Live, ExpiredHashOnly, at(5))?, &false)?;
    transaction.commit()?;
    same("scrubbed", &store.scrub()?, &true)?;
    let row = |store: &dyn ReadTransaction| -> Outcome<Option<(Owned, Owned, Option<u64>)>> {
        let mut found = None;
        store.blob(&gone.hash, &mut |row| found = Some((row.state.into(), row.expired_at.into(), row.stored_len)))?;
        Ok(found)
    };
    let transaction = store.read()?;
    same("the row", &row(transaction.as_ref())?, &Some((text("expired_hash_only"), text(at(4)), None)))?;
    same("its bytes", &bytes(transaction.as_ref(), &gone.hash)?, &Vec::new())?;
    same("the other blob", &blob(transaction.as_ref(), &kept.hash)?, &Some(wanted_blob(&kept)))?;
    drop(transaction);
    let mut transaction = store.write()?;
    same("purged", &transaction.expire_blob(&gone.hash, ExpiredHashOnly, Purged, at(6))?, &true)?;
    same("the row", &row(transaction.as_ref())?, &Some((text("purged"), text(at(4)), None)))?;
    put(transaction.as_mut(), &gone, &mut Cursor::new(&data))?;
    same(
        "the row that was put again",
        &row(transaction.as_ref())?,
        &Some((text("live"), Owned::Null, Some(data.len() as u64))),
    )
}

fn settings(mut store: Box<dyn Store>) -> Outcome {
    let mut transaction = store.write()?;
    same("a setting that was never set", &transaction.setting("a")?, &None)?;
    transaction.set("a", "1")?;
    transaction.set("b", "")?;
    transaction.set("a", "2")?;
    transaction.commit()?;
    let mut transaction = store.write()?;
    transaction.set("a", "3")?;
    drop(transaction);
    let transaction = store.read()?;
    let found = (transaction.setting("a")?, transaction.setting("b")?, transaction.setting("A")?);
    same("the settings", &found, &(Some("2".to_owned()), Some(String::new()), None))
}

fn keys(mut store: Box<dyn Store>) -> Outcome {
    let (a, b) = (RunId::new("a"), RunId::new("b"));
    let row = |seq: i64, digest| KeyRow { seq: Seq::new(seq).unwrap_or(Seq::FIRST), digest: [digest; 32] };
    write_run(store.as_mut(), &a, &chain(&a, 2, "n")?)?;
    write_run(store.as_mut(), &b, &chain(&b, 2, "n")?)?;
    let mut transaction = store.write()?;
    transaction.insert_key(&a, "k", row(1, 1))?;
    transaction.insert_key(&a, "", row(2, 2))?;
    transaction.insert_key(&b, "k", row(2, 3))?;
    transaction.commit()?;
    let mut transaction = store.write()?;
    refused("a key that is taken", transaction.insert_key(&a, "k", row(2, 4)))?;
    drop(transaction);
    let transaction = store.read()?;
    same("a key", &transaction.key(&a, "k")?, &Some(row(1, 1)))?;
    same("the empty key", &transaction.key(&a, "")?, &Some(row(2, 2)))?;
    same("the same key of another run", &transaction.key(&b, "k")?, &Some(row(2, 3)))?;
    same("a key in capitals", &transaction.key(&a, "K")?, &None)
}

fn run_order(mut store: Box<dyn Store>) -> Outcome {
    let ids =
        ["b", "a/b/c", "", "a", "\u{e9}", "\u{1F600}", "\u{FF5E}", "B", " a ", "'; DROP TABLE runs; --", "a/", "%"];
    for id in ids {
        let run = RunId::new(id);
        write_run(store.as_mut(), &run, &chain(&run, 1, id)?)?;
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    let transaction = store.read()?;
    let wanted_ids: Vec<_> = sorted.iter().map(|id| (text(id), true)).collect();
    same("the ids", &run_ids(transaction.as_ref())?, &wanted_ids)?;
    for id in ids {
        let run = RunId::new(id);
        let events = chain(&run, 1, id)?;
        same("a run's events", &rows(transaction.as_ref(), &run)?, &events.iter().map(wanted).collect())?;
    }
    Ok(())
}

fn nul_in_run_id(mut store: Box<dyn Store>) -> Outcome {
    for id in ["a\0b", "a", "a\0"] {
        let run = RunId::new(id);
        write_run(store.as_mut(), &run, &chain(&run, 1, id)?)?;
    }
    let transaction = store.read()?;
    let wanted_ids: Vec<_> = ["a", "a\0", "a\0b"].into_iter().map(|id| (text(id), true)).collect();
    same("the ids", &run_ids(transaction.as_ref())?, &wanted_ids)?;
    let run = RunId::new("a\0b");
    same("events", &rows(transaction.as_ref(), &run)?, &chain(&run, 1, "a\0b")?.iter().map(wanted).collect())
}

fn expired(store: &dyn ReadTransaction) -> Outcome<Vec<(Owned, Row)>> {
    let mut found = Vec::new();
    store.expiries(&mut |run, event| {
        found.push((run.into(), row(event)));
        Visit::Continue(())
    })?;
    found.sort_by_key(|(run, _)| format!("{run:?}"));
    Ok(found)
}

fn expiries(mut store: Box<dyn Store>) -> Outcome {
    let mut all = Vec::new();
    for id in ["a", "b"] {
        let run = RunId::new(id);
        let mut events = chain(&run, 2, "n")?;
        let next = events.last().and_then(|last| last.link.after(last.hash));
        let next = next.ok_or_else(|| Problem("the run is full".to_owned()))?;
        let receipt = sealed(EventType::BlobExpire, "gone", next)?;
        all.push((text(id), wanted(&receipt)));
        events.push(receipt);
        write_run(store.as_mut(), &run, &events)?;
    }
    let transaction = store.read()?;
    same("receipts", &expired(transaction.as_ref())?, &all)
}

fn size(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    let events = chain(&run, 30, "n")?;
    write_run(store.as_mut(), &run, &events)?;
    let mut transaction = store.write()?;
    put(transaction.as_mut(), &record(b"a", "t", EvidenceClass::Public), &mut Cursor::new(b"a"))?;
    put(transaction.as_mut(), &record(b"b", "t", EvidenceClass::Public), &mut Cursor::new(b"b"))?;
    transaction.commit()?;
    let transaction = store.read()?;
    same("the size", &transaction.size()?, &Size { runs: 1, events: 30, blobs: 2 })?;
    same("the rows", &transaction.rows()?, &Size { runs: 1, events: 30, blobs: 2 })
}

fn segment(first_leaf: u64, run: &str, first_seq: i64, count: u64) -> Outcome<Segment> {
    let first_seq = Seq::new(first_seq).ok_or_else(|| Problem("a seq that is none".to_owned()))?;
    Ok(Segment { first_leaf, run_id: RunId::new(run), first_seq, count })
}

fn checkpoint(size: u64, note: &str) -> StoredCheckpoint {
    let text = |text: &str| text.to_owned();
    StoredCheckpoint { size, last_event_id: 7, vkey: text("key"), note: text(note), created_at: at(5).to_string() }
}

/// Three stretches of two runs, two checkpoints, and rows of the tree of which one is replaced by a longer one.
fn write_log(transaction: &mut dyn WriteTransaction) -> Outcome {
    for stretch in [segment(0, "a", 1, 3)?, segment(3, "b", 1, 2)?, segment(5, "a", 4, 1)?, segment(5, "a", 4, 4)?] {
        transaction.put_segment(&stretch)?;
    }
    for (level, index, hashes) in [(0, 0, &[1; 32][..]), (0, 0, &[2; 64]), (0, 1, &[3; 32]), (1, 0, &[4; 32])] {
        transaction.put_log_tile(level, index, hashes)?;
    }
    transaction.put_checkpoint(&checkpoint(3, "one"), at(5))?;
    Ok(transaction.put_checkpoint(&checkpoint(9, "two"), at(5))?)
}

fn stretches(store: &dyn ReadTransaction, from: u64) -> Outcome<Vec<Segment>> {
    let mut found = Vec::new();
    store.segments(from, &mut |segment| {
        found.push(segment);
        Visit::Continue(())
    })?;
    Ok(found)
}

fn log_rows(mut store: Box<dyn Store>) -> Outcome {
    let mut transaction = store.write()?;
    write_log(transaction.as_mut())?;
    transaction.commit()?;
    let read = store.read()?;
    same("the last checkpoint", &read.last_checkpoint()?, &Some(checkpoint(9, "two")))?;
    let all = vec![segment(0, "a", 1, 3)?, segment(3, "b", 1, 2)?, segment(5, "a", 4, 4)?];
    same("the stretches", &stretches(read.as_ref(), 0)?, &all)?;
    same("the stretches from a leaf on", &stretches(read.as_ref(), 4)?, &all[1..].to_vec())?;
    same("a row of the tree", &read.log_tile(0, 0)?, &Some(vec![2; 64]))?;
    same("another row", &read.log_tile(1, 0)?, &Some(vec![4; 32]))?;
    same("a row that is not there", &read.log_tile(1, 1)?, &None)?;
    let leaf = |run: &str, seq: i64| -> Outcome<Option<u64>> {
        let seq = Seq::new(seq).ok_or_else(|| Problem("a seq that is none".to_owned()))?;
        Ok(read.leaf_of(&RunId::new(run), seq)?)
    };
    let leaves =
        [leaf("a", 1)?, leaf("a", 3)?, leaf("a", 4)?, leaf("a", 7)?, leaf("a", 8)?, leaf("b", 2)?, leaf("c", 1)?];
    same("the leaves", &leaves, &[Some(0), Some(2), Some(5), Some(8), None, Some(4), None])?;
    let covered = |run: &str| read.covered(&RunId::new(run));
    same("how many events the log has", &[covered("a")?, covered("b")?, covered("c")?], &[7, 2, 0])
}

fn log_bound(mut store: Box<dyn Store>) -> Outcome {
    same("what is bound", &store.read()?.log_meta("origin")?, &None)?;
    let mut transaction = store.write()?;
    transaction.bind_log_meta("origin", "one")?;
    transaction.commit()?;
    let mut transaction = store.write()?;
    refused("a second binding", transaction.bind_log_meta("origin", "two"))?;
    drop(transaction);
    same("what is bound", &store.read()?.log_meta("origin")?, &Some("one".to_owned()))
}

fn log_dropped(mut store: Box<dyn Store>) -> Outcome {
    let mut transaction = store.write()?;
    write_log(transaction.as_mut())?;
    drop(transaction);
    let read = store.read()?;
    same("the last checkpoint", &read.last_checkpoint()?, &None)?;
    same("the stretches", &stretches(read.as_ref(), 0)?, &Vec::new())?;
    same("a row of the tree", &read.log_tile(0, 0)?, &None)
}

fn arrivals(mut store: Box<dyn Store>) -> Outcome {
    let runs = ["b", "a", "c"].map(RunId::new);
    for run in &runs {
        write_run(store.as_mut(), run, &chain(run, 3, "n")?)?;
    }
    append(store.as_mut(), &runs[1])?;
    let read = store.read()?;
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

fn snapshots(mut store: Box<dyn Store>) -> Outcome {
    let runs = ["a", "b"].map(RunId::new);
    write_run(store.as_mut(), &runs[0], &chain(&runs[0], 2, "n")?)?;
    let snapshots = store.snapshots(3)?;
    ensure(!snapshots.is_empty(), "there is not even one")?;
    write_run(store.as_mut(), &runs[1], &chain(&runs[1], 2, "n")?)?;
    let seen = |snapshots: &[Box<dyn Snapshot>]| -> Outcome<Vec<u64>> {
        snapshots.iter().map(|it| Ok(it.view().rows()?.events)).collect()
    };
    same("what each sees", &seen(&snapshots)?, &vec![2; snapshots.len()])?;
    drop(snapshots);
    let later = store.snapshots(1)?;
    same("what a later one sees", &seen(&later)?, &vec![4])
}

fn reopened(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    let mut transaction = store.write()?;
    one_of_each(transaction.as_mut(), &run)?;
    transaction.commit()?;
    let mut other = store.reopen()?;
    drop(store);
    same("the schema", &other.inspect()?, &Vec::new())?;
    let transaction = other.read()?;
    same("runs, events, heads, blobs and keys", &seen(transaction.as_ref(), &run)?, &ALL_SEEN)?;
    same("events", &rows(transaction.as_ref(), &run)?, &chain(&run, 2, "n")?.iter().map(wanted).collect())
}

const WRITERS: usize = 8;
const EACH: usize = 20;

/// Appends one event behind the head, which is read in the same transaction.
fn append(store: &mut dyn Store, run: &RunId) -> Outcome {
    let mut transaction = store.write()?;
    let mut link = None;
    transaction.head(run, &mut |row| {
        let seq = row.seq.integer().and_then(Seq::new);
        let hash = row.event_hash.text().and_then(EventHash::parse_bytes);
        link = seq.zip(hash).and_then(|(seq, hash)| Link { run_id: run.clone(), seq, prev: None }.after(hash));
    })?;
    let link = link.ok_or_else(|| Problem("the head is gone".to_owned()))?;
    transaction.insert_event(&sealed(EventType::Decision, "n", link)?, at(9))?;
    Ok(transaction.commit()?)
}

fn many_writers(mut store: Box<dyn Store>) -> Outcome {
    let run = RunId::new("r");
    write_run(store.as_mut(), &run, &chain(&run, 1, "n")?)?;
    let mut handle = store.reopen()?;
    let writes = match handle.write() {
        Ok(_) => true,
        Err(error) if error.of_store() == Some(StoreErrorKind::ReadOnly) => false,
        Err(error) => return Err(error.into()),
    };
    drop(handle);
    let mut handles = Vec::new();
    for _ in 0..WRITERS {
        handles.push(if writes { Some(store.reopen()?) } else { None });
    }
    // Handles that only read leave the one that writes to all threads in turn, as a ledger does.
    let shared = Mutex::new(store);
    thread::scope(|scope| {
        let threads = handles.into_iter().map(|mut handle| {
            let (run, shared) = (&run, &shared);
            scope.spawn(move || {
                (0..EACH).try_for_each(|_| match &mut handle {
                    Some(handle) => append(handle.as_mut(), run),
                    None => append(shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut(), run),
                })
            })
        });
        let threads: Vec<_> = threads.collect();
        let done = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        done.collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|done| done.unwrap_or_else(|_| Err(Problem("a writer panicked".to_owned()))))
    })?;
    let mut store = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    let transaction = store.read()?;
    let found = rows(transaction.as_ref(), &run)?;
    same("events", &found.len(), &(1 + WRITERS * EACH))?;
    for (pair, seq) in found.windows(2).zip(2..) {
        same("the seq of an event", &pair[1][0], &Owned::Integer(seq))?;
        same("the hash of the event before", &pair[1][4], &pair[0][3])?;
    }
    Ok(())
}

fn whole_run(store: Box<dyn Store>) -> Outcome {
    let ledger = Ledger::over(store);
    let mut run = ledger.start("r", Policy::structural()?, Actor::new("system", "conformance"), Object::new())?;
    run.advance("COLLECT", "collecting")?;
    run.put("log", b"all tests passed\n", Put::text())?;
    run.advance("EVALUATE", "collected")?;
    same("the evaluation", &run.evaluate()?.overall_verdict, &Verdict::Pass)?;
    run.advance("DECIDE", "evaluated")?;
    run.decide("ship", &["it passed"], "release it")?;
    same("the verdict", &run.finalize("released")?, &Verdict::Pass)?;
    let report = ledger.audit()?;
    same("the audit", &report.overall_verdict(), &Verdict::Pass)?;
    same("the audit's runs and blobs", &(report.runs, report.blobs), &(1, 1))
}
