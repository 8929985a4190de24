//! A forger: somebody who holds the file of a ledger or a bundle, knows the format, and computes every hash again.
//!
//! ```ignore
//! let forger = Forger::open(&path);
//! forger.edit("a", |events| set(&mut events[7], &["payload", "plan"], "hold it"));
//! drop(forger); // the triggers are as they were
//! ```

#![allow(dead_code, reason = "each test binary that has this module uses a part of it")]

use receipt_kernel::core::canonical;
use receipt_kernel::core::id::{BlobHash, EventHash};
use receipt_kernel::core::json::{self, Limits, Object, Value};
use rusqlite::{Connection, params};
use std::path::Path;

/// A ledger's file, opened with its triggers dropped. They are restored, to the letter, when this is dropped.
pub(crate) struct Forger {
    connection: Connection,
    triggers: Vec<String>,
}

impl Forger {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
        let found: Vec<(String, String)> = rows(&connection, sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        for (name, _) in &found {
            connection.execute_batch(&format!("DROP TRIGGER \"{name}\"")).unwrap();
        }
        Self { connection, triggers: found.into_iter().map(|(_, sql)| sql).collect() }
    }

    /// Runs SQL that must succeed.
    pub(crate) fn sql(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The events of a run, in the order of their seq.
    pub(crate) fn events(&self, run: &str) -> Vec<Object> {
        let sql = "SELECT envelope_json FROM events WHERE run_id = ?1 ORDER BY seq";
        let texts: Vec<String> = rows(&self.connection, sql, [run], |row| row.get(0));
        texts.iter().map(|text| object(text.as_bytes())).collect()
    }

    /// The row ids of a run's events, in the order of their seq.
    pub(crate) fn ids(&self, run: &str) -> Vec<i64> {
        rows(&self.connection, "SELECT id FROM events WHERE run_id = ?1 ORDER BY seq", [run], |row| row.get(0))
    }

    /// Puts these events in the place of a run's, as they are, each with the row id that goes with it. Events without
    /// one (`&[]` for all) get the next free row ids.
    pub(crate) fn write(&self, run: &str, events: &[Object], ids: &[i64]) {
        self.connection.execute("DELETE FROM events WHERE run_id = ?1", [run]).unwrap();
        let sql = "INSERT INTO events (id, run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, \
                   created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        for (at, event) in events.iter().enumerate() {
            let [event_type, hash, prev, ts] = ["event_type", "event_hash", "prev_event_hash", "ts"]
                .map(|name| event.get(name).and_then(Value::as_str));
            let seq = event.get("seq").and_then(Value::as_i64);
            let row = params![ids.get(at), run, seq, event_type, text(event), hash, prev, ts];
            self.connection.execute(sql, row).unwrap();
        }
    }

    /// Changes the events of a run, and gives them their hashes and their old row ids.
    pub(crate) fn edit(&self, run: &str, change: impl FnOnce(&mut Vec<Object>)) {
        let (mut events, ids) = (self.events(run), self.ids(run));
        change(&mut events);
        rechain(&mut events);
        self.write(run, &events, &ids);
    }

    /// Adds a run: its row, as its RUN_START has it, and its events, as they are.
    pub(crate) fn add_run(&self, events: &[Object]) {
        let run = events[0].get("run_id").and_then(Value::as_str).unwrap().to_owned();
        let row = row_of(&events[0]);
        let column = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let [policy, version, graph, made, meta] =
            ["policy_id", "policy_version", "stage_graph_id", "created_at", "meta_json"].map(column);
        let sql = "INSERT OR REPLACE INTO runs (run_id, policy_id, policy_version, stage_graph_id, created_at, \
                   meta_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.execute(sql, params![run, policy, version, graph, made, meta]).unwrap();
        self.write(&run, events, &[]);
    }
}

impl std::ops::Deref for Forger {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        for sql in &self.triggers {
            self.connection.execute_batch(sql).unwrap_or_else(|error| eprintln!("{sql}: {error}"));
        }
    }
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map(parameters, |row| read(row)).unwrap().map(Result::unwrap).collect()
}

/// A line or an envelope as a value.
pub(crate) fn object(text: &[u8]) -> Object {
    match json::parse(text, Limits::READ) {
        Ok(Value::Object(object)) => object,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(text)),
    }
}

/// The canonical text of an object.
pub(crate) fn text(object: &Object) -> String {
    String::from_utf8(canonical::to_bytes(&object.clone().into(), Limits::READ).unwrap()).unwrap()
}

/// Sets a member, however deep in objects; those on the way must be there.
pub(crate) fn set(object: &mut Object, path: &[&str], value: impl Into<Value>) {
    let [first, rest @ ..] = path else { panic!("a member needs a name") };
    if rest.is_empty() {
        object.insert(*first, value);
        return;
    }
    let inner = object.iter_mut().find(|(key, _)| *key == *first);
    let Some((_, Value::Object(inner))) = inner else { panic!("no object {first} in it") };
    set(inner, rest, value);
}

