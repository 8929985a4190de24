//! A run read back: rows in, verified facts out. Nothing else reads rows.
//!
//! [`RunReader`] takes a run's rows one by one, in the order of their seq, in memory that does not grow with the run. It
//! re-hashes every event, follows the chain, compares every column with its envelope, and walks the stages. What does
//! not fit is a [`Finding`], never an error. [`Snapshot`] keeps the typed events as well, for invariants to judge.

use crate::canonical::{self, Scratch};
use crate::commitment::{Commitment, MAX_START};
use crate::envelope::{Envelope, EventType, no_hashes};
use crate::error::{Error, JsonProblem};
use crate::evidence::BlobFact;
use crate::id::{BlobHash, BlobRef, EventHash, EventRef, RunId, Seq};
use crate::json::{self, Limits, Object, Text, Value};
use crate::payload::{EvidencePut, RecordedEvaluation, RunFinalize, RunStart, StageAdvance};
use crate::stage::{Stage, StageGraph};
use crate::verdict::{Reason, Verdict};
use event::Events;
use row::Said;
use std::collections::BTreeMap;
use std::sync::OnceLock;

mod event;
mod part;
mod row;

pub use event::{Bytes, Event, Payload};

/// A column's value as a store holds it, whatever its declared type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A float.
    Real(f64),
    /// Text, which may not be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// The bytes, where it is text.
    pub fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, where it is UTF-8 text.
    pub fn as_str(self) -> Option<&'a str> {
        self.text().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The integer, where it is one.
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }
}

/// A row of `events`, as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// The run.
    pub run_id: Cell<'a>,
    /// The place in the run.
    pub seq: Cell<'a>,
    /// The type.
    pub event_type: Cell<'a>,
    /// The envelope.
    pub envelope_json: Cell<'a>,
    /// The hash.
    pub event_hash: Cell<'a>,
    /// The hash of the event before.
    pub prev_event_hash: Cell<'a>,
    /// When the store wrote it: advisory, bound by nothing.
    pub created_at: Cell<'a>,
}

/// A row of `runs`, as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub struct RunRow<'a> {
    /// The policy's id.
    pub policy_id: Cell<'a>,
    /// Its version.
    pub policy_version: Cell<'a>,
    /// The stage graph's id.
    pub stage_graph_id: Cell<'a>,
    /// When the run began.
    pub created_at: Cell<'a>,
    /// What its writer said about it.
    pub meta_json: Cell<'a>,
}

/// Which kind of tampering a finding speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// Events edited, reordered, removed or spliced in.
    Content,
    /// A column that its envelope contradicts.
    Columns,
    /// Stages and endings against what the run committed to.
    Path,
}

/// Something in a ledger that should not be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub area: Area,
    /// FAIL if it contradicts the record; WARN if nothing binds what it says; UNKNOWN if it cannot be checked.
    pub verdict: Verdict,
    /// What it is.
    pub reason: Reason,
}

/// How many findings are kept for one run; beyond them they are only counted.
const MAX_FINDINGS: usize = 1000;

/// How many characters of a message are kept: what it quotes is anybody's text.
const MAX_MESSAGE: usize = 1000;

/// What reading a run showed.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// How many rows there were.
    pub events: u64,
    /// The last event that could be read: its seq and the hash of its bytes.
    pub head: Option<(Seq, EventHash)>,
    /// What should not be so, in the order of the rows.
    pub findings: Vec<Finding>,
    /// How many findings there were beyond those kept.
    pub more_findings: u64,
    /// How many rows could not be read as events at all.
    pub unreadable: u64,
    /// The policy and stage graph that RUN_START commits to; a run written by the Python package has none.
    pub commitment: Option<Commitment>,
    /// The verdict that RUN_FINALIZE recorded; `None` for a run that is unfinished or has none that can be read.
    pub recorded_verdict: Option<Verdict>,
    /// The verdict of the last EVALUATION before the end of a committed run, where there is one that can be read.
    pub evaluated: Option<Verdict>,
    /// Whether there is a RUN_FINALIZE.
    pub finalized: bool,
    /// The first event's ts.
    pub started: Option<Text>,
    /// The stage of the last event.
    pub stage: Option<Stage>,
}

