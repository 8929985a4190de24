"""Subclasses, mocks, copies, and calls as other people's code makes them."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import importlib
import inspect
import io
import json
import logging
import pickle
import sqlite3
import types
import typing
import weakref
from typing import Any
from unittest import mock

import receipt_kernel
from helpers import Recorder, draft
from receipt_kernel import (
    BlobRef,
    BlobState,
    EvidenceClass,
    EvidenceStrength,
    InvariantResult,
    Reason,
    RetentionPolicy,
    Verdict,
)
from receipt_kernel import envelope as envelope_module
from receipt_kernel import invariants as all_invariants
from receipt_kernel import retention as retention_module
from receipt_kernel.envelope import compute_hash_raw, make_envelope
from receipt_kernel.invariants import (
    FinalizationCompletenessInvariant,
    LedgerChainValidInvariant,
    SingleFinalizeInvariant,
)
from receipt_kernel.redact import RedactionReport
from receipt_kernel.retention import purge_expired
from receipt_kernel.stages import DEFAULT_STAGE_GRAPH
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import LATER, factual, judged, sql, usage


@usage
def a_mixin_sees_each_call(store: SqliteReceiptStore) -> Any:
    calls: list[str] = []

    class Logged:
        def append_event(self, run_id: str, envelope: dict[str, Any]) -> str:
            calls.append("append " + envelope["event_type"])
            return super().append_event(run_id, envelope)  # type: ignore[misc, no-any-return]

        def put_blob(self, data: bytes, **named: Any) -> BlobRef:
            calls.append("put " + ",".join(sorted(named)))
            return super().put_blob(data, **named)  # type: ignore[misc, no-any-return]

    class Store(Logged, SqliteReceiptStore):  # type: ignore[misc]
        pass

    with contextlib.closing(Store(store.db_path)) as other:
        factual(other)
        purge_expired(other, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return calls


@usage
def a_subclass_sets_pragmas_when_it_opens(store: SqliteReceiptStore) -> Any:
    class Tuned(SqliteReceiptStore):
        def _ensure_conn(self) -> Any:
            super()._ensure_conn()
            self._conn.execute("pragma cache_size = -4000")

    with contextlib.closing(Tuned(store.db_path)) as other:
        other.initialize_schema()
        Recorder(other)
        other._ensure_conn()
        return [sql(other, "pragma cache_size"), other.event_count("r1")]


@usage
def a_subclass_is_a_context_manager_of_its_own(store: SqliteReceiptStore) -> Any:
    class Managed(SqliteReceiptStore):
        def __enter__(self) -> Any:
            self.initialize_schema()
            return self

        def __exit__(self, *exc: object) -> bool:
            self.close()
            return True

    with Managed("managed.db") as other:
        Recorder(other)
        raise ZeroDivisionError
    return other.event_count("r1")


@usage
def a_subclass_answers_for_references(store: SqliteReceiptStore) -> Any:
    asked: list[str] = []

    class Elsewhere(SqliteReceiptStore):
        def get_blob(self, sha256: str) -> bytes | None:
            asked.append("blob")
            return super().get_blob(sha256) or (
                b"from elsewhere" if sha256 == compute_hash_raw(b"from elsewhere") else None
            )

        def has_blob(self, sha256: str) -> bool:
            asked.append("has")
            return self.get_blob(sha256) is not None

        def blob_is_live(self, sha256: str) -> bool:
            return self.has_blob(sha256)

    with contextlib.closing(Elsewhere(store.db_path)) as other:
        run = Recorder(other)
        sha256 = compute_hash_raw(b"from elsewhere")
        ref = BlobRef(f"blob://sha256:{sha256}", sha256, "text/plain", 14)
        run.name("log", ref.to_dict())
        from receipt_kernel.invariants import ReceiptCompletenessInvariant

        return [judged(other, ReceiptCompletenessInvariant(["log"])), len(asked) > 0]


@usage
def a_mock_stands_for_the_store(store: SqliteReceiptStore) -> Any:
    fake = mock.MagicMock(spec=SqliteReceiptStore)
    fake.get_events.return_value = [{"event_type": "RUN_FINALIZE", "seq": 1, "stage": "FINALIZE", "payload": {}}]
    answer = judged(fake, SingleFinalizeInvariant())
    return [answer, [list(call.args) for call in fake.get_events.call_args_list][:1]]


@usage
def a_plain_object_stands_for_the_store(store: SqliteReceiptStore) -> Any:
    factual(store)
    fake = types.SimpleNamespace(get_events=store.get_events, get_event_by_ref=store.get_event_by_ref)
    return judged(fake, SingleFinalizeInvariant())  # type: ignore[arg-type]


@usage
def a_mock_of_the_store_is_called_as_the_store_is(store: SqliteReceiptStore) -> Any:
    fake = mock.create_autospec(SqliteReceiptStore, instance=True)
    fake.append_event("r1", draft())
    fake.put_blob(b"x", content_type="text/plain", kind="evidence", evidence_class="public")
    seen = []
    for call in (lambda: fake.append_event(), lambda: fake.put_blob(b"x", "text/plain"), lambda: fake.nothing()):
        try:
            call()
            seen.append("taken")
        except (TypeError, AttributeError) as error:
            seen.append(type(error).__name__)
    return seen


@usage
def what_makes_envelopes_is_patched_in_retention(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"x")
    with mock.patch.object(retention_module, "make_envelope", wraps=make_envelope) as made:
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return [[call.kwargs["event_type"], call.kwargs["actor_id"]] for call in made.call_args_list]


@usage
def the_clock_is_a_plain_mock(store: SqliteReceiptStore) -> Any:
    with mock.patch.object(envelope_module, "datetime") as clock:
        clock.now.return_value.isoformat.return_value = "2026-01-01T00:00:00+00:00"
        made = draft(ts=None)
    return [made["ts"], clock.now.call_count]


@usage
def the_clock_of_the_store_is_a_plain_mock(store: SqliteReceiptStore) -> Any:
    with mock.patch("receipt_kernel.store_sqlite.datetime") as clock:
        clock.now.return_value.isoformat.return_value = "2026-01-01T00:00:00+00:00"
        store.ensure_run("r1", "p", "1", "g")
        store.append_event("r1", draft())
        store.put_blob(b"x")
    return [sql(store, f"select created_at from {table}") for table in ("runs", "events", "blobs")]


@usage
def the_clock_of_retention_is_patched(store: SqliteReceiptStore) -> Any:
    import datetime as real

    store.put_blob(b"x")
    with mock.patch.object(retention_module, "datetime", wraps=real.datetime) as clock:
        clock.now.return_value = real.datetime(2099, 1, 1, tzinfo=real.timezone.utc)
        found = retention_module.find_expired_blobs(store, RetentionPolicy())
    return len(found)


@usage
def a_store_is_a_parameter_of_a_partial(store: SqliteReceiptStore) -> Any:
    append = functools.partial(store.append_event, "r1")
    store.ensure_run("r1", "p", "1", "g")
    return [
        append(draft()),
        append(envelope=draft("DECISION")),
        store.get_events(run_id="r1", event_type="DECISION")[0]["seq"],
    ]


@usage
def every_argument_is_given_by_name(store: SqliteReceiptStore) -> Any:
    store.ensure_run(run_id="r1", policy_id="p", policy_version="1", stage_graph_id="g", meta=None)
    blob = store.put_blob(data=b"x", content_type="text/plain", kind="evidence", evidence_class="public")
    ref = store.append_event(run_id="r1", envelope=draft())
    event = store.get_event_by_ref(ref=ref)
    assert event is not None
    answers = [
        store.get_blob(sha256=blob.sha256) == b"x",
        store.has_blob(sha256=blob.sha256),
        store.event_count(run_id="r1"),
    ]
    return [ref, event["seq"], *answers, store.get_run(run_id="r1") is not None, blob.to_dict()]


@usage
def arguments_that_must_be_named_are_not(store: SqliteReceiptStore) -> Any:
    seen = []
    calls: list[Any] = [
        lambda: SqliteReceiptStore("x.db", True),  # type: ignore[misc]
        lambda: store.put_blob(b"x", "text/plain"),  # type: ignore[call-arg]
        lambda: purge_expired(store, RetentionPolicy(), LATER, True),  # type: ignore[misc]
        lambda: make_envelope("RUN_START"),  # type: ignore[misc]
        lambda: SqliteReceiptStore(),  # type: ignore[call-arg]
        lambda: store.append_event("r1"),  # type: ignore[call-arg]
    ]
    for call in calls:
        try:
            call()
            seen.append("taken")
        except TypeError:
            seen.append("TypeError")
    return seen


@usage
def dataclasses_are_replaced_and_taken_apart(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    values: tuple[Any, ...] = (
        blob,
        RetentionPolicy(),
        Reason("C", "m", ("p",)),
        InvariantResult("i", Verdict.PASS),
        RedactionReport(),
    )
    taken = [[[f.name for f in dataclasses.fields(value)], dataclasses.astuple(value)] for value in values]
    changed = dataclasses.replace(blob, content_type="text/plain")
    return [
        taken,
        changed.to_dict(),
        dataclasses.asdict(values[3]),
        dataclasses.replace(values[1], public_ttl_seconds=1).to_dict(),
    ]


@usage
def a_value_that_is_frozen_is_changed(store: SqliteReceiptStore) -> Any:
    seen = []
    for value, name in (
        (store.put_blob(b"x"), "ref"),
        (Reason("C", "m"), "code"),
        (RetentionPolicy(), "public_ttl_seconds"),
    ):
        try:
            setattr(value, name, "other")
            seen.append("changed")
        except dataclasses.FrozenInstanceError:
            seen.append("FrozenInstanceError")
    return seen


@usage
def values_are_keys_and_members_of_sets(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    counted = collections.Counter([blob, store.put_blob(b"x"), store.put_blob(b"y")])
    return [counted[blob], len({Reason("C", "m"), Reason("C", "m", ())}), {Verdict.PASS: 1}[Verdict("pass")]]


@usage
def values_are_matched_by_their_parts(store: SqliteReceiptStore) -> Any:
    match InvariantResult("i", Verdict.FAIL, [Reason("C", "m")]):
        case InvariantResult(name, Verdict.FAIL, [Reason(code, _)]):
            return [name, code]
    return None


@usage
def members_of_enums(store: SqliteReceiptStore) -> Any:
    enums = (Verdict, EvidenceClass, EvidenceStrength, BlobState)
    members = [[(member.name, member.value) for member in enum] for enum in enums]
    words = [
        Verdict.PASS == "pass",
        isinstance(Verdict.PASS, str),
        "pass" in [v.value for v in Verdict],
        Verdict["FAIL"].name,
    ]
    try:
        Verdict("no such")
    except ValueError as error:
        words.append(str(error))
    return [
        members,
        words,
        json.dumps([Verdict.PASS.value]),
        [v.is_success() for v in Verdict],
        [v.is_failure() for v in Verdict],
    ]


@usage
def pickles_have_the_bytes_that_they_had(store: SqliteReceiptStore) -> Any:
    values = (
        store.put_blob(b"x"),
        RetentionPolicy(1, 2, 3),
        Reason("C", "m", ("p",)),
        InvariantResult("i", Verdict.PASS),
        Verdict.WARN,
    )
    return [compute_hash_raw(pickle.dumps(value, 2)) for value in values]


@usage
def a_result_is_copied_and_changed(store: SqliteReceiptStore) -> Any:
    first = InvariantResult("i", Verdict.PASS)
    second, third = copy.copy(first), copy.deepcopy(first)
    first.reasons.append(Reason("C", "m"))
    first.meta["n"] = 1
    first.verdict = Verdict.FAIL
    return [second.to_dict(), third.to_dict(), first.to_dict(), first == second]


@usage
def dataclasses_are_subclassed(store: SqliteReceiptStore) -> Any:
    @dataclasses.dataclass
    class Timed(InvariantResult):
        seconds: float = 0.0

    class Forever(RetentionPolicy):
        def ttl_for_class(self, evidence_class: EvidenceClass) -> int:
            return 0 if evidence_class is EvidenceClass.SEALED else -1

    store.put_blob(b"a")
    store.put_blob(b"b", evidence_class="sealed")
    purged = purge_expired(store, Forever(), LATER, maintenance_run_id="m")
    return [Timed("i", Verdict.PASS, seconds=1.5).to_dict(), [blob["evidence_class"] for blob in purged]]


@usage
def modules_are_imported_by_name(store: SqliteReceiptStore) -> Any:
    names = (
        "envelope",
        "store_sqlite",
        "types",
        "stages",
        "redact",
        "retention",
        "invariants",
        "invariants._helpers",
        "invariants.run_shape",
    )
    modules = [importlib.import_module(f"receipt_kernel.{name}") for name in names]
    return [
        [module.__name__ for module in modules],
        [cls.__module__ for cls in (SqliteReceiptStore, BlobRef, Verdict, RedactionReport)],
    ]


@usage
def annotations_are_read(store: SqliteReceiptStore) -> Any:
    hints = typing.get_type_hints(SqliteReceiptStore.event_count)
    return [
        sorted(hints),
        list(inspect.signature(SqliteReceiptStore.get_events).parameters),
        inspect.isclass(SqliteReceiptStore),
    ]


@usage
def the_version_of_the_package(store: SqliteReceiptStore) -> Any:
    return receipt_kernel.__version__


@usage
def nothing_is_printed_or_logged(store: SqliteReceiptStore) -> Any:
    out, err, records = io.StringIO(), io.StringIO(), []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    handler = Keep()
    logging.getLogger().addHandler(handler)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        factual(store)
        judged(store, LedgerChainValidInvariant())
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    logging.getLogger().removeHandler(handler)
    return [out.getvalue(), err.getvalue(), records]


@usage
def a_store_is_forgotten_without_being_closed(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore("forgotten.db")
    other.initialize_schema()
    Recorder(other)
    seen = weakref.ref(other)
    del other
    import gc

    gc.collect()
    with contextlib.closing(SqliteReceiptStore("forgotten.db")) as again:
        return [seen() is None, again.event_count("r1")]


@usage
def the_connection_is_closed_by_hand(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    store._conn.close()
    try:
        store.event_count("r1")
    except sqlite3.ProgrammingError:
        return "ProgrammingError"
    return None


@usage
def a_connection_of_ones_own_is_given(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    other = SqliteReceiptStore(store.db_path)
    other._conn = sqlite3.connect(store.db_path, timeout=1.0)  # type: ignore[misc, assignment, unused-ignore]
    answer = [other.event_count("r1"), other.append_event("r1", draft("DECISION"))]
    other.close()
    return [answer, store.event_count("r1")]


@usage
def the_graph_is_a_value_of_ones_own(store: SqliteReceiptStore) -> Any:
    mine = copy.deepcopy(DEFAULT_STAGE_GRAPH)
    mine.transitions["COLLECT"].add("REVIEW")
    mine.transitions["REVIEW"] = {"EVALUATE"}
    mine.validate_transition("COLLECT", "REVIEW")
    untouched = "REVIEW" not in DEFAULT_STAGE_GRAPH.all_stages
    return [untouched, sorted(mine.all_stages), type(mine).from_dict(json.loads(json.dumps(mine.to_dict()))) == mine]


@usage
def an_ending_is_judged_by_what_a_patched_store_resolves(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.evaluation()
    run.finalize(event_refs=["event://r1/2"])
    check = FinalizationCompletenessInvariant(require_decision_ref=True)
    with mock.patch.object(store, "get_events", wraps=store.get_events) as asked:
        return [judged(store, check), asked.called]


@usage
def a_fake_shows_events_in_few_words(store: SqliteReceiptStore) -> Any:
    class Fake:
        def __init__(self, events: list[dict[str, Any]]) -> None:
            self.events = events

        def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
            return [event for event in self.events if event_type in (None, event["event_type"])]

        def get_event_by_ref(self, ref: str) -> dict[str, Any] | None:
            return next((event for event in self.events if ref.endswith(f"/{event.get('seq')}")), None)

        def has_blob(self, sha256: str) -> bool:
            return sha256 == "a" * 64

        def get_blob(self, sha256: str) -> bytes | None:
            return b"x" if self.has_blob(sha256) else None

        def blob_is_live(self, sha256: str) -> bool:
            return self.has_blob(sha256)

    start = {"event_type": "RUN_START", "stage": "START", "payload": {"meta": {"mode": "creative"}}}
    results = [{"invariant_id": "x", "verdict": "pass"}]
    evaluation = {"results": results, "overall_verdict": "pass", "evidence_complete": True}
    judged_event = {"event_type": "EVALUATION", "stage": "EVALUATE", "payload": evaluation}
    end = {"event_type": "RUN_FINALIZE", "stage": "FINALIZE", "payload": {"overall_verdict": "pass"}}
    log = {"key": "log", "evidence": {"ref": "blob://sha256:" + "a" * 64, "sha256": "a" * 64}}
    put = {"event_type": "EVIDENCE_PUT", "stage": "COLLECT", "payload": log}
    runs: list[list[dict[str, Any]]] = [
        [start, put, judged_event, end],
        [
            {**event, "seq": number, "event_hash": f"h{number}"}
            for number, event in enumerate((start, put, judged_event, end), 1)
        ],
        [start, end, end],
        [put],
        [judged_event, {**end, "refs": {"events": ["event://r1/1"], "blobs": []}}],
    ]
    checks: list[Any] = [
        SingleFinalizeInvariant(),
        FinalizationCompletenessInvariant(),
        all_invariants.EvaluationCompletenessInvariant(),
        all_invariants.ReceiptCompletenessInvariant(["log"]),
        all_invariants.StageRequiredPathInvariant(["START", "FINALIZE"]),
        all_invariants.EpistemicModeRequirementsInvariant(),
    ]
    return [[judged(Fake(events), check) for check in checks] for events in runs]  # type: ignore[arg-type]


@usage
def a_subclass_has_its_own_least_class_of_oracles(store: SqliteReceiptStore) -> Any:
    class Strict(all_invariants.OracleIndependenceInvariant):
        def min_class_for(self, mode: str, claim_level: str, scope: str | None = None) -> int:
            return 3 if claim_level == "high" else super().min_class_for(mode, claim_level, scope)

    factual(store)
    return [judged(store, Strict()), judged(store, all_invariants.OracleIndependenceInvariant())]


@usage
def an_invariant_goes_by_another_name(store: SqliteReceiptStore) -> Any:
    factual(store)
    made: dict[str, Any] = {"StageRequiredPathInvariant": (["START"],)}
    seen = []
    for name in sorted(all_invariants.__all__):
        check = type("Mine", (getattr(all_invariants, name),), {"invariant_id": "mine." + name})(*made.get(name, ()))
        result = check.evaluate({"store": store, "run_id": "r1"})
        seen.append([result.invariant_id, result.verdict.value])
    return seen


@usage
def an_envelope_is_any_mapping(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    mappings: tuple[Any, ...] = (
        collections.OrderedDict(draft()),
        collections.UserDict(draft()),
        collections.ChainMap({"stage": "END"}, draft()),
        types.MappingProxyType(draft()),
    )
    refs = [store.append_event("r1", mapping) for mapping in mappings]
    return [refs, [event["stage"] for event in store.get_events("r1")], judged(store, LedgerChainValidInvariant())]
