//! Parameters of a policy: what they are called, what they may be, and that they come back as they went in.

use super::scene::object;
use receipt_core::Error;
use receipt_core::invariant::{self, IDS};

fn refusal(id: &str, params: &str) -> String {
    match invariant::from_params(id, &object(params)) {
        Err(Error::Policy { at, problem }) => format!("{at}: {problem}"),
        other => panic!("{id} {params}: {other:?}"),
    }
}

#[test]
fn every_invariant_is_made_by_its_id_and_gives_back_its_parameters() {
    for id in IDS {
        let needed = if *id == "run.stage_required_path" { r#"{"required_path":["START"]}"# } else { "{}" };
        let made = invariant::from_params(id, &object(needed)).unwrap();
        let again = invariant::from_params(id, &made.params()).unwrap();
        assert_eq!((made.id(), format!("{made:?}")), (*id, format!("{again:?}")));
        assert!(refusal(id, r#"{"nonsense":1}"#).contains("no such parameter"), "{id}");
    }
    assert_eq!(IDS.len(), 15);
}

#[test]
fn a_text_is_not_a_list_of_texts() {
    for (id, key) in [
        ("receipt.completeness", "required_keys"),
        ("receipt.completeness", "keys"),
        ("run.stage_required_path", "required_path"),
        ("evaluation.completeness", "required_invariants"),
        ("evaluation.completeness", "required_evidence_keys"),
        ("refs.closed_world", "require_in_modes"),
        ("tools.trace_consistency", "enforce_in_modes"),
        ("oracle.independence_minimum", "require_in_modes"),
    ] {
        assert_eq!(refusal(id, &format!(r#"{{"{key}":"text"}}"#)), format!("{id}.{key}: expected a list of texts"));
    }
    refusal("epistemic.mode_requirements", r#"{"requirements":{"factual":"claims_map"}}"#);
    refusal("finalization.completeness", r#"{"require_decision_ref":1}"#);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    assert!(refusal("no.such", "{}").contains("ledger.chain_valid, run.stage_transitions"));
    assert!(refusal("receipt.completeness", r#"{"keys":["a"],"required_keys":["a"]}"#).contains("give one of them"));
    refusal("run.stage_required_path", r#"{"required_path":[]}"#);
    for row in [
        r#"{"mode":"factual","confidence":"high"}"#,
        r#"{"mode":"factual","confidence":"high","min_class":4}"#,
        r#"{"mode":"factual","confidence":"high","min_class":true}"#,
        r#"{"mode":"factual","confidence":"High ","min_class":1}"#,
        r#"{"confidence":"high","min_class":1}"#,
        r#"{"mode":"factual","confidence":"high","min_class":1,"scope":1}"#,
        r#"{"mode":"factual","confidence":"high","min_class":1,"other":1}"#,
        r#"{"mode":"m","confidence":"high","min_class":1},{"mode":"m","confidence":"high","min_class":2}"#,
        "5",
    ] {
        refusal("oracle.independence_minimum", &format!(r#"{{"policy":[{row}]}}"#));
    }
}
