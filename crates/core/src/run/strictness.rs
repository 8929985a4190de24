//! How much is asked of a run.

/// By which rules a run is judged where the Python package 0.1.0 asks less of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// By the kernel's own.
    #[default]
    Native,
    /// By those of the Python package, wherever its answer is no wrong PASS about tampering, loss or a false hash.
    Compatible,
}
