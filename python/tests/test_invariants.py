"""The thirteen invariants: what each asks, and that no tampering and no malformed thing passes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import receipt_kernel
from helpers import Recorder, codes, vectors, verdict
from receipt_kernel import InvariantResult, Reason, RetentionPolicy, Verdict
from receipt_kernel import invariants as of_package
from receipt_kernel.envelope import canonical_json, seal_envelope
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
    _helpers,
)
from receipt_kernel.invariants.epistemic_mode_requirements import DEFAULT_MODE_REQUIREMENTS
from receipt_kernel.invariants.oracle_independence import DEFAULT_ORACLE_POLICY
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


# All of them


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


# The chain


def deciding(count: int = 3) -> Scene:
    run = Scene(None)
    for n in range(count):
        run.then("DECISION", {"n": n})
    return run


def test_an_edit_that_a_hash_shows_fails() -> None:
    run = deciding()
    run.edit(3, lambda text: text.replace('"n": 1', '"n": 9').replace('"n":1', '"n":9'))
    result = run.judge(CHAIN)
    assert verdict(result) == "fail" and "EVENT_HASH_MISMATCH" in codes(result)


def test_a_gap_and_a_broken_link_fail() -> None:
    assert verdict(deciding().edited("delete from events where seq = 2").judge(CHAIN)) == "fail"
    assert (
        verdict(deciding().edited("update events set prev_event_hash = 'sha256:00' where seq = 3").judge(CHAIN))
        == "fail"
    )


def renumber(run: Scene) -> None:
    """What a forger does with the columns, and no hash made anew."""
    rows = run.store._conn.execute("select id, event_hash from events where run_id = 'r1' order by seq, id").fetchall()
    for offset in (1000, 0):
        previous = None
        for seq, (row, event_hash) in enumerate(rows, 1):
            run.edited("update events set seq = ?, prev_event_hash = ? where id = ?", seq + offset, previous, row)
            previous = event_hash


def cut_from_the_middle(run: Scene) -> None:
    run.edited("delete from events where seq = 3")
    renumber(run)


def swapped(run: Scene) -> None:
    run.edited("update events set seq = 99 where seq = 2").edited("update events set seq = 2 where seq = 3")
    run.edited("update events set seq = 3 where seq = 99")
    renumber(run)


def spliced(run: Scene) -> None:
    other = Recorder(run.store, "other", mode=None)
    other.event("DECISION", {"n": "foreign"})
    run.edited("update events set seq = 99 where run_id = 'r1' and seq = 2")
    run.edited("update events set run_id = 'r1', seq = 2 where run_id = 'other' and seq = 2")
    run.edited("delete from events where run_id = 'r1' and seq = 99")
    renumber(run)


def copied_run(run: Scene) -> None:
    run.store.ensure_run("copy", "p", "1", "g")
    run.edited("update events set run_id = 'copy'")
    run.run_id = "copy"


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


def column(assignment: str) -> Callable[[Scene], None]:
    return lambda run: run.sql(f"update events set {assignment} where seq = 2")


TAMPERING: dict[str, Callable[[Scene], None]] = {
    "an event cut from the middle": cut_from_the_middle,
    "two events swapped": swapped,
    "an event of another run spliced in": spliced,
    "a run copied under another id": copied_run,
    "the hash in the text edited": inner("event_hash", "sha256:" + "0" * 64),
    "the hash in the text removed": inner("event_hash", None),
    "the type column edited": column("event_type = 'RUN_FINALIZE'"),
    "the hash column edited": column("event_hash = 'sha256:00'"),
    "text in another order": lambda run: run.edit(2, lambda text: json.dumps(dict(reversed(json.loads(text).items())))),
    "text with more space": lambda run: run.edit(2, lambda text: text + " "),
    "text indented": lambda run: run.edit(2, lambda text: json.dumps(json.loads(text), sort_keys=True, indent=1)),
    "text with raw letters": lambda run: run.edit(2, lambda text: text.replace("a1", "\\u0061" + "1")),
    "a key twice": lambda run: run.edit(2, lambda text: '{"event_type":"EVALUATION",' + text[1:]),
    "text that is no JSON": lambda run: run.edit(2, lambda text: "{bad"),
    "text that is a number": lambda run: run.edit(2, lambda text: "5"),
    "text that is null": lambda run: run.edit(2, lambda text: "null"),
    "text that is a list": lambda run: run.edit(2, lambda text: "[]"),
    "text with NaN": lambda run: run.edit(
        2, lambda text: text.replace('"n": 0', '"n": NaN').replace('"n":0', '"n":NaN')
    ),
    "text that is very deep": lambda run: run.edit(2, lambda text: "[" * 100_000),
    "text that is no UTF-8": column("envelope_json = cast(x'7bff7d' as text)"),
    "text in a blob": column("envelope_json = cast(envelope_json as blob)"),
    "seq in words": column("seq = 'abc'"),
    "seq and a half": column("seq = 2.5"),
    "an integer of 5,000 digits": lambda run: run.edit(
        2, lambda text: text.replace('"n": 0', '"n": ' + "7" * 5000).replace('"n":0', '"n":' + "7" * 5000)
    ),
}


@pytest.mark.ours
@pytest.mark.parametrize("act", TAMPERING)
def test_tampering_with_the_ledger_fails_the_chain_and_raises_nothing(act: str) -> None:
    run = deciding()
    assert verdict(run.judge(CHAIN)) == "pass"
    TAMPERING[act](run)
    result = run.judge(CHAIN)
    assert verdict(result) == "fail", result
    for invariant in STRUCTURAL + CLAIMING:
        run.judge(invariant)


@pytest.mark.ours
def test_the_type_that_counts_is_that_of_the_envelope() -> None:
    run = Scene(None).evaluated("fail").ended("fail").evaluated("pass").ended("pass")
    run.edited("update events set event_type = 'DECISION' where seq = 3")
    assert [event["seq"] for event in run.store.get_events("r1", "RUN_FINALIZE")] == [3, 5]
    assert codes(run.judge(ONCE)) == ["MULTIPLE_FINALIZE"]


def test_the_chain_counts_what_it_saw() -> None:
    assert deciding(9).judge(CHAIN).meta == {"event_count": 10}


# Receipts


@pytest.mark.ours
def test_a_blob_whose_row_is_malformed_is_none() -> None:
    check(
        (RECEIPT, Scene(None).has("k", "1").edited("update blobs set data = null"), "fail", ["BLOB_MALFORMED"]),
        (RECEIPT, Scene(None).has("k", "1").edited("update blobs set state = 'zzz'"), "fail", ["BLOB_MALFORMED"]),
    )


@pytest.mark.ours
def test_bytes_that_went_without_a_receipt_fail() -> None:
    run = Scene(None).has("k", "1").removed("1")
    assert verdict(run.judge(RECEIPT)) == "fail"


def test_refs_blobs_may_be_empty() -> None:
    run = Scene(None)
    blob = run.store.put_blob(b"1")
    run.then("EVIDENCE_PUT", {"key": "k", "evidence": blob.to_dict(), "meta": {}})
    check((RECEIPT, run, "pass", []))


def test_keys_are_required_and_blobs_are_looked_at_only_where_that_is_asked() -> None:
    both = ReceiptCompletenessInvariant(["k", "missing"])
    run = Scene(None).has("k", "1")
    check((both, run, "fail", ["MISSING_KEY"]))
    assert "'missing'" in run.judge(both).reasons[0].msg
    assert verdict(run.missing("1").judge(ReceiptCompletenessInvariant(["k"], verify_blobs=False))) == "pass"


# Evaluations


# Endings


@pytest.mark.ours
@pytest.mark.parametrize("refs", [["x"], [""]], ids=str)
def test_a_decision_that_is_referred_to_has_the_form_of_a_reference(refs: list[str]) -> None:
    strict = FinalizationCompletenessInvariant(require_decision_ref=True)
    assert verdict(Scene(None).evaluated().ended(event_refs=["event://r1/2"]).judge(strict)) == "pass"
    assert verdict(Scene(None).evaluated().ended(event_refs=refs).judge(strict)) == "fail"


# Stages


@pytest.mark.ours
def test_a_path_that_asks_for_nothing_passes_nothing_that_is_empty() -> None:
    try:
        invariant = StageRequiredPathInvariant([])
    except ValueError:
        return
    assert verdict(empty().judge(invariant)) == "unknown"


@pytest.mark.ours
@pytest.mark.parametrize(
    "make",
    [
        lambda: StageRequiredPathInvariant("START"),  # type: ignore[arg-type]
        lambda: ReceiptCompletenessInvariant("key"),  # type: ignore[arg-type]
        lambda: EvaluationCompletenessInvariant("key"),  # type: ignore[arg-type]
        lambda: EvaluationCompletenessInvariant(required_invariants="x"),  # type: ignore[arg-type]
        lambda: RefsClosedWorldInvariant(require_in_modes="factual"),  # type: ignore[arg-type]
        lambda: ToolTraceConsistencyInvariant(enforce_in_modes="factual"),  # type: ignore[arg-type]
        lambda: EpistemicModeRequirementsInvariant(requirements={"factual": "claims_map"}),  # type: ignore[dict-item]
    ],
)
def test_a_text_is_no_list_of_texts(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        make()


# Modes


def test_exploratory_passes_oracle_independence_as_skipped() -> None:
    result = Scene("exploratory").judge(ORACLE)
    assert verdict(result) == "pass" and result.meta["skipped"] is True


def test_modes_of_ones_own_are_asked_for_what_the_table_says() -> None:
    own = EpistemicModeRequirementsInvariant(requirements={"audit": ("claims_map", "log")})
    run = Scene("audit").claims()
    assert verdict(run.judge(own)) == "fail"
    assert verdict(run.has("log", "x").judge(own)) == "pass"
    assert DEFAULT_MODE_REQUIREMENTS == {"factual": ("claims_map",), "mixed": ("claims_map",), "creative": ()}


# Claims


@pytest.mark.ours
def test_a_claims_map_that_is_too_deep_or_too_long_a_number_passes_nothing() -> None:
    for data in ("[" * 100_000, '{"claims":[' + "7" * 5000 + "]}"):
        for invariant in CLAIMING:
            assert verdict(Scene().has("claims_map", data).judge(invariant)) != "pass" or invariant is MODES


@pytest.mark.ours
def test_replacing_the_bytes_of_the_claims_map_helps_nobody() -> None:
    run = Scene().has("e", "e", kind="model:generated").claims(cites(ref("e"), confidence="high"))
    assert verdict(run.judge(CONFIDENCE)) == "fail"
    ((name,),) = run.store._conn.execute("select sha256 from blobs where content_type = 'application/json'").fetchall()
    run.edited("update blobs set data = ? where sha256 = ?", b'{"claims":[]}', name)
    for invariant in CLAIMING:
        if invariant is not MODES:
            assert verdict(run.judge(invariant)) == "fail", invariant.invariant_id


# The closed world


# The output


# Confidence


# Oracles


def test_the_least_class_comes_from_the_policy() -> None:
    own = OracleIndependenceInvariant(policy={("factual", "high"): 2, ("factual", "high", "medical"): 3})
    assert own.min_class_for("factual", "high") == 2
    assert own.min_class_for("factual", "high", "medical") == 3
    assert own.min_class_for("factual", "high", "other") == 2
    assert own.min_class_for("factual", "low") == 0
    assert OracleIndependenceInvariant().min_class_for("factual", "high") == 0
    assert DEFAULT_ORACLE_POLICY == {
        (mode, level): 0 for mode in ("factual", "mixed", "exploratory") for level in ("high", "medium", "low")
    }
    assert list(DEFAULT_ORACLE_POLICY)[:2] == [("factual", "high"), ("factual", "medium")]


# Tools


# Figures that programs read out of results

FIGURES: dict[str, tuple[Any, Callable[[], Scene], dict[str, Any]]] = {
    "how many evaluations, and what the last one evaluated": (
        EVALUATION,
        lambda: (
            Scene(None)
            .evaluated("warn")
            .evaluated("pass", {"verdict": "pass"}, {"invariant_id": "y", "verdict": "pass"})
        ),
        {"evaluation_count": 2, "invariants_evaluated": ["y"]},
    ),
    "the verdict of the ending": (
        ENDING,
        lambda: Scene(None).evaluated("fail").ended("fail"),
        {"overall_verdict": "fail"},
    ),
    "how many claims are bound": (
        BINDING,
        lambda: claiming(cites(ref("e")), cites(ref("e"))),
        {"mode": "factual", "claim_count": 2},
    ),
    "how many claims there were where one is unbound": (
        BINDING,
        lambda: claiming(cites(ref("e")), cites()),
        {"mode": "factual", "claim_count": 2},
    ),
    "what a mode misses": (MODES, Scene, {"mode": "factual", "missing": ["claims_map"]}),
    "which calls have no trace": (
        TOOLS,
        lambda: Scene().claims({"tool_call_ids": ["t2", "t1"]}),
        {"mode": "factual", "required_ids": ["t1", "t2"]},
    ),
    "what is outside": (CLOSED, lambda: Scene().claims(cites(ref("x"))), {"mode": "factual", "orphans": [ref("x")]}),
    "how many refs are inside": (
        CLOSED,
        lambda: claiming(cites(ref("e"), "event://r1/1")),
        {"mode": "factual", "refs_checked": 1},
    ),
    "the keys in the order they were put in": (
        ReceiptCompletenessInvariant(),
        lambda: Scene(None).has("k", "1").has("j", "2").has("k", "3"),
        {"found_keys": ["k", "j"]},
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_results_carry_their_figures(name: str) -> None:
    invariant, story, figures = FIGURES[name]
    meta = story().judge(invariant).meta
    assert {key: meta.get(key) for key in figures} == figures


def test_evidence_refs_of_a_binding_are_sorted_and_each_stands_once() -> None:
    run = Scene().has("a", "1").has("b", "2").claims(cites(ref("2"), ref("1"), ref("1")), cites(ref("2")))
    assert run.judge(BINDING).evidence_refs == sorted({ref("1"), ref("2")})


MESSAGES: dict[str, tuple[Any, Callable[[], Scene], str]] = {
    "no end": (ONCE, Scene, "Run has no RUN_FINALIZE event"),
    "no finalize": (ENDING, Scene, "No RUN_FINALIZE event found in run"),
    "missing key": (RECEIPT, Scene, "Required evidence key 'k' not found in EVIDENCE_PUT events"),
    "mode": (MODES, Scene, "mode=factual missing required evidence: ['claims_map']"),
    "outside": (CLOSED, lambda: Scene().claims(cites(ref("x"))), "claims reference 1 blob(s) not produced by this run"),
    "no output": (OUTPUT, Scene, "final_output evidence blob required in factual/mixed mode"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_findings_say_what_they_always_said(name: str) -> None:
    invariant, story, message = MESSAGES[name]
    result = story().judge(invariant)
    assert verdict(result) == "fail"
    (reason,) = result.reasons
    assert reason.msg == message
    assert reason.pointers == ((ref("x"),) if name == "outside" else ())


# Malformed things


REPLACEMENTS: list[Any] = [None, [], "x", "", 5, True, {"x": 1}, 1.5, [[[[]]]], [None]]
MEMBERS = ["payload", "refs", "actor", "policy", "stage", "ts", "event_schema_version", "event_type"]


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield from spots(inner, (*path, step))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def retold(envelopes: list[dict[str, Any]], from_store: SqliteReceiptStore) -> Scene:
    """The same events and blobs again, as they are."""
    run = empty()
    for row in from_store._conn.execute("select * from blobs").fetchall():
        run.edited(f"insert into blobs values ({', '.join('?' * len(row))})", *row)
    return run.forged(*envelopes)


@pytest.mark.ours
def test_no_malformed_event_makes_an_invariant_raise_and_what_matters_does_not_pass() -> None:
    run = good()
    events = run.store.get_events("r1")
    tried = passed = 0
    for index, event in enumerate(events):
        paths = [path for path in spots(event) if path[0] in MEMBERS]
        for path in paths:
            for new in REPLACEMENTS:
                mutant = retold([*events[:index], replaced(event, path, new), *events[index + 1 :]], run.store)
                results = [mutant.judge(invariant) for invariant in STRUCTURAL + CLAIMING]
                native = receipt_kernel.evaluate(mutant.store, "r1")["overall_verdict"]
                mutant.store.close()
                tried += 1
                passed += native == "pass" and all(result.verdict is Verdict.PASS for result in results)
                if (
                    path[0] in ("payload", "refs", "event_schema_version", "event_type")
                    and len(path) == 1
                    and not isinstance(new, dict)
                ):
                    assert native in ("fail", "unknown"), (index, path, new)
    assert tried > 1500 and passed < tried // 2, (tried, passed)


@pytest.mark.ours
@pytest.mark.parametrize("key", ["claims_map", "tool_trace"])
def test_no_malformed_document_makes_an_invariant_raise(key: str) -> None:
    run = good()
    sha256 = _helpers.get_evidence_blob_sha(run.store, "r1", key)
    document = json.loads(run.store.get_blob(sha256) or b"")  # type: ignore[arg-type]
    for path in [(), *spots(document)]:
        for new in REPLACEMENTS:
            mutant = good().has(key, canonical_json(replaced(document, path, new)))
            for invariant in STRUCTURAL + CLAIMING:
                mutant.judge(invariant)
            mutant.store.close()


# The helpers


def helped() -> Scene:
    return (
        Scene("Factual")
        .has("t", "1", kind="tool:trace", oracle_class=1)
        .has("map", {"claims": []})
        .has("bad", "{")
        .has("list", [1])
        .has("t", "2", kind="model:self_report")
    )


def test_helpers_read_what_a_run_put() -> None:
    run = helped()
    store = run.store
    assert _helpers.get_run_mode(store, "r1") == "factual" and _helpers.get_run_mode(store, "nope") is None
    found = _helpers.find_evidence_by_key(store, "r1", "t")
    assert found is not None and found["sha256"] == sha("2")
    assert _helpers.find_evidence_by_key(store, "r1", "nope") is None
    assert _helpers.get_evidence_blob_sha(store, "r1", "t") == sha("2")
    assert _helpers.get_evidence_blob_sha(store, "r1", "nope") is None
    assert _helpers.load_evidence_json(store, "r1", "map") == {"claims": []}
    assert _helpers.load_evidence_json(store, "r1", "list") == [1]
    assert _helpers.load_evidence_json(store, "r1", "bad") is None
    assert _helpers.load_evidence_json(store, "r1", "nope") is None
    assert _helpers.build_blob_kind_map(store, "r1") == {ref("1"): "tool:trace", ref("2"): "model:self_report"}
    assert _helpers.build_blob_class_map(store, "r1") == {ref("1"): 1}
    assert _helpers.collect_run_blob_refs(store, "r1") >= {ref("1"), ref("2"), ref("{")}
    assert type(_helpers.collect_run_blob_refs(store, "r1")) is set


@pytest.mark.parametrize(
    "text, expected",
    [
        ("blob://sha256:" + "a" * 64, "a" * 64),
        ("blob://md5:00", None),
        ("x", None),
        ("", None),
        (None, None),
        (5, None),
        ("BLOB://sha256:aa", None),
    ],
)
def test_a_blob_ref_is_parsed(text: Any, expected: str | None) -> None:
    assert _helpers.parse_blob_ref(text) == expected


def test_the_package_of_invariants_names_thirteen() -> None:
    assert len(of_package.__all__) == 13 == len({getattr(of_package, name).invariant_id for name in of_package.__all__})
