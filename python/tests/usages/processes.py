"""Threads, other processes, and other ways to start Python."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import queue
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from typing import Any

from helpers import Recorder, draft
from receipt_kernel.invariants import LedgerChainValidInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import factual, judged, usage

PROGRAM = """
import sys
from receipt_kernel import RetentionPolicy, Verdict
from receipt_kernel.envelope import make_envelope
from receipt_kernel.invariants import LedgerChainValidInvariant, SingleFinalizeInvariant
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore

def draft(event_type, stage, payload):
    return make_envelope(
        event_type=event_type, stage=stage, policy_id="p", policy_version="1", stage_graph_id="g", actor_kind="a",
        actor_id="i", payload=payload,
    )

store = SqliteReceiptStore(sys.argv[1])
store.initialize_schema()
store.ensure_run("program", "p", "1", "g", {"mode": "creative"})
store.append_event("program", draft("RUN_START", "START", {"meta": {"mode": "creative"}}))
blob = store.put_blob(b"key = sk-ant-aaaabbbbccccddddeeee1234", content_type="text/plain")
store.put_blob(b"for few", evidence_class="sealed")
store.append_event("program", draft("RUN_FINALIZE", "FINALIZE", {"overall_verdict": "pass", "summary": ""}))
ctx = {"store": store, "run_id": "program"}
print([i().evaluate(ctx).verdict.value for i in (LedgerChainValidInvariant, SingleFinalizeInvariant)])
print(len(purge_expired(store, RetentionPolicy(0, 0), "2099-01-01T00:00:00+00:00", maintenance_run_id="m")))
print(blob.ref[:14], store.event_count("program"), store.blob_is_live(blob.sha256))
store.close()
"""


def run_with(store: SqliteReceiptStore, *options: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-I", *options, "-c", PROGRAM, store.db_path], capture_output=True, text=True
    )
    return [done.returncode, done.stdout.splitlines(), re.findall(r"\w+Warning|\w+Error", done.stderr)]


@usage
def a_program_runs_without_asserts(store: SqliteReceiptStore) -> Any:
    return run_with(store, "-O")


@usage
def a_program_runs_without_docstrings(store: SqliteReceiptStore) -> Any:
    return run_with(store, "-OO")


@usage
def a_program_runs_with_warnings_as_errors(store: SqliteReceiptStore) -> Any:
    return run_with(store, "-W", "error")


@usage
def a_program_runs_in_development_mode(store: SqliteReceiptStore) -> Any:
    return run_with(store, "-X", "dev", "-bb")


@usage
def a_program_is_piped_in(store: SqliteReceiptStore) -> Any:
    done = subprocess.run([sys.executable, "-I", "-", store.db_path], input=PROGRAM, capture_output=True, text=True)
    return [done.returncode, done.stdout.splitlines()]


@usage
def a_thread_pool_has_a_store_in_each_thread(store: SqliteReceiptStore) -> Any:
    local = threading.local()
    for n in range(3):
        store.ensure_run(f"t{n}", "p", "1", "g")

    def record(n: int) -> str:
        if not hasattr(local, "store"):
            local.store = SqliteReceiptStore(store.db_path)
        return str(local.store.append_event(f"t{n % 3}", draft(payload={"n": n})))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        refs = list(pool.map(record, range(9)))
    return [refs, [judged(store, LedgerChainValidInvariant(), f"t{n}") for n in range(3)]]


@usage
def a_thread_is_fed_through_a_queue(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    waiting: queue.Queue[Any] = queue.Queue()

    def write() -> None:
        own = SqliteReceiptStore(store.db_path)
        while (envelope := waiting.get()) is not None:
            own.append_event("r1", envelope)
        own.close()

    thread = threading.Thread(target=write)
    thread.start()
    for n in range(20):
        waiting.put(draft("DECISION", payload={"n": n}))
    waiting.put(None)
    thread.join()
    return [[event["payload"]["n"] for event in store.get_events("r1")], judged(store, LedgerChainValidInvariant())]


@usage
def a_coroutine_appends_in_its_own_thread(store: SqliteReceiptStore) -> Any:
    async def record() -> list[str]:
        store.ensure_run("r1", "p", "1", "g")
        refs = []
        for _ in range(3):
            refs.append(store.append_event("r1", draft("DECISION")))
            await asyncio.sleep(0)
        return refs

    return asyncio.run(record())


@usage
def a_coroutine_appends_in_another_thread(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")

    async def record() -> str:
        return await asyncio.to_thread(store.append_event, "r1", draft("DECISION"))

    return asyncio.run(record())


def _child(path: str, name: str) -> None:
    own = SqliteReceiptStore(path)
    own.initialize_schema()
    own.ensure_run(name, "p", "1", "g")
    for n in range(10):
        own.append_event(name, draft("DECISION", payload={"n": n}))
    own.close()


@usage
def processes_of_a_pool_write_runs_of_their_own(store: SqliteReceiptStore) -> Any:
    store.close()
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_child, args=(store.db_path, f"c{n}")) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    counts = [store.event_count(f"c{n}") for n in range(3)]
    return [[child.exitcode for child in children], counts, judged(store, LedgerChainValidInvariant(), "c1")]


@usage
def values_come_back_from_another_process(store: SqliteReceiptStore) -> Any:
    script = (
        "import pickle, sys; from receipt_kernel.store_sqlite import SqliteReceiptStore as S; s = S(sys.argv[1]); "
        "sys.stdout.buffer.write(pickle.dumps([s.put_blob(b'x'), s.get_events('r1'), s.get_run('r1')['meta']]))"
    )
    import pickle

    Recorder(store)
    done = subprocess.run([sys.executable, "-I", "-c", script, store.db_path], capture_output=True, check=True)
    blob, events, meta = pickle.loads(done.stdout)
    return [blob == store.put_blob(b"x"), events == store.get_events("r1"), meta]


@usage
def two_stores_take_turns_on_one_file(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore(store.db_path)
    store.ensure_run("r1", "p", "1", "g")
    refs = [(store, other)[n % 2].append_event("r1", draft("DECISION", payload={"n": n})) for n in range(6)]
    answer = [refs, judged(store, LedgerChainValidInvariant()), other.event_count("r1")]
    other.close()
    return answer


@usage
def a_closed_file_is_copied(store: SqliteReceiptStore) -> Any:
    factual(store)
    store.close()
    shutil.copy(store.db_path, "copy.db")
    with contextlib.closing(SqliteReceiptStore("copy.db")) as copied:
        return [copied.event_count("r1"), judged(copied, LedgerChainValidInvariant())]


@usage
def a_reader_holds_a_snapshot_while_the_store_writes(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    reader = sqlite3.connect(f"file:{store.db_path}?mode=ro", uri=True)
    reader.execute("begin")
    before = reader.execute("select count(*) from events").fetchone()[0]
    Recorder(store, start=False).event("DECISION")
    during = reader.execute("select count(*) from events").fetchone()[0]
    reader.rollback()
    after = reader.execute("select count(*) from events").fetchone()[0]
    reader.close()
    return [before, during, after]


@usage
def files_beside_the_ledger(store: SqliteReceiptStore) -> Any:
    import glob

    Recorder(store)
    during = sorted(name[len(store.db_path) :] for name in glob.glob(store.db_path + "*"))
    store.close()
    return [during, sorted(name[len(store.db_path) :] for name in glob.glob(store.db_path + "*"))]
