//! Evidence on its way into the store: redacted, hashed, written once.

pub mod redact;
pub mod retention;
pub mod scan;
#[cfg(feature = "seal")]
pub mod seal;
#[cfg(not(feature = "seal"))]
#[path = "unsealed.rs"]
pub mod seal;
pub mod shred;

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::imports::{IMPORTS, Imports};
use crate::read::receipts::each_put;
use crate::store::sqlite::MAX_BLOB;
use crate::store::{self, NewBlob, ReadTransaction, WriteTransaction};
use crate::write::Clean;
use receipt_core::evidence::{BlobFact, BlobRecord, EvidenceClass};
use receipt_core::id::{BlobHash, Timestamp};
use receipt_core::json::{Object, Value};
use redact::{Redactor, Report, StreamRedactor};
use seal::{Recipients, Sealer};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Read, Seek, Write};

/// The media type of what is stored of sealed evidence.
pub const SEALED_TYPE: &str = "application/vnd.age";

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

/// A file that is put on record without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest256 {
    /// SHA-256 of all of it, as it is: nothing is redacted.
    pub hash: BlobHash,
    /// How many bytes it has.
    pub bytes_len: u64,
}

impl Digest256 {
    /// Reads and hashes all of it, in memory that does not grow with it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(from: impl Read) -> std::io::Result<Self> {
        Digesting::new(from).finish()
    }
}

/// A reader that hashes what is read from it, so that what turns out to be too large to be stored can still be recorded
/// by its digest.
#[derive(Debug)]
pub struct Digesting<R> {
    from: R,
    hasher: Sha256,
    bytes_len: u64,
}

impl<R: Read> Digesting<R> {
    /// Over a reader from which nothing has been read.
    pub fn new(from: R) -> Self {
        Self { from, hasher: Sha256::new(), bytes_len: 0 }
    }

    /// Reads the rest, and gives the digest of all of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn finish(mut self) -> std::io::Result<Digest256> {
        let mut piece = vec![0; 1 << 16];
        loop {
            match self.read(&mut piece) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Digest256 { hash: BlobHash::from_bytes(self.hasher.finalize().into()), bytes_len: self.bytes_len })
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(out)?;
        self.hasher.update(&out[..read]);
        self.bytes_len += read as u64;
        Ok(read)
    }
}

