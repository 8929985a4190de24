//! What the tests of several subjects need.

use receipt_kernel::{Actor, Append, EventType, Ledger, Object, Policy, RunWriter, Value};
use std::path::PathBuf;
use tempfile::TempDir;

/// The public half of a key that nobody has.
pub(crate) const RECIPIENT: &str = "age1l9kdttktc9g6lzhm4uksn2qvjylw7klzhc50gvghf5rv53uuf5rq4r39zz";

pub(crate) fn actor() -> Actor {
    Actor::new("system", "test")
}

/// Starts a run under the structural policy.
pub(crate) fn start(ledger: &Ledger, run: &str) -> RunWriter {
    ledger.start(run, Policy::structural().unwrap(), actor(), Object::new()).unwrap()
}

pub(crate) fn decision(note: impl Into<Value>) -> Append {
    Append::new(EventType::Decision, Object::from_iter([("note", note)]))
}

/// Where a ledger can be made. The folder is removed when the first of the two is dropped.
pub(crate) fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

/// SplitMix64: the same numbers for the same seed, on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }

    pub(crate) fn of<'t, T: ?Sized>(&mut self, items: &[&'t T]) -> &'t T {
        items[self.below(items.len())]
    }
}
