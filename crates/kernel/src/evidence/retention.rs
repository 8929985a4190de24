//! Retention: how long evidence is kept, and its removal with a receipt for each blob.
//!
//! What is to be kept how long is data in the ledger ([`Retention`]). [`Ledger::retain`] removes what is due, in batches:
//! in one transaction the bytes go, the state changes, and a BLOB_EXPIRE event of a maintenance run says so. Whoever is
//! killed at any point leaves bytes that are there, or bytes that are gone and receipted; never anything between.
//!
//! A blob is due when *now* is later than its last put plus its time to live plus the grace. When that was, the `ts` of hashed
//! events says, of runs that verify; what a run speaks of that does not is left alone. No column of a row says it.

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::read::evidence::Evidence;
use crate::read::imports::Imports;
use crate::read::receipts::Removals;
use crate::read::run::{finish, show};
use crate::store::{self, ReadTransaction, Visit};
use crate::write::maintenance::{End, Kind};
use crate::write::{Clean, OpenRun, RunWriter};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, EventType};
use receipt_core::evidence::{BlobFact, BlobState, EvidenceClass};
use receipt_core::id::{BlobHash, BlobRef, RunId, Timestamp};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::payload::{BlobExpire, Cause};
use receipt_core::run::{Cell, RunReader};
use receipt_core::verdict::Reason;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Under which name the ledger keeps its retention.
const SETTING: &str = "retention";

/// How many blobs the first transaction removes.
const BATCH: usize = 256;

/// How many problems a plan keeps; beyond them it only counts.
const MAX_PROBLEMS: usize = 1000;

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// It is never removed. As a number: -1.
    Forever,
    /// This many seconds; with 0 it is due as soon as it is there.
    Seconds(u64),
}

impl Ttl {
    /// From seconds, where anything below 0 is for ever.
    pub fn from_seconds(seconds: i64) -> Self {
        u64::try_from(seconds).map_or(Self::Forever, Self::Seconds)
    }

    fn to_value(self) -> Value {
        match self {
            Self::Forever => Value::from(-1),
            Self::Seconds(seconds) => seconds.into(),
        }
    }

    /// The longer of the two.
    fn longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Seconds(a), Self::Seconds(b)) => Self::Seconds(a.max(b)),
            _ => Self::Forever,
        }
    }

    /// The last instant at which what came at `since` is kept; `None` where it is kept for ever, or longer than instants
    /// can say.
    pub fn until(self, since: Timestamp, grace_seconds: u64) -> Option<Timestamp> {
        let Self::Seconds(seconds) = self else { return None };
        let kept = i128::from(seconds) + i128::from(grace_seconds);
        let at = i64::try_from(i128::from(since.as_micros()) + kept * 1_000_000).ok()?;
        let until = Timestamp::from_micros(at);
        (until.as_micros() == at).then_some(until)
    }
}

/// How long a ledger keeps its evidence.
///
/// ```
/// use receipt_kernel::{Retention, Ttl};
///
/// let retention = Retention { sealed: Ttl::Seconds(3600), ..Retention::default() };
/// assert_eq!(Retention::from_value(&retention.to_value())?, retention);
/// # Ok::<(), receipt_kernel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of public evidence.
    pub public: Ttl,
    /// Of sealed evidence.
    pub sealed: Ttl,
    /// How long after its removal a blob is `expired_hash_only`, before it is `purged`.
    pub hash: Ttl,
    /// Seconds that everything is kept beyond its time.
    pub grace_seconds: u64,
    /// By the key that evidence was put under, in place of its class's; a key that ends in `*` stands for all that begin
    /// so. Of several that apply to a blob the longest counts.
    pub keys: BTreeMap<String, Ttl>,
    /// Runs whose evidence is not removed, and why.
    pub holds: BTreeMap<String, String>,
}

