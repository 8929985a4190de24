//! A file's digest and length, read in memory that does not grow with it.

use receipt_core::id::BlobHash;
use sha2::{Digest, Sha256};
use std::io::Read;

/// A file that is put on record without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest256 {
    /// SHA-256 of all of it, as it is: nothing is redacted.
    pub hash: BlobHash,
    /// How many bytes it has.
    pub bytes_len: u64,
}

impl Digest256 {
    /// Reads and hashes all of it, in memory that does not grow with it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(from: impl Read) -> std::io::Result<Self> {
        Digesting::new(from).finish()
    }
}

/// A reader that hashes what is read from it, so that what turns out to be too large to be stored can still be recorded
/// by its digest.
#[derive(Debug)]
pub struct Digesting<R> {
    from: R,
    hasher: Sha256,
    bytes_len: u64,
}

impl<R: Read> Digesting<R> {
    /// Over a reader from which nothing has been read.
    pub fn new(from: R) -> Self {
        Self { from, hasher: Sha256::new(), bytes_len: 0 }
    }

    /// Reads the rest, and gives the digest of all of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn finish(mut self) -> std::io::Result<Digest256> {
        let mut piece = vec![0; 1 << 16];
        loop {
            match self.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Digest256 { hash: BlobHash::from_bytes(self.hasher.finalize().into()), bytes_len: self.bytes_len })
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(out)?;
        self.hasher.update(&out[..read]);
        self.bytes_len += read as u64;
        Ok(read)
    }
}
