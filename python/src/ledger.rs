//! The native interface: a ledger under the strict rules, and its runs.

use crate::bytes::bytes_of;
use crate::errors;
use crate::policy::{Policy, value_to_json as to_json};
use crate::query;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use receipt_kernel::core::checkpoint::SignedCheckpoint;
use receipt_kernel::core::json::{self, Limits, Object, Value};
use receipt_kernel::core::note::VerifierKey;
use receipt_kernel::{
    Actor, Anchors, Append, Error, EventRef, EventType, EvidenceClass, Put, Result, RunId, RunWriter, Verdict,
};
use std::sync::{Mutex, PoisonError};

/// The object that JSON holds.
fn object(json: &[u8]) -> PyResult<Object> {
    match json::parse(json, Limits::WRITE).map_err(|error| errors::of_input(&error))? {
        Value::Object(object) => Ok(object),
        _ => Err(PyValueError::new_err("expected a dict")),
    }
}

/// A handle that a fork does not take along.
fn same_process(py: Python<'_>, process: u32) -> PyResult<()> {
    if process == std::process::id() {
        return Ok(());
    }
    let problem = "this ledger was opened before a fork: open it again in this process";
    Err(errors::of_class(py, "LedgerError", problem.to_owned()))
}

/// A run in a list: its id, how many events it has, whether it has ended, the verdict on record.
type Listed = (String, u64, bool, Option<&'static str>);

/// A ledger file.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct Ledger {
    held: Mutex<Option<receipt_kernel::Ledger>>,
    path: std::path::PathBuf,
    process: u32,
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.held.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Ledger {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&receipt_kernel::Ledger) -> Result<T>,
    ) -> PyResult<T> {
        same_process(py, self.process)?;
        let ledger = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(ledger) = ledger else {
            return Err(errors::of_class(py, "LedgerError", "the ledger is closed".to_owned()));
        };
        py.detach(|| work(&ledger)).map_err(|error| errors::of_ledger(py, &error))
    }

    fn hold(&self, writer: RunWriter) -> Run {
        Run { run: Mutex::new(Some(writer)), process: self.process }
    }
}

#[pymethods]
impl Ledger {
    /// `mode` is `create` (or open what is there), `open`, or `read`.
    #[new]
    #[pyo3(signature = (path, mode, recipients=None, rules=None))]
    fn new(
        py: Python<'_>,
        path: std::path::PathBuf,
        mode: &str,
        recipients: Option<Vec<String>>,
        rules: Option<&str>,
    ) -> PyResult<Self> {
        let opened = py.detach(|| {
            let ledger = match mode {
                "create" => receipt_kernel::Ledger::open_or_create(&path),
                "open" => receipt_kernel::Ledger::open(&path),
                _ => receipt_kernel::Ledger::open_read_only(&path),
            }?;
            if let Some(names) = &recipients {
                ledger.add_recipients(names.iter().map(String::as_str))?;
            }
            if rules.is_some() {
                ledger.set_own_rules(rules)?;
            }
            Ok(ledger)
        });
        let ledger = opened.map_err(|error| errors::of_ledger(py, &error))?;
        Ok(Self { held: Mutex::new(Some(ledger)), path, process: std::process::id() })
    }

    fn close(&self) {
        if self.process == std::process::id() {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    #[pyo3(signature = (run_id, policy, actor, meta))]
    fn start(
        &self,
        py: Python<'_>,
        run_id: &str,
        policy: &Policy,
        actor: (String, String),
        meta: &[u8],
    ) -> PyResult<Run> {
        let (policy, meta) = (policy.get().clone(), object(meta)?);
        let writer = self.with(py, |ledger| ledger.start(run_id, policy, Actor::new(actor.0, actor.1), meta))?;
        Ok(self.hold(writer))
    }

    fn resume(&self, py: Python<'_>, run_id: &str, actor: (String, String)) -> PyResult<Run> {
        let writer = self.with(py, |ledger| ledger.resume(run_id, Actor::new(actor.0, actor.1)))?;
        Ok(self.hold(writer))
    }

    /// Every run: id, how many events, whether it has ended, the verdict on record.
    fn runs(&self, py: Python<'_>) -> PyResult<Vec<Listed>> {
        self.with(py, |ledger| {
            let mut runs = Vec::new();
            ledger.runs(&mut |id, facts| {
                let verdict = facts.recorded_verdict.map(Verdict::as_str);
                runs.push((id.to_string(), facts.events, facts.finalized, verdict));
                std::ops::ControlFlow::Continue(())
            })?;
            Ok(runs)
        })
    }

    /// The compact texts of a run's events, as one JSON list. An event that cannot be read is an error.
    fn events<'py>(&self, py: Python<'py>, run_id: &str) -> PyResult<Bound<'py, PyBytes>> {
        let list = self.with(py, |ledger| {
            let mut list = vec![b'['];
            let facts = ledger.events(run_id, &mut |event| {
                if list.len() > 1 {
                    list.push(b',');
                }
                list.extend_from_slice(&event.text);
            })?;
            if facts.unreadable > 0 {
                let problem = format!("{} of its events cannot be read", facts.unreadable);
                return Err(Error::RunBroken { run: run_id.to_owned(), problem });
            }
            list.push(b']');
            Ok(list)
        })?;
        Ok(PyBytes::new(py, &list))
    }

