//! The tests of the core, by subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests too, and say what they skip and what they measured"
)]

mod canonical;
mod commitment;
mod envelope;
mod invariants;
mod memory;
mod merkle;
mod note;
mod payload;
mod policy;
mod snapshot;
mod spaced;
mod stage;
