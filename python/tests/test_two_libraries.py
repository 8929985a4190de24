"""A native ledger beside other SQLite libraries in its process: what was acknowledged is there, however the process dies.

The libraries are real, and so are the deaths. The control records with a library that does not look whether its log was
taken away, and loses what it was told is there.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import receipt_kernel

pytestmark = pytest.mark.ours

# The package that this one replaces has none of them, and collects this file too.
Ledger: Any = getattr(receipt_kernel, "Ledger", None)
LedgerError: Any = getattr(receipt_kernel, "LedgerError", None)
Policy: Any = getattr(receipt_kernel, "Policy", None)

#: A program that records, lets another library open and close the file, records again and dies. It prints a line for each
#: event once it is acknowledged.
PROGRAM = '''
import os, signal, sys

path, writer, other, rounds, death, run_id = sys.argv[1:]


def say(event):
    sys.stdout.write(f"{event}\\n")
    sys.stdout.flush()


def kernel():
    from receipt_kernel import Ledger, Policy

    ledger = Ledger(path)
    run = ledger.start(run_id, Policy.structural())
    say(0)

    def write(number):
        run.append("DECISION", {"decision_id": str(number), "basis": [], "action_plan": ""})

    return write


def unguarded():
    import apsw

    connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS events (run_id TEXT, n INTEGER)")

    def write(number):
        connection.execute("INSERT INTO events VALUES (?, ?)", (run_id, number))

    return write


def with_apsw():
    import apsw

    connection = apsw.Connection(path)
    connection.execute("SELECT count(*) FROM events").fetchall()
    connection.close()


def with_apsw_read_only():
    import apsw

    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    connection.execute("SELECT count(*) FROM events").fetchall()
    connection.close()


def with_sqlite3():
    import sqlite3

    connection = sqlite3.connect(path)
    connection.execute("SELECT count(*) FROM events").fetchall()
    connection.close()


def with_duckdb():
    import duckdb
    from duckdb_extensions import import_extension

    connection = duckdb.connect()
    import_extension("sqlite_scanner", con=connection)
    connection.execute(f"ATTACH '{path}' AS ledger (TYPE sqlite)")
    connection.execute("SELECT count(*) FROM ledger.events").fetchall()
    connection.execute("DETACH ledger")
    connection.close()


write = {"kernel": kernel, "unguarded": unguarded}[writer]()
look = {"nobody": lambda: None, "apsw": with_apsw, "apsw-ro": with_apsw_read_only, "sqlite3": with_sqlite3, "duckdb": with_duckdb}[other]
number = 0
for _ in range(int(rounds)):
    for _ in range(3):
        number += 1
        write(number)
        say(number)
    look()
    for _ in range(5):
        number += 1
        write(number)
        say(number)
if death == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(0)
'''


def recorder(path: str, writer: str, other: str, rounds: int, death: str, run_id: str = "r") -> subprocess.Popen[str]:
    args = [sys.executable, "-c", textwrap.dedent(PROGRAM), path, writer, other, str(rounds), death, run_id]
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged(process: subprocess.Popen[str], death: str) -> int:
    out, err = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if death == "kill" else 0), err
    return len(out.splitlines())


def found(path: str) -> int:
    """The events that a process finds which never had the file open."""
    count = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM events').fetchone()[0])"
    out = subprocess.run([sys.executable, "-c", count, path], capture_output=True, text=True, check=True)
    return int(out.stdout)


def needs(library: str) -> None:
    pytest.importorskip({"apsw-ro": "apsw"}.get(library, library), reason="`make test` installs it")
    if library == "duckdb":
        pytest.importorskip("duckdb_extensions", reason="`make test` installs it")


@pytest.mark.parametrize("death", ["exit", "kill"])
@pytest.mark.parametrize("other", ["apsw", "apsw-ro", "duckdb"])
def test_what_was_acknowledged_is_there_beside_another_library(db_path: str, other: str, death: str) -> None:
    needs(other)
    told = acknowledged(recorder(db_path, "kernel", other, 3, death), death)
    assert told == 1 + 3 * 8
    assert found(db_path) == told
    assert receipt_kernel.verify(db_path)["overall_verdict"] == "warn"


@pytest.mark.parametrize("other", ["sqlite3", "duckdb"])
def test_the_control_loses_what_it_was_told_is_there(db_path: str, other: str) -> None:
    needs(other)
    needs("apsw")
    told = acknowledged(recorder(db_path, "unguarded", other, 3, "kill"), "kill")
    assert told == 3 * 8
    assert found(db_path) < told


@pytest.mark.parametrize("other", ["apsw", "duckdb"])
def test_nothing_is_lost_while_two_other_processes_write(db_path: str, other: str) -> None:
    needs(other)
    Ledger(db_path).close()
    others = [other, "nobody", "nobody"]
    processes = [recorder(db_path, "kernel", name, 8, "kill", f"r{number}") for number, name in enumerate(others)]
    told = [acknowledged(process, "kill") for process in processes]
    assert told == [1 + 8 * 8] * 3
    assert found(db_path) == sum(told)
    assert receipt_kernel.verify(db_path)["overall_verdict"] == "warn"


@pytest.fixture
def ledger(db_path: str) -> Any:
    with Ledger(db_path) as ledger:
        ledger.start("r", Policy.structural())
        yield ledger


def names_of(path: str) -> list[Any]:
    """Every way to name a file to ``sqlite3.connect``."""
    link = path + ".link"
    os.symlink(path, link)
    relative = os.path.relpath(path)
    return [path, os.fsencode(path), Path(path), link, relative, f"file:{path}", f"file:{path}?mode=ro", f"file://{path}"]


def test_sqlite3_is_refused_a_file_that_a_ledger_has_open(ledger: Any, db_path: str) -> None:
    for name in names_of(db_path):
        with pytest.raises(LedgerError, match=r"ledger\.query\(sql\)"):
            sqlite3.connect(name, uri=str(name).startswith("file:"))
    ledger.close()
    for name in (db_path, f"file:{db_path}?mode=ro"):
        connection = sqlite3.connect(name, uri=name.startswith("file:"))
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        connection.close()


def test_a_run_keeps_the_file_open(db_path: str) -> None:
    ledger = Ledger(db_path)
    run = ledger.start("r", Policy.structural())
    ledger.close()
    with pytest.raises(LedgerError, match="close it and its runs first"):
        sqlite3.connect(db_path)
    del run
    sqlite3.connect(db_path).close()


def test_other_databases_are_nobodys_business(ledger: Any, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    sqlite3.connect(":memory:").close()
    sqlite3.connect("").close()
    sqlite3.connect("file:x?mode=memory", uri=True).close()


def test_a_ledger_is_refused_a_file_that_sqlite3_has_open(db_path: str) -> None:
    Ledger(db_path).close()
    connection = sqlite3.connect(db_path)
    connection.execute("SELECT count(*) FROM runs").fetchall()
    with pytest.raises(LedgerError, match="another SQLite library"):
        Ledger(db_path)
    connection.close()
    Ledger(db_path).close()


def test_verify_beside_an_open_connection_reads_a_copy_and_loses_nothing(db_path: str) -> None:
    with Ledger(db_path) as ledger:
        ledger.start("r", Policy.structural())
    connection = sqlite3.connect(db_path)
    connection.execute("INSERT INTO settings VALUES ('a', 'b')")
    connection.commit()
    report = receipt_kernel.verify(db_path)
    assert (report["overall_verdict"], report["events"]) == ("warn", 1)
    connection.execute("INSERT INTO settings VALUES ('c', 'd')")
    connection.commit()
    assert os.path.exists(db_path + "-wal"), "nobody took the log away"
    connection.close()
    count = sqlite3.connect(db_path).execute("SELECT count(*) FROM settings WHERE name IN ('a', 'c')").fetchone()
    assert count == (2,)


def test_a_query_gives_rows_as_dicts(ledger: Any) -> None:
    sql = "SELECT run_id, seq, NULL AS gone, 1.5 AS real, x'00ff' AS bytes FROM events WHERE run_id = ? AND seq = ?"
    assert ledger.query(sql, ("r", 1)) == [
        {"run_id": "r", "seq": 1, "gone": None, "real": 1.5, "bytes": b"\x00\xff"}
    ]
    assert ledger.query("SELECT :a AS a, $b AS b, @c AS c", {"a": True, "b": None, "c": "ü"}) == [
        {"a": 1, "b": None, "c": "ü"}
    ]
    assert ledger.query("SELECT run_id FROM runs WHERE run_id = 'none'") == []


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        ("DELETE FROM events", ()),
        ("UPDATE runs SET policy_id = 'x'", ()),
        ("CREATE TABLE x (y)", ()),
        ("PRAGMA journal_mode = DELETE", ()),
        ("ATTACH 'other.db' AS other", ()),
        ("SELECT 1; SELECT 2", ()),
        ("", ()),
        ("SELECT nonsense FROM", ()),
        ("SELECT ?", ()),
        ("SELECT ?", (1, 2)),
        ("SELECT :a", {}),
        ("SELECT ?", {"a": 1}),
    ],
)
def test_a_query_reads_and_does_nothing_else(ledger: Any, sql: str, given: Any) -> None:
    before = ledger.events("r")
    with pytest.raises(LedgerError):
        ledger.query(sql, given)
    assert ledger.events("r") == before


def test_a_closed_ledger_answers_no_query(ledger: Any) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.query("SELECT 1")
