//! Checkpoints, cosignatures and proofs, accepted and refused by a program that is not ours: Go's `sumdb/note` and
//! `sumdb/tlog` (Debian: golang-go, golang-golang-x-mod-dev).

use crate::common::Place;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian keeps the sources of Go packages.
const GOPATH: &str = "/usr/share/gocode";

/// The program of `tests/go`, built; `None` where there is no Go.
fn built(place: &Place) -> Option<PathBuf> {
    let has_sources = Path::new(GOPATH).join("src/golang.org/x/mod/sumdb/tlog").is_dir();
    if !has_sources || Command::new("go").arg("version").output().is_err() {
        eprintln!("SKIPPED: no Go here (Debian: golang-go, golang-golang-x-mod-dev)");
        return None;
    }
    let program = place.path().join("check");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/go/main.go");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(&source).env("GO111MODULE", "off").env("GOPATH", GOPATH);
    let output = go.env("GOCACHE", place.path().join("cache")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(program)
}

fn keep(place: &Place, file: &str, text: &str) {
    fs::write(place.path().join(file), text).unwrap();
}

#[test]
fn go_accepts_what_we_make_and_refuses_what_was_changed() {
    let place = Place::new();
    let Some(program) = built(&place) else { return };
    let go = |args: &[&str]| Command::new(&program).args(args).current_dir(place.path()).status().unwrap().success();
    place.ok(&["init", "--origin", "example.com/ci"]);
    let vkey = place.ok(&["keygen", "example.com/ci", "log.key"]).trim().to_owned();
    let witness = place.ok(&["keygen", "--witness", "example.com/w", "w.key"]).trim().to_owned();
    let mut older: Vec<String> = Vec::new();
    for round in 1..=4 {
        let run = format!("run-{round}");
        place.ok(&["exec", "--run", &run, "--", "true"]);
        let note = format!("{round}.note");
        keep(&place, &note, &place.ok(&["checkpoint", "--key", "log.key"]));
        for old in &older {
            keep(&place, "grown", &place.ok(&["prove", "--from", old]));
            assert!(go(&["consistency", &vkey, old, "grown"]), "{old} to {note}");
            assert!(!go(&["consistency", &vkey, &note, "grown"]), "a proof from another size");
        }
        older.push(note);
    }
    let events = place.json(0, &["log", "run-2"]);
    for event in events["events"].as_array().unwrap() {
        let hash = event["event_hash"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        keep(&place, "in", &place.ok(&["prove", &format!("run-2/{}", event["seq"])]));
        assert!(go(&["inclusion", &vkey, "in", hash]));
        assert!(!go(&["inclusion", &vkey, "in", &"0".repeat(64)]), "another event");
    }
    let args = ["witness", "--key", "w.key", "--log", &vkey, "--state", "seen", "4.note"];
    keep(&place, "cosigned", &place.ok(&args));
    assert!(go(&["cosigned", &vkey, &witness, "cosigned"]));
    assert!(!go(&["cosigned", &vkey, &witness, "4.note"]), "no cosignature");
    let whole = fs::read_to_string(place.path().join("cosigned")).unwrap();
    let (origin, rest) = whole.split_once('\n').unwrap();
    keep(&place, "bent", &format!("{origin}\n1{rest}"));
    assert!(!go(&["cosigned", &vkey, &witness, "bent"]), "another size");
}
