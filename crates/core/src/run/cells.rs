//! Rows as a store holds them, whatever they hold.

/// A column's value as a store holds it, whatever its declared type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text, which may not be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The bytes, if it is text.
    pub fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if it is UTF-8 text.
    pub fn as_str(self) -> Option<&'a str> {
        self.text().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The integer, if it is one.
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }
}

/// A row of `events`, as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// The run.
    pub run_id: Cell<'a>,
    /// The place in the run.
    pub seq: Cell<'a>,
    /// The type.
    pub event_type: Cell<'a>,
    /// The envelope.
    pub envelope_json: Cell<'a>,
    /// The hash.
    pub event_hash: Cell<'a>,
    /// The hash of the event before.
    pub prev_event_hash: Cell<'a>,
    /// When the store wrote it: advisory, bound by nothing.
    pub created_at: Cell<'a>,
}

/// A row of `runs`, as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct RunRow<'a> {
    /// The policy's id.
    pub policy_id: Cell<'a>,
    /// Its version.
    pub policy_version: Cell<'a>,
    /// The stage graph's id.
    pub stage_graph_id: Cell<'a>,
    /// When the run began.
    pub created_at: Cell<'a>,
    /// The writer's own words about the run.
    pub meta_json: Cell<'a>,
}
