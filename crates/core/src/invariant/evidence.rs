//! The evidence that a run put: each EVIDENCE_PUT typed once, what is wrong with it, and the JSON documents among it.

use super::InvariantResult;
use crate::envelope::EventType;
use crate::evidence::{BlobFact, EvidenceStrength};
use crate::id::{BlobHash, BlobRef, Seq};
use crate::json::{self, Limits, Text, Value};
use crate::payload::{EvidencePut, Flaw, Member};
use crate::run::{Counted, Event, Snapshot};
use crate::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// How evidence that is JSON is read: as whatever wrote it, except that no key may stand twice. Two readers of such an
/// object need not see the same value.
const DOCUMENT: Limits = Limits { unique_keys: true, ..Limits::READ };

/// The same for the classes of the Python package, which cannot read longer integers.
const COMPATIBLE: Limits = Limits { int_digits: Limits::WRITE.int_digits, ..DOCUMENT };

/// One EVIDENCE_PUT.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) seq: Seq,
    pub(super) key: Option<Text>,
    /// The blob, if the event names exactly one; in the compatible reading, the one that `sha256` names.
    pub(super) hash: Option<BlobHash>,
    /// The blob that claims cite it by: the same; in the compatible reading, the one that `ref` names.
    pub(super) cited: Option<BlobHash>,
    /// In the compatible reading, what is wrong with it for whoever looks for the blob, and for nobody else.
    pub(super) unfound: Option<Flaw>,
    /// In the compatible reading, the blobs that its `refs` name.
    pub(super) beside: Vec<BlobHash>,
    /// `meta.evidence_kind`
    pub(super) kind: Option<String>,
    /// `meta.oracle_class`
    pub(super) oracle_class: Member<u64>,
    /// The same as Python reads it.
    pub(super) oracle_number: Option<i64>,
    /// Whether it stands after a RUN_FINALIZE.
    pub(super) late: bool,
    /// The flaw of the event, if it has one: FAIL, whoever looks.
    pub(super) problem: Option<Reason>,
}

/// All that a run put, in the order of the events.
#[derive(Debug)]
pub(super) struct Evidence<'r> {
    run: &'r Snapshot,
    pub(super) puts: Counted<'r, Put>,
    index: OnceLock<Index>,
}

/// The places of puts among all: a claim that cites thousands of blobs must not cost a walk over all puts for each.
#[derive(Debug, Default)]
struct Index {
    /// The puts of each blob before the run ended.
    of_blob: BTreeMap<BlobHash, Blob>,
    /// In the compatible reading, the blobs that `refs` of those events name beside their own.
    beside: BTreeSet<BlobHash>,
    /// The last one under a key.
    latest: BTreeMap<Vec<u8>, usize>,
}

#[derive(Debug)]
struct Blob {
    places: Vec<usize>,
    strength: EvidenceStrength,
}

impl<'r> Evidence<'r> {
    pub(super) fn of(run: &'r Snapshot) -> Self {
        let mut late = false;
        let mut puts = Vec::new();
        for event in run.events() {
            match event.event_type {
                EventType::RunFinalize => late = true,
                EventType::EvidencePut => puts.push(Put::of(run, event, late)),
                _ => {}
            }
        }
        Self { run, puts: Counted::new(puts, run.steps()), index: OnceLock::new() }
    }

