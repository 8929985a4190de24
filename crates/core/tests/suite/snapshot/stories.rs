//! What a program writes, or somebody who seals everything anew.

use super::run::{advance, draft, evidence, finalize, object, policy};
use receipt_core::commitment::Commitment;
use receipt_core::envelope::{Draft, EventType};
use receipt_core::id::EventHash;
use receipt_core::json::Object;
use receipt_core::run::Area;
use receipt_core::stage::Stage;
use std::sync::Arc;

use Area::{Columns, Content, Path};

/// What a program writes, or somebody who seals everything anew: hashes are right, the story is not.
pub(super) type Retold = (&'static str, fn(&mut Vec<Draft>), &'static [(Area, &'static str)]);

pub(super) const STORY_ACTS: [Retold; 21] = [
    (
        "a stage is skipped",
        |story| story[1] = advance("START", "DECIDE"),
        &[(Path, "ILLEGAL_TRANSITION"), (Path, "STAGE_JUMP")],
    ),
    (
        "the last step is one that the graph has not",
        |story| {
            story.truncate(5);
            story.push(advance("COLLECT", "DECIDE"));
        },
        &[(Path, "ILLEGAL_TRANSITION")],
    ),
    (
        "the last step is to a stage that the graph has not",
        |story| {
            story.truncate(5);
            story.push(advance("COLLECT", "NOWHERE"));
        },
        &[(Path, "ILLEGAL_TRANSITION")],
    ),
    (
        "an event is in another stage than the run",
        |story| story[8].stage = Stage::new("FINALIZE"),
        &[(Path, "STAGE_JUMP"), (Path, "ILLEGAL_TRANSITION"), (Path, "STAGE_CONTRADICTION")],
    ),
    (
        "the last event is in another stage than the run",
        |story| {
            story.truncate(5);
            story[4].stage = Stage::new("EVALUATE");
        },
        &[(Path, "STAGE_JUMP")],
    ),
    (
        "the run begins twice",
        |story| {
            let again = Draft { stage: Stage::new("COLLECT"), ..story[0].clone() };
            story.insert(3, again);
        },
        &[(Path, "SECOND_RUN_START")],
    ),
    (
        "the run begins in the middle of its graph",
        |story| {
            story.truncate(1);
            story[0].stage = Stage::new("DECIDE");
        },
        &[(Path, "WRONG_INITIAL_STAGE")],
    ),
    ("an event follows the end", |story| story.push(evidence("FINALIZE", "late")), &[(Path, "EVENT_AFTER_FINALIZE")]),
    (
        "the run ends twice",
        |story| story.push(finalize("FINALIZE", "fail")),
        &[(Path, "EVENT_AFTER_FINALIZE"), (Path, "MULTIPLE_FINALIZE")],
    ),
    (
        "the run ends as PASS before a terminal stage",
        |story| {
            story.truncate(5);
            story.push(finalize("COLLECT", "pass"));
        },
        &[(Path, "FINALIZED_EARLY"), (Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "the run ends better than it was judged",
        |story| {
            story[6] = draft(EventType::Evaluation, "EVALUATE", object(r#"{"overall_verdict":"fail","results":[]}"#));
        },
        &[(Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "evidence comes after the last evaluation",
        |story| story.insert(7, evidence("EVALUATE", "late")),
        &[(Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "a remediation comes after the last evaluation",
        |story| story.insert(7, draft(EventType::Remediation, "EVALUATE", object(r#"{"why":"it was broken"}"#))),
        &[(Path, "VERDICT_NOT_EVALUATED")],
    ),
    (
        "the run ends with a verdict that there is not",
        |story| story[10] = finalize("FINALIZE", "PASS"),
        &[(Path, "BAD_VERDICT")],
    ),
    ("the run ends without a verdict", |story| story[10].payload = Object::new(), &[(Path, "BAD_VERDICT")]),
    (
        "a step's payload contradicts its stage",
        |story| {
            story[5].payload.insert("to_stage", "DECIDE");
        },
        &[(Path, "STAGE_CONTRADICTION")],
    ),
    (
        "the policy changes on the way",
        |story| "2".clone_into(&mut Arc::make_mut(&mut story[4].policy).policy_version),
        &[(Path, "POLICY_CHANGED")],
    ),
    (
        "the committed policy is edited",
        |story| {
            let mut commitment = story[0].payload.get("commitment").unwrap().as_object().unwrap().clone();
            let mut policy = commitment.get("policy").unwrap().as_object().unwrap().clone();
            policy.insert("version", "2");
            commitment.insert("policy", policy);
            story[0].payload.insert("commitment", commitment);
        },
        &[(Content, "COMMITMENT_MALFORMED")],
    ),
    (
        "the committed graph is one of a newer version",
        |story| {
            let mut policy = policy().to_value().as_object().unwrap().clone();
            let mut graph = policy.get("stage_graph").unwrap().as_object().unwrap().clone();
            graph.insert("parallel", true);
            policy.insert("stage_graph", graph);
            story[0].payload.insert("commitment", Commitment::to(policy.into()).unwrap().to_value());
        },
        &[(Path, "STAGE_GRAPH_UNKNOWN")],
    ),
    (
        "the committed digest is edited",
        |story| {
            let mut commitment = story[0].payload.get("commitment").unwrap().as_object().unwrap().clone();
            commitment.insert("policy_digest", EventHash::of(b"x").to_string());
            story[0].payload.insert("commitment", commitment);
        },
        &[(Content, "COMMITMENT_MALFORMED")],
    ),
    (
        "all events name another policy than the committed one",
        |story| {
            for draft in story {
                "other".clone_into(&mut Arc::make_mut(&mut draft.policy).policy_id);
            }
        },
        &[(Columns, "COMMITMENT_MALFORMED")],
    ),
];
