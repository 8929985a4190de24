//! What every backend must do, as a suite that each of them runs: [`check`].
//!
//! ```
//! use receipt_kernel::store::{Store, conformance, memory::MemoryStore};
//! use std::sync::Arc;
//!
//! conformance::check(&mut || {
//!     // What lies in memory has no handles but those that share it. A file or a server is opened twice.
//!     let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
//!     Ok([Arc::clone(&store), store])
//! })?;
//! # Ok::<(), conformance::Failures>(())
//! ```

mod blobs;
mod events;
mod handles;
mod log;
mod rows;
mod writers;

use crate::error::{Error, Result};
use crate::evidence::Put;
use crate::ledger::Ledger;
use crate::store::{
    BlobRow, NewBlob, NewEvent, NewRun, ReadTransaction, Scope, Snapshot, Store, Visit, WriteTransaction,
};
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef, Sealed};
use receipt_core::evidence::{BlobRecord, EvidenceClass};
use receipt_core::id::{BlobHash, EventHash, RunId, Seq, Timestamp};
use receipt_core::json::Object;
use receipt_core::policy::Policy;
use receipt_core::run::{Cell, EventRow, RunRow};
use receipt_core::stage::Stage;
use receipt_core::verdict::Verdict;
use std::fmt;
use std::io::Read;
use std::sync::Arc;

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

/// Two handles on one store, each as a process of its own has it.
pub type Handles = [Arc<dyn Store>; 2];

/// Runs the whole suite against stores that `make` makes: each call must give two handles on a new, empty one.
///
/// # Errors
/// [`Failures`], each with what must be true and what was found. Every case is run, whatever the others showed.
pub fn check(make: &mut dyn FnMut() -> Result<Handles>) -> std::result::Result<(), Failures> {
    let mut failed = Vec::new();
    let mut try_case = |case: &'static str, run: &dyn Fn(Handles) -> Done| {
        if let Err(Problem(problem)) = make().map_err(Problem::from).and_then(run) {
            failed.push(Failure { case, problem });
        }
    };
    for (case, run) in cases() {
        try_case(case, &|[store, _]| run(store.as_ref()));
    }
    for (case, run) in handles::CASES {
        try_case(case, &|handles| run(handles.each_ref().map(Arc::as_ref)));
    }
    try_case("a run can be recorded, judged and audited", &|[store, _]| whole_run(store));
    try_case("a run can be written by two handles in turn", &handles::shared_run);
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

type Done<T = ()> = std::result::Result<T, Problem>;

fn ensure(holds: bool, problem: &str) -> Done {
    if holds { Ok(()) } else { Err(Problem(problem.to_owned())) }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, found: &T, wanted: &T) -> Done {
    if found == wanted { Ok(()) } else { Err(Problem(format!("{what}: found {found:.400?}, wanted {wanted:.400?}"))) }
}

fn refused<T>(what: &str, done: Result<T>) -> Done<Error> {
    match done {
        Ok(_) => Err(Problem(format!("{what} was not refused"))),
        Err(error) => Ok(error),
    }
}

type Case = (&'static str, fn(&dyn Store) -> Done);

fn cases() -> impl Iterator<Item = &'static Case> {
    [rows::CASES, events::CASES, blobs::CASES, log::CASES, writers::CASES].into_iter().flatten()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + micros)
}

fn sealed(event_type: EventType, note: &str, link: Link) -> Done<Sealed> {
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
fn chain(run: &RunId, count: usize, note: &str) -> Done<Vec<Sealed>> {
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

fn new(events: &[Sealed]) -> Vec<NewEvent<'_>> {
    events.iter().map(|event| NewEvent { event, created_at: at(9) }).collect()
}

/// Writes the run's row and these events, and commits.
fn write_run(store: &dyn Store, run: &RunId, events: &[Sealed]) -> Done {
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.insert_run(&new_run(run))?;
    transaction.insert_events(&new(events))?;
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

fn rows(store: &dyn ReadTransaction, run: &RunId) -> Done<Vec<Row>> {
    let mut found = Vec::new();
    store.events(run, &mut |event| {
        found.push(row(event));
        Visit::Continue(())
    })?;
    Ok(found)
}

fn head(store: &dyn ReadTransaction, run: &RunId) -> Done<Option<Row>> {
    let mut found = None;
    store.head(run, &mut |event| found = Some(row(event)))?;
    Ok(found)
}

fn event(store: &dyn ReadTransaction, run: &RunId, seq: i64) -> Done<Option<Row>> {
    let mut found = None;
    if let Some(seq) = Seq::new(seq) {
        store.event(run, seq, &mut |event| found = Some(row(event)))?;
    }
    Ok(found)
}

fn run_cells(row: &RunRow<'_>) -> [Owned; 5] {
    [row.policy_id, row.policy_version, row.stage_graph_id, row.created_at, row.meta_json].map(Owned::from)
}

fn run_of(store: &dyn ReadTransaction, run: &RunId) -> Done<Option<[Owned; 5]>> {
    let mut found = None;
    store.run(run, &mut |row| found = Some(run_cells(row)))?;
    Ok(found)
}

/// Every id, and whether it came with a row.
fn run_ids(store: &dyn ReadTransaction) -> Done<Vec<(Owned, bool)>> {
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

fn blob(store: &dyn ReadTransaction, hash: &BlobHash) -> Done<Option<FoundBlob>> {
    let mut found = None;
    store.blob(hash, &mut |row| found = Some(found_blob(row)))?;
    Ok(found)
}

fn bytes(store: &dyn ReadTransaction, hash: &BlobHash) -> Done<Vec<u8>> {
    let mut found = Vec::new();
    store.blob_bytes(hash, &mut |piece| found.extend_from_slice(piece))?;
    Ok(found)
}

fn blob_ids(store: &dyn ReadTransaction) -> Done<Vec<Owned>> {
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

fn expired(store: &dyn ReadTransaction) -> Done<Vec<(Owned, Row)>> {
    let mut found = Vec::new();
    store.expiries(&mut |run, event| {
        found.push((run.into(), row(event)));
        Visit::Continue(())
    })?;
    found.sort_by_key(|(run, _)| format!("{run:?}"));
    Ok(found)
}

/// What there is to see now.
fn look(store: &dyn Store) -> Done<Box<dyn Snapshot + '_>> {
    store.snapshots(1)?.pop().ok_or_else(|| Problem("there is no snapshot".to_owned()))
}

/// Where the next event of a run goes, as its last row says.
fn next_of(store: &dyn ReadTransaction, run: &RunId) -> Done<Link> {
    let mut link = None;
    store.head(run, &mut |row| {
        let seq = row.seq.integer().and_then(Seq::new);
        let hash = row.event_hash.text().and_then(EventHash::parse_bytes);
        link = seq.zip(hash).and_then(|(seq, hash)| Link { run_id: run.clone(), seq, prev: None }.after(hash));
    })?;
    link.ok_or_else(|| Problem("the head is gone".to_owned()))
}

/// The same as it is now.
fn following(store: &dyn Store, run: &RunId) -> Done<Link> {
    next_of(look(store)?.view().as_ref(), run)
}

/// Appends one event behind the head, which is read in the same transaction.
fn append(store: &dyn Store, run: &RunId) -> Done {
    let mut transaction = store.begin(Scope::Run(run))?;
    let link = next_of(transaction.as_ref(), run)?;
    transaction.insert_event(&sealed(EventType::Decision, "n", link)?, at(9))?;
    Ok(transaction.commit()?)
}

fn whole_run(store: Arc<dyn Store>) -> Done {
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
