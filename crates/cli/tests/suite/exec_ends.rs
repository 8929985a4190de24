//! How `receipt exec` ends: with the command's own status, after a wait for output that is never for ever.

use crate::common::{Place, RECEIPT};
use crate::recorded::{signal, text};
use receipt_kernel::{Value, Verdict};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

fn executable(place: &Place, name: &str, bytes: &[u8]) {
    place.file(name, bytes);
    fs::set_permissions(place.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_exit_status_is_the_commands_own() {
    for (script, status, verdict) in [
        ("exit 0", 0, Verdict::Pass),
        ("exit 1", 1, Verdict::Fail),
        ("exit 2", 2, Verdict::Fail),
        ("exit 3", 3, Verdict::Fail),
        ("exit 4", 4, Verdict::Fail),
        ("exit 7", 7, Verdict::Fail),
        ("kill -TERM $$", 128 + 15, Verdict::Fail),
        ("kill -KILL $$", 128 + 9, Verdict::Fail),
    ] {
        let place = Place::new();
        let out = place.sh(&[], script);
        assert_eq!(out.status.code(), Some(status), "{script}");
        assert_eq!(place.verdict(), Some(verdict), "{script}");
        let line = text(&out.stderr);
        assert!(line.starts_with(&format!("receipt: {verdict}  run r  (see: receipt log r)\n")), "{line}");
    }
}

#[test]
fn a_command_that_cannot_be_started_is_a_run_that_fails() {
    for (command, status) in [
        ("./nosuch", 127),
        ("no-such-command-anywhere", 127),
        ("", 127),
        ("./no-interpreter", 127),
        ("./plain", 126),
        ("./plain/inside", 126),
        ("./binary", 126),
        (".", 126),
    ] {
        let place = Place::new();
        place.file("plain", b"not executable");
        executable(&place, "binary", b"\x7fELF\0\0\0 of another machine");
        executable(&place, "no-interpreter", b"#!/no/such/interpreter\n");
        let out = place.command(&["exec", "--run", "r", "--", command]).output().unwrap();
        assert_eq!(out.status.code(), Some(status), "{command}");
        assert_eq!(place.verdict(), Some(Verdict::Fail), "{command}");
        let evidence = place.recorded("exit_status");
        assert!(evidence.get("error").unwrap().as_str().is_some() && evidence.get("code").unwrap().is_null());
        assert_eq!((place.evidence("stdout"), place.evidence("stderr")), (Vec::new(), Vec::new()));
        assert!(text(&out.stderr).starts_with(&format!("receipt: {command}: ")));
    }
}

#[test]
fn a_file_that_names_no_interpreter_is_a_script() {
    let place = Place::new();
    executable(&place, "script", b"echo ran \"$0\" \"$@\"\nexit 5\n");
    executable(&place, "-script", b"echo ran\n");
    executable(&place, "empty", b"");
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    for (command, status, said) in [
        ("./script", 5, "ran ./script a b\n".to_owned()),
        ("script", 5, format!("ran {}/script a b\n", place.path().display())),
        ("-script", 0, "ran\n".to_owned()),
        ("./empty", 0, String::new()),
    ] {
        let run = format!("run{}", command.replace('/', "-"));
        let mut receipt = place.command(&["exec", "-q", "--run", &run, "--", command, "a", "b"]);
        let out = receipt.env("PATH", &path).output().unwrap();
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(status), said), "{command}: {}", text(&out.stderr));
        let status = place.ok(&["cat", &run, "exit_status"]);
        assert!(status.contains("\"shell\":\"/bin/sh\""), "{status}");
    }
}

#[test]
fn a_ledger_that_fails_at_the_end_is_told() {
    for (end, own) in [("true", 0), ("exit 1", 1), ("exit 7", 7), ("kill -9 $$", 137)] {
        let place = Place::new();
        let out = place.sh(&[], &format!("rm -r .receipt; echo out; {end}"));
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(125), "out\n".to_owned()), "{}", text(&out.stderr));
        assert!(text(&out.stderr).starts_with("error: there is no ledger at"), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains(&format!("status {own}")), "{}", text(&out.stderr));
        let place = Place::new();
        let script = format!("rm -r .receipt; {end}");
        let out = place.command(&["exec", "--json", "--run", "r", "--", "sh", "-c", &script]).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((out.status.code(), document["error"]["kind"].as_str()), (Some(125), Some("ledger_not_found")));
        assert_eq!((document["exit_code"].as_i64(), document["command_status"].as_i64()), (Some(125), Some(own)));
        assert!(document["overall_verdict"].is_null());
    }
}

