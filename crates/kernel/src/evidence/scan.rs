//! Today's rules over the stored texts: secrets that were recorded before a rule knew them.
//!
//! A scan reads evidence in parts as `cat` shows it, the parts one after the other, so that it finds a secret over the border of
//! two. Then it reads each blob alone, as whoever has its address can: a part may show what the text as one hides, if the
//! end of the part before makes another word of it. A secret that both show is one finding.
//!
//! A blob's bytes can be replaced ([`Ledger::redact`]). Events are never changed: a secret in one has to be revoked where it
//! is valid.

use super::parts::{Room, Today, Whole, all_blobs};
use super::ranges::{Joined, Ranges};
use super::redact::{Hit, Redactor, Report, Scanned as Looked};
use super::replace::range_of;
use crate::bundle::proof_name;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, SETTINGS};
use crate::read::evidence::ledger::Row;
use crate::read::run::{finish, has_row};
use crate::store::{self, ReadTransaction, Visit};
use crate::write::PARTS_TYPE;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, EventRef, RunId};
use receipt_core::json::{self, Limits, Value};
use receipt_core::run::{Event, RunReader};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a blob's bytes; of a list of parts, in the text that its parts make, or in the list itself.
    Blob(BlobHash),
    /// In an event, which cannot be changed.
    Event(EventRef),
    /// In a setting of the ledger, by its name.
    Setting(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(hash) => BlobRef(*hash).fmt(f),
            Self::Event(event) => event.fmt(f),
            Self::Setting(name) => write!(f, "setting {name}"),
        }
    }
}

/// A secret that lies open in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where it is.
    pub place: Place,
    /// The rule that found it.
    pub rule: Arc<str>,
    /// In a blob, where it begins and how many characters it has.
    pub at: Option<(u64, u64)>,
}

/// The result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The secrets, in the order of the runs and events, then of the blobs.
    pub findings: Vec<Finding>,
    /// How many more there are in blobs that are so full of them that not all are listed.
    pub more: u64,
    /// The places that could not be looked into, and why.
    pub unscanned: Vec<(String, String)>,
    /// How often an exception of the rules was used.
    pub allowed: u64,
    /// How many events were scanned.
    pub events: u64,
    /// How many blobs were.
    pub blobs: u64,
    /// The digest of the rules.
    pub rules: String,
}

impl Ledger {
    /// Looks for secrets, at one instant: in these runs and their evidence, or with none named in the whole ledger, its
    /// settings among it.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RulesInvalid`]; if the store cannot be read.
    pub fn scan(&self, runs: &[RunId]) -> Result<Scanned> {
        let redactor = self.redactor()?;
        let snapshot = self.look()?;
        let view = snapshot.view();
        let scanned = Scanned { rules: redactor.digest().to_owned(), ..Scanned::default() };
        let mut scan = Scan { store: view.as_ref(), redactor: &redactor, scanned, parts: HashMap::new() };
        let (mut blobs, mut all) = (BTreeSet::new(), runs.to_vec());
        if all.is_empty() {
            scan.store.runs(&mut |id, _| {
                all.extend(id.as_str().map(RunId::new));
                Visit::Continue(())
            })?;
            let strange = ("a blob".to_owned(), "its address is no hash".to_owned());
            blobs = all_blobs(scan.store, &mut || scan.scanned.unscanned.push(strange.clone()))?;
            scan.settings(&all)?;
        }
        for run in &all {
            scan.run(run, &mut blobs)?;
        }
        let lists = scan.lists(&blobs)?;
        blobs.extend(lists);
        for blob in &blobs {
            scan.blob(blob)?;
        }
        Ok(scan.scanned)
    }
}

/// A part of evidence that was read as one text.
#[derive(Debug, Default)]
struct Part {
    /// Where secrets were found in it.
    found: Ranges,
    /// Whether the text as one was reported as not scanned.
    unscanned: bool,
}

struct Scan<'s> {
    store: &'s dyn ReadTransaction,
    redactor: &'s Redactor,
    scanned: Scanned,
    /// The parts of the lists that were read as one.
    parts: HashMap<BlobHash, Part>,
}

