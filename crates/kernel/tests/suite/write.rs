//! What is acknowledged is what was stored: an idempotency key stands for the event itself, a reference leads to something
//! that is there, and a write that the file swallowed is an error.

use crate::common::{RECIPIENT, actor, decision, new_path, start};
use receipt_kernel::core::chain::Link;
use receipt_kernel::core::envelope::{Envelope, Members, Scratch};
use receipt_kernel::core::id::Seq;
use receipt_kernel::core::note::{KeyKind, Signing};
use receipt_kernel::store::StoreErrorKind;
use receipt_kernel::write::PARTS_TYPE;
use receipt_kernel::{
    BlobHash, BlobRef, Digest256, Error, EventRef, EventType, EvidenceClass, Ledger, Object, Policy, Publish, Put,
    RunId, RunWriter, Ttl,
};
use rusqlite::{Connection, params};
use std::path::PathBuf;
use tempfile::TempDir;

fn new_ledger() -> (TempDir, PathBuf, Ledger) {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    (folder, path, ledger)
}

fn event(run: &str, seq: i64) -> EventRef {
    EventRef { run_id: RunId::new(run), seq: Seq::new(seq).unwrap() }
}

fn count(ledger: &Ledger, run: &str) -> u64 {
    ledger.snapshot(run, &[]).unwrap().facts().events
}

// Idempotency keys.

