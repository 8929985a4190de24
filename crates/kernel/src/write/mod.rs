//! Writing to a run: what is appended, and the run that it is appended to.

mod append;
mod run;

pub use append::{Append, Appended};
pub(crate) use run::OpenRun;
pub use run::RunWriter;