    /// The run.
    pub(super) fn run(&self) -> &'r Snapshot {
        self.run
    }

    /// Leaves out all puts but these.
    pub(super) fn keep(&mut self, keep: impl FnMut(&Put) -> bool) {
        self.puts.retain(keep);
        self.index = OnceLock::new();
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for (place, put) in self.puts.iter().enumerate() {
                if let Some(key) = &put.key {
                    index.latest.insert(key.as_bytes().to_vec(), place);
                }
                if put.late {
                    continue;
                }
                index.beside.extend(&put.beside);
                if let Some(hash) = put.cited {
                    self.index_blob(&mut index, hash, place, put.kind.as_deref());
                }
            }
            index
        })
    }

    fn index_blob(&self, index: &mut Index, hash: BlobHash, place: usize, kind: Option<&str>) {
        let strength = EvidenceStrength::of_kind(kind.unwrap_or_default());
        let blob = index.of_blob.entry(hash).or_insert_with(|| Blob { places: Vec::new(), strength });
        blob.places.push(place);
        blob.strength = match kind {
            _ if !self.run.is_compatible() => blob.strength.min(strength),
            None => blob.strength,
            Some(_) => strength,
        };
    }

    /// The last put under a key.
    pub(super) fn latest(&self, key: &str) -> Option<&Put> {
        self.puts.get(*self.index().latest.get(key.as_bytes())?)
    }

    /// The puts of a blob before the run ended.
    pub(super) fn puts_of(&self, hash: BlobHash) -> impl Iterator<Item = &Put> {
        let places = self.index().of_blob.get(&hash).map(|blob| blob.places.as_slice()).unwrap_or_default();
        self.run.steps().walk(places).filter_map(|place| self.puts.get(*place))
    }

    /// Whether the run put a blob before it ended; in the compatible reading, also whether an EVIDENCE_PUT refers to it.
    pub(super) fn has(&self, hash: BlobHash) -> bool {
        self.index().of_blob.contains_key(&hash) || self.index().beside.contains(&hash)
    }

    /// The strength of a blob by the kinds that it was put as. The same bytes put under a stronger kind are no stronger:
    /// the weakest counts. In the compatible reading it is the last.
    pub(super) fn strength(&self, hash: BlobHash) -> EvidenceStrength {
        self.index().of_blob.get(&hash).map_or(EvidenceStrength::Weak, |blob| blob.strength)
    }

    /// Adds which blobs of these puts are not there as they were put.
    pub(super) fn check_blobs(&self, result: &mut InvariantResult) {
        for put in &self.puts {
            let what = match &put.key {
                Some(key) => format!("Blob for evidence key '{key}'"),
                None if self.run.is_compatible() => "Blob for evidence without a key".to_owned(),
                None => continue,
            };
            if let Some(flaw) = put.unfound {
                result.find(Verdict::Fail, Reason::new(flaw.code, format!("{what}: {}", flaw.msg)));
            } else if let Some(hash) = put.hash.or(put.cited) {
                check_blob(result, self.run, hash, &what, "BLOB_NOT_FOUND");
            }
        }
    }

    /// Adds what is wrong with any put: the one that cannot be read might be the one that matters.
    pub(super) fn report_problems(&self, result: &mut InvariantResult) {
        for problem in self.puts.iter().filter_map(|put| put.problem.clone()) {
            result.find(Verdict::Fail, problem);
        }
    }

    /// The JSON document under a key; `missing` is the verdict and the message if there is none.
    pub(super) fn document(&self, kind: &Document, missing: (Verdict, &str)) -> Result<Value, (Verdict, Reason)> {
        let missing = || (missing.0, Reason::new(kind.missing, missing.1));
        let put = self.latest(kind.key).ok_or_else(missing)?;
        self.read(put, kind, missing)
    }

    /// The JSON document that a put brought.
    pub(super) fn read(
        &self,
        put: &Put,
        kind: &Document,
        missing: impl FnOnce() -> (Verdict, Reason),
    ) -> Result<Value, (Verdict, Reason)> {
        let event = format!("event://{}/{}", self.run.run_id(), put.seq);
        let answer = |verdict, code, msg: String| (verdict, Reason::new(code, msg).at(&event));
        let key = kind.key;
        if put.late {
            let msg = format!("{key} was put after the run had ended");
            return Err(answer(Verdict::Fail, "EVIDENCE_AFTER_FINALIZE", msg));
        }
        let Some(hash) = put.hash else {
            if self.run.is_compatible() {
                return Err(missing());
            }
            return Err(answer(Verdict::Fail, kind.malformed, format!("{key} names no blob")));
        };
        let bytes = match self.run.blob(&hash) {
            BlobFact::Intact { bytes: Some(bytes), .. } => bytes,
            BlobFact::Missing => return Err(missing()),
            BlobFact::Elsewhere => {
                let msg = format!("{key} was recorded by digest: its bytes are kept elsewhere");
                return Err(answer(Verdict::Unknown, "EVIDENCE_ELSEWHERE", msg));
            }
            BlobFact::Expired => {
                let msg = format!("{key} was removed by retention: the recorded EVALUATION is what is left");
                return Err(answer(Verdict::Unknown, kind.expired, msg));
            }
            BlobFact::Removed => {
                let msg = format!("the bytes of {key} were removed, and no BLOB_EXPIRE event says by whom");
                return Err(answer(Verdict::Fail, "EXPIRED_WITHOUT_RECEIPT", msg));
            }
            BlobFact::Corrupt => {
                return Err(answer(
                    Verdict::Fail,
                    kind.corrupt,
                    format!("the bytes of {key} are not those that were put"),
                ));
            }
            BlobFact::Malformed { problem } => {
                return Err(answer(Verdict::Fail, "BLOB_MALFORMED", format!("{key}: {problem}")));
            }
            BlobFact::Unreadable { problem } => {
                return Err(answer(Verdict::Unknown, "READ_FAILURE", format!("{key} could not be read: {problem}")));
            }
            BlobFact::TooLarge { bytes_len } | BlobFact::Intact { bytes_len, .. } => {
                let msg = format!("{key} was not read into memory ({bytes_len} bytes)");
                return Err(answer(Verdict::Unknown, "READ_FAILURE", msg));
            }
        };
        let compatible = self.run.is_compatible();
        match json::parse(bytes, if compatible { COMPATIBLE } else { DOCUMENT }) {
            // Python reads `null` as nothing at all.
            Ok(Value::Null) if compatible => Err(missing()),
            Err(_) if compatible && json::parse(bytes, Limits::READ).is_err() => Err(missing()),
            read => read.map_err(|error| answer(Verdict::Fail, kind.malformed, format!("{key}: {error}"))),
        }
    }
}

