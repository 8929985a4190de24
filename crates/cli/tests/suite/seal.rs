//! Sealed evidence: encrypted before it is stored, opened by its owner and by nobody else, here and with other programs.

use crate::common::Place;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key that is in no use: its private half stands here.
const IDENTITY: &str = concat!("AGE-SECRET", "-KEY-");

const SECRET: &str = "what nobody else is to read\n";

/// The ending that stands behind the evidence: 1 line feed, 14 and 1, 64 and 1, 64 and 1.
const TRAILER: usize = 146;

/// The `age` programs, where they are installed.
fn age() -> bool {
    let there = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if there("age") && there("age-keygen") {
        return true;
    }
    eprintln!("SKIPPED: tests against the age program: it is not installed (apt-get install age)");
    false
}

/// Makes a key with age-keygen, and gives its public half.
fn keygen(place: &Place, name: &str) -> String {
    let path = place.path().join(name);
    assert!(Command::new("age-keygen").arg("-o").arg(&path).output().unwrap().status.success());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(IDENTITY));
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
}

fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())).collect()
}

fn put_sealed(place: &Place, run: &str, data: &str) {
    place.file("data.txt", data.as_bytes());
    place.ok(&["start", run]);
    place.ok(&["put", run, "dump", "data.txt", "--class", "sealed"]);
    place.ok(&["recover", run]);
    fs::remove_file(place.path().join("data.txt")).unwrap();
}

#[test]
fn sealed_evidence_without_a_recipient_is_refused_with_the_remedy_and_nothing_is_stored() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    for size in [1, 100_000] {
        place.file("data.txt", SECRET.repeat(size).as_bytes());
        let output = place.run(&["put", "r", "dump", "data.txt", "--class", "sealed"]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("receipt recipients add"), "{text}");
    }
    assert_eq!(files_with(&place.path().join(".receipt"), "nobody else"), [""; 0].map(PathBuf::from));
    assert_eq!(place.json(0, &["verify"])["blobs"], 0);
}

#[test]
fn what_is_no_public_key_is_refused() {
    let place = Place::with_ledger();
    for key in ["", "age1", "bob", "ssh-ed25519 AAAA", "ssh-dss AAAA", &format!("{IDENTITY}1QQQ")] {
        let kind = place.error(2, &["recipients", "add", key]);
        assert!(kind == "bad_recipient" || kind == "no_recipient", "{key}: {kind}");
    }
    assert_eq!(place.json(0, &["recipients"])["recipients"].as_array().unwrap().len(), 0);
}

#[test]
fn sealed_evidence_is_stored_encrypted_verifies_without_a_key_and_is_opened_with_one() {
    if !age() {
        return;
    }
    let place = Place::with_ledger();
    let (key, other) = (keygen(&place, "key.txt"), keygen(&place, "other.txt"));
    place.ok(&["recipients", "add", &key]);
    for (run, count) in [("small", 1), ("large", 200_000)] {
        put_sealed(&place, run, &SECRET.repeat(count));
        assert_eq!(files_with(&place.path().join(".receipt"), "nobody else"), [""; 0].map(PathBuf::from));
        let sealed = place.run(&["cat", run, "dump"]).stdout;
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
        let opened = place.ok(&["cat", run, "dump", "--identity", "key.txt"]);
        assert!(opened == SECRET.repeat(count));
        assert_eq!(place.error(2, &["cat", run, "dump", "-i", "other.txt"]), "not_opened");
        // The same with the program.
        place.file("sealed.age", &sealed);
        let program = |key: &str| {
            let mut command = Command::new("age");
            command.args(["-d", "-i", key, "sealed.age"]).current_dir(place.path()).output().unwrap()
        };
        let plain = program("key.txt");
        assert!(plain.status.success());
        assert!(plain.stdout[..plain.stdout.len() - TRAILER] == *SECRET.repeat(count).as_bytes());
        let ending = String::from_utf8(plain.stdout[plain.stdout.len() - TRAILER..].to_vec()).unwrap();
        assert!(ending.starts_with("\nreceipt-seal-1 ") && ending.ends_with('\n'), "{ending:?}");
        assert!(!program("other.txt").status.success());
    }
    let wrong = place.json(2, &["cat", "small", "dump", "-i", "other.txt"]);
    assert!(wrong["error"]["msg"].as_str().unwrap().contains("sealed to other keys"), "{wrong}");
    assert!(wrong["error"]["hint"].as_str().unwrap().contains("receipt show"), "{wrong}");
    place.file("public.txt", b"public");
    place.ok(&["start", "public"]);
    place.ok(&["put", "public", "k", "public.txt"]);
    let public = place.json(2, &["cat", "public", "k", "-i", "key.txt"]);
    assert!(public["error"]["msg"].as_str().unwrap().contains("it is not sealed"), "{public}");
    place.ok(&["recover", "public"]);
    assert_eq!(place.error(2, &["cat", "small", "dump", "-i", "missing.txt"]), "io");
    place.file("nonsense.txt", b"nonsense\n");
    assert_eq!(place.error(2, &["cat", "small", "dump", "-i", "nonsense.txt"]), "bad_identity");
    assert!(place.ok(&["log", "small"]).contains("sealed") || place.ok(&["show", "small/2"]).contains(&key));
    assert!(!place.ok(&["show", "small/2"]).contains(&other));
    place.ok(&["verify"]);
}

