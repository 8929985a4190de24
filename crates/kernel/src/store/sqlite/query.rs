//! Statements that read a ledger file, for reports that nobody has foreseen.

use super::connect::connect_read_only;
use super::failed;
use super::read::cell;
use crate::error::Result;
use crate::store::StoreErrorKind::Misuse;
use receipt_core::run::Cell;
use rusqlite::Statement;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::path::Path;

/// The values that stand for the question marks or names of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Parameters<'a> {
    /// By place.
    Places(&'a [Cell<'a>]),
    /// By name, without the `:`, `@` or `$`.
    Names(&'a [(&'a str, Cell<'a>)]),
}

/// The column names of a query, and a row of it.
pub type VisitRow<'v> = &'v mut dyn FnMut(&[String], &[Cell<'_>]) -> Result<()>;

/// Runs one statement on a connection of its own, which reads only and cannot open another file.
pub(super) fn query(path: &Path, sql: &str, parameters: Parameters<'_>, visit: VisitRow<'_>) -> Result<()> {
    let connection = connect_read_only(path)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let mut statement = connection.prepare(sql)?;
    if !statement.readonly() {
        return Err(failed(Misuse, "a query only reads: this statement would write"));
    }
    bind(&mut statement, parameters)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let cells = (0..names.len()).map(|index| cell(row, index)).collect::<Result<Vec<_>>>()?;
        visit(&names, &cells)?;
    }
    Ok(())
}

struct Bound<'a>(Cell<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(value),
            Cell::Real(value) => ValueRef::Real(value),
            Cell::Text(bytes) => ValueRef::Text(bytes),
            Cell::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn bind(statement: &mut Statement<'_>, parameters: Parameters<'_>) -> Result<()> {
    let wanted = statement.parameter_count();
    if let Parameters::Places(values) = parameters
        && values.len() != wanted
    {
        return Err(failed(Misuse, format!("the statement takes {wanted} parameters, {} were given", values.len())));
    }
    for place in 1..=wanted {
        let name = statement.parameter_name(place).map(str::to_owned);
        let value = match (parameters, &name) {
            (Parameters::Places(values), _) => values.get(place - 1).copied(),
            (Parameters::Names(values), Some(name)) => {
                values.iter().find(|(given, _)| *given == &name[1..]).map(|(_, value)| *value)
            }
            (Parameters::Names(_), None) => return Err(failed(Misuse, "the statement takes its parameters by place")),
        };
        let missing = || failed(Misuse, format!("no value was given for {}", name.as_deref().unwrap_or("a parameter")));
        statement.raw_bind_parameter(place, Bound(value.ok_or_else(missing)?))?;
    }
    Ok(())
}
