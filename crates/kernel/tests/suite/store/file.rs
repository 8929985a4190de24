//! What the one file of a ledger is relied on for: who may open it, what is left as it is, and that a copy is whole.

use crate::common::{actor, decision, new_path, start};
use receipt_core::id::{RunId, Seq};
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{KeyRow, Scope, Store, StoreErrorKind};
use receipt_kernel::{Audit, Error, ErrorKind, EvidenceClass, Ledger, Object, Policy, Put, Verdict};
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// The names of what lies in a folder.
fn listing(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn count(path: &Path, sql: &str) -> rusqlite::Result<i64> {
    Connection::open(path)?.query_row(sql, [], |row| row.get(0))
}

#[test]
fn opening_a_ledger_commits_nothing() {
    for create in [SqliteStore::create, SqliteStore::create_compressed] {
        let (_folder, path) = new_path();
        drop(create(&path).unwrap());
        let log = path.with_extension("db-wal");
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0, "a commit is in the log");
        let _run = start(&Ledger::over(Arc::new(store)), "r");
        assert!(fs::metadata(&log).unwrap().len() > 0, "the control");
    }
}

#[cfg(unix)]
#[test]
fn a_ledger_and_its_folder_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/ledger.db");
    let ledger = Ledger::create(&path).unwrap();
    start(&ledger, "r");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    assert_eq!(mode(&path.with_extension("db-shm")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
}

#[test]
fn opening_a_path_where_nothing_is_makes_no_file() {
    let (folder, path) = new_path();
    for opened in [Ledger::open(&path), Ledger::open_read_only(&path), Ledger::open(path.join("below"))] {
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }) && error.kind() == ErrorKind::Stop, "{error:?}");
    }
    assert!(listing(folder.path()).is_empty());
}

