//! The intake: the one way in which the bytes of evidence come in. They are redacted as they come, sealed if they are to be,
//! hashed, kept in a file that has no name if they are many, and put whole or in parts.

use crate::error::{Error, Result};
use crate::evidence::redact::{Redactor, Report, StreamRedactor};
use crate::evidence::seal::{Recipients, Sealer};
use crate::ledger::Ledger;
use crate::store::sqlite::MAX_BLOB;
use receipt_core::evidence::{BlobRecord, EvidenceClass};
use receipt_core::id::BlobHash;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Read, Seek, Write};

/// Bytes that are redacted and hashed, ready to be stored.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: Bytes<'a>,
    pub(crate) hash: BlobHash,
    pub(crate) len: u64,
    pub(crate) report: Report,
    /// The public keys that the bytes are encrypted to, where they are.
    pub(crate) recipients: Vec<String>,
    /// Whether the report is of evidence that is sealed elsewhere, of which no row may say more than that it is.
    pub(crate) about_sealed: bool,
    /// Whether the bytes were encrypted as they were recorded, and cannot be encrypted to others.
    pub(crate) encrypted_before: bool,
}

#[derive(Debug)]
enum Bytes<'a> {
    Memory(Cow<'a, [u8]>),
    File(File),
}

impl<'a> Source<'a> {
    /// Redacts bytes that are in memory.
    pub fn redacted(data: &'a [u8]) -> Self {
        Self::redacted_by(Redactor::builtin(), data)
    }

    /// Redacts bytes that are in memory by other rules.
    pub fn redacted_by(redactor: &Redactor, data: &'a [u8]) -> Self {
        let (bytes, report) = redactor.redact(data);
        Self::plain(bytes, report)
    }

    /// Bytes that have been redacted, or are not to be.
    pub(crate) fn plain(bytes: Cow<'a, [u8]>, report: Report) -> Self {
        let (hash, len) = (BlobHash::of(&bytes), bytes.len() as u64);
        Self {
            hash,
            len,
            report,
            bytes: Bytes::Memory(bytes),
            recipients: Vec::new(),
            about_sealed: false,
            encrypted_before: false,
        }
    }

