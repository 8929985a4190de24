"""Stores, runs and events."""

from __future__ import annotations

import contextlib
import copy
import os
import pathlib
import pickle
import sqlite3
import subprocess
import sys
import threading
from typing import Any
from unittest import mock

from helpers import Recorder, draft
from receipt_kernel.invariants import (
    FinalizationCompletenessInvariant,
    LedgerChainValidInvariant,
    ReceiptCompletenessInvariant,
    SingleFinalizeInvariant,
    StageRequiredPathInvariant,
)
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import factual, judged, sql, usage


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
def refs_of_every_form(store: SqliteReceiptStore) -> Any:
    Recorder(store, "a/b")
    Recorder(store, "ü")
    refs = (
        "event://a/b/1",
        "event://ü/1",
        "event://a/b/2",
        "event://a/b/0",
        "event://a/b/-1",
        "a/b/1",
        "",
        "event://",
        "event://x/y",
    )
    return [(store.get_event_by_ref(ref) or {}).get("run_id") for ref in refs]


@usage
def events_are_read_while_more_are_written(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    for event in store.get_events("r1"):
        run.event("DECISION", {"after": event["seq"]})
    return [event["seq"] for event in store.get_events("r1")]


@usage
def an_envelope_is_appended_twice(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    envelope = draft("DECISION")
    refs = [store.append_event("r1", envelope), store.append_event("r1", envelope)]
    hashes = [event["event_hash"] for event in store.get_events("r1")]
    return [refs, hashes, judged(store, LedgerChainValidInvariant())]


@usage
def an_event_that_was_read_is_appended_to_another_run(store: SqliteReceiptStore) -> Any:
    factual(store)
    store.ensure_run("r2", "p", "1", "g")
    for event in store.get_events("r1"):
        store.append_event("r2", event)
    return [store.event_count("r2"), judged(store, LedgerChainValidInvariant(), "r2"), store.get_events("r2")[3]["seq"]]


@usage
def runs_are_written_in_turns(store: SqliteReceiptStore) -> Any:
    runs = [Recorder(store, name) for name in ("a", "b", "c")]
    for n in range(3):
        for run in runs:
            run.event("DECISION", {"n": n})
    rows = sql(store, "select id, run_id, seq from events order by id")
    return [rows, [judged(store, LedgerChainValidInvariant(), run.run_id) for run in runs]]


@usage
def what_calls_give_back(store: SqliteReceiptStore) -> Any:
    given = [store.initialize_schema(), store.ensure_run("r1", "p", "1", "g"), store.append_event("r1", draft())]  # type: ignore[func-returns-value]
    return [
        given,
        type(store.put_blob(b"x")).__name__,
        store.get_events("r1", "NONE"),
        store.event_count("none"),
        store.close(),
    ]  # type: ignore[func-returns-value]


@usage
def members_of_an_event_come_sorted(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    store.append_event("r1", {**draft(payload={"z": 1, "a": {"y": 1, "b": 2}}), "extra": True})
    event = store.get_events("r1")[0]
    return [list(event), list(event["payload"]), list(event["payload"]["a"]), event]


@usage
def meta_of_every_kind(store: SqliteReceiptStore) -> Any:
    metas: tuple[Any, ...] = (None, {}, {"b": 1, "a": [1, 2.5, None, True]}, {"é": "\u2028"}, {1: "one"}, {"t": (1, 2)})
    kept = []
    for number, meta in enumerate(metas):
        store.ensure_run(f"m{number}", "p", "1", "g", meta)
        run = store.get_run(f"m{number}")
        assert run is not None
        kept.append([sorted(run), run["meta"]])
    return [kept, sql(store, "select meta_json from runs order by rowid")]


@usage
def a_path_of_every_form(store: SqliteReceiptStore) -> Any:
    seen = []
    for path in (
        "a b.db",
        "ü.db",
        "file:x.db",
        "file:y.db?mode=rwc",
        "file::memory:",
        pathlib.Path("path.db"),
        "%41.db",
        "q?mode=ro",
        "",
    ):
        other = SqliteReceiptStore(path)  # type: ignore[arg-type]
        other.initialize_schema()
        Recorder(other)
        seen.append([other.event_count("r1"), judged(other, LedgerChainValidInvariant())])
        other.close()
    return [seen, sorted(name for name in os.listdir() if not name.startswith("ledger.db"))]


@usage
def ids_of_every_form(store: SqliteReceiptStore) -> Any:
    names = ("", " ", "a/b", "..", "x" * 500, "ü😀", "run\n1", "'; drop table events; --", "%", "a\x00b")
    for name in names:
        Recorder(store, name)
    return [[store.event_count(name), judged(store, LedgerChainValidInvariant(), name)] for name in names]


@usage
def a_payload_with_a_key_that_is_half_a_letter(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("DECISION", {"text": "\ud83d"})
    run.event("DECISION", {"\ud83d\ude00": 1, "\ue000": 2})
    return judged(store, LedgerChainValidInvariant())[0]
