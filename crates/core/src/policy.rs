//! Policies: which stage graph a run walks, which invariants it must satisfy, and the evaluation of them all.

use crate::canonical;
use crate::commitment::{Commitment, Listed};
use crate::error::Error;
use crate::id::{PolicyDigest, RunId};
use crate::invariant::{self, Invariant, Unjudged};
use crate::json::{Limits, Object, Value};
use crate::run::Snapshot;
use crate::stage::StageGraph;
use crate::verdict::{InvariantResult, Reason, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many dots and opening brackets a policy file may have. Each level of nesting takes one of them, and the TOML
/// parser recurses: it limits the parts of a key and the nesting of brackets, but not the product of the two.
const MAX_OPENERS: usize = 500;

/// An invariant of a policy, and whether its failure fails the whole.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The invariant.
    pub invariant: Arc<dyn Invariant>,
    /// Whether FAIL or UNKNOWN poisons the whole; if not it is a WARN.
    pub required: bool,
}

/// The members of a policy's value. It has no others.
const KEYS: [&str; 4] = ["id", "version", "stage_graph", "invariants"];

fn unknown_key(key: &str) -> Error {
    Error::policy(key, "no such key; there are: id, version, stage_graph, and [[invariant]] for each invariant")
}

/// A policy, checked: it has an id, a version, a valid stage graph and at least one invariant.
///
/// Of a policy that was read as input all invariants are known; see [`Self::of`] for one that a run commits to.
#[derive(Clone, Debug)]
pub struct Policy {
    id: String,
    version: String,
    graph: Arc<StageGraph>,
    rules: Invariants,
    /// The commitment of a run, if the policy was read from there. It may hold more than this version can read.
    committed: Option<Commitment>,
}

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// [`Error::Policy`] for an empty id or version, no invariants, or the same invariant twice.
    pub fn new(
        id: impl Into<String>,
        version: impl Into<String>,
        graph: StageGraph,
        rules: Vec<Rule>,
    ) -> Result<Self, Error> {
        let policy = Self {
            id: id.into(),
            version: version.into(),
            graph: Arc::new(graph),
            rules: Invariants(rules),
            committed: None,
        };
        for (at, text) in [("id", &policy.id), ("version", &policy.version)] {
            if text.is_empty() {
                return Err(Error::policy(at, "it must not be empty"));
            }
        }
        if policy.rules().is_empty() {
            return Err(Error::policy(
                "invariant",
                "a policy without invariants would pass everything: add at least one",
            ));
        }
        let mut ids = BTreeSet::new();
        if let Some(rule) = policy.rules().iter().find(|rule| !ids.insert(rule.invariant.id())) {
            return Err(Error::policy(rule.invariant.id(), "it is listed twice"));
        }
        Ok(policy)
    }

    /// The policy that a run commits to. An invariant that this version does not know is UNKNOWN when it is judged.
    ///
    /// # Errors
    /// [`Error::Policy`] if only a newer version can read the stage graph: no step of the run could be checked.
    pub fn of(commitment: &Commitment) -> Result<Self, Error> {
        let problem = "only a newer version can read it: update receipt-kernel";
        Ok(Self {
            id: commitment.id().to_owned(),
            version: commitment.version().to_owned(),
            graph: Arc::clone(commitment.graph().ok_or_else(|| Error::policy("stage_graph", problem))?),
            rules: Invariants::of(commitment),
            committed: Some(commitment.clone()),
        })
    }

    /// The commitment of a run under this policy.
    ///
    /// # Errors
    /// [`Error::Json`] for parameters that canonical JSON cannot hold.
    pub fn commitment(&self) -> Result<Commitment, Error> {
        self.committed.clone().map_or_else(|| Commitment::to(self.to_value()), Ok)
    }

    /// The structural invariants over the default stage graph: what every run should satisfy.
    ///
    /// # Errors
    /// None; the signature is that of [`Self::from_toml`].
    pub fn structural() -> Result<Self, Error> {
        Self::from_toml(include_str!("policy/structural.toml"))
    }

    /// The policy of a recorded command: the structural invariants, and `exec.exit_status`.
    ///
    /// # Errors
    /// None; the signature is that of [`Self::from_toml`].
    pub fn exec() -> Result<Self, Error> {
        Self::from_toml(include_str!("policy/exec.toml"))
    }

    /// Reads a policy file.
    ///
    /// ```
    /// use receipt_core::policy::Policy;
    ///
    /// let policy = Policy::from_toml(
    ///     r#"
    ///     id = "release"
    ///     version = "1.0"
    ///     stage_graph = "v1_default"
    ///     [[invariant]]
    ///     id = "receipt.completeness"
    ///     keys = ["stdout", "exit_status"]
    ///     "#,
    /// )?;
    /// assert_eq!(policy.graph().initial().as_str(), "START");
    /// # Ok::<(), receipt_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Policy`] for text that is not TOML, an unknown key or invariant, a wrong type, or no invariants;
    /// [`Error::Graph`] for a stage graph that contradicts itself.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let openers = text.bytes().filter(|byte| matches!(byte, b'.' | b'[' | b'{')).count();
        if openers > MAX_OPENERS {
            let problem =
                format!("it has {openers} dots and opening brackets, which is over the limit of {MAX_OPENERS}");
            return Err(Error::policy("the top", problem));
        }
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            Error::policy(format!("line {line}"), error.message().to_owned())
        })?;
        let mut object = Object::new();
        for (key, value) in table {
            object.insert(key.as_str(), from_toml_value(&key, value)?);
        }
        // In TOML each is a table of its own, of the singular name; two lists would leave open which one counts.
        if object.get("invariants").is_some() {
            return Err(unknown_key("invariants"));
        }
        if let Some(rules) = object.remove("invariant") {
            object.insert("invariants", rules);
        }
        if let Some(graph) = object.remove("stage_graph") {
            object.insert("stage_graph", graph_from_toml(graph)?);
        }
        Self::from_value(&object.into())
    }

    /// From what [`Self::to_value`] gives.
    ///
    /// # Errors
    /// As [`Self::from_toml`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let object = value.as_object().ok_or_else(|| Error::policy("the top", "expected a table"))?;
        if let Some((key, _)) = object.iter().find(|(key, _)| !KEYS.iter().any(|known| key == known)) {
            return Err(unknown_key(&key.to_string_lossy()));
        }
        let text = |key: &str| {
            let text = object.get(key).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| Error::policy(key, "it is missing or not text"))
        };
        let graph = match object.get("stage_graph") {
            Some(Value::String(id)) => built_in_graph(&id.to_string_lossy())?,
            Some(graph) => StageGraph::from_value(graph)?,
            None => {
                return Err(Error::policy(
                    "stage_graph",
                    "it is missing: name v1_default or v1_minimal, or give a table",
                ));
            }
        };
        let rules = object.get("invariants").and_then(Value::as_array).unwrap_or_default();
        let rules = rules.iter().map(rule_from_value).collect::<Result<_, _>>()?;
        Self::new(text("id")?, text("version")?, graph, rules)
    }

    /// The whole policy, its stage graph in full and its parameters with their defaults: what RUN_START commits to, and
    /// what the digest is of.
    pub fn to_value(&self) -> Value {
        if let Some(committed) = &self.committed {
            return committed.policy().clone();
        }
        let rules = self.rules().iter().map(|rule| {
            let mut object = rule.invariant.params();
            object.insert("id", rule.invariant.id());
            object.insert("required", rule.required);
            Value::from(object)
        });
        Object::from_iter([
            ("id", Value::from(self.id.as_str())),
            ("version", Value::from(self.version.as_str())),
            ("stage_graph", self.graph.to_value()),
            ("invariants", Value::Array(rules.collect())),
        ])
        .into()
    }

    /// SHA-256 of the canonical JSON of [`Self::to_value`].
    ///
    /// # Errors
    /// [`Error::Json`] for parameters that canonical JSON cannot hold.
    pub fn digest(&self) -> Result<PolicyDigest, Error> {
        if let Some(committed) = &self.committed {
            return Ok(committed.digest());
        }
        canonical::to_bytes(&self.to_value(), Limits::WRITE).map(|bytes| PolicyDigest::of(&bytes))
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The stage graph.
    pub fn graph(&self) -> &StageGraph {
        &self.graph
    }

    /// The invariants.
    pub fn rules(&self) -> &[Rule] {
        &self.rules.0
    }

    /// As [`Invariants::reads`].
    pub fn reads(&self) -> Vec<&'static str> {
        self.rules.reads()
    }

    /// As [`Invariants::evaluate`].
    pub fn evaluate(&self, run: &Snapshot) -> Evaluation {
        self.rules.evaluate(run)
    }
}

