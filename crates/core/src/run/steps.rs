//! How much of a run somebody looked at. A test compares this count with the size of the run: a clock would also measure
//! the machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts each event, put, claim, call, reference and blob that an invariant looks at.
#[derive(Debug, Default)]
pub struct Steps(AtomicU64);

impl Steps {
    /// How many steps were taken so far. Threads that judge one snapshot at once may lose some.
    pub fn taken(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A load and a store: nobody but a test reads the count, and a locked addition would slow down each event.
    pub(crate) fn add(&self, steps: u64) {
        self.0.store(self.taken().wrapping_add(steps), Ordering::Relaxed);
    }

    /// Walks a list, and counts each item that is taken.
    pub(crate) fn walk<'s, T>(&'s self, items: &'s [T]) -> Walk<'s, T> {
        Walk { items: items.iter(), steps: self }
    }
}

impl Clone for Steps {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.taken()))
    }
}

/// The items of a list, each counted as it is taken.
#[derive(Clone, Debug)]
pub struct Walk<'s, T> {
    items: std::slice::Iter<'s, T>,
    steps: &'s Steps,
}

impl<'s, T> Iterator for Walk<'s, T> {
    type Item = &'s T;

    #[inline]
    fn next(&mut self) -> Option<&'s T> {
        self.steps.add(1);
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T> DoubleEndedIterator for Walk<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.steps.add(1);
        self.items.next_back()
    }
}

impl<T> ExactSizeIterator for Walk<'_, T> {}

/// A list of what an invariant has read. Its items can only be reached by counted steps.
#[derive(Debug)]
pub(crate) struct Counted<'s, T> {
    items: Vec<T>,
    steps: &'s Steps,
}

impl<'s, T> Counted<'s, T> {
    pub(crate) fn new(items: Vec<T>, steps: &'s Steps) -> Self {
        steps.add(items.len() as u64);
        Self { items, steps }
    }

    pub(crate) fn iter(&self) -> Walk<'_, T> {
        self.steps.walk(&self.items)
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.steps.add(1);
        self.items.get(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Leaves out all others.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.steps.add(self.items.len() as u64);
        self.items.retain(keep);
    }
}

impl<'c, T> IntoIterator for &'c Counted<'_, T> {
    type Item = &'c T;
    type IntoIter = Walk<'c, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
