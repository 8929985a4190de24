//! Evidence is removed when its time is over and not before, with a receipt for each blob, and no copy of it stays.

mod again;
mod erased;
mod judged;
mod left_alone;
mod receipts;
mod times;

use crate::common::{RECIPIENT, actor};
use receipt_core::evidence::EvidenceClass;
use receipt_kernel::clock::ManualClock;
use receipt_kernel::evidence::retention::Plan;
use receipt_kernel::{
    BlobHash, Check, Error, EventType, Ledger, Put, Reason, Retained, Retention, RunWriter, Timestamp, Ttl, Value,
    Verdict,
};
use rusqlite::{Connection, params};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const DAY: i64 = 86_400;

struct Scene {
    _folder: TempDir,
    path: PathBuf,
    ledger: Ledger,
    clock: Arc<ManualClock>,
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_micros((1_767_225_600 + day * DAY) * 1_000_000)
}

/// A ledger on day 0, which keeps public evidence for 30 days and sealed evidence for 7.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = Ledger::create(&path).unwrap().with_clock(clock.clone());
    ledger.add_recipients([RECIPIENT]).unwrap();
    let scene = Scene { _folder: folder, path, ledger, clock };
    scene.set(|retention| {
        retention.public = Ttl::Seconds(30 * DAY.unsigned_abs());
        retention.sealed = Ttl::Seconds(7 * DAY.unsigned_abs());
    });
    scene
}

impl Scene {
    fn set(&self, change: impl FnOnce(&mut Retention)) {
        let changed: Result<_, Error> = self.ledger.set_retention(|retention| {
            change(retention);
            Ok(())
        });
        changed.unwrap();
    }

    fn start(&self, run: &str) -> RunWriter {
        crate::common::start(&self.ledger, run)
    }

    /// A run that puts this under this key, and that is over.
    fn put(&self, run: &str, key: &str, data: &str, class: EvidenceClass) -> BlobHash {
        let mut writer = self.start(run);
        let hash = writer.put(key, data.as_bytes(), Put::text().of_class(class)).unwrap().hash;
        writer.finalize_as(Verdict::Unknown, "over").unwrap();
        hash
    }

    fn retain_on(&self, day: i64) -> Retained {
        self.clock.set(at(day));
        self.ledger.retain(&actor(), &mut |_, _| {}).unwrap()
    }

    fn plan_on(&self, day: i64) -> Plan {
        self.ledger.plan_retention(at(day)).unwrap()
    }

    fn state(&self, hash: &BlobHash) -> String {
        let connection = Connection::open(&self.path).unwrap();
        let sql = "SELECT state FROM blobs WHERE sha256 = ?1";
        connection.query_row(sql, [hash.to_hex()], |row| row.get(0)).unwrap()
    }

    fn edit(&self, sql: &str, hash: &BlobHash) {
        let connection = Connection::open(&self.path).unwrap();
        assert_eq!(connection.execute(sql, params![hash.to_hex()]).unwrap(), 1);
    }

    fn receipts(&self, run: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let visit = &mut |event: receipt_core::run::Event| {
            if event.event_type == EventType::BlobExpire {
                found.push((*event.payload).clone().into());
            }
        };
        self.ledger.events(run, visit).unwrap();
        found
    }

    fn evidence(&self) -> (Verdict, Vec<String>) {
        let report = self.ledger.audit().unwrap();
        let check = report.check(Check::Evidence).unwrap();
        (check.verdict, check.reasons.iter().map(|reason| reason.code.to_string()).collect())
    }
}

fn codes(reasons: &[Reason]) -> Vec<String> {
    let mut codes: Vec<_> = reasons.iter().map(|reason| reason.code.to_string()).collect();
    codes.sort();
    codes
}
