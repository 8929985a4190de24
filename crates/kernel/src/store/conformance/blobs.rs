//! Blobs: their bytes, their states, their limits.

use super::{
    Case, Done, Owned, Problem, at, blob, blob_ids, bytes, ensure, look, put, record, refused, same, text, wanted_blob,
};
use crate::error::Error;
use crate::store::{Erasure, Limits, ReadTransaction, Scope, Store};
use receipt_core::evidence::{BlobRecord, BlobState, EvidenceClass};
use std::io;
use std::io::{Cursor, Read};

pub(super) const CASES: &[Case] = &[
    ("blobs of any size come back byte for byte", blobs),
    ("evidence that ends too early or cannot be read is refused", short_evidence),
    ("a blob's row and class can be replaced", replaced_blob),
    ("a blob's bytes are removed once, and it goes from state to state", expired_blob),
    ("the limits are what it can take", limits),
];

/// Gives its bytes in odd pieces, with an interruption between them, as files and pipes may.
struct Odd<'a> {
    rest: &'a [u8],
    calls: usize,
}

impl Read for Odd<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls == 2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = out.len().min(self.rest.len()).min(70_001);
        out[..count].copy_from_slice(&self.rest[..count]);
        self.rest = &self.rest[count..];
        Ok(count)
    }
}

/// Gives a little, then an error.
struct Failing(bool);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.0, true) || out.is_empty() {
            return Err(io::Error::other("the disk went away"));
        }
        out[0] = b'x';
        Ok(1)
    }
}

/// Bytes that do not repeat, from an xorshift.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

fn blobs(store: &dyn Store) -> Done {
    let pattern = |len: usize| (0..=250).cycle().take(len).collect::<Vec<u8>>();
    let mut all = vec![Vec::new(), vec![0], pattern(1000), pattern((1 << 20) + 1), pattern(3 << 20)];
    // What a store that compresses can make little of, alone and beside what it can.
    all.extend([noise(1000), noise(1 << 20), noise((1 << 20) + 7)]);
    all.extend([[noise(1 << 20), pattern(3 << 20)].concat(), [pattern(1 << 20), noise(1 << 20), vec![0]].concat()]);
    let mut ids = Vec::new();
    for (index, data) in all.iter().enumerate() {
        let class = if index % 2 == 0 { EvidenceClass::Public } else { EvidenceClass::Sealed };
        let record = record(data, "application/x-odd; v=\"\u{e9}\"", class);
        let mut transaction = store.begin(Scope::Ledger)?;
        put(transaction.as_mut(), &record, &mut Odd { rest: data, calls: 0 })?;
        transaction.commit()?;
        let snapshot = look(store)?;
        let transaction = snapshot.view();
        same("the row", &blob(transaction.as_ref(), &record.hash)?, &Some(wanted_blob(&record)))?;
        let found = bytes(transaction.as_ref(), &record.hash)?;
        ensure(found == *data, &format!("{} bytes came back as {} other ones", data.len(), found.len()))?;
        ids.push(text(record.hash));
    }
    // Of a reader that has more, only what belongs to the blob is taken.
    let record = record(b"abc", "text/plain", EvidenceClass::Public);
    let mut transaction = store.begin(Scope::Ledger)?;
    put(transaction.as_mut(), &record, &mut Cursor::new(b"abcdef"))?;
    transaction.commit()?;
    ids.push(text(record.hash));
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("the bytes of a longer reader", &bytes(transaction.as_ref(), &record.hash)?, &b"abc".to_vec())?;
    let mut found = blob_ids(transaction.as_ref())?;
    let sort = |ids: &mut Vec<Owned>| ids.sort_by_key(|id| format!("{id:?}"));
    sort(&mut found);
    sort(&mut ids);
    same("the addresses", &found, &ids)
}

fn short_evidence(store: &dyn Store) -> Done {
    for length in [10, 3 << 20] {
        let data = vec![b'x'; length];
        let record = record(&data, "text/plain", EvidenceClass::Public);
        let readers: [&mut dyn Read; 2] = [&mut Cursor::new(&data[..length - 1]), &mut Failing(false)];
        for reader in readers {
            let mut transaction = store.begin(Scope::Ledger)?;
            refused("evidence that ends too early", put(transaction.as_mut(), &record, reader))?;
            drop(transaction);
            let snapshot = look(store)?;
            let transaction = snapshot.view();
            same("blobs", &blob_ids(transaction.as_ref())?, &Vec::new())?;
        }
    }
    Ok(())
}

