//! Replay: a recorded evaluation computed again from what it was made of, and compared with what was recorded.
//!
//! The inputs are the events before it, the policy that the run committed to, and the evidence. Where the evidence is
//! not what it was (withheld, expired, put later), a difference proves nothing, unless the result does not depend on
//! it: that is tried out. Evidence that retention removed and receipted, and of which only its being there was judged, is
//! taken to have been as it was put: an evaluation that is as recorded then is WARN, and says so.

use crate::canonical;
use crate::envelope::EventType;
use crate::evidence::BlobFact;
use crate::id::{BlobHash, EventHash, PolicyDigest, RunId, Seq};
use crate::json::{Limits, Object, Value};
use crate::payload::{EvidencePut, Member, RecordedEvaluation};
use crate::policy::{Evaluation, Invariants, Judged};
use crate::run::{Event, RunRow, Snapshot, SnapshotBuilder, Steps};
use crate::verdict::{Reason, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The inputs that a recorded evaluation is computed again from.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    /// The run.
    pub run_id: &'a RunId,
    /// The exact texts of the run's events, from the first one.
    pub events: &'a [Box<[u8]>],
    /// The run's row.
    pub row: &'a RunRow<'a>,
    /// Gives the fact about a blob, with its bytes if they are asked for and are there.
    pub blob: &'a dyn Fn(&BlobHash, bool) -> BlobFact,
    /// The program that judges now, as an evaluation of ours names it under `evaluator`.
    pub evaluator: &'a str,
    /// Counts what is read and judged.
    pub steps: &'a Steps,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("run_id", self.run_id)
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

/// The result of computing one recorded evaluation again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The EVALUATION event.
    pub seq: Seq,
    /// The verdict that it recorded, if that can be read.
    pub recorded: Option<Verdict>,
    /// The verdict now.
    pub recomputed: Verdict,
    /// PASS if all is as recorded; WARN if it depends on evidence that is gone with a receipt, and is as recorded if that was
    /// as it was put; FAIL if it is not as recorded; UNKNOWN if what is there cannot settle it.
    pub verdict: Verdict,
    /// Why it is not PASS.
    pub reasons: Vec<Reason>,
    /// The invariants whose results could not be settled.
    pub unsettled: Vec<String>,
}

impl Replayed {
    /// `{"seq", "recorded", "recomputed", "verdict", "reasons", "unsettled"}`
    pub fn to_value(&self) -> Value {
        Object::from_iter([
            ("seq", Value::from(self.seq.get())),
            ("recorded", Value::from(self.recorded)),
            ("recomputed", self.recomputed.into()),
            ("verdict", self.verdict.into()),
            ("reasons", Value::Array(self.reasons.iter().map(Reason::to_value).collect())),
            ("unsettled", Value::from(self.unsettled.clone())),
        ])
        .into()
    }

    fn find(&mut self, verdict: Verdict, reason: Reason) {
        self.verdict = self.verdict.worse(verdict);
        self.reasons.push(reason);
    }
}

/// A guess at the state that a blob had when it was judged, if it is not there as it was put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    AsItIs,
    Missing,
    Unreadable,
    /// There as it was put, if a receipt says that it was removed, and its bytes are not asked for.
    AsPut,
    /// There as it is now, though this run recorded it by digest alone: another run had put its bytes before.
    Here,
}

