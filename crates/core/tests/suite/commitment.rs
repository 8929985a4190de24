//! What a run commits to is checked as a value; what this version does not know of it is UNKNOWN, and only when it is judged.

use super::snapshot::run::{object, record, story};
use receipt_core::Verdict;
use receipt_core::commitment::Commitment;
use receipt_core::envelope::{Draft, EventType};
use receipt_core::error::Error;
use receipt_core::json::{Object, Value};
use receipt_core::policy::{Invariants, Policy};
use receipt_core::run::{Area, RunFacts, Snapshot};
use receipt_core::verdict::InvariantResult;

/// A policy with these invariants, which are JSON, and the default graph.
fn policy(invariants: &str) -> Object {
    let graph = Policy::structural().unwrap().graph().to_value();
    let mut policy = object(&format!(r#"{{"id":"release","invariants":[{invariants}],"version":"1"}}"#));
    policy.insert("stage_graph", graph);
    policy
}

/// The honest story without its evidence, of which nothing is stored.
fn short_story() -> Vec<Draft> {
    story().into_iter().filter(|draft| draft.event_type != EventType::EvidencePut).collect()
}

/// That story under this policy, whatever it is, with a digest of it.
fn committed(policy: Object) -> Snapshot {
    let mut story = short_story();
    story[0].payload.insert("commitment", Commitment::to(policy.into()).unwrap().to_value());
    record("run/1", &story).snapshot()
}

fn judged(run: &Snapshot) -> (Verdict, Vec<InvariantResult>) {
    let rules = Invariants::of(run.facts().commitment.as_ref().unwrap());
    let evaluation = rules.evaluate(run);
    (evaluation.overall_verdict, evaluation.results.into_iter().map(|judged| judged.result).collect())
}

const CHAIN: &str = r#"{"id":"ledger.chain_valid","required":true}"#;

/// What this version cannot judge: a policy's invariants, and the invariant and code that it is UNKNOWN with.
const UNJUDGED: [(&str, &str, &str); 4] = [
    (r#"{"id":"model.signed","key":"k","required":true}"#, "model.signed", "UNKNOWN_INVARIANT"),
    (r#"{"id":"model.signed"}"#, "model.signed", "UNKNOWN_INVARIANT"),
    (r#"{"id":"receipt.completeness","keys":["a"],"since":5}"#, "receipt.completeness", "UNKNOWN_PARAMETER"),
    (r#"{"id":"run.single_finalize","keys":{}}"#, "run.single_finalize", "UNKNOWN_PARAMETER"),
];

/// What they give, for the list of codes.
pub(crate) fn results() -> Vec<InvariantResult> {
    let mut newer = policy(CHAIN);
    newer.insert("quorum", 2);
    let policies = UNJUDGED.iter().map(|(invariant, ..)| policy(invariant)).chain([newer]);
    policies.flat_map(|policy| judged(&committed(policy)).1).collect()
}

#[test]
fn an_invariant_that_is_not_known_verifies_and_is_unknown_when_it_is_judged() {
    for (invariant, id, code) in UNJUDGED {
        let run = committed(policy(&format!("{CHAIN},{invariant}")));
        assert_eq!(run.facts().findings, [], "{invariant}");
        let (overall, results) = judged(&run);
        assert_eq!(overall, Verdict::Unknown, "{invariant}");
        let result = results.iter().find(|result| result.invariant_id == id).unwrap();
        assert_eq!((result.verdict, &*result.reasons[0].code), (Verdict::Unknown, code), "{invariant}");
        // One that is not required makes the whole a WARN.
        let optional = invariant.replace(r#","required":true"#, "").replace('}', "") + r#","required":false}"#;
        let optional = optional.replace(r#""keys":{,"#, r#""keys":{},"#);
        let run = committed(policy(&format!("{CHAIN},{optional}")));
        assert_eq!((run.facts().findings.len(), judged(&run).0), (0, Verdict::Warn), "{optional}");
    }
    assert_eq!(judged(&committed(policy(CHAIN))).0, Verdict::Pass, "the positive control");
}

#[test]
fn a_member_of_a_policy_that_is_not_known_is_a_required_unknown() {
    let mut newer = policy(CHAIN);
    newer.insert("quorum", 2);
    let run = committed(newer);
    assert_eq!(run.facts().findings, []);
    let (overall, results) = judged(&run);
    assert_eq!((overall, &*results[0].reasons[0].code), (Verdict::Unknown, "UNKNOWN_POLICY_MEMBER"));
}

#[test]
fn the_path_of_a_run_under_an_unknown_invariant_is_checked() {
    let mut story = short_story();
    let commitment = Commitment::to(policy(r#"{"id":"model.signed"}"#).into()).unwrap();
    story[0].payload.insert("commitment", commitment.to_value());
    // The step to DECIDE.
    story.remove(4);
    let codes: Vec<String> = record("run/1", &story).found().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["STAGE_JUMP"]);
}

fn path(facts: &RunFacts) -> Vec<(Verdict, &str)> {
    let path = facts.findings.iter().filter(|finding| finding.area == Area::Path);
    path.map(|finding| (finding.verdict, &*finding.reason.code)).collect()
}

#[test]
fn a_graph_that_only_a_newer_version_can_read_is_unknown_and_never_passes() {
    let mut graph = Policy::structural().unwrap().graph().to_value().as_object().unwrap().clone();
    graph.insert("parallel", true);
    for graph in [Value::from(graph), Value::from("v1_default"), Value::from("v2_default")] {
        let known = graph == Value::from("v1_default");
        let name = graph.as_str().unwrap_or("v1_default").to_owned();
        let mut newer = policy(r#"{"id":"run.stage_transitions"}"#);
        newer.insert("stage_graph", graph);
        let commitment = Commitment::to(newer.into()).unwrap();
        assert_eq!((commitment.graph_id(), commitment.graph().is_some()), (&*name, known));
        assert_eq!(Policy::of(&commitment).is_ok(), known, "nothing can be appended whose stage cannot be checked");
        let mut story = short_story();
        story[0].payload.insert("commitment", commitment.to_value());
        let run = record("run/1", &story);
        let wanted = if known { vec![] } else { vec![(Verdict::Unknown, "STAGE_GRAPH_UNKNOWN")] };
        assert_eq!(path(&run.facts()), wanted, "{name}");
        // The events name v1_default; another name contradicts them.
        let wanted = [(true, Verdict::Pass), (false, Verdict::Unknown)].into_iter().find(|(is, _)| *is == known);
        let (_, wanted) = wanted.filter(|_| name == "v1_default").unwrap_or((known, Verdict::Fail));
        assert_eq!(judged(&run.snapshot()).0, wanted, "{name}");
        // What needs no graph is checked as ever.
        story[2].payload.insert("to_stage", "DECIDE");
        assert!(path(&record("run/1", &story).facts()).contains(&(Verdict::Fail, "STAGE_CONTRADICTION")), "{name}");
    }
}

#[test]
fn a_policy_under_which_a_run_goes_on_has_the_digest_that_the_run_committed_to() {
    let mut newer = policy(UNJUDGED[2].0);
    newer.insert("quorum", 2);
    let commitment = Commitment::to(newer.clone().into()).unwrap();
    let policy = Policy::of(&commitment).unwrap();
    assert_eq!((policy.digest().unwrap(), policy.to_value()), (commitment.digest(), newer.into()));
    assert_eq!(policy.commitment().unwrap().digest(), commitment.digest());
}

#[test]
fn what_is_no_policy_in_any_version_is_no_commitment() {
    let change = |key: &str, value: Value| {
        let mut policy = policy(CHAIN);
        policy.insert(key, value);
        policy
    };
    assert!(Commitment::to(change("id", "x".into()).into()).is_ok(), "the positive control");
    let list = |items: &str| policy(items).get("invariants").unwrap().clone();
    let graph = |json: &str| Value::from(object(json));
    for (key, value) in [
        ("id", Value::Null),
        ("id", "".into()),
        ("version", 1.into()),
        ("version", "".into()),
        ("invariants", Value::Null),
        ("invariants", list("")),
        ("invariants", list("5")),
        ("invariants", list(r#"{"required":true}"#)),
        ("invariants", list(r#"{"id":5}"#)),
        ("invariants", list(r#"{"id":"x","required":"yes"}"#)),
        ("invariants", list(r#"{"id":"x"},{"id":"x"}"#)),
        ("stage_graph", Value::Null),
        ("stage_graph", 5.into()),
        ("stage_graph", graph("{}")),
        ("stage_graph", graph(r#"{"graph_id":5,"new":true}"#)),
        ("stage_graph", graph(r#"{"graph_id":"g"}"#)),
        (
            "stage_graph",
            graph(r#"{"graph_id":"g","initial_stage":"A","terminal_stages":["B"],"transitions":{"A":["C"]}}"#),
        ),
    ] {
        let policy = Value::from(change(key, value));
        let problem = Commitment::to(policy.clone());
        assert!(matches!(problem, Err(Error::Policy { .. } | Error::Graph { .. })), "{key}: {policy:?}");
    }
}

#[test]
fn input_is_held_to_what_this_version_knows() {
    for wrong in ["[[invariant]]\nid = 'model.signed'", "[[invariant]]\nid = 'ledger.chain_valid'\nsince = 5"] {
        let text = format!("id = 'p'\nversion = '1'\nstage_graph = 'v1_default'\n{wrong}");
        assert!(matches!(Policy::from_toml(&text), Err(Error::Policy { .. })), "{text}");
    }
}
