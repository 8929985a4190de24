//! A full disk is told as what it is, nothing acknowledged is lost by it, and the work goes on when there is space.
//!
//! The small file system is a tmpfs in a mount namespace of its own, which is gone with the process that made it. Where
//! no namespace can be made these tests are skipped, and say so.

#![cfg(target_os = "linux")]

use crate::common::{RECEIPT, alone, on};
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::store::StoreErrorKind;
use receipt_kernel::{Actor, Append, Check, Error, ErrorKind, EventType, Ledger, Object, Policy, Put, Value, Verdict};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Mounts a file system of a size over the folder `$0`, and runs the rest in it.
const MOUNT: &str = r#"size=$1; shift; mount -t tmpfs -o "size=$size" tmpfs "$0" && exec "$@""#;

/// The command that runs another one with a small file system over a folder; `None` where that is not possible here.
fn in_a_small_file_system(folder: &Path, size: &str) -> Option<Command> {
    // As root first, then as somebody who is root only in a namespace.
    for flags in [&["-m"][..], &["-r", "-m"]] {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(flags).args(["sh", "-c", MOUNT]).arg(folder).arg(size).stdin(Stdio::null());
            command
        };
        if command().arg("true").output().is_ok_and(|output| output.status.success()) {
            return Some(command());
        }
    }
    // Past the capture of test output, so that it is seen.
    std::io::stderr().write_all(b"SKIPPED: a full disk: no mount namespace can be made here\n").unwrap();
    None
}

/// Runs one of the parts below in a file system of 1 MiB.
fn run_part(part: &str) {
    run_part_in("1m", part);
}

fn run_part_in(size: &str, part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = in_a_small_file_system(folder.path(), size) else { return };
    let part = format!("full_disk::{part}");
    let part = command.arg(std::env::current_exe().unwrap()).args(["--exact", &part, "--ignored", "--nocapture"]);
    let output = part.env("SMALL_FOLDER", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    print!("{said}");
}

fn actor() -> Actor {
    Actor::new("system", "writer")
}

/// An event of about so many bytes that do not repeat.
fn event(n: usize, bytes: usize) -> Append {
    let words = (0..bytes / 8).map(|part| format!("{:08x}", (n * 7919 + part) * 40_503 % 0xFFFF_FFFF));
    let text = words.collect::<Vec<_>>().concat();
    let payload = Object::from_iter([("n", Value::from(n)), ("text", Value::from(text))]);
    Append::new(EventType::Decision, payload).with_key(format!("key-{n}"))
}

/// Everything that was acknowledged is there and nothing else, and the audit has nothing to say but that it goes on.
fn assert_has(ledger: &Ledger, acknowledged: &[usize]) {
    let mut found = Vec::new();
    let read = ledger.events("run", &mut |event| {
        if event.event_type == EventType::Decision {
            found.extend(event.payload.get("n").and_then(Value::as_i64).map(|n| usize::try_from(n).unwrap()));
        }
    });
    assert!(read.unwrap().findings.is_empty());
    assert_eq!(found, acknowledged);
    let report = ledger.audit().unwrap();
    for check in [Check::Content, Check::Columns, Check::Evidence, Check::Commitment] {
        let found = report.check(check).unwrap();
        assert_eq!(found.verdict, Verdict::Pass, "{check}: {:?}", found.reasons);
    }
    assert_eq!(report.check(Check::Path).unwrap().verdict, Verdict::Warn);
}

#[track_caller]
fn assert_full(error: &Error) {
    assert_eq!(error.of_store(), Some(StoreErrorKind::Full), "{error:?}");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Stop, "disk_full"));
    assert!(error.hint().contains("free some space"));
}

#[test]
fn a_full_disk_loses_nothing_and_the_writer_goes_on_when_there_is_space() {
    run_part("in_a_small_file_system_a_writer_goes_on");
}

#[test]
#[ignore = "a part of another test, which gives it a small file system"]
fn in_a_small_file_system_a_writer_goes_on() {
    let Some(folder) = std::env::var_os("SMALL_FOLDER") else { return };
    for compressed in [false, true] {
        goes_on_when_there_is_space(Path::new(&folder), compressed);
    }
}

