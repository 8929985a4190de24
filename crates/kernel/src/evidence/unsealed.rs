//! In place of sealing, where the feature `seal` is off: nobody can be sealed to, and nothing is.

use crate::error::{Error, Result};
use receipt_core::id::BlobHash;
use std::convert::Infallible;
use std::io::{self, Write};
use std::marker::PhantomData;

/// Public keys that evidence is sealed to: none.
#[derive(Clone, Debug)]
pub struct Recipients(Infallible);

impl Recipients {
    /// There are none.
    ///
    /// # Errors
    /// [`Error::NoRecipient`], always.
    pub fn parse<'l>(_: impl IntoIterator<Item = &'l str>) -> Result<Self> {
        Err(Error::NoRecipient)
    }

    /// The public keys, as text.
    pub fn names(&self) -> &[String] {
        match self.0 {}
    }

    pub(crate) fn seal<W: Write>(&self, _: W) -> io::Result<Sealer<W>> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Sealer<W>(Infallible, PhantomData<W>);

impl<W: Write> Sealer<W> {
    pub(crate) fn push(&mut self, _: &[u8]) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn finish(self) -> io::Result<(W, BlobHash, u64)> {
        match self.0 {}
    }
}
