"""The thirteen invariants: the answers of the reference, the vectors, and stores and contexts of one's own."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest

from helpers import Recorder, codes, vectors, verdict
from receipt_kernel import InvariantResult, Reason, Verdict
from receipt_kernel.invariants import (
    EpistemicModeRequirementsInvariant,
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    OracleIndependenceInvariant,
    ReceiptCompletenessInvariant,
    StageRequiredPathInvariant,
)
from receipt_kernel.store_sqlite import SqliteReceiptStore
from scenes import (
    BINDING,
    CHAIN,
    CLAIMING,
    CLOSED,
    CONFIDENCE,
    ENDING,
    EVALUATION,
    MODES,
    NOWHERE,
    ONCE,
    ORACLE,
    OUTPUT,
    RECEIPT,
    STRUCTURAL,
    Scene,
    TOOLS,
    check,
    cites,
    claiming,
    empty,
    good,
    ref,
)

# The reference's own results


def of_vector(name: str) -> Any:
    if name == "evaluation MISSING_INVARIANT":
        return EvaluationCompletenessInvariant(required_invariants=("x", "y"))
    if name == "finalization NO_VERDICT+NO_DECISION_REF":
        return FinalizationCompletenessInvariant(require_decision_ref=True)
    if name == "mode allow_unknown WARN":
        return EpistemicModeRequirementsInvariant(allow_unknown_modes=True)
    if name == "oracle scope":
        return OracleIndependenceInvariant(policy={("factual", "high"): 1, ("factual", "high", "auth"): 3})
    if name.startswith("stage"):
        return StageRequiredPathInvariant(
            ["START", "DECIDE"] if name.endswith("PASS") else ["START", "COLLECT", "DECIDE"]
        )
    return {
        "chain": CHAIN,
        "receipt": RECEIPT,
        "evaluation": EVALUATION,
        "finalization": ENDING,
        "single": ONCE,
        "claims": BINDING,
        "confidence": CONFIDENCE,
        "mode": MODES,
        "oracle": ORACLE,
        "output": OUTPUT,
        "refs": CLOSED,
        "tools": TOOLS,
    }[name.split()[0]]


def structural_run(name: str) -> Scene:
    run = empty() if name == "chain NO_EVENTS" else Scene(None)
    match name:
        case "chain NO_EVENTS" | "evaluation NO_EVALUATION":
            return run
        case "chain PASS":
            return run.has("k", "1").has("k2", "2")
        case "chain SEQ_GAP + PREV_HASH_MISMATCH":
            return run.has("k", "1").has("k2", "2").edited("delete from events where seq = 2")
        case "evaluation EMPTY_RESULTS+NO_OVERALL_VERDICT":
            return run.then("EVALUATION", {"results": []})
        case "evaluation MISSING_INVARIANT":
            return run.evaluated("pass")
        case "evaluation SILENT_DOWNGRADE":
            return run.evaluated("pass", complete=False)
        case "evaluation VERDICT_INCONSISTENCY":
            return run.evaluated("pass", {"invariant_id": "x", "verdict": "fail"}, {"verdict": "unknown"})
        case "finalization NO_VERDICT+NOT_LAST_EVENT":
            return run.then("RUN_FINALIZE").then("DECISION")
        case "finalization NO_VERDICT+NO_DECISION_REF":
            return run.then("RUN_FINALIZE")
        case "finalization PASS":
            return run.evaluated().ended()
        case "receipt PASS":
            return run.has("k", "1")
        case "receipt BLOB_EXPIRED WARN":
            return run.has("k", "1").expired("1")
        case "receipt BLOB_NOT_FOUND":
            return run.has("k", "1").has("k2", "2").missing("2")
        case "single PASS":
            return run.ended()
        case _:
            return run.ended().then("DECISION", stage="DECIDE").ended()


def claiming_run(name: str) -> Scene:
    high, one = cites(ref("e"), confidence="high"), {"id": "c", "tool_call_ids": ["t1"]}
    match name:
        case "confidence HIGH_WEAK":
            return Scene().has("e", "e", kind="model:generated").claims({"id": "c", **high}, high)
        case "confidence PASS":
            return claiming(high, cites(ref("e"), confidence="medium"))
        case "mode PASS" | "oracle empty" | "output FINAL_OUTPUT_MISSING" | "tools none PASS":
            return Scene().claims()
        case "oracle PASS":
            return claiming(cites(ref("e")))
        case "oracle scope":
            return claiming({"id": "c", **high, "scope": "auth"})
        case "output MISMATCH":
            return Scene().has("final_output", "out").claims(output_sha256="00")
        case "output PASS ref":
            return Scene().has("final_output", "out").claims(output_ref=ref("out"))
        case "tools CALL_MISSING":
            return Scene().claims({"tool_call_ids": ["t2", "it's"]}).has("tool_trace", {"calls": []})
        case "tools NOT_IN_RUN ref":
            return Scene().claims(one).has("tool_trace", {"calls": [{"id": "t1", "output_ref": NOWHERE}]})
        case "tools PASS":
            return (
                Scene().has("out", "o").claims(one).has("tool_trace", {"calls": [{"id": "t1", "output_ref": ref("o")}]})
            )
        case "tools TRACE_MALFORMED":
            return Scene().claims(one).has("tool_trace", {"calls": {}})
        case "tools UNBOUND":
            return Scene().claims(one).has("tool_trace", {"calls": [{"id": "t1"}]})
        case "tools UNBOUND_WARN mixed":
            return Scene("mixed").claims(one).has("tool_trace", {"calls": [{"id": "t1"}]})
    if name.endswith("RUN_MODE_MISSING"):
        return Scene(None)
    if name.endswith("no evidence, factual"):
        return Scene()
    return Scene("creative") if name.endswith("creative") else Scene("yolo")


VECTORS = vectors("invariant_paths.jsonl")


def test_there_are_sixty_results_of_the_reference() -> None:
    names = [case["name"] for case in VECTORS]
    assert len(names) == len(set(names)) == 60


def result_of(name: str) -> InvariantResult:
    invariant = of_vector(name)
    if name.endswith("CONTEXT_MISSING"):
        return invariant.evaluate({})  # type: ignore[no-any-return]
    structural = name.split()[0] in ("chain", "evaluation", "finalization", "receipt", "single", "stage")
    run = structural_run(name) if structural else claiming_run(name)
    run_id = "nope" if name == "chain NO_EVENTS" else "r1"
    return invariant.evaluate({"store": run.store, "run_id": run_id})  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_each_result_of_the_reference_is_given(case: dict[str, Any]) -> None:
    name, wanted = case["name"], case["result"]
    result = result_of(name).to_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["invariant_id"] == wanted["invariant_id"]
    assert result["verdict"] == wanted["verdict"]
    assert [reason["code"] for reason in result["reasons"]] == [reason["code"] for reason in wanted["reasons"]]
    for said, expected in zip(result["reasons"], wanted["reasons"], strict=True):
        if said["code"] != "PREV_HASH_MISMATCH":
            assert said["msg"] == expected["msg"]
    assert [reason["pointers"] for reason in result["reasons"]] == [
        reason["pointers"] for reason in wanted["reasons"]
    ] or name == "oracle scope"
    assert result["evidence_refs"] == wanted["evidence_refs"]
    if result["verdict"] != "unknown" and name != "oracle scope":
        assert result["meta"] == wanted["meta"]


# What any implementation says of a run, told once for this package and for the kernel


INVARIANTS: dict[str, Any] = {
    invariant.invariant_id: type(invariant) for invariant in STRUCTURAL + CLAIMING
}


def of_params(case: dict[str, Any]) -> Any:
    params = dict(case["params"])
    if case["invariant"] == ORACLE.invariant_id and "policy" in params:
        names = ("mode", "confidence", "scope")
        rows = params["policy"]
        params["policy"] = {tuple(row[name] for name in names if name in row): row["min_class"] for row in rows}
    return INVARIANTS[case["invariant"]](**params)


def told(case: dict[str, Any]) -> Scene:
    run = empty()
    for blob in case["blobs"]:
        if blob["is"] != "missing":
            run.store.put_blob(blob["text"].encode(), content_type="text/plain")
    for event in case["events"]:
        refs = {"blob_refs": event.get("blobs", []), "event_refs": event.get("events", [])}
        run.then(event["type"], event["payload"], stage=event["stage"], **refs)
    for blob in case["blobs"]:
        if blob["is"] in ("corrupt", "expired", "removed"):
            getattr(run, blob["is"])(blob["text"])
    return run


CASES = vectors("invariants.jsonl")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{number} {case['truth']}", marks=[] if case["reference"] else [pytest.mark.ours])
        for number, case in enumerate(CASES)
    ],
)
def test_an_invariant_says_of_each_run_what_it_must(case: dict[str, Any]) -> None:
    answer = case.get("compatible", case)
    check((of_params(case), told(case), answer["verdict"], answer["codes"]))


def test_no_case_is_forgotten() -> None:
    assert len(CASES) == 614 and sum(case["reference"] for case in CASES) == 412
    assert sum("compatible" in case for case in CASES) == 337


@pytest.mark.parametrize("invariant", STRUCTURAL + CLAIMING, ids=lambda invariant: invariant.invariant_id)
def test_a_good_run_passes_all_thirteen(invariant: Any) -> None:
    result = good().judge(invariant)
    assert verdict(result) == "pass" and result.reasons == [], result


def test_asking_changes_nothing() -> None:
    run = good()
    before = run.store._conn.execute("select * from events").fetchall()
    for invariant in STRUCTURAL + CLAIMING:
        assert run.judge(invariant) == run.judge(invariant)
    assert run.store._conn.execute("select * from events").fetchall() == before


@pytest.mark.parametrize("invariant", CLAIMING, ids=lambda invariant: invariant.invariant_id)
@pytest.mark.parametrize(
    "ctx", [{}, {"store": None, "run_id": "r1"}, {"run_id": "r1"}, {"store": 1}, {"store": 1, "run_id": ""}], ids=str
)
def test_a_context_without_a_store_or_a_run_is_unknown(invariant: Any, ctx: dict[str, Any]) -> None:
    result = invariant.evaluate(ctx)
    assert (verdict(result), codes(result)) == ("unknown", ["CONTEXT_MISSING"])


@pytest.mark.ours
@pytest.mark.parametrize("invariant", STRUCTURAL + CLAIMING, ids=lambda invariant: invariant.invariant_id)
@pytest.mark.parametrize(
    "ctx", [{}, None, {"store": None, "run_id": "r1"}, {"store": object(), "run_id": "r1"}, [], "x"], ids=repr
)
def test_no_context_makes_an_invariant_raise(invariant: Any, ctx: Any) -> None:
    assert verdict(invariant.evaluate(ctx)) == "unknown"


@pytest.mark.ours
@pytest.mark.parametrize("invariant", STRUCTURAL + CLAIMING, ids=lambda invariant: invariant.invariant_id)
def test_a_store_that_cannot_be_read_is_unknown(invariant: Any, db_path: str) -> None:
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    run = Recorder(store)
    store._conn.execute("pragma foreign_keys = off")
    store._conn.execute("drop table events")
    store._conn.commit()
    result = run.judge(invariant)
    assert (verdict(result), codes(result)) == ("unknown", ["READ_FAILURE"])
    store.close()


@pytest.mark.ours
@pytest.mark.parametrize("invariant", STRUCTURAL + CLAIMING, ids=lambda invariant: invariant.invariant_id)
def test_a_run_without_events_passes_nothing(invariant: Any) -> None:
    for run in (empty(), Scene()):
        run.run_id = run.run_id if run.store.event_count("r1") == 0 else "nope"
        assert verdict(run.judge(invariant)) in ("unknown", "fail")


class Foreign:
    """A store that somebody else wrote: it has the methods, and none of our class."""

    def __init__(self, store: SqliteReceiptStore) -> None:
        self._inner = store

    def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        return self._inner.get_events(run_id, event_type)

    def get_event_by_ref(self, ref: str) -> dict[str, Any] | None:
        return self._inner.get_event_by_ref(ref)

    def get_blob(self, sha256: str) -> bytes | None:
        return self._inner.get_blob(sha256)

    def get_blob_meta(self, sha256: str) -> dict[str, Any] | None:
        return self._inner.get_blob_meta(sha256)

    def has_blob(self, sha256: str) -> bool:
        return self._inner.has_blob(sha256)

    def blob_is_live(self, sha256: str) -> bool:
        return self._inner.blob_is_live(sha256)


@pytest.mark.parametrize("invariant", STRUCTURAL[1:] + CLAIMING, ids=lambda invariant: invariant.invariant_id)
def test_a_store_of_ones_own_class_is_judged_by_what_it_shows(invariant: Any) -> None:
    run = good()
    assert verdict(invariant.evaluate({"store": Foreign(run.store), "run_id": "r1"})) == "pass"
    assert verdict(RECEIPT.evaluate({"store": Foreign(run.store), "run_id": "r1"})) == "fail"


@pytest.mark.parametrize("invariant", STRUCTURAL[1:] + CLAIMING, ids=lambda invariant: invariant.invariant_id)
def test_what_a_store_raises_comes_through(invariant: Any) -> None:
    class Broken(SqliteReceiptStore):
        def get_events(self, *arguments: Any, **named: Any) -> Any:
            raise OSError("the disk is gone")

    run = good()
    broken = Broken.__new__(Broken)
    broken.__dict__.update(run.store.__dict__)
    with pytest.raises(OSError, match="the disk is gone"):
        invariant.evaluate({"store": broken, "run_id": "r1"})
    for owner in (SqliteReceiptStore, run.store):
        with mock.patch.object(owner, "get_events", side_effect=OSError("no")), pytest.raises(OSError, match="no"):
            run.judge(invariant)
    assert verdict(run.judge(invariant)) == "pass"


ANYTHING = ReceiptCompletenessInvariant()
PATCHES = [
    (ANYTHING, "has_blob", False, "fail", ["BLOB_NOT_FOUND"] * 5),
    (ANYTHING, "blob_is_live", False, "warn", ["BLOB_EXPIRED"] * 5),
    (BINDING, "has_blob", False, "fail", ["EVIDENCE_REF_MISSING"]),
    (BINDING, "get_blob", None, "fail", ["CLAIMS_MAP_MISSING"]),
    (CLOSED, "get_blob", None, "unknown", ["CLAIMS_MAP_MISSING"]),
    (MODES, "get_blob", None, "pass", []),
    (ONCE, "get_events", [], "fail", ["NO_FINALIZE"]),
]


@pytest.mark.parametrize("invariant, name, answer, expected, reasons", PATCHES, ids=lambda value: str(value)[:40])
def test_what_a_store_is_made_to_say_is_judged(
    invariant: Any, name: str, answer: Any, expected: str, reasons: list[str]
) -> None:
    run = good()
    with mock.patch.object(run.store, name, return_value=answer):
        result = run.judge(invariant)
    assert (verdict(result), codes(result)) == (expected, reasons)
    assert verdict(run.judge(invariant)) == "pass"


class LongEnough:
    """An invariant as a user writes one."""

    invariant_id = "mine.long_enough"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        events = ctx["store"].get_events(ctx["run_id"])
        puts = ctx["store"].get_events(ctx["run_id"], "EVIDENCE_PUT")
        data = [ctx["store"].get_blob(put["payload"]["evidence"]["sha256"]) for put in puts]
        if len(events) < 5 or None in data:
            return InvariantResult(self.invariant_id, Verdict.FAIL, [Reason("TOO_SHORT", f"{len(events)} events")])
        return InvariantResult(self.invariant_id, Verdict.PASS, meta={"bytes": sum(map(len, data))})


def test_an_invariant_of_ones_own_runs_beside_these() -> None:
    results = [good().judge(invariant) for invariant in [*STRUCTURAL, *CLAIMING, LongEnough()]]
    assert {verdict(result) for result in results} == {"pass"}
    assert results[-1].meta == {"bytes": results[-1].meta["bytes"]} and results[-1].meta["bytes"] > 100
    assert verdict(Scene().judge(LongEnough())) == "fail"