impl Default for Retention {
    /// Everything for ever: nothing is removed that nobody has set a time for. The documents that invariants read have that
    /// by their keys, so that a run can be judged again after its bulk has gone.
    fn default() -> Self {
        let kept = ["claims_map", "final_output", "tool_trace", "exit_status"];
        Self {
            public: Ttl::Forever,
            sealed: Ttl::Forever,
            hash: Ttl::Forever,
            grace_seconds: 0,
            keys: kept.iter().map(|key| ((*key).to_owned(), Ttl::Forever)).collect(),
            holds: BTreeMap::new(),
        }
    }
}

/// What a retention's value has, and nothing else.
const FIELDS: [&str; 6] =
    ["public_ttl_seconds", "sealed_ttl_seconds", "hash_retention_seconds", "grace_seconds", "keys", "holds"];

impl Retention {
    /// The time to live of a class.
    pub const fn ttl_for_class(&self, class: EvidenceClass) -> Ttl {
        match class {
            EvidenceClass::Public => self.public,
            EvidenceClass::Sealed => self.sealed,
        }
    }

    /// The last instant at which evidence of a class that was put under a key is kept; `None` as [`Ttl::until`] says.
    pub(crate) fn until(&self, key: &str, class: EvidenceClass, put: Timestamp) -> Option<Timestamp> {
        self.ttl_for_key(key).unwrap_or_else(|| self.ttl_for_class(class)).until(put, self.grace_seconds)
    }

    fn ttl_for_key(&self, key: &str) -> Option<Ttl> {
        let begins = |pattern: &str| pattern.strip_suffix('*').is_some_and(|head| key.starts_with(head));
        let all = || self.keys.iter().filter(|(pattern, _)| begins(pattern)).map(|(_, ttl)| *ttl);
        self.keys.get(key).copied().or_else(|| all().reduce(Ttl::longer))
    }

    /// `{"public_ttl_seconds", "sealed_ttl_seconds", "hash_retention_seconds", "grace_seconds", "keys": {KEY: seconds},
    /// "holds": {RUN: reason}}`, with -1 for ever.
    pub fn to_value(&self) -> Value {
        let keys = self.keys.iter().map(|(key, ttl)| (key.as_str(), ttl.to_value()));
        let holds = self.holds.iter().map(|(run, reason)| (run.as_str(), Value::from(reason.as_str())));
        Object::from_iter([
            ("public_ttl_seconds", self.public.to_value()),
            ("sealed_ttl_seconds", self.sealed.to_value()),
            ("hash_retention_seconds", self.hash.to_value()),
            ("grace_seconds", self.grace_seconds.into()),
            ("keys", keys.collect::<Object>().into()),
            ("holds", holds.collect::<Object>().into()),
        ])
        .into()
    }

    /// From what [`Self::to_value`] gives; what is left out is as in [`Self::default`], except that then nothing is kept
    /// by key.
    ///
    /// # Errors
    /// [`Error::RetentionInvalid`] for an unknown member, or one that is not whole seconds.
    pub fn from_value(value: &Value) -> Result<Self> {
        let object = value.as_object().ok_or_else(|| invalid("the top", "expected an object"))?;
        if let Some((key, _)) = object.iter().find(|(key, _)| !FIELDS.iter().any(|known| key == known)) {
            return Err(invalid(&key.to_string_lossy(), "there is no such member"));
        }
        let ttl = |name: &str, otherwise: Ttl| object.get(name).map_or(Ok(otherwise), |value| seconds(name, value));
        let named = |name: &str| object.get(name).map_or(Ok(Vec::new()), |value| members(name, value));
        let defaults = Self::default();
        let Ttl::Seconds(grace_seconds) = ttl("grace_seconds", Ttl::Seconds(0))? else {
            return Err(invalid("grace_seconds", "expected whole seconds from 0 on"));
        };
        let keys = named("keys")?.into_iter().map(|(key, value)| Ok((key.clone(), seconds(&key, value)?)));
        let holds = named("holds")?.into_iter().map(|(run, reason)| {
            let reason = reason.as_str().ok_or_else(|| invalid(&run, "expected a reason"))?;
            Ok((run, reason.to_owned()))
        });
        Ok(Self {
            public: ttl("public_ttl_seconds", defaults.public)?,
            sealed: ttl("sealed_ttl_seconds", defaults.sealed)?,
            hash: ttl("hash_retention_seconds", defaults.hash)?,
            grace_seconds,
            keys: keys.collect::<Result<_>>()?,
            holds: holds.collect::<Result<_>>()?,
        })
    }
}

