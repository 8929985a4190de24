//! Every column of every row of every table is edited, one at a time: verifying finds it, or `docs/FORMAT.md` says that the
//! column binds nothing. Whatever that page lists can indeed be edited without a finding.

use crate::common::{RECIPIENT, actor, decision, new_path, start};
use crate::forge::{Forger, renamed, set};
use receipt_core::note::{KeyKind, Signing};
use receipt_kernel::anchor::Pinned;
use receipt_kernel::bundle::{Export, Verify};
use receipt_kernel::clock::ManualClock;
use receipt_kernel::core::evidence::EvidenceClass;
use receipt_kernel::{Anchors, Audit, BlobHash, Ledger, Object, Publish, Put, RunId, Timestamp, Ttl, Verdict};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + day * 86_400) * 1_000_000)
}

fn key() -> Signing {
    Signing::from_seed("example.com/log".parse().unwrap(), KeyKind::Note, &[1; 32])
}

/// A whole run with evidence of both classes, and an event under an idempotency key.
fn record(ledger: &Ledger, run: &str) {
    let mut writer = start(ledger, run);
    writer.put("log", format!("the log of {run}\n").repeat(40).as_bytes(), Put::text()).unwrap();
    writer.put("secret", b"told to nobody", Put::text().of_class(EvidenceClass::Sealed)).unwrap();
    writer.append(decision(run).with_key("once")).unwrap();
    writer.finalize_as(Verdict::Fail, "over").unwrap();
}

/// A ledger that has a row in each table: evidence that retention removed, a run that was imported, one that commits to
/// nothing, checkpoints of before and after, and a run that no checkpoint covers.
fn scene(path: &Path, compressed: bool) -> Anchors {
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = if compressed { Ledger::create_compressed(path) } else { Ledger::create(path) };
    let ledger = ledger.unwrap().with_clock(clock.clone());
    ledger.add_recipients([RECIPIENT]).unwrap();
    let kept = ledger.set_retention(|retention| {
        retention.public = Ttl::Seconds(30 * 86_400);
        Ok::<_, receipt_kernel::Error>(())
    });
    kept.unwrap();
    record(&ledger, "gone");
    clock.set(at(40));
    ledger.retain(&actor(), &mut |_, _| {}).unwrap();
    record(&ledger, "a");
    let forger = Forger::open(path);
    let mut events = renamed(&forger.events("a")[..2], "python");
    events[0].insert("payload", Object::new());
    let bytes = b"left by the package";
    let hash = BlobHash::of(bytes).to_hex();
    let evidence = [
        ("ref", receipt_kernel::Value::from(format!("blob://sha256:{hash}"))),
        ("sha256", hash.as_str().into()),
        ("bytes_len", 19.into()),
    ];
    set(&mut events[1], &["payload", "evidence"], Object::from_iter(evidence));
    set(&mut events[1], &["refs", "blobs"], receipt_kernel::Value::Array(vec![]));
    let sql = "INSERT INTO blobs (sha256, content_type, bytes_len, created_at, data) VALUES (?1, 'text/plain', 19, 'then', ?2)";
    forger.execute(sql, rusqlite::params![hash, bytes]).unwrap();
    forger.add_run(&renamed(&events, "python"));
    drop(forger);
    ledger.checkpoint(&Publish::by(&key())).unwrap();
    let other = Ledger::in_memory().with_clock(clock);
    other.add_recipients([RECIPIENT]).unwrap();
    record(&other, "theirs");
    other.checkpoint(&Publish::by(&key())).unwrap();
    let mut bundle = Vec::new();
    other.export(&Export::of(RunId::new("theirs")), &mut bundle).unwrap();
    ledger.import(&Verify::default(), &mut &bundle[..]).unwrap();
    let kept = ledger.checkpoint(&Publish::by(&key())).unwrap().checkpoint;
    record(&ledger, "b");
    let (origin, head) = Audit::of(&ledger).against(&Anchors::default()).run().unwrap().head.unwrap();
    Anchors {
        checkpoints: vec![("kept".to_owned(), kept)],
        key: Some(key().verifier().clone()),
        pinned: vec![Pinned { name: "the pin".to_owned(), origin, head }],
        ..Anchors::default()
    }
}

/// The verdict; `None` if the file is not opened at all.
fn judged(path: &Path, anchors: &Anchors) -> Option<Verdict> {
    let ledger = Ledger::open_read_only(path).ok()?;
    Some(Audit::of(&ledger).threads(1).against(anchors).run().unwrap().overall_verdict())
}

/// The columns that `docs/FORMAT.md` says bind nothing, each with the rows of which it says so.
fn documented() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/FORMAT.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split_once("**Columns that bind nothing.**").unwrap().1;
    let section = section.split_once("\n**").unwrap().0;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).flat_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let (table, columns) = cells[0].split_once("`: ").unwrap();
        let columns = columns.split(", ").map(|column| column.trim_matches('`'));
        columns.map(|column| (format!("{table}.{column}"), cells[1].to_owned())).collect::<Vec<_>>()
    });
    rows.collect()
}

/// What somebody could write there instead.
fn others(value: &Value, column: &[Value]) -> Vec<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut others = vec![Value::Null, Value::Integer(7), text("2000-01-01T00:00:00.000000+00:00")];
    match value {
        Value::Null => others.push(Value::Blob(vec![0])),
        Value::Integer(number) => {
            others.extend([number + 1, number - 1, -number, number + 1000].map(Value::Integer));
            others.push(Value::Text(format!("x{number}")));
        }
        Value::Real(number) => others.push(Value::Real(number + 1.0)),
        Value::Text(is) => {
            others.extend([format!("{is}x"), is.replace('a', "b")].map(Value::Text));
            others.push(Value::Blob(is.clone().into_bytes()));
        }
        Value::Blob(is) => {
            let mut other = is.clone();
            other.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            others.extend([Value::Blob(other), Value::Blob(vec![]), Value::Text(String::from_utf8_lossy(is).into())]);
        }
    }
    let mut distinct: Vec<&Value> = Vec::new();
    for other in column {
        if distinct.len() < 2 && !distinct.contains(&other) {
            distinct.push(other);
        }
    }
    others.extend(distinct.into_iter().cloned());
    others.retain(|other| other != value);
    others
}

