//! A blob's bytes replaced by their redaction ([`Ledger::redact`]), with a receipt in a maintenance run: in one transaction
//! the redacted bytes are put, the old ones removed, and a BLOB_EXPIRE event names both and the rules.
//!
//! Evidence that lies in parts is redacted as the one text that it is: all of its parts are put anew, under a new list.

use super::Put;
use super::redact::{Report, without_secrets};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::maintenance::Kind;
use crate::store::{self, Erasure};
use crate::write::maintenance::End;
use crate::write::{Clean, OpenRun, PARTS_TYPE, Pieces, Source, Spool};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, EventType};
use receipt_core::evidence::{BlobFact, BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId};
use receipt_core::json::{Limits, Object, Value};
use receipt_core::payload::{BlobExpire, Cause};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// A blob whose bytes were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The maintenance run that has the receipt.
    pub run_id: RunId,
    /// What its bytes were; of a part, the list of all of them.
    pub old: BlobHash,
    /// What they are now.
    pub new: BlobRecord,
    /// How many secrets were replaced.
    pub redactions: usize,
    /// The digest of the rules.
    pub rules: String,
    /// Whether no copy of the old bytes is left in the ledger's files. Where somebody still reads what was before, a later
    /// [`Ledger::retain`] makes up for it.
    pub scrubbed: bool,
}

/// Evidence that is to be replaced: a blob, or a list with its parts.
struct Old {
    record: BlobRecord,
    /// As the list has them; `None` for a blob that is no list.
    parts: Option<Vec<BlobHash>>,
    source: Source<'static>,
}

impl Ledger {
    /// Replaces a blob's bytes by their redaction: what it is, where it went and by which rules is in a receipt. Of a list
    /// of parts, and of a part of one, all parts are replaced, and so is every other list that names one of them.
    ///
    /// # Errors
    /// [`Error::NothingToRedact`] where today's rules find nothing in it; [`Error::BlobUnavailable`] where its bytes are
    /// not there, are not what was put, or are sealed; [`Error::Held`]; where the store cannot be written.
    pub fn redact(&self, hash: &BlobHash, actor: &Actor) -> Result<Redacted> {
        let redactor = self.redactor()?;
        self.blob_record(hash)?;
        let mut olds = Vec::new();
        for (hash, parts) in self.together(hash)? {
            olds.push(self.old(hash, parts)?);
        }
        let redactions = olds.iter().map(|old| old.source.report().replaced()).sum();
        if olds.iter().all(|old| old.source.report().hits.is_empty()) {
            return Err(Error::NothingToRedact { blob: hash.to_string() });
        }
        let old = olds[0].record.hash;
        let meta = Object::from_iter([("redaction_rules", redactor.digest())]);
        let mut run = self.maintain(Kind::Redact, actor, &meta)?;
        run.advance("COLLECT", "replacing a blob by its redaction")?;
        let new = run.transact_alone(|run| replace_all(run, self, &mut olds))?;
        let decision = ["redact", "the rules that RUN_START names", "revoke the secret where it is valid"];
        let summary = format!("redacted {redactions} secrets");
        run.transact(|run| run.close(&End { reason: "replaced it", decision, summary: &summary }))?;
        Ok(Redacted {
            run_id: run.run_id().clone(),
            old,
            new,
            redactions,
            rules: redactor.digest().to_owned(),
            scrubbed: self.store.erase()? == Erasure::Done,
        })
    }

    /// What has to be replaced together with a blob: the lists that name it or one of its parts, and the lists that name
    /// one of theirs. The first one is the evidence that was asked for.
    fn together(&self, hash: &BlobHash) -> Result<Vec<(BlobHash, Option<Vec<BlobHash>>)>> {
        let mut lists = self.lists(&self.all_blobs(&mut || {})?)?;
        let mut parts = BTreeSet::from([*hash]);
        let mut found = Vec::new();
        while let Some(at) = lists.iter().position(|(list, of)| list == hash || of.iter().any(|it| parts.contains(it)))
        {
            let (list, of) = lists.swap_remove(at);
            parts.extend(of.iter().copied());
            if list == *hash { found.insert(0, (list, Some(of))) } else { found.push((list, Some(of))) }
        }
        if found.is_empty() {
            found.push((*hash, None));
        }
        Ok(found)
    }

    fn old(&self, hash: BlobHash, parts: Option<Vec<BlobHash>>) -> Result<Old> {
        let unavailable =
            |problem: &str| Error::BlobUnavailable { blob: hash.to_string(), problem: problem.to_owned() };
        let record = self.blob_record(&hash)?.0.ok_or_else(|| unavailable("its row cannot be read"))?;
        let mut spool = SpoolWriter(self.spool(EvidenceClass::Public)?);
        for current in self.currents(parts.as_deref().unwrap_or(&[hash]))? {
            let class = self.blob_record(&current)?.0.map(|record| record.class);
            if class == Some(EvidenceClass::Sealed) {
                return Err(unavailable("it is sealed, so that nobody can look into it here"));
            }
            self.copy_blob(&current, &mut spool)?;
        }
        let unkept = |source| Error::Io { path: "the temporary file of the evidence".into(), source };
        Ok(Old { record, parts, source: spool.0.finish().map_err(unkept)? })
    }
}

struct SpoolWriter(Spool);