/// A member, however deep in objects.
pub(crate) fn get<'o>(object: &'o Object, path: &[&str]) -> Option<&'o Value> {
    let [first, rest @ ..] = path else { return None };
    rest.iter().try_fold(object.get(first)?, |value, key| value.get(key))
}

/// The hash that an event must have.
pub(crate) fn hash(event: &Object) -> String {
    let mut event = event.clone();
    event.remove("event_hash");
    EventHash::of(text(&event).as_bytes()).to_string()
}

/// Numbers the events from 1, links them and hashes them.
pub(crate) fn rechain(events: &mut [Object]) {
    let mut prev: Option<String> = None;
    for (event, seq) in events.iter_mut().zip(1_i64..) {
        event.insert("seq", seq);
        event.insert("prev_event_hash", prev);
        let hash = hash(event);
        event.insert("event_hash", hash.as_str());
        prev = Some(hash);
    }
}

/// The events as those of a run of another name, linked and hashed.
pub(crate) fn renamed(events: &[Object], run: &str) -> Vec<Object> {
    let mut events = events.to_vec();
    for event in &mut events {
        event.insert("run_id", run);
    }
    rechain(&mut events);
    events
}

/// An event of the same run, policy and instant as another one, without a place in the chain yet.
pub(crate) fn event_like(other: &Object, event_type: &str, stage: &str, payload: Object) -> Object {
    let mut event = other.clone();
    event.insert("event_type", event_type);
    event.insert("stage", stage);
    event.insert("payload", payload);
    event.insert("refs", Object::from_iter([("blobs", Value::Array(vec![])), ("events", Value::Array(vec![]))]));
    event
}

/// What RUN_START commits to: a policy, with the digest that is right for it.
pub(crate) fn commitment(policy: Object) -> Object {
    let digest = EventHash::of(text(&policy).as_bytes()).to_string();
    Object::from_iter([("policy", Value::from(policy)), ("policy_digest", Value::from(digest))])
}

/// A run's row, as a bundle has it, that agrees with its RUN_START.
pub(crate) fn row_of(start: &Object) -> Object {
    let meta = get(start, &["payload", "meta"]).and_then(Value::as_object).cloned().unwrap_or_default();
    let of_policy = |name: &str| get(start, &["policy", name]).cloned().unwrap_or_default();
    Object::from_iter([
        ("created_at", start.get("ts").cloned().unwrap_or_default()),
        ("meta_json", Value::from(text(&meta))),
        ("policy_id", of_policy("policy_id")),
        ("policy_version", of_policy("policy_version")),
        ("stage_graph_id", of_policy("stage_graph_id")),
    ])
}

/// A bundle as values. [`Bundle::write`] gives it the counts and the trailer that are right for them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bundle {
    pub(crate) header: Object,
    pub(crate) row: Object,
    pub(crate) events: Vec<Object>,
    /// Each blob's record, and its bytes if they are in the bundle.
    pub(crate) blobs: Vec<(Object, Option<Vec<u8>>)>,
}

impl Bundle {
    /// A bundle of these events, as they are, without blobs or a proof.
    pub(crate) fn of(events: Vec<Object>) -> Self {
        let run = events[0].get("run_id").cloned().unwrap_or_default();
        let members =
            [("format", Value::from(receipt_kernel::core::bundle::FORMAT)), ("proof", Value::Null), ("run_id", run)];
        Self { header: Object::from_iter(members), row: row_of(&events[0]), events, blobs: Vec::new() }
    }

    /// Reads a sound bundle.
    pub(crate) fn read(bundle: &[u8]) -> Self {
        let mut lines = bundle.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
        let header = object(lines.next().unwrap());
        let row = object(lines.next().unwrap());
        let count = header.get("events").and_then(Value::as_i64).unwrap();
        let events = lines.by_ref().take(usize::try_from(count).unwrap()).map(object).collect();
        let mut blobs: Vec<(Object, Option<Vec<u8>>)> = Vec::new();
        for line in lines.skip(1) {
            match line {
                [b'"', piece @ .., b'"'] => {
                    let piece = data_encoding::BASE64.decode(piece).unwrap();
                    blobs.last_mut().unwrap().1.get_or_insert_default().extend(piece);
                }
                _ => blobs.push((object(line), None)),
            }
        }
        blobs.pop(); // the trailer
        for (record, bytes) in &mut blobs {
            if record.get("state").and_then(Value::as_str) == Some("live") {
                bytes.get_or_insert_default();
            }
        }
        Self { header, row, events, blobs }
    }

    /// Links and hashes the events anew.
    pub(crate) fn rechain(&mut self) {
        rechain(&mut self.events);
    }

