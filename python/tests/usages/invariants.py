"""What the invariants say of ordinary and of odd runs."""

from __future__ import annotations

import collections
import json
import types
from typing import Any

from helpers import Recorder
from receipt_kernel import InvariantResult, Reason, Verdict
from receipt_kernel import invariants as all_invariants
from receipt_kernel.invariants import (
    ClaimsEvidenceBindingInvariant,
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    LedgerChainValidInvariant,
    ReceiptCompletenessInvariant,
    SingleFinalizeInvariant,
    StageRequiredPathInvariant,
    _helpers,
)
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import factual, judged, usage


@usage
def an_invariant_without_a_store(store: SqliteReceiptStore) -> Any:
    return judged(None, ClaimsEvidenceBindingInvariant())  # type: ignore[arg-type]


@usage
def a_structural_invariant_without_a_store(store: SqliteReceiptStore) -> Any:
    return SingleFinalizeInvariant().evaluate({}).verdict.value


@usage
def a_ledger_without_its_table(store: SqliteReceiptStore) -> Any:
    store._conn.execute("drop table events")
    return judged(store, SingleFinalizeInvariant())


@usage
def an_invariant_of_ones_own(store: SqliteReceiptStore) -> Any:
    class Reviewed:
        invariant_id = "mine.reviewed"

        def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
            found = ctx["store"].get_events(ctx["run_id"], "DECISION")
            verdict = Verdict.PASS if found else Verdict.FAIL
            return InvariantResult(self.invariant_id, verdict, [] if found else [Reason("NOT_REVIEWED", "nobody")])

    Recorder(store)
    return [Reviewed().evaluate({"store": store, "run_id": "r1"}).to_dict(), judged(store, Reviewed())]


@usage
def all_thirteen_of_a_good_run(store: SqliteReceiptStore) -> Any:
    factual(store)
    made = {"StageRequiredPathInvariant": (["START"],)}
    return [
        [name, *judged(store, getattr(all_invariants, name)(*made.get(name, ())))]
        for name in sorted(all_invariants.__all__)
    ]