    /// Redacts bytes that are in memory, and seals what is left of them.
    ///
    /// # Errors
    /// Where the machine has no randomness.
    pub fn sealed(data: &[u8], recipients: &Recipients) -> Result<Source<'static>> {
        Source::sealed_by(Redactor::builtin(), data, recipients)
    }

    /// The same by other rules.
    ///
    /// # Errors
    /// As [`Self::sealed`].
    pub fn sealed_by(redactor: &Redactor, data: &[u8], recipients: &Recipients) -> Result<Source<'static>> {
        let (bytes, report) = redactor.redact(data);
        Source::encrypted(&bytes, report, recipients)
    }

    /// Bytes that have been redacted, or are not to be, encrypted.
    pub(crate) fn encrypted(bytes: &[u8], report: Report, recipients: &Recipients) -> Result<Source<'static>> {
        let failed = |source| Error::Io { path: "the evidence that is being sealed".into(), source };
        let mut sealer = recipients.seal(Vec::new()).map_err(failed)?;
        sealer.push(bytes).map_err(failed)?;
        let (bytes, hash, len) = sealer.finish().map_err(failed)?;
        let source = Source::plain(Cow::Borrowed(&[]), report);
        let bytes = Bytes::Memory(Cow::Owned(bytes));
        Ok(Source { bytes, hash, len, recipients: recipients.names().to_vec(), ..source })
    }

    /// Bytes that were encrypted before.
    pub(crate) fn ciphertext(bytes: Vec<u8>, recipients: Vec<String>) -> Source<'static> {
        Source { recipients, encrypted_before: true, ..Source::plain(bytes.into(), Report::default()) }
    }

    /// The same with what was redacted in it, or in the parts that it names.
    #[must_use]
    pub(crate) fn with_report(self, report: Report) -> Self {
        Self { report, ..self }
    }

    /// The same, where it names parts that are sealed.
    #[must_use]
    pub(crate) fn about_sealed(self, about_sealed: bool) -> Self {
        Self { about_sealed, ..self }
    }

    /// The bytes as they will be stored.
    pub(crate) fn into_bytes(self) -> std::io::Result<Vec<u8>> {
        match self.bytes {
            Bytes::Memory(bytes) => Ok(bytes.into_owned()),
            Bytes::File(mut file) => {
                let mut bytes = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// The address that the bytes will have.
    pub fn hash(&self) -> BlobHash {
        self.hash
    }

    /// What was redacted.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the bytes are encrypted.
    pub fn is_sealed(&self) -> bool {
        !self.recipients.is_empty()
    }
}

/// Takes in evidence piece by piece, redacts and hashes it, and keeps it in a file until it is put on record. What lies
/// in the file is redacted; memory does not grow with it.
#[derive(Debug)]
pub struct Spool {
    redactor: StreamRedactor,
    ready: Vec<u8>,
    len: u64,
    out: Out,
    recipients: Vec<String>,
}

/// What the redacted bytes go into.
#[derive(Debug)]
enum Out {
    Plain(BufWriter<File>, Sha256),
    Sealed(Box<Sealer<BufWriter<File>>>),
}

impl Out {
    fn push(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(file, hasher) => {
                hasher.update(bytes);
                file.write_all(bytes)
            }
            Self::Sealed(sealer) => sealer.push(bytes),
        }
    }

    fn finish(self, len: u64) -> std::io::Result<(BufWriter<File>, BlobHash, u64)> {
        match self {
            Self::Plain(file, hasher) => Ok((file, BlobHash::from_bytes(hasher.finalize().into()), len)),
            Self::Sealed(sealer) => sealer.finish(),
        }
    }
}

impl Spool {
    /// A spool into an empty file that is open for reading and writing.
    pub fn new(file: File) -> Self {
        Self {
            redactor: Redactor::builtin().stream(),
            ready: Vec::new(),
            len: 0,
            out: Out::Plain(BufWriter::new(file), Sha256::new()),
            recipients: Vec::new(),
        }
    }

    /// The same, where what lies in the file is sealed to these recipients.
    ///
    /// # Errors
    /// Where the file cannot be written or the machine has no randomness.
    pub fn sealed(file: File, recipients: &Recipients) -> std::io::Result<Self> {
        let out = Out::Sealed(Box::new(recipients.seal(BufWriter::new(file))?));
        let names = recipients.names().to_vec();
        Ok(Self { redactor: Redactor::builtin().stream(), ready: Vec::new(), len: 0, out, recipients: names })
    }

    /// The same, redacting by other rules, for a spool that nothing has been pushed into.
    #[must_use]
    pub fn with_redactor(self, redactor: &Redactor) -> Self {
        Self { redactor: redactor.stream(), ..self }
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
        self.len += self.ready.len() as u64;
        self.out.push(&self.ready)?;
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
        let (out, hash, len) = self.out.finish(self.len)?;
        let mut file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        let source = Source::plain(Cow::Borrowed(&[]), report);
        Ok(Source { bytes: Bytes::File(file), hash, len, recipients: self.recipients, ..source })
    }
}

/// What is put from memory; more than this goes through a [`Spool`].
const IN_MEMORY: u64 = 1 << 20;

/// Evidence that was read: all of it, or more than is put from memory.
pub(crate) enum Taken {
    Whole(Vec<u8>),
    Spooled(Source<'static>),
}

/// Reads evidence to its end, redacts it and seals it where it is to be sealed, in memory that does not grow with it.
pub(crate) fn take(ledger: &Ledger, class: EvidenceClass, from: &mut dyn Read) -> Result<Taken> {
    let unread = |source| Error::Io { path: "the evidence".into(), source };
    let unkept = |source| Error::Io { path: "a temporary file for the evidence".into(), source };
    let mut piece = Vec::new();
    from.take(IN_MEMORY).read_to_end(&mut piece).map_err(unread)?;
    if (piece.len() as u64) < IN_MEMORY {
        return Ok(Taken::Whole(piece));
    }
    let mut spool = ledger.spool(class)?;
    while !piece.is_empty() {
        spool.push(&piece).map_err(unkept)?;
        if spool.len() > MAX_BLOB {
            return Err(Error::TooLarge { what: "evidence", bytes: spool.len(), limit: MAX_BLOB });
        }
        piece.clear();
        from.take(IN_MEMORY).read_to_end(&mut piece).map_err(unread)?;
    }
    Ok(Taken::Spooled(spool.finish().map_err(unkept)?))
}

impl Ledger {
    /// A spool for evidence of a class: into a file that has no name, beside the ledger where that is a file. What lies
    /// in it is redacted, or encrypted, as it will lie in the ledger.
    ///
    /// # Errors
    /// [`Error::NoRecipient`] for sealed evidence in a ledger that has none; as [`Self::redactor`]; [`Error::Io`].
    pub fn spool(&self, class: EvidenceClass) -> Result<Spool> {
        let unkept = |source| Error::Io { path: "a temporary file for the evidence".into(), source };
        let file = match self.store.limits().spool {
            None => tempfile::tempfile(),
            Some(folder) => tempfile::tempfile_in(folder),
        };
        let file = file.map_err(unkept)?;
        let spool = match class {
            EvidenceClass::Public => Spool::new(file),
            EvidenceClass::Sealed => {
                Spool::sealed(file, &self.recipients()?.ok_or(Error::NoRecipient)?).map_err(unkept)?
            }
        };
        Ok(spool.with_redactor(&self.redactor()?))
    }
}

impl Source<'_> {
    pub(crate) fn read(&mut self, write: &mut dyn FnMut(&mut dyn Read) -> Result<()>) -> Result<()> {
        match &mut self.bytes {
            Bytes::Memory(bytes) => write(&mut Cursor::new(bytes)),
            Bytes::File(file) => {
                let unread = |source| Error::Io { path: "the temporary file of the evidence".into(), source };
                file.rewind().map_err(unread)?;
                write(&mut BufReader::new(file))
            }
        }
    }
}

/// Evidence that was put, whole or as a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The key that it is under.
    pub key: String,
    /// What is on record of it.
    pub record: BlobRecord,
    /// How many bytes the evidence has: of what names the parts, all of them together.
    pub len: u64,
}

