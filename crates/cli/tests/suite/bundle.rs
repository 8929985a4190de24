//! A run leaves its ledger as a file, is checked without one, and goes into another.

use crate::common::Place;
use receipt_kernel::{Actor, Append, EventType, Ledger, Object, Policy, Put};
use std::process::Stdio;
use std::time::Duration;

/// A folder with a recorded command, `build-1`, and its bundle.
fn exported() -> Place {
    let place = Place::new();
    place.ok(&["exec", "--run", "build-1", "--", "echo", "all 12 tests passed"]);
    place.ok(&["export", "build-1", "-o", "build-1.receipt"]);
    place
}

#[test]
fn a_bundle_verifies_without_its_ledger() {
    let place = exported();
    let elsewhere = Place::new();
    std::fs::copy(place.path().join("build-1.receipt"), elsewhere.path().join("it.receipt")).unwrap();
    let report = elsewhere.json(0, &["verify", "it.receipt"]);
    assert_eq!(report["overall_verdict"], "pass");
    assert_eq!(report["run"], "build-1");
    assert_eq!(report["evaluations"][0]["verdict"], "pass");
    assert_eq!(report["checks"][0]["check"], "format");
    assert!(!elsewhere.path().join(".receipt").exists(), "no ledger is made");
}

#[test]
fn what_was_edited_fails_and_says_where() {
    let place = exported();
    let path = place.path().join("build-1.receipt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("all 12 tests", "all 13 tests").replacen("\"seq\":5", "\"seq\":6", 1)).unwrap();
    let report = place.json(1, &["verify", "build-1.receipt"]);
    assert_eq!(report["overall_verdict"], "fail");
    assert_eq!(place.json(1, &["replay", "build-1.receipt"])["overall_verdict"], "fail");
    std::fs::write(&path, "").unwrap();
    assert_eq!(place.json(1, &["verify", "build-1.receipt"])["checks"][0]["verdict"], "fail");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(place.error(2, &["verify", "build-1.receipt"]), "io");
}

#[test]
fn a_bundle_from_a_pipe_that_was_edited_fails_and_is_not_waited_for_again() {
    let place = exported();
    let text = std::fs::read_to_string(place.path().join("build-1.receipt")).unwrap();
    let pipe = place.path().join("pipe.receipt");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (status, text) in [(0, text.clone()), (1, text.replacen("\"seq\":5", "\"seq\":6", 1))] {
        let to = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, text));
        let mut reader = place.command(&["verify", "pipe.receipt"]).stdout(Stdio::null()).spawn().unwrap();
        let ended = (0..300).find_map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            reader.try_wait().unwrap()
        });
        let _ = reader.kill();
        assert_eq!(ended.and_then(|ended| ended.code()), Some(status));
        writer.join().unwrap().unwrap();
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_half_made_is_left() {
    let place = exported();
    assert_eq!(place.error(2, &["export", "build-1", "-o", "build-1.receipt"]), "file_exists");
    assert_eq!(
        place.error(2, &["export", "build-1", "-o", "new.receipt", "--withhold", "nothing"]),
        "evidence_not_found"
    );
    assert_eq!(place.error(2, &["export", "nothing", "-o", "new.receipt"]), "run_not_found");
    let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let whole = std::fs::read(place.path().join("build-1.receipt")).unwrap();
    assert_eq!(place.ok(&["export", "build-1", "-o", "-"]).into_bytes(), whole);
}

#[test]
fn what_is_withheld_is_named_with_what_it_leaves_open() {
    let place = exported();
    place.ok(&["export", "build-1", "-o", "part.receipt", "--withhold", "exit_status"]);
    let report = place.json(3, &["verify", "part.receipt"]);
    assert_eq!(report["absent"][0]["key"], "exit_status");
    let unsettled = report["evaluations"][0]["unsettled"].as_array().unwrap();
    assert!(unsettled.iter().any(|id| id == "exec.exit_status"), "{report}");
    let text = place.gives(3, &["verify", "part.receipt"]);
    assert!(text.contains("not in the bundle: exit_status") && text.contains("exec.exit_status"), "{text}");
}

