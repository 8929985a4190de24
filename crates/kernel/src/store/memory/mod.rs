//! The store in memory: for tests, and for runs that are only exported.

mod log;

use crate::cores::cores;
use crate::error::{Error, Result};
use crate::store::StoreErrorKind::{self, Constraint};
use crate::store::{
    Arrival, BlobRow, Erasure, KeyRow, Limits, Location, NewBlob, NewEvent, NewRun, Problem, ReadTransaction, Scope,
    Size, Snapshot, Store, StoreError, Visit, VisitRun, WriteTransaction,
};
use receipt_core::evidence::{BlobRecord, BlobState};
use receipt_core::id::{BlobHash, RunId, Seq, Timestamp};
use receipt_core::run::{Cell, EventRow, RunRow};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The name of this backend in its errors.
const BACKEND: &str = "memory";

fn failed(kind: StoreErrorKind, problem: &'static str) -> Error {
    StoreError::new(kind, BACKEND, problem).into()
}

/// The largest blob.
const MAX_BLOB: u64 = 990_000_000;

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Arc<Tables>>,
    /// Held by whoever writes.
    writer: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    runs: BTreeMap<RunId, Run>,
    events: BTreeMap<(RunId, Seq), Arc<Event>>,
    blobs: BTreeMap<BlobHash, Arc<Blob>>,
    keys: BTreeMap<(RunId, String), KeyRow>,
    /// The events in the order in which they came; the place of one, from 1 on, is its id.
    order: Vec<(RunId, Seq)>,
    log: log::MemoryLog,
    settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Run {
    policy_id: String,
    policy_version: String,
    stage_graph_id: String,
    created_at: String,
    meta_json: String,
}

#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "they are the names of the columns")]
pub(super) struct Event {
    seq: Seq,
    event_type: &'static str,
    envelope_json: Vec<u8>,
    event_hash: String,
    prev_event_hash: Option<String>,
    created_at: String,
}

#[derive(Clone, Debug)]
struct Blob {
    record: BlobRecord,
    state: BlobState,
    data: Option<Arc<[u8]>>,
    created_at: String,
    expired_at: Option<String>,
}

impl Event {
    pub(super) fn row<'a>(&'a self, run_id: &'a RunId) -> EventRow<'a> {
        EventRow {
            run_id: Cell::Text(run_id.as_str().as_bytes()),
            seq: Cell::Integer(self.seq.get()),
            event_type: Cell::Text(self.event_type.as_bytes()),
            envelope_json: Cell::Text(&self.envelope_json),
            event_hash: Cell::Text(self.event_hash.as_bytes()),
            prev_event_hash: self.prev_event_hash.as_ref().map_or(Cell::Null, |hash| Cell::Text(hash.as_bytes())),
            created_at: Cell::Text(self.created_at.as_bytes()),
        }
    }
}

impl Run {
    fn row(&self) -> RunRow<'_> {
        RunRow {
            policy_id: Cell::Text(self.policy_id.as_bytes()),
            policy_version: Cell::Text(self.policy_version.as_bytes()),
            stage_graph_id: Cell::Text(self.stage_graph_id.as_bytes()),
            created_at: Cell::Text(self.created_at.as_bytes()),
            meta_json: Cell::Text(self.meta_json.as_bytes()),
        }
    }
}

impl MemoryStore {
    fn tables(&self) -> MutexGuard<'_, Arc<Tables>> {
        // A transaction replaces the tables whole at its commit, so that a panic leaves them as they were.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Arc<Tables> {
        Arc::clone(&self.tables())
    }
}

impl Store for MemoryStore {
    fn location(&self) -> Location {
        Location::Memory
    }

    fn limits(&self) -> Limits {
        Limits { largest_blob: MAX_BLOB, readers: cores() + 1, is_remote: false, spool: None }
    }

    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>> {
        let tables = self.now();
        let snapshot = |_| Box::new(MemorySnapshot(Arc::clone(&tables))) as Box<dyn Snapshot>;
        Ok((0..wanted.max(1)).map(snapshot).collect())
    }

