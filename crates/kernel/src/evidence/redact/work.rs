//! How much is looked at, counted in bytes: so that a search can stop before it costs too much, and a test can say how
//! often each byte is looked at.
//!
//! The count is one of the thread, as those that look are many small functions.

use std::cell::Cell;

thread_local! {
    static LOOKED: Cell<u64> = const { Cell::new(0) };
}

/// Counts a look at so many bytes.
pub(super) fn looked(bytes: usize) {
    LOOKED.with(|count| count.set(count.get().wrapping_add(bytes as u64)));
}

/// How many bytes this thread has looked at.
pub(super) fn so_far() -> u64 {
    LOOKED.with(Cell::get)
}
