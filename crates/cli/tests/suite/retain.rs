//! `receipt retain`: what it says, what it refuses, and what it leaves behind when it is killed.

use crate::common::Place;
use receipt_kernel::{Actor, Ledger, Object, Policy, Put};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

#[test]
fn retention_is_set_shown_held_and_applied_from_the_command_line() {
    let place = Place::with_ledger();
    place.whole_run("build-1");
    assert_eq!(place.error(2, &["retain"]), "retention_unset");
    assert_eq!(place.error(2, &["retain", "show"]), "retention_unset");
    let set = place.json(0, &["retain", "set", "--public", "2h", "--grace", "0s", "--key", "stdout*=forever"]);
    assert_eq!((&set["public_ttl_seconds"], &set["keys"]["stdout*"]), (&7200.into(), &(-1).into()));
    assert_eq!(place.json(0, &["retain", "show"]), set);
    assert!(place.ok(&["retain", "show"]).contains("public   2h"));
    // What was not named is kept for ever.
    assert_eq!(set["sealed_ttl_seconds"], -1);
    place.ok(&["retain", "hold", "build-1", "the auditors asked"]);
    assert_eq!(place.json(0, &["retain", "--dry-run", "--at", "2100-01-01T00:00:00Z"])["held"], 1);
    place.ok(&["retain", "release", "build-1"]);
    assert_eq!(place.error(2, &["retain", "release", "build-1"]), "invalid_input");
    let plan = place.json(0, &["retain", "--dry-run", "--at", "2100-01-01T00:00:00Z"]);
    assert_eq!(plan["due"][0]["to_state"], "expired_hash_only");
    assert_eq!(place.json(0, &["retain"])["expired"], 0);
    place.ok(&["retain", "set", "--public", "0s"]);
    let done = place.json(0, &["retain"]);
    assert_eq!((&done["expired"], &done["bytes"], &done["scrubbed"]), (&1.into(), &20.into(), &true.into()));
    assert_eq!(place.error(4, &["cat", "build-1", "log"]), "blob_unavailable");
    assert!(place.ok(&["verify"]).contains("EXPIRED_WITH_RECEIPT"));
    assert!(place.ok(&["log", done["run_id"].as_str().unwrap()]).contains("BLOB_EXPIRE"));
}

#[test]
fn bundles_that_are_checked_together_settle_what_one_of_them_had_to_let_go() {
    let place = Place::with_ledger();
    place.whole_run("build-1");
    place.ok(&["retain", "set", "--public", "0s", "--grace", "0s"]);
    let removal = place.json(0, &["retain"])["run_id"].as_str().unwrap().to_owned();
    place.ok(&["export", "build-1", "-o", "build.receipt"]);
    place.ok(&["export", &removal, "-o", "removed.receipt"]);
    let (build, removed) = ("build.receipt", "removed.receipt");
    assert!(place.gives(3, &["verify", build]).contains("EXPIRY_UNPROVED"));
    assert!(!place.ok(&["verify", build, removed]).contains("EXPIRY_UNPROVED"));
    let report = place.json(0, &["verify", removed, build]);
    assert_eq!(report["bundles"][0]["file"], removed);
    assert_eq!((&report["bundles"][1]["run"], &report["overall_verdict"]), (&"build-1".into(), &"warn".into()));
    assert_eq!(place.error(2, &["verify", build, "build-1"]), "invalid_input");
    // The bytes from elsewhere are those that were removed, or are not.
    place.file("other.txt", b"other");
    assert!(!place.gives(3, &["verify", build, "--evidence", "log=log.txt"]).contains("EVIDENCE_FILE"));
    assert!(place.gives(1, &["verify", build, "--evidence", "log=other.txt"]).contains("EVIDENCE_FILE_MISMATCH"));
    assert_eq!(place.error(2, &["verify", build, removed, "--evidence", "log=x"]), "invalid_input");

    // A receipt in a bundle that is not good settles nothing.
    let path = place.path().join(removed);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"seq\":5", "\"seq\":6", 1)).unwrap();
    assert!(place.gives(1, &["verify", build, removed]).contains("EXPIRY_UNPROVED"));
}