/// The invariants of a policy: all that it takes to judge a run.
#[derive(Clone, Debug)]
pub struct Invariants(Vec<Rule>);

impl Invariants {
    /// The invariants of the policy that a run commits to. What this version does not know of it is judged as UNKNOWN: an
    /// invariant, a parameter of one, a member of the policy.
    pub fn of(commitment: &Commitment) -> Self {
        let members = commitment
            .unknown_members()
            .iter()
            .map(|member| Rule { invariant: Arc::new(Unjudged::member(member)), required: true });
        let listed = commitment
            .invariants()
            .iter()
            .map(|listed| Rule { invariant: invariant::committed(listed), required: listed.required });
        Self(members.chain(listed).collect())
    }

    /// The evidence keys whose bytes the invariants read; what [`Snapshot::wanted`] is to be asked with.
    pub fn reads(&self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self.0.iter().flat_map(|rule| rule.invariant.reads().iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Judges a snapshot by all of the policy's invariants, and by `ledger.chain_valid` whether it lists it or not:
    /// a verdict on a broken chain would be about something that nobody recorded.
    ///
    /// Invariants about a run's ending are deferred while the run is unfinished.
    pub fn evaluate(&self, run: &Snapshot) -> Evaluation {
        let unfinished = !run.facts().finalized && run.read_failure().is_none();
        let mut evaluation = Evaluation {
            run_id: run.run_id().clone(),
            results: Vec::new(),
            deferred: Vec::new(),
            overall_verdict: Verdict::Unknown,
            evidence_complete: run.read_failure().is_none() && run.evidence_is_complete(),
        };
        let chain: Arc<dyn Invariant> = Arc::new(invariant::LedgerChainValid);
        let listed = self.0.iter().any(|rule| rule.invariant.id() == chain.id());
        let implied = (!listed).then(|| Rule { invariant: chain, required: true });
        for rule in implied.iter().chain(&self.0) {
            if unfinished && rule.invariant.is_about_the_ending() {
                evaluation.deferred.push(rule.invariant.id().to_owned());
            } else {
                let result = invariant::evaluate(rule.invariant.as_ref(), run);
                let required = rule.required || rule.invariant.id() == "ledger.chain_valid";
                evaluation.results.push(Judged { result, required });
            }
        }
        evaluation.overall_verdict = evaluation.overall();
        evaluation
    }
}

/// A result and whether its invariant is required.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The answer of the invariant.
    pub result: InvariantResult,
    /// Whether it poisons the whole.
    pub required: bool,
}

/// A policy's verdict on a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The run.
    pub run_id: RunId,
    /// The answer of each invariant, in the policy's order.
    pub results: Vec<Judged>,
    /// Invariants about the ending, if there is none yet.
    pub deferred: Vec<String>,
    /// The one verdict.
    pub overall_verdict: Verdict,
    /// Whether all evidence that was put is there, or gone by retention.
    pub evidence_complete: bool,
}

