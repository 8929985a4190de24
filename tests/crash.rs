//! An acknowledged event survives the death of its writer: a child process appends and acknowledges, the parent kills it
//! with SIGKILL at a random moment, and looks at what is in the ledger.
//!
//! `CRASH_CYCLES` sets how many times (500), `CRASH_SEED` when.

#![cfg(unix)]

use crate::common::on;
use receipt_kernel::{
    Actor, Append, Audit, BlobHash, Check, Error, EventType, Ledger, Object, Policy, Put, RunWriter, Value, Verdict,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Pseudo-random numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn actor() -> Actor {
    Actor::new("system", "writer")
}

/// What step `n` of a writer does. It follows from `n` alone, so that whoever retries a step retries the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Single,
    Batch,
    Evidence,
    Stage,
}

fn step(n: u64) -> Step {
    match Random(n).below(10) {
        0..6 => Step::Single,
        6 | 7 => Step::Batch,
        8 => Step::Evidence,
        _ => Step::Stage,
    }
}

/// How many events are in a batch.
const BATCH: u64 = 5;

fn event(n: u64, member: u64) -> Append {
    let payload = Object::from_iter([("n", Value::from(n)), ("member", Value::from(member))]);
    Append::new(EventType::Decision, payload).with_key(format!("{n}.{member}"))
}

fn evidence(n: u64) -> Vec<u8> {
    format!("evidence of step {n}\n").repeat(usize::try_from(Random(n).below(2000)).unwrap() + 1).into_bytes()
}

/// The writer: it is not a test, but what the tests start in a process of its own, and kill.
#[test]
#[ignore = "the writer that the other tests start and kill"]
fn writer_child() {
    let Ok(path) = std::env::var("CRASH_LEDGER") else { return };
    let run_id = std::env::var("CRASH_RUN").unwrap();
    let early = std::env::var_os("CRASH_EARLY").is_some();
    let ledger = Ledger::open_or_create(path).unwrap();
    let mut run = match ledger.resume(&run_id, actor()) {
        Err(Error::RunNotFound { .. }) => {
            ledger.start(&run_id, Policy::structural().unwrap(), actor(), Object::new()).unwrap()
        }
        resumed => resumed.unwrap(),
    };
    say("ready");
    for n in number("CRASH_FROM", 0).. {
        if early {
            (0..50).for_each(|member| say(&format!("ack {n} {member} 0 0")));
            run.append_batch((0..50).map(|member| event(n, member)).collect()).unwrap();
        } else {
            take_step(&mut run, n);
        }
    }
}

fn take_step(run: &mut RunWriter, n: u64) {
    match step(n) {
        Step::Single => {
            let appended = run.append(event(n, 0)).unwrap();
            say(&format!("ack {n} 0 {} {}", appended.event_ref.seq, u8::from(appended.repeated)));
        }
        Step::Batch => {
            let appended = run.append_batch((0..BATCH).map(|member| event(n, member)).collect()).unwrap();
            for (member, appended) in appended.iter().enumerate() {
                say(&format!("ack {n} {member} {} {}", appended.event_ref.seq, u8::from(appended.repeated)));
            }
        }
        Step::Evidence => {
            let record = run.put(&format!("evidence-{n}"), &evidence(n), Put::text()).unwrap();
            say(&format!("put {n} {}", record.hash));
        }
        Step::Stage => {
            let next = match run.stage().unwrap().as_str() {
                "START" | "REMEDIATE" => "COLLECT",
                "COLLECT" => "EVALUATE",
                "EVALUATE" => "DECIDE",
                _ => "REMEDIATE",
            };
            let appended = run.advance(next, "onwards").unwrap();
            say(&format!("stage {n} {next} {}", appended.event_ref.seq));
        }
    }
}

/// One write, so that a line is there whole or, where the writer died in it, without its end.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// What a writer has acknowledged of a run.
#[derive(Default)]
struct Acknowledged {
    /// Which event each member of each step became; 0 where the writer did not say.
    events: BTreeMap<(u64, u64), i64>,
    evidence: BTreeMap<u64, String>,
    stages: BTreeMap<i64, String>,
    /// The first step that is not acknowledged as a whole.
    next: u64,
    repeated: u64,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let n: u64 = words.get(1).map_or(0, |word| word.parse().unwrap());
        match words.as_slice() {
            ["ready"] => return,
            ["ack", _, member, seq, repeated] => {
                let (member, seq): (u64, i64) = (member.parse().unwrap(), seq.parse().unwrap());
                let before = self.events.insert((n, member), seq);
                assert!(before.is_none_or(|before| before == seq), "step {n}.{member} is {seq} and was {before:?}");
                self.repeated += u64::from(*repeated == "1");
                if step(n) == Step::Batch && member + 1 < BATCH {
                    return;
                }
            }
            ["put", _, hash] => drop(self.evidence.insert(n, (*hash).to_owned())),
            ["stage", _, to, seq] => drop(self.stages.insert(seq.parse().unwrap(), (*to).to_owned())),
            _ => panic!("the writer failed: {line}"),
        }
        self.next = n + 1;
    }
}

