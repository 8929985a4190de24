"""What was acknowledged is there, however the process dies, and whoever opens the file with `sqlite3` beside the store.

Each scenario is a process of its own that appends, tells how many appends were acknowledged, and dies without closing
anything. Another process then counts. The control plays the same with a store on an SQLite library of its own, as two
libraries in one process lose each other's locks: there the count must come out short.
"""

from __future__ import annotations

import pathlib
import signal
import sqlite3
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sqlite3, subprocess, sys, warnings
warnings.simplefilter("ignore")
from receipt_kernel.envelope import make_envelope
from receipt_kernel.store_sqlite import SqliteReceiptStore

path, scenario, end = sys.argv[1:4]

def draft():
    return make_envelope(
        event_type="DECISION", stage="S", policy_id="p", policy_version="1", stage_graph_id="g", actor_kind="a",
        actor_id="i", payload={},
    )

store = SqliteReceiptStore(path)
store.initialize_schema()
store.ensure_run("r", "p", "1", "g")
acknowledged = 0

def append(count):
    global acknowledged
    for _ in range(count):
        store.append_event("r", draft())
        acknowledged += 1

def beside(how):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True) if how == "ro" else sqlite3.connect(path)
    connection.execute("select count(*) from events").fetchone()
    connection.close()

append(3)
if scenario in ("rw", "ro"):
    beside(scenario)
    append(5)
elif scenario == "often":
    for _ in range(20):
        beside("rw")
        append(2)
        beside("ro")
elif scenario == "held":
    held = sqlite3.connect(path)
    held.execute("begin")
    held.execute("select count(*) from runs").fetchone()
    append(5)
    held.close()
    append(5)
elif scenario == "verify":
    import receipt_kernel
    receipt_kernel.verify(path)
    append(5)
elif scenario == "two-stores":
    other = SqliteReceiptStore(path)
    other.event_count("r")
    other.close()
    append(5)
elif scenario == "writers":
    others = [subprocess.Popen([sys.executable, "-I", sys.argv[4], path, run]) for run in ("a", "b")]
    for _ in range(50):
        beside("rw")
        append(3)
    for other in others:
        assert other.wait() == 0
print(acknowledged, flush=True)
os._exit(0) if end == "exit" else os.kill(os.getpid(), signal.SIGKILL)
"""

WRITER = """
import sys
from receipt_kernel.envelope import make_envelope
from receipt_kernel.store_sqlite import SqliteReceiptStore
store = SqliteReceiptStore(sys.argv[1])
store.initialize_schema()
store.ensure_run(sys.argv[2], "p", "1", "g")
for _ in range(150):
    store.append_event(sys.argv[2], make_envelope(
        event_type="DECISION", stage="S", policy_id="p", policy_version="1", stage_graph_id="g", actor_kind="a",
        actor_id="i", payload={},
    ))
"""

# A second SQLite library in the process: the kernel's own, through the native ledger, unprotected.
TWO_LIBRARIES = PROGRAM.replace("    receipt_kernel.verify(path)\n", "    receipt_kernel._native.Ledger(path, 'open').close()\n")


def count(path: pathlib.Path, run: str = "r") -> int:
    script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from events where run_id = ?', sys.argv[2:]).fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", script, str(path), run], capture_output=True, text=True, check=True)
    return int(done.stdout)


def play(tmp_path: pathlib.Path, scenario: str, end: str, program: str = PROGRAM) -> tuple[int, pathlib.Path]:
    """How many appends were acknowledged before the process died."""
    path, writer = tmp_path / "l.db", tmp_path / "writer.py"
    writer.write_text(WRITER)
    command = [sys.executable, "-I", "-c", program, str(path), scenario, end, str(writer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == (0 if end == "exit" else -signal.SIGKILL), done.stderr
    return int(done.stdout), path


@pytest.mark.parametrize("end", ["exit", "kill"])
@pytest.mark.parametrize("scenario", ["none", "rw", "ro", "often", "held", "two-stores", "writers"])
def test_no_acknowledged_event_is_lost(tmp_path: pathlib.Path, scenario: str, end: str) -> None:
    acknowledged, path = play(tmp_path, scenario, end)
    assert acknowledged >= 3
    assert count(path) == acknowledged
    if scenario == "writers":
        assert [count(path, run) for run in ("a", "b")] == [150, 150]
    check = sqlite3.connect(path).execute("pragma integrity_check").fetchone()
    assert check == ("ok",)


@pytest.mark.ours
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_a_verification_in_the_same_process_loses_nothing(tmp_path: pathlib.Path, end: str) -> None:
    acknowledged, path = play(tmp_path, "verify", end)
    assert count(path) == acknowledged == 8


@pytest.mark.ours
def test_the_count_shows_what_two_libraries_in_one_process_lose(tmp_path: pathlib.Path) -> None:
    """The control: with the protection taken away, acknowledged events are gone, and this check sees it."""
    acknowledged, path = play(tmp_path, "verify", "exit", TWO_LIBRARIES)
    assert (acknowledged, count(path)) == (8, 3)
