//! `receipt exec` with the real binary: what is shown, what is kept, how it ends.

use crate::common::{Place, RECEIPT};
use receipt_kernel::core::canonical;
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{Actor, BlobRef, EventType, Ledger, Snapshot, Value, Verdict};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What was recorded.
impl Place {
    fn ledger(&self) -> Ledger {
        Ledger::open_read_only(self.ledger_path()).unwrap()
    }

    /// `receipt exec --run r OPTIONS -- sh -c SCRIPT`
    fn sh(&self, options: &[&str], script: &str) -> Output {
        let arguments = [&["exec", "--run", "r"], options, &["--", "sh", "-c", script]].concat();
        self.command(&arguments).output().unwrap()
    }

    /// As `sh`, and it goes on by itself. Signals are as a terminal has them, whatever the tests were started with: what
    /// was ignored (as `nohup` does with HUP) stays ignored, and a shell cannot even trap it.
    fn start(&self, script: &str) -> Child {
        let mut command = self.alone("env");
        command.arg("--default-signal=HUP,INT,QUIT,TERM").arg(RECEIPT);
        command.args(["exec", "--run", "r", "--", "sh", "-c", script]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger().snapshot("r", &[]).unwrap()
    }

    fn evidence_ref(&self, key: &str) -> Option<BlobRef> {
        let snapshot = self.snapshot();
        let mut puts = snapshot.of_type(EventType::EvidencePut);
        let put = puts.find(|event| event.payload.get("key").and_then(Value::as_str) == Some(key))?;
        BlobRef::parse(put.payload.get("evidence")?.get("ref")?.as_str()?)
    }

    /// The bytes of evidence, its parts put together.
    fn evidence(&self, key: &str) -> Vec<u8> {
        let blob = self.evidence_ref(key).unwrap_or_else(|| panic!("no evidence {key}"));
        let ledger = self.ledger();
        let bytes = ledger.blob(&blob.0).unwrap().to_vec();
        let Ok(manifest) = json::parse(&bytes, Limits::READ) else { return bytes };
        let Some(parts) = manifest.get("parts").and_then(Value::as_array) else { return bytes };
        let part = |part: &Value| ledger.blob(&BlobRef::parse(part.get("ref")?.as_str()?)?.0).ok();
        let whole: Vec<u8> = parts.iter().flat_map(|value| part(value).unwrap().to_vec()).collect();
        assert_eq!(manifest.get("bytes_len").and_then(Value::as_i64), i64::try_from(whole.len()).ok());
        whole
    }

    fn recorded(&self, key: &str) -> Value {
        json::parse(&self.evidence(key), Limits::READ).unwrap()
    }

    /// The verdict on record, which the finished run must bear out.
    fn verdict(&self) -> Option<Verdict> {
        let recorded = self.snapshot().facts().recorded_verdict;
        if let Some(verdict) = recorded {
            let again = self.ledger().evaluate("r", None).unwrap().overall_verdict;
            assert_eq!(again.worse(verdict), verdict, "the finished run is worse than it says");
        }
        recorded
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

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
fn the_exit_status_is_the_commands_own() {
    for (script, status, verdict) in [
        ("exit 0", 0, Verdict::Pass),
        ("exit 3", 3, Verdict::Fail),
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
    for (command, status) in [("./nosuch", 127), ("no-such-command-anywhere", 127), ("./plain", 126), (".", 126)] {
        let place = Place::new();
        fs::write(place.path().join("plain"), "not executable").unwrap();
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
fn signals_reach_the_command_and_the_run_is_finalized() {
    for (name, number) in [("TERM", 15), ("HUP", 1), ("INT", 2)] {
        let place = Place::new();
        // The shell waits for `sleep` in the background, so that its trap runs at once.
        let script = format!("trap 'echo caught; kill $!; exit 9' {name}; sleep 30 & echo ready; wait");
        let mut child = place.start(&script);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        signal(&child, name);
        line.clear();
        out.read_to_string(&mut line).unwrap();
        assert_eq!(line, "caught\n", "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
        assert_eq!(place.verdict(), Some(Verdict::Fail));

        let place = Place::new();
        let mut child = place.start("echo ready; exec sleep 30");
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{name}");
        assert_eq!(place.recorded("exit_status").get("signal").and_then(Value::as_i64), Some(i64::from(number)));
        assert_eq!(place.evidence("stdout"), b"ready\n");
    }
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
    assert!(text(&verified.stdout).contains("1 unfinished"), "{}", text(&verified.stdout));
    let ledger = Ledger::open(place.ledger_path()).unwrap();
    ledger.recover("r", Actor::new("cli", "test")).unwrap();
    assert_eq!(place.snapshot().facts().recorded_verdict, Some(Verdict::Unknown));
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
    let since = Instant::now();
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(since.elapsed() < Duration::from_secs(10));
    assert_eq!(place.verdict(), Some(Verdict::Unknown), "nobody knows what was still to come");
    assert_eq!(place.evidence("stdout"), b"ready\n");
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
fn a_ledger_that_fails_at_the_end_is_told() {
    for (end, status) in [("true", 4), ("exit 7", 7)] {
        let place = Place::new();
        let out = place.sh(&[], &format!("rm -r .receipt; echo out; {end}"));
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(status), "out\n".to_owned()), "{}", text(&out.stderr));
        assert!(text(&out.stderr).starts_with("error: there is no ledger at"), "{}", text(&out.stderr));
        let place = Place::new();
        let script = format!("rm -r .receipt; {end}");
        let out = place.command(&["exec", "--json", "--run", "r", "--", "sh", "-c", &script]).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((out.status.code(), document["error"]["kind"].as_str()), (Some(status), Some("ledger_not_found")));
        assert!(document["overall_verdict"].is_null());
    }
}

#[test]
fn output_that_cannot_be_kept_is_shown_and_fails_the_run() {
    let place = Place::new();
    // No file may be larger than a mebibyte: room for the ledger, and not for the output.
    let script = format!("ulimit -f 1024; exec {RECEIPT} exec --run r -- seq 1 400000");
    let out = place.alone("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout).lines().count(), 400_000, "the command is shown to its end");
    assert!(text(&out.stderr).contains("stdout could not be kept"), "{}", text(&out.stderr));
    assert_eq!(place.verdict(), Some(Verdict::Fail));
    assert!(place.evidence_ref("stdout").is_none() && place.evidence_ref("exit_status").is_some());
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
