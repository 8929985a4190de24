//! Stage graphs: valid by construction, and the ways through them.

use proptest::prelude::*;
use receipt_core::Error;
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::stage::{Stage, StageGraph};
use std::collections::{BTreeMap, BTreeSet};

fn stages(names: &[&str]) -> BTreeSet<Stage> {
    names.iter().map(|name| Stage::new(*name)).collect()
}

fn graph(initial: &str, terminal: &[&str], steps: &[(&str, &[&str])]) -> Result<StageGraph, Error> {
    let transitions = steps.iter().map(|(from, to)| (Stage::new(*from), stages(to))).collect();
    StageGraph::new("g", Stage::new(initial), stages(terminal), transitions)
}

fn default() -> StageGraph {
    StageGraph::built_in("v1_default").unwrap()
}

/// Raw parts, mostly of no valid graph.
fn parts() -> impl Strategy<Value = (u8, BTreeSet<u8>, BTreeMap<u8, BTreeSet<u8>>)> {
    let some = || prop::collection::btree_set(0..5_u8, 0..3);
    (0..5_u8, some(), prop::collection::btree_map(0..5_u8, some(), 0..6))
}

fn built((initial, terminal, steps): &(u8, BTreeSet<u8>, BTreeMap<u8, BTreeSet<u8>>)) -> Result<StageGraph, Error> {
    let stage = |name: &u8| Stage::new(name.to_string());
    let set = |names: &BTreeSet<u8>| names.iter().map(stage).collect::<BTreeSet<_>>();
    let steps = steps.iter().map(|(from, to)| (stage(from), set(to))).collect();
    StageGraph::new("g", stage(initial), set(terminal), steps)
}

/// All stages that can be reached by walking on and on, with the fewest steps to each.
fn distances(graph: &StageGraph, from: &Stage) -> BTreeMap<Stage, usize> {
    let mut found = BTreeMap::from([(from.clone(), 0)]);
    for step in 1..10 {
        let last: Vec<_> = found.iter().filter(|(_, far)| **far == step - 1).map(|(stage, _)| stage.clone()).collect();
        for next in last.iter().flat_map(|stage| graph.next(stage)) {
            found.entry(next.clone()).or_insert(step);
        }
    }
    found
}

proptest! {
    #[test]
    fn a_graph_that_can_be_made_is_valid(parts in parts()) {
        let Ok(graph) = built(&parts) else { return Ok(()) };
        let all: BTreeSet<_> = graph.stages().cloned().collect();
        prop_assert!(all.contains(graph.initial()));
        prop_assert!(all.iter().any(|stage| graph.is_terminal(stage)));
        for stage in &all {
            prop_assert!(graph.next(stage).all(|next| all.contains(next)));
            prop_assert_eq!(graph.next(stage).count() == 0, graph.is_terminal(stage));
        }
    }

    #[test]
    fn a_graph_reads_back_from_its_value(parts in parts()) {
        let Ok(graph) = built(&parts) else { return Ok(()) };
        prop_assert_eq!(StageGraph::from_value(&graph.to_value()), Ok(graph));
    }

    #[test]
    fn a_path_is_the_shortest_walk_and_there_is_one_exactly_where_one_can_walk(parts in parts()) {
        let Ok(graph) = built(&parts) else { return Ok(()) };
        for from in graph.stages() {
            let far = distances(&graph, from);
            for to in graph.stages() {
                let path = graph.path(from, to);
                prop_assert_eq!(path.as_ref().map(Vec::len), far.get(to).copied());
                let mut at = from;
                for next in path.iter().flatten() {
                    prop_assert!(graph.check_step(at, next).is_ok());
                    at = next;
                }
                prop_assert!(path.is_none() || at == to);
            }
        }
    }
}

#[test]
fn a_graph_that_contradicts_itself_is_refused() {
    type Case =
        (&'static str, &'static str, &'static [&'static str], &'static [(&'static str, &'static [&'static str])]);
    let cases: [Case; 6] = [
        ("the initial stage", "X", &["B"], &[("A", &["B"])]),
        ("no terminal stage", "A", &[], &[("A", &["A"])]),
        ("neither in transitions nor terminal", "A", &["B"], &[("A", &["B", "C"])]),
        ("is terminal and yet leads on", "A", &["A", "B"], &[("A", &["B"])]),
        ("leads nowhere and is not terminal", "A", &["B"], &[("A", &[]), ("B", &[])]),
        ("the initial stage", "A", &["B"], &[]),
    ];
    for (wanted, initial, terminal, steps) in cases {
        let error = graph(initial, terminal, steps).unwrap_err();
        assert!(matches!(error, Error::Graph { .. }) && error.to_string().contains(wanted), "{error}");
    }
    assert!(graph("A", &["A"], &[]).is_ok(), "a run may end where it begins");
}

