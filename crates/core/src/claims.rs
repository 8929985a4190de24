//! Hashes that are claimed, and hashed many at once to see whether they are true.
//!
//! One message cannot be hashed faster than its rounds follow each other; many are, side by side in the lanes of a vector
//! register, several times as fast where a processor has no instructions for SHA-256.

use crate::id::EventHash;
use sha2::{Digest, Sha256};

/// Texts with the hash that each is claimed to have.
#[derive(Debug)]
pub(crate) struct Claims {
    /// The texts not yet hashed, one behind the other.
    texts: Vec<u8>,
    ends: [usize; Self::MOST],
    claimed: [EventHash; Self::MOST],
    waiting: usize,
    /// Whether every claim that was looked at is true.
    sound: bool,
}

impl Default for Claims {
    fn default() -> Self {
        let claimed = [EventHash::from_bytes([0; 32]); Self::MOST];
        Self { texts: Vec::new(), ends: [0; Self::MOST], claimed, waiting: 0, sound: true }
    }
}

impl Claims {
    /// How many are hashed at once: a few times as many as there are lanes.
    const MOST: usize = 64;

    /// A text longer than this is hashed by itself, so that what waits stays small.
    const LONG: usize = 8192;

    /// A text in two pieces and the hash that it is claimed to have.
    pub(crate) fn add(&mut self, [before, after]: [&[u8]; 2], claimed: EventHash) {
        if before.len() + after.len() > Self::LONG {
            let real = Sha256::new().chain_update(before).chain_update(after).finalize();
            self.sound &= claimed == EventHash::from_bytes(real.into());
            return;
        }
        self.texts.extend_from_slice(before);
        self.texts.extend_from_slice(after);
        self.ends[self.waiting] = self.texts.len();
        self.claimed[self.waiting] = claimed;
        self.waiting += 1;
        if self.waiting == Self::MOST {
            self.look();
        }
    }

    fn look(&mut self) {
        let mut texts: [&[u8]; Self::MOST] = [&[]; Self::MOST];
        let mut from = 0;
        for (text, end) in texts.iter_mut().zip(&self.ends[..self.waiting]) {
            *text = &self.texts[from..*end];
            from = *end;
        }
        let mut real = [[0; 32]; Self::MOST];
        tape_sha256::hash_many(&texts[..self.waiting], &mut real[..self.waiting]);
        let pairs = self.claimed.iter().zip(real).take(self.waiting);
        self.sound &= pairs.fold(true, |all, (claimed, real)| all & (*claimed == EventHash::from_bytes(real)));
        self.texts.clear();
        self.waiting = 0;
    }

    /// Whether all of them are true.
    pub(crate) fn hold(mut self) -> bool {
        self.look();
        self.sound
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;
    use crate::id::EventHash;

    /// Texts of every length around a block, and longer than what waits.
    fn texts() -> Vec<Vec<u8>> {
        let lengths = (0..300_usize).chain([1000, 4096, Claims::LONG, Claims::LONG + 1, 100_000]);
        lengths.map(|length| (0..length).map(|at| (at * 31 + length).to_le_bytes()[0]).collect()).collect()
    }

    #[test]
    fn true_claims_hold_wherever_the_text_is_cut() {
        for cut in [0, 1, 64, 1000] {
            let mut claims = Claims::default();
            for text in texts() {
                let (before, after) = text.split_at(cut.min(text.len()));
                claims.add([before, after], EventHash::of(&text));
            }
            assert!(claims.hold(), "{cut}");
        }
    }

    #[test]
    fn one_false_claim_among_many_is_found_wherever_it_stands() {
        let texts = texts();
        for wrong in 0..texts.len() {
            let mut claims = Claims::default();
            for (index, text) in texts.iter().enumerate() {
                let mut hash = *EventHash::of(text).as_bytes();
                hash[index % 32] ^= u8::from(index == wrong) << (index % 8);
                claims.add([text, &[]], EventHash::from_bytes(hash));
            }
            assert!(!claims.hold(), "{wrong}");
        }
    }
}
