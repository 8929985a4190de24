"""Edits that the invariants must see."""

from __future__ import annotations

import json
from typing import Any

from helpers import Recorder, draft
from receipt_kernel.envelope import compute_hash_raw
from receipt_kernel.invariants import LedgerChainValidInvariant, ReceiptCompletenessInvariant, SingleFinalizeInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import factual, judged, sql, usage


@usage
def a_hash_column_is_changed(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    store._conn.execute("update events set event_hash = 'sha256:' || ? where seq = 2", ("0" * 64,))
    store._conn.commit()
    verdict, codes = judged(store, LedgerChainValidInvariant())
    return [verdict, "EVENT_HASH_MISMATCH" in codes]


@usage
def a_previous_hash_is_changed(store: SqliteReceiptStore) -> Any:
    seen = []
    for number, value in enumerate(["sha256:" + "0" * 64, "no hash", None]):
        run = Recorder(store, f"h{number}")
        run.event("DECISION")
        store._conn.execute("update events set prev_event_hash = ? where run_id = ? and seq = 2", (value, run.run_id))
        store._conn.commit()
        verdict, codes = judged(store, LedgerChainValidInvariant(), run.run_id)
        seen.append([verdict, "PREV_HASH_MISMATCH" in codes])
    return seen


@usage
def a_payload_is_changed(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("DECISION", {"verdict": "no"})
    run.edit(2, lambda text: text.replace('"no"', '"yes"'))
    return judged(store, LedgerChainValidInvariant())


@usage
def an_event_is_cut_out_and_the_rest_moved_up(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    for _ in range(3):
        run.event("DECISION")
    run.sql("delete from events where seq = 2")
    return judged(store, LedgerChainValidInvariant())


@usage
def the_bytes_of_a_blob_are_replaced(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update blobs set data = ? where bytes_len = 9", (b"12 failed",))
    store._conn.commit()
    return judged(store, ReceiptCompletenessInvariant())[0]


@usage
def the_bytes_of_a_blob_are_removed_by_hand(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update blobs set data = null, state = 'expired_hash_only' where bytes_len = 9")
    store._conn.commit()
    return judged(store, ReceiptCompletenessInvariant())[0]


@usage
def an_event_is_inserted_by_hand(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    store._conn.execute(
        "insert into events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) "
        "select run_id, 3, event_type, envelope_json, event_hash, prev_event_hash, created_at from events where seq = 2"
    )
    store._conn.commit()
    return judged(store, LedgerChainValidInvariant())[0]


@usage
def the_last_event_is_removed(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    run.sql("delete from events where event_type = 'RUN_FINALIZE'")
    return [judged(store, LedgerChainValidInvariant()), judged(store, SingleFinalizeInvariant())]


@usage
def the_first_event_is_removed(store: SqliteReceiptStore) -> Any:
    run = factual(store)
    run.sql("delete from events where seq = 1")
    return judged(store, LedgerChainValidInvariant())[0]


@usage
def a_stored_text_is_spelled_otherwise(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    run.event("DECISION", {"verdict": "no"})
    run.edit(2, lambda text: json.dumps(json.loads(text), indent=1))
    return judged(store, LedgerChainValidInvariant())[0]


@usage
def an_event_of_another_run_is_spliced_in(store: SqliteReceiptStore) -> Any:
    Recorder(store)
    Recorder(store, "r2")
    store._conn.execute("delete from events where run_id = 'r1'")
    store._conn.execute("update events set run_id = 'r1' where run_id = 'r2'")
    store._conn.commit()
    return judged(store, LedgerChainValidInvariant())[0]


@usage
def a_type_column_is_changed(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update events set event_type = 'DECISION' where event_type = 'EVALUATION'")
    store._conn.commit()
    return len(store.get_events("r1", "EVALUATION"))


@usage
def a_live_blob_loses_its_bytes(store: SqliteReceiptStore) -> Any:
    factual(store)
    store._conn.execute("update blobs set data = null where bytes_len = 9")
    store._conn.commit()
    return [store.blob_is_live(compute_hash_raw(b"12 passed")), judged(store, ReceiptCompletenessInvariant())[0]]


@usage
def a_row_that_is_no_json(store: SqliteReceiptStore) -> Any:
    Recorder(store).event("DECISION")
    store._conn.execute("update events set envelope_json = '{bad' where seq = 2")
    store._conn.commit()
    return judged(store, LedgerChainValidInvariant())[0]


@usage
def a_payload_that_is_a_list(store: SqliteReceiptStore) -> Any:
    run = Recorder(store)
    store.append_event("r1", {**draft("EVIDENCE_PUT"), "payload": [1]})
    run.finalize()
    return judged(store, ReceiptCompletenessInvariant())[0]


@usage
def a_file_of_a_newer_version(store: SqliteReceiptStore) -> Any:
    store._conn.execute("update schema_meta set value = '2' where key = 'store_schema_version'")
    store._conn.commit()
    store.close()
    store.initialize_schema()
    return sql(store, "select value from schema_meta")
