//! Evidence that lies in parts, and evidence whose bytes were replaced: how a reader comes to the bytes there are today.
//!
//! Evidence over a size is put in parts, under a list that names them. `cat`, a scan and a redaction read such a list as its
//! parts one after the other, as a secret that lies over the border of two parts is in neither.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::Evidence;
use crate::read::evidence::ledger::{Row, removals};
use crate::read::evidence::receipt::Receipt;
use crate::read::evidence::removals::Removals;
use crate::read::imports::Imports;
use crate::store::{self, ReadTransaction, Visit};
use crate::write::PARTS_TYPE;
use receipt_core::envelope::EventType;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, RunId};
use receipt_core::json::{self, Limits, Value};
use receipt_core::run::RunReader;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// How often the blob that replaced another may have been replaced itself.
const REPLACED: usize = 64;

/// How many parts evidence may have. The longest list that is read, one of 64 MiB, names fewer.
const MOST: usize = 1 << 20;

/// A blob that is larger than this may be named once in a list. A recorder writes smaller parts; output that repeats
/// itself, as that of `yes`, is recorded as the same part again and again.
const LARGEST_AGAIN: u64 = 8 << 20;

/// How many bytes a scan or a redaction reads because lists name the same parts again.
const AGAIN: u64 = 16 << 30;

/// Evidence in parts, as it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The blobs that have its bytes, one after the other.
    pub blobs: Vec<BlobHash>,
    /// Whether one of them is sealed: then each has to be opened by itself.
    pub sealed: bool,
}

impl Ledger {
    /// The parts that a blob lists, each replaced by what redactions left of it; `None` for a blob that is no list. `run`
    /// is the run whose evidence is read; without one only receipts of runs recorded here count.
    ///
    /// # Errors
    /// [`Error::NotParts`]; [`Error::BlobUnavailable`] for a list whose bytes are gone or changed; if the store cannot be
    /// read.
    pub fn parts(&self, hash: &BlobHash, run: Option<&RunId>) -> Result<Option<Parts>> {
        let snapshot = self.look()?;
        let view = snapshot.view();
        let whole = Today::new(view.as_ref()).whole(hash, run)?;
        Ok(whole.map(|whole| Parts { sealed: whole.lens.values().any(|part| part.sealed), blobs: whole.blobs }))
    }

    /// The blob that has the bytes of this one today: itself, or the one that replaced it when secrets were taken out. `run`
    /// is the run whose evidence is read.
    ///
    /// A receipt counts if it excuses, for each event of that run that put the blob, that its bytes are gone; without a run
    /// that has put it, if a run that was recorded here says so.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn current(&self, hash: &BlobHash, run: Option<&RunId>) -> Result<BlobHash> {
        let snapshot = self.look()?;
        let view = snapshot.view();
        Today::new(view.as_ref()).current(hash, run)
    }
}

/// A list of parts, as it names them and as they lie.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// As the list has them.
    pub(super) named: Vec<BlobHash>,
    /// The blobs that have their bytes today.
    pub(super) blobs: Vec<BlobHash>,
    /// How the rows say that those blobs lie. It only selects the blobs that are read.
    lens: HashMap<BlobHash, PartRow>,
}

#[derive(Clone, Copy, Debug)]
struct PartRow {
    /// How many bytes lie there; `None` if none do.
    bytes_len: Option<u64>,
    sealed: bool,
}

impl Whole {
    /// How many of the parts lie open here, and how many there are.
    pub(super) fn open(&self) -> (usize, usize) {
        let open = self.lens.values().filter(|part| part.bytes_len.is_some() && !part.sealed).count();
        (open, self.lens.len())
    }

    /// Whether it can be looked into as the one text that it is.
    pub(super) fn is_open(&self) -> bool {
        let (open, all) = self.open();
        open == all
    }
}

