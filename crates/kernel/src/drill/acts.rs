//! The acts, and the check that must fail for each.

use super::retell::{self, Edit};
use super::{Actor, the_run};
use crate::check::report::Check;

/// One act.
pub(super) struct Act {
    pub(super) name: &'static str,
    pub(super) by: Actor,
    pub(super) expected: Option<Check>,
    /// What is done to the rows.
    pub(super) sql: &'static [&'static str],
    /// What is done to the events of a run, whose hashes are computed again.
    pub(super) edit: Option<Edit>,
    pub(super) sign: Sign,
}

/// Whether the log is made anew in the end, and with which key it is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    No,
    /// With the ledger's key.
    Again,
    /// With another one of the same name.
    Another,
}

/// An act on the rows, after which their hashes do not fit.
const fn plain(name: &'static str, expected: Check, sql: &'static [&'static str]) -> Act {
    Act { name, by: Actor::Outsider, expected: Some(expected), sql, edit: None, sign: Sign::No }
}

/// A run told anew, its hashes computed again, by somebody without the key.
const fn retold(name: &'static str, edit: Edit) -> Act {
    Act { name, by: Actor::Outsider, expected: Some(Check::Key), sql: &[], edit: Some(edit), sign: Sign::No }
}

/// The same, and the log is made anew and signed with the ledger's key.
const fn signed(name: &'static str, edit: Edit) -> Act {
    Act { name, by: Actor::Insider, expected: Some(Check::Fork), sql: &FORGET_LOG, edit: Some(edit), sign: Sign::Again }
}

pub(super) const FORGET_LOG: [&str; 3] =
    ["DELETE FROM log_checkpoints", "DELETE FROM log_segments", "DELETE FROM log_tiles"];

/// The index is taken away, a row inserted that it would refuse, and the index put back as it was.
const UNINDEXED: [&str; 10] = [
    "CREATE TEMP TABLE kept AS SELECT type, name, tbl_name, rootpage, (SELECT sql FROM sqlite_schema WHERE name = 'events') \
     AS definition FROM sqlite_schema WHERE name = 'sqlite_autoindex_events_1'",
    "PRAGMA writable_schema = ON",
    "DELETE FROM sqlite_schema WHERE name IN (SELECT name FROM kept)",
    "UPDATE sqlite_schema SET sql = substr(sql, 1, instr(sql, 'UNIQUE') - 1) || 'CHECK (1))' WHERE name = 'events'",
    "PRAGMA writable_schema = RESET",
    concat!(
        "INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) SELECT run_id, \
         seq, event_type, envelope_json, event_hash, prev_event_hash, created_at FROM events WHERE seq = 2 AND run_id = ",
        the_run!()
    ),
    "PRAGMA writable_schema = ON",
    "INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, NULL FROM kept",
    "UPDATE sqlite_schema SET sql = (SELECT definition FROM kept) WHERE name = 'events'",
    "PRAGMA writable_schema = RESET",
];

pub(super) const ACTS: [Act; 34] = [
    Act { name: "nothing", by: Actor::Outsider, expected: None, sql: &[], edit: None, sign: Sign::No },
    plain(
        "an event edited",
        Check::Content,
        &[concat!(
            "UPDATE events SET envelope_json = replace(envelope_json, 'actor', 'Actor') WHERE seq = 2 AND run_id = ",
            the_run!()
        )],
    ),
    plain(
        "two events change places",
        Check::Content,
        &[
            concat!("UPDATE events SET seq = -1 WHERE seq = 2 AND run_id = ", the_run!()),
            concat!("UPDATE events SET seq = 2 WHERE seq = 3 AND run_id = ", the_run!()),
            concat!("UPDATE events SET seq = 3 WHERE seq = -1 AND run_id = ", the_run!()),
        ],
    ),
    plain(
        "an event removed from the middle",
        Check::Content,
        &[concat!("DELETE FROM events WHERE seq = 2 AND run_id = ", the_run!())],
    ),
    plain(
        "an event of another run in its place",
        Check::Content,
        &[concat!(
            "UPDATE events SET (event_type, envelope_json, event_hash) = (SELECT event_type, envelope_json, event_hash FROM \
             events AS other WHERE other.seq = 2 AND other.run_id <> ",
            the_run!(),
            " LIMIT 1) WHERE seq = 2 AND EXISTS (SELECT 1 FROM events AS other WHERE other.seq = 2 AND other.run_id <> ",
            the_run!(),
            ") AND run_id = ",
            the_run!()
        )],
    ),
    plain(
        "a column changed",
        Check::Columns,
        &[concat!(
            "UPDATE events SET created_at = '2001-01-01T00:00:00+00:00', event_type = 'REMEDIATION' WHERE seq = 2 AND run_id = ",
            the_run!()
        )],
    ),
    plain(
        "the run's row changed",
        Check::Columns,
        &[concat!("UPDATE runs SET policy_version = policy_version || '!' WHERE run_id = ", the_run!())],
    ),
    plain(
        "evidence changed",
        Check::Evidence,
        &["UPDATE blobs SET data = CAST(substr('!', 1) || substr(data, 2) AS BLOB) WHERE rowid = \
         (SELECT min(rowid) FROM blobs WHERE length(data) > 0)"],
    ),
    plain(
        "evidence removed",
        Check::Evidence,
        &["DELETE FROM blobs WHERE rowid = (SELECT min(rowid) FROM blobs WHERE length(data) > 0)"],
    ),
    plain(
        "evidence expired without a receipt",
        Check::Evidence,
        &["UPDATE blobs SET data = NULL, state = 'expired_hash_only' WHERE rowid = \
         (SELECT min(rowid) FROM blobs WHERE length(data) > 0)"],
    ),
    plain(
        "evidence put under another class, so that it is removed early",
        Check::Evidence,
        &["UPDATE blobs SET evidence_class = CASE evidence_class WHEN 'public' THEN 'sealed' ELSE 'public' END \
         WHERE rowid = (SELECT min(rowid) FROM blobs)"],
    ),
    plain(
        "the newest event cut off",
        Check::Tail,
        &[concat!("DELETE FROM events WHERE id = (SELECT max(id) FROM events WHERE run_id = ", the_run!(), ")")],
    ),
    plain(
        "a run removed",
        Check::Runs,
        &[
            concat!("CREATE TEMP TABLE gone AS SELECT ", the_run!(), " AS run_id"),
            "DELETE FROM runs WHERE run_id IN (SELECT run_id FROM gone)",
            "DELETE FROM events WHERE run_id IN (SELECT run_id FROM gone)",
        ],
    ),
    plain(
        "the newest events cut off, and the log forgotten",
        Check::Rollback,
        &[
            "DELETE FROM events WHERE id > (SELECT max(id) / 2 FROM events)",
            FORGET_LOG[0],
            FORGET_LOG[1],
            FORGET_LOG[2],
        ],
    ),
    plain("the log's hashes changed", Check::Key, &["UPDATE log_tiles SET hashes = zeroblob(length(hashes))"]),
    plain(
        "the log made to count events twice, so that others can be hidden",
        Check::Content,
        &["UPDATE log_checkpoints SET last_event_id = 0"],
    ),
    plain(
        "events moved to where the log does not look",
        Check::Content,
        &[
            concat!("UPDATE events SET id = -id WHERE run_id = ", the_run!()),
            FORGET_LOG[0],
            FORGET_LOG[1],
            FORGET_LOG[2],
        ],
    ),
    plain(
        "the log made to forget a run, so that its events come a second time in the place of others",
        Check::Runs,
        &[
            concat!("UPDATE log_segments SET run_id = 'forgotten' WHERE run_id = ", the_run!()),
            concat!("UPDATE events SET id = id + 1000000000 WHERE run_id = ", the_run!()),
        ],
    ),
    plain("an event that only the table has, and its index does not", Check::Content, &UNINDEXED),
    plain(
        "the length of evidence changed",
        Check::Evidence,
        &["UPDATE blobs SET bytes_len = bytes_len + 1 WHERE rowid = (SELECT min(rowid) FROM blobs)"],
    ),
    plain("the log's list of runs changed", Check::Runs, &["UPDATE log_segments SET run_id = run_id || '!'"]),
    retold("an event edited, with new hashes", retell::edited),
    retold("two events change places, with new hashes", retell::swapped),
    retold("an event removed, with new hashes", retell::removed),
    retold("an event of another run spliced in, with new hashes", retell::spliced),
    retold("a verdict changed, with new hashes", retell::acquitted),
    Act {
        name: "the log signed with another key",
        by: Actor::Outsider,
        expected: Some(Check::Key),
        sql: &FORGET_LOG,
        edit: None,
        sign: Sign::Another,
    },
    signed("an event edited, and all signed again", retell::edited),
    signed("two events change places, and all signed again", retell::swapped),
    signed("an event removed, and all signed again", retell::removed),
    signed("an event of another run spliced in, and all signed again", retell::spliced),
    signed("a verdict changed, and all signed again", retell::acquitted),
    signed("the newest event cut off, and all signed again", retell::cut),
    Act {
        name: "a run removed, and all signed again",
        by: Actor::Insider,
        expected: Some(Check::Fork),
        sql: &[
            concat!("CREATE TEMP TABLE gone AS SELECT ", the_run!(), " AS run_id"),
            "DELETE FROM runs WHERE run_id IN (SELECT run_id FROM gone)",
            "DELETE FROM events WHERE run_id IN (SELECT run_id FROM gone)",
            FORGET_LOG[0],
            FORGET_LOG[1],
            FORGET_LOG[2],
        ],
        edit: None,
        sign: Sign::Again,
    },
];
