//! The gate: secrets are redacted here, before anything is hashed, and nothing gets around it.
//!
//! [`Clean`] is a value that went through a [`Gate`], or that the kernel made itself. A draft is built only from such
//! values, and only a clean draft is sealed: text that was not redacted does not compile into an event.
//!
//! ```
//! use receipt_kernel::write::{Clean, Gate};
//! use receipt_kernel::{Object, Redactor};
//!
//! fn record(payload: Clean<Object>) -> String {
//!     payload.get("note").and_then(|note| note.as_str()).unwrap_or_default().to_owned()
//! }
//! let gate = Gate::new(Redactor::builtin().clone());
//! let said = Object::from_iter([("note", "password=hunter2")]);
//! assert_eq!(record(gate.object(said)), "password=[REDACTED:password]");
//! ```
//!
//! The same object as it is, is refused:
//!
//! ```compile_fail,E0308
//! use receipt_kernel::write::Clean;
//! use receipt_kernel::Object;
//!
//! fn record(payload: Clean<Object>) {}
//! record(Object::from_iter([("note", "password=hunter2")]));
//! ```
//!
//! Nobody outside the kernel can call it clean,
//!
//! ```compile_fail,E0423
//! use receipt_kernel::write::Clean;
//! use receipt_kernel::Object;
//!
//! let unredacted = Clean(Object::from_iter([("note", "password=hunter2")]));
//! ```
//!
//! change what is clean,
//!
//! ```compile_fail,E0596
//! use receipt_kernel::write::Gate;
//! use receipt_kernel::{Object, Redactor};
//!
//! let mut payload = Gate::new(Redactor::builtin().clone()).object(Object::new());
//! payload.insert("note", "password=hunter2");
//! ```
//!
//! or draft an event from what is not:
//!
//! ```compile_fail,E0308
//! # use receipt_kernel::core::envelope::PolicyRef;
//! # use receipt_kernel::core::stage::Stage;
//! # use receipt_kernel::write::{Clean, Gate, Place};
//! # use receipt_kernel::{Actor, EventType, Object};
//! fn draft(gate: &Gate, place: Place<'_>, unredacted: Object) {
//!     gate.draft(EventType::Decision, place, unredacted);
//! }
//! ```

use crate::error::{Error, Result};
use crate::evidence::Put;
use crate::evidence::redact::{Redactor, withheld};
use crate::ledger::MAX_EVENT;
use receipt_core::chain::Link;
use receipt_core::envelope::{Actor, Draft, EventType, PolicyRef, Sealed};
use receipt_core::evidence::{BlobRecord, REDACTION_FAILED, UNSCANNED};
use receipt_core::id::{BlobRef, EventRef, Timestamp};
use receipt_core::json::{Object, Value};
use receipt_core::payload::{EvidencePut, RunStart};
use receipt_core::policy::Policy;
use receipt_core::stage::Stage;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A value without secrets that the rules know. It can be read, and not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clean<T>(T);

