//! Replay: the recorded evaluations of a run, of a ledger or of a bundle, computed again.

use crate::check::findings::Findings;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::Evidence;
use crate::read::evidence::ledger::{Judge, Seen};
use crate::read::evidence::of_run::OfRun;
use crate::read::run::{finish, has_row};
use crate::store::{ReadTransaction, Visit};
use receipt_core::bundle::Row;
use receipt_core::commitment::Commitment;
use receipt_core::envelope::EventType;
use receipt_core::id::{EventHash, RunId, Seq};
use receipt_core::policy::{Evaluation, Invariants};
use receipt_core::replay::{Replay, Replayed};
use receipt_core::run::{RunFacts, RunReader, Steps};
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

/// A finished run, judged as a whole by the policy that it commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The verdict.
    pub verdict: Verdict,
    /// What the invariants that are not PASS say.
    pub reasons: Vec<Reason>,
}

impl Finished {
    pub(super) fn of(evaluation: &Evaluation) -> Self {
        let results = evaluation.results.iter().map(|judged| &judged.result);
        let unsure = results.filter(|result| result.verdict != Verdict::Pass);
        let reasons = unsure.flat_map(|result| &result.reasons).take(MAX_PROBLEMS).cloned().collect();
        Self { verdict: evaluation.overall_verdict, reasons }
    }
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
    /// The finished run judged as a whole; none if it has not ended, or nothing was computed.
    pub finished: Option<Finished>,
    /// The last event of the run as it was computed again.
    pub head: Option<(Seq, EventHash)>,
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
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let store = transaction.as_ref();
        if !has_row(store, run)? {
            return Err(Error::no_run(run.as_str()));
        }
        let mut row = None;
        store.run(run, &mut |cells| row = Row::from_cells(cells))?;
        let broken = || Error::RunBroken { run: run.to_string(), problem: "its row holds no text".to_owned() };
        let row = row.ok_or_else(broken)?;
        let read = Read::of(store, run, limit)?;
        if let Some(replays) = read.refused(run) {
            return Ok(replays);
        }
        let (events, head, ended) = (read.events, read.facts.head, read.facts.finalized);
        let evidence = RefCell::new(OfRun::new(store, run));
        let blob = |hash: &_, bytes| evidence.borrow_mut().fact(hash, bytes, events.iter().map(|text| &**text));
        let (evaluator, steps) = (evaluator(), &Steps::default());
        let replay = Replay { run_id: run, events: &events, row: &row.cells(), blob: &blob, evaluator, steps };
        let evaluations = replay.all();
        let verdict = evaluations.iter().map(|it| it.verdict).fold(Verdict::Pass, Verdict::worse);
        let finished = ended.then(|| replay.whole()).flatten().as_ref().map(Finished::of);
        Ok(Replays { verdict, reasons: Vec::new(), evaluations, finished, head })
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
        let evidence = self.found.checks.iter().filter(|check| check.verdict == Verdict::Fail);
        let evidence = evidence.flat_map(|check| &check.reasons);
        let standing = Standing {
            sound: self.facts.is_sound() && self.found.checks.iter().all(|check| check.verdict != Verdict::Fail),
            committed: self.facts.commitment.is_some(),
            evaluations: self.evaluations,
            recorded: self.facts.recorded_verdict,
            fits: self.fits,
        };
        let reason = standing.refused(run)?;
        let verdict = if standing.sound { Verdict::Unknown } else { Verdict::Fail };
        let problems = self.facts.findings.iter().map(|finding| &finding.reason).chain(evidence);
        let problems = problems.filter(|_| !standing.sound).take(MAX_PROBLEMS).cloned();
        let reasons = [reason].into_iter().chain(problems).collect();
        Some(Replays { verdict, reasons, evaluations: Vec::new(), finished: None, head: self.facts.head })
    }
}

/// What is known of a run that is to be judged again, whether it is in a ledger or in a bundle.
pub(super) struct Standing {
    /// It verifies, its evidence too.
    pub(super) sound: bool,
    pub(super) committed: bool,
    pub(super) evaluations: u64,
    /// The verdict that it ended with.
    pub(super) recorded: Option<Verdict>,
    /// It is within the limit.
    pub(super) fits: bool,
}

impl Standing {
    /// Why nothing is computed from the run, if nothing is.
    pub(super) fn refused(&self, run: &RunId) -> Option<Reason> {
        let (code, msg) = if !self.sound {
            ("REPLAY_UNSOUND", "the run does not verify, so that nothing is computed from it")
        } else if self.evaluations == 0 {
            let ended_well = self.recorded.is_some_and(Verdict::is_success);
            let msg = "the run ended well without an evaluation, so that nothing can be computed again";
            return ended_well.then(|| Reason::new("REPLAY_NOT_EVALUATED", msg).at(format!("run://{run}")));
        } else if !self.committed {
            ("REPLAY_UNCOMMITTED", "the run commits to no policy, so that nothing can be computed again")
        } else if !self.fits {
            ("REPLAY_TOO_LARGE", "the run is too large to be judged again within the limit")
        } else {
            return None;
        };
        Some(Reason::new(code, msg).at(format!("run://{run}")))
    }
}

/// How many of a run's findings are told.
const MAX_PROBLEMS: usize = 100;
