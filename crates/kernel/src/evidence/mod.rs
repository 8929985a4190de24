//! Evidence on its way into the store: redacted, hashed, written once.

pub mod digest;
pub mod parts;
mod ranges;
pub mod redact;
pub mod replace;
pub mod retention;
pub mod scan;
#[cfg(feature = "seal")]
pub mod seal;
#[cfg(not(feature = "seal"))]
#[path = "unsealed.rs"]
pub mod seal;
pub mod shred;

use crate::error::{Error, Result};
use crate::read::evidence::removals::each_put;
use crate::read::imports::{IMPORTS, Imports};
use crate::store::{self, NewBlob, ReadTransaction, WriteTransaction};
use crate::write::{Clean, Source};
pub use digest::{Digest256, Digesting};
use receipt_core::evidence::{BlobFact, BlobRecord, EvidenceClass};
use receipt_core::id::{BlobHash, Timestamp};
use receipt_core::json::{Object, Value};
use redact::Report;

/// The media type of what is stored of sealed evidence.
pub const SEALED_TYPE: &str = "application/vnd.age";

/// A key as it is on record: one of SSH without its comment.
fn name_of(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// How evidence is to be put on record.
#[derive(Clone, Debug)]
pub struct Put {
    /// The media type.
    pub content_type: String,
    /// The class.
    pub class: EvidenceClass,
    /// The provenance tag, such as `oracle:test_log`.
    pub kind: Option<String>,
    /// Anything else that the caller says about it.
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

    /// This evidence, of a kind.
    #[must_use]
    pub fn of_kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// This evidence, of a class.
    #[must_use]
    pub fn of_class(mut self, class: EvidenceClass) -> Self {
        self.class = class;
        self
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
    if source.is_sealed() && !source.encrypted_before {
        shred::check_recipients(transaction, &source.recipients)?;
    }
    // The row of sealed evidence says no more than that it is sealed.
    let (content_type, class) = match &sealed {
        Some(_) => (SEALED_TYPE, EvidenceClass::Sealed),
        None if put.class == EvidenceClass::Sealed => return Err(Error::NoRecipient),
        None => (put.content_type.as_str(), put.class),
    };
    let redaction = (sealed.is_none() && !source.about_sealed).then(|| source.report.to_json());
    let (record, restored) = keep(transaction, source, (content_type, class), redaction.as_deref(), now)?;
    Ok(Stored { record, report: source.report.clone(), restored, sealed })
}

/// Writes the bytes if they are not there already. Of two classes for the same bytes the stricter one stays, of two types
/// the first. Bytes that were gone are stored again, and the flag says so.
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
    // A blob that only imported runs have put has the class and the type of this put from here on.
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
