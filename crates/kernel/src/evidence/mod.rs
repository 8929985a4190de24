//! Evidence on its way into the store: redacted, hashed, written once.

pub mod redact;
pub mod retention;

use crate::error::{Error, Result};
use crate::store::{self, NewBlob, WriteTransaction};
use receipt_core::evidence::{BlobFact, BlobRecord, EvidenceClass};
use receipt_core::id::{BlobHash, Timestamp};
use receipt_core::json::Object;
use redact::{Redactor, Report, StreamRedactor};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Read, Seek, Write};

/// How evidence is to be put on record.
#[derive(Clone, Debug)]
pub struct Put {
    /// The media type.
    pub content_type: String,
    /// The class.
    pub class: EvidenceClass,
    /// The provenance tag, such as `oracle:test_log`.
    pub kind: Option<String>,
    /// What else there is to say about it.
    pub meta: Object,
}

impl Put {
    /// Public evidence of a media type.
    pub fn of_type(content_type: impl Into<String>) -> Self {
        Self { content_type: content_type.into(), class: EvidenceClass::Public, kind: None, meta: Object::new() }
    }

    /// Public plain text.
    pub fn text() -> Self {
        Self::of_type("text/plain; charset=utf-8")
    }

    /// Public JSON.
    pub fn json() -> Self {
        Self::of_type("application/json")
    }

    /// The same of a kind.
    #[must_use]
    pub fn of_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// The same of a class.
    #[must_use]
    pub fn of_class(mut self, class: EvidenceClass) -> Self {
        self.class = class;
        self
    }
}

/// Bytes that are redacted and hashed, ready to be stored.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: Bytes<'a>,
    hash: BlobHash,
    len: u64,
    report: Report,
}

#[derive(Debug)]
enum Bytes<'a> {
    Memory(Cow<'a, [u8]>),
    File(File),
}

impl<'a> Source<'a> {
    /// Redacts bytes that are in memory.
    pub fn redacted(data: &'a [u8]) -> Self {
        let (bytes, report) = Redactor::builtin().redact(data);
        Self { hash: BlobHash::of(&bytes), len: bytes.len() as u64, report, bytes: Bytes::Memory(bytes) }
    }
}

/// Takes in evidence piece by piece, redacts and hashes it, and keeps it in a file until it is put on record. What lies
/// in the file is redacted; memory does not grow with it.
#[derive(Debug)]
pub struct Spool {
    redactor: StreamRedactor<'static>,
    ready: Vec<u8>,
    hasher: Sha256,
    len: u64,
    out: BufWriter<File>,
}

impl Spool {
    /// A spool into an empty file that is open for reading and writing.
    pub fn new(file: File) -> Self {
        Self {
            redactor: Redactor::builtin().stream(),
            ready: Vec::new(),
            hasher: Sha256::new(),
            len: 0,
            out: BufWriter::new(file),
        }
    }

    /// How many redacted bytes it holds; some of what was pushed may still be in work.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next piece.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.redactor.push(piece, &mut self.ready);
        self.drain()
    }

    fn drain(&mut self) -> std::io::Result<()> {
        self.hasher.update(&self.ready);
        self.len += self.ready.len() as u64;
        self.out.write_all(&self.ready)?;
        self.ready.clear();
        Ok(())
    }

    /// The whole, ready to be put on record.
    ///
    /// # Errors
    /// Where the file cannot be written or read.
    pub fn finish(mut self) -> std::io::Result<Source<'static>> {
        let redactor = std::mem::replace(&mut self.redactor, Redactor::builtin().stream());
        let report = redactor.finish(&mut self.ready);
        self.drain()?;
        let mut file = self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        let hash = BlobHash::from_bytes(self.hasher.finalize().into());
        Ok(Source { bytes: Bytes::File(file), hash, len: self.len, report })
    }
}

/// Evidence that is in the store.
pub(crate) struct Stored {
    pub(crate) record: BlobRecord,
    redactions: usize,
    restored: bool,
}

impl Stored {
    /// Says in an event's meta what was done to the bytes.
    pub(crate) fn note(&self, meta: &mut Object) {
        if self.redactions > 0 {
            meta.insert("redactions", self.redactions);
        }
        if self.restored {
            meta.insert("restored", true);
        }
    }
}

/// Writes the bytes where they are not there already. Of two classes for the same bytes the stricter one stays, of two
/// types the first; bytes that were gone are stored again, and the event says so.
pub(crate) fn store(
    transaction: &mut dyn WriteTransaction,
    source: &mut Source<'_>,
    put: &Put,
    now: Timestamp,
) -> Result<Stored> {
    let mut held = None;
    transaction.blob(&source.hash, &mut |row| {
        let class = row.evidence_class.as_str().and_then(EvidenceClass::parse);
        held = Some((class, row.content_type.as_str().map(str::to_owned)));
    })?;
    let fact = if held.is_some() { store::blob_fact(transaction, &source.hash, false) } else { BlobFact::Missing };
    let (held_class, held_type) = held.unwrap_or_default();
    let intact = matches!(fact, BlobFact::Intact { .. });
    let class = held_class.map_or(put.class, |class| class.max(put.class));
    let record = BlobRecord {
        hash: source.hash,
        content_type: held_type.unwrap_or_else(|| put.content_type.clone()),
        bytes_len: source.len,
        class,
    };
    if !intact {
        let redaction = (!source.report.hits.is_empty()).then(|| source.report.to_json());
        let blob = NewBlob { record: &record, created_at: now, redaction_json: redaction.as_deref() };
        source.read(&mut |data| transaction.put_blob(&blob, data))?;
    } else if held_class != Some(class) {
        transaction.set_class(&record)?;
    }
    let restored = !intact && fact != BlobFact::Missing;
    Ok(Stored { record, redactions: source.report.hits.len(), restored })
}

impl Source<'_> {
    fn read(&mut self, write: &mut dyn FnMut(&mut dyn Read) -> Result<()>) -> Result<()> {
        match &mut self.bytes {
            Bytes::Memory(bytes) => write(&mut Cursor::new(bytes)),
            Bytes::File(file) => {
                file.rewind().map_err(|error| Error::store(error.to_string()))?;
                write(&mut BufReader::new(file))
            }
        }
    }
}