    /// The rows that a statement gives, each a dict.
    fn query<'py>(&self, py: Python<'py>, sql: &str, given: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        // An open ledger only: its file is watched.
        self.with(py, |_| Ok(()))?;
        query::query(py, &self.path, sql, given)
    }

    fn blob<'py>(&self, py: Python<'py>, sha256: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(hash) = receipt_kernel::BlobHash::parse_bytes(sha256.as_bytes()) else { return Ok(None) };
        let bytes = self.with(py, |ledger| match ledger.blob(&hash) {
            Err(Error::BlobNotFound { .. }) => Ok(None),
            read => read.map(Some),
        })?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// The report of `receipt --json verify`, with the checkpoint and the key that were kept outside, where they are given.
    #[pyo3(signature = (run_id=None, checkpoint=None, vkey=None))]
    fn verify(
        &self,
        py: Python<'_>,
        run_id: Option<&str>,
        checkpoint: Option<&[u8]>,
        vkey: Option<&str>,
    ) -> PyResult<Vec<u8>> {
        let mut anchors = Anchors::default();
        if let Some(note) = checkpoint {
            let note = SignedCheckpoint::parse(note).map_err(|error| errors::of_input(&error))?;
            anchors.checkpoints.push(("checkpoint".to_owned(), note));
        }
        let key = vkey.map(str::parse::<VerifierKey>).transpose();
        anchors.key = key.map_err(|error| errors::of_input(&error))?;
        let report = self.with(py, |ledger| {
            let mut audit = receipt_kernel::Audit::of(ledger).against(&anchors);
            if let Some(run_id) = run_id {
                if !ledger.has_run(run_id)? {
                    return Err(Error::RunNotFound { run: run_id.to_owned() });
                }
                audit = audit.runs([RunId::new(run_id)]);
            }
            audit.run()
        })?;
        to_json(&report.to_value())
    }

    /// An evaluation by a policy, or by the one that the run committed to, as JSON.
    #[pyo3(signature = (run_id, policy=None))]
    fn evaluate(&self, py: Python<'_>, run_id: &str, policy: Option<&Policy>) -> PyResult<Vec<u8>> {
        let policy = policy.map(Policy::get);
        let evaluation = self.with(py, |ledger| ledger.evaluate(run_id, policy))?;
        to_json(&evaluation.to_value())
    }
}

/// A run that is open for writing.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct Run {
    run: Mutex<Option<RunWriter>>,
    process: u32,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.run.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Run {
    fn with<T: Send>(&self, py: Python<'_>, work: impl Send + FnOnce(&mut RunWriter) -> Result<T>) -> PyResult<T> {
        same_process(py, self.process)?;
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut run) = run else {
            return Err(errors::of_class(py, "LedgerError", "the run is closed".to_owned()));
        };
        py.detach(|| work(&mut run)).map_err(|error| errors::of_ledger(py, &error))
    }
}

/// What an event is made of: its type, its payload as JSON, the events that it is about, its idempotency key.
type Drafted = (String, Vec<u8>, Vec<String>, Option<String>);

