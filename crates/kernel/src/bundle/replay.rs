//! Replay: the recorded evaluations of a run, of a ledger or of a bundle, computed again.

use crate::check::findings::Findings;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::{Evidence, Judge, Seen};
use crate::read::receipts::OfRun;
use crate::read::run::{finish, has_row};
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::bundle::Row;
use receipt_core::commitment::Commitment;
use receipt_core::envelope::EventType;
use receipt_core::evidence::BlobFact;
use receipt_core::id::RunId;
use receipt_core::policy::Invariants;
use receipt_core::replay::{Replay, Replayed};
use receipt_core::run::{RunFacts, RunReader};
use receipt_core::verdict::{Reason, Verdict};
use std::cell::RefCell;

/// How many bytes of events, and of evidence that invariants read, are kept for replay where nobody says otherwise.
/// Computing again takes about ten times that in memory.
pub const REPLAY_LIMIT: u64 = 16 << 20;

/// How many bytes of events all evaluations of one run may have before them, added up, for each byte of the limit:
/// more is refused, because each evaluation is computed from the beginning of its run.
pub(super) const WORK: u64 = 64;

/// Who judges here, as an evaluation has it under `evaluator`.
pub const fn evaluator() -> &'static str {
    concat!("receipt-kernel/", env!("CARGO_PKG_VERSION"))
}

/// The keys of the evidence whose bytes a run's invariants read.
pub(super) fn reads(commitment: Option<&Commitment>) -> Vec<&'static str> {
    commitment.map(|commitment| Invariants::of(commitment).reads()).unwrap_or_default()
}

/// What became of a run's recorded evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replays {
    /// FAIL if the run does not verify; else the worst of its evaluations.
    pub verdict: Verdict,
    /// Why nothing was computed again, if nothing was.
    pub reasons: Vec<Reason>,
    /// Each evaluation.
    pub evaluations: Vec<Replayed>,
}

impl Replays {
    fn none(verdict: Verdict, reasons: Vec<Reason>) -> Self {
        Self { verdict, reasons, evaluations: Vec::new() }
    }
}

impl Ledger {
    /// Computes every recorded evaluation of a run again and compares it with what was recorded. Nothing is computed from a
    /// run that does not verify, or that is over the same limit as a bundle ([`REPLAY_LIMIT`]).
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunBroken`] where its row holds no text; where the store cannot be read.
    pub fn replay(&self, run: &RunId) -> Result<Replays> {
        self.replay_within(run, REPLAY_LIMIT)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn replay_within(&self, run: &RunId, limit: u64) -> Result<Replays> {
        let mut store = self.lock();
        let transaction = store.read()?;
        let store = transaction.as_ref();
        if !has_row(store, run)? {
            return Err(Error::RunNotFound { run: run.to_string() });
        }
        let mut row = None;
        store.run(run, &mut |cells| row = Row::from_cells(cells))?;
        let broken = || Error::RunBroken { run: run.to_string(), problem: "its row holds no text".to_owned() };
        let row = row.ok_or_else(broken)?;
        let read = Read::of(store, run, limit)?;
        if let Some(replays) = read.refused(run) {
            return Ok(replays);
        }
        let events = read.events;
        let removed = RefCell::new(OfRun::new(store, run));
        let texts = || events.iter().map(|text| &**text);
        let blob = |hash: &_, bytes| match store::blob_fact(store, hash, bytes) {
            BlobFact::Removed => match removed.borrow_mut().is_receipted(hash, texts()) {
                Ok(true) => BlobFact::Expired,
                Ok(false) => BlobFact::Removed,
                Err(error) => BlobFact::Unreadable { problem: error.to_string() },
            },
            fact => fact,
        };
        let replay = Replay { run_id: run, events: &events, row: &row.cells(), blob: &blob, evaluator: evaluator() };
        let evaluations = replay.all();
        let verdict = evaluations.iter().map(|it| it.verdict).fold(Verdict::Pass, Verdict::worse);
        Ok(Replays { verdict, reasons: Vec::new(), evaluations })
    }
}

/// A run that is to be judged again, read to its end.
struct Read {
    events: Vec<Box<[u8]>>,
    facts: RunFacts,
    found: Findings,
    evaluations: u64,
    /// Whether the run is within the limit.
    fits: bool,
}

impl Read {
    fn of(store: &dyn ReadTransaction, run: &RunId, limit: u64) -> Result<Self> {
        let (judge, seen, mut found) = (Judge::new(false, &[]), Seen::default(), Findings::default());
        let mut reader = RunReader::new(run.clone());
        let (mut events, mut evaluations) = (Vec::new(), 0);
        let (mut kept, mut work, mut fits) = (0_u64, 0_u64, true);
        let mut wanted = None;
        store.events(run, &mut |row| {
            let text = row.envelope_json.text().unwrap_or_default();
            let envelope = reader.read(row);
            let event_type = envelope.as_ref().map(|envelope| envelope.event_type);
            let put = envelope.filter(|it| it.event_type == EventType::EvidencePut).map(|it| Evidence::of(&it));
            if event_type == Some(EventType::Evaluation) {
                evaluations += 1;
                work = work.saturating_add(kept);
            }
            kept = kept.saturating_add(text.len() as u64);
            if let Some(put) = put {
                let wanted = wanted.get_or_insert_with(|| reads(reader.commitment()));
                if put.key().is_some_and(|key| wanted.contains(&key)) {
                    kept = kept.saturating_add(put.blob().map_or(0, |(_, length)| length));
                }
                judge.puts(store, run, &mut vec![put], &seen, reader.commitment().is_some(), &mut found);
            }
            fits &= kept <= limit && work <= limit.saturating_mul(WORK);
            if fits {
                events.push(text.into());
            } else {
                events = Vec::new();
            }
            Visit::Continue(())
        })?;
        judge.end(store, &mut found)?;
        let facts = finish(store, run, |row| reader.finish(row))?;
        Ok(Self { events, facts, found, evaluations, fits })
    }

    /// Why nothing is computed from the run, if nothing is.
    fn refused(&self, run: &RunId) -> Option<Replays> {
        let pointer = format!("run://{run}");
        let evidence = self.found.checks.iter().filter(|check| check.verdict == Verdict::Fail);
        let findings = self.facts.findings.iter().map(|finding| &finding.reason);
        let problems: Vec<Reason> = findings.chain(evidence.flat_map(|check| &check.reasons)).cloned().collect();
        if !self.facts.is_clean() || !problems.is_empty() {
            let mut reasons = vec![
                Reason::new("REPLAY_UNSOUND", "the run does not verify, so that nothing is computed from it")
                    .at(&pointer),
            ];
            reasons.extend(problems.into_iter().take(MAX_PROBLEMS));
            return Some(Replays::none(Verdict::Fail, reasons));
        }
        if self.evaluations == 0 && self.facts.recorded_verdict.is_some_and(Verdict::is_success) {
            let msg = "the run ended well without an evaluation, so that nothing can be computed again";
            let reason = Reason::new("REPLAY_NOT_EVALUATED", msg).at(&pointer);
            return Some(Replays::none(Verdict::Unknown, vec![reason]));
        }
        if self.evaluations > 0 && !self.fits {
            let msg = "the run is too large to be judged again within the limit";
            let reason = Reason::new("REPLAY_TOO_LARGE", msg).at(&pointer);
            return Some(Replays::none(Verdict::Unknown, vec![reason]));
        }
        None
    }
}

/// How many of a run's findings are told.
const MAX_PROBLEMS: usize = 100;
