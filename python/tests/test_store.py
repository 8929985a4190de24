"""The store: its file, its runs, and what raw SQL finds there."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import sqlite3
import stat
from typing import Any

import pytest
from helpers import ROOT, TS, Recorder, on_file, verdict
from receipt_kernel.invariants import LedgerChainValidInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore

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


@pytest.mark.differs("a new file")
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