#[test]
fn the_built_in_graphs_are_what_they_always_were() {
    for (id, text) in [
        (
            "v1_default",
            r#"{"graph_id":"v1_default","initial_stage":"START","terminal_stages":["FINALIZE"],"transitions":{"COLLECT":["EVALUATE"],"DECIDE":["FINALIZE","REMEDIATE"],"EVALUATE":["DECIDE"],"FINALIZE":[],"REMEDIATE":["COLLECT"],"START":["COLLECT"]}}"#,
        ),
        (
            "v1_minimal",
            r#"{"graph_id":"v1_minimal","initial_stage":"START","terminal_stages":["FINALIZE"],"transitions":{"FINALIZE":[],"START":["FINALIZE"]}}"#,
        ),
    ] {
        let value = json::parse(text.as_bytes(), Limits::READ).unwrap();
        assert_eq!(StageGraph::built_in(id).unwrap().to_value(), value);
        assert_eq!(StageGraph::from_value(&value).unwrap(), StageGraph::built_in(id).unwrap());
    }
    assert_eq!(StageGraph::built_in("V1_DEFAULT"), None);
}

#[test]
fn a_step_that_is_not_allowed_says_which_are() {
    let stage = Stage::new;
    assert_eq!(default().check_step(&stage("START"), &stage("COLLECT")), Ok(()));
    for (from, to, wanted) in [
        ("START", "FINALIZE", "a run may go to: COLLECT"),
        ("DECIDE", "DECIDE", "a run may go to: FINALIZE, REMEDIATE"),
        ("FINALIZE", "START", "none: it is terminal"),
        ("START", "collect", "has no stage collect; it has: COLLECT, DECIDE"),
        ("", "COLLECT", "has no stage"),
    ] {
        let message = default().check_step(&stage(from), &stage(to)).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn a_path_goes_the_shortest_way() {
    let path = |from: &str, to: &str| {
        let path = default().path(&Stage::new(from), &Stage::new(to));
        path.map(|path| path.iter().map(|stage| stage.as_str().to_owned()).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(path("START", "FINALIZE").as_deref(), Some("COLLECT EVALUATE DECIDE FINALIZE"));
    assert_eq!(path("DECIDE", "EVALUATE").as_deref(), Some("REMEDIATE COLLECT EVALUATE"));
    assert_eq!(path("COLLECT", "COLLECT").as_deref(), Some(""));
    assert_eq!(path("FINALIZE", "START"), None);
    assert_eq!(path("START", "NOWHERE"), None);
}

#[test]
fn a_value_of_another_shape_is_refused() {
    let right = default().to_value().as_object().unwrap().clone();
    let with = |key: &str, value: &str| {
        let mut object: Object = right.clone();
        object.insert(key, json::parse(value.as_bytes(), Limits::READ).unwrap());
        StageGraph::from_value(&object.into())
    };
    for (key, value) in [
        ("graph_id", "1"),
        ("initial_stage", "null"),
        ("initial_stage", "[]"),
        ("terminal_stages", r#""FINALIZE""#),
        ("terminal_stages", "[1]"),
        ("transitions", "[]"),
        ("transitions", r#"{"START":"FINALIZE"}"#),
        ("transitions", r#"{"START":[null]}"#),
        ("transitions", r#"{"\ud800":[]}"#),
        ("unknown", "1"),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(matches!(&error, Error::Policy { at, .. } if at.starts_with("stage_graph.")), "{key} {value}: {error}");
    }
    for key in ["graph_id", "initial_stage", "terminal_stages", "transitions"] {
        let mut object = right.clone();
        object.remove(key);
        assert!(matches!(StageGraph::from_value(&object.into()), Err(Error::Policy { .. })), "{key}");
    }
    assert!(StageGraph::from_value(&Value::Null).is_err());
}
