//! What the events of a bundle say of a blob, and what a file outside of it shows.

use crate::evidence::Digest256;
use receipt_core::bundle::{Blob, State};
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::BlobHash;
use receipt_core::verdict::Verdict;
use std::collections::HashSet;

/// What the events say of a blob, and what was found of it.
#[allow(clippy::struct_excessive_bools)] // each is told by another event
#[derive(Default)]
pub(super) struct Told {
    /// The first event that put it, and its length there.
    pub(super) put: Option<(i64, u64)>,
    /// A receipt from elsewhere does not excuse that what one of the events put is gone.
    pub(super) uncovered: bool,
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

    /// What the blob's record says otherwise than the events.
    pub(super) fn differs(&self, blob: &Blob) -> Option<(Verdict, &'static str, &'static str)> {
        if blob.state == State::Missing {
            let msg = "evidence was put and is not there";
            return self.put.is_some().then_some((Verdict::Fail, "BLOB_MISSING", msg));
        }
        if self.put.is_some_and(|(_, said)| said != blob.bytes_len) {
            let msg = "it has not as many bytes as the event says";
            return Some((Verdict::Fail, "EVIDENCE_LENGTH_MISMATCH", msg));
        }
        let other_type = self.content_type.is_some_and(|said| said != BlobHash::of(blob.content_type.as_bytes()));
        if self.contradicted || other_type || self.class.is_some_and(|said| blob.class < said) {
            let msg = "its class is less strict, or its content type another, than the event says";
            return Some((Verdict::Fail, "EVIDENCE_ROW_MISMATCH", msg));
        }
        let msg = "its class is stricter than this run says: another run may have put it so, and nothing here shows it";
        let stricter = self.class.is_some_and(|said| blob.class > said);
        stricter.then_some((Verdict::Warn, "EVIDENCE_CLASS_UNPROVED", msg))
    }
}
