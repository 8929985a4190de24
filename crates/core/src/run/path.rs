//! The way that a run went: stages, beginnings and endings against what it committed to.

use super::checks::{RowCheck, lossy};
use super::facts::{Area, MAX_FINDINGS};
use crate::canonical;
use crate::commitment::{Commitment, MAX_START};
use crate::envelope::{Envelope, EventType};
use crate::json::{self, Object};
use crate::payload::{RecordedEvaluation, RunFinalize, RunStart, StageAdvance};
use crate::stage::{Stage, StageGraph};
use crate::verdict::Verdict;

impl RowCheck<'_> {
    /// Stages, beginnings and endings. Most events change nothing here and cost two comparisons.
    pub(super) fn path(
        &mut self,
        envelope: &Envelope<'_>,
        stage: &mut Vec<u8>,
        policy: &mut Vec<u8>,
        meta: &mut Object,
    ) {
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
            EventType::Evaluation if !self.facts.finalized => {
                self.facts.evaluated = RecordedEvaluation::verdict_of(envelope.payload_json()).known();
                self.facts.unjudged = false;
            }
            EventType::EvidencePut | EventType::Remediation => self.facts.unjudged = true,
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
        match RunStart::parse(envelope.payload_json()) {
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
        let allowed = self.facts.best_ending();
        if let Some(verdict) = verdict.filter(|verdict| verdict.worse(allowed) != *verdict && verdict.is_success()) {
            let msg = format!("the run ended as {verdict}, but what was judged of it allows {allowed} at best");
            self.find(Area::Path, "VERDICT_NOT_EVALUATED", msg);
        }
        self.facts.recorded_verdict = verdict;
    }
}
