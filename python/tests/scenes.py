"""Runs that claim something, and the invariants that ask about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from helpers import Recorder, codes, verdict
from receipt_kernel import InvariantResult, RetentionPolicy
from receipt_kernel.envelope import seal_envelope
from receipt_kernel.invariants import (
    ClaimsEvidenceBindingInvariant,
    ConfidenceSanityInvariant,
    EpistemicModeRequirementsInvariant,
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    LedgerChainValidInvariant,
    OracleIndependenceInvariant,
    OutputBoundToClaimsInvariant,
    ReceiptCompletenessInvariant,
    RefsClosedWorldInvariant,
    SingleFinalizeInvariant,
    StageRequiredPathInvariant,
    ToolTraceConsistencyInvariant,
)
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore

# Those that ask only for the shape of a run, and those that ask for what it claims.
STRUCTURAL: list[Any] = [
    LedgerChainValidInvariant(),
    ReceiptCompletenessInvariant(),
    EvaluationCompletenessInvariant(),
    FinalizationCompletenessInvariant(),
    SingleFinalizeInvariant(),
    StageRequiredPathInvariant(["START"]),
]
CLAIMING: list[Any] = [
    ClaimsEvidenceBindingInvariant(),
    ToolTraceConsistencyInvariant(),
    EpistemicModeRequirementsInvariant(),
    RefsClosedWorldInvariant(),
    OutputBoundToClaimsInvariant(),
    ConfidenceSanityInvariant(),
    OracleIndependenceInvariant(),
]
CHAIN, RECEIPT = LedgerChainValidInvariant(), ReceiptCompletenessInvariant(["k"])
EVALUATION, ENDING, ONCE = (
    EvaluationCompletenessInvariant(),
    FinalizationCompletenessInvariant(),
    SingleFinalizeInvariant(),
)
BINDING, TOOLS, MODES, CLOSED, OUTPUT, CONFIDENCE, ORACLE = CLAIMING


def sha(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


def ref(data: str) -> str:
    return f"blob://sha256:{sha(data)}"


NOWHERE = "blob://sha256:" + "0" * 64


class Scene(Recorder):
    """A run in a store of its own, in memory. Its methods give the run, so that a story is one expression."""

    def __init__(self, mode: str | None = "factual", *, start: bool = True) -> None:
        store = SqliteReceiptStore(":memory:")
        store.initialize_schema()
        super().__init__(store, mode=mode, start=start)

    def then(self, event_type: str, payload: Any = None, **changes: Any) -> Scene:
        self.event(event_type, payload, **changes)
        return self

    def has(self, key: str, data: Any, *, kind: str | None = None, **meta: Any) -> Scene:
        self.put(key, data.encode() if isinstance(data, str) else data, kind=kind, **meta)
        return self

    def oracle(self, key: str, data: str, oracle_class: Any = 1) -> Scene:
        return self.has(key, data, kind="oracle:test_log", oracle_class=oracle_class)

    def claims(self, *claims: Any, **rest: Any) -> Scene:
        return self.has("claims_map", {"claims": list(claims), **rest})

    def evaluated(self, overall: Any = "pass", *results: Any, complete: Any = True) -> Scene:
        self.evaluation(list(results) or [{"invariant_id": "x", "verdict": overall}], overall, complete)
        return self

    def ended(self, overall: Any = "pass", **changes: Any) -> Scene:
        self.finalize(overall, **changes)
        return self

    def edited(self, statement: str, *params: Any) -> Scene:
        self.sql(statement, params)
        return self

    def missing(self, data: str) -> Scene:
        return self.edited("delete from blobs where sha256 = ?", sha(data))

    def corrupt(self, data: str) -> Scene:
        return self.edited("update blobs set data = zeroblob(length(data)) where sha256 = ?", sha(data))

    def removed(self, data: str) -> Scene:
        """Its bytes are gone, and no event says so."""
        return self.edited("update blobs set state = 'expired_hash_only', data = null where sha256 = ?", sha(data))

    def expired(self, data: str) -> Scene:
        """Its bytes went by the rules of retention, with a receipt."""
        self.edited("update blobs set created_at = '2026-01-01T00:00:00+00:00' where sha256 = ?", sha(data))
        policy = RetentionPolicy(public_ttl_seconds=60, sealed_ttl_seconds=60)
        (gone,) = purge_expired(self.store, policy, "2026-01-02T00:00:00+00:00", maintenance_run_id="maintenance")
        assert gone["sha256"] == sha(data)
        return self

    def forged(self, *envelopes: Any) -> Scene:
        """Adds events that no store would write: sealed and linked, and otherwise as they are."""
        for envelope in envelopes:
            head = self.store._conn.execute(
                "select seq, event_hash from events where run_id = 'r1' order by seq desc limit 1"
            ).fetchone()
            seq, previous = (head[0] + 1, head[1]) if head else (1, None)
            sealed = seal_envelope({**envelope, "run_id": "r1", "seq": seq, "prev_event_hash": previous})
            text = json.dumps(sealed, sort_keys=True)
            row = (
                "r1",
                seq,
                str(sealed["event_type"]),
                text,
                sealed["event_hash"],
                previous,
                "2026-01-01T00:00:00+00:00",
            )
            self.edited(
                "insert into events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                *row,
            )
        return self


def empty() -> Scene:
    return Scene(start=False)


def cites(*refs: Any, **rest: Any) -> dict[str, Any]:
    return {"evidence_refs": list(refs), **rest}


def claiming(*claims: Any) -> Scene:
    """A factual run that put the bytes `e` as an oracle's, and claims this."""
    return Scene().oracle("e", "e").claims(*claims)


def traced(ids: Any, calls: Any, mode: str = "factual") -> Scene:
    trace = {"calls": calls} if not isinstance(calls, bytes) else calls
    return Scene(mode).has("out", "o").has("tool_trace", trace).claims({"tool_call_ids": ids})


def call(**rest: Any) -> Scene:
    """A claimed call t1 with these further members in the trace."""
    return traced(["t1"], [{"id": "t1", **rest}])


Check = tuple[Any, Scene, str, list[str]]


def check(*cases: Check) -> None:
    for number, (invariant, run, expected, reasons) in enumerate(cases):
        result = run.judge(invariant)
        assert isinstance(result, InvariantResult)
        assert result.invariant_id == invariant.invariant_id
        assert (verdict(result), codes(result)) == (expected, reasons), f"case {number}: {result}"


def good() -> Scene:
    """A run that all thirteen pass."""
    claim = {"id": "c", "evidence_refs": [ref("e")], "confidence": "high", "tool_call_ids": ["t1"], "scope": "auth"}
    run = Scene().oracle("e", "e").has("final_output", "o").has("tool", "t", kind="tool:output")
    run.has("tool_trace", {"calls": [{"id": "t1", "ok": True, "output_ref": ref("t"), "output_sha256": sha("t")}]})
    run.claims(claim, output_ref=ref("o"), output_sha256=sha("o"))
    return (
        run.evaluated()
        .then("DECISION", {"decision_id": "d", "basis": [], "action_plan": ""})
        .ended(event_refs=["event://r1/7"])
    )


def inner(name: str, value: Any) -> Callable[[Scene], None]:
    """Changes a member that the hash leaves out, or the hash itself, in the text."""

    def act(run: Scene) -> None:
        def change(text: str) -> str:
            envelope = json.loads(text)
            if value is None:
                del envelope[name]
            else:
                envelope[name] = value
            return json.dumps(envelope, sort_keys=True)

        run.edit(2, change)

    return act
