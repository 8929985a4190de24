//! Re-checking a ledger: one verify over one instant.
//!
//! [`audit`] deals out the work and [`report`] has what came of it, [`ending`] how the runs
//! ended, and [`gate`] whether somebody may rely on one; [`anchors`] settles what a ledger alone cannot, by a
//! [`walk`] over its log; [`proof`] needs no ledger at all.

pub mod anchors;
pub mod audit;
pub mod ending;
pub(crate) mod excuses;
pub(crate) mod findings;
pub mod gate;
mod parts;
pub mod proof;
pub mod report;
mod settled;
mod walk;
