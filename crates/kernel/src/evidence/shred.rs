//! Who evidence is sealed to, and the receipt for a key that was destroyed.
//!
//! Whoever seals each period to a key of its own can destroy the period in every copy there is, backups among them, by
//! destroying that key: the ciphertexts stay, the chains stay provable, and nobody can read them any more.

use super::name_of;
use super::seal::Recipients;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::imports::Imports;
use crate::read::maintenance::Kind;
use crate::read::run::finish;
use crate::store::{ReadTransaction, Scope, Visit};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, Envelope, EventType, Scratch};
use receipt_core::id::{BlobHash, BlobRef, RunId, Seq};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::{EvidencePut, RunStart, Shred};
use receipt_core::run::RunReader;
use std::collections::BTreeSet;

/// Under which name the ledger keeps its recipients.
const SETTING: &str = "recipients";

/// How many blobs one event names.
const BLOBS: usize = 4096;

/// What a destroyed key leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shredded {
    /// The run that has the receipt.
    pub run_id: RunId,
    /// How many blobs nobody can open any more.
    pub lost: u64,
    /// How many others can still open, because they are sealed to another key too.
    pub open_to_others: u64,
}

impl Ledger {
    /// Who this ledger's sealed evidence is sealed to, where somebody has said so.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] where what is stored is none; where the store cannot be read.
    pub fn recipients(&self) -> Result<Option<Recipients>> {
        let names = self.recipient_names()?;
        if names.is_empty() { Ok(None) } else { Recipients::parse(names.iter().map(String::as_str)).map(Some) }
    }

    fn recipient_names(&self) -> Result<Vec<String>> {
        read_names(self.look()?.view().as_ref())
    }

    /// Seals what is put from now on to these too, and gives all of them.
    ///
    /// # Errors
    /// As [`Recipients::parse`]; [`Error::BadRecipient`] for one that was shredded; where the store cannot be written.
    pub fn add_recipients<'l>(&self, lines: impl IntoIterator<Item = &'l str>) -> Result<Vec<String>> {
        let added = Recipients::parse(lines)?;
        let destroyed = shredded(self.look()?.view().as_ref())?;
        if added.names().iter().any(|name| destroyed.contains(name)) {
            return Err(Error::BadRecipient {
                problem: "its key is on record as destroyed: make a new one".to_owned(),
            });
        }
        self.change_recipients(|names| names.extend(added.names().iter().cloned()))
    }

    /// Seals what is put from now on to this one no more, and gives those that are left.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] where it is none of them; where the store cannot be written.
    pub fn remove_recipient(&self, name: &str) -> Result<Vec<String>> {
        let name = name_of(name);
        if !self.recipient_names()?.contains(&name) {
            let problem = "it is none of this ledger's".to_owned();
            return Err(Error::BadRecipient { problem });
        }
        self.change_recipients(|names| {
            names.remove(&name);
        })
    }

    fn change_recipients(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<Vec<String>> {
        self.transact(Scope::Ledger, |transaction| {
            let mut names: BTreeSet<String> = read_names(transaction)?.into_iter().collect();
            change(&mut names);
            let names: Vec<String> = names.into_iter().collect();
            let json = canonical::to_bytes(&Value::from(names.clone()), Limits::WRITE)?;
            transaction.set(SETTING, &String::from_utf8_lossy(&json))?;
            Ok(names)
        })
    }

    /// Records that the private half of a key has been destroyed: which blobs nobody can open any more. Nothing more is
    /// sealed to it. Whether the key is in fact destroyed the ledger cannot know; the event is its owner's word.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] where nothing was ever sealed to it; where the store cannot be read or written.
    pub fn shred(&self, name: &str, reason: &str, actor: &Actor) -> Result<Shredded> {
        let name = &name_of(name)[..];
        let (lost, open_to_others) = sealed_to(self.look()?.view().as_ref(), name)?;
        if lost.is_empty() && open_to_others.is_empty() {
            let problem = "nothing in this ledger is sealed to it; the event that put a blob names who it is sealed to"
                .to_owned();
            return Err(Error::BadRecipient { problem });
        }
        if self.recipient_names()?.iter().any(|held| held == name) {
            self.remove_recipient(name)?;
        }
        let meta = Object::from_iter([("recipient", name)]);
        let mut run = self.maintain(Kind::Shred, actor, &meta)?;
        run.advance("COLLECT", "the key was destroyed")?;
        run.transact(|run| run.judge("nothing to collect"))?;
        let shred = Shred { recipient: name.to_owned() };
        let payload = |lost: usize| shred.to_object(reason, [lost, open_to_others.len()]);
        let lost: Vec<BlobRef> = lost.into_iter().map(BlobRef).collect();
        let chunks = lost.chunks(BLOBS).chain(lost.is_empty().then_some(&[][..]));
        // The blobs are those that events name: the receipt is written, whatever has become of their rows.
        run.transact_alone(|run| {
            for blobs in chunks {
                let payload = run.gate().object(payload(blobs.len()));
                run.write(&run.draft(EventType::Decision, payload).blobs(blobs.iter().copied()))?;
            }
            Ok(())
        })?;
        run.finalize("the key was destroyed")?;
        let (lost, open_to_others) = (lost.len() as u64, open_to_others.len() as u64);
        Ok(Shredded { run_id: run.run_id().clone(), lost, open_to_others })
    }
}

