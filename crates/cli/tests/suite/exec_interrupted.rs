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
        let script = format!("echo $$; {script}; exec sleep 60");
        let mut command = place.command(&[&["exec", "--run", "r"], options, &["--", "bash", "-c", &script]].concat());
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
