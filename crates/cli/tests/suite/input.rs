//! Files that the command line names: each is read up to a limit, and nothing waits for a pipe where a file is expected.

use crate::common::Place;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The output of a command, which must not wait.
fn at_once(place: &Place, args: &[&str]) -> Output {
    let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("{args:?} waits");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Each way to name a file that is read whole; `FILE` stands for it.
const READERS: [&[&str]; 19] = [
    &["--rules", "FILE", "put", "r", "k", "text"],
    &["--rules", "FILE", "scan"],
    &["rules", "check", "FILE"],
    &["rules", "set", "FILE"],
    &["start", "s", "--policy", "FILE"],
    &["start", "s", "--meta", "@FILE"],
    &["evaluate", "r", "--policy", "FILE"],
    &["exec", "--policy", "FILE", "--", "touch", "ran"],
    &["append", "r", "DECISION", "--payload", "@FILE"],
    &["verify", "--vkey", "FILE"],
    &["verify", "--checkpoint", "FILE"],
    &["verify", "--witness-policy", "FILE"],
    &["verify", "--proof", "FILE", "--event", "FILE"],
    &["export", "r", "-o", "out.receipt", "--proof", "FILE"],
    &["prove", "--from", "FILE"],
    &["cat", "r", "k", "-i", "FILE"],
    &["cat", "r", "k", "--identity", "FILE"],
    &["recipients", "add", "--file", "FILE"],
    &["checkpoint", "--key", "FILE"],
];

#[test]
fn what_is_read_whole_has_a_limit_and_is_a_plain_file() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    place.ok(&["advance", "r", "COLLECT"]);
    place.file("text", b"text\n");
    place.ok(&["put", "r", "k", "text"]);
    let path = |name: &str| place.path().join(name);
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    // Of no size on disk, and more than there is memory for.
    File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
    for name in ["pipe", "huge"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for reader in READERS {
        for (file, problem) in [("pipe", "no plain file"), ("/dev/zero", "no plain file"), ("huge", "over the limit")] {
            let args: Vec<String> = reader.iter().map(|word| word.replace("FILE", file)).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let output = at_once(&place, &args);
            assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr);
            let is_shared = told.contains("can be read by others");
            assert!(told.contains(problem) || is_shared, "{args:?}: {told}");
        }
    }
    assert!(!path("ran").exists() && !path("out.receipt").exists());
    // Evidence to be compared may be of any size, and is a plain file all the same.
    assert_eq!(at_once(&place, &["verify", "--evidence", "k=pipe"]).status.code(), Some(2));
    place.gives(3, &["verify", "--evidence", "k=text", "--no-pin"]);
    // Standard input, and what a shell hands over open, are read as before.
    let script = format!(
        "{} --rules <(echo 'off = []') scan && echo '{{}}' | {} append r DECISION --payload @-",
        crate::common::RECEIPT,
        crate::common::RECEIPT
    );
    let shell = place.alone("bash").args(["-c", &script]).output().unwrap();
    assert!(shell.status.success(), "{shell:?}");
}

#[test]
fn a_file_for_a_passphrase_is_a_plain_file() {
    let place = Place::new();
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(place.path().join("pipe")).status().unwrap().success());
    let mut command = place.command(&["keygen", "--encrypt", "example.com/ci", "ledger.key"]);
    let output = command.env("RECEIPT_PASSPHRASE_FILE", "pipe").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no plain file"), "{output:?}");
}
