//! Every backend does what the suite of the store asks, and a broken one does not.

mod file;

use crate::common::{actor, decision, start};
use crate::passing::log_reads;
use receipt_core::chain::Link;
use receipt_core::envelope::Sealed;
use receipt_core::evidence::{BlobRecord, BlobState};
use receipt_core::id::{BlobHash, EventRef, RunId, Seq, Timestamp};
use receipt_core::run::EventRow;
use receipt_kernel::store::memory::MemoryStore;
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{
    Arrival, BlobRow, Erasure, KeyRow, Limits, Location, LogRead, LogWrite, NewBlob, NewEvent, NewKey, NewRun, Outcome,
    Problem, ReadTransaction, Scope, Segment, Size, Snapshot, Store, StoreError, StoreErrorKind, StoredCheckpoint,
    Visit, VisitRun, WriteTransaction, conformance,
};
use receipt_kernel::{Error, Ledger, Verdict};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn the_store_in_memory_conforms() {
    let checked = conformance::check(&mut || {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        Ok([Arc::clone(&store), store])
    });
    checked.map_err(|failures| failures.to_string()).unwrap();
}

fn sqlite_conforms(create: fn(&Path) -> Result<SqliteStore, Error>) {
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    let checked = conformance::check(&mut || {
        made += 1;
        let path = folder.path().join(format!("{made}.db"));
        Ok([Arc::new(create(&path)?), Arc::new(SqliteStore::open(&path)?)])
    });
    checked.map_err(|failures| failures.to_string()).unwrap();
}

#[test]
fn the_store_over_sqlite_conforms() {
    sqlite_conforms(SqliteStore::create);
}

#[test]
fn the_store_over_sqlite_that_compresses_conforms() {
    sqlite_conforms(SqliteStore::create_compressed);
}

/// What is wrong with a store that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    LosesTheLastEvent,
    CommitsWhenDropped,
    CutsLargeEvidence,
    ForgetsKeys,
    TakesRunsTwice,
    ListsEventsBackwards,
    ReadsWithoutATransaction,
    HidesTheLastReceipt,
    CutsTheLog,
    KeepsNobodyOut,
    AppendsUnderNoKey,
    AppendsWhateverComes,
    SettlesTooEarly,
    SettlesNothing,
    NeverErases,
    TakesAnyBlob,
    OpensAnotherStore,
    KeepsOnlyItsOwnOut,
    SettlesOnlyItsOwn,
    /// No fault: it lies behind a network.
    IsRemote,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<MemoryStore>,
    fault: Fault,
    /// Whether it is the first handle of two.
    is_first: bool,
    /// How many write transactions were begun.
    begun: AtomicU64,
    /// Whether somebody else appends to run `r` right before the next append.
    overtaken: AtomicBool,
}

impl Broken {
    fn new(inner: Arc<MemoryStore>, fault: Fault, is_first: bool) -> Self {
        Self { inner, fault, is_first, begun: AtomicU64::new(0), overtaken: AtomicBool::new(false) }
    }
}

fn broken(fault: Fault) -> [Arc<dyn Store>; 2] {
    let inner = Arc::new(MemoryStore::default());
    let second = if fault == Fault::OpensAnotherStore { Arc::default() } else { Arc::clone(&inner) };
    [Arc::new(Broken::new(inner, fault, true)), Arc::new(Broken::new(second, fault, false))]
}

struct BrokenTransaction<'s> {
    store: &'s MemoryStore,
    /// What it sees while it has not written, if it keeps nobody out before it does.
    before: Option<Box<dyn Snapshot + 's>>,
    inner: Option<Box<dyn WriteTransaction + 's>>,
    last: Option<Sealed>,
    fault: Fault,
}

impl Store for Broken {
    fn location(&self) -> Location {
        self.inner.location()
    }

    fn limits(&self) -> Limits {
        Limits { is_remote: self.fault == Fault::IsRemote, ..self.inner.limits() }
    }

    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>, Error> {
        let snapshots = self.inner.snapshots(wanted)?.into_iter();
        let broken =
            |inner| Box::new(BrokenSnapshot { store: &self.inner, inner, fault: self.fault }) as Box<dyn Snapshot>;
        Ok(snapshots.map(broken).collect())
    }