#[test]
fn a_bundle_is_imported_once_and_its_run_can_be_exported_again() {
    let place = exported();
    let import = ["import", "--ledger", "archive.db", "build-1.receipt"];
    assert_eq!(place.error(4, &import), "ledger_not_found");
    assert!(!place.path().join("archive.db").exists(), "a ledger was made at a path that may be a typo");
    place.ok(&["init", "--ledger", "archive.db"]);
    assert_eq!(place.json(0, &import)["new"], true);
    assert_eq!(place.json(0, &import)["new"], false);
    assert_eq!(place.json(0, &["verify", "--ledger", "archive.db"])["overall_verdict"], "pass");
    let again = place.ok(&["export", "--ledger", "archive.db", "build-1", "-o", "-"]);
    assert_eq!(again, std::fs::read_to_string(place.path().join("build-1.receipt")).unwrap());
    place.ok(&["export", "build-1", "-o", "part.receipt", "--withhold", "stdout"]);
    place.ok(&["init", "--ledger", "other.db"]);
    place.gives(3, &["import", "--ledger", "other.db", "part.receipt"]);
    assert_eq!(place.json(0, &["runs", "--ledger", "other.db"])["runs"].as_array().unwrap().len(), 0);
}

#[test]
fn recorded_evaluations_are_computed_again() {
    let place = exported();
    for what in ["build-1", "build-1.receipt"] {
        let replayed = place.json(0, &["replay", what]);
        assert_eq!(replayed["verdict"], "pass", "{replayed}");
        assert_eq!(replayed["evaluations"][0]["recorded"], "pass");
    }
}

#[test]
fn a_check_that_is_required_of_a_bundle_must_be_one_of_a_bundle() {
    let place = exported();
    place.gives(3, &["verify", "build-1.receipt", "--require", "log"]);
    assert_eq!(place.error(2, &["verify", "build-1.receipt", "--require", "rollback"]), "invalid_input");
    assert_eq!(place.error(2, &["verify", "--require", "log"]), "invalid_input");
    assert_eq!(place.error(2, &["verify", "build-1.receipt", "--vkey", "none"]), "invalid_input");
    assert_eq!(place.error(2, &["verify", "build-1", "build-1.receipt"]), "invalid_input");
}

