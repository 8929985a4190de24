//! Many writers at once: no event is lost, doubled or forked, and nobody sees an error for it.

#![cfg(unix)]

use crate::common::on;
use receipt_kernel::{Actor, Append, Check, Error, EventType, Ledger, Object, Policy, Value, Verdict};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn actor() -> Actor {
    Actor::new("system", "writer")
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Waits for what another process is to bring about.
fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The writer: it is not a test, but what the tests start many of.
#[test]
#[ignore = "the writer that the other tests start"]
fn writer_child() {
    let Some(folder) = std::env::var_os("WRITER_FOLDER") else { return };
    let folder = Path::new(&folder);
    let (run_id, name, appends) = (setting("WRITER_RUN"), setting("WRITER_NAME"), setting("WRITER_APPENDS"));
    fs::write(folder.join(format!("ready-{name}")), "").unwrap();
    wait_for("the start", || folder.join("go").exists());
    let ledger = Ledger::open_or_create(folder.join("ledger.db")).unwrap();
    let mut run = match ledger.resume(&run_id, actor()) {
        Err(Error::RunNotFound { .. }) => {
            ledger.start(&run_id, Policy::structural().unwrap(), actor(), Object::new()).unwrap()
        }
        resumed => resumed.unwrap(),
    };
    for n in 0..appends.parse().unwrap() {
        if std::env::var_os("WRITER_PAUSE").is_some() && n == 1 {
            fs::write(folder.join(format!("pausing-{name}")), "").unwrap();
            wait_for("the end of the pause", || folder.join("resume").exists());
        }
        let payload = Object::from_iter([("writer", Value::from(name.as_str())), ("n", Value::from(n))]);
        run.append(Append::new(EventType::Decision, payload)).unwrap();
    }
}

struct Writers {
    children: Vec<Child>,
}

impl Writers {
    /// Starts writers by name, each to its run, and lets them go all at once.
    fn start(folder: &Path, writers: &[(String, String)], appends: u64, pause: bool) -> Self {
        let start = |(name, run): &(String, String)| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "concurrency::writer_child", "--ignored", "--nocapture"]);
            command.env("WRITER_FOLDER", folder).env("WRITER_RUN", run).env("WRITER_NAME", name);
            command.env("WRITER_APPENDS", appends.to_string());
            if pause {
                command.env("WRITER_PAUSE", "1");
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children = writers.iter().map(start).collect();
        wait_for("the writers", || writers.iter().all(|(name, _)| folder.join(format!("ready-{name}")).exists()));
        fs::write(folder.join("go"), "").unwrap();
        Self { children }
    }

    /// Waits until all have ended without an error.
    fn finish(mut self) {
        for child in std::mem::take(&mut self.children) {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "a writer failed: {} {said}", output.status);
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The audit has nothing to say but that runs are unfinished.
fn assert_sound(ledger: &Ledger) {
    let report = ledger.audit().unwrap();
    for check in [Check::Content, Check::Columns, Check::Evidence, Check::Commitment] {
        let found = report.check(check).unwrap();
        assert_eq!(found.verdict, Verdict::Pass, "{check}: {:?}", found.reasons);
    }
    let path = report.check(Check::Path).unwrap();
    assert_eq!(path.verdict, Verdict::Warn);
    assert!(path.reasons.iter().all(|reason| reason.code == "RUN_UNFINISHED"), "{:?}", path.reasons);
}

/// Which appends a run has of each writer, in their order; its seqs are 1, 2, 3, ….
fn appends_of(ledger: &Ledger, run_id: &str) -> BTreeMap<String, Vec<i64>> {
    let mut writers: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut seq = 0;
    let facts = ledger.events(run_id, &mut |event| {
        seq += 1;
        assert_eq!(event.seq.get(), seq);
        if event.event_type == EventType::Decision {
            let writer = event.payload.get("writer").and_then(Value::as_str).unwrap().to_owned();
            writers.entry(writer).or_default().push(event.payload.get("n").and_then(Value::as_i64).unwrap());
        }
    });
    let facts = facts.unwrap();
    assert!(facts.findings.is_empty(), "{:?}", facts.findings);
    writers
}

fn names(count: usize, run: impl Fn(usize) -> String) -> Vec<(String, String)> {
    (0..count).map(|number| (format!("writer-{number}"), run(number))).collect()
}

#[test]
fn sixteen_processes_that_append_to_one_run_lose_nothing_and_see_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
    ledger.start("run", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let start = Instant::now();
    Writers::start(folder.path(), &names(16, |_| "run".to_owned()), 200, false).finish();
    println!("3,200 appends of 16 processes in {:.1} s", start.elapsed().as_secs_f64());
    let appends = appends_of(&ledger, "run");
    assert_eq!(appends.len(), 16);
    for (writer, appends) in appends {
        assert!(appends.iter().copied().eq(0..200), "{writer}: {appends:?}");
    }
    assert_sound(&ledger);
}

#[test]
fn eight_processes_that_open_a_new_ledger_at_once_all_get_it() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        Writers::start(folder.path(), &names(8, |number| format!("run-{number}")), 2, false).finish();
        let ledger = Ledger::open(folder.path().join("ledger.db")).unwrap();
        assert_sound(&ledger);
        for number in 0..8 {
            let appends = appends_of(&ledger, &format!("run-{number}"));
            assert_eq!(appends, BTreeMap::from([(format!("writer-{number}"), vec![0, 1])]));
        }
    }
}

