//! How an audit deals its work out.

use super::{Audit, Job, Tally};
use crate::read::pool;
use crate::store::{Size, sqlite::SqliteStore};
use crate::{Actor, Append, EventType, Ledger, Object, Policy};

/// How many parts are dealt out of a ledger of 20 runs, of which the first has this many events more; and the most that
/// there may be.
fn parts(path: &std::path::Path, more: usize, forge: &str) -> (u64, u64) {
    let ledger = Ledger::create(path).unwrap();
    for run in 0..20 {
        let policy = Policy::structural().unwrap();
        let mut run = ledger.start(&format!("run-{run}"), policy, Actor::new("system", "test"), Object::new()).unwrap();
        run.append(Append::new(EventType::Decision, Object::new())).unwrap();
        if run.run_id().as_str() == "run-0" {
            run.append_batch(vec![Append::new(EventType::Decision, Object::new()); more]).unwrap();
        }
    }
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(&format!("DROP TRIGGER events_are_not_updated; {forge}"))
        .unwrap();
    let store = SqliteStore::open_read_only(path).unwrap();
    let snapshot = pool::one(&store).unwrap();
    let view = snapshot.view();
    let size = view.size().unwrap();
    let mut found = 0;
    let audit = Audit::of(&ledger).parts_of(16);
    let count = &mut |job| found += u64::from(matches!(job, Job::Part(..)));
    audit.jobs(view.as_ref(), size.events, &Tally::default(), &mut Size::default(), count).unwrap();
    (found, size.events / 16 + 20)
}

#[test]
fn a_seq_may_be_any_number_and_there_are_no_more_parts_than_there_are_events_for() {
    let folder = tempfile::tempdir().unwrap();
    let (honest, most) = parts(&folder.path().join("honest.db"), 400, "SELECT 1");
    assert!(honest > 20 && honest <= most, "{honest} of {most}: a long run is dealt out in parts");
    for seq in ["9223372036854775807", "1 << 62", "100000", "300"] {
        let forge = format!("UPDATE events SET seq = {seq} WHERE seq = 2");
        let (forged, most) = parts(&folder.path().join(format!("{}.db", seq.len())), 0, &forge);
        assert!(forged <= most, "{seq}: {forged} of {most}");
        // Nor if the row ids, by which the number of events is estimated, are forged as well.
        let forge = format!("{forge}; UPDATE events SET id = id + (1 << 61)");
        let (forged, most) = parts(&folder.path().join(format!("{}-ids.db", seq.len())), 0, &forge);
        assert!(forged <= most && most < 20_000, "{seq}: {forged} of {most}");
    }
}