impl Put {
    fn of(run: &Snapshot, event: &Event, late: bool) -> Self {
        let said = EvidencePut::parse(event.payload.json());
        let compatible = run.is_compatible();
        let problem = if compatible {
            said.compatible_flaw()
        } else {
            said.flaw(run.facts().commitment.is_some()).or_else(|| contradiction(run, event, &said))
        };
        let [hash, cited] = if compatible { said.names } else { [said.hash.ok(); 2] };
        Self {
            seq: event.seq,
            late,
            problem: problem.map(|flaw| Reason::new(flaw.code, flaw.msg).at(run.event_ref(event))),
            hash,
            cited,
            unfound: said.unfound.filter(|_| compatible),
            beside: event
                .blobs()
                .filter(|_| compatible)
                .filter_map(|text| BlobRef::parse(text.as_str()?))
                .map(|blob| blob.0)
                .collect(),
            key: said.key,
            kind: said.kind,
            oracle_class: said.oracle_class,
            oracle_number: said.oracle_number,
        }
    }

    pub(super) fn is_of(&self, key: &str) -> bool {
        self.key.as_ref().is_some_and(|held| held == key)
    }
}

/// Finds a statement of an EVIDENCE_PUT that something else contradicts. `refs.blobs` may be empty.
fn contradiction(run: &Snapshot, event: &Event, said: &EvidencePut) -> Option<Flaw> {
    let hash = said.hash.ok()?;
    let mismatch = |msg| Some(Flaw { code: "EVIDENCE_MISMATCH", msg });
    let blob = BlobRef(hash).to_string();
    if event.blobs().any(|text| text != *blob) {
        return mismatch("refs.blobs names another blob than payload.evidence");
    }
    match run.blob(&hash) {
        BlobFact::Intact { bytes_len, .. } | BlobFact::TooLarge { bytes_len } if *bytes_len != said.bytes_len? => {
            mismatch("evidence.bytes_len is not the length of the blob")
        }
        _ => None,
    }
}

/// A JSON document that is put under a key, and the codes of what can be wrong with it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) key: &'static str,
    pub(super) missing: &'static str,
    pub(super) malformed: &'static str,
    pub(super) expired: &'static str,
    pub(super) corrupt: &'static str,
}

/// Adds what is wrong with a blob, if something is. Expired is degraded, not violated.
pub(super) fn check_blob(
    result: &mut InvariantResult,
    run: &Snapshot,
    hash: BlobHash,
    what: &str,
    missing: &'static str,
) {
    let short = &hash.to_hex()[..16];
    let (verdict, code, msg) = match run.blob(&hash) {
        BlobFact::Intact { .. } | BlobFact::TooLarge { .. } => return,
        BlobFact::Elsewhere => (
            Verdict::Warn,
            "EVIDENCE_ELSEWHERE",
            format!("{what} was recorded by digest: its bytes are kept elsewhere"),
        ),
        BlobFact::Expired => (Verdict::Warn, "BLOB_EXPIRED", format!("{what} exists but data has been expired")),
        BlobFact::Removed => {
            let msg = format!("the bytes of {what} were removed, and no BLOB_EXPIRE event says by whom");
            (Verdict::Fail, "EXPIRED_WITHOUT_RECEIPT", msg)
        }
        BlobFact::Missing => (Verdict::Fail, missing, format!("{what} (sha256={short}...) not found in store")),
        BlobFact::Corrupt => {
            (Verdict::Fail, "BLOB_HASH_MISMATCH", format!("{what} (sha256={short}...) holds other bytes than were put"))
        }
        BlobFact::Malformed { problem } => (Verdict::Fail, "BLOB_MALFORMED", format!("{what}: {problem}")),
        BlobFact::Unreadable { problem } => {
            (Verdict::Unknown, "READ_FAILURE", format!("{what} could not be read: {problem}"))
        }
    };
    result.find(verdict, Reason::new(code, msg).at(BlobRef(hash)));
}

/// Whether a text is a reference to an event that this run has.
pub(super) fn is_event_of(run: &Snapshot, text: &str) -> bool {
    let event = crate::id::EventRef::parse(text).filter(|event| event.run_id == *run.run_id());
    event.is_some_and(|event| run.event_at(event.seq).is_some())
}