fn invalid(at: &str, problem: &str) -> Error {
    Error::RetentionInvalid { at: at.to_owned(), problem: problem.to_owned() }
}

fn seconds(name: &str, value: &Value) -> Result<Ttl> {
    value.as_i64().map(Ttl::from_seconds).ok_or_else(|| invalid(name, "expected whole seconds, -1 for ever"))
}

fn members<'v>(name: &str, value: &'v Value) -> Result<Vec<(String, &'v Value)>> {
    let object = value.as_object().ok_or_else(|| invalid(name, "expected an object"))?;
    Ok(object.iter().map(|(key, value)| (key.to_string_lossy(), value)).collect())
}

/// A blob whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub hash: BlobHash,
    /// Its class.
    pub class: EvidenceClass,
    /// How many bytes it has, or had.
    pub bytes_len: u64,
    /// The state that it is in.
    pub from: BlobState,
    /// The state that it goes to.
    pub to: BlobState,
    /// The last instant at which it was kept.
    pub until: Timestamp,
}

/// What is due at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is due, in the order of the addresses.
    pub due: Vec<Due>,
    /// How many blobs would be due, were it not for a hold.
    pub held: u64,
    /// Rows that could not be judged; they are left alone.
    pub problems: Vec<Reason>,
    /// How many problems there were beyond those kept.
    pub more: u64,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// The maintenance run that has the receipts; `None` where nothing was due.
    pub run_id: Option<RunId>,
    /// How many blobs lost their bytes.
    pub expired: u64,
    /// How many went from `expired_hash_only` to `purged`.
    pub purged: u64,
    /// How many bytes were removed.
    pub bytes: u64,
    /// Rows that were left alone, and why.
    pub problems: Vec<Reason>,
    /// Whether no copy of what was removed is left in the ledger's files. Where somebody still reads what was before, a
    /// later [`Ledger::retain`] makes up for it.
    pub scrubbed: bool,
}

impl Ledger {
    /// How long this ledger keeps its evidence, where somebody has said so.
    ///
    /// # Errors
    /// [`Error::RetentionInvalid`] where what is stored is no retention; where the store cannot be read.
    pub fn retention(&self) -> Result<Option<Retention>> {
        read_retention(self.lock().read()?.as_ref())
    }

    /// Sets how long this ledger keeps its evidence: `change` is given what is set, or the default. Where it fails
    /// nothing is changed. The reasons of holds are redacted.
    ///
    /// # Errors
    /// What `change` fails with; [`Error::SecretName`] for a key; as [`Self::retention`]; where the store cannot be written.
    pub fn set_retention<E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Retention) -> Result<(), E>,
    ) -> Result<Retention, E> {
        let gate = self.gate()?;
        self.transact(|transaction| {
            let mut retention = read_retention(transaction)?.unwrap_or_default();
            if let Err(error) = change(&mut retention) {
                return Ok(Err(error));
            }
            retention.keys.keys().try_for_each(|key| gate.name("a key of evidence", key).map(drop))?;
            retention.holds.keys().try_for_each(|run| gate.name("the id of a run on hold", run).map(drop))?;
            for reason in retention.holds.values_mut() {
                *reason = gate.text(reason).into_inner();
            }
            let json = canonical::to_bytes(&retention.to_value(), Limits::WRITE)?;
            transaction.set(SETTING, &String::from_utf8_lossy(&json))?;
            Ok(Ok(retention))
        })?
    }

    /// What will be due at an instant, were nothing put until then. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::RetentionUnset`]; where the store cannot be read.
    pub fn plan_retention(&self, now: Timestamp) -> Result<Plan> {
        let mut store = self.lock();
        let transaction = store.read()?;
        let retention = read_retention(transaction.as_ref())?.ok_or(Error::RetentionUnset)?;
        plan(transaction.as_ref(), &retention, now)
    }

    /// Removes what is due now, with a receipt for each blob in a maintenance run of its own. `progress` is told how many
    /// blobs are done, of how many.
    ///
    /// # Errors
    /// [`Error::RetentionUnset`]; where the store cannot be read or written: what was removed until then is receipted.
    pub fn retain(&self, actor: &Actor, progress: &mut dyn FnMut(u64, u64)) -> Result<Retained> {
        let now = self.now();
        let plan = self.plan_retention(now)?;
        let mut done = Retained { problems: plan.problems.clone(), ..Retained::default() };
        if !plan.due.is_empty() {
            let retention = self.retention()?.ok_or(Error::RetentionUnset)?;
            let run = start(self, actor, &retention)?;
            done.run_id = Some(run.run_id().clone());
            let left = HashSet::new();
            Sweep { run, now, done: &mut done, retention, left, most: BATCH }.run(progress)?;
        }
        done.scrubbed = self.lock().scrub()?;
        Ok(done)
    }
}

