//! The verbs, by what they are for.

use crate::common::Place;

#[test]
fn a_run_from_start_to_end() {
    let place = Place::with_ledger();
    place.whole_run("build-1");
    let runs = place.json(0, &["runs"]);
    assert_eq!(runs["runs"][0]["run_id"], "build-1");
    assert_eq!(runs["runs"][0]["events"], 10);
    assert_eq!(runs["runs"][0]["finalized"], true);
    assert_eq!(runs["runs"][0]["overall_verdict"], "pass");
    let report = place.json(0, &["verify"]);
    assert_eq!(report["overall_verdict"], "pass");
    assert_eq!(report["checks"][0]["check"], "content");
    assert_eq!(place.ok(&["cat", "build-1", "log"]), "all 12 tests passed\n");
    let evaluation = place.json(0, &["evaluate", "@last"]);
    assert_eq!(evaluation["recorded"], false);
    assert_eq!(evaluation["results"].as_array().unwrap().len(), 6);
}

#[test]
fn log_gives_the_exact_envelopes() {
    let place = Place::with_ledger();
    place.whole_run("build-1");
    let log = place.ok(&["log", "build-1", "--json"]);
    assert!(log.contains(r#""payload":{"f":1.0,"n":123456789012345678901234567890,"s":"\ud800"}"#), "{log}");
    assert!(log.starts_with(r#"{"events":[{"actor":"#));
}

#[test]
fn runs_are_named_by_prefix_and_last() {
    let place = Place::with_ledger();
    assert_eq!(place.error(2, &["log", "@last"]), "run_not_found");
    place.ok(&["start", "alpha-1"]);
    place.ok(&["start", "alpha-2"]);
    assert_eq!(place.error(2, &["log", "alpha"]), "run_ambiguous");
    assert_eq!(place.error(2, &["log", "beta"]), "run_not_found");
    assert_eq!(place.json(0, &["advance", "@last", "COLLECT"])["run_id"], "alpha-2");
    assert_eq!(place.json(0, &["log", "alpha-1"])["events"].as_array().unwrap().len(), 1);
}

#[test]
fn an_illegal_step_is_refused_and_not_recorded() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    assert_eq!(place.error(2, &["advance", "r", "FINALIZE"]), "invalid_input");
    assert_eq!(place.json(0, &["log", "r"])["events"].as_array().unwrap().len(), 1);
}

#[test]
fn nothing_follows_the_end() {
    let place = Place::with_ledger();
    place.whole_run("r");
    assert_eq!(place.error(2, &["append", "r", "DECISION"]), "run_finalized");
    assert_eq!(place.error(2, &["put", "r", "k", "log.txt"]), "run_finalized");
    assert_eq!(place.error(2, &["finalize", "r"]), "run_finalized");
    assert_eq!(place.error(2, &["start", "r"]), "run_exists");
}

#[test]
fn append_has_idempotency_keys_and_reserved_types() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    let append = |payload: &'static str| ["append", "r", "DECISION", "--key", "k", "--payload", payload];
    assert_eq!(place.json(0, &append(r#"{"a":1}"#))["repeated"], false);
    assert_eq!(place.json(0, &append(r#"{"a":1}"#))["repeated"], true);
    assert_eq!(place.error(2, &append(r#"{"a":2}"#)), "key_conflict");
    let secret = format!("gh{}_{}", "p", "a1B2c3D4e5F6g7H8i9".repeat(2));
    assert_eq!(place.error(2, &["append", "r", "DECISION", "--key", &secret]), "secret_name");
    assert_eq!(place.error(2, &["start", &secret]), "secret_name");
    assert_eq!(place.error(2, &["append", "r", "EVALUATION"]), "reserved_type");
    assert_eq!(place.error(2, &["append", "r", "GOSSIP"]), "invalid_input");
    assert_eq!(place.error(2, &["append", "r", "DECISION", "--payload", "[1]"]), "invalid_input");
    assert_eq!(place.error(2, &["append", "r", "DECISION", "--payload", "@nowhere.json"]), "io");
    assert_eq!(place.json(0, &["log", "r"])["events"].as_array().unwrap().len(), 2);
}

#[test]
fn exit_status_is_the_verdict() {
    let place = Place::with_ledger();
    place.ok(&["start", "unknown"]);
    place.gives(3, &["finalize", "unknown"]);
    place.ok(&["start", "fail"]);
    place.gives(1, &["finalize", "fail", "--verdict", "fail"]);
    place.ok(&["start", "good"]);
    assert_eq!(place.error(2, &["finalize", "good", "--verdict", "pass"]), "verdict_too_good");
    place.gives(3, &["verify", "--require", "tail"]);
    assert_eq!(place.error(2, &["verify", "--require", "nonsense"]), "invalid_input");
    place.file("bundle.txt", b"x");
    let report = place.command(&["verify", "bundle.txt"]).output().unwrap();
    assert!(String::from_utf8(report.stderr).unwrap().contains("end in .receipt"));
    assert_eq!(place.error(2, &["--bogus"]), "usage");
}

#[test]
fn a_typo_in_the_ledger_makes_no_file() {
    let place = Place::with_ledger();
    for verb in [vec!["runs"], vec!["start", "r"], vec!["verify"]] {
        let args = [verb, vec!["--ledger", "typo.db"]].concat();
        assert_eq!(place.error(4, &args), "ledger_not_found");
    }
    assert!(!place.path().join("typo.db").exists());
    place.file("text.db", b"this is no database, not at all");
    assert_eq!(place.error(4, &["runs", "--ledger", "text.db"]), "not_a_ledger");
    assert_eq!(place.error(2, &["init"]), "file_exists");
}

#[test]
fn cat_refuses_a_tampered_blob() {
    let place = Place::with_ledger();
    place.whole_run("r");
    place.tamper("UPDATE blobs SET data = X'616c6c20313220746573747320706173736564210a', bytes_len = 20");
    let output = place.run(&["cat", "r", "log"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty());
    assert_eq!(place.json(1, &["verify"])["overall_verdict"], "fail");
}

#[test]
fn cat_finds_a_blob_by_its_beginning_and_joins_parts() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    place.file("a", b"one ");
    place.file("b", b"two\n");
    let hashes = ["a", "b"].map(|name| place.json(0, &["put", "r", name, name])["sha256"].as_str().unwrap().to_owned());
    assert_eq!(place.ok(&["cat", &hashes[0][..12]]), "one ");
    assert_eq!(place.ok(&["cat", &format!("blob://sha256:{}", hashes[1])]), "two\n");
    assert_eq!(place.error(2, &["cat", "abc"]), "invalid_input");
    assert_eq!(place.error(2, &["cat", "r", "nope"]), "evidence_not_found");
    let part = |hash: &str| format!(r#"{{"ref":"blob://sha256:{hash}","sha256":"{hash}","bytes_len":4}}"#);
    let manifest = format!(r#"{{"parts":[{},{}],"bytes_len":8}}"#, part(&hashes[0]), part(&hashes[1]));
    place.file("parts", manifest.as_bytes());
    place.ok(&["put", "r", "whole", "parts", "--type", "application/vnd.receipt.parts+json"]);
    assert_eq!(place.ok(&["cat", "r", "whole"]), "one two\n");
    assert_eq!(place.ok(&["cat", "r", "whole", "--raw"]), manifest);
    place.file("c", b"no list");
    place.ok(&["put", "r", "none", "c", "--type", "application/vnd.receipt.parts+json"]);
    let refused = place.json(4, &["cat", "r", "none"]);
    assert_eq!(refused["error"]["kind"], "not_parts");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--raw"), "{refused}");
    assert_eq!(place.ok(&["cat", "r", "none", "--raw"]), "no list");
}

#[test]
fn verify_names_the_event_that_was_changed() {
    let place = Place::with_ledger();
    place.whole_run("r");
    place.tamper("UPDATE events SET envelope_json = replace(envelope_json, 'release', 'destroy') WHERE seq = 8");
    let report = place.gives(1, &["verify"]);
    assert!(report.contains("FAIL    content") && report.contains("event://r/8"), "{report}");
    assert_eq!(place.json(0, &["runs"])["runs"][0]["overall_verdict"], "fail");
    assert!(place.ok(&["log", "r"]).contains("EVENT_HASH_MISMATCH"));
}

#[test]
fn recover_ends_what_was_interrupted() {
    let place = Place::with_ledger();
    place.ok(&["start", "a"]);
    place.ok(&["start", "b"]);
    assert_eq!(place.json(0, &["recover", "a"])["recovered"][0], "a");
    assert_eq!(place.json(0, &["recover", "--all"])["recovered"][0], "b");
    assert_eq!(place.json(0, &["runs"])["runs"][1]["overall_verdict"], "unknown");
    assert_eq!(place.error(2, &["recover", "a"]), "run_finalized");
}

#[test]
fn backup_while_a_writer_is_writing() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    let mut writer = place.command(&["append", "r", "DECISION", "--payload", "@-"]);
    let mut writer = writer.stdin(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(place.json(0, &["backup", "copy.db"])["overall_verdict"], "warn");
    drop(std::io::Write::write_all(&mut writer.stdin.take().unwrap(), b"{}"));
    assert!(writer.wait().unwrap().success());
    assert_eq!(place.error(2, &["backup", "copy.db"]), "file_exists");
    assert_eq!(place.json(0, &["runs", "--ledger", "copy.db"])["runs"][0]["events"], 1);
}

#[test]
fn a_large_file_is_streamed_whole() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    place.file("big.bin", &bytes);
    place.ok(&["put", "r", "big", "big.bin"]);
    assert!(place.run(&["cat", "r", "big"]).stdout == bytes);
}
