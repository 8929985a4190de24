//! The end of a run, behind which its next event goes.

use super::{Clean, Gate, Place, RunWriter};
use crate::error::{Error, Result};
use crate::read::head::Head;
use receipt_core::envelope::{Draft, EventType, Sealed};
use receipt_core::json::Object;
use receipt_core::stage::Stage;

/// Where a run ends: the head moves with each event that is sealed.
pub(crate) struct End<'w> {
    pub(super) writer: &'w RunWriter,
    pub(super) head: Head,
}

impl End<'_> {
    /// An event of this run, in the stage that it is in.
    pub(crate) fn draft(&self, event_type: EventType, payload: Clean<Object>) -> Clean<Draft> {
        self.draft_in(Clean::ours(self.head.stage.clone()), event_type, payload)
    }

    pub(super) fn draft_in(&self, stage: Clean<Stage>, event_type: EventType, payload: Clean<Object>) -> Clean<Draft> {
        let now = self.writer.ledger.now();
        // Time does not run backwards in a run. Where the clock does, the last ts stands, and what the clock said is
        // kept beside it.
        let (ts, clock) = match self.head.ts {
            Some(last) if last > now => (last, Some(now)),
            _ => (now, None),
        };
        let place = Place { stage, policy: &self.writer.policy_ref, actor: &self.writer.actor, ts, clock };
        self.writer.gate.draft(event_type, place, payload)
    }

    /// The gate that a caller's texts go through.
    pub(crate) fn gate(&self) -> &Gate {
        &self.writer.gate
    }

    /// Seals a draft behind the head, which it then is: the caller stores it before anybody looks for it.
    pub(super) fn seal(&mut self, draft: &Clean<Draft>) -> Result<Sealed> {
        let full = || Error::RunBroken { run: self.writer.run_id.to_string(), problem: "the run is full".to_owned() };
        let sealed = draft.seal(self.head.next.clone())?;
        self.head.next = self.head.next.after(sealed.hash).ok_or_else(full)?;
        self.head.stage.clone_from(&draft.stage);
        self.head.ts = Some(draft.ts);
        Ok(sealed)
    }
}
