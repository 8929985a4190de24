"""Uses the package as a strictly typed program does. test_native.py type-checks it, and runs it."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import receipt_kernel
from receipt_kernel import (
    BlobRef,
    EvidenceClass,
    InvariantResult,
    Ledger,
    LedgerError,
    Policy,
    Reason,
    RetentionPolicy,
    Run,
    Verdict,
)
from receipt_kernel.envelope import canonical_json, compute_hash, make_envelope, seal_envelope, verify_envelope_hash
from receipt_kernel.invariants import (
    EpistemicModeRequirementsInvariant,
    LedgerChainValidInvariant,
    OracleIndependenceInvariant,
    ReceiptCompletenessInvariant,
    StageRequiredPathInvariant,
)
from receipt_kernel.redact import RedactionReport, redact
from receipt_kernel.retention import compute_expiry_ts, find_expired_blobs, purge_expired
from receipt_kernel.stages import DEFAULT_STAGE_GRAPH, StageGraph
from receipt_kernel.store_sqlite import STORE_SCHEMA_VERSION, SqliteReceiptStore
from receipt_kernel.types import KIND_TO_STRENGTH, EvidenceStrength, strength_for_kind

POLICY = """
id = "typed"
version = "1"
stage_graph = "v1_default"
[[invariant]]
id = "ledger.chain_valid"
"""


class Short:
    invariant_id = "typed.short"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        events: list[dict[str, Any]] = ctx["store"].get_events(ctx["run_id"])
        verdict = Verdict.PASS if len(events) < 100 else Verdict.FAIL
        return InvariantResult(self.invariant_id, verdict, [] if verdict.is_success() else [Reason("LONG", "too long")])


def hide(data: bytes, content_type: str, evidence_class: str, original_hash: str) -> tuple[bytes, RedactionReport]:
    return redact(data, content_type, evidence_class, original_hash)


def old() -> None:
    with SqliteReceiptStore(":memory:", custom_redactor=hide) as store:
        store.initialize_schema()
        store.ensure_run("r1", "p", "1", "g", {"mode": "factual"})
        envelope: dict[str, Any] = make_envelope(
            event_type="RUN_START",
            stage="START",
            policy_id="p",
            policy_version="1",
            stage_graph_id="g",
            actor_kind="agent",
            actor_id="a",
            payload={"meta": {"mode": "factual"}},
        )
        assert verify_envelope_hash(seal_envelope(envelope))
        event: str = store.append_event("r1", envelope)
        found = store.get_event_by_ref(event)
        assert found is not None and found["seq"] == 1
        blob: BlobRef = store.put_blob(b"x", content_type="text/plain", evidence_class="public")
        streamed: BlobRef = store.put_blob(io.BytesIO(b"x"))
        data: bytes | None = store.get_blob(blob.sha256)
        assert data == b"x" and streamed.bytes_len == 1
        rows: list[Any] = store._conn.execute("select seq from events where run_id = ?", ("r1",)).fetchall()
        store._conn.commit()
        assert rows == [(1,)]
        ctx: dict[str, Any] = {"store": store, "run_id": "r1"}
        results: list[InvariantResult] = [
            invariant.evaluate(ctx)
            for invariant in (
                LedgerChainValidInvariant(),
                ReceiptCompletenessInvariant(["k"], verify_blobs=False),
                StageRequiredPathInvariant(["START"]),
                EpistemicModeRequirementsInvariant(requirements={"factual": ()}),
                OracleIndependenceInvariant(policy={("factual", "high"): 1}),
                Short(),
            )
        ]
        assert results[0].verdict is Verdict.PASS
        policy = RetentionPolicy.from_dict({"public_ttl_seconds": 1})
        expiry: str | None = compute_expiry_ts("2026-01-01T00:00:00+00:00", EvidenceClass.PUBLIC, policy)
        expired: list[dict[str, Any]] = find_expired_blobs(store, policy, expiry)
        assert purge_expired(store, policy, expiry, dry_run=True) == expired
    strength: EvidenceStrength = strength_for_kind("tool:trace")
    assert KIND_TO_STRENGTH["tool:trace"] is strength and STORE_SCHEMA_VERSION == 1
    graph: StageGraph = StageGraph.from_dict(DEFAULT_STAGE_GRAPH.to_dict())
    graph.validate_transition("START", "COLLECT")
    assert compute_hash(canonical_json({})).startswith("sha256:")


def native() -> str:
    policy: Policy = Policy.from_toml(POLICY)
    with Ledger(pathlib.Path("typed.db")) as ledger:
        run: Run = ledger.start("r1", policy, meta={"mode": "creative"}, actor=("agent", "a"))
        run.advance("COLLECT", "why not")
        run.put("log", io.BytesIO(b"x"), content_type="text/plain", meta={"n": 1})
        run.append("DECISION", {"n": 1}, key="k")
        try:
            run.advance("FINALIZE")
        except LedgerError as error:
            message: str = str(error)
            assert message
        run.advance("EVALUATE")
        evaluation: dict[str, Any] = run.evaluate()
        run.advance("DECIDE")
        run.decide({"decision_id": "d", "basis": ["it passed"], "action_plan": "go"})
        run.finalize("done")
        assert receipt_kernel.evaluate(ledger, "r1", policy, invariants=[Short()])["overall_verdict"] == "pass"
        assert evaluation["overall_verdict"] == "pass"
    report: dict[str, Any] = receipt_kernel.verify("typed.db")
    return str(report["overall_verdict"])


if __name__ == "__main__":
    old()
    print(native())
