//! What a ledger alone cannot settle, settled by anchors from outside: checkpoints, the key, witnesses.
//!
//! The log says which event each leaf is; its stored leaves are believed only where they lead to an anchor's root. Each
//! event is compared with its leaf, so that what is missing or was made anew is named.

use crate::audit::{Check, CheckReport, Coverage, Report};
use crate::error::Result;
use crate::ledger::sound_event;
use crate::log::origin;
use crate::proof::{covers_nothing, empty_anchor, is_log_of, no_quorum, witnessed};
use crate::store::{ReadTransaction, Segment, Visit};
use receipt_core::canonical::Scratch;
use receipt_core::checkpoint::SignedCheckpoint;
use receipt_core::envelope::Envelope;
use receipt_core::id::{EventHash, NodeHash, RunId, Seq};
use receipt_core::merkle::{Frontier, TreeHead, leaf_hash};
use receipt_core::note::{KeyName, VerifierKey};
use receipt_core::run::{Cell, EventRow};
use receipt_core::verdict::{Reason, Verdict};
use receipt_core::witness::WitnessPolicy;
use std::collections::{BTreeMap, HashMap};

/// How many leaves a row of the tree holds.
const WIDTH: u64 = 256;

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

/// Settles in `report` what these anchors settle. `whole` says whether the report is of the whole ledger. If tables or rows
/// cannot be read, the report says UNKNOWN (READ_FAILURE).
pub(crate) fn settle(store: &dyn ReadTransaction, anchors: &Anchors, whole: bool, report: &mut Report) {
    let sound = |check| report.check(check).is_some_and(|found| found.verdict.is_success());
    // Of a whole ledger with nothing wrong the audit has just compared each recorded hash with the bytes, in this same
    // instant. Otherwise a column says nothing yet, and each event is hashed once more.
    let compared = whole && sound(Check::Content) && sound(Check::Columns);
    let hashes = if compared { Hashes::Compared } else { Hashes::Unknown };
    let mut found = Findings::default();
    match compare_all(store, anchors, (whole, hashes), &mut found) {
        Ok((origin, head)) => report.head = whole.then_some((origin, head)),
        Err(error) => {
            for check in [Check::Content, Check::Tail, Check::Runs, Check::Rollback] {
                found.find(check, Verdict::Unknown, "READ_FAILURE", error.to_string());
            }
        }
    }
    found.tell(report);
}

/// What the column `event_hash` is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashes {
    /// It was compared with the hashed bytes of each event.
    Compared,
    /// Nobody has compared it.
    Unknown,
}

/// One walk over the log and the events, and what each anchor says to it. Gives the log's name, and the head over all events.
fn compare_all(
    store: &dyn ReadTransaction,
    anchors: &Anchors,
    (whole, hashes): (bool, Hashes),
    found: &mut Findings,
) -> Result<(Option<KeyName>, TreeHead)> {
    let origin = origin(store).unwrap_or_default();
    let own = own_checkpoint(store, origin.as_ref(), found)?;
    let mut heads = signed_heads(anchors, origin.as_ref(), own.as_ref(), found);
    let outside = heads.len();
    // The ledger's own last checkpoint holds its log together, whether or not its signature says anything.
    heads.extend(own.iter().map(|own| ("the ledger's last checkpoint".to_owned(), own.checkpoint().head)));
    let mut walk = Walk::new(store, &heads, hashes);
    if whole || outside > 0 {
        walk.run(found)?;
    } else {
        // Of some runs, and against nothing from outside: nothing is settled, and what the log shows missing is missing
        // whatever the columns say.
        walk.hashes = Hashes::Compared;
        walk.logged(found)?;
    }
    let head = walk.frontier.head();
    for (index, (name, wanted)) in heads.iter().enumerate() {
        let holds = compare(&walk, name, wanted, index < outside, found);
        if holds && index < outside {
            found.cover(name, wanted.size, head.size);
        }
    }
    check_witnesses(anchors, own.as_ref(), head.size, found);
    for (run, seq, hash) in &anchors.expected {
        check_expected(store, run, *seq, hash, found)?;
    }
    Ok((origin, head))
}

/// What was found, before it is told in a report.
#[derive(Default)]
struct Findings {
    checks: BTreeMap<Check, CheckReport>,
    coverage: Vec<Coverage>,
}

