//! Policies: what a file may say, and that its digest stands for all of it.

use receipt_core::Error;
use receipt_core::canonical;
use receipt_core::id::PolicyDigest;
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::RunStart;
use receipt_core::policy::Policy;

const MINIMAL: &str = "id = 'p'\nversion = '1'\nstage_graph = 'v1_minimal'\n[[invariant]]\nid = 'ledger.chain_valid'\n";

fn minimal() -> Policy {
    Policy::from_toml(MINIMAL).unwrap()
}

fn refused(text: &str) -> String {
    match Policy::from_toml(text) {
        Err(error @ (Error::Policy { .. } | Error::Graph { .. })) => error.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_digest_of_a_policy_is_pinned() {
    let text = r#"{"id":"p","invariants":[{"id":"ledger.chain_valid","required":true}],"stage_graph":{"graph_id":"v1_minimal","initial_stage":"START","terminal_stages":["FINALIZE"],"transitions":{"FINALIZE":[],"START":["FINALIZE"]}},"version":"1"}"#;
    let written = canonical::to_bytes(&minimal().to_value(), Limits::WRITE).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text);
    let digest = "sha256:6dd6e2b427ffd96b213a83f1861f8af35becd30a3c7d0f538ca53a1ce8e447bf";
    assert_eq!(minimal().digest().unwrap().to_string(), digest);
    assert_eq!(PolicyDigest::of(text.as_bytes()).to_string(), digest);
}

#[test]
fn whatever_changes_a_policy_changes_its_digest() {
    let mut digests = vec![minimal().digest().unwrap()];
    for (from, to) in [
        ("id = 'p'", "id = 'q'"),
        ("version = '1'", "version = '1.0'"),
        ("v1_minimal", "v1_default"),
        ("id = 'ledger.chain_valid'", "id = 'ledger.chain_valid'\nrequired = false"),
        ("id = 'ledger.chain_valid'", "id = 'ledger.chain_valid'\n[[invariant]]\nid = 'run.single_finalize'"),
    ] {
        let changed = MINIMAL.replacen(from, to, 1);
        assert_ne!(changed, MINIMAL);
        digests.push(Policy::from_toml(&changed).unwrap().digest().unwrap());
    }
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn what_is_left_out_and_what_is_written_out_have_one_digest() {
    let spelled = MINIMAL.replace("id = 'ledger.chain_valid'", "required = true\nid = 'ledger.chain_valid'");
    assert_eq!(Policy::from_toml(&spelled).unwrap().digest(), minimal().digest());
    let table = "[stage_graph]\nid = 'v1_minimal'\ninitial = 'START'\nterminal = ['FINALIZE']\n[stage_graph.transitions]\nSTART = ['FINALIZE']\n";
    let spelled = format!("{}{table}", MINIMAL.replace("stage_graph = 'v1_minimal'\n", ""));
    assert_eq!(Policy::from_toml(&spelled).unwrap().digest(), minimal().digest());
}

#[test]
fn a_policy_reads_back_from_its_value_with_the_same_digest() {
    for policy in [minimal(), Policy::structural().unwrap(), Policy::exec().unwrap()] {
        let again = Policy::from_value(&policy.to_value()).unwrap();
        assert_eq!(again.to_value(), policy.to_value());
        assert_eq!(again.digest(), policy.digest());
        assert_eq!(again.rules().len(), policy.rules().len());
    }
}

#[test]
fn a_policy_that_could_pass_everything_or_means_nothing_is_refused() {
    let without = |line: &str| MINIMAL.replacen(line, "", 1);
    let with = |line: &str| MINIMAL.replacen("id = 'p'\n", &format!("id = 'p'\n{line}\n"), 1);
    let rule = |line: &str| format!("{MINIMAL}{line}\n");
    for (text, wanted) in [
        (String::new(), "missing"),
        (without("id = 'p'\n"), "id"),
        (without("version = '1'\n"), "version"),
        (without("stage_graph = 'v1_minimal'\n"), "stage_graph"),
        (without("[[invariant]]\nid = 'ledger.chain_valid'\n"), "at least one"),
        (without("[[invariant]]\nid = 'ledger.chain_valid'\n") + "invariant = []", "at least one"),
        (without("id = 'ledger.chain_valid'\n"), "invariant.id"),
        (MINIMAL.replace("'p'", "''"), "must not be empty"),
        (MINIMAL.replace("'p'", "1"), "not text"),
        (MINIMAL.replace("'1'", "1.0"), "no floats"),
        (MINIMAL.replace("'1'", "2026-01-01"), "no dates"),
        (MINIMAL.replace("'1'", "nan"), "no floats"),
        (MINIMAL.replace("'v1_minimal'", "'v1_maximal'"), "no such graph"),
        (MINIMAL.replace("'v1_minimal'", "7"), "stage_graph"),
        (MINIMAL.replace("'v1_minimal'", "{ start = 'A' }"), "no such key"),
        (
            MINIMAL.replace("'v1_minimal'", "{ initial = 'A', terminal = [], transitions = { A = ['A'] } }"),
            "no terminal stage",
        ),
        (MINIMAL.replace("ledger.chain_valid", "ledger.chain_vaild"), "no such invariant"),
        (MINIMAL.replace("'ledger.chain_valid'", "7"), "invariant.id"),
        (with("ID = 'x'"), "no such key"),
        (with("invariants_ = []"), "no such key"),
        // Were this taken, one of the two lists would be without effect.
        (with("[[invariants]]\nid = 'receipt.completeness'"), "no such key"),
        (MINIMAL.replace("[[invariant]]", "[[invariants]]"), "[[invariant]] for each"),
        (with("id = 'again'"), "line 2"),
        (rule("required = 'yes'"), "expected true or false"),
        (rule("required = 1"), "expected true or false"),
        (rule("requird = false"), "requird"),
        (rule("[[invariant]]\nid = 'ledger.chain_valid'"), "twice"),
        (MINIMAL.replace("[[invariant]]", "[invariant]"), "at least one"),
        ("id = ".to_owned(), "line 1"),
        ("\u{0}".to_owned(), "line 1"),
    ] {
        let message = refused(&text);
        assert!(message.contains(wanted), "{text}\n{message}");
    }
}

#[test]
fn values_of_another_shape_are_refused() {
    for text in [
        "null",
        "[]",
        "1",
        r#""x""#,
        "{}",
        r#"{"id":"p","version":"1","stage_graph":"v1_minimal","invariants":{}}"#,
        r#"{"id":"p","version":"1","stage_graph":"v1_minimal","invariants":[1]}"#,
        r#"{"id":"p","version":"1","stage_graph":"v1_minimal","invariants":["ledger.chain_valid"]}"#,
        r#"{"id":"\ud800","version":"1","stage_graph":"v1_minimal","invariants":[{"id":"ledger.chain_valid"}]}"#,
        r#"{"\ud800":1,"id":"p","version":"1","stage_graph":"v1_minimal","invariants":[{"id":"ledger.chain_valid"}]}"#,
    ] {
        let value = json::parse(text.as_bytes(), Limits::READ).unwrap();
        assert!(matches!(Policy::from_value(&value), Err(Error::Policy { .. })), "{text}");
    }
}

#[test]
fn hostile_nesting_is_an_error_and_not_a_crash() {
    for depth in [100, 10_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let tables = format!("{}1{}", "{a=".repeat(depth), "}".repeat(depth));
        let dotted = vec!["a"; depth].join(".");
        for text in [
            format!("x = {arrays}"),
            format!("x = {tables}"),
            format!("{dotted} = 1"),
            format!("[{dotted}]\n"),
            format!("[[{dotted}]]\n"),
            format!("x = {}", "[".repeat(depth)),
            format!("x = {}", "{a=".repeat(depth)),
        ] {
            refused(&text);
        }
    }
    // As deep as each limit of the TOML parser lets it: 70 tables, each by a key of 70 parts.
    let key = vec!["a"; 70].join(".");
    let nested = format!("{}1{}", format!("{{{key}=").repeat(70), "}".repeat(70));
    refused(&format!("[{key}]\n{key} = {nested}"));
    // As deep as our own limit lets it.
    let key = vec!["a"; 60].join(".");
    let nested = format!("{}1{}", format!("{{{key}=").repeat(8), "}".repeat(8));
    refused(&format!("x = {nested}"));
}

fn start_of(payload: Object) -> Result<RunStart, Error> {
    RunStart::parse(&canonical::to_bytes(&payload.into(), Limits::READ).unwrap())
}

#[test]
fn a_commitment_reads_back_and_a_forged_one_does_not() {
    let meta = Object::from_iter([("mode", "factual")]);
    let payload = RunStart { commitment: Some(minimal().commitment().unwrap()), meta: meta.clone() }.to_object();
    let read = start_of(payload.clone()).unwrap();
    assert_eq!((read.commitment.unwrap().digest(), read.meta), (minimal().digest().unwrap(), meta));
    assert!(start_of(Object::new()).unwrap().commitment.is_none());

    let commitment = payload.get("commitment").and_then(Value::as_object).unwrap();
    for (key, value) in [
        ("policy", Value::Null),
        ("policy", Policy::structural().unwrap().to_value()),
        ("policy_digest", Value::Null),
        ("policy_digest", Policy::structural().unwrap().digest().unwrap().to_string().into()),
        ("policy_digest", minimal().digest().unwrap().to_string().to_uppercase().into()),
    ] {
        let mut forged = commitment.clone();
        forged.insert(key, value);
        let payload = Object::from_iter([("commitment", forged)]);
        assert!(matches!(start_of(payload.clone()), Err(Error::Policy { .. })), "{key}");
    }
    for commitment in [Value::Null, Value::from("x"), Object::new().into()] {
        assert!(start_of(Object::from_iter([("commitment", commitment)])).is_err());
    }
}