fn goes_on_when_there_is_space(folder: &Path, compressed: bool) {
    fs::write(folder.join("ballast"), vec![1; 400 << 10]).unwrap();
    let path = folder.join("ledger.db");
    let ledger = if compressed { Ledger::create_compressed(&path) } else { Ledger::create(&path) }.unwrap();
    let mut run = ledger.start("run", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let mut acknowledged = Vec::new();
    let error = loop {
        match run.append(event(acknowledged.len(), 3000)) {
            Ok(_) => acknowledged.push(acknowledged.len()),
            Err(error) => break error,
        }
    };
    println!("full after {} events: {error}", acknowledged.len());
    assert!(acknowledged.len() > 2);
    assert_full(&error);
    assert_has(&ledger, &acknowledged);
    // Full again, as an event, as a batch and as evidence; each as a whole or not at all.
    let next = acknowledged.len();
    assert_full(&run.append_batch((next..next + 100).map(|n| event(n, 3000)).collect()).unwrap_err());
    let mut bytes = Vec::new();
    (0..60_000_u32).for_each(|n| bytes.extend(n.wrapping_mul(2_654_435_761).to_le_bytes()));
    assert_full(&run.put("large", &bytes, Put::of_type("application/octet-stream")).unwrap_err());
    // More than a piece of what is compressed.
    (60_000..800_000_u32).for_each(|n| bytes.extend(n.wrapping_mul(2_654_435_761).to_le_bytes()));
    assert_full(&run.put("larger", &bytes, Put::of_type("application/octet-stream")).unwrap_err());
    assert_full(&ledger.start("other", Policy::structural().unwrap(), actor(), event(0, 60_000).payload).unwrap_err());
    assert!(!ledger.has_run("other").unwrap());
    assert_has(&ledger, &acknowledged);
    // Another process still reads it.
    let read = receipt(&path, &["log", "run"]);
    assert_eq!(read.status.code(), Some(0), "{read:?}");

    fs::remove_file(folder.join("ballast")).unwrap();
    // The retry of the event that did not fit, by its key, and its repetition.
    for repeated in [false, true] {
        assert_eq!(run.append(event(next, 3000)).unwrap().repeated, repeated);
    }
    acknowledged.push(next);
    assert_has(&ledger, &acknowledged);
    drop((run, ledger));
    let ledger = Ledger::open(&path).unwrap();
    assert_has(&ledger, &acknowledged);
    ledger.recover("run", actor()).unwrap();
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Pass);
    drop(ledger);
    fs::remove_file(&path).unwrap();
}

fn receipt(ledger: &Path, args: &[&str]) -> Output {
    on(ledger, args).output().unwrap()
}

/// The error that the command printed.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let document = json::parse(output.stdout.trim_ascii_end(), Limits::READ).unwrap_or_else(|_| panic!("{output:?}"));
    let error = document.get("error").unwrap_or_else(|| panic!("{output:?}"));
    let text = |key| error.get(key).and_then(Value::as_str).unwrap().to_owned();
    (output.status.code(), text("kind"), text("hint"))
}

/// Appends by the command line until it fails; gives what was acknowledged and the failure.
fn fill(path: &Path, append: impl Fn(&Path, &[&str]) -> Output) -> (Vec<usize>, Output) {
    let mut acknowledged = Vec::new();
    loop {
        let n = acknowledged.len();
        let payload = format!("{{\"n\":{n},\"text\":\"{}\"}}", "0123456789abcdef".repeat(1500));
        let output = append(path, &["append", "run", "DECISION", "--payload", &payload, "--key", &format!("key-{n}")]);
        if !output.status.success() {
            return (acknowledged, output);
        }
        acknowledged.push(n);
        assert!(n < 1000, "it does not become full");
    }
}

#[test]
fn a_full_disk_ends_the_command_with_status_4_and_a_hint() {
    run_part("in_a_small_file_system_the_command_tells_what_is_wrong");
}