/// How many bytes may still be read because lists name the same parts again. Each list could name each blob, and with as
/// many lists as blobs the reading would be quadratic.
#[derive(Debug)]
pub(super) struct Room {
    left: u64,
    read: HashSet<BlobHash>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { left: AGAIN, read: HashSet::new() }
    }

    /// Whether the parts can be read one after the other. If so, it is taken that they are.
    pub(super) fn takes(&mut self, whole: &Whole) -> bool {
        let len = |part: &BlobHash| whole.lens.get(part).and_then(|part| part.bytes_len).unwrap_or(0);
        let total = whole.blobs.iter().fold(0_u64, |sum, part| sum.saturating_add(len(part)));
        let new: u64 = whole.lens.keys().filter(|part| !self.read.contains(*part)).map(len).sum();
        let again = total.saturating_sub(new);
        if again > self.left {
            return false;
        }
        self.left -= again;
        self.read.extend(whole.lens.keys());
        true
    }
}

/// Where the bytes of evidence lie at one instant. The receipts are read once, and only if bytes are gone.
pub(super) struct Today<'s> {
    store: &'s dyn ReadTransaction,
    removals: Option<Removals>,
    /// The events of the runs that are read, by the blobs that they put.
    puts: HashMap<RunId, HashMap<BlobHash, Vec<Evidence>>>,
}

impl<'s> Today<'s> {
    pub(super) fn new(store: &'s dyn ReadTransaction) -> Self {
        Self { store, removals: None, puts: HashMap::new() }
    }

    /// As [`Ledger::current`] says.
    pub(super) fn current(&mut self, hash: &BlobHash, run: Option<&RunId>) -> Result<BlobHash> {
        let (mut at, mut run) = (*hash, run.cloned());
        for _ in 0..REPLACED {
            let gone = match store::blob_state(self.store, &at) {
                BlobFact::Removed => true,
                // Evidence that was gone before its run was imported never had a row here.
                BlobFact::Missing => match &run {
                    Some(run) => self.removals()?.is_imported(run),
                    None => false,
                },
                _ => false,
            };
            let receipt = if gone { self.excuse(&at, run.as_ref())? } else { None };
            let Some((next, by)) = receipt.and_then(|receipt| Some((receipt.replaced_by?, receipt.run))) else { break };
            (at, run) = (next, Some(by));
        }
        Ok(at)
    }

