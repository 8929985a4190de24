//! A SHA-256 that a thread of its own works out, while what is hashed is read on.

use sha2::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use sha2::{Digest, Sha256};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// How many bytes are handed over at once. What is shorter needs no thread.
const SHARE: usize = 1 << 18;

/// How many of these wait for the thread at most.
const WAITING: usize = 4;

/// SHA-256, on a second core where there is much to hash.
#[derive(Debug, Default)]
pub(super) struct Aside {
    ready: Vec<u8>,
    /// What was hashed here: everything, where there is no thread.
    here: Sha256,
    thread: Option<(SyncSender<Vec<u8>>, JoinHandle<Sha256>)>,
    /// No thread could be had, or it is gone.
    alone: bool,
}

impl Aside {
    fn hand_over(&mut self) {
        let share = std::mem::replace(&mut self.ready, Vec::with_capacity(SHARE));
        if self.thread.is_none() && !self.alone {
            let (sender, shares) = sync_channel::<Vec<u8>>(WAITING);
            let hash = move || shares.into_iter().fold(Sha256::new(), Digest::chain_update);
            self.thread = Builder::new().spawn(hash).ok().map(|thread| (sender, thread));
            self.alone = self.thread.is_none();
        }
        match &self.thread {
            // Where the thread is gone, its answer is missed at the end.
            Some((sender, _)) => drop(sender.send(share)),
            None => Update::update(&mut self.here, &share),
        }
    }
}

impl HashMarker for Aside {}

impl OutputSizeUser for Aside {
    type OutputSize = <Sha256 as OutputSizeUser>::OutputSize;
}

impl Update for Aside {
    fn update(&mut self, data: &[u8]) {
        self.ready.extend_from_slice(data);
        if self.ready.len() >= SHARE {
            self.hand_over();
        }
    }
}

impl FixedOutput for Aside {
    fn finalize_into(self, out: &mut Output<Self>) {
        let before = match self.thread {
            None => Ok(self.here),
            Some((sender, thread)) => {
                drop(sender);
                thread.join()
            }
        };
        // All zeros are the hash of nothing: what is compared with it fails.
        *out = before.map(|hasher| hasher.chain_update(&self.ready).finalize()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256_however_much_there_is_and_however_it_is_cut() {
        let data: Vec<u8> = (0..3 * SHARE + 5).map(|at| (at * 7 % 251).to_le_bytes()[0]).collect();
        for length in [0, 1, SHARE - 1, SHARE, SHARE + 1, data.len()] {
            for cut in [1000, SHARE, data.len()] {
                let mut aside = Aside::default();
                data[..length].chunks(cut).for_each(|piece| Update::update(&mut aside, piece));
                assert_eq!(aside.finalize_fixed(), Sha256::digest(&data[..length]), "{length} {cut}");
            }
        }
    }
}
