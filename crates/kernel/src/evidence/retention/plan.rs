//! What is due at an instant.
//!
//! A blob is due when *now* is later than its last put plus its time to live plus the grace. When that was, the `ts` of hashed
//! events says, of runs that verify; what a run speaks of that does not is left alone. No column of a row says it.

use super::named;
use super::policy::{Retention, Ttl};
use crate::error::{Error, Result};
use crate::read::evidence::Evidence;
use crate::read::evidence::removals::Removals;
use crate::read::evidence::together::Together;
use crate::read::imports::Imports;
use crate::read::run::{finish, show};
use crate::store::{ReadTransaction, Visit};
use receipt_core::envelope::EventType;
use receipt_core::evidence::{BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::run::{Cell, RunReader};
use receipt_core::verdict::Reason;
use std::collections::HashMap;
use std::sync::Arc;

/// How many problems a plan keeps; beyond them it only counts.
const MAX_PROBLEMS: usize = 1000;

/// A blob whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub hash: BlobHash,
    /// Its class.
    pub class: EvidenceClass,
    /// How many bytes it has, or had.
    pub bytes_len: u64,
    /// The state that it is in.
    pub from: BlobState,
    /// The state that it goes to.
    pub to: BlobState,
    /// The last instant at which it was kept.
    pub until: Timestamp,
}

/// What is due at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is due, in the order of the addresses.
    pub due: Vec<Due>,
    /// How many blobs would be due, were it not for a hold.
    pub held: u64,
    /// Rows that could not be judged; they are left alone.
    pub problems: Vec<Reason>,
    /// How many problems there were beyond those kept.
    pub more: u64,
}

/// A blob whose time may be over.
struct Candidate {
    due: Due,
    /// When it was put last, or removed, by the event that says so.
    since: Option<Timestamp>,
    /// What the events that put it say: those of imported runs only if there are no others.
    together: Together,
    ttl: Option<Ttl>,
    held: bool,
    /// An event that speaks of it cannot be read, so that nobody knows how long it is to be kept.
    unclear: bool,
}

pub(super) fn plan(store: &dyn ReadTransaction, retention: &Retention, now: Timestamp) -> Result<Plan> {
    let mut plan = Plan::default();
    let (mut live, mut gone): (HashMap<BlobHash, Candidate>, Vec<Candidate>) = Default::default();
    let mut failed = Ok(());
    store.blobs(&mut |id| {
        let Some(hash) = id.text().and_then(BlobHash::parse_bytes) else {
            plan.problem(Reason::new(
                "BLOB_MALFORMED",
                format!("a blob has the address {:?}, which is no hash", show(id)),
            ));
            return Visit::Continue(());
        };
        match candidate(store, &hash) {
            Ok(Some(candidate)) if candidate.due.from == BlobState::Live => {
                live.insert(hash, candidate);
            }
            Ok(Some(candidate)) => gone.push(candidate),
            Ok(None) => {}
            Err(Error::BlobUnavailable { problem, .. }) => {
                plan.problem(Reason::new("BLOB_MALFORMED", format!("left alone: {problem}")).at(BlobRef(hash)));
            }
            Err(error) => {
                failed = Err(error);
                return Visit::Break(());
            }
        }
        Visit::Continue(())
    })?;
    failed?;
    // Its last put and the keys that it was put under say the rest, and of what is gone its receipt.
    let imports = Arc::new(Imports::read(store)?);
    uses(store, retention, &imports, &mut live, &mut plan)?;
    if !gone.is_empty() && retention.hash != Ttl::Forever {
        let removals = Removals::read(store, &imports, None)?;
        for mut candidate in gone {
            candidate.since = removals.excuse(store, &candidate.due.hash, None)?.map(|receipt| receipt.at);
            plan.judge(candidate, retention, now);
        }
    }
    for candidate in live.into_values() {
        plan.judge(candidate, retention, now);
    }
    plan.due.sort_unstable_by_key(|due| due.hash);
    Ok(plan)
}

impl Plan {
    fn problem(&mut self, problem: Reason) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn judge(&mut self, candidate: Candidate, retention: &Retention, now: Timestamp) {
        let Candidate { mut due, since, ttl, held, unclear, together } = candidate;
        // What no event speaks of, nobody knows the time of: it stays.
        let Some(since) = since else { return };
        let until = match due.from {
            BlobState::Live => {
                let ttl = ttl.unwrap_or_else(|| retention.ttl_for_class(due.class));
                ttl.until(since, retention.grace_seconds)
            }
            _ => retention.hash.until(since, 0),
        };
        let Some(until) = until.filter(|until| now > *until) else { return };
        due.until = until;
        // How long it is kept hangs on its class, which is a column of a row that anybody with the file can change.
        if together.class().is_some_and(|said| said != due.class) {
            let msg = "left alone: its class is not the one that events say";
            return self.problem(Reason::new("EVIDENCE_ROW_MISMATCH", msg).at(BlobRef(due.hash)));
        }
        match (held, unclear) {
            (true, _) => self.held += 1,
            // The event has been reported.
            (false, true) => {}
            (false, false) => self.due.push(due),
        }
    }
}

