//! The one judgement of evidence: the verdict that follows from the run's words about a blob and from the bytes that lie there.
//!
//! The callers gather the facts of a [`Case`]; nothing here reads a store, a bundle or a clock. The table of all cases is
//! a test, `tests/suite/cases/table.rs`, which runs each through a ledger, a bundle and the replay of both.

use super::Evidence;
use super::receipt::Receipt;
use crate::evidence::digest::Digest256;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::BlobHash;
use receipt_core::verdict::Verdict;
use std::borrow::Cow;

/// A finding: its verdict, its code, its message.
pub(crate) type Found = (Verdict, &'static str, Cow<'static, str>);

/// Where the facts are from. A ledger has the other runs too, which can be asked what they say; a bundle has one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A ledger, and whether the run was imported into it.
    Ledger {
        imported: bool,
    },
    Bundle,
}

/// The bytes in the place of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    /// As it was found.
    Found(BlobFact),
    /// Whoever made the bundle left its bytes out.
    LeftOut { sealed: bool },
}

/// The columns of a blob's row, or the members of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held<T> {
    pub(crate) bytes_len: Option<u64>,
    pub(crate) class: Option<EvidenceClass>,
    pub(crate) content_type: Option<T>,
}

/// The comparison with a file that was given for evidence whose bytes are not at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum File {
    #[default]
    NotGiven,
    Same,
    Other,
}

impl File {
    /// The comparison with those of `files` that were given for a key.
    pub(crate) fn of(files: &[(String, Digest256)], key: Option<&str>, hash: &BlobHash, bytes_len: u64) -> Self {
        let given = || files.iter().filter(|(name, _)| Some(name.as_str()) == key).map(|(_, file)| file);
        match given().next() {
            None => Self::NotGiven,
            Some(_) if given().any(|file| file.hash == *hash && file.bytes_len == bytes_len) => Self::Same,
            Some(_) => Self::Other,
        }
    }
}

/// The words of an event about the blob that it put, or of several together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said<T> {
    pub(crate) bytes_len: u64,
    pub(crate) class: Option<EvidenceClass>,
    content_type: Option<T>,
    pub(crate) by_digest: bool,
    /// Two of the events say two types.
    two_types: bool,
}

impl<T: PartialEq> Said<T> {
    /// The words of one event. The class and the type bind nothing in a run without a commitment, nor if the blob was recorded
    /// by its digest alone: such an event leaves no row.
    pub(crate) fn of<'p>(put: &'p Evidence, bytes_len: u64, committed: bool, as_type: impl Fn(&'p str) -> T) -> Self {
        let binds = committed && !put.by_digest;
        Self {
            bytes_len,
            class: put.class.filter(|_| binds),
            content_type: put.content_type.as_deref().filter(|_| binds).map(as_type),
            by_digest: put.by_digest,
            two_types: false,
        }
    }

    /// Takes in what a later event says.
    pub(crate) fn join(&mut self, later: Self) -> Option<Found> {
        let other = other_length(self.bytes_len, later.bytes_len);
        self.class = self.class.max(later.class);
        self.by_digest |= later.by_digest;
        if let Some(said) = later.content_type {
            self.two_types |= self.content_type.as_ref().is_some_and(|before| *before != said);
            self.content_type.get_or_insert(said);
        }
        other
    }
}

/// The finding for an event that says another length than the first that put the same bytes.
pub(crate) fn other_length(first: u64, said: u64) -> Option<Found> {
    let msg = "the event says another length than one before it that put the same bytes";
    (first != said).then_some((Verdict::Fail, "EVIDENCE_LENGTH_MISMATCH", msg.into()))
}

/// The facts about a blob, and about what was put.
#[derive(Clone, Debug)]
pub(crate) struct Case<'c, T> {
    pub(crate) form: Form,
    pub(crate) lies: Lies,
    /// `None` if there is no row and no record.
    pub(crate) held: Option<Held<T>>,
    /// `None` for a blob that no event put, or that is looked at by itself.
    pub(crate) said: Option<Said<T>>,
    /// Whether what lies there was told of an event before this one.
    pub(crate) again: bool,
    /// The receipt that counts, if the bytes are gone.
    pub(crate) receipt: Option<&'c Receipt>,
    /// Looked up if the bytes are not at hand.
    pub(crate) file: File,
}

/// The judgement of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) found: Vec<Found>,
    /// The fact that invariants are told of the blob.
    pub(crate) fact: BlobFact,
    /// The row is not what the event says, and other runs may have it so.
    pub(crate) doubt: bool,
}

