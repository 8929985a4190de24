"""Evidence whose time is over."""

from __future__ import annotations

import os
import pathlib
from typing import Any
from unittest import mock

from receipt_kernel import BlobState, EvidenceClass, RetentionPolicy
from receipt_kernel import invariants as all_invariants
from receipt_kernel.envelope import compute_hash_raw
from receipt_kernel.invariants import LedgerChainValidInvariant, ReceiptCompletenessInvariant, SingleFinalizeInvariant
from receipt_kernel.retention import compute_expiry_ts, find_expired_blobs, purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import LATER, dump, factual, judged, sql, ticking, usage


@usage
def what_is_due_is_found(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.put_blob(b"a", content_type="text/plain")
        store.put_blob(b"b", evidence_class="sealed")
    return [
        [blob["evidence_class"] for blob in find_expired_blobs(store, RetentionPolicy(), now)]
        for now in ("2026-01-02T00:00:00+00:00", "2026-01-09T00:00:00+00:00", "2026-02-09T00:00:00+00:00")
    ]


@usage
def a_purge_into_a_run_of_ones_own(store: SqliteReceiptStore) -> Any:
    with ticking():
        store.put_blob(b"a", content_type="text/plain")
        purged = purge_expired(store, RetentionPolicy(1.5, 60.0), LATER, maintenance_run_id="m")  # type: ignore[arg-type]
    return [purged, dump(store)]


@usage
def a_purge_without_a_run(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    purge_expired(store, RetentionPolicy(0, 0), LATER)
    return len(sql(store, "select run_id from runs"))


@usage
def a_purge_appends_through_the_store(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    with mock.patch.object(store, "append_event", wraps=store.append_event) as append:
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return [call.args[0] for call in append.call_args_list]


@usage
def a_dry_run(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"a")
    found = purge_expired(store, RetentionPolicy(0, 0), LATER, dry_run=True)
    return [len(found), store.blob_is_live(blob.sha256)]


@usage
def a_blob_after_its_time(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    meta = store.get_blob_meta(compute_hash_raw(b"12 passed"))
    assert meta is not None
    return [
        meta["state"] == BlobState.EXPIRED_HASH_ONLY.value,
        meta["expired_at"],
        judged(run.store, ReceiptCompletenessInvariant())[0],
    ]


@usage
def a_purge_at_a_time_that_is_none(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    return len(purge_expired(store, RetentionPolicy(), "tomorrow"))


@usage
def expiry_times(store: SqliteReceiptStore) -> Any:
    made = "2026-01-01T00:00:00.250000+00:00"
    policies = (RetentionPolicy(), RetentionPolicy(1.5), RetentionPolicy(0), RetentionPolicy(-1))  # type: ignore[arg-type]
    times = [compute_expiry_ts(made, EvidenceClass.PUBLIC, policy) for policy in policies]
    return [*times, compute_expiry_ts("2026-01-01T05:00:00+05:00", EvidenceClass.SEALED, RetentionPolicy())]


@usage
def policies_go_to_dicts_and_back(store: SqliteReceiptStore) -> Any:
    given: tuple[dict[str, Any], ...] = ({}, {"public_ttl_seconds": 5}, RetentionPolicy(1, 2, 3).to_dict())
    made = [RetentionPolicy.from_dict(policy) for policy in given]
    return [[policy.to_dict() for policy in made], made[2] == RetentionPolicy(1, 2, 3), repr(made[0])]


@usage
def a_purge_is_made_twice(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"a")
    first = purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    again = purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return [sorted(first[0]), again, store.event_count("m"), store.has_blob(blob.sha256), store.get_blob(blob.sha256)]


@usage
def a_dry_run_into_a_run(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    purge_expired(store, RetentionPolicy(0, 0), LATER, dry_run=True, maintenance_run_id="m")
    return [store.get_run("m"), store.event_count("m")]


@usage
def a_purge_into_a_run_that_is_there(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="r1")
    kept = store.get_run("r1")
    assert kept is not None
    types = [event["event_type"] for event in store.get_events("r1")][-4:]
    return [
        types,
        kept["policy_id"],
        judged(run.store, LedgerChainValidInvariant()),
        judged(store, SingleFinalizeInvariant()),
    ]


@usage
def a_purge_of_one_class(store: SqliteReceiptStore) -> Any:
    with ticking():
        for n in range(2):
            store.put_blob(b"public %d" % n, content_type="text/plain")
            store.put_blob(b"sealed %d" % n, evidence_class="sealed")
    purged = purge_expired(store, RetentionPolicy(-1, 60), "2026-01-02T00:00:00+00:00", maintenance_run_id="m")
    states = sql(store, "select evidence_class, state, data is null, expired_at from blobs order by rowid")
    return [[blob["evidence_class"] for blob in purged], states]


@usage
def receipts_of_a_purge_are_read(store: SqliteReceiptStore) -> Any:
    with ticking():
        blob = store.put_blob(b"a", content_type="text/plain")
        purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    (event,) = store.get_events("m", "BLOB_EXPIRE")
    return [event["payload"], event["refs"], event["actor"], event["stage"], blob.ref in event["refs"]["blobs"]]


@usage
def nothing_is_due(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    policy = RetentionPolicy()
    return [find_expired_blobs(store, policy), purge_expired(store, policy, maintenance_run_id="m"), store.get_run("m")]


@usage
def all_that_a_run_has_expires(store: SqliteReceiptStore) -> Any:
    factual(store)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    made: dict[str, Any] = {"StageRequiredPathInvariant": (["START"],)}
    names = ("LedgerChainValidInvariant", "ReceiptCompletenessInvariant", "ConfidenceSanityInvariant")
    return [judged(store, getattr(all_invariants, name)(*made.get(name, ()))) for name in names]


@usage
def a_creation_without_an_offset(store: SqliteReceiptStore) -> Any:
    return compute_expiry_ts("2026-01-01T00:00:00", EvidenceClass.PUBLIC, RetentionPolicy())


@usage
def a_row_that_cannot_be_judged(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    store.put_blob(b"b")
    store._conn.execute("update blobs set created_at = 'once' where data = x'61'")
    store._conn.commit()
    return len(find_expired_blobs(store, RetentionPolicy(0, 0), LATER))


@usage
def a_hash_whose_time_is_over(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"a")
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    purge_expired(store, RetentionPolicy(0, 0, 60), "2099-02-01T00:00:00+00:00", maintenance_run_id="m")
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None
    return meta["state"]


@usage
def bytes_that_were_purged_are_looked_for_in_the_files(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"find these bytes" * 200)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    files = [path for path in (store.db_path, store.db_path + "-wal") if os.path.exists(path)]
    return any(b"find these bytes" in pathlib.Path(path).read_bytes() for path in files)


@usage
def the_claims_map_expires(store: SqliteReceiptStore) -> Any:
    factual(store)
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    return judged(store, all_invariants.ConfidenceSanityInvariant())


@usage
def times_to_live_of_every_type(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a", evidence_class="public")
    seen: list[Any] = []
    for ttl in (True, 0.5, -1.5, None, "3600", float("nan")):
        try:
            seen.append(len(find_expired_blobs(store, RetentionPolicy(ttl, 0), LATER)))  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            seen.append(type(error).__name__)
    return seen


@usage
def a_time_to_live_beyond_the_calendar(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a", evidence_class="public")
    return [len(find_expired_blobs(store, RetentionPolicy(ttl, 0), LATER)) for ttl in (10**12, float("inf"))]  # type: ignore[arg-type]


@usage
def the_time_of_a_purge_is_left_open(store: SqliteReceiptStore) -> Any:
    store.put_blob(b"a")
    return [len(find_expired_blobs(store, RetentionPolicy(0, 0), now)) for now in (None, "")]
