//! What a ledger alone cannot settle, settled by anchors from outside: checkpoints, the key, witnesses.
//!
//! The log says which event each leaf is; its stored leaves are believed only where they lead to an anchor's root. Each
//! event is compared with its leaf, so that what is missing or was made anew is named.

use super::excuses::{Anchored, Excuses};
use super::proof::{covers_nothing, empty_anchor, is_log_of, no_quorum, witnessed};
use super::report::{Check, Report};
use super::settled::Settled;
use super::walk::{Hashes, Walk};
use crate::error::Result;
use crate::log::origin;
use crate::read::head::sound_event;
use crate::store::ReadTransaction;
use receipt_core::checkpoint::SignedCheckpoint;
use receipt_core::envelope::Scratch;
use receipt_core::id::{EventHash, RunId, Seq};
use receipt_core::merkle::TreeHead;
use receipt_core::note::{KeyName, VerifierKey};
use receipt_core::verdict::Verdict;
use receipt_core::witness::WitnessPolicy;

/// What was kept outside the ledger.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// Checkpoints, each with the name under which it is spoken of.
    pub checkpoints: Vec<(String, SignedCheckpoint)>,
    /// The key that must have signed them, and the ledger's own last one.
    pub key: Option<VerifierKey>,
    /// Who must have cosigned one of them, or the ledger's own last one.
    pub witnesses: Option<WitnessPolicy>,
    /// What was verified before, by each name under which that was remembered.
    pub pinned: Vec<Pinned>,
    /// How many events a run must at least have, and the hash of the last of those.
    pub expected: Vec<(RunId, Seq, EventHash)>,
}

/// What was verified before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// How it is spoken of.
    pub name: String,
    /// The log's origin, if it had one.
    pub origin: Option<KeyName>,
    /// The head over all events.
    pub head: TreeHead,
}

/// What the audit has read in the same instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audited<'a> {
    /// Whether that was the whole ledger.
    pub(crate) whole: bool,
    /// How many rows the table of events has, if they were counted.
    pub(crate) events: Option<u64>,
    /// The receipts that counted.
    pub(crate) excuses: &'a Excuses,
}

/// Settles in `report` what these anchors settle. If tables or rows cannot be read, the report says UNKNOWN (READ_FAILURE).
pub(crate) fn settle(store: &dyn ReadTransaction, anchors: &Anchors, audited: Audited<'_>, report: &mut Report) {
    let whole = audited.whole;
    let sound = |check| report.check(check).is_some_and(|found| found.verdict.is_success());
    // Of a whole ledger with nothing wrong the audit has just compared each recorded hash with the bytes, in this same
    // instant. Otherwise a column says nothing yet, and each event is hashed once more.
    let compared = whole && sound(Check::Content) && sound(Check::Columns);
    let hashes = if compared { Hashes::Compared } else { Hashes::Unknown };
    let mut found = Settled::default();
    match compare_all(store, anchors, (audited, hashes), &mut found) {
        Ok((origin, head)) => report.head = whole.then_some((origin, head)),
        Err(error) => {
            for check in [Check::Content, Check::Tail, Check::Runs, Check::Rollback] {
                found.find(check, Verdict::Unknown, "READ_FAILURE", error.to_string());
            }
        }
    }
    found.tell(report);
}

