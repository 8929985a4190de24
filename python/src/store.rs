//! The compatible store, behind a lock and without the GIL.

use crate::canonical::{self, Rules};
use crate::cursor::{self, Given};
use crate::ledger::Policy;
use crate::redact::redactor;
use crate::{errors, judge};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use receipt_kernel::compatible::{BlobColumns, CompatibleStore, Expired, Incoming, Purge, RunColumns};
use receipt_kernel::core::canonical as core_canonical;
use receipt_kernel::core::envelope::Members;
use receipt_kernel::core::evidence::BlobRecord;
use receipt_kernel::core::json::{self, Limits, Object};
use receipt_kernel::evidence::seal::Recipients;
use receipt_kernel::{BlobHash, EventRef, EvidenceClass, Redactor, Result, RunId, Snapshot, Spool, Timestamp, Ttl};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// A store in a file or in memory: opened when it is first used, and again when it is used after it was closed.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct Store {
    held: Mutex<Option<CompatibleStore>>,
    path: PathBuf,
    /// The process that opened it; 0 while it is not open.
    process: AtomicU32,
    /// Whether it was closed; what was in memory alone is gone then.
    closed: AtomicBool,
    /// Of rules of the store's own; the built-in one is made when it is first needed.
    own_redactor: Option<Redactor>,
    recipients: Option<Recipients>,
}

