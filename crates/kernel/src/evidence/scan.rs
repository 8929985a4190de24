//! Today's rules over what is stored already: secrets that were recorded before a rule knew them.
//!
//! A scan sees evidence as whoever reads it: parts one after the other, so that a secret over the border of two is found.
//! A blob's bytes can be replaced ([`Ledger::redact`]). What an event says stays there, as events are never changed: a secret
//! in one has to be revoked where it is valid.

use super::redact::{Hit, Redactor};
use crate::bundle::proof_name;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, SETTINGS};
use crate::store::Visit;
use receipt_core::evidence::{BlobFact, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, EventRef, RunId};
use receipt_core::json::{self, Limits, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a blob's bytes; in those of its parts, where it is a list of parts.
    Blob(BlobHash),
    /// In an event, which cannot be changed.
    Event(EventRef),
    /// In what the ledger is set to, by the name of the setting.
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
    /// Where.
    pub place: Place,
    /// The rule that found it.
    pub rule: Arc<str>,
    /// In a blob, where it begins and how many characters it has.
    pub at: Option<(u64, u64)>,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The secrets, in the order of the runs and events, then of the blobs.
    pub findings: Vec<Finding>,
    /// How many more there are in blobs that are so full of them that not all are listed.
    pub more: u64,
    /// What could not be looked into, and why.
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
    /// Looks for secrets in what is stored: in these runs and their evidence, or with none named in all there is, the
    /// ledger's settings among it.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RulesInvalid`]; where the store cannot be read.
    pub fn scan(&self, runs: &[RunId]) -> Result<Scanned> {
        let redactor = self.redactor()?;
        let mut scanned = Scanned { rules: redactor.digest().to_owned(), ..Scanned::default() };
        let mut blobs = BTreeSet::new();
        let mut all = runs.to_vec();
        if all.is_empty() {
            self.run_ids(&mut |run, _| {
                all.push(run);
                Visit::Continue(())
            })?;
            let strange = ("a blob".to_owned(), "its address is no hash".to_owned());
            blobs = self.all_blobs(&mut || scanned.unscanned.push(strange.clone()))?;
            self.scan_settings(&redactor, &all, &mut scanned)?;
        }
        for run in &all {
            self.scan_run(&redactor, run, &mut scanned, &mut blobs)?;
        }
        // What can be read as one is read as one, and not again in parts.
        let mut whole = BTreeSet::new();
        let lists = self.lists(&blobs)?;
        let parts: Vec<BlobHash> = lists.iter().flat_map(|(_, parts)| parts).copied().collect();
        let mut today = self.currents(&parts)?.into_iter();
        for (list, parts) in lists {
            let current: Vec<BlobHash> = today.by_ref().take(parts.len()).collect();
            if self.are_open(&current)? {
                self.scan_bytes(&redactor, &list, &current, &mut scanned)?;
                scanned.blobs += 1;
                whole.insert(list);
                whole.extend(parts.into_iter().chain(current));
            }
        }
        for hash in blobs.difference(&whole) {
            self.scan_blob(&redactor, hash, &mut scanned)?;
        }
        Ok(scanned)
    }

    /// What the ledger is set to, and the proofs that came with imported runs.
    fn scan_settings(&self, redactor: &Redactor, runs: &[RunId], scanned: &mut Scanned) -> Result<()> {
        let snapshot = self.look()?;
        let store = snapshot.view();
        let names = SETTINGS.iter().map(|name| (*name).to_owned()).chain(runs.iter().map(proof_name));
        for name in names {
            let Some(text) = store.setting(&name)? else { continue };
            let place = Place::Setting(name);
            let found = |rule: &Arc<str>, at| Finding { place: place.clone(), rule: Arc::clone(rule), at };
            match json::parse(text.as_bytes(), Limits::READ) {
                // A text, as that of the ledger's own rules, is looked into as text.
                Ok(Value::String(text)) => {
                    let report = redactor.redact(text.as_bytes()).1;
                    let hits = report.hits.iter().map(|hit| found(&hit.pattern_name, Some((hit.offset, hit.length))));
                    scanned.findings.extend(hits);
                }
                Ok(value) => {
                    let mut whole = [("value", value)].into_iter().collect();
                    redactor.redact_object_by(&mut whole, &mut |rule| scanned.findings.push(found(rule, None)));
                }
                Err(_) => scanned.unscanned.push((place.to_string(), "it cannot be read".to_owned())),
            }
        }
        Ok(())
    }

    /// Whether the bytes of all of these lie open here.
    fn are_open(&self, blobs: &[BlobHash]) -> Result<bool> {
        for hash in blobs {
            match self.blob_record(hash) {
                Ok((Some(record), BlobFact::Intact { .. } | BlobFact::TooLarge { .. }))
                    if record.class != EvidenceClass::Sealed => {}
                Ok(_) | Err(Error::BlobNotFound { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn scan_run(
        &self,
        redactor: &Redactor,
        run: &RunId,
        scanned: &mut Scanned,
        blobs: &mut BTreeSet<BlobHash>,
    ) -> Result<()> {
        let facts = self.events(run.as_str(), &mut |event| {
            scanned.events += 1;
            let place = Place::Event(EventRef { run_id: run.clone(), seq: event.seq });
            blobs.extend(event.blobs().filter_map(|blob| Some(BlobRef::parse(blob.as_str()?)?.0)));
            // Actors and what else there is beside the payload too.
            match json::parse(&event.text, Limits::READ) {
                Ok(Value::Object(mut envelope)) => {
                    let found = |rule: &Arc<str>| {
                        scanned.findings.push(Finding { place: place.clone(), rule: Arc::clone(rule), at: None });
                    };
                    redactor.redact_object_by(&mut envelope, &mut { found });
                }
                _ => scanned.unscanned.push((place.to_string(), "it cannot be read".to_owned())),
            }
        })?;
        if facts.unreadable > 0 {
            let problem = format!("{} of its events cannot be read", facts.unreadable);
            scanned.unscanned.push((format!("run {run}"), problem));
        }
        Ok(())
    }

    fn scan_blob(&self, redactor: &Redactor, hash: &BlobHash, scanned: &mut Scanned) -> Result<()> {
        let place = Place::Blob(*hash);
        let mut skip = |why: &str| scanned.unscanned.push((place.to_string(), why.to_owned()));
        let (record, fact) = match self.blob_record(hash) {
            Ok((record, fact)) => (record, fact),
            // Recorded by its digest alone, or missing: there are no bytes here.
            Err(Error::BlobNotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match fact {
            BlobFact::Expired | BlobFact::Removed | BlobFact::Missing | BlobFact::Elsewhere => return Ok(()),
            BlobFact::Malformed { problem } | BlobFact::Unreadable { problem } => {
                skip(&problem);
                return Ok(());
            }
            // What is not what was put may hold a secret all the same.
            BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Corrupt => {}
        }
        if record.is_some_and(|record| record.class == EvidenceClass::Sealed) {
            skip("sealed");
            return Ok(());
        }
        self.scan_bytes(redactor, hash, &[*hash], scanned)
    }

    /// The bytes of these blobs, one after the other, which are those of the evidence at an address.
    fn scan_bytes(
        &self,
        redactor: &Redactor,
        hash: &BlobHash,
        blobs: &[BlobHash],
        scanned: &mut Scanned,
    ) -> Result<()> {
        let place = Place::Blob(*hash);
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        for blob in blobs {
            let read = self.look()?.view().blob_bytes(blob, &mut |piece| {
                stream.push(piece, &mut out);
                out.clear();
            });
            if let Err(Error::BlobUnavailable { problem, .. }) = read {
                scanned.unscanned.push((place.to_string(), problem));
                return Ok(());
            }
            read?;
        }
        let report = stream.finish(&mut out);
        scanned.blobs += blobs.len() as u64;
        scanned.allowed += report.left() as u64;
        scanned.more += report.more_hits as u64;
        if let Some(why) = report.scanned.why() {
            scanned.unscanned.push((place.to_string(), why.to_owned()));
        }
        let finding =
            |hit: Hit| Finding { place: place.clone(), rule: hit.pattern_name, at: Some((hit.offset, hit.length)) };
        scanned.findings.extend(report.hits.into_iter().map(finding));
        Ok(())
    }
}
