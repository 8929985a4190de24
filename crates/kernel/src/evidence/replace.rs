//! A blob's bytes replaced by their redaction ([`Ledger::redact`]), with a receipt in a maintenance run: one transaction puts
//! the redacted bytes, removes the old ones, and writes a BLOB_EXPIRE event that names both and the rules.
//!
//! Evidence that lies in parts is redacted as the one text that it is: all of its parts are put anew, under a new list.

use super::Put;
use super::parts::{Room, Today, all_blobs, readable};
use super::ranges::{Joined, Ranges};
use super::redact::{Hit, Redactor, Report, without_secrets};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::ledger::Row;
use crate::read::evidence::removals::each_put;
use crate::read::imports::Imports;
use crate::read::maintenance::Kind;
use crate::store::{self, Erasure, ReadTransaction, Scope};
use crate::write::maintenance::End;
use crate::write::{Clean, OpenRun, PART, PARTS_TYPE, Pieces, Source, Spool};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, EventType};
use receipt_core::evidence::{BlobFact, BlobRecord, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId};
use receipt_core::json::{Limits, Object, Value};
use receipt_core::payload::{BlobExpire, Cause};
use receipt_core::stage::Stage;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Range;

/// A blob whose bytes were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The maintenance run that has the receipt.
    pub run_id: RunId,
    /// The blob that had the old bytes; for a part, the list of all of them.
    pub old: BlobHash,
    /// The blob that has the new ones.
    pub new: BlobRecord,
    /// How many secrets were replaced.
    pub redactions: usize,
    /// The digest of the rules.
    pub rules: String,
    /// Whether no copy of the old bytes is left in the ledger's files. If somebody still reads the state before, a later
    /// [`Ledger::retain`] makes up for it.
    pub scrubbed: bool,
}

/// Evidence that is to be replaced: a blob, or a list with its parts.
struct Old {
    hash: BlobHash,
    /// As the list has them; `None` for a blob that is no list.
    parts: Option<Vec<BlobHash>>,
}

impl Old {
    fn all(&self) -> impl Iterator<Item = &BlobHash> {
        std::iter::once(&self.hash).chain(self.parts.iter().flatten())
    }

    fn unavailable(&self, problem: &str) -> Error {
        Error::BlobUnavailable { blob: self.hash.to_string(), problem: problem.to_owned() }
    }
}

impl Ledger {
    /// Replaces a blob's bytes by their redaction. A receipt says which blob it was, which one has its bytes now and by which
    /// rules. Of a list of parts, and of a part of one, all parts are replaced, and so is every other list that names one of
    /// them, if a run that was recorded here has put it. A secret that a part holds when it is read alone is replaced too.
    ///
    /// If it is refused, nothing is written.
    ///
    /// # Errors
    /// [`Error::NothingToRedact`] if today's rules find nothing in it; [`Error::BlobUnavailable`] if its bytes are gone, are
    /// not those that were put, or are sealed; [`Error::Held`]; if the store cannot be written.
    pub fn redact(&self, hash: &BlobHash, actor: &Actor) -> Result<Redacted> {
        let (redactor, gate) = (self.redactor()?, self.gate()?);
        let olds = self.together(hash)?;
        let meta = Object::from_iter([("redaction_rules", redactor.digest())]);
        let (run_id, new, redactions) = self.transact(Scope::Ledger, |transaction| {
            check_may_go(transaction, &olds)?;
            let run = self.maintain_in(transaction, gate, Kind::Redact, actor, &meta, Clean::ours(Object::new()))?;
            let mut open = run.open(transaction)?;
            open.advance(&Stage::new("COLLECT"), Clean::ours("replacing a blob by its redaction"))?;
            let (new, redactions) = replace_all(&mut open, self, &olds)?;
            if redactions == 0 {
                return Err(Error::NothingToRedact { blob: hash.to_string() });
            }
            let decision = ["redact", "the rules that RUN_START names", "revoke the secret where it is valid"];
            let summary = format!("redacted {redactions} secrets");
            open.close(&End { reason: "replaced it", decision, summary: &summary })?;
            Ok((run.run_id().clone(), new, redactions))
        })?;
        Ok(Redacted {
            run_id,
            old: olds.first().map_or(*hash, |old| old.hash),
            new,
            redactions,
            rules: redactor.digest().to_owned(),
            scrubbed: self.store.erase()? == Erasure::Done,
        })
    }