fn read_retention(store: &dyn ReadTransaction) -> Result<Option<Retention>> {
    let Some(text) = store.setting(SETTING)? else { return Ok(None) };
    Retention::from_value(&json::parse(text.as_bytes(), Limits::READ)?).map(Some)
}

/// Starts the maintenance run, which commits to the retention that it applies.
fn start(ledger: &Ledger, actor: &Actor, retention: &Retention) -> Result<RunWriter> {
    let meta = Object::from_iter([("retention", retention.to_value())]);
    let mut run = ledger.maintain(Kind::Retain, actor, &meta)?;
    run.advance("COLLECT", "removing what is due")?;
    Ok(run)
}

/// The removal of what is due, batch by batch.
struct Sweep<'s> {
    run: RunWriter,
    now: Timestamp,
    done: &'s mut Retained,
    /// What the run commits to: if it is set anew meanwhile, the rest is left for another run.
    retention: Retention,
    /// What was left alone, as it stays due.
    left: HashSet<BlobHash>,
    /// How many blobs the next transaction removes. Each reads the ledger again, so that each does more than the one before.
    most: usize,
}

impl Sweep<'_> {
    fn run(mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let run = self.run.clone();
        loop {
            let left = run.transact(|run| self.batch(run))?;
            let done = self.done.expired + self.done.purged;
            progress(done, done + left);
            if left == 0 {
                break;
            }
        }
        let summary = format!("expired {} blobs, purged {}", self.done.expired, self.done.purged);
        let decision = ["retention", "the retention that RUN_START commits to", "none"];
        run.transact(|run| run.close(&End { reason: "removed what was due", decision, summary: &summary }))
    }

    /// One transaction: nothing that was put or held in the meantime is removed. Gives how many blobs are left to do.
    fn batch(&mut self, run: &mut OpenRun<'_>) -> Result<u64> {
        if read_retention(run.transaction)?.as_ref() != Some(&self.retention) {
            let msg = "how long evidence is kept was set anew: the rest is left for the next time";
            self.done.problems.push(Reason::new("RETENTION_CHANGED", msg));
            return Ok(0);
        }
        let mut due = plan(run.transaction, &self.retention, self.now)?.due;
        due.retain(|due| !self.left.contains(&due.hash));
        let rest = due.len().saturating_sub(self.most);
        due.truncate(self.most);
        self.most *= 2;
        let (mut expired, mut purged, mut bytes) = (0, 0, 0);
        for due in due {
            match due.from {
                BlobState::Live => match store::blob_fact(run.transaction, &due.hash, false) {
                    BlobFact::Intact { .. } => (expired, bytes) = (expired + 1, bytes + due.bytes_len),
                    fact => {
                        self.left.insert(due.hash);
                        self.done.problems.push(left_alone(&due.hash, fact));
                        continue;
                    }
                },
                _ => purged += 1,
            }
            remove(run, &due, self.now)?;
        }
        self.done.expired += expired;
        self.done.purged += purged;
        self.done.bytes += bytes;
        Ok(rest as u64)
    }
}

