//! What must be true, one test a truth: of runs that `vectors/invariants.jsonl` cannot tell, as only this kernel has them.

use super::scene::{Case, Scene, blob, case, object, of_snapshot};
use receipt_core::Verdict::{self, Fail, Pass, Unknown, Warn};
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::RunId;
use receipt_core::invariant::*;
use receipt_core::run::Snapshot;

macro_rules! truths {
    ($($name:ident => $cases:expr;)+) => {
        $(
            #[test]
            fn $name() {
                for case in $cases {
                    case.check();
                }
            }
        )+

        /// The cases of all of them.
        pub(crate) fn all() -> Vec<Case> {
            let mut all: Vec<Case> = Vec::new();
            $(all.extend($cases);)+
            all
        }
    };
}

fn judge_evaluation(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("evaluation", &EvaluationCompleteness::default(), scene, verdict, codes)
}

fn judge_receipt(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    let invariant = ReceiptCompleteness { required_keys: vec!["k".to_owned()], ..ReceiptCompleteness::default() };
    case("receipt", &invariant, scene, verdict, codes)
}

/// A claim that cites these references.
fn cites(refs: &[&str], rest: &str) -> String {
    let refs: Vec<String> = refs.iter().map(|text| format!("\"{text}\"")).collect();
    format!(r#"{{"evidence_refs":[{}]{rest}}}"#, refs.join(","))
}

/// A factual run that put the bytes `e` as an oracle's, and claims this.
fn claiming(claim: &str) -> Scene {
    Scene::factual().oracle("e", "1").claims(&format!("[{claim}]"))
}

fn high(refs: &[&str]) -> String {
    cites(refs, r#","confidence":"high""#)
}

fn binding(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("binding", &ClaimsEvidenceBinding::default(), scene, verdict, codes)
}

fn status(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("exit status", &ExitStatus, scene, verdict, codes)
}

fn exited(status: &str) -> Scene {
    Scene::start("{}").put("exit_status", status)
}

const POLICY: &str = "id='p'\nversion='1'\nstage_graph='v1_default'\n[[invariant]]\nid='ledger.chain_valid'\n\
    [[invariant]]\nid='single.optional'\nrequired=false\n";

fn committed() -> Scene {
    Scene::committed(&POLICY.replace("single.optional", "receipt.completeness"))
}

/// More events behind the ending than findings are kept; what is not kept might be of any kind.
fn too_many_findings() -> Scene {
    (0..1001).fold(committed().finalize("fail"), |run, _| run.event(EventType::Decision, "{}"))
}

fn bound_claim() -> Scene {
    claiming(&high(&[&blob("e")]))
}

truths! {
    an_oracle_may_be_required => {
        let claim = high(&[&blob("e")]);
        let params = r#"{"policy":[{"mode":"factual","confidence":"high","min_class":1}],"require_oracle":true}"#;
        let required = OracleIndependence::from_params(&object(params)).unwrap();
        [
            case("none", &required, &Scene::factual().put("e", "e").claims(&format!("[{claim}]")), Fail, &["ORACLE_MISSING"]),
            case("one", &required, &claiming(&claim), Pass, &[]),
        ]
    };
    only_a_committed_policy_makes_a_failure_optional => {
        let payload = r#"{"overall_verdict":"warn","evidence_complete":true,"results":[
            {"invariant_id":"ledger.chain_valid","verdict":"pass"},
            {"invariant_id":"receipt.completeness","verdict":"fail","required":false}]}"#;
        let incomplete = r#"{"overall_verdict":"pass","evidence_complete":true,"results":[
            {"invariant_id":"receipt.completeness","verdict":"pass"}]}"#;
        [
            judge_evaluation(&committed().event(EventType::Evaluation, payload), Pass, &[]),
            judge_evaluation(&committed().event(EventType::Evaluation, incomplete), Fail, &["MISSING_INVARIANT"]),
        ]
    };
    the_path_is_walked_and_not_only_named => {
        let path = StageRequiredPath { required_path: vec!["START".to_owned()] };
        let lie = r#"{"from_stage":"START","to_stage":"DECIDE"}"#;
        [
            case("nothing", &StageRequiredPath::default(), &Scene::empty(), Unknown, &["NO_EVENTS"]),
            case("illegal", &path, &committed().advance("DECIDE"), Fail, &["ILLEGAL_TRANSITION"]),
            case("legal", &StageTransitions, &committed().advance("COLLECT"), Pass, &[]),
            case("illegal", &StageTransitions, &committed().advance("DECIDE"), Fail, &["ILLEGAL_TRANSITION"]),
            case("jump", &StageTransitions, &committed().at("COLLECT").put("k", "1"), Fail, &["STAGE_JUMP"]),
            case("contradiction", &StageTransitions, &committed().at("COLLECT").event(EventType::StageAdvance, lie),
                Fail, &["STAGE_CONTRADICTION"]),
            case("early", &StageTransitions, &committed().finalize("pass"), Fail,
                &["FINALIZED_EARLY", "VERDICT_NOT_EVALUATED"]),
            case("bad", &StageTransitions, &committed().finalize("banana"), Fail, &["BAD_VERDICT"]),
            case("after", &StageTransitions, &committed().finalize("fail").put("k", "1"), Fail, &["EVENT_AFTER_FINALIZE"]),
            case("again", &StageTransitions, &committed().event(EventType::RunStart, "{}"), Fail, &["SECOND_RUN_START"]),
            case("uncommitted", &StageTransitions, &Scene::start("{}"), Unknown, &["STAGE_GRAPH_UNCOMMITTED"]),
            case("nothing", &StageTransitions, &Scene::empty(), Unknown, &["STAGE_GRAPH_UNCOMMITTED"]),
        ]
    };
    a_blob_that_cannot_be_read_as_it_was_put_does_not_count => [
        judge_receipt(
            &Scene::start("{}").put("k", "1").fact("1", BlobFact::Malformed { problem: "live without bytes".to_owned() }),
            Fail, &["BLOB_MALFORMED"]),
        judge_receipt(
            &Scene::start("{}").put("k", "1").fact("1", BlobFact::Unreadable { problem: "disk".to_owned() }),
            Unknown, &["READ_FAILURE"]),
        judge_receipt(&Scene::start("{}").put("k", "1").fact("1", BlobFact::TooLarge { bytes_len: 1 }), Pass, &[]),
        judge_receipt(&Scene::start("{}").put("k", "1").fact("1", BlobFact::TooLarge { bytes_len: 2 }), Fail, &["EVIDENCE_MISMATCH"]),
    ];
    a_claims_map_that_cannot_be_read_says_why => {
        let map = r#"{"claims":[]}"#;
        let run = || Scene::factual().put("claims_map", map);
        [
            binding(&run().fact(map, BlobFact::Elsewhere), Unknown, &["EVIDENCE_ELSEWHERE"]),
            binding(&run().fact(map, BlobFact::TooLarge { bytes_len: map.len() as u64 }), Unknown, &["READ_FAILURE"]),
            binding(&run().fact(map, BlobFact::Unreadable { problem: "disk".to_owned() }), Unknown, &["READ_FAILURE"]),
            binding(&run().fact(map, BlobFact::Malformed { problem: "no bytes".to_owned() }), Fail, &["BLOB_MALFORMED"]),
            binding(&bound_claim().fact("e", BlobFact::Elsewhere), Warn, &["EVIDENCE_ELSEWHERE"]),
        ]
    };
    a_command_ran_and_ended_with_0 => [
        status(&exited(r#"{"code":0,"signal":null,"error":null,"seconds":1.5}"#), Pass, &[]),
        status(&exited(r#"{"code":3}"#), Fail, &["NON_ZERO_EXIT"]),
        status(&exited(r#"{"code":null,"signal":9}"#), Fail, &["KILLED_BY_SIGNAL"]),
        status(&exited(r#"{"error":"no such file"}"#), Fail, &["NOT_STARTED"]),
        status(&exited(r#"{"code":true}"#), Fail, &["EXIT_STATUS_MALFORMED"]),
        status(&exited(r#"{"code":1,"code":0}"#), Fail, &["EXIT_STATUS_MALFORMED"]),
        status(&exited("{}"), Fail, &["EXIT_STATUS_MALFORMED"]),
        status(&exited("5"), Fail, &["EXIT_STATUS_MALFORMED"]),
        status(&exited(r#"{"error":[]}"#), Fail, &["EXIT_STATUS_MALFORMED"]),
        status(&Scene::start("{}"), Fail, &["EXIT_STATUS_MISSING"]),
        status(&exited(r#"{"code":0}"#).fact(r#"{"code":0}"#, BlobFact::Expired), Unknown, &["EXIT_STATUS_EXPIRED"]),
        status(&exited(r#"{"code":0}"#).fact(r#"{"code":0}"#, BlobFact::Corrupt), Fail, &["EXIT_STATUS_CORRUPT"]),
        status(&exited(r#"{"code":1}"#).put("exit_status", r#"{"code":0}"#), Fail, &["NON_ZERO_EXIT"]),
    ];
    what_cannot_be_read_is_no_success => {
        let unreadable = Snapshot::unreadable(RunId::new("r1"), "disk");
        let broken = bound_claim().read(|index, text| if index == 1 { b"5".to_vec() } else { text });
        [
            of_snapshot("no snapshot", &ReceiptCompleteness::default(), &unreadable, Unknown, &["READ_FAILURE"]),
            of_snapshot("a bad row", &SingleFinalize, &broken, Fail, &["NO_FINALIZE"]),
            of_snapshot("a bad row", &ReceiptCompleteness::default(), &broken, Fail, &["EVENT_MALFORMED"]),
            case("too many to list", &LedgerChainValid, &too_many_findings(), Fail, &["MORE_FINDINGS"]),
        ]
    };
}
