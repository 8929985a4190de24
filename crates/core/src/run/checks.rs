//! One row: its text, its place in the chain, and its columns.

use super::cells::{Cell, EventRow};
use super::facts::{Area, Finding, RunFacts};
use super::strictness::Strictness;
use crate::envelope::{Envelope, Scratch, no_hashes};
use crate::error::{Error, JsonProblem};
use crate::id::{EventHash, RunId};
use crate::verdict::{Reason, Verdict};

/// How many characters of a message are kept: what it quotes is anybody's text.
const MAX_MESSAGE: usize = 1000;

/// The checks of one row.
pub(super) struct RowCheck<'c> {
    pub(super) run_id: &'c RunId,
    pub(super) strictness: Strictness,
    pub(super) facts: &'c mut RunFacts,
    pub(super) seq: i64,
    /// Whether it is the run's first row.
    pub(super) first: bool,
}

impl RowCheck<'_> {
    pub(super) fn find(&mut self, area: Area, code: &'static str, msg: impl Into<String>) {
        self.judge(area, Verdict::Fail, code, msg);
    }

    pub(super) fn judge(&mut self, area: Area, verdict: Verdict, code: &'static str, msg: impl Into<String>) {
        let pointer = format!("event://{}/{}", self.run_id, self.seq);
        let msg: String = msg.into().chars().take(MAX_MESSAGE).collect();
        self.facts.find(Finding { area, verdict, reason: Reason::new(code, msg).at(pointer) });
    }

    pub(super) fn seq(&mut self, row: &EventRow<'_>, next_seq: &mut i64) {
        if let Some(seq) = row.seq.integer() {
            self.place(seq, next_seq);
        } else {
            self.bad_type("seq", "an integer");
            *next_seq = self.seq.saturating_add(1);
        }
    }

    pub(super) fn place(&mut self, seq: i64, next_seq: &mut i64) {
        let expected = *next_seq;
        self.seq = seq;
        if seq != expected {
            self.find(Area::Content, "SEQ_GAP", format!("Expected seq={expected}, got seq={seq}"));
        }
        *next_seq = seq.saturating_add(1);
    }

    #[inline]
    pub(super) fn envelope<'s>(&mut self, text: &'s [u8], scratch: &'s mut Scratch) -> Option<Envelope<'s>> {
        let read = match self.strictness {
            Strictness::Native => Envelope::read(text, scratch),
            Strictness::Compatible => Envelope::read_compatible(text, scratch),
        };
        match read {
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

    pub(super) fn envelope_text<'r>(&mut self, row: &EventRow<'r>) -> Option<&'r [u8]> {
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

    pub(super) fn chain(&mut self, envelope: &Envelope<'_>, prev: &mut Option<[Option<EventHash>; 2]>) {
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

    pub(super) fn columns(&mut self, row: &EventRow<'_>, envelope: &Envelope<'_>) {
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
            Some(text) if envelope.is_of_type(text) => {}
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
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(120).collect()
}
