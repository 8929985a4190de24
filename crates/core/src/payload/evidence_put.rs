//! The payload of EVIDENCE_PUT.

use super::member::{Member, count, given, integer, is_nested, is_object, is_text, is_true, plain, text, unicode};
use crate::canonical;
use crate::envelope::Envelope;
use crate::evidence::{BlobRecord, EvidenceClass};
use crate::id::{BlobHash, BlobRef};
use crate::json::{Object, Text, Value};

/// Why a payload is not one that a writer left: a reason code, and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The reason code.
    pub code: &'static str,
    /// The message beside it.
    pub msg: &'static str,
}

const NOTHING: Flaw = Flaw { code: "NO_EVIDENCE", msg: "payload.evidence names no blob" };
const TWO_BLOBS: Flaw = Flaw { code: "EVIDENCE_MISMATCH", msg: "evidence.ref and evidence.sha256 name two blobs" };

const fn malformed(msg: &'static str) -> Flaw {
    Flaw { code: "EVIDENCE_MALFORMED", msg }
}

/// The blob that a run put on record, and what it says of that blob: `{"key", "evidence", "meta"}`.
///
/// The Python package lets an event say anything here. So a payload always has a reading, and [`Self::flaw`] and
/// [`Self::claim_flaw`] say what is wrong with it. A run with a commitment is held to more than one without, and the
/// Python package's classes ask for less still: [`Self::compatible_flaw`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidencePut {
    /// The key that the blob was put under.
    pub key: Option<Text>,
    /// The blob, if `evidence.sha256` and `evidence.ref` name one and the same.
    pub hash: Result<BlobHash, Flaw>,
    /// The blob that `evidence.sha256` names, and the one that `evidence.ref` names, whatever else is wrong.
    pub names: [Option<BlobHash>; 2],
    /// Why whoever looks for the blob finds none, where the event says something that is none. The Python package's
    /// classes take offence at that alone, and at two addresses of two blobs.
    pub unfound: Option<Flaw>,
    /// How many bytes the blob has: an integer from 0 to 2⁶³ − 1.
    pub bytes_len: Option<u64>,
    /// The class of the blob.
    pub class: Option<EvidenceClass>,
    /// The media type of the blob.
    pub content_type: Option<String>,
    /// Whether the blob was recorded by its digest alone: `meta.by_digest` is an object.
    pub by_digest: bool,
    /// `meta.evidence_kind`: where the blob comes from.
    pub kind: Option<String>,
    /// `meta.oracle_class`: how independent the oracle is that it comes from.
    pub oracle_class: Member<u64>,
    /// The same as Python reads it: any integer, `true` as 1 and `false` as 0.
    pub oracle_number: Option<i64>,
    /// Whether `evidence` is missing, `null` or empty.
    is_silent: bool,
    /// The flaw of `key` and `meta`.
    frame: Option<Flaw>,
    /// The flaw of the length, the type and the class, whoever wrote them.
    record: Option<Flaw>,
    /// Their flaw that counts only in a run with a commitment.
    strict: Option<Flaw>,
}

/// The members of `evidence`.
#[derive(Default)]
struct Members<'p> {
    blob: Option<&'p [u8]>,
    sha256: Option<&'p [u8]>,
    bytes_len: Option<&'p [u8]>,
    content_type: Option<&'p [u8]>,
    class: Option<&'p [u8]>,
}

impl EvidencePut {
    /// The payload that says that a blob was put.
    pub fn to_object(key: impl Into<Text>, record: &BlobRecord, meta: Object) -> Object {
        let evidence = Value::from(record.to_object());
        Object::from_iter([("key", Value::from(key.into())), ("evidence", evidence), ("meta", Value::from(meta))])
    }

    /// From an envelope.
    pub fn of_envelope(envelope: &Envelope<'_>) -> Self {
        Self::parse(envelope.payload_json())
    }

