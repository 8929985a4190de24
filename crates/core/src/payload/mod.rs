//! The payloads whose members decide something: each has one type, one writer and one parser.

mod run_start;

pub use run_start::RunStart;
