//! A ledger that was made to compress holds the same evidence under the same addresses in less room, and what is wrong with
//! a frame is found.

use crate::common::{RECIPIENT, actor};
use receipt_core::evidence::BlobFact;
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::{
    BlobHash, Check, Error, EvidenceClass, Ledger, Object, Policy, Put, RunId, Spool, Timestamp, Ttl, Verdict, drill,
};
use rusqlite::{Connection, params};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

struct Scene {
    folder: TempDir,
    path: PathBuf,
    ledger: Ledger,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::create_compressed(&path).unwrap();
    Scene { folder, path, ledger }
}

/// A whole run that puts this.
fn put(ledger: &Ledger, run: &str, data: &[u8]) -> BlobHash {
    let mut writer = ledger.start(run, Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let hash = writer.put("k", data, Put::text()).unwrap().hash;
    writer.finalize_as(Verdict::Unknown, "over").unwrap();
    hash
}

/// Lines of a log, of about so many bytes.
fn log(bytes: usize) -> Vec<u8> {
    let lines =
        (0..bytes / 60).map(|n| format!("step {n:08} took {:>7} microseconds and ended well\n", n * 7919 % 99_991));
    lines.collect::<String>().into_bytes()
}

/// Bytes that do not repeat.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

fn connect(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn count(path: &Path, sql: &str) -> i64 {
    connect(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn evidence(ledger: &Ledger) -> (Verdict, Vec<String>) {
    let report = ledger.audit().unwrap();
    let check = report.check(Check::Evidence).unwrap();
    (check.verdict, check.reasons.iter().map(|reason| reason.code.to_string()).collect())
}

#[test]
fn evidence_that_compresses_takes_less_room_and_comes_back_byte_for_byte_under_the_same_address() {
    let scene = scene();
    let plain = Ledger::create(scene.folder.path().join("plain.db")).unwrap();
    for (run, data) in [("small", log(5_000)), ("one piece", log(900_000)), ("many", log(5_000_000))] {
        let hash = put(&scene.ledger, run, &data);
        assert_eq!(hash, BlobHash::of(&data));
        assert_eq!(put(&plain, run, &data), hash);
        assert!(*scene.ledger.blob(&hash).unwrap() == data);
        let mut out = Vec::new();
        scene.ledger.copy_blob(&hash, &mut out).unwrap();
        assert!(out == data);
        let (record, fact) = scene.ledger.blob_record(&hash).unwrap();
        assert_eq!(record.unwrap().bytes_len, data.len() as u64);
        assert!(matches!(fact, BlobFact::Intact { .. }));
    }
    assert_eq!(evidence(&scene.ledger), (Verdict::Pass, vec![]));
    drop((scene.ledger, plain));
    let size = |name: &str| fs::metadata(scene.folder.path().join(name)).unwrap().len();
    assert!(size("ledger.db") * 4 < size("plain.db"), "{} and {}", size("ledger.db"), size("plain.db"));
    // Also through a file.
    let ledger = Ledger::open(&scene.path).unwrap();
    let mut spool = Spool::new(tempfile::tempfile().unwrap());
    let data = log(3_000_000);
    data.chunks(100_000).for_each(|piece| spool.push(piece).unwrap());
    let mut writer = ledger.start("spooled", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    let record = writer.put_source("k", spool.finish().unwrap(), Put::text()).unwrap();
    assert!(*ledger.blob(&record.hash).unwrap() == data);
}

#[test]
fn what_does_not_compress_and_what_is_sealed_lies_as_it_is() {
    let scene = scene();
    scene.ledger.add_recipients([RECIPIENT]).unwrap();
    put(&scene.ledger, "noise", &noise(100_000));
    put(&scene.ledger, "short", b"a short text a short text a short text");
    let mut writer = scene.ledger.start("sealed", Policy::structural().unwrap(), actor(), Object::new()).unwrap();
    writer.put("k", &log(2_000_000), Put::text().of_class(EvidenceClass::Sealed)).unwrap();
    assert_eq!(count(&scene.path, "SELECT count(*) FROM blob_pieces"), 0);
    assert_eq!(count(&scene.path, "SELECT count(*) FROM blobs WHERE length(data) = bytes_len"), 3);
    // Of one that is larger than a piece, each piece by itself.
    let mixed = [log(1 << 20).as_slice(), &noise(2 << 20)].concat();
    let hash = put(&scene.ledger, "mixed", &mixed);
    assert!(*scene.ledger.blob(&hash).unwrap() == mixed);
    let raw = "SELECT count(*) FROM blob_pieces WHERE length(data) = bytes_len";
    assert_eq!((count(&scene.path, raw), count(&scene.path, "SELECT count(*) FROM blob_pieces")), (2, 3));
    assert_eq!(evidence(&scene.ledger).0, Verdict::Pass);
}

#[test]
fn every_flipped_bit_of_a_frame_is_found_or_changes_nothing() {
    let scene = scene();
    let data = log(3_000);
    let hash = put(&scene.ledger, "r", &data);
    let connection = connect(&scene.path);
    let frame: Vec<u8> = connection.query_row("SELECT data FROM blob_pieces", [], |row| row.get(0)).unwrap();
    let (mut found, mut same) = (0, 0);
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        connection.execute("UPDATE blob_pieces SET data = ?1", [&flipped]).unwrap();
        match scene.ledger.blob(&hash) {
            Ok(bytes) => {
                assert!(*bytes == data);
                same += 1;
            }
            Err(Error::BlobUnavailable { .. }) => found += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(found > 100 * same, "{found} found, {same} that change nothing");
}

#[test]
fn a_piece_that_is_not_what_was_put_fails_the_audit_and_is_not_given_out() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(bomb.len() < 100_000);
    let other = zstd::bulk::compress(&log(1 << 20), 3).unwrap();
    let changes: [(&str, Vec<u8>, &str); 14] = [
        ("UPDATE blob_pieces SET data = ?1 WHERE idx = 0", bomb, "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET data = ?1 WHERE idx = 0", b"no frame".to_vec(), "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET data = ?1 WHERE idx = 0", Vec::new(), "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET data = ?1 WHERE idx = 1", other, "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET data = CAST(?1 AS TEXT) WHERE idx = 1", b"text".to_vec(), "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET data = zeroblob(bytes_len) WHERE idx = length(?1)", vec![0], "BLOB_HASH_MISMATCH"),
        ("UPDATE blob_pieces SET idx = length(?1) WHERE idx = 0", vec![0; 9], "BLOB_HASH_MISMATCH"),
        ("DELETE FROM blob_pieces WHERE idx = length(?1)", vec![0], "BLOB_MALFORMED"),
        ("DELETE FROM blob_pieces WHERE length(?1) = 0", Vec::new(), "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET bytes_len = length(?1) WHERE idx = 0", vec![0; 7], "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET bytes_len = -length(?1)", vec![0; 7], "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET bytes_len = 9223372036854775807 - length(?1)", vec![0], "BLOB_MALFORMED"),
        ("UPDATE blob_pieces SET bytes_len = 'x' || length(?1)", vec![0], "BLOB_MALFORMED"),
        (
            "INSERT INTO blob_pieces (sha256, idx, bytes_len, data) SELECT sha256, 7, 1, ?1 FROM blob_pieces LIMIT 1",
            vec![0],
            "BLOB_MALFORMED",
        ),
    ];
    for (sql, value, code) in changes {
        let scene = scene();
        let hash = put(&scene.ledger, "r", &log(2_500_000));
        assert_eq!(evidence(&scene.ledger).0, Verdict::Pass);
        assert!(connect(&scene.path).execute(sql, params![value]).unwrap() > 0, "{sql}");
        let (verdict, codes) = evidence(&scene.ledger);
        assert_eq!(verdict, Verdict::Fail, "{sql}");
        assert!(codes.iter().all(|found| found == code), "{sql}: {codes:?}");
        assert!(matches!(scene.ledger.blob(&hash), Err(Error::BlobUnavailable { .. })), "{sql}");
        let mut out = Vec::new();
        assert!(scene.ledger.copy_blob(&hash, &mut out).is_err() && out.is_empty(), "{sql}");
        let mut bundle = Vec::new();
        if let Err(error) = scene.ledger.export(&Export::of(RunId::new("r")), &mut bundle) {
            assert!(matches!(error, Error::BlobUnavailable { .. }), "{sql}: {error}");
        } else {
            let report = Verify::default().run(&mut &bundle[..]).unwrap();
            assert_eq!(report.check(Check::Evidence).unwrap().verdict, Verdict::Fail, "{sql}: {report:#?}");
        }
    }
}

#[test]
fn a_ledger_whose_table_of_pieces_is_gone_is_none() {
    let scene = scene();
    put(&scene.ledger, "r", &log(50_000));
    connect(&scene.path).execute_batch("DROP TABLE blob_pieces").unwrap();
    let report = Ledger::open_read_only(&scene.path).unwrap().audit().unwrap();
    assert_eq!(report.overall_verdict(), Verdict::Fail);
    assert!(matches!(Ledger::open(&scene.path), Err(Error::NotALedger { .. })));
    // One that says that it is not compressed has evidence without bytes.
    let scene = self::scene();
    put(&scene.ledger, "r", &log(50_000));
    connect(&scene.path)
        .execute_batch("DROP TRIGGER schema_meta_is_not_updated; UPDATE schema_meta SET value = '1'")
        .unwrap();
    let (verdict, codes) = evidence(&Ledger::open_read_only(&scene.path).unwrap());
    assert_eq!((verdict, codes[0].as_str()), (Verdict::Fail, "BLOB_MALFORMED"));
}

#[test]
fn its_version_is_refused_by_what_does_not_know_it_and_cannot_be_written_over() {
    let scene = scene();
    let connection = connect(&scene.path);
    let version = "SELECT value FROM schema_meta WHERE key = 'store_schema_version'";
    assert_eq!(connection.query_row(version, [], |row| row.get::<_, String>(0)).unwrap(), "1+zstd");
    for sql in [
        "INSERT OR REPLACE INTO schema_meta (key, value) VALUES ('store_schema_version', '1')",
        "INSERT OR IGNORE INTO schema_meta (key, value) VALUES ('store_schema_version', '1')",
        "INSERT INTO schema_meta (key, value) VALUES ('store_schema_version', '1') ON CONFLICT DO UPDATE SET value = '1'",
        "UPDATE schema_meta SET value = '1'",
    ] {
        let error = connection.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("this ledger is compressed"), "{sql}: {error}");
    }
    // Opened again, also by a later version that adds tables, it stays what it is.
    connection.execute_batch("DROP TABLE settings").unwrap();
    drop(Ledger::open(&scene.path).unwrap());
    put(&Ledger::open(&scene.path).unwrap(), "r", &log(50_000));
    assert!(count(&scene.path, "SELECT count(*) FROM blob_pieces") > 0);
    connection
        .execute_batch("DROP TRIGGER schema_meta_is_not_updated; UPDATE schema_meta SET value = '1+lzma'")
        .unwrap();
    assert!(matches!(Ledger::open(&scene.path), Err(Error::NewerSchema { .. })));
}

#[test]
fn a_backup_a_bundle_and_an_import_carry_its_evidence_either_way() {
    let scene = scene();
    let data = log(2_500_000);
    let hash = put(&scene.ledger, "r", &data);
    let at = |name: &str| scene.folder.path().join(name);
    Ledger::backup(&scene.path, &at("backup.db"), &mut |_, _| {}).unwrap();
    let backup = Ledger::open(at("backup.db")).unwrap();
    assert!(*backup.blob(&hash).unwrap() == data);
    let mut bundle = Vec::new();
    backup.export(&Export::of(RunId::new("r")), &mut bundle).unwrap();
    let plain = Ledger::create(at("plain.db")).unwrap();
    assert!(plain.import(&Verify::default(), &mut bundle.as_slice()).unwrap().new);
    assert!(*plain.blob(&hash).unwrap() == data);
    let mut from_plain = Vec::new();
    plain.export(&Export::of(RunId::new("r")), &mut from_plain).unwrap();
    assert!(from_plain == bundle, "a bundle does not know how evidence lies");
    let again = Ledger::create_compressed(at("again.db")).unwrap();
    assert!(again.import(&Verify::default(), &mut bundle.as_slice()).unwrap().new);
    assert!(count(&at("again.db"), "SELECT count(*) FROM blob_pieces") == 3 && *again.blob(&hash).unwrap() == data);
    assert_eq!(evidence(&again).0, Verdict::Pass);
}

#[test]
fn a_drill_on_it_finds_every_act() {
    let scene = scene();
    put(&scene.ledger, "r", &log(50_000));
    put(&scene.ledger, "s", &log(1_000));
    let folder = tempfile::tempdir().unwrap();
    let outcomes = drill::run(&scene.path, folder.path(), &[7; 32]).unwrap();
    for outcome in &outcomes {
        assert!(outcome.committed && outcome.is_as_expected(), "{outcome:?}");
        // The control: had the check that must fail not failed, the drill would have said so.
        let missed = drill::Outcome { failed: Vec::new(), ..outcome.clone() };
        assert_eq!(missed.is_as_expected(), outcome.expected.is_none(), "{missed:?}");
    }
}

/// Whether any file of the ledger holds these bytes.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.is_file()).any(|file| fs::read(file).unwrap().windows(bytes.len()).any(|it| it == bytes))
}

#[test]
fn after_its_time_no_copy_of_a_frame_is_left_in_any_file() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000)));
    let Scene { folder: _folder, path, ledger } = scene();
    let ledger = ledger.with_clock(clock.clone());
    let set: Result<_, Error> = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok(())
    });
    set.unwrap();
    let data = [log(1 << 20).as_slice(), &noise(1 << 20)].concat();
    let hash = put(&ledger, "r", &data);
    put(&ledger, "small", &log(4_000));
    let mut frames = Vec::new();
    {
        let connection = connect(&path);
        let mut statement = connection.prepare("SELECT data FROM blob_pieces").unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let frame: Vec<u8> = row.get(0).unwrap();
            frames.extend(frame.chunks(32).step_by(frame.len() / 32 / 20 + 1).map(<[u8]>::to_vec));
        }
    }
    // But for those that lie across the end of a page.
    frames.retain(|part| holds(&path, part));
    assert!(frames.len() > 40, "{} are seen", frames.len());
    clock.set(Timestamp::from_micros(1_767_225_600_000_000 + 31 * 86_400_000_000));
    let done = ledger.retain(&actor(), &mut |_, _| {}).unwrap();
    assert_eq!((done.expired, done.bytes, done.scrubbed), (2, data.len() as u64 + log(4_000).len() as u64, true));
    assert_eq!(count(&path, "SELECT count(*) FROM blob_pieces"), 0);
    assert!(!frames.iter().any(|part| holds(&path, part)));
    assert_eq!(evidence(&ledger), (Verdict::Pass, vec!["EXPIRED_WITH_RECEIPT".to_owned()]));
    // Put again it is there again; a piece that stays behind is seen.
    put(&ledger, "again", &data);
    assert!(*ledger.blob(&hash).unwrap() == data);
    connect(&path).execute_batch("UPDATE blobs SET state = 'expired_hash_only'").unwrap();
    assert_eq!(evidence(&ledger).0, Verdict::Fail, "its state says expired, its bytes are still there");
}

#[test]
fn a_secret_is_found_and_redacted_in_what_lies_compressed() {
    let scene = scene();
    let data = format!("{}\nthe door opens with badge-7351\n", String::from_utf8(log(1_500_000)).unwrap());
    let old = put(&scene.ledger, "r", data.as_bytes());
    scene
        .ledger
        .set_own_rules(Some("[[rule]]\nid = \"badge\"\nkeywords = [\"badge-\"]\npattern = 'badge-[0-9]{4}'\n"))
        .unwrap();
    let ledger = Ledger::open(&scene.path).unwrap();
    assert_eq!(ledger.scan(&[]).unwrap().findings.len(), 1);
    let redacted = ledger.redact(&old, &actor()).unwrap();
    assert!(ledger.blob(&old).is_err());
    assert!(*ledger.blob(&redacted.new.hash).unwrap() == *data.replace("badge-7351", "[REDACTED:badge]").as_bytes());
    assert_eq!(count(&scene.path, "SELECT count(DISTINCT sha256) FROM blob_pieces"), 1);
    assert_eq!(evidence(&ledger).0, Verdict::Pass);
    assert_eq!(ledger.scan(&[]).unwrap().findings.len(), 0);
}