/// The media type of what names the parts of evidence that is larger than one.
pub const PARTS_TYPE: &str = "application/vnd.receipt.parts+json";

/// What was spooled, piece by piece, in memory for one piece.
pub(crate) struct Pieces {
    source: Source<'static>,
    piece: Vec<u8>,
    left: u64,
    offset: u64,
    size: u64,
}

impl Pieces {
    pub(crate) fn of(source: Source<'static>, size: u64) -> Self {
        Self { piece: Vec::new(), left: source.len, offset: 0, size, source }
    }

    pub(crate) fn next(&mut self, key: &str) -> Result<Option<&[u8]>> {
        let unread = |source| Error::Io { path: format!("what was kept of {key}").into(), source };
        if self.left == 0 {
            return Ok(None);
        }
        let want = self.left.min(self.size);
        self.piece.clear();
        match &mut self.source.bytes {
            Bytes::Memory(bytes) => {
                let rest = bytes.get(usize::try_from(self.offset).unwrap_or(usize::MAX)..).unwrap_or_default();
                rest.take(want).read_to_end(&mut self.piece).map_err(unread)?;
            }
            Bytes::File(file) => {
                file.take(want).read_to_end(&mut self.piece).map_err(unread)?;
            }
        }
        if self.piece.len() as u64 != want {
            return Err(unread(std::io::ErrorKind::UnexpectedEof.into()));
        }
        (self.left, self.offset) = (self.left - want, self.offset + want);
        Ok(Some(&self.piece))
    }
}
