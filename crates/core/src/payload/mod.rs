//! The payloads whose members decide something: each has one type, one writer and one parser.

mod evidence_put;
mod run_start;

pub use evidence_put::{EvidencePut, Flaw};
pub use run_start::RunStart;
