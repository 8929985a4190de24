//! The half of the compatible store that is not SQL: envelopes sealed, evidence redacted and encrypted.

use crate::bytes::bytes_of;
use crate::canonical::{self, Rules};
use crate::errors;
use crate::redact::{Hit, hits_of, redactor};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use receipt_kernel::Redactor;
use receipt_kernel::core::canonical as core_canonical;
use receipt_kernel::core::chain::Link;
use receipt_kernel::core::envelope::Members;
use receipt_kernel::core::id::{EventHash, Seq};
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::evidence::seal::Recipients;
use receipt_kernel::{Error, EventRef, RunId};
use std::borrow::Cow;

/// What a store writes by: its redaction rules, and to whom sealed evidence is encrypted.
#[pyclass(frozen, module = "receipt_kernel._native")]
pub(crate) struct Sealer {
    /// Of rules of the store's own; the built-in one is made when it is first needed.
    own_redactor: Option<Redactor>,
    recipients: Option<Recipients>,
}

impl Sealer {
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
}

/// Where an event goes that follows this one.
fn place(run_id: &str, last: Option<(i64, &str)>) -> Option<Link> {
    let first = Link::first(RunId::new(run_id));
    let Some((seq, hash)) = last else { return Some(first) };
    Link { seq: Seq::new(seq)?, ..first }.after(EventHash::parse_bytes(hash.as_bytes())?)
}

#[pymethods]
impl Sealer {
    #[new]
    #[pyo3(signature = (recipients=None, rules=None))]
    fn new(py: Python<'_>, recipients: Option<Vec<String>>, rules: Option<&str>) -> PyResult<Self> {
        let recipients = recipients.map(|names| Recipients::parse(names.iter().map(String::as_str))).transpose();
        let recipients = recipients.map_err(|error| errors::of_store(py, &error))?;
        let own_redactor = rules.map(|rules| redactor(py, rules)).transpose()?;
        Ok(Self { own_redactor, recipients })
    }

    /// Whether sealed evidence is encrypted.
    #[getter]
    fn seals(&self) -> bool {
        self.recipients.is_some()
    }

    /// A text as the rules of this store leave it.
    fn redacted(&self, py: Python<'_>, text: &str) -> String {
        py.detach(|| String::from_utf8_lossy(&self.redactor().redact(text.as_bytes()).0).into_owned())
    }

    /// Bytes as the rules of this store leave them, what was replaced, and what the row says of it.
    fn redact<'py>(
        &self,
        py: Python<'py>,
        data: Bound<'py, PyBytes>,
    ) -> (Bound<'py, PyBytes>, Vec<Hit>, Option<String>) {
        let bytes = data.as_bytes();
        let (clean, report) = py.detach(|| self.redactor().redact(bytes));
        let says = self.own_redactor.is_some() || !report.hits.is_empty();
        let json = says.then(|| report.to_json_as_0_1_0());
        let clean = match clean {
            Cow::Borrowed(_) => data.clone(),
            Cow::Owned(clean) => PyBytes::new(py, &clean),
        };
        (clean, hits_of(&report), json)
    }

    /// Bytes, encrypted to the recipients.
    fn encrypt<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = bytes_of(data)?;
        let Some(recipients) = &self.recipients else {
            return Err(PyValueError::new_err("the store has no recipients"));
        };
        let sealed = py.detach(|| recipients.encrypt(&bytes)).map_err(|error| errors::of_store(py, &error))?;
        Ok(PyBytes::new(py, &sealed))
    }

    /// An envelope behind the last event of its run, whose seq and hash are given: the text to be stored, in the spaced
    /// form that `json.dumps` writes, and the seq, the previous hash and the hash.
    #[pyo3(signature = (run_id, last, envelope, redact))]
    fn seal(
        &self,
        py: Python<'_>,
        run_id: &str,
        last: Option<(i64, &str)>,
        envelope: &Bound<'_, PyDict>,
        redact: bool,
    ) -> PyResult<(String, i64, Option<String>, String)> {
        let Some(link) = place(run_id, last) else {
            let problem = "the row of its last event has no seq or no hash that can be followed".to_owned();
            return Err(errors::of_store(py, &Error::RunBroken { run: run_id.to_owned(), problem }));
        };
        let (text, hash) = self.members(envelope, redact)?.close(&link);
        let text = String::from_utf8(core_canonical::spaced(&text))
            .map_err(|_| PyValueError::new_err("the envelope is not text"))?;
        Ok((text, link.seq.get(), link.prev.map(|hash| hash.to_string()), hash.to_string()))
    }
}

/// Keeps an object for ever. The connection of a parent process must never be closed in its child: closing it there would
/// end the parent's locks and its log.
#[pyfunction]
pub(crate) fn keep_for_ever(object: Bound<'_, PyAny>) {
    std::mem::forget(object.unbind());
}

/// The run and the seq of a reference to an event, whose seq is written in one way only.
#[pyfunction]
pub(crate) fn parse_event_ref(text: &str) -> Option<(String, i64)> {
    EventRef::parse(text).map(|event| (event.run_id.to_string(), event.seq.get()))
}