#[test]
fn the_same_evidence_sealed_twice_has_two_addresses_and_two_commitments() {
    if !age() {
        return;
    }
    let place = Place::with_ledger();
    let key = keygen(&place, "key.txt");
    place.ok(&["recipients", "add", &key]);
    put_sealed(&place, "a", SECRET);
    put_sealed(&place, "b", SECRET);
    let blobs = |run| place.run(&["cat", run, "dump"]).stdout;
    assert_ne!(blobs("a"), blobs("b"));
    place.ok(&["cat", "a", "dump", "-i", "key.txt"]);
    // A file of age's own opens with the key, but nobody sealed it here.
    place.file("plain.txt", SECRET.as_bytes());
    let age = Command::new("age").args(["-r", &key, "-o", "own.age", "plain.txt"]).current_dir(place.path()).output();
    assert!(age.unwrap().status.success());
    place.ok(&["start", "c"]);
    place.ok(&["put", "c", "dump", "own.age"]);
    assert_eq!(place.error(2, &["cat", "c", "dump", "-i", "key.txt"]), "not_opened");
}

#[test]
fn evidence_is_sealed_to_ssh_keys_too() {
    for (kind, bits) in [("ed25519", "256"), ("rsa", "2048")] {
        let place = Place::with_ledger();
        let keygen = |name: &str, passphrase: &str| {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-b", bits, "-N", passphrase, "-f", name]).current_dir(place.path());
            keygen.output().is_ok_and(|output| output.status.success())
        };
        if !keygen("id", "") {
            eprintln!("SKIPPED: sealing to SSH keys: ssh-keygen is not installed (apt-get install openssh-client)");
            return;
        }
        place.ok(&["recipients", "add", "--file", "id.pub"]);
        put_sealed(&place, "r", SECRET);
        assert_eq!(place.ok(&["cat", "r", "dump", "-i", "id"]), SECRET);
        assert!(keygen("other", "") && keygen("locked", "passphrase"));
        assert_eq!(place.error(2, &["cat", "r", "dump", "-i", "other"]), "not_opened");
        assert_eq!(place.error(2, &["cat", "r", "dump", "-i", "id.pub"]), "bad_identity");
        let locked = place.json(2, &["cat", "r", "dump", "-i", "locked"]);
        assert!(locked["error"]["msg"].as_str().unwrap().contains("passphrase"), "{locked}");
        if age() {
            place.file("sealed.age", &place.run(&["cat", "r", "dump"]).stdout);
            let opened = Command::new("age").args(["-d", "-i", "id", "sealed.age"]).current_dir(place.path()).output();
            assert!(opened.unwrap().stdout.starts_with(SECRET.as_bytes()));
        }
    }
}

#[test]
fn a_period_is_destroyed_with_its_key_and_the_receipt_names_what_was_lost() {
    if !age() {
        return;
    }
    let place = Place::with_ledger();
    let (october, november) = (keygen(&place, "10.txt"), keygen(&place, "11.txt"));
    place.ok(&["recipients", "add", &october]);
    put_sealed(&place, "first", SECRET);
    place.ok(&["recipients", "add", &november]);
    put_sealed(&place, "both", SECRET);
    place.ok(&["recipients", "remove", &october]);
    put_sealed(&place, "last", SECRET);
    fs::remove_file(place.path().join("10.txt")).unwrap();
    let done = place.json(0, &["shred", &october, "the period is over"]);
    assert_eq!((&done["lost"], &done["open_to_others"]), (&1.into(), &1.into()));
    let run = done["run_id"].as_str().unwrap();
    let receipt = place.ok(&["show", &format!("{run}/6")]);
    assert!(receipt.contains(&october) && receipt.contains("blob://sha256:"), "{receipt}");
    assert_eq!(place.error(2, &["cat", "first", "dump", "-i", "11.txt"]), "not_opened");
    assert_eq!(place.ok(&["cat", "both", "dump", "-i", "11.txt"]), SECRET);
    assert_eq!(place.ok(&["cat", "last", "dump", "-i", "11.txt"]), SECRET);
    assert_eq!(place.error(2, &["shred", "age1nobody", "x"]), "bad_recipient");
    assert_eq!(place.error(2, &["shred", &november, " "]), "invalid_input", "without a reason");
    // A key of SSH is the same with a comment.
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    place.ok(&["recipients", "add", &format!("{ssh} bob@example.org")]);
    put_sealed(&place, "commented", SECRET);
    place.ok(&["recipients", "remove", &format!("{ssh} bob@example.org")]);
    assert_eq!(place.json(0, &["shred", &format!("{ssh}  bob"), "left"])["open_to_others"], 1);
    place.ok(&["verify"]);
    // Shredding the last one leaves nobody to seal to.
    // With it goes what both could open: of the other key it is on record that it is gone.
    let last = place.json(0, &["shred", &november, "the period is over"]);
    assert_eq!((&last["lost"], &last["open_to_others"]), (&3.into(), &0.into()));
    assert_eq!(place.error(2, &["recipients", "add", &november]), "bad_recipient", "it is on record as destroyed");
    place.ok(&["start", "more"]);
    place.file("data.txt", b"x");
    assert_eq!(place.error(2, &["put", "more", "k", "data.txt", "--class", "sealed"]), "no_recipient");
}