impl Judged {
    /// The result as an evaluation records it: `{"invariant_id", "verdict", …, "required"}`
    pub fn to_value(&self) -> Value {
        let mut value = self.result.to_value();
        if let Value::Object(object) = &mut value {
            object.insert("required", self.required);
        }
        value
    }
}

impl Evaluation {
    fn overall(&self) -> Verdict {
        // A skipped invariant was not evaluated: it neither helps nor harms, and skipping all of them is UNKNOWN.
        let evaluated = |judged: &&Judged| {
            let skipped = judged.result.meta.get("skipped").and_then(Value::as_bool) == Some(true);
            !skipped || judged.result.verdict != Verdict::Pass
        };
        let counted = self.results.iter().filter(evaluated);
        let overall = Verdict::overall(counted.map(|judged| (judged.result.verdict, judged.required)));
        if self.evidence_complete { overall } else { overall.worse(Verdict::Unknown) }
    }

    /// `{"overall_verdict", "results": […], "deferred": […], "evidence_complete"}`
    pub fn to_object(&self) -> Object {
        let results = self.results.iter().map(Judged::to_value);
        Object::from_iter([
            ("overall_verdict", Value::from(self.overall_verdict)),
            ("results", Value::Array(results.collect())),
            ("deferred", Value::from(self.deferred.clone())),
            ("evidence_complete", Value::from(self.evidence_complete)),
        ])
    }

