"""Speed against the reference package: same calls, same file system, one process each, rounds in turn.

    python bench/speed.py --ours PYTHON --reference PYTHON [--rounds N] [--folder FOLDER] [--write docs/PYTHON.md]

Both Pythons have a `receipt_kernel`: this one, and the package 0.1.0. Prints a Markdown table of best times, and ends
with status 1 where a ratio is below its bound. `--write` puts the table between the speed markers of a page.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Measure(NamedTuple):
    what: str
    bound: float
    unit: str


MEASURES = {
    "chain": Measure("`LedgerChainValidInvariant`, a run of 10,000 events", 5, "ms"),
    "thirteen": Measure("all thirteen invariants, the same run", 10, "ms"),
    "redact": Measure("`redact` of a clean log of 10 MB", 50, "ms"),
    "canonical": Measure("`canonical_json` and `compute_hash`, a payload of 1 KB", 3, "us"),
    "append": Measure("`append_event`, durable", 1.0, "us"),
    "put": Measure("`put_blob` of 1 KB, durable", 1.2, "us"),
}
UNITS = {"ms": 1e3, "us": 1e6}
EVENTS = 10_000
# So many that the log of the database was emptied into its file several times.
CALLS = 2_000


# What either side does, in a process of its own


def timed(call: Callable[[], Any], times: int = 1) -> float:
    """Seconds a call, over so many of them."""
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def draft(event_type: str, payload: dict[str, Any], blobs: list[str] | None = None) -> dict[str, Any]:
    from receipt_kernel.envelope import make_envelope

    return make_envelope(
        event_type=event_type,
        stage="COLLECT",
        policy_id="p",
        policy_version="1",
        stage_graph_id="v1_default",
        actor_kind="agent",
        actor_id="bench",
        payload=payload,
        blob_refs=blobs,
        ts="2026-01-01T00:00:00.000001+00:00",
    )


def judged_run(store: Any) -> None:
    """A factual run of 10,000 events that all thirteen invariants pass."""

    def put(key: str, value: Any, **meta: Any) -> str:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        blob = store.put_blob(data, content_type="application/json")
        payload = {"key": key, "evidence": blob.to_dict(), "meta": meta}
        store.append_event("run", draft("EVIDENCE_PUT", payload, [blob.ref]))
        return str(blob.ref)

    store.ensure_run("run", "p", "1", "v1_default")
    store.append_event("run", draft("RUN_START", {"meta": {"mode": "factual"}}))
    oracle = [
        put(f"oracle-{n}", {"n": n, "log": "ok " * 30}, evidence_kind="oracle:test_log", oracle_class=1)
        for n in range(100)
    ]
    tools = [put(f"tool-{n}", {"out": n}, evidence_kind="tool:output") for n in range(20)]
    output = put("final_output", b"the answer")
    calls = [{"id": f"t{n}", "ok": True, "output_ref": ref} for n, ref in enumerate(tools)]
    put("tool_trace", {"calls": calls})
    claims = [
        {"id": f"c{n}", "evidence_refs": [ref], "confidence": "high", "tool_call_ids": [f"t{n % 20}"]}
        for n, ref in enumerate(oracle)
    ]
    put("claims_map", {"claims": claims, "output_ref": output})
    for n in range(EVENTS - 126):
        store.append_event(
            "run",
            draft("DECISION", {"decision_id": f"d{n}", "basis": ["because " * 5], "action_plan": "go on", "n": n / 7}),
        )
    results = [{"invariant_id": "ledger.chain_valid", "verdict": "pass"}]
    evaluation = {"results": results, "overall_verdict": "pass", "evidence_complete": True}
    decided = store.append_event("run", draft("EVALUATION", evaluation))
    ending = draft("RUN_FINALIZE", {"overall_verdict": "pass", "summary": "done"})
    ending["refs"]["events"].append(decided)
    store.append_event("run", ending)


def all_thirteen() -> list[Any]:
    from receipt_kernel import invariants

    path = {"StageRequiredPathInvariant": (["COLLECT"],)}
    return [getattr(invariants, name)(*path.get(name, ())) for name in invariants.__all__]


def work(measure: str, folder: pathlib.Path) -> float:
    from receipt_kernel.envelope import canonical_json, compute_hash
    from receipt_kernel.redact import redact
    from receipt_kernel.store_sqlite import SqliteReceiptStore

    if measure == "canonical":
        results = [
            {
                "invariant_id": invariant.invariant_id,
                "verdict": "pass",
                "reasons": [],
                "evidence_refs": [],
                "meta": {"n": n},
            }
            for n, invariant in enumerate(all_thirteen()[:8])
        ]
        payload = {"results": results, "overall_verdict": "pass", "evidence_complete": True, "seconds": 0.125}
        size = len(canonical_json(payload))
        assert 900 <= size <= 1100, size
        return min(timed(lambda: compute_hash(canonical_json(payload)), 500) for _ in range(20))
    if measure == "redact":
        log = b"".join(
            b"2026-01-01T00:00:%02dZ INFO worker-%d served /index.html in %d ms\n" % (n % 60, n % 9, n % 997)
            for n in range(180_000)
        )
        data = log[:10_000_000]
        assert redact(data, "text/plain", "public")[0] == data
        return timed(lambda: redact(data, "text/plain", "public"))
    ledger = folder / ("judged.db" if measure in ("build", "chain", "thirteen") else f"{measure}.db")
    store = SqliteReceiptStore(str(ledger))
    store.initialize_schema()
    if measure == "build":
        judged_run(store)
        assert store.event_count("run") == EVENTS
        result = 0.0
    elif measure in ("chain", "thirteen"):
        chosen = [
            invariant
            for invariant in all_thirteen()
            if measure == "thirteen" or invariant.invariant_id == "ledger.chain_valid"
        ]
        ctx = {"store": store, "run_id": "run"}
        verdicts: list[str] = []
        # The first evaluation of this process: what a store keeps for the next one is not measured.
        result = timed(lambda: verdicts.extend(invariant.evaluate(ctx).verdict.value for invariant in chosen))
        assert set(verdicts) == {"pass"} and len(verdicts) == len(chosen), verdicts
    elif measure == "append":
        store.ensure_run("run", "p", "1", "v1_default")
        drafts = iter([draft("DECISION", {"decision_id": f"d{n}", "text": "x" * 700, "n": n}) for n in range(CALLS)])
        result = timed(lambda: store.append_event("run", next(drafts)), CALLS)
    else:
        base = time.time_ns()
        blobs = iter([(f"{base} {n} ".encode() + b"some words of a log " * 60)[:1024] for n in range(CALLS)])
        result = timed(lambda: store.put_blob(next(blobs), content_type="text/plain"), CALLS)
    store.close()
    return result


# The comparison


def seconds(python: str, measure: str, folder: pathlib.Path) -> float:
    command = [python, "-I", __file__, "--work", measure, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{measure} with {python}:\n{done.stderr}")
    return float(done.stdout)


def version(python: str) -> str:
    script = "import receipt_kernel; print(receipt_kernel.__version__)"
    return subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def shown(value: float, unit: str) -> str:
    number = value * UNITS[unit]
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:,.2f} {unit}"


def compare(ours: str, reference: str, rounds: int, folder: pathlib.Path) -> tuple[str, list[str]]:
    """The table, and what missed its bound."""
    homes = {}
    for name, python in (("ours", ours), ("reference", reference)):
        homes[name] = folder / name
        homes[name].mkdir()
        seconds(python, "build", homes[name])
    rows, missed = [], []
    for measure, (what, bound, unit) in MEASURES.items():
        best = {"ours": float("inf"), "reference": float("inf")}
        for turn in range(rounds):
            sides = [("ours", ours), ("reference", reference)]
            for name, python in sides if turn % 2 == 0 else reversed(sides):
                best[name] = min(best[name], seconds(python, measure, homes[name]))
        ratio = best["reference"] / best["ours"]
        rows.append(
            f"| {what} | {shown(best['reference'], unit)} | {shown(best['ours'], unit)} | {ratio:.2f} x "
            f"| {bound:g} x{'' if ratio >= bound else ', missed'} |"
        )
        print(f"{what}: {ratio:.1f} x", file=sys.stderr, flush=True)
        if ratio < bound:
            missed.append(f"{what}: {ratio:.2f} x is below {bound:g} x")
    head = f"| | receipt-kernel {version(reference)} | receipt-kernel {version(ours)} | faster | bound |"
    note = f"Best of {rounds} rounds in turn, CPython {platform.python_version()}, {platform.system()} {platform.machine()}."
    return "\n".join([head, "| --- | ---: | ---: | ---: | ---: |", *rows, "", note]), missed


def write_into(page: pathlib.Path, table: str) -> None:
    text = page.read_text(encoding="utf-8")
    changed, count = re.subn(
        r"(<!-- speed -->\n).*?(<!-- /speed -->)",
        lambda found: found[1] + table + "\n" + found[2],
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"{page} has no one place between <!-- speed --> and <!-- /speed -->")
    page.write_text(changed, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--reference", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", type=pathlib.Path, help="where the ledgers are made: the file system that is measured"
    )
    parser.add_argument("--write", type=pathlib.Path, metavar="PAGE")
    parser.add_argument("--work", choices=[*MEASURES, "build"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(work(given.work, given.folder))
        return 0
    if not given.reference:
        parser.error("--reference PYTHON is needed: one that has receipt-kernel 0.1.0")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        table, missed = compare(given.ours, given.reference, given.rounds, pathlib.Path(folder))
    print(table)
    if given.write:
        write_into(given.write, table)
    for line in missed:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