    /// The evidence that has to be replaced together with a blob: the lists that name it or one of its parts, and the lists
    /// that name one of theirs. The first one is the evidence that was asked for.
    fn together(&self, hash: &BlobHash) -> Result<Vec<Old>> {
        let snapshot = self.look()?;
        let view = snapshot.view();
        let store = view.as_ref();
        if store::blob_state(store, hash) == BlobFact::Missing {
            return Err(Error::BlobNotFound { blob: hash.to_string() });
        }
        let (mut today, mut room) = (Today::new(store), Room::new());
        let (mut lists, mut naming) = (HashSet::new(), HashMap::<BlobHash, Vec<BlobHash>>::new());
        for list in lists_of(store, hash)? {
            let Some(whole) = readable(today.whole(&list, None))?.flatten() else { continue };
            if list == *hash || (whole.is_open() && room.takes(&whole)) {
                lists.insert(list);
                for part in whole.named.into_iter().collect::<HashSet<_>>() {
                    naming.entry(part).or_default().push(list);
                }
            }
        }
        let (mut olds, mut seen, mut ahead) = (Vec::new(), HashSet::from([*hash]), VecDeque::from([*hash]));
        while let Some(blob) = ahead.pop_front() {
            if lists.contains(&blob) {
                let parts = today.listed(&blob)?.unwrap_or_default();
                ahead.extend(parts.iter().filter(|part| seen.insert(**part)));
                olds.push(Old { hash: blob, parts: Some(parts) });
            }
            ahead.extend(naming.remove(&blob).into_iter().flatten().filter(|list| seen.insert(*list)));
        }
        if olds.is_empty() {
            olds.push(Old { hash: *hash, parts: None });
        }
        Ok(olds)
    }
}

/// The blobs whose type says that they are lists of parts: those that a run recorded here has put, and `asked`. If a list of
/// a stranger counted that names each blob here, the redaction of one would replace them all.
fn lists_of(store: &dyn ReadTransaction, asked: &BlobHash) -> Result<BTreeSet<BlobHash>> {
    let mut lists = BTreeSet::new();
    for blob in all_blobs(store, &mut || {})? {
        if Row::read(store, &blob)?.is_of_type(PARTS_TYPE) {
            lists.insert(blob);
        }
    }
    let imports = Imports::read(store)?;
    if !imports.all().is_empty() {
        let mut own = HashSet::new();
        each_put(store, &|blob| lists.contains(blob), &mut |run, put, _| {
            own.extend(put.blob().filter(|_| !imports.contains(run)).map(|(blob, _)| blob));
        })?;
        lists.retain(|list| list == asked || own.contains(list));
    }
    Ok(lists)
}

/// The redacted bytes are put, the old ones go, and the receipts name both. Gives the first new blob, and how many secrets
/// were replaced.
fn replace_all(run: &mut OpenRun<'_>, ledger: &Ledger, olds: &[Old]) -> Result<(BlobRecord, usize)> {
    // The blobs that go, each with the one that replaces it and how many secrets were replaced there.
    let (mut going, mut kept, mut first, mut redactions) = (BTreeMap::new(), BTreeSet::new(), None, 0);
    for old in olds {
        let read = Text::read(run.transaction, ledger, old)?;
        let replaced = read.replaced();
        if replaced == 0 && olds.len() == 1 {
            return Err(Error::NothingToRedact { blob: old.hash.to_string() });
        }
        let new = match &old.parts {
            None => put_whole(run, ledger, old, read)?,
            Some(_) => put_parts(run, ledger, old, read, &mut kept)?,
        };
        kept.insert(new.hash);
        for hash in old.all() {
            going.entry(*hash).or_insert((new.hash, replaced));
        }
        first = first.or(Some(new));
        redactions += replaced;
    }
    for (hash, (replaced_by, replaced)) in going.iter().filter(|(hash, _)| !kept.contains(hash)) {
        expire(run, ledger, hash, *replaced_by, *replaced)?;
    }
    let first = first.ok_or_else(|| Error::internal("a redaction replaced nothing"))?;
    Ok((first, redactions))
}

/// Refuses bytes that are not those that were put, as they are evidence of tampering, and blobs that a run on hold names.
fn check_may_go(store: &dyn ReadTransaction, olds: &[Old]) -> Result<()> {
    let lists: HashSet<&BlobHash> = olds.iter().map(|old| &old.hash).collect();
    let blobs: BTreeSet<BlobHash> = olds.iter().flat_map(Old::all).copied().collect();
    for hash in &blobs {
        match store::blob_fact(store, hash, false) {
            BlobFact::Intact { .. } | BlobFact::TooLarge { .. } => {}
            // A part that was replaced before is gone already; the blob that replaced it is read in its place.
            BlobFact::Removed if !lists.contains(hash) => {}
            _ => {
                let problem = "its bytes are not there, or not those that were put".to_owned();
                return Err(Error::BlobUnavailable { blob: hash.to_string(), problem });
            }
        }
    }
    match super::retention::held_by(store, &blobs)? {
        Some((held, run)) => Err(Error::Held { blob: held.to_string(), run: without_secrets(&run) }),
        None => Ok(()),
    }
}

