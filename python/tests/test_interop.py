"""One ledger, two packages: what either writes the other reads, verifies and continues.

Each side works in processes of its own, one after the other: one file open in two SQLite libraries at a time is what
this test must not do. RECEIPT_REFERENCE_PYTHON names a Python that has the reference.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from helpers import ROOT, vectors

RUNS = 1000
SCRIPT = pathlib.Path(__file__).with_name("interop_runs.py")
OURS = sys.executable


def reference_python() -> str:
    path = os.environ.get("RECEIPT_REFERENCE_PYTHON") or str(ROOT / "target" / "reference-venv" / "bin" / "python")
    found = (
        os.path.exists(path)
        and subprocess.run([path, "-c", "import receipt_kernel"], capture_output=True).returncode == 0
    )
    if not found:
        problem = f"interop is NOT tested: no reference package at {path} (make reference, or RECEIPT_REFERENCE_PYTHON)"
        warnings.warn(problem, stacklevel=1)
        pytest.skip(problem)
    return path


def work(python: str, verb: str, ledger: pathlib.Path, first: int = 0, count: int = RUNS) -> list[dict[str, Any]]:
    command = [python, "-I", str(SCRIPT), verb, str(ledger), str(first), str(count)]
    done = subprocess.run(command, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def reference() -> str:
    return reference_python()


@pytest.fixture(scope="module")
def folder() -> Iterator[pathlib.Path]:
    """In memory where that is to be had: what is tested is bytes, and not the disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="module")
def alone(reference: str, folder: pathlib.Path) -> list[dict[str, Any]]:
    """The runs as the reference writes, continues and reads them with nobody else's help."""
    ledger = folder / "alone.db"
    work(reference, "write", ledger)
    work(reference, "continue", ledger)
    return work(reference, "verify", ledger)


def test_the_runs_have_all_event_types_and_are_many(alone: list[dict[str, Any]]) -> None:
    assert len(alone) == RUNS
    assert {kind for run in alone for kind in run["types"]} == {
        "RUN_START",
        "STAGE_ADVANCE",
        "EVIDENCE_PUT",
        "EVALUATION",
        "DECISION",
        "REMEDIATION",
        "BLOB_EXPIRE",
        "RUN_FINALIZE",
    }
    assert len({value for run in alone for value in run["hashes"]}) == RUNS * 10


def chain_verdicts(runs: list[dict[str, Any]]) -> set[str]:
    return {run["verdicts"][0]["verdict"] for run in runs}


ORDERS = {
    "one alone": ("ours", "ours"),
    "ours, then the reference": ("ours", "reference"),
    "the reference, then ours": ("reference", "ours"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_who_writes_and_who_goes_on_makes_no_difference_to_a_byte(
    order: str, reference: str, alone: list[dict[str, Any]], folder: pathlib.Path
) -> None:
    pythons = {"ours": OURS, "reference": reference}
    writer, continuer = (pythons[name] for name in ORDERS[order])
    ledger = folder / f"{order}.db"
    work(writer, "write", ledger)
    assert chain_verdicts(work(continuer, "verify", ledger)) == {"pass"}
    work(continuer, "continue", ledger)
    read_by_us, read_by_them = work(OURS, "verify", ledger), work(reference, "verify", ledger)
    assert chain_verdicts(read_by_us) == chain_verdicts(read_by_them) == {"pass"}
    for ours, theirs, expected in zip(read_by_us, read_by_them, alone, strict=True):
        for member in ("run", "meta", "types", "hashes", "bytes", "blobs"):
            assert ours[member] == theirs[member] == expected[member], (order, expected["run"], member)


def test_the_two_take_turns_on_one_file(reference: str, alone: list[dict[str, Any]], folder: pathlib.Path) -> None:
    ledger = folder / "turns.db"
    for turn in range(10):
        work(OURS if turn % 2 else reference, "write", ledger, turn * 5, 5)
        work(reference if turn % 2 else OURS, "continue", ledger, turn * 5, 5)
    for python in (OURS, reference):
        runs = work(python, "verify", ledger, 0, 50)
        assert chain_verdicts(runs) == {"pass"}
        assert [run["hashes"] for run in runs] == [run["hashes"] for run in alone[:50]]


def test_canonical_bytes_of_the_vectors_are_the_references(reference: str) -> None:
    script = (
        "import json, sys\nfrom receipt_kernel.envelope import canonical_json, compute_hash\n"
        "for line in sys.stdin: print(compute_hash(canonical_json(json.loads(json.loads(line)['json']))))"
    )
    lines = "\n".join(
        json.dumps(case) for name in ("canonical.jsonl", "canonical_random.jsonl") for case in vectors(name)
    )
    ours, theirs = (
        subprocess.run([python, "-c", script], input=lines, capture_output=True, text=True, check=True).stdout
        for python in (OURS, reference)
    )
    assert len(ours.splitlines()) == 399
    assert ours == theirs