impl RunFacts {
    /// How many findings are FAIL. Of those that were only counted, all are taken to be.
    pub fn failures(&self) -> u64 {
        self.findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() as u64 + self.more_findings
    }

    /// Whether every row could be read, and no finding is FAIL.
    pub fn is_sound(&self) -> bool {
        self.unreadable == 0 && self.failures() == 0
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// Reads a run's rows one by one.
#[derive(Debug)]
pub struct RunReader {
    run_id: RunId,
    scratch: Scratch,
    facts: RunFacts,
    next_seq: i64,
    /// The hashes that the next event may name as the one before: one, or two where the last event's claim is wrong.
    /// `None` where the last row could not be read.
    prev: Option<[Option<EventHash>; 2]>,
    /// The stage of the last event, as JSON.
    stage: Vec<u8>,
    /// The policy reference of the first event, as JSON.
    policy: Vec<u8>,
    /// What RUN_START says about the run, if it commits to a policy.
    meta: Object,
    /// What the events say that the run's row repeats, if the run commits to no policy.
    said: Said,
    /// How many rows there were, those before this part of the run counted as one.
    rows: u64,
    /// Where this part of the run begins: behind this event, or with the run.
    from: Option<(Seq, EventHash)>,
}

impl RunReader {
    /// A reader at the beginning of a run.
    pub fn new(run_id: RunId) -> Self {
        Self {
            run_id,
            scratch: Scratch::default(),
            facts: RunFacts::default(),
            next_seq: 1,
            prev: Some([None; 2]),
            stage: Vec::new(),
            policy: Vec::new(),
            meta: Object::new(),
            said: Said::default(),
            rows: 0,
            from: None,
        }
    }

    /// The next row: every column compared with its envelope, the envelope with its hash and with the event before.
    ///
    /// Gives the envelope where the text is one, even if something is wrong with it; what is wrong is in the facts.
    pub fn read<'s>(&'s mut self, row: &EventRow<'s>) -> Option<Envelope<'s>> {
        let Self { run_id, scratch, facts, next_seq, prev, stage, policy, meta, said, rows, .. } = self;
        *rows += 1;
        let mut check = RowCheck { run_id, facts, seq: *next_seq, first: *rows == 1 };
        check.facts.events += 1;
        check.seq(row, next_seq);
        let text = check.envelope_text(row);
        let Some(envelope) = text.and_then(|text| check.envelope(text, scratch)) else {
            check.facts.unreadable += 1;
            *prev = None;
            return None;
        };
        check.chain(&envelope, prev);
        check.columns(row, &envelope);
        check.path(&envelope, stage, policy, meta);
        check.facts.head = Some((envelope.seq, envelope.hash));
        if check.facts.commitment.is_none() {
            said.event(&envelope, row.created_at.text());
        }
        Some(envelope)
    }

    /// The next event where it stands by itself and not in a row: as [`Self::read`], without columns.
    pub fn read_text<'s>(&'s mut self, text: &'s [u8]) -> Option<Envelope<'s>> {
        let Self { run_id, scratch, facts, next_seq, prev, stage, policy, meta, said, rows, .. } = self;
        *rows += 1;
        let mut check = RowCheck { run_id, facts, seq: *next_seq, first: *rows == 1 };
        check.facts.events += 1;
        let Some(envelope) = check.envelope(text, scratch) else {
            check.facts.unreadable += 1;
            *next_seq = next_seq.saturating_add(1);
            *prev = None;
            return None;
        };
        check.place(envelope.seq.get(), next_seq);
        check.chain(&envelope, prev);
        check.path(&envelope, stage, policy, meta);
        check.facts.head = Some((envelope.seq, envelope.hash));
        if check.facts.commitment.is_none() {
            said.event(&envelope, None);
        }
        Some(envelope)
    }

    /// What RUN_START, which must have been read, commits to.
    pub fn commitment(&self) -> Option<&Commitment> {
        self.facts.commitment.as_ref()
    }

    /// What the rows showed, once all have been read; `row` is the run's row in `runs`.
    pub fn finish(mut self, row: Option<&RunRow<'_>>) -> RunFacts {
        self.facts.stage = (!self.stage.is_empty())
            .then(|| Stage::new(json::parse_string(&self.stage).unwrap_or_default().to_string_lossy()));
        let mismatches = row::mismatches(row, &self.facts, &self.policy, &self.meta, &self.said);
        for (verdict, reason) in mismatches {
            let reason = reason.at(format!("run://{}", self.run_id));
            self.facts.find(Finding { area: Area::Columns, verdict, reason });
        }
        self.facts
    }
}

/// The checks of one row.
struct RowCheck<'c> {
    run_id: &'c RunId,
    facts: &'c mut RunFacts,
    seq: i64,
    /// Whether it is the run's first row.
    first: bool,
}

impl RowCheck<'_> {
    fn find(&mut self, area: Area, code: &'static str, msg: impl Into<String>) {
        self.judge(area, Verdict::Fail, code, msg);
    }