const GONE: &str = "the bytes are gone, and no BLOB_EXPIRE event of a run that verifies, since they were put, says who removed \
                    them";
const UNPROVED: &str = "its bytes were removed, and the event that says so is not in this run: the bundle of the run that \
                        removed them, given beside this one, would settle it";

impl<T: PartialEq> Case<'_, T> {
    pub(crate) fn new(form: Form, lies: Lies, held: Option<Held<T>>, said: Option<Said<T>>) -> Self {
        Self { form, lies, held, said, again: false, receipt: None, file: File::NotGiven }
    }

    pub(crate) fn judge(&self) -> Judged {
        let mut found = Vec::new();
        if !self.again || self.is_away() {
            found.extend(self.bytes());
        }
        found.extend(self.length());
        let doubt = self.row(&mut found);
        Judged { found, fact: self.fact(), doubt }
    }

    /// Whether the bytes are neither here nor missing: then a file can be compared.
    pub(crate) fn is_away(&self) -> bool {
        self.is_elsewhere() || self.is_removed() || matches!(self.lies, Lies::LeftOut { .. })
    }

    /// Whether the bytes were removed. Of evidence that was gone before its run was imported there never was a row here.
    pub(crate) fn is_removed(&self) -> bool {
        match self.lies {
            Lies::Found(BlobFact::Removed | BlobFact::Expired) => true,
            Lies::Found(BlobFact::Missing) => {
                self.form == (Form::Ledger { imported: true }) && self.said.is_some() && self.receipt.is_some()
            }
            _ => false,
        }
    }

    /// Whether nothing lies there though an event put it: then it counts whether the run was imported.
    pub(crate) fn is_missing(&self) -> bool {
        self.said.is_some() && self.lies == Lies::Found(BlobFact::Missing) && !self.is_elsewhere()
    }

    /// Whether the bytes were recorded by digest and are not here, as it should be.
    fn is_elsewhere(&self) -> bool {
        let by_digest = self.said.as_ref().is_some_and(|said| said.by_digest);
        by_digest
            && match (self.form, &self.lies) {
                (Form::Ledger { .. }, lies) => matches!(lies, Lies::Found(BlobFact::Missing)),
                (Form::Bundle, lies) => matches!(lies, Lies::LeftOut { .. }),
            }
    }

    fn is_receipted(&self) -> bool {
        let row = || self.held.as_ref().map(|held| held.class);
        self.receipt.is_some_and(|receipt| row().is_none_or(|class| receipt.is_of_class(class)))
    }

    /// The finding about the bytes, or about their absence.
    fn bytes(&self) -> Option<Found> {
        if self.is_away() && self.file == File::Other {
            return Some((Verdict::Fail, "EVIDENCE_FILE_MISMATCH", "the file given is not the one recorded".into()));
        }
        match &self.lies {
            Lies::Found(_) if self.is_removed() => (!self.is_receipted()).then(|| match self.form {
                Form::Ledger { .. } => (Verdict::Fail, "EXPIRED_WITHOUT_RECEIPT", GONE.into()),
                Form::Bundle => (Verdict::Unknown, "EXPIRY_UNPROVED", UNPROVED.into()),
            }),
            _ if self.is_away() && self.file == File::Same => None,
            Lies::LeftOut { sealed } => {
                let code = if *sealed { "EVIDENCE_SEALED" } else { "EVIDENCE_WITHHELD" };
                Some((
                    Verdict::Unknown,
                    code,
                    "its bytes are not in the bundle: the file itself would settle it".into(),
                ))
            }
            Lies::Found(_) if self.is_elsewhere() => {
                let msg = "recorded by digest, its bytes kept elsewhere: the file itself would settle it";
                Some((Verdict::Warn, "EVIDENCE_ELSEWHERE", msg.into()))
            }
            // A bundle lists each blob that any event names.
            Lies::Found(BlobFact::Missing) if self.form == Form::Bundle && self.said.is_none() => None,
            Lies::Found(fact) => wrong(fact),
        }
    }

    /// The finding for a blob that has more or fewer bytes than were put.
    fn length(&self) -> Option<Found> {
        let said = self.said.as_ref()?.bytes_len;
        let real = match &self.lies {
            Lies::Found(BlobFact::Intact { bytes_len, .. } | BlobFact::TooLarge { bytes_len }) => Some(*bytes_len),
            // Its row cannot be believed at all.
            Lies::Found(BlobFact::Malformed { .. }) => return None,
            _ => self.receipt.and_then(|receipt| receipt.bytes_len),
        };
        let held = self.held.as_ref().map(|held| held.bytes_len);
        // Of bytes that are gone, only the row says how many there were.
        if held == Some(None) && self.is_removed() {
            let msg = format!("the event says {said} bytes, the row of the blob has no length");
            return Some((Verdict::Fail, "EVIDENCE_LENGTH_MISMATCH", msg.into()));
        }
        let held = held.flatten();
        let has = [real, held].into_iter().flatten().find(|has| *has != said)?;
        let msg = format!("the event says {said} bytes, the blob has {has}");
        Some((Verdict::Fail, "EVIDENCE_LENGTH_MISMATCH", msg.into()))
    }

    /// How the row or the record differs from what is said: the class may be less strict or stricter, the type another.
    fn differences(&self) -> (bool, bool, bool) {
        let (Some(said), Some(held)) = (&self.said, &self.held) else { return (false, false, false) };
        let looser = said.class.is_some_and(|class| held.class.is_none_or(|held| held < class));
        let stricter = said.class.is_some_and(|class| held.class.is_some_and(|held| held > class));
        (looser, stricter, said.two_types || (said.content_type.is_some() && said.content_type != held.content_type))
    }

    pub(crate) fn differs(&self) -> bool {
        self.differences() != (false, false, false)
    }

    /// Of runs that were recorded here the first type of the same bytes stays, and of two classes the stricter one; what an
    /// imported run says changes neither. Gives whether other runs have to be asked.
    fn row(&self, found: &mut Vec<Found>) -> bool {
        let (looser, stricter, other_type) = self.differences();
        if self.form == (Form::Ledger { imported: true }) {
            return looser || stricter || other_type;
        }
        let mut mismatch = |msg: &'static str| found.push((Verdict::Fail, "EVIDENCE_ROW_MISMATCH", msg.into()));
        if looser {
            mismatch("the blob's class is less strict than the event says");
        }
        if other_type {
            mismatch("the blob's content type is not the one that the event says");
        }
        if looser || other_type || !stricter {
            return false;
        }
        if self.form == Form::Bundle {
            let msg =
                "its class is stricter than this run says: another run may have put it so, and nothing here shows it";
            found.push((Verdict::Warn, "EVIDENCE_CLASS_UNPROVED", msg.into()));
        }
        self.form != Form::Bundle
    }

    fn fact(&self) -> BlobFact {
        match &self.lies {
            _ if self.is_elsewhere() => BlobFact::Elsewhere,
            Lies::LeftOut { .. } if self.file == File::Same => {
                let bytes_len = self.held.as_ref().and_then(|held| held.bytes_len).unwrap_or_default();
                BlobFact::Intact { bytes_len, bytes: None }
            }
            Lies::LeftOut { sealed } => {
                let state = if *sealed { "sealed" } else { "withheld" };
                BlobFact::Unreadable { problem: format!("it is {state}") }
            }
            Lies::Found(_) if self.is_removed() && self.is_receipted() => BlobFact::Expired,
            Lies::Found(_) if self.is_removed() && self.form == Form::Bundle => {
                BlobFact::Unreadable { problem: UNPROVED.to_owned() }
            }
            Lies::Found(fact) => fact.clone(),
        }
    }
}

/// The finding for bytes that are not those that were put, whoever looks at them.
pub(crate) fn wrong(fact: &BlobFact) -> Option<Found> {
    let (verdict, code, msg) = match fact {
        BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Expired | BlobFact::Elsewhere => return None,
        BlobFact::Missing => (Verdict::Fail, "BLOB_MISSING", "evidence was put and is not there".into()),
        BlobFact::Removed => (Verdict::Fail, "EXPIRED_WITHOUT_RECEIPT", GONE.into()),
        BlobFact::Corrupt => {
            let msg = "the bytes are not what was put: they hash to something else";
            (Verdict::Fail, "BLOB_HASH_MISMATCH", msg.into())
        }
        BlobFact::Malformed { problem } => (Verdict::Fail, "BLOB_MALFORMED", Cow::Owned(problem.clone())),
        BlobFact::Unreadable { problem } => (Verdict::Unknown, "READ_FAILURE", Cow::Owned(problem.clone())),
    };
    Some((verdict, code, msg))
}
