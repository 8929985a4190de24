//! The commitment that a run makes when it begins: a policy as a value, its digest, and the stage graph in it.
//!
//! This module checks the value alone. It knows no invariant: a run that was recorded under a newer policy verifies, and
//! only judging it needs the invariants. Input is held to more, see [`Policy::from_toml`](crate::policy::Policy::from_toml).

use crate::canonical;
use crate::error::Error;
use crate::id::PolicyDigest;
use crate::json::{Limits, Object, Text, Value};
use crate::stage::StageGraph;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An invariant that a policy lists, as it is written there.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Whether its failure fails the whole.
    pub required: bool,
    /// All other members.
    pub params: Object,
}

/// A policy as a value that a run commits to: `{"id", "version", "stage_graph", "invariants"}`.
#[derive(Clone, Debug)]
pub struct Commitment {
    value: Arc<Value>,
    digest: PolicyDigest,
    id: String,
    version: String,
    graph_id: String,
    graph: Option<Arc<StageGraph>>,
    invariants: Arc<[Listed]>,
    unknown: Arc<[String]>,
}

/// The largest event that commits to something, in bytes of its compact text: what a line of a bundle may have.
pub const MAX_START: usize = 4 << 20;

/// The members of a policy that this version knows.
const MEMBERS: [&str; 4] = ["id", "version", "stage_graph", "invariants"];

impl Commitment {
    /// A commitment to this policy.
    ///
    /// # Errors
    /// [`Error::Policy`] for a value that is no policy in any version, [`Error::Graph`] for a stage graph that contradicts
    /// itself, [`Error::Json`] for a value that canonical JSON cannot hold.
    pub fn to(value: Value) -> Result<Self, Error> {
        let object = value.as_object().ok_or_else(|| Error::policy("the top", "expected a table"))?;
        let text = |key: &str| {
            let text = object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| Error::policy(key, "it is missing, empty or not text"))
        };
        let (id, version) = (text("id")?, text("version")?);
        let (graph_id, graph) = graph(object.get("stage_graph"))?;
        let invariants = listed(object.get("invariants"))?;
        let unknown = object.iter().map(|(key, _)| key).filter(|key| !MEMBERS.iter().any(|known| key == known));
        let unknown = unknown.map(Text::to_string_lossy).collect();
        let digest = PolicyDigest::of(&canonical::to_bytes(&value, Limits::READ)?);
        Ok(Self { value: Arc::new(value), digest, id, version, graph_id, graph, invariants, unknown })
    }

    /// `{"policy", "policy_digest"}`, as `payload.commitment` of RUN_START has it.
    pub fn to_value(&self) -> Value {
        Object::from_iter([
            ("policy", Value::clone(&self.value)),
            ("policy_digest", Value::from(self.digest.to_string())),
        ])
        .into()
    }

    /// From what [`Self::to_value`] gives.
    ///
    /// # Errors
    /// As [`Self::to`]; [`Error::Policy`] for a digest of something else.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let policy = value.get("policy").ok_or_else(|| Error::policy("commitment.policy", "it is missing"))?;
        let commitment = Self::to(policy.clone())?;
        if value.get("policy_digest").and_then(Value::as_str) != Some(&commitment.digest.to_string()) {
            return Err(Error::policy("commitment.policy_digest", "it is not the digest of the policy beside it"));
        }
        Ok(commitment)
    }

    /// The policy as it is written.
    pub fn policy(&self) -> &Value {
        &self.value
    }

    /// SHA-256 of the policy's canonical JSON.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// The policy's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The policy's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The stage graph's id.
    pub fn graph_id(&self) -> &str {
        &self.graph_id
    }

    /// The stage graph; `None` if only a newer version can read it.
    pub fn graph(&self) -> Option<&Arc<StageGraph>> {
        self.graph.as_ref()
    }

    /// The invariants, in the policy's order. They are at least one, and no id occurs twice.
    pub fn invariants(&self) -> &[Listed] {
        &self.invariants
    }

    /// The policy's members that only a newer version can read.
    pub fn unknown_members(&self) -> &[String] {
        &self.unknown
    }
}

/// The id of a stage graph, and the graph if this version can read it.
fn graph(value: Option<&Value>) -> Result<(String, Option<Arc<StageGraph>>), Error> {
    let missing = || Error::policy("stage_graph", "it is missing, or has no graph_id");
    let value = value.ok_or_else(missing)?;
    if let Value::String(id) = value {
        let id = id.as_str().ok_or_else(missing)?;
        return Ok((id.to_owned(), StageGraph::built_in(id).map(Arc::new)));
    }
    let id = value.get("graph_id").and_then(Value::as_str).ok_or_else(missing)?.to_owned();
    let newer = value.as_object().and_then(StageGraph::unknown_member).is_some();
    Ok((id, if newer { None } else { Some(Arc::new(StageGraph::from_value(value)?)) }))
}

fn listed(value: Option<&Value>) -> Result<Arc<[Listed]>, Error> {
    let items = value.and_then(Value::as_array).filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| Error::policy("invariants", "expected a list with at least one invariant"))?;
    let mut ids = BTreeSet::new();
    let listed = items.iter().map(|item| {
        let listed = Listed::from_value(item)?;
        if !ids.insert(listed.id.clone()) {
            return Err(Error::policy(&listed.id, "it is listed twice"));
        }
        Ok(listed)
    });
    listed.collect()
}

impl Listed {
    /// An item of a policy's `invariants`.
    ///
    /// # Errors
    /// [`Error::Policy`] for an item without an id, or whose `required` is neither true nor false.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let mut params = value.as_object().cloned().ok_or_else(|| Error::policy("invariant", "expected a table"))?;
        let id = params.remove("id").and_then(|id| id.as_str().map(str::to_owned));
        let id = id.ok_or_else(|| Error::policy("invariant.id", "it is missing or not text"))?;
        let required = match params.remove("required") {
            None => true,
            Some(Value::Bool(required)) => required,
            Some(_) => return Err(Error::policy(format!("{id}.required"), "expected true or false")),
        };
        Ok(Self { id, required, params })
    }
}
