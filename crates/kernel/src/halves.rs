//! A long run read by two threads: each half on a connection of its own, both of which see the ledger as it was at the
//! instant that a third sees.

use crate::error::{Error, Result};
use crate::read::run::reader_behind;
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{ReadTransaction, Visit};
use receipt_core::id::{RunId, Seq};
use receipt_core::run::SnapshotBuilder;
use rusqlite::Connection;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

/// A run shorter than this is read before another connection would be open.
const LONG: i64 = 4096;

/// Two connections that will read half of a run each.
pub(crate) struct Halves<'r> {
    run: &'r RunId,
    /// The seq of the last event of the first half.
    cut: Seq,
    stores: [(SqliteStore, i64); 2],
}

impl<'r> Halves<'r> {
    /// Opens them beside a connection; `None` where it does not pay, or where a transaction that is open there may see
    /// what others do not.
    pub(crate) fn open(connection: &Connection, path: &Path, run: &'r RunId) -> Result<Option<Self>> {
        if !connection.is_autocommit() || thread::available_parallelism().map_or(1, NonZeroUsize::get) < 2 {
            return Ok(None);
        }
        let mut length = 0;
        // The seq of the last row says about how long the run is; whatever it says, all of the run is read.
        sqlite::look(connection)?.head(run, &mut |row| length = row.seq.integer().unwrap_or(0))?;
        let Some(cut) = Seq::new(length / 2).filter(|_| length >= LONG) else { return Ok(None) };
        let open = || SqliteStore::open_read_only(path).and_then(|store| Ok((store.data_version()?, store)));
        Ok(match (open(), open()) {
            (Ok((one, first)), Ok((two, second))) => Some(Self { run, cut, stores: [(first, one), (second, two)] }),
            // In memory, say.
            _ => None,
        })
    }

    /// Reads the run as `store` sees it, whose transaction must have begun since. `None` where it is to be read whole, as
    /// halves only ever say that nothing is wrong: something is, or another connection has written meanwhile.
    pub(crate) fn read(self, store: &dyn ReadTransaction) -> Result<Option<SnapshotBuilder>> {
        let Self { run, cut, stores: [first, second] } = self;
        // From here on it sees one state. If nothing is written until the others look, that is theirs too.
        store.head(run, &mut |_| {})?;
        let (first, second) = thread::scope(|scope| {
            let second = scope.spawn(move || read_half(second, run, Some(cut), None));
            let first = read_half(first, run, None, Some(cut));
            (
                first,
                second.join().unwrap_or_else(|_| Err(Error::internal("a thread that read half of a run has failed"))),
            )
        });
        Ok(first?.zip(second?).and_then(|(first, second)| SnapshotBuilder::join([first, second])))
    }
}

/// `None` where something is wrong.
fn read_half(
    (mut store, version): (SqliteStore, i64),
    run: &RunId,
    after: Option<Seq>,
    until: Option<Seq>,
) -> Result<Option<SnapshotBuilder>> {
    let Some(store) = store.read_at(version)? else { return Ok(None) };
    let Some(reader) = reader_behind(store.as_ref(), run, after)? else { return Ok(None) };
    let mut builder = SnapshotBuilder::behind(reader);
    store.events_between(run, after, until, &mut |row| {
        builder.event(row);
        Visit::Continue(())
    })?;
    Ok(Some(builder))
}

#[cfg(test)]
mod tests {
    use super::{Halves, LONG};
    use crate::read::snapshot::read_whole;
    use crate::store::sqlite;
    use crate::{Actor, Append, EventType, Ledger, Object, Policy, RunId};
    use receipt_core::run::SnapshotBuilder;
    use rusqlite::Connection;

    const POLICY: &str =
        "id = \"p\"\nversion = \"1\"\nstage_graph = \"v1_default\"\n[[invariant]]\nid = \"ledger.chain_valid\"\n";

    struct Long {
        folder: tempfile::TempDir,
        connection: Connection,
        run: RunId,
    }

    impl Long {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("l.db");
            let ledger = Ledger::create(&path).unwrap();
            let policy = Policy::from_toml(POLICY).unwrap();
            let mut run = ledger.start("r", policy, Actor::new("system", "ci"), Object::new()).unwrap();
            let event = |index: i64| Append::new(EventType::Decision, Object::from_iter([("n", index)]));
            run.append_batch((0..LONG + 10).map(event).collect()).unwrap();
            let connection = sqlite::connect_compatible(&path, false).unwrap();
            Self { folder, connection, run: RunId::new("r") }
        }

        fn open(&self) -> Option<Halves<'_>> {
            Halves::open(&self.connection, &self.folder.path().join("l.db"), &self.run).unwrap()
        }

        fn read(&self, halves: Halves<'_>) -> Option<SnapshotBuilder> {
            halves.read(&sqlite::look(&self.connection).unwrap()).unwrap()
        }
    }

    #[test]
    fn halves_show_what_the_whole_shows() {
        let long = Long::new();
        let halves = long.read(long.open().unwrap()).unwrap().finish(None);
        let whole = read_whole(&sqlite::look(&long.connection).unwrap(), &long.run).unwrap().finish(None);
        assert_eq!(format!("{:?}", halves.facts()), format!("{:?}", whole.facts()));
        assert_eq!(halves.events().len(), usize::try_from(LONG).unwrap() + 11);
        assert!(halves.events().iter().zip(whole.events()).all(|(one, other)| {
            (one.seq, one.hash, one.ts(), &*one.payload) == (other.seq, other.hash, other.ts(), &*other.payload)
                && *one.text == *other.text
                && one.stage == other.stage
        }));
    }

    #[test]
    fn a_run_with_anything_wrong_in_either_half_is_read_whole() {
        for seq in [2, LONG / 2, LONG / 2 + 5, LONG / 2 + 6, LONG, LONG + 11] {
            for change in [
                "envelope_json = replace(envelope_json, '\"n\":', '\"m\":')",
                "event_type = 'REMEDIATION'",
                "prev_event_hash = NULL",
                "created_at = x'00'",
            ] {
                let long = Long::new();
                let sql = format!("UPDATE events SET {change} WHERE seq = {seq}");
                assert_eq!(long.connection.execute(&sql, []).unwrap(), 1);
                let read = long.open().map(|halves| long.read(halves).is_some());
                assert_ne!(read, Some(true), "{seq} {change}");
            }
            let long = Long::new();
            long.connection.execute("DELETE FROM events WHERE seq = ?1", [seq]).unwrap();
            let halves = long.open().unwrap();
            // Without its last event a run is shorter, and nothing else.
            assert_eq!(long.read(halves).is_some(), seq == LONG + 11, "{seq}");
        }
    }

    #[test]
    fn halves_that_may_have_seen_another_state_are_not_joined() {
        let long = Long::new();
        let halves = long.open().unwrap();
        let other = Connection::open(long.folder.path().join("l.db")).unwrap();
        other.execute("INSERT INTO settings (name, value) VALUES ('x', 'y')", []).unwrap();
        assert!(long.read(halves).is_none());
        // Once more, with nothing written: it is the write that stood in the way.
        assert!(long.read(long.open().unwrap()).is_some());
        long.connection.execute_batch("BEGIN").unwrap();
        assert!(long.open().is_none(), "a transaction is open, and may have written");
    }
}