    fn judge(&mut self, area: Area, verdict: Verdict, code: &'static str, msg: impl Into<String>) {
        let pointer = format!("event://{}/{}", self.run_id, self.seq);
        let msg: String = msg.into().chars().take(MAX_MESSAGE).collect();
        self.facts.find(Finding { area, verdict, reason: Reason::new(code, msg).at(pointer) });
    }

    fn seq(&mut self, row: &EventRow<'_>, next_seq: &mut i64) {
        if let Some(seq) = row.seq.integer() {
            self.place(seq, next_seq);
        } else {
            self.bad_type("seq", "an integer");
            *next_seq = self.seq.saturating_add(1);
        }
    }

    fn place(&mut self, seq: i64, next_seq: &mut i64) {
        let expected = *next_seq;
        self.seq = seq;
        if seq != expected {
            self.find(Area::Content, "SEQ_GAP", format!("Expected seq={expected}, got seq={seq}"));
        }
        *next_seq = seq.saturating_add(1);
    }

    #[inline]
    fn envelope<'s>(&mut self, text: &'s [u8], scratch: &'s mut Scratch) -> Option<Envelope<'s>> {
        match Envelope::read(text, scratch) {
            Ok(envelope) => Some(envelope),
            Err(error) => {
                self.unreadable(text, &error);
                None
            }
        }
    }

    fn bad_type(&mut self, column: &str, wanted: &str) {
        self.find(Area::Columns, "BAD_COLUMN_TYPE", format!("column {column} must hold {wanted}"));
        if column.ends_with("event_hash") {
            self.hash_mismatch(Area::Columns, column);
        }
    }

    fn other_hash(&mut self, column: &str, code: &'static str) {
        self.find(Area::Columns, code, format!("column {column} is not the envelope's"));
        self.hash_mismatch(Area::Columns, column);
    }

