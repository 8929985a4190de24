//! No copy of what was removed stays in any file.

use super::{Scene, scene};
use receipt_core::evidence::EvidenceClass;
use receipt_kernel::{Ledger, Verdict};
use rusqlite::Connection;
use std::fs;
use std::path::Path;

/// Every file of the ledger that holds the text.
fn files_with(path: &Path, text: &str) -> Vec<String> {
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    let holds = |path: &Path| fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
    let mut found: Vec<_> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| holds(path))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

const CANARY: &str = "CANARY-in-the-coal-mine";

/// Puts evidence of many sizes, all with the canary in it.
fn put_canaries(scene: &Scene) {
    for (i, lines) in [1, 60, 200, 5_000, 120_000].into_iter().enumerate() {
        scene.put(&format!("r{i}"), "k", &format!("{CANARY} {i}\n").repeat(lines), EvidenceClass::Public);
        scene.put(
            &format!("s{i}"),
            "claims_map",
            &format!("{i} other evidence\n").repeat(lines),
            EvidenceClass::Public,
        );
    }
}

#[test]
fn after_its_time_no_copy_of_the_bytes_is_left_in_any_file_though_others_have_the_ledger_open() {
    let scene = scene();
    put_canaries(&scene);
    assert!(!files_with(&scene.path, CANARY).is_empty(), "it would be seen");
    // Open, with a snapshot that was read before, and idle.
    let idle = Ledger::open_read_only(&scene.path).unwrap();
    idle.audit().unwrap();
    let writer = Ledger::open(&scene.path).unwrap();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    // Some of it may still lie in the log.
    let before = size(&scene.path) + size(&scene.path.with_extension("db-wal"));
    let done = scene.retain_on(31);
    assert_eq!((done.expired, done.scrubbed), (5, true));
    assert_eq!(files_with(&scene.path, CANARY), [""; 0]);
    assert_eq!(size(&scene.path.with_extension("db-wal")), 0);
    assert!(size(&scene.path) < before, "what is free goes back to the disk");
    assert_eq!(files_with(&scene.path, "4 other evidence"), ["ledger.db"], "what is kept is still there");
    assert_eq!(idle.audit().unwrap().overall_verdict(), Verdict::Pass);
    assert_eq!(writer.audit().unwrap().overall_verdict(), Verdict::Pass);
}

#[test]
fn whoever_still_reads_what_was_before_is_told_of_and_a_later_run_makes_up_for_it() {
    let scene = scene();
    put_canaries(&scene);
    let reader = Connection::open(&scene.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM blobs;").unwrap();
    let done = scene.retain_on(31);
    assert_eq!((done.expired, done.scrubbed), (5, false));
    assert!(!files_with(&scene.path, CANARY).is_empty(), "the reader can still see it");
    reader.execute_batch("COMMIT").unwrap();
    let again = scene.retain_on(31);
    assert_eq!((again.expired, again.scrubbed), (0, true));
    assert_eq!(files_with(&scene.path, CANARY), [""; 0]);
}

#[test]
fn a_removal_that_does_not_overwrite_would_be_found_out() {
    let scene = scene();
    put_canaries(&scene);
    let careless = Connection::open(&scene.path).unwrap();
    careless.execute_batch("PRAGMA secure_delete = OFF; UPDATE blobs SET data = NULL, state = 'expired_hash_only'; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(!files_with(&scene.path, CANARY).is_empty());
    assert_eq!(scene.evidence().0, Verdict::Fail);
}
