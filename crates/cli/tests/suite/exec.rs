//! `receipt exec` with the real binary: what is shown, what is kept, how it ends.

use crate::common::Place;
use crate::recorded::{signal, text};
use receipt_kernel::core::canonical;
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{Actor, EventType, Ledger, Value, Verdict};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn bytes_pass_through_and_are_kept_unchanged() {
    let place = Place::new();
    let out = place.sh(&["-q"], r"printf 'a\377\000\033b'; printf 'x\200\n' >&2");
    assert_eq!(out.stdout, b"a\xff\0\x1bb");
    assert_eq!(out.stderr, b"x\x80\n");
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(place.evidence("stdout"), out.stdout);
    assert_eq!(place.evidence("stderr"), out.stderr);
    assert_eq!(place.verdict(), Some(Verdict::Pass));
    let status = place.recorded("exit_status");
    assert_eq!(status.get("code").and_then(Value::as_i64), Some(0));
    assert!(status.get("signal").unwrap().is_null() && status.get("error").unwrap().is_null());
    let names = fs::read_dir(place.path().join(".receipt")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name.to_string_lossy().starts_with("ledger.db")), "a spool was left behind");
}

#[test]
fn ten_mebibytes_on_both_streams_at_once() {
    let sizes = [&["init"][..], &["init", "--compress"]].map(|init| {
        let place = Place::new();
        assert!(place.command(init).output().unwrap().status.success());
        ten_mebibytes(&place);
        fs::metadata(place.ledger_path()).unwrap().len()
    });
    assert!(sizes[1] * 2 < sizes[0], "the parts of large output are compressed too: {sizes:?}");
}

fn ten_mebibytes(place: &Place) {
    let script = "seq 1 1600000 & seq 1600000 3200000 >&2; wait";
    let out = place.sh(&["-q"], script);
    assert!(out.stdout.len() > 10 << 20 && out.stderr.len() > 10 << 20);
    assert!(place.evidence("stdout") == out.stdout, "stdout is not what was shown");
    assert!(place.evidence("stderr") == out.stderr, "stderr is not what was shown");
    let written = place.command(&["cat", "r", "stdout"]).output().unwrap();
    assert!(written.stdout == out.stdout, "it is not written out as it was");
    assert_eq!(place.verdict(), Some(Verdict::Pass));
}

