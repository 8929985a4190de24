//! The rows of a ledger as the interpreter's own `sqlite3` module gives them.
//!
//! Every value is asked for as its type and its bytes, so that neither text that is no UTF-8 nor a `text_factory` of the
//! user's stands between the file and the judgement.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods, PyTuple};
use receipt_kernel::core::run::{Cell, EventRow, RunRow};
use receipt_kernel::store::{
    BlobRow, KeyRow, LogRead, ReadTransaction, Segment, Size, StoreError, StoreErrorKind, StoredCheckpoint, Visit,
    VisitRun,
};
use receipt_kernel::{BlobHash, Error, Result, RunId};

type Seq = receipt_kernel::core::id::Seq;

/// What one connection sees, inside the transaction that is open on it.
pub(crate) struct Rows<'py> {
    connection: Bound<'py, PyAny>,
}

/// A value that SQLite gave as its type and its bytes.
struct Value<'py> {
    kind: Kind,
    bytes: Option<Bound<'py, PyBytes>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Integer,
    Real,
    Text,
    Blob,
}

impl Value<'_> {
    fn cell(&self) -> Cell<'_> {
        let bytes = self.bytes.as_ref().map(PyBytesMethods::as_bytes).unwrap_or_default();
        let number = || std::str::from_utf8(bytes).ok();
        match self.kind {
            Kind::Null => Cell::Null,
            Kind::Text => Cell::Text(bytes),
            Kind::Blob => Cell::Blob(bytes),
            Kind::Integer => number().and_then(|text| text.parse().ok()).map_or(Cell::Null, Cell::Integer),
            Kind::Real => number().and_then(|text| text.parse().ok()).map_or(Cell::Null, Cell::Real),
        }
    }
}

/// The types of columns, one letter each, and then their bytes: what [`Rows::each`] reads.
macro_rules! raw {
    ($($column:literal),+ $(,)?) => {
        concat!("SELECT ''" $(, " || substr(typeof(", $column, "), 1, 1)")+ $(, ", CAST(", $column, " AS BLOB)")+)
    };
}

/// The rows of a run, found in the index and read from the table, so that a row which contradicts the index shows.
macro_rules! events {
    () => {
        concat!(
            raw!(
                "e.run_id",
                "e.seq",
                "e.event_type",
                "e.envelope_json",
                "e.event_hash",
                "e.prev_event_hash",
                "e.created_at"
            ),
            " FROM events AS i LEFT JOIN events AS e ON e.id = i.id WHERE "
        )
    };
}

/// The rows of `runs`, likewise: the id as the index has it, whether the table has the same, and the other columns.
macro_rules! runs {
    () => {
        concat!(
            raw!(
                "i.run_id",
                "(r.run_id IS i.run_id)",
                "r.policy_id",
                "r.policy_version",
                "r.stage_graph_id",
                "r.created_at",
                "r.meta_json"
            ),
            " FROM runs AS i LEFT JOIN runs AS r ON r.rowid = i.rowid "
        )
    };
}

fn failed(error: &PyErr) -> Error {
    StoreError::new(StoreErrorKind::Other, "sqlite3", error.to_string()).into()
}

impl<'py> Rows<'py> {
    pub(crate) fn new(connection: &Bound<'py, PyAny>) -> Self {
        Self { connection: connection.clone() }
    }

    /// The rows of a statement, each a tuple.
    fn query(&self, sql: &str, params: impl IntoPyObject<'py, Target = PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let cursor = self.connection.call_method0("cursor")?;
        cursor.setattr("row_factory", self.connection.py().None())?;
        cursor.call_method1("execute", (sql, params))
    }

