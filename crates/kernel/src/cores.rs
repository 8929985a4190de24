//! How many cores there are for this process.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::thread;

/// As many threads as can work at once. The system is asked once: on Linux that reads files, which costs as much as an append.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get))
}
