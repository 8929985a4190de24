//! What a bundle looked like.

use super::replay::Finished;
use crate::check::ending::{Ending, PolicyName};
use crate::check::report::{Check, CheckReport, find, overall};
use crate::read::evidence::receipt::Receipts;
use receipt_core::id::{BlobHash, BlobRef, EventHash, RunId, Seq};
use receipt_core::json::{Object, Value};
use receipt_core::replay::Replayed;
use receipt_core::verdict::Verdict;

/// What a bundle looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReport {
    /// The run, where there is a header that says so.
    pub run: Option<RunId>,
    /// The last event that could be read.
    pub head: Option<(Seq, EventHash)>,
    /// The verdict that the run ended with, where it has.
    pub recorded: Option<Verdict>,
    /// How the run ended and under which policy, where the bundle has a run.
    pub ending: Option<Ending>,
    /// One for each of [`Check::BUNDLE`], in their order.
    pub checks: Vec<CheckReport>,
    /// Evidence whose bytes are not in the bundle: the key that it was put under, where it was put, and the blob.
    pub absent: Vec<(Option<String>, BlobHash)>,
    /// The receipts of removals (BLOB_EXPIRE) among its events.
    pub receipts: Receipts,
    /// What became of each recorded evaluation.
    pub evaluations: Vec<Replayed>,
    /// The finished run judged as a whole; none if it has not ended, or nothing was computed.
    pub finished: Option<Finished>,
    /// How many events were read and hashed.
    pub events: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
}

impl BundleReport {
    /// The verdict over the required checks.
    pub fn overall_verdict(&self) -> Verdict {
        overall(&self.checks)
    }

    /// The report of one check.
    pub fn check(&self, check: Check) -> Option<&CheckReport> {
        find(&self.checks, check)
    }

    /// `{"overall_verdict", "run", "head", "recorded", "policy", "checks", "absent", "evaluations", "events", "blobs"}`
    pub fn to_value(&self) -> Value {
        let head = self.head.map(|(seq, hash)| {
            Object::from_iter([("event_hash", Value::from(hash.to_string())), ("seq", Value::from(seq.get()))])
        });
        let policy = self.ending.as_ref().and_then(|ending| ending.policy.as_ref());
        let absent = self.absent.iter().map(|(key, blob)| {
            let blob = Value::from(BlobRef(*blob).to_string());
            Value::from(Object::from_iter([("blob", blob), ("key", Value::from(key.clone()))]))
        });
        Object::from_iter([
            ("overall_verdict", Value::from(self.overall_verdict())),
            ("run", Value::from(self.run.as_ref().map(RunId::as_str))),
            ("head", Value::from(head)),
            ("recorded", Value::from(self.recorded)),
            ("policy", Value::from(policy.map(PolicyName::to_value))),
            ("checks", Value::Array(self.checks.iter().map(CheckReport::to_value).collect())),
            ("absent", Value::Array(absent.collect())),
            ("evaluations", Value::Array(self.evaluations.iter().map(Replayed::to_value).collect())),
            ("events", self.events.into()),
            ("blobs", self.blobs.into()),
        ])
        .into()
    }
}