#[test]
fn output_is_shown_live_and_input_is_inherited() {
    let place = Place::new();
    let mut command = place.command(&["exec", "-q", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"line\n").unwrap();
    let mut line = String::new();
    // The command is still running: its input is open.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_intent_is_on_disk_before_the_command_starts() {
    let place = Place::new();
    // What the command sees of the ledger is what was there when it started.
    let out = place.sh(&["-q"], "mkdir copy && cp .receipt/ledger.db* copy/; SECRET=1 true");
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let then = Ledger::open_read_only(place.path().join("copy/ledger.db")).unwrap().snapshot("r", &[]).unwrap();
    let types: Vec<EventType> = then.events().map(|event| event.event_type).collect();
    assert_eq!(types, [EventType::RunStart, EventType::StageAdvance, EventType::EvidencePut]);
    assert!(!then.facts().finalized);
    let command = place.recorded("command");
    let argv: Vec<_> =
        command.get("argv").and_then(Value::as_array).unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(argv[..2], ["sh", "-c"]);
    assert!(command.get("cwd").unwrap().as_str().is_some() && command.get("started_at").unwrap().as_str().is_some());
}

#[test]
fn of_the_environment_only_the_names_are_kept() {
    let place = Place::new();
    let mut command = place.command(&["exec", "--run", "r", "--", "true"]);
    assert!(command.env("CANARY_NAME", "canary-value").output().unwrap().status.success());
    let intent = text(&place.evidence("command"));
    assert!(intent.contains("CANARY_NAME") && !intent.contains("canary-value"));
}

#[test]
fn the_verdict_decides_where_the_command_is_content() {
    let policy = "id = 'p'\nversion = '1'\nstage_graph = 'v1_minimal'\n[[invariant]]\nid = 'receipt.completeness'\n\
                  keys = ['never']\n";
    let place = Place::new();
    fs::write(place.path().join("p.toml"), policy).unwrap();
    assert_eq!(place.sh(&["--policy", "p.toml"], "true").status.code(), Some(1));
    assert_eq!(place.verdict(), Some(Verdict::Fail));
    assert_eq!(place.sh(&["--policy", "p.toml"], "true").status.code(), Some(2), "the run is there already");
    assert_eq!(place.sh(&["--policy", "nosuch.toml"], "true").status.code(), Some(2));
}

#[test]
fn other_stage_graphs_are_walked_to_their_end() {
    let graphs = [
        "stage_graph = 'v1_minimal'\n",
        "[stage_graph]\ninitial = 'A'\nterminal = ['END']\n[stage_graph.transitions]\nA = ['B']\nB = ['END', 'A']\n",
        "[stage_graph]\ninitial = 'A'\nterminal = ['END']\n[stage_graph.transitions]\nA = ['COLLECT', 'END']\n\
         COLLECT = ['CHECK', 'END']\nCHECK = ['EVALUATE']\nEVALUATE = ['LATER']\nLATER = ['END']\n",
        "[stage_graph]\ninitial = 'A'\nterminal = ['END']\n[stage_graph.transitions]\nA = ['END', 'COLLECT']\n\
         COLLECT = ['COLLECT']\n",
    ];
    for graph in graphs {
        let place = Place::new();
        let (simple, table) = if graph.starts_with('[') { ("", graph) } else { (graph, "") };
        let rules = "[[invariant]]\nid = 'run.stage_transitions'\n[[invariant]]\nid = 'exec.exit_status'\n";
        let policy = format!("id = 'p'\nversion = '1'\n{simple}{table}{rules}");
        fs::write(place.path().join("p.toml"), policy).unwrap();
        let out = place.sh(&["--policy", "p.toml"], "true");
        assert_eq!(out.status.code(), Some(0), "{graph}: {}", text(&out.stderr));
        assert_eq!(place.verdict(), Some(Verdict::Pass), "{graph}");
        let snapshot = place.snapshot();
        let stage = snapshot.facts().stage.clone().unwrap();
        assert!(snapshot.facts().commitment.as_ref().unwrap().graph().unwrap().is_terminal(&stage), "{graph}");
    }
    let place = Place::new();
    let endless = "id = 'p'\nversion = '1'\n[stage_graph]\ninitial = 'A'\nterminal = ['END']\n[stage_graph.transitions]\n\
                   A = ['A']\n[[invariant]]\nid = 'ledger.chain_valid'\n";
    fs::write(place.path().join("p.toml"), endless).unwrap();
    assert_eq!(place.sh(&["--policy", "p.toml"], "touch ran").status.code(), Some(2));
    assert!(!place.path().join("ran").exists() && !place.ledger_path().exists());
}

#[test]
fn a_killed_recorder_leaves_an_open_run_that_can_be_recovered() {
    let place = Place::new();
    let mut child = place.start("echo ready; sleep 2; echo gone");
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let facts = place.snapshot();
    assert!(!facts.facts().finalized && facts.facts().findings.is_empty());
    let verified = place.command(&["verify"]).output().unwrap();
    assert!(text(&verified.stdout).contains("1 not ended"), "{}", text(&verified.stdout));
    let ledger = Ledger::open(place.ledger_path()).unwrap();
    ledger.recover("r", Actor::new("cli", "test")).unwrap();
    assert_eq!(place.snapshot().facts().recorded_verdict, Some(Verdict::Unknown));
}

#[test]
fn outputs_are_kept() {
    let place = Place::new();
    let script = "echo one > file; mkdir -p dir/sub; echo two > dir/sub/b; echo three > dir/a; ln -s ../file dir/link; \
                  mkfifo dir/pipe";
    let out = place.sh(&["--output", "file", "--output", "dir", "--output", "file"], script);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert_eq!(place.evidence("output:file"), b"one\n");
    assert_eq!(place.evidence("output:dir/a"), b"three\n");
    assert_eq!(place.evidence("output:dir/sub/b"), b"two\n");
    assert!(place.evidence_ref("output:dir/link").is_none() && place.evidence_ref("output:dir/pipe").is_none());
    let list = place.recorded("output:dir");
    let entries = list.get("entries").and_then(Value::as_array).unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |key| entry.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
            (text("path"), text("type"), text("target"), entry.get("bytes_len").and_then(Value::as_i64))
        })
        .collect();
    let entry = |path: &str, kind: &str, target: &str, len| (path.to_owned(), kind.to_owned(), target.to_owned(), len);
    assert_eq!(
        told,
        [
            entry("a", "file", "-", Some(6)),
            entry("link", "symlink", "../file", None),
            entry("pipe", "other", "-", None),
            entry("sub", "folder", "-", None),
            entry("sub/b", "file", "-", Some(4)),
        ]
    );
    assert_eq!(
        entries[0].get("ref").unwrap().as_str(),
        Some(&*place.evidence_ref("output:dir/a").unwrap().to_string())
    );
    let puts = place.snapshot();
    let is_file = |event: &&_| {
        matches!(event, receipt_kernel::core::run::Event { payload, .. }
        if payload.get("key").and_then(Value::as_str) == Some("output:file"))
    };
    assert_eq!(puts.of_type(EventType::EvidencePut).filter(is_file).count(), 1, "the same path twice is put once");
}