/// The redacted text of evidence.
struct Text {
    source: Source<'static>,
    /// How many secrets were replaced that only a part read alone shows, and how many the list itself holds.
    alone: usize,
    /// Of the evidence, or of its first part.
    content_type: String,
}

/// A secret that only a part read alone shows, and the bytes in its place.
type Cut = (Range<u64>, Vec<u8>);

impl Text {
    fn replaced(&self) -> usize {
        self.source.report().replaced() + self.alone
    }

    fn read(store: &dyn ReadTransaction, ledger: &Ledger, old: &Old) -> Result<Self> {
        let blobs = match &old.parts {
            None => vec![old.hash],
            Some(_) => Today::new(store).whole(&old.hash, None)?.map(|whole| whole.blobs).unwrap_or_default(),
        };
        let mut content_type = None;
        for blob in &blobs {
            let row = Row::read(store, blob)?.record(blob).ok_or_else(|| old.unavailable("its row cannot be read"))?;
            if row.class == EvidenceClass::Sealed {
                return Err(old.unavailable("it is sealed, so that nobody can look into it here"));
            }
            store::check_blob(store, blob)?;
            content_type.get_or_insert(row.content_type);
        }
        let content_type = content_type.unwrap_or_else(|| "text/plain".to_owned());
        let (mut source, joined) = spooled(store, ledger, &blobs, &[])?;
        let mut alone = 0;
        if old.parts.is_some() {
            let redactor = ledger.redactor()?;
            let cuts = cuts(store, &redactor, &blobs, &joined, source.report())?;
            alone = cuts.iter().map(Vec::len).sum();
            if alone > 0 {
                source = spooled(store, ledger, &blobs, &cuts)?.0;
            }
            alone += redactor.redact(&store::blob_bytes(store, &old.hash)?).1.replaced();
        }
        Ok(Self { source, alone, content_type })
    }
}

/// The bytes of these blobs as one redacted text, in which those of the cuts are replaced before the rules see it.
fn spooled(
    store: &dyn ReadTransaction,
    ledger: &Ledger,
    blobs: &[BlobHash],
    cuts: &[Vec<Cut>],
) -> Result<(Source<'static>, Joined)> {
    let unkept = |source| Error::Io { path: "the temporary file of the evidence".into(), source };
    let (mut spool, mut joined) = (ledger.spool(EvidenceClass::Public)?, Joined::default());
    for (index, blob) in blobs.iter().enumerate() {
        let (mut at, mut kept) = (0, Ok(()));
        let mut cuts = cuts.get(index).into_iter().flatten().peekable();
        store.blob_bytes(blob, &mut |piece| {
            if kept.is_ok() {
                kept = push_cut(&mut spool, piece, at, &mut cuts);
            }
            at += piece.len() as u64;
        })?;
        kept.map_err(unkept)?;
        joined.push(at);
    }
    Ok((spool.finish().map_err(unkept)?, joined))
}

/// Pushes a piece that begins at `at`, with the cuts that lie in it made.
fn push_cut<'c>(
    spool: &mut Spool,
    mut piece: &[u8],
    mut at: u64,
    cuts: &mut std::iter::Peekable<impl Iterator<Item = &'c Cut>>,
) -> std::io::Result<()> {
    let most = |len: u64, piece: &[u8]| usize::try_from(len).unwrap_or(usize::MAX).min(piece.len());
    while let Some((range, replacement)) = cuts.peek() {
        let (before, rest) = piece.split_at(most(range.start.saturating_sub(at), piece));
        spool.push(before)?;
        at += before.len() as u64;
        if rest.is_empty() {
            return Ok(());
        }
        if at == range.start {
            spool.push(replacement)?;
        }
        let (cut, rest) = rest.split_at(most(range.end - at, rest));
        (piece, at) = (rest, at + cut.len() as u64);
        if at < range.end {
            return Ok(());
        }
        cuts.next();
    }
    spool.push(piece)
}

