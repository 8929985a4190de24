//! Readers of one instant: connections of their own that all see the ledger as it was at the same moment.
//!
//! SQLite gives each connection a snapshot when its transaction first reads, and two connections may begin on either side
//! of a commit. `PRAGMA data_version` tells: its value changes for a connection once another one has committed
//! (<https://www.sqlite.org/pragma.html#pragma_data_version>). Each connection is asked before any begins and again inside its
//! transaction. If no value has changed, nothing was committed between the last question of the first round and the first
//! transaction, so that all of them see that moment.

use crate::error::Result;
use rusqlite::Connection;
use std::thread;
use std::time::Duration;

/// How often the connections begin again because somebody has committed meanwhile. Writers that are faster than this
/// leave one reader, which sees one instant by itself.
const TRIES: u32 = 200;

/// Begins a read transaction on each, all of one instant; `false`, and none is open, if writers leave no time for it.
pub(crate) fn begin_together(connections: &[&Connection]) -> Result<bool> {
    for attempt in 0..TRIES {
        if begin_once(connections)? {
            return Ok(true);
        }
        thread::sleep(Duration::from_micros(u64::from(attempt) * 20));
    }
    Ok(false)
}

fn begin_once(connections: &[&Connection]) -> Result<bool> {
    let versions = connections.iter().map(|it| data_version(it)).collect::<Result<Vec<_>>>()?;
    let mut same = true;
    for (connection, version) in connections.iter().zip(versions) {
        connection.prepare_cached("BEGIN")?.execute([])?;
        // Asking is the transaction's first read, which fixes what it sees.
        same &= data_version(connection)? == version;
    }
    if !same {
        for connection in connections {
            super::rollback(connection);
        }
    }
    Ok(same)
}

/// A number that is another one once another connection has committed.
pub(super) fn data_version(connection: &Connection) -> Result<i64> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Snapshot, Store};
    use rusqlite::Connection;
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    const READERS: usize = 8;

    /// How many of 60 times readers saw different numbers of runs while somebody wrote.
    fn differences(path: &Path, open: impl Fn() -> Vec<u64>) -> usize {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let writer = Connection::open(path).unwrap();
                writer.execute_batch("PRAGMA synchronous = OFF").unwrap();
                let sql = "INSERT INTO runs VALUES (hex(randomblob(16)), 'p', '1', 'g', 't', '{}')";
                while !done.load(Ordering::Relaxed) {
                    writer.execute(sql, []).unwrap();
                    thread::sleep(Duration::from_micros(100));
                }
            });
            let differ = |_: &i32| open().into_iter().collect::<BTreeSet<_>>().len() > 1;
            let found = (0..60).filter(differ).count();
            done.store(true, Ordering::Relaxed);
            found
        })
    }

    #[test]
    fn readers_of_one_instant_see_one_instant_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let store = SqliteStore::create(&path).unwrap();
        let rows = |snapshots: &[Box<dyn Snapshot + '_>]| -> Vec<u64> {
            snapshots.iter().map(|it| it.view().rows().unwrap().runs).collect()
        };
        assert_eq!(differences(&path, || rows(&store.snapshots(READERS).unwrap())), 0);
        let each = || (0..READERS).flat_map(|_| store.snapshots(1).unwrap()).collect::<Vec<_>>();
        assert!(differences(&path, || rows(&each())) > 0, "the control");
        // Nobody writes: nobody is left out.
        assert_eq!(store.snapshots(READERS).unwrap().len(), READERS);
    }
}
