"""Small things that programs written for 0.1.0 do, each run on this package and on that one.

A usage is a function that gives something JSON can hold, or raises. `usages.json` has what 0.1.0 gives; where this package
gives something else, it has that too, and the row of docs/PYTHON.md that says why. `UPDATE=1` records what the package
at hand gives.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import datetime as real
import io
import json
import os
import pathlib
import pickle
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import receipt_kernel
from helpers import ROOT, Recorder, draft
from receipt_kernel import BlobState, EvidenceClass, InvariantResult, Reason, RetentionPolicy, Verdict
from receipt_kernel import envelope as envelope_module
from receipt_kernel import invariants as all_invariants
from receipt_kernel import redact as redact_module
from receipt_kernel import retention as retention_module
from receipt_kernel import store_sqlite as store_module
from receipt_kernel.envelope import canonical_json, compute_hash, compute_hash_raw, make_envelope, seal_envelope
from receipt_kernel.invariants import (
    ClaimsEvidenceBindingInvariant,
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    LedgerChainValidInvariant,
    ReceiptCompletenessInvariant,
    SingleFinalizeInvariant,
    StageRequiredPathInvariant,
)
from receipt_kernel.redact import RedactionHit, RedactionReport, redact
from receipt_kernel.retention import compute_expiry_ts, find_expired_blobs, purge_expired
from receipt_kernel.stages import DEFAULT_STAGE_GRAPH
from receipt_kernel.store_sqlite import SqliteReceiptStore

FILE = pathlib.Path(__file__).with_name("usages.json")
PAGE = ROOT / "docs" / "PYTHON.md"
USAGES: dict[str, Callable[[SqliteReceiptStore], Any]] = {}
KEY = b"we use sk-ant-aaaabbbbccccddddeeee1234"
LATER = "2099-01-01T00:00:00+00:00"


def usage(function: Callable[[SqliteReceiptStore], Any]) -> Callable[[SqliteReceiptStore], Any]:
    USAGES[function.__name__] = function
    return function


class Ticking(real.datetime):
    """A clock that goes on by a second each time it is asked."""

    ticks = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.ticks += 1
        return real.datetime(2026, 1, 1, tzinfo=tz) + real.timedelta(seconds=cls.ticks)


@contextlib.contextmanager
def ticking() -> Iterator[None]:
    Ticking.ticks = 0
    with contextlib.ExitStack() as stack:
        for module in (store_module, envelope_module, retention_module):
            stack.enter_context(mock.patch.object(module, "datetime", Ticking))
        yield


def judged(store: SqliteReceiptStore, invariant: Any, run_id: str = "r1") -> Any:
    result = invariant.evaluate({"store": store, "run_id": run_id})
    return [result.verdict.value, [reason.code for reason in result.reasons]]


def sql(store: SqliteReceiptStore, statement: str, *params: Any) -> Any:
    return [list(row) for row in store._conn.execute(statement, params).fetchall()]


def beside(store: SqliteReceiptStore, statement: str) -> Any:
    connection = sqlite3.connect(store.db_path)
    rows = [list(row) for row in connection.execute(statement).fetchall()]
    connection.close()
    return rows


def dump(store: SqliteReceiptStore) -> Any:
    text = "\n".join(store._conn.iterdump())
    return [line for line in text.splitlines() if line.startswith("INSERT")]


def factual(store: SqliteReceiptStore) -> Recorder:
    run = Recorder(store)
    log = run.put("log", b"12 passed", kind="oracle:test_log", oracle_class=1)
    out = run.put("final_output", b"the answer")
    claim = {"id": "c", "evidence_refs": [log.ref], "confidence": "high"}
    run.put("claims_map", {"claims": [claim], "output_ref": out.ref})
    run.evaluation()
    run.finalize()
    return run


# Reports by raw SQL


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
    return sql(store, "select json_extract(envelope_json, '$.payload.key') from events where event_type = 'EVIDENCE_PUT'")


@usage
def rows_are_read_by_name(store: SqliteReceiptStore) -> Any:
    store._conn.row_factory = sqlite3.Row
    Recorder(store).event("DECISION")
    row = store._conn.execute("select run_id, seq from events order by seq").fetchone()
    run = store.get_run("r1")
    assert run is not None
    kept = [row["run_id"], row["seq"], store.event_count("r1"), run["policy_id"], judged(store, LedgerChainValidInvariant())]
    return [*kept, len(store.get_events("r1")), store.put_blob(b"x").bytes_len]


@usage
def rows_are_made_dicts(store: SqliteReceiptStore) -> Any:
    store._conn.row_factory = lambda cursor, row: {column[0]: value for column, value in zip(cursor.description, row)}
    factual(store)
    return [store._conn.execute("select count(*) as n from events").fetchone(), judged(store, ReceiptCompletenessInvariant())]


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


@usage
def a_ledger_is_backed_up_by_sqlite(store: SqliteReceiptStore) -> Any:
    factual(store)
    other = sqlite3.connect("copy.db")
    store._conn.backup(other)
    other.close()
    copied = SqliteReceiptStore("copy.db")
    answer = [copied.event_count("r1"), judged(copied, LedgerChainValidInvariant())]
    copied.close()
    return answer


@usage
def a_ledger_is_dumped_and_loaded(store: SqliteReceiptStore) -> Any:
    factual(store)
    other = sqlite3.connect("loaded.db")
    other.executescript("\n".join(line for line in store._conn.iterdump() if "sqlite_sequence" not in line))
    other.close()
    loaded = SqliteReceiptStore("loaded.db")
    answer = [loaded.event_count("r1"), judged(loaded, LedgerChainValidInvariant())]
    loaded.close()
    return answer


@usage
def a_script_runs_on_the_connection(store: SqliteReceiptStore) -> Any:
    store._conn.executescript("create table notes (text); insert into notes values ('a'); insert into notes values ('b');")
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
    return sql(store, "select name, tbl_name from sqlite_master where type = 'index' and name like 'idx%' order by name")


@usage
def pragmas_are_read(store: SqliteReceiptStore) -> Any:
    names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version", "application_id", "page_size")
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
        store.append_event("r1", make_envelope(
            event_type="DECISION", stage="DECIDE", policy_id="p", policy_version="1", stage_graph_id="g", actor_kind="a",
            actor_id="i", payload={"why": {"b": 1, "a": [True, "x,y:z"]}}, event_refs=["event://r1/1"],
        ))
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


# Stores and runs


@usage
def the_same_run_is_ensured_twice(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g", {"a": 1})
    store.ensure_run("r1", "q", "2", "h", {"b": 2})
    run = store.get_run("r1")
    assert run is not None
    return [run["policy_id"], run["policy_version"], run["meta"]]


@usage
def a_policy_version_is_a_number(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", 2, "g")  # type: ignore[arg-type]
    store.append_event("r1", draft(policy_version=2))
    run = store.get_run("r1")
    assert run is not None
    return [run["policy_version"], store.get_events("r1")[0]["policy"], judged(store, LedgerChainValidInvariant())]


@usage
def meta_holds_nan(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g", {"x": float("nan")})
    return store.get_run("r1") is not None


@usage
def a_run_id_is_a_number(store: SqliteReceiptStore) -> Any:
    store.ensure_run(5, "p", "1", "g")  # type: ignore[arg-type]
    return store.append_event(5, draft())  # type: ignore[arg-type]


@usage
def an_unknown_run_is_appended_to(store: SqliteReceiptStore) -> Any:
    try:
        store.append_event("nobody", draft())
    except sqlite3.IntegrityError:
        return ["IntegrityError", store.event_count("nobody")]
    return None


@usage
def the_lock_after_an_append_that_failed(store: SqliteReceiptStore) -> Any:
    with contextlib.suppress(sqlite3.IntegrityError):
        store.append_event("nobody", draft())
    return store._conn.in_transaction


@usage
def a_type_of_ones_own_is_recorded(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    store.append_event("r1", {**draft(), "event_type": "TOOL_CALL", "stage": "COLLECT", "payload": {"tool": "grep"}})
    run.finalize()
    seen = [event["event_type"] for event in store.get_events("r1")]
    path = StageRequiredPathInvariant(["START", "COLLECT", "FINALIZE"])
    checks = (LedgerChainValidInvariant(), SingleFinalizeInvariant(), FinalizationCompletenessInvariant(), path)
    return [seen, len(store.get_events("r1", "TOOL_CALL")), [judged(store, check) for check in checks]]


@usage
def a_partial_envelope_is_recorded(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    store.append_event("r1", {"event_type": "NOTE", "text": "by hand"})
    store.append_event("r1", {"event_type": "NOTE", "payload": None})
    (first, second) = store.get_events("r1")
    return [first, second["prev_event_hash"] == first["event_hash"], judged(store, LedgerChainValidInvariant())]


@usage
def a_make_of_ones_own_type_is_refused(store: SqliteReceiptStore) -> Any:
    return draft("TOOL_CALL")


@usage
def a_newer_version_is_refused(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    store.append_event("r1", {**draft(), "event_schema_version": 999})


@usage
def a_payload_with_keys_that_are_numbers(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("DECISION", {10: "b", 9: "a"})
    return judged(store, LedgerChainValidInvariant())


@usage
def a_payload_500_deep(store: SqliteReceiptStore) -> Any:
    value: Any = 1
    for _ in range(500):
        value = [value]
    Recorder(store).event("DECISION", {"deep": value})
    return store.event_count("r1")


@usage
def a_payload_that_is_no_json_is_refused(store: SqliteReceiptStore) -> Any:
    seen = []
    run = Recorder(store)
    for value in (float("nan"), b"", {1}, object()):
        try:
            run.event("DECISION", {"x": value})
        except (TypeError, ValueError) as error:
            seen.append(type(error).__name__)
    return [seen, store.event_count("r1")]


@usage
def a_ref_with_a_leading_zero(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    return store.get_event_by_ref("event://r1/01") is None


@usage
def events_go_on_after_the_end(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    run.event("DECISION")
    return [judged(store, FinalizationCompletenessInvariant()), judged(store, SingleFinalizeInvariant())]


@usage
def a_store_in_memory(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore(":memory:")
    other.initialize_schema()
    run = factual(other)
    answer = [judged(other, LedgerChainValidInvariant()), judged(other, ReceiptCompletenessInvariant()), run.run_id]
    other.close()
    return answer


@usage
def a_memory_store_after_its_end(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore(":memory:")
    other.initialize_schema()
    other.close()
    other.initialize_schema()
    return other.event_count("r1")


@usage
def a_closed_store_goes_on(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    store.close()
    store.close()
    return store.event_count("r1")


@usage
def a_with_statement(store: SqliteReceiptStore) -> Any:
    with contextlib.closing(SqliteReceiptStore(store.db_path)) as other:
        return other.event_count("r1")


@usage
def a_with_statement_of_the_store_itself(store: SqliteReceiptStore) -> Any:
    with SqliteReceiptStore(store.db_path) as other:  # type: ignore[attr-defined, unused-ignore]
        return other.event_count("r1")


@usage
def a_store_that_is_not_open_is_pickled(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    other = pickle.loads(pickle.dumps(SqliteReceiptStore(store.db_path, redaction_enabled=False)))
    answer = [other.db_path == store.db_path, other.redaction_enabled, other.event_count("r1")]
    other.close()
    return answer


@usage
def a_store_that_is_open_is_pickled(store: SqliteReceiptStore) -> Any:
    pickle.dumps(store)


@usage
def a_store_that_is_not_open_is_copied(store: SqliteReceiptStore) -> Any:
    other = copy.copy(SqliteReceiptStore(store.db_path))
    answer = other.event_count("r1")
    other.close()
    return answer


@usage
def another_thread_reads(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    seen: list[Any] = []

    def read() -> None:
        try:
            seen.append(store.event_count("r1"))
        except sqlite3.ProgrammingError as error:
            seen.append(type(error).__name__)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return seen


@usage
def each_thread_has_a_store(store: SqliteReceiptStore) -> Any:
    for n in range(4):
        store.ensure_run(f"t{n}", "p", "1", "g")

    def write(n: int) -> None:
        own = SqliteReceiptStore(store.db_path)
        for _ in range(20):
            own.append_event(f"t{n}", draft())
        own.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [store.event_count(f"t{n}") for n in range(4)]


@usage
def another_process_writes(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    script = (
        "import sys; from receipt_kernel.store_sqlite import SqliteReceiptStore as S; s = S(sys.argv[1]); "
        "e = s.get_events('r1')[0]; s.append_event('r1', e); s.close()"
    )
    subprocess.run([sys.executable, "-I", "-c", script, str(store.db_path)], check=True)
    Recorder(store, start=False).event("DECISION")
    return [store.event_count("r1"), judged(store, LedgerChainValidInvariant())]


@usage
def a_subclass_counts_what_is_appended(store: SqliteReceiptStore) -> Any:
    class Counting(SqliteReceiptStore):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.appended = 0

        def append_event(self, run_id: str, envelope: dict[str, Any]) -> str:
            self.appended += 1
            return super().append_event(run_id, {**envelope, "host": "here"})

    other = Counting(store.db_path)
    run = Recorder(other)
    run.event("DECISION")
    answer = [other.appended, other.get_events("r1")[1]["host"], judged(other, LedgerChainValidInvariant())]
    other.close()
    return answer


@usage
def a_subclass_hides_events_from_invariants(store: SqliteReceiptStore) -> Any:
    class Hiding(SqliteReceiptStore):
        def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
            return [event for event in super().get_events(run_id, event_type) if event["event_type"] != "RUN_FINALIZE"]

    other = Hiding(store.db_path)
    factual(other)
    answer = [judged(other, SingleFinalizeInvariant()), judged(other, LedgerChainValidInvariant())]
    other.close()
    return answer


@usage
def what_a_patched_store_raises_comes_through(store: SqliteReceiptStore) -> Any:
    factual(store)
    with mock.patch.object(SqliteReceiptStore, "has_blob", side_effect=RuntimeError("down")):
        judged(store, ReceiptCompletenessInvariant())


@usage
def a_patched_blob_is_not_there(store: SqliteReceiptStore) -> Any:
    factual(store)
    with mock.patch.object(store, "has_blob", return_value=False):
        return judged(store, ReceiptCompletenessInvariant())


@usage
def a_patched_blob_is_not_live(store: SqliteReceiptStore) -> Any:
    factual(store)
    with mock.patch.object(store, "blob_is_live", return_value=False):
        return judged(store, ReceiptCompletenessInvariant())


@usage
def an_invariant_without_a_store(store: SqliteReceiptStore) -> Any:
    return judged(None, ClaimsEvidenceBindingInvariant())  # type: ignore[arg-type]


@usage
def a_structural_invariant_without_a_store(store: SqliteReceiptStore) -> Any:
    return SingleFinalizeInvariant().evaluate({}).verdict.value


@usage
def a_ledger_without_its_table(store: SqliteReceiptStore) -> Any:
    store._conn.execute("drop table events")
    return judged(store, SingleFinalizeInvariant())


@usage
def an_invariant_of_ones_own(store: SqliteReceiptStore) -> Any:
    class Reviewed:
        invariant_id = "mine.reviewed"

        def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
            found = ctx["store"].get_events(ctx["run_id"], "DECISION")
            verdict = Verdict.PASS if found else Verdict.FAIL
            return InvariantResult(self.invariant_id, verdict, [] if found else [Reason("NOT_REVIEWED", "nobody")])

    Recorder(store)
    return [Reviewed().evaluate({"store": store, "run_id": "r1"}).to_dict(), judged(store, Reviewed())]


@usage
def all_thirteen_of_a_good_run(store: SqliteReceiptStore) -> Any:
    factual(store)
    made = {"StageRequiredPathInvariant": (["START"],)}
    return [
        [name, *judged(store, getattr(all_invariants, name)(*made.get(name, ())))] for name in sorted(all_invariants.__all__)
    ]


@usage
def results_are_recorded_as_an_evaluation(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    results = [LedgerChainValidInvariant().evaluate({"store": store, "run_id": "r1"}).to_dict()]
    run.evaluation(results)
    return [json.loads(json.dumps(results)), judged(store, EvaluationCompletenessInvariant())]


@usage
def an_evaluation_with_free_words(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, (overall, results) in enumerate(
        [
            ("approved", [{"name": "lint", "ok": True}]),
            ("warn", [{"invariant_id": "x", "verdict": "fail"}]),
            ("pass", [{"invariant_id": "x", "verdict": "skipped"}]),
            ("pass", [{"invariant_id": "x", "verdict": "warn"}]),
            ("pass", [{"invariant_id": "x", "verdict": "fail"}]),
            ("PASS", [{"invariant_id": "x", "verdict": "FAIL"}]),
        ]
    ):
        run = Recorder(store, f"e{number}")
        run.evaluation(results, overall)
        seen.append(judged(store, EvaluationCompletenessInvariant(), run.run_id))
    return seen


@usage
def an_evaluation_that_is_incomplete(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, complete in enumerate([True, 1, [0], "yes", "false", False, None, 0]):
        run = Recorder(store, f"e{number}")
        run.evaluation(complete=complete)
        seen.append([complete, *judged(store, EvaluationCompletenessInvariant(), run.run_id)])
    return seen


@usage
def a_required_invariant_failed_under_a_warning(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation([{"invariant_id": "x", "verdict": "fail"}], "warn")
    return judged(store, EvaluationCompletenessInvariant(required_invariants=("x",)))


@usage
def an_ending_in_free_words(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, overall in enumerate(["done", "pass", "fail", "", None]):
        run = Recorder(store, f"f{number}")
        run.finalize(overall)
        seen.append([overall, *judged(store, FinalizationCompletenessInvariant(), run.run_id)])
    return seen


@usage
def an_ending_that_is_all_there_is(store: SqliteReceiptStore) -> Any:
    run = Recorder(store, start=False)
    run.finalize()
    return judged(store, FinalizationCompletenessInvariant())


@usage
def an_ending_that_refers_to_nothing(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize(event_refs=["event://elsewhere/99"])
    return judged(store, FinalizationCompletenessInvariant(require_decision_ref=True))


@usage
def an_ending_that_refers_to_the_start(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize(event_refs=["event://r1/1"])
    return judged(store, FinalizationCompletenessInvariant(require_decision_ref=True))


@usage
def a_warning_that_is_not_allowed(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize("warn")
    return judged(store, FinalizationCompletenessInvariant(allow_warn_as_success=False))


@usage
def claims_of_every_kind(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, make in enumerate(
        [
            lambda ref, out: [],
            lambda ref, out: [{"id": "c", "evidence_refs": [out], "confidence": "low"}],
            lambda ref, out: [{"id": "c", "evidence_refs": [ref]}, {"id": "c", "evidence_refs": [ref]}],
            lambda ref, out: [{"id": "c", "evidence_refs": ["https://example.org/paper"]}],
            lambda ref, out: [{"id": "c", "evidence_refs": []}],
            lambda ref, out: [{"id": "c", "evidence_refs": [5]}],
            lambda ref, out: [{"id": "c", "evidence_refs": [ref], "confidence": "very high"}],
            lambda ref, out: [{"id": "c", "evidence_refs": [], "confidence": "medium"}],
            lambda ref, out: [{"id": "c", "evidence_refs": ["blob://sha256:" + "0" * 64], "confidence": "low"}],
        ]
    ):
        run = Recorder(store, f"c{number}")
        log, out = run.put("log", b"12 passed", kind="oracle:test_log"), run.put("final_output", b"the answer")
        run.put("claims_map", {"claims": make(log.ref, out.ref), "output_ref": out.ref})
        names = ("ClaimsEvidenceBindingInvariant", "ConfidenceSanityInvariant", "RefsClosedWorldInvariant")
        seen.append([judged(store, getattr(all_invariants, name)(), run.run_id) for name in names])
    return seen


@usage
def modes_of_ones_own(store: SqliteReceiptStore) -> Any:
    seen = []
    for mode in ("exploratory", "strict", "Factual", "creative", None):
        run = Recorder(store, f"m-{mode}", mode=mode)
        seen.append([mode, judged(store, ClaimsEvidenceBindingInvariant(), run.run_id)])
    return seen


@usage
def evidence_without_key_or_evidence(store: SqliteReceiptStore) -> Any:
    seen = []
    blob = store.put_blob(b"x").to_dict()
    for number, payload in enumerate(
        [{"key": "k"}, {"evidence": blob}, {}, {"key": "k", "evidence": {}}, {"key": "k", "evidence": {"ref": blob["ref"]}}]
    ):
        run = Recorder(store, f"p{number}")
        run.event("EVIDENCE_PUT", payload)
        seen.append([judged(store, ReceiptCompletenessInvariant(keys), run.run_id) for keys in ([], ["k"])])
    return seen


@usage
def evidence_that_names_two_blobs(store: SqliteReceiptStore) -> Any:
    one, other = store.put_blob(b"x").to_dict(), store.put_blob(b"y").to_dict()
    Recorder(store).event("EVIDENCE_PUT", {"key": "k", "evidence": {**one, "ref": other["ref"]}})
    return judged(store, ReceiptCompletenessInvariant())


@usage
def a_stage_that_contradicts_its_payload(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("STAGE_ADVANCE", {"from_stage": "X", "to_stage": "Y", "reason": ""}, stage="COLLECT")
    return judged(store, StageRequiredPathInvariant(["START", "COLLECT"]))


@usage
def a_path_that_asks_for_nothing(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    return judged(store, StageRequiredPathInvariant([]))


# Tampering


@usage
def a_hash_column_is_changed(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    store._conn.execute("update events set event_hash = 'sha256:' || ? where seq = 2", ("0" * 64,))
    store._conn.commit()
    verdict, codes = judged(store, LedgerChainValidInvariant())
    return [verdict, "EVENT_HASH_MISMATCH" in codes]


@usage
def a_previous_hash_is_changed(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, value in enumerate(["sha256:" + "0" * 64, "no hash", None]):
        run = Recorder(store, f"h{number}")
        run.event("DECISION")
        store._conn.execute("update events set prev_event_hash = ? where run_id = ? and seq = 2", (value, run.run_id))
        store._conn.commit()
        verdict, codes = judged(store, LedgerChainValidInvariant(), run.run_id)
        seen.append([verdict, "PREV_HASH_MISMATCH" in codes])
    return seen


@usage
def a_payload_is_changed(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("DECISION", {"verdict": "no"})
    run.edit(2, lambda text: text.replace('"no"', '"yes"'))
    return judged(store, LedgerChainValidInvariant())


@usage
def an_event_is_cut_out_and_the_rest_moved_up(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    for _ in range(3):
        run.event("DECISION")
    run.sql("delete from events where seq = 2")
    return judged(store, LedgerChainValidInvariant())


@usage
def the_bytes_of_a_blob_are_replaced(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update blobs set data = ? where bytes_len = 9", (b"12 failed",))
    store._conn.commit()
    return judged(store, ReceiptCompletenessInvariant())[0]


@usage
def the_bytes_of_a_blob_are_removed_by_hand(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update blobs set data = null, state = 'expired_hash_only' where bytes_len = 9")
    store._conn.commit()
    return judged(store, ReceiptCompletenessInvariant())[0]


# Blobs and redaction


@usage
def blobs_of_every_kind_of_bytes(store: SqliteReceiptStore) -> Any:
    return [store.put_blob(data).to_dict() for data in (b"", b"a", bytearray(b"b"), memoryview(b"c"), b"\xff" * 10)]  # type: ignore[arg-type]


@usage
def a_blob_that_is_text_is_refused(store: SqliteReceiptStore) -> Any:
    store.put_blob("text")  # type: ignore[arg-type]


@usage
def the_same_blob_again_under_another_type(store: SqliteReceiptStore) -> Any:
    first = store.put_blob(b"x", content_type="text/plain")
    again = store.put_blob(b"x", content_type="application/json")
    meta = store.get_blob_meta(first.sha256)
    assert meta is not None
    return [first.to_dict(), again.to_dict(), meta["content_type"]]


@usage
def the_same_blob_again_as_sealed(store: SqliteReceiptStore) -> Any:
    first = store.put_blob(b"x")
    again = store.put_blob(b"x", evidence_class="sealed")
    meta = store.get_blob_meta(first.sha256)
    assert meta is not None
    return [again.evidence_class, meta["evidence_class"], store.put_blob(b"x").evidence_class]


@usage
def a_class_of_ones_own(store: SqliteReceiptStore) -> Any:
    return store.put_blob(b"x", evidence_class="internal").evidence_class


@usage
def an_expired_blob_is_put_again(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    store.put_blob(b"x")
    data = store.get_blob(blob.sha256)
    return None if data is None else data.decode()


@usage
def blobs_that_are_not_there(store: SqliteReceiptStore) -> Any:
    nowhere = "0" * 64
    answers = (store.get_blob(nowhere), store.get_blob_meta(nowhere), store.has_blob(nowhere), store.blob_is_live(nowhere))
    return [*answers, store.get_blob("x"), store.has_blob("")]


@usage
def a_secret_is_redacted_in_text(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(KEY, content_type="text/plain")
    meta = store.get_blob_meta(blob.sha256)
    data = store.get_blob(blob.sha256)
    assert meta is not None and data is not None
    report = meta["redaction_report"]
    return [data.decode(), report["hits"], report["redacted"], sorted(report)]


@usage
def the_hash_of_the_original_in_the_row(store: SqliteReceiptStore) -> Any:
    meta = store.get_blob_meta(store.put_blob(KEY, content_type="text/plain").sha256)
    assert meta is not None
    return len(meta["redaction_report"]["original_hash"])


@usage
def a_secret_in_the_default_type(store: SqliteReceiptStore) -> Any:
    return KEY == store.get_blob(store.put_blob(KEY).sha256)


@usage
def redaction_is_switched_off(store: SqliteReceiptStore) -> Any:
    store.redaction_enabled = False
    return KEY == store.get_blob(store.put_blob(KEY, content_type="text/plain").sha256)


@usage
def a_redactor_of_ones_own(store: SqliteReceiptStore) -> Any:
    seen = []

    def hide(data: bytes, content_type: str, evidence_class: str, original_hash: str) -> tuple[bytes, RedactionReport]:
        seen.append([data.decode(), content_type, evidence_class, original_hash])
        return data.replace(b"me", b"**"), RedactionReport([RedactionHit("me", 0, 2, "**")], original_hash, True)

    other = SqliteReceiptStore(store.db_path, custom_redactor=hide)
    blob = other.put_blob(b"hide me", content_type="text/plain")
    answer = [seen, sql(other, "select data, redaction_json from blobs")[0][1], blob.bytes_len]
    other.close()
    return answer


@usage
def the_redactor_of_the_module_is_patched(store: SqliteReceiptStore) -> Any:
    with mock.patch("receipt_kernel.store_sqlite.redact", return_value=(b"patched", RedactionReport())) as patched:
        blob = store.put_blob(b"original", content_type="text/plain")
    return [store.get_blob(blob.sha256) == b"patched", list(patched.call_args.args[1:]), dict(patched.call_args.kwargs)]


@usage
def a_pattern_is_added(store: SqliteReceiptStore) -> Any:
    import re

    own = ("mine", re.compile(r"PROJ-\d+"), "[REDACTED:mine]")
    with mock.patch.object(redact_module, "_SECRET_PATTERNS", [*redact_module._SECRET_PATTERNS, own]):
        data, report = redact(b"see PROJ-123", "text/plain", "public")
        stored = store.get_blob(store.put_blob(b"see PROJ-123", content_type="text/plain").sha256)
    return [data.decode(), dataclasses.asdict(report), stored == data]


@usage
def the_patterns_are_listed(store: SqliteReceiptStore) -> Any:
    return [[name, replacement] for name, _, replacement in redact_module._SECRET_PATTERNS]


@usage
def types_that_are_text(store: SqliteReceiptStore) -> Any:
    types = ("text/plain", "text/x; charset=utf-8", "application/json", "application/xml", "application/yaml")
    others = ("application/x-yaml", "application/octet-stream", "image/png", "TEXT/PLAIN", "", "application/x-ndjson")
    return [redact_module._is_text_content(name) for name in types + others]


@usage
def text_without_secrets_stays(store: SqliteReceiptStore) -> Any:
    data, report = redact("é fine 😀".encode(), "text/plain", "public", "abc")
    return [data.decode(), report.to_dict()]


# Retention


@usage
def what_is_due_is_found(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.put_blob(b"a", content_type="text/plain")
        store.put_blob(b"b", evidence_class="sealed")
    return [
        [blob["evidence_class"] for blob in find_expired_blobs(store, RetentionPolicy(), now)]
        for now in ("2026-01-02T00:00:00+00:00", "2026-01-09T00:00:00+00:00", "2026-02-09T00:00:00+00:00")
    ]


@usage
def a_purge_into_a_run_of_ones_own(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.put_blob(b"a", content_type="text/plain")
        purged = purge_expired(store, RetentionPolicy(1.5, 60.0), LATER, maintenance_run_id="m")  # type: ignore[arg-type]
    return [purged, dump(store)]


@usage
def a_purge_without_a_run(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    purge_expired(store, RetentionPolicy(0, 0), LATER)
    return len(sql(store, "select run_id from runs"))


@usage
def a_purge_appends_through_the_store(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    with mock.patch.object(store, "append_event", wraps=store.append_event) as append:
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return [call.args[0] for call in append.call_args_list]


@usage
def a_dry_run(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"a")
    found = purge_expired(store, RetentionPolicy(0, 0), LATER, dry_run=True)
    return [len(found), store.blob_is_live(blob.sha256)]


@usage
def a_blob_after_its_time(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    meta = store.get_blob_meta(compute_hash_raw(b"12 passed"))
    assert meta is not None
    return [meta["state"] == BlobState.EXPIRED_HASH_ONLY.value, meta["expired_at"], judged(run.store, ReceiptCompletenessInvariant())[0]]


@usage
def a_purge_at_a_time_that_is_none(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    return len(purge_expired(store, RetentionPolicy(), "tomorrow"))


@usage
def expiry_times(store: SqliteReceiptStore) -> Any:
    made = "2026-01-01T00:00:00.250000+00:00"
    policies = (RetentionPolicy(), RetentionPolicy(1.5), RetentionPolicy(0), RetentionPolicy(-1))  # type: ignore[arg-type]
    times = [compute_expiry_ts(made, EvidenceClass.PUBLIC, policy) for policy in policies]
    return [*times, compute_expiry_ts("2026-01-01T05:00:00+05:00", EvidenceClass.SEALED, RetentionPolicy())]


# Values, clocks and warnings


@usage
def the_clock_of_the_module_is_used(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.ensure_run("r1", "p", "1", "g")
        store.append_event("r1", draft(ts=None))
        store.put_blob(b"x")
    columns = [sql(store, f"select created_at from {table}") for table in ("runs", "events", "blobs")]
    return [columns, store.get_events("r1")[0]["ts"]]


@usage
def values_are_printed_and_compared(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    result = InvariantResult("i", Verdict.WARN, [Reason("C", "m", ("p",))])
    return [repr(blob), repr(result), repr(RetentionPolicy()), blob == store.put_blob(b"x"), str(Verdict.PASS)]


@usage
def values_are_pickled_and_copied(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    values = (blob, Verdict.FAIL, RetentionPolicy(1, 2), Reason("C", "m"), DEFAULT_STAGE_GRAPH, RedactionReport())
    return [pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value) for value in values]


@usage
def envelopes_are_sealed_by_hand(store: SqliteReceiptStore) -> Any:
    sealed = seal_envelope(draft(payload={"b": 1, "a": "é"}))
    return [sealed, canonical_json({"z": 1, "a": [1.0, None]}).decode(), compute_hash(b"x"), compute_hash_raw(b"x")]


@usage
def events_are_dumped_as_json_lines(store: SqliteReceiptStore) -> Any:
    factual(store)
    lines = [json.dumps(event, sort_keys=True) for event in store.get_events("r1")]
    return [json.loads(line)["seq"] for line in lines]


@usage
def the_names_of_the_package(store: SqliteReceiptStore) -> Any:
    wanted = ("BlobRef", "BlobState", "EvidenceClass", "EvidenceStrength", "InvariantResult", "Reason", "RetentionPolicy", "Verdict")
    return [hasattr(receipt_kernel, name) for name in wanted]


@usage
def names_that_the_modules_have_from_others(store: SqliteReceiptStore) -> Any:
    names = {
        store_module: "BlobRef BlobState EvidenceClass RedactionReport canonical_json compute_hash redact seal_envelope sqlite3 json datetime",
        retention_module: "BlobState EvidenceClass RetentionPolicy make_envelope datetime timezone",
        envelope_module: "EVENT_SCHEMA_VERSION VALID_EVENT_TYPES datetime timezone",
    }
    return [[name for name in wanted.split() if not hasattr(module, name)] for module, wanted in names.items()]


@usage
def warnings_are_errors(store: SqliteReceiptStore) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blob = store.put_blob(b"for few", evidence_class="sealed")
    return [blob.evidence_class, store.blob_is_live(blob.sha256)]


def answer(function: Callable[[SqliteReceiptStore], Any], store: SqliteReceiptStore) -> Any:
    try:
        return json.loads(json.dumps(function(store), default=str))
    except Exception as error:  # noqa: BLE001 - what it raises is its answer
        of = (KeyError, TypeError, AttributeError, sqlite3.IntegrityError, sqlite3.OperationalError, sqlite3.Error)
        kinds = [kind.__name__ for kind in (*of, RuntimeError, RecursionError, OverflowError, ValueError) if isinstance(error, kind)]
        return {"raises": kinds or type(error).__name__}


def test_there_are_many_usages_and_each_is_recorded() -> None:
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    if not os.environ.get("UPDATE"):
        assert len(USAGES) >= 80 and set(known) == set(USAGES)


@pytest.mark.parametrize("name", USAGES)
def test_a_usage_gives_what_it_gave(store: SqliteReceiptStore, name: str, request: pytest.FixtureRequest) -> None:
    reference = request.config.getoption("--against") == "reference"
    got = answer(USAGES[name], store)
    if os.environ.get("UPDATE"):
        record(name, got, reference)
        return
    known = json.loads(FILE.read_text(encoding="utf-8"))[name]
    if reference or "ours" not in known:
        assert got == known["reference"]
        return
    assert got == known["ours"] != known["reference"]
    assert known["row"] in PAGE.read_text(encoding="utf-8"), "docs/PYTHON.md has no such row"


def record(name: str, got: Any, reference: bool) -> None:
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    entry = known.setdefault(name, {"reference": None})
    if reference:
        entry["reference"] = got
    elif got == entry["reference"]:
        entry.pop("ours", None)
        entry.pop("row", None)
    else:
        entry["ours"] = got
        entry.setdefault("row", "")
    FILE.write_text(json.dumps({key: known[key] for key in sorted(known)}, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
