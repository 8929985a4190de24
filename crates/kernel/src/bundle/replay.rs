//! Replay: the recorded evaluations of a run, of a ledger or of a bundle, computed again.

use crate::error::{Error, Result};
use crate::ledger::{Ledger, has_row};
use crate::read::receipts::OfRun;
use crate::store::{self, Visit};
use receipt_core::bundle::Row;
use receipt_core::evidence::BlobFact;
use receipt_core::id::RunId;
use receipt_core::replay::{Replay, Replayed};
use std::cell::RefCell;

/// How many bytes of events, and of evidence that invariants read, are kept for replay where nobody says otherwise.
/// Computing again takes about ten times that in memory.
pub const REPLAY_LIMIT: u64 = 16 << 20;

/// How many bytes of events all evaluations of one run may have before them, added up, for each byte of the limit:
/// more is refused, because each evaluation is computed from the beginning of its run.
pub(super) const WORK: u64 = 64;

/// Who judges here, as an evaluation has it under `evaluator`.
pub const fn evaluator() -> &'static str {
    concat!("receipt-kernel/", env!("CARGO_PKG_VERSION"))
}

impl Ledger {
    /// Computes every recorded evaluation of a run again and compares it with what was recorded.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunBroken`] where its row holds no text; where the store cannot be read.
    pub fn replay(&self, run: &RunId) -> Result<Vec<Replayed>> {
        let mut store = self.lock();
        let transaction = store.read()?;
        if !has_row(transaction.as_ref(), run)? {
            return Err(Error::RunNotFound { run: run.to_string() });
        }
        let mut row = None;
        transaction.run(run, &mut |cells| row = Row::from_cells(cells))?;
        let broken = || Error::RunBroken { run: run.to_string(), problem: "its row holds no text".to_owned() };
        let row = row.ok_or_else(broken)?;
        let mut events: Vec<Box<[u8]>> = Vec::new();
        transaction.events(run, &mut |row| {
            events.push(row.envelope_json.text().unwrap_or_default().into());
            Visit::Continue(())
        })?;
        let removed = RefCell::new(OfRun::new(transaction.as_ref(), run));
        let texts = || events.iter().map(|text| &**text);
        let blob = |hash: &_, bytes| match store::blob_fact(transaction.as_ref(), hash, bytes) {
            BlobFact::Removed => match removed.borrow_mut().is_receipted(hash, texts()) {
                Ok(true) => BlobFact::Expired,
                Ok(false) => BlobFact::Removed,
                Err(error) => BlobFact::Unreadable { problem: error.to_string() },
            },
            fact => fact,
        };
        Ok(Replay { run_id: run, events: &events, row: &row.cells(), blob: &blob, evaluator: evaluator() }.all())
    }
}