    /// The bytes of the bundle, its records in the order of their addresses.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        let count = |count: usize| Value::from(i64::try_from(count).unwrap());
        header.insert("events", count(self.events.len()));
        header.insert("head", self.events.last().and_then(|event| event.get("event_hash")).cloned());
        let mut lines = vec![text(&header), text(&self.row)];
        lines.extend(self.events.iter().map(text));
        lines.push(text(&Object::from_iter([("blobs", count(self.blobs.len()))])));
        let mut covered: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        let mut bundle = covered.clone();
        let mut blobs: Vec<_> = self.blobs.iter().collect();
        blobs.sort_by_key(|(record, _)| record.get("sha256").and_then(Value::as_str).map(str::to_owned));
        for (record, bytes) in blobs {
            let line = [text(record).as_bytes(), b"\n"].concat();
            covered.extend_from_slice(&line);
            bundle.extend_from_slice(&line);
            for piece in bytes.iter().flat_map(|bytes| bytes.chunks(receipt_kernel::core::bundle::PIECE)) {
                bundle.extend_from_slice(format!("\"{}\"\n", data_encoding::BASE64.encode(piece)).as_bytes());
            }
        }
        let trailer = Object::from_iter([
            ("blobs", count(self.blobs.len())),
            ("events", count(self.events.len())),
            ("sha256", Value::from(BlobHash::of(&covered).to_string())),
        ]);
        bundle.extend_from_slice(format!("{}\n", text(&trailer)).as_bytes());
        bundle
    }
}

/// A run to practise on, in a ledger that stays open until it is dropped.
fn practice(path: &Path) -> Vec<u8> {
    use receipt_kernel::{Actor, Ledger, Policy, Put, RunId, bundle::Export};
    let ledger = Ledger::create(path).unwrap();
    for run in ["a", "b"] {
        let mut run =
            ledger.start(run, Policy::structural().unwrap(), Actor::new("system", "test"), Object::new()).unwrap();
        run.advance("COLLECT", "collecting").unwrap();
        run.put("log", &vec![b'x'; 100_000], Put::text()).unwrap();
        run.put("empty", b"", Put::text()).unwrap();
    }
    let mut bundle = Vec::new();
    ledger.export(&Export::of(RunId::new("a")), &mut bundle).unwrap();
    bundle
}

fn verdict(path: &Path) -> receipt_kernel::Verdict {
    receipt_kernel::Ledger::open_read_only(path).unwrap().audit().unwrap().overall_verdict()
}

#[test]
fn a_forger_who_changes_nothing_leaves_the_ledger_and_the_bundle_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let bundle = practice(&path);
    assert_eq!(String::from_utf8_lossy(&Bundle::read(&bundle).write()), String::from_utf8_lossy(&bundle));
    let mut built = Bundle::of(Bundle::read(&bundle).events);
    built.blobs = Bundle::read(&bundle).blobs;
    built.rechain();
    assert_eq!(built.write(), bundle, "from its events and blobs alone");
    let dump = |forger: &Forger| {
        let sql = "SELECT id || run_id || seq || event_type || envelope_json || event_hash || \
                   ifnull(prev_event_hash, '') || created_at FROM events ORDER BY id";
        rows(forger, sql, [], |row| row.get::<_, String>(0))
    };
    let before = dump(&Forger::open(&path));
    Forger::open(&path).edit("a", |_| {});
    assert_eq!(dump(&Forger::open(&path)), before);
    assert_eq!(verdict(&path), receipt_kernel::Verdict::Warn, "both runs are open");
    let refused = Connection::open(&path).unwrap().execute("DELETE FROM events", []);
    assert!(refused.is_err(), "the triggers are back");
}

#[test]
fn a_forged_history_has_nothing_against_it_in_the_ledger_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    practice(&path);
    let forger = Forger::open(&path);
    forger.edit("a", |events| {
        set(&mut events[1], &["actor", "id"], "nobody");
        let payload = Object::from_iter([("note", "never said")]);
        events.push(event_like(&events[3], "REMEDIATION", "COLLECT", payload));
    });
    assert_eq!(get(&forger.events("a")[1], &["actor", "id"]).and_then(Value::as_str), Some("nobody"));
    forger.add_run(&renamed(&forger.events("b"), "c"));
    forger.write("b", &forger.events("b"), &[-4, -3, -2, -1]);
    assert_eq!(forger.ids("b"), [-4, -3, -2, -1]);
    let commitment = commitment(
        get(&forger.events("a")[0], &["payload", "commitment", "policy"]).unwrap().as_object().unwrap().clone(),
    );
    assert_eq!(get(&forger.events("a")[0], &["payload", "commitment"]), Some(&Value::from(commitment)));
    drop(forger);
    assert_eq!(verdict(&path), receipt_kernel::Verdict::Warn, "three open runs");
    Forger::open(&path).sql("UPDATE events SET envelope_json = replace(envelope_json, 'never said', 'said')");
    assert_eq!(verdict(&path), receipt_kernel::Verdict::Fail, "the control: an edit without its hash");
}