    fn begin(&self, scope: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>, Error> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let (store, fault) = (&*self.inner, self.fault);
        let lazy = fault == Fault::KeepsNobodyOut || fault == Fault::KeepsOnlyItsOwnOut && !self.is_first;
        let before = if lazy { store.snapshots(1)?.pop() } else { None };
        let inner = if lazy { None } else { Some(store.begin(scope)?) };
        Ok(Box::new(BrokenTransaction { store, before, inner, last: None, fault }))
    }

    fn append(&self, events: &[NewEvent<'_>], expected: &Link, key: Option<NewKey<'_>>) -> Result<Outcome, Error> {
        if self.overtaken.swap(false, Ordering::Relaxed) {
            let others = Ledger::over(Arc::clone(&self.inner) as Arc<dyn Store>);
            others.resume("r", actor()).unwrap().append(decision("overtaken")).unwrap();
        }
        match self.fault {
            Fault::AppendsUnderNoKey => self.inner.append(events, expected, None),
            Fault::AppendsWhateverComes => {
                let mut transaction = self.inner.begin(Scope::Ledger)?;
                transaction.insert_events(events)?;
                transaction.commit()?;
                Ok(Outcome::Recorded)
            }
            _ => self.inner.append(events, expected, key),
        }
    }

    fn settled(&self) -> Result<Arrival, Error> {
        let Arrival(settled) = self.inner.settled()?;
        Ok(Arrival(match self.fault {
            Fault::SettlesTooEarly => settled + 1,
            Fault::SettlesNothing => 0,
            Fault::SettlesOnlyItsOwn if !self.is_first => 0,
            _ => settled,
        }))
    }

    fn inspect(&self) -> Result<Vec<Problem>, Error> {
        self.inner.inspect()
    }

    fn erase(&self) -> Result<Erasure, Error> {
        if self.fault == Fault::NeverErases {
            return Ok(Erasure::Blocked { by: "nobody".to_owned() });
        }
        self.inner.erase()
    }
}

/// One instant, or what is there whenever somebody looks.
struct BrokenSnapshot<'s> {
    store: &'s MemoryStore,
    inner: Box<dyn Snapshot + 's>,
    fault: Fault,
}

impl Snapshot for BrokenSnapshot<'_> {
    fn view(&self) -> Box<dyn ReadTransaction + '_> {
        if self.fault == Fault::ReadsWithoutATransaction {
            return Box::new(Unsteady(self.store));
        }
        Box::new(BrokenReads { inner: self.inner.view(), fault: self.fault })
    }
}

/// Passes the other reads on.
macro_rules! reads {
    ($self:ident) => {
        fn runs(&$self, visit: VisitRun<'_>) -> Result<(), Error> { $self.with(&mut |it: &dyn ReadTransaction| it.runs(visit)) }
        fn run(&$self, run: &RunId, visit: &mut dyn FnMut(&receipt_core::run::RunRow<'_>)) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.run(run, visit))
        }
        fn head(&$self, run: &RunId, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.head(run, visit))
        }
        fn event(&$self, run: &RunId, seq: Seq, visit: &mut dyn FnMut(&EventRow<'_>)) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.event(run, seq, visit))
        }
        fn blob(&$self, hash: &BlobHash, visit: &mut dyn FnMut(&BlobRow<'_>)) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.blob(hash, visit))
        }
        fn blob_bytes(&$self, hash: &BlobHash, visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.blob_bytes(hash, visit))
        }
        fn blobs(&$self, visit: &mut dyn FnMut(receipt_core::run::Cell<'_>) -> Visit) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.blobs(visit))
        }
        fn size(&$self) -> Result<Size, Error> { $self.with(&mut |it: &dyn ReadTransaction| it.size()) }
        fn rows(&$self) -> Result<Size, Error> { $self.with(&mut |it: &dyn ReadTransaction| it.rows()) }
        fn setting(&$self, name: &str) -> Result<Option<String>, Error> { $self.with(&mut |it: &dyn ReadTransaction| it.setting(name)) }
        fn key(&$self, run: &RunId, key: &str) -> Result<Option<KeyRow>, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.key(run, key))
        }
    };
}

type Expiries<'v> = &'v mut dyn FnMut(receipt_core::run::Cell<'_>, &EventRow<'_>) -> Visit;
type Events<'v> = &'v mut dyn FnMut(&EventRow<'_>) -> Visit;

/// Gives events backwards, or all receipts but one.
struct BrokenReads<'s> {
    inner: Box<dyn ReadTransaction + 's>,
    fault: Fault,
}

impl BrokenReads<'_> {
    fn with<T>(&self, read: &mut dyn FnMut(&dyn ReadTransaction) -> T) -> T {
        read(self.inner.as_ref())
    }
}

