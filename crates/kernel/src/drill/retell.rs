//! A run told anew: its events edited, linked and hashed as if they had always been so, which is what somebody does who
//! knows the format and has the file.

#![allow(clippy::ptr_arg)] // edits are all of one type

use super::{open, the_run};
use crate::error::{Error, Result};
use receipt_core::canonical;
use receipt_core::id::EventHash;
use receipt_core::json::{self, Limits, Object, Value};
use rusqlite::{Connection, params};
use std::path::Path;

/// What becomes of a run's events, given those of another run; whether it changed them.
pub(super) type Edit = fn(&mut Vec<Object>, &[Object]) -> bool;

/// Another actor in the second event.
pub(super) fn edited(events: &mut Vec<Object>, _: &[Object]) -> bool {
    let Some(event) = events.get_mut(1) else { return false };
    event.insert("actor", Object::from_iter([("id", "nobody"), ("kind", "system")])).is_some()
}

/// The second event and the one behind it change places.
pub(super) fn swapped(events: &mut Vec<Object>, _: &[Object]) -> bool {
    let enough = events.len() > 2;
    if enough {
        events.swap(1, 2);
    }
    enough
}

/// The second event goes.
pub(super) fn removed(events: &mut Vec<Object>, _: &[Object]) -> bool {
    let enough = events.len() > 2;
    if enough {
        events.remove(1);
    }
    enough
}

/// The newest event goes.
pub(super) fn cut(events: &mut Vec<Object>, _: &[Object]) -> bool {
    events.len() > 1 && events.pop().is_some()
}

/// The last event of another run follows the first one.
pub(super) fn spliced(events: &mut Vec<Object>, others: &[Object]) -> bool {
    let Some(other) = others.last() else { return false };
    events.insert(1, other.clone());
    true
}

/// The run ends as passed, and was judged so.
pub(super) fn acquitted(events: &mut Vec<Object>, _: &[Object]) -> bool {
    let mut changed = false;
    for event in events {
        let Some(Value::Object(payload)) = event.get("payload") else { continue };
        let Some(verdict) = payload.get("overall_verdict").and_then(Value::as_str) else { continue };
        let other = if verdict == "pass" { "warn" } else { "pass" };
        let mut payload = payload.clone();
        payload.insert("overall_verdict", other);
        event.insert("payload", payload);
        changed = true;
    }
    changed
}

/// Tells the run that is tampered with anew, every hash computed again.
pub(super) fn retell(path: &Path, edit: Edit) -> Result<bool> {
    let connection = open(path)?;
    let mut events = read(&connection, concat!("= ", the_run!()))?;
    let others = read(&connection, concat!("= (SELECT max(run_id) FROM events WHERE run_id <> ", the_run!(), ")"))?;
    if events.is_empty() || !edit(&mut events, &others) {
        return Ok(false);
    }
    let id: String = connection.query_row(concat!("SELECT ", the_run!()), [], |row| row.get(0))?;
    connection.execute("DELETE FROM events WHERE run_id = ?1", [&id])?;
    let sql = "INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut prev: Option<String> = None;
    for (mut event, seq) in events.into_iter().zip(1_i64..) {
        event.remove("event_hash");
        event.insert("run_id", id.as_str());
        event.insert("seq", seq);
        event.insert("prev_event_hash", prev.clone());
        let hash = EventHash::of(&canonical::to_bytes(&event.clone().into(), Limits::READ)?).to_string();
        event.insert("event_hash", hash.as_str());
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, ts) = (text("event_type"), text("ts"));
        let envelope = String::from_utf8_lossy(&canonical::to_bytes(&event.into(), Limits::READ)?).into_owned();
        connection.execute(sql, params![id, seq, kind, envelope, hash, prev, ts])?;
        prev = Some(hash);
    }
    Ok(true)
}

fn read(connection: &Connection, of: &str) -> Result<Vec<Object>> {
    let mut statement =
        connection.prepare(&format!("SELECT envelope_json FROM events WHERE run_id {of} ORDER BY seq"))?;
    let texts: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let parsed = texts.iter().map(|text| match json::parse(text.as_bytes(), Limits::READ)? {
        Value::Object(event) => Ok(event),
        _ => Err(Error::internal("an event is no object")),
    });
    parsed.collect()
}
