"""Reports and edits by raw SQL."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sqlite3
from typing import Any

from helpers import Recorder, draft
from receipt_kernel import RetentionPolicy
from receipt_kernel import store_sqlite as store_module
from receipt_kernel.envelope import make_envelope
from receipt_kernel.invariants import LedgerChainValidInvariant, ReceiptCompletenessInvariant
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import KEY, LATER, beside, dump, factual, judged, sql, ticking, usage


@usage
def runs_are_listed_by_raw_sql_beside_the_store(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    seen = beside(store, "select run_id, count(*) from events group by run_id")
    Recorder(store, start=False).event("DECISION")
    return [seen, beside(store, "select count(*) from events"), store.event_count("r1")]


@usage
def events_are_searched_as_text(store: SqliteReceiptStore) -> Any:
    factual(store)
    where = "select seq from events where envelope_json like ?"
    return [sql(store, where, '%"event_type": "RUN_START"%'), sql(store, where, '%"overall_verdict": "pass"%')]


@usage
def json_functions_of_sqlite_read_envelopes(store: SqliteReceiptStore) -> Any:
    factual(store)
    return sql(
        store, "select json_extract(envelope_json, '$.payload.key') from events where event_type = 'EVIDENCE_PUT'"
    )


@usage
def rows_are_read_by_name(store: SqliteReceiptStore) -> Any:
    store._conn.row_factory = sqlite3.Row
    Recorder(store).event("DECISION")
    row = store._conn.execute("select run_id, seq from events order by seq").fetchone()
    run = store.get_run("r1")
    assert run is not None
    kept = [
        row["run_id"],
        row["seq"],
        store.event_count("r1"),
        run["policy_id"],
        judged(store, LedgerChainValidInvariant()),
    ]
    return [*kept, len(store.get_events("r1")), store.put_blob(b"x").bytes_len]


@usage
def rows_are_made_dicts(store: SqliteReceiptStore) -> Any:
    store._conn.row_factory = lambda cursor, row: {column[0]: value for column, value in zip(cursor.description, row)}
    factual(store)
    return [
        store._conn.execute("select count(*) as n from events").fetchone(),
        judged(store, ReceiptCompletenessInvariant()),
    ]


@usage
def text_is_read_as_bytes(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    store._conn.text_factory = bytes
    seen = store._conn.execute("select run_id from runs").fetchone()[0].decode()
    store._conn.text_factory = str
    return [seen, judged(store, LedgerChainValidInvariant())]


@usage
def a_function_of_ones_own_is_used_in_sql(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.create_function("stage_of", 1, lambda text: json.loads(text)["stage"])
    return sql(store, "select distinct stage_of(envelope_json) from events")


def found_in(path: str) -> list[Any]:
    """How many events a copy has, and whether its chain holds."""
    store = SqliteReceiptStore(path)
    answer = [store.event_count("r1"), judged(store, LedgerChainValidInvariant())]
    store.close()
    return answer


@usage
def a_ledger_is_backed_up_by_sqlite(store: SqliteReceiptStore) -> Any:
    factual(store)
    other = sqlite3.connect("copy.db")
    store._conn.backup(other)
    other.close()
    return found_in("copy.db")


@usage
def a_ledger_is_dumped_and_loaded(store: SqliteReceiptStore) -> Any:
    factual(store)
    other = sqlite3.connect("loaded.db")
    other.executescript("\n".join(line for line in store._conn.iterdump() if "sqlite_sequence" not in line))
    other.close()
    return found_in("loaded.db")


@usage
def a_script_runs_on_the_connection(store: SqliteReceiptStore) -> Any:
    store._conn.executescript(
        "create table notes (text); insert into notes values ('a'); insert into notes values ('b');"
    )
    Recorder(store)
    return sql(store, "select text from notes")


@usage
def the_connection_is_a_context_manager(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    with store._conn:
        store._conn.execute("update runs set meta_json = '{\"edited\": true}'")
    with contextlib.suppress(ZeroDivisionError), store._conn:
        store._conn.execute("delete from events")
        raise ZeroDivisionError
    run = store.get_run("r1")
    assert run is not None
    return [run["meta"], store.event_count("r1")]


@usage
def a_cursor_is_used(store: SqliteReceiptStore) -> Any:
    factual(store)
    cursor = store._conn.cursor()
    cursor.execute("select seq, event_type from events order by seq")
    names = [column[0] for column in cursor.description]
    return [names, [list(row) for row in cursor.fetchmany(2)], cursor.rowcount, cursor.connection is store._conn]


@usage
def many_rows_are_written_at_once(store: SqliteReceiptStore) -> Any:
    store._conn.execute("create table labels (run_id, label)")
    store._conn.executemany("insert into labels values (:run, :label)", [{"run": "r1", "label": n} for n in range(3)])
    store._conn.commit()
    return [sql(store, "select * from labels"), store._conn.total_changes > 0, store._conn.in_transaction]


@usage
def the_two_indexes_are_there(store: SqliteReceiptStore) -> Any:
    return sql(
        store, "select name, tbl_name from sqlite_master where type = 'index' and name like 'idx%' order by name"
    )


@usage
def pragmas_are_read(store: SqliteReceiptStore) -> Any:
    names = (
        "journal_mode",
        "synchronous",
        "foreign_keys",
        "busy_timeout",
        "user_version",
        "application_id",
        "page_size",
    )
    return [sql(store, f"pragma {name}") for name in names]


@usage
def a_table_is_exported_as_csv(store: SqliteReceiptStore) -> Any:
    factual(store)
    out = io.StringIO()
    csv.writer(out).writerows(store._conn.execute("select run_id, seq, event_type from events"))
    return out.getvalue().splitlines()


@usage
def the_rows_of_a_program_under_a_frozen_clock(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.ensure_run("r1", "p", "1", "g", {"z": [1, None], "mode": "factual"})
        run = Recorder(store, start=False)
        run.store.append_event("r1", draft("RUN_START", payload={"meta": {"mode": "factual"}, "text": "é\u2028😀\x7f"}))
        run.put("log", b"12 passed", kind="oracle:test_log", oracle_class=1)
        run.put("out", {"n": [1, 1.0, 1e16, -0.0, 2**70]})
        sealed = store.put_blob(b"\x00\xff binary", content_type="image/png", evidence_class="public")
        run.name("png", sealed.to_dict())
        store.append_event(
            "r1",
            make_envelope(
                event_type="DECISION",
                stage="DECIDE",
                policy_id="p",
                policy_version="1",
                stage_graph_id="g",
                actor_kind="a",
                actor_id="i",
                payload={"why": {"b": 1, "a": [True, "x,y:z"]}},
                event_refs=["event://r1/1"],
            ),
        )
        run.evaluation()
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
        run.finalize()
    return dump(store)


@usage
def the_first_use_makes_a_file(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore("typo.db")
    try:
        other.get_run("r")
    except sqlite3.OperationalError:
        return os.path.exists("typo.db")
    finally:
        other.close()


@usage
def the_connection_before_the_first_call(store: SqliteReceiptStore) -> Any:
    return SqliteReceiptStore(store.db_path)._conn is None


@usage
def a_connection_is_ensured_and_used(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore(store.db_path)
    other._ensure_conn()
    rows = sql(other, "select count(*) from runs")
    other.close()
    return rows


@usage
def the_schema_is_text(store: SqliteReceiptStore) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.executescript(store_module._SCHEMA_SQL)
    names = "select name from sqlite_master where name not like 'sqlite%' order by name"
    return [list(row) for row in connection.execute(names)]


@usage
def an_error_in_raw_sql_is_one_of_sqlite(store: SqliteReceiptStore) -> Any:
    seen = []
    for statement in ("select nothing from nowhere", "insert into runs values (1)", "not sql"):
        try:
            store._conn.execute(statement)
        except ValueError:
            seen.append("ValueError")
        except sqlite3.Error as error:
            seen.append(type(error).__name__)
    return seen


@usage
def raw_sql_that_is_not_committed_goes_with_the_next_append(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    store._conn.execute("update runs set meta_json = '{}'")
    open_before = store._conn.in_transaction
    store.append_event("r1", draft("DECISION"))
    return [open_before, store._conn.in_transaction, beside(store, "select meta_json from runs")]


@usage
def a_transaction_of_ones_own_is_rolled_back(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    store._conn.execute("begin")
    store._conn.execute("delete from events")
    store._conn.rollback()
    return [store.event_count("r1"), store._conn.in_transaction]


@usage
def the_connection_commits_by_itself(store: SqliteReceiptStore) -> Any:
    store._conn.isolation_level = None
    factual(store)
    store._conn.execute("create table notes (text)")
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return [store._conn.in_transaction, store.event_count("r1"), judged(store, LedgerChainValidInvariant())]


@usage
def two_ledgers_are_read_as_one(store: SqliteReceiptStore) -> Any:
    factual(store)
    other = SqliteReceiptStore("other.db")
    other.initialize_schema()
    Recorder(other, "r2")
    other.close()
    store._conn.execute("attach 'other.db' as other")
    rows = sql(store, "select run_id from runs union all select run_id from other.runs")
    store._conn.execute("detach other")
    return [rows, judged(store, LedgerChainValidInvariant())]


@usage
def views_and_columns_of_ones_own(store: SqliteReceiptStore) -> Any:
    store._conn.execute("alter table runs add column owner text")
    store._conn.execute("alter table events add column seen integer default 0")
    store._conn.execute("create view ends as select run_id, seq from events where event_type = 'RUN_FINALIZE'")
    store._conn.execute("create index by_hash on events (event_hash)")
    factual(store)
    run = store.get_run("r1")
    assert run is not None
    checks = (LedgerChainValidInvariant(), ReceiptCompletenessInvariant(["log"]))
    return [sql(store, "select * from ends"), sorted(run), [judged(store, check) for check in checks]]


@usage
def a_run_is_deleted_and_made_again(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("delete from events where run_id = 'r1'")
    store._conn.execute("delete from runs where run_id = 'r1'")
    store._conn.commit()
    gone = [store.get_run("r1"), store.event_count("r1")]
    factual(store)
    return [gone, store.event_count("r1"), judged(store, LedgerChainValidInvariant())]


@usage
def the_file_is_compacted(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("vacuum")
    store._conn.execute("pragma wal_checkpoint(truncate)")
    Recorder(store, start=False).event("DECISION")
    return [sql(store, "pragma integrity_check"), store.event_count("r1"), judged(store, LedgerChainValidInvariant())]


@usage
def the_journal_is_another(store: SqliteReceiptStore) -> Any:
    mode = sql(store, "pragma journal_mode = delete")
    factual(store)
    return [
        mode,
        sql(store, "pragma journal_mode"),
        store.event_count("r1"),
        judged(store, LedgerChainValidInvariant()),
    ]


@usage
def rows_are_counted_by_day_and_type(store: SqliteReceiptStore) -> Any:
    with ticking():
        factual(store)
    return sql(store, "select substr(created_at, 1, 10), event_type, count(*) from events group by 1, 2 order by 2")


@usage
def a_statement_is_given_parameters_by_name(store: SqliteReceiptStore) -> Any:
    factual(store)
    rows = store._conn.execute("select seq from events where event_type = :type", {"type": "EVALUATION"})
    return [list(row) for row in rows]


@usage
def what_the_connection_says_of_itself(store: SqliteReceiptStore) -> Any:
    connection = store._conn
    kinds = [isinstance(connection, sqlite3.Connection), connection.row_factory is None, connection.text_factory is str]
    return [*kinds, connection.in_transaction, connection.isolation_level]


@usage
def the_rows_of_evidence_with_a_secret_under_a_frozen_clock(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.put_blob(b'{"token": 1, "a": "' + KEY + b'"}', content_type="application/json")
    return [line.partition("original_hash")[0] for line in dump(store)]
