//! The tests of the kernel, by subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests too, and say what they skip and what they measured"
)]

mod attacks;
mod audit;
mod bundle;
mod cases;
mod codes;
mod columns;
mod commitment;
mod common;
mod compress;
mod evidence;
mod faults;
mod forge;
mod gate;
mod hostile;
mod independent;
mod leaks;
mod ledger;
mod log;
mod parts;
mod passing;
mod payloads;
mod readable;
mod redact;
mod retention;
mod rules;
mod scan;
mod store;
mod write;
