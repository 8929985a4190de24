//! The payloads whose members decide something: each has one type, one writer and one parser.

mod blob_expire;
mod evaluation;
mod evidence_put;
mod member;
mod run_finalize;
mod run_start;
mod shred;
mod stage_advance;
mod verdict;

pub use blob_expire::{BlobExpire, Cause};
pub use evaluation::{RecordedEvaluation, RecordedResult, RecordedResults};
pub use evidence_put::{EvidencePut, Flaw};
pub use member::Member;
pub use run_finalize::RunFinalize;
pub use run_start::RunStart;
pub use shred::Shred;
pub use stage_advance::StageAdvance;
