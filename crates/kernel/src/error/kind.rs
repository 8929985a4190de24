//! What the caller of a failed operation can do.

/// What the caller of a failed operation can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Mend what was passed in; the ledger is unchanged and fine.
    Input,
    /// Try again: nothing is wrong with the input or the ledger.
    Retry,
    /// Stop and look: the ledger, the disk or the machine needs a person.
    Stop,
}
