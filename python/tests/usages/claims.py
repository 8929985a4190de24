"""What the invariants say of odd evidence, claims, outputs, oracles and tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers import Recorder
from receipt_kernel import RetentionPolicy
from receipt_kernel import invariants as all_invariants
from receipt_kernel.invariants import (
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    OracleIndependenceInvariant,
    OutputBoundToClaimsInvariant,
    ReceiptCompletenessInvariant,
    RefsClosedWorldInvariant,
    ToolTraceConsistencyInvariant,
)
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import LATER, judged, usage

CLAIMING = (
    "ClaimsEvidenceBindingInvariant",
    "ConfidenceSanityInvariant",
    "RefsClosedWorldInvariant",
    "OutputBoundToClaimsInvariant",
)


def each(store: SqliteReceiptStore, invariant: Any, scenes: list[Callable[[Recorder], Any]]) -> Any:
    """What an invariant says of several runs."""
    seen = []
    for number, scene in enumerate(scenes):
        run = Recorder(store, f"s{number}")
        scene(run)
        seen.append(judged(store, invariant, run.run_id))
    return seen


def claims(run: Recorder, *given: Any, **more: Any) -> None:
    out = run.put("final_output", b"the answer of " + run.run_id.encode())
    run.put("claims_map", {"claims": list(given), "output_ref": out.ref, **more})


@usage
def a_missing_blob_behind_a_later_put(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    blob = run.put("log", b"12 passed")
    run.name("log", {})
    run.sql("delete from blobs where sha256 = ?", (blob.sha256,))
    return judged(store, ReceiptCompletenessInvariant(["log"]))


@usage
def a_key_that_is_put_twice(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    blob = run.put("log", b"12 passed")
    run.put("log", b"13 passed")
    kept = judged(store, ReceiptCompletenessInvariant(["log"]))
    run.sql("delete from blobs where sha256 = ?", (blob.sha256,))
    return [kept, judged(store, ReceiptCompletenessInvariant(["log"]))]


@usage
def a_length_that_is_not_the_blobs(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x").to_dict()
    Recorder(store).name("log", {**blob, "bytes_len": 7})
    return judged(store, ReceiptCompletenessInvariant(["log"]))


@usage
def an_evaluation_is_asked_for_evidence(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.put("log", b"x")
    run.evaluation()
    return [
        judged(store, EvaluationCompletenessInvariant(["log"])),
        judged(store, EvaluationCompletenessInvariant(["missing"])),
        judged(store, EvaluationCompletenessInvariant(require_receipt_completeness_in_results=True)),
        judged(store, EvaluationCompletenessInvariant(required_invariants=("x",))),
    ]


@usage
def an_evaluation_is_made_again(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation([{"invariant_id": "x", "verdict": "fail"}], "fail")
    run.evaluation()
    return judged(store, EvaluationCompletenessInvariant())


@usage
def results_of_every_form(store: SqliteReceiptStore) -> Any:
    given: tuple[Any, ...] = (
        [None],
        "text",
        [5],
        {},
        [{"invariant_id": "x"}],
        [{"verdict": "pass"}],
        [{"invariant_id": ["x"], "verdict": "pass"}],
    )
    seen: list[Any] = []
    for number, results in enumerate(given):
        run = Recorder(store, f"e{number}")
        run.event(
            "EVALUATION", {"results": results, "overall_verdict": "pass", "evidence_complete": True}, stage="EVALUATE"
        )
        try:
            seen.append(judged(store, EvaluationCompletenessInvariant(), run.run_id))
        except (TypeError, AttributeError) as error:
            seen.append(type(error).__name__)
    return seen


@usage
def a_success_after_a_failed_evaluation(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation([{"invariant_id": "x", "verdict": "fail"}], "fail")
    run.finalize("pass")
    return judged(store, FinalizationCompletenessInvariant())


@usage
def two_starts_in_two_modes(store: SqliteReceiptStore) -> Any:
    run = Recorder(store, mode="creative")
    run.event("RUN_START", {"meta": {"mode": "factual"}})
    return [judged(store, getattr(all_invariants, name)()) for name in CLAIMING]


@usage
def a_mode_with_a_blank(store: SqliteReceiptStore) -> Any:
    Recorder(store, mode="factual ")
    return [
        judged(store, getattr(all_invariants, name)()) for name in (*CLAIMING, "EpistemicModeRequirementsInvariant")
    ]


@usage
def claims_maps_of_every_form(store: SqliteReceiptStore) -> Any:
    seen: list[Any] = []
    for number, text in enumerate(
        [
            b"no json",
            b"[]",
            b"5",
            b"null",
            b'{"claims": 5}',
            b'{"claims": [5]}',
            b'{"claims": [{"id": 1}], "claims": []}',
        ]
    ):
        run = Recorder(store, f"m{number}")
        run.put("claims_map", text)
        row: list[Any] = []
        for name in CLAIMING:
            try:
                row.append(judged(store, getattr(all_invariants, name)(), run.run_id))
            except (TypeError, AttributeError) as error:
                row.append(type(error).__name__)
        seen.append(row)
    return seen


@usage
def a_claims_map_after_the_end(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    log = run.put("log", b"x")
    claims(run, {"id": "c", "evidence_refs": ["blob://sha256:" + "0" * 64], "confidence": "high"})
    run.evaluation()
    run.finalize()
    before = [judged(store, getattr(all_invariants, name)())[0] for name in CLAIMING]
    claims(run, {"id": "c", "evidence_refs": [log.ref], "confidence": "medium"})
    return [before, [judged(store, getattr(all_invariants, name)()) for name in CLAIMING]]


@usage
def refs_that_are_no_blobs_of_the_run(store: SqliteReceiptStore) -> Any:
    other = store.put_blob(b"of nobody")

    def cites(*refs: Any) -> Callable[[Recorder], Any]:
        return lambda run: claims(run, {"id": "c", "evidence_refs": list(refs), "confidence": "medium"})

    def named_only(run: Recorder) -> None:
        run.event("EVIDENCE_PUT", {"key": "k", "evidence": store.put_blob(b"y").to_dict()}, blob_refs=[other.ref])
        cites(other.ref)(run)

    def put_later(run: Recorder) -> None:
        cites(other.ref)(run)
        run.name("late", other.to_dict())

    scenes: list[Callable[[Recorder], Any]] = [
        cites("https://example.org"),
        cites("event://s1/1"),
        cites("event://nobody/1"),
        cites(""),
        cites(other.ref),
        named_only,
        put_later,
    ]
    return each(store, RefsClosedWorldInvariant(), scenes)


@usage
def outputs_of_every_form(store: SqliteReceiptStore) -> Any:
    def said(**more: Any) -> Callable[[Recorder], Any]:
        return lambda run: claims(run, **more)

    def gone(run: Recorder) -> None:
        out = run.put("final_output", b"soon gone")
        run.put("claims_map", {"claims": [], "output_ref": out.ref})
        run.sql("delete from blobs where sha256 = ?", (out.sha256,))

    scenes = [
        said(),
        said(output_sha256="0" * 64),
        said(output_ref="blob://sha256:" + "0" * 64),
        said(output_ref=None),
        gone,
    ]
    return each(store, OutputBoundToClaimsInvariant(), scenes)


@usage
def oracle_classes_of_every_form(store: SqliteReceiptStore) -> Any:
    def oracle(value: Any, kind: str = "oracle:test_log") -> Callable[[Recorder], Any]:
        def scene(run: Recorder) -> None:
            log = run.put("log", b"x" + run.run_id.encode(), kind=kind, oracle_class=value)
            claims(run, {"id": "c", "evidence_refs": [log.ref], "confidence": "high"})

        return scene

    scenes = [oracle(value) for value in (1, True, 99, 1.0, "1", -1, None, 0)]
    scenes += [oracle(3, "model:self_report"), oracle(3, "tool:output")]
    return each(store, OracleIndependenceInvariant(policy={("factual", "high"): 1}), scenes)


@usage
def a_blob_that_is_put_again_as_something_better(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    weak = run.put("a", b"said by a model", kind="model:self_report", oracle_class=0)
    run.name("b", weak.to_dict(), kind="oracle:test_log", oracle_class=3)
    claims(run, {"id": "c", "evidence_refs": [weak.ref], "confidence": "high"})
    least = OracleIndependenceInvariant(policy={("factual", "high"): 2})
    return [judged(store, check) for check in (all_invariants.ConfidenceSanityInvariant(), least)]


@usage
def words_for_confidence(store: SqliteReceiptStore) -> Any:
    def sure(word: Any) -> Callable[[Recorder], Any]:
        def scene(run: Recorder) -> None:
            log = run.put("log", b"x", kind="model:self_report")
            strong = run.put("test", b"y", kind="oracle:test_log")
            claims(
                run,
                {"id": "c", "evidence_refs": [log.ref], "confidence": word},
                {"id": "d", "evidence_refs": [strong.ref], "confidence": "medium"},
            )

        return scene

    words = ("high", "HIGH", "high ", "very high", "certain", 0.99, ["high"], "medium", "low", "unspecified", "", None)
    return each(store, all_invariants.ConfidenceSanityInvariant(), [sure(word) for word in words])


@usage
def calls_of_tools_of_every_form(store: SqliteReceiptStore) -> Any:
    def called(ids: Any, *calls: dict[str, Any]) -> Callable[[Recorder], Any]:
        def scene(run: Recorder) -> None:
            out = run.put("out", b"42", kind="tool:output")
            made = [{"ok": True, "output_ref": out.ref, **call} for call in calls]
            run.put("tool_trace", {"calls": made})
            claims(run, {"id": "c", "evidence_refs": [out.ref], "confidence": "medium", "tool_call_ids": ids})

        return scene

    one = {"id": "t1"}
    scenes = [
        called(["t1"], one),
        called(["t1"], {**one, "ok": False}),
        called(["t1"], one, {**one, "output_ref": "blob://sha256:" + "0" * 64}),
        called(["t1"], {**one, "output_sha256": "0" * 64}),
        called(["t1"], {**one, "output_ref": "https://example.org"}),
        called("t1", one),
        called([""], one),
        called([], one),
        called(None, one),
    ]
    return each(store, ToolTraceConsistencyInvariant(), scenes)


@usage
def the_output_of_a_tool_expires(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    out = run.put("out", b"42", kind="tool:output")
    run.sql("update blobs set evidence_class = 'sealed'")
    run.put("tool_trace", {"calls": [{"id": "t1", "ok": True, "output_ref": out.ref}]})
    claims(run, {"id": "c", "evidence_refs": [out.ref], "confidence": "medium", "tool_call_ids": ["t1"]})
    purge_expired(store, RetentionPolicy(-1, 0), LATER, maintenance_run_id="m")
    names = (*CLAIMING, "ToolTraceConsistencyInvariant")
    return [judged(store, getattr(all_invariants, name)()) for name in names]


@usage
def requirements_are_empty(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    return judged(store, all_invariants.EpistemicModeRequirementsInvariant(requirements={}))


@usage
def a_required_key_without_its_blob(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, evidence in enumerate([{"sha256": "zzz"}, {"sha256": ""}, {}]):
        run = Recorder(store, f"k{number}")
        run.name("claims_map", evidence)
        seen.append(judged(store, all_invariants.EpistemicModeRequirementsInvariant(), run.run_id))
    return seen


@usage
def evidence_whose_ref_alone_names_what_is_gone(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    blob = store.put_blob(b"x")
    run.name("log", {"ref": blob.ref})
    before = judged(store, ReceiptCompletenessInvariant(["log"]))
    run.sql("delete from blobs where sha256 = ?", (blob.sha256,))
    return [before, judged(store, ReceiptCompletenessInvariant(["log"]))]


@usage
def a_blob_under_a_claim_is_replaced(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    log = run.put("log", b"12 passed", kind="oracle:test_log", oracle_class=1)
    claims(run, {"id": "c", "evidence_refs": [log.ref], "confidence": "high"})
    run.sql("update blobs set data = ? where sha256 = ?", (b"12 failed", log.sha256))
    return [judged(store, getattr(all_invariants, name)()) for name in (*CLAIMING, "OracleIndependenceInvariant")]


@usage
def a_claims_map_with_nan(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.put("claims_map", b'{"claims": [], "score": NaN}')
    return [judged(store, getattr(all_invariants, name)()) for name in CLAIMING]