@usage
def results_are_recorded_as_an_evaluation(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    results = [LedgerChainValidInvariant().evaluate({"store": store, "run_id": "r1"}).to_dict()]
    run.evaluation(results)
    return [json.loads(json.dumps(results)), judged(store, EvaluationCompletenessInvariant())]


@usage
def an_evaluation_with_free_words(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, (overall, results) in enumerate(
        [
            ("approved", [{"name": "lint", "ok": True}]),
            ("warn", [{"invariant_id": "x", "verdict": "fail"}]),
            ("pass", [{"invariant_id": "x", "verdict": "skipped"}]),
            ("pass", [{"invariant_id": "x", "verdict": "warn"}]),
            ("pass", [{"invariant_id": "x", "verdict": "fail"}]),
            ("PASS", [{"invariant_id": "x", "verdict": "FAIL"}]),
        ]
    ):
        run = Recorder(store, f"e{number}")
        run.evaluation(results, overall)
        seen.append(judged(store, EvaluationCompletenessInvariant(), run.run_id))
    return seen


@usage
def an_evaluation_that_is_incomplete(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, complete in enumerate([True, 1, [0], "yes", "false", False, None, 0]):
        run = Recorder(store, f"e{number}")
        run.evaluation(complete=complete)
        seen.append([complete, *judged(store, EvaluationCompletenessInvariant(), run.run_id)])
    return seen


@usage
def a_required_invariant_failed_under_a_warning(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation([{"invariant_id": "x", "verdict": "fail"}], "warn")
    return judged(store, EvaluationCompletenessInvariant(required_invariants=("x",)))


@usage
def an_ending_in_free_words(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, overall in enumerate(["done", "pass", "fail", "", None]):
        run = Recorder(store, f"f{number}")
        run.finalize(overall)
        seen.append([overall, *judged(store, FinalizationCompletenessInvariant(), run.run_id)])
    return seen


@usage
def an_ending_that_is_all_there_is(store: SqliteReceiptStore) -> Any:
    run = Recorder(store, start=False)
    run.finalize()
    return judged(store, FinalizationCompletenessInvariant())


@usage
def an_ending_that_refers_to_nothing(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize(event_refs=["event://elsewhere/99"])
    return judged(store, FinalizationCompletenessInvariant(require_decision_ref=True))


@usage
def an_ending_that_refers_to_the_start(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize(event_refs=["event://r1/1"])
    return judged(store, FinalizationCompletenessInvariant(require_decision_ref=True))


@usage
def a_warning_that_is_not_allowed(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.finalize("warn")
    return judged(store, FinalizationCompletenessInvariant(allow_warn_as_success=False))


@usage
def claims_of_every_kind(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, make in enumerate(
        [
            lambda ref, out: [],
            lambda ref, out: [{"id": "c", "evidence_refs": [out], "confidence": "low"}],
            lambda ref, out: [{"id": "c", "evidence_refs": [ref]}, {"id": "c", "evidence_refs": [ref]}],
            lambda ref, out: [{"id": "c", "evidence_refs": ["https://example.org/paper"]}],
            lambda ref, out: [{"id": "c", "evidence_refs": []}],
            lambda ref, out: [{"id": "c", "evidence_refs": [5]}],
            lambda ref, out: [{"id": "c", "evidence_refs": [ref], "confidence": "very high"}],
            lambda ref, out: [{"id": "c", "evidence_refs": [], "confidence": "medium"}],
            lambda ref, out: [{"id": "c", "evidence_refs": ["blob://sha256:" + "0" * 64], "confidence": "low"}],
        ]
    ):
        run = Recorder(store, f"c{number}")
        log, out = run.put("log", b"12 passed", kind="oracle:test_log"), run.put("final_output", b"the answer")
        run.put("claims_map", {"claims": make(log.ref, out.ref), "output_ref": out.ref})
        names = ("ClaimsEvidenceBindingInvariant", "ConfidenceSanityInvariant", "RefsClosedWorldInvariant")
        seen.append([judged(store, getattr(all_invariants, name)(), run.run_id) for name in names])
    return seen


@usage
def modes_of_ones_own(store: SqliteReceiptStore) -> Any:
    seen = []
    for mode in ("exploratory", "strict", "Factual", "creative", None):
        run = Recorder(store, f"m-{mode}", mode=mode)
        seen.append([mode, judged(store, ClaimsEvidenceBindingInvariant(), run.run_id)])
    return seen


@usage
def evidence_without_key_or_evidence(store: SqliteReceiptStore) -> Any:
    seen = []
    blob = store.put_blob(b"x").to_dict()
    for number, payload in enumerate(
        [
            {"key": "k"},
            {"evidence": blob},
            {},
            {"key": "k", "evidence": {}},
            {"key": "k", "evidence": {"ref": blob["ref"]}},
        ]
    ):
        run = Recorder(store, f"p{number}")
        run.event("EVIDENCE_PUT", payload)
        seen.append([judged(store, ReceiptCompletenessInvariant(keys), run.run_id) for keys in ([], ["k"])])
    return seen


@usage
def evidence_that_names_two_blobs(store: SqliteReceiptStore) -> Any:
    one, other = store.put_blob(b"x").to_dict(), store.put_blob(b"y").to_dict()
    Recorder(store).event("EVIDENCE_PUT", {"key": "k", "evidence": {**one, "ref": other["ref"]}})
    return judged(store, ReceiptCompletenessInvariant())


@usage
def a_stage_that_contradicts_its_payload(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("STAGE_ADVANCE", {"from_stage": "X", "to_stage": "Y", "reason": ""}, stage="COLLECT")
    return judged(store, StageRequiredPathInvariant(["START", "COLLECT"]))


@usage
def a_path_that_asks_for_nothing(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    return judged(store, StageRequiredPathInvariant([]))


@usage
def an_invariant_is_wrapped(store: SqliteReceiptStore) -> Any:
    class Lenient(SingleFinalizeInvariant):
        invariant_id = "mine.lenient"

        def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
            result = super().evaluate(ctx)
            if result.verdict is Verdict.FAIL:
                result.verdict = Verdict.WARN
                result.meta["was"] = "fail"
            result.invariant_id = self.invariant_id
            return result

    Recorder(store)
    return Lenient().evaluate({"store": store, "run_id": "r1"}).to_dict()


@usage
def an_invariant_uses_the_helpers(store: SqliteReceiptStore) -> Any:
    factual(store)
    mode = _helpers.get_run_mode(store, "r1")
    sha256 = _helpers.get_evidence_blob_sha(store, "r1", "claims_map")
    claims = _helpers.load_evidence_json(store, "r1", "claims_map")
    kinds = sorted(_helpers.build_blob_kind_map(store, "r1").values())
    found = _helpers.find_evidence_by_key(store, "r1", "log")
    refs = _helpers.collect_run_blob_refs(store, "r1")
    return [
        mode,
        sha256,
        claims,
        kinds,
        found,
        sorted(refs),
        _helpers.build_blob_class_map(store, "r1"),
        _helpers.parse_blob_ref("x"),
    ]


@usage
def the_worst_of_many_results(store: SqliteReceiptStore) -> Any:
    factual(store)
    order = [Verdict.PASS, Verdict.WARN, Verdict.UNKNOWN, Verdict.FAIL]
    ctx = {"store": store, "run_id": "r1"}
    checks = (LedgerChainValidInvariant(), ReceiptCompletenessInvariant(["log", "missing"]), SingleFinalizeInvariant())
    results = [check.evaluate(ctx) for check in checks]
    worst = max((result.verdict for result in results), key=order.index)
    return [
        worst.value,
        all(result.verdict.is_success() for result in results),
        [result.to_dict() for result in results],
    ]


@usage
def a_context_is_any_mapping(store: SqliteReceiptStore) -> Any:
    factual(store)
    plain = {"store": store, "run_id": "r1", "more": 1}
    contexts: tuple[Any, ...] = (
        types.MappingProxyType(plain),
        collections.ChainMap({}, plain),
        collections.UserDict(plain),
        collections.defaultdict(str, plain),
    )
    checks = (LedgerChainValidInvariant(), ClaimsEvidenceBindingInvariant())
    return [[check.evaluate(ctx).verdict.value for check in checks] for ctx in contexts]


@usage
def an_invariant_is_asked_twice(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    check, ctx = SingleFinalizeInvariant(), {"store": store, "run_id": "r1"}
    first = check.evaluate(ctx)
    run.finalize()
    second = check.evaluate(ctx)
    return [first.to_dict(), second.to_dict(), check.evaluate(ctx) == second]


@usage
def what_invariants_are_called(store: SqliteReceiptStore) -> Any:
    return [[name, getattr(all_invariants, name).invariant_id] for name in sorted(all_invariants.__all__)]


@usage
def an_invariant_shows_what_it_was_made_with(store: SqliteReceiptStore) -> Any:
    made: list[Any] = [
        ReceiptCompletenessInvariant(["log"], verify_blobs=False),
        StageRequiredPathInvariant(["START", "COLLECT"]),
        EvaluationCompletenessInvariant(["log"], ("x",)),
        FinalizationCompletenessInvariant(True, False),
    ]
    return [sorted(vars(check)) for check in made]


@usage
def a_run_without_events(store: SqliteReceiptStore) -> Any:
    made: dict[str, Any] = {"StageRequiredPathInvariant": (["START"],)}
    names = sorted(all_invariants.__all__)
    return [[name, *judged(store, getattr(all_invariants, name)(*made.get(name, ())), "nobody")] for name in names]


def by_all(store: SqliteReceiptStore) -> Any:
    """The answer of each invariant of the package."""
    made: dict[str, Any] = {"StageRequiredPathInvariant": (["START", "FINALIZE"],)}
    names = sorted(all_invariants.__all__)
    return [[name, *judged(store, getattr(all_invariants, name)(*made.get(name, ())))] for name in names]


@usage
def a_creative_run_is_asked_for_nothing(store: SqliteReceiptStore) -> Any:
    run = Recorder(store, mode="creative")
    run.put("final_output", b"a poem")
    run.evaluation()
    run.finalize()
    return by_all(store)


@usage
def a_mixed_run_with_tools(store: SqliteReceiptStore) -> Any:
    run = Recorder(store, mode="mixed")
    tool = run.put("tool", b"42", kind="tool:output")
    run.put("tool_trace", {"calls": [{"id": "t1", "ok": True, "output_ref": tool.ref}]}, kind="tool:trace")
    out = run.put("final_output", b"it is 42")
    claim = {"id": "c", "evidence_refs": [tool.ref], "confidence": "high", "tool_call_ids": ["t1"]}
    run.put("claims_map", {"claims": [claim], "output_ref": out.ref, "output_sha256": out.sha256})
    run.evaluation()
    run.finalize()
    return by_all(store)


@usage
def a_tool_that_is_not_in_the_trace(store: SqliteReceiptStore) -> Any:
    seen = []
    for mode in ("factual", "mixed"):
        run = Recorder(store, mode, mode=mode)
        log = run.put("log", b"x", kind="oracle:test_log", oracle_class=1)
        out = run.put("final_output", b"y")
        run.put("tool_trace", {"calls": [{"id": "other", "ok": True, "output_ref": log.ref}]})
        claim = {"id": "c", "evidence_refs": [log.ref], "confidence": "medium", "tool_call_ids": ["t1"]}
        run.put("claims_map", {"claims": [claim], "output_ref": out.ref})
        seen.append(judged(store, all_invariants.ToolTraceConsistencyInvariant(), run.run_id))
    return seen


@usage
def modes_have_requirements_of_ones_own(store: SqliteReceiptStore) -> Any:
    check = all_invariants.EpistemicModeRequirementsInvariant(
        requirements={"audit": ("log",)}, allow_unknown_modes=True
    )
    seen = []
    for mode in ("audit", "other", "factual"):
        run = Recorder(store, mode, mode=mode)
        seen.append(judged(store, check, mode))
        run.put("log", b"x")
        seen.append(judged(store, check, mode))
    return seen


@usage
def an_oracle_below_its_policy(store: SqliteReceiptStore) -> Any:
    factual(store)
    seen = []
    for policy in (None, {("factual", "high"): 1}, {("factual", "high"): 2}, {("factual", "medium"): 3}):
        seen.append(judged(store, all_invariants.OracleIndependenceInvariant(policy=policy)))
    return seen


@usage
def a_decision_is_referred_to(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation()
    decided = run.event("DECISION", {"decision_id": "d", "basis": [], "action_plan": ""}, stage="DECIDE")
    run.finalize(event_refs=[decided])
    return judged(store, FinalizationCompletenessInvariant(require_decision_ref=True))


@usage
def the_stages_of_a_path(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    for before, after in zip(("START", "COLLECT", "EVALUATE"), ("COLLECT", "EVALUATE", "DECIDE")):
        run.advance(after, before)
    paths = (["START", "COLLECT", "EVALUATE", "DECIDE"], ["START", "DECIDE"], ["DECIDE", "START"], ["REMEDIATE"])
    return [judged(store, StageRequiredPathInvariant(path)) for path in paths]
