"""Threads, forks and several processes on one store or file."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from helpers import Recorder, draft, on_file, progress_during
from receipt_kernel.envelope import verify_envelope_hash
from receipt_kernel.store_sqlite import SqliteReceiptStore

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


@pytest.mark.differs("several processes append to one run")
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
def test_a_failed_append_holds_no_lock(store: SqliteReceiptStore, db_path: str) -> None:
    Recorder(store)
    with pytest.raises(sqlite3.IntegrityError):
        store.append_event("nope", draft())
    assert store._conn.in_transaction is False
    began = time.monotonic()
    append_in_processes(db_path, processes=1, appends=1)
    assert time.monotonic() - began < 4
    assert store.event_count("r1") == 2


@pytest.mark.differs("several processes make one new file")
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


@pytest.mark.differs("a child of a fork uses its parent's store")
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
