//! Evidence in the compatible store: put without an event, and read back hashed.

use super::CompatibleStore;
use crate::error::Result;
use crate::evidence::redact::{Redactor, Report};
use crate::evidence::seal::Recipients;
use crate::evidence::{self, SEALED_TYPE};
use crate::store::ReadTransaction;
use crate::store::sqlite;
use crate::write::Source;
use receipt_core::evidence::{BlobRecord, EvidenceClass};
use receipt_core::id::BlobHash;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Evidence on its way in: redacted, and encrypted where there are recipients for sealed evidence.
#[derive(Debug)]
pub struct Incoming<'a> {
    source: Source<'a>,
    content_type: String,
    class: EvidenceClass,
    redaction_json: Option<String>,
}

impl<'a> Incoming<'a> {
    /// Evidence that the kernel redacts.
    ///
    /// # Errors
    /// Where it is to be encrypted and the machine has no randomness.
    pub fn redacted(
        data: &'a [u8],
        redactor: &Redactor,
        content_type: &str,
        class: EvidenceClass,
        recipients: Option<&Recipients>,
    ) -> Result<Self> {
        let (bytes, report) = redactor.redact(data);
        let redaction_json = report.says_something().then(|| report.to_json());
        Self::of(bytes, report, redaction_json, content_type, class, recipients)
    }

    /// Evidence that is stored as it is, with what its writer says of its redaction.
    ///
    /// # Errors
    /// As [`Self::redacted`].
    pub fn as_it_is(
        data: Cow<'a, [u8]>,
        redaction_json: Option<String>,
        content_type: &str,
        class: EvidenceClass,
        recipients: Option<&Recipients>,
    ) -> Result<Self> {
        Self::of(data, Report::default(), redaction_json, content_type, class, recipients)
    }

    /// Evidence that a [`Spool`](crate::Spool) has taken in.
    pub fn spooled(source: Source<'a>, content_type: &str, class: EvidenceClass) -> Self {
        let report = source.report();
        let redaction_json = (report.says_something() && !source.is_sealed()).then(|| report.to_json());
        Self { content_type: content_type.to_owned(), class, redaction_json, source }.typed()
    }

    fn of(
        bytes: Cow<'a, [u8]>,
        report: Report,
        redaction_json: Option<String>,
        content_type: &str,
        class: EvidenceClass,
        recipients: Option<&Recipients>,
    ) -> Result<Self> {
        let recipients = recipients.filter(|_| class == EvidenceClass::Sealed);
        let (source, redaction_json) = match recipients {
            // Of what is sealed the row says no more than that it is.
            Some(recipients) => (Source::encrypted(&bytes, report, recipients)?, None),
            None => (Source::plain(bytes, report), redaction_json),
        };
        Ok(Self { source, content_type: content_type.to_owned(), class, redaction_json }.typed())
    }

    fn typed(mut self) -> Self {
        if self.source.is_sealed() {
            SEALED_TYPE.clone_into(&mut self.content_type);
        }
        self
    }
}

/// A row of `blobs` without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobColumns {
    /// The address.
    pub sha256: String,
    /// The media type.
    pub content_type: String,
    /// How many bytes were put.
    pub bytes_len: i64,
    /// The class.
    pub evidence_class: String,
    /// The state.
    pub state: String,
    /// When it was put.
    pub created_at: String,
    /// When its bytes were removed.
    pub expired_at: Option<String>,
    /// What was redacted, as JSON.
    pub redaction_json: Option<String>,
}

impl CompatibleStore {
    /// Stores evidence where it is not stored yet: of two classes the stricter one stays, of two types the first; content
    /// that had expired is stored again.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge); where the file cannot be written.
    pub fn put(&mut self, incoming: Incoming<'_>) -> Result<BlobRecord> {
        let Incoming { mut source, content_type, class, redaction_json } = incoming;
        self.transact(|transaction, now| {
            let own = (content_type.as_str(), class);
            evidence::keep(transaction, &mut source, own, redaction_json.as_deref(), now).map(|(record, _)| record)
        })
    }

    /// A blob's bytes; `None` where they are not there, or are not what was put.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn blob(&self, hash: &BlobHash) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let live = self.live_bytes(hash, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(live.then_some(bytes))
    }

    /// Whether a blob's bytes are there and are what was put. They are hashed.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn blob_is_live(&self, hash: &BlobHash) -> Result<bool> {
        self.live_bytes(hash, &mut |_| ())
    }

    /// Shows the bytes of a live blob, and whether they hash to its name.
    fn live_bytes(&self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let seen = sqlite::look(&self.connection)?;
        let mut live = false;
        seen.blob(hash, &mut |row| live = row.state.as_str() == Some("live") && row.is_blob)?;
        if !live {
            return Ok(false);
        }
        let mut hasher = Sha256::new();
        seen.blob_bytes(hash, &mut |piece| {
            hasher.update(piece);
            visit(piece);
        })?;
        Ok(BlobHash::from_bytes(hasher.finalize().into()) == *hash)
    }

    /// A blob's row.
    ///
    /// # Errors
    /// Where the file cannot be read, or a column is of another type than it should be.
    pub fn blob_columns(&self, hash: &BlobHash) -> Result<Option<BlobColumns>> {
        let sql = "SELECT sha256, content_type, bytes_len, evidence_class, state, created_at, expired_at, redaction_json \
                   FROM blobs WHERE sha256 = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([hash.to_hex()], |row| {
            Ok(BlobColumns {
                sha256: row.get(0)?,
                content_type: row.get(1)?,
                bytes_len: row.get(2)?,
                evidence_class: row.get(3)?,
                state: row.get(4)?,
                created_at: row.get(5)?,
                expired_at: row.get(6)?,
                redaction_json: row.get(7)?,
            })
        });
        Ok(found.optional()?)
    }
}
