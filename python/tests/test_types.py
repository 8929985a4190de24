"""Names, signatures, enums and dataclasses: what a program written for 0.1.0 imports."""

from __future__ import annotations

import copy
import dataclasses
import enum
import importlib
import inspect
import pickle
from typing import Any

import pytest

import receipt_kernel
from receipt_kernel import types
from receipt_kernel.types import (
    EVENT_SCHEMA_VERSION,
    KIND_TO_STRENGTH,
    VALID_EVENT_TYPES,
    BlobRef,
    BlobState,
    EvidenceClass,
    EvidenceStrength,
    InvariantResult,
    Reason,
    RetentionPolicy,
    Verdict,
    strength_for_kind,
)

# Where each class is defined, and the other modules that name it.
HOMES: dict[str, tuple[str, list[str]]] = {
    "BlobRef": ("types", ["", "store_sqlite"]),
    "BlobState": ("types", ["", "store_sqlite", "retention"]),
    "EvidenceClass": ("types", ["", "store_sqlite", "retention"]),
    "EvidenceStrength": ("types", ["", "invariants.confidence_sanity"]),
    "RetentionPolicy": ("types", ["", "retention"]),
    "RedactionReport": ("redact", ["store_sqlite"]),
    "RedactionHit": ("redact", []),
    "StageGraph": ("stages", []),
    "SqliteReceiptStore": ("store_sqlite", []),
}
INVARIANTS = {
    "LedgerChainValidInvariant": ("ledger_chain_valid", "ledger.chain_valid"),
    "ReceiptCompletenessInvariant": ("receipt_completeness", "receipt.completeness"),
    "EvaluationCompletenessInvariant": ("evaluation_completeness", "evaluation.completeness"),
    "FinalizationCompletenessInvariant": ("finalization_completeness", "finalization.completeness"),
    "SingleFinalizeInvariant": ("run_shape", "run.single_finalize"),
    "StageRequiredPathInvariant": ("run_shape", "run.stage_required_path"),
    "ClaimsEvidenceBindingInvariant": ("claims_evidence_binding", "claims.evidence_binding"),
    "ToolTraceConsistencyInvariant": ("tool_trace_consistency", "tools.trace_consistency"),
    "EpistemicModeRequirementsInvariant": ("epistemic_mode_requirements", "epistemic.mode_requirements"),
    "RefsClosedWorldInvariant": ("refs_closed_world", "refs.closed_world"),
    "OutputBoundToClaimsInvariant": ("output_bound_to_claims", "output.bound_to_claims"),
    "ConfidenceSanityInvariant": ("confidence_sanity", "confidence.sanity"),
    "OracleIndependenceInvariant": ("oracle_independence", "oracle.independence_minimum"),
}
INVARIANT_MODULES = sorted({module for module, _ in INVARIANTS.values()})
for _name in ("InvariantResult", "Reason", "Verdict"):
    HOMES[_name] = ("types", ["", *(f"invariants.{module}" for module in INVARIANT_MODULES)])
for _name, (_module, _) in INVARIANTS.items():
    HOMES[_name] = (f"invariants.{_module}", ["invariants"])


def module(name: str) -> Any:
    return importlib.import_module(f"receipt_kernel.{name}" if name else "receipt_kernel")


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_class_is_one_object_by_every_path_to_it(name: str) -> None:
    home, others = HOMES[name]
    cls = getattr(module(home), name)
    assert cls.__module__ == f"receipt_kernel.{home}"
    assert cls.__qualname__ == name
    for other in others:
        assert getattr(module(other), name) is cls, other


FUNCTIONS = {
    "envelope": [
        "canonical_json",
        "compute_hash",
        "compute_hash_raw",
        "make_envelope",
        "seal_envelope",
        "verify_envelope_hash",
    ],
    "store_sqlite": ["canonical_json", "compute_hash", "compute_hash_raw", "redact", "seal_envelope"],
    "types": ["strength_for_kind"],
    "redact": ["redact"],
    "retention": ["compute_expiry_ts", "find_expired_blobs", "purge_expired", "make_envelope"],
    "invariants._helpers": [
        "build_blob_class_map",
        "build_blob_kind_map",
        "collect_run_blob_refs",
        "find_evidence_by_key",
        "get_evidence_blob_sha",
        "get_run_mode",
        "load_evidence_json",
        "parse_blob_ref",
    ],
}