    fn envelope_text<'r>(&mut self, row: &EventRow<'r>) -> Option<&'r [u8]> {
        let text = row.envelope_json.text();
        if text.is_none() {
            self.find(Area::Content, "MALFORMED_ENVELOPE", "the envelope is not text");
            self.bad_type("envelope_json", "text");
        }
        text
    }

    fn unreadable(&mut self, text: &[u8], error: &Error) {
        let code = match error {
            Error::Json { problem: JsonProblem::NotCanonical, .. } => "NOT_CANONICAL",
            _ => "MALFORMED_ENVELOPE",
        };
        self.find(Area::Content, code, error.to_string());
        if let Error::Draft { .. } = error {
            let [event_hash, prev_event_hash] = no_hashes(text);
            for (is_none, name) in [(event_hash, "event_hash"), (prev_event_hash, "prev_event_hash")] {
                if is_none {
                    self.hash_mismatch(Area::Content, name);
                }
            }
        }
    }

    /// A hash that is not what it must be, by the code that programs of the Python package look for.
    fn hash_mismatch(&mut self, area: Area, name: &str) {
        let code = if name == "event_hash" { "EVENT_HASH_MISMATCH" } else { "PREV_HASH_MISMATCH" };
        self.find(area, code, format!("seq={}: {name} is not the hash that it must be", self.seq));
    }

    fn chain(&mut self, envelope: &Envelope<'_>, prev: &mut Option<[Option<EventHash>; 2]>) {
        if envelope.hash != envelope.claimed_hash {
            let (claimed, real) = (envelope.claimed_hash, envelope.hash);
            let msg =
                format!("seq={}: the event says that its hash is {claimed}, but its bytes hash to {real}", self.seq);
            self.find(Area::Content, "EVENT_HASH_MISMATCH", msg);
        }
        if let Some(expected) = *prev
            && !expected.contains(&envelope.prev)
        {
            let show = |hash: Option<EventHash>| hash.map_or("none".to_owned(), |hash| hash.to_string());
            let (got, wanted) = (show(envelope.prev), show(expected[0]));
            let msg = format!("seq={}: prev_event_hash is {got}, but the event before has {wanted}", self.seq);
            self.find(Area::Content, "PREV_HASH_MISMATCH", msg);
        }
        *prev = Some([Some(envelope.hash), Some(envelope.claimed_hash)]);
        if !envelope.is_of(self.run_id.as_str()) {
            let msg = format!("the event is of run {:?}", envelope.run_id());
            self.find(Area::Content, "RUN_ID_MISMATCH", msg);
        }
    }

    fn columns(&mut self, row: &EventRow<'_>, envelope: &Envelope<'_>) {
        match row.run_id.text() {
            None => self.bad_type("run_id", "text"),
            Some(text) if text == self.run_id.as_str().as_bytes() => {}
            Some(text) => {
                let msg = format!("column run_id is {:?}, the row stands among those of {}", lossy(text), self.run_id);
                self.find(Area::Columns, "RUN_ID_COLUMN_MISMATCH", msg);
            }
        }
        if row.seq.integer().is_some_and(|seq| seq != envelope.seq.get()) {
            let (column, inner) = (self.seq, envelope.seq);
            self.find(Area::Columns, "SEQ_MISMATCH", format!("column seq is {column}, the envelope says {inner}"));
        }
        match row.event_type.text() {
            None => self.bad_type("event_type", "text"),
            Some(text) if text == envelope.event_type.as_str().as_bytes() => {}
            Some(text) => {
                let msg = format!("column event_type is {:?}, the envelope says {}", lossy(text), envelope.event_type);
                self.find(Area::Columns, "EVENT_TYPE_MISMATCH", msg);
            }
        }
        match row.event_hash {
            Cell::Text(text) if text == envelope.claimed_hash_text() => {}
            Cell::Text(_) => self.other_hash("event_hash", "EVENT_HASH_COLUMN_MISMATCH"),
            _ => self.bad_type("event_hash", "text"),
        }
        match row.prev_event_hash {
            Cell::Null if envelope.prev.is_none() => {}
            Cell::Text(text) if envelope.prev_text() == Some(text) => {}
            Cell::Null | Cell::Text(_) => self.other_hash("prev_event_hash", "PREV_HASH_COLUMN_MISMATCH"),
            _ => self.bad_type("prev_event_hash", "text or NULL"),
        }
        if row.created_at.text().is_none() {
            self.bad_type("created_at", "text");
        }
    }

    /// Stages, beginnings and endings. Most events change nothing here and cost two comparisons.
    fn path(&mut self, envelope: &Envelope<'_>, stage: &mut Vec<u8>, policy: &mut Vec<u8>, meta: &mut Object) {
        let first = self.first;
        if self.facts.finalized {
            let msg = format!("{} follows RUN_FINALIZE", envelope.event_type);
            self.find(Area::Path, "EVENT_AFTER_FINALIZE", msg);
        }
        if first {
            self.facts.started = Some(envelope.ts());
            policy.extend_from_slice(envelope.policy_json());
            if envelope.event_type == EventType::RunStart {
                *meta = self.commitment(envelope);
            }
        }
        if self.facts.commitment.is_some() {
            self.committed_path(envelope, first, stage, policy);
        }
        match envelope.event_type {
            EventType::Evaluation if self.facts.commitment.is_some() && !self.facts.finalized => {
                self.facts.evaluated = RecordedEvaluation::verdict_of(envelope.payload_json()).known();
            }
            EventType::RunFinalize => self.finalize(envelope),
            _ => {}
        }
        if stage.as_slice() != envelope.stage_json() {
            stage.clear();
            stage.extend_from_slice(envelope.stage_json());
        }
    }

    /// Takes in what RUN_START commits to, and gives its meta.
    fn commitment(&mut self, envelope: &Envelope<'_>) -> Object {
        if canonical::member(envelope.payload_json(), "commitment").is_none() {
            // A run of the Python package may say as much as it likes: nothing of it is parsed.
            return Object::new();
        }
        let bytes = envelope.compact().len();
        if bytes > MAX_START {
            // Its values would take several times the memory of its text, and no writer of a commitment writes one.
            let msg =
                format!("a RUN_START with a commitment has {bytes} bytes, which is over the limit of {MAX_START}");
            self.find(Area::Content, "COMMITMENT_MALFORMED", msg);
            return Object::new();
        }
        match payload(envelope).and_then(|payload| RunStart::from_object(&payload)) {
            Ok(RunStart { commitment: Some(commitment), meta }) => {
                if commitment.graph().is_none() {
                    let msg = format!("only a newer version can read the stage graph {:?}", commitment.graph_id());
                    self.judge(Area::Path, Verdict::Unknown, "STAGE_GRAPH_UNKNOWN", msg);
                }
                self.facts.commitment = Some(commitment);
                meta
            }
            Ok(_) => Object::new(),
            Err(error) => {
                self.find(Area::Content, "COMMITMENT_MALFORMED", error.to_string());
                Object::new()
            }
        }
    }

    fn committed_path(&mut self, envelope: &Envelope<'_>, first: bool, stage: &[u8], policy: &[u8]) {
        if envelope.policy_json() != policy {
            self.find(Area::Path, "POLICY_CHANGED", "the event names another policy or stage graph than RUN_START");
        }
        if !first && envelope.event_type == EventType::RunStart {
            self.find(Area::Path, "SECOND_RUN_START", "a run begins once");
        }
        let advance = envelope.event_type == EventType::StageAdvance;
        if !first && !advance && envelope.stage_json() != stage {
            let (now, was) = (envelope.stage(), lossy(stage));
            let msg =
                format!("the event is in stage {now}, the run was in {was}, and no STAGE_ADVANCE is between them");
            self.find(Area::Path, "STAGE_JUMP", msg);
        }
        if !first && !advance {
            return;
        }
        let graph = self.facts.commitment.as_ref().and_then(Commitment::graph).cloned();
        if let Some(graph) = graph.as_ref().filter(|graph| first && envelope.stage() != *graph.initial()) {
            let msg = format!("the run begins in {}, its graph begins in {}", envelope.stage(), graph.initial());
            self.find(Area::Path, "WRONG_INITIAL_STAGE", msg);
        }
        if advance {
            self.advance(envelope, stage, graph.as_deref());
        }
    }

    fn advance(&mut self, envelope: &Envelope<'_>, stage: &[u8], graph: Option<&StageGraph>) {
        let from = Stage::new(json::parse_string(stage).unwrap_or_default().to_string_lossy());
        let to = envelope.stage();
        if let Some(graph) = graph.filter(|graph| !graph.allows(&from, &to)) {
            // The error lists the graph's stages, of which there may be many: findings beyond those kept are only counted.
            let kept = self.facts.findings.len() < MAX_FINDINGS;
            let error = kept.then(|| graph.check_step(&from, &to).err()).flatten();
            self.find(Area::Path, "ILLEGAL_TRANSITION", error.map(|error| error.to_string()).unwrap_or_default());
        }
        if !StageAdvance::parse(envelope.payload_json()).says(&from, &to) {
            let msg = format!("the payload does not say that the run goes from {from} to {to}");
            self.find(Area::Path, "STAGE_CONTRADICTION", msg);
        }
    }

    fn finalize(&mut self, envelope: &Envelope<'_>) {
        if self.facts.finalized {
            self.find(Area::Path, "MULTIPLE_FINALIZE", "a run ends once");
        }
        self.facts.finalized = true;
        let verdict = RunFinalize::parse(envelope.payload_json()).verdict.known();
        let Some(commitment) = &self.facts.commitment else {
            self.facts.recorded_verdict = verdict;
            return;
        };
        let early = commitment.graph().is_some_and(|graph| !graph.is_terminal(&envelope.stage()));
        match verdict {
            None => self.find(Area::Path, "BAD_VERDICT", "RUN_FINALIZE has no overall_verdict of the four"),
            Some(verdict) if early && verdict.is_success() => {
                let msg = format!("the run ended as {verdict} in {}, which is not terminal", envelope.stage());
                self.find(Area::Path, "FINALIZED_EARLY", msg);
            }
            Some(_) => {}
        }
        // A run may end worse than it was judged, and without a judgement it cannot end well.
        let allowed = self.facts.evaluated.unwrap_or(Verdict::Unknown);
        if let Some(verdict) = verdict.filter(|verdict| verdict.worse(allowed) != *verdict && verdict.is_success()) {
            let msg = format!("the run ended as {verdict}, but its last evaluation says {allowed}");
            self.find(Area::Path, "VERDICT_NOT_EVALUATED", msg);
        }
        self.facts.recorded_verdict = verdict;
    }
}

