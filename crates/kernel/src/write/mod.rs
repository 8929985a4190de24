//! Writing to a run: what is appended, and the run that it is appended to.

mod append;
mod gate;
pub(crate) mod maintenance;
mod run;
mod start;

pub use append::{Append, Appended};
pub(crate) use gate::policy_ref;
pub use gate::{Clean, Gate, Place};
pub(crate) use run::OpenRun;
pub use run::RunWriter;
