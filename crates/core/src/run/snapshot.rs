//! A run as it was at one instant, for invariants to judge.

use super::cells::{EventRow, RunRow};
use super::event::{Event, Events};
use super::facts::RunFacts;
use super::reader::RunReader;
use super::refs::{blobs_cited, hash_in};
use super::steps::{Steps, Walk};
use super::strictness::Strictness;
use crate::envelope::EventType;
use crate::evidence::BlobFact;
use crate::id::{BlobHash, EventRef, RunId, Seq};
use crate::payload::EvidencePut;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A run as it was at one instant: its facts, its events, and what is known of the blobs that it speaks of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    run_id: RunId,
    facts: RunFacts,
    events: Vec<Event>,
    /// The place of the first event of each seq, once somebody has asked.
    places: OnceLock<BTreeMap<Seq, usize>>,
    /// The first event that says that something was withheld, once somebody has asked.
    withheld: OnceLock<Option<Seq>>,
    blobs: BTreeMap<BlobHash, BlobFact>,
    unreadable: Option<String>,
    strictness: Strictness,
    /// Shared by all that reaches into this snapshot, so that a test can count what an invariant looks at.
    steps: Steps,
}

/// Builds a [`Snapshot`] from rows.
#[derive(Debug)]
pub struct SnapshotBuilder {
    reader: RunReader,
    events: Events,
}

impl SnapshotBuilder {
    /// A snapshot of no events yet.
    pub fn new(run_id: RunId) -> Self {
        Self::behind(RunReader::new(run_id))
    }

    /// A snapshot of no events yet, to be judged by these rules.
    pub fn judging(run_id: RunId, strictness: Strictness) -> Self {
        Self::behind(RunReader::judging(run_id, strictness))
    }

    /// A snapshot of the events after those that this reader has read.
    pub fn behind(reader: RunReader) -> Self {
        Self { reader, events: Events::default() }
    }

    /// Takes the next event from its text alone, which stands in no row.
    pub fn event_text(&mut self, text: &[u8]) {
        if let Some(envelope) = self.reader.read_text(text) {
            self.events.push(&envelope);
        }
    }

    /// Takes the next row. The reader counts rows that it cannot read.
    pub fn event(&mut self, row: &EventRow<'_>) {
        if let Some(envelope) = self.reader.read(row) {
            self.events.push(&envelope);
        }
    }

    /// All parts of a run in their order, each read to its end, as one; `None` if something is wrong, see
    /// [`RunReader::join`].
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let parts = parts.into_iter().map(|part| (part.reader, part.events));
        let (readers, events): (Vec<_>, Vec<_>) = parts.unzip();
        Some(Self { reader: RunReader::join(readers)?, events: events.into_iter().reduce(Events::followed_by)? })
    }

    /// All rows have been read; `row` is the run's row in `runs`.
    pub fn finish(self, row: Option<&RunRow<'_>>) -> Snapshot {
        let (run_id, strictness) = (self.reader.run_id.clone(), self.reader.strictness);
        let facts = self.reader.finish(row);
        Snapshot {
            run_id,
            facts,
            events: self.events.end(),
            places: OnceLock::new(),
            withheld: OnceLock::new(),
            blobs: BTreeMap::new(),
            unreadable: None,
            strictness,
            steps: Steps::default(),
        }
    }
}

/// A blob that a snapshot wants to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The blob.
    pub hash: BlobHash,
    /// Whether its bytes are wanted too, and not just what state it is in.
    pub bytes: bool,
}

