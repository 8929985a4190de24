//! Every backend does what the suite of the store asks, and a broken one does not.

mod file;

use crate::passing::log_reads;
use receipt_core::chain::Link;
use receipt_core::envelope::Sealed;
use receipt_core::evidence::{BlobRecord, BlobState};
use receipt_core::id::{BlobHash, RunId, Seq, Timestamp};
use receipt_core::run::EventRow;
use receipt_kernel::Error;
use receipt_kernel::store::memory::MemoryStore;
use receipt_kernel::store::sqlite::SqliteStore;
use receipt_kernel::store::{
    Arrival, BlobRow, Erasure, KeyRow, Limits, Location, LogRead, LogWrite, NewBlob, NewEvent, NewKey, NewRun, Outcome,
    Problem, ReadTransaction, Scope, Segment, Size, Snapshot, Store, StoreError, StoreErrorKind, StoredCheckpoint,
    Visit, VisitRun, WriteTransaction, conformance,
};
use std::io::Read;
use std::sync::Arc;

#[test]
fn the_store_in_memory_conforms() {
    conformance::check(&mut || Ok(Arc::new(MemoryStore::default()))).map_err(|failures| failures.to_string()).unwrap();
}

#[test]
fn the_store_over_sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    let checked = conformance::check(&mut || {
        made += 1;
        Ok(Arc::new(SqliteStore::create(&folder.path().join(format!("{made}.db")))?))
    });
    checked.map_err(|failures| failures.to_string()).unwrap();
}

#[test]
fn the_store_over_sqlite_that_compresses_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    let checked = conformance::check(&mut || {
        made += 1;
        Ok(Arc::new(SqliteStore::create_compressed(&folder.path().join(format!("{made}.db")))?))
    });
    checked.map_err(|failures| failures.to_string()).unwrap();
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
}

#[derive(Debug)]
struct Broken {
    inner: MemoryStore,
    fault: Fault,
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
        self.inner.limits()
    }

    fn snapshots(&self, wanted: usize) -> Result<Vec<Box<dyn Snapshot + '_>>, Error> {
        let snapshots = self.inner.snapshots(wanted)?.into_iter();
        let broken =
            |inner| Box::new(BrokenSnapshot { store: &self.inner, inner, fault: self.fault }) as Box<dyn Snapshot>;
        Ok(snapshots.map(broken).collect())
    }

    fn begin(&self, scope: Scope<'_>) -> Result<Box<dyn WriteTransaction + '_>, Error> {
        let (store, fault) = (&self.inner, self.fault);
        let lazy = fault == Fault::KeepsNobodyOut;
        let before = if lazy { store.snapshots(1)?.pop() } else { None };
        let inner = if lazy { None } else { Some(store.begin(scope)?) };
        Ok(Box::new(BrokenTransaction { store, before, inner, last: None, fault }))
    }

    fn append(&self, events: &[NewEvent<'_>], expected: &Link, key: Option<NewKey<'_>>) -> Result<Outcome, Error> {
        match self.fault {
            Fault::AppendsUnderNoKey => self.inner.append(events, expected, None),
            Fault::AppendsWhateverComes => {
                let mut transaction = self.inner.begin(Scope::Ledger)?;
                events.iter().try_for_each(|it| transaction.insert_event(it.event, it.created_at))?;
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

    fn insert_event(&mut self, event: &Sealed, created_at: Timestamp) -> Result<(), Error> {
        if self.fault == Fault::LosesTheLastEvent {
            if let Some(before) = self.last.replace(event.clone()) {
                self.inner().insert_event(&before, created_at)?;
            }
            return Ok(());
        }
        self.inner().insert_event(event, created_at)
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
    let check = |fault| conformance::check(&mut || Ok(Arc::new(Broken { inner: MemoryStore::default(), fault })));
    check(Fault::None).map_err(|failures| failures.to_string()).unwrap();
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
    ] {
        let failures = check(fault).expect_err(&format!("{fault:?} was not noticed"));
        assert!(failures.0.iter().any(|failure| failure.case == case), "{fault:?}: {failures}");
    }
}

#[test]
fn a_store_that_cannot_be_made_does_not_conform() {
    let failures =
        conformance::check(&mut || Err(StoreError::new(StoreErrorKind::Busy, "none", "").into())).unwrap_err();
    assert!(failures.to_string().contains("stayed locked"), "{failures}");
}
