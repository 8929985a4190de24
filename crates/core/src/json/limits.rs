//! The limits of the parser and the writer: depth, size, repeated keys.

/// The limits of the parser and the writer: depth, size, repeated keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many arrays and objects may be open at once.
    pub depth: usize,
    /// How many digits an integer may have; `None` for no limit.
    pub int_digits: Option<usize>,
    /// Whether keys may hold lone surrogates.
    pub surrogate_keys: bool,
    /// Whether an object that holds a key twice is refused; if not, the last one wins.
    pub unique_keys: bool,
}

impl Limits {
    /// For what goes into a ledger.
    pub const WRITE: Self = Self { depth: 200, int_digits: Some(4300), surrogate_keys: false, unique_keys: false };
    /// For what comes out of one, whoever wrote it. The Python package can write a depth of 992.
    pub const READ: Self = Self { depth: 1024, int_digits: None, surrogate_keys: true, unique_keys: false };
}
