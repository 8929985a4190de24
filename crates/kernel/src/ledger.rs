//! The ledger: opens a store, starts and resumes runs, reads them back. The one place that orders the steps.
//!
//! Every write goes the same way, inside one write transaction: the head is read and checked, the stage graph is asked,
//! the draft is sealed behind the head, its bytes are stored, and the call returns when they are durable.

use crate::read::head::read_commitment;
use crate::read::head::sound_event;
use crate::read::run::{finish, has_row, read_facts};
use crate::read::snapshot::take_snapshot;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::evidence::redact::{Redactor, Rules};
use crate::read::evidence;
use crate::read::evidence::ledger::Row;
use crate::read::imports::Imports;
use crate::read::pool;
use crate::store::sqlite::SqliteStore;
use crate::store::{self, Scope, Snapshot, Store, StoreErrorKind, Visit, WriteTransaction, memory::MemoryStore};
use crate::write::{Gate, RunWriter};
use receipt_core::canonical;
use receipt_core::envelope::{Actor, Scratch};
use receipt_core::evidence::{BlobFact, BlobRecord};
use receipt_core::id::{BlobHash, RunId, Seq, Timestamp};
use receipt_core::json::{self, Limits, Object, Value};
use receipt_core::policy::{Evaluation, Invariants, Policy};
use receipt_core::run::{Event, RunFacts, RunReader, Snapshot as RunSnapshot};
use receipt_core::verdict::Verdict;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The largest event, in bytes of its canonical text, that this kernel writes.
pub const MAX_EVENT: u64 = 1 << 20;

/// Under which name a ledger keeps its own redaction rules.
const RULES: &str = "redaction_rules";
/// What a ledger is set to, beside the proofs that came with imported runs.
pub(crate) const SETTINGS: [&str; 5] = [RULES, "retention", "recipients", "origin", "imports"];

/// A ledger of runs. Clones share the same store; it may be used from many threads.
///
/// ```
/// use receipt_kernel::{Actor, Append, EventType, Ledger, Object, Policy, Put, Verdict};
///
/// let ledger = Ledger::in_memory();
/// let mut run = ledger.start("build-1", Policy::structural()?, Actor::new("system", "ci"), Object::new())?;
/// run.advance("COLLECT", "collecting")?;
/// run.put("log", b"all 12 tests passed\n", Put::text())?;
/// run.advance("EVALUATE", "done collecting")?;
/// let evaluation = run.evaluate()?;
/// assert_eq!(evaluation.overall_verdict, Verdict::Pass);
/// run.advance("DECIDE", "evaluated")?;
/// run.decide("ship", &["the tests pass"], "release it")?;
/// assert_eq!(run.finalize("released")?, Verdict::Pass);
/// assert_eq!(ledger.audit()?.overall_verdict(), Verdict::Pass);
/// # Ok::<(), receipt_kernel::Error>(())
/// ```
#[derive(Clone)]
pub struct Ledger {
    pub(crate) store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// What redacts, once it is known.
    redactor: Arc<OnceLock<Redactor>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("location", &self.store.location()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Makes a new ledger file, readable by its owner only, and its folder where there is none.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file; [`Error::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::over(Arc::new(SqliteStore::create(path.as_ref())?)))
    }

    /// The same, of a ledger that holds public evidence compressed (zstd) where that pays. Nothing else about it is
    /// different, but that the Python package cannot read it, and is refused.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_compressed(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::over(Arc::new(SqliteStore::create_compressed(path.as_ref())?)))
    }

    /// Opens the ledger file that is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], so that a typo makes no new ledger; [`Error::NotALedger`], [`Error::NewerSchema`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::over(Arc::new(SqliteStore::open(path.as_ref())?)))
    }

    /// Opens the ledger file that is there, or makes it.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::create`].
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match Self::open(path) {
            Err(Error::NotFound { .. }) => match Self::create(path) {
                // Another process was quicker.
                Err(Error::Exists { .. }) => Self::open(path),
                created => created,
            },
            opened => opened,
        }
    }

