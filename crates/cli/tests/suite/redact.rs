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

/// A secret that the built-in rules know, and a private key of a ledger; put together here, so that none stands in this file.
fn secrets() -> [String; 3] {
    let token = format!("{}-{}", "sk", "Zq7x".repeat(8));
    let key = format!("PRIVATE+KEY+example.org/log+0a1b2c3d+{}=", "Zq7x".repeat(10));
    [token, key, format!("{}://bob:Zq7xZq7x@db/app", "postgres")]
}

#[test]
fn no_error_repeats_a_secret_that_was_given_in_the_wrong_place() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    for secret in secrets() {
        place.file("secret.txt", secret.as_bytes());
        let (event, named) = (format!("event://{secret}/5"), format!("{secret}/5"));
        let lines: [&[&str]; 22] = [
            &["append", "r", "DECISION", "--ref", &event],
            &["append", "r", "DECISION", "--ref", &named],
            &["append", "r", "DECISION", "--ref", &secret],
            &["append", "r", "DECISION", "--key", &secret],
            &["append", "r", &secret],
            &["append", &secret, "DECISION"],
            &["start", &secret],
            &["show", &secret],
            &["show", &event],
            &["log", &secret],
            &["cat", &secret],
            &["cat", "r", &secret],
            &["put", "r", "k", &secret],
            &["put", "r", "k", "secret.txt", "--class", &secret],
            &["verify", "--vkey", &secret],
            &["verify", "--vkey", "secret.txt", "--checkpoint", "secret.txt"],
            &["verify", "--checkpoint", &secret],
            &["advance", "r", &secret],
            &["import", &secret],
            &["recipients", "add", &secret],
            &["--ledger", &secret, "runs"],
            &[&secret],
        ];
        for (index, line) in lines.iter().enumerate() {
            let line = if index % 2 == 0 { [line, &["--json"][..]].concat() } else { line.to_vec() };
            let out = place.run(&line);
            let said = [out.stdout, out.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains("Zq7xZq7x"), "{line:?} says {said}");
        }
        let ran = place.run(&["exec", "--", &secret]);
        assert!(!String::from_utf8_lossy(&ran.stderr).contains("Zq7xZq7x"), "{ran:?}");
    }
    let files = std::fs::read_dir(place.path().join(".receipt")).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"Zq7xZq7x"), "a secret is in {}", file.display());
    }
}

#[test]
fn evidence_in_parts_is_scanned_and_redacted_as_the_one_text_that_it_is() {
    // Over the border of the two parts that lie before and after 4 MiB.
    let (before, secret) = ("a line of a log\n".repeat((4 << 20) / 16 - 1), "at: badge-1234 and on\n");
    for (what, of) in [("list", "stdout"), ("part", "stdout.part-0001"), ("part", "stdout.part-0002")] {
        let place = Place::with_ledger();
        place.file("ours.toml", OURS.as_bytes());
        place.file("log.txt", format!("{before}0123456{secret}{}", "after it\n".repeat(9)).as_bytes());
        place.ok(&["exec", "--run", "r", "--", "cat", "log.txt"]);
        place.ok(&["rules", "set", "ours.toml"]);
        let found = place.json(1, &["scan"]);
        let findings = found["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{found}");
        assert_eq!((&findings[0]["offset"], &findings[0]["length"]), (&((4 << 20) - 16 + 11).into(), &10.into()));
        let list = findings[0]["ref"].as_str().unwrap().to_owned();
        let at = place.json(0, &["cat", "--raw", "r", of])["ref"].as_str().unwrap().to_owned();
        assert_eq!(at == list, what == "list");
        place.ok(&["redact", &at]);
        let clean = place.ok(&["cat", "r", "stdout"]);
        let wanted = format!("{before}0123456{}", secret.replace("badge-1234", "[REDACTED:badge]"));
        assert!(clean.starts_with(&wanted) && clean.ends_with("after it\n"), "{what}");
        assert_eq!(place.json(0, &["scan"])["findings"].as_array().unwrap().len(), 0);
        assert!(place.ok(&["verify"]).contains("EXPIRED_WITH_RECEIPT"));
        let bytes = std::fs::read(place.ledger_path()).unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"badge-1234"), "no copy is left");
    }
}

#[test]
fn a_secret_in_a_setting_is_found() {
    let place = Place::with_ledger();
    place.file("ours.toml", OURS.as_bytes());
    place.ok(&["start", "r"]);
    place.ok(&["retain", "hold", "r", "because of badge-1234"]);
    place.ok(&["rules", "set", "ours.toml"]);
    let found = place.json(1, &["scan"]);
    assert_eq!(found["findings"][0]["ref"], "setting retention", "{found}");
    assert!(!found.to_string().contains("badge-1234"));
}