impl LogRead for BrokenReads<'_> {
    log_reads!(self);
}

impl ReadTransaction for BrokenReads<'_> {
    reads!(self);

    fn events(&self, run: &RunId, visit: Events<'_>) -> Result<(), Error> {
        if self.fault != Fault::ListsEventsBackwards {
            return self.inner.events(run, visit);
        }
        let mut seqs = Vec::new();
        self.inner.events(run, &mut |row| {
            seqs.extend(row.seq.integer().and_then(Seq::new));
            Visit::Continue(())
        })?;
        let mut stopped = false;
        for seq in seqs.into_iter().rev() {
            self.inner.event(run, seq, &mut |row| stopped = stopped || visit(row).is_break())?;
        }
        Ok(())
    }

    fn expiries(&self, visit: Expiries<'_>) -> Result<(), Error> {
        if self.fault != Fault::HidesTheLastReceipt {
            return self.inner.expiries(visit);
        }
        let mut left = 1;
        self.inner.expiries(&mut |run, row| {
            left -= 1;
            if left >= 0 { visit(run, row) } else { Visit::Break(()) }
        })
    }
}

/// Looks anew for each read.
struct Unsteady<'s>(&'s MemoryStore);

impl Unsteady<'_> {
    fn with<T>(&self, read: &mut dyn FnMut(&dyn ReadTransaction) -> Result<T, Error>) -> Result<T, Error> {
        read(self.0.snapshots(1)?.pop().unwrap().view().as_ref())
    }
}

impl LogRead for Unsteady<'_> {
    log_reads!(self);
}

impl ReadTransaction for Unsteady<'_> {
    reads!(self);

    fn events(&self, run: &RunId, visit: Events<'_>) -> Result<(), Error> {
        self.with(&mut |it| it.events(run, visit))
    }

    fn expiries(&self, visit: Expiries<'_>) -> Result<(), Error> {
        self.with(&mut |it| it.expiries(visit))
    }
}

impl BrokenTransaction<'_> {
    fn with<T>(&self, read: &mut dyn FnMut(&dyn ReadTransaction) -> T) -> T {
        match (&self.inner, &self.before) {
            (Some(inner), _) => read(inner.as_ref()),
            (None, before) => read(before.as_ref().unwrap().view().as_ref()),
        }
    }

    fn inner(&mut self) -> &mut dyn WriteTransaction {
        let store = self.store;
        self.inner.get_or_insert_with(|| store.begin(Scope::Ledger).unwrap()).as_mut()
    }
}

impl LogRead for BrokenTransaction<'_> {
    log_reads!(self);
}

impl LogWrite for BrokenTransaction<'_> {
    fn bind_log_meta(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.inner().bind_log_meta(key, value)
    }

    fn put_log_tile(&mut self, level: u8, index: u64, hashes: &[u8]) -> Result<(), Error> {
        self.inner().put_log_tile(level, index, hashes)
    }

    fn put_segment(&mut self, segment: &Segment) -> Result<(), Error> {
        if self.fault == Fault::CutsTheLog && segment.count > 3 {
            return Ok(());
        }
        self.inner().put_segment(segment)
    }

    fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint, now: Timestamp) -> Result<(), Error> {
        self.inner().put_checkpoint(checkpoint, now)
    }
}

