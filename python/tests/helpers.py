"""Drafts, runs and vectors, for all tests."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from receipt_kernel import BlobRef, InvariantResult
from receipt_kernel.envelope import make_envelope
from receipt_kernel.store_sqlite import SqliteReceiptStore

ROOT = pathlib.Path(__file__).resolve().parents[2]
TS = "2026-01-01T00:00:00.000001+00:00"
# Of the documentation of the age program: nobody here has the other half.
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


def vectors(name: str) -> list[dict[str, Any]]:
    with open(ROOT / "vectors" / name, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def draft(event_type: str = "RUN_START", **changes: Any) -> dict[str, Any]:
    """An envelope before the store has linked it; `ts` is fixed, so that hashes are."""
    fields: dict[str, Any] = {
        "event_type": event_type,
        "stage": "START",
        "policy_id": "p",
        "policy_version": "1",
        "stage_graph_id": "g",
        "actor_kind": "agent",
        "actor_id": "a1",
        "payload": {},
        "ts": TS,
    }
    return make_envelope(**{**fields, **changes})


class Recorder:
    """A run being written through the store, in as few words as a test can have."""

    def __init__(
        self, store: SqliteReceiptStore, run_id: str = "r1", *, mode: str | None = "factual", start: bool = True
    ) -> None:
        self.store = store
        self.run_id = run_id
        store.ensure_run(run_id, "p", "1", "g")
        if start:
            self.event("RUN_START", {"meta": {} if mode is None else {"mode": mode}})

    def event(self, event_type: str, payload: Any = None, **changes: Any) -> str:
        envelope = draft(event_type, payload={} if payload is None else payload, **changes)
        return self.store.append_event(self.run_id, envelope)

    def advance(self, to_stage: str, from_stage: str = "") -> str:
        payload = {"from_stage": from_stage, "to_stage": to_stage, "reason": ""}
        return self.event("STAGE_ADVANCE", payload, stage=to_stage)

    def put(self, key: str, data: Any, *, kind: str | None = None, **meta: Any) -> BlobRef:
        """Puts bytes, or a value as JSON, on record as evidence under a key."""
        content_type = "text/plain" if isinstance(data, bytes) else "application/json"
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        blob = self.store.put_blob(raw, content_type=content_type)
        self.name(key, blob.to_dict(), kind=kind, **meta)
        return blob

    def name(self, key: str, evidence: Any, *, kind: str | None = None, **meta: Any) -> str:
        """An EVIDENCE_PUT whose evidence is what the test says, true or not."""
        if kind is not None:
            meta["evidence_kind"] = kind
        blobs = [evidence["ref"]] if isinstance(evidence, dict) and "ref" in evidence else []
        payload = {"key": key, "evidence": evidence, "meta": meta}
        return self.event("EVIDENCE_PUT", payload, stage="COLLECT", blob_refs=blobs)

    def evaluation(self, results: Any = None, overall: Any = "pass", complete: Any = True) -> str:
        payload = {"results": results, "overall_verdict": overall, "evidence_complete": complete}
        if results is None:
            payload["results"] = [{"invariant_id": "ledger.chain_valid", "verdict": "pass"}]
        return self.event("EVALUATION", payload, stage="EVALUATE")

    def finalize(self, overall: Any = "pass", **changes: Any) -> str:
        payload = {"overall_verdict": overall, "summary": ""}
        return self.event("RUN_FINALIZE", payload, **{"stage": "FINALIZE", **changes})

    def judge(self, invariant: Any) -> InvariantResult:
        return invariant.evaluate({"store": self.store, "run_id": self.run_id})

    def sql(self, statement: str, params: tuple[Any, ...] = ()) -> None:
        """An edit behind the store's back, through the store's own connection."""
        self.store._conn.execute(statement, params)
        self.store._conn.commit()

    def edit(self, seq: int, change: Any) -> None:
        """Edits one stored envelope, its hash left alone."""
        where = "run_id = ? and seq = ?"
        row = self.store._conn.execute(f"select envelope_json from events where {where}", (self.run_id, seq)).fetchone()
        text = change(row[0])
        assert text != row[0], "the edit changed nothing"
        self.sql(f"update events set envelope_json = ? where {where}", (text, self.run_id, seq))


def verdict(result: InvariantResult) -> str:
    return result.verdict.value


def codes(result: InvariantResult) -> list[str]:
    return [reason.code for reason in result.reasons]


ON_FILE = """
import json, sqlite3, sys
conn = sqlite3.connect(sys.argv[1])
rows = conn.execute(sys.argv[2]).fetchall()
conn.commit()
json.dump(rows, sys.stdout)
"""


def on_file(db_path: str, sql: str) -> list[list[Any]]:
    """Runs SQL on a file in a process of its own: two SQLite libraries in one process lose each other's locks."""
    command = [sys.executable, "-c", ON_FILE, db_path, sql]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    rows: list[list[Any]] = json.loads(done.stdout)
    return rows


def progress_during(call: Callable[[], Any]) -> tuple[float, int]:
    """How long a call took, and how often another thread got its turn meanwhile."""
    ticks = 0
    done = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    time.sleep(0.01)
    before = ticks
    began = time.monotonic()
    call()
    took, seen = time.monotonic() - began, ticks - before
    done.set()
    thread.join()
    return took, seen