fn payload(envelope: &Envelope<'_>) -> Result<Object, Error> {
    object(envelope.payload_json())
}

fn object(json: &[u8]) -> Result<Object, Error> {
    match json::parse(json, Limits::READ)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Draft { field: "payload", problem: "it must be an object".to_owned() }),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(120).collect()
}

/// A run as it was at one instant: its facts, its events, and what is known of the blobs that it speaks of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    run_id: RunId,
    facts: RunFacts,
    events: Vec<Event>,
    /// Where the first event of each seq stands, once somebody has asked.
    places: OnceLock<BTreeMap<Seq, usize>>,
    blobs: BTreeMap<BlobHash, BlobFact>,
    unreadable: Option<String>,
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

    /// A snapshot of the events behind those that this reader has read.
    pub fn behind(reader: RunReader) -> Self {
        Self { reader, events: Events::default() }
    }

    /// The next event where it stands by itself and not in a row.
    pub fn event_text(&mut self, text: &[u8]) {
        if let Some(envelope) = self.reader.read_text(text)
            && self.events.push(&envelope).is_err()
        {
            self.reader.facts.unreadable += 1;
        }
    }

    /// The next row. What cannot be read, the reader counts.
    pub fn event(&mut self, row: &EventRow<'_>) {
        if let Some(envelope) = self.reader.read(row)
            && self.events.push(&envelope).is_err()
        {
            self.reader.facts.unreadable += 1;
        }
    }

    /// All parts of a run in their order, each read to its end, as one; `None` where something is wrong, see
    /// [`RunReader::join`].
    #[must_use]
    pub fn join(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let parts = parts.into_iter().map(|part| (part.reader, part.events));
        let (readers, events): (Vec<_>, Vec<_>) = parts.unzip();
        Some(Self { reader: RunReader::join(readers)?, events: events.into_iter().reduce(Events::followed_by)? })
    }

    /// All rows have been read; `row` is the run's row in `runs`.
    pub fn finish(self, row: Option<&RunRow<'_>>) -> Snapshot {
        let run_id = self.reader.run_id.clone();
        let facts = self.reader.finish(row);
        Snapshot {
            run_id,
            facts,
            events: self.events.end(),
            places: OnceLock::new(),
            blobs: BTreeMap::new(),
            unreadable: None,
        }
    }
}