    /// From the canonical text of the payload, of which no values are built.
    ///
    /// Canonical text has no escapes in what needs none and no member twice. Other text that has them is malformed here.
    pub fn parse(payload: &[u8]) -> Self {
        let (mut key, mut evidence, mut meta, mut twice) = (None, None, None, false);
        for (name, value) in canonical::members(payload) {
            match name {
                b"key" => set(&mut key, value, &mut twice),
                b"evidence" => set(&mut evidence, value, &mut twice),
                b"meta" => set(&mut meta, value, &mut twice),
                _ => {}
            }
        }
        let raw_key = key;
        let key = key.and_then(text);
        let meta = Meta::parse(meta);
        let evidence = given(evidence);
        let members = Members::of(evidence.unwrap_or_default(), &mut twice);
        let is_object = evidence.is_none_or(is_object);
        let names = members.names();
        let hash = match evidence {
            _ if twice => Err(malformed("a member of payload.evidence stands twice")),
            Some(_) if !is_object => Err(malformed("payload.evidence must be an object")),
            _ => members.address(names),
        };
        let bytes_len = members.bytes_len.and_then(count);
        let class = members.class.and_then(plain).and_then(EvidenceClass::parse);
        let content_type = members.content_type.and_then(unicode);
        let strict = if bytes_len.is_none() {
            Some("payload.evidence must say how many bytes the blob has")
        } else if members.class.is_some() != class.is_some() {
            Some("evidence.evidence_class must be public or sealed")
        } else if members.content_type.is_some() != content_type.is_some() {
            Some("evidence.content_type must be Unicode text")
        } else {
            None
        };
        Self {
            frame: key.is_none().then_some(malformed("payload.key must be text")).or(meta.flaw),
            record: members.flaw(),
            strict: strict.map(malformed),
            unfound: unfound(payload, raw_key, evidence, &members, names[0]),
            names,
            is_silent: evidence.is_none_or(|evidence| evidence == b"{}"),
            key,
            hash,
            bytes_len,
            class,
            content_type,
            by_digest: meta.by_digest,
            kind: meta.kind,
            oracle_class: meta.oracle_class,
            oracle_number: meta.oracle_number,
        }
    }

    /// The recipients that the bytes were sealed to, from a payload in canonical text: `meta.sealed.recipients`. An item
    /// that is not Unicode text is nobody's name.
    pub fn recipients_of(payload: &[u8]) -> impl Iterator<Item = Option<String>> {
        let at = |object, name| canonical::member(object, name);
        let list = at(payload, "meta").and_then(|meta| at(meta, "sealed")).and_then(|sealed| at(sealed, "recipients"));
        list.into_iter().flat_map(canonical::items).map(unicode)
    }

    /// The key, if it is Unicode.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref()?.as_str()
    }

    /// The blob and its length, if the event says both.
    pub fn blob(&self) -> Option<(BlobHash, u64)> {
        self.hash.ok().zip(self.bytes_len)
    }

    /// Finds what is wrong with the event. A run without a `commitment` may leave the length out and make classes up.
    pub fn flaw(&self, commitment: bool) -> Option<Flaw> {
        self.frame.or(self.record).or(self.hash.err()).or(self.strict.filter(|_| commitment))
    }

    /// Finds what is wrong with the event's claims of a blob. In a run without a `commitment` an event may claim nothing, and
    /// `key` and `meta` may be anything; one that claims something must say which blob, and how long it is.
    pub fn claim_flaw(&self, commitment: bool) -> Option<Flaw> {
        if commitment {
            return self.flaw(true);
        }
        let length = malformed("payload.evidence must say how many bytes the blob has");
        let flaw = self.record.or(self.hash.err()).or(self.bytes_len.is_none().then_some(length));
        flaw.filter(|_| !self.is_silent)
    }

    /// What is wrong with the event for the Python package's classes, in which an event may leave out all that it likes:
    /// two addresses of two blobs. Whoever looks for the blob goes by [`Self::unfound`] as well.
    pub fn compatible_flaw(&self) -> Option<Flaw> {
        matches!(self.names, [Some(one), Some(other)] if one != other).then_some(TWO_BLOBS)
    }
}