impl ReadTransaction for BrokenTransaction<'_> {
    reads!(self);

    fn events(&self, run: &RunId, visit: Events<'_>) -> Result<(), Error> {
        self.with(&mut |it| it.events(run, visit))
    }

    fn expiries(&self, visit: Expiries<'_>) -> Result<(), Error> {
        self.with(&mut |it| it.expiries(visit))
    }
}

impl WriteTransaction for BrokenTransaction<'_> {
    fn insert_run(&mut self, run: &NewRun<'_>) -> Result<(), Error> {
        match self.inner().insert_run(run) {
            Err(Error::RunExists { .. }) if self.fault == Fault::TakesRunsTwice => Ok(()),
            done => done,
        }
    }

    fn insert_events(&mut self, events: &[NewEvent<'_>]) -> Result<(), Error> {
        if self.fault == Fault::LosesTheLastEvent {
            for NewEvent { event, created_at } in events {
                if let Some(before) = self.last.replace((*event).clone()) {
                    self.inner().insert_event(&before, *created_at)?;
                }
            }
            return Ok(());
        }
        self.inner().insert_events(events)
    }

    fn put_blob(&mut self, blob: &NewBlob<'_>, data: &mut dyn Read) -> Result<(), Error> {
        if self.fault == Fault::CutsLargeEvidence {
            let record = BlobRecord { bytes_len: blob.record.bytes_len.min(1 << 20), ..blob.record.clone() };
            return self.inner().put_blob(&NewBlob { record: &record, ..*blob }, data);
        }
        if self.fault == Fault::TakesAnyBlob && blob.record.bytes_len > 1 << 29 {
            return Ok(());
        }
        self.inner().put_blob(blob, data)
    }

    fn set_class(&mut self, blob: &BlobRecord) -> Result<(), Error> {
        self.inner().set_class(blob)
    }

    fn expire_blob(&mut self, hash: &BlobHash, from: BlobState, to: BlobState, at: Timestamp) -> Result<bool, Error> {
        self.inner().expire_blob(hash, from, to, at)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        self.inner().set(name, value)
    }

    fn insert_key(&mut self, run: &RunId, key: &str, row: KeyRow) -> Result<(), Error> {
        if self.fault == Fault::ForgetsKeys { Ok(()) } else { self.inner().insert_key(run, key, row) }
    }

    fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.inner.take().map_or(Ok(()), WriteTransaction::commit)
    }
}

impl Drop for BrokenTransaction<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| self.fault == Fault::CommitsWhenDropped) {
            inner.commit().unwrap();
        }
    }
}

