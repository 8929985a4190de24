"""Connections of the interpreter's own ``sqlite3`` module: opened, shared by threads, written through.

There must be one SQLite library in a process for one file: two lose each other's locks, and with them commits. This class
is therefore only ever the interpreter's, and says which files it has open, so that the native half keeps away from them.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _native
from .errors import StoreError

#: How long a writer waits for another one, in seconds.
BUSY = 5.0

#: The SQLite from which on the WAL-reset race is mended, which can lose commits of two connections.
MENDED = (3, 51, 3)

_OPEN: weakref.WeakSet[Shared] = weakref.WeakSet()


class Shared:
    """What the threads of a process share of a store's connection."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.process = 0
        self.path = ""
        #: How many of our own transactions are open, one inside the other.
        self.depth = 0

    def opened(self, connection: sqlite3.Connection) -> None:
        """Notes the connection that was opened, and its file."""
        self.connection, self.process, self.path = connection, os.getpid(), _file_of(connection)
        _OPEN.add(self)

    def forget(self) -> None:
        """Notes that it was closed."""
        self.connection, self.process, self.depth = None, 0, 0
        _OPEN.discard(self)


def _in_child() -> None:
    for shared in list(_OPEN):
        shared.lock = threading.RLock()
        if shared.connection is not None:
            _native.keep_for_ever(shared.connection)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_open(path: str | os.PathLike[str]) -> sqlite3.Connection | None:
    """The connection that a store of this process has to a file."""
    wanted = _identity(path)
    for shared in list(_OPEN):
        if wanted is not None and shared.process == os.getpid() and _identity(shared.path) == wanted:
            return shared.connection
    return None


@contextmanager
def apart(path: str | os.PathLike[str]) -> Iterator[str]:
    """A file that another SQLite library may open: the one that is named, or a copy of it where a connection of
    this process has it open."""
    connection = is_open(path)
    if connection is None and not _native.is_open_elsewhere(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(os.fspath(path)))
        other = sqlite3.connect(copy)
        own = sqlite3.connect(path) if connection is None else None
        try:
            (connection or own).backup(other)  # type: ignore[union-attr]
        finally:
            other.close()
            if own is not None:
                own.close()
        yield copy


def connect(path: str | os.PathLike[str], *, create: bool) -> sqlite3.Connection:
    """Opens a file that is there; with ``create`` makes it, readable by its owner only. A URI means what it means to
    ``sqlite3``."""
    name = os.fspath(path)
    if name not in ("", ":memory:") and not name.startswith("file:"):
        if create:
            _make(name)
        elif not os.path.exists(name):
            raise StoreError(f"there is no file {name!r}: initialize_schema() makes one")
    connection = sqlite3.connect(name, timeout=BUSY, check_same_thread=False)
    try:
        _switch_to_wal(connection)
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        _check_version(connection)
    except BaseException as error:
        connection.close()
        if type(error) is sqlite3.DatabaseError:
            raise StoreError(str(error)) from error
        raise
    return connection


def _file_of(connection: sqlite3.Connection) -> str:
    """The file of a connection, whatever it was called when it was opened; empty for a database in memory."""
    row = cursor(connection).execute("PRAGMA database_list").fetchone()
    return str(row[2] or "")


def _make(name: str) -> None:
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except (FileExistsError, IsADirectoryError):
        pass
    except OSError as error:
        raise StoreError(f"unable to open database file: {error}") from error


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # The switch itself does not wait for others who make it.
    deadline = time.monotonic() + BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _check_version(connection: sqlite3.Connection) -> None:
    try:
        row = connection.execute("SELECT value FROM schema_meta WHERE key = 'store_schema_version'").fetchone()
    except sqlite3.OperationalError:
        return
    if row is not None and row[0] != "1":
        problem = f"the file is of version {row[0]}, which this class cannot use: open it with receipt_kernel.Ledger"
        raise StoreError(problem)


def cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """A cursor that gives plain tuples, whatever ``row_factory`` the user has set."""
    plain = connection.cursor()
    plain.row_factory = None
    return plain


def select(connection: sqlite3.Connection, sql: str, params: tuple[Any, ...]) -> list[Any]:
    """The rows of a query as plain tuples with plain text, whatever factories the user has set."""
    own = connection.text_factory
    if own is str:
        return cursor(connection).execute(sql, params).fetchall()
    connection.text_factory = str
    try:
        return cursor(connection).execute(sql, params).fetchall()
    finally:
        connection.text_factory = own


@contextmanager
def writing(shared: Shared, connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """One write transaction, committed at the end; inside another one of ours it is a part of that.

    Where raw SQL has one open it joins that: on success all of it is committed, on failure only what was done here is
    undone.
    """
    with shared.lock:
        run = cursor(connection)
        if shared.depth > 0 and connection.in_transaction:
            yield run
            return
        joins = connection.in_transaction
        run.execute("SAVEPOINT receipt" if joins else "BEGIN IMMEDIATE")
        shared.depth += 1
        try:
            yield run
            if connection.in_transaction:
                run.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                for statement in ("ROLLBACK TO receipt", "RELEASE receipt") if joins else ("ROLLBACK",):
                    run.execute(statement)
            raise
        finally:
            shared.depth -= 1


def scrub(connection: sqlite3.Connection) -> bool:
    """Empties the log into the file, so that no copy of what was removed is left in it. ``False`` where a reader of what
    was before stands in the way."""
    run = cursor(connection)
    deadline = time.monotonic() + 2.0
    run.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                busy = run.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.OperationalError:
                busy = 1
            if not busy or time.monotonic() > deadline:
                return not busy
            time.sleep(0.02)
    finally:
        run.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")