impl Replay<'_> {
    /// Every EVALUATION, in the order of the run. A run that commits to no policy has none that can be computed again.
    pub fn all(&self) -> Vec<Replayed> {
        // One snapshot at a time: each holds the run.
        let whole = self.snapshot(self.events.len(), Guess::AsItIs).0;
        let recorded: Vec<Event> = whole.of_type(EventType::Evaluation).cloned().collect();
        drop(whole);
        recorded.iter().map(|event| self.one(event)).collect()
    }

    /// The whole run as it is now, judged by the policy that it commits to, if it commits to one. What the evaluations in
    /// the run could not judge is in it: the invariants about the ending.
    pub fn whole(&self) -> Option<Evaluation> {
        let whole = self.snapshot(self.events.len(), Guess::AsItIs).0;
        let commitment = whole.facts().commitment.as_ref()?;
        Some(self.evaluate(&Invariants::of(commitment), &whole))
    }

    fn one(&self, event: &Event) -> Replayed {
        let before = usize::try_from(event.seq.get() - 1).unwrap_or(usize::MAX).min(self.events.len());
        let (snapshot, unsure) = self.snapshot(before, Guess::AsItIs);
        let recorded = RecordedEvaluation::parse(event.payload.json());
        let mut replayed = Replayed {
            seq: event.seq,
            recorded: recorded.verdict.known(),
            recomputed: Verdict::Unknown,
            verdict: Verdict::Pass,
            reasons: Vec::new(),
            unsettled: Vec::new(),
        };
        let pointer = format!("event://{}/{}", self.run_id, event.seq);
        let Some(commitment) = snapshot.facts().commitment.clone() else {
            let msg = "the run commits to no policy, so that nothing can be computed again";
            replayed.find(Verdict::Unknown, Reason::new("REPLAY_UNCOMMITTED", msg).at(pointer));
            return replayed;
        };
        let rules = Invariants::of(&commitment);
        let mut now = self.evaluate(&rules, &snapshot);
        let head = snapshot.facts().head;
        drop(snapshot);
        if !unsure.is_empty() && !is_recorded(&now, &recorded) {
            let here = self.evaluate(&rules, &self.snapshot(before, Guess::Here).0);
            now = if is_recorded(&here, &recorded) { here } else { now };
        }
        let guesses = [Guess::Missing, Guess::Unreadable];
        let others = || guesses.map(|guess| self.evaluate(&rules, &self.snapshot(before, guess).0));
        let others = if unsure.is_empty() { Vec::new() } else { others().into() };
        let drifted = recorded.evaluator.as_deref() != Some(self.evaluator);
        let as_put = (!unsure.is_empty() && !is_recorded(&now, &recorded)).then(|| {
            let (snapshot, left) = self.snapshot(before, Guess::AsPut);
            (self.evaluate(&rules, &snapshot), left)
        });
        let as_put = as_put.filter(|(as_put, left)| *left != unsure && is_recorded(as_put, &recorded));
        let now = as_put.as_ref().map_or(now, |(as_put, _)| as_put.clone());
        replayed.recomputed = now.overall_verdict;
        let compare = Comparison { now: &now, others: &others, drifted, pointer: &pointer };
        if let Some((_, left)) = as_put {
            let msg = "as recorded, if the evidence that was removed since, with a receipt, was as it was put";
            let gone = unsure.difference(&left).map(|blob| crate::id::BlobRef(*blob));
            let reason = gone.fold(Reason::new("REPLAY_EVIDENCE_EXPIRED", msg).at(&pointer), Reason::at);
            replayed.find(Verdict::Warn, reason);
        } else {
            compare.results(&recorded, &mut replayed);
        }
        compare.inputs(&recorded, head, commitment.digest(), &mut replayed);
        if !replayed.unsettled.is_empty() {
            let msg = format!("cannot be settled without the evidence: {}", replayed.unsettled.join(", "));
            let reason = Reason::new("REPLAY_INPUT_GONE", msg).at(&pointer);
            let reason = unsure.iter().fold(reason, |reason, blob| reason.at(crate::id::BlobRef(*blob)));
            replayed.find(Verdict::Unknown, reason);
        }
        replayed
    }

    fn evaluate(&self, rules: &Invariants, snapshot: &Snapshot) -> Evaluation {
        let evaluation = rules.evaluate(snapshot);
        self.steps.add(snapshot.steps().taken());
        evaluation
    }

    /// The run as it was before an event, and the blobs of which it is not known that they were then as they are taken to be.
    fn snapshot(&self, events: usize, guess: Guess) -> (Snapshot, BTreeSet<BlobHash>) {
        let mut builder = SnapshotBuilder::new(self.run_id.clone());
        for text in self.steps.walk(&self.events[..events]) {
            builder.event_text(text);
        }
        let mut snapshot = builder.finish(Some(self.row));
        let put = what_was_put(&snapshot);
        let reads = snapshot
            .facts()
            .commitment
            .as_ref()
            .map(|commitment| Invariants::of(commitment).reads())
            .unwrap_or_default();
        let mut unsure = BTreeSet::new();
        loop {
            let wanted = snapshot.wanted(&reads);
            if wanted.is_empty() {
                return (snapshot, unsure);
            }
            for blob in wanted {
                let mut fact = (self.blob)(&blob.hash, blob.bytes);
                if blob.bytes && matches!(fact, BlobFact::Intact { bytes: None, .. }) {
                    fact = BlobFact::Unreadable { problem: "its bytes are not at hand".to_owned() };
                }
                let said = put.get(&blob.hash);
                let is_here = matches!(fact, BlobFact::Intact { .. });
                let by_digest = said.is_some_and(|put| put.by_digest);
                if by_digest && is_here && guess != Guess::Here {
                    fact = BlobFact::Elsewhere;
                }
                if let (Guess::AsPut, BlobFact::Expired, false, Some(put)) = (guess, &fact, blob.bytes, said) {
                    fact = BlobFact::Intact { bytes_len: put.bytes_len, bytes: None };
                } else if said.is_none() || by_digest || !is_here {
                    unsure.insert(blob.hash);
                    fact = match guess {
                        Guess::AsItIs | Guess::AsPut | Guess::Here => fact,
                        Guess::Missing => BlobFact::Missing,
                        Guess::Unreadable => BlobFact::Unreadable { problem: "it is not at hand".to_owned() },
                    };
                }
                snapshot.supply(blob.hash, fact);
            }
        }
    }
}

/// A recorded evaluation beside the one of now.
struct Comparison<'a> {
    now: &'a Evaluation,
    /// The evaluation under other guesses of the evidence. There are none if the evidence is known.
    others: &'a [Evaluation],
    /// Whether somebody else judged then.
    drifted: bool,
    pointer: &'a str,
}

