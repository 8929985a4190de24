"""What single invariants ask, and the figures and texts that programs read out of their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers import verdict
from receipt_kernel import invariants as of_package
from receipt_kernel.invariants import (
    EpistemicModeRequirementsInvariant,
    EvaluationCompletenessInvariant,
    FinalizationCompletenessInvariant,
    OracleIndependenceInvariant,
    ReceiptCompletenessInvariant,
    RefsClosedWorldInvariant,
    StageRequiredPathInvariant,
    ToolTraceConsistencyInvariant,
    _helpers,
)
from receipt_kernel.invariants.epistemic_mode_requirements import DEFAULT_MODE_REQUIREMENTS
from receipt_kernel.invariants.oracle_independence import DEFAULT_ORACLE_POLICY
from scenes import (
    BINDING,
    CLAIMING,
    CLOSED,
    CONFIDENCE,
    ENDING,
    EVALUATION,
    MODES,
    ONCE,
    ORACLE,
    OUTPUT,
    RECEIPT,
    Scene,
    TOOLS,
    check,
    cites,
    claiming,
    empty,
    ref,
    sha,
)

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