#[test]
#[ignore = "a part of another test, which gives it a small file system"]
fn in_a_small_file_system_the_command_tells_what_is_wrong() {
    let Some(folder) = std::env::var_os("SMALL_FOLDER") else { return };
    let folder = Path::new(&folder);
    fs::write(folder.join("ballast"), vec![1; 400 << 10]).unwrap();
    let path = folder.join("ledger.db");
    assert!(receipt(&path, &["init"]).status.success());
    assert!(receipt(&path, &["start", "run"]).status.success());
    let (mut acknowledged, failure) = fill(&path, receipt);
    println!("full after {} appends of the command", acknowledged.len());
    let (status, kind, hint) = told(&failure);
    assert_eq!((status, kind.as_str()), (Some(4), "disk_full"), "{failure:?}");
    assert!(hint.contains("free some space"), "{hint}");
    // With not one byte left.
    let mut ballast = fs::OpenOptions::new().append(true).open(folder.join("ballast")).unwrap();
    while ballast.write(&[1; 64]).is_ok_and(|count| count > 0) {}
    drop(ballast);
    let (status, kind, hint) = told(&receipt(&path, &["append", "run", "DECISION", "--payload", "{\"n\":-1}"]));
    assert_eq!((status, kind.as_str()), (Some(4), "disk_full"));
    assert!(hint.contains("free some space"), "{hint}");

    fs::remove_file(folder.join("ballast")).unwrap();
    let verified = receipt(&path, &["verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let n = acknowledged.len();
    let payload = format!("{{\"n\":{n},\"text\":\"{}\"}}", "0123456789abcdef".repeat(1500));
    let retry = receipt(&path, &["append", "run", "DECISION", "--payload", &payload, "--key", &format!("key-{n}")]);
    assert_eq!(retry.status.code(), Some(0), "{retry:?}");
    acknowledged.push(n);
    let ledger = Ledger::open(&path).unwrap();
    assert_has(&ledger, &acknowledged);
    drop(ledger);
    assert!(receipt(&path, &["recover", "run"]).status.success());
    assert_eq!(receipt(&path, &["verify"]).status.code(), Some(0));
}

#[test]
fn output_that_a_full_disk_keeps_off_the_record_is_put_there_by_a_recovery() {
    run_part_in("40m", "in_a_small_file_system_output_waits_for_a_recovery");
}

#[test]
#[ignore = "a part of another test, which gives it a small file system"]
fn in_a_small_file_system_output_waits_for_a_recovery() {
    let Some(folder) = std::env::var_os("SMALL_FOLDER") else { return };
    let folder = Path::new(&folder);
    let path = folder.join("ledger.db");
    assert!(receipt(&path, &["init"]).status.success());
    // The files of the output fit, and then the command takes the space that is left.
    let script = "seq 1 1400000; \
                  for n in $(seq 600); do grep -qs -a '^1400000$' *-rest1 && break; sleep 0.1; done; \
                  head -c $(($(stat -f -c '%a * %S' .) - 40960)) /dev/zero > ballast";
    let out = receipt(&path, &["exec", "--run", "run", "--", "sh", "-c", script]);
    let (status, kind, _) = told(&out);
    assert_eq!((status, kind.as_str()), (Some(125), "disk_full"), "{}", String::from_utf8_lossy(&out.stdout));
    let document = json::parse(out.stdout.trim_ascii_end(), Limits::READ).unwrap();
    assert!(document.get("overall_verdict").unwrap().is_null(), "nothing can follow in a run that is finalized");
    let left = document.get("left").and_then(Value::as_array).unwrap()[0].as_str().unwrap();
    let file = left.strip_prefix("stdout is kept in ").unwrap_or_else(|| panic!("{left}"));
    assert!(fs::metadata(file).unwrap().is_file(), "{file}");

    fs::remove_file(folder.join("ballast")).unwrap();
    let recovered = receipt(&path, &["recover", "run"]);
    assert!(recovered.status.success(), "{recovered:?}");
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.snapshot("run", &[]).unwrap().facts().recorded_verdict, Some(Verdict::Unknown));
    assert_eq!(length(&ledger, "run"), Some((1..=1_400_000).map(|n: u32| n.to_string().len() + 1).sum()));
    assert_eq!(receipt(&path, &["verify"]).status.code(), Some(0));
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().contains("-spool-")));
}

/// How many bytes of standard output are on record of a run.
fn length(ledger: &Ledger, run: &str) -> Option<usize> {
    let snapshot = ledger.snapshot(run, &[]).unwrap();
    let key = |put: &receipt_kernel::core::run::Event| put.payload.get("key").and_then(Value::as_str) == Some("stdout");
    let put = snapshot.of_type(EventType::EvidencePut).find(|put| key(put))?;
    let hash = receipt_kernel::BlobRef::parse(put.payload.get("evidence")?.get("ref")?.as_str()?)?.0;
    let bytes = ledger.blob(&hash).unwrap();
    let listed = json::parse(&bytes, Limits::READ).ok().and_then(|list| list.get("bytes_len").and_then(Value::as_i64));
    Some(listed.map_or(bytes.len(), |len| usize::try_from(len).unwrap()))
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    assert!(receipt(&path, &["init"]).status.success());
    assert!(receipt(&path, &["start", "run"]).status.success());
    // The signal that would end the process is ignored, so that the write itself fails.
    let limited = |path: &Path, args: &[&str]| {
        let script = r#"trap "" XFSZ; ulimit -f 600; exec "$0" --json --ledger "$@""#;
        let mut command = alone("sh", path.parent().unwrap());
        command.args(["-c", script, RECEIPT]).arg(path).args(args);
        command.output().unwrap()
    };
    let (mut acknowledged, failure) = fill(&path, limited);
    println!("at the limit after {} appends: {}", acknowledged.len(), String::from_utf8_lossy(&failure.stdout));
    assert!(acknowledged.len() > 2);
    let (status, _, hint) = told(&failure);
    assert_eq!(status, Some(4));
    assert!(!hint.is_empty(), "{failure:?}");
    let ledger = Ledger::open(&path).unwrap();
    assert_has(&ledger, &acknowledged);
    drop(ledger);
    // The same without the limit.
    let n = acknowledged.len();
    let payload = format!("{{\"n\":{n}}}");
    let retry = receipt(&path, &["append", "run", "DECISION", "--payload", &payload, "--key", &format!("key-{n}")]);
    assert_eq!(retry.status.code(), Some(0), "{retry:?}");
    acknowledged.push(n);
    assert_has(&Ledger::open(&path).unwrap(), &acknowledged);
}