fn append_of((event_type, payload, events, key): Drafted) -> PyResult<Append> {
    let unknown = || PyValueError::new_err(format!("{event_type:?} is no event type"));
    let mut append = Append::new(EventType::parse(&event_type).ok_or_else(unknown)?, object(&payload)?);
    for event in events {
        let event_ref = EventRef::parse(&event);
        append = append.about(event_ref.ok_or_else(|| PyValueError::new_err(format!("{event:?} is no event://")))?);
    }
    append.key = key;
    Ok(append)
}

/// How evidence is put: its type, class, kind, and meta as JSON.
fn put_of(content_type: &str, class: &str, kind: Option<String>, meta: &[u8]) -> PyResult<Put> {
    let unknown = || PyValueError::new_err(format!("evidence_class must be 'public' or 'sealed', not {class:?}"));
    let class = EvidenceClass::parse(class).ok_or_else(unknown)?;
    Ok(Put { content_type: content_type.to_owned(), class, kind, meta: object(meta)? })
}

/// What a blob is: address, type, length, class.
type Stored = (String, String, u64, &'static str);

#[pymethods]
impl Run {
    #[getter]
    fn run_id(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |run| Ok(run.run_id().to_string()))
    }

    #[getter]
    fn stage(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |run| run.stage().map(|stage| stage.as_str().to_owned()))
    }

    fn advance(&self, py: Python<'_>, stage: &str, reason: &str) -> PyResult<String> {
        self.with(py, |run| run.advance(stage, reason)).map(|appended| appended.event_ref.to_string())
    }

    /// Puts bytes, or what a binary file object or the file at a path gives.
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn put(
        &self,
        py: Python<'_>,
        key: &str,
        data: &Bound<'_, PyAny>,
        content_type: &str,
        evidence_class: &str,
        kind: Option<String>,
        meta: &[u8],
    ) -> PyResult<Stored> {
        let put = put_of(content_type, evidence_class, kind, meta)?;
        let record = if data.hasattr("read")? {
            let mut reader = Reader { file: data.clone().unbind(), failed: None };
            let put = self.with(py, |run| run.put_reader(key, &mut reader, put));
            // What the file object itself raised says more than that it could not be read.
            put.map_err(|error| reader.failed.take().unwrap_or(error))?
        } else if data.hasattr("__fspath__")? {
            let path: std::path::PathBuf = data.extract()?;
            let mut file = std::fs::File::open(path)?;
            self.with(py, |run| run.put_reader(key, &mut file, put))?
        } else {
            let data = bytes_of(data)?;
            self.with(py, |run| run.put(key, &data, put))?
        };
        Ok((record.hash.to_hex(), record.content_type, record.bytes_len, record.class.as_str()))
    }

    fn append_batch(&self, py: Python<'_>, events: Vec<Drafted>) -> PyResult<Vec<String>> {
        let events = events.into_iter().map(append_of).collect::<PyResult<Vec<_>>>()?;
        let appended = self.with(py, |run| run.append_batch(events))?;
        Ok(appended.iter().map(|appended| appended.event_ref.to_string()).collect())
    }

    fn evaluate(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        to_json(&self.with(py, RunWriter::evaluate)?.to_value())
    }

    fn decide(&self, py: Python<'_>, decision_id: &str, basis: Vec<String>, action_plan: &str) -> PyResult<String> {
        let basis: Vec<&str> = basis.iter().map(String::as_str).collect();
        self.with(py, |run| run.decide(decision_id, &basis, action_plan)).map(|appended| appended.event_ref.to_string())
    }

    fn finalize(&self, py: Python<'_>, summary: &str) -> PyResult<&'static str> {
        self.with(py, |run| run.finalize(summary)).map(Verdict::as_str)
    }
}

/// A binary file object of Python's, read with the GIL for as long as each read takes.
struct Reader {
    file: Py<PyAny>,
    /// What it raised.
    failed: Option<PyErr>,
}

impl std::io::Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = Python::attach(|py| {
            let piece = self.file.bind(py).call_method1("read", (out.len(),))?;
            let piece = bytes_of(&piece)?;
            // A raw file object may give less than was asked for, and none may give more.
            let room = out.get_mut(..piece.len());
            let room = room.ok_or_else(|| PyValueError::new_err("read(n) gave more than n bytes"))?;
            room.copy_from_slice(&piece);
            Ok(piece.len())
        });
        read.map_err(|error: PyErr| {
            let message = error.to_string();
            self.failed = Some(error);
            std::io::Error::other(message)
        })
    }
}
