"""The store: what is written comes back, and what must not be written is refused with nothing left behind."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import io
import json
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest

import receipt_kernel
from helpers import RECIPIENT, ROOT, TS, Recorder, draft, on_file, progress_during, verdict
from receipt_kernel import BlobRef
from receipt_kernel.envelope import canonical_json, compute_hash, verify_envelope_hash
from receipt_kernel.invariants import LedgerChainValidInvariant
from receipt_kernel.redact import RedactionReport
from receipt_kernel.store_sqlite import SqliteReceiptStore

HELLO = hashlib.sha256(b"hello").hexdigest()


# The file


def shapes(connection: sqlite3.Connection) -> dict[str, Any]:
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in connection.execute(names)]
    unique = "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?) WHERE origin <> 'c'"
    return {
        table: (
            connection.execute("SELECT * FROM pragma_table_xinfo(?)", (table,)).fetchall(),
            connection.execute("SELECT * FROM pragma_foreign_key_list(?)", (table,)).fetchall(),
            sorted(connection.execute(unique, (table,)).fetchall()),
        )
        for table in tables
    }


def test_the_tables_are_those_that_the_kernel_expects_in_a_file(store: SqliteReceiptStore) -> None:
    schema = (ROOT / "crates/kernel/src/compatible/schema.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(":memory:")) as kernel:
        kernel.executescript(schema)
        expected = shapes(kernel)
        assert len(expected) == 4
        assert shapes(store._conn) == expected
        # The control: a column of another type is another table.
        kernel.executescript("DROP TABLE blobs; " + schema.replace("bytes_len INTEGER", "bytes_len TEXT"))
        assert shapes(kernel) != expected


def test_the_tables_are_those_of_the_format(store: SqliteReceiptStore) -> None:
    columns = {
        table: [row[1:6] for row in store._conn.execute(f"pragma table_info({table})").fetchall()]
        for table in ("runs", "events", "blobs", "schema_meta")
    }
    assert columns == {
        "runs": [
            ("run_id", "TEXT", 0, None, 1),
            ("policy_id", "TEXT", 1, None, 0),
            ("policy_version", "TEXT", 1, None, 0),
            ("stage_graph_id", "TEXT", 1, None, 0),
            ("created_at", "TEXT", 1, None, 0),
            ("meta_json", "TEXT", 1, "'{}'", 0),
        ],
        "events": [
            ("id", "INTEGER", 0, None, 1),
            ("run_id", "TEXT", 1, None, 0),
            ("seq", "INTEGER", 1, None, 0),
            ("event_type", "TEXT", 1, None, 0),
            ("envelope_json", "TEXT", 1, None, 0),
            ("event_hash", "TEXT", 1, None, 0),
            ("prev_event_hash", "TEXT", 0, None, 0),
            ("created_at", "TEXT", 1, None, 0),
        ],
        "blobs": [
            ("sha256", "TEXT", 0, None, 1),
            ("content_type", "TEXT", 1, None, 0),
            ("bytes_len", "INTEGER", 1, None, 0),
            ("evidence_class", "TEXT", 1, "'public'", 0),
            ("state", "TEXT", 1, "'live'", 0),
            ("data", "BLOB", 0, None, 0),
            ("created_at", "TEXT", 1, None, 0),
            ("expired_at", "TEXT", 0, None, 0),
            ("redaction_json", "TEXT", 0, None, 0),
        ],
        "schema_meta": [("key", "TEXT", 0, None, 1), ("value", "TEXT", 1, None, 0)],
    }
    value = store._conn.execute("select value from schema_meta where key = 'store_schema_version'").fetchone()
    assert value == ("1",)


def test_the_file_is_durable_and_checks_its_references(store: SqliteReceiptStore) -> None:
    def pragma(name: str) -> Any:
        return store._conn.execute(f"pragma {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("foreign_keys") == 1
    assert pragma("synchronous") == 2


def test_making_the_schema_twice_keeps_what_is_there(store: SqliteReceiptStore) -> None:
    Recorder(store)
    store.initialize_schema()
    assert store.event_count("r1") == 1


def test_another_store_on_the_same_file_sees_what_the_first_wrote(db_path: str) -> None:
    first = SqliteReceiptStore(db_path)
    first.initialize_schema()
    Recorder(first)
    second = SqliteReceiptStore(db_path)
    second.initialize_schema()
    assert second.event_count("r1") == 1
    Recorder(second, start=False).event("DECISION")
    assert [event["seq"] for event in first.get_events("r1")] == [1, 2]
    first.close()
    second.close()


def test_attributes_say_what_the_store_was_made_with(db_path: str) -> None:
    assert SqliteReceiptStore(db_path).db_path == db_path
    assert SqliteReceiptStore(db_path).redaction_enabled is True
    assert SqliteReceiptStore(db_path, redaction_enabled=False).redaction_enabled is False


def test_a_path_object_is_a_path(tmp_path: pathlib.Path) -> None:
    store = SqliteReceiptStore(tmp_path / "l.db")  # type: ignore[arg-type]
    store.initialize_schema()
    Recorder(store)
    store.close()
    assert (tmp_path / "l.db").exists()


def test_memory_is_a_path() -> None:
    store = SqliteReceiptStore(":memory:")
    store.initialize_schema()
    Recorder(store)
    assert store.event_count("r1") == 1
    other = SqliteReceiptStore(":memory:")
    other.initialize_schema()
    assert other.event_count("r1") == 0
    store.close()
    other.close()
    assert not pathlib.Path(":memory:").exists()


def test_closing_twice_is_no_error(store: SqliteReceiptStore) -> None:
    store.close()
    store.close()


def test_a_closed_file_is_opened_again_by_the_next_call(store: SqliteReceiptStore) -> None:
    Recorder(store)
    store.close()
    assert store.event_count("r1") == 1
    store.close()


def test_a_folder_that_is_not_there_is_an_sqlite_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        SqliteReceiptStore(str(tmp_path / "no" / "l.db")).initialize_schema()


@pytest.mark.ours
def test_a_with_block_closes_the_store(db_path: str) -> None:
    with SqliteReceiptStore(db_path) as store:
        store.initialize_schema()
        Recorder(store)
    assert not os.path.exists(db_path + "-wal")


@pytest.mark.ours
def test_reading_does_not_make_a_file(tmp_path: pathlib.Path) -> None:
    store = SqliteReceiptStore(str(tmp_path / "typo.db"))
    with pytest.raises(sqlite3.OperationalError):
        store.get_run("r1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ours
def test_a_closed_memory_store_is_not_silently_another_one() -> None:
    store = SqliteReceiptStore(":memory:")
    store.initialize_schema()
    store.close()
    with pytest.raises(ValueError):
        store.event_count("r1")


@pytest.mark.ours
def test_only_the_owner_can_read_a_new_file(store: SqliteReceiptStore, db_path: str) -> None:
    assert stat.S_IMODE(os.stat(db_path).st_mode) == 0o600


@pytest.mark.ours
def test_a_file_of_a_newer_version_is_refused_and_left_alone(store: SqliteReceiptStore, db_path: str) -> None:
    store._conn.execute("update schema_meta set value = '2' where key = 'store_schema_version'")
    store._conn.commit()
    store.close()
    with pytest.raises(ValueError):
        SqliteReceiptStore(db_path).initialize_schema()
    assert on_file(db_path, "select value from schema_meta where key = 'store_schema_version'") == [["2"]]


# Runs


def test_a_run_comes_back_as_it_was_given(store: SqliteReceiptStore) -> None:
    before = datetime.datetime.now(datetime.timezone.utc)
    store.ensure_run("r1", "p", "1", "default", {"z": 1, "a": {"mode": "factual"}})
    run = store.get_run("r1")
    assert run is not None
    assert list(run) == ["run_id", "policy_id", "policy_version", "stage_graph_id", "created_at", "meta"]
    created = datetime.datetime.fromisoformat(run.pop("created_at"))
    assert before <= created <= datetime.datetime.now(datetime.timezone.utc)
    assert run == {
        "run_id": "r1",
        "policy_id": "p",
        "policy_version": "1",
        "stage_graph_id": "default",
        "meta": {"z": 1, "a": {"mode": "factual"}},
    }


def test_meta_is_stored_in_the_order_it_was_given(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g", {"z": 1, "a": [1.5, None, "\u00e9"]})
    store.ensure_run("r2", "p", "1", "g")
    rows = store._conn.execute("select meta_json from runs order by run_id").fetchall()
    assert rows == [('{"z": 1, "a": [1.5, null, "\\u00e9"]}',), ("{}",)]


def test_a_run_is_begun_once(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g", {"a": 1})
    first = store.get_run("r1")
    store.ensure_run("r1", "p", "1", "g", {"a": 2})
    assert store.get_run("r1") == first


def test_an_unknown_run_is_none_and_has_nothing(store: SqliteReceiptStore) -> None:
    assert store.get_run("nope") is None
    assert store.get_events("nope") == []
    assert store.event_count("nope") == 0


@pytest.mark.parametrize("row", [("q", "1", "g"), ("p", "2", "g"), ("p", "1", "h")])
def test_a_run_keeps_the_policy_that_it_was_begun_under(store: SqliteReceiptStore, row: tuple[str, str, str]) -> None:
    store.ensure_run("r1", "p", "1", "g")
    before = store.get_run("r1")
    store.ensure_run("r1", *row)
    assert store.get_run("r1") == before


@pytest.mark.parametrize("version, stored", [(2, "2"), (1.0, "1.0"), (1.5, "1.5")])
def test_a_policy_version_may_be_a_number(store: SqliteReceiptStore, version: Any, stored: str) -> None:
    store.ensure_run("r1", "p", version, "g")
    run = store.get_run("r1")
    assert run is not None and run["policy_version"] == stored
    Recorder(store, start=False).event("RUN_START", policy_version=version)
    (event,) = store.get_events("r1")
    assert event["policy"]["policy_version"] == version
    assert verdict(LedgerChainValidInvariant().evaluate({"store": store, "run_id": "r1"})) == "pass"


@pytest.mark.ours
@pytest.mark.parametrize(
    "row",
    [(None, "p", "1", "g"), ("r", None, "1", "g"), ("r", "p", None, "g"), ("r", "p", "1", None), (5, "p", "1", "g")],
)
def test_what_names_a_run_is_text(store: SqliteReceiptStore, row: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.ensure_run(*row)
    assert store._conn.execute("select count(*) from runs").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.parametrize("meta", [{"x": float("nan")}, {"x": float("inf")}])
def test_meta_is_json(store: SqliteReceiptStore, meta: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        store.ensure_run("r1", "p", "1", "g", meta)
    assert store.get_run("r1") is None


# Events


def test_events_are_linked_into_one_chain(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    refs = [run.event("DECISION", {"n": n}) for n in range(5)]
    assert refs == [f"event://r1/{seq}" for seq in range(2, 7)]
    events = store.get_events("r1")
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["prev_event_hash"] for event in events] == [None, *(event["event_hash"] for event in events[:-1])]
    assert all(verify_envelope_hash(event) for event in events)
    assert store.event_count("r1") == 6


def test_the_store_sets_the_links_and_leaves_the_draft_alone(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g")
    envelope = draft(run_id="other", seq=99, prev_event_hash="sha256:00", payload={"k": [1, {"a": None}]})
    envelope["event_hash"] = "sha256:11"
    envelope["extra"] = {"kept": True}
    before = json.dumps(envelope)
    store.append_event("r1", envelope)
    assert json.dumps(envelope) == before
    (event,) = store.get_events("r1")
    assert (event["run_id"], event["seq"], event["prev_event_hash"]) == ("r1", 1, None)
    assert event["extra"] == {"kept": True}
    rest = {key: value for key, value in event.items() if key != "event_hash"}
    assert event["event_hash"] == compute_hash(canonical_json(rest))
    for key in ("event_schema_version", "ts", "event_type", "stage", "policy", "actor", "payload", "refs"):
        assert event[key] == envelope[key]


def test_the_hash_of_a_chain_is_for_ever(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION", {"text": "\u00e9\U0001f600\x7f", "n": [1, 1.0, 1e16, 2**70, -0.0], "d": {"b": 1, "a": None}})
    run.finalize()
    hashes = [event["event_hash"] for event in store.get_events("r1")]
    assert (
        compute_hash("".join(hashes).encode())
        == "sha256:4b6b7209cc4588859913859a34fa457de607a8c95005219b56eb3c689bf1ee6f"
    )


def test_the_columns_say_what_the_envelope_says(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION")
    rows = store._conn.execute(
        "select run_id, seq, event_type, event_hash, prev_event_hash, envelope_json from events order by seq"
    ).fetchall()
    for row, event in zip(rows, store.get_events("r1"), strict=True):
        assert row[:5] == ("r1", event["seq"], event["event_type"], event["event_hash"], event["prev_event_hash"])
        assert json.loads(row[5]) == event


VALUES: list[Any] = [
    {},
    {"": ""},
    {"a": None, "b": True, "c": [], "d": {}},
    {"n": [0, -1, 2**64, -(2**70), 10**300]},
    {"f": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308]},
    {"t": "\u00e9 \u4e2d \U0001f600 \x00 \x7f \u2028 \ud800"},
    {"quote": '"\\/\b\f\n\r\t'},
    {"long": "x" * 100_000},
    {"\ue000": 1, "\U0001f600": 2, "a": 3},
    {"many": {f"k{n}": n for n in range(1000)}},
]


@pytest.mark.parametrize("payload", VALUES, ids=lambda value: ascii(value)[:30])
def test_payloads_come_back_as_they_were(store: SqliteReceiptStore, payload: Any) -> None:
    run = Recorder(store)
    ref = run.event("DECISION", payload)
    event = store.get_event_by_ref(ref)
    assert event is not None and event["payload"] == payload
    assert verify_envelope_hash(event)
    # 1 == 1.0 == True in Python: compare the bytes too.
    assert canonical_json(event["payload"]) == canonical_json(payload)


def test_tuples_and_subclasses_come_back_as_what_json_makes_of_them(store: SqliteReceiptStore) -> None:
    class Number(int):
        pass

    ref = Recorder(store).event("DECISION", {"t": (1, (2,)), "n": Number(7)})
    event = store.get_event_by_ref(ref)
    assert event is not None and event["payload"] == {"t": [1, [2]], "n": 7}


@pytest.mark.parametrize("run_id", ["", "a/b", "/", "\u00e9\U0001f600", "a b", "x\x00y", "'; drop table runs; --"])
def test_any_text_is_a_run_id(store: SqliteReceiptStore, run_id: str) -> None:
    ref = Recorder(store, run_id).event("DECISION")
    assert ref == f"event://{run_id}/2"
    event = store.get_event_by_ref(ref)
    assert event is not None and event["run_id"] == run_id
    run = store.get_run(run_id)
    assert run is not None and run["run_id"] == run_id


def test_events_can_be_asked_for_by_type(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION")
    run.event("DECISION")
    run.finalize()
    assert [event["seq"] for event in store.get_events("r1", "DECISION")] == [2, 3]
    assert [event["seq"] for event in store.get_events("r1", event_type="RUN_FINALIZE")] == [4]
    assert store.get_events("r1", "BOGUS") == []
    assert len(store.get_events("r1", None)) == len(store.get_events("r1", "")) == 4


def test_events_are_plain_dicts_that_can_be_changed(store: SqliteReceiptStore) -> None:
    Recorder(store)
    (event,) = store.get_events("r1")
    assert type(event) is dict and type(event["refs"]["blobs"]) is list
    event["payload"]["new"] = 1
    assert "new" not in store.get_events("r1")[0]["payload"]


@pytest.mark.parametrize(
    "ref",
    [
        "event://r1/9",
        "event://r1/0",
        "event://r1/-1",
        "event://r1/x",
        "event://r1/",
        "event://r1",
        "r1/1",
        "event://",
        "",
        "blob://sha256:aa",
        "event://other/1",
    ],
)
def test_a_ref_to_nothing_is_none(store: SqliteReceiptStore, ref: str) -> None:
    Recorder(store)
    assert store.get_event_by_ref("event://r1/1") is not None
    assert store.get_event_by_ref(ref) is None


@pytest.mark.ours
@pytest.mark.parametrize(
    "ref",
    [
        "event://r1/01",
        "event://r1/ 1 ",
        "event://r1/+1",
        "event://r1/1_0",
        "event://r1/\u0661",
        "event://r1/99999999999999999999",
        "event://r1/1\n",
        None,
        5,
    ],
)
def test_a_seq_in_a_ref_has_one_spelling(store: SqliteReceiptStore, ref: Any) -> None:
    run = Recorder(store)
    for _ in range(10):
        run.event("DECISION")
    assert store.get_event_by_ref(ref) is None


@pytest.mark.parametrize(
    "payload, error",
    [
        ({"x": float("nan")}, ValueError),
        ({"x": b""}, TypeError),
        ({"x": {1, 2}}, TypeError),
        ({"x": 10**4300}, ValueError),
    ],
    ids=["nan", "bytes", "set", "4301 digits"],
)
def test_a_payload_that_is_no_json_is_refused_and_nothing_is_stored(
    store: SqliteReceiptStore, payload: Any, error: type[Exception]
) -> None:
    run = Recorder(store)
    with pytest.raises(error):
        run.event("DECISION", payload)
    assert store.event_count("r1") == 1
    assert store._conn.in_transaction is False
    run.event("DECISION")


def test_a_run_id_that_cannot_be_encoded_is_refused(store: SqliteReceiptStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        store.ensure_run("\ud800", "p", "1", "g")


def test_an_event_for_an_unknown_run_is_an_integrity_error(store: SqliteReceiptStore) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.append_event("nope", draft())


@pytest.mark.ours
def test_an_unknown_run_is_a_value_error_too_and_its_message_names_it(store: SqliteReceiptStore) -> None:
    with pytest.raises(ValueError, match="nope"):
        store.append_event("nope", draft())


@pytest.mark.ours
def test_a_failed_append_holds_no_lock(store: SqliteReceiptStore, db_path: str) -> None:
    Recorder(store)
    with pytest.raises(sqlite3.IntegrityError):
        store.append_event("nope", draft())
    assert store._conn.in_transaction is False
    began = time.monotonic()
    append_in_processes(db_path, processes=1, appends=1)
    assert time.monotonic() - began < 4
    assert store.event_count("r1") == 2


@pytest.mark.ours
@pytest.mark.parametrize(
    "payload",
    [
        {9: 1, 10: 2},
        {9.5: 1},
        {True: 1, 2: 2},
        {-1: 1, -2: 2},
        {None: 1},
        {"a": [{1: 2}]},
        {"\ud83d\ude00": 1},
        {"\ud800": 1},
    ],
    ids=ascii,
)
def test_keys_are_text_that_can_be_encoded(store: SqliteReceiptStore, payload: Any) -> None:
    run = Recorder(store)
    with pytest.raises((TypeError, ValueError)):
        run.event("DECISION", payload)
    assert store.event_count("r1") == 1


@pytest.mark.ours
def test_what_is_written_is_at_most_200_deep(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    with pytest.raises(ValueError):
        run.event("DECISION", functools.reduce(lambda inner, _: {"a": inner}, range(200), {}))
    run.event("DECISION", functools.reduce(lambda inner, _: {"a": inner}, range(150), {}))
    assert store.event_count("r1") == 2


@pytest.mark.ours
@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="an older Python")
def test_the_limit_on_digits_is_not_the_interpreters(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(0)
        with pytest.raises(ValueError):
            run.event("DECISION", {"n": 10**4300})
        ref = run.event("DECISION", {"n": 10**4299})
        sys.set_int_max_str_digits(1000)
        event = store.get_event_by_ref(ref)
    finally:
        sys.set_int_max_str_digits(before)
    assert event is not None and event["payload"] == {"n": 10**4299}


def without(member: str) -> dict[str, Any]:
    envelope = draft()
    del envelope[member]
    return envelope


ODD = [
    *[without(name) for name in ("stage", "policy", "actor", "payload", "refs", "ts", "event_schema_version")],
    *[{**draft(), "event_type": value} for value in ("BOGUS", 5, 1.5, True, "run_start", "")],
    *[{**draft(), "payload": value} for value in (None, [], "x", 5)],
    *[{**draft(), "event_schema_version": value} for value in (0, -5, 0.5, 1.0, True)],
    *[{**draft(), "policy": value} for value in (None, {}, "p", {"policy_id": "p", "policy_version": 2})],
    *[{**draft(), "actor": value} for value in (None, {}, [])],
    *[{**draft(), "refs": value} for value in (None, [], {"blobs": None, "events": []}, {"blobs": "x", "events": []})],
    {**draft(), "ts": 5},
    {**draft(), "stage": None},
    {"event_type": "MINE"},
]


@pytest.mark.parametrize("envelope", ODD, ids=ascii)
def test_an_odd_envelope_is_taken_and_its_chain_holds(store: SqliteReceiptStore, envelope: dict[str, Any]) -> None:
    run = Recorder(store)
    before = json.dumps(envelope)
    assert store.append_event("r1", envelope) == "event://r1/2"
    assert run.event("DECISION") == "event://r1/3"
    assert json.dumps(envelope) == before
    (event,) = [event for event in store.get_events("r1") if event["seq"] == 2]
    assert {**envelope, **{name: event[name] for name in ("run_id", "seq", "prev_event_hash", "event_hash")}} == event
    result = run.judge(LedgerChainValidInvariant())
    assert (verdict(result), result.meta) == ("pass", {"event_count": 3})


@pytest.mark.ours
@pytest.mark.parametrize("envelope", ODD, ids=ascii)
def test_what_is_wrong_with_an_odd_envelope_is_found(
    store: SqliteReceiptStore, db_path: str, envelope: dict[str, Any]
) -> None:
    run = Recorder(store)
    store.append_event("r1", envelope)
    store.close()
    report = receipt_kernel.verify(db_path)
    (content,) = [check for check in report["checks"] if check["check"] == "content"]
    assert content["verdict"] == "fail" and report["overall_verdict"] == "fail"
    run.edit(2, lambda text: text.replace('"seq": 2', '"seq": 3'))
    assert verdict(run.judge(LedgerChainValidInvariant())) == "fail"


@pytest.mark.parametrize(
    "envelope, error",
    [
        (without("event_type"), KeyError),
        ({**draft(), "event_type": None}, sqlite3.IntegrityError),
        ({**draft(), "event_type": ["RUN_START"]}, sqlite3.Error),
        *[({**draft(), "event_schema_version": version}, TypeError) for version in ("1", None, [1])],
        *[({**draft(), "event_schema_version": version}, ValueError) for version in (2, 1.5, 999)],
    ],
    ids=ascii,
)
def test_an_envelope_without_a_type_or_with_a_strange_version_is_refused(
    store: SqliteReceiptStore, envelope: dict[str, Any], error: type[Exception]
) -> None:
    store.ensure_run("r1", "p", "1", "g")
    with pytest.raises(error):
        store.append_event("r1", envelope)
    store._conn.rollback()
    assert store.event_count("r1") == 0


def test_an_envelope_of_a_newer_version_says_so(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g")
    with pytest.raises(ValueError, match="newer than supported"):
        store.append_event("r1", {**draft(), "event_schema_version": 999})


@pytest.mark.ours
def test_a_number_is_no_run_id(store: SqliteReceiptStore) -> None:
    store.ensure_run("5", "p", "1", "g")
    with pytest.raises((TypeError, ValueError)):
        store.append_event(5, draft())  # type: ignore[arg-type]
    assert store.event_count("5") == 0


# What the compatible class leaves to its users


def test_an_event_may_follow_the_end_of_a_run(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.finalize()
    assert run.event("DECISION") == "event://r1/3"
    run.finalize()
    assert store.event_count("r1") == 4


def test_any_stage_may_follow_any_and_no_graph_is_asked(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    for stage in ("FINALIZE", "START", "NOWHERE", "", "EVALUATE"):
        run.advance(stage)
    assert [event["stage"] for event in store.get_events("r1")][1:] == ["FINALIZE", "START", "NOWHERE", "", "EVALUATE"]


@pytest.mark.parametrize("event_type", ["DECISION", "EVALUATION", "RUN_FINALIZE", "BLOB_EXPIRE", "REMEDIATION"])
def test_a_run_may_begin_with_anything(store: SqliteReceiptStore, event_type: str) -> None:
    assert Recorder(store, start=False).event(event_type) == "event://r1/1"


def test_an_envelope_may_name_another_policy_than_its_run_and_an_earlier_time(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION", policy_id="other", policy_version="9", stage_graph_id="default")
    run.event("DECISION", ts="1999-01-01T00:00:00+00:00")
    events = store.get_events("r1")
    assert events[1]["policy"] == {"policy_id": "other", "policy_version": "9", "stage_graph_id": "default"}
    assert events[2]["ts"] < events[1]["ts"] == TS


def test_raw_sql_reads_and_writes_through_the_stores_own_connection(store: SqliteReceiptStore) -> None:
    Recorder(store)
    conn = store._conn
    assert conn.execute("select run_id, seq from events").fetchone() == ("r1", 1)
    assert conn.execute("select 1 where 0").fetchone() is None
    assert conn.execute("select ? + ?, ?", (1, 2.5, "x")).fetchall() == [(3.5, "x")]
    assert list(conn.execute("select 1 union select 2")) == [(1,), (2,)]
    assert conn.execute("select null, x'00ff', 1, 1.5, 'é'").fetchone() == (None, b"\x00\xff", 1, 1.5, "é")
    assert conn.execute("update events set event_type = 'DECISION'").rowcount == 1
    conn.commit()
    assert conn.execute("select event_type from events").fetchall() == [("DECISION",)]
    assert conn.execute("delete from events where seq = ?", (1,)).rowcount == 1
    conn.commit()
    assert store.event_count("r1") == 0


def test_raw_sql_can_be_rolled_back(store: SqliteReceiptStore) -> None:
    Recorder(store)
    store._conn.execute("delete from events")
    assert store.event_count("r1") == 0
    store._conn.rollback()
    assert store.event_count("r1") == 1


def test_raw_sql_that_is_committed_is_in_the_file(store: SqliteReceiptStore, db_path: str) -> None:
    Recorder(store)
    store._conn.execute("update runs set policy_id = 'edited'")
    store._conn.commit()
    assert on_file(db_path, "select policy_id from runs") == [["edited"]]


def test_a_statement_that_is_wrong_is_an_sqlite_error(store: SqliteReceiptStore) -> None:
    with pytest.raises(sqlite3.Error):
        store._conn.execute("select nothing from nowhere")
    with pytest.raises(sqlite3.IntegrityError):
        store._conn.execute("insert into events values (1, 'nope', 1, 'x', 'x', 'x', null, 'x')")
    store._conn.rollback()


def test_a_cursor_gives_each_row_once_in_any_mixture(store: SqliteReceiptStore) -> None:
    cursor = store._conn.execute(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select i from n"
    )
    assert cursor.fetchone() == (1,)
    assert next(iter(cursor)) == (2,)
    assert cursor.fetchall() == [(3,), (4,), (5,)]
    assert cursor.fetchone() is None and cursor.fetchall() == []


# Blobs


def test_a_blob_comes_back_by_its_hash(store: SqliteReceiptStore) -> None:
    blob = store.put_blob(b"hello")
    assert blob == BlobRef(f"blob://sha256:{HELLO}", HELLO, "application/octet-stream", 5, "public")
    assert store.get_blob(HELLO) == b"hello" and type(store.get_blob(HELLO)) is bytes
    assert store.has_blob(HELLO) is True and store.blob_is_live(HELLO) is True
    meta = store.get_blob_meta(HELLO)
    assert meta is not None
    assert list(meta) == [
        "sha256",
        "content_type",
        "bytes_len",
        "evidence_class",
        "state",
        "created_at",
        "expired_at",
        "redaction_report",
    ]
    datetime.datetime.fromisoformat(meta.pop("created_at"))
    assert {**meta, "redaction_report": None} == {
        "sha256": HELLO,
        "content_type": "application/octet-stream",
        "bytes_len": 5,
        "evidence_class": "public",
        "state": "live",
        "expired_at": None,
        "redaction_report": None,
    }


def test_an_unknown_blob_is_none_and_not_there(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    for name in ("nope", "", "sha256:" + HELLO, HELLO.upper(), HELLO[:-1], None):
        assert store.get_blob(name) is None  # type: ignore[arg-type]
        assert store.get_blob_meta(name) is None  # type: ignore[arg-type]
        assert store.has_blob(name) is False  # type: ignore[arg-type]
        assert store.blob_is_live(name) is False  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 10, bytes(range(256)), b"x" * 3_000_000], ids=["empty", "zeros", "all bytes", "3 MB"]
)
def test_any_bytes_are_a_blob(store: SqliteReceiptStore, data: bytes) -> None:
    for given in (data, bytearray(data), memoryview(data)):
        blob = store.put_blob(given)
        assert blob.sha256 == hashlib.sha256(data).hexdigest()
        assert blob.bytes_len == len(data)
        assert store.get_blob(blob.sha256) == data


@pytest.mark.parametrize("data", ["text", None, 5, [1]])
def test_what_is_no_bytes_is_no_blob(store: SqliteReceiptStore, data: Any) -> None:
    with pytest.raises(TypeError):
        store.put_blob(data)
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


def test_a_blob_put_twice_is_stored_once(store: SqliteReceiptStore) -> None:
    assert store.put_blob(b"hello") == store.put_blob(b"hello", kind="oracle:test_log")
    assert store._conn.execute("select count(*) from blobs").fetchone() == (1,)


@pytest.mark.ours
def test_a_file_object_is_put_as_a_stream(store: SqliteReceiptStore, tmp_path: pathlib.Path) -> None:
    data = os.urandom(5_000_000)
    (tmp_path / "big").write_bytes(data)
    with open(tmp_path / "big", "rb") as file:
        blob = store.put_blob(file)
    assert store.get_blob(blob.sha256) == data and blob.bytes_len == len(data)
    assert store.put_blob(io.BytesIO(b"hello")).sha256 == HELLO
    with pytest.raises(TypeError):
        store.put_blob(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.ours
def test_a_stream_that_fails_leaves_nothing_and_raises_its_own_error(store: SqliteReceiptStore) -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            raise RuntimeError("the cable is out")

        def readable(self) -> bool:
            return True

    with pytest.raises(Exception, match="the cable is out"):
        store.put_blob(Broken())  # type: ignore[arg-type]
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.parametrize("evidence_class", ["bogus", "", "Public", None, 5])
def test_an_evidence_class_is_public_or_sealed(store: SqliteReceiptStore, evidence_class: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.put_blob(b"x", evidence_class=evidence_class)
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("order", [("public", "sealed"), ("sealed", "public")])
def test_the_strictest_class_wins_and_row_and_ref_agree(store: SqliteReceiptStore, order: tuple[str, str]) -> None:
    for evidence_class in order:
        blob = store.put_blob(b"x", evidence_class=evidence_class)
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["evidence_class"] == blob.evidence_class == "sealed"


@pytest.mark.ours
def test_an_expired_blob_that_is_put_again_is_there_again(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    store._conn.execute(
        "update blobs set state = 'expired_hash_only', data = null, expired_at = ?, created_at = ?", (TS, TS)
    )
    store._conn.commit()
    assert store.get_blob(HELLO) is None and store.blob_is_live(HELLO) is False
    store.put_blob(b"hello")
    meta = store.get_blob_meta(HELLO)
    assert store.get_blob(HELLO) == b"hello" and store.blob_is_live(HELLO)
    assert meta is not None and meta["state"] == "live" and meta["expired_at"] is None and meta["created_at"] > TS


@pytest.mark.ours
@pytest.mark.parametrize("change", ["data = x'00'", "data = null", "data = 'hello'", "data = x''"])
def test_bytes_that_are_not_those_of_the_hash_are_not_given_out(store: SqliteReceiptStore, change: str) -> None:
    store.put_blob(b"hello")
    store._conn.execute(f"update blobs set {change}")
    store._conn.commit()
    assert store.get_blob(HELLO) is None
    assert store.blob_is_live(HELLO) is False


@pytest.mark.ours
def test_a_blob_of_no_known_state_is_not_live(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    store._conn.execute("update blobs set state = 'zzz'")
    store._conn.commit()
    assert store.blob_is_live(HELLO) is False


def test_secrets_are_redacted_before_the_write_and_the_ref_is_of_what_is_stored(
    store: SqliteReceiptStore, db_path: str
) -> None:
    blob = store.put_blob(b"key = sk-ant-" + b"a1B2" * 10, content_type="text/plain")
    stored = store.get_blob(blob.sha256)
    assert stored is not None and b"[REDACTED:" in stored and b"sk-ant-" not in stored
    assert blob.sha256 == hashlib.sha256(stored).hexdigest() and blob.bytes_len == len(stored)
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["redaction_report"]["redacted"] is True and meta["redaction_report"]["hits"]
    store.close()
    assert b"a1B2a1B2" not in pathlib.Path(db_path).read_bytes()


def test_redaction_can_be_switched_off(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, redaction_enabled=False)
    store.initialize_schema()
    data = b"key = sk-ant-" + b"a1B2" * 10
    assert store.get_blob(store.put_blob(data, content_type="text/plain").sha256) == data
    store.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_redactor_of_ones_own_gets_four_arguments_for_every_type(db_path: str) -> None:
    calls: list[tuple[Any, ...]] = []

    def redactor(*arguments: Any) -> tuple[bytes, RedactionReport]:
        calls.append(arguments)
        return b"instead", RedactionReport([], "told", True)

    store = SqliteReceiptStore(db_path, custom_redactor=redactor)
    store.initialize_schema()
    blob = store.put_blob(b"hello", content_type="image/png", evidence_class="sealed")
    assert calls == [(b"hello", "image/png", "sealed", HELLO)]
    assert [type(argument) for argument in calls[0]] == [bytes, str, str, str]
    assert store.get_blob(blob.sha256) == b"instead" and blob.bytes_len == 7
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["redaction_report"]["original_hash"] == "told"
    store.close()


def test_a_redactor_may_have_nothing_to_report_and_what_it_raises_arrives(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, custom_redactor=lambda *a: (a[0], None))  # type: ignore[arg-type,return-value]
    store.initialize_schema()
    assert store.put_blob(b"hello").sha256 == HELLO
    store.close()

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no")

    store = SqliteReceiptStore(db_path, custom_redactor=broken)
    with pytest.raises(RuntimeError, match=r"^no$"):
        store.put_blob(b"other")
    assert store._conn.execute("select count(*) from blobs").fetchone() == (1,)
    store.close()
    silent = SqliteReceiptStore(db_path, redaction_enabled=False, custom_redactor=broken)
    silent.put_blob(b"other")
    silent.close()


@pytest.mark.ours
def test_secrets_in_events_are_redacted_where_that_was_asked_for(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, redact_events=True)  # type: ignore[call-arg]
    store.initialize_schema()
    secret = "sk-ant-" + "a1B2" * 10
    run = Recorder(store)
    run.event("DECISION", {"note": f"use {secret}"}, actor_id=secret)
    event = store.get_events("r1")[1]
    assert secret not in json.dumps(event) and verify_envelope_hash(event)
    store.close()
    assert b"a1B2a1B2" not in pathlib.Path(db_path).read_bytes()


@pytest.mark.ours
def test_sealed_evidence_without_recipients_is_stored_as_it_is_with_a_warning(store: SqliteReceiptStore) -> None:
    from receipt_kernel import PlaintextSealedWarning, errors

    errors._WARNED.clear()
    with pytest.warns(PlaintextSealedWarning):
        blob = store.put_blob(b"for few", evidence_class="sealed")
    with warnings.catch_warnings():
        # Once a process.
        warnings.simplefilter("error")
        store.put_blob(b"for few others", evidence_class="sealed")
        # And no failure of a program that makes errors of all warnings.
        errors._WARNED.clear()
        store.put_blob(b"for a few more", evidence_class="sealed")
        warnings.filterwarnings("error", category=PlaintextSealedWarning)
        errors._WARNED.clear()
        with pytest.raises(PlaintextSealedWarning):
            store.put_blob(b"not stored", evidence_class="sealed")
    assert not store.has_blob(hashlib.sha256(b"not stored").hexdigest())
    assert store.get_blob(blob.sha256) == b"for few" and blob.evidence_class == "sealed"


@pytest.mark.ours
@pytest.mark.filterwarnings("error")
def test_sealed_evidence_is_encrypted_to_the_recipients(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, recipients=[RECIPIENT])  # type: ignore[call-arg]
    store.initialize_schema()
    blob = store.put_blob(b"for few: canary-7f3a91", evidence_class="sealed")
    data = store.get_blob(blob.sha256)
    assert data is not None and data.startswith(b"age-encryption.org/v1") and b"canary" not in data
    assert blob.content_type == "application/vnd.age" and blob.evidence_class == "sealed"
    assert blob.sha256 == hashlib.sha256(data).hexdigest() and blob.bytes_len == len(data)
    public = store.put_blob(b"for all")
    assert store.get_blob(public.sha256) == b"for all"
    store.close()
    assert b"canary-7f3a91" not in pathlib.Path(db_path).read_bytes()


@pytest.mark.ours
def test_rules_of_ones_own_are_added_and_wrong_ones_refused(db_path: str) -> None:
    rules = '[[rule]]\nid = "badge"\nkeywords = ["badge-"]\npattern = "badge-[0-9]{4}"\n'
    store = SqliteReceiptStore(db_path, rules=rules)  # type: ignore[call-arg]
    store.initialize_schema()
    assert store.get_blob(store.put_blob(b"the door: badge-7351").sha256) == b"the door: [REDACTED:badge]"
    store.close()
    with pytest.raises(ValueError):
        SqliteReceiptStore(db_path, rules="nonsense = 1").initialize_schema()  # type: ignore[call-arg]


# Many at once


APPENDS = """
import sys
from receipt_kernel.envelope import make_envelope
from receipt_kernel.store_sqlite import SqliteReceiptStore
store = SqliteReceiptStore(sys.argv[1])
store.initialize_schema()
for n in range(int(sys.argv[2])):
    store.append_event("r1", make_envelope(event_type="DECISION", stage="S", policy_id="p", policy_version="1",
        stage_graph_id="g", actor_kind="k", actor_id=sys.argv[3], payload={"n": n}))
