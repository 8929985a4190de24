//! Rules, scan and redact from the command line, and that a bad file of rules stops what would record.

use crate::common::Place;

const OURS: &str = "[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n";

#[test]
fn rules_are_shown_checked_set_and_unset() {
    let place = Place::with_ledger();
    let builtin = place.json(0, &["rules"]);
    assert!(builtin["rules"].as_array().unwrap().len() >= 163);
    place.file("ours.toml", OURS.as_bytes());
    place.file("bad.toml", b"off = [\"nothing\"]");
    assert_eq!(place.error(2, &["rules", "check", "bad.toml"]), "rules_invalid");
    assert_eq!(place.error(2, &["rules", "set", "bad.toml"]), "rules_invalid");
    let checked = place.json(0, &["rules", "check", "ours.toml"]);
    assert_ne!(checked["digest"], builtin["digest"]);
    assert_eq!(place.json(0, &["rules"]), builtin);
    assert_eq!(place.json(0, &["--rules", "ours.toml", "rules"]), checked);
    place.ok(&["rules", "set", "ours.toml"]);
    assert_eq!(place.json(0, &["rules"]), checked);
    place.ok(&["rules", "unset"]);
    assert_eq!(place.json(0, &["rules"]), builtin);
}

#[test]
fn with_rules_that_are_not_understood_nothing_is_recorded_and_no_command_runs() {
    let place = Place::with_ledger();
    place.file("bad.toml", b"off = [\"nothing\"]");
    place.file("log.txt", b"badge-1234");
    place.ok(&["start", "r"]);
    let before = place.json(0, &["runs"]);
    for verb in [&["start", "s"][..], &["put", "r", "k", "log.txt"], &["append", "r", "DECISION"], &["scan"]] {
        let args = [&["--rules", "bad.toml"], verb].concat();
        assert_eq!(place.error(2, &args), "rules_invalid", "{verb:?}");
    }
    place.gives(2, &["--rules", "bad.toml", "exec", "--", "touch", "ran"]);
    assert!(!place.path().join("ran").exists());
    assert_eq!(place.json(0, &["runs"]), before);
    assert_ne!(place.error(2, &["--rules", "no-such-file", "start", "s"]), "", "a file that is not there");
}

#[test]
fn what_was_recorded_before_is_found_and_replaced() {
    let place = Place::with_ledger();
    place.file("ours.toml", OURS.as_bytes());
    place.file("log.txt", b"the door opens with badge-1234\n");
    place.ok(&["start", "r"]);
    let blob = place.json(0, &["put", "r", "log", "log.txt"])["ref"].as_str().unwrap().to_owned();
    assert_eq!(place.json(0, &["scan"])["findings"].as_array().unwrap().len(), 0);
    assert_eq!(place.error(2, &["redact", &blob]), "nothing_to_redact");
    place.ok(&["rules", "set", "ours.toml"]);
    let found = place.json(1, &["scan"]);
    assert_eq!((&found["findings"][0]["ref"], &found["findings"][0]["rule"]), (&blob.as_str().into(), &"badge".into()));
    assert_eq!((&found["findings"][0]["offset"], &found["findings"][0]["length"]), (&20.into(), &10.into()));
    let text = place.gives(1, &["scan", "r"]);
    assert!(text.contains("badge, 10 characters at 20") && !text.contains("badge-1234"), "{text}");
    let done = place.json(0, &["redact", &blob]);
    assert_eq!(
        (&done["old"], &done["redactions"], &done["scrubbed"]),
        (&blob.as_str().into(), &1.into(), &true.into())
    );
    assert_eq!(place.ok(&["cat", done["new"].as_str().unwrap()]), "the door opens with [REDACTED:badge]\n");
    assert_eq!(place.error(4, &["cat", &blob]), "blob_unavailable");
    assert_eq!(place.json(0, &["scan"])["findings"].as_array().unwrap().len(), 0);
    place.ok(&["recover", "r"]);
    assert!(place.ok(&["verify"]).contains("EXPIRED_WITH_RECEIPT"));
    assert!(place.ok(&["log", done["run_id"].as_str().unwrap()]).contains("BLOB_EXPIRE"));
}

#[test]
fn rules_of_a_command_hold_for_large_evidence_and_for_commands_too() {
    let place = Place::with_ledger();
    place.file("ours.toml", OURS.as_bytes());
    place.file("large.txt", format!("{}badge-1234\n", "a line of a log\n".repeat(200_000)).as_bytes());
    place.ok(&["start", "r"]);
    let put = place.json(0, &["--rules", "ours.toml", "put", "r", "log", "large.txt"]);
    assert!(place.ok(&["cat", put["ref"].as_str().unwrap()]).ends_with("\n[REDACTED:badge]\n"));
    place.ok(&["--rules", "ours.toml", "exec", "--run", "e", "--", "echo", "badge-1234"]);
    assert_eq!(place.ok(&["cat", "e", "stdout"]), "[REDACTED:badge]\n");
    place.ok(&["rules", "set", "ours.toml"]);
    assert_eq!(place.json(0, &["scan"])["findings"].as_array().unwrap().len(), 0);
}