fn read_names(store: &dyn ReadTransaction) -> Result<Vec<String>> {
    let Some(text) = store.setting(SETTING)? else { return Ok(Vec::new()) };
    let value = json::parse(text.as_bytes(), Limits::READ)?;
    let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    names.flatten().ok_or_else(|| Error::BadRecipient { problem: "the ledger's list of them is none".to_owned() })
}

/// The recipients whose keys are on record as destroyed: a decision of a run says so that was recorded here and verifies. A
/// run that could hold one names the key in its first event.
fn shredded(store: &dyn ReadTransaction) -> Result<BTreeSet<String>> {
    let (mut runs, mut found) = (Vec::new(), BTreeSet::new());
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    let imports = Imports::read(store)?;
    for run in runs {
        let mut named = None;
        store.event(&run, Seq::FIRST, &mut |row| named = row.envelope_json.text().and_then(recipient_of))?;
        let Some(named) = named.filter(|_| !imports.contains(&run)) else { continue };
        let mut reader = RunReader::new(run.clone());
        let mut says = false;
        store.events(&run, &mut |row| {
            let decision = reader.read(row).filter(|it| it.event_type == EventType::Decision);
            let shred = decision.and_then(|it| Shred::parse(it.payload_json()));
            says |= shred.is_some_and(|shred| shred.recipient == named);
            Visit::Continue(())
        })?;
        if says && finish(store, &run, |row| reader.finish(row))?.is_clean() {
            found.insert(named);
        }
    }
    Ok(found)
}

/// The key that a RUN_START names in its meta.
fn recipient_of(text: &[u8]) -> Option<String> {
    memchr::memmem::find(text, b"\"recipient\"")?;
    let mut scratch = Scratch::default();
    let envelope = Envelope::read(text, &mut scratch).ok()?;
    RunStart::text_of_meta(envelope.payload_json(), "recipient")
}

/// The blobs that only this recipient can open, and those that others can open too: others whose keys are not on record as
/// destroyed.
fn sealed_to(store: &dyn ReadTransaction, name: &str) -> Result<(BTreeSet<BlobHash>, BTreeSet<BlobHash>)> {
    let mut runs = Vec::new();
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    let gone = shredded(store)?;
    let imports = Imports::read(store)?;
    // What an imported run says of a blob counts only if no run recorded here has put it.
    runs.sort_by_key(|run| imports.contains(run));
    let (mut alone, mut shared, mut own) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for run in runs {
        let imported = imports.contains(&run);
        store.events(&run, &mut |row| {
            let mut scratch = Scratch::default();
            let envelope = row.envelope_json.text().and_then(|text| Envelope::read(text, &mut scratch).ok());
            let put = envelope.filter(|envelope| envelope.event_type == EventType::EvidencePut);
            let found = put.and_then(|put| {
                let (named, others): (Vec<_>, Vec<_>) = EvidencePut::recipients_of(put.payload_json())
                    .partition(|recipient| recipient.as_deref() == Some(name));
                let left = others.iter().flatten().filter(|other| !gone.contains(*other)).count();
                let left = left + others.iter().filter(|other| other.is_none()).count();
                named.first()?;
                Some((EvidencePut::of_envelope(&put).hash.ok()?, left))
            });
            let Some((hash, left)) = found.filter(|(hash, _)| !imported || !own.contains(hash)) else {
                return Visit::Continue(());
            };
            if !imported {
                own.insert(hash);
            }
            if left == 0 {
                alone.insert(hash)
            } else {
                shared.insert(hash)
            };
            Visit::Continue(())
        })?;
    }
    Ok((alone, shared))
}