impl Comparison<'_> {
    fn results(&self, recorded: &RecordedEvaluation<'_>, replayed: &mut Replayed) {
        let now: Vec<Vec<u8>> = self.now.results.iter().map(|judged| json_of(&judged.to_value())).collect();
        let results = || recorded.results.known().into_iter().flat_map(|results| results.iter());
        let count = results().count();
        if count != now.len() {
            let msg = format!("{count} results were recorded, the policy gives {}", now.len());
            self.differs(replayed, &msg);
        }
        let mut open = false;
        for (index, (was, is)) in results().zip(&now).enumerate() {
            if was.json == is {
                continue;
            }
            let Judged { result, .. } = &self.now.results[index];
            if self.depends(index, is) {
                open = true;
                replayed.unsettled.push(result.invariant_id.clone());
            } else {
                let said = was.verdict.known().map_or("nothing", Verdict::as_str);
                let msg =
                    format!("{} was recorded as {said}, computed again it is {}", result.invariant_id, result.verdict);
                self.differs(replayed, &msg);
            }
        }
        self.overall(recorded, open, replayed);
    }

    /// Compares the verdict and the rest that follows from the results. A difference counts if the results are settled.
    fn overall(&self, recorded: &RecordedEvaluation<'_>, mut open: bool, replayed: &mut Replayed) {
        let complete = recorded.evidence_complete.known();
        if complete != Some(self.now.evidence_complete) {
            if self.others.is_empty() || complete.is_none() {
                self.differs(replayed, "evidence_complete is not as recorded");
            } else {
                open = true;
                replayed.unsettled.push("evidence_complete".to_owned());
            }
        }
        if !open && replayed.recorded != Some(self.now.overall_verdict) {
            let said = replayed.recorded.map_or("nothing".to_owned(), |verdict| verdict.to_string());
            self.differs(
                replayed,
                &format!("the verdict was recorded as {said}, its results give {}", self.now.overall_verdict),
            );
        }
        if recorded.deferred != Some(&*deferred(self.now)) {
            self.differs(replayed, "the invariants that were deferred are not those recorded");
        }
    }

    fn inputs(
        &self,
        recorded: &RecordedEvaluation<'_>,
        head: Option<(Seq, EventHash)>,
        digest: PolicyDigest,
        replayed: &mut Replayed,
    ) {
        if recorded.policy_digest != Some(digest) {
            self.differs(replayed, "it names another policy than the run commits to");
        }
        if head.is_none() {
            self.differs(replayed, "there is nothing before it that could have been judged");
        } else if recorded.head != head {
            self.differs(replayed, "it judged another state of the run than the one before it");
        }
    }

    /// Whether a result is another one, or no answer, under any guess of what the evidence was.
    fn depends(&self, index: usize, now: &[u8]) -> bool {
        let other = |other: &Evaluation| {
            let judged = other.results.get(index);
            judged.is_none_or(|judged| judged.result.verdict == Verdict::Unknown)
                || judged.is_none_or(|judged| json_of(&judged.to_value()) != now)
        };
        let unknown = self.now.results[index].result.verdict == Verdict::Unknown;
        !self.others.is_empty() && (unknown || self.others.iter().any(other))
    }

    fn differs(&self, replayed: &mut Replayed, msg: &str) {
        if self.drifted {
            let msg = format!("{msg}; another evaluator made it");
            replayed.find(Verdict::Unknown, Reason::new("REPLAY_DRIFT", msg).at(self.pointer));
        } else {
            replayed.find(Verdict::Fail, Reason::new("REPLAY_MISMATCH", msg).at(self.pointer));
        }
    }
}

/// The claims of a run's events about one blob.
struct Put {
    /// How long its events say that it is.
    bytes_len: u64,
    /// Whether all of them put it by digest.
    by_digest: bool,
}

fn what_was_put(run: &Snapshot) -> BTreeMap<BlobHash, Put> {
    let mut all = BTreeMap::new();
    for event in run.of_type(EventType::EvidencePut) {
        let said = EvidencePut::parse(event.payload.json());
        let (Ok(hash), bytes_len) = (said.hash, said.bytes_len.unwrap_or_default()) else { continue };
        let put = all.entry(hash).or_insert(Put { bytes_len, by_digest: true });
        *put = Put { bytes_len, by_digest: put.by_digest && said.by_digest };
    }
    all
}

/// Whether an evaluation is the recorded one in all that follows from the events and the evidence.
fn is_recorded(evaluation: &Evaluation, recorded: &RecordedEvaluation<'_>) -> bool {
    let results = evaluation.results.iter().map(Judged::to_value).collect();
    recorded.results.known().is_some_and(|was| was.json == json_of(&Value::Array(results)))
        && recorded.evidence_complete == Member::Is(evaluation.evidence_complete)
        && recorded.verdict == Member::Is(evaluation.overall_verdict)
        && recorded.deferred == Some(&*deferred(evaluation))
}

fn deferred(evaluation: &Evaluation) -> Vec<u8> {
    json_of(&Value::from(evaluation.deferred.clone()))
}

/// As a recorded payload has a value. One that is nested too deep to be recorded is like nothing there.
fn json_of(value: &Value) -> Vec<u8> {
    canonical::to_bytes(value, Limits::READ).unwrap_or_default()
}
