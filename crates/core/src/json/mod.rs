//! JSON values as the ledger needs them, and the parser that makes them.
//!
//! General-purpose JSON libraries change bytes that a ledger must keep: they round big integers, drop the
//! difference between `1` and `1.0`, refuse lone surrogates, and recurse. This module keeps all of it:
//!
//! - strings are [`Text`], WTF-8 bytes (UTF-8 that may also hold lone surrogates), whose byte order is
//!   code point order, which is the order in which canonical JSON sorts keys;
//! - integers of any length stay exact; floats are IEEE 754 binary64, correctly rounded;
//! - objects are sorted and hold each key once (the last one read wins);
//! - neither the parser nor the writer recurses, and depth is limited ([`Limits`]).
//!
//! The grammar is RFC 8259. `NaN`, `Infinity`, numbers that overflow a binary64, a byte order mark and
//! invalid UTF-8 are refused. [`crate::canonical`] writes values.

mod limits;
mod number;
mod parse;
mod text;
mod value;

pub use limits::Limits;
pub(crate) use number::Digits;
pub use number::Number;
pub use parse::parse;
pub(crate) use parse::{hex4, parse_string};
pub use text::Text;
pub(crate) use text::decode_code_point;
pub use value::{Object, Value};
