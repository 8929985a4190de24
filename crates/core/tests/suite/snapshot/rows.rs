//! What somebody does to the rows of a finished run.

use super::run::{ENVELOPE, HASH, Held, PREV, RUN_ID, Run, SEQ, TYPE, record, story, text};
use receipt_core::id::EventHash;
use receipt_core::run::Area;

use Area::{Columns, Content};

/// What is done, how, and each finding that it must give, no more and no fewer.
pub(super) type Act = (&'static str, fn(&mut Run), &'static [(Area, &'static str)]);

pub(super) const UNREADABLE: &[(Area, &str)] = &[(Content, "MALFORMED_ENVELOPE")];
pub(super) const INEXACT: &[(Area, &str)] = &[(Content, "NOT_CANONICAL")];

/// What somebody does to the rows of a finished run. Rows 2, 3 and 4 are EVIDENCE_PUT: the path does not hang on them.
pub(super) const ROW_ACTS: [Act; 57] = [
    ("a payload is edited", |run| run.edit(3, "stderr", "stdxxx"), &[(Content, "EVENT_HASH_MISMATCH")]),
    (
        "a payload is edited and its hash made right",
        |run| {
            run.edit(3, "stderr", "stdxxx");
            run.rehash(3);
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "a payload is edited and its hash made right in the column too",
        |run| {
            run.edit(3, "stderr", "stdxxx");
            run.rows[3][HASH] = text(run.rehash(3));
        },
        &[(Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "two events change places, their rows keep their seq",
        |run| {
            run.rows.swap(2, 3);
            run.rows[2][SEQ] = Held::Integer(3);
            run.rows[3][SEQ] = Held::Integer(4);
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "two events change places with their seq",
        |run| run.rows.swap(2, 3),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is doubled",
        |run| run.rows.insert(3, run.rows[3].clone()),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is removed from the middle",
        |run| drop(run.rows.remove(3)),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event is removed and the rows behind it renumbered",
        |run| {
            run.rows.remove(3);
            for (index, row) in run.rows.iter_mut().enumerate() {
                row[SEQ] = Held::Integer(i64::try_from(index).unwrap() + 1);
            }
        },
        &[(Content, "PREV_HASH_MISMATCH"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the first event is removed",
        |run| drop(run.rows.remove(0)),
        &[(Content, "SEQ_GAP"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "an event of another run is spliced in",
        |run| {
            run.rows[3] = record("run/2", &story()).rows.swap_remove(3);
            run.rows[3][RUN_ID] = text(&*run.id);
        },
        &[(Content, "RUN_ID_MISMATCH"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the whole run is copied under another id",
        |run| {
            "run/2".clone_into(&mut run.id);
            run.rows.iter_mut().for_each(|row| row[RUN_ID] = text("run/2"));
        },
        &[(Content, "RUN_ID_MISMATCH")],
    ),
    (
        "the inner hash is edited",
        |run| {
            let other = run.rows[3][HASH].clone();
            let (Held::Text(hash), Held::Text(other)) = (&run.rows[4][HASH], other) else { panic!() };
            let [hash, other] = [hash.clone(), other].map(|bytes| String::from_utf8(bytes).unwrap());
            run.edit(4, &hash, &other);
        },
        &[(Content, "EVENT_HASH_MISMATCH"), (Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash and its column are edited",
        |run| {
            let Held::Text(hash) = run.rows[4][HASH].clone() else { panic!() };
            run.rows[4][HASH] = run.rows[3][HASH].clone();
            let Held::Text(other) = run.rows[3][HASH].clone() else { panic!() };
            run.edit(4, &String::from_utf8(hash).unwrap(), &String::from_utf8(other).unwrap());
        },
        &[(Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash is removed",
        |run| run.edit(3, "\"event_hash\"", "\"event_hasx\""),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner hash is no hash",
        |run| run.edit(3, "event_hash\":\"sha256:", "event_hash\":\"sha255:"),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the inner prev is no hash, and the inner hash is of what was there before",
        |run| run.edit(3, "prev_event_hash\":\"sha256:", "prev_event_hash\":\"sha255:"),
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "EVENT_HASH_MISMATCH"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner prev is no hash, and the inner hash is right",
        |run| {
            run.edit(3, "prev_event_hash\":\"sha256:", "prev_event_hash\":\"sha255:");
            run.rehash(3);
        },
        &[(Content, "MALFORMED_ENVELOPE"), (Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the columns of the hashes hold bytes",
        |run| (run.rows[3][HASH], run.rows[3][PREV]) = (Held::Blob(vec![0]), Held::Blob(vec![0])),
        &[(Columns, "BAD_COLUMN_TYPE"), (Columns, "EVENT_HASH_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner prev is edited and the hash made right everywhere",
        |run| {
            let Held::Text(prev) = run.rows[10][PREV].clone() else { panic!() };
            run.edit(10, &String::from_utf8(prev).unwrap(), &EventHash::of(b"x").to_string());
            run.rows[10][HASH] = text(run.rehash(10));
            run.rows[10][PREV] = text(EventHash::of(b"x").to_string());
        },
        &[(Content, "PREV_HASH_MISMATCH")],
    ),
    (
        "the inner seq is edited and the hash made right everywhere",
        |run| {
            run.edit(10, "\"seq\":11", "\"seq\":12");
            run.rows[10][HASH] = text(run.rehash(10));
        },
        &[(Columns, "SEQ_MISMATCH")],
    ),
    (
        "the inner run_id is edited and the hash made right everywhere",
        |run| {
            run.edit(10, "run/1", "run/9");
            run.rows[10][HASH] = text(run.rehash(10));
        },
        &[(Content, "RUN_ID_MISMATCH")],
    ),
    ("a key is doubled in the text", |run| run.edit(3, r#"{"key":"#, r#"{"key":"stdout","key":"#), INEXACT),
    ("members change places in the text", |run| run.edit(3, r#""kind":"system""#, r#""aind":"system""#), INEXACT),
    ("a space is put into the text", |run| run.edit(3, r#"{"key":"#, r#"{"key": "#), INEXACT),
    (
        "a space is put behind a bracket",
        |run| run.edit(3, r#"{"key":"#, r#"{ "key":"#),
        &[(Content, "MALFORMED_ENVELOPE")],
    ),
    ("a line break is put behind the text", |run| run.edit(3, "\"}", "\"}\n"), UNREADABLE),
    ("a letter is escaped that needs no escape", |run| run.edit(3, "stderr", "std\\u0065rr"), INEXACT),
    (
        "text is not UTF-8",
        |run| {
            let Held::Text(bytes) = &mut run.rows[3][ENVELOPE] else { panic!() };
            bytes[12] = 0xFF;
        },
        INEXACT,
    ),
    (
        "text is nested 100,000 deep",
        |run| run.edit(3, r#""stderr""#, &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        UNREADABLE,
    ),
    ("text is not JSON", |run| run.rows[3][ENVELOPE] = text("{bad"), UNREADABLE),
    ("text is a number", |run| run.rows[3][ENVELOPE] = text("5"), UNREADABLE),
    ("text is null", |run| run.rows[3][ENVELOPE] = text("null"), UNREADABLE),
    ("text is empty", |run| run.rows[3][ENVELOPE] = text(""), UNREADABLE),
    ("NaN is written into a payload", |run| run.edit(3, r#""stderr""#, "NaN"), UNREADABLE),
    ("the version is raised", |run| run.edit(3, "version\":1,", "version\":999,"), UNREADABLE),
    ("the type is one that there is not", |run| run.edit(3, "EVIDENCE_PUT", "EVIDENCE_PUS"), UNREADABLE),
    (
        "an envelope is stored as a blob",
        |run| run.rows[3][ENVELOPE] = Held::Blob(run.envelope(3).into_bytes()),
        &[(Content, "MALFORMED_ENVELOPE"), (Columns, "BAD_COLUMN_TYPE")],
    ),
    (
        "the column seq is edited to the greatest",
        |run| run.rows[10][SEQ] = Held::Integer(i64::MAX),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column seq is edited in the middle",
        |run| run.rows[3][SEQ] = Held::Integer(i64::MAX),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column seq is negative",
        |run| run.rows[3][SEQ] = Held::Integer(i64::MIN),
        &[(Content, "SEQ_GAP"), (Columns, "SEQ_MISMATCH")],
    ),
    (
        "the column event_type is edited",
        |run| run.rows[6][TYPE] = text("DECISION"),
        &[(Columns, "EVENT_TYPE_MISMATCH")],
    ),
    (
        "the column event_type is not UTF-8",
        |run| run.rows[6][TYPE] = Held::Text(vec![0xFF]),
        &[(Columns, "EVENT_TYPE_MISMATCH")],
    ),
    (
        "the column event_hash is edited",
        |run| run.rows[3][HASH] = run.rows[4][HASH].clone(),
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column event_hash is emptied",
        |run| run.rows[3][HASH] = text(""),
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column event_hash is in capitals",
        |run| {
            let Held::Text(hash) = run.rows[3][HASH].clone() else { panic!() };
            run.rows[3][HASH] = Held::Text(hash.to_ascii_uppercase());
        },
        &[(Columns, "EVENT_HASH_COLUMN_MISMATCH"), (Columns, "EVENT_HASH_MISMATCH")],
    ),
    (
        "the column run_id is edited in the table, and not in the index",
        |run| run.rows[3][RUN_ID] = text("run/2"),
        &[(Columns, "RUN_ID_COLUMN_MISMATCH")],
    ),
    (
        "the column prev_event_hash is edited",
        |run| run.rows[3][PREV] = run.rows[4][PREV].clone(),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash is emptied",
        |run| run.rows[3][PREV] = Held::Null,
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash of the first is filled",
        |run| run.rows[0][PREV] = run.rows[1][PREV].clone(),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the column prev_event_hash is no hash",
        |run| run.rows[0][PREV] = text(""),
        &[(Columns, "PREV_HASH_COLUMN_MISMATCH"), (Columns, "PREV_HASH_MISMATCH")],
    ),
    (
        "the run's policy_id is edited",
        |run| run.head.as_mut().unwrap()[0] = text("other"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's policy_version is edited",
        |run| run.head.as_mut().unwrap()[1] = text("2"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's stage_graph_id is edited",
        |run| run.head.as_mut().unwrap()[2] = text("v1_minimal"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's created_at is edited",
        |run| run.head.as_mut().unwrap()[3] = text("2020-01-01T00:00:00+00:00"),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    (
        "the run's meta is edited",
        |run| run.head.as_mut().unwrap()[4] = text(r#"{"mode": "creative"}"#),
        &[(Columns, "RUN_ROW_MISMATCH")],
    ),
    ("the run's meta is not JSON", |run| run.head.as_mut().unwrap()[4] = text("{"), &[(Columns, "RUN_ROW_MISMATCH")]),
    ("the run's row is removed", |run| run.head = None, &[(Columns, "RUN_ROW_MISSING")]),
];