    /// Opens the ledger file that is there to read only, and to change nothing about it, not even its schema.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::over(Arc::new(SqliteStore::open_read_only(path.as_ref())?)))
    }

    /// A ledger that lives as long as this value and its clones.
    pub fn in_memory() -> Self {
        Self::over(Arc::new(MemoryStore::default()))
    }

    /// A ledger over any store.
    pub fn over(store: Arc<dyn Store>) -> Self {
        Self { store, clock: Arc::new(SystemClock), redactor: Arc::default() }
    }

    /// The same ledger with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same ledger, where what is recorded is redacted by this, whatever rules the ledger has.
    #[must_use]
    pub fn with_redactor(self, redactor: Redactor) -> Self {
        Self { redactor: Arc::new(OnceLock::from(redactor)), ..self }
    }

    /// What redacts that which is recorded: the built-in rules and the ledger's own. They are read once, when this value
    /// or a clone of it first records something.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`] where the ledger's own are not understood: then nothing is recorded; where the store cannot
    /// be read.
    pub fn redactor(&self) -> Result<Redactor> {
        if let Some(known) = self.redactor.get() {
            return Ok(known.clone());
        }
        let redactor = match self.own_rules()? {
            None => Redactor::builtin().clone(),
            Some(text) => Redactor::new(Rules::builtin()?.with(&text)?)?,
        };
        Ok(self.redactor.get_or_init(|| redactor).clone())
    }

    /// What every text goes through on its way into an event of this ledger.
    ///
    /// # Errors
    /// As [`Self::redactor`].
    pub fn gate(&self) -> Result<Gate> {
        self.redactor().map(Gate::new)
    }

    /// The ledger's own rules, as they were set.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn own_rules(&self) -> Result<Option<String>> {
        let Some(json) = self.look()?.view().setting(RULES)? else { return Ok(None) };
        let value = json::parse(json.as_bytes(), Limits::READ)?;
        let text = value.as_str().ok_or_else(|| Error::RulesInvalid {
            at: "the ledger's own".to_owned(),
            problem: "they are stored as no text".to_owned(),
        })?;
        Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
    }

    /// Sets the ledger's own rules, in place of those before; with none the built-in ones alone count. Who has the ledger
    /// open already redacts as before until it is opened again.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`], and [`Error::SecretName`] for a text with a secret in it: nothing is changed; where the
    /// store cannot be written.
    pub fn set_own_rules(&self, text: Option<&str>) -> Result<Redactor> {
        let text = text.unwrap_or_default();
        let redactor = Redactor::new(Rules::builtin()?.with(text)?)?;
        // The text is stored as it is. What only its own rules find in it are their examples.
        let gates = [Redactor::builtin().clone(), redactor.clone()].map(Gate::new);
        if gates.iter().all(|gate| gate.name("a text of the rules", text).is_err()) {
            return Err(Error::SecretName { what: "a text of the rules" });
        }
        let json = canonical::to_bytes(&Value::from(text), Limits::WRITE)?;
        self.transact_anew(Scope::Ledger, |transaction| transaction.set(RULES, &String::from_utf8_lossy(&json)))?;
        Ok(redactor)
    }

    /// The ledger at one instant.
    pub(crate) fn look(&self) -> Result<Box<dyn Snapshot + '_>> {
        pool::one(self.store.as_ref())
    }

    /// Starts a run: its row and its RUN_START, which commits to the policy and its stage graph in full, are durable
    /// when this returns. `meta` is what the caller wants to say about the run; secrets in it are redacted.
    ///
    /// # Errors
    /// [`Error::RunExists`]; [`Error::Input`] for an id, policy or meta that cannot be recorded.
    pub fn start(&self, run_id: &str, policy: Policy, actor: Actor, meta: Object) -> Result<RunWriter> {
        let start = self.gate()?.start(self, run_id, policy, actor, meta, None)?;
        let run = start.run_id().clone();
        self.transact(Scope::Run(&run), |transaction| start.write(transaction))
    }

    /// Takes up a run that was started, here or in another process.
    ///
    /// # Errors
    /// [`Error::RunNotFound`]; [`Error::RunUncommitted`] for a run of the Python package; [`Error::RunBroken`].
    pub fn resume(&self, run_id: &str, actor: Actor) -> Result<RunWriter> {
        let run_id = RunId::new(run_id);
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let policy = read_commitment(transaction.as_ref(), &run_id)?;
        let gate = self.gate()?;
        let actor = gate.actor(actor);
        Ok(RunWriter::new(self.clone(), gate, run_id, policy, actor))
    }

    /// Finalizes an interrupted run as UNKNOWN, whatever stage it is in; as FAIL where that is what it was judged. Evidence
    /// that was coming in when the recorder was ended is put on record first, as far as it had come.
    ///
    /// # Errors
    /// As [`Self::resume`]; [`Error::RunFinalized`]; [`Error::BeingRecorded`] while the recorder lives; [`Error::Io`] if
    /// what it left cannot be read.
    pub fn recover(&self, run_id: &str, actor: Actor) -> Result<Verdict> {
        let mut run = self.resume(run_id, actor)?;
        run.stage()?;
        run.take_in_what_was_left()?;
        run.finalize_interrupted()
    }

    /// A run as it is now: checked, typed, with what is known of its evidence. `reads` names the evidence keys whose
    /// bytes are wanted; see [`Policy::reads`].
    ///
    /// # Errors
    /// [`Error::RunNotFound`], and where the store cannot be read.
    pub fn snapshot(&self, run_id: &str, reads: &[&str]) -> Result<RunSnapshot> {
        let run_id = RunId::new(run_id);
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let snapshot = take_snapshot(transaction.as_ref(), &run_id, reads)?;
        if snapshot.facts().events == 0 && !has_row(transaction.as_ref(), &run_id)? {
            return Err(Error::no_run(run_id.as_str()));
        }
        Ok(snapshot)
    }

    /// A run's events one by one, in the order of their rows, in memory that does not grow with the run; and what
    /// reading them showed. Its evidence is not looked at; see [`Self::snapshot`].
    ///
    /// # Errors
    /// [`Error::RunNotFound`], and where the store cannot be read.
    pub fn events(&self, run_id: &str, visit: &mut dyn FnMut(Event)) -> Result<RunFacts> {
        let run_id = RunId::new(run_id);
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let mut reader = RunReader::new(run_id.clone());
        transaction.events(&run_id, &mut |row| {
            if let Some(envelope) = reader.read(row) {
                visit(Event::from_envelope(&envelope));
            }
            Visit::Continue(())
        })?;
        let facts = finish(transaction.as_ref(), &run_id, |row| reader.finish(row))?;
        if facts.events == 0 && !has_row(transaction.as_ref(), &run_id)? {
            return Err(Error::no_run(run_id.as_str()));
        }
        Ok(facts)
    }

    /// Judges a run as it is now by a policy, or by the one that it committed to, and records nothing.
    ///
    /// # Errors
    /// As [`Self::snapshot`]; [`Error::RunUncommitted`] where no policy is given and the run committed to none.
    pub fn evaluate(&self, run_id: &str, policy: Option<&Policy>) -> Result<Evaluation> {
        if let Some(policy) = policy {
            return Ok(policy.evaluate(&self.snapshot(run_id, &policy.reads())?));
        }
        let snapshot = self.snapshot(run_id, &[])?;
        let committed = snapshot.facts().commitment.as_ref();
        let rules = Invariants::of(committed.ok_or_else(|| Error::RunUncommitted { run: run_id.to_owned() })?);
        Ok(rules.evaluate(&self.snapshot(run_id, &rules.reads())?))
    }

    /// Every run, each read whole and checked, in the order of their ids.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn runs(&self, visit: &mut dyn FnMut(&RunId, RunFacts) -> Visit) -> Result<()> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let mut failed = Ok(());
        transaction.runs(&mut |id, _| {
            // An id that is not text cannot be named; the audit reports it.
            let Some(run_id) = id.as_str().map(RunId::new) else { return Visit::Continue(()) };
            match read_facts(transaction.as_ref(), &run_id) {
                Ok(facts) => visit(&run_id, facts),
                Err(error) => {
                    failed = Err(error);
                    Visit::Break(())
                }
            }
        })?;
        failed
    }

    /// Whether there is a run of this id. It costs the same however many there are.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn has_run(&self, run_id: &str) -> Result<bool> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        has_row(transaction.as_ref(), &RunId::new(run_id))
    }

    /// The id of every run and when its first event says that it began, without reading further than that.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn run_ids(&self, visit: &mut dyn FnMut(RunId, Option<Timestamp>) -> Visit) -> Result<()> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let mut failed = Ok(());
        transaction.runs(&mut |id, _| {
            let Some(run_id) = id.as_str().map(RunId::new) else { return Visit::Continue(()) };
            let mut started = None;
            let read = transaction.event(&run_id, Seq::FIRST, &mut |row| {
                let mut scratch = Scratch::default();
                let ts = sound_event(&run_id, row, &mut scratch).ok().map(|envelope| envelope.ts());
                started = ts.as_ref().and_then(|ts| ts.as_str()).and_then(Timestamp::parse);
            });
            match read {
                Ok(()) => visit(run_id, started),
                Err(error) => {
                    failed = Err(error);
                    Visit::Break(())
                }
            }
        })?;
        failed
    }

    /// What is on record of a blob, where its row can be read as a record, and what was found where its bytes should
    /// lie: they are hashed.
    ///
    /// # Errors
    /// [`Error::BlobNotFound`], and where the store cannot be read.
    pub fn blob_record(&self, hash: &BlobHash) -> Result<(Option<BlobRecord>, BlobFact)> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let (row, fact) = (Row::read(transaction.as_ref(), hash)?, evidence::ledger::fact(transaction.as_ref(), hash)?);
        match fact {
            BlobFact::Missing => Err(Error::BlobNotFound { blob: hash.to_string() }),
            fact => Ok((row.record(hash), fact)),
        }
    }

    /// The runs that were imported, and those that this ledger wrote to say so: what a user started here is neither.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn imported(&self) -> Result<BTreeSet<RunId>> {
        Ok(Imports::read(self.look()?.view().as_ref())?.all())
    }

    /// The blobs whose address begins with these hexadecimal digits, at most `limit` of them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn blobs_beginning(&self, digits: &str, limit: usize) -> Result<Vec<BlobHash>> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        let mut found = Vec::new();
        transaction.blobs(&mut |id| {
            let text = id.text().filter(|text| text.starts_with(digits.as_bytes()));
            found.extend(text.and_then(BlobHash::parse_bytes));
            if found.len() < limit { Visit::Continue(()) } else { Visit::Break(()) }
        })?;
        Ok(found)
    }

    /// A blob's bytes, hashed again.
    ///
    /// # Errors
    /// [`Error::BlobNotFound`]; [`Error::BlobUnavailable`] where they are gone, changed, or over 64 MiB (use
    /// [`Self::copy_blob`]).
    pub fn blob(&self, hash: &BlobHash) -> Result<Arc<[u8]>> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        store::blob_bytes(transaction.as_ref(), hash)
    }

    /// Writes a blob's bytes out in pieces. They are hashed first: nothing is written of a blob that was changed.
    ///
    /// # Errors
    /// As [`Self::blob`], and where `out` cannot be written.
    pub fn copy_blob(&self, hash: &BlobHash, out: &mut dyn std::io::Write) -> Result<()> {
        let snapshot = self.look()?;
        let transaction = snapshot.view();
        store::check_blob(transaction.as_ref(), hash)?;
        let mut written = Ok(());
        transaction.blob_bytes(hash, &mut |piece| {
            if written.is_ok() {
                written = out.write_all(piece);
            }
        })?;
        written.map_err(|source| Error::Io { path: "the output".into(), source })
    }

    /// Copies a ledger file whole while others go on writing; see [`SqliteStore::backup`].
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`].
    pub fn backup(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        SqliteStore::open_read_only(from)?.backup(to, progress)
    }

    /// Runs `write` in one write transaction; nothing of it remains where it fails.
    pub(crate) fn transact<T>(
        &self,
        scope: Scope<'_>,
        write: impl FnOnce(&mut dyn WriteTransaction) -> Result<T>,
    ) -> Result<T> {
        transact_once(self.store.as_ref(), scope, write)
    }

    /// The same, and once more where the first commit is known to have reached nobody.
    pub(crate) fn transact_anew<T>(
        &self,
        scope: Scope<'_>,
        mut write: impl FnMut(&mut dyn WriteTransaction) -> Result<T>,
    ) -> Result<T> {
        let store = self.store.as_ref();
        match transact_once(store, scope, &mut write) {
            Err(Error::Store(error)) if error.kind() == StoreErrorKind::Detached => transact_once(store, scope, write),
            done => done,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// [`StoreErrorKind::Detached`] here means that what was written is not in the ledger.
fn transact_once<T>(
    store: &dyn Store,
    scope: Scope<'_>,
    write: impl FnOnce(&mut dyn WriteTransaction) -> Result<T>,
) -> Result<T> {
    let mut transaction = store.begin(scope)?;
    let done = write(transaction.as_mut())?;
    let last = transaction.last_event();
    match transaction.commit() {
        Err(Error::Store(error)) if error.kind() == StoreErrorKind::Detached => {
            // Whoever removed the log has copied it into the database before: up to here, or further.
            let Some((event, hash)) = last else { return Err(error.into()) };
            let mut recorded = false;
            pool::one(store)?.view().event(&event.run_id, event.seq, &mut |row| {
                // Its bytes decide. Whoever took the log away may have written the column.
                let found = sound_event(&event.run_id, row, &mut Scratch::default()).map(|it| it.hash);
                recorded = found.is_ok_and(|found| found == hash);
            })?;
            if recorded { Ok(done) } else { Err(error.into()) }
        }
        committed => committed.map(|()| done),
    }
}
