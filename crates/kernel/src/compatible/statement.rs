//! Raw SQL on the store's own connection, with the transactions of Python's sqlite3 module: a statement that changes rows
//! begins one, and somebody has to commit it.

use super::CompatibleStore;
use crate::error::{Error, Result};
use crate::store::StoreErrorKind;
use crate::store::sqlite::failed;
use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use std::borrow::Cow;

/// A statement that was called otherwise than it is written.
fn misuse(problem: impl Into<Cow<'static, str>>) -> Error {
    failed(StoreErrorKind::Misuse, problem)
}

/// A value that SQL takes or gives.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl rusqlite::ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl SqlValue {
    fn read(value: ValueRef<'_>) -> Result<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            ValueRef::Text(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| misuse("a text is not UTF-8"))?;
                Self::Text(text.to_owned())
            }
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}

/// What stands for the question marks or names of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameters {
    /// By place.
    Places(Vec<SqlValue>),
    /// By name, without the `:`, `@` or `$`.
    Names(Vec<(String, SqlValue)>),
}

/// What a statement did and gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The names of the columns; none where it gives no rows.
    pub columns: Vec<String>,
    /// Every row.
    pub rows: Vec<Vec<SqlValue>>,
    /// How many rows it changed; -1 for a statement that changes none.
    pub changed: i64,
    /// The rowid of the last row inserted on this connection.
    pub last_rowid: i64,
}

impl CompatibleStore {
    /// Runs one statement to its end.
    ///
    /// # Errors
    /// Where it is none, or more than one; where its parameters are not those it asks for; where SQLite refuses it.
    pub fn execute(&mut self, sql: &str, parameters: &Parameters) -> Result<Outcome> {
        let changes_rows = changes_rows(sql);
        if changes_rows && self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN")?;
        }
        let mut statement = self.connection.prepare(sql)?;
        bind(&mut statement, parameters)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut outcome = Outcome { changed: -1, ..Outcome::default() };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let values = (0..columns.len()).map(|index| SqlValue::read(row.get_ref(index)?));
            outcome.rows.push(values.collect::<Result<_>>()?);
        }
        drop(rows);
        drop(statement);
        if changes_rows {
            outcome.changed = i64::try_from(self.connection.changes()).unwrap_or(i64::MAX);
        }
        outcome.columns = columns;
        outcome.last_rowid = self.connection.last_insert_rowid();
        Ok(outcome)
    }

    /// Commits what raw SQL has begun.
    ///
    /// # Errors
    /// Where it cannot be made durable: it stays open.
    pub fn commit(&mut self) -> Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Undoes what raw SQL has begun.
    ///
    /// # Errors
    /// Where SQLite cannot.
    pub fn rollback(&mut self) -> Result<()> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// Whether raw SQL has begun a transaction.
    pub fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// How many rows have been changed on this connection.
    pub fn total_changes(&self) -> u64 {
        self.connection.total_changes()
    }
}

/// Whether a statement begins with one of the words before which Python's sqlite3 begins a transaction.
fn changes_rows(sql: &str) -> bool {
    let mut rest = sql.trim_start();
    loop {
        let behind = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            break;
        };
        rest = behind.trim_start();
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn bind(statement: &mut Statement<'_>, parameters: &Parameters) -> Result<()> {
    let wanted = statement.parameter_count();
    match parameters {
        Parameters::Places(values) => {
            if values.len() != wanted {
                let given = values.len();
                return Err(misuse(format!("the statement takes {wanted} parameters, {given} were given")));
            }
            for (index, value) in values.iter().enumerate() {
                statement.raw_bind_parameter(index + 1, value)?;
            }
        }
        Parameters::Names(values) => {
            for index in 1..=wanted {
                let name = statement.parameter_name(index).map(str::to_owned);
                let name = name.ok_or_else(|| misuse("the statement takes parameters by place"))?;
                let value = values.iter().find(|(given, _)| *given == name[1..]);
                let (_, value) = value.ok_or_else(|| misuse(format!("no value was given for {name}")))?;
                statement.raw_bind_parameter(index, value)?;
            }
        }
    }
    Ok(())
}