/// A blob that a snapshot wants to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Which.
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
            blobs: BTreeMap::new(),
            unreadable: Some(problem.into()),
        }
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.run_id
    }

    /// Why it could not be taken, where it could not.
    pub fn read_failure(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// What reading it showed.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// The events that could be read, in the order of their rows.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The first event of this seq. Looking many up costs no more than one pass over the run.
    pub fn event_at(&self, seq: Seq) -> Option<&Event> {
        let places = self.places.get_or_init(|| {
            // Of two events of one seq the first stays: later pairs replace earlier ones.
            self.events.iter().enumerate().rev().map(|(place, event)| (event.seq, place)).collect()
        });
        self.events.get(*places.get(&seq)?)
    }

    /// The events of one type.
    pub fn of_type(&self, event_type: EventType) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter().filter(move |event| event.event_type == event_type)
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
            if let Ok(hash) = put.hash {
                *wanted.entry(hash).or_default() |= bytes;
            }
        }
        let named = self.events.iter().flat_map(|event| event.blobs.iter()).filter_map(hash_in);
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

    /// What is known of a blob. Bytes that are supplied must have been hashed by whoever read them.
    pub fn supply(&mut self, hash: BlobHash, fact: BlobFact) {
        self.blobs.insert(hash, fact);
    }

    /// What is known of a blob; [`BlobFact::Missing`] where nothing was supplied.
    pub fn blob(&self, hash: &BlobHash) -> &BlobFact {
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

/// Every blob that the bytes of a blob name, where they are JSON; what [`Snapshot::wanted`] follows.
pub fn blobs_cited(bytes: &[u8]) -> Vec<BlobHash> {
    json::parse(bytes, Limits::READ).map(|value| hashes_in(&value)).unwrap_or_default()
}

/// The blobs that an envelope refers to, as a canonical list of strings has them; others are left out.
pub fn blobs_referred_to(envelope: &Envelope<'_>) -> Vec<BlobHash> {
    if envelope.refs_json().starts_with(br#"{"blobs":[]"#) {
        return Vec::new();
    }
    let refs = json::parse(envelope.refs_json(), Limits::READ).unwrap_or_default();
    let items = refs.get("blobs").and_then(Value::as_array).unwrap_or_default();
    items.iter().filter_map(Value::as_text).filter_map(hash_in).collect()
}

/// The blob that a text names, as a reference or as bare hexadecimal digits.
fn hash_in(text: &Text) -> Option<BlobHash> {
    let text = text.as_str()?;
    BlobRef::parse(text).map(|blob| blob.0).or_else(|| BlobHash::parse_bytes(text.as_bytes()))
}

/// Every blob that a value names, however deep.
fn hashes_in(value: &Value) -> Vec<BlobHash> {
    let mut found = Vec::new();
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => found.extend(hash_in(text)),
            Value::Array(items) => rest.extend(items),
            Value::Object(object) => rest.extend(object.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found
}
