//! Who is shown a bundle while it is read, and why reading ends early.

use crate::error::{Error, Result};
use receipt_core::bundle::{Blob, Header, Problem, Row};
use receipt_core::envelope::Envelope;
use std::io::Read;

/// Who is shown a bundle while it is read.
pub(super) trait Sink {
    fn start(&mut self, _header: &Header, _row: &Row) -> Result<()> {
        Ok(())
    }

    fn event(&mut self, _envelope: &Envelope<'_>, _text: &[u8]) -> Result<()> {
        Ok(())
    }

    fn blob(&mut self, _blob: &Blob, _bytes: &mut dyn Read) -> Result<()> {
        Ok(())
    }
}

impl Sink for () {}

/// Why reading ended early.
pub(super) enum Stop {
    /// The bundle is at fault.
    Malformed(Problem),
    /// It could not be read, or what was read could not be taken.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
