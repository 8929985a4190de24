//! Checks a bundle, which anybody may have written, line by line.

use super::found::{Found, Given};
use super::lines::{Lines, read_all};
use super::replay::REPLAY_LIMIT;
use super::report::BundleReport;
use super::sink::{Sink, Stop};
use crate::error::Result;
use crate::evidence::digest::Digest256;
use crate::read::evidence::receipt::Receipts;
use receipt_core::note::VerifierKey;
use std::io::BufRead;

/// A bundle to be checked.
#[derive(Clone, Debug)]
pub struct Verify<'k> {
    given: Given<'k>,
}

impl Default for Verify<'_> {
    fn default() -> Self {
        Self { given: Given { replay_limit: REPLAY_LIMIT, ..Given::default() } }
    }
}

impl<'k> Verify<'k> {
    /// The same with keys, each of which must have signed the checkpoint that the bundle carries.
    #[must_use]
    pub fn keys(self, keys: &'k [VerifierKey]) -> Self {
        Self { given: Given { keys, ..self.given } }
    }

    /// The same with files that the bundle does not hold, each for the evidence that was first put under a key: what is
    /// withheld, is sealed or was recorded by digest must be that file. Of what is sealed it is the ciphertext.
    #[must_use]
    pub fn files(self, files: &'k [(String, Digest256)]) -> Self {
        Self { given: Given { files, ..self.given } }
    }

    /// The same with receipts from elsewhere: the [`BundleReport::receipts`] of bundles that were checked before, with the
    /// same keys, and found good. Evidence that expired is receipted in the run of the removal, whose bundle is another.
    #[must_use]
    pub fn receipts(self, receipts: &'k Receipts) -> Self {
        Self { given: Given { receipts: Some(receipts), ..self.given } }
    }

    /// The same with another limit than [`REPLAY_LIMIT`]; 0 for no replay, so that it is UNKNOWN.
    #[must_use]
    pub fn replay_limit(self, bytes: u64) -> Self {
        Self { given: Given { replay_limit: bytes, ..self.given } }
    }

    /// Reads a bundle to its end and checks it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where it cannot be read. Whatever is wrong with what can be read is in the report.
    pub fn run(&self, input: &mut dyn BufRead) -> Result<BundleReport> {
        self.read(input, Found::nothing(self.given, false), &mut ())
    }

    /// The same for whoever keeps what is in the bundle: `sink` is shown all of it as it is read, before it is known whether
    /// it is good. Nothing from outside stands for evidence that is not in it, as that is not kept.
    pub(super) fn run_into(&self, input: &mut dyn BufRead, sink: &mut dyn Sink) -> Result<BundleReport> {
        self.read(input, Found::nothing(self.given, true), sink)
    }

    /// The keys that it was given.
    pub(super) const fn trusted(&self) -> &'k [VerifierKey] {
        self.given.keys
    }

    fn read(&self, input: &mut dyn BufRead, mut found: Found<'k>, sink: &mut dyn Sink) -> Result<BundleReport> {
        let mut lines = Lines::of(input);
        match read_all(&mut lines, &mut found, self.given.replay_limit, sink) {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Malformed(problem)) => found.malformed(lines.number, problem),
        }
        Ok(found.report())
    }
}
