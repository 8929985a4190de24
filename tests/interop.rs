//! Files go to and fro between this kernel and the Python package receipt-kernel 0.1.0, which runs as it was published,
//! in a process of its own, and never while this process has the file open.
//!
//! `REFERENCE_PYTHON` names a Python that has the package; else the one in `target/reference-venv` is taken; else these
//! tests are skipped, and say so. `INTEROP_RUNS` sets how many runs are generated (1,000), `INTEROP_SEED` which.

use crate::common::on;
use receipt_kernel::core::canonical;
use receipt_kernel::core::evidence::BlobFact;
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{
    Actor, Append, BlobHash, Check, Error, EventType, Ledger, Object, Policy, Put, Report, RunId, Value, Verdict,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package, where there is one.
struct Package {
    python: PathBuf,
}

impl Package {
    fn find() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let named = std::env::var_os("REFERENCE_PYTHON").filter(|name| !name.is_empty()).map(PathBuf::from);
        let made = root.join("target/reference-venv/bin/python");
        let Some(python) = named.or_else(|| made.exists().then_some(made)) else {
            // Past the capture of test output, so that it is seen.
            let line = b"SKIPPED: files of the Python package: no REFERENCE_PYTHON, and no target/reference-venv\n";
            std::io::stderr().write_all(line).unwrap();
            return None;
        };
        Some(Self { python })
    }

    fn run(&self, verb: &str, ledger: &Path, rest: &[&str]) -> Vec<Value> {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference.py");
        let mut command = Command::new(&self.python);
        let output = command.arg(driver).arg(verb).arg(ledger).args(rest).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| json::parse(line, Limits::READ).unwrap()).collect()
    }

    /// Whether the package's own chain check passes every run; how many there are.
    fn verifies(&self, ledger: &Path) -> usize {
        let verdicts = self.run("verify", ledger, &[]);
        for run in &verdicts {
            assert_eq!(text(run, "verdict"), "pass", "{run:?}");
        }
        verdicts.len()
    }

    /// Whether the package reads what we read, event by event and blob by blob; how many events and blobs there are.
    fn reads_the_same(&self, path: &Path) -> (usize, usize) {
        let dumped = self.run("dump", path, &[]);
        let ledger = Ledger::open_read_only(path).unwrap();
        let mut theirs: BTreeMap<&str, Vec<(&Value, &str)>> = BTreeMap::new();
        let mut blobs = 0;
        for line in &dumped {
            let Some(envelope) = line.get("envelope") else {
                let hash = BlobHash::parse_bytes(text(line, "sha256").as_bytes()).unwrap();
                let bytes = data_encoding::HEXLOWER.decode(text(line, "hex").as_bytes()).unwrap();
                let length = u64::try_from(bytes.len()).unwrap();
                assert_eq!(BlobHash::of(&bytes), hash);
                let (record, fact) = ledger.blob_record(&hash).unwrap();
                assert_eq!(record.unwrap().bytes_len, length);
                assert!(matches!(fact, BlobFact::Intact { bytes_len, .. } if bytes_len == length), "{fact:?}");
                blobs += 1;
                continue;
            };
            assert_eq!(text(envelope, "event_hash"), text(line, "recomputed"));
            theirs.entry(text(line, "run_id")).or_default().push((envelope, text(line, "recomputed")));
        }
        let mut events = 0;
        for (run_id, theirs) in theirs {
            let mut ours = Vec::new();
            ledger.events(run_id, &mut |event| ours.push(event)).unwrap();
            assert_eq!(ours.len(), theirs.len(), "{run_id}");
            for (ours, (theirs, hash)) in ours.iter().zip(theirs) {
                assert_eq!(ours.hash.to_string(), hash, "{run_id} {}", ours.seq);
                assert_eq!(canonical_of(&json::parse(&ours.text, Limits::READ).unwrap()), canonical_of(theirs));
                events += 1;
            }
        }
        (events, blobs)
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {value:?}"))
}

fn canonical_of(value: &Value) -> Vec<u8> {
    canonical::to_bytes(value, Limits::READ).unwrap()
}

fn audit(path: &Path) -> Report {
    Ledger::open_read_only(path).unwrap().audit().unwrap()
}

fn verdict(report: &Report, check: Check) -> Verdict {
    report.check(check).unwrap().verdict
}

/// Content, columns and evidence are PASS.
#[track_caller]
fn assert_sound(report: &Report) {
    for check in [Check::Content, Check::Columns, Check::Evidence] {
        assert_eq!(verdict(report, check), Verdict::Pass, "{check}: {:?}", report.check(check).unwrap().reasons);
    }
}