/// One walk over the log and the events, and what each anchor says to it. Gives the log's name, and the head over all events.
fn compare_all(
    store: &dyn ReadTransaction,
    anchors: &Anchors,
    (audited, hashes): (Audited<'_>, Hashes),
    found: &mut Settled,
) -> Result<(Option<KeyName>, TreeHead)> {
    let origin = origin(store).unwrap_or_default();
    let own = own_checkpoint(store, origin.as_ref(), found)?;
    let (own_signed, mut heads) = signed_heads(anchors, origin.as_ref(), own.as_ref(), found);
    let signed = heads.len();
    pinned_heads(anchors, origin.as_ref(), &mut heads, found);
    let outside = heads.len();
    // The ledger's own last checkpoint holds its log together, whether or not its signature says anything.
    heads.extend(own.iter().map(|own| ("the ledger's last checkpoint".to_owned(), own.checkpoint().head)));
    let mut walk = Walk::new(store, &heads, hashes, audited.events);
    walk.places = audited.excuses.places();
    if audited.whole || outside > 0 || anchors.witnesses.is_some() {
        walk.run(found)?;
    } else {
        // Of some runs, and against nothing from outside: nothing is settled, and what the log shows missing is missing
        // whatever the columns say.
        walk.hashes = Hashes::Compared;
        walk.logged(found)?;
    }
    let head = walk.frontier.head();
    let mut anchored = Anchored::default();
    for (index, (name, wanted)) in heads.iter().enumerate() {
        if !compare(&walk, name, wanted, index < outside, found) {
            continue;
        }
        if index < outside {
            found.cover(name, wanted.size, head.size);
        }
        if index < signed || (index >= outside && own_signed) {
            anchored.signed = anchored.signed.max(wanted.size);
        } else if index < outside {
            anchored.pinned = anchored.pinned.max(wanted.size);
        }
    }
    let witnessed = check_witnesses(anchors, own.as_ref(), head.size, found);
    anchored.signed = anchored.signed.max(witnessed.unwrap_or_default());
    audited.excuses.settle(&walk.places, anchored, found);
    for (run, seq, hash) in &anchors.expected {
        check_expected(store, run, *seq, hash, found)?;
    }
    Ok((origin, head))
}

/// The ledger's last checkpoint, where it is one of this log.
fn own_checkpoint(
    store: &dyn ReadTransaction,
    origin: Option<&KeyName>,
    found: &mut Settled,
) -> Result<Option<SignedCheckpoint>> {
    let Some(last) = store.last_checkpoint()? else { return Ok(None) };
    let problem = match SignedCheckpoint::parse(last.note.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(own) if own.checkpoint().head.size != last.size => {
            "the size beside the ledger's last checkpoint is another".to_owned()
        }
        Ok(own) if origin != Some(&own.checkpoint().origin) => {
            format!("the ledger's last checkpoint is of another log, {}", own.checkpoint().origin)
        }
        Ok(own) => return Ok(Some(own)),
    };
    found.find(Check::Content, Verdict::Fail, "LOG_MALFORMED", problem);
    Ok(None)
}

/// Whether the key has signed the ledger's last checkpoint, and the heads that can be relied on: of this log, and signed
/// with the key where one was given.
fn signed_heads(
    anchors: &Anchors,
    origin: Option<&KeyName>,
    own: Option<&SignedCheckpoint>,
    found: &mut Settled,
) -> (bool, Vec<(String, TreeHead)>) {
    let mut heads = Vec::new();
    for (name, anchor) in &anchors.checkpoints {
        let theirs = &anchor.checkpoint().origin;
        if origin != Some(theirs) {
            let ours = origin.map_or("none", KeyName::as_str);
            let msg = format!("{name} is of the log {theirs}; this ledger's origin is {ours}");
            found.find(Check::Key, Verdict::Fail, "FOREIGN_LOG", msg);
        } else if is_signed(anchors.key.as_ref(), anchor, name, found) {
            if covers_nothing(anchor) {
                for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Key] {
                    found.settle(check).find(Verdict::Unknown, empty_anchor(name));
                }
            } else {
                heads.push((name.clone(), anchor.checkpoint().head));
            }
        }
    }
    let own = anchors.key.as_ref().zip(own);
    let own_signed = own.is_some_and(|(key, own)| is_signed(Some(key), own, "the ledger's last checkpoint", found));
    (own_signed, heads)
}

/// Adds the heads that were verified before, of this log. With a key, one of them is asked for.
fn pinned_heads(anchors: &Anchors, origin: Option<&KeyName>, heads: &mut Vec<(String, TreeHead)>, found: &mut Settled) {
    for Pinned { name, origin: pinned, head } in &anchors.pinned {
        match pinned {
            Some(pinned) if origin != Some(pinned) => {
                let msg = format!("{name} is of the log {pinned}, which is not this ledger's origin now");
                found.find(Check::Key, Verdict::Fail, "ORIGIN_CHANGED", msg);
            }
            // One that covers nothing settles nothing.
            _ if head.size == 0 => {}
            _ => heads.push((name.clone(), *head)),
        }
    }
    if anchors.key.is_some() && heads.is_empty() {
        let msg = "a key alone does not tell an old history from a new one: a checkpoint kept outside would";
        found.find(Check::Key, Verdict::Unknown, "NO_CHECKPOINT", msg);
    }
}