/// The secrets that each part holds when it is read alone, and that the text as one does not show: a letter at the end of
/// the part before, for one, makes another word of it. If both find one, the text as one says where it ends.
fn cuts(
    store: &dyn ReadTransaction,
    redactor: &Redactor,
    blobs: &[BlobHash],
    joined: &Joined,
    whole: &Report,
) -> Result<Vec<Vec<Cut>>> {
    let (mut found, mut listed) = (Ranges::default(), u64::MAX);
    for hit in &whole.hits {
        found.add(range_of(hit));
    }
    if whole.more_hits > 0 {
        listed = whole.hits.last().map_or(0, |hit| range_of(hit).end);
    }
    let mut all = Vec::with_capacity(blobs.len());
    for (index, blob) in blobs.iter().enumerate() {
        let (mut stream, mut out) = (redactor.stream(), Vec::new());
        store.blob_bytes(blob, &mut |piece| {
            stream.push(piece, &mut out);
            out.clear();
        })?;
        let start = joined.start(index);
        let report = stream.finish(&mut out);
        let is_alone = |hit: &&Hit| {
            let range = range_of(hit);
            let whole = start + range.start..start + range.end;
            // Where the text as one has more secrets than are listed, a secret at a border may be half of one of those.
            let half = whole.end > listed && (range.start == 0 || start + range.end == joined.end(index));
            !found.touch(&whole) && !half
        };
        all.push(report.hits.iter().filter(is_alone).map(|hit| (range_of(hit), in_place_of(hit))).collect());
    }
    Ok(all)
}

pub(super) fn range_of(hit: &Hit) -> Range<u64> {
    hit.byte_offset..hit.byte_offset + hit.byte_length
}

fn in_place_of(hit: &Hit) -> Vec<u8> {
    hit.replacement.as_bytes().to_vec()
}

fn put_whole(run: &mut OpenRun<'_>, ledger: &Ledger, old: &Old, mut text: Text) -> Result<BlobRecord> {
    let put = run.gate().put(Put::of_type(text.content_type));
    let stored = super::store(run.transaction, &mut text.source, &put, ledger.now())?;
    say_replaced(run, old, &stored)
}

fn say_replaced(run: &mut OpenRun<'_>, old: &Old, stored: &super::Stored) -> Result<BlobRecord> {
    let meta = Clean::ours(Object::from_iter([("redacted_from", BlobRef(old.hash).to_string())]));
    run.put(Clean::ours("redaction".to_owned()), &stored.record, stored.note(meta))?;
    Ok(stored.record.clone())
}

/// Puts redacted evidence in parts as large as a recorder's, under a new list.
fn put_parts(
    run: &mut OpenRun<'_>,
    ledger: &Ledger,
    old: &Old,
    text: Text,
    kept: &mut BTreeSet<BlobHash>,
) -> Result<BlobRecord> {
    let put = run.gate().put(Put::of_type(text.content_type));
    let (report, redactor) = (text.source.report().clone(), run.gate().redactor().clone());
    let len = text.source.len;
    let mut pieces = Pieces::of(text.source, PART);
    let mut named: Vec<Value> = Vec::new();
    while let Some(piece) = pieces.next("the redacted evidence")? {
        let mut source = Source::redacted_by(&redactor, piece);
        let stored = super::store(run.transaction, &mut source, &put, ledger.now())?;
        let is_new = kept.insert(stored.record.hash);
        if is_new {
            let key = format!("redaction.part-{:04}", named.len() + 1);
            run.put(Clean::ours(key), &stored.record, stored.note(Clean::ours(Object::new())))?;
        }
        named.push(stored.record.to_part().into());
    }
    let list = Object::from_iter([("parts", Value::Array(named)), ("bytes_len", Value::from(len))]);
    let list = canonical::to_bytes(&list.into(), Limits::WRITE)?;
    let mut source = Source::plain(list.into(), report);
    let put = run.gate().put(Put::of_type(PARTS_TYPE));
    let stored = super::store(run.transaction, &mut source, &put, ledger.now())?;
    say_replaced(run, old, &stored)
}

fn expire(
    run: &mut OpenRun<'_>,
    ledger: &Ledger,
    hash: &BlobHash,
    replaced_by: BlobHash,
    redactions: usize,
) -> Result<()> {
    if store::blob_state(run.transaction, hash) == BlobFact::Removed {
        return Ok(());
    }
    let gone = || Error::internal("a blob that is to be replaced has no row");
    let record = Row::read(run.transaction, hash)?.record(hash).ok_or_else(gone)?;
    let (from, to) = (BlobState::Live, BlobState::ExpiredHashOnly);
    if !run.transaction.expire_blob(hash, from, to, ledger.now())? {
        return Err(Error::internal("a blob changed its state inside a transaction"));
    }
    let rules = run.gate().redactor().digest().to_owned();
    let cause = Cause::Redaction { replaced_by, redactions, rules: &rules };
    let payload = BlobExpire::to_object(*hash, record.bytes_len, record.class, [from, to], cause);
    let blobs = [BlobRef(*hash), BlobRef(replaced_by)];
    run.write(&run.draft(EventType::BlobExpire, Clean::ours(payload)).blobs(blobs)).map(drop)
}