#[test]
fn writers_of_different_runs_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
    for run in 0..4 {
        ledger.start(&format!("run-{run}"), Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    }
    Writers::start(folder.path(), &names(8, |number| format!("run-{}", number / 2)), 50, false).finish();
    for run in 0..4 {
        let appends = appends_of(&ledger, &format!("run-{run}"));
        let writers: BTreeSet<_> = appends.keys().cloned().collect();
        assert_eq!(writers, BTreeSet::from([2 * run, 2 * run + 1].map(|number| format!("writer-{number}"))));
        assert!(appends.values().all(|appends| appends.iter().copied().eq(0..50)), "{appends:?}");
    }
    assert_sound(&ledger);
}

#[test]
fn a_process_that_is_stopped_between_transactions_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("ledger.db")).unwrap();
    let mut run = ledger.start("run", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let stopped = Writers::start(folder.path(), &names(1, |_| "run".to_owned()), 20, true);
    wait_for("the pause", || folder.path().join("pausing-writer-0").exists());
    let process = Pid::from_child(&stopped.children[0]);
    kill_process(process, Signal::STOP).unwrap();
    let start = Instant::now();
    for n in 0..50 {
        let payload = Object::from_iter([("writer", Value::from("other")), ("n", Value::from(n))]);
        run.append(Append::new(EventType::Decision, payload)).unwrap();
    }
    assert_sound(&ledger);
    let waited = start.elapsed();
    fs::write(folder.path().join("resume"), "").unwrap();
    kill_process(process, Signal::CONT).unwrap();
    stopped.finish();
    assert!(waited < Duration::from_secs(20), "50 appends beside a stopped process took {waited:?}");
    let appends = appends_of(&ledger, "run");
    assert!(appends["other"].iter().copied().eq(0..50) && appends["writer-0"].iter().copied().eq(0..20));
}

#[test]
fn appends_of_the_command_line_at_once_are_all_recorded_and_a_key_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let receipt = |args: &[&str]| on(&path, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(receipt(&["init"]).wait().unwrap().success());
    assert!(receipt(&["start", "run"]).wait().unwrap().success());
    let append = |number: usize| {
        let payload = format!("{{\"writer\":\"cli\",\"n\":{}}}", number / 2);
        // Every event is appended by two processes under one key.
        receipt(&["append", "run", "DECISION", "--payload", &payload, "--key", &format!("key-{}", number / 2)])
    };
    let children: Vec<Child> = (0..48).map(append).collect();
    let mut repeated = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        repeated += usize::from(said.contains("\"repeated\":true"));
    }
    assert_eq!(repeated, 24);
    let ledger = Ledger::open(&path).unwrap();
    let mut appends = appends_of(&ledger, "run").remove("cli").unwrap();
    appends.sort_unstable();
    assert!(appends.iter().copied().eq(0..24), "{appends:?}");
    assert_sound(&ledger);
}