/// Bytes that are redacted and hashed, ready to be stored.
#[derive(Debug)]
pub struct Source<'a> {
    bytes: Bytes<'a>,
    hash: BlobHash,
    len: u64,
    report: Report,
    /// The public keys that the bytes are encrypted to, where they are.
    recipients: Vec<String>,
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
        Self { hash, len, report, bytes: Bytes::Memory(bytes), recipients: Vec::new() }
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
        let failed = |error: std::io::Error| Error::store(error.to_string());
        let mut sealer = recipients.seal(Vec::new()).map_err(failed)?;
        sealer.push(bytes).map_err(failed)?;
        let (bytes, hash, len) = sealer.finish().map_err(failed)?;
        let bytes = Bytes::Memory(Cow::Owned(bytes));
        Ok(Source { bytes, hash, len, report, recipients: recipients.names().to_vec() })
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
        Ok(Source { bytes: Bytes::File(file), hash, len, report, recipients: self.recipients })
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
        let path = self.lock().path().map(std::path::Path::to_owned);
        let folder = path.as_deref().and_then(std::path::Path::parent).filter(|path| !path.as_os_str().is_empty());
        let file = match (&path, folder) {
            (None, _) => tempfile::tempfile(),
            (Some(_), folder) => tempfile::tempfile_in(folder.unwrap_or(std::path::Path::new("."))),
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

/// Evidence that is in the store.
pub(crate) struct Stored {
    pub(crate) record: BlobRecord,
    report: Report,
    restored: bool,
    /// The media type and the recipients of what was sealed.
    sealed: Option<(String, Vec<String>)>,
}

/// The members of an event's meta in which the kernel says what was done to the bytes.
const NOTES: [&str; 7] = ["redactions", "allowed", "unscanned", "redaction_rules", "sealed", "restored", "by_digest"];

/// A caller's meta without the members that only the kernel writes.
pub(crate) fn unclaimed(meta: Clean<Object>) -> Clean<Object> {
    NOTES.iter().fold(meta, |meta, name| meta.without(name))
}

impl Stored {
    /// Says in an event's meta what was done to the bytes.
    pub(crate) fn note(&self, mut meta: Clean<Object>) -> Clean<Object> {
        let report = &self.report;
        let (replaced, left) = (report.replaced(), report.left());
        if replaced > 0 {
            meta = meta.with("redactions", Clean::ours(replaced));
        }
        if left > 0 {
            meta = meta.with("allowed", Clean::ours(left));
        }
        if let Some(why) = report.scanned.why() {
            meta = meta.with("unscanned", Clean::ours(why));
        }
        if report.says_something() {
            meta = meta.with("redaction_rules", Clean::ours(&*report.rules));
        }
        if let Some((content_type, recipients)) = &self.sealed {
            let sealed = Object::from_iter([
                ("content_type", Value::from(content_type.as_str())),
                ("recipients", Value::from(recipients.clone())),
            ]);
            meta = meta.with("sealed", Clean::ours(sealed));
        }
        if self.restored { meta.with("restored", Clean::ours(true)) } else { meta }
    }
}

/// Puts evidence into the store; sealed evidence only as ciphertext.
pub(crate) fn store(
    transaction: &mut dyn WriteTransaction,
    source: &mut Source<'_>,
    put: &Clean<Put>,
    now: Timestamp,
) -> Result<Stored> {
    let sealed = source.is_sealed().then(|| (put.content_type.clone(), source.recipients.clone()));
    // Of what is sealed the row says no more than that it is.
    let (content_type, class) = match &sealed {
        Some(_) => (SEALED_TYPE, EvidenceClass::Sealed),
        None if put.class == EvidenceClass::Sealed => return Err(Error::NoRecipient),
        None => (put.content_type.as_str(), put.class),
    };
    let redaction = sealed.is_none().then(|| source.report.to_json());
    let (record, restored) = keep(transaction, source, (content_type, class), redaction.as_deref(), now)?;
    Ok(Stored { record, report: source.report.clone(), restored, sealed })
}

/// Writes the bytes where they are not there already. Of two classes for the same bytes the stricter one stays, of two
/// types the first; bytes that were gone are stored again, which is what the flag says.
pub(crate) fn keep(
    transaction: &mut dyn WriteTransaction,
    source: &mut Source<'_>,
    (own_type, own_class): (&str, EvidenceClass),
    redaction_json: Option<&str>,
    now: Timestamp,
) -> Result<(BlobRecord, bool)> {
    let mut held = None;
    transaction.blob(&source.hash, &mut |row| {
        let class = row.evidence_class.as_str().and_then(EvidenceClass::parse);
        held = Some((class, row.content_type.as_str().map(str::to_owned)));
    })?;
    let fact = if held.is_some() { store::blob_fact(transaction, &source.hash, false) } else { BlobFact::Missing };
    let (mut held_class, mut held_type) = held.unwrap_or_default();
    // What only imported runs have put is kept from here on as it is put here.
    let other =
        held_class.is_some_and(|class| class != own_class) || held_type.as_deref().is_some_and(|it| it != own_type);
    if other && transaction.setting(IMPORTS)?.is_some() && !is_own(transaction, &source.hash)? {
        (held_class, held_type) = (None, None);
    }
    let intact = matches!(fact, BlobFact::Intact { .. });
    let class = held_class.map_or(own_class, |class| class.max(own_class));
    let record = BlobRecord {
        hash: source.hash,
        content_type: held_type.unwrap_or_else(|| own_type.to_owned()),
        bytes_len: source.len,
        class,
    };
    if !intact {
        let blob = NewBlob { record: &record, created_at: now, redaction_json };
        source.read(&mut |data| transaction.put_blob(&blob, data))?;
    } else if held_class != Some(class) {
        transaction.set_class(&record)?;
    }
    Ok((record, !intact && fact != BlobFact::Missing))
}

/// Whether a run that was recorded here has put a blob.
fn is_own(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<bool> {
    let (imports, mut own) = (Imports::read(store)?, false);
    each_put(store, &|put| put == hash, &mut |run, _, _| own |= !imports.contains(run))?;
    Ok(own)
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