fn actor() -> Actor {
    Actor::new("system", "ci")
}

fn object(text: &str) -> Object {
    json::parse(text.as_bytes(), Limits::WRITE).unwrap().as_object().unwrap().clone()
}

/// Payloads that encoders differ on.
const ODD: &str = concat!(
    r#"{"astral":"😀","lone":"\ud800x","line":"\u2028","del":"\u007f","floats":[1e16,1e-5,-0.0,5e-324,0.1],"#,
    r#""big":-123456789012345678901234567890,"é":{"b":[[],{}],"a":null},"\uffff":1,"\ud83d\ude00":2}"#
);

/// A run of ours that is not finished, in stage EVALUATE.
fn start_ours(ledger: &Ledger, run_id: &str) {
    let mut run = ledger.start(run_id, Policy::structural().unwrap(), actor(), object(ODD)).unwrap();
    run.append(Append::new(EventType::Decision, object(ODD)).with_key("odd")).unwrap();
    run.advance("COLLECT", "collecting, \u{2028}").unwrap();
    run.put("text", "all 12 tests passed é\n".as_bytes(), Put::text().of_kind("oracle:test_log")).unwrap();
    run.put("bytes", &[0, 255, 128, 10], Put::of_type("application/octet-stream")).unwrap();
    run.advance("EVALUATE", "").unwrap();
}

fn finish_ours(ledger: &Ledger, run_id: &str) {
    let mut run = ledger.resume(run_id, actor()).unwrap();
    run.evaluate().unwrap();
    run.advance("DECIDE", "").unwrap();
    run.decide("ship", &["tests"], "release").unwrap();
    run.finalize("done").unwrap();
}

fn receipt(ledger: &Path, args: &[&str]) -> (Option<i32>, Vec<u8>) {
    let output = on(ledger, args).output().unwrap();
    (output.status.code(), output.stdout)
}

#[test]
fn what_the_package_writes_hashes_to_the_same_here_and_verifies() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    let runs = std::env::var("INTEROP_RUNS").unwrap_or_else(|_| "1000".to_owned());
    let seed = std::env::var("INTEROP_SEED").unwrap_or_else(|_| "1".to_owned());
    let written = package.run("write", &path, &[&seed, &runs]);
    let types = written[0].as_object().unwrap();
    let count = runs.parse::<u64>().unwrap();
    if count >= 100 {
        assert_eq!(types.len(), EventType::ALL.len(), "{types:?}");
    }
    let report = audit(&path);
    assert_sound(&report);
    assert_eq!((report.overall_verdict(), report.runs), (Verdict::Pass, count));
    let (events, blobs) = package.reads_the_same(&path);
    assert_eq!(report.events, u64::try_from(events).unwrap());
    assert_eq!(report.blobs, u64::try_from(blobs).unwrap());
    println!("{runs} runs of seed {seed}: {events} events and {blobs} blobs are the same in both");

    assert_eq!(receipt(&path, &["verify"]).0, Some(0));
    let dumped = package.run("dump", &path, &[]);
    for index in 0..count.min(25) {
        let run_id = format!("run-{seed}-{index}");
        let (status, output) = receipt(&path, &["log", &run_id]);
        let log = json::parse(output.trim_ascii_end(), Limits::READ).unwrap();
        let ours: Vec<Vec<u8>> = log.get("events").unwrap().as_array().unwrap().iter().map(canonical_of).collect();
        let theirs = dumped.iter().filter(|line| line.get("run_id").and_then(Value::as_str) == Some(&run_id));
        let theirs: Vec<Vec<u8>> = theirs.map(|line| canonical_of(line.get("envelope").unwrap())).collect();
        assert_eq!((status, ours), (Some(0), theirs), "{run_id}");
    }
}

