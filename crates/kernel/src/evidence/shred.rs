//! The recipients that evidence is sealed to, and the receipt for a key that was destroyed.
//!
//! If each period is sealed to a key of its own, destroying that key destroys the period in every copy, backups among them:
//! the ciphertexts stay, the chains stay provable, and nobody can read them any more.

use super::name_of;
use super::seal::Recipients;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::head::sound_event;
use crate::read::imports::Imports;
use crate::read::maintenance::Kind;
use crate::read::run::finish;
use crate::store::{ReadTransaction, Scope, Visit, WriteTransaction};
use crate::write::{Clean, OpenRun};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, Envelope, EventType, Scratch};
use receipt_core::id::{BlobRef, RunId, Seq};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::{EvidencePut, RunStart, Shred};
use receipt_core::run::RunReader;
use receipt_core::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};

/// Under which name the ledger keeps its recipients.
const SETTING: &str = "recipients";

/// How many blobs one event names.
const BLOBS: usize = 4096;

/// The receipt for a destroyed key.
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
    /// The recipients that this ledger's sealed evidence is sealed to, if there are any.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] if the setting is no list of recipients; if the store cannot be read.
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
    /// As [`Recipients::parse`]; [`Error::BadRecipient`] for one that was shredded; if the store cannot be written.
    pub fn add_recipients<'l>(&self, lines: impl IntoIterator<Item = &'l str>) -> Result<Vec<String>> {
        let added = Recipients::parse(lines)?;
        self.transact(Scope::Ledger, |transaction| {
            let destroyed = shredded(transaction)?;
            if added.names().iter().any(|name| destroyed.contains(name)) {
                return Err(bad("its key is on record as destroyed: make a new one"));
            }
            change_names(transaction, |names| names.extend(added.names().iter().cloned()))
        })
    }

    /// Seals what is put from now on to this one no more, and gives those that are left.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] if it is none of them; if the store cannot be written.
    pub fn remove_recipient(&self, name: &str) -> Result<Vec<String>> {
        let name = name_of(name);
        self.transact(Scope::Ledger, |transaction| {
            if !read_names(transaction)?.contains(&name) {
                return Err(bad("it is none of this ledger's"));
            }
            change_names(transaction, |names| _ = names.remove(&name))
        })
    }

    /// Records that the private half of a key has been destroyed: which blobs nobody can open any more. Nothing more is
    /// sealed to it. Whether the key is in fact destroyed the ledger cannot know; the event is its owner's word.
    ///
    /// The recipient goes and the receipt is written in one transaction that keeps every writer out: each blob that is
    /// sealed to the key is on record before it, and is in the receipt, or is refused after it. Only the output of a
    /// command that is running meanwhile is taken in later, as it cannot be encrypted again: shred the key once more.
    ///
    /// # Errors
    /// [`Error::BadRecipient`] if nothing was ever sealed to it; if the store cannot be read or written.
    pub fn shred(&self, name: &str, reason: &str, actor: &Actor) -> Result<Shredded> {
        let (name, gate) = (name_of(name), self.gate()?);
        self.transact(Scope::Ledger, |transaction| {
            let (lost, shared) = sealed_to(transaction, &name)?;
            if lost.is_empty() && shared == 0 {
                return Err(bad(
                    "nothing in this ledger is sealed to it; the event that put a blob names who it is sealed to",
                ));
            }
            change_names(transaction, |names| _ = names.remove(&name))?;
            let (meta, said) = (Object::from_iter([("recipient", name.as_str())]), Clean::ours(Object::new()));
            let run = self.maintain_in(transaction, gate, Kind::Shred, actor, &meta, said)?;
            write_receipt(&mut run.open(transaction)?, &Shred { recipient: name }, reason, &lost, shared)?;
            Ok(Shredded { run_id: run.run_id().clone(), lost: lost.len() as u64, open_to_others: shared as u64 })
        })
    }
}

fn bad(problem: &str) -> Error {
    Error::BadRecipient { problem: problem.to_owned() }
}

/// Writes the whole run. The blobs are those that events name: the receipt is written, whatever has become of their rows.
fn write_receipt(run: &mut OpenRun<'_>, said: &Shred, reason: &str, lost: &[BlobRef], shared: usize) -> Result<()> {
    run.advance(&Stage::new("COLLECT"), Clean::ours("the key was destroyed"))?;
    run.judge("nothing to collect")?;
    for blobs in lost.chunks(BLOBS).chain(lost.is_empty().then_some(&[][..])) {
        let payload = run.gate().object(said.to_object(reason, [blobs.len(), shared]));
        run.write(&run.draft(EventType::Decision, payload).blobs(blobs.iter().copied()))?;
    }
    run.end("the key was destroyed", Ok).map(drop)
}

/// Refuses what was encrypted to a key that has been put on record as destroyed meanwhile: no receipt would name it.
pub(super) fn check_recipients(store: &dyn ReadTransaction, recipients: &[String]) -> Result<()> {
    let names = read_names(store)?;
    if recipients.iter().all(|name| names.contains(name)) {
        return Ok(());
    }
    let destroyed = shredded(store)?;
    if recipients.iter().any(|name| destroyed.contains(name)) {
        return Err(bad("its key was put on record as destroyed while the evidence was encrypted to it: put it again"));
    }
    Ok(())
}

fn change_names(
    transaction: &mut dyn WriteTransaction,
    change: impl FnOnce(&mut BTreeSet<String>),
) -> Result<Vec<String>> {
    let before = read_names(transaction)?;
    let mut names: BTreeSet<String> = before.iter().cloned().collect();
    change(&mut names);
    let names: Vec<String> = names.into_iter().collect();
    if names != before {
        let json = canonical::to_bytes(&Value::from(names.clone()), Limits::WRITE)?;
        transaction.set(SETTING, &String::from_utf8_lossy(&json))?;
    }
    Ok(names)
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

/// The blobs that only this recipient can open, and how many others can open too: others whose keys are not on record as
/// destroyed. Only events count that hash to what they say.
fn sealed_to(store: &dyn ReadTransaction, name: &str) -> Result<(Vec<BlobRef>, usize)> {
    let mut runs = Vec::new();
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    let destroyed = shredded(store)?;
    let imports = Imports::read(store)?;
    // An imported run says nothing of a blob that a run recorded here has put.
    runs.sort_by_key(|run| imports.contains(run));
    let (mut found, mut own) = (BTreeMap::new(), BTreeSet::new());
    for run in runs {
        let imported = imports.contains(&run);
        store.events(&run, &mut |row| {
            let mut scratch = Scratch::default();
            let put = sound_event(&run, row, &mut scratch).ok();
            let put = put.filter(|envelope| envelope.event_type == EventType::EvidencePut);
            let sealed = put.and_then(|put| {
                let (named, others): (Vec<_>, Vec<_>) = EvidencePut::recipients_of(put.payload_json())
                    .partition(|recipient| recipient.as_deref() == Some(name));
                named.first()?;
                let open = others.iter().any(|other| other.as_ref().is_none_or(|other| !destroyed.contains(other)));
                Some((EvidencePut::of_envelope(&put).hash.ok()?, open))
            });
            if let Some((hash, open)) = sealed.filter(|(hash, _)| !imported || !own.contains(hash)) {
                if !imported {
                    own.insert(hash);
                }
                *found.entry(hash).or_insert(false) |= open;
            }
            Visit::Continue(())
        })?;
    }
    let lost: Vec<BlobRef> = found.iter().filter(|(_, open)| !**open).map(|(hash, _)| BlobRef(*hash)).collect();
    let shared = found.len() - lost.len();
    Ok((lost, shared))
}
