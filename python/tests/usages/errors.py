"""What is refused, and by which clause a program catches that."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from helpers import Recorder, draft
from receipt_kernel import BlobRef, EvidenceClass, InvariantResult, RetentionPolicy, Verdict
from receipt_kernel import invariants as all_invariants
from receipt_kernel.envelope import canonical_json, make_envelope, seal_envelope, verify_envelope_hash
from receipt_kernel.redact import redact
from receipt_kernel.retention import compute_expiry_ts, find_expired_blobs
from receipt_kernel.stages import DEFAULT_STAGE_GRAPH, MINIMAL_STAGE_GRAPH, StageGraph
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import usage

CLAUSES: tuple[type[Exception], ...] = (
    KeyError,
    TypeError,
    AttributeError,
    UnicodeError,
    sqlite3.IntegrityError,
    sqlite3.OperationalError,
    sqlite3.ProgrammingError,
    sqlite3.Error,
    OverflowError,
    RecursionError,
    OSError,
    ValueError,
)


def caught(call: Callable[[], Any]) -> str | None:
    """The first clause that catches what a call raises."""
    try:
        call()
    except CLAUSES as error:
        return next(clause.__name__ for clause in CLAUSES if isinstance(error, clause))
    return None


@usage
def bad_calls_on_a_store(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    calls: list[Callable[[], Any]] = [
        lambda: store.append_event("r1", None),  # type: ignore[arg-type]
        lambda: store.append_event("r1", {}),
        lambda: store.append_event("r1", {**draft(), "payload": {1, 2}}),
        lambda: store.append_event("nobody", draft()),
        lambda: store.append_event("r1", {**draft(), "event_schema_version": 2}),
        lambda: store.put_blob("text"),  # type: ignore[arg-type]
        lambda: store.put_blob(None),  # type: ignore[arg-type]
        lambda: store.put_blob(5),  # type: ignore[arg-type]
        lambda: store.get_event_by_ref("nonsense"),
        lambda: store.get_events("nobody"),
        lambda: store.get_run("nobody"),
        lambda: store.ensure_run("r2", "p", "1", "g", {"x": object()}),
        lambda: SqliteReceiptStore("/no/such/folder/x.db").initialize_schema(),
    ]
    answers = []
    for call in calls:
        answers.append(caught(call))
        store._conn.rollback()
    return answers


@usage
def bad_drafts(store: SqliteReceiptStore) -> Any:
    calls: list[Callable[[], Any]] = [
        lambda: draft("NO_SUCH"),
        lambda: draft(None),  # type: ignore[arg-type]
        lambda: draft(nothing=1),
        lambda: make_envelope(),  # type: ignore[call-arg]
        lambda: seal_envelope({"x": float("inf")}),
        lambda: seal_envelope({"x": b""}),
        lambda: canonical_json({1: 1, "a": 2}),
        lambda: verify_envelope_hash({}),
        lambda: canonical_json({("a",): 1}),
    ]
    return [caught(call) for call in calls]


@usage
def what_refusals_say(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    calls: list[Callable[[], Any]] = [
        lambda: draft("NO_SUCH"),
        lambda: DEFAULT_STAGE_GRAPH.validate_transition("START", "DECIDE"),
        lambda: DEFAULT_STAGE_GRAPH.validate_transition("NOWHERE", "DECIDE"),
        lambda: DEFAULT_STAGE_GRAPH.validate_transition("START", "NOWHERE"),
        lambda: MINIMAL_STAGE_GRAPH.validate_transition("FINALIZE", "START"),
        lambda: canonical_json(float("nan")),
        lambda: canonical_json({1, 2}),
        lambda: EvidenceClass("internal"),
        lambda: Verdict("PASS"),
    ]
    said = []
    for call in calls:
        try:
            call()
            said.append("nothing")
        except (ValueError, TypeError) as error:
            said.append(str(error))
    return said


@usage
def what_a_refusal_of_a_newer_version_says(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    try:
        store.append_event("r1", {**draft(), "event_schema_version": 7})
    except ValueError as error:
        return ["newer than supported" in str(error), "7" in str(error), store.event_count("r1")]
    return None


@usage
def an_error_leaves_the_caller_s_envelope_alone(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", "p", "1", "g")
    envelope = draft(payload={"x": float("nan")})
    before = repr(envelope)
    refused = caught(lambda: store.append_event("r1", envelope))
    sound = draft("DECISION")
    kept = repr(sound)
    store.append_event("r1", sound)
    return [refused, repr(envelope) == before, repr(sound) == kept, store.event_count("r1")]


@usage
def a_store_without_its_tables(store: SqliteReceiptStore) -> Any:
    other = SqliteReceiptStore("bare.db")
    sqlite3.connect("bare.db").close()
    with open("bare.db", "a"):
        pass
    calls: list[Callable[[], Any]] = [
        lambda: other.get_run("r1"),
        lambda: other.ensure_run("r1", "p", "1", "g"),
        lambda: other.event_count("r1"),
        lambda: other.put_blob(b"x"),
    ]
    answers = [caught(call) for call in calls]
    other.close()
    return answers


@usage
def a_file_that_is_no_database(store: SqliteReceiptStore) -> Any:
    with open("text.db", "w", encoding="utf-8") as file:
        file.write("this is text, and long enough to be taken for the head of a database\n" * 100)
    other = SqliteReceiptStore("text.db")
    try:
        other.initialize_schema()
    except sqlite3.DatabaseError:
        return "DatabaseError"
    finally:
        other.close()


@usage
def a_folder_as_a_ledger(store: SqliteReceiptStore) -> Any:
    os.mkdir("folder")
    return caught(lambda: SqliteReceiptStore("folder").initialize_schema())


@usage
def a_ledger_that_may_only_be_read(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    other = SqliteReceiptStore(store.db_path)
    other.event_count("r1")
    other._conn.execute("pragma query_only = 1")
    refused = caught(lambda: other.append_event("r1", draft("DECISION")))
    answer = [refused, other.event_count("r1")]
    other.close()
    return answer


@usage
def a_trigger_of_the_user_refuses(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    store._conn.execute(
        "create trigger closed before insert on events begin select raise(abort, 'the run is closed'); end"
    )
    try:
        store.append_event("r1", draft("DECISION"))
    except sqlite3.IntegrityError as error:
        store._conn.rollback()
        return [str(error), store.event_count("r1")]
    return None


@usage
def a_blob_ref_is_made_by_hand(store: SqliteReceiptStore) -> Any:
    calls: list[Callable[[], Any]] = [
        lambda: BlobRef(),  # type: ignore[call-arg]
        lambda: BlobRef("r", "s", "t"),  # type: ignore[call-arg]
        lambda: BlobRef("r", "s", "t", 1, "public", "x"),  # type: ignore[call-arg]
        lambda: InvariantResult("i"),  # type: ignore[call-arg]
        lambda: RetentionPolicy(1, 2, 3, 4),  # type: ignore[call-arg]
        lambda: BlobRef.from_dict({}),  # type: ignore[attr-defined]
    ]
    return [*[caught(call) for call in calls], BlobRef("r", "s", "t", "many").to_dict()]  # type: ignore[arg-type]


@usage
def graphs_that_make_no_sense(store: SqliteReceiptStore) -> Any:
    loose = StageGraph("loose", {"A": {"B"}}, "Z", frozenset({"Y"}))
    calls: list[Callable[[], Any]] = [
        lambda: loose.validate_transition("A", "B"),
        lambda: loose.validate_transition("B", "A"),
        lambda: loose.validate_transition("Z", "A"),
        lambda: loose.validate_transition("A", "A"),
        lambda: StageGraph.from_dict({"graph_id": "g"}),
        lambda: loose.validate_transition(None, "A"),  # type: ignore[arg-type]
    ]
    return [*[caught(call) for call in calls], loose.is_terminal("Y"), loose.is_terminal("A"), sorted(loose.all_stages)]


@usage
def odd_calls_of_retention(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"x")
    calls: list[Callable[[], Any]] = [
        lambda: compute_expiry_ts("no time", EvidenceClass.PUBLIC, RetentionPolicy()),
        lambda: compute_expiry_ts("2026-01-01T00:00:00+00:00", EvidenceClass.PUBLIC, RetentionPolicy(-5)),
        lambda: RetentionPolicy.from_dict({"public_ttl_seconds": 5, "other": 1}),
        lambda: RetentionPolicy.from_dict({}),
        lambda: find_expired_blobs(store, None),  # type: ignore[arg-type]
        lambda: find_expired_blobs(None, RetentionPolicy()),  # type: ignore[arg-type]
    ]
    return [caught(call) for call in calls]


@usage
def odd_calls_of_redaction(store: SqliteReceiptStore) -> Any:
    calls: list[Callable[[], Any]] = [
        lambda: redact("text", "text/plain", "public"),  # type: ignore[arg-type]
        lambda: redact(None, "text/plain", "public"),  # type: ignore[arg-type]
        lambda: redact(b"x", "text/plain"),  # type: ignore[call-arg]
        lambda: redact(b"", "", ""),
        lambda: redact(b"x", "text/plain", "no class"),
    ]
    return [caught(call) for call in calls]


@usage
def invariants_made_with_odd_arguments(store: SqliteReceiptStore) -> Any:
    calls: list[Callable[[], Any]] = [
        lambda: all_invariants.StageRequiredPathInvariant(),  # type: ignore[call-arg]
        lambda: all_invariants.LedgerChainValidInvariant(1),  # type: ignore[call-arg]
        lambda: all_invariants.ReceiptCompletenessInvariant(None, False),
        lambda: all_invariants.ReceiptCompletenessInvariant(("a", "b")),
        lambda: all_invariants.ClaimsEvidenceBindingInvariant(("factual",)),  # type: ignore[misc]
        lambda: all_invariants.ClaimsEvidenceBindingInvariant(require_in_modes={"factual"}),  # type: ignore[arg-type]
        lambda: all_invariants.OracleIndependenceInvariant(policy={}),
        lambda: all_invariants.EpistemicModeRequirementsInvariant(requirements=None),
    ]
    return [caught(call) for call in calls]


@usage
def a_text_is_given_for_a_list_of_texts(store: SqliteReceiptStore) -> Any:
    return caught(lambda: all_invariants.ReceiptCompletenessInvariant("log"))  # type: ignore[arg-type]


@usage
def a_text_is_given_for_refs(store: SqliteReceiptStore) -> Any:
    return draft(blob_refs="blob://x")["refs"]


@usage
def a_redactor_that_raises(store: SqliteReceiptStore) -> Any:
    def fail(*arguments: Any) -> Any:
        raise KeyError("mine")

    with contextlib.closing(SqliteReceiptStore(store.db_path, custom_redactor=fail)) as other:
        return [caught(lambda: other.put_blob(b"x")), other._conn.in_transaction]


@usage
def a_policy_that_is_none(store: SqliteReceiptStore) -> Any:
    store.ensure_run("r1", None, "1", "g")  # type: ignore[arg-type]
    return store.get_run("r1")