struct Writer {
    child: Child,
    log: PathBuf,
}

impl Writer {
    fn start(folder: &Path, ledger: &Path, run: &str, from: u64, early: bool) -> Self {
        let log = folder.join("acknowledged");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::writer_child", "--ignored", "--nocapture"]);
        command.env("CRASH_LEDGER", ledger).env("CRASH_RUN", run).env("CRASH_FROM", from.to_string());
        if early {
            command.env("CRASH_EARLY", "1");
        }
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    /// Kills it: most times when it has begun to write, now and then while it starts.
    fn kill(mut self, random: &mut Random) -> String {
        if random.below(5) > 0 {
            let deadline = Instant::now() + Duration::from_secs(30);
            while fs::metadata(&self.log).unwrap().len() == 0 && self.child.try_wait().unwrap().is_none() {
                assert!(Instant::now() < deadline, "the writer does not start");
                thread::sleep(Duration::from_micros(200));
            }
        }
        thread::sleep(Duration::from_micros(random.below(45_000)));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let text = fs::read_to_string(&self.log).unwrap();
        // Without its end, the last line was not acknowledged.
        text[..text.rfind('\n').map_or(0, |end| end + 1)].to_owned()
    }
}

/// What a check of the ledger found to be well.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    events: u64,
    unacknowledged: u64,
}

/// Whether a run has what was acknowledged, all of it and once, and at most one step beyond it.
fn check_run(ledger: &Ledger, run_id: &str, acknowledged: &Acknowledged) -> Result<Found, String> {
    let mut seen: BTreeMap<(u64, u64), i64> = BTreeMap::new();
    let mut puts: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: BTreeMap<i64, String> = BTreeMap::new();
    let mut twice = None;
    let text = |payload: &Object, key: &str| payload.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = ledger.events(run_id, &mut |event| match event.event_type {
        EventType::Decision => {
            let part = |key| event.payload.get(key).and_then(Value::as_i64).unwrap().cast_unsigned();
            let place = (part("n"), part("member"));
            if let Some(before) = seen.insert(place, event.seq.get()) {
                twice = Some(format!("step {place:?} is there twice, at {before} and {}", event.seq));
            }
        }
        EventType::EvidencePut => {
            let hash = event.payload.get("evidence").and_then(|evidence| evidence.get("sha256"));
            puts.insert(text(&event.payload, "key"), hash.and_then(Value::as_str).unwrap().to_owned());
        }
        EventType::StageAdvance => drop(stages.insert(event.seq.get(), text(&event.payload, "to_stage"))),
        _ => {}
    });
    let facts = match read {
        Err(Error::RunNotFound { .. }) if acknowledged.next == 0 && acknowledged.events.is_empty() => {
            return Ok(Found::default());
        }
        read => read.map_err(|error| format!("the run cannot be read: {error}"))?,
    };
    if let Some(twice) = twice {
        return Err(twice);
    }
    for (place, seq) in &acknowledged.events {
        match seen.get(place) {
            None => return Err(format!("lost: {place:?} was acknowledged")),
            Some(found) if *seq != 0 && found != seq => {
                return Err(format!("{place:?} is {found}, acknowledged as {seq}"));
            }
            Some(_) => {}
        }
    }
    for (n, hash) in &acknowledged.evidence {
        if puts.get(&format!("evidence-{n}")) != Some(hash) {
            return Err(format!("lost: evidence of step {n} was acknowledged"));
        }
        let bytes = ledger.blob_record(&BlobHash::of(&evidence(*n))).map_err(|error| format!("lost: {error}"))?;
        if bytes.0.map(|record| record.hash.to_string()).as_ref() != Some(hash) {
            return Err(format!("lost: the blob of step {n} was acknowledged"));
        }
    }
    for (seq, to) in &acknowledged.stages {
        if stages.get(seq) != Some(to) {
            return Err(format!("lost: stage {to} at {seq} was acknowledged"));
        }
    }
    let beyond: Vec<_> = seen.keys().filter(|place| !acknowledged.events.contains_key(*place)).collect();
    let whole = match step(acknowledged.next) {
        Step::Single => 1,
        _ => usize::try_from(BATCH).unwrap(),
    };
    // A batch is there whole or not at all; some of its members may have been acknowledged before the kill.
    let step_members = seen.keys().filter(|(n, _)| *n == acknowledged.next).count();
    if beyond.iter().any(|(n, _)| *n != acknowledged.next) || (step_members != 0 && step_members != whole) {
        return Err(format!(
            "beyond what was acknowledged there is {beyond:?}, and the next step is {}",
            acknowledged.next
        ));
    }
    Ok(Found { events: facts.events, unacknowledged: u64::from(!beyond.is_empty()) })
}