#[test]
fn tampering_with_a_file_of_the_package_is_found() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    package.run("write", &path, &["7", "50"]);
    assert_sound(&audit(&path));
    // A row of the second half of the file, so that there are events before it and behind it.
    let row = "(SELECT id FROM events WHERE seq = 2 ORDER BY id LIMIT 1 OFFSET 20)";
    let acts = [
        (
            Check::Content,
            format!("UPDATE events SET envelope_json = replace(envelope_json, '\"ci\"', '\"me\"') WHERE id = {row}"),
        ),
        (
            Check::Content,
            format!("UPDATE events SET envelope_json = replace(envelope_json, '\": ', '\":  ') WHERE id = {row}"),
        ),
        (
            Check::Content,
            format!("UPDATE events SET envelope_json = replace(envelope_json, '\": ', '\":') WHERE id = {row}"),
        ),
        (Check::Columns, format!("UPDATE events SET event_type = 'RUN_START' WHERE id = {row}")),
        (Check::Columns, format!("UPDATE events SET event_hash = prev_event_hash WHERE id = {row}")),
        (Check::Columns, format!("UPDATE events SET prev_event_hash = event_hash WHERE id = {row}")),
        (
            Check::Content,
            "DELETE FROM events WHERE id = (SELECT id FROM events WHERE seq = 1 LIMIT 1 OFFSET 3)".to_owned(),
        ),
        (Check::Evidence, "UPDATE blobs SET data = CAST(data || X'00' AS BLOB) WHERE rowid = 3".to_owned()),
        (
            Check::Evidence,
            "UPDATE blobs SET data = zeroblob(bytes_len) WHERE rowid = (SELECT max(rowid) FROM blobs)".to_owned(),
        ),
        (Check::Evidence, "DELETE FROM blobs WHERE rowid = 1".to_owned()),
    ];
    for (number, (check, act)) in acts.iter().enumerate() {
        let copy = folder.path().join(format!("{number}.db"));
        fs::copy(&path, &copy).unwrap();
        let connection = rusqlite::Connection::open(&copy).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        assert_eq!(connection.execute(act, []).unwrap(), 1, "{act}");
        drop(connection);
        let report = audit(&copy);
        assert_eq!(verdict(&report, *check), Verdict::Fail, "{act}: {report:?}");
        assert_eq!(report.overall_verdict(), Verdict::Fail, "{act}");
        assert_eq!(receipt(&copy, &["verify"]).0, Some(1), "{act}");
    }
}

#[test]
fn what_this_kernel_writes_verifies_in_the_package_and_reads_the_same() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.db");
    let ledger = Ledger::create(&path).unwrap();
    start_ours(&ledger, "whole");
    finish_ours(&ledger, "whole");
    start_ours(&ledger, "open");
    let mut many = ledger.start("many é/😀", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let batch = (0..300).map(|n| Append::new(EventType::Remediation, Object::from_iter([("n", Value::from(n))])));
    many.append_batch(batch.collect()).unwrap();
    drop((ledger, many));
    assert_eq!(package.verifies(&path), 3);
    let report = audit(&path);
    assert_sound(&report);
    assert_eq!(report.overall_verdict(), Verdict::Warn, "two runs are unfinished");
    let (events, blobs) = package.reads_the_same(&path);
    assert_eq!((u64::try_from(events).unwrap(), blobs), (report.events, 2));
}

/// An event as `reference.py continue` takes it, under the policy of our runs.
fn theirs_in_ours(stage: &str) -> String {
    let policy = Policy::structural().unwrap();
    let (id, version, graph) = (policy.id(), policy.version(), policy.graph().id());
    format!(
        r#"[{{"event_type":"DECISION","stage":"{stage}","payload":{{"by":"the package"}},
             "policy_id":"{id}","policy_version":"{version}","stage_graph_id":"{graph}"}}]"#
    )
}

const THEIRS: &str = r#"[{"event_type":"RUN_START","stage":"START","payload":{"meta":{"mode":"x"}}},
                         {"event_type":"DECISION","stage":"DECIDE","payload":{"decision_id":"d","basis":"é"}}]"#;
const THEIR_END: &str =
    r#"[{"event_type":"RUN_FINALIZE","stage":"FINALIZE","payload":{"overall_verdict":"pass","summary":""}}]"#;

#[test]
fn a_file_that_either_began_is_continued_by_the_other() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for theirs_first in [true, false] {
        let path = folder.path().join(format!("{theirs_first}.db"));
        if theirs_first {
            package.run("continue", &path, &["theirs", THEIRS]);
        }
        let ledger = Ledger::open_or_create(&path).unwrap();
        start_ours(&ledger, "ours");
        drop(ledger);
        if !theirs_first {
            package.run("continue", &path, &["theirs", THEIRS]);
        }
        // Its run goes on in a file that has our tables and triggers, and so does ours with an event of its own.
        let end = package.run("continue", &path, &["theirs", THEIR_END]);
        assert_eq!(end[0].as_str(), Some("event://theirs/3"));
        let ours = package.run("continue", &path, &["ours", &theirs_in_ours("EVALUATE")]);
        assert_eq!(ours[0].as_str(), Some("event://ours/7"));
        assert_eq!(package.verifies(&path), 2);
        let report = audit(&path);
        assert_sound(&report);
        assert_eq!(verdict(&report, Check::Path), Verdict::Warn, "{:?}", report.check(Check::Path));

        let ledger = Ledger::open(&path).unwrap();
        assert!(matches!(ledger.resume("theirs", actor()), Err(Error::RunUncommitted { .. })));
        let mut run = ledger.resume("ours", actor()).unwrap();
        let again = run.append(Append::new(EventType::Decision, object(ODD)).with_key("odd")).unwrap();
        assert_eq!((again.event_ref.seq.get(), again.repeated), (2, true));
        finish_ours(&ledger, "ours");
        drop((run, ledger));
        assert_eq!(package.verifies(&path), 2);
        let report = audit(&path);
        assert_sound(&report);
        assert_eq!(report.overall_verdict(), Verdict::Pass, "{report:?}");
        let (events, blobs) = package.reads_the_same(&path);
        assert_eq!((u64::try_from(events).unwrap(), blobs), (report.events, 2));
    }
}