    /// The receipt that excuses, for each event of the run that put the blob, that its bytes are gone.
    fn excuse(&mut self, hash: &BlobHash, run: Option<&RunId>) -> Result<Option<Receipt>> {
        if let Some(run) = run.filter(|run| !self.puts.contains_key(*run)) {
            self.puts.insert(run.clone(), puts_of(self.store, run)?);
        }
        self.removals()?;
        let Some(removals) = &self.removals else { return Ok(None) };
        let put = run.and_then(|run| Some((run, self.puts.get(run)?.get(hash)?)));
        let Some((run, puts)) = put else { return removals.excuse(self.store, hash, None) };
        let mut found = None;
        for put in puts {
            found = removals.excuse(self.store, hash, Some(put.by(run)))?;
            if found.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn removals(&mut self) -> Result<&Removals> {
        let read = match self.removals.take() {
            Some(read) => read,
            None => removals(self.store, &Arc::new(Imports::read(self.store)?))?,
        };
        Ok(self.removals.insert(read))
    }

    /// A list with its parts; `None` for a blob that is no list. The parts are read for the run whose evidence the list is.
    pub(super) fn whole(&mut self, hash: &BlobHash, run: Option<&RunId>) -> Result<Option<Whole>> {
        let Some(named) = self.listed(hash)? else { return Ok(None) };
        let not = |problem| Error::NotParts { blob: hash.to_string(), problem };
        let blobs = self.resolved(&named, run)?.ok_or_else(|| not("it has more parts than can be read"))?;
        let (mut lens, mut again) = (HashMap::new(), 0);
        for part in &blobs {
            if let Some(known) = lens.get(part) {
                let PartRow { bytes_len, .. } = known;
                again = again.max(bytes_len.unwrap_or(0));
            } else {
                lens.insert(*part, lies(self.store, part)?);
            }
        }
        if again > LARGEST_AGAIN {
            return Err(not("it names a part of more than 8 MiB twice"));
        }
        Ok(Some(Whole { named, blobs, lens }))
    }

    /// The parts as the list has them. Its media type, a column of its row, selects what is read as a list; what is in it
    /// is hashed.
    pub(super) fn listed(&self, hash: &BlobHash) -> Result<Option<Vec<BlobHash>>> {
        if !Row::read(self.store, hash)?.is_of_type(PARTS_TYPE) {
            return Ok(None);
        }
        let list = json::parse(&store::blob_bytes(self.store, hash)?, Limits::READ).unwrap_or_default();
        let parts = list.get("parts").and_then(Value::as_array).and_then(|parts| {
            let hash = |part: &Value| BlobHash::parse_bytes(part.get("sha256")?.as_str()?.as_bytes());
            parts.iter().map(hash).collect::<Option<Vec<_>>>()
        });
        parts.map(Some).ok_or_else(|| Error::NotParts { blob: hash.to_string(), problem: "it does not name its parts" })
    }

    /// The blobs that have the bytes of these parts today; `None` if they are too many. A redaction puts evidence in parts
    /// anew and has one list replace each old part: that list is read in their place, once for those that are neighbours.
    fn resolved(&mut self, named: &[BlobHash], run: Option<&RunId>) -> Result<Option<Vec<BlobHash>>> {
        let mut known: HashMap<BlobHash, (BlobHash, Option<Vec<BlobHash>>)> = HashMap::new();
        let mut blobs = named.to_vec();
        for _ in 0..REPLACED {
            let (mut next, mut before, mut again) = (Vec::with_capacity(blobs.len()), None, false);
            for part in &blobs {
                if !known.contains_key(part) {
                    let current = self.current(part, run)?;
                    let list = if current == *part { None } else { self.replacing(&current)? };
                    known.insert(*part, (current, list));
                }
                let Some((current, list)) = known.get(part) else { continue };
                match list {
                    Some(_) if before == Some(*current) => {}
                    Some(list) => {
                        again = true;
                        next.extend_from_slice(list);
                    }
                    None => next.push(*current),
                }
                before = Some(*current);
                if next.len() > MOST {
                    return Ok(None);
                }
            }
            blobs = next;
            if !again {
                break;
            }
        }
        Ok(Some(blobs))
    }

    /// The parts of a list that replaced a part, if it is a list that can be read.
    fn replacing(&self, hash: &BlobHash) -> Result<Option<Vec<BlobHash>>> {
        readable(self.listed(hash)).map(Option::flatten)
    }
}

/// Nothing of a list that cannot be read as one: then its parts stand for themselves.
pub(super) fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::NotParts { .. } | Error::BlobUnavailable { .. } | Error::BlobNotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lies(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<PartRow> {
    let mut found = PartRow { bytes_len: None, sealed: false };
    store.blob(hash, &mut |row| {
        let sealed = row.evidence_class.as_str() == Some(EvidenceClass::Sealed.as_str());
        found = PartRow { bytes_len: row.stored_len, sealed };
    })?;
    Ok(found)
}

/// The blobs that a run put, each with the events that did.
fn puts_of(store: &dyn ReadTransaction, run: &RunId) -> Result<HashMap<BlobHash, Vec<Evidence>>> {
    let (mut puts, mut reader) = (HashMap::<_, Vec<_>>::new(), RunReader::new(run.clone()));
    store.events(run, &mut |row| {
        let put = reader.read(row).filter(|event| event.event_type == EventType::EvidencePut);
        let put = put.map(|put| Evidence::of(&put));
        if let Some((put, (hash, _))) = put.and_then(|put| put.blob().map(|blob| (put, blob))) {
            puts.entry(hash).or_default().push(put);
        }
        Visit::Continue(())
    })?;
    Ok(puts)
}

/// Every blob that there is a row of; `strange` is called for one whose address is no hash.
pub(super) fn all_blobs(store: &dyn ReadTransaction, strange: &mut dyn FnMut()) -> Result<BTreeSet<BlobHash>> {
    let mut blobs = BTreeSet::new();
    store.blobs(&mut |id| {
        match id.text().and_then(BlobHash::parse_bytes) {
            Some(hash) => _ = blobs.insert(hash),
            None => strange(),
        }
        Visit::Continue(())
    })?;
    Ok(blobs)
}
