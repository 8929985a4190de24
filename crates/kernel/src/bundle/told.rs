//! What the events of a bundle say of a blob, and what a file outside of it shows.

use crate::evidence::Digest256;
use receipt_core::bundle::Blob;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, Timestamp};
use std::collections::HashSet;

/// What the events say of a blob, and what was found of it.
#[allow(clippy::struct_excessive_bools)] // each is told by another event
#[derive(Default)]
pub(super) struct Told {
    /// The first event that put it, and its length there.
    pub(super) put: Option<(i64, u64)>,
    /// When it was put last, where that is an instant.
    pub(super) put_at: Option<Timestamp>,
    pub(super) key: Option<String>,
    pub(super) class: Option<EvidenceClass>,
    /// Its hash: it may be long.
    pub(super) content_type: Option<BlobHash>,
    /// An event says otherwise than one before it.
    pub(super) contradicted: bool,
    /// An invariant reads it.
    pub(super) read: bool,
    /// It was recorded by digest: nobody had its bytes when the run was judged.
    pub(super) by_digest: bool,
    /// A BLOB_EXPIRE of this run names it.
    pub(super) expired: bool,
    pub(super) fact: Option<BlobFact>,
}

/// What a file that was given says of a blob that is not in the bundle.
pub(super) enum Compared {
    Nothing,
    Same,
    Other,
}

impl Told {
    /// Compares the blob with the files of its key, and notes that they were of use.
    pub(super) fn compare<'k>(
        &self,
        blob: &Blob,
        files: &'k [(String, Digest256)],
        of_use: &mut HashSet<&'k str>,
    ) -> Compared {
        let mut given = files.iter().filter(|(key, _)| Some(key) == self.key.as_ref()).peekable();
        let Some((key, _)) = given.peek() else { return Compared::Nothing };
        of_use.insert(key);
        let same = |file: &Digest256| file.hash == blob.hash && file.bytes_len == blob.bytes_len;
        if given.any(|(_, file)| same(file)) { Compared::Same } else { Compared::Other }
    }
}
