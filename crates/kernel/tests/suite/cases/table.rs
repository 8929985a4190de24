//! The cases.

use super::{Scene, at};
use crate::common::{actor, start};
use crate::forge::{Bundle, Forger, event_like, get, set};
use receipt_core::json::Value;
use receipt_kernel::Verdict::{Fail, Pass, Unknown, Warn};
use receipt_kernel::{BlobHash, Digest256, Object, Put, RunWriter, Verdict};

pub(super) const LOG: &[u8] = b"twelve bytes";

pub(super) type Answer = (Verdict, &'static [&'static str]);

pub(super) const PASS: Answer = (Pass, &[]);

/// What a replay says.
pub(super) enum Replayed {
    /// The same of both.
    Is(Answer),
    /// The run does not verify: of a ledger that is FAIL; a bundle says FAIL of its evidence, and UNKNOWN of its replay.
    Unsound,
    /// Of the ledger, and of the bundle.
    Differs(Answer, Answer),
}

pub(super) struct Case {
    pub(super) name: &'static str,
    /// What run `a` puts before it is judged.
    pub(super) puts: fn(&mut RunWriter),
    /// What is done once it is over.
    pub(super) after: fn(&Scene),
    /// What somebody does to its events, in the ledger and in the bundle, and gives them their hashes.
    pub(super) forge: fn(&mut Vec<Object>),
    /// What somebody does to the rows.
    pub(super) sql: &'static str,
    /// The like of it, done to the bundle.
    pub(super) records: fn(&mut Bundle),
    /// A file that is given for the key `log`.
    pub(super) file: Option<&'static [u8]>,
    pub(super) evidence: Answer,
    /// What a bundle says, if it is something else, and why.
    pub(super) bundle: Option<(Answer, &'static str)>,
    pub(super) replay: Replayed,
}

pub(super) fn log(run: &mut RunWriter) {
    run.put("log", LOG, Put::text()).unwrap();
}

/// A case with which nothing is wrong.
pub(super) const SOUND: Case = Case {
    name: "sound",
    puts: log,
    after: |_| {},
    forge: |_| {},
    sql: "",
    records: |_| {},
    file: None,
    evidence: PASS,
    bundle: None,
    replay: Replayed::Is(PASS),
};

pub(super) const NOT_SHOWN: &str = "a bundle has one run: the receipt may be in another";
pub(super) const OTHERS: &str = "a bundle has one run: another one may have put the blob as sealed";
pub(super) const LEFT_OUT: &str = "whoever made the bundle left the bytes out, or never had them";

/// The events that put something, by their place among those.
pub(super) fn put(events: &mut [Object], at: usize) -> &mut Object {
    events.iter_mut().filter(|event| is_a(event, "EVIDENCE_PUT")).nth(at).unwrap()
}

pub(super) fn is_a(event: &Object, event_type: &str) -> bool {
    event.get("event_type").and_then(Value::as_str) == Some(event_type)
}

pub(super) fn say(events: &mut [Object], at: usize, member: &str, value: impl Into<Value>) {
    set(put(events, at), &["payload", "evidence", member], value);
}

/// Makes the decision of the run a receipt of it for the log.
pub(super) fn receipt(events: &mut [Object], members: &[(&'static str, Value)]) {
    let at = events.iter().position(|event| is_a(event, "DECISION")).unwrap();
    let mut payload = Object::from_iter([("sha256", Value::from(BlobHash::of(LOG).to_hex()))]);
    for (name, value) in members {
        payload.insert(*name, value.clone());
    }
    let stage = events[at].get("stage").and_then(Value::as_str).unwrap().to_owned();
    events[at] = event_like(&events[at], "BLOB_EXPIRE", &stage, payload);
}

/// Puts the log once more, after the decision.
pub(super) fn put_again(events: &mut Vec<Object>) {
    let at = events.iter().position(|event| is_a(event, "DECISION") || is_a(event, "BLOB_EXPIRE")).unwrap();
    let stage = events[at].get("stage").and_then(Value::as_str).unwrap().to_owned();
    let payload = get(put(events, 0), &["payload"]).and_then(Value::as_object).unwrap().clone();
    let again = event_like(&events[at], "EVIDENCE_PUT", &stage, payload);
    events.insert(at + 1, again);
}

pub(super) const REMOVE: &str = "UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE bytes_len = 12";

pub(super) fn record(bundle: &mut Bundle) -> &mut (Object, Option<Vec<u8>>) {
    let log = BlobHash::of(LOG).to_hex();
    bundle.blobs.iter_mut().find(|blob| blob.0.get("sha256").and_then(Value::as_str) == Some(&log)).unwrap()
}

pub(super) fn expired(bundle: &mut Bundle) {
    let record = record(bundle);
    record.0.insert("state", "expired");
    record.1 = None;
}

pub(super) const CASES: &[Case] = &[
    SOUND,
    Case { name: "of no bytes", puts: |run| _ = run.put("log", b"", Put::text()).unwrap(), ..SOUND },
    Case {
        name: "other bytes",
        sql: "UPDATE blobs SET data = CAST('twelve bytez' AS BLOB)",
        records: |bundle| record(bundle).1 = Some(b"twelve bytez".to_vec()),
        evidence: (Fail, &["BLOB_HASH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "fewer bytes",
        sql: "UPDATE blobs SET data = X'00', bytes_len = 1",
        records: |bundle| {
            record(bundle).0.insert("bytes_len", 1);
            record(bundle).1 = Some(vec![0]);
        },
        evidence: (Fail, &["BLOB_HASH_MISMATCH", "EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "nothing there",
        sql: "DELETE FROM blobs",
        records: |bundle| {
            let missing = [("bytes_len", Value::from(0)), ("content_type", "".into()), ("state", "missing".into())];
            for (name, value) in missing {
                record(bundle).0.insert(name, value);
            }
            record(bundle).1 = None;
        },
        evidence: (Fail, &["BLOB_MISSING"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time with another length",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "bytes_len", 11),
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time as another type",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "content_type", "text/html"),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice, the second time as sealed",
        puts: |run| (log(run), log(run)).0,
        forge: |events| say(events, 1, "evidence_class", "sealed"),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "put twice under two types, of which the first stays",
        puts: |run| {
            log(run);
            run.put("again", LOG, Put::json()).unwrap();
        },
        ..SOUND
    },
    Case {
        name: "an event that names two blobs",
        forge: |events| say(events, 0, "sha256", BlobHash::of(b"").to_hex()),
        evidence: (Fail, &["EVIDENCE_MALFORMED"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "a row of another type",
        sql: "UPDATE blobs SET content_type = 'text/html'",
        records: |bundle| drop(record(bundle).0.insert("content_type", "text/html")),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "a row of a stricter class than any event says",
        sql: "UPDATE blobs SET evidence_class = 'sealed'",
        records: |bundle| drop(record(bundle).0.insert("evidence_class", "sealed")),
        evidence: (Fail, &["EVIDENCE_ROW_MISMATCH"]),
        bundle: Some(((Warn, &["EVIDENCE_CLASS_UNPROVED"]), OTHERS)),
        // Whether another run put it so is asked once the whole ledger was read; a replay reads one run.
        replay: Replayed::Differs((Fail, &["REPLAY_UNSOUND", "EVIDENCE_ROW_MISMATCH"]), PASS),
        ..SOUND
    },
    Case {
        name: "another run put it as sealed",
        after: |scene| {
            start(&scene.ledger, "b").put("log", LOG, Put::text()).unwrap();
            Forger::open(&scene.path).edit("b", |events| say(events, 0, "evidence_class", "sealed"));
            scene.sql("UPDATE blobs SET evidence_class = 'sealed'");
        },
        // Plain text of class sealed does not leave its ledger.
        records: |bundle| {
            record(bundle).0.insert("state", "live");
            record(bundle).1 = Some(LOG.to_vec());
        },
        bundle: Some(((Warn, &["EVIDENCE_CLASS_UNPROVED"]), OTHERS)),
        ..SOUND
    },
    Case {
        name: "a run that commits to nothing, of another class and type than the row",
        forge: |events| {
            events[0].insert("payload", Object::new());
            say(events, 0, "evidence_class", "secret");
            say(events, 0, "content_type", "text/html");
        },
        replay: Replayed::Is((Unknown, &["REPLAY_UNCOMMITTED"])),
        ..SOUND
    },
    Case {
        name: "removed, and nothing says by whom",
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_INPUT_GONE"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed by retention",
        after: |scene| {
            scene.clock.set(at(40));
            scene.ledger.retain(&actor(), &mut |_, _| {}).unwrap();
        },
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs((Warn, &["REPLAY_EVIDENCE_EXPIRED"]), (Unknown, &["REPLAY_INPUT_GONE"])),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of the run itself",
        forge: |events| receipt(events, &[("bytes_len", 12.into())]),
        sql: REMOVE,
        records: expired,
        replay: Replayed::Is((Warn, &["REPLAY_EVIDENCE_EXPIRED"])),
        ..SOUND
    },
    Case {
        name: "removed, purged, with a receipt of the run itself",
        forge: |events| receipt(events, &[]),
        sql: "UPDATE blobs SET data = NULL, state = 'purged'",
        records: expired,
        replay: Replayed::Is((Warn, &["REPLAY_EVIDENCE_EXPIRED"])),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of the run itself that stands before the last put",
        forge: |events| {
            receipt(events, &[]);
            put_again(events);
        },
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "VERDICT_NOT_EVALUATED", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_UNSOUND"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed, with a receipt for another length",
        forge: |events| receipt(events, &[("bytes_len", 11.into())]),
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "removed, with a receipt of retention for another class",
        forge: |events| receipt(events, &[("reason", "retention".into()), ("evidence_class", "sealed".into())]),
        sql: REMOVE,
        records: expired,
        evidence: (Fail, &["EXPIRED_WITHOUT_RECEIPT"]),
        bundle: Some(((Unknown, &["EXPIRY_UNPROVED"]), NOT_SHOWN)),
        replay: Replayed::Differs(
            (Fail, &["REPLAY_UNSOUND", "EXPIRED_WITHOUT_RECEIPT"]),
            (Unknown, &["REPLAY_INPUT_GONE"]),
        ),
        ..SOUND
    },
    Case {
        name: "removed with a receipt, and a row of another length",
        forge: |events| receipt(events, &[]),
        sql: "UPDATE blobs SET data = NULL, state = 'expired_hash_only', bytes_len = 5",
        records: |bundle| {
            expired(bundle);
            record(bundle).0.insert("bytes_len", 5);
        },
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "removed with a receipt, and the file is another",
        forge: |events| receipt(events, &[]),
        sql: REMOVE,
        records: expired,
        file: Some(b"twelve bytez"),
        evidence: (Fail, &["EVIDENCE_FILE_MISMATCH"]),
        // A replay of a ledger is given no files.
        replay: Replayed::Differs((Warn, &["REPLAY_EVIDENCE_EXPIRED"]), (Unknown, &["REPLAY_UNSOUND"])),
        ..SOUND
    },
    Case {
        name: "by digest",
        puts: by_digest,
        evidence: (Warn, &["EVIDENCE_ELSEWHERE"]),
        bundle: Some(((Unknown, &["EVIDENCE_WITHHELD"]), LEFT_OUT)),
        ..SOUND
    },
    Case { name: "by digest, and the file is the one", puts: by_digest, file: Some(LOG), ..SOUND },
    Case {
        name: "by digest, and the file is another",
        puts: by_digest,
        file: Some(b"twelve bytez"),
        evidence: (Fail, &["EVIDENCE_FILE_MISMATCH"]),
        replay: Replayed::Differs(PASS, (Unknown, &["REPLAY_UNSOUND"])),
        ..SOUND
    },
    Case {
        name: "by digest, and then whole as another type",
        puts: |run| {
            by_digest(run);
            run.put("whole", LOG, Put::json()).unwrap();
        },
        ..SOUND
    },
    Case {
        name: "by digest, and another run puts it whole later",
        puts: by_digest,
        after: |scene| _ = start(&scene.ledger, "b").put("log", LOG, Put::json()).unwrap(),
        ..SOUND
    },
    Case {
        name: "by digest with another length, and then whole",
        puts: |run| {
            by_digest(run);
            run.put("whole", LOG, Put::json()).unwrap();
        },
        forge: |events| say(events, 0, "bytes_len", 11),
        evidence: (Fail, &["EVIDENCE_LENGTH_MISMATCH"]),
        replay: Replayed::Unsound,
        ..SOUND
    },
    Case {
        name: "withheld",
        records: |bundle| {
            record(bundle).0.insert("state", "withheld");
            record(bundle).1 = None;
        },
        bundle: Some(((Unknown, &["EVIDENCE_WITHHELD"]), LEFT_OUT)),
        replay: Replayed::Differs(PASS, (Unknown, &["REPLAY_INPUT_GONE"])),
        ..SOUND
    },
    Case {
        name: "withheld, and the file is the one",
        records: |bundle| {
            record(bundle).0.insert("state", "withheld");
            record(bundle).1 = None;
        },
        file: Some(LOG),
        // Nothing is missing from the ledger.
        evidence: (Unknown, &["EVIDENCE_FILE_UNUSED"]),
        bundle: Some((PASS, "what was left out can be compared with a file")),
        ..SOUND
    },
    Case {
        name: "sealed",
        puts: |run| {
            log(run);
            run.put("notes", b"notes", Put::text().of_class(receipt_kernel::EvidenceClass::Sealed)).unwrap();
        },
        ..SOUND
    },
];

pub(super) fn by_digest(run: &mut RunWriter) {
    let file = Digest256 { hash: BlobHash::of(LOG), bytes_len: 12 };
    run.put_digest("log", &file, "log.txt", Put::text()).unwrap();
}
