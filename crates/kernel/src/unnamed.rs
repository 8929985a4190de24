//! Runs whose ids are no UTF-8 text: nothing can name them, and a list of runs that left them out would hide them.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::store::Visit;
use receipt_core::run::Cell;
use std::fmt::Write;

impl Ledger {
    /// The id of every run that is no UTF-8 text, in printable form: bytes that are no text as `\xff`. What is wrong
    /// with such a row, the audit says.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unnamed_runs(&self, visit: &mut dyn FnMut(&str) -> Visit) -> Result<()> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        transaction.runs(&mut |id, _| match id.as_str() {
            Some(_) => Visit::Continue(()),
            None => visit(&printable(id)),
        })
    }
}

fn printable(id: Cell<'_>) -> String {
    match id {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(bytes) | Cell::Blob(bytes) => {
            let mut out = String::new();
            for chunk in bytes.utf8_chunks() {
                out.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            out
        }
    }
}
