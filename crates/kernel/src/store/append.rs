//! An append over a write transaction, for backends that have no shorter way.

use super::{NewEvent, NewKey, Outcome, StoreError, StoreErrorKind, WriteTransaction};
use crate::error::Result;
use receipt_core::chain::Link;
use receipt_core::id::{EventHash, RunId, Seq};

pub(super) fn in_a_transaction(
    mut transaction: Box<dyn WriteTransaction + '_>,
    events: &[NewEvent<'_>],
    expected: &Link,
    key: Option<NewKey<'_>>,
) -> Result<Outcome> {
    follow(events, expected)?;
    let run = &expected.run_id;
    if let Some(key) = key
        && let Some(held) = transaction.key(run, key.key)?
    {
        return Ok(Outcome::Replayed(held));
    }
    let next = next(transaction.as_ref(), run)?;
    if next.as_ref() != Some(expected) {
        return Ok(Outcome::Moved(next));
    }
    transaction.insert_events(events)?;
    if let Some(NewKey { key, row }) = key {
        transaction.insert_key(run, key, row)?;
    }
    transaction.commit()?;
    Ok(Outcome::Recorded)
}

/// Refuses events that do not have the places from `expected` on.
fn follow(events: &[NewEvent<'_>], expected: &Link) -> Result<()> {
    let mut next = Some(expected.clone());
    for NewEvent { event, .. } in events {
        if next.as_ref() != Some(&event.link) {
            let problem = "events were appended that do not follow each other";
            return Err(StoreError::new(StoreErrorKind::Misuse, "append", problem).into());
        }
        next = event.link.after(event.hash);
    }
    Ok(())
}

/// Where the next event of a run goes, as far as the row of its last one says so. Whether that row is true is for the
/// caller to know.
fn next(store: &dyn WriteTransaction, run: &RunId) -> Result<Option<Link>> {
    let mut last = None;
    store.head(run, &mut |row| {
        let place = row.seq.integer().and_then(Seq::new).zip(row.event_hash.text().and_then(EventHash::parse_bytes));
        let link = |(seq, hash)| Link { run_id: run.clone(), seq, prev: None }.after(hash);
        last = Some(place.and_then(link));
    })?;
    if let Some(next) = last {
        return Ok(next);
    }
    let mut first = None;
    store.run(run, &mut |_| first = Some(Link::first(run.clone())))?;
    Ok(first)
}
