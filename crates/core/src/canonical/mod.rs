//! Canonical JSON, version 1: the one producer of hashed bytes, and the check that bytes already are canonical.
//!
//! The form is what Python's `json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=True,
//! allow_nan=False)` writes: members sorted by code point, no white space, only the bytes 0x20 to 0x7E, the short
//! escapes where JSON has them, other characters as lower-case `\uXXXX` (surrogate pairs above U+FFFF), integers as
//! their digits, floats as the shortest digits that read back to the same binary64, laid out as `repr` does.
//!
//! A [`Form`] is one of the two exact forms that a ledger may hold: *compact* (this one) and *spaced* (the same with one
//! space after each `,` and `:`).

mod compact;
mod members;
mod number;
mod plain;
mod scanner;
mod spaced;
mod write;

pub use members::{items, member, members};
pub use number::write_float;
pub(crate) use number::write_i64;
pub(crate) use scanner::{Buffers, Scanner};
pub use scanner::{Form, form};
pub use spaced::spaced;
pub use write::{to_bytes, write_object, write_string, write_utf8, write_value, write_wtf8};