impl<'p> Members<'p> {
    fn of(evidence: &'p [u8], twice: &mut bool) -> Self {
        let mut found = Self::default();
        for (name, value) in canonical::members(evidence) {
            let place = match name {
                b"ref" => &mut found.blob,
                b"sha256" => &mut found.sha256,
                b"bytes_len" => &mut found.bytes_len,
                b"content_type" => &mut found.content_type,
                b"evidence_class" => &mut found.class,
                _ => continue,
            };
            set(place, value, twice);
        }
        for place in [&mut found.bytes_len, &mut found.content_type, &mut found.class, &mut found.sha256] {
            *place = given(*place);
        }
        found
    }

    /// The blob, by its address and by its reference.
    fn address(&self, [hash, blob]: [Option<BlobHash>; 2]) -> Result<BlobHash, Flaw> {
        let sha256 = self.sha256.filter(|json| *json != br#""""#).ok_or(NOTHING)?;
        if !is_text(sha256) {
            return Err(malformed("evidence.sha256 must be text"));
        }
        let hash = hash.ok_or(malformed("evidence.sha256 must be 64 lower-case digits"))?;
        match blob {
            None => Err(malformed("evidence.ref must be blob://sha256: and 64 digits")),
            Some(blob) if blob == hash => Ok(hash),
            Some(_) => Err(TWO_BLOBS),
        }
    }

    /// The blobs that `sha256` and `ref` name.
    fn names(&self) -> [Option<BlobHash>; 2] {
        let word = |json: Option<&'p [u8]>| json.and_then(plain);
        let by_hash = word(self.sha256).and_then(|text| BlobHash::parse_bytes(text.as_bytes()));
        [by_hash, word(self.blob).and_then(BlobRef::parse).map(|blob| blob.0)]
    }

    fn flaw(&self) -> Option<Flaw> {
        let bad_len = self.bytes_len.is_some_and(|json| count(json).is_none());
        let bad_text = [self.content_type, self.class].into_iter().flatten().any(|json| !is_text(json));
        let msg = "evidence.bytes_len must be a count, content_type and evidence_class texts";
        (bad_len || bad_text).then_some(malformed(msg))
    }
}

/// See [`EvidencePut::unfound`].
fn unfound(
    payload: &[u8],
    key: Option<&[u8]>,
    evidence: Option<&[u8]>,
    members: &Members<'_>,
    by_hash: Option<BlobHash>,
) -> Option<Flaw> {
    if !is_object(payload) || key.is_some_and(is_nested) || evidence.is_some_and(|evidence| !is_object(evidence)) {
        return Some(malformed("payload and payload.evidence must be objects, payload.key text"));
    }
    match members.sha256.filter(|json| is_true(json) && by_hash.is_none()) {
        Some(json) if is_text(json) => Some(Flaw { code: "BLOB_NOT_FOUND", msg: "evidence.sha256 names no blob" }),
        Some(_) => Some(malformed("evidence.sha256 must be text")),
        None => None,
    }
}

/// The members of `meta`.
#[derive(Default)]
struct Meta {
    by_digest: bool,
    kind: Option<String>,
    oracle_class: Member<u64>,
    oracle_number: Option<i64>,
    flaw: Option<Flaw>,
}

impl Meta {
    fn parse(json: Option<&[u8]>) -> Self {
        let mut meta = Self::default();
        let Some(json) = given(json) else { return meta };
        if !is_object(json) {
            meta.flaw = Some(malformed("payload.meta must be an object"));
        }
        for (name, value) in canonical::members(json) {
            match name {
                b"by_digest" => meta.by_digest = is_object(value),
                b"evidence_kind" if is_text(value) => meta.kind = unicode(value),
                b"evidence_kind" if given(Some(value)).is_some() => {
                    meta.flaw = Some(malformed("payload.meta.evidence_kind must be text"));
                }
                b"oracle_class" => {
                    meta.oracle_class = Member::read(Some(value), count);
                    meta.oracle_number = integer(value);
                }
                _ => {}
            }
        }
        meta
    }
}

fn set<'p>(place: &mut Option<&'p [u8]>, value: &'p [u8], twice: &mut bool) {
    *twice |= place.replace(value).is_some();
}
