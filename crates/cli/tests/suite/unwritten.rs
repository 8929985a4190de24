//! Output that could not be written is never success: not for `exec`, and not for any other verb.

use crate::common::Place;
use crate::recorded::text;
use receipt_kernel::{Value, Verdict};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;

/// Where nothing can be written: a disk that is full, and a reader that has gone.
fn unwritable() -> [(&'static str, Stdio); 2] {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    [("full", Stdio::from(full)), ("gone", Stdio::from(OwnedFd::from(gone)))]
}

#[test]
fn what_a_command_said_and_nobody_could_see_is_no_success() {
    for options in [&[][..], &["-q"]] {
        for (script, to_stderr, status) in [
            ("echo out", false, 125),
            ("echo err >&2", true, 125),
            ("echo out; exit 7", false, 7),
            ("echo out; exit 1", false, 1),
        ] {
            for (what, nowhere) in unwritable() {
                let place = Place::new();
                let mut command =
                    place.command(&[&["exec", "--run", "r"], options, &["--", "sh", "-c", script]].concat());
                if to_stderr {
                    command.stderr(nowhere)
                } else {
                    command.stdout(nowhere)
                };
                let out = command.output().unwrap();
                assert_eq!(out.status.code(), Some(status), "{script} {what}");
                let verdict = if status == 125 { Verdict::Unknown } else { Verdict::Fail };
                assert_eq!(place.verdict(), Some(verdict), "{script} {what}");
                let key = if to_stderr { "stderr" } else { "stdout" };
                assert!(!place.evidence(key).is_empty(), "it is on record all the same");
                let not_shown = place.recorded("exit_status").get("not_shown").unwrap().get(key).cloned();
                assert!(not_shown.as_ref().and_then(Value::as_str).is_some(), "{what}");
                if status == 125 && !to_stderr {
                    assert!(
                        text(&out.stderr).contains("stdout could not be shown to its end"),
                        "{}",
                        text(&out.stderr)
                    );
                }
            }
        }
    }
}

#[test]
fn a_command_that_says_nothing_is_not_held_up_by_that() {
    for (_, nowhere) in unwritable() {
        let place = Place::new();
        let out = place.command(&["exec", "--run", "r", "--", "true"]).stdout(nowhere).output().unwrap();
        assert_eq!((out.status.code(), place.verdict()), (Some(0), Some(Verdict::Pass)));
    }
}

#[test]
fn a_document_and_a_closing_line_that_nobody_could_see_are_no_success() {
    for (script, status) in [("true", 125), ("exit 7", 7)] {
        for (what, nowhere) in unwritable() {
            let place = Place::new();
            let mut command = place.command(&["--json", "exec", "--run", "r", "--", "sh", "-c", script]);
            let out = command.stdout(nowhere).output().unwrap();
            assert_eq!(out.status.code(), Some(status), "{what}");
            assert!(text(&out.stderr).starts_with("error: "), "{what}: {}", text(&out.stderr));
        }
        for (what, nowhere) in unwritable() {
            let place = Place::new();
            let mut command = place.command(&["exec", "--run", "r", "--", "sh", "-c", script]);
            assert_eq!(command.stderr(nowhere).output().unwrap().status.code(), Some(status), "{what}");
        }
    }
}

/// The verbs that print, on a ledger with one run.
const VERBS: [&[&str]; 25] = [
    &["runs"],
    &["log", "r"],
    &["show", "event://r/1"],
    &["cat", "r", "stdout"],
    &["verify"],
    &["verify", "r"],
    &["replay", "r"],
    &["export", "r", "--output", "-"],
    &["drill"],
    &["rules"],
    &["recipients"],
    &["scan"],
    &["completions", "bash"],
    &["completions", "fish"],
    &["man"],
    &["reference"],
    &["checkpoint", "--key", "key"],
    &["keygen", "example.com/l", "other.key"],
    &["put", "open", "note", "note"],
    &["advance", "open", "COLLECT"],
    &["start", "another"],
    &["--help"],
    &["--version"],
    &["verify", "--help"],
    &["exec", "-h"],
];

/// A ledger with a run that has ended and one that is open, and a key.
fn ledger() -> Place {
    let place = Place::new();
    place.file("note", b"note");
    assert!(place.sh(&["-q"], "printf 'no line end'").status.success());
    place.ok(&["start", "open"]);
    place.ok(&["keygen", "example.com/k", "key"]);
    place
}

#[test]
fn what_any_verb_prints_and_nobody_could_see_is_no_success() {
    for verb in VERBS {
        // Where it can be seen it is a success, lest the others fail for another reason.
        assert_eq!(ledger().run(verb).status.code(), Some(0), "{verb:?}");
        for (json, index) in [(false, 0), (false, 1), (true, 0)] {
            let place = ledger();
            let (what, nowhere) = unwritable().into_iter().nth(index).unwrap();
            let mut command = place.command(verb);
            if json {
                command.arg("--json");
            }
            let out = command.stdout(nowhere).output().unwrap();
            assert!(out.status.code().is_some_and(|status| status != 0), "{verb:?} json {json} {what}: {out:?}");
            assert!(what == "gone" || text(&out.stderr).contains("error: "), "{verb:?}: {out:?}");
        }
    }
}