/// Whether the audit has nothing to say but that a run is unfinished.
fn check_audit(ledger: &Ledger, finished: bool) -> Result<(), String> {
    let report = Audit::of(ledger).threads(1).run().map_err(|error| error.to_string())?;
    for check in [Check::Content, Check::Columns, Check::Evidence, Check::Path, Check::Commitment] {
        let found = report.check(check).ok_or("a check is missing")?;
        let only_unfinished = check == Check::Path
            && found.verdict == Verdict::Warn
            && found.reasons.iter().all(|reason| reason.code == "RUN_UNFINISHED");
        if found.verdict != Verdict::Pass && (finished || !only_unfinished) {
            return Err(format!("{check}: {} {:?}", found.verdict, found.reasons));
        }
    }
    if finished && report.overall_verdict() != Verdict::Pass {
        return Err(format!("overall: {}", report.overall_verdict()));
    }
    Ok(())
}

#[test]
fn every_acknowledged_event_survives_kill_9_and_no_retry_duplicates() {
    let (cycles, seed) = (number("CRASH_CYCLES", 500), number("CRASH_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut random = Random(seed);
    let (mut runs, mut acknowledged) = (0, Acknowledged::default());
    let (mut total, mut unacknowledged, mut repeated, mut idle) = (0, 0, 0, 0);
    for cycle in 0..cycles {
        let run_id = format!("run-{runs}");
        let before = acknowledged.next;
        let lines = Writer::start(folder.path(), &path, &run_id, before, false).kill(&mut random);
        lines.lines().for_each(|line| acknowledged.take(line));
        idle += u64::from(acknowledged.next == before);
        // Killed before it had made a file, or while it made one.
        let Ok(ledger) = Ledger::open_or_create(&path) else { panic!("cycle {cycle} of seed {seed}: no ledger") };
        let checked = check_run(&ledger, &run_id, &acknowledged);
        let found = checked.unwrap_or_else(|problem| panic!("cycle {cycle} of seed {seed}: {problem}"));
        unacknowledged += found.unacknowledged;
        let checked = if found.events > 0 { check_audit(&ledger, false) } else { Ok(()) };
        checked.unwrap_or_else(|problem| panic!("cycle {cycle} of seed {seed}: {problem}"));
        if cycle % 10 == 9 && found.events > 0 {
            ledger.recover(&run_id, actor()).unwrap();
            check_audit(&ledger, true).unwrap_or_else(|problem| panic!("recovered in cycle {cycle}: {problem}"));
            total += found.events + 1;
            repeated += acknowledged.repeated;
            acknowledged = Acknowledged::default();
            runs += 1;
        }
    }
    println!(
        "{cycles} kills of seed {seed}: {total} events in {runs} recovered runs, 0 acknowledged ones lost; \
         {unacknowledged} times a step was there unacknowledged, {repeated} events were retried by their key, {idle} cycles saw no step"
    );
    if cycles >= 200 {
        assert!(unacknowledged > 0 && repeated > 0, "no kill fell between a commit and its acknowledgement");
        assert!(idle < cycles / 2, "{idle} of {cycles} cycles saw no step");
    }
}

#[test]
fn a_writer_that_acknowledges_before_it_commits_is_caught_losing_events() {
    let seed = number("CRASH_SEED", 1);
    let mut random = Random(seed);
    for cycle in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let lines = Writer::start(folder.path(), &path, "run", 0, true).kill(&mut random);
        let mut acknowledged = Acknowledged::default();
        lines.lines().for_each(|line| acknowledged.take(line));
        let ledger = Ledger::open_or_create(&path).unwrap();
        match check_run(&ledger, "run", &acknowledged) {
            Err(problem) if problem.starts_with("lost: ") => {
                println!("caught in cycle {cycle}: {problem}");
                return;
            }
            _ => {}
        }
    }
    panic!("the harness does not see lost events");
}

#[test]
fn an_append_of_the_command_line_that_is_killed_can_be_retried_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    for args in [&["init"][..], &["start", "run"]] {
        assert!(on(&path, args).output().unwrap().status.success());
    }
    let mut random = Random(number("CRASH_SEED", 1));
    let (mut killed, mut repeated) = (0, 0);
    for n in 0..60 {
        let (payload, key) = (format!("{{\"n\":{n},\"member\":0}}"), format!("key-{n}"));
        let append = ["append", "run", "DECISION", "--payload", &payload, "--key", &key];
        let mut child = on(&path, &append).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.below(20_000)));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        let output = on(&path, &append).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        repeated += u32::from(text.contains("\"repeated\":true"));
        assert!(text.contains(&format!("event://run/{}", n + 2)), "{text}");
    }
    assert!(killed > 0);
    println!("{killed} of 60 were killed, {repeated} were there when they were retried");
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.snapshot("run", &[]).unwrap().events().len(), 61);
    check_audit(&ledger, false).unwrap();
    drop(ledger);
    assert!(on(&path, &["recover", "run"]).output().unwrap().status.success());
    let verified = on(&path, &["verify"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("\"overall_verdict\":\"pass\""));
}
