//! Threads that all see a ledger at ONE instant.
//!
//! A pool has one reader more than it has helpers: the first lists the work and looks at what is left once it is done,
//! the others work. Without helpers the first does all of it, in the same order.

use crate::error::{Error, Result};
use crate::store::{ReadTransaction, Snapshot, Store};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many jobs wait for a helper.
const WAITING: usize = 64;

/// How many results of one helper wait for whoever takes them.
const AHEAD: usize = 2;

/// What one reader sees, which is all there is to see at one instant.
pub(crate) fn one(store: &dyn Store) -> Result<Box<dyn Snapshot + '_>> {
    store.snapshots(1)?.pop().ok_or_else(|| Error::internal("the store gave no snapshot"))
}

/// Readers of one instant.
pub(crate) struct Pool<'s> {
    first: Box<dyn Snapshot + 's>,
    helpers: Vec<Box<dyn Snapshot + 's>>,
}

impl<'s> Pool<'s> {
    /// A pool of so many threads, or of fewer if the store cannot hold so many to one instant.
    pub(crate) fn of(store: &'s dyn Store, threads: usize) -> Result<Self> {
        let wanted = if threads > 1 { threads + 1 } else { 1 };
        let mut helpers = store.snapshots(wanted)?;
        let first = helpers.pop().ok_or_else(|| Error::internal("the store gave no snapshot"))?;
        Ok(Self { first, helpers })
    }

    /// The view of the first reader, which is that of all.
    pub(crate) fn view(&self) -> Box<dyn ReadTransaction + '_> {
        self.first.view()
    }

    /// Has every job that `list` gives out done by `work`, on as many threads as there are.
    pub(crate) fn deal<J: Send>(
        &mut self,
        list: impl FnOnce(&dyn ReadTransaction, &mut dyn FnMut(J)) -> Result<()>,
        work: impl Fn(&dyn ReadTransaction, J) + Sync,
    ) -> Result<()> {
        let view = self.first.view();
        if self.helpers.is_empty() {
            return list(view.as_ref(), &mut |job| work(view.as_ref(), job));
        }
        let (sender, receiver) = sync_channel::<J>(WAITING);
        let receiver = Mutex::new(receiver);
        let (work, receiver) = (&work, &receiver);
        thread::scope(|scope| {
            // Moved in here, so that the helpers end when there are no more jobs, also if listing them fails.
            let sender = sender;
            for helper in &mut self.helpers {
                scope.spawn(move || help(helper.as_ref(), receiver, work));
            }
            list(view.as_ref(), &mut |job| {
                // The receiver outlives this scope, so that a send cannot fail.
                let _ = sender.send(job);
            })
        })
    }

    /// Has each of `jobs` done by `read` on some thread, at most a few ahead, and `take` given the results in the order of
    /// the jobs.
    pub(crate) fn in_order<J: Sync, T: Send>(
        &mut self,
        jobs: &[J],
        read: impl Fn(&dyn ReadTransaction, &J) -> Result<T> + Sync,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let count = self.helpers.len();
        if count == 0 {
            let view = self.first.view();
            return jobs.iter().try_for_each(|job| take(read(view.as_ref(), job)?));
        }
        let read = &read;
        thread::scope(|scope| {
            let ahead = self.helpers.iter_mut().enumerate().map(|(number, helper)| {
                let (sender, receiver) = sync_channel(AHEAD);
                scope
                    .spawn(move || read_ahead(helper.as_ref(), jobs.iter().skip(number).step_by(count), read, &sender));
                receiver
            });
            let ahead: Vec<_> = ahead.collect();
            (0..jobs.len()).try_for_each(|index| {
                let failed = |_| Error::internal("a thread that reads the ledger has failed");
                take(ahead[index % count].recv().map_err(failed)??)
            })
        })
    }
}

fn help<J>(snapshot: &dyn Snapshot, jobs: &Mutex<Receiver<J>>, work: &(impl Fn(&dyn ReadTransaction, J) + Sync)) {
    let view = snapshot.view();
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        work(view.as_ref(), job);
    }
}

fn read_ahead<'j, J: 'j, T>(
    snapshot: &dyn Snapshot,
    jobs: impl Iterator<Item = &'j J>,
    read: &impl Fn(&dyn ReadTransaction, &J) -> Result<T>,
    sender: &SyncSender<Result<T>>,
) {
    let view = snapshot.view();
    for job in jobs {
        // If nobody takes the results any more, whoever took them has said why.
        if sender.send(read(view.as_ref(), job)).is_err() {
            return;
        }
    }
}