    /// [`Self::to_object`] as a value.
    pub fn to_value(&self) -> Value {
        self.to_object().into()
    }

    /// The reasons of all results that are not PASS, with their invariants.
    pub fn complaints(&self) -> impl Iterator<Item = (&InvariantResult, &Reason)> {
        let failed = self.results.iter().map(|judged| &judged.result).filter(|result| result.verdict != Verdict::Pass);
        failed.flat_map(|result| result.reasons.iter().map(move |reason| (result, reason)))
    }
}

fn built_in_graph(id: &str) -> Result<StageGraph, Error> {
    let unknown = || Error::policy("stage_graph", "no such graph: name v1_default or v1_minimal, or give a table");
    StageGraph::built_in(id).ok_or_else(unknown)
}

/// The short form of a policy file: `initial`, `terminal`, `transitions` and, if wanted, `id`.
fn graph_from_toml(graph: Value) -> Result<Value, Error> {
    let Value::Object(table) = graph else { return Ok(graph) };
    let mut long = Object::from_iter([("graph_id", "custom")]);
    for (key, value) in table {
        let name = match key.as_str() {
            Some("id") => "graph_id",
            Some("initial") => "initial_stage",
            Some("terminal") => "terminal_stages",
            Some("transitions") => "transitions",
            _ => {
                let problem = "no such key; there are: id, initial, terminal, transitions";
                return Err(Error::policy(format!("stage_graph.{key}"), problem));
            }
        };
        long.insert(name, value);
    }
    Ok(long.into())
}

fn rule_from_value(value: &Value) -> Result<Rule, Error> {
    let Listed { id, required, params } = Listed::from_value(value)?;
    Ok(Rule { invariant: invariant::from_params(&id, &params)?, required })
}

/// A TOML value as JSON. [`MAX_OPENERS`] limits depth, so that this may recurse.
fn from_toml_value(at: &str, value: toml::Value) -> Result<Value, Error> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Float(_) => return Err(Error::policy(at, "a policy holds no floats")),
        toml::Value::Datetime(_) => return Err(Error::policy(at, "a policy holds no dates; put them in quotes")),
        toml::Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| from_toml_value(at, item)).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let members = table.into_iter().map(|(key, value)| {
                let at = format!("{at}.{key}");
                from_toml_value(&at, value).map(|value| (key, value))
            });
            members.collect::<Result<Vec<_>, Error>>()?.into_iter().collect::<Object>().into()
        }
    })
}