impl Snapshot {
    /// A snapshot that could not be taken: every invariant answers UNKNOWN with READ_FAILURE.
    pub fn unreadable(run_id: RunId, problem: impl Into<String>) -> Self {
        Self {
            run_id,
            facts: RunFacts::default(),
            events: Vec::new(),
            places: OnceLock::new(),
            withheld: OnceLock::new(),
            blobs: BTreeMap::new(),
            unreadable: Some(problem.into()),
            strictness: Strictness::Native,
            steps: Steps::default(),
        }
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// Whether it is judged as the Python package 0.1.0 judges, wherever that is no wrong PASS about tampering, loss or a
    /// false hash.
    pub fn is_compatible(&self) -> bool {
        self.strictness == Strictness::Compatible
    }

    /// The reason why it could not be taken, if it could not.
    pub fn read_failure(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The first event which says that something was withheld from the run because redaction failed.
    pub fn withheld(&self) -> Option<Seq> {
        *self.withheld.get_or_init(|| self.events.iter().find(|event| event.says_withheld()).map(|event| event.seq))
    }

    /// The facts that reading the run showed.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// The events that could be read, in the order of their rows.
    pub fn events(&self) -> Walk<'_, Event> {
        self.steps.walk(&self.events)
    }

    /// How much of it was looked at.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The first event of this seq. Looking many up costs no more than one pass over the run.
    pub fn event_at(&self, seq: Seq) -> Option<&Event> {
        let places = self.places.get_or_init(|| {
            // Of two events of one seq the first stays: later pairs replace earlier ones.
            self.events().enumerate().rev().map(|(place, event)| (event.seq, place)).collect()
        });
        self.steps.add(1);
        self.events.get(*places.get(&seq)?)
    }

    /// The events of one type.
    pub fn of_type(&self, event_type: EventType) -> impl DoubleEndedIterator<Item = &Event> {
        self.events().filter(move |event| event.event_type == event_type)
    }

    /// The reference of an event of this run.
    pub fn event_ref(&self, event: &Event) -> EventRef {
        EventRef { run_id: self.run_id.clone(), seq: event.seq }
    }

    /// The blobs that are spoken of and nothing is known of yet; to be asked again after [`Self::supply`], until there
    /// are none. `keys` names the evidence whose bytes will be read, and whose references are followed.
    pub fn wanted(&self, keys: &[&str]) -> Vec<Wanted> {
        let mut wanted: BTreeMap<BlobHash, bool> = BTreeMap::new();
        for event in self.of_type(EventType::EvidencePut) {
            let put = EvidencePut::parse(event.payload.json());
            let bytes = put.key().is_some_and(|key| keys.contains(&key));
            let names = if self.is_compatible() { put.names } else { [put.hash.ok(), None] };
            for hash in names.into_iter().flatten() {
                *wanted.entry(hash).or_default() |= bytes;
            }
        }
        let named = self.events().flat_map(Event::blobs).filter_map(|text| hash_in(&text));
        let known = self.blobs.values().filter_map(|fact| match fact {
            BlobFact::Intact { bytes: Some(bytes), .. } => Some(bytes),
            _ => None,
        });
        let cited = known.flat_map(|bytes| blobs_cited(bytes)).collect::<Vec<_>>();
        for hash in named.chain(cited) {
            wanted.entry(hash).or_default();
        }
        let unknown = wanted.into_iter().filter(|(hash, bytes)| match self.blobs.get(hash) {
            None => true,
            Some(BlobFact::Intact { bytes: None, .. }) => *bytes,
            Some(_) => false,
        });
        unknown.map(|(hash, bytes)| Wanted { hash, bytes }).collect()
    }

    /// Supplies a fact about a blob. Whoever read bytes that are supplied must have hashed them.
    pub fn supply(&mut self, hash: BlobHash, fact: BlobFact) {
        self.blobs.insert(hash, fact);
    }

    /// The fact that was supplied about a blob; [`BlobFact::Missing`] if none was.
    pub fn blob(&self, hash: &BlobHash) -> &BlobFact {
        self.steps.add(1);
        self.blobs.get(hash).unwrap_or(&BlobFact::Missing)
    }

    /// Whether every EVIDENCE_PUT is well-formed, and its blob is there as it was put, was removed by retention, or was
    /// recorded by digest.
    pub fn evidence_is_complete(&self) -> bool {
        self.of_type(EventType::EvidencePut).all(|event| {
            let put = EvidencePut::parse(event.payload.json());
            let is_sound = put.flaw(self.facts.commitment.is_some()).is_none();
            matches!(
                put.hash.ok().filter(|_| is_sound).map(|hash| self.blob(&hash)),
                Some(BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Expired | BlobFact::Elsewhere)
            )
        })
    }
}
