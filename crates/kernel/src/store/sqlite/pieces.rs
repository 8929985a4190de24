//! Evidence that is compressed at rest, in a ledger that was made so: a blob in pieces, each of which is one zstd frame or,
//! where that does not pay, lies as it is. Above the store nobody sees it: an address is of the bytes that were put.
//!
//! Pieces are of 1 MiB, so that neither way takes memory that grows with a blob, and a frame that would unpack to more
//! than its row says is refused before it does.

use super::error::{failed, ignored, io, one};
use crate::error::Result;
use crate::store::{StoreErrorKind, unreadable};
use receipt_core::id::BlobHash;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use std::io::Read;
use zstd::bulk::{Compressor, Decompressor};

/// What a ledger that compresses has as its store schema version: the shared one, and this.
pub(super) const VERSION: &str = "1+zstd";

/// How many bytes of a blob one piece has; the last one has what is left.
pub(super) const PIECE: usize = 1 << 20;
const PIECE_LEN: i64 = 1 << 20;

/// zstd's own default: a fifth of the time of level 9, for nine tenths of what it saves on logs.
const LEVEL: i32 = 3;

/// What a row of its own costs: a blob of one piece that saves less lies in `blobs`.
const ROW: usize = 128;

/// The statements that make a new ledger one that compresses.
pub(super) fn schema() -> &'static str {
    include_str!("pieces.sql")
}

/// What is wrong with the table, where something is.
pub(super) fn schema_problem(connection: &Connection) -> Result<Option<String>> {
    let sql =
        "SELECT count(*) FROM pragma_table_info('blob_pieces') WHERE name IN ('sha256', 'idx', 'bytes_len', 'data')";
    let columns: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok((columns != 4).then(|| "there is no table blob_pieces with its four columns".to_owned()))
}

/// The frame of a piece where it pays: at least an eighth, and what its row costs.
fn pack(compressor: &mut Compressor<'_>, piece: &[u8]) -> Result<Option<Vec<u8>>> {
    let frame = compressor.compress(piece).map_err(io)?;
    Ok((frame.len() + ROW + piece.len() / 8 <= piece.len()).then_some(frame))
}

/// The first piece of a blob that is being put, looked at.
pub(super) enum First {
    /// It is all there is, and lies in `blobs` as it is.
    Plain(Vec<u8>),
    /// It lies in pieces, this is the first.
    Pieces(Writer),
}

/// Reads the first piece of `length` bytes of `data`, and says how the blob is to lie.
pub(super) fn begin(data: &mut dyn Read, length: u64) -> Result<First> {
    let mut piece = Vec::new();
    data.take(length.min(PIECE as u64)).read_to_end(&mut piece).map_err(io)?;
    if length <= ROW as u64 {
        return Ok(First::Plain(piece));
    }
    let mut compressor = Compressor::new(LEVEL).map_err(io)?;
    let frame = pack(&mut compressor, &piece)?;
    if frame.is_none() && length <= PIECE as u64 {
        return Ok(First::Plain(piece));
    }
    Ok(First::Pieces(Writer { compressor, piece, frame }))
}

/// A blob on its way into pieces.
pub(super) struct Writer {
    compressor: Compressor<'static>,
    piece: Vec<u8>,
    frame: Option<Vec<u8>>,
}

impl Writer {
    /// Writes the first piece and all that follow.
    pub(super) fn write(
        mut self,
        connection: &Connection,
        hash: &BlobHash,
        data: &mut dyn Read,
        length: u64,
    ) -> Result<()> {
        let sql = "INSERT INTO blob_pieces (sha256, idx, bytes_len, data) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = connection.prepare_cached(sql)?;
        let (mut left, mut index) = (length, 0_i64);
        loop {
            let want = left.min(PIECE as u64);
            if self.piece.len() as u64 != want {
                return Err(failed(StoreErrorKind::Io, "the evidence ended too early"));
            }
            let stored = self.frame.as_deref().unwrap_or(&self.piece);
            let bytes_len = i64::try_from(want).unwrap_or(PIECE_LEN);
            one("blob_pieces", insert.execute(params![&hash.as_bytes()[..], index, bytes_len, stored])?)?;
            (left, index) = (left - want, index + 1);
            if left == 0 {
                return Ok(());
            }
            self.piece.clear();
            data.take(left.min(PIECE as u64)).read_to_end(&mut self.piece).map_err(io)?;
            self.frame = pack(&mut self.compressor, &self.piece)?;
        }
    }
}

/// Removes a blob's pieces.
pub(super) fn remove(connection: &Connection, hash: &BlobHash) -> Result<()> {
    let all = "SELECT count(*) FROM blob_pieces WHERE sha256 = ?1";
    let wanted: i64 = connection.prepare_cached(all)?.query_row([&hash.as_bytes()[..]], |row| row.get(0))?;
    let sql = "DELETE FROM blob_pieces WHERE sha256 = ?1";
    let rows = connection.prepare_cached(sql)?.execute([&hash.as_bytes()[..]])?;
    if i64::try_from(rows) == Ok(wanted) { Ok(()) } else { Err(ignored("blob_pieces", rows, wanted)) }
}

/// How many bytes a blob's pieces have, unpacked; `None` where it has none. A piece that says what none can be counts
/// for nothing, so that the sum is not the blob's.
pub(super) fn stored_len(connection: &Connection, hash: &BlobHash) -> Result<Option<u64>> {
    let sql = "SELECT sum(CASE WHEN typeof(bytes_len) = 'integer' AND bytes_len BETWEEN 1 AND ?2 THEN bytes_len ELSE 0 END) \
               FROM blob_pieces WHERE sha256 = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let sum: Option<Option<i64>> =
        statement.query_row(params![&hash.as_bytes()[..], PIECE_LEN], |row| row.get(0)).optional()?;
    Ok(sum.flatten().and_then(|sum| u64::try_from(sum).ok()))
}

/// Shows a blob's bytes piece by piece.
pub(super) fn visit(connection: &Connection, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let sql = "SELECT bytes_len, CASE WHEN typeof(data) = 'blob' AND length(data) <= bytes_len THEN data END \
               FROM blob_pieces WHERE sha256 = ?1 AND typeof(bytes_len) = 'integer' AND bytes_len BETWEEN 1 AND ?2 \
               ORDER BY idx";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![&hash.as_bytes()[..], PIECE_LEN])?;
    let mut decompressor = Decompressor::new().map_err(io)?;
    let mut unpacked = Vec::new();
    while let Some(row) = rows.next()? {
        let length = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(PIECE);
        let ValueRef::Blob(stored) = row.get_ref(1)? else {
            return Err(unreadable(hash, "a piece of it is not stored as bytes, or has more of them than it should"));
        };
        if stored.len() == length {
            visit(stored);
            continue;
        }
        unpacked.clear();
        unpacked.reserve_exact(length);
        // Into no more than what was reserved.
        let done = decompressor.decompress_to_buffer(stored, &mut unpacked);
        if done.is_err() || unpacked.len() != length {
            return Err(unreadable(hash, "a piece of it does not unpack to what was put"));
        }
        visit(&unpacked);
    }
    Ok(())
}
