//! The reader of a run's rows.

use super::cells::{EventRow, RunRow};
use super::checks::RowCheck;
use super::facts::{Area, Finding, RunFacts};
use super::row::{self, Said};
use super::strictness::Strictness;
use crate::commitment::Commitment;
use crate::envelope::{Envelope, Scratch};
use crate::id::{EventHash, RunId, Seq};
use crate::json::{self, Object};
use crate::stage::Stage;

/// Reads a run's rows one by one.
#[derive(Debug)]
pub struct RunReader {
    pub(super) run_id: RunId,
    pub(super) strictness: Strictness,
    pub(super) scratch: Scratch,
    pub(super) facts: RunFacts,
    pub(super) next_seq: i64,
    /// The hashes that the next event may name as the one before: one, or two if the last event's claim is wrong.
    /// `None` if the last row could not be read.
    pub(super) prev: Option<[Option<EventHash>; 2]>,
    /// The stage of the last event, as JSON.
    pub(super) stage: Vec<u8>,
    /// The policy reference of the first event, as JSON.
    pub(super) policy: Vec<u8>,
    /// The `meta` of RUN_START, if the run commits to a policy.
    pub(super) meta: Object,
    /// The policy of the events, which the run's row repeats, if the run commits to no policy.
    pub(super) said: Said,
    /// How many rows there were, those before this part of the run counted as one.
    pub(super) rows: u64,
    /// The event after which this part of the run begins; `None` if the part begins with the run.
    pub(super) from: Option<(Seq, EventHash)>,
}

impl RunReader {
    /// A reader at the beginning of a run.
    pub fn new(run_id: RunId) -> Self {
        Self::judging(run_id, Strictness::Native)
    }

    /// A reader at the beginning of a run, by these rules.
    pub fn judging(run_id: RunId, strictness: Strictness) -> Self {
        Self {
            run_id,
            strictness,
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
    /// Gives the envelope if the text is one, even if something is wrong with it; what is wrong is in the facts.
    pub fn read<'s>(&'s mut self, row: &EventRow<'s>) -> Option<Envelope<'s>> {
        let Self { run_id, strictness, scratch, facts, next_seq, prev, stage, policy, meta, said, rows, .. } = self;
        *rows += 1;
        let mut check = RowCheck { run_id, strictness: *strictness, facts, seq: *next_seq, first: *rows == 1 };
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

    /// Reads the next event from its text alone, which stands in no row: as [`Self::read`], without columns.
    pub fn read_text<'s>(&'s mut self, text: &'s [u8]) -> Option<Envelope<'s>> {
        let Self { run_id, strictness, scratch, facts, next_seq, prev, stage, policy, meta, said, rows, .. } = self;
        *rows += 1;
        let mut check = RowCheck { run_id, strictness: *strictness, facts, seq: *next_seq, first: *rows == 1 };
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

    /// The commitment of RUN_START, which must have been read.
    pub fn commitment(&self) -> Option<&Commitment> {
        self.facts.commitment.as_ref()
    }

    /// Ends the reading, once all rows have been read; `row` is the run's row in `runs`.
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
