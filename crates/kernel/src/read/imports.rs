//! Which runs of a ledger were imported: those that a run of this ledger says it imported.
//!
//! The record of an import is an ordinary run, whose RUN_START says under `maintenance` which run it was, how many events
//! it had and what the last of them hashed to. Taking such a record away takes a whole run away, as a checkpoint shows.
//! A stranger's run may hold such records too: they count for nothing, because that run is itself on record as imported. Two
//! runs cannot name each other, as each would have to hold the hash of the other.

use super::maintenance::{Kind, MAINTENANCE, maintenance};
use crate::error::Result;
use crate::read::head::sound_event;
use crate::store::{self, ReadTransaction, Visit};
use receipt_core::envelope::{Envelope, Scratch};
use receipt_core::id::{EventHash, RunId, Seq, Timestamp};
use receipt_core::json::{Object, Value};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Under which name a ledger has that runs were imported into it. It spares a writer a search; nothing else rests on it.
pub(crate) const IMPORTS: &str = "imports";

/// An imported run as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The run that says so.
    by: RunId,
    run: RunId,
    last: Seq,
    head: EventHash,
    /// When it was imported, where that is an instant.
    at: Option<Timestamp>,
}

/// The record of an import, as `maintenance` has it.
pub(crate) fn record(run: &RunId, events: u64, head: &EventHash) -> Object {
    Object::from_iter([
        ("run_id", Value::from(run.as_str())),
        ("events", events.into()),
        ("head", head.to_string().into()),
    ])
}

impl Import {
    pub(crate) fn of(by: &RunId, envelope: &Envelope<'_>) -> Option<Self> {
        let said = maintenance(envelope)?;
        if said.get("kind")?.as_str()? != Kind::Import.as_str() {
            return None;
        }
        Some(Self {
            by: by.clone(),
            run: RunId::new(said.get("run_id")?.as_str()?),
            last: Seq::new(said.get("events")?.as_i64()?)?,
            head: EventHash::parse_bytes(said.get("head")?.as_str()?.as_bytes())?,
            at: store::instant(envelope),
        })
    }

    /// Whether the run that is there is the one that was imported, at least as far as that went.
    fn holds(&self, store: &dyn ReadTransaction) -> Result<bool> {
        let mut holds = false;
        store.event(&self.run, self.last, &mut |row| {
            let mut scratch = Scratch::default();
            holds = sound_event(&self.run, row, &mut scratch).is_ok_and(|envelope| envelope.hash == self.head);
        })?;
        Ok(holds)
    }
}

/// The runs that were imported, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    runs: HashMap<RunId, Option<Timestamp>>,
    /// The runs that are the records of those.
    records: HashSet<RunId>,
    /// Records whose run is not there, or is another one.
    pub(crate) broken: Vec<(RunId, RunId)>,
}

impl Imports {
    /// Those of a ledger. The first event of each run is looked at, and mostly not hashed.
    pub(crate) fn read(store: &dyn ReadTransaction) -> Result<Self> {
        let (mut runs, mut found) = (Vec::new(), Vec::new());
        store.runs(&mut |id, _| {
            runs.extend(id.as_str().map(RunId::new));
            Visit::Continue(())
        })?;
        for run in runs {
            store.event(&run, Seq::FIRST, &mut |row| {
                let name = format!("\"{MAINTENANCE}\"");
                let text = row.envelope_json.text().unwrap_or_default();
                if memchr::memmem::find(text, name.as_bytes()).is_some() {
                    let mut scratch = Scratch::default();
                    let envelope = sound_event(&run, row, &mut scratch).ok();
                    found.extend(envelope.and_then(|envelope| Import::of(&run, &envelope)));
                }
            })?;
        }
        Self::settle(store, found)
    }

    /// Those of these records.
    pub(crate) fn settle(store: &dyn ReadTransaction, found: Vec<Import>) -> Result<Self> {
        let mut holding = Vec::with_capacity(found.len());
        for import in found {
            holding.push((import.holds(store)?, import));
        }
        let foreign = foreign(&holding);
        let mut imports = Self::default();
        for (holds, import) in &holding {
            if foreign.contains(&import.by) {
                continue;
            }
            imports.records.insert(import.by.clone());
            if *holds {
                let at = imports.runs.entry(import.run.clone()).or_insert(import.at);
                *at = (*at).max(import.at);
            } else {
                imports.broken.push((import.by.clone(), import.run.clone()));
            }
        }
        Ok(imports)
    }

    /// Whether a run was imported.
    pub(crate) fn contains(&self, run: &RunId) -> bool {
        self.runs.contains_key(run)
    }

    /// When a run's evidence came here, if the run was imported: whatever its own events say of time, a stranger wrote.
    pub(crate) fn at(&self, run: &RunId) -> Option<Timestamp> {
        self.runs.get(run).copied().flatten()
    }

    /// The imported runs and the records of their import.
    pub(crate) fn all(&self) -> BTreeSet<RunId> {
        self.runs.keys().chain(&self.records).cloned().collect()
    }
}

/// The runs that were imported: those that a record names which is not itself in an imported run. Each step from a run to
/// a record of it goes to a run that holds the hash of the one before, so that no way comes back to where it began.
fn foreign(imports: &[(bool, Import)]) -> HashSet<RunId> {
    let mut named: HashMap<&RunId, Vec<&RunId>> = HashMap::new();
    for (_, import) in imports.iter().filter(|(holds, _)| *holds) {
        named.entry(&import.run).or_default().push(&import.by);
    }
    let mut known: HashMap<&RunId, bool> = HashMap::new();
    for start in imports.iter().flat_map(|(_, import)| [&import.by, &import.run]) {
        let mut way = vec![(start, 0)];
        while let Some((run, next)) = way.last_mut() {
            let records = named.get(*run).map(Vec::as_slice).unwrap_or_default();
            match records.get(*next) {
                _ if known.contains_key(*run) && *next == 0 => _ = way.pop(),
                Some(by) => {
                    *next += 1;
                    known.entry(*run).or_insert(false);
                    if !known.contains_key(by) {
                        way.push((by, 0));
                    }
                }
                None => {
                    let counts = records.iter().any(|by| !known.get(by).copied().unwrap_or(false));
                    known.insert(*run, counts);
                    way.pop();
                }
            }
        }
    }
    known.into_iter().filter(|(_, foreign)| *foreign).map(|(run, _)| run.clone()).collect()
}
