"""Small things that programs written for 0.1.0 do, by subject: `test_usages.py` runs each on this package and on that one.

A usage is a function that is given an empty store. It gives something JSON can hold, or raises.
"""

from __future__ import annotations

import contextlib
import datetime as real
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from helpers import Recorder
from receipt_kernel import envelope as envelope_module
from receipt_kernel import retention as retention_module
from receipt_kernel import store_sqlite as store_module
from receipt_kernel.store_sqlite import SqliteReceiptStore

USAGES: dict[str, Callable[[SqliteReceiptStore], Any]] = {}
KEY = b"we use sk-ant-aaaabbbbccccddddeeee1234"
LATER = "2099-01-01T00:00:00+00:00"


def usage(function: Callable[[SqliteReceiptStore], Any]) -> Callable[[SqliteReceiptStore], Any]:
    assert function.__name__ not in USAGES, "the name of a usage is its key"
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
