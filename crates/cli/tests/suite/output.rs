//! What people and shells get to see.

use crate::common::Place;
use std::process::{Command, Stdio};

const VERBS: [&str; 34] = [
    "exec",
    "init",
    "start",
    "advance",
    "put",
    "append",
    "evaluate",
    "decide",
    "finalize",
    "recover",
    "runs",
    "log",
    "show",
    "cat",
    "verify",
    "gate",
    "replay",
    "export",
    "import",
    "retain",
    "recipients",
    "shred",
    "rules",
    "scan",
    "redact",
    "backup",
    "pin",
    "drill",
    "keygen",
    "checkpoint",
    "prove",
    "witness",
    "completions",
    "man",
];

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    place.ok(&["append", "@last", "DECISION", "--payload", r#"{"decision_id":"\u001b]0;owned\u0007\u009b31m"}"#]);
    for args in [
        vec!["runs"],
        vec!["log", "@last"],
        vec!["show", "r/2"],
        vec!["verify"],
        vec!["log", "\u{1b}[31m"],
        vec!["\u{1b}]0;x\u{7}\u{9b}m\u{202e}"],
    ] {
        let output = place.run(&args);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let bad = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(bad), "{args:?}: {text:?}");
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let place = Place::new();
    let top = place.ok(&["--help"]);
    for verb in VERBS {
        assert!(top.contains(&format!("\n  {verb} ")), "{verb} is not in --help");
        let help = place.ok(&[verb, "--help"]);
        assert!(help.contains("xample") && help.contains(&format!("receipt {verb}")), "{verb}: {help}");
    }
    assert!(!top.contains("\nMore:"), "a verb is in no group");
}

#[test]
fn the_reference_is_current() {
    let text = Place::new().ok(&["reference"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CLI.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text,
        "docs/CLI.md is not current: run this test with UPDATE=1"
    );
}

#[test]
fn colour_only_when_asked() {
    let place = Place::with_ledger();
    place.whole_run("r");
    let coloured = |args: &[&str]| place.ok(args).contains('\u{1b}');
    for verb in ["runs", "verify", "log @last", "show r/1", "--help"] {
        let args: Vec<&str> = verb.split(' ').collect();
        assert!(!coloured(&args), "{verb}");
        let asked = [args, vec!["--color", "always"]].concat();
        assert!(coloured(&asked), "{verb} --color always");
    }
}

#[test]
fn completions_parse() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.ok(&["completions", shell]);
        assert!(script.contains("finalize"));
        place.file("script", script.as_bytes());
        // Where the shell is not installed there is nobody to parse it.
        if let Ok(output) = Command::new(shell).args(["-n", "script"]).current_dir(place.path()).output() {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn man_renders() {
    let place = Place::new();
    assert!(place.ok(&["man"]).contains(".TH receipt 1"));
    assert_eq!(place.json(0, &["man", "--dir", "man1"])["files"].as_array().unwrap().len(), VERBS.len() + 1);
    assert!(std::fs::read_to_string(place.path().join("man1/receipt-put.1")).unwrap().contains("receipt put"));
}

#[test]
fn a_closed_pipe_is_silent() {
    let place = Place::with_ledger();
    place.whole_run("r");
    for verb in
        ["runs", "verify", "log r", "log r --json", "cat r log", "man", "completions bash", "--help", "show r/1"]
    {
        let args: Vec<&str> = verb.split(' ').collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(&args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.stderr.is_empty() && output.status.code() == Some(141), "{verb}: {output:?}");
    }
}

#[test]
#[cfg(unix)]
fn an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with_ledger();
    let mut command = place.command(&["log"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("UTF-8"));
}

#[test]
fn quiet_prints_nothing_but_what_was_asked() {
    let place = Place::with_ledger();
    assert_eq!(place.ok(&["-q", "start", "r"]), "");
    assert_eq!(place.ok(&["-q", "advance", "r", "COLLECT"]), "");
    assert!(place.ok(&["-q", "runs"]).contains("COLLECT"));
}