fn replaced_blob(store: &dyn Store) -> Done {
    let data = b"evidence ".repeat(200_000);
    let (first, other) = (record(&data, "text/plain", EvidenceClass::Public), record(b"b", "b", EvidenceClass::Public));
    let mut transaction = store.begin(Scope::Ledger)?;
    put(transaction.as_mut(), &first, &mut Cursor::new(&data))?;
    put(transaction.as_mut(), &other, &mut Cursor::new(b"b"))?;
    transaction.commit()?;
    let second = BlobRecord { content_type: "text/html".to_owned(), ..first.clone() };
    let mut transaction = store.begin(Scope::Ledger)?;
    put(transaction.as_mut(), &second, &mut Cursor::new(&data))?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("the row after it was put again", &blob(transaction.as_ref(), &first.hash)?, &Some(wanted_blob(&second)))?;
    same("the blobs", &blob_ids(transaction.as_ref())?.len(), &2)?;
    drop(transaction);
    let third = BlobRecord { class: EvidenceClass::Sealed, ..second };
    let mut transaction = store.begin(Scope::Ledger)?;
    transaction.set_class(&third)?;
    transaction.commit()?;
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("the row after its class was set", &blob(transaction.as_ref(), &first.hash)?, &Some(wanted_blob(&third)))?;
    same("the bytes after that", &bytes(transaction.as_ref(), &first.hash)?, &data)?;
    same("the other blob", &blob(transaction.as_ref(), &other.hash)?, &Some(wanted_blob(&other)))
}

fn expired_blob(store: &dyn Store) -> Done {
    use BlobState::{ExpiredHashOnly, Live, Purged};
    let data = b"evidence ".repeat(200_000);
    let gone = record(&data, "text/plain", EvidenceClass::Public);
    let kept = record(b"other", "text/plain", EvidenceClass::Public);
    let mut transaction = store.begin(Scope::Ledger)?;
    put(transaction.as_mut(), &gone, &mut Cursor::new(&data))?;
    put(transaction.as_mut(), &kept, &mut Cursor::new(b"other"))?;
    same("purged before it expired", &transaction.expire_blob(&gone.hash, ExpiredHashOnly, Purged, at(4))?, &false)?;
    same("expired", &transaction.expire_blob(&gone.hash, Live, ExpiredHashOnly, at(4))?, &true)?;
    same("expired again", &transaction.expire_blob(&gone.hash, Live, ExpiredHashOnly, at(5))?, &false)?;
    transaction.commit()?;
    match store.erase()? {
        Erasure::Done | Erasure::OutOfReach { .. } => {}
        blocked => return Err(Problem(format!("nobody reads, and erasing gave {blocked:?}"))),
    }
    let row = |store: &dyn ReadTransaction| -> Done<Option<(Owned, Owned, Option<u64>)>> {
        let mut found = None;
        store.blob(&gone.hash, &mut |row| found = Some((row.state.into(), row.expired_at.into(), row.stored_len)))?;
        Ok(found)
    };
    let snapshot = look(store)?;
    let transaction = snapshot.view();
    same("the row", &row(transaction.as_ref())?, &Some((text("expired_hash_only"), text(at(4)), None)))?;
    same("its bytes", &bytes(transaction.as_ref(), &gone.hash)?, &Vec::new())?;
    same("the other blob", &blob(transaction.as_ref(), &kept.hash)?, &Some(wanted_blob(&kept)))?;
    drop(transaction);
    let mut transaction = store.begin(Scope::Ledger)?;
    same("purged", &transaction.expire_blob(&gone.hash, ExpiredHashOnly, Purged, at(6))?, &true)?;
    same("the row", &row(transaction.as_ref())?, &Some((text("purged"), text(at(4)), None)))?;
    put(transaction.as_mut(), &gone, &mut Cursor::new(&data))?;
    same(
        "the row that was put again",
        &row(transaction.as_ref())?,
        &Some((text("live"), Owned::Null, Some(data.len() as u64))),
    )
}

fn limits(store: &dyn Store) -> Done {
    let Limits { largest_blob, readers, spool, .. } = store.limits();
    ensure(largest_blob > 0 && readers > 0, "it can take nothing")?;
    ensure(spool.is_none_or(|folder| folder.is_dir()), "the folder for evidence is none")?;
    ensure(!store.location().to_string().is_empty(), "it lies nowhere")?;
    let Some(bytes_len) = largest_blob.checked_add(1) else { return Ok(()) };
    let record = BlobRecord { bytes_len, ..record(b"x", "text/plain", EvidenceClass::Public) };
    let mut unread = Failing(false);
    let mut transaction = store.begin(Scope::Ledger)?;
    match refused("a blob over the limit", put(transaction.as_mut(), &record, &mut unread))? {
        Error::TooLarge { limit, .. } if limit == largest_blob => {}
        error => return Err(Problem(format!("a blob over the limit gave {error:?}, not TooLarge"))),
    }
    ensure(!unread.0, "it was read first")
}
