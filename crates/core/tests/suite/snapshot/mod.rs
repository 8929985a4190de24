//! A run read back: an honest one has no findings, and each act of tampering has its own.

mod honest;
mod rows;
pub(crate) mod run;
mod stories;
mod tampering;
mod uncommitted;