/// Bytes that are not what was put are evidence of tampering: they stay.
fn left_alone(hash: &BlobHash, fact: BlobFact) -> Reason {
    let (code, problem) = match fact {
        BlobFact::Corrupt => ("BLOB_HASH_MISMATCH", "its bytes are not what was put".to_owned()),
        BlobFact::Malformed { problem } => ("BLOB_MALFORMED", problem),
        BlobFact::Unreadable { problem } => ("READ_FAILURE", problem),
        _ => ("BLOB_MISSING", "its bytes are not there".to_owned()),
    };
    Reason::new(code, format!("left alone: {problem}")).at(BlobRef(*hash))
}

/// Removes a blob's bytes, changes its state, and says so.
fn remove(run: &mut OpenRun<'_>, due: &Due, now: Timestamp) -> Result<()> {
    if !run.transaction.expire_blob(&due.hash, due.from, due.to, now)? {
        return Err(Error::internal("a blob changed its state inside a transaction"));
    }
    let cause = Cause::Retention { kept_until: due.until };
    let payload = BlobExpire::to_object(due.hash, due.bytes_len, due.class, [due.from, due.to], cause);
    let draft = run.draft(EventType::BlobExpire, Clean::ours(payload)).blobs([BlobRef(due.hash)]);
    run.write(&draft).map(drop)
}

/// A blob whose time may be over.
struct Candidate {
    due: Due,
    /// When it was put last, or removed, by the event that says so.
    since: Option<Timestamp>,
    /// Whether a run that was recorded here put it: what imported runs say of it counts only if none did.
    own: bool,
    ttl: Option<Ttl>,
    held: bool,
    /// An event that speaks of it cannot be read, so that nobody knows how long it is to be kept.
    unclear: bool,
    /// The strictest class that an event put it under.
    said: Option<EvidenceClass>,
}

fn plan(store: &dyn ReadTransaction, retention: &Retention, now: Timestamp) -> Result<Plan> {
    let mut plan = Plan::default();
    let (mut live, mut gone): (HashMap<BlobHash, Candidate>, Vec<Candidate>) = Default::default();
    let mut failed = Ok(());
    store.blobs(&mut |id| {
        let Some(hash) = id.text().and_then(BlobHash::parse_bytes) else {
            plan.problem(Reason::new(
                "BLOB_MALFORMED",
                format!("a blob has the address {:?}, which is no hash", show(id)),
            ));
            return Visit::Continue(());
        };
        match candidate(store, &hash) {
            Ok(Some(candidate)) if candidate.due.from == BlobState::Live => {
                live.insert(hash, candidate);
            }
            Ok(Some(candidate)) => gone.push(candidate),
            Ok(None) => {}
            Err(Error::BlobUnavailable { problem, .. }) => {
                plan.problem(Reason::new("BLOB_MALFORMED", format!("left alone: {problem}")).at(BlobRef(hash)));
            }
            Err(error) => {
                failed = Err(error);
                return Visit::Break(());
            }
        }
        Visit::Continue(())
    })?;
    failed?;
    // Its last put and the keys that it was put under say the rest, and of what is gone its receipt.
    let imports = Arc::new(Imports::read(store)?);
    uses(store, retention, &imports, &mut live, &mut plan)?;
    if !gone.is_empty() && retention.hash != Ttl::Forever {
        let removals = Removals::read(store, true, &imports)?;
        for mut candidate in gone {
            candidate.since = removals.excuse(store, &candidate.due.hash, None)?.map(|receipt| receipt.at);
            plan.judge(candidate, retention, now);
        }
    }
    for candidate in live.into_values() {
        plan.judge(candidate, retention, now);
    }
    plan.due.sort_unstable_by_key(|due| due.hash);
    Ok(plan)
}

