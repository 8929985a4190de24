//! A recorder that is ended before its command: what was shown until then is on record, and nothing lies about in clear.

use crate::common::{Place, RECEIPT};
use crate::recorded::{signal, text};
use receipt_kernel::{EventType, Value, Verdict};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const RECIPIENT: &str = "age1l9kdttktc9g6lzhm4uksn2qvjylw7klzhc50gvghf5rv53uuf5rq4r39zz";

/// A recorder whose command says its process id first; it is not in the recorder's hands any more when that is killed.
struct Interrupted {
    recorder: Child,
    command: String,
}

impl Interrupted {
    fn start(place: &Place, options: &[&str], script: &str) -> Self {
        Self::start_as(place, "r", options, script)
    }

    fn start_as(place: &Place, run: &str, options: &[&str], script: &str) -> Self {
        let script = format!("echo $$; {script}; exec sleep 60");
        let mut command = place.command(&[&["exec", "--run", run], options, &["--", "bash", "-c", &script]].concat());
        let mut recorder = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(recorder.stdout.take().unwrap());
        let mut command = String::new();
        out.read_line(&mut command).unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { recorder, command }
    }

    fn kill(&mut self) {
        signal(&self.recorder, "KILL");
        self.recorder.wait().unwrap();
        let _ = Command::new("kill").args(["-9", self.command.trim()]).status();
    }
}

/// The files that lie beside the ledger because of a recording.
fn spools(place: &Place) -> Vec<PathBuf> {
    let names = fs::read_dir(place.path().join(".receipt")).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains("-spool-")).collect()
}

/// Waits until one of them holds a text.
fn until_saved(place: &Place, wanted: &str) {
    for _ in 0..1200 {
        let holds = |path: &PathBuf| text(&fs::read(path).unwrap_or_default()).contains(wanted);
        if spools(place).iter().any(holds) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{wanted:?} was never saved");
}

/// What `seq 1 LAST` prints.
fn numbers(last: u32) -> String {
    let mut text = String::new();
    for number in 1..=last {
        text.push_str(&number.to_string());
        text.push('\n');
    }
    text
}

#[test]
fn what_was_shown_until_the_recorder_was_killed_is_on_record() {
    for (script, shown) in [
        ("echo one; printf partial", "one\npartial".to_owned()),
        ("seq 1 400000", numbers(400_000)),
        ("seq 1 400000; printf end", (1..=400_000).map(|n| format!("{n}\n")).chain(["end".to_owned()]).collect()),
    ] {
        let place = Place::new();
        let script = format!("trap '' INT TERM; echo error >&2; {script}");
        let mut interrupted = Interrupted::start(&place, &[], &script);
        until_saved(&place, &shown[shown.len() - 6..]);
        until_saved(&place, "error\n");
        // As a job is cancelled: first asked, then killed.
        signal(&interrupted.recorder, "INT");
        signal(&interrupted.recorder, "TERM");
        // While it lives nobody takes it for interrupted.
        assert_eq!(place.error(2, &["recover", "r"]), "run_being_recorded");
        interrupted.kill();
        assert_eq!(place.verdict(), None);
        place.ok(&["recover", "r"]);
        assert_eq!(place.snapshot().facts().recorded_verdict, Some(Verdict::Unknown));
        let stdout = text(&place.evidence("stdout"));
        assert!(stdout == interrupted.command.clone() + &shown, "{} bytes", stdout.len());
        assert_eq!(place.evidence("stderr"), b"error\n");
        assert!(place.evidence_ref("exit_status").is_none());
        assert!(spools(&place).is_empty());
        place.ok(&["verify"]);
    }
}

#[test]
fn a_run_is_not_recovered_while_its_recorder_lives() {
    // The command itself asks, long before anything is saved; and another one prints nothing at all.
    for (script, said) in [("echo result", "result\n"), ("true", "")] {
        let place = Place::new();
        let tries = format!("{RECEIPT} recover r; echo $? > one; {RECEIPT} recover --all; echo $? > all; {script}");
        let out = place.command(&["exec", "-q", "--run", "r", "--", "sh", "-c", &tries]).output().unwrap();
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), said.to_owned()), "{}", text(&out.stderr));
        for file in ["one", "all"] {
            assert_eq!(fs::read(place.path().join(file)).unwrap(), b"2\n");
        }
        assert!(text(&out.stderr).contains("still being recorded"), "{}", text(&out.stderr));
        assert_eq!((place.verdict(), text(&place.evidence("stdout"))), (Some(Verdict::Pass), said.to_owned()));
        assert!(spools(&place).is_empty());
    }
}

