"""Values, clocks and warnings."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from typing import Any

import receipt_kernel
from helpers import draft
from receipt_kernel import InvariantResult, Reason, RetentionPolicy, Verdict
from receipt_kernel import envelope as envelope_module
from receipt_kernel import retention as retention_module
from receipt_kernel import store_sqlite as store_module
from receipt_kernel.envelope import canonical_json, compute_hash, compute_hash_raw, seal_envelope
from receipt_kernel.redact import RedactionReport
from receipt_kernel.stages import DEFAULT_STAGE_GRAPH
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import factual, sql, ticking, usage


@usage
def the_clock_of_the_module_is_used(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.ensure_run("r1", "p", "1", "g")
        store.append_event("r1", draft(ts=None))
        store.put_blob(b"x")
    columns = [sql(store, f"select created_at from {table}") for table in ("runs", "events", "blobs")]
    return [columns, store.get_events("r1")[0]["ts"]]


@usage
def values_are_printed_and_compared(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    result = InvariantResult("i", Verdict.WARN, [Reason("C", "m", ("p",))])
    return [repr(blob), repr(result), repr(RetentionPolicy()), blob == store.put_blob(b"x"), str(Verdict.PASS)]


@usage
def values_are_pickled_and_copied(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    values = (blob, Verdict.FAIL, RetentionPolicy(1, 2), Reason("C", "m"), DEFAULT_STAGE_GRAPH, RedactionReport())
    return [pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value) for value in values]


@usage
def envelopes_are_sealed_by_hand(store: SqliteReceiptStore) -> Any:
    sealed = seal_envelope(draft(payload={"b": 1, "a": "é"}))
    return [sealed, canonical_json({"z": 1, "a": [1.0, None]}).decode(), compute_hash(b"x"), compute_hash_raw(b"x")]


@usage
def events_are_dumped_as_json_lines(store: SqliteReceiptStore) -> Any:
    factual(store)
    lines = [json.dumps(event, sort_keys=True) for event in store.get_events("r1")]
    return [json.loads(line)["seq"] for line in lines]


@usage
def the_names_of_the_package(store: SqliteReceiptStore) -> Any:
    wanted = (
        "BlobRef",
        "BlobState",
        "EvidenceClass",
        "EvidenceStrength",
        "InvariantResult",
        "Reason",
        "RetentionPolicy",
        "Verdict",
    )
    return [hasattr(receipt_kernel, name) for name in wanted]


@usage
def names_that_the_modules_have_from_others(store: SqliteReceiptStore) -> Any:
    names = {
        store_module: "BlobRef BlobState EvidenceClass RedactionReport canonical_json compute_hash redact seal_envelope sqlite3 json datetime",
        retention_module: "BlobState EvidenceClass RetentionPolicy make_envelope datetime timezone",
        envelope_module: "EVENT_SCHEMA_VERSION VALID_EVENT_TYPES datetime timezone",
    }
    return [[name for name in wanted.split() if not hasattr(module, name)] for module, wanted in names.items()]


@usage
def warnings_are_errors(store: SqliteReceiptStore) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blob = store.put_blob(b"for few", evidence_class="sealed")
    return [blob.evidence_class, store.blob_is_live(blob.sha256)]