impl Scan<'_> {
    /// The settings of the ledger, and the proofs that came with imported runs.
    fn settings(&mut self, runs: &[RunId]) -> Result<()> {
        let names = SETTINGS.iter().map(|name| (*name).to_owned()).chain(runs.iter().map(proof_name));
        for name in names {
            let Some(text) = self.store.setting(&name)? else { continue };
            let (place, scanned) = (Place::Setting(name), &mut self.scanned);
            let found = |rule: &Arc<str>, at| Finding { place: place.clone(), rule: Arc::clone(rule), at };
            match json::parse(text.as_bytes(), Limits::READ) {
                // A text, as that of the ledger's own rules, is looked into as text.
                Ok(Value::String(text)) => {
                    let report = self.redactor.redact(text.as_bytes()).1;
                    let hits = report.hits.iter().map(|hit| found(&hit.pattern_name, Some((hit.offset, hit.length))));
                    scanned.findings.extend(hits);
                }
                Ok(value) => {
                    let mut whole = [("value", value)].into_iter().collect();
                    self.redactor.redact_object_by(&mut whole, &mut |rule| scanned.findings.push(found(rule, None)));
                }
                Err(_) => scanned.unscanned.push((place.to_string(), "it cannot be read".to_owned())),
            }
        }
        Ok(())
    }

    fn run(&mut self, run: &RunId, blobs: &mut BTreeSet<BlobHash>) -> Result<()> {
        let (redactor, scanned) = (self.redactor, &mut self.scanned);
        let mut reader = RunReader::new(run.clone());
        self.store.events(run, &mut |row| {
            let Some(envelope) = reader.read(row) else { return Visit::Continue(()) };
            let event = Event::from_envelope(&envelope);
            scanned.events += 1;
            let place = Place::Event(EventRef { run_id: run.clone(), seq: event.seq });
            blobs.extend(event.blobs().filter_map(|blob| Some(BlobRef::parse(blob.as_str()?)?.0)));
            // Actors and the other members beside the payload too.
            match json::parse(&event.text, Limits::READ) {
                Ok(Value::Object(mut envelope)) => {
                    let found = |rule: &Arc<str>| {
                        scanned.findings.push(Finding { place: place.clone(), rule: Arc::clone(rule), at: None });
                    };
                    redactor.redact_object_by(&mut envelope, &mut { found });
                }
                _ => scanned.unscanned.push((place.to_string(), "it cannot be read".to_owned())),
            }
            Visit::Continue(())
        })?;
        let facts = finish(self.store, run, |row| reader.finish(row))?;
        if facts.events == 0 && !has_row(self.store, run)? {
            return Err(Error::no_run(run.as_str()));
        }
        if facts.unreadable > 0 {
            let problem = format!("{} of its events cannot be read", facts.unreadable);
            self.scanned.unscanned.push((format!("run {run}"), problem));
        }
        Ok(())
    }

    /// The lists of parts among these blobs, each as the one text that it is; one after the other, as they may be long. Gives
    /// the blobs that have the bytes of the parts.
    fn lists(&mut self, blobs: &BTreeSet<BlobHash>) -> Result<HashSet<BlobHash>> {
        let (mut today, mut room, mut all) = (Today::new(self.store), Room::new(), HashSet::new());
        for list in blobs {
            let row = Row::read(self.store, list)?;
            if !row.is_of_type(PARTS_TYPE) || store::blob_state(self.store, list) == BlobFact::Removed {
                continue;
            }
            let why = match today.whole(list, None) {
                Ok(Some(whole)) => {
                    all.extend(&whole.blobs);
                    self.list(list, &whole, &mut room)?
                }
                Ok(None) | Err(Error::BlobNotFound { .. }) => None,
                Err(Error::NotParts { problem, .. }) => Some(problem.to_owned()),
                Err(Error::BlobUnavailable { problem, .. }) => Some(problem),
                Err(error) => return Err(error),
            };
            if let Some(why) = why {
                self.skip(list, &format!("its parts were not looked into as one text: {why}"));
            }
        }
        Ok(all)
    }

    /// Gives why it was not read as one, if that has to be said.
    fn list(&mut self, list: &BlobHash, whole: &Whole, room: &mut Room) -> Result<Option<String>> {
        match whole.open() {
            // Each of them is named by itself, if it is sealed.
            (0, _) => return Ok(None),
            (open, parts) if open < parts => return Ok(Some(format!("{open} of {parts} lie open here"))),
            _ if room.takes(whole) => {}
            _ => return Ok(Some("the same parts are named too often".to_owned())),
        }
        let Some((joined, report)) = self.bytes(list, &whole.blobs)? else { return Ok(None) };
        let unscanned = !report.scanned.is_whole();
        for blob in &whole.blobs {
            self.parts.entry(*blob).or_default().unscanned |= unscanned;
        }
        for hit in &report.hits {
            let shares: Vec<_> = joined.shares(range_of(hit)).collect();
            let known = match &shares[..] {
                // Another list that names the part has shown it, or an earlier place in this one.
                [(index, share)] => self.part(whole, *index).found.touch(share),
                _ => false,
            };
            if !known {
                self.find(list, hit);
            }
            for (index, share) in shares {
                self.part(whole, index).found.add(share);
            }
        }
        // The others are counted, and not counted again when a part is read alone.
        if report.more_hits > 0 {
            let listed = report.hits.last().map_or(0, |hit| range_of(hit).end);
            for (index, share) in joined.shares(listed..joined.len()) {
                self.part(whole, index).found.add(share);
            }
        }
        self.count(list, &report);
        Ok(None)
    }

    fn part(&mut self, whole: &Whole, index: usize) -> &mut Part {
        self.parts.entry(whole.blobs[index]).or_default()
    }

    /// A blob alone.
    fn blob(&mut self, hash: &BlobHash) -> Result<()> {
        let row = Row::read(self.store, hash)?;
        match store::blob_state(self.store, hash) {
            // There are no bytes here: they were removed, or recorded by their digest alone, or are missing.
            BlobFact::Expired | BlobFact::Removed | BlobFact::Missing | BlobFact::Elsewhere => return Ok(()),
            BlobFact::Malformed { problem } | BlobFact::Unreadable { problem } => {
                self.skip(hash, &problem);
                return Ok(());
            }
            // Bytes that are not those that were put may hold a secret all the same.
            BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Corrupt => {}
        }
        if row.record(hash).is_some_and(|record| record.class == EvidenceClass::Sealed) {
            self.skip(hash, "sealed");
            return Ok(());
        }
        let Some((_, mut report)) = self.bytes(hash, std::slice::from_ref(hash))? else { return Ok(()) };
        self.scanned.blobs += 1;
        if let Some(part) = self.parts.get(hash) {
            report.hits.retain(|hit| !part.found.touch(&range_of(hit)));
            if part.unscanned {
                report.scanned = Looked::default();
            }
            report = Report { hits: report.hits, scanned: report.scanned, ..Report::default() };
        }
        for hit in &report.hits {
            self.find(hash, hit);
        }
        self.count(hash, &report);
        Ok(())
    }

    /// The bytes of these blobs, one after the other, looked into; `None` if they cannot be read.
    fn bytes(&mut self, of: &BlobHash, blobs: &[BlobHash]) -> Result<Option<(Joined, Report)>> {
        let (mut stream, mut out, mut joined) = (self.redactor.stream(), Vec::new(), Joined::default());
        for blob in blobs {
            let mut len = 0;
            let read = self.store.blob_bytes(blob, &mut |piece| {
                len += piece.len() as u64;
                stream.push(piece, &mut out);
                out.clear();
            });
            match read {
                Err(Error::BlobUnavailable { problem, .. }) => {
                    self.skip(of, &problem);
                    return Ok(None);
                }
                read => read?,
            }
            joined.push(len);
        }
        Ok(Some((joined, stream.finish(&mut out))))
    }

    fn find(&mut self, blob: &BlobHash, hit: &Hit) {
        let (rule, at) = (Arc::clone(&hit.pattern_name), Some((hit.offset, hit.length)));
        self.scanned.findings.push(Finding { place: Place::Blob(*blob), rule, at });
    }

    fn count(&mut self, blob: &BlobHash, report: &Report) {
        self.scanned.allowed += report.left() as u64;
        self.scanned.more += report.more_hits as u64;
        if let Some(why) = report.scanned.why() {
            self.skip(blob, why);
        }
    }

    fn skip(&mut self, blob: &BlobHash, why: &str) {
        self.scanned.unscanned.push((Place::Blob(*blob).to_string(), why.to_owned()));
    }
}
