"""The usages of `usages/`, each run on this package and on 0.1.0.

`usages.json` has what 0.1.0 gives; where this package gives something else, it has that too, and the rows of the table of
docs/PYTHON.md that say why. `UPDATE=1` records what the package at hand gives.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from helpers import ROOT
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import (  # noqa: F401 - each adds to USAGES
    USAGES,
    blobs,
    claims,
    classes,
    errors,
    invariants,
    processes,
    raw_sql,
    retention,
    runs,
    tampering,
    values,
)

HERE = pathlib.Path(__file__).parent
FILE = HERE / "usages.json"
PAGE = ROOT / "docs" / "PYTHON.md"


def rows_of_the_page() -> list[str]:
    """The usages of the table of differences, which are the first cells of its rows."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(
        "| usage | 0.1.0 | here | why |\n| --- | --- | --- | --- |\n"
    )
    table, _, _ = section.partition("\n\n")
    rows = [line.split(" | ") for line in table.splitlines()]
    assert all(len(cells) == 4 and all(cell.strip("| ") for cell in cells) for cells in rows), "a row has four cells"
    return [cells[0].removeprefix("| ") for cells in rows]


def known_usages() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return known


def answer(function: Callable[[SqliteReceiptStore], Any], store: SqliteReceiptStore) -> Any:
    try:
        return json.loads(json.dumps(function(store), default=str))
    except Exception as error:  # noqa: BLE001 - what it raises is its answer
        of = (KeyError, TypeError, AttributeError, sqlite3.IntegrityError, sqlite3.OperationalError, sqlite3.Error)
        kinds = [
            kind.__name__
            for kind in (*of, RuntimeError, RecursionError, OverflowError, ValueError)
            if isinstance(error, kind)
        ]
        return {"raises": kinds or type(error).__name__}


@pytest.mark.parametrize("name", USAGES)
def test_a_usage_gives_what_it_gave(store: SqliteReceiptStore, name: str, request: pytest.FixtureRequest) -> None:
    reference = request.config.getoption("--against") == "reference"
    got = answer(USAGES[name], store)
    if os.environ.get("UPDATE"):
        record(name, got, reference)
        return
    known = known_usages()[name]
    assert got == known["reference" if reference or "ours" not in known else "ours"]


@pytest.mark.skipif(bool(os.environ.get("UPDATE")), reason="they are being recorded")
class TestTheTableOfDifferences:
    def test_there_are_many_usages_and_each_is_recorded(self) -> None:
        assert len(USAGES) >= 270 and set(known_usages()) == set(USAGES)

    def test_a_usage_that_differs_names_rows_and_one_that_agrees_names_none(self) -> None:
        rows = set(rows_of_the_page())
        for name, usage in known_usages().items():
            differs = "ours" in usage and usage["ours"] != usage["reference"]
            assert ("ours" in usage) == differs == bool(usage.get("rows")), name
            assert set(usage.get("rows", [])) <= rows, f"docs/PYTHON.md has no such row: {name}"

    def test_each_row_is_named_by_a_usage_or_by_another_test(self) -> None:
        rows = rows_of_the_page()
        assert len(rows) == len(set(rows)) > 30
        marks = [
            re.findall(r'@pytest\.mark\.differs\("(.+?)"\)', path.read_text(encoding="utf-8"))
            for path in HERE.glob("test_*.py")
        ]
        named = {row for usage in known_usages().values() for row in usage.get("rows", [])}
        assert named.union(*marks) == set(rows)


def record(name: str, got: Any, reference: bool) -> None:
    known = known_usages()
    entry = known.setdefault(name, {"reference": None})
    if reference:
        entry["reference"] = got
    elif got == entry["reference"]:
        entry.pop("ours", None)
        entry.pop("rows", None)
    else:
        entry["ours"] = got
        entry.setdefault("rows", [])
    FILE.write_text(
        json.dumps({key: known[key] for key in sorted(known)}, indent=1, ensure_ascii=True) + "\n", encoding="utf-8"
    )