#[test]
fn output_that_cannot_be_kept_is_shown_and_fails_the_run() {
    let place = Place::new();
    // No file may be larger than a mebibyte: room for the ledger, and not for the output.
    let script = format!("ulimit -f 1024; exec {RECEIPT} exec --run r -- seq 1 400000");
    let out = place.alone("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(out.status.code(), Some(125), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 400_000, "the command is shown to its end");
    assert!(text(&out.stderr).contains("stdout could not be kept"), "{}", text(&out.stderr));
    assert_eq!(place.verdict(), Some(Verdict::Fail));
    assert!(place.evidence_ref("stdout").is_none() && place.evidence_ref("exit_status").is_some());
}

#[test]
fn output_is_kept_up_to_the_piece_that_could_not_be() {
    let place = Place::new();
    place.ok(&["init", "--compress"]);
    // No file may be larger than three mebibytes: too little for the output as it comes, and enough for it compressed.
    let script = format!("ulimit -f 3072; exec {RECEIPT} exec --run r -- seq 1 900000");
    let out = place.alone("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(out.status.code(), Some(125), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 900_000, "the command is shown to its end");
    assert!(text(&out.stderr).contains("stdout could not be kept to its end"), "{}", text(&out.stderr));
    assert_eq!(place.verdict(), Some(Verdict::Unknown));
    let stdout = place.evidence("stdout");
    assert!(stdout.len() > 2 << 20 && out.stdout.starts_with(&stdout) && stdout != out.stdout, "{}", stdout.len());
    let note = place.recorded("exit_status").get("cut").and_then(|cut| cut.get("stdout")?.as_str().map(str::to_owned));
    assert!(note.unwrap().contains("could not be kept to its end"));
    let snapshot = place.snapshot();
    let is_whole = |key: &str| {
        let mut puts = snapshot.of_type(receipt_kernel::EventType::EvidencePut);
        let put = puts.find(|put| put.payload.get("key").and_then(Value::as_str) == Some(key)).unwrap();
        put.payload.get("meta").and_then(|meta| meta.get("interrupted")).is_none()
    };
    assert!(!is_whole("stdout") && is_whole("stderr"));
    let mut names = fs::read_dir(place.path().join(".receipt")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().contains("-spool-")));
}

#[test]
fn a_reader_that_has_gone_ends_the_command_and_not_the_record() {
    let place = Place::new();
    let script = format!("{RECEIPT} exec --run r -- yes | head -n 3; echo ${{PIPESTATUS[0]}}");
    let out = place.alone("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(text(&out.stdout), "y\ny\ny\n141\n", "{}", text(&out.stderr));
    assert_eq!(place.verdict(), Some(Verdict::Fail));
    assert_eq!(place.recorded("exit_status").get("signal").and_then(Value::as_i64), Some(13));
    assert!(place.evidence("stdout").starts_with(b"y\ny\ny\n"));
}

#[test]
fn a_signal_ends_the_wait_for_what_the_command_left_behind() {
    let place = Place::new();
    let mut child = place.start("sleep 20 & echo ready");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    line.clear();
    err.read_line(&mut line).unwrap();
    assert!(line.contains("the command has ended and its output has not"), "{line}");
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(place.verdict(), Some(Verdict::Unknown), "nobody knows what was still to come");
    assert_eq!(place.evidence("stdout"), b"ready\n");
}

#[test]
fn the_wait_for_what_the_command_left_behind_is_never_for_ever() {
    for options in [&["--wait-output", "1s"][..], &["--wait-output=0", "-q"], &["--wait-output", "300ms", "--tty"]] {
        let place = Place::new();
        let out = place.sh(options, "sleep 60 & echo $!; echo error >&2; exit 0");
        let waited = &options[0].rsplit('=').next().unwrap().replace("--wait-output", options[1]);
        let _ = std::process::Command::new("kill").arg(text(&out.stdout).trim()).status();
        // The command's own output is whole, and that it was cut after that is on record.
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        assert_eq!((place.evidence("stdout"), text(&place.evidence("stderr"))), (out.stdout, "error\n".to_owned()));
        assert_eq!(place.verdict(), Some(Verdict::Warn), "{options:?}");
        let status = place.recorded("exit_status");
        for key in ["stdout", "stderr"] {
            let note = status.get("cut").and_then(|cut| cut.get(key)?.as_str()).unwrap();
            let waited = if waited == "0" { "0ns" } else { waited };
            assert!(note.contains(&format!("{key} was still open {waited} after the command")), "{note}");
        }
    }
    // Ten seconds, if nobody says otherwise.
    let place = Place::new();
    assert_eq!(place.sh(&["-q"], "sleep 60 & exit 9").status.code(), Some(9));
    assert!(place.recorded("exit_status").get("cut").unwrap().get("stdout").is_some());
}

#[test]
fn all_that_the_command_wrote_is_read_however_short_the_wait() {
    let place = Place::new();
    let out = place.sh(&["-q", "--wait-output", "0"], "sleep 60 & seq 1 200000; kill $!");
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.ends_with(b"\n200000\n") && place.evidence("stdout") == out.stdout);
    let place = Place::new();
    let out = place.sh(&["-q", "--wait-output", "0"], "(sleep 0.2; yes) & seq 1 9999");
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.ends_with(b"\n9999\n"), "what came later is not shown");
}

#[test]
fn a_slow_reader_is_waited_for() {
    let place = Place::new();
    // More than the pipes hold, and a reader that looks away for longer than the wait.
    let script = format!("{RECEIPT} exec --run r -q --wait-output 100ms -- seq 1 40000 | (sleep 1; tail -n 1)");
    let out = place.alone("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(text(&out.stdout), "40000\n");
    assert_eq!(place.verdict(), Some(Verdict::Pass));
    assert!(place.evidence("stdout").ends_with(b"\n40000\n"));
}

#[test]
fn a_time_is_a_number_and_a_unit() {
    let place = Place::new();
    for time in ["10", "s", "-1s", "1d", "1.5s", "99999999999999999999s", ""] {
        let option = format!("--wait-output={time}");
        assert_eq!(place.sh(&[&option], "touch ran").status.code(), Some(2), "{time}");
    }
    assert!(!place.path().join("ran").exists());
}