impl<T> Clean<T> {
    /// What the kernel made itself, or what is on record already. Each use of this is a claim that no caller's text is in
    /// it.
    pub(crate) const fn ours(value: T) -> Self {
        Self(value)
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Clean<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Clean<Object> {
    /// The same with a member of a name of ours.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: Clean<impl Into<Value>>) -> Self {
        self.0.insert(name, value.0);
        self
    }

    /// The same without a member.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

impl Clean<Object> {
    /// The payload of an EVIDENCE_PUT.
    pub(crate) fn evidence_put(key: Clean<String>, record: &BlobRecord, meta: Self) -> Self {
        Self(EvidencePut::to_object(key.0, record, meta.0))
    }
}

impl Clean<Put> {
    /// What else there is to say, and the kind.
    pub(crate) fn meta(&self) -> Clean<Object> {
        let meta = Clean(self.0.meta.clone());
        match &self.0.kind {
            Some(kind) => meta.with("evidence_kind", Clean(kind.as_str())),
            None => meta,
        }
    }
}

impl Clean<RunStart> {
    pub(crate) fn payload(&self) -> Clean<Object> {
        Clean(self.0.to_object())
    }
}

impl Clean<Draft> {
    /// The same about these blobs too.
    #[must_use]
    pub(crate) fn blobs(mut self, blobs: impl IntoIterator<Item = BlobRef>) -> Self {
        self.0.blobs.extend(blobs);
        self
    }

    /// The same about these events too, which are on record.
    #[must_use]
    pub(crate) fn events(mut self, events: impl IntoIterator<Item = EventRef>) -> Self {
        self.0.events.extend(events);
        self
    }

    /// The payload alone.
    pub(crate) fn into_payload(self) -> Clean<Object> {
        Clean(self.0.payload)
    }

    /// Gives the draft its place and its hash, within the size that this kernel writes.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Input`] for a payload over a limit of JSON.
    pub fn seal(&self, link: Link) -> Result<Sealed> {
        let sealed = self.0.seal(link)?;
        let bytes = sealed.text.len() as u64;
        if bytes > MAX_EVENT {
            return Err(Error::TooLarge { what: "an event", bytes, limit: MAX_EVENT });
        }
        Ok(sealed)
    }
}

pub(crate) fn policy_ref(policy: &Policy) -> PolicyRef {
    PolicyRef {
        policy_id: policy.id().to_owned(),
        policy_version: policy.version().to_owned(),
        stage_graph_id: policy.graph().id().to_owned(),
    }
}

/// Where and when an event is drafted, and by whom.
#[derive(Clone, Debug)]
pub struct Place<'p> {
    /// The stage of the run, which is one of its policy's.
    pub stage: Clean<Stage>,
    /// The policy that the run committed to.
    pub policy: &'p Clean<Arc<PolicyRef>>,
    /// Who acts.
    pub actor: &'p Clean<Arc<Actor>>,
    /// The instant that the event has.
    pub ts: Timestamp,
    /// What the clock said, if that is another instant.
    pub clock: Option<Timestamp>,
}

/// What every text of a caller goes through on its way into an event.
#[derive(Clone, Debug)]
pub struct Gate {
    redactor: Redactor,
    /// Whether redaction itself failed since the last event: the next one says so.
    failed: Arc<AtomicBool>,
}

impl Gate {
    /// The gate of these rules.
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, failed: Arc::default() }
    }

    /// The rules.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A text with its secrets replaced.
    pub fn text(&self, text: &str) -> Clean<String> {
        let redacted = self.redactor.redact_text(text).unwrap_or_else(|| text.to_owned());
        self.note(redacted == withheld::TEXT);
        Clean(redacted)
    }

    /// An object with its secrets replaced, in its keys too.
    pub fn object(&self, mut object: Object) -> Clean<Object> {
        self.redactor.redact_object(&mut object);
        self.note(object.get(UNSCANNED).is_some_and(|why| why.as_str() == Some(REDACTION_FAILED)));
        Clean(object)
    }

    fn note(&self, failed: bool) {
        self.failed.fetch_or(failed, Ordering::Relaxed);
    }

    /// An actor with its secrets replaced.
    pub fn actor(&self, actor: Actor) -> Clean<Arc<Actor>> {
        let Actor { kind, id } = actor;
        Clean(Arc::new(Actor { kind: self.text(&kind).0, id: self.text(&id).0 }))
    }

    /// What is said of evidence, with its secrets replaced.
    pub(crate) fn put(&self, put: Put) -> Clean<Put> {
        let Put { content_type, class, kind, meta } = put;
        let (content_type, kind) = (self.text(&content_type).0, kind.map(|kind| self.text(&kind).0));
        Clean(Put { content_type, class, kind, meta: self.object(meta).0 })
    }

    /// A name as it is.
    ///
    /// # Errors
    /// [`Error::SecretName`] for one that has a secret in it: redacted, two names could become one.
    pub fn name<'n>(&self, what: &'static str, name: &'n str) -> Result<Clean<&'n str>> {
        if self.redactor.redact_text(name).is_some() { Err(Error::SecretName { what }) } else { Ok(Clean(name)) }
    }

    /// A policy as it is, and what a run says of itself with its secrets replaced.
    ///
    /// # Errors
    /// [`Error::SecretName`] for a policy with a secret in one of its texts: its digest is of them as they are.
    pub(crate) fn run_start(&self, policy: &Policy, meta: Object) -> Result<Clean<RunStart>> {
        let mut open = vec![policy.to_value()];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => {
                    self.name("a text of the policy", &text.to_string_lossy())?;
                }
                Value::Array(items) => open.extend(items),
                Value::Object(object) => {
                    open.extend(object.into_iter().flat_map(|(key, value)| [Value::String(key), value]));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        Ok(Clean(RunStart { commitment: Some(policy.commitment()?), meta: self.object(meta).0 }))
    }

    /// An event that says this, and that something before it was withheld because redaction failed. It names the rules in its
    /// member `redaction_rules` if they are not the built-in ones.
    pub fn draft(&self, event_type: EventType, place: Place<'_>, payload: Clean<Object>) -> Clean<Draft> {
        let Place { stage, policy, actor, ts, clock } = place;
        let failed = self.failed.swap(false, Ordering::Relaxed);
        let payload = if failed { payload.with(UNSCANNED, Clean::ours(REDACTION_FAILED)) } else { payload };
        let mut extra = Object::new();
        if let Some(clock) = clock {
            extra.insert("clock_ts", clock.to_string());
        }
        if let Some(rules) = self.redactor.other_rules() {
            extra.insert("redaction_rules", rules);
        }
        Clean(Draft {
            event_type,
            stage: stage.0,
            policy: Arc::clone(policy),
            actor: Arc::clone(actor),
            payload: payload.0,
            blobs: Vec::new(),
            events: Vec::new(),
            ts,
            extra,
        })
    }
}