/// How much evidence the test of memory exports, in MiB; more where a long run is wanted.
fn evidence_mib() -> usize {
    std::env::var("BUNDLE_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(192)
}

/// The peak of a command's memory, in KiB. It must end with this status.
fn peak_memory(place: &Place, status: i32, args: &[&str]) -> u64 {
    let mut child = place.command(args).stdout(Stdio::null()).spawn().unwrap();
    let proc = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let text = std::fs::read_to_string(&proc).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kibibytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(ended.code(), Some(status), "{args:?}");
    peak
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_a_bundle() {
    const EACH: usize = 8;
    let place = Place::new();
    let ledger = Ledger::create(place.path().join("ledger.db")).unwrap();
    let mut run =
        ledger.start("large", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    run.advance("COLLECT", "collecting").unwrap();
    for index in 0..evidence_mib() / EACH {
        let line = format!("line of log {index}\n");
        run.put(&format!("log {index}"), line.repeat((EACH << 20) / line.len()).as_bytes(), Put::text()).unwrap();
    }
    run.advance("EVALUATE", "collected").unwrap();
    run.evaluate().unwrap();
    run.advance("DECIDE", "evaluated").unwrap();
    run.finalize("done").unwrap();
    drop((run, ledger));
    place.ok(&["init", "--ledger", "other.db"]);
    for args in [
        &["export", "--ledger", "ledger.db", "large", "-o", "large.receipt"][..],
        &["verify", "large.receipt"],
        &["replay", "large.receipt"],
        &["import", "--ledger", "other.db", "large.receipt"],
    ] {
        let peak = peak_memory(&place, 0, args);
        println!("{args:?}: {peak} KiB");
        assert!(peak > 0 && peak < 64 << 10, "{args:?}: {peak} KiB");
    }
    let size = std::fs::metadata(place.path().join("large.receipt")).unwrap().len();
    assert!(size > (evidence_mib() as u64) << 20, "the control: the bundle holds the evidence");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_of_replay_is_bounded_by_its_limit() {
    let place = Place::new();
    let ledger = Ledger::create(place.path().join("ledger.db")).unwrap();
    let mut run =
        ledger.start("long", Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
    let item = || Append::new(EventType::Decision, Object::from_iter([("decision_id", "continue with the next item")]));
    for _ in 0..30 {
        run.append_batch((0..1000).map(|_| item()).collect()).unwrap();
    }
    run.evaluate().unwrap();
    drop((run, ledger));
    place.ok(&["export", "--ledger", "ledger.db", "long", "-o", "long.receipt"]);
    let whole = peak_memory(&place, 0, &["verify", "long.receipt"]);
    let refused = peak_memory(&place, 3, &["verify", "long.receipt", "--replay-limit", "4"]);
    println!("judged again: {whole} KiB, over the limit: {refused} KiB");
    assert!(refused > 0 && refused < 64 << 10, "{refused} KiB");
    assert!(whole > refused && whole < 64 << 10, "{whole} KiB");
}

#[test]
fn a_checkpoint_travels_with_the_run_and_is_held_to_its_key() {
    let place = Place::new();
    let key = |name: &str, file: &str| place.ok(&["keygen", name, file]).trim_end().to_owned();
    let (ours, theirs) = (key("example.org/log", "ours.key"), key("example.org/log", "theirs.key"));
    place.ok(&["exec", "--run", "build-1", "--", "true"]);
    place.ok(&["checkpoint", "--key", "ours.key"]);
    place.ok(&["export", "build-1", "-o", "build-1.receipt"]);
    let verdict = |report: &serde_json::Value, name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    let good = place.json(0, &["verify", "build-1.receipt", "--vkey", &ours, "--require", "log,tail"]);
    assert_eq!((verdict(&good, "log"), verdict(&good, "tail")), ("pass".to_owned(), "pass".to_owned()));
    assert_eq!(verdict(&place.json(1, &["verify", "build-1.receipt", "--vkey", &theirs]), "log"), "fail");
    assert_eq!(place.error(2, &["verify", "build-1.receipt", "--expect", "build-1=1:sha256:0"]), "invalid_input");
    std::fs::write(place.path().join("ours.vkey"), ours).unwrap();
    place.ok(&["init", "--ledger", "archive.db"]);
    place.ok(&["import", "--ledger", "archive.db", "build-1.receipt", "--vkey", "ours.vkey"]);
}

#[test]
fn evidence_recorded_by_digest_is_listed_and_left_open() {
    let place = Place::new();
    std::fs::write(place.path().join("disk.img"), "an image").unwrap();
    place.ok(&["init"]);
    place.ok(&["start", "build-1"]);
    place.ok(&["put", "build-1", "image", "disk.img", "--by-digest"]);
    place.gives(3, &["finalize", "build-1", "--verdict", "unknown"]);
    place.ok(&["export", "build-1", "-o", "build-1.receipt"]);
    let report = place.json(3, &["verify", "build-1.receipt"]);
    let checks = report["checks"].as_array().unwrap();
    let evidence = checks.iter().find(|check| check["check"] == "evidence").unwrap();
    assert_eq!(evidence["reasons"][0]["code"], "EVIDENCE_WITHHELD", "{evidence}");
    assert_eq!(report["absent"][0]["key"], "image");
}

#[test]
fn the_export_of_a_run_that_fails_in_its_ledger_says_so() {
    let place = exported();
    let sound = place.json(0, &["export", "build-1", "-o", "sound.receipt"]);
    assert_eq!(sound["ledger_verdict"], "pass", "the control");
    // The bundle says that bytes were removed, and not that no receipt is in the ledger.
    place.tamper("UPDATE blobs SET state = 'expired_hash_only', data = NULL WHERE rowid = 1");
    assert_eq!(place.json(1, &["verify", "build-1"])["overall_verdict"], "fail", "the control");
    let output = place.run(&["export", "build-1", "-o", "false.receipt"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("verify of it is FAIL"), "{output:?}");
    assert!(place.path().join("false.receipt").exists());
    let document = place.json(1, &["export", "build-1", "-o", "again.receipt"]);
    assert_eq!(document["ledger_verdict"], "fail");
    assert!(!document["ledger_checks"].as_array().unwrap().is_empty());
    let out = place.run(&["export", "build-1", "-o", "-"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(out.stdout, std::fs::read(place.path().join("false.receipt")).unwrap());
}

#[test]
fn a_tampered_run_is_exported_as_it_lies_there_and_its_bundle_fails_too() {
    let edit = |from: &str, to: &str, at: &str| {
        format!("UPDATE events SET envelope_json = replace(envelope_json, '{from}', '{to}') WHERE {at}")
    };
    let (last, middle) = ("event_type = 'RUN_FINALIZE'", "seq = 4");
    let row = |column: &str| format!("UPDATE runs SET {column} = 'other'");
    let acts = [
        ("an event", edit("\"seq\":4", "\"seq\":5", middle), "content"),
        ("its claimed hash", edit("\"event_hash\":\"sha256:", "\"event_hash\":\"sha256:0", middle), "error"),
        ("the finalize", edit("\"overall_verdict\":\"pass\"", "\"overall_verdict\":\"warn\"", last), "content"),
        ("the order", "UPDATE events SET seq = 1000 WHERE seq = 4".to_owned(), "content"),
        ("a removed event", "DELETE FROM events WHERE seq = 4".to_owned(), "content"),
        ("the removed beginning", "DELETE FROM events WHERE seq = 1".to_owned(), "content"),
        ("the run's row", row("policy_version"), "columns"),
        ("evidence", "UPDATE blobs SET data = zeroblob(bytes_len) WHERE bytes_len > 0".to_owned(), "evidence"),
        ("removed evidence", "DELETE FROM blobs".to_owned(), "evidence"),
        // No bundle has an event's columns: its bytes are sound.
        ("a column", format!("UPDATE events SET event_type = 'DECISION' WHERE {middle}"), "sound"),
        ("a column of the last", format!("UPDATE events SET event_hash = 'sha256:0' WHERE {last}"), "sound"),
        ("no envelope", format!("UPDATE events SET envelope_json = 'none' WHERE {middle}"), "error"),
    ];
    for (act, sql, check) in acts {
        let place = exported();
        place.ok(&["keygen", "example.org/log", "log.key"]);
        place.ok(&["checkpoint", "--key", "log.key"]);
        assert_eq!(place.json(0, &["verify", "build-1"])["overall_verdict"], "pass", "the control");
        place.tamper(&sql);
        assert_eq!(place.json(1, &["verify", "build-1"])["overall_verdict"], "fail", "{act}: the control");
        let export = ["export", "build-1", "-o", "it.receipt"];
        if check == "error" {
            assert_eq!(place.error(4, &export), "run_broken", "{act}");
            assert!(!place.path().join("it.receipt").exists(), "{act}");
            continue;
        }
        let output = place.run(&export);
        assert_eq!(output.status.code(), Some(1), "{act}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("verify of it is FAIL"), "{act}: {output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr).contains("no proof of the log"),
            act.ends_with("finalize") || act.ends_with("last"),
            "{act}: {output:?}"
        );
        let part = place.run(&["export", "build-1", "-o", "part.receipt", "--withhold", "stdout"]);
        let refused = check == "content";
        assert_eq!(part.status.code(), Some(if refused { 4 } else { 1 }), "{act}: {part:?}");
        assert_eq!(place.path().join("part.receipt").exists(), !refused, "{act}");
        if check == "sound" {
            assert_eq!(place.json(0, &["verify", "it.receipt"])["overall_verdict"], "pass", "{act}");
            continue;
        }
        let report = place.json(1, &["verify", "it.receipt"]);
        let failed = |named: &&serde_json::Value| named["verdict"] == "fail";
        let checks = report["checks"].as_array().unwrap().iter().filter(failed);
        let names: Vec<_> = checks.map(|found| found["check"].as_str().unwrap()).collect();
        assert!(names.contains(&check) && !names.contains(&"format"), "{act}: {report}");
    }
}
