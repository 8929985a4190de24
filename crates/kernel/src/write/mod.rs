//! Writing to a run: what is appended, and the run that it is appended to.

mod append;
mod end;
mod gate;
mod intake;
pub(crate) mod maintenance;
mod recording;
mod run;
mod spoolfile;
mod start;

pub use append::{Append, Appended};
pub(crate) use end::End;
pub(crate) use gate::policy_ref;
pub use gate::{Clean, Gate, Place};
pub use intake::{PARTS_TYPE, Part, Source, Spool};
pub(crate) use intake::{Pieces, Taken, take};
pub(crate) use recording::PART;
pub use recording::{Left, Recorded, Recording, Saved};
pub(crate) use run::OpenRun;
pub use run::RunWriter;
