"""Writes, continues and verifies generated runs with whichever receipt_kernel is installed: run by test_interop.py in
a process of its own, with this package or with the reference.

    interop_runs.py write    LEDGER FIRST COUNT   makes runs
    interop_runs.py continue LEDGER FIRST COUNT   appends to them
    interop_runs.py verify   LEDGER FIRST COUNT   prints what is read, as one JSON line a run
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from typing import Any

from receipt_kernel.envelope import canonical_json, make_envelope, verify_envelope_hash
from receipt_kernel.invariants import LedgerChainValidInvariant, ReceiptCompletenessInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore

TYPES = [
    "RUN_START",
    "STAGE_ADVANCE",
    "EVIDENCE_PUT",
    "EVALUATION",
    "DECISION",
    "REMEDIATION",
    "BLOB_EXPIRE",
    "RUN_FINALIZE",
]
STAGES = ["START", "COLLECT", "EVALUATE", "DECIDE", "REMEDIATE", "FINALIZE", "\u00e9tape"]


def text(rng: random.Random) -> str:
    top = rng.choice([0x7E, 0xFF, 0x2FFF, 0x10FFFF])
    letters = (chr(rng.randrange(top + 1)) for _ in range(rng.randrange(10)))
    return "".join(letter for letter in letters if not 0xD800 <= ord(letter) < 0xE000)


def value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(10 if depth else 8)
    if kind == 0:
        return rng.choice([None, True, False, 0, -1, 1.0, -0.0, 1e16, 1e-5, 5e-324, 2**53, 2**64])
    if kind == 1:
        return rng.randrange(-(10**40), 10**40)
    if kind == 2:
        return rng.randrange(-1000, 1000)
    if kind in (3, 4):
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-300, 300)
    if kind == 5:
        return text(rng) + rng.choice(["", "\ud800", "\udfff", "\x7f", "\u2028", "\U0001f600", '"\\/'])
    if kind in (6, 7):
        return text(rng)
    if kind == 8:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {text(rng): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def draft(rng: random.Random, event_type: str, payload: dict[str, Any], blobs: list[str]) -> dict[str, Any]:
    """The same for both sides: time is fixed, and all else is the generator's."""
    return make_envelope(
        event_type=event_type,
        stage=rng.choice(STAGES),
        policy_id=text(rng),
        policy_version="1",
        stage_graph_id="default",
        actor_kind="agent",
        actor_id=text(rng),
        payload=payload,
        blob_refs=blobs,
        event_refs=[f"event://{text(rng)}/{rng.randrange(1, 9)}" for _ in range(rng.randrange(2))],
        ts=f"2026-01-01T00:00:{rng.randrange(60):02}.{rng.randrange(1, 10**6):06}+00:00",
    )


def run_id(number: int) -> str:
    return f"run-{number}" + ["", "/part", " \u00e9", "\U0001f600"][number % 4]


def append(store: SqliteReceiptStore, number: int, rng: random.Random, event_type: str) -> None:
    payload = {f"k{n}": value(rng, 3) for n in range(rng.randrange(4))}
    blobs: list[str] = []
    if event_type == "EVIDENCE_PUT":
        data = f"{number} {text(rng)} ".encode() * rng.randrange(1, 50)
        blob = store.put_blob(data, content_type="text/plain")
        assert blob.sha256 == hashlib.sha256(data).hexdigest()
        payload = {
            "key": f"key-{rng.randrange(3)}",
            "evidence": blob.to_dict(),
            "meta": {"evidence_kind": "tool:output", "n": value(rng, 2)},
        }
        blobs = [blob.ref]
    store.append_event(run_id(number), draft(rng, event_type, payload, blobs))


def write(store: SqliteReceiptStore, number: int) -> None:
    rng = random.Random(number)
    meta = {text(rng): value(rng, 2) for _ in range(rng.randrange(4))}
    meta = {key: item for key, item in meta.items() if item == item}
    store.ensure_run(run_id(number), "p", "1", "default", meta)
    append(store, number, rng, "RUN_START")
    middle = TYPES[1:-1]
    rng.shuffle(middle)
    for event_type in middle:
        append(store, number, rng, event_type)


def go_on(store: SqliteReceiptStore, number: int) -> None:
    rng = random.Random(number + 10**6)
    for event_type in (rng.choice(TYPES[1:-1]), "EVIDENCE_PUT", "RUN_FINALIZE"):
        append(store, number, rng, event_type)


def read(store: SqliteReceiptStore, number: int) -> dict[str, Any]:
    """Everything that both must see alike, and what this side's invariants say."""
    name = run_id(number)
    events = store.get_events(name)
    run = store.get_run(name)
    assert run is not None and len(events) == store.event_count(name)
    assert all(verify_envelope_hash(event) for event in events)
    ctx = {"store": store, "run_id": name}
    blobs = {}
    for event in events:
        for blob in event["refs"]["blobs"]:
            data = store.get_blob(blob.rsplit(":", 1)[1])
            assert data is not None
            blobs[blob] = hashlib.sha256(data).hexdigest()
    verdicts = [invariant.evaluate(ctx) for invariant in (LedgerChainValidInvariant(), ReceiptCompletenessInvariant())]
    return {
        "run": {key: run[key] for key in ("run_id", "policy_id", "policy_version", "stage_graph_id")},
        "meta": hashlib.sha256(canonical_json(run["meta"])).hexdigest(),
        "types": [event["event_type"] for event in events],
        "hashes": [event["event_hash"] for event in events],
        "bytes": hashlib.sha256(b"".join(map(canonical_json, events))).hexdigest(),
        "blobs": blobs,
        "verdicts": [result.to_dict() for result in verdicts],
    }


def main() -> None:
    verb, ledger, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = SqliteReceiptStore(ledger)
    store.initialize_schema()
    for number in range(first, first + count):
        if verb == "write":
            write(store, number)
        elif verb == "continue":
            go_on(store, number)
        else:
            print(json.dumps(read(store, number), sort_keys=True))
    store.close()


if __name__ == "__main__":
    main()
