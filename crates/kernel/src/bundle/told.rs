//! The facts about one blob of a bundle: what the events say of it, and what its record does.

use crate::evidence::digest::Digest256;
use crate::read::evidence::Evidence;
use crate::read::evidence::case::{Case, File, Form, Found, Held, Judged, Lies, Said};
use crate::read::evidence::receipt::{Receipt, Receipts};
use receipt_core::bundle::{Blob, State};
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::BlobHash;
use std::collections::HashSet;

/// How many characters of a key are kept.
const MAX_KEY: usize = 256;

/// What the events say of a blob, and what was found of it.
#[derive(Default)]
pub(super) struct Told {
    /// The first event that put it.
    pub(super) put: Option<i64>,
    pub(super) key: Option<String>,
    /// What the events that put it say, its type as a hash: it may be long.
    said: Option<Said<BlobHash>>,
    /// A receipt from elsewhere does not excuse that what one of the events put is gone.
    uncovered: bool,
    /// An invariant reads it.
    pub(super) read: bool,
    /// The last receipt of this run, if nothing put the blob again since.
    receipt: Option<Box<Receipt>>,
    pub(super) fact: Option<BlobFact>,
}

impl Told {
    /// An event put the blob. `covered` says whether a receipt from elsewhere excuses that its bytes are gone.
    pub(super) fn put(&mut self, put: &Evidence, bytes_len: u64, committed: bool, covered: bool) -> Option<Found> {
        // What was put again is not what was removed before.
        self.receipt = None;
        self.uncovered |= !covered;
        let said = Said::of(put, bytes_len, committed, |it| BlobHash::of(it.as_bytes()));
        if let Some(before) = &mut self.said {
            return before.join(said);
        }
        self.said = Some(said);
        self.put = Some(put.seq);
        self.key = put.key().map(|key| key.chars().take(MAX_KEY).collect());
        None
    }

    /// The strictest class that the events say, if it binds a row.
    pub(super) fn class(&self) -> Option<EvidenceClass> {
        self.said.and_then(|said| said.class)
    }

    pub(super) fn by_digest(&self) -> bool {
        self.said.is_some_and(|said| said.by_digest)
    }

    pub(super) fn removed(&mut self, receipt: Receipt) {
        self.receipt = Some(Box::new(receipt));
    }

    /// Judges the blob by its record, and by the bytes that followed it, if some did. Gives whether its bytes are absent too.
    pub(super) fn judge<'k>(
        &self,
        blob: &Blob,
        hash: BlobHash,
        bytes: Option<Vec<u8>>,
        elsewhere: Option<&Receipts>,
        files: &'k [(String, Digest256)],
        of_use: &mut HashSet<&'k str>,
    ) -> (Judged, bool) {
        let lies = match blob.state {
            State::Live if hash == blob.hash => {
                Lies::Found(BlobFact::Intact { bytes_len: blob.bytes_len, bytes: bytes.map(Into::into) })
            }
            State::Live => Lies::Found(BlobFact::Corrupt),
            State::Withheld | State::Sealed => Lies::LeftOut { sealed: blob.state == State::Sealed },
            State::Expired => Lies::Found(BlobFact::Removed),
            State::Missing => Lies::Found(BlobFact::Missing),
        };
        let content_type = Some(BlobHash::of(blob.content_type.as_bytes()));
        let held = Held { bytes_len: Some(blob.bytes_len), class: Some(blob.class), content_type };
        let mut case = Case::new(Form::Bundle, lies, (blob.state != State::Missing).then_some(held), self.said);
        if case.is_away() {
            let given = files.iter().find(|(key, _)| Some(key) == self.key.as_ref());
            of_use.extend(given.map(|(key, _)| key.as_str()));
            case.file = File::of(files, self.key.as_deref(), &blob.hash, blob.bytes_len);
        }
        let elsewhere = elsewhere.filter(|_| !self.uncovered).and_then(|receipts| receipts.get(&blob.hash));
        case.receipt = self.receipt.as_deref().or(elsewhere);
        let absent = case.is_away() && (case.is_removed() || case.file != File::Same || self.read);
        (case.judge(), absent)
    }
}