#[test]
fn sealed_evidence_travels_in_a_bundle_and_is_opened_where_it_arrives() {
    if !age() {
        return;
    }
    let place = Place::with_ledger();
    let key = keygen(&place, "key.txt");
    place.ok(&["recipients", "add", &key]);
    put_sealed(&place, "r", SECRET);
    assert_eq!(place.json(0, &["export", "r", "-o", "r.receipt"])["sealed"], 1);
    let bundle = fs::read_to_string(place.path().join("r.receipt")).unwrap();
    assert!(bundle.contains("\"evidence_class\":\"sealed\",\"sha256\"") && !bundle.contains("nobody else"));
    // A stranger verifies it without a key; whoever has the key imports it and opens it.
    let other = Place::with_ledger();
    other.file("r.receipt", bundle.as_bytes());
    assert!(other.ok(&["verify", "-v", "r.receipt"]).contains("PASS    evidence"));
    other.ok(&["import", "r.receipt"]);
    assert_eq!(other.error(2, &["cat", "r", "dump", "-i", "r.receipt"]), "bad_identity");
    fs::copy(place.path().join("key.txt"), other.path().join("key.txt")).unwrap();
    assert_eq!(other.ok(&["cat", "r", "dump", "-i", "key.txt"]), SECRET);
    // Or it stays at home.
    let withheld = place.json(0, &["export", "r", "-o", "without.receipt", "--withhold", "dump"]);
    assert_eq!((&withheld["sealed"], &withheld["withheld"]), (&0.into(), &1.into()));
    assert!(place.gives(3, &["verify", "without.receipt"]).contains("EVIDENCE_WITHHELD"));
}

#[test]
fn what_a_command_says_is_sealed_or_the_command_does_not_start() {
    let place = Place::with_ledger();
    let command = ["exec", "--run", "r", "--class", "sealed", "--output", "out.txt", "--"];
    let shell = ["sh", "-c", "echo nobody else; echo nobody else | tee out.txt >&2"];
    let all: Vec<&str> = command.iter().chain(&shell).copied().collect();
    let output = place.run(&all);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("receipt recipients add"), "{text}");
    assert!(!place.path().join("out.txt").exists(), "the command was started");
    if !age() {
        return;
    }
    let key = keygen(&place, "id.txt");
    place.ok(&["recipients", "add", &key]);
    assert!(place.run(&all).status.success());
    let command = place.json(0, &["cat", "r", "command"]).to_string();
    assert!(!command.is_empty());
    for key in ["stdout", "stderr", "output:out.txt"] {
        assert_eq!(place.ok(&["cat", "r", key, "--identity", "id.txt"]), "nobody else\n");
    }
    place.ok(&["verify", "r"]);
}

#[test]
fn sealed_output_in_parts_is_opened_as_one_and_each_part_is_an_age_file() {
    if !age() {
        return;
    }
    let place = Place::with_ledger();
    let (key, _) = (keygen(&place, "id.txt"), keygen(&place, "other.txt"));
    place.ok(&["recipients", "add", &key]);
    place.ok(&["exec", "--run", "r", "--class", "sealed", "--", "seq", "1", "400000"]);
    let wanted: String = (1..=400_000).flat_map(|line| [line.to_string(), "\n".to_owned()]).collect();
    assert!(place.ok(&["cat", "r", "stdout", "--identity", "id.txt"]) == wanted);
    let document = place.json(0, &["cat", "r", "stdout", "--identity", "id.txt"]);
    assert_eq!(document["bytes_len"], wanted.len());
    // One after the other they are no age file.
    let refused = place.json(2, &["cat", "r", "stdout"]);
    assert_eq!(refused["error"]["kind"], "sealed_parts");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--identity"), "{refused}");
    let part = place.ok(&["cat", "r", "stdout.part-0002", "-i", "id.txt"]);
    assert!(wanted.contains(&part) && part.len() > 1 << 19);
    assert!(place.ok(&["cat", "r", "stdout", "--raw"]).contains("\"parts\""));
    // Nothing is written of a whole of which a part does not open, or was changed.
    let wrong = place.run(&["cat", "r", "stdout", "-i", "other.txt"]);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(2), 0));
    let last = "(SELECT json_extract(envelope_json, '$.payload.evidence.sha256') FROM events WHERE json_extract(envelope_json, \
                '$.payload.key') LIKE 'stdout.part-%' ORDER BY seq DESC LIMIT 1)";
    place.tamper(&format!("UPDATE blobs SET data = zeroblob(bytes_len) WHERE sha256 = {last}"));
    let changed = place.run(&["cat", "r", "stdout", "-i", "id.txt"]);
    assert_eq!((changed.status.code(), changed.stdout.len()), (Some(4), 0));
}