fn is_signed(key: Option<&VerifierKey>, checkpoint: &SignedCheckpoint, name: &str, found: &mut Settled) -> bool {
    let Some(key) = key else { return true };
    let is_good = is_log_of(key, checkpoint);
    if !is_good {
        found.find(Check::Key, Verdict::Fail, "FOREIGN_KEY", format!("{name} is not signed with {key}"));
    }
    is_good
}

/// Compares a head with what the ledger leads to at its size. Gives whether it holds.
fn compare(walk: &Walk<'_>, name: &str, wanted: &TreeHead, outside: bool, found: &mut Settled) -> bool {
    let size = walk.frontier.head_size();
    match walk.at.get(&wanted.size) {
        Some(root) if *root == wanted.root => return true,
        Some(root) => {
            let msg = format!("{name} has root {} over {} events; this ledger has {root}", wanted.root, wanted.size);
            found.find(Check::Key, Verdict::Fail, "ROOT_MISMATCH", msg);
            if outside {
                for check in [Check::Tail, Check::Runs, Check::Rollback] {
                    found.find(check, Verdict::Unknown, "ROOT_MISMATCH", "this is another history than the anchor's");
                }
            }
        }
        None => {
            let msg = format!(
                "{name} covers {} events; this ledger leads to {size} (root {})",
                wanted.size,
                walk.frontier.head().root
            );
            found.find(Check::Rollback, Verdict::Fail, "LOG_SHORTER", msg.clone());
            found.find(Check::Tail, Verdict::Fail, "LOG_SHORTER", msg);
            found.find(Check::Runs, Verdict::Unknown, "LOG_SHORTER", "what is missing is not in this log");
            let msg = "nothing shows that what is left is a beginning of it";
            found.find(Check::Key, Verdict::Unknown, "LOG_SHORTER", msg);
        }
    }
    false
}

/// Gives how many events the witnesses saw, if those are this ledger's.
fn check_witnesses(anchors: &Anchors, own: Option<&SignedCheckpoint>, events: u64, found: &mut Settled) -> Option<u64> {
    let policy = anchors.witnesses.as_ref()?;
    let candidates: Vec<&SignedCheckpoint> = match anchors.checkpoints.as_slice() {
        [] => own.into_iter().collect(),
        given => given.iter().map(|(_, checkpoint)| checkpoint).collect(),
    };
    // The largest one that the quorum has cosigned.
    let mut met: Option<u64> = None;
    for checkpoint in candidates {
        let (is_met, doubts) = witnessed(policy, checkpoint);
        for (check, reason) in doubts {
            found.settle(check).find(Verdict::Fail, reason);
        }
        met = met.max(is_met.then_some(checkpoint.checkpoint().head.size));
    }
    let broken = found.has_failed(Check::Key) || found.has_failed(Check::Rollback);
    match met {
        None => found.settle(Check::Fork).find(Verdict::Unknown, no_quorum()),
        Some(_) if broken => {
            found.find(Check::Fork, Verdict::Fail, "FORK", "the witnesses saw another history than this ledger's");
        }
        Some(0) => found.settle(Check::Fork).find(Verdict::Unknown, empty_anchor("the cosigned checkpoint")),
        Some(size) => {
            let msg = format!("the witnesses saw {size} of {events} events");
            found.find(Check::Fork, Verdict::Pass, "COVERED", msg);
        }
    }
    met.filter(|_| !broken)
}

fn check_expected(
    store: &dyn ReadTransaction,
    run: &RunId,
    seq: Seq,
    hash: &EventHash,
    found: &mut Settled,
) -> Result<()> {
    let mut is = None;
    store.event(run, seq, &mut |row| {
        // Hashed here, as the audit may have been of other runs.
        is = Some(sound_event(run, row, &mut Scratch::default()).ok().map(|envelope| envelope.hash));
    })?;
    match is {
        Some(Some(is)) if is == *hash => {}
        Some(_) => {
            let msg = format!("event {seq} of run {run} has not the hash that was expected");
            found.find(Check::Key, Verdict::Fail, "UNEXPECTED_HASH", msg);
        }
        None => {
            let mut known = false;
            store.head(run, &mut |_| known = true)?;
            let check = if known { Check::Tail } else { Check::Runs };
            found.find(check, Verdict::Fail, "EXPECTED_MISSING", format!("run {run} has no event {seq}"));
        }
    }
    Ok(())
}