impl Findings {
    /// An anchor that holds settles these checks, for as much as it covers.
    fn cover(&mut self, anchor: &str, events: u64, of: u64) {
        let coverage = Coverage { anchor: anchor.to_owned(), events, of };
        for check in [Check::Tail, Check::Runs, Check::Rollback, Check::Key] {
            self.find(check, Verdict::Pass, "COVERED", coverage.to_string());
        }
        self.coverage.push(coverage);
    }

    fn settle(&mut self, check: Check) -> &mut CheckReport {
        self.checks.entry(check).or_insert_with(|| CheckReport::pass(check))
    }

    fn find(&mut self, check: Check, verdict: Verdict, code: &'static str, msg: impl Into<String>) {
        self.settle(check).find(verdict, Reason::new(code, msg.into()));
    }

    fn has_failed(&self, check: Check) -> bool {
        self.checks.get(&check).is_some_and(|report| report.verdict == Verdict::Fail)
    }

    fn tell(self, report: &mut Report) {
        report.coverage.extend(self.coverage);
        for (check, found) in self.checks {
            let Some(entry) = report.checks.iter_mut().find(|entry| entry.check == check) else { continue };
            if entry.reasons.iter().any(|reason| reason.code == "NO_ANCHOR") {
                entry.verdict = Verdict::Pass;
                entry.reasons.clear();
            }
            entry.merge(found);
            entry.required = true;
        }
    }
}

