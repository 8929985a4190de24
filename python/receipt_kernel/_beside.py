"""Two SQLite libraries in one process: the interpreter's own, and the kernel's, which the native ledger uses.

POSIX locks belong to a process, so that neither library sees the other's. On one file they lose what was committed.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import unquote

from . import _native
from .errors import LedgerError

_watching = False


def watch() -> None:
    """From now on ``sqlite3.connect`` refuses a file that a native ledger of this process has open."""
    global _watching
    if not _watching:
        _watching = True
        # A hook stays for as long as the process does.
        sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event != "sqlite3.connect" or not args:
        return
    for path in _paths(args[0]):
        if _native.is_open(path):
            raise LedgerError(
                f"this process has {path} open as a Ledger: a second SQLite library on the same file would lose what was"
                " recorded. Ask the ledger with ledger.query(sql), or close it and its runs first"
            )


def _paths(database: Any) -> list[str]:
    """The files that a name given to ``sqlite3.connect`` may mean: whether it is a URI, the event does not say."""
    try:
        name = os.fsdecode(database)
    except TypeError:
        return []
    if name in ("", ":memory:"):
        return []
    if not name.startswith("file:"):
        return [name]
    path = name.removeprefix("file:").partition("?")[0].partition("#")[0]
    if path.startswith("//"):
        # What stands between two slashes and the third is an authority: nothing, or "localhost".
        path = "/" + path[2:].partition("/")[2]
    return [name, unquote(path)]