@pytest.mark.parametrize("name, functions", FUNCTIONS.items())
def test_functions_are_where_they_were(name: str, functions: list[str]) -> None:
    for function in functions:
        assert callable(getattr(module(name), function)), function


def test_functions_are_one_object_by_every_path() -> None:
    envelope, store = module("envelope"), module("store_sqlite")
    for name in FUNCTIONS["store_sqlite"]:
        home = module("redact") if name == "redact" else envelope
        assert getattr(store, name) is getattr(home, name)
    assert module("retention").make_envelope is envelope.make_envelope
    assert module("invariants.refs_closed_world").get_run_mode is module("invariants._helpers").get_run_mode


def test_the_package_exports_what_it_did() -> None:
    names = [
        "BlobRef",
        "BlobState",
        "EvidenceClass",
        "EvidenceStrength",
        "InvariantResult",
        "Reason",
        "RetentionPolicy",
        "Verdict",
    ]
    assert set(names) <= set(receipt_kernel.__all__)
    assert isinstance(receipt_kernel.__version__, str)
    assert list(INVARIANTS) == module("invariants").__all__


def signature(of: Any) -> str:
    """Names, kinds and defaults of the parameters; annotations are left to the stubs."""
    found = inspect.signature(of)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


MODES = "(*, require_in_modes=('factual', 'mixed'))"
SIGNATURES = {
    "envelope.canonical_json": "(obj)",
    "envelope.compute_hash": "(data)",
    "envelope.compute_hash_raw": "(data)",
    "envelope.make_envelope": "(*, event_type, stage, policy_id, policy_version, stage_graph_id, actor_kind, "
    "actor_id, payload, blob_refs=None, event_refs=None, run_id='', seq=0, prev_event_hash=None, ts=None)",
    "envelope.seal_envelope": "(envelope)",
    "envelope.verify_envelope_hash": "(envelope)",
    "store_sqlite.SqliteReceiptStore.initialize_schema": "(self)",
    "store_sqlite.SqliteReceiptStore.close": "(self)",
    "store_sqlite.SqliteReceiptStore.ensure_run": "(self, run_id, policy_id, policy_version, stage_graph_id, meta=None)",
    "store_sqlite.SqliteReceiptStore.get_run": "(self, run_id)",
    "store_sqlite.SqliteReceiptStore.append_event": "(self, run_id, envelope)",
    "store_sqlite.SqliteReceiptStore.get_events": "(self, run_id, event_type=None)",
    "store_sqlite.SqliteReceiptStore.get_event_by_ref": "(self, ref)",
    "store_sqlite.SqliteReceiptStore.event_count": "(self, run_id)",
    "store_sqlite.SqliteReceiptStore.put_blob": "(self, data, *, content_type='application/octet-stream', "
    "kind='evidence', evidence_class='public')",
    "store_sqlite.SqliteReceiptStore.get_blob": "(self, sha256)",
    "store_sqlite.SqliteReceiptStore.get_blob_meta": "(self, sha256)",
    "store_sqlite.SqliteReceiptStore.has_blob": "(self, sha256)",
    "store_sqlite.SqliteReceiptStore.blob_is_live": "(self, sha256)",
    "types.BlobRef": "(ref, sha256, content_type, bytes_len, evidence_class='public')",
    "types.RetentionPolicy": "(public_ttl_seconds=2592000, sealed_ttl_seconds=604800, hash_retention_seconds=-1)",
    "types.RetentionPolicy.ttl_for_class": "(self, evidence_class)",
    "types.RetentionPolicy.from_dict": "(data)",
    "types.RetentionPolicy.to_dict": "(self)",
    "types.Reason": "(code, msg, pointers=())",
    "types.InvariantResult": "(invariant_id, verdict, reasons=<factory>, evidence_refs=<factory>, meta=<factory>)",
    "types.strength_for_kind": "(evidence_kind)",
    "stages.StageGraph": "(graph_id, transitions, initial_stage, terminal_stages)",
    "stages.StageGraph.validate_transition": "(self, from_stage, to_stage)",
    "stages.StageGraph.is_terminal": "(self, stage)",
    "stages.StageGraph.all_stages": "(self)",
    "stages.StageGraph.from_dict": "(data)",
    "redact.redact": "(data, content_type, evidence_class, original_hash='')",
    "redact.RedactionHit": "(pattern_name, offset, length, replacement)",
    "redact.RedactionReport": "(hits=<factory>, original_hash='', redacted=False)",
    "retention.compute_expiry_ts": "(created_at, evidence_class, policy)",
    "retention.find_expired_blobs": "(store, policy, now=None)",
    "retention.purge_expired": "(store, policy, now=None, *, dry_run=False, maintenance_run_id=None)",
    "invariants.LedgerChainValidInvariant": "()",
    "invariants.ReceiptCompletenessInvariant": "(required_keys=None, verify_blobs=True)",
    "invariants.EvaluationCompletenessInvariant": "(required_evidence_keys=None, required_invariants=(), "
    "verify_blobs=False, require_receipt_completeness_in_results=False)",
    "invariants.FinalizationCompletenessInvariant": "(require_decision_ref=False, allow_warn_as_success=True)",
    "invariants.SingleFinalizeInvariant": "()",
    "invariants.StageRequiredPathInvariant": "(required_path)",
    "invariants.ClaimsEvidenceBindingInvariant": MODES,
    "invariants.ToolTraceConsistencyInvariant": "(*, enforce_in_modes=('factual', 'mixed'))",
    "invariants.EpistemicModeRequirementsInvariant": "(*, requirements=None, allow_unknown_modes=False)",
    "invariants.RefsClosedWorldInvariant": MODES,
    "invariants.OutputBoundToClaimsInvariant": MODES,
    "invariants.ConfidenceSanityInvariant": MODES,
    "invariants.OracleIndependenceInvariant": "(*, require_in_modes=('factual', 'mixed'), policy=None)",
    "invariants.OracleIndependenceInvariant.min_class_for": "(self, mode, claim_level, scope=None)",
    "invariants._helpers.parse_blob_ref": "(ref)",
    "invariants._helpers.get_run_mode": "(store, run_id)",
    "invariants._helpers.find_evidence_by_key": "(store, run_id, key)",
    "invariants._helpers.get_evidence_blob_sha": "(store, run_id, key)",
    "invariants._helpers.load_evidence_json": "(store, run_id, key)",
    "invariants._helpers.build_blob_kind_map": "(store, run_id)",
    "invariants._helpers.build_blob_class_map": "(store, run_id)",
    "invariants._helpers.collect_run_blob_refs": "(store, run_id)",
}