#[test]
fn an_event_that_the_package_appends_against_our_rules_keeps_the_chain_and_fails_the_path() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, finished, stage) in [("stage", false, "FINALIZE"), ("after-the-end", true, "FINALIZE")] {
        let path = folder.path().join(name);
        let ledger = Ledger::create(&path).unwrap();
        start_ours(&ledger, "ours");
        if finished {
            finish_ours(&ledger, "ours");
        }
        drop(ledger);
        package.run("continue", &path, &["ours", &theirs_in_ours(stage)]);
        assert_eq!(package.verifies(&path), 1);
        let report = audit(&path);
        assert_sound(&report);
        assert_eq!(verdict(&report, Check::Path), Verdict::Fail, "{name}");
        let ours = receipt_kernel::Audit::of(&Ledger::open_read_only(&path).unwrap()).runs([RunId::new("ours")]).run();
        assert_eq!(ours.unwrap().overall_verdict(), Verdict::Fail);
    }
}

#[test]
fn a_ledger_that_compresses_is_refused_by_the_package_with_the_reason_and_left_as_it_is() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, compresses) in [("plain", false), ("compressed", true)] {
        let path = folder.path().join(name);
        let ledger = if compresses { Ledger::create_compressed(&path) } else { Ledger::create(&path) }.unwrap();
        let mut run = ledger.start("ours", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
        let data = "the same line again and again\n".repeat(1000);
        let hash = run.put("log", data.as_bytes(), Put::text()).unwrap().hash;
        let short = run.put("short", b"short", Put::text()).unwrap().hash;
        run.finalize_as(Verdict::Unknown, "over").unwrap();
        drop((run, ledger));
        let said = package.run("refused", &path, &[&hash.to_string(), &short.to_string()]);
        assert_eq!(said.len(), 3);
        let error = said[0].get("error").and_then(Value::as_str);
        assert_eq!(error.is_some_and(|error| error.contains("this ledger is compressed")), compresses, "{said:?}");
        assert_eq!(error.is_some(), compresses, "{said:?}");
        // Without being opened as it should, it gives no bytes where it gives not the right ones.
        for blob in &said[1..] {
            let hex = blob.get("hex").and_then(Value::as_str);
            let gone = compresses && text(blob, "sha256") == hash.to_string();
            assert_eq!(hex.is_none(), gone, "{blob:?}");
            let bytes = hex.map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap());
            assert!(bytes.is_none_or(|bytes| BlobHash::of(&bytes).to_string() == text(blob, "sha256")));
        }
        let report = audit(&path);
        assert_sound(&report);
        assert!(*Ledger::open(&path).unwrap().blob(&hash).unwrap() == *data.as_bytes());
    }
}

#[test]
fn retention_leaves_no_copy_of_evidence_in_a_file_that_the_package_made() {
    let Some(package) = Package::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let canary = "CANARY-in-the-coal-mine";
    let sizes = ["1", "300", "20000"];
    package.run("put", &path, &[&[canary][..], &sizes].concat());
    let holds = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files.filter(|bytes| bytes.windows(canary.len()).any(|it| it == canary.as_bytes())).count()
    };
    assert_eq!(holds(), 1, "it would be seen");
    let ledger = Ledger::open(&path).unwrap();
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = receipt_kernel::Ttl::Seconds(0);
        Ok(())
    });
    set.unwrap();
    let done = ledger.retain(&actor(), &mut |_, _| {}).unwrap();
    assert_eq!((usize::try_from(done.expired).unwrap(), done.scrubbed), (sizes.len(), true));
    assert_eq!(holds(), 0, "also while it is open");
    assert_eq!(verdict(&ledger.audit().unwrap(), Check::Evidence), Verdict::Pass);
    drop(ledger);
    assert_eq!(holds(), 0);
    assert_eq!(package.verifies(&path), 2, "its run, and the one with the receipts");
}