/// The ledger's last checkpoint, where it is one of this log.
fn own_checkpoint(
    store: &dyn ReadTransaction,
    origin: Option<&KeyName>,
    found: &mut Findings,
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

/// The heads that can be relied on: of this log, and signed with the key where one was given.
fn signed_heads(
    anchors: &Anchors,
    origin: Option<&KeyName>,
    own: Option<&SignedCheckpoint>,
    found: &mut Findings,
) -> Vec<(String, TreeHead)> {
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
    if let (Some(key), Some(own)) = (&anchors.key, own) {
        is_signed(Some(key), own, "the ledger's last checkpoint", found);
    }
    if anchors.key.is_some() && heads.is_empty() {
        let msg = "a key alone does not tell an old history from a new one: a checkpoint kept outside would";
        found.find(Check::Key, Verdict::Unknown, "NO_CHECKPOINT", msg);
    }
    heads
}

fn is_signed(key: Option<&VerifierKey>, checkpoint: &SignedCheckpoint, name: &str, found: &mut Findings) -> bool {
    let Some(key) = key else { return true };
    let is_good = is_log_of(key, checkpoint);
    if !is_good {
        found.find(Check::Key, Verdict::Fail, "FOREIGN_KEY", format!("{name} is not signed with {key}"));
    }
    is_good
}

/// Compares a head with what the ledger leads to at its size. Gives whether it holds.
fn compare(walk: &Walk<'_>, name: &str, wanted: &TreeHead, outside: bool, found: &mut Findings) -> bool {
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

fn check_witnesses(anchors: &Anchors, own: Option<&SignedCheckpoint>, events: u64, found: &mut Findings) {
    let Some(policy) = &anchors.witnesses else { return };
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
}

fn check_expected(
    store: &dyn ReadTransaction,
    run: &RunId,
    seq: Seq,
    hash: &EventHash,
    found: &mut Findings,
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

/// What an event's bytes hash to, if they are of the place that the row has.
fn hash_of(run: &RunId, row: &EventRow<'_>, scratch: &mut Scratch) -> Option<EventHash> {
    let envelope = Envelope::read(row.envelope_json.text()?, scratch).ok()?;
    let is_here = envelope.is_of(run.as_str()) && row.seq.integer() == Some(envelope.seq.get());
    is_here.then_some(envelope.hash)
}

/// One pass over the log and over the events after it.
///
/// What the log says of itself (which events its leaves are, how many, up to which row) binds nothing. It is held to this: the
/// leaves of a run are its events from the first on, each once and in their order; so are those that come after, one by one.
/// If these are then as many as there are rows, they are the same set.
struct Walk<'a> {
    store: &'a dyn ReadTransaction,
    hashes: Hashes,
    frontier: Frontier,
    /// The roots at the sizes of the anchors.
    at: BTreeMap<u64, NodeHash>,
    wanted: Vec<u64>,
    row: Vec<u8>,
    /// How many events of each run the walk has come by: those from the first on.
    covered: HashMap<RunId, i64>,
    /// How many events of the log were met.
    met: u64,
}

impl<'a> Walk<'a> {
    fn new(store: &'a dyn ReadTransaction, heads: &[(String, TreeHead)], hashes: Hashes) -> Self {
        let mut walk = Self {
            store,
            hashes,
            frontier: Frontier::default(),
            at: BTreeMap::new(),
            wanted: heads.iter().map(|(_, head)| head.size).collect(),
            row: Vec::new(),
            covered: HashMap::new(),
            met: 0,
        };
        walk.note();
        walk
    }

    fn note(&mut self) {
        if self.wanted.contains(&self.frontier.head_size()) {
            let head = self.frontier.head();
            self.at.insert(head.size, head.root);
        }
    }

    fn run(&mut self, found: &mut Findings) -> Result<()> {
        if let Some(after) = self.logged(found)? {
            self.newer(after, found)?;
        }
        Ok(())
    }

    /// The leaves of the log; gives the last row that they cover, if they fit together.
    fn logged(&mut self, found: &mut Findings) -> Result<Option<i64>> {
        let last = self.store.last_checkpoint()?;
        let (size, after) = last.map_or((0, 0), |last| (last.size, last.last_event_id));
        let mut segments = Vec::new();
        self.store.segments(0, &mut |segment| {
            segments.push(segment);
            Visit::Continue(())
        })?;
        for segment in &segments {
            if !self.is_next(segment) || !self.segment(segment, found)? {
                let msg = format!("the log's rows do not fit together at leaf {}", self.frontier.head_size());
                found.find(Check::Content, Verdict::Fail, "LOG_MALFORMED", msg);
                return Ok(None);
            }
        }
        if self.frontier.head_size() != size {
            let msg = format!("the log has {} leaves, its last checkpoint {size}", self.frontier.head_size());
            found.find(Check::Content, Verdict::Fail, "LOG_MALFORMED", msg);
        }
        Ok(Some(after))
    }

    /// Whether a stretch begins where the log and its run have come to.
    fn is_next(&self, segment: &Segment) -> bool {
        let covered = self.covered.get(&segment.run_id).copied().unwrap_or(0);
        segment.count > 0
            && segment.first_leaf == self.frontier.head_size()
            && covered.checked_add(1) == Some(segment.first_seq.get())
    }

    /// The leaves of one stretch; false if the tree has not as many.
    fn segment(&mut self, segment: &Segment, found: &mut Findings) -> Result<bool> {
        let mut done = 0;
        while done < segment.count {
            let count = (segment.count - done).min(4096);
            let first = i64::try_from(done).ok().and_then(|done| segment.first_seq.get().checked_add(done));
            let Some(first) = first.and_then(Seq::new) else { return Ok(false) };
            let last = i64::try_from(count - 1).ok().and_then(|count| first.get().checked_add(count));
            let Some(last) = last.and_then(Seq::new) else { return Ok(false) };
            let hashes = self.hashes_of(&segment.run_id, first, last)?;
            let mut missing = Vec::new();
            for seq in first.get()..=last.get() {
                let index = self.frontier.head_size();
                let Some(leaf) = self.leaf(index)? else { return Ok(false) };
                match hashes.get(&seq) {
                    None => missing.push((index, seq)),
                    Some(hash) => {
                        self.met += 1;
                        if hash.as_ref().map(leaf_hash) != Some(leaf) {
                            let msg =
                                format!("event://{}/{seq} is not what the log has as leaf {index}", segment.run_id);
                            found.find(Check::Key, Verdict::Fail, "LEAF_CHANGED", msg);
                        }
                    }
                }
                if !self.frontier.push_leaf(leaf, |_, _| {}) {
                    return Ok(false);
                }
                self.note();
            }
            self.missing(&segment.run_id, &missing, found)?;
            self.covered.insert(segment.run_id.clone(), last.get());
            done += count;
        }
        Ok(true)
    }

    /// The hashes of a run's events from `first` to `last`, of each that is there.
    fn hashes_of(&self, run: &RunId, first: Seq, last: Seq) -> Result<BTreeMap<i64, Option<EventHash>>> {
        let mut hashes = BTreeMap::new();
        let before = Seq::new(first.get() - 1);
        let mut scratch = Scratch::default();
        match self.hashes {
            Hashes::Compared => self.store.hashes(run, first, last, &mut |seq, cell| {
                hashes.insert(seq, cell.text().and_then(EventHash::parse_bytes));
                Visit::Continue(())
            })?,
            Hashes::Unknown => self.store.events_between(run, before, Some(last), &mut |row| {
                if let Some(seq) = row.seq.integer().filter(|seq| (first.get()..=last.get()).contains(seq)) {
                    hashes.insert(seq, hash_of(run, row, &mut scratch));
                }
                Visit::Continue(())
            })?,
        }
        Ok(hashes)
    }

    fn leaf(&mut self, index: u64) -> Result<Option<NodeHash>> {
        if index.is_multiple_of(WIDTH) {
            self.row = self.store.log_tile(0, index / WIDTH)?.unwrap_or_default();
        }
        let from = usize::try_from(index % WIDTH).unwrap_or(0) * 32;
        let hash = self.row.get(from..from + 32).and_then(|hash| hash.try_into().ok());
        Ok(hash.map(NodeHash::from_bytes))
    }

    /// Names events that the log has and the ledger has not.
    fn missing(&self, run: &RunId, missing: &[(u64, i64)], found: &mut Findings) -> Result<()> {
        let (Some((first_leaf, first)), Some((last_leaf, last))) = (missing.first(), missing.last()) else {
            return Ok(());
        };
        let mut newest = None;
        self.store.head(run, &mut |row| newest = Some(row.seq.integer().unwrap_or(0)))?;
        let count = missing.len();
        let msg = format!(
            "run {run}: {count} events from {first} to {last} are missing (leaves {first_leaf} to {last_leaf})"
        );
        let (check, code) = match newest {
            None => (Check::Runs, "RUN_MISSING"),
            Some(newest) if *first > newest => (Check::Tail, "TAIL_MISSING"),
            Some(_) => (Check::Content, "EVENT_MISSING"),
        };
        found.find(check, Verdict::Fail, code, msg);
        Ok(())
    }

    /// The events that no checkpoint covers yet.
    fn newer(&mut self, after: i64, found: &mut Findings) -> Result<()> {
        let store = self.store;
        let (mut newer, mut failed) = (0, None);
        let mut scratch = Scratch::default();
        store.events_after(after, &mut |id, run, row| {
            newer += 1;
            failed = self.next(id, run, row, &mut scratch).err();
            if failed.is_some() { Visit::Break(()) } else { Visit::Continue(()) }
        })?;
        if let Some((code, msg)) = failed {
            found.find(Check::Content, Verdict::Fail, code, msg);
            return Ok(());
        }
        let (all, here) = (store.rows()?.events, self.met + newer);
        if all != here {
            let msg = format!(
                "the log leads to {here} of {all} events: others stand among those that it covers, and are not in it{}",
                self.first_hidden()?
            );
            found.find(Check::Content, Verdict::Fail, "UNLOGGED_EVENT", msg);
        }
        Ok(())
    }

    fn next(
        &mut self,
        id: i64,
        run: Cell<'_>,
        row: &EventRow<'_>,
        scratch: &mut Scratch,
    ) -> std::result::Result<(), (&'static str, String)> {
        let bad = || ("BAD_EVENT_HASH", format!("the event in row {id} has no hash"));
        let run = RunId::new(run.as_str().ok_or_else(bad)?);
        let hash = match self.hashes {
            Hashes::Compared => row.event_hash.text().and_then(EventHash::parse_bytes),
            Hashes::Unknown => hash_of(&run, row, scratch),
        };
        let hash = hash.ok_or_else(bad)?;
        let covered = self.covered.get(&run).copied().unwrap_or(0);
        if row.seq.integer().is_none() || row.seq.integer() != covered.checked_add(1) {
            let msg =
                format!("the event in row {id} of run {run} comes after {covered} others of it, and is not the next");
            return Err(("UNLOGGED_EVENT", msg));
        }
        if !self.frontier.push(&hash, |_, _| {}) {
            return Err(bad());
        }
        self.note();
        self.covered.insert(run, covered + 1);
        Ok(())
    }

    /// The first run, for a message, that has another length than the log knows of.
    fn first_hidden(&self) -> Result<String> {
        let mut named = String::new();
        let mut failed = None;
        self.store.runs(&mut |id, _| {
            let Some(run) = id.as_str().map(RunId::new) else { return Visit::Continue(()) };
            let mut length = 0;
            failed = self.store.head(&run, &mut |row| length = row.seq.integer().unwrap_or(0)).err();
            let covered = self.covered.get(&run).copied().unwrap_or(0);
            if length != covered {
                named = format!(" (run {run} has {length}, of which the log leads to {covered})");
            }
            if named.is_empty() && failed.is_none() { Visit::Continue(()) } else { Visit::Break(()) }
        })?;
        failed.map_or(Ok(named), Err)
    }
}
