//! The schema of a file against the schemas that make a ledger: everything that stands in it and is not one of theirs.
//!
//! A constraint is code that runs with each write, as a trigger is: `UNIQUE … ON CONFLICT IGNORE` lets an insert succeed and
//! stores nothing, a default or a generated column writes what nobody handed over, a collation makes two run ids one. SQLite
//! keeps the text of each definition (<https://www.sqlite.org/schematab.html>), so the texts are compared, token by token,
//! with those of the scripts that this kernel and the Python package run.

use super::{Layout, pieces};
use crate::error::Result;
use crate::store::Problem;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The two secondary indexes that the Python package adds to every file that it opens.
const OF_THE_PACKAGE: &str = "CREATE INDEX idx_events_run_seq ON events(run_id, seq); \
                              CREATE INDEX idx_events_type ON events(event_type);";

/// The tables that the Python package and this kernel share. The first column is the primary key.
const SHARED: [(&str, &[&str]); 4] = [
    ("runs", &["run_id", "policy_id", "policy_version", "stage_graph_id", "created_at", "meta_json"]),
    ("events", &["id", "run_id", "seq", "event_type", "envelope_json", "event_hash", "prev_event_hash", "created_at"]),
    (
        "blobs",
        &[
            "sha256",
            "content_type",
            "bytes_len",
            "evidence_class",
            "state",
            "data",
            "created_at",
            "expired_at",
            "redaction_json",
        ],
    ),
    ("schema_meta", &["key", "value"]),
];

/// A row of `sqlite_schema`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: String,
    name: String,
    table: String,
    sql: Vec<String>,
}

impl Object {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        // As bytes: nothing that lies there is a failure to read.
        let text = |column| -> rusqlite::Result<String> {
            Ok(match row.get_ref(column)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                _ => String::new(),
            })
        };
        Ok(Self { kind: text(0)?, name: text(1)?, table: text(2)?, sql: tokens(&text(3)?) })
    }

    fn all(connection: &Connection) -> Result<Vec<Self>> {
        let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name, type";
        let mut statement = connection.prepare_cached(sql)?;
        let objects = statement.query_map([], Self::read)?.collect::<rusqlite::Result<_>>()?;
        Ok(objects)
    }

    /// SQLite's own: the indexes of constraints, which the text of their table has, and its statistics.
    fn is_internal(&self) -> bool {
        self.name.starts_with("sqlite_") && (self.sql.is_empty() || self.kind == "table")
    }
}

/// Every object of every schema that makes a ledger.
fn known() -> Result<&'static BTreeSet<Object>> {
    static KNOWN: OnceLock<BTreeSet<Object>> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known);
    }
    let ours = format!("{} {}", include_str!("schema.sql"), pieces::schema());
    let shared = format!("{} {OF_THE_PACKAGE}", crate::compatible::SCHEMA);
    let mut known = BTreeSet::new();
    for script in [ours, shared] {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(&script)?;
        known.extend(Object::all(&connection)?.into_iter().filter(|object| !object.is_internal()));
    }
    Ok(KNOWN.get_or_init(|| known))
}

/// Everything that is not a ledger's, the malformed first.
pub(super) fn problems(connection: &Connection, layout: Layout) -> Result<Vec<Problem>> {
    let known = known()?;
    let is_ours =
        |name: &str| known.iter().any(|object| object.kind == "table" && object.name.eq_ignore_ascii_case(name));
    let mut problems = Vec::new();
    for (table, columns) in SHARED {
        problems.extend(malformed(connection, table, columns)?);
    }
    if layout == Layout::Compressed {
        problems.extend(pieces::schema_problem(connection)?);
    }
    let mut problems: Vec<Problem> =
        problems.into_iter().map(|msg| Problem { malformed: true, is_trigger: false, msg }).collect();
    for object in Object::all(connection)? {
        let is_trigger = object.kind == "trigger";
        let concerns_us = is_trigger || is_ours(&object.table) || is_ours(&object.name);
        if concerns_us && !object.is_internal() && !known.contains(&object) {
            problems.push(Problem { malformed: false, is_trigger, msg: foreign(&object) });
        }
    }
    Ok(problems)
}

fn foreign(object: &Object) -> String {
    let Object { kind, name, table, .. } = object;
    match kind.as_str() {
        "trigger" => format!("trigger {name:?} is not ours and would run with each write: `DROP TRIGGER` removes it"),
        "index" => {
            format!("index {name:?} on {table} is not ours and takes part in each write: `DROP INDEX` removes it")
        }
        _ => format!(
            "{kind} {name:?} is not defined as in a ledger: a column, constraint, default or collation is not ours"
        ),
    }
}

/// Why a table cannot be read as that of a ledger.
fn malformed(connection: &Connection, table: &str, columns: &[&str]) -> Result<Vec<String>> {
    let names = |sql: &str| -> Result<Vec<String>> {
        let mut statement = connection.prepare_cached(sql)?;
        let names = statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(names)
    };
    if names("SELECT type FROM sqlite_schema WHERE name = ?1")? != ["table"] {
        return Ok(vec![format!("there is no table {table}")]);
    }
    let found = names("SELECT name FROM pragma_table_info(?1)")?;
    let missing = columns.iter().filter(|column| !found.iter().any(|name| name == *column));
    let mut problems: Vec<String> = missing.map(|column| format!("table {table} has no column {column}")).collect();
    // Without it a second row of the same name would be stored, and never be looked at.
    if names("SELECT name FROM pragma_table_info(?1) WHERE pk > 0")? != [columns[0]] {
        problems.push(format!("the primary key of table {table} is not {}", columns[0]));
    }
    // Without it a run could be found only by reading every row of the table, once for each run.
    let by_place = "SELECT l.name FROM pragma_index_list(?1) AS l WHERE l.\"unique\" = 1 AND l.partial = 0 AND \
                    (SELECT group_concat(x.name || ' ' || x.coll || ' ' || x.\"desc\") FROM pragma_index_xinfo(l.name) AS x \
                     WHERE x.key = 1) = 'run_id BINARY 0,seq BINARY 0'";
    if table == "events" && names(by_place)?.is_empty() {
        problems.push("table events has no unique index on (run_id, seq)".to_owned());
    }
    Ok(problems)
}

/// The tokens of a statement: what stands in quotes is one, a word is one, any other character is one.
fn tokens(sql: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = sql.chars().peekable();
    while let Some(first) = rest.next() {
        let mut token = String::from(first);
        match first {
            _ if first.is_whitespace() => continue,
            '\'' | '"' | '`' | '[' => {
                let end = if first == '[' { ']' } else { first };
                for next in rest.by_ref() {
                    token.push(next);
                    if next == end {
                        break;
                    }
                }
            }
            _ if is_word(first) => {
                while let Some(next) = rest.next_if(|next| is_word(*next)) {
                    token.push(next);
                }
            }
            _ => {}
        }
        tokens.push(token);
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn spaces_between_tokens_do_not_count_and_those_in_quotes_do() {
        assert_eq!(tokens("UNIQUE (a,  b)"), tokens("UNIQUE(a,\n b)"));
        assert_ne!(tokens("DEFAULT 'a b'"), tokens("DEFAULT 'ab'"));
        assert_ne!(tokens("NOT NULL"), tokens("NOTNULL"));
    }
}