impl Write for SpoolWriter {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0.push(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One transaction: the redacted bytes are put, the old ones go, and the receipts name both. Gives the first of what is new.
fn replace_all(run: &mut OpenRun<'_>, ledger: &Ledger, olds: &mut [Old]) -> Result<BlobRecord> {
    for old in olds.iter() {
        for hash in std::iter::once(&old.record.hash).chain(old.parts.iter().flatten()) {
            check_may_go(run, hash)?;
        }
    }
    // What goes, with what replaces it and how many secrets were replaced there.
    let (mut going, mut kept, mut first) = (BTreeMap::new(), BTreeSet::new(), None);
    for old in olds {
        let report = old.source.report().clone();
        let new = match &old.parts {
            None => put_whole(run, ledger, old)?,
            Some(_) => put_parts(run, ledger, old, &mut kept)?,
        };
        kept.insert(new.hash);
        for hash in std::iter::once(&old.record.hash).chain(old.parts.iter().flatten()) {
            going.entry(*hash).or_insert((new.hash, report.clone()));
        }
        first = first.or(Some(new));
    }
    for (hash, (replaced_by, report)) in going.iter().filter(|(hash, _)| !kept.contains(hash)) {
        expire(run, ledger, hash, *replaced_by, report)?;
    }
    first.ok_or_else(|| Error::internal("a redaction replaced nothing"))
}

fn check_may_go(run: &mut OpenRun<'_>, hash: &BlobHash) -> Result<()> {
    let fact = store::blob_fact(run.transaction, hash, false);
    // A part that was replaced before is gone already.
    if !matches!(fact, BlobFact::Intact { .. } | BlobFact::TooLarge { .. } | BlobFact::Expired) {
        let problem = "its bytes are not there, or not what was put".to_owned();
        return Err(Error::BlobUnavailable { blob: hash.to_string(), problem });
    }
    match super::retention::held_by(run.transaction, hash)? {
        Some(held) => Err(Error::Held { blob: hash.to_string(), run: without_secrets(&held) }),
        None => Ok(()),
    }
}

fn put_whole(run: &mut OpenRun<'_>, ledger: &Ledger, old: &mut Old) -> Result<BlobRecord> {
    let put = run.gate().put(Put::of_type(old.record.content_type.clone()));
    let stored = super::store(run.transaction, &mut old.source, &put, ledger.now())?;
    let meta = Clean::ours(Object::from_iter([("redacted_from", BlobRef(old.record.hash).to_string())]));
    run.put(Clean::ours("redaction".to_owned()), &stored.record, stored.note(meta))?;
    Ok(stored.record)
}

/// Puts redacted evidence in parts of the size that the first one had, under a new list.
fn put_parts(
    run: &mut OpenRun<'_>,
    ledger: &Ledger,
    old: &mut Old,
    kept: &mut BTreeSet<BlobHash>,
) -> Result<BlobRecord> {
    let first = old.parts.iter().flatten().next().copied();
    let like = first.map(|first| ledger.blob_record(&first)).transpose()?.and_then(|(record, _)| record);
    let size = like.as_ref().map_or(1 << 20, |record| usize::try_from(record.bytes_len).unwrap_or(usize::MAX));
    let put = run.gate().put(Put::of_type(like.map_or_else(|| "text/plain".to_owned(), |record| record.content_type)));
    let (rules, redactor) = (old.source.report().clone(), run.gate().redactor().clone());
    let empty = Source::plain(std::borrow::Cow::Owned(Vec::new()), Report::default());
    let len = old.source.len;
    let mut pieces = Pieces::of(std::mem::replace(&mut old.source, empty), size.max(1));
    let mut named: Vec<Value> = Vec::new();
    while let Some(piece) = pieces.next("the redacted evidence")? {
        let mut source = Source::redacted_by(&redactor, piece);
        let stored = super::store(run.transaction, &mut source, &put, ledger.now())?;
        kept.insert(stored.record.hash);
        let key = format!("redaction.part-{:04}", named.len() + 1);
        run.put(Clean::ours(key), &stored.record, stored.note(Clean::ours(Object::new())))?;
        named.push(stored.record.to_part().into());
    }
    let list = Object::from_iter([("parts", Value::Array(named)), ("bytes_len", Value::from(len))]);
    let list = canonical::to_bytes(&list.into(), Limits::WRITE)?;
    let mut source = Source::plain(std::borrow::Cow::Owned(list), rules);
    let put = run.gate().put(Put::of_type(PARTS_TYPE));
    let stored = super::store(run.transaction, &mut source, &put, ledger.now())?;
    let meta = Clean::ours(Object::from_iter([("redacted_from", BlobRef(old.record.hash).to_string())]));
    run.put(Clean::ours("redaction".to_owned()), &stored.record, stored.note(meta))?;
    Ok(stored.record)
}

fn expire(
    run: &mut OpenRun<'_>,
    ledger: &Ledger,
    hash: &BlobHash,
    replaced_by: BlobHash,
    report: &Report,
) -> Result<()> {
    if matches!(store::blob_fact(run.transaction, hash, false), BlobFact::Expired) {
        return Ok(());
    }
    let gone = || Error::internal("a blob that is to be replaced has no row");
    let record = ledger.blob_record(hash)?.0.ok_or_else(gone)?;
    let (from, to) = (BlobState::Live, BlobState::ExpiredHashOnly);
    if !run.transaction.expire_blob(hash, from, to, ledger.now())? {
        return Err(Error::internal("a blob changed its state inside a transaction"));
    }
    let cause = Cause::Redaction { replaced_by, redactions: report.replaced(), rules: &report.rules };
    let payload = BlobExpire::to_object(*hash, record.bytes_len, record.class, [from, to], cause);
    let blobs = [BlobRef(*hash), BlobRef(replaced_by)];
    run.write(&run.draft(EventType::BlobExpire, Clean::ours(payload)).blobs(blobs)).map(drop)
}
