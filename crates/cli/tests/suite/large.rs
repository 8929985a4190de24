//! Evidence far larger than the memory that it takes to put it on record.
#![cfg(target_os = "linux")] // where a process can be held to so much data

use crate::common::{Place, RECEIPT};
use crate::forge::{Forger, set};
use receipt_kernel::Object;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Output;

/// Runs the command with so many KiB of data.
fn within(place: &Place, kibibytes: u32, command: &str) -> Output {
    let script = format!("ulimit -d {kibibytes} && exec {RECEIPT} {command}");
    place.alone("sh").args(["-c", &script]).output().unwrap()
}

const MEBIBYTES: usize = 96;

#[test]
fn evidence_is_put_and_written_out_in_less_than_32_mib() {
    for init in [&["init"][..], &["init", "--compress"]] {
        put_and_written_out(init);
    }
}

fn put_and_written_out(init: &[&str]) {
    let place = Place::new();
    place.ok(init);
    place.ok(&["start", "r"]);
    let mut file = BufWriter::new(File::create(place.path().join("big.log")).unwrap());
    (0..MEBIBYTES << 14)
        .for_each(|line| writeln!(file, "line {line:08} of a long log, with nothing secret in it at all").unwrap());
    drop(file);
    let put = within(&place, 32 << 10, "put r log big.log");
    assert!(put.status.success(), "{put:?}");
    let cat = within(&place, 32 << 10, "cat r log | cmp - big.log");
    assert!(cat.status.success(), "{cat:?}");
    let verify = within(&place, 32 << 10, "verify --threads 1");
    assert!(verify.status.success(), "{verify:?}");
    // The same bound is felt by what does not stream.
    let document = within(&place, 32 << 10, "cat r log --json");
    assert!(!document.status.success());
    // From a pipe, which does not say how long it is; and sealed.
    let piped = within(&place, 32 << 10, "put r piped - < big.log");
    assert!(piped.status.success(), "{piped:?}");
    place.ok(&["recipients", "add", "age1l9kdttktc9g6lzhm4uksn2qvjylw7klzhc50gvghf5rv53uuf5rq4r39zz"]);
    let sealed = within(&place, 32 << 10, "put r sealed big.log --class sealed");
    assert!(sealed.status.success(), "{sealed:?}");
    let names = std::fs::read_dir(place.path().join(".receipt")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name.to_string_lossy().starts_with("ledger.db")), "a spool was left behind");
    let size = std::fs::metadata(place.path().join(".receipt/ledger.db")).unwrap().len() >> 20;
    assert_eq!(size > 150, init.len() == 1, "{size} MiB");
}