/// The tables and their columns.
fn tables(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let names = |sql: &str, table: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> ?1 ORDER BY name", "");
    let columns = "SELECT name FROM pragma_table_info(?1) ORDER BY cid";
    tables.into_iter().map(|table| (table.clone(), names(columns, &table))).collect()
}

/// The rows of a table. A table without row ids is told by its first two columns, of which none is edited to another's.
fn rows(connection: &Connection, table: &str, columns: &[String]) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Which rows a column may be listed for that this row is one of.
fn kinds(connection: &Connection, table: &str, row: &[Value]) -> Vec<&'static str> {
    let committed = "SELECT count(*) FROM events WHERE seq = 1 AND run_id = ?1 AND envelope_json LIKE '%commitment%'";
    let putters = "SELECT count(*) FROM events AS put JOIN events AS first ON first.run_id = put.run_id AND first.seq = 1 \
                   WHERE put.event_type = 'EVIDENCE_PUT' AND first.envelope_json LIKE '%commitment%' \
                   AND put.envelope_json LIKE '%' || ?1 || '%'";
    let count = |sql: &str| connection.query_row(sql, [&row[0]], |row| row.get::<_, i64>(0)).unwrap();
    let mut kinds = vec!["all rows"];
    match table {
        "runs" if count(committed) == 0 => kinds.push("runs without a commitment"),
        "blobs" if count(putters) == 0 => kinds.push("blobs that no run with a commitment put"),
        "log_checkpoints" if row[0] == Value::Integer(1) => kinds.push("all but the last checkpoint"),
        "log_tiles" if row[0] != Value::Integer(0) => kinds.push("levels above 0"),
        _ => {}
    }
    kinds
}

/// Sets a column of the row whose columns are `row`.
fn update(connection: &Connection, table: &str, columns: &[String], row: &[Value], column: usize, to: &Value) -> bool {
    let place: Vec<String> = columns.iter().enumerate().map(|(at, name)| format!("{name} IS ?{}", at + 2)).collect();
    let sql = format!("UPDATE {table} SET {} = ?1 WHERE {}", columns[column], place.join(" AND "));
    let values = std::iter::once(to).chain(row);
    // A constraint may refuse it.
    connection.execute(&sql, rusqlite::params_from_iter(values)).is_ok_and(|changed| {
        assert_eq!(changed, 1, "{table}.{}", columns[column]);
        true
    })
}

#[derive(Default)]
struct Outcome {
    edits: usize,
    /// Edits without a finding: the column, the kinds of its row, and what was done.
    free: Vec<(String, Vec<&'static str>, String)>,
}

fn edit_everything(compressed: bool, wanted: impl Fn(&str) -> bool, outcome: &mut Outcome) {
    let (_folder, path) = new_path();
    let anchors = scene(&path, compressed);
    assert_eq!(judged(&path, &anchors), Some(Verdict::Pass), "the control");
    let forger = Forger::open(&path);
    forger.sql("PRAGMA synchronous = OFF");
    for (table, columns) in tables(&forger).into_iter().filter(|(table, _)| wanted(table)) {
        let before = rows(&forger, &table, &columns);
        assert!(!before.is_empty(), "the scene has nothing in {table}");
        for row in &before {
            let kinds = kinds(&forger, &table, row);
            for (column, name) in columns.iter().enumerate() {
                let all: Vec<Value> = before.iter().map(|row| row[column].clone()).collect();
                for other in others(&row[column], &all) {
                    if !update(&forger, &table, &columns, row, column, &other) {
                        continue;
                    }
                    let changed = rows(&forger, &table, &columns);
                    let is = changed.iter().find(|row| !before.contains(row)).cloned();
                    let Some(is) = is else { continue };
                    outcome.edits += 1;
                    if judged(&path, &anchors) == Some(Verdict::Pass) {
                        let act = format!("{table}.{name} of {:?}: {:?}", &row[0], is[column]);
                        outcome.free.push((format!("{table}.{name}"), kinds.clone(), act));
                    }
                    assert!(update(&forger, &table, &columns, &is, column, &row[column]), "put back");
                }
            }
        }
        assert_eq!(rows(&forger, &table, &columns), before, "put back");
    }
    assert_eq!(judged(&path, &anchors), Some(Verdict::Pass), "put back");
}

#[test]
fn every_edited_column_is_found_or_on_the_list_of_those_that_bind_nothing() {
    let mut outcome = Outcome::default();
    edit_everything(false, |_| true, &mut outcome);
    // Where evidence lies compressed.
    edit_everything(true, |table| ["blobs", "blob_pieces", "schema_meta"].contains(&table), &mut outcome);
    let documented = documented();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (column, kinds, act) in outcome.free {
        match documented.get(&column) {
            Some(rows) if kinds.contains(&rows.as_str()) => {
                seen.insert(column);
            }
            _ => wrong.push(act),
        }
    }
    assert!(wrong.is_empty(), "{} of {} edits were not found:\n{}", wrong.len(), outcome.edits, wrong.join("\n"));
    let listed: BTreeSet<String> = documented.into_keys().collect();
    assert_eq!(seen, listed, "each column that is listed was edited without a finding");
}