/// What a blob's row says of how long it is kept; `None` for one that has no more states to go to.
fn candidate(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Option<Candidate>> {
    let mut found = Ok(None);
    store.blob(hash, &mut |row| {
        let word = |cell: Cell<'_>, what: &str| {
            cell.as_str().map(str::to_owned).ok_or_else(|| format!("its {what} is not text"))
        };
        found = (|| {
            let state = word(row.state, "state")?;
            let from = BlobState::parse(&state).ok_or_else(|| format!("its state is {state:?}"))?;
            let class = word(row.evidence_class, "class")?;
            let class = EvidenceClass::parse(&class).ok_or_else(|| format!("its class is {class:?}"))?;
            let to = match from {
                BlobState::Live => BlobState::ExpiredHashOnly,
                BlobState::ExpiredHashOnly => BlobState::Purged,
                BlobState::Purged => return Ok(None),
            };
            if (from == BlobState::Live) != row.stored_len.is_some() {
                return Err(format!("its state is {state:?}, which its bytes contradict"));
            }
            let bytes_len = row.bytes_len.integer().and_then(|length| u64::try_from(length).ok());
            let bytes_len = bytes_len.ok_or("its bytes_len is no length")?;
            let due = Due { hash: *hash, class, bytes_len, from, to, until: Timestamp::from_micros(0) };
            let (since, ttl, together) = (None, None, Together::default());
            Ok(Some(Candidate { due, since, together, ttl, held: false, unclear: false }))
        })();
    })?;
    found.map_err(|problem: String| Error::BlobUnavailable { blob: hash.to_string(), problem })
}

/// Reads of every run which of the blobs it put, when and under which key. What a run speaks of that does not verify is left
/// alone.
fn uses(
    store: &dyn ReadTransaction,
    retention: &Retention,
    imports: &Imports,
    live: &mut HashMap<BlobHash, Candidate>,
    plan: &mut Plan,
) -> Result<()> {
    let mut runs = Vec::new();
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    // Those that were imported come last.
    runs.sort_by_key(|run| imports.contains(run));
    for run in runs {
        let held = retention.holds.contains_key(run.as_str());
        let mut reader = RunReader::new(run.clone());
        let (mut puts, mut unclear, mut malformed) = (Vec::new(), Vec::new(), Vec::new());
        store.events(&run, &mut |row| {
            let Some(text) = row.envelope_json.text() else { return Visit::Continue(()) };
            // Whatever the event says, and however it says it.
            let spoken_of = |hash: &BlobHash| live.contains_key(hash);
            let all = unclear.len();
            unclear.extend(named(text).filter(spoken_of));
            let put = reader.read(row).filter(|it| it.event_type == EventType::EvidencePut);
            if let Some(put) = put.map(|put| Evidence::of(&put)) {
                // Such an event cannot be trusted to say how long its blob is to be kept.
                let is_own = !imports.contains(&run);
                if is_own && let Some(reason) = put.malformed(reader.commitment().is_some()) {
                    let of_event = unclear.iter().skip(all).copied().collect::<Vec<_>>();
                    malformed.push((of_event, reason.at(format!("event://{run}/{}", put.seq))));
                }
                let known = put.blob().is_some_and(|(hash, _)| spoken_of(&hash));
                if known {
                    puts.push(put);
                }
            }
            Visit::Continue(())
        })?;
        let facts = finish(store, &run, |row| reader.finish(row))?;
        let sound = facts.is_clean();
        if !sound && !unclear.is_empty() {
            let why = facts.findings.first().map(|finding| finding.reason.msg.clone()).unwrap_or_default();
            let msg = format!("what it speaks of is left alone, as the run does not verify: {why}");
            plan.problem(Reason::new("EVIDENCE_MALFORMED", msg).at(format!("run://{run}")));
        }
        for hash in unclear {
            if let Some(candidate) = live.get_mut(&hash) {
                candidate.held |= held;
                candidate.unclear |= !sound;
            }
        }
        for (hashes, reason) in malformed.into_iter().filter(|(hashes, _)| !hashes.is_empty()) {
            plan.problem(reason);
            for hash in hashes {
                live.entry(hash).and_modify(|candidate| candidate.unclear = true);
            }
        }
        for put in puts {
            let Some(candidate) = put.blob().and_then(|(hash, _)| live.get_mut(&hash)) else { continue };
            if put.ts.is_none() && !imports.contains(&run) {
                candidate.unclear = true;
                let msg = "what it speaks of is left alone: its ts is no instant";
                plan.problem(Reason::new("EVIDENCE_MALFORMED", msg).at(format!("event://{run}/{}", put.seq)));
            }
            candidate.used(retention, &put, imports, &run);
        }
    }
    Ok(())
}

impl Candidate {
    fn used(&mut self, retention: &Retention, put: &Evidence, imports: &Imports, run: &RunId) {
        let imported = imports.contains(run);
        if imported && self.together.is_own() {
            return;
        }
        self.together.add(put, None, imported);
        let at = if imported { imports.at(run) } else { put.ts };
        let key = put.key().unwrap_or_default();
        let ttl = retention.ttl_for_key(key).unwrap_or_else(|| retention.ttl_for_class(self.due.class));
        self.ttl = Some(self.ttl.map_or(ttl, |held| held.longer(ttl)));
        self.since = self.since.max(at);
    }
}