#[test]
fn a_ledger_is_not_made_over_a_file() {
    let (_folder, path) = new_path();
    fs::write(&path, "mine").unwrap();
    assert!(matches!(Ledger::create(&path), Err(Error::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn what_is_not_a_ledger_is_named_so_and_left_as_it_is() {
    let (folder, path) = new_path();
    let whole = folder.path().join("whole.db");
    let ledger = Ledger::create(&whole).unwrap();
    for note in 0..40 {
        start(&ledger, &format!("r{note}"));
    }
    drop(ledger);
    let whole = fs::read(&whole).unwrap();
    let truncated = &whole[..whole.len() / 2];
    let garbage: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    let cases: [(&str, &[u8]); 4] = [
        ("text", b"not a database, just some text"),
        ("garbage", &garbage),
        ("truncated", truncated),
        ("header", &whole[..60]),
    ];
    for (name, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        for opened in [Ledger::open(&path), Ledger::open_read_only(&path)] {
            let error = opened.map(drop).expect_err(name);
            assert!(matches!(&error, Error::NotALedger { problem, .. } if !problem.is_empty()), "{name}: {error:?}");
            assert!(error.to_string().contains("is not a ledger"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
    }
    assert!(matches!(Ledger::open(folder.path()), Err(Error::NotALedger { .. })));
    assert!(matches!(Ledger::open_read_only(folder.path()), Err(Error::NotALedger { .. })));
}

#[test]
fn an_empty_file_becomes_a_ledger_only_when_it_is_opened_to_write() {
    let (_folder, path) = new_path();
    fs::write(&path, "").unwrap();
    let report = Ledger::open_read_only(&path).unwrap().audit().unwrap();
    assert_eq!(report.overall_verdict(), Verdict::Fail);
    assert_eq!(fs::read(&path).unwrap(), b"");
    // What a crash between the making of the file and of its tables leaves is taken up.
    start(&Ledger::open(&path).unwrap(), "r");
}

#[test]
fn a_database_of_something_else_is_refused_and_left_as_it_is() {
    let (folder, path) = new_path();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('a')").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, Error::NotALedger { .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(listing(folder.path()), ["ledger.db"]);
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let (folder, path) = new_path();
    start(&Ledger::create(&path).unwrap(), "r");
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("UPDATE schema_meta SET value = '2'; DROP TABLE idempotency_keys").unwrap();
    // Neither WAL nor our own tables are forced on it.
    newer.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    for opened in [Ledger::open(&path), Ledger::open_read_only(&path), Ledger::open_or_create(&path)] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, Error::NewerSchema { found, supported: 1 } if found == "2"), "{error:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(listing(folder.path()), ["ledger.db"]);
}

#[test]
fn the_tables_are_those_that_are_shared_with_the_python_package() {
    let (_folder, path) = new_path();
    drop(Ledger::create(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let columns = |table: &str| -> Vec<String> {
        let sql = "SELECT name, type, \"notnull\", coalesce(dflt_value, '-'), pk FROM pragma_table_info(?1)";
        let mut statement = connection.prepare(sql).unwrap();
        let line = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            let (name, kind, default): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
            let (notnull, pk): (bool, bool) = (row.get(2)?, row.get(4)?);
            let extra = [(notnull, " not null"), (pk, " key")].into_iter().filter(|(on, _)| *on).map(|(_, word)| word);
            Ok(format!("{name} {kind}{} {default}", extra.collect::<String>()))
        };
        statement.query_map([table], line).unwrap().map(Result::unwrap).collect()
    };
    let runs = [
        "run_id TEXT key -",
        "policy_id TEXT not null -",
        "policy_version TEXT not null -",
        "stage_graph_id TEXT not null -",
        "created_at TEXT not null -",
        "meta_json TEXT not null '{}'",
    ];
    assert_eq!(columns("runs"), runs);
    let events = [
        "id INTEGER key -",
        "run_id TEXT not null -",
        "seq INTEGER not null -",
        "event_type TEXT not null -",
        "envelope_json TEXT not null -",
        "event_hash TEXT not null -",
        "prev_event_hash TEXT -",
        "created_at TEXT not null -",
    ];
    assert_eq!(columns("events"), events);
    let blobs = [
        "sha256 TEXT key -",
        "content_type TEXT not null -",
        "bytes_len INTEGER not null -",
        "evidence_class TEXT not null 'public'",
        "state TEXT not null 'live'",
        "created_at TEXT not null -",
        "expired_at TEXT -",
        "redaction_json TEXT -",
        // Last, where SQLite streams it: in the middle of a row it would be laid out in memory.
        "data BLOB -",
    ];
    assert_eq!(columns("blobs"), blobs);
    assert_eq!(columns("schema_meta"), ["key TEXT key -", "value TEXT not null -"]);
    let version = "SELECT count(*) FROM schema_meta WHERE key = 'store_schema_version' AND value = '1'";
    assert_eq!(count(&path, version), Ok(1));
    let unique = "SELECT count(*) FROM pragma_index_list('events') WHERE \"unique\"";
    assert_eq!(count(&path, unique), Ok(1));
}

#[test]
fn events_are_neither_updated_nor_deleted() {
    let (_folder, path) = new_path();
    start(&Ledger::create(&path).unwrap(), "r");
    let connection = Connection::open(&path).unwrap();
    for sql in ["UPDATE events SET created_at = 'x'", "DELETE FROM events", "DELETE FROM events WHERE seq = 1"] {
        let error = connection.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    assert_eq!(count(&path, "SELECT count(*) FROM events"), Ok(1));
}

#[test]
fn the_library_has_no_wal_reset_race() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn a_store_holds_no_lock_after_a_write_that_failed() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let mut run = start(&ledger, "r");
    let other = Connection::open(&path).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let writable = || {
        other.execute_batch("BEGIN IMMEDIATE; UPDATE runs SET created_at = created_at; ROLLBACK").unwrap();
    };
    assert!(matches!(
        ledger.start("r", Policy::structural().unwrap(), actor(), Object::new()),
        Err(Error::RunExists { .. })
    ));
    writable();
    run.advance("FINALIZE", "too early").unwrap_err();
    writable();
    run.append(decision("x".repeat(2 << 20))).unwrap_err();
    writable();
    let store = SqliteStore::open(&path).unwrap();
    let mut transaction = store.begin(Scope::Ledger).unwrap();
    let unknown = RunId::new("unknown");
    let row = KeyRow { seq: Seq::FIRST, digest: [0; 32] };
    transaction.insert_key(&unknown, "k", row).unwrap();
    transaction.insert_key(&unknown, "k", row).unwrap_err();
    other.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    drop(transaction);
    writable();
}

#[test]
fn many_can_open_one_new_file_at_once() {
    for _ in 0..4 {
        let (_folder, path) = new_path();
        let barrier = Barrier::new(8);
        thread::scope(|scope| {
            for index in 0..8 {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let ledger = Ledger::open_or_create(path).unwrap();
                    start(&ledger, &format!("r{index}"));
                });
            }
        });
        let report = Ledger::open(&path).unwrap().audit().unwrap();
        assert_eq!((report.runs, report.overall_verdict()), (8, Verdict::Warn));
    }
}

#[test]
fn a_ledger_opened_to_read_is_not_written() {
    let (_folder, path) = new_path();
    start(&Ledger::create(&path).unwrap(), "r");
    let ledger = Ledger::open_read_only(&path).unwrap();
    let refused = ledger.start("s", Policy::structural().unwrap(), actor(), Object::new());
    assert!(matches!(&refused, Err(error) if error.of_store() == Some(StoreErrorKind::ReadOnly)), "{refused:?}");
    let mut run = ledger.resume("r", actor()).unwrap();
    assert_eq!(run.append(decision("n")).unwrap_err().of_store(), Some(StoreErrorKind::ReadOnly));
}

// Backup.

#[test]
fn a_backup_of_a_live_ledger_is_whole() {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let mut run = start(&ledger, "r");
    run.put("log", &vec![b'x'; 3 << 20], Put::text()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                run.append_batch((0..5).map(|index| decision(format!("{index}"))).collect()).unwrap();
            }
        });
        for index in 0..3 {
            let before = count(&path, "SELECT count(*) FROM events").unwrap();
            let to = folder.path().join(format!("copies{index}/copy.db"));
            fs::create_dir(to.parent().unwrap()).unwrap();
            let mut told = (0, 0);
            Ledger::backup(&path, &to, &mut |pages, of| told = (pages, of)).unwrap();
            let after = count(&path, "SELECT count(*) FROM events").unwrap();
            assert!(told.0 == told.1 && told.1 > 0, "{told:?}");
            assert_eq!(listing(to.parent().unwrap()), ["copy.db"]);
            let report = Ledger::open_read_only(&to).unwrap().audit().unwrap();
            assert_eq!(report.overall_verdict(), Verdict::Warn, "{report:?}");
            let events = i64::try_from(report.events).unwrap();
            assert!(before <= events && events <= after, "{before} {events} {after}");
            // RUN_START, the evidence, and whole batches.
            assert_eq!((events - 2) % 5, 0);
            assert_eq!(report.blobs, 1);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_copy_of_the_file_alone_loses_events_and_a_backup_does_not() {
    let (folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let mut run = start(&ledger, "r");
    for _ in 0..20 {
        run.append(decision("n")).unwrap();
    }
    let (plain, backup) = (folder.path().join("plain.db"), folder.path().join("backup.db"));
    fs::copy(&path, &plain).unwrap();
    Ledger::backup(&path, &backup, &mut |_, _| {}).unwrap();
    let events = |path: &Path| count(path, "SELECT count(*) FROM events").unwrap_or(0);
    assert!(events(&plain) < 21);
    assert_eq!(events(&backup), 21);
}

#[cfg(unix)]
#[test]
fn a_backup_overwrites_nothing_and_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = new_path();
    start(&Ledger::create(&path).unwrap(), "r");
    let to = folder.path().join("copy.db");
    fs::write(&to, "mine").unwrap();
    assert!(matches!(Ledger::backup(&path, &to, &mut |_, _| {}), Err(Error::Exists { .. })));
    assert!(matches!(Ledger::backup(&path, &path, &mut |_, _| {}), Err(Error::Exists { .. })));
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    // Not even through a link that points at nothing.
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
    assert!(matches!(Ledger::backup(&path, &link, &mut |_, _| {}), Err(Error::Exists { .. })));
    fs::remove_file(&to).unwrap();
    Ledger::backup(&path, &to, &mut |_, _| {}).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Ledger::backup(&folder.path().join("none"), &link, &mut |_, _| {}), Err(Error::NotFound { .. })));
    let nowhere = folder.path().join("no folder").join("copy.db");
    let refused = Ledger::backup(&path, &nowhere, &mut |_, _| {});
    assert!(matches!(&refused, Err(Error::Io { path, .. }) if *path == nowhere), "{refused:?}");
    // A reader leaves the log of the ledger where it is; of the copying nothing stays.
    let mut left = listing(folder.path());
    left.retain(|name| !name.starts_with("ledger.db-"));
    assert_eq!(left, ["copy.db", "ledger.db", "link.db"]);
}

/// Set in the process that runs the test below as a user whom permissions hold back.
const AS_NOBODY: &str = "RECEIPT_TEST_LEDGER_AS_NOBODY";

#[cfg(unix)]
#[test]
fn a_read_only_ledger_in_a_read_only_folder_can_be_audited() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let audit = |path: &Path| {
        let report = Ledger::open_read_only(path).unwrap().audit().unwrap();
        assert_eq!((report.overall_verdict(), report.events), (Verdict::Warn, 1), "{report:?}");
        let helped = Audit::of(&Ledger::open_read_only(path).unwrap()).threads(4).run().unwrap();
        assert_eq!(helped, report);
    };
    if let Some(path) = std::env::var_os(AS_NOBODY) {
        fs::write(Path::new(&path).with_extension("probe"), "").expect_err("permissions do not apply");
        return audit(Path::new(&path));
    }
    let (folder, path) = new_path();
    start(&Ledger::create(&path).unwrap(), "r");
    let is_root = fs::metadata(&path).unwrap().uid() == 0;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&path, 0o444);
    set(folder.path(), 0o555);
    if is_root {
        // Permissions hold root back from nothing: the same test as somebody else.
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again
            .args(["--exact", "store::file::a_read_only_ledger_in_a_read_only_folder_can_be_audited"])
            .env(AS_NOBODY, &path);
        match again.current_dir("/").uid(65_534).gid(65_534).output() {
            Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
            Err(error) => eprintln!("SKIPPED: root cannot run this test as somebody else: {error}"),
        }
    } else {
        audit(&path);
    }
    assert_eq!(listing(folder.path()), ["ledger.db"]);
    set(folder.path(), 0o755);
}

// Evidence.

/// The row of the only blob: content type, class, state.
fn blob_row(path: &Path) -> (String, String, String) {
    let sql = "SELECT content_type, evidence_class, state FROM blobs";
    Connection::open(path).unwrap().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

#[test]
fn evidence_that_was_removed_is_stored_again_when_it_is_put_again_and_the_event_says_so() {
    let (_folder, path) = new_path();
    let ledger = Ledger::create(&path).unwrap();
    let mut run = start(&ledger, "r");
    let first = run.put("log", b"evidence", Put::text()).unwrap();
    let remove = "UPDATE blobs SET data = NULL, state = 'expired_hash_only', expired_at = created_at";
    Connection::open(&path).unwrap().execute(remove, []).unwrap();
    assert!(matches!(ledger.blob(&first.hash), Err(Error::BlobUnavailable { .. })));
    let second = run.put("log", b"evidence", Put::text()).unwrap();
    assert_eq!(second, first);
    assert_eq!(&*ledger.blob(&first.hash).unwrap(), b"evidence");
    assert_eq!(blob_row(&path).2, "live");
    let mut restored = Vec::new();
    ledger
        .events("r", &mut |event| {
            restored.push(event.payload.get("meta").and_then(|meta| meta.get("restored")).cloned());
        })
        .unwrap();
    assert_eq!(restored, [None, None, Some(true.into())]);
    assert_eq!(ledger.audit().unwrap().overall_verdict(), Verdict::Warn);
}

#[test]
fn the_strictest_class_wins_and_the_row_is_the_record() {
    use EvidenceClass::{Public, Sealed};
    for held in [Public, Sealed] {
        let (_folder, path) = new_path();
        let mut run = start(&Ledger::create(&path).unwrap(), "r");
        run.put("a", b"same", Put::text()).unwrap();
        // As the Python package leaves it, which encrypts nothing.
        let sql = "UPDATE blobs SET evidence_class = ?1";
        Connection::open(&path).unwrap().execute(sql, [held.as_str()]).unwrap();
        let record = run.put("b", b"same", Put::json()).unwrap();
        assert_eq!(record.class, held);
        let (content_type, class, _) = blob_row(&path);
        assert_eq!((content_type, class.as_str()), (record.content_type, record.class.as_str()));
        assert_eq!(Ledger::open(&path).unwrap().audit().unwrap().overall_verdict(), Verdict::Warn);
    }
}
