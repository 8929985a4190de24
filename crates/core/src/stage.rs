//! Stages, the graph that says which may follow which, and the built-in graphs.

use crate::error::Error;
use crate::json::{Object, Text, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The name of a stage, such as `COLLECT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stage(Arc<str>);

impl Stage {
    /// A stage of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into().into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Stage> for Value {
    fn from(stage: &Stage) -> Self {
        Self::from(stage.as_str())
    }
}

/// A graph of stages: it says which stage may follow which.
///
/// Valid by construction: the initial stage is known, every target is known, terminal stages lead nowhere, and at least
/// one stage is terminal.
///
/// It has no `Clone`, so that nobody copies it for each event: a graph may have many thousand stages. It is shared.
#[derive(Debug, PartialEq, Eq)]
pub struct StageGraph {
    id: String,
    initial: Stage,
    terminal: BTreeSet<Stage>,
    transitions: BTreeMap<Stage, BTreeSet<Stage>>,
}

impl StageGraph {
    /// A graph, checked.
    ///
    /// # Errors
    /// [`Error::Graph`] if it contradicts itself.
    pub fn new(
        id: impl Into<String>,
        initial: Stage,
        terminal: BTreeSet<Stage>,
        mut transitions: BTreeMap<Stage, BTreeSet<Stage>>,
    ) -> Result<Self, Error> {
        let id = id.into();
        let invalid = |problem: String| Err(Error::Graph { graph: id.clone(), problem });
        for stage in &terminal {
            transitions.entry(stage.clone()).or_default();
        }
        if !transitions.contains_key(&initial) {
            return invalid(format!("the initial stage {initial} is not among the transitions"));
        }
        if terminal.is_empty() {
            return invalid("it has no terminal stage, so that no run could ever end".to_owned());
        }
        for (from, targets) in &transitions {
            if let Some(unknown) = targets.iter().find(|to| !transitions.contains_key(*to)) {
                return invalid(format!("{from} leads to {unknown}, which is neither in transitions nor terminal"));
            }
            if terminal.contains(from) && !targets.is_empty() {
                return invalid(format!("{from} is terminal and yet leads on"));
            }
            if !terminal.contains(from) && targets.is_empty() {
                return invalid(format!("{from} leads nowhere and is not terminal"));
            }
        }
        Ok(Self { id, initial, terminal, transitions })
    }

    /// The built-in graph of this id: `v1_default` or `v1_minimal`.
    pub fn built_in(id: &str) -> Option<Self> {
        let steps: &[(&str, &[&str])] = match id {
            "v1_default" => &[
                ("START", &["COLLECT"]),
                ("COLLECT", &["EVALUATE"]),
                ("EVALUATE", &["DECIDE"]),
                ("DECIDE", &["FINALIZE", "REMEDIATE"]),
                ("REMEDIATE", &["COLLECT"]),
                ("FINALIZE", &[]),
            ],
            "v1_minimal" => &[("START", &["FINALIZE"]), ("FINALIZE", &[])],
            _ => return None,
        };
        let stage = |name: &&str| Stage::new(*name);
        Some(Self {
            id: id.to_owned(),
            initial: Stage::new("START"),
            terminal: BTreeSet::from([Stage::new("FINALIZE")]),
            transitions: steps.iter().map(|(from, to)| (stage(from), to.iter().map(stage).collect())).collect(),
        })
    }

    /// The graph's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The stage in which every run begins.
    pub fn initial(&self) -> &Stage {
        &self.initial
    }

    /// Whether a run in this stage can go no further.
    pub fn is_terminal(&self, stage: &Stage) -> bool {
        self.terminal.contains(stage)
    }

    /// All stages, sorted.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.transitions.keys()
    }

    /// The stages that may follow.
    pub fn next(&self, stage: &Stage) -> impl Iterator<Item = &Stage> {
        self.transitions.get(stage).into_iter().flatten()
    }

    /// Whether a run may step from one stage to another.
    pub fn allows(&self, from: &Stage, to: &Stage) -> bool {
        self.transitions.get(from).is_some_and(|targets| targets.contains(to))
    }

    /// Refuses a step from one stage to another that the graph does not have.
    ///
    /// # Errors
    /// [`Error::UnknownStage`] or [`Error::IllegalTransition`], each with what there is instead.
    pub fn check_step(&self, from: &Stage, to: &Stage) -> Result<(), Error> {
        for stage in [from, to] {
            if !self.transitions.contains_key(stage) {
                return Err(Error::UnknownStage {
                    graph: self.id.clone(),
                    stage: stage.to_string(),
                    known: join(self.stages()),
                });
            }
        }
        if self.allows(from, to) {
            return Ok(());
        }
        let mut allowed = join(self.next(from));
        if allowed.is_empty() {
            "none: it is terminal".clone_into(&mut allowed);
        }
        Err(Error::IllegalTransition { graph: self.id.clone(), from: from.to_string(), to: to.to_string(), allowed })
    }

    /// The stages to walk, one after the other, from one stage to another by the fewest steps; empty if it is
    /// already there, `None` if there is no way.
    pub fn path(&self, from: &Stage, to: &Stage) -> Option<Vec<Stage>> {
        let mut came_from: BTreeMap<&Stage, &Stage> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([from]);
        while let Some(stage) = queue.pop_front() {
            if stage == to {
                let back = std::iter::successors(Some(to), |at| came_from.get(*at).copied());
                let mut path: Vec<Stage> = back.take_while(|at| *at != from).cloned().collect();
                path.reverse();
                return Some(path);
            }
            for next in self.next(stage) {
                if next != from && !came_from.contains_key(next) {
                    came_from.insert(next, stage);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// `{"graph_id", "initial_stage", "terminal_stages": […], "transitions": {from: [to, …]}}`
    pub fn to_value(&self) -> Value {
        let list = |stages: &BTreeSet<Stage>| Value::Array(stages.iter().map(Value::from).collect());
        let transitions = self.transitions.iter().map(|(from, to)| (from.as_str(), list(to)));
        Object::from_iter([
            ("graph_id", Value::from(self.id.as_str())),
            ("initial_stage", Value::from(&self.initial)),
            ("terminal_stages", list(&self.terminal)),
            ("transitions", transitions.collect::<Object>().into()),
        ])
        .into()
    }

    /// The first member of a graph's value that this version does not know: only a newer one can read the graph.
    pub fn unknown_member(value: &Object) -> Option<&Text> {
        value.iter().map(|(key, _)| key).find(|key| !MEMBERS.iter().any(|name| key == name))
    }

    /// From what [`Self::to_value`] gives.
    ///
    /// # Errors
    /// [`Error::Policy`] for another shape, [`Error::Graph`] for a graph that contradicts itself.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let shape = |at: &str, wanted: &str| Error::policy(format!("stage_graph.{at}"), format!("expected {wanted}"));
        let object = value.as_object().ok_or_else(|| shape("", "a table"))?;
        if let Some(key) = Self::unknown_member(object) {
            return Err(shape(&key.to_string_lossy(), "no such key"));
        }
        let text = |key: &str| object.get(key).and_then(Value::as_str).ok_or_else(|| shape(key, "text"));
        let stages = |at: &str, value: Option<&Value>| -> Result<BTreeSet<Stage>, Error> {
            let items = value.and_then(Value::as_array).ok_or_else(|| shape(at, "a list of stage names"))?;
            let names = items.iter().map(|item| item.as_str().map(Stage::new));
            names.collect::<Option<_>>().ok_or_else(|| shape(at, "a list of stage names"))
        };
        let steps = object.get("transitions").and_then(Value::as_object);
        let steps = steps.ok_or_else(|| shape("transitions", "a table from a stage to the list of its next stages"))?;
        let transitions = steps.iter().map(|(from, to)| {
            let name = from.as_str().ok_or_else(|| shape("transitions", "stage names in UTF-8"))?;
            Ok((Stage::new(name), stages(&format!("transitions.{name}"), Some(to))?))
        });
        Self::new(
            text("graph_id")?,
            Stage::new(text("initial_stage")?),
            stages("terminal_stages", object.get("terminal_stages"))?,
            transitions.collect::<Result<_, Error>>()?,
        )
    }
}

/// The members of a graph's value.
const MEMBERS: [&str; 4] = ["graph_id", "initial_stage", "terminal_stages", "transitions"];

/// How many stages a message names: a graph may have many thousand, and a run a message for each of its events.
const MAX_NAMED: usize = 50;

fn join<'a>(stages: impl Iterator<Item = &'a Stage>) -> String {
    let mut stages = stages.map(Stage::as_str);
    let mut named: Vec<&str> = stages.by_ref().take(MAX_NAMED).collect();
    named.extend(stages.next().map(|_| "and more"));
    named.join(", ")
}

impl From<&Stage> for Text {
    fn from(stage: &Stage) -> Self {
        Self::from(stage.as_str())
    }
}