/// A ledger with a run of a start, two decisions ("one" under the key `k`, and "two") and a last event.
fn keyed() -> (TempDir, RunWriter, Connection) {
    let (folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    run.append(decision("one").with_key("k")).unwrap();
    run.append(decision("two")).unwrap();
    run.append(decision("last")).unwrap();
    let raw = Connection::open(path).unwrap();
    raw.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
    (folder, run, raw)
}

/// Puts another text in the place of the second event, hashed and linked as it should be.
fn replace(raw: &Connection, change: impl Fn(&str) -> String) {
    let text: String = raw.query_row("SELECT envelope_json FROM events WHERE seq = 2", [], |row| row.get(0)).unwrap();
    let mut scratch = Scratch::default();
    let link = {
        let envelope = Envelope::read(text.as_bytes(), &mut scratch).unwrap();
        Link { run_id: RunId::new("r"), seq: envelope.seq, prev: envelope.prev }
    };
    let sealed = Members::parse(change(&text).as_bytes()).unwrap().seal(link).unwrap();
    let sql = "UPDATE events SET envelope_json = ?1, event_hash = ?2, event_type = ?3 WHERE seq = 2";
    let text = String::from_utf8(sealed.text).unwrap();
    let changed = raw.execute(sql, params![text, sealed.hash.to_string(), sealed.event_type.as_str()]);
    assert_eq!(changed, Ok(1));
}

#[test]
fn a_planted_key_acknowledges_no_other_event() {
    let (_folder, mut run, raw) = keyed();
    assert!(run.append(decision("one").with_key("k")).unwrap().repeated, "a control: the honest row");
    // The digest of what will be asked for, on another event of each kind.
    for seq in [1, 3, 4] {
        raw.execute("UPDATE idempotency_keys SET seq = ?1", [seq]).unwrap();
        let error = run.append(decision("one").with_key("k")).unwrap_err();
        let at = format!("event://r/{seq}");
        assert!(matches!(&error, Error::KeyConflict { at: found, .. } if *found == at), "{seq}: {error:?}");
    }
    for nowhere in [5_i64, 1 << 40] {
        raw.execute("UPDATE idempotency_keys SET seq = ?1", [nowhere]).unwrap();
        let error = run.append(decision("one").with_key("k")).unwrap_err();
        assert!(matches!(error, Error::RunBroken { .. }), "{nowhere}: {error:?}");
    }
    // A row with another digest on the right event decides as little.
    raw.execute("UPDATE idempotency_keys SET seq = 2, draft_sha256 = zeroblob(32)", []).unwrap();
    assert!(run.append(decision("one").with_key("k")).unwrap().repeated);
    let error = run.append(decision("three").with_key("k")).unwrap_err();
    assert!(matches!(error, Error::KeyConflict { .. }), "{error:?}");
    // After the end as well.
    raw.execute("UPDATE idempotency_keys SET seq = 3", []).unwrap();
    run.finalize_as(receipt_kernel::Verdict::Unknown, "over").unwrap();
    let error = run.append(decision("one").with_key("k")).unwrap_err();
    assert!(matches!(error, Error::KeyConflict { .. }), "{error:?}");
}

#[test]
fn a_key_is_compared_with_all_that_its_event_says() {
    let changes: [(&str, &str); 4] = [
        (r#""note":"one""#, r#""note":"two""#),
        (r#""events":[]"#, r#""events":["event://r/1"]"#),
        (r#""event_type":"DECISION""#, r#""event_type":"REMEDIATION""#),
        (
            r#""blobs":[]"#,
            r#""blobs":["blob://sha256:0000000000000000000000000000000000000000000000000000000000000000"]"#,
        ),
    ];
    for (from, to) in changes {
        let (_folder, mut run, raw) = keyed();
        replace(&raw, |text| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        });
        let error = run.append(decision("one").with_key("k")).unwrap_err();
        assert!(matches!(error, Error::KeyConflict { .. }), "{to}: {error:?}");
    }
    let (_folder, mut run, raw) = keyed();
    replace(&raw, |text| text.replace(r#""id":"test""#, r#""id":"somebody""#));
    assert!(run.append(decision("one").with_key("k")).unwrap().repeated, "who appended it is not compared");
}

#[test]
fn a_key_whose_event_is_not_sound_acknowledges_nothing() {
    for edit in [
        "envelope_json = replace(envelope_json, 'one', 'two')",
        "event_hash = 'sha256:' || substr(event_hash, 9) || '0'",
        "event_type = 'REMEDIATION'",
        "envelope_json = x'00'",
        "envelope_json = '{}'",
    ] {
        let (_folder, mut run, raw) = keyed();
        assert_eq!(raw.execute(&format!("UPDATE events SET {edit} WHERE seq = 2"), []), Ok(1));
        let error = run.append(decision("one").with_key("k")).unwrap_err();
        assert!(matches!(error, Error::RunBroken { .. }), "{edit}: {error:?}");
        run.append(decision("three")).unwrap();
    }
}

// References.

#[test]
fn a_reference_leads_to_something_that_is_there() {
    for ledger in [Ledger::in_memory(), new_ledger().2] {
        let mut run = start(&ledger, "r");
        start(&ledger, "other");
        let put = run.put("log", b"it went well", Put::text()).unwrap();
        let digest = Digest256 { hash: BlobHash::of(b"elsewhere"), bytes_len: 9 };
        let named = run.put_digest("disk", &digest, "disk.img", Put::text()).unwrap();
        let before = count(&ledger, "r");
        let is_no_event =
            |error: &Error, wanted: &str| matches!(error, Error::EventNotFound { event } if event == wanted);
        for (run_id, seq) in [("r", 4), ("r", 5), ("r", i64::MAX), ("other", 2)] {
            let error = run.append(decision("x").about(event(run_id, seq)).with_key("k")).unwrap_err();
            assert!(is_no_event(&error, &format!("event://{run_id}/{seq}")), "{error:?}");
        }
        for gone in ["nobody", "", "R", "r "] {
            let error = run.append(decision("x").about(event(gone, 1))).unwrap_err();
            assert!(matches!(&error, Error::RunNotFound { run } if run == gone), "{error:?}");
        }
        let mut about = decision("x");
        about.blobs = vec![BlobRef(put.hash), BlobRef(BlobHash::of(b"nothing"))];
        let error = run.append(about).unwrap_err();
        assert!(matches!(error, Error::BlobNotFound { .. }), "{error:?}");
        assert_eq!(count(&ledger, "r"), before, "nothing was stored");

        let mut about = decision("x").about(event("r", 1)).about(event("other", 1)).with_key("k");
        about.blobs = vec![BlobRef(put.hash), BlobRef(named.hash)];
        assert!(!run.append(about.clone()).unwrap().repeated, "and the key was not used up");
        assert!(run.append(about).unwrap().repeated);
        let mut elsewhere = decision("x");
        elsewhere.blobs = vec![BlobRef(named.hash)];
        let error = ledger.resume("other", actor()).unwrap().append(elsewhere).unwrap_err();
        assert!(matches!(error, Error::BlobNotFound { .. }), "another run's digest: {error:?}");
    }
}

#[test]
fn a_batch_may_refer_to_an_earlier_event_of_its_own() {
    for (about, refused) in [(2, false), (3, true), (4, true)] {
        let (_folder, _, ledger) = new_ledger();
        let mut run = start(&ledger, "r");
        let done = run.append_batch(vec![decision("a"), decision("b").about(event("r", about))]);
        assert_eq!(done.is_err(), refused, "{about}: {done:?}");
        assert_eq!(count(&ledger, "r"), if refused { 1 } else { 3 });
    }
}

#[test]
fn a_put_whose_event_was_edited_makes_no_blob_there() {
    let (_folder, path, ledger) = new_ledger();
    let mut run = start(&ledger, "r");
    let digest = Digest256 { hash: BlobHash::of(b"elsewhere"), bytes_len: 9 };
    run.put_digest("disk", &digest, "disk.img", Put::text()).unwrap();
    run.append(decision("last")).unwrap();
    let raw = Connection::open(path).unwrap();
    let planted = BlobHash::of(b"planted");
    let sql = "UPDATE events SET envelope_json = replace(envelope_json, ?1, ?2) WHERE seq = 2";
    raw.execute_batch("DROP TRIGGER events_are_not_updated").unwrap();
    assert_eq!(raw.execute(sql, [digest.hash.to_hex(), planted.to_hex()]), Ok(1));
    let mut about = decision("x");
    about.blobs = vec![BlobRef(planted)];
    assert!(matches!(run.append(about).unwrap_err(), Error::BlobNotFound { .. }));
}

// Rows.

type Operation = fn(&Ledger, &mut RunWriter) -> Result<(), Error>;

/// Which table, and an operation that writes a row of it and has to.
const OPERATIONS: [(&str, Operation); 9] = [
    ("events", |_, run| run.append(decision("x")).map(drop)),
    ("events", |_, run| run.advance("COLLECT", "onward").map(drop)),
    ("runs", |ledger, _| ledger.start("s", Policy::structural()?, actor(), Object::new()).map(drop)),
    ("blobs", |_, run| run.put("log", b"bytes", Put::text()).map(drop)),
    ("idempotency_keys", |_, run| run.append(decision("x").with_key("k")).map(drop)),
    ("settings", |ledger, _| {
        ledger.set_retention(|retention| {
            retention.public = Ttl::Seconds(1);
            Ok::<_, Error>(())
        })?;
        Ok(())
    }),
    ("log_meta", |ledger, _| ledger.bind_origin(&"example.com/log".parse().unwrap())),
    ("log_segments", |ledger, _| ledger.checkpoint(&Publish::by(&signing())).map(drop)),
    ("log_checkpoints", |ledger, _| ledger.checkpoint(&Publish::by(&signing())).map(drop)),
];

fn signing() -> Signing {
    Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[1; 32])
}

fn everything(raw: &Connection) -> Vec<i64> {
    let tables =
        ["events", "runs", "blobs", "idempotency_keys", "settings", "log_meta", "log_segments", "log_checkpoints"];
    tables.map(|table| raw.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()).to_vec()
}

/// A writer notices that the schema has changed before it writes; what comes between that and the write, by the number of
/// rows that changed.
fn swallowed(error: &Error) -> bool {
    matches!(error, Error::NotALedger { .. }) || error.of_store() == Some(StoreErrorKind::Ignored)
}

#[test]
fn a_write_that_a_trigger_swallows_is_an_error_and_nothing_is_recorded() {
    for (table, operation) in OPERATIONS {
        let (_folder, path, ledger) = new_ledger();
        let mut run = start(&ledger, "r");
        let raw = Connection::open(path).unwrap();
        let trigger = format!("CREATE TRIGGER planted BEFORE INSERT ON {table} BEGIN SELECT RAISE(IGNORE); END");
        raw.execute_batch(&trigger).unwrap();
        let before = everything(&raw);
        let error = operation(&ledger, &mut run).unwrap_err();
        assert!(swallowed(&error), "{table}: {error:?}");
        assert_eq!(everything(&raw), before, "{table}");
        raw.execute_batch("DROP TRIGGER planted").unwrap();
        operation(&ledger, &mut run).unwrap();
        assert_ne!(everything(&raw), before, "{table}: a control");
    }
}

#[test]
fn a_change_that_a_trigger_swallows_is_an_error_and_nothing_is_recorded() {
    for compressed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let ledger = if compressed { Ledger::create_compressed(&path) } else { Ledger::create(&path) }.unwrap();
        let mut run = start(&ledger, "r");
        let line = b"the same line again and again\n".repeat(1000);
        run.put("log", &line, Put::text()).unwrap();
        let raw = Connection::open(&path).unwrap();
        let set: Result<_, Error> = ledger.set_retention(|retention| {
            retention.public = Ttl::Seconds(0);
            Ok(())
        });
        set.unwrap();
        let planted = if compressed { ["blobs", "blob_pieces"].as_slice() } else { &["blobs"] };
        for table in planted {
            let act = if *table == "blobs" { "UPDATE" } else { "DELETE" };
            let trigger = format!("CREATE TRIGGER planted BEFORE {act} ON {table} BEGIN SELECT RAISE(IGNORE); END");
            raw.execute_batch(&trigger).unwrap();
            let error = ledger.retain(&actor(), &mut |_, _| {}).unwrap_err();
            assert!(swallowed(&error), "{table}: {error:?}");
            raw.execute_batch("DROP TRIGGER planted").unwrap();
            let receipts: i64 = raw
                .query_row("SELECT count(*) FROM events WHERE event_type = 'BLOB_EXPIRE'", [], |row| row.get(0))
                .unwrap();
            assert_eq!(receipts, 0, "{table}: a receipt for bytes that are still there");
        }
        assert_eq!(ledger.retain(&actor(), &mut |_, _| {}).unwrap().expired, 1, "a control");
    }
}

#[test]
fn a_write_that_a_constraint_swallows_is_an_error_and_nothing_is_recorded() {
    let columns = "id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, seq INTEGER NOT NULL, event_type TEXT NOT NULL, \
                   envelope_json TEXT NOT NULL, event_hash TEXT NOT NULL, prev_event_hash TEXT, created_at TEXT NOT NULL";
    let constraints = [
        "UNIQUE (run_id, seq), UNIQUE (run_id, event_type) ON CONFLICT IGNORE",
        "UNIQUE (run_id, seq), x TEXT GENERATED ALWAYS AS (event_type) STORED, UNIQUE (x) ON CONFLICT IGNORE",
        "UNIQUE (run_id, seq), CHECK (seq < 3)",
        "UNIQUE (run_id, seq) ON CONFLICT IGNORE",
    ];
    for constraint in constraints {
        let (_folder, path, ledger) = new_ledger();
        let mut run = start(&ledger, "r");
        run.append(decision("a")).unwrap();
        let raw = Connection::open(path).unwrap();
        // A generated column stands among the columns, before the constraints.
        let (generated, constraint) = match constraint.split_once("x TEXT") {
            Some((before, rest)) => {
                let (column, after) = rest.split_once("STORED, ").unwrap();
                (format!(", x TEXT{column}STORED"), format!("{before}{after}"))
            }
            None => (String::new(), constraint.to_owned()),
        };
        raw.execute_batch(&format!(
            "CREATE TABLE other ({columns}{generated}, {constraint}); \
             INSERT INTO other (id, run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) \
             SELECT id, run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events; \
             DROP TABLE events; ALTER TABLE other RENAME TO events"
        ))
        .unwrap();
        let before = everything(&raw);
        let done = run.append(decision("b").with_key("k"));
        let stored = everything(&raw);
        assert!(done.as_ref().is_err_and(swallowed), "{constraint}: {done:?}");
        assert_eq!(stored, before, "{constraint}");
    }
}

#[test]
fn sealed_evidence_that_the_file_swallows_is_an_error_too() {
    let (_folder, path, ledger) = new_ledger();
    ledger.add_recipients([RECIPIENT]).unwrap();
    let mut run = start(&ledger, "r");
    let raw = Connection::open(path).unwrap();
    raw.execute_batch("CREATE TRIGGER planted BEFORE INSERT ON blobs BEGIN SELECT RAISE(IGNORE); END").unwrap();
    let sealed = Put::text().of_class(EvidenceClass::Sealed);
    for bytes in [b"short".to_vec(), vec![b'x'; 3 << 20]] {
        let error = run.put("dump", &bytes, sealed.clone()).unwrap_err();
        assert!(swallowed(&error), "{error:?}");
    }
    assert_eq!(count(&ledger, "r"), 1);
}

const MEBIBYTE: usize = 1 << 20;

#[test]
fn what_was_recorded_is_put_in_parts_if_it_is_large() {
    let (folder, path, ledger) = new_ledger();
    ledger.add_recipients([RECIPIENT]).unwrap();
    let mut run = start(&ledger, "r");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = names();
    for (class, len, parts_wanted) in [
        (EvidenceClass::Public, 0, 0),
        (EvidenceClass::Public, 9, 0),
        (EvidenceClass::Public, MEBIBYTE, 0),
        (EvidenceClass::Public, 4 * MEBIBYTE, 0),
        (EvidenceClass::Public, 4 * MEBIBYTE + 1, 2),
        (EvidenceClass::Public, 8 * MEBIBYTE, 2),
        // Each segment is encrypted as it comes.
        (EvidenceClass::Sealed, 0, 0),
        (EvidenceClass::Sealed, MEBIBYTE - 1, 0),
        (EvidenceClass::Sealed, MEBIBYTE, 0),
        (EvidenceClass::Sealed, MEBIBYTE + 1, 2),
        (EvidenceClass::Sealed, 3 * MEBIBYTE, 3),
    ] {
        let data: Vec<u8> = b"0123456789\n".iter().copied().cycle().take(len).collect();
        let mut recording = ledger.record(class, None).unwrap();
        data.chunks(70_001).for_each(|piece| recording.push(piece).unwrap());
        assert!(recording.save().unwrap().is_none(), "nobody asked for that");
        assert_eq!(names(), before, "a file has a name");
        let mut recorded = recording.finish().unwrap();
        assert_eq!(recorded.len(), len as u64);
        let mut parts = Vec::new();
        let put = Put::text().of_class(class);
        run.put_recorded("k", &mut recorded, put, &mut |part| parts.push(part)).unwrap();
        let (last, pieces) = parts.split_last().unwrap();
        assert_eq!((pieces.len(), last.key.as_str(), last.len), (parts_wanted, "k", len as u64), "{class:?} {len}");
        assert!(pieces.iter().enumerate().all(|(n, part)| part.key == format!("k.part-{:04}", n + 1)));
        if pieces.is_empty() {
            assert_eq!(last.record.class, class);
            continue;
        }
        assert_eq!((&*last.record.content_type, last.record.class), (PARTS_TYPE, EvidenceClass::Public));
        assert!(pieces.iter().all(|part| part.record.class == class));
        if class == EvidenceClass::Public {
            let bytes = pieces.iter().map(|part| ledger.blob(&part.record.hash).unwrap().to_vec());
            assert!(bytes.collect::<Vec<_>>().concat() == data);
        }
    }
    assert!(Ledger::open(path).unwrap().audit().unwrap().overall_verdict().is_success());
}

/// The files of recordings in a folder.
fn spools(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.to_string_lossy().contains("-spool-")).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_recording_holds_its_run_before_that_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::create(folder.path().join("l.db")).unwrap();
    let start = || ledger.start("r", Policy::structural().unwrap(), actor(), Object::new());
    let recording = ledger.record(EvidenceClass::Public, Some(("r", "stdout"))).unwrap();
    assert_eq!(spools(folder.path()).len(), 1);
    let again = ledger.record(EvidenceClass::Public, Some(("r", "stdout")));
    assert!(matches!(again, Err(Error::BeingRecorded { .. })), "{again:?}");
    drop(start().unwrap());
    let refused = ledger.recover("r", actor());
    assert!(matches!(refused, Err(Error::BeingRecorded { .. })), "{refused:?}");
    drop(recording);
    assert!(spools(folder.path()).is_empty(), "a recording of nothing leaves nothing");
    ledger.recover("r", actor()).unwrap();
    let secret = ["ghp_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"].concat();
    let refused = ledger.record(EvidenceClass::Public, Some((&secret, "stdout")));
    assert!(matches!(refused, Err(Error::SecretName { .. })), "{refused:?}");
    assert!(spools(folder.path()).is_empty());
}

#[test]
fn a_save_that_failed_is_made_again_and_takes_nothing_of_the_last() {
    for failures in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::create(folder.path().join("l.db")).unwrap();
        let mut recording = ledger.record(EvidenceClass::Public, Some(("r", "k"))).unwrap();
        drop(ledger.start("r", Policy::structural().unwrap(), actor(), Object::new()).unwrap());
        recording.push(b"one\nhalf of").unwrap();
        recording.save().unwrap().unwrap().sync().unwrap();
        // Something is in the way of the other file.
        let first = spools(folder.path()).remove(0);
        let other = std::path::PathBuf::from(format!("{}-rest1", first.display()));
        std::fs::create_dir(&other).unwrap();
        for _ in 0..failures {
            assert!(recording.save().is_err());
        }
        std::fs::remove_dir(&other).unwrap();
        let saved = recording.save().unwrap();
        assert!(saved.is_some() && recording.save().unwrap().is_none(), "all of it is saved, once");
        drop((recording, saved));
        ledger.recover("r", actor()).unwrap();
        let snapshot = ledger.snapshot("r", &[]).unwrap();
        let put = snapshot.of_type(EventType::EvidencePut).next().unwrap();
        let bytes = put.payload.get("evidence").and_then(|evidence| evidence.get("bytes_len")?.as_i64());
        assert_eq!(bytes, Some(11));
        assert!(spools(folder.path()).is_empty());
    }
}
