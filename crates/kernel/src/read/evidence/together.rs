//! The class and the type of a blob by all events together.

use receipt_core::evidence::EvidenceClass;
use receipt_core::payload::EvidencePut;

/// The class and the type of a blob by the events of all runs recorded here; only if there are none, of imported runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Together {
    /// The strictest class of runs recorded here, and of imported ones.
    own: Option<EvidenceClass>,
    imported: Option<EvidenceClass>,
    /// Whether a run recorded here put it, and whether an imported one says the type of the row.
    is_own: bool,
    is_of_type: bool,
}

impl Together {
    pub(crate) fn add(&mut self, put: &EvidencePut, row_type: Option<&str>, imported: bool) {
        if imported {
            self.imported = self.imported.max(put.class);
            self.is_of_type |= put.content_type.as_deref() == row_type;
        } else {
            self.is_own = true;
            self.own = self.own.max(put.class);
        }
    }

    /// The class that the row must have, if any event says one.
    pub(crate) const fn class(self) -> Option<EvidenceClass> {
        if self.is_own { self.own } else { self.imported }
    }

    /// Whether a run that was recorded here put it.
    pub(crate) const fn is_own(self) -> bool {
        self.is_own
    }

    /// Whether the row may have this class, and the type that it has.
    pub(crate) fn allow(self, class: Option<EvidenceClass>) -> bool {
        if self.is_own {
            self.own.is_none_or(|own| Some(own) == class)
        } else {
            self.is_of_type && self.imported == class
        }
    }
}