#[test]
fn evidence_recorded_by_digest_is_settled_by_the_file_and_by_no_other() {
    let place = Place::with_ledger();
    place.file("disk.img", b"as it was");
    for (run, by_digest) in [("plain", false), ("r", true)] {
        place.ok(&["start", run]);
        place.ok(&["advance", run, "COLLECT"]);
        let mut put = vec!["put", run, "image", "disk.img"];
        put.extend(by_digest.then_some("--by-digest"));
        if by_digest {
            // What is there anyway would be found by its address.
            place.file("disk.img", b"as it was too");
        }
        place.ok(&put);
    }
    let evidence = |verdict: &str, args: &[&str]| {
        let status = [("fail", 1), ("unknown", 3)].iter().find(|(word, _)| *word == verdict).map_or(0, |found| found.1);
        let args: Vec<&str> = ["verify", "r"].into_iter().chain(args.iter().copied()).collect();
        let report = place.json(status, &args);
        let check =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "evidence").unwrap().clone();
        assert_eq!(check["verdict"], verdict, "{check}");
        check["reasons"].to_string()
    };
    assert!(evidence("warn", &[]).contains("EVIDENCE_ELSEWHERE"));
    assert_eq!(evidence("pass", &["--evidence", "image=disk.img"]), "[]");
    // A key that nothing has is a mistake in the asking, and must not look like an answer.
    let found = evidence("unknown", &["--evidence", "other=disk.img"]);
    assert!(found.contains("EVIDENCE_ELSEWHERE") && found.contains("EVIDENCE_FILE_UNUSED"), "{found}");
    place.file("other.img", b"as it was not");
    assert!(evidence("fail", &["--evidence", "image=other.img"]).contains("EVIDENCE_FILE_MISMATCH"));
    assert_eq!(place.error(2, &["verify", "--evidence", "image=missing.img"]), "io");
    assert_eq!(place.error(2, &["put", "r", "k", "disk.img", "--by-digest", "--class", "sealed"]), "sealed_by_digest");
    // A run with it is judged, and no better than it should be.
    place.ok(&["advance", "r", "EVALUATE"]);
    let evaluation = place.json(0, &["evaluate", "r"]);
    assert!(
        evaluation.to_string().contains("EVIDENCE_ELSEWHERE") && evaluation["overall_verdict"] == "warn",
        "{evaluation}"
    );
    // In a bundle its bytes are missing too, and the file settles them and the replay.
    place.ok(&["export", "r", "-o", "r.receipt"]);
    assert!(place.gives(3, &["verify", "r.receipt"]).contains("EVIDENCE_WITHHELD"));
    let settled = place.ok(&["verify", "-v", "r.receipt", "--evidence", "image=disk.img"]);
    assert!(settled.contains("PASS    evidence") && settled.contains("PASS    replay"), "{settled}");
    assert!(!settled.contains("not in the bundle"), "{settled}");
    let other = place.gives(1, &["verify", "r.receipt", "--evidence", "image=other.img"]);
    assert!(other.contains("EVIDENCE_FILE_MISMATCH"), "{other}");
    let unused = place.gives(3, &["verify", "r.receipt", "--evidence", "other=disk.img"]);
    assert!(unused.contains("EVIDENCE_FILE_UNUSED") && unused.contains("EVIDENCE_WITHHELD"), "{unused}");
    // What was withheld is settled the same way; what an invariant read stays unknown, as nobody has seen its bytes.
    place.ok(&["export", "plain", "-o", "plain.receipt", "--withhold", "image"]);
    place.file("first.img", b"as it was");
    let withheld = place.ok(&["verify", "-v", "plain.receipt", "--evidence", "image=first.img"]);
    assert!(withheld.contains("PASS    evidence"), "{withheld}");
    // Evidence with bytes is not excused when its row is gone.
    place.tamper("DELETE FROM blobs");
    assert!(place.gives(1, &["verify", "plain"]).contains("BLOB_MISSING"));
}

#[test]
fn a_file_full_of_secrets_is_put_in_less_than_32_mib_and_each_of_them_is_counted() {
    let place = Place::new();
    place.ok(&["init"]);
    place.ok(&["start", "r"]);
    let lines = 32 << 16;
    let mut file = BufWriter::new(File::create(place.path().join("big.log")).unwrap());
    (0..lines).for_each(|line| writeln!(file, "password=\"{line:07}\"").unwrap());
    drop(file);
    let put = within(&place, 32 << 10, "put r log big.log");
    assert!(put.status.success(), "{put:?}");
    let event = place.ok(&["log", "r", "--json"]);
    assert!(event.replace(": ", ":").contains(&format!("\"redactions\":{lines}")), "{}", event.len());
    assert!(event.len() < 64 << 10, "{}", event.len());
}

/// A store says nothing of how long its texts are. What is read of one is not copied.
#[test]
fn an_envelope_of_any_length_takes_its_own_length_in_memory_to_be_verified() {
    let place = Place::with_ledger();
    place.whole_run("r");
    let verified = |mebibytes: usize| {
        Forger::open(&place.ledger_path()).edit("r", |events| {
            set(&mut events[3], &["payload"], Object::from_iter([("text", "x".repeat(mebibytes << 20))]));
        });
        within(&place, 80 << 10, "verify --no-pin --threads 1")
    };
    let fits = verified(48);
    assert!(fits.status.success(), "{fits:?}");
    assert!(!verified(96).status.success(), "the control: the bound is felt");
}
