//! The tests of the command, by subject; those in `tests/` cross crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests too, and say what they skip and what they measured"
)]

mod bundle;
mod cli;
mod common;
#[path = "../../../../tests/concurrency.rs"]
mod concurrency;
#[path = "../../../../tests/crash.rs"]
mod crash;
mod exec;
mod exec_ends;
mod exec_interrupted;
mod exec_signals;
mod exec_tty;
#[path = "../../../kernel/tests/suite/forge.rs"]
mod forge;
#[path = "../../../../tests/full_disk.rs"]
mod full_disk;
mod gate;
mod hidden;
mod imports;
mod independent;
mod input;
#[path = "../../../../tests/interop.rs"]
mod interop;
mod large;
mod names;
mod output;
mod pin;
mod place;
mod proof;
#[path = "../../../../tests/readme.rs"]
mod readme;
mod recorded;
mod redact;
mod retain;
mod seal;
mod terminal;
mod unwritten;