def find(path: str) -> Any:
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            found = getattr(found, name)
        return found
    raise AssertionError(path)


@pytest.mark.parametrize("path, expected", SIGNATURES.items())
def test_signatures_are_those_of_old(path: str, expected: str) -> None:
    assert signature(find(path)) == expected


def test_the_store_is_made_with_the_arguments_of_old() -> None:
    # What this package adds comes behind, keyword-only, with a default.
    found = signature(find("store_sqlite.SqliteReceiptStore"))
    assert found.startswith("(db_path, *, redaction_enabled=True, custom_redactor=None")
    for parameter in list(inspect.signature(find("store_sqlite.SqliteReceiptStore")).parameters.values())[1:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


@pytest.mark.parametrize(
    "path", [path for path in SIGNATURES if path.startswith("invariants.") and path.endswith("Invariant")]
)
def test_every_invariant_has_an_id_and_evaluates_a_context(path: str) -> None:
    cls = find(path)
    assert cls.invariant_id == INVARIANTS[cls.__name__][1]
    assert signature(cls.evaluate) == "(self, ctx)"


@pytest.mark.parametrize(
    "cls, members",
    [
        (Verdict, {"PASS": "pass", "WARN": "warn", "FAIL": "fail", "UNKNOWN": "unknown"}),
        (EvidenceClass, {"PUBLIC": "public", "SEALED": "sealed"}),
        (EvidenceStrength, {"STRONG": "strong", "MEDIUM": "medium", "WEAK": "weak"}),
        (BlobState, {"LIVE": "live", "EXPIRED_HASH_ONLY": "expired_hash_only", "PURGED": "purged"}),
    ],
)
def test_enums_have_these_members_in_this_order(cls: type[enum.Enum], members: dict[str, str]) -> None:
    assert [(member.name, member.value) for member in cls] == list(members.items())
    for name, value in members.items():
        member = cls(value)
        assert member is cls[name] is getattr(cls, name)
        assert repr(member) == f"<{cls.__name__}.{name}: {value!r}>"
        assert str(member) == f"{cls.__name__}.{name}"
        assert member != value
        assert pickle.loads(pickle.dumps(member)) is member
    with pytest.raises(ValueError, match=f"'zz' is not a valid {cls.__name__}"):
        cls("zz")


def test_unknown_is_a_failure() -> None:
    assert [v.is_success() for v in Verdict] == [True, True, False, False]
    assert [v.is_failure() for v in Verdict] == [False, False, True, True]


STRENGTHS = {
    "strong": [
        "oracle:test_log",
        "oracle:pytest_log",
        "oracle:linter_output",
        "oracle:retrieval_bundle",
        "oracle:sandbox_exec",
        "oracle:static_analysis",
        "tool:trace",
        "tool:output",
    ],
    "medium": ["user:provided", "user:document", "model:summary"],
    "weak": ["model:self_report", "model:generated"],
}


def test_strength_comes_from_the_kind() -> None:
    expected = {kind: EvidenceStrength(strength) for strength, kinds in STRENGTHS.items() for kind in kinds}
    assert KIND_TO_STRENGTH == expected
    for kind, strength in expected.items():
        assert strength_for_kind(kind) is strength
    for other in ("", "x", "Oracle:test_log", "oracle:", " tool:trace", None):
        assert strength_for_kind(other) is EvidenceStrength.WEAK


def test_event_types_and_version() -> None:
    assert EVENT_SCHEMA_VERSION == 1 and type(EVENT_SCHEMA_VERSION) is int
    assert type(VALID_EVENT_TYPES) is frozenset
    assert VALID_EVENT_TYPES == {
        "RUN_START",
        "STAGE_ADVANCE",
        "EVIDENCE_PUT",
        "EVALUATION",
        "DECISION",
        "REMEDIATION",
        "RUN_FINALIZE",
        "BLOB_EXPIRE",
    }
    assert module("envelope").VALID_EVENT_TYPES is VALID_EVENT_TYPES
    assert module("store_sqlite").STORE_SCHEMA_VERSION == 1


REF = BlobRef("blob://sha256:aa", "aa", "text/plain", 3)
REPRS = [
    (
        REF,
        "BlobRef(ref='blob://sha256:aa', sha256='aa', content_type='text/plain', bytes_len=3, evidence_class='public')",
    ),
    (Reason("C", "m"), "Reason(code='C', msg='m', pointers=())"),
    (
        InvariantResult("x", Verdict.PASS),
        "InvariantResult(invariant_id='x', verdict=<Verdict.PASS: 'pass'>, reasons=[], evidence_refs=[], meta={})",
    ),
    (
        RetentionPolicy(),
        "RetentionPolicy(public_ttl_seconds=2592000, sealed_ttl_seconds=604800, hash_retention_seconds=-1)",
    ),
]


@pytest.mark.parametrize("value, expected", REPRS, ids=lambda value: type(value).__name__)
def test_dataclasses_show_compare_and_copy_as_of_old(value: Any, expected: str) -> None:
    assert repr(value) == expected
    assert dataclasses.is_dataclass(value)
    assert copy.deepcopy(value) == value and pickle.loads(pickle.dumps(value)) == value
    first = dataclasses.fields(value)[0].name
    assert dataclasses.replace(value, **{first: "other"}) != value
    assert value != dataclasses.astuple(value)


@pytest.mark.parametrize("value", [REF, Reason("C", "m", ("p",))], ids=lambda value: type(value).__name__)
def test_frozen_ones_refuse_a_change_and_can_be_keys(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "other")
    assert {value: 1}[copy.copy(value)] == 1


@pytest.mark.parametrize(
    "value", [InvariantResult("x", Verdict.PASS), RetentionPolicy()], ids=lambda value: type(value).__name__
)
def test_the_others_can_be_changed_and_are_no_keys(value: Any) -> None:
    setattr(value, dataclasses.fields(value)[0].name, "other")
    with pytest.raises(TypeError, match="unhashable type"):
        hash(value)


def test_lists_of_two_results_are_two_lists() -> None:
    one, two = InvariantResult("x", Verdict.PASS), InvariantResult("x", Verdict.PASS)
    one.reasons.append(Reason("C", "m"))
    one.meta["k"] = 1
    assert two.reasons == [] and two.meta == {} and one != two


def test_to_dict_is_plain_and_in_the_order_of_the_fields() -> None:
    assert REF.to_dict() == {
        "ref": "blob://sha256:aa",
        "sha256": "aa",
        "content_type": "text/plain",
        "bytes_len": 3,
        "evidence_class": "public",
    }
    assert Reason("C", "m", ("a", "b")).to_dict() == {"code": "C", "msg": "m", "pointers": ["a", "b"]}
    result = InvariantResult("x", Verdict.WARN, [Reason("C", "m", ("a",))], ["blob://x"], {"k": 1})
    assert result.to_dict() == {
        "invariant_id": "x",
        "verdict": "warn",
        "reasons": [{"code": "C", "msg": "m", "pointers": ["a"]}],
        "evidence_refs": ["blob://x"],
        "meta": {"k": 1},
    }
    for value in (REF, Reason("C", "m"), result, RetentionPolicy()):
        assert list(value.to_dict()) == [field.name for field in dataclasses.fields(value)]


def test_retention_policy_goes_to_a_dict_and_back() -> None:
    policy = RetentionPolicy(5, 6, 7)
    assert RetentionPolicy.from_dict(policy.to_dict()) == policy
    assert RetentionPolicy.from_dict({}) == RetentionPolicy()
    assert RetentionPolicy.from_dict({"public_ttl_seconds": 5, "other": 1}) == RetentionPolicy(public_ttl_seconds=5)
    assert policy.ttl_for_class(EvidenceClass.PUBLIC) == 5
    assert policy.ttl_for_class(EvidenceClass.SEALED) == 6


def test_all_of_types_is_importable_by_star() -> None:
    assert types.Verdict is Verdict
    names: dict[str, Any] = {}
    exec("from receipt_kernel import *", names)
    assert names["Verdict"] is Verdict


@pytest.mark.ours
def test_errors_are_value_errors_and_those_of_sqlite3_where_its_users_catch_them() -> None:
    import sqlite3

    assert issubclass(receipt_kernel.StoreError, ValueError) and issubclass(
        receipt_kernel.StoreError, sqlite3.OperationalError
    )
    assert issubclass(receipt_kernel.UnknownRunError, ValueError) and issubclass(
        receipt_kernel.UnknownRunError, sqlite3.IntegrityError
    )
    assert issubclass(receipt_kernel.LedgerError, ValueError)
    for warning in (receipt_kernel.PlaintextSealedWarning, receipt_kernel.RetentionWarning):
        assert issubclass(warning, UserWarning)


@pytest.mark.ours
def test_every_public_name_has_a_docstring() -> None:
    missing = []
    for name in ("", "envelope", "store_sqlite", "types", "stages", "redact", "retention", "invariants", *HOMES):
        owner = module(name) if name not in HOMES else getattr(module(HOMES[name][0]), name)
        if not inspect.getdoc(owner):
            missing.append(name)
        for member, value in vars(owner).items():
            ours = getattr(value, "__module__", None) or ""
            if (
                not member.startswith("_")
                and inspect.isroutine(value)
                and ours.startswith("receipt_kernel")
                and not inspect.getdoc(value)
            ):
                missing.append(f"{name}.{member}")
    assert missing == []