impl Plan {
    fn problem(&mut self, problem: Reason) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn judge(&mut self, candidate: Candidate, retention: &Retention, now: Timestamp) {
        let Candidate { mut due, since, ttl, held, unclear, said, .. } = candidate;
        // What no event speaks of, nobody knows the time of: it stays.
        let Some(since) = since else { return };
        let until = match due.from {
            BlobState::Live => {
                let ttl = ttl.unwrap_or_else(|| retention.ttl_for_class(due.class));
                ttl.until(since, retention.grace_seconds)
            }
            _ => retention.hash.until(since, 0),
        };
        let Some(until) = until.filter(|until| now > *until) else { return };
        due.until = until;
        // How long it is kept hangs on its class, which is a column of a row that anybody with the file can change.
        if said.is_some_and(|said| said != due.class) {
            let msg = "left alone: its class is not the one that events say; `receipt verify` says more";
            return self.problem(Reason::new("EVIDENCE_ROW_MISMATCH", msg).at(BlobRef(due.hash)));
        }
        match (held, unclear) {
            (true, _) => self.held += 1,
            // The event has been reported.
            (false, true) => {}
            (false, false) => self.due.push(due),
        }
    }
}

/// What a blob's row says of how long it is kept; `None` for one that has no more states to go to.
fn candidate(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Option<Candidate>> {
    let mut found = Ok(None);
    store.blob(hash, &mut |row| {
        let word = |cell: Cell<'_>, what: &str| {
            cell.as_str().map(str::to_owned).ok_or_else(|| format!("its {what} is not text"))
        };
        found = (|| {
            let state = word(row.state, "state")?;
            let from = BlobState::parse(&state).ok_or_else(|| format!("its state is {state:?}"))?;
            let class = word(row.evidence_class, "class")?;
            let class = EvidenceClass::parse(&class).ok_or_else(|| format!("its class is {class:?}"))?;
            let to = match from {
                BlobState::Live => BlobState::ExpiredHashOnly,
                BlobState::ExpiredHashOnly => BlobState::Purged,
                BlobState::Purged => return Ok(None),
            };
            if (from == BlobState::Live) != row.stored_len.is_some() {
                return Err(format!("its state is {state:?}, which its bytes contradict"));
            }
            let bytes_len = row.bytes_len.integer().and_then(|length| u64::try_from(length).ok());
            let bytes_len = bytes_len.ok_or("its bytes_len is no length")?;
            let due = Due { hash: *hash, class, bytes_len, from, to, until: Timestamp::from_micros(0) };
            let (since, ttl, said) = (None, None, None);
            Ok(Some(Candidate { due, since, own: false, ttl, held: false, unclear: false, said }))
        })();
    })?;
    found.map_err(|problem: String| Error::BlobUnavailable { blob: hash.to_string(), problem })
}

