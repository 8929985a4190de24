//! A run read with its events hashed many at once.
//!
//! Until they are, each event's hash is taken to be the one that it claims. Where all claims are true that shows what
//! [`RunReader`] would have shown; where one is not it shows nothing, and the run is to be read again event by event.

use super::{EventRow, RunReader};
use crate::claims::Claims;
use crate::commitment::Commitment;
use crate::envelope::{Envelope, Hashing};
use crate::id::RunId;

/// A [`RunReader`] that tells what it has read once the hashes of its events are known.
#[derive(Debug)]
pub struct BatchReader {
    reader: RunReader,
    /// `None` where each event is hashed as it is read.
    claims: Option<Claims>,
}

impl BatchReader {
    /// Goes on where this reader stands, and hashes many events at once.
    pub fn many(reader: RunReader) -> Self {
        Self { reader, claims: Some(Claims::default()) }
    }

    /// Goes on where this reader stands, and hashes each event as it is read.
    pub fn each(reader: RunReader) -> Self {
        Self { reader, claims: None }
    }

    /// The next row, as [`RunReader::read`]; but the envelope's hash may still be what it claims.
    pub fn read<'s>(&'s mut self, row: &EventRow<'s>) -> Option<Envelope<'s>> {
        self.reader.read_row(row, self.claims.as_mut().map_or(Hashing::Now, Hashing::Later))
    }

    /// The next event where it stands by itself, as [`RunReader::read_text`]; but its hash may still be what it claims.
    pub fn read_text<'s>(&'s mut self, text: &'s [u8]) -> Option<Envelope<'s>> {
        self.reader.read_alone(text, self.claims.as_mut().map_or(Hashing::Now, Hashing::Later))
    }

    pub(super) fn run_id(&self) -> &RunId {
        &self.reader.run_id
    }

    /// What was read as an event was none.
    pub(super) fn unreadable(&mut self) {
        self.reader.facts.unreadable += 1;
    }

    /// As [`RunReader::commitment`].
    pub fn commitment(&self) -> Option<&Commitment> {
        self.reader.commitment()
    }

    /// The reader, once every event is hashed; `None` where one does not hash to what it claims.
    #[must_use]
    pub fn settle(self) -> Option<RunReader> {
        let Self { reader, claims } = self;
        claims.is_none_or(Claims::hold).then_some(reader)
    }
}
