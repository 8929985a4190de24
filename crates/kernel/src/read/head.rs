//! One event by itself: the last one of a run, or the one that commits.

use crate::error::{Error, Result};
use crate::store::ReadTransaction;
use receipt_core::chain::Link;
use receipt_core::envelope::{Envelope, EventType, Scratch};
use receipt_core::id::{EventHash, RunId, Seq, Timestamp};
use receipt_core::payload::RunStart;
use receipt_core::policy::Policy;
use receipt_core::run::EventRow;
use receipt_core::stage::Stage;

/// Where the next event of a run goes.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The place behind the last event.
    pub(crate) next: Link,
    /// The stage that the run is in.
    pub(crate) stage: Stage,
    /// When the last event was, where its ts is an instant.
    pub(crate) ts: Option<Timestamp>,
}

/// Reads and checks the last event of a run that is still open. It costs the same however long the run is.
pub(crate) fn read_head(store: &dyn ReadTransaction, run_id: &RunId) -> Result<Head> {
    let mut head = None;
    store.head(run_id, &mut |row| head = Some(check_head(run_id, row)))?;
    head.unwrap_or_else(|| Err(Error::no_run(run_id.as_str())))
}

/// The place and hash of a run's last event, which is checked; whether or not the run is still open.
pub(crate) fn read_head_hash(store: &dyn ReadTransaction, run_id: &RunId) -> Result<(Seq, EventHash)> {
    let mut head = None;
    store.head(run_id, &mut |row| {
        let mut scratch = Scratch::default();
        head = Some(sound_event(run_id, row, &mut scratch).map(|envelope| (envelope.seq, envelope.hash)));
    })?;
    head.unwrap_or_else(|| Err(Error::no_run(run_id.as_str())))
}

fn check_head(run_id: &RunId, row: &EventRow<'_>) -> Result<Head> {
    let mut scratch = Scratch::default();
    let envelope = sound_event(run_id, row, &mut scratch)?;
    if envelope.event_type == EventType::RunFinalize {
        return Err(Error::RunFinalized { run: run_id.to_string() });
    }
    let here = Link { run_id: run_id.clone(), seq: envelope.seq, prev: envelope.prev };
    let next = here.after(envelope.hash).ok_or_else(|| broken(run_id, "the run is full"))?;
    let ts = envelope.ts().as_str().and_then(Timestamp::parse);
    Ok(Head { next, stage: envelope.stage(), ts })
}

/// One event by itself: its text hashes to what it and its row say, and it has the place that its row has.
pub(crate) fn sound_event<'a>(run_id: &RunId, row: &EventRow<'a>, scratch: &'a mut Scratch) -> Result<Envelope<'a>> {
    let text = row.envelope_json.text().ok_or_else(|| broken(run_id, "its envelope is not text"))?;
    let envelope = Envelope::read(text, scratch).map_err(|error| broken(run_id, &error.to_string()))?;
    let column_hash = row.event_hash.text();
    if envelope.hash != envelope.claimed_hash || column_hash != Some(envelope.claimed_hash_text()) {
        return Err(broken(run_id, "its bytes hash to something else"));
    }
    let same_place = row.seq.integer() == Some(envelope.seq.get()) && envelope.is_of(run_id.as_str());
    if !same_place || row.event_type.as_str() != Some(envelope.event_type.as_str()) {
        return Err(broken(run_id, "its columns are not the envelope's"));
    }
    Ok(envelope)
}

fn broken(run_id: &RunId, problem: &str) -> Error {
    Error::RunBroken { run: run_id.to_string(), problem: problem.to_owned() }
}

pub(crate) fn read_commitment(store: &dyn ReadTransaction, run_id: &RunId) -> Result<Policy> {
    let mut found = None;
    store.event(run_id, Seq::FIRST, &mut |row| {
        let mut scratch = Scratch::default();
        found = Some(sound_event(run_id, row, &mut scratch).and_then(|envelope| {
            let starts = envelope.event_type == EventType::RunStart;
            let start = starts.then(|| RunStart::parse(envelope.payload_json())).transpose()?;
            Ok(start.and_then(|start| start.commitment))
        }));
    })?;
    match found {
        None => Err(Error::no_run(run_id.as_str())),
        Some(commitment) => {
            let uncommitted = || Error::RunUncommitted { run: run_id.to_string() };
            Ok(Policy::of(&commitment?.ok_or_else(uncommitted)?)?)
        }
    }
}
