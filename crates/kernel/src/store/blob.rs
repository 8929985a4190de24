//! A blob as it lies in a store: its row is read, and its bytes are hashed.

use super::{BlobRow, ReadTransaction};
use crate::error::{Error, Result};
use receipt_core::evidence::BlobFact;
use receipt_core::id::BlobHash;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The largest blob whose bytes a snapshot takes into memory.
pub const MAX_BYTES_IN_MEMORY: u64 = 64 << 20;

/// Finds out what is known of a blob: its row is looked at and its bytes are hashed, in pieces. Bytes that are gone are
/// [`BlobFact::Removed`]; whether a receipt says so, [`Removals`](crate::read::evidence::removals::Removals) knows.
pub fn blob_fact(store: &dyn ReadTransaction, hash: &BlobHash, want_bytes: bool) -> BlobFact {
    inspect_blob(store, hash, want_bytes).unwrap_or_else(|error| match error {
        Error::BlobUnavailable { problem, .. } => BlobFact::Malformed { problem },
        error => BlobFact::Unreadable { problem: error.to_string() },
    })
}

/// What a blob's row says, without hashing its bytes: `Intact` then means only that the row is sound.
pub fn blob_state(store: &dyn ReadTransaction, hash: &BlobHash) -> BlobFact {
    let mut found = None;
    match store.blob(hash, &mut |row| found = Some(state_of(hash, row))) {
        Err(error) => BlobFact::Unreadable { problem: error.to_string() },
        Ok(()) => found.unwrap_or(BlobFact::Missing),
    }
}

/// What a blob's row says, as [`blob_state`] gives it.
pub(crate) fn state_of(hash: &BlobHash, row: &BlobRow<'_>) -> BlobFact {
    live_len(hash, row).map_or_else(|fact| fact, |bytes_len| BlobFact::Intact { bytes_len, bytes: None })
}

fn inspect_blob(store: &dyn ReadTransaction, hash: &BlobHash, want_bytes: bool) -> Result<BlobFact> {
    let bytes_len = match blob_state(store, hash) {
        BlobFact::Intact { bytes_len, .. } => bytes_len,
        fact => return Ok(fact),
    };
    let mut hasher = Sha256::new();
    let keep = want_bytes && bytes_len <= MAX_BYTES_IN_MEMORY;
    let mut bytes = Vec::new();
    store.blob_bytes(hash, &mut |piece| {
        hasher.update(piece);
        if keep {
            bytes.extend_from_slice(piece);
        }
    })?;
    Ok(if BlobHash::from_bytes(hasher.finalize().into()) != *hash {
        BlobFact::Corrupt
    } else if want_bytes && !keep {
        BlobFact::TooLarge { bytes_len }
    } else {
        BlobFact::Intact { bytes_len, bytes: keep.then(|| Arc::from(bytes)) }
    })
}

/// How many bytes a live blob has; for any other row, what it is.
fn live_len(hash: &BlobHash, row: &BlobRow<'_>) -> Result<u64, BlobFact> {
    let malformed = |problem: &str| Err(BlobFact::Malformed { problem: problem.to_owned() });
    if row.sha256.as_str() != Some(hash.to_hex().as_str()) {
        return malformed("its row has another address than the one under which it is found");
    }
    match (row.state.as_str(), row.stored_len) {
        (Some("expired_hash_only" | "purged"), None) => Err(BlobFact::Removed),
        (Some("expired_hash_only" | "purged"), Some(_)) => {
            malformed("its state says expired, its bytes are still there")
        }
        (Some("live"), None) => malformed("its state says live, its bytes are not there"),
        (Some("live"), Some(_)) if !row.is_blob => malformed("its data are not stored as bytes"),
        (Some("live"), Some(_)) if row.content_type.as_str().is_none() => malformed("its content type is not text"),
        (Some("live"), Some(length)) => match row.evidence_class.as_str() {
            Some("public" | "sealed") if row.bytes_len.integer() == i64::try_from(length).ok() => Ok(length),
            Some("public" | "sealed") => malformed("its bytes_len is not how many bytes it has"),
            _ => malformed("its class is neither public nor sealed"),
        },
        _ => malformed("its state is none of live, expired_hash_only and purged"),
    }
}

/// Checks that a blob's bytes are there and are what was put, of any size.
///
/// # Errors
/// [`Error::BlobNotFound`], [`Error::BlobUnavailable`].
pub fn check_blob(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<()> {
    unavailable(hash, &blob_fact(store, hash, false)).map_or(Ok(()), Err)
}

/// A blob's bytes, read back and hashed.
///
/// # Errors
/// [`Error::BlobNotFound`], [`Error::BlobUnavailable`] where they are gone or not what was put.
pub fn blob_bytes(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Arc<[u8]>> {
    let fact = blob_fact(store, hash, true);
    match unavailable(hash, &fact) {
        Some(error) => Err(error),
        None => match fact {
            BlobFact::Intact { bytes: Some(bytes), .. } => Ok(bytes),
            _ => Err(Error::BlobUnavailable {
                blob: hash.to_string(),
                problem: "it is too large to be held in memory".to_owned(),
            }),
        },
    }
}

/// A blob that lies in a form that gives no bytes.
pub(super) fn unreadable(hash: &BlobHash, problem: &str) -> Error {
    Error::BlobUnavailable { blob: hash.to_string(), problem: problem.to_owned() }
}

/// Why a blob's bytes cannot be given, where they cannot.
pub(crate) fn unavailable(hash: &BlobHash, fact: &BlobFact) -> Option<Error> {
    let problem = match fact {
        BlobFact::Intact { .. } | BlobFact::TooLarge { .. } => return None,
        BlobFact::Missing => return Some(Error::BlobNotFound { blob: hash.to_string() }),
        BlobFact::Elsewhere => "it was recorded by digest alone",
        BlobFact::Expired | BlobFact::Removed => "its bytes have been removed",
        BlobFact::Corrupt => "its bytes are not what was put: they hash to something else",
        BlobFact::Malformed { problem } | BlobFact::Unreadable { problem } => problem,
    };
    Some(Error::BlobUnavailable { blob: hash.to_string(), problem: problem.to_owned() })
}
