"""What all tests share.

`pytest --against reference` runs the suite on the package that this one replaces: tests marked `ours`
state what is true here and not there, and are left out; all others must pass on both.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

# What is tested is the installed package: `python -m pytest` would find the source folder beside these tests first.
SOURCE = pathlib.Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry).resolve() != SOURCE]

from receipt_kernel.store_sqlite import SqliteReceiptStore  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--against",
        choices=["this", "reference"],
        default="this",
        help="the installed receipt_kernel is this package (default) or the reference",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "ours: true of this package, not of the reference")
    config.addinivalue_line("markers", "differs(row): shows a row of the table of differences in docs/PYTHON.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--against") != "reference":
        return
    skip = pytest.mark.skip(reason="states what the reference gets wrong or does not have")
    for item in items:
        if item.get_closest_marker("ours"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no process that a test starts finds the source folder, and none leaves a file."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def db_path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def store(db_path: str) -> Iterator[SqliteReceiptStore]:
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    yield store
    store.close()