#[test]
fn what_is_no_time_and_no_instant_is_refused() {
    let place = Place::with_ledger();
    for time in ["", "5", "d", "-1d", "1.5h", "5y", "99999999999999999999s", "18446744073709551615d"] {
        assert_eq!(place.error(2, &["retain", "set", "--public", time]), "usage", "{time}");
    }
    for key in ["=3d", "std*out=3d", "std**=3d", "k"] {
        assert_eq!(place.error(2, &["retain", "set", "--key", key]), "usage", "{key}");
    }
    assert_eq!(place.error(2, &["retain", "set", "--drop-key", "never"]), "invalid_input");
    assert_eq!(place.error(2, &["retain", "set", "--grace", "forever"]), "invalid_input");
    for at in ["tomorrow", "zzz", "9", "2026-01-01 05:00", "2026-01-01T05:00:00"] {
        assert_eq!(place.error(2, &["retain", "--dry-run", "--at", at]), "usage", "{at}");
    }
    assert_eq!(place.error(2, &["retain", "--at", "2026-01-01T00:00:00Z"]), "usage", "only in a dry run");
    assert_eq!(place.error(2, &["retain", "show"]), "retention_unset", "nothing of it was set");
}

#[test]
fn a_row_that_cannot_be_judged_makes_the_status_1() {
    let place = Place::with_ledger();
    place.whole_run("a");
    place.ok(&["retain", "set", "--public", "0s"]);
    place.tamper("UPDATE blobs SET bytes_len = 'many'");
    assert!(place.gives(1, &["retain", "--dry-run"]).contains("BLOB_MALFORMED"));
    assert!(place.gives(1, &["retain"]).contains("BLOB_MALFORMED"));
}

/// How many blobs have lost their bytes, and how many of those no event receipts.
fn gone(path: &Path) -> (i64, i64) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT count(*), count(*) FILTER (WHERE sha256 NOT IN (SELECT json_extract(envelope_json, '$.payload.sha256') \
               FROM events WHERE event_type = 'BLOB_EXPIRE')) FROM blobs WHERE data IS NULL OR state <> 'live'";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

const BLOBS: i64 = 1500;

fn full_ledger() -> Place {
    let place = Place::with_ledger();
    let ledger = Ledger::open(place.path().join(".receipt/ledger.db")).unwrap();
    let actor = Actor::new("system", "test");
    let mut run = ledger.start("r", Policy::structural().unwrap(), actor, Object::new()).unwrap();
    let parts: Vec<_> = (0..BLOBS).map(|i| format!("evidence {i} ").repeat(200)).collect();
    for part in &parts {
        run.put("k", part.as_bytes(), Put::text()).unwrap();
    }
    place.ok(&["retain", "set", "--public", "0s"]);
    place
}

#[test]
fn killed_at_any_point_it_leaves_no_bytes_gone_without_a_receipt() {
    let (mut kills, mut between) = (0, 0);
    for round in 0..2_u64 {
        let place = full_ledger();
        let path = place.path().join(".receipt/ledger.db");
        let mut before = 0;
        // Killed later each time, however fast the machine is, until all is done.
        let mut delay = 3_000 + round * 2_000;
        while before < BLOBS && delay < 60_000_000 {
            let mut child = place.command(&["retain", "--quiet"]).spawn().unwrap();
            sleep(Duration::from_micros(delay));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let (gone, unreceipted) = gone(&path);
            assert_eq!(unreceipted, 0, "after {delay} us");
            between += i64::from(before < gone && gone < BLOBS);
            before = gone;
            delay += delay / 12 + 500;
        }
        place.ok(&["retain"]);
        assert_eq!(gone(&path), (BLOBS, 0));
        place.ok(&["recover", "--all"]);
        place.ok(&["verify"]);
    }
    assert!(kills >= 6 && between > 0, "{kills} kills, {between} of them between the first batch and the last");
}

#[test]
fn bytes_gone_without_a_receipt_would_be_seen() {
    let place = full_ledger();
    place.tamper("UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE rowid = 7");
    assert_eq!(gone(&place.path().join(".receipt/ledger.db")), (1, 1));
    place.gives(1, &["verify"]);
}