impl Drop for Store {
    fn drop(&mut self) {
        // The connection is the parent's: closing it here would end the parent's locks and log.
        if self.is_another_process() {
            std::mem::forget(self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

/// What a blob's row has: address, type, length, class, state, when it was put, when it expired, what was redacted.
type BlobRow = (String, String, i64, String, String, String, Option<String>, Option<String>);

/// What a run's row has: id, policy, its version, stage graph, when it was written, meta as JSON.
type RunRow = (String, String, String, String, String, String);

/// What a blob is: address, type, length, class.
type Put = (String, String, u64, &'static str);

/// A blob that is due: address, type, length, when it was put, class, until when it was kept.
type Due = (String, String, i64, String, &'static str, String);

fn due(blob: &Expired) -> Due {
    (
        blob.hash.to_hex(),
        blob.content_type.clone(),
        blob.bytes_len,
        blob.created_at.clone(),
        blob.class.as_str(),
        blob.expires_at.to_string(),
    )
}

fn put_of(record: BlobRecord) -> Put {
    (record.hash.to_hex(), record.content_type, record.bytes_len, record.class.as_str())
}

fn class_of(name: &str) -> PyResult<EvidenceClass> {
    let problem = || format!("evidence_class must be 'public' or 'sealed', not {name:?}");
    EvidenceClass::parse(name).ok_or_else(|| PyValueError::new_err(problem()))
}

fn hash_of(sha256: &str) -> Option<BlobHash> {
    BlobHash::parse_bytes(sha256.as_bytes())
}

impl Store {
    /// Whether the connection came here with a fork. Asked before the lock is taken, which may be locked for ever then.
    fn is_another_process(&self) -> bool {
        !matches!(self.process.load(Ordering::Acquire), 0) && self.process.load(Ordering::Acquire) != std::process::id()
    }

    /// Does something with the store, without the GIL. A file that is not there is an error.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&mut CompatibleStore) -> Result<T>,
    ) -> PyResult<T> {
        self.opened(py, false, work)
    }

    fn opened<T: Send>(
        &self,
        py: Python<'_>,
        create: bool,
        work: impl Send + FnOnce(&mut CompatibleStore) -> Result<T>,
    ) -> PyResult<T> {
        if self.is_another_process() {
            let problem = "this store was opened before a fork: open it again in this process";
            return Err(errors::of_class(py, "StoreError", problem.to_owned()));
        }
        if self.path == Path::new(":memory:") && self.closed.load(Ordering::Acquire) {
            let problem = "the store is closed, and what it held in memory is gone";
            return Err(errors::of_class(py, "StoreError", problem.to_owned()));
        }
        let done = py.detach(|| {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let store = match &mut *held {
                Some(store) => store,
                none => {
                    let store = none.insert(CompatibleStore::open(&self.path, create)?);
                    self.process.store(std::process::id(), Ordering::Release);
                    store
                }
            };
            work(store)
        });
        done.map_err(|error| errors::of_store(py, &error))
    }

    fn redactor(&self) -> &Redactor {
        self.own_redactor.as_ref().unwrap_or_else(|| Redactor::builtin())
    }

    /// An envelope's members, each in canonical form.
    fn members(&self, envelope: &Bound<'_, PyDict>, redact: bool) -> PyResult<Members> {
        let mut members = Members::default();
        for (name, value) in envelope.iter() {
            let Ok(name) = name.cast::<PyString>() else {
                return Err(PyValueError::new_err("a member's name is not a string"));
            };
            let name = name.to_str().map_err(|_| PyValueError::new_err("a member's name is not Unicode text"))?;
            let mut bytes = canonical::to_bytes(&value, Rules::Recorded(Limits::WRITE.depth - 1))?;
            if redact && matches!(name, "payload" | "actor") {
                bytes = self.clean(bytes)?;
            }
            members.insert(name, bytes);
        }
        if let Some(rules) = self.redactor().other_rules().filter(|_| redact) {
            members.insert("redaction_rules", format!("\"{rules}\"").into_bytes());
        }
        Ok(members)
    }

    fn clean(&self, bytes: Vec<u8>) -> PyResult<Vec<u8>> {
        let mut value = json::parse(&bytes, Limits::READ).map_err(|error| errors::of_input(&error))?;
        let json::Value::Object(object) = &mut value else { return Ok(bytes) };
        self.redactor().redact_object(object);
        core_canonical::to_bytes(&value, Limits::READ).map_err(|error| errors::of_input(&error))
    }

    fn spool(&self, class: EvidenceClass) -> std::io::Result<Spool> {
        let file = tempfile::tempfile()?;
        let spool = match (&self.recipients, class) {
            (Some(recipients), EvidenceClass::Sealed) => Spool::sealed(file, recipients)?,
            _ => Spool::new(file),
        };
        Ok(spool.with_redactor(self.redactor()))
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (path, recipients=None, rules=None))]
    fn new(py: Python<'_>, path: PathBuf, recipients: Option<Vec<String>>, rules: Option<&str>) -> PyResult<Self> {
        let recipients = recipients.map(|names| Recipients::parse(names.iter().map(String::as_str))).transpose();
        let recipients = recipients.map_err(|error| errors::of_store(py, &error))?;
        let own_redactor = rules.map(|rules| redactor(py, rules)).transpose()?;
        let (process, closed) = (AtomicU32::new(0), AtomicBool::new(false));
        Ok(Self { held: Mutex::new(None), path, process, closed, own_redactor, recipients })
    }

    /// Whether sealed evidence is encrypted.
    #[getter]
    fn seals(&self) -> bool {
        self.recipients.is_some()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_another_process() {
            return Ok(());
        }
        let closed = py.detach(|| {
            let store = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.process.store(0, Ordering::Release);
            // One that was never used holds nothing that could be gone.
            self.closed.fetch_or(store.is_some(), Ordering::AcqRel);
            store.map_or(Ok(()), CompatibleStore::close)
        });
        closed.map_err(|error| errors::of_store(py, &error))
    }

    fn initialize_schema(&self, py: Python<'_>) -> PyResult<()> {
        self.opened(py, true, |store| store.initialize_schema())
    }

    /// A text as the rules of this store leave it.
    fn redacted(&self, py: Python<'_>, text: &str) -> String {
        py.detach(|| String::from_utf8_lossy(&self.redactor().redact(text.as_bytes()).0).into_owned())
    }

    fn ensure_run(&self, py: Python<'_>, row: [String; 4], meta_json: String) -> PyResult<()> {
        let [run_id, policy_id, policy_version, stage_graph_id] = row;
        let created_at = String::new();
        let run = RunColumns { run_id, policy_id, policy_version, stage_graph_id, created_at, meta_json };
        self.with(py, move |store| store.ensure_run(&run))
    }

    fn get_run(&self, py: Python<'_>, run_id: &str) -> PyResult<Option<RunRow>> {
        let run = self.with(py, |store| store.run(run_id))?;
        Ok(run.map(|run| {
            (run.run_id, run.policy_id, run.policy_version, run.stage_graph_id, run.created_at, run.meta_json)
        }))
    }

    fn append_event(
        &self,
        py: Python<'_>,
        run_id: &str,
        envelope: &Bound<'_, PyDict>,
        redact: bool,
    ) -> PyResult<String> {
        let members = self.members(envelope, redact)?;
        self.with(py, |store| store.append(run_id, &members)).map(|event| event.to_string())
    }

    /// The texts of a run's events, as one JSON list.
    fn get_events<'py>(&self, py: Python<'py>, run_id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let list = self.with(py, |store| {
            let mut list = vec![b'['];
            store.events(run_id, &mut |text| {
                if list.len() > 1 {
                    list.push(b',');
                }
                list.extend_from_slice(text);
            })?;
            list.push(b']');
            Ok(list)
        })?;
        Ok(PyBytes::new(py, &list))
    }

    /// The text of one event.
    fn get_event(&self, py: Python<'_>, event_ref: &str) -> PyResult<Option<Vec<u8>>> {
        let Some(event) = EventRef::parse(event_ref) else { return Ok(None) };
        self.with(py, |store| store.event(&event))
    }

    fn event_count(&self, py: Python<'_>, run_id: &str) -> PyResult<i64> {
        self.with(py, |store| store.event_count(run_id))
    }

    /// Stores bytes that the kernel redacts.
    fn put(&self, py: Python<'_>, data: &Bound<'_, PyAny>, content_type: &str, evidence_class: &str) -> PyResult<Put> {
        let (data, class) = (cursor::bytes_of(data)?, class_of(evidence_class)?);
        let record = self.with(py, |store| {
            let recipients = self.recipients.as_ref();
            store.put(Incoming::redacted(&data, self.redactor(), content_type, class, recipients)?)
        })?;
        Ok(put_of(record))
    }

    /// Stores bytes as they are, with what somebody else says of their redaction.
    #[pyo3(signature = (data, content_type, evidence_class, redaction_json=None))]
    fn put_plain(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        content_type: &str,
        evidence_class: &str,
        redaction_json: Option<String>,
    ) -> PyResult<Put> {
        let (data, class) = (cursor::bytes_of(data)?, class_of(evidence_class)?);
        let record = self.with(py, |store| {
            let recipients = self.recipients.as_ref();
            let data = Cow::Owned(data);
            store.put(Incoming::as_it_is(data, redaction_json, content_type, class, recipients)?)
        })?;
        Ok(put_of(record))
    }

    /// Stores what a binary file object gives, redacted by the kernel, in memory that does not grow with it.
    fn put_stream(
        &self,
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        content_type: &str,
        evidence_class: &str,
    ) -> PyResult<Put> {
        let class = class_of(evidence_class)?;
        let mut spool = self.spool(class)?;
        loop {
            let piece = file.call_method1("read", (1 << 20,))?;
            let piece = cursor::bytes_of(&piece)?;
            if piece.is_empty() {
                break;
            }
            py.detach(|| spool.push(&piece))?;
        }
        let source = py.detach(|| spool.finish())?;
        let record = self.with(py, |store| store.put(Incoming::spooled(source, content_type, class)))?;
        Ok(put_of(record))
    }

    fn get_blob<'py>(&self, py: Python<'py>, sha256: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(hash) = hash_of(sha256) else { return Ok(None) };
        let bytes = self.with(py, |store| store.blob(&hash))?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    fn get_blob_meta(&self, py: Python<'_>, sha256: &str) -> PyResult<Option<BlobRow>> {
        let Some(hash) = hash_of(sha256) else { return Ok(None) };
        let row = self.with(py, |store| store.blob_columns(&hash))?;
        Ok(row.map(|row: BlobColumns| {
            let BlobColumns { sha256, content_type, bytes_len, evidence_class, state, .. } = row;
            (sha256, content_type, bytes_len, evidence_class, state, row.created_at, row.expired_at, row.redaction_json)
        }))
    }

    fn blob_is_live(&self, py: Python<'_>, sha256: &str) -> PyResult<bool> {
        let Some(hash) = hash_of(sha256) else { return Ok(false) };
        self.with(py, |store| store.blob_is_live(&hash))
    }

    /// What a built-in invariant says of a run, as JSON.
    fn evaluate(&self, py: Python<'_>, run_id: &str, invariant_id: &str, params: &[u8]) -> PyResult<Vec<u8>> {
        let invariant = judge::of_params(invariant_id, params)?;
        let result = self.with(py, |store| Ok(store.evaluate(&RunId::new(run_id), invariant.as_ref())))?;
        judge::to_json(&result)
    }

    /// An evaluation of a run by a policy, as JSON.
    fn evaluate_policy(&self, py: Python<'_>, run_id: &str, policy: &Policy) -> PyResult<Vec<u8>> {
        let policy = policy.get();
        let evaluation = self.with(py, |store| {
            let snapshot = store.snapshot(&RunId::new(run_id), &policy.reads());
            Ok(policy.evaluate(
                &snapshot.unwrap_or_else(|error| Snapshot::unreadable(RunId::new(run_id), error.to_string())),
            ))
        })?;
        judge::value_to_json(&evaluation.to_value())
    }

    /// What is due, and what is wrong with the rows that cannot be judged.
    fn find_expired(
        &self,
        py: Python<'_>,
        ttls: [i64; 3],
        now: &str,
        policy: &[u8],
    ) -> PyResult<(Vec<Due>, Vec<String>)> {
        let purge = purge_of(ttls, now, policy)?;
        let (expired, problems) = self.with(py, |store| store.expired(&purge))?;
        Ok((expired.iter().map(due).collect(), problems))
    }

    /// Removes what is due.
    #[pyo3(signature = (ttls, now, policy, run_id=None))]
    fn purge(
        &self,
        py: Python<'_>,
        ttls: [i64; 3],
        now: &str,
        policy: &[u8],
        run_id: Option<&str>,
    ) -> PyResult<(Vec<Due>, Vec<String>, Option<String>)> {
        let purge = purge_of(ttls, now, policy)?;
        let purged = self.with(py, |store| store.purge(&purge, run_id))?;
        Ok((purged.expired.iter().map(due).collect(), purged.problems, purged.run_id))
    }

    fn execute<'py>(&self, py: Python<'py>, sql: &str, given: &Bound<'py, PyAny>) -> PyResult<Given<'py>> {
        let parameters = cursor::parameters(given)?;
        cursor::outcome(py, self.with(py, |store| store.execute(sql, &parameters))?)
    }

    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, CompatibleStore::commit)
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, CompatibleStore::rollback)
    }

    fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |store| Ok(store.in_transaction()))
    }

    fn total_changes(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |store| Ok(store.total_changes()))
    }
}

fn purge_of([public, sealed, hash]: [i64; 3], now: &str, policy: &[u8]) -> PyResult<Purge> {
    let now = Timestamp::parse(now).ok_or_else(|| PyValueError::new_err("now must be an instant with an offset"))?;
    let policy = json::parse(policy, Limits::READ).map_err(|error| errors::of_input(&error))?;
    let policy = policy.as_object().cloned().unwrap_or_else(Object::new);
    let [public, sealed, hash] = [public, sealed, hash].map(Ttl::from_seconds);
    Ok(Purge { public, sealed, hash, now, policy })
}