#[test]
fn another_recorder_of_the_run_destroys_nothing() {
    let refused = |place: &Place| {
        let out = place.run(&["--json", "exec", "--run", "r", "--", "touch", "ran"]);
        assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
        let document: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        document["error"]["kind"].as_str().unwrap().to_owned()
    };
    let place = Place::new();
    let mut interrupted = Interrupted::start(&place, &[], "echo shown");
    assert_eq!(refused(&place), "run_being_recorded");
    until_saved(&place, "shown\n");
    interrupted.kill();
    assert_eq!(refused(&place), "run_exists");
    place.ok(&["recover", "r"]);
    assert_eq!(text(&place.evidence("stdout")), interrupted.command.clone() + "shown\n");
    assert_eq!(refused(&place), "run_exists");
    assert!(spools(&place).is_empty() && !place.path().join("ran").exists());
    // Files of a run that is in no ledger any more are in nobody's way.
    let mut interrupted = Interrupted::start_as(&place, "s", &[], "echo shown");
    until_saved(&place, "shown\n");
    interrupted.kill();
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(place.path().join(format!(".receipt/ledger.db{ending}")));
    }
    place.ok(&["exec", "-q", "--run", "s", "--", "true"]);
    assert!(spools(&place).is_empty());
}

#[test]
fn a_ledger_has_its_files_beside_it_by_whatever_path_it_is_named() {
    let place = Place::with_ledger();
    fs::create_dir(place.path().join("links")).unwrap();
    std::os::unix::fs::symlink("../.receipt/ledger.db", place.path().join("links/l.db")).unwrap();
    std::os::unix::fs::symlink(".receipt", place.path().join("folder")).unwrap();
    let absolute = place.ledger_path().display().to_string();
    let paths = ["links/l.db", "folder/ledger.db", "links/../.receipt/ledger.db", &absolute, ".receipt/ledger.db"];
    for (n, path) in paths.iter().enumerate() {
        let run = format!("r{n}");
        let mut interrupted = Interrupted::start_as(&place, &run, &["--ledger", path], "echo shown");
        for other in paths {
            assert_eq!(place.error(2, &["--ledger", other, "recover", &run]), "run_being_recorded", "{path} {other}");
        }
        until_saved(&place, "shown\n");
        interrupted.kill();
        place.ok(&["--ledger", paths[(n + 1) % paths.len()], "recover", &run]);
        assert!(place.ok(&["cat", &run, "stdout"]).ends_with("shown\n"), "{path}");
        assert!(spools(&place).is_empty() && fs::read_dir(place.path().join("links")).unwrap().count() == 1);
    }
}

#[test]
fn no_output_of_a_run_is_a_file_of_a_recorder() {
    for ledger in [".receipt/ledger.db", "links/l.db"] {
        let place = Place::with_ledger();
        fs::create_dir(place.path().join("links")).unwrap();
        std::os::unix::fs::symlink("../.receipt/ledger.db", place.path().join("links/l.db")).unwrap();
        let args = ["--ledger", ledger, "exec", "--run", "r", "--output", ".", "--", "sh", "-c"];
        let script = "echo shown; for n in $(seq 600); do grep -qs shown .receipt/*-rest0 && break; sleep 0.1; done";
        place.ok(&[&args[..], &[script]].concat());
        let list = place.recorded("output:.");
        let entries = list.get("entries").and_then(Value::as_array).unwrap();
        let spools = entries.iter().filter(|entry| entry.get("path").unwrap().as_str().unwrap().contains("-spool-"));
        let types: Vec<_> = spools.map(|entry| entry.get("type").and_then(Value::as_str).unwrap()).collect();
        assert!(types.len() >= 3 && types.iter().all(|kind| *kind == "ledger"), "{types:?}");
        // Nor if somebody names one.
        let out = place.run(&["exec", "--run", "s", "--output", ".receipt/ledger.db", "--", "true"]);
        assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("it is the ledger itself"), "{}", text(&out.stderr));
    }
}

#[test]
fn what_is_torn_is_taken_in_as_far_as_it_is_whole() {
    let place = Place::new();
    let mut interrupted = Interrupted::start(&place, &[], "seq 1 900000");
    until_saved(&place, "\n900000\n");
    interrupted.kill();
    // The machine stopped in the midst of the second segment, and of what came after it.
    let largest = spools(&place).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    assert!(!largest.to_string_lossy().contains("-rest"));
    let bytes = fs::read(&largest).unwrap();
    fs::write(&largest, &bytes[..(3 << 20) / 2]).unwrap();
    place.ok(&["recover", "r"]);
    let stdout = text(&place.evidence("stdout"));
    let whole = numbers(900_000);
    assert_eq!(stdout.len(), 1 << 20);
    assert!((interrupted.command + &whole).starts_with(&stdout));
    place.ok(&["verify"]);
}