    /// Whatever the scope is, there is one writer at a time.
    fn begin(&self, _: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>> {
        let guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(MemoryTransaction { tables: self.now(), writing: Some((self, guard)) }))
    }

    fn settled(&self) -> Result<Arrival> {
        Ok(Arrival(i64::try_from(self.now().order.len()).unwrap_or(i64::MAX)))
    }

    fn inspect(&self) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }

    fn erase(&self) -> Result<Erasure> {
        Ok(Erasure::Done)
    }
}

/// The tables as they were; their rows are shared.
struct MemorySnapshot(Arc<Tables>);

impl Snapshot for MemorySnapshot {
    fn view(&self) -> Box<dyn ReadTransaction + '_> {
        Box::new(MemoryTransaction { tables: Arc::clone(&self.0), writing: None })
    }
}

/// A view of the tables. The first write copies them, and the commit puts the copy in their place.
pub(super) struct MemoryTransaction<'s> {
    tables: Arc<Tables>,
    writing: Option<(&'s MemoryStore, MutexGuard<'s, ()>)>,
}

impl MemoryTransaction<'_> {
    fn write(&mut self) -> &mut Tables {
        Arc::make_mut(&mut self.tables)
    }
}

impl ReadTransaction for MemoryTransaction<'_> {
    fn runs(&self, visit: VisitRun<'_>) -> Result<()> {
        for (id, run) in &self.tables.runs {
            if visit(Cell::Text(id.as_str().as_bytes()), Some(&run.row())).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn run(&self, run: &RunId, visit: &mut dyn FnMut(&RunRow<'_>)) -> Result<()> {
        if let Some(run) = self.tables.runs.get(run) {
            visit(&run.row());
        }
        Ok(())
    }

    fn events(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>) -> Visit) -> Result<()> {
        for ((id, _), event) in self.tables.events.range((run.clone(), Seq::FIRST)..) {
            if id != run || visit(&event.row(id)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn head(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        let from = (run.clone(), Seq::FIRST);
        let to = (run.clone(), Seq::MAX);
        if let Some((_, event)) = self.tables.events.range(from..=to).next_back() {
            visit(&event.row(run));
        }
        Ok(())
    }

    fn event(&self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        if let Some(event) = self.tables.events.get(&(run.clone(), seq)) {
            visit(&event.row(run));
        }
        Ok(())
    }

    fn blob(&self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<()> {
        if let Some(blob) = self.tables.blobs.get(hash) {
            visit(&BlobRow {
                sha256: Cell::Text(hash.to_hex().as_bytes()),
                content_type: Cell::Text(blob.record.content_type.as_bytes()),
                bytes_len: Cell::Integer(i64::try_from(blob.record.bytes_len).unwrap_or(i64::MAX)),
                evidence_class: Cell::Text(blob.record.class.as_str().as_bytes()),
                state: Cell::Text(blob.state.as_str().as_bytes()),
                stored_len: blob.data.as_ref().map(|data| data.len() as u64),
                is_blob: blob.data.is_some(),
                created_at: Cell::Text(blob.created_at.as_bytes()),
                expired_at: blob.expired_at.as_ref().map_or(Cell::Null, |at| Cell::Text(at.as_bytes())),
            });
        }
        Ok(())
    }

    fn blob_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        if let Some(data) = self.tables.blobs.get(hash).and_then(|blob| blob.data.as_ref()) {
            visit(data);
        }
        Ok(())
    }

    fn blobs(&self, visit: &mut dyn FnMut(Cell<'_>) -> Visit) -> Result<()> {
        for hash in self.tables.blobs.keys() {
            if visit(Cell::Text(hash.to_hex().as_bytes())).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn expiries(&self, visit: &mut dyn FnMut(Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        let expiries = self.tables.events.iter().filter(|(_, event)| event.event_type == "BLOB_EXPIRE");
        for ((run, _), event) in expiries {
            if visit(Cell::Text(run.as_str().as_bytes()), &event.row(run)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn key(&self, run: &RunId, key: &str) -> Result<Option<KeyRow>> {
        Ok(self.tables.keys.get(&(run.clone(), key.to_owned())).copied())
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        Ok(self.tables.settings.get(name).cloned())
    }

    fn size(&self) -> Result<Size> {
        self.rows()
    }

    fn rows(&self) -> Result<Size> {
        let Tables { runs, events, blobs, .. } = &*self.tables;
        Ok(Size { runs: runs.len() as u64, events: events.len() as u64, blobs: blobs.len() as u64 })
    }
}

impl WriteTransaction for MemoryTransaction<'_> {
    fn insert_run(&mut self, run: &NewRun<'_>) -> Result<()> {
        if self.tables.runs.contains_key(run.run_id) {
            return Err(Error::RunExists { run: run.run_id.to_string() });
        }
        let row = Run {
            policy_id: run.policy_id.to_owned(),
            policy_version: run.policy_version.to_owned(),
            stage_graph_id: run.stage_graph_id.to_owned(),
            created_at: run.created_at.to_string(),
            meta_json: run.meta_json.to_owned(),
        };
        self.write().runs.insert(run.run_id.clone(), row);
        Ok(())
    }

    fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<()> {
        for NewEvent { event, created_at } in events {
            let place = (event.link.run_id.clone(), event.link.seq);
            if !self.tables.runs.contains_key(&place.0) {
                return Err(failed(Constraint, "an event needs the row of its run"));
            }
            if self.tables.events.contains_key(&place) {
                return Err(failed(Constraint, "the place of the event is taken"));
            }
            let row = Event {
                seq: event.link.seq,
                event_type: event.event_type.as_str(),
                envelope_json: event.text.clone(),
                event_hash: event.hash.to_string(),
                prev_event_hash: event.link.prev.map(|hash| hash.to_string()),
                created_at: created_at.to_string(),
            };
            self.write().order.push(place.clone());
            self.write().events.insert(place, Arc::new(row));
        }
        Ok(())
    }

    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<()> {
        let bytes_len = blob.record.bytes_len;
        if bytes_len > MAX_BLOB {
            return Err(Error::TooLarge { what: "evidence", bytes: bytes_len, limit: MAX_BLOB });
        }
        let mut bytes = Vec::new();
        let read = data.take(blob.record.bytes_len).read_to_end(&mut bytes);
        if read.map_err(|error| StoreError::io(BACKEND, error))? as u64 != blob.record.bytes_len {
            return Err(failed(StoreErrorKind::Io, "the evidence ended too early"));
        }
        let row = Blob {
            record: blob.record.clone(),
            state: BlobState::Live,
            data: Some(bytes.into()),
            created_at: blob.created_at.to_string(),
            expired_at: None,
        };
        self.write().blobs.insert(blob.record.hash, Arc::new(row));
        Ok(())
    }

    fn set_class(&mut self, blob: &BlobRecord) -> Result<()> {
        if let Some(held) = self.write().blobs.get_mut(&blob.hash) {
            let record = &mut Arc::make_mut(held).record;
            record.class = blob.class;
            record.content_type.clone_from(&blob.content_type);
        }
        Ok(())
    }

    fn expire_blob(&mut self, hash: &BlobHash, from: BlobState, to: BlobState, at: Timestamp) -> Result<bool> {
        let Some(held) = self.write().blobs.get_mut(hash).filter(|blob| blob.state == from) else { return Ok(false) };
        let held = Arc::make_mut(held);
        held.state = to;
        held.data = None;
        held.expired_at.get_or_insert_with(|| at.to_string());
        Ok(true)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.write().settings.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<()> {
        let place = (run.clone(), key.to_owned());
        if self.tables.keys.contains_key(&place) {
            return Err(failed(Constraint, "the idempotency key is taken"));
        }
        self.write().keys.insert(place, row);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        if let Some((store, _guard)) = self.writing {
            *store.tables() = self.tables;
        }
        Ok(())
    }
}
