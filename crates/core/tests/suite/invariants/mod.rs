//! What each invariant says: of honest runs, of the reference's, and of every run that the reference got wrong.

mod codes;
mod costs;
mod parameters;
mod reference;
mod scene;
mod shapes;
mod truths;
mod vectors;