#[test]
fn a_file_that_no_recorder_wrote_holds_up_no_recovery() {
    let frame = |len: u64, plain: u64| {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        format!(r#"{{"after":0,"len":{len},"plain":{plain},"recipients":[],"save":1,"sha256":"{hash}"}}"#) + "\n"
    };
    let header = |file: &Path| text(&fs::read(file).unwrap()).lines().next().unwrap().to_owned() + "\n";
    let pipe = |file: &Path| {
        fs::remove_file(file).unwrap();
        assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    };
    let link = |file: &Path| {
        fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", file).unwrap();
    };
    let claims = |file: &Path| fs::write(file, header(file) + &frame(0, 1 << 62) + &frame(1 << 62, 1 << 62)).unwrap();
    let many = |file: &Path| fs::write(file, header(file) + &frame(0, 0).repeat(100_000)).unwrap();
    let acts: [&dyn Fn(&Path); 4] = [&pipe, &link, &claims, &many];
    for act in acts {
        for rest in [false, true] {
            let place = Place::new();
            let mut interrupted = Interrupted::start(&place, &[], "echo shown");
            until_saved(&place, "shown\n");
            interrupted.kill();
            let is_rest = |path: &PathBuf| path.to_string_lossy().contains("-rest");
            for path in spools(&place).iter().filter(|path| is_rest(path) == rest) {
                act(path);
            }
            let recovered = place.alone("timeout").args(["60", RECEIPT, "recover", "r"]).output().unwrap();
            assert!(recovered.status.success(), "{recovered:?}");
            assert_eq!(place.snapshot().facts().recorded_verdict, Some(Verdict::Unknown));
            place.ok(&["verify"]);
        }
    }
}

#[test]
fn reading_ends_at_a_frame_that_does_not_fit_the_class_of_its_file() {
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let frame = |bytes: &str, plain: usize, recipients: &str, after: u64| {
        let hash = receipt_kernel::core::id::BlobHash::of(bytes.as_bytes());
        let (len, save) = (bytes.len(), 1);
        let line = format!(
            r#"{{"after":{after},"len":{len},"plain":{plain},"recipients":[{recipients}],"save":{save},"sha256":"{hash}"}}"#
        );
        line + "\n" + bytes
    };
    let segment = "0123456789abcdef".repeat(1 << 16);
    let plain = format!("token {secret}\n");
    let age = "age-encryption.org/v1\n-> X25519 of another time\n---\n";
    let named = format!("\"age1l9k\",\"{secret}\"");
    // The class that the header says, the segments, the rest, and how many bytes of evidence are on record.
    for (class, segments, rest, kept) in [
        (
            "public",
            segment.len(),
            frame(&plain, plain.len(), "", 1),
            Some(segment.len() + "token [REDACTED:github_token]\n".len()),
        ),
        ("public", 0, frame(&plain, plain.len(), "\"x\"", 0), None),
        ("public", segment.len(), frame(&plain, plain.len() - 1, "\"x\"", 1), Some(segment.len())),
        ("public", segment.len(), frame(age, 1, "\"x\"", 1), Some(segment.len())),
        ("public", segment.len(), frame(&plain, 1, "", 1), Some(segment.len())),
        ("sealed", 0, frame(&plain, plain.len(), "", 0), None),
        ("sealed", 0, frame(&plain, 1, "\"x\"", 0), None),
        ("sealed", segment.len(), frame(age, 1, &named, 1), None),
        ("sealed", 0, frame(age, 1, &named, 0), Some(age.len())),
        ("other", 0, frame(&plain, plain.len(), "", 0), None),
    ] {
        let place = Place::new();
        let mut interrupted = Interrupted::start(&place, &[], "echo shown");
        until_saved(&place, "shown\n");
        interrupted.kill();
        let is_first = |path: &PathBuf| {
            let of_stdout = text(&fs::read(path).unwrap()).contains("\"key\":\"stdout\"");
            of_stdout && !path.to_string_lossy().contains("-rest")
        };
        let first = spools(&place).into_iter().find(is_first).unwrap();
        let header = text(&fs::read(&first).unwrap()).lines().next().unwrap().replace("public", class) + "\n";
        let segments = if segments > 0 { frame(&segment, segments, "", 0) } else { String::new() };
        fs::write(&first, header.clone() + &segments).unwrap();
        let rest0 = PathBuf::from(format!("{}-rest0", first.display()));
        let _ = fs::remove_file(format!("{}-rest1", first.display()));
        fs::write(&rest0, header + &rest).unwrap();
        place.ok(&["recover", "r"]);
        assert_eq!(place.snapshot().facts().recorded_verdict, Some(Verdict::Unknown));
        place.ok(&["verify"]);
        let bytes = place.evidence_ref("stdout").map(|_| place.evidence("stdout").len());
        assert_eq!(bytes, kept, "{class} {rest}");
        for path in fs::read_dir(place.path().join(".receipt")).unwrap().map(|entry| entry.unwrap().path()) {
            let is_spool = path.to_string_lossy().contains("-spool-");
            assert!(is_spool || !text(&fs::read(&path).unwrap()).contains(&secret), "{class}: {}", path.display());
        }
    }
}

#[test]
fn secrets_are_in_no_file_that_is_kept_for_a_recovery() {
    let place = Place::new();
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let mut interrupted = Interrupted::start(&place, &[], &format!("echo token {secret}; seq 1 300000; echo {secret}"));
    until_saved(&place, "\n300000\n[REDACTED");
    interrupted.kill();
    for path in spools(&place) {
        assert!(!text(&fs::read(&path).unwrap()).contains(&secret));
    }
    place.ok(&["recover", "r"]);
    assert!(!text(&place.evidence("stdout")).contains(&secret));
}

#[test]
fn what_is_sealed_lies_nowhere_in_clear() {
    const MARKER: &str = "plain-and-secret";
    let place = Place::with_ledger();
    place.ok(&["recipients", "add", RECIPIENT]);
    // The command line itself is on record in clear: it does not hold the marker.
    let script = "a=plain-and; for n in $(seq 1 200000); do echo $a-secret $n; done";
    let mut interrupted = Interrupted::start(&place, &["--class", "sealed"], script);
    // The files of the folder, and those that the recorder holds and that have no name.
    let open = format!("/proc/{}/fd", interrupted.recorder.id());
    let mut seen = 0;
    let mut quiet = 0;
    while quiet < 40 {
        let files = fs::read_dir(&open).unwrap().chain(fs::read_dir(place.path().join(".receipt")).unwrap());
        let size: u64 = spools(&place).iter().map(|path| fs::metadata(path).map_or(0, |meta| meta.len())).sum();
        quiet = if size == seen && size > 3 << 20 { quiet + 1 } else { 0 };
        seen = size;
        for file in files.map(|file| file.unwrap().path()) {
            if fs::metadata(&file).is_ok_and(|meta| meta.is_file()) {
                let bytes = fs::read(&file).unwrap_or_default();
                assert!(!bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()), "{}", file.display());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    interrupted.kill();
    place.ok(&["recover", "r"]);
    let snapshot = place.snapshot();
    let puts = snapshot.of_type(EventType::EvidencePut);
    let sealed = puts.filter(|put| put.payload.get("meta").is_some_and(|meta| meta.get("sealed").is_some()));
    assert!(sealed.count() >= 4, "its segments are on record, each encrypted");
    place.ok(&["verify"]);
}

#[test]
fn large_and_sealed_output_keeps_what_was_redacted_in_it() {
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    for class in ["public", "sealed"] {
        for (script, key_parts) in [("true", 0), ("seq 1 900000", 2)] {
            let place = Place::with_ledger();
            place.ok(&["recipients", "add", RECIPIENT]);
            let out = place.sh(&["-q", "--class", class], &format!("echo {secret}; {script}; echo {secret}"));
            assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
            let snapshot = place.snapshot();
            let key =
                |put: &receipt_kernel::core::run::Event| put.payload.get("key").unwrap().as_str().unwrap().to_owned();
            let parts = snapshot.of_type(EventType::EvidencePut).filter(|put| key(put).starts_with("stdout.part-"));
            assert!(parts.count() >= key_parts);
            let whole = snapshot.of_type(EventType::EvidencePut).find(|put| key(put) == "stdout").unwrap();
            let redactions = whole.payload.get("meta").and_then(|meta| meta.get("redactions")).and_then(Value::as_i64);
            assert_eq!(redactions, Some(2), "{class} {script}");
            assert!(spools(&place).is_empty());
        }
    }
}