    /// Shows the values of each row of a statement made by `raw!`.
    fn each<const N: usize>(
        &self,
        sql: &str,
        params: impl IntoPyObject<'py, Target = PyTuple>,
        visit: &mut dyn FnMut(&[Value<'py>; N]) -> Visit,
    ) -> Result<()> {
        let rows = self.query(sql, params).map_err(|error| failed(&error))?;
        for row in rows.try_iter().map_err(|error| failed(&error))? {
            let row = row.and_then(|row| values(&row)).map_err(|error| failed(&error))?;
            if visit(&row).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn each_event(
        &self,
        sql: &str,
        params: impl IntoPyObject<'py, Target = PyTuple>,
        visit: &mut dyn FnMut(&EventRow<'_>) -> Visit,
    ) -> Result<()> {
        self.each(sql, params, &mut |row: &[Value<'py>; 7]| {
            let [run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at] =
                row.each_ref().map(Value::cell);
            visit(&EventRow { run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at })
        })
    }

    fn number(&self, sql: &str) -> Result<u64> {
        let number = self.query(sql, PyTuple::empty(self.connection.py()));
        let number = number.and_then(|rows| rows.call_method0("fetchone")?.get_item(0)?.extract());
        number.map_err(|error| failed(&error))
    }
}

fn values<'py, const N: usize>(row: &Bound<'py, PyAny>) -> PyResult<[Value<'py>; N]> {
    let row = row.cast::<PyTuple>()?;
    let kinds = row.get_item(0)?;
    // The text, as whatever the connection's text_factory makes of it.
    let kinds = match kinds.extract::<&[u8]>() {
        Ok(kinds) => kinds.to_vec(),
        Err(_) => kinds.str()?.to_str()?.as_bytes().to_vec(),
    };
    let mut values = Vec::with_capacity(N);
    for (index, kind) in kinds.iter().enumerate() {
        let bytes = row.get_item(index + 1)?;
        let kind = match kind {
            b'i' => Kind::Integer,
            b'r' => Kind::Real,
            b't' => Kind::Text,
            b'b' => Kind::Blob,
            _ => Kind::Null,
        };
        values.push(Value { kind, bytes: bytes.cast_into::<PyBytes>().ok() });
    }
    values.try_into().map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("a row has another number of columns"))
}

fn run_row<'a>(row: &'a [Value<'_>; 7]) -> RunRow<'a> {
    let [_, _, policy_id, policy_version, stage_graph_id, created_at, meta_json] = row.each_ref().map(Value::cell);
    RunRow { policy_id, policy_version, stage_graph_id, created_at, meta_json }
}

fn is_true(cell: Cell<'_>) -> bool {
    cell.integer() == Some(1)
}

fn each_one(visit: &mut dyn FnMut(&EventRow<'_>)) -> impl FnMut(&EventRow<'_>) -> Visit + '_ {
    |row| {
        visit(row);
        Visit::Continue(())
    }
}

impl ReadTransaction for Rows<'_> {
    fn runs(&self, visit: VisitRun<'_>) -> Result<()> {
        self.each(concat!(runs!(), "ORDER BY i.run_id"), (), &mut |row: &[Value<'_>; 7]| {
            let own = is_true(row[1].cell()).then(|| run_row(row));
            visit(row[0].cell(), own.as_ref())
        })?;
        let orphans = concat!(
            raw!("run_id"),
            " FROM (SELECT DISTINCT run_id FROM events WHERE run_id NOT IN (SELECT run_id FROM runs WHERE run_id IS NOT NULL))"
        );
        self.each(orphans, (), &mut |row: &[Value<'_>; 1]| visit(row[0].cell(), None))
    }

    fn run(&self, run: &RunId, visit: &mut dyn FnMut(&RunRow<'_>)) -> Result<()> {
        self.each(concat!(runs!(), "WHERE i.run_id = ?"), (run.as_str(),), &mut |row: &[Value<'_>; 7]| {
            if is_true(row[1].cell()) {
                visit(&run_row(row));
            }
            Visit::Continue(())
        })
    }

    fn events(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>) -> Visit) -> Result<()> {
        self.each_event(concat!(events!(), "i.run_id = ? ORDER BY i.seq"), (run.as_str(),), visit)
    }

    fn head(&self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        let sql = concat!(events!(), "i.run_id = ? ORDER BY i.seq DESC LIMIT 1");
        self.each_event(sql, (run.as_str(),), &mut each_one(visit))
    }

    fn event(&self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<()> {
        let sql = concat!(events!(), "i.run_id = ? AND i.seq = ?");
        self.each_event(sql, (run.as_str(), seq.get()), &mut each_one(visit))
    }

    fn blob(&self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<()> {
        let sql = concat!(
            raw!(
                "b.sha256",
                "b.content_type",
                "b.bytes_len",
                "b.evidence_class",
                "b.state",
                "b.created_at",
                "b.expired_at",
                "length(CAST(b.data AS BLOB))",
                "(typeof(b.data) = 'blob')"
            ),
            " FROM blobs AS i LEFT JOIN blobs AS b ON b.rowid = i.rowid WHERE i.sha256 = ?"
        );
        self.each(sql, (hash.to_hex(),), &mut |row: &[Value<'_>; 9]| {
            let [sha256, content_type, bytes_len, evidence_class, state, created_at, expired_at, length, is_blob] =
                row.each_ref().map(Value::cell);
            let stored_len = length.integer().and_then(|length| u64::try_from(length).ok());
            let is_blob = is_true(is_blob);
            visit(&BlobRow {
                sha256,
                content_type,
                bytes_len,
                evidence_class,
                state,
                created_at,
                expired_at,
                stored_len,
                is_blob,
            });
            Visit::Continue(())
        })
    }

    fn blob_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let sql = concat!(raw!("data"), " FROM blobs WHERE sha256 = ? AND data IS NOT NULL");
        self.each(sql, (hash.to_hex(),), &mut |row: &[Value<'_>; 1]| {
            if let Cell::Blob(bytes) = row[0].cell() {
                visit(bytes);
            }
            Visit::Continue(())
        })
    }

    fn blobs(&self, visit: &mut dyn FnMut(Cell<'_>) -> Visit) -> Result<()> {
        let sql = concat!(raw!("sha256"), " FROM blobs ORDER BY sha256");
        self.each(sql, (), &mut |row: &[Value<'_>; 1]| visit(row[0].cell()))
    }

    fn expiries(&self, visit: &mut dyn FnMut(Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        let sql = concat!(events!(), "i.event_type = 'BLOB_EXPIRE' ORDER BY i.id");
        self.each_event(sql, (), &mut |row| visit(row.run_id, row))
    }

    fn size(&self) -> Result<Size> {
        self.rows()
    }

    fn rows(&self) -> Result<Size> {
        Ok(Size {
            runs: self.number("SELECT count(*) FROM runs")?,
            events: self.number("SELECT count(*) FROM events")?,
            blobs: self.number("SELECT count(*) FROM blobs")?,
        })
    }

    fn key(&self, _: &RunId, _: &str) -> Result<Option<KeyRow>> {
        Ok(None)
    }

    fn setting(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }
}

/// No judgement of a run by an invariant looks at the log.
impl LogRead for Rows<'_> {
    fn log_meta(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>> {
        Ok(None)
    }

    fn log_tile(&self, _: u8, _: u64) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn segments(&self, _: u64, _: &mut dyn FnMut(Segment) -> Visit) -> Result<()> {
        Ok(())
    }

    fn leaf_of(&self, _: &RunId, _: Seq) -> Result<Option<u64>> {
        Ok(None)
    }

    fn covered(&self, _: &RunId) -> Result<u64> {
        Ok(0)
    }

    fn hashes(&self, _: &RunId, _: Seq, _: Seq, _: &mut dyn FnMut(i64, Cell<'_>) -> Visit) -> Result<()> {
        Ok(())
    }

    fn events_after(&self, _: i64, _: &mut dyn FnMut(i64, Cell<'_>, &EventRow<'_>) -> Visit) -> Result<()> {
        Ok(())
    }

    fn count_events(&self) -> Result<u64> {
        self.number("SELECT count(*) FROM events")
    }
}
