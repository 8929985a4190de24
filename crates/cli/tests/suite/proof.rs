//! Keys, checkpoints, proofs and witnesses on the command line.

use crate::common::{Place, RECEIPT};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn keep(place: &Place, file: &str, text: &str) {
    fs::write(place.path().join(file), text).unwrap();
}

/// A ledger with a run and a checkpoint that was kept in `kept.note`; gives the verifier key.
fn signed() -> (Place, String) {
    let place = Place::new();
    place.ok(&["init", "--origin", "example.com/ci"]);
    place.ok(&["exec", "--run", "one", "--", "true"]);
    let vkey = place.ok(&["keygen", "example.com/ci", "ledger.key"]).trim().to_owned();
    keep(&place, "kept.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    (place, vkey)
}

fn verdict(place: &Place, status: i32, args: &[&str], check: &str) -> String {
    let report = place.json(status, args);
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|it| it["check"] == check).unwrap()["verdict"].as_str().unwrap().to_uppercase()
}

#[test]
fn a_key_file_is_its_owners_alone_and_a_bad_key_is_refused() {
    let (place, vkey) = signed();
    let file = place.path().join("ledger.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(vkey.starts_with("example.com/ci+"));
    place.gives(2, &["keygen", "example.com/ci", "ledger.key"]);
    place.ok(&["keygen", "example.com/other", "other.key"]);
    assert_eq!(place.error(2, &["checkpoint", "--key", "other.key"]), "wrong_key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(place.error(2, &["checkpoint", "--key", "ledger.key"]), "invalid_input");
}

#[test]
fn a_key_can_be_encrypted_with_a_passphrase_that_is_never_on_the_command_line() {
    let place = Place::new();
    place.ok(&["init", "--origin", "example.com/ci"]);
    place.ok(&["exec", "--run", "one", "--", "true"]);
    let secret = |name: &str, text: &str, mode| {
        place.file(name, text.as_bytes());
        fs::set_permissions(place.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    secret("phrase", "correct horse battery staple\n", 0o600);
    secret("wrong", "incorrect horse\n", 0o600);
    secret("empty", "\n", 0o600);
    secret("shared", "correct horse battery staple\n", 0o644);
    let with =
        |phrase: &str, args: &[&str]| place.command(args).env("RECEIPT_PASSPHRASE_FILE", phrase).output().unwrap();
    let make = ["keygen", "--encrypt", "example.com/ci", "ledger.key"];
    assert_eq!(with("empty", &make).status.code(), Some(2));
    assert!(!place.path().join("ledger.key").exists());
    assert!(with("phrase", &make).status.success());
    let file = fs::read(place.path().join("ledger.key")).unwrap();
    assert!(file.starts_with(b"age-encryption.org/v1"), "the age program opens it too");
    assert!(!file.windows(11).any(|it| it == b"PRIVATE+KEY"));
    let sign = ["checkpoint", "--key", "ledger.key"];
    for (phrase, status) in [("wrong", 2), ("empty", 2), ("shared", 2), ("nowhere", 2), ("phrase", 0)] {
        let output = with(phrase, &sign);
        assert_eq!(output.status.code(), Some(status), "{phrase}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("horse"), "a passphrase was shown");
    }
    // Without a file and without a terminal there is nobody to ask.
    let output = place.alone("setsid").arg("--wait").arg(RECEIPT).args(sign).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("RECEIPT_PASSPHRASE_FILE"), "{output:?}");
}

#[test]
fn a_link_is_no_key_file() {
    let (place, _) = signed();
    std::os::unix::fs::symlink("ledger.key", place.path().join("link.key")).unwrap();
    place.gives(2, &["checkpoint", "--key", "link.key"]);
    place.ok(&["checkpoint", "--key", "ledger.key"]);
    std::os::unix::fs::symlink("nowhere.key", place.path().join("dangling.key")).unwrap();
    place.gives(2, &["keygen", "example.com/ci", "dangling.key"]);
    assert!(!place.path().join("nowhere.key").exists());
}

/// Whoever holds the file can do what `retain` does, and nothing in the file tells the two apart.
#[test]
fn a_removal_that_a_kept_checkpoint_does_not_cover_is_warned_of_until_a_new_one_is_signed() {
    let (place, vkey) = signed();
    let verify = ["verify", "--checkpoint", "kept.note", "--vkey", &vkey];
    assert!(!place.ok(&verify).contains("EXPIRY_NOT_ANCHORED"), "the control");
    place.ok(&["retain", "set", "--public", "0s"]);
    place.ok(&["retain"]);
    for _ in 0..2 {
        let said = place.ok(&verify);
        assert!(said.contains("WARN    evidence") && said.contains("EXPIRY_NOT_ANCHORED"), "{said}");
    }
    keep(&place, "kept.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    assert!(!place.ok(&verify).contains("EXPIRY_NOT_ANCHORED"));
}

#[test]
fn a_checkpoint_kept_outside_shows_an_older_copy_and_another_key() {
    let (place, vkey) = signed();
    fs::copy(place.path().join(".receipt/ledger.db"), place.path().join("old.db")).unwrap();
    place.ok(&["exec", "--run", "two", "--", "true"]);
    keep(&place, "newer.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    for file in ["kept.note", "newer.note"] {
        let args = ["verify", "--checkpoint", file, "--vkey", &vkey, "--require", "tail,runs,rollback,key"];
        assert_eq!(verdict(&place, 0, &args, "rollback"), "PASS");
    }
    place.gives(3, &["verify", "--require", "all"]);
    let old = ["verify", "--ledger", "old.db", "--checkpoint", "newer.note", "--vkey", &vkey];
    assert_eq!(verdict(&place, 1, &old, "rollback"), "FAIL");
    let other = place.ok(&["keygen", "example.com/ci", "forged.key"]).trim().to_owned();
    let forged = ["verify", "--checkpoint", "kept.note", "--vkey", &other];
    assert_eq!(verdict(&place, 1, &forged, "key"), "FAIL");
    let wrong = format!("one=1:sha256:{}", "0".repeat(64));
    assert_eq!(verdict(&place, 1, &["verify", "--expect", &wrong], "key"), "FAIL");
    assert_eq!(verdict(&place, 1, &["verify", "--expect", &wrong.replace("one", "gone")], "runs"), "FAIL");
    place.gives(2, &["verify", "--expect", "one"]);
}

#[test]
fn a_witness_cosigns_what_grew_and_nothing_else() {
    let (place, vkey) = signed();
    let witness = place.ok(&["keygen", "--witness", "example.com/w", "witness.key"]).trim().to_owned();
    let ask = |status, files: &[&str]| {
        let args = ["witness", "--key", "witness.key", "--log", &vkey, "--state", "seen.note"];
        place.gives(status, &[&args, files].concat())
    };
    keep(&place, "policy", &format!("log {vkey}\nwitness w {witness}\nquorum w\n"));
    ask(0, &["kept.note"]);
    place.ok(&["exec", "--run", "two", "--", "true"]);
    keep(&place, "newer.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    keep(&place, "proof", &place.ok(&["prove", "--from", "kept.note"]));
    let policy = ["verify", "--checkpoint", "newer.note", "--witness-policy", "policy"];
    assert_eq!(verdict(&place, 3, &policy, "fork"), "UNKNOWN");
    ask(1, &["newer.note"]);
    keep(&place, "cosigned.note", &ask(0, &["newer.note", "proof"]));
    let policy = ["verify", "--checkpoint", "cosigned.note", "--witness-policy", "policy"];
    assert_eq!(verdict(&place, 0, &policy, "fork"), "PASS");
    ask(1, &["kept.note"]);
    // Another history of the same size, under the same key.
    place.ok(&["init", "--ledger", "fork.db", "--origin", "example.com/ci"]);
    for run in ["three", "four"] {
        place.ok(&["exec", "--ledger", "fork.db", "--run", run, "--", "true"]);
    }
    keep(&place, "fork.note", &place.ok(&["checkpoint", "--ledger", "fork.db", "--key", "ledger.key"]));
    ask(1, &["fork.note"]);
    let fork = ["verify", "--ledger", "fork.db", "--checkpoint", "cosigned.note", "--witness-policy", "policy"];
    assert_eq!(verdict(&place, 1, &fork, "key"), "FAIL");
}

#[test]
fn a_witness_shows_both_heads_and_keeps_what_it_saw() {
    let (place, vkey) = signed();
    place.ok(&["keygen", "--witness", "example.com/w", "witness.key"]);
    let ask = |files: &[&str]| {
        let args = ["witness", "--key", "witness.key", "--log", &vkey, "--state", "seen/state.note"];
        let output = place.command(&[&args, files].concat()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    fs::create_dir(place.path().join("seen")).unwrap();
    let state = place.path().join("seen/state.note");
    place.ok(&["exec", "--run", "two", "--", "true"]);
    keep(&place, "newer.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    let (status, cosigned, _) = ask(&["newer.note"]);
    assert_eq!((status, fs::read_to_string(&state).unwrap()), (Some(0), cosigned.clone()));
    let head = |file: &str| {
        let text = fs::read_to_string(place.path().join(file)).unwrap();
        let lines: Vec<&str> = text.lines().take(3).collect();
        format!("example.com/ci size {} root ", lines[1])
    };
    // Smaller than what it saw, then a fork of it.
    place.ok(&["init", "--ledger", "fork.db", "--origin", "example.com/ci"]);
    place.ok(&["exec", "--ledger", "fork.db", "--run", "other", "--", "true"]);
    for _ in 0..2 {
        place.ok(&["exec", "--ledger", "fork.db", "--", "true"]);
    }
    keep(&place, "fork.note", &place.ok(&["checkpoint", "--ledger", "fork.db", "--key", "ledger.key"]));
    for file in ["kept.note", "fork.note"] {
        let (status, shown, said) = ask(&[file]);
        assert_eq!((status, shown.as_str()), (Some(1), ""));
        assert!(said.contains(&format!("seen  {}", head("newer.note"))), "{said}");
        assert!(said.contains(&format!("asked {}", head(file))), "{said}");
        assert_eq!(fs::read_to_string(&state).unwrap(), cosigned, "a refusal changes nothing");
    }
    // A new state takes the place of the old file, and no other file is left beside it.
    let before = fs::metadata(&state).unwrap().ino();
    place.ok(&["exec", "--run", "three", "--", "true"]);
    keep(&place, "newest.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    keep(&place, "proof", &place.ok(&["prove", "--from", "newer.note"]));
    let (status, cosigned, said) = ask(&["newest.note", "proof"]);
    assert_eq!((status, fs::read_to_string(&state).unwrap()), (Some(0), cosigned), "{said}");
    assert_ne!(fs::metadata(&state).unwrap().ino(), before);
    assert_eq!(fs::read_dir(place.path().join("seen")).unwrap().count(), 1);
}

#[test]
fn a_new_key_takes_over_beside_the_old_one_and_an_interval_makes_none() {
    let (place, old) = signed();
    let kept = fs::read_to_string(place.path().join("kept.note")).unwrap();
    place.ok(&["exec", "--run", "two", "--", "true"]);
    assert_eq!(place.ok(&["checkpoint", "--key", "ledger.key", "--interval", "3600"]), kept);
    let new = place.ok(&["keygen", "example.com/ci", "new.key"]).trim().to_owned();
    assert_eq!(place.error(2, &["checkpoint", "--key", "new.key"]), "wrong_key");
    let both = place.ok(&["checkpoint", "--key", "new.key", "--previous", "ledger.key"]);
    assert_ne!(both, kept);
    keep(&place, "both.note", &both);
    for key in [&old, &new] {
        let args = ["verify", "--checkpoint", "both.note", "--vkey", key, "--require", "key,rollback"];
        assert_eq!(verdict(&place, 0, &args, "key"), "PASS");
    }
    place.ok(&["exec", "--run", "three", "--", "true"]);
    assert_eq!(place.error(2, &["checkpoint", "--key", "ledger.key"]), "wrong_key");
    keep(&place, "after.note", &place.ok(&["checkpoint", "--key", "new.key", "--interval", "0"]));
    let args = |key| ["verify", "--no-pin", "--checkpoint", "after.note", "--vkey", key];
    assert_eq!(verdict(&place, 0, &args(&new), "key"), "PASS");
    assert_ne!(place.command(&args(&old)).output().unwrap().status.code(), Some(0), "it is not signed with that");
}

#[test]
fn an_event_and_a_run_are_proved() {
    let (place, _) = signed();
    for what in ["one/2", "event://one/2", "one", "@last"] {
        let proof = place.ok(&["prove", what]);
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
        assert!(proof.contains(fs::read_to_string(place.path().join("kept.note")).unwrap().as_str()));
    }
    place.ok(&["exec", "--run", "two", "--", "true"]);
    assert_eq!(place.error(2, &["prove", "two/1"]), "not_logged");
    assert_eq!(place.error(2, &["prove", "two"]), "not_logged");
}

#[test]
fn what_to_type_is_said_by_the_command_and_not_by_the_library() {
    let (place, vkey) = signed();
    place.ok(&["exec", "--run", "two", "--", "true"]);
    assert!(place.gives(3, &["verify", "--no-pin", "--vkey", &vkey]).contains("; --checkpoint FILE gives one"));
    let report = place.json(3, &["verify", "--no-pin", "--vkey", &vkey]).to_string();
    assert!(report.contains("NO_CHECKPOINT") && !report.contains("--checkpoint"), "{report}");
    let told = place.run(&["prove", "two"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("`receipt checkpoint --key FILE`"), "{told:?}");
}

#[test]
fn what_was_verified_once_is_missed_the_next_time() {
    let place = Place::new();
    place.ok(&["exec", "--run", "one", "--", "true"]);
    fs::copy(place.path().join(".receipt/ledger.db"), place.path().join("old.db")).unwrap();
    place.ok(&["exec", "--run", "two", "--", "true"]);
    assert_eq!(verdict(&place, 0, &["verify", "--no-pin"], "tail"), "UNKNOWN");
    assert_eq!(place.ok(&["pin", "list"]), "");
    assert_eq!(verdict(&place, 0, &["verify"], "tail"), "UNKNOWN");
    assert_eq!(verdict(&place, 0, &["verify"], "tail"), "PASS");
    place.ok(&["exec", "--run", "three", "--", "true"]);
    assert_eq!(verdict(&place, 0, &["verify"], "rollback"), "PASS");
    fs::copy(place.path().join("old.db"), place.path().join(".receipt/ledger.db")).unwrap();
    for _ in 0..2 {
        assert_eq!(verdict(&place, 1, &["verify"], "rollback"), "FAIL");
    }
    assert_eq!(verdict(&place, 0, &["verify", "--no-pin"], "rollback"), "UNKNOWN");
    place.ok(&["pin", "forget", ".receipt/ledger.db"]);
    place.gives(2, &["pin", "forget", ".receipt/ledger.db"]);
    assert_eq!(verdict(&place, 0, &["verify"], "rollback"), "UNKNOWN");
}

#[test]
fn the_drill_commits_every_act_and_each_is_seen() {
    // Where there is nothing to tamper with, nothing was missed.
    assert!(Place::with_ledger().ok(&["drill"]).contains("(not possible here)"));
    let (place, _) = signed();
    place.ok(&["exec", "--run", "two", "--", "echo", "hello"]);
    let before = place.ok(&["log", "one", "--json"]);
    let drill = place.json(0, &["drill"]);
    let acts = drill["acts"].as_array().unwrap();
    assert_eq!(acts.len(), 34);
    for act in acts {
        assert_eq!((&act["committed"], &act["as_expected"]), (&true.into(), &true.into()), "{act}");
    }
    assert_eq!(acts[0]["failed"].as_array().unwrap().len(), 0, "the control: an unharmed copy");
    assert!(acts[1..].iter().all(|act| !act["failed"].as_array().unwrap().is_empty()));
    assert_eq!(place.ok(&["log", "one", "--json"]), before);
    assert!(place.ok(&["drill"]).contains("a run removed"));
}

#[test]
fn a_proof_file_is_checked_with_no_ledger_at_hand() {
    let (place, vkey) = signed();
    keep(&place, "event.json", &place.ok(&["show", "one/2", "--json"]));
    keep(&place, "proof.txt", &place.ok(&["prove", "one/2"]));
    place.ok(&["exec", "--run", "two", "--", "true"]);
    keep(&place, "newer.note", &place.ok(&["checkpoint", "--key", "ledger.key"]));
    keep(&place, "grown.txt", &place.ok(&["prove", "--from", "kept.note"]));
    let witness = place.ok(&["keygen", "--witness", "example.com/w", "witness.key"]).trim().to_owned();
    keep(&place, "policy", &format!("log {vkey}\nwitness w {witness}\nquorum w\n"));
    let stranger = place.ok(&["keygen", "example.com/ci", "stranger.key"]).trim().to_owned();
    let other = Place::new();
    for file in ["event.json", "proof.txt", "grown.txt", "kept.note", "newer.note", "policy"] {
        fs::copy(place.path().join(file), other.path().join(file)).unwrap();
    }
    let event = fs::read_to_string(other.path().join("event.json")).unwrap();
    keep(&other, "edited.json", &event.replace("\"seq\":2", "\"seq\":3"));
    let hash = serde_json::from_str::<serde_json::Value>(&event).unwrap()["event_hash"].as_str().unwrap().to_owned();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let log = |status, args: &[&str]| verdict(&other, status, &[&["verify", "--proof"], args].concat(), "log");
    for (status, event, key, wanted) in [
        (0, "event.json", Some(&vkey), "PASS"),
        (0, &hash, Some(&vkey), "PASS"),
        (3, &hash, None, "UNKNOWN"),
        (1, &hash, Some(&stranger), "FAIL"),
        (1, &zeros, Some(&vkey), "FAIL"),
        // The file still claims the hash of the event that it was.
        (1, "edited.json", Some(&vkey), "FAIL"),
    ] {
        let key = key.map_or(vec![], |key| vec!["--vkey", key]);
        assert_eq!(log(status, &[&["proof.txt", "--event", event], &key[..]].concat()), wanted, "{event}");
    }
    assert_eq!(log(0, &["grown.txt", "--checkpoint", "kept.note", "--vkey", &vkey]), "PASS");
    assert_eq!(log(1, &["grown.txt", "--checkpoint", "newer.note", "--vkey", &vkey]), "FAIL");
    assert_eq!(log(1, &["grown.txt", "--checkpoint", "kept.note", "--vkey", &stranger]), "FAIL");
    let witnessed = ["verify", "--proof", "proof.txt", "--event", &hash, "--vkey", &vkey, "--witness-policy", "policy"];
    assert_eq!(verdict(&other, 3, &witnessed, "fork"), "UNKNOWN");
    let cosigned = place.ok(&["witness", "--key", "witness.key", "--log", &vkey, "--state", "seen", "kept.note"]);
    let proof = fs::read_to_string(other.path().join("proof.txt")).unwrap();
    let bare = fs::read_to_string(other.path().join("kept.note")).unwrap();
    assert!(proof.contains(&bare));
    keep(&other, "proof.txt", &proof.replace(&bare, &cosigned));
    assert_eq!(verdict(&other, 0, &witnessed, "fork"), "PASS");
    for wrong in [
        &["proof.txt"][..],
        &["proof.txt", "--event", &hash, "--checkpoint", "kept.note"],
        &["kept.note", "--event", &hash],
        &["gone.txt", "--event", &hash],
        &["proof.txt", "--event", "gone.json"],
        &["proof.txt", "--event", &hash, "--require", "log"],
    ] {
        other.gives(2, &[&["verify", "--proof"], wrong].concat());
    }
}

#[test]
fn a_key_of_the_wrong_kind_is_refused_where_another_is_asked_for() {
    let (place, vkey) = signed();
    let witness = place.ok(&["keygen", "--witness", "example.com/ci", "witness.key"]).trim().to_owned();
    place.gives(2, &["verify", "--vkey", &witness]);
    place.gives(2, &["witness", "--key", "ledger.key", "--log", &vkey, "--state", "seen", "kept.note"]);
    place.gives(2, &["witness", "--key", "witness.key", "--log", &witness, "--state", "seen", "kept.note"]);
}

#[test]
fn what_is_expected_of_a_run_that_was_not_named_is_read_too() {
    let (place, _) = signed();
    place.ok(&["exec", "--run", "two", "--", "true"]);
    let first = serde_json::from_str::<serde_json::Value>(&place.ok(&["show", "one/1", "--json"])).unwrap();
    let expect = format!("one=1:{}", first["event_hash"].as_str().unwrap());
    let args = ["verify", "two", "--expect", &expect];
    assert_eq!(verdict(&place, 0, &args, "content"), "PASS");
    assert_eq!(place.json(0, &args)["runs"], 2);
    let beyond = expect.replace("one=1:", "one=99:");
    assert_eq!(verdict(&place, 1, &["verify", "two", "--expect", &beyond], "tail"), "FAIL");
}

/// Every log adds to an empty one: such a proof says nothing of what came before.
#[test]
fn a_proof_from_a_checkpoint_of_no_events_settles_nothing() {
    let place = Place::with_ledger();
    let vkey = place.ok(&["keygen", "example.com/ci", "ledger.key"]);
    let vkey = vkey.trim();
    let empty = place.ok(&["checkpoint", "--key", "ledger.key"]);
    place.file("empty.note", empty.as_bytes());
    place.whole_run("one");
    let some = place.ok(&["checkpoint", "--key", "ledger.key"]);
    place.file("some.note", some.as_bytes());
    place.ok(&["start", "two"]);
    place.ok(&["checkpoint", "--key", "ledger.key"]);
    for (status, from) in [(3, "empty.note"), (0, "some.note")] {
        let grown = place.ok(&["prove", "--from", from]);
        place.file("grown.txt", grown.as_bytes());
        let report = place.json(status, &["verify", "--proof", "grown.txt", "--checkpoint", from, "--vkey", vkey]);
        let says = report.to_string().contains("EMPTY_ANCHOR");
        assert_eq!(says, status == 3, "{from}: {report}");
    }
}
