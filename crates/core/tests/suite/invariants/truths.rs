//! What must be true, one test a truth.

use super::scene::{Case, Scene, blob, case, evidence, hex, of_snapshot, value};
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

fn evaluation(payload: &str) -> Scene {
    Scene::start("{}").event(EventType::Evaluation, payload)
}

fn evaluated(overall: &str, complete: &str, verdict: &str) -> Scene {
    evaluation(&format!(
        r#"{{"overall_verdict":{overall},"evidence_complete":{complete},"results":[{{"invariant_id":"x","verdict":{verdict}}}]}}"#
    ))
}

fn judge_evaluation(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("evaluation", &EvaluationCompleteness::default(), scene, verdict, codes)
}

fn judge_ending(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("finalization", &FinalizationCompleteness::default(), scene, verdict, codes)
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

fn closed(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("closed world", &RefsClosedWorld::default(), scene, verdict, codes)
}

fn output(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("output", &OutputBoundToClaims::default(), scene, verdict, codes)
}

fn confidence(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("confidence", &ConfidenceSanity::default(), scene, verdict, codes)
}

fn oracle(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("oracle", &OracleIndependence::default(), scene, verdict, codes)
}

fn tools(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("tools", &ToolTraceConsistency::default(), scene, verdict, codes)
}

fn modes(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("mode", &EpistemicModeRequirements::default(), scene, verdict, codes)
}

fn status(scene: &Scene, verdict: Verdict, codes: &[&'static str]) -> Case {
    case("exit status", &ExitStatus, scene, verdict, codes)
}

fn exited(status: &str) -> Scene {
    Scene::start("{}").put("exit_status", status)
}

fn traced(ids: &str, trace: &str) -> Scene {
    Scene::factual().put("out", "o").put("tool_trace", trace).claims(&format!(r#"[{{"tool_call_ids":{ids}}}]"#))
}

/// A call `t1` with these further members.
fn call(rest: &str) -> Scene {
    traced(r#"["t1"]"#, &format!(r#"{{"calls":[{{"id":"t1"{rest}}}]}}"#))
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
    a_warning_on_record_needs_results_that_are_no_worse => [
        judge_evaluation(&evaluated(r#""warn""#, "true", r#""warn""#), Pass, &[]),
        judge_evaluation(&evaluated(r#""warn""#, "true", r#""fail""#), Fail, &["VERDICT_INCONSISTENCY"]),
        judge_evaluation(&evaluated(r#""warn""#, "true", r#""unknown""#), Fail, &["VERDICT_INCONSISTENCY"]),
        judge_evaluation(&evaluated(r#""warn""#, "false", r#""pass""#), Fail, &["SILENT_DOWNGRADE"]),
        judge_evaluation(&evaluated(r#""fail""#, "false", r#""pass""#), Pass, &[]),
    ];
    an_overall_verdict_is_one_of_four_words => ["PASS", "Pass", "pass ", "success", "banana", ""].map(|word| {
        judge_evaluation(&evaluated(&format!("\"{word}\""), "false", r#""fail""#), Fail, &["BAD_VERDICT"])
    }).into_iter().chain(["true", "5", "{}"].map(|word| {
        judge_evaluation(&evaluated(word, "false", r#""fail""#), Fail, &["BAD_VERDICT"])
    }));
    evidence_is_complete_only_where_it_says_true => [r#""false""#, r#""no""#, "[0]", "1"].map(|complete| {
        judge_evaluation(&evaluated(r#""pass""#, complete, r#""pass""#), Fail, &["EVALUATION_MALFORMED"])
    });
    a_result_has_one_of_four_verdicts_and_none_worse_than_the_whole => [
        judge_evaluation(&evaluated(r#""pass""#, "true", r#""FAIL""#), Fail, &["BAD_VERDICT"]),
        judge_evaluation(&evaluated(r#""pass""#, "true", r#""error""#), Fail, &["BAD_VERDICT"]),
        judge_evaluation(&evaluated(r#""pass""#, "true", "null"), Fail, &["BAD_VERDICT"]),
        judge_evaluation(&evaluated(r#""pass""#, "true", "{}"), Fail, &["BAD_VERDICT"]),
        judge_evaluation(&evaluated(r#""pass""#, "true", r#""warn""#), Fail, &["VERDICT_INCONSISTENCY"]),
    ];
    only_a_committed_policy_makes_a_failure_optional => {
        let payload = r#"{"overall_verdict":"warn","evidence_complete":true,"results":[
            {"invariant_id":"ledger.chain_valid","verdict":"pass"},
            {"invariant_id":"receipt.completeness","verdict":"fail","required":false}]}"#;
        let incomplete = r#"{"overall_verdict":"pass","evidence_complete":true,"results":[
            {"invariant_id":"receipt.completeness","verdict":"pass"}]}"#;
        [
            judge_evaluation(&committed().event(EventType::Evaluation, payload), Pass, &[]),
            judge_evaluation(&evaluation(payload), Fail, &["VERDICT_INCONSISTENCY"]),
            judge_evaluation(&committed().event(EventType::Evaluation, incomplete), Fail, &["MISSING_INVARIANT"]),
        ]
    };
    each_parameter_of_the_evaluation_is_honoured => {
        let keys = EvaluationCompleteness { required_evidence_keys: vec!["k".to_owned()], ..EvaluationCompleteness::default() };
        let blobs = EvaluationCompleteness { verify_blobs: true, ..EvaluationCompleteness::default() };
        let receipt = EvaluationCompleteness {
            require_receipt_completeness_in_results: true, ..EvaluationCompleteness::default()
        };
        let run = Scene::start("{}");
        let gone = run.clone().put("k", "1").fact("1", BlobFact::Missing).evaluation("pass");
        [
            case("keys", &keys, &run.clone().put("k", "1").evaluation("pass"), Pass, &[]),
            case("too late", &keys, &run.clone().evaluation("pass").put("k", "1"), Fail, &["MISSING_KEY"]),
            case("blobs", &blobs, &gone, Fail, &["BLOB_NOT_FOUND"]),
            case("receipt", &receipt, &run.evaluation("pass"), Fail, &["MISSING_INVARIANT"]),
        ]
    };
    a_failure_is_not_forgotten_without_a_remediation => {
        let failed = || Scene::start("{}").evaluation("fail");
        [
            judge_evaluation(&failed().evaluation("pass"), Warn, &["UNREMEDIATED_FAILURE"]),
            judge_evaluation(&failed().event(EventType::Remediation, "{}").evaluation("pass"), Pass, &[]),
        ]
    };
    a_malformed_evaluation_fails => [
        judge_evaluation(&evaluation(r#"{"overall_verdict":"fail","results":5}"#), Fail, &["EVALUATION_MALFORMED"]),
        judge_evaluation(&evaluation(r#"{"overall_verdict":"fail","results":[null]}"#), Fail, &["EVALUATION_MALFORMED"]),
        judge_evaluation(
            &evaluation(r#"{"overall_verdict":"fail","results":[{"invariant_id":[],"verdict":"pass"}]}"#),
            Fail,
            &["EVALUATION_MALFORMED"],
        ),
    ];
    a_run_ends_with_one_of_four_verdicts => ["\"banana\"", "\"\"", "false", "0", "[]"].map(|word| {
        let payload = format!(r#"{{"overall_verdict":{word}}}"#);
        judge_ending(&Scene::start("{}").evaluation("pass").event(EventType::RunFinalize, &payload), Fail, &["BAD_VERDICT"])
    });
    a_run_ends_no_better_than_it_was_evaluated => [
        judge_ending(&Scene::start("{}").evaluation("fail").finalize("pass"), Fail, &["VERDICT_INCONSISTENCY"]),
        judge_ending(&Scene::start("{}").evaluation("warn").finalize("pass"), Fail, &["VERDICT_INCONSISTENCY"]),
        judge_ending(&Scene::start("{}").evaluation("pass").finalize("warn"), Pass, &[]),
        judge_ending(&Scene::start("{}").finalize("pass"), Fail, &["NO_EVALUATION"]),
        judge_ending(&Scene::start("{}").finalize("unknown"), Pass, &[]),
        judge_ending(&Scene::start("{}"), Fail, &["NO_FINALIZE"]),
    ];
    a_decision_that_is_referred_to_exists => {
        let strict = FinalizationCompleteness { require_decision_ref: true, ..FinalizationCompleteness::default() };
        let run = || Scene::start("{}").evaluation("pass").finalize("pass");
        [("r1", 2, Pass), ("nope", 99, Fail), ("r1", 1, Fail), ("r1", 3, Fail)].map(|(id, seq, verdict)| {
            let codes: &[&str] = if verdict == Pass { &[] } else { &["BAD_DECISION_REF"] };
            case(format!("{id}/{seq}"), &strict, &run().refers(id, seq), verdict, codes)
        })
    };
    a_policy_may_refuse_to_end_as_a_warning => {
        let strict = FinalizationCompleteness { allow_warn_as_success: false, ..FinalizationCompleteness::default() };
        [
            case("warn", &strict, &Scene::start("{}").evaluation("warn").finalize("warn"), Fail, &["WARN_NOT_ALLOWED"]),
            judge_ending(&Scene::empty().finalize("fail"), Fail, &["NOTHING_BEFORE_FINALIZE"]),
        ]
    };
    a_run_ends_once => [
        case("none", &SingleFinalize, &Scene::start("{}"), Fail, &["NO_FINALIZE"]),
        case("two", &SingleFinalize, &Scene::start("{}").finalize("fail").finalize("pass"), Fail, &["MULTIPLE_FINALIZE"]),
    ];
    the_path_is_walked_and_not_only_named => {
        let path = StageRequiredPath { required_path: vec!["START".to_owned()] };
        let lie = r#"{"from_stage":"START","to_stage":"DECIDE"}"#;
        let lying = Scene::start("{}").at("COLLECT").event(EventType::StageAdvance, lie);
        [
            case("contradiction", &path, &lying, Fail, &["STAGE_CONTRADICTION"]),
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
    evidence_that_names_no_blob_is_none => [
        r#"{"key":"k","evidence":{}}"#,
        r#"{"key":"k"}"#,
        r#"{"key":"k","evidence":{"sha256":""}}"#,
        r#"{"key":"k","evidence":{"sha256":null}}"#,
    ].map(|payload| {
        let run = Scene::start("{}").put("k", "1").fact("1", BlobFact::Missing).event(EventType::EvidencePut, payload);
        judge_receipt(&run, Fail, &["NO_EVIDENCE", "BLOB_NOT_FOUND"])
    }).into_iter().chain([
        judge_receipt(&Scene::start("{}"), Fail, &["MISSING_KEY"]),
    ]);
    every_blob_that_was_put_under_a_key_counts => [
        judge_receipt(
            &Scene::start("{}").put("k", "1").put("k", "2").fact("1", BlobFact::Missing), Fail, &["BLOB_NOT_FOUND"]),
        judge_receipt(
            &Scene::start("{}").put("k", "1").fact("1", BlobFact::Corrupt), Fail, &["BLOB_HASH_MISMATCH"]),
        judge_receipt(
            &Scene::start("{}").put("k", "1").fact("1", BlobFact::Malformed { problem: "live without bytes".to_owned() }),
            Fail, &["BLOB_MALFORMED"]),
        judge_receipt(
            &Scene::start("{}").put("k", "1").fact("1", BlobFact::Unreadable { problem: "disk".to_owned() }),
            Unknown, &["READ_FAILURE"]),
        judge_receipt(&Scene::start("{}").put("k", "1").fact("1", BlobFact::TooLarge { bytes_len: 1 }), Pass, &[]),
        judge_receipt(&Scene::start("{}").put("k", "1").fact("1", BlobFact::TooLarge { bytes_len: 2 }), Fail, &["EVIDENCE_MISMATCH"]),
    ];
    what_an_event_says_of_its_blob_agrees => {
        let put = |payload: &str| Scene::start("{}").store("1").event(EventType::EvidencePut, payload);
        let both = |sha256: &str, blob: &str| format!(r#"{{"key":"k","evidence":{{"sha256":"{sha256}","ref":"{blob}"}}}}"#);
        [
            judge_receipt(&put(&both(&hex("1"), &blob("1"))), Pass, &[]),
            judge_receipt(&put(&both(&hex("1"), &blob("2"))), Fail, &["EVIDENCE_MISMATCH"]),
            judge_receipt(&put(&both("zzz", &blob("2"))), Fail, &["EVIDENCE_MALFORMED"]),
            judge_receipt(&put(&both(&hex("1"), &blob("1"))).names("2"), Fail, &["EVIDENCE_MISMATCH"]),
            judge_receipt(&put(&both(&hex("1"), "nowhere")), Fail, &["EVIDENCE_MALFORMED"]),
        ]
    };
    a_mode_that_nobody_knows_is_not_skipped => ["factual ", "factuall", "strict", ""].into_iter().flat_map(|mode| {
        let run = Scene::mode(&format!("\"{mode}\""));
        let unknown: &[&str] = &["RUN_MODE_UNKNOWN"];
        [
            binding(&run, Unknown, unknown), closed(&run, Unknown, unknown), output(&run, Unknown, unknown),
            confidence(&run, Unknown, unknown), oracle(&run, Unknown, unknown), tools(&run, Unknown, unknown),
            modes(&run, Fail, unknown),
        ]
    }).chain([
        oracle(&Scene::mode(r#""exploratory""#), Pass, &[]),
        binding(&Scene::mode(r#""exploratory""#), Unknown, &["RUN_MODE_UNKNOWN"]),
        binding(&Scene::mode(r#""FACTUAL""#), Fail, &["CLAIMS_MAP_MISSING"]),
        binding(&Scene::mode(r#""creative""#).event(EventType::RunStart, r#"{"meta":{"mode":"factual"}}"#),
            Fail, &["RUN_MODE_CONTRADICTION"]),
        binding(&Scene::mode("[]"), Fail, &["RUN_MODE_MALFORMED"]),
        binding(&Scene::start(r#"{"meta":5}"#), Fail, &["RUN_MODE_MALFORMED"]),
    ]);
    a_claim_cites_blobs_that_are_there => [
        "http://example.org", "event://nope/1", "", "whatever", "BLOB://SHA256:00", "blob://md5:00",
    ].map(|text| binding(&claiming(&cites(&[text], "")), Fail, &["EVIDENCE_REF_BAD", "CLAIM_UNBOUND"])).into_iter().chain([
        binding(&claiming(r#"{"evidence_refs":[5]}"#), Fail, &["CLAIM_MALFORMED", "CLAIM_UNBOUND"]),
        binding(&claiming("{}"), Fail, &["CLAIM_UNBOUND"]),
        binding(&bound_claim().fact("e", BlobFact::Missing), Fail, &["EVIDENCE_REF_MISSING"]),
        binding(&bound_claim(), Pass, &[]),
    ]);
    weak_binding_is_a_warning_and_tampering_a_failure => [
        binding(&bound_claim().fact("e", BlobFact::Expired), Warn, &["BLOB_EXPIRED"]),
        binding(&bound_claim().fact("e", BlobFact::Elsewhere), Warn, &["EVIDENCE_ELSEWHERE"]),
        binding(&bound_claim().fact("e", BlobFact::Removed), Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        binding(&bound_claim().fact("e", BlobFact::Corrupt), Fail, &["BLOB_HASH_MISMATCH"]),
        binding(&Scene::factual().claims("[]"), Warn, &["NO_CLAIMS"]),
        confidence(&Scene::factual().claims("[]"), Pass, &[]),
        oracle(&Scene::factual().claims("[]"), Pass, &[]),
        binding(&Scene::factual().put("final_output", "o").claims(&format!("[{}]", cites(&[&blob("o")], ""))),
            Warn, &["CLAIM_CITES_OUTPUT"]),
        binding(&claiming(&[cites(&[&blob("e")], r#","id":"c""#), cites(&[&blob("e")], r#","id":"c""#)].join(",")),
            Warn, &["CLAIM_ID_DUPLICATE"]),
    ];
    a_claims_map_that_two_readers_could_read_differently_is_malformed => [
        binding(&Scene::factual().put("claims_map", "not json"), Fail, &["CLAIMS_MAP_MALFORMED"]),
        binding(&Scene::factual().put("claims_map", r#"{"claims":[{}],"claims":[]}"#), Fail, &["CLAIMS_MAP_MALFORMED"]),
        binding(&Scene::factual().put("claims_map", r#"{"claims":[{"id":"a","id":"b"}]}"#), Fail, &["CLAIMS_MAP_MALFORMED"]),
        binding(&bound_claim().finalize("fail").claims("[]"), Fail, &["EVIDENCE_AFTER_FINALIZE"]),
        binding(&Scene::factual().put("claims_map", "[]"), Fail, &["CLAIMS_MAP_MALFORMED"]),
    ];
    a_claims_map_that_cannot_be_read_says_why => {
        let map = r#"{"claims":[]}"#;
        let run = || Scene::factual().put("claims_map", map);
        [
            binding(&run().fact(map, BlobFact::Expired), Unknown, &["CLAIMS_MAP_EXPIRED"]),
            binding(&run().fact(map, BlobFact::Elsewhere), Unknown, &["EVIDENCE_ELSEWHERE"]),
            binding(&run().fact(map, BlobFact::Removed), Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
            closed(&run().fact(map, BlobFact::Expired), Unknown, &["CLAIMS_MAP_EXPIRED"]),
            modes(&run().fact(map, BlobFact::Expired), Warn, &["BLOB_EXPIRED"]),
            binding(&run().fact(map, BlobFact::Corrupt), Fail, &["CLAIMS_MAP_CORRUPT"]),
            binding(&run().fact(map, BlobFact::Missing), Fail, &["CLAIMS_MAP_MISSING"]),
            binding(&run().fact(map, BlobFact::TooLarge { bytes_len: map.len() as u64 }), Unknown, &["READ_FAILURE"]),
            binding(&run().fact(map, BlobFact::Unreadable { problem: "disk".to_owned() }), Unknown, &["READ_FAILURE"]),
            binding(&run().fact(map, BlobFact::Malformed { problem: "no bytes".to_owned() }), Fail, &["BLOB_MALFORMED"]),
        ]
    };
    the_closed_world_sees_every_reference => [
        closed(&claiming(&cites(&["http://x"], "")), Fail, &["EVIDENCE_REF_BAD"]),
        closed(&claiming(&cites(&["event://r1/1"], "")), Pass, &[]),
        closed(&claiming(&cites(&["event://r1/99"], "")), Fail, &["EVIDENCE_REF_BAD"]),
        closed(&claiming(r#"{"evidence_refs":"x"}"#), Fail, &["CLAIM_MALFORMED"]),
        closed(&Scene::factual().claims("{}"), Fail, &["CLAIMS_MAP_MALFORMED"]),
    ];
    only_what_was_put_before_it_was_claimed_is_inside => {
        let claim = format!("[{}]", cites(&[&blob("e")], ""));
        [
            closed(&Scene::factual().put("e", "e").claims(&claim), Pass, &[]),
            closed(&Scene::factual().store("e").claims(&claim), Fail, &["REFS_OUTSIDE_RUN"]),
            closed(&Scene::factual().claims(&claim).put("e", "e"), Fail, &["REFS_OUTSIDE_RUN"]),
            closed(&Scene::factual().put("k", "1").names("e").claims(&claim), Fail, &["EVIDENCE_MISMATCH", "REFS_OUTSIDE_RUN"]),
            closed(&Scene::factual().put("e", "e").fact("e", BlobFact::Missing).claims(&claim), Fail, &["EVIDENCE_REF_MISSING"]),
        ]
    };
    the_output_is_named_by_every_name_that_is_given => {
        let run = |map: &str| Scene::factual().put("final_output", "o").put("claims_map", map);
        let map = |blob: &str, hex: &str| format!(r#"{{"claims":[],"output_ref":"{blob}","output_sha256":"{hex}"}}"#);
        let right = map(&blob("o"), &hex("o"));
        [
            output(&run(&right), Pass, &[]),
            output(&run(&map(&blob("o"), &hex("x"))), Fail, &["OUTPUT_MISMATCH"]),
            output(&run(&map(&blob("x"), &hex("o"))), Fail, &["OUTPUT_MISMATCH"]),
            output(&run(r#"{"claims":[],"output_sha256":""}"#), Fail, &["OUTPUT_MISMATCH"]),
            output(&run(r#"{"claims":[]}"#), Fail, &["OUTPUT_NOT_BOUND"]),
            output(&run("[]"), Fail, &["CLAIMS_MAP_MALFORMED"]),
            output(&run(&right).fact("o", BlobFact::Missing), Fail, &["FINAL_OUTPUT_MISSING"]),
            output(&run(&right).fact("o", BlobFact::Corrupt), Fail, &["BLOB_HASH_MISMATCH"]),
            output(&run(&right).fact("o", BlobFact::Expired), Warn, &["BLOB_EXPIRED"]),
        ]
    };
    a_confidence_that_nobody_knows_is_no_confidence => {
        let beside = |word: &str| {
            let medium = cites(&[&blob("e")], r#","confidence":"medium""#);
            claiming(&format!("{medium},{}", cites(&[&blob("e")], &format!(r#","confidence":{word}"#))))
        };
        [
            confidence(&beside(r#""high ""#), Fail, &["CONFIDENCE_UNKNOWN"]),
            confidence(&beside(r#""certain""#), Fail, &["CONFIDENCE_UNKNOWN"]),
            confidence(&beside("0.99"), Fail, &["CLAIM_MALFORMED", "CONFIDENCE_UNKNOWN"]),
            confidence(&beside(r#"["high"]"#), Fail, &["CLAIM_MALFORMED", "CONFIDENCE_UNKNOWN"]),
            confidence(&beside(r#""low""#), Pass, &[]),
            confidence(&claiming(r#"{"confidence":"medium"}"#), Fail, &["CLAIM_UNBOUND"]),
            confidence(&claiming("1"), Fail, &["CLAIM_MALFORMED", "ALL_LOW_CONFIDENCE"]),
            confidence(&claiming(r#"{"confidence":"low"}"#), Warn, &["ALL_LOW_CONFIDENCE"]),
            confidence(&claiming(&high(&[])), Fail, &["HIGH_CONFIDENCE_WEAK_EVIDENCE"]),
        ]
    };
    putting_the_same_bytes_again_makes_them_no_stronger => {
        let claim = format!("[{}]", high(&[&blob("e")]));
        let weak = || Scene::factual().put_kind("e", "e", "model:generated");
        [
            confidence(&weak().put_kind("e", "e", "oracle:test_log").claims(&claim), Fail, &["HIGH_CONFIDENCE_WEAK_EVIDENCE"]),
            confidence(&bound_claim().fact("e", BlobFact::Missing), Fail, &["EVIDENCE_REF_MISSING"]),
            confidence(&claiming(&high(&["x"])), Fail, &["EVIDENCE_REF_BAD", "HIGH_CONFIDENCE_WEAK_EVIDENCE"]),
            confidence(&claiming(&cites(&[&blob("gone")], "")), Warn, &["ALL_LOW_CONFIDENCE"]),
        ]
    };
    an_oracle_class_is_an_integer_from_0_to_3 => ["true", "99", "1180591620717411303424", "1.0", "\"1\"", "-5", "false"]
        .map(|class| {
            let claim = format!("[{}]", high(&[&blob("e")]));
            oracle(&Scene::factual().oracle("e", class).claims(&claim), Fail, &["ORACLE_CLASS_MALFORMED"])
        });
    only_an_oracle_has_a_class_and_the_least_one_counts => {
        let claim = format!("[{}]", high(&[&blob("e")]));
        let policy = |rest: &str| {
            let params = format!(r#"{{"policy":[{{"mode":"factual","confidence":"high","min_class":1}}]{rest}}}"#);
            OracleIndependence::from_params(value(&params).as_object().unwrap()).unwrap()
        };
        let lax = policy("");
        let strict = policy(r#","require_oracle":true"#);
        let report = Scene::factual().put_as("e", "e", r#"{"evidence_kind":"model:self_report","oracle_class":3}"#);
        let plain = Scene::factual().put("e", "e");
        [
            case("kind", &lax, &report.claims(&claim), Fail, &["ORACLE_KIND_MISMATCH", "ORACLE_CLASS_BELOW_MINIMUM"]),
            case("again", &lax, &Scene::factual().oracle("e", "0").oracle("e", "3").claims(&claim), Fail, &["ORACLE_CLASS_BELOW_MINIMUM"]),
            case("plain too", &lax, &plain.clone().oracle("e", "3").claims(&claim), Fail, &["ORACLE_CLASS_BELOW_MINIMUM"]),
            case("enough", &lax, &Scene::factual().oracle("e", "1").claims(&claim), Pass, &[]),
            case("word", &lax, &claiming(r#"{"confidence":"high "}"#), Fail, &["CONFIDENCE_UNKNOWN"]),
            case("gone", &lax, &bound_claim().fact("e", BlobFact::Missing), Fail, &["EVIDENCE_REF_MISSING"]),
            case("none", &lax, &plain.clone().claims(&claim), Pass, &[]),
            case("none", &strict, &plain.claims(&claim), Fail, &["ORACLE_MISSING"]),
        ]
    };
    a_tool_call_is_one_and_went_well_and_gave_what_it_says => {
        let out = format!(r#","output_ref":"{}""#, blob("o"));
        let malformed: &[&str] = &["CLAIM_MALFORMED"];
        let sketch = ToolTraceConsistency { enforce_in_modes: vec!["sketch".to_owned()] };
        let unbound = Scene::mode(r#""sketch""#).put("tool_trace", r#"{"calls":[{"id":"t1"}]}"#)
            .claims(r#"[{"tool_call_ids":["t1"]}]"#);
        let twice = format!(r#"{{"calls":[{{"id":"t1"{out}}},{{"id":"t1"{out}}}]}}"#);
        let expired = r#"{"calls":[]}"#;
        [
            tools(&call(&out), Pass, &[]),
            tools(&traced(r#""t1""#, expired), Fail, malformed),
            tools(&traced("[1]", expired), Fail, malformed),
            tools(&traced(r#"[""]"#, expired), Fail, &["CLAIM_MALFORMED", "TOOL_CALL_MISSING"]),
            tools(&call(&format!(r#"{out},"ok":false"#)), Fail, &["TOOL_CALL_FAILED"]),
            tools(&call(&format!(r#"{out},"ok":1"#)), Fail, &["TOOL_TRACE_MALFORMED", "TOOL_CALL_MISSING"]),
            tools(&traced(r#"["t1"]"#, &twice), Fail, &["TOOL_CALL_DUPLICATE"]),
            tools(&call(&format!(r#"{out},"output_sha256":"{}""#, hex("x"))), Fail, &["TOOL_OUTPUT_CONTRADICTION"]),
            tools(&call(&out).fact("o", BlobFact::Expired), Warn, &["BLOB_EXPIRED"]),
            tools(&call(&out).fact("o", BlobFact::Missing), Fail, &["TOOL_OUTPUT_MISSING"]),
            tools(&call(r#","output_ref":"http://x""#), Fail, &["TOOL_OUTPUT_NOT_IN_RUN"]),
            case("unbound in another mode", &sketch, &unbound, Fail, &["TOOL_OUTPUT_UNBOUND"]),
            tools(&traced(r#"["t1"]"#, expired).fact(expired, BlobFact::Expired), Unknown, &["TOOL_TRACE_EXPIRED"]),
            tools(&traced(r#"["t1"]"#, expired).fact(expired, BlobFact::Corrupt), Fail, &["TOOL_TRACE_CORRUPT"]),
            tools(&Scene::factual().claims(r#"[{"tool_call_ids":["t1"]}]"#), Fail, &["TOOL_TRACE_MISSING"]),
            tools(&call(r#","output_ref":null"#), Fail, &["TOOL_OUTPUT_UNBOUND"]),
            tools(&Scene::mode(r#""mixed""#).claims(r#"[{"tool_call_ids":["t1"]}]"#).put("tool_trace", r#"{"calls":[{"id":"t1"}]}"#),
                Warn, &["TOOL_OUTPUT_UNBOUND_WARN"]),
        ]
    };
    a_mode_has_the_evidence_that_it_asks_for => [r#""zzz""#, r#""""#, "5", "[]"].map(|sha256| {
        let mut payload = evidence("claims_map", "m", "{}");
        if let Some(receipt_core::json::Value::Object(evidence)) = payload.insert("evidence", 0) {
            let mut evidence = evidence;
            evidence.insert("sha256", value(sha256));
            payload.insert("evidence", evidence);
        }
        let text = receipt_core::canonical::to_bytes(&payload.into(), receipt_core::json::Limits::READ).unwrap();
        let run = Scene::factual().event(EventType::EvidencePut, std::str::from_utf8(&text).unwrap());
        let first = if sha256 == "\"\"" { "NO_EVIDENCE" } else { "EVIDENCE_MALFORMED" };
        modes(&run, Fail, &[first, "MODE_REQUIREMENTS_MISSING"])
    }).into_iter().chain([{
        let none = EpistemicModeRequirements { requirements: std::collections::BTreeMap::new(), allow_unknown_modes: false };
        case("an empty table", &none, &Scene::factual(), Fail, &["RUN_MODE_UNKNOWN"])
    }, modes(&Scene::factual(), Fail, &["MODE_REQUIREMENTS_MISSING"])]);
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
            case("no events", &ReceiptCompleteness::default(), &Scene::empty(), Unknown, &["NO_EVENTS"]),
        ]
    };
}