#[test]
fn a_broken_store_does_not_conform() {
    let check = |fault| conformance::check(&mut || Ok(broken(fault)));
    for fault in [Fault::None, Fault::IsRemote] {
        check(fault).map_err(|failures| failures.to_string()).unwrap();
    }
    for (fault, case) in [
        (Fault::LosesTheLastEvent, "events come back byte for byte, in the order of their seq"),
        (Fault::CommitsWhenDropped, "a dropped transaction leaves nothing"),
        (Fault::CutsLargeEvidence, "blobs of any size come back byte for byte"),
        (Fault::ForgetsKeys, "a key stands for one event of one run"),
        (Fault::TakesRunsTwice, "a run is inserted once"),
        (Fault::ListsEventsBackwards, "events come back byte for byte, in the order of their seq"),
        (Fault::ReadsWithoutATransaction, "a read transaction sees one instant"),
        (Fault::ReadsWithoutATransaction, "snapshots that were taken together see one instant"),
        (Fault::KeepsNobodyOut, "a writer keeps others out of its scope"),
        (Fault::AppendsUnderNoKey, "an append under a key is recorded once"),
        (Fault::AppendsWhateverComes, "events that do not follow each other are not appended"),
        (Fault::AppendsWhateverComes, "an append is recorded where the run ends, and nowhere else"),
        (Fault::SettlesTooEarly, "the fence has what is committed before it, and nothing comes there later"),
        (Fault::SettlesNothing, "the fence has what is committed before it, and nothing comes there later"),
        (Fault::NeverErases, "a blob's bytes are removed once, and it goes from state to state"),
        (Fault::TakesAnyBlob, "the limits are what it can take"),
        (Fault::CutsTheLog, "the log's rows come back as they were written"),
        (Fault::HidesTheLastReceipt, "each receipt of a removed blob is found, of whichever run"),
        (Fault::OpensAnotherStore, "a handle sees what another has committed"),
        (Fault::OpensAnotherStore, "a run can be written by two handles in turn"),
        (Fault::AppendsWhateverComes, "a handle appends behind what another has appended, and nowhere else"),
        (Fault::AppendsUnderNoKey, "an append under a key is recorded once by two handles"),
        (Fault::ReadsWithoutATransaction, "a handle sees one instant while another writes"),
        (Fault::ReadsWithoutATransaction, "snapshots of a handle see one instant while another writes"),
        (Fault::KeepsOnlyItsOwnOut, "a writer keeps those of another handle out of its scope"),
        (Fault::SettlesOnlyItsOwn, "the fence of a handle has what another has committed"),
        (Fault::SettlesTooEarly, "nothing comes before the fence of a handle while another writes"),
    ] {
        let failures = check(fault).expect_err(&format!("{fault:?} was not noticed"));
        assert!(failures.0.iter().any(|failure| failure.case == case), "{fault:?}: {failures}");
    }
}

#[test]
fn a_run_in_a_remote_store_is_appended_to_in_one_round_trip_and_gives_way_to_others() {
    let store = Arc::new(Broken::new(Arc::default(), Fault::IsRemote, true));
    let ledger = Ledger::over(Arc::clone(&store) as Arc<dyn Store>);
    let mut run = start(&ledger, "r");
    let begun = || store.begun.swap(0, Ordering::Relaxed);
    assert_eq!(begun(), 1, "a run is begun in a transaction");
    let first = run.append(decision("a").with_key("k")).unwrap();
    let batch = run.append_batch(vec![decision("b").about(first.event_ref.clone()), decision("c")]).unwrap();
    assert_eq!(batch[1].event_ref.to_string(), "event://r/4");
    assert_eq!(begun(), 0);
    // What has to be looked at under the lock of the run is looked at there.
    let again = run.append(decision("a").with_key("k")).unwrap();
    assert_eq!((again.event_ref, again.repeated), (first.event_ref.clone(), true));
    assert!(matches!(run.append(decision("x").with_key("k")), Err(Error::KeyConflict { .. })));
    let nobody = EventRef { run_id: RunId::new("nobody"), seq: Seq::FIRST };
    assert!(matches!(run.append(decision("x").about(nobody)), Err(Error::RunNotFound { .. })));
    run.append_batch(vec![decision("d"), decision("e").about(first.event_ref)]).unwrap();
    assert_eq!(begun(), 4);
    store.overtaken.store(true, Ordering::Relaxed);
    assert_eq!(run.append(decision("f")).unwrap().event_ref.to_string(), "event://r/8", "somebody else has 7");
    assert_eq!(begun(), 1);
    run.finalize_as(Verdict::Unknown, "over").unwrap();
    assert!(matches!(run.append(decision("g")), Err(Error::RunFinalized { .. })));
    assert!(run.append(decision("a").with_key("k")).unwrap().repeated);
    let report = ledger.audit().unwrap();
    assert_eq!((report.overall_verdict(), report.events), (Verdict::Pass, 9), "{report:?}");
}

#[test]
fn a_store_that_cannot_be_made_does_not_conform() {
    let failures =
        conformance::check(&mut || Err(StoreError::new(StoreErrorKind::Busy, "none", "").into())).unwrap_err();
    assert!(failures.to_string().contains("stayed locked"), "{failures}");
}