store.close()
"""


def append_in_processes(db_path: str, *, processes: int, appends: int) -> None:
    command = [sys.executable, "-c", APPENDS, db_path, str(appends)]
    running = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE) for n in range(processes)]
    for process in running:
        _, problem = process.communicate(timeout=120)
        assert process.returncode == 0, problem.decode()


@pytest.mark.ours
def test_no_append_of_several_processes_is_lost(db_path: str) -> None:
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    store.ensure_run("r1", "p", "1", "g")
    store.close()
    append_in_processes(db_path, processes=4, appends=250)
    store = SqliteReceiptStore(db_path)
    events = store.get_events("r1")
    store.close()
    assert [event["seq"] for event in events] == list(range(1, 1001))
    for actor in "0123":
        assert [event["payload"]["n"] for event in events if event["actor"]["id"] == actor] == list(range(250))


@pytest.mark.ours
def test_several_processes_make_one_new_file(db_path: str) -> None:
    make = "import sys; from receipt_kernel.store_sqlite import SqliteReceiptStore as S; s = S(sys.argv[1]); s.initialize_schema(); s.ensure_run('r1', 'p', '1', 'g')"
    running = [subprocess.Popen([sys.executable, "-c", make, db_path], stderr=subprocess.PIPE) for _ in range(6)]
    for process in running:
        _, problem = process.communicate(timeout=60)
        assert process.returncode == 0, problem.decode()
    assert on_file(db_path, "select run_id from runs") == [["r1"]]


@pytest.mark.ours
def test_threads_share_a_store(store: SqliteReceiptStore) -> None:
    Recorder(store)
    problems: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for n in range(50):
                store.append_event("r1", draft("DECISION", actor_id=str(name), payload={"n": n}))
                blob = store.put_blob(f"{name} {n}".encode())
                assert store.get_blob(blob.sha256) == f"{name} {n}".encode()
                assert store.event_count("r1") > n
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    events = store.get_events("r1")
    assert [event["seq"] for event in events] == list(range(1, 302))
    assert all(verify_envelope_hash(event) for event in events)


@pytest.mark.ours
def test_raw_sql_works_from_another_thread(store: SqliteReceiptStore) -> None:
    Recorder(store)
    rows: list[Any] = []
    thread = threading.Thread(target=lambda: rows.extend(store._conn.execute("select seq from events").fetchall()))
    thread.start()
    thread.join()
    assert rows == [(1,)]


@pytest.mark.ours
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_store_is_not_taken_along_by_a_fork(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answers = []
        for call in (
            lambda: store.event_count("r1"),
            lambda: run.event("DECISION"),
            lambda: store._conn.execute("select 1"),
        ):
            try:
                call()
                answers.append("worked")
            except ValueError as problem:
                answers.append(str(problem))
            except BaseException as problem:
                answers.append(repr(problem))
        os.write(write, json.dumps(answers).encode())
        os._exit(0)
    os.waitpid(child, 0)
    answers = json.loads(os.read(read, 10_000))
    assert len(answers) == 3 and all("fork" in answer for answer in answers), answers
    # The parent's own goes on.
    assert run.event("DECISION") == "event://r1/2"


@pytest.mark.ours
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_a_fork_opens_the_file_for_itself(db_path: str) -> None:
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    Recorder(store)
    child = os.fork()
    if child == 0:
        try:
            own = SqliteReceiptStore(db_path)
            Recorder(own, start=False).event("DECISION")
            own.close()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert Recorder(store, start=False).event("DECISION") == "event://r1/3"
    store.close()


@pytest.mark.ours
def test_other_threads_run_while_a_long_blob_is_put(store: SqliteReceiptStore) -> None:
    data = b"the quick brown fox = jumps over\n" * 2_000_000
    took, ticks = progress_during(lambda: store.put_blob(data, content_type="text/plain"))
    assert ticks >= min(20, took * 100), (took, ticks)