/// Reads of every run which of the blobs it put, when and under which key. What a run speaks of that does not verify is left
/// alone.
fn uses(
    store: &dyn ReadTransaction,
    retention: &Retention,
    imports: &Imports,
    live: &mut HashMap<BlobHash, Candidate>,
    plan: &mut Plan,
) -> Result<()> {
    let mut runs = Vec::new();
    store.runs(&mut |id, _| {
        runs.extend(id.as_str().map(RunId::new));
        Visit::Continue(())
    })?;
    // Those that were imported come last.
    runs.sort_by_key(|run| imports.contains(run));
    for run in runs {
        let held = retention.holds.contains_key(run.as_str());
        let mut reader = RunReader::new(run.clone());
        let (mut puts, mut unclear, mut malformed) = (Vec::new(), Vec::new(), Vec::new());
        store.events(&run, &mut |row| {
            let Some(text) = row.envelope_json.text() else { return Visit::Continue(()) };
            // Whatever the event says, and however it says it.
            let spoken_of = |hash: &BlobHash| live.contains_key(hash);
            let all = unclear.len();
            unclear.extend(named(text).filter(spoken_of));
            let put = reader.read(row).filter(|it| it.event_type == EventType::EvidencePut);
            if let Some(put) = put.map(|put| Evidence::of(&put)) {
                // Such an event cannot be trusted to say how long its blob is to be kept.
                let is_own = !imports.contains(&run);
                if is_own && let Some(reason) = put.malformed(reader.commitment().is_some()) {
                    let of_event = unclear.iter().skip(all).copied().collect::<Vec<_>>();
                    malformed.push((of_event, reason.at(format!("event://{run}/{}", put.seq))));
                }
                let known = put.blob().is_some_and(|(hash, _)| spoken_of(&hash));
                if known {
                    puts.push(put);
                }
            }
            Visit::Continue(())
        })?;
        let facts = finish(store, &run, |row| reader.finish(row))?;
        let sound = facts.is_clean();
        if !sound && !unclear.is_empty() {
            let why = facts.findings.first().map(|finding| finding.reason.msg.clone()).unwrap_or_default();
            let msg = format!("what it speaks of is left alone, as the run does not verify: {why}");
            plan.problem(Reason::new("EVIDENCE_MALFORMED", msg).at(format!("run://{run}")));
        }
        for hash in unclear {
            if let Some(candidate) = live.get_mut(&hash) {
                candidate.held |= held;
                candidate.unclear |= !sound;
            }
        }
        for (hashes, reason) in malformed.into_iter().filter(|(hashes, _)| !hashes.is_empty()) {
            plan.problem(reason);
            for hash in hashes {
                live.entry(hash).and_modify(|candidate| candidate.unclear = true);
            }
        }
        for put in puts {
            let Some(candidate) = put.blob().and_then(|(hash, _)| live.get_mut(&hash)) else { continue };
            if put.ts.is_none() && !imports.contains(&run) {
                candidate.unclear = true;
                let msg = "what it speaks of is left alone: its ts is no instant";
                plan.problem(Reason::new("EVIDENCE_MALFORMED", msg).at(format!("event://{run}/{}", put.seq)));
            }
            candidate.used(retention, &put, imports, &run);
        }
    }
    Ok(())
}

impl Candidate {
    fn used(&mut self, retention: &Retention, put: &Evidence, imports: &Imports, run: &RunId) {
        let imported = imports.contains(run);
        if imported && self.own {
            return;
        }
        self.own = !imported;
        let at = if imported { imports.at(run) } else { put.ts };
        let key = put.key().unwrap_or_default();
        let ttl = retention.ttl_for_key(key).unwrap_or_else(|| retention.ttl_for_class(self.due.class));
        self.ttl = Some(self.ttl.map_or(ttl, |held| held.longer(ttl)));
        self.since = self.since.max(at);
        self.said = self.said.max(put.class);
    }
}

/// The run on hold that refers to a blob, where there is one: then its bytes are not to be removed.
pub(super) fn held_by(store: &dyn ReadTransaction, hash: &BlobHash) -> Result<Option<String>> {
    let retention = read_retention(store)?.unwrap_or_default();
    for run in retention.holds.keys() {
        let mut refers = false;
        store.events(&RunId::new(run.as_str()), &mut |row| {
            refers |= row.envelope_json.text().is_some_and(|text| named(text).any(|named| named == *hash));
            if refers { Visit::Break(()) } else { Visit::Continue(()) }
        })?;
        if refers {
            return Ok(Some(run.clone()));
        }
    }
    Ok(None)
}

/// Every blob that a text refers to.
fn named(text: &[u8]) -> impl Iterator<Item = BlobHash> {
    const PREFIX: &[u8] = b"blob://sha256:";
    let hash = |at: usize| text.get(at + PREFIX.len()..at + PREFIX.len() + 64).and_then(BlobHash::parse_bytes);
    (0..text.len()).filter(|at| text[*at..].starts_with(PREFIX)).filter_map(hash)
}