#[test]
fn the_ledger_is_no_output_of_its_own_run() {
    let place = Place::new();
    let out = place.sh(&["--output", "."], "echo one > file");
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert_eq!(place.evidence("output:./file"), b"one\n");
    assert!(place.evidence_ref("output:./.receipt/ledger.db").is_none());
}

#[test]
fn a_missing_output_fails_the_run() {
    let place = Place::new();
    let out = place.sh(&["--output", "nosuch"], "true");
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(place.verdict(), Some(Verdict::Fail));
    assert_eq!(place.recorded("output:nosuch").get("missing").and_then(Value::as_bool), Some(true));
    assert!(text(&out.stderr).contains("output nosuch could not be put on record"), "{}", text(&out.stderr));
}

#[test]
fn json_is_one_document_and_the_command_is_shown_on_stderr() {
    let place = Place::new();
    for (script, status, verdict) in [("echo out; echo err >&2", 0, "pass"), ("echo out; exit 7", 7, "fail")] {
        let out = place.command(&["--json", "exec", "--", "sh", "-c", script]).output().unwrap();
        assert_eq!(out.status.code(), Some(status));
        assert!(text(&out.stderr).contains("out\n") && !text(&out.stderr).contains("receipt:"));
        let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(document["overall_verdict"], verdict);
        assert_eq!(document["exit_code"], status);
        let keys: Vec<_> =
            document["evidence"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["command", "stdout", "stderr", "exit_status"]);
        let run_id = document["run_id"].as_str().unwrap();
        assert!(place.ledger().has_run(run_id).unwrap());
        assert!(run_id.len() == 25 && run_id.contains("Z-"), "{run_id}");
    }
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    let out = place.sh(&["-q"], "exit 7");
    assert_eq!((out.status.code(), text(&out.stderr)), (Some(7), String::new()));
}

#[test]
fn what_the_ledger_refuses_is_told_and_the_command_is_not_run() {
    let place = Place::new();
    fs::write(place.path().join("text"), "this is no ledger, and long enough to be looked at".repeat(100)).unwrap();
    let out = place.command(&["--ledger", "text", "exec", "--", "touch", "ran"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    assert!(!place.path().join("ran").exists());
}

#[test]
fn secrets_are_shown_and_not_kept() {
    let place = Place::new();
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let out = place.sh(&["-q"], &format!("echo token {secret}"));
    assert!(text(&out.stdout).contains(&secret));
    assert!(!text(&place.evidence("stdout")).contains(&secret));
    let intent = place.evidence("command");
    assert!(!text(&intent).contains(&secret));
    let value = json::parse(&intent, Limits::READ).unwrap();
    assert_eq!(canonical::to_bytes(&value, Limits::READ).unwrap(), intent);
}

#[test]
fn secrets_in_names_and_reasons_are_not_shown() {
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let rules = "[[rule]]\nid = 'ticket'\nkeywords = ['ticket-']\npattern = 'TICKET-[0-9]{6}'\n";
    for (secret, missing) in
        [(secret.as_str(), true), ("TICKET-123456", true), (&secret, false), ("TICKET-123456", false)]
    {
        for json in [true, false] {
            let place = Place::with_ledger();
            place.file("rules.toml", rules.as_bytes());
            place.ok(&["rules", "set", "rules.toml"]);
            let path = format!("r-{secret}");
            if !missing {
                place.file(&path, b"kept");
            }
            let args = ["exec", "--run", "r", "--output", &path, "--", "true"];
            let out = place.run(&[if json { &["--json"][..] } else { &[] }, &args].concat());
            assert_eq!(out.status.code(), Some(i32::from(missing)), "{}", text(&out.stderr));
            let told = text(&out.stdout) + &text(&out.stderr);
            assert!(!told.contains(secret), "{told}");
            assert!(told.contains("[REDACTED:") || !(missing || json), "{told}");
            let out = place.run(&["exec", "--run", "s", "--", &format!("./{path}/none")]);
            assert!(matches!(out.status.code(), Some(126 | 127)));
            assert!(
                !text(&out.stderr).contains(secret) && text(&out.stderr).contains("[REDACTED:"),
                "{}",
                text(&out.stderr)
            );
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_output() {
    let place = Place::new();
    let mut command = place.command(&["exec", "--run", "r", "-q", "--", "head", "-c", "300M", "/dev/zero"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!(peak > 0 && peak < 64 << 10, "{peak} KiB");
    assert_eq!(place.recorded("exit_status").get("code").and_then(Value::as_i64), Some(0));
    let blob = place.evidence_ref("stdout").unwrap();
    let manifest = json::parse(&place.ledger().blob(&blob.0).unwrap(), Limits::READ).unwrap();
    assert_eq!(manifest.get("bytes_len").and_then(Value::as_i64), Some(300 << 20));
}
