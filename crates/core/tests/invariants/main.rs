//! What each invariant says: of honest runs, of the reference's, and of every run that the reference got wrong.

#![allow(clippy::unwrap_used, clippy::panic)] // the builders of the runs are tests too, though not marked so

mod codes;
mod parameters;
mod reference;
mod scene;
mod shapes;
mod truths;
