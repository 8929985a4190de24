//! A bundle read line by line, each shown to whoever judges it.

use super::aside::Aside;
use super::found::Found;
use super::sink::{Sink, Stop};
use crate::error::Error;
use receipt_core::bundle::{Blob, Item, MAX_LINE, Problem, Reader, State};
use receipt_core::id::BlobHash;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, Read};

/// A bundle's lines.
pub(super) struct Lines<'i> {
    input: &'i mut dyn BufRead,
    line: Vec<u8>,
    reader: Reader<Aside>,
    /// Which line was read last.
    pub(super) number: u64,
}

impl<'i> Lines<'i> {
    pub(super) fn of(input: &'i mut dyn BufRead) -> Self {
        Self { input, line: Vec::new(), reader: Reader::default(), number: 0 }
    }

    /// What the next line says; `None` behind the last.
    fn next(&mut self) -> Result<Option<Item<'_>>, Stop> {
        self.number += 1;
        self.line.clear();
        let read = Read::take(&mut self.input, MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line);
        read.map_err(|source| Error::Io { path: "the bundle".into(), source })?;
        match self.line.pop() {
            None => self.reader.finish().map(|()| None).map_err(Stop::Malformed),
            Some(b'\n') => self.reader.line(&self.line).map(Some).map_err(Stop::Malformed),
            Some(_) if self.line.len() >= MAX_LINE => Err(Stop::Malformed(Problem::LongLine)),
            Some(_) => Err(Stop::Malformed(Problem::CutOff)),
        }
    }
}

pub(super) fn read_all(
    lines: &mut Lines<'_>,
    found: &mut Found<'_>,
    limit: u64,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let mut header = None;
    loop {
        match lines.next()? {
            None => return Ok(()),
            Some(Item::Header(line)) => header = Some(line),
            Some(Item::Row(row)) => {
                let header = header.take().ok_or(Stop::Malformed(Problem::Header))?;
                sink.start(&header, &row)?;
                found.begin(header, row);
            }
            Some(Item::Event(text)) => found.event(text, limit, sink)?,
            Some(Item::Blobs(_) | Item::Piece(_)) => {}
            Some(Item::End) => found.end(),
            Some(Item::Blob(blob)) => {
                let wanted = found.wants(&blob, limit);
                let class = found.class(&blob);
                let mut pieces = Pieces::of(lines, &blob, wanted);
                let shown = sink.blob(&Blob { class, ..blob.clone() }, &mut pieces);
                if pieces.stop.is_none() {
                    shown?;
                }
                io::copy(&mut pieces, &mut io::sink()).ok();
                let (bytes, hash) = pieces.finish()?;
                found.blob(&blob, bytes, hash);
            }
        }
    }
}

/// The bytes of a blob, hashed as they are read.
pub(super) struct Pieces<'l, 'i> {
    lines: &'l mut Lines<'i>,
    left: u64,
    hasher: Sha256,
    ready: Vec<u8>,
    at: usize,
    kept: Option<Vec<u8>>,
    stop: Option<Stop>,
}

impl<'l, 'i> Pieces<'l, 'i> {
    fn of(lines: &'l mut Lines<'i>, blob: &Blob, keep: bool) -> Self {
        let left = if blob.state == State::Live { blob.bytes_len } else { 0 };
        let kept = keep.then(Vec::new);
        Self { lines, left, hasher: Sha256::new(), ready: Vec::new(), at: 0, kept, stop: None }
    }

    fn fill(&mut self) -> Result<(), Stop> {
        let Some(Item::Piece(piece)) = self.lines.next()? else { return Err(Stop::Malformed(Problem::CutOff)) };
        self.hasher.update(piece);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        self.left -= piece.len() as u64;
        self.ready.clear();
        self.ready.extend_from_slice(piece);
        self.at = 0;
        Ok(())
    }

    fn finish(self) -> Result<(Option<Vec<u8>>, BlobHash), Stop> {
        match self.stop {
            Some(stop) => Err(stop),
            None => Ok((self.kept, BlobHash::from_bytes(self.hasher.finalize().into()))),
        }
    }
}

impl Read for Pieces<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            if self.left == 0 || self.stop.is_some() {
                return Ok(0);
            }
            if let Err(stop) = self.fill() {
                self.stop = Some(stop);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the bundle is malformed"));
            }
        }
        let count = out.len().min(self.ready.len() - self.at);
        out[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
