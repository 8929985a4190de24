"""Events: what is appended comes back, and what must not be written is refused with nothing left behind."""

from __future__ import annotations

import functools
import json
import sqlite3
import sys
from typing import Any

import pytest
import receipt_kernel
from helpers import Recorder, draft, verdict
from receipt_kernel.envelope import canonical_json, compute_hash, verify_envelope_hash
from receipt_kernel.invariants import LedgerChainValidInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore


def test_events_are_linked_into_one_chain(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    refs = [run.event("DECISION", {"n": n}) for n in range(5)]
    assert refs == [f"event://r1/{seq}" for seq in range(2, 7)]
    events = store.get_events("r1")
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["prev_event_hash"] for event in events] == [None, *(event["event_hash"] for event in events[:-1])]
    assert all(verify_envelope_hash(event) for event in events)
    assert store.event_count("r1") == 6


def test_the_store_sets_the_links_and_leaves_the_draft_alone(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g")
    envelope = draft(run_id="other", seq=99, prev_event_hash="sha256:00", payload={"k": [1, {"a": None}]})
    envelope["event_hash"] = "sha256:11"
    envelope["extra"] = {"kept": True}
    before = json.dumps(envelope)
    store.append_event("r1", envelope)
    assert json.dumps(envelope) == before
    (event,) = store.get_events("r1")
    assert (event["run_id"], event["seq"], event["prev_event_hash"]) == ("r1", 1, None)
    assert event["extra"] == {"kept": True}
    rest = {key: value for key, value in event.items() if key != "event_hash"}
    assert event["event_hash"] == compute_hash(canonical_json(rest))
    for key in ("event_schema_version", "ts", "event_type", "stage", "policy", "actor", "payload", "refs"):
        assert event[key] == envelope[key]


def test_the_hash_of_a_chain_is_for_ever(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION", {"text": "\u00e9\U0001f600\x7f", "n": [1, 1.0, 1e16, 2**70, -0.0], "d": {"b": 1, "a": None}})
    run.finalize()
    hashes = [event["event_hash"] for event in store.get_events("r1")]
    assert (
        compute_hash("".join(hashes).encode())
        == "sha256:4b6b7209cc4588859913859a34fa457de607a8c95005219b56eb3c689bf1ee6f"
    )


def test_the_columns_say_what_the_envelope_says(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION")
    rows = store._conn.execute(
        "select run_id, seq, event_type, event_hash, prev_event_hash, envelope_json from events order by seq"
    ).fetchall()
    for row, event in zip(rows, store.get_events("r1"), strict=True):
        assert row[:5] == ("r1", event["seq"], event["event_type"], event["event_hash"], event["prev_event_hash"])
        assert json.loads(row[5]) == event


VALUES: list[Any] = [
    {},
    {"": ""},
    {"a": None, "b": True, "c": [], "d": {}},
    {"n": [0, -1, 2**64, -(2**70), 10**300]},
    {"f": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308]},
    {"t": "\u00e9 \u4e2d \U0001f600 \x00 \x7f \u2028 \ud800"},
    {"quote": '"\\/\b\f\n\r\t'},
    {"long": "x" * 100_000},
    {"\ue000": 1, "\U0001f600": 2, "a": 3},
    {"many": {f"k{n}": n for n in range(1000)}},
]


@pytest.mark.parametrize("payload", VALUES, ids=lambda value: ascii(value)[:30])
def test_payloads_come_back_as_they_were(store: SqliteReceiptStore, payload: Any) -> None:
    run = Recorder(store)
    ref = run.event("DECISION", payload)
    event = store.get_event_by_ref(ref)
    assert event is not None and event["payload"] == payload
    assert verify_envelope_hash(event)
    # 1 == 1.0 == True in Python: compare the bytes too.
    assert canonical_json(event["payload"]) == canonical_json(payload)


def test_tuples_and_subclasses_come_back_as_what_json_makes_of_them(store: SqliteReceiptStore) -> None:
    class Number(int):
        pass

    ref = Recorder(store).event("DECISION", {"t": (1, (2,)), "n": Number(7)})
    event = store.get_event_by_ref(ref)
    assert event is not None and event["payload"] == {"t": [1, [2]], "n": 7}


@pytest.mark.parametrize("run_id", ["", "a/b", "/", "\u00e9\U0001f600", "a b", "x\x00y", "'; drop table runs; --"])
def test_any_text_is_a_run_id(store: SqliteReceiptStore, run_id: str) -> None:
    ref = Recorder(store, run_id).event("DECISION")
    assert ref == f"event://{run_id}/2"
    event = store.get_event_by_ref(ref)
    assert event is not None and event["run_id"] == run_id
    run = store.get_run(run_id)
    assert run is not None and run["run_id"] == run_id


def test_events_can_be_asked_for_by_type(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    run.event("DECISION")
    run.event("DECISION")
    run.finalize()
    assert [event["seq"] for event in store.get_events("r1", "DECISION")] == [2, 3]
    assert [event["seq"] for event in store.get_events("r1", event_type="RUN_FINALIZE")] == [4]
    assert store.get_events("r1", "BOGUS") == []
    assert len(store.get_events("r1", None)) == len(store.get_events("r1", "")) == 4


def test_events_are_plain_dicts_that_can_be_changed(store: SqliteReceiptStore) -> None:
    Recorder(store)
    (event,) = store.get_events("r1")
    assert type(event) is dict and type(event["refs"]["blobs"]) is list
    event["payload"]["new"] = 1
    assert "new" not in store.get_events("r1")[0]["payload"]


@pytest.mark.parametrize(
    "ref",
    [
        "event://r1/9",
        "event://r1/0",
        "event://r1/-1",
        "event://r1/x",
        "event://r1/",
        "event://r1",
        "r1/1",
        "event://",
        "",
        "blob://sha256:aa",
        "event://other/1",
    ],
)
def test_a_ref_to_nothing_is_none(store: SqliteReceiptStore, ref: str) -> None:
    Recorder(store)
    assert store.get_event_by_ref("event://r1/1") is not None
    assert store.get_event_by_ref(ref) is None


@pytest.mark.ours
@pytest.mark.parametrize(
    "ref",
    [
        "event://r1/01",
        "event://r1/ 1 ",
        "event://r1/+1",
        "event://r1/1_0",
        "event://r1/\u0661",
        "event://r1/99999999999999999999",
        "event://r1/1\n",
        None,
        5,
    ],
)
def test_a_seq_in_a_ref_has_one_spelling(store: SqliteReceiptStore, ref: Any) -> None:
    run = Recorder(store)
    for _ in range(10):
        run.event("DECISION")
    assert store.get_event_by_ref(ref) is None


@pytest.mark.parametrize(
    "payload, error",
    [
        ({"x": float("nan")}, ValueError),
        ({"x": b""}, TypeError),
        ({"x": {1, 2}}, TypeError),
        ({"x": 10**4300}, ValueError),
    ],
    ids=["nan", "bytes", "set", "4301 digits"],
)
def test_a_payload_that_is_no_json_is_refused_and_nothing_is_stored(
    store: SqliteReceiptStore, payload: Any, error: type[Exception]
) -> None:
    run = Recorder(store)
    with pytest.raises(error):
        run.event("DECISION", payload)
    assert store.event_count("r1") == 1
    assert store._conn.in_transaction is False
    run.event("DECISION")


def test_a_run_id_that_cannot_be_encoded_is_refused(store: SqliteReceiptStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        store.ensure_run("\ud800", "p", "1", "g")


def test_an_event_for_an_unknown_run_is_an_integrity_error(store: SqliteReceiptStore) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.append_event("nope", draft())


@pytest.mark.ours
def test_an_unknown_run_is_a_value_error_too_and_its_message_names_it(store: SqliteReceiptStore) -> None:
    with pytest.raises(ValueError, match="nope"):
        store.append_event("nope", draft())


@pytest.mark.ours
@pytest.mark.parametrize(
    "payload",
    [
        {9: 1, 10: 2},
        {9.5: 1},
        {True: 1, 2: 2},
        {-1: 1, -2: 2},
        {None: 1},
        {"a": [{1: 2}]},
        {"\ud83d\ude00": 1},
        {"\ud800": 1},
    ],
    ids=ascii,
)
def test_keys_are_text_that_can_be_encoded(store: SqliteReceiptStore, payload: Any) -> None:
    run = Recorder(store)
    with pytest.raises((TypeError, ValueError)):
        run.event("DECISION", payload)
    assert store.event_count("r1") == 1


@pytest.mark.ours
def test_what_is_written_is_at_most_200_deep(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    with pytest.raises(ValueError):
        run.event("DECISION", functools.reduce(lambda inner, _: {"a": inner}, range(200), {}))
    run.event("DECISION", functools.reduce(lambda inner, _: {"a": inner}, range(150), {}))
    assert store.event_count("r1") == 2


@pytest.mark.differs("an integer of over 4,300 digits")
@pytest.mark.ours
@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="an older Python")
def test_the_limit_on_digits_is_not_the_interpreters(store: SqliteReceiptStore) -> None:
    run = Recorder(store)
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(0)
        with pytest.raises(ValueError):
            run.event("DECISION", {"n": 10**4300})
        ref = run.event("DECISION", {"n": 10**4299})
        sys.set_int_max_str_digits(1000)
        event = store.get_event_by_ref(ref)
    finally:
        sys.set_int_max_str_digits(before)
    assert event is not None and event["payload"] == {"n": 10**4299}


def without(member: str) -> dict[str, Any]:
    envelope = draft()
    del envelope[member]
    return envelope


ODD = [
    *[without(name) for name in ("stage", "policy", "actor", "payload", "refs", "ts", "event_schema_version")],
    *[{**draft(), "event_type": value} for value in ("BOGUS", 5, 1.5, True, "run_start", "")],
    *[{**draft(), "payload": value} for value in (None, [], "x", 5)],
    *[{**draft(), "event_schema_version": value} for value in (0, -5, 0.5, 1.0, True)],
    *[{**draft(), "policy": value} for value in (None, {}, "p", {"policy_id": "p", "policy_version": 2})],
    *[{**draft(), "actor": value} for value in (None, {}, [])],
    *[{**draft(), "refs": value} for value in (None, [], {"blobs": None, "events": []}, {"blobs": "x", "events": []})],
    {**draft(), "ts": 5},
    {**draft(), "stage": None},
    {"event_type": "MINE"},
]


@pytest.mark.parametrize("envelope", ODD, ids=ascii)
def test_an_odd_envelope_is_taken_and_its_chain_holds(store: SqliteReceiptStore, envelope: dict[str, Any]) -> None:
    run = Recorder(store)
    before = json.dumps(envelope)
    assert store.append_event("r1", envelope) == "event://r1/2"
    assert run.event("DECISION") == "event://r1/3"
    assert json.dumps(envelope) == before
    (event,) = [event for event in store.get_events("r1") if event["seq"] == 2]
    assert {**envelope, **{name: event[name] for name in ("run_id", "seq", "prev_event_hash", "event_hash")}} == event
    result = run.judge(LedgerChainValidInvariant())
    assert (verdict(result), result.meta) == ("pass", {"event_count": 3})


@pytest.mark.ours
@pytest.mark.parametrize("envelope", ODD, ids=ascii)
def test_what_is_wrong_with_an_odd_envelope_is_found(
    store: SqliteReceiptStore, db_path: str, envelope: dict[str, Any]
) -> None:
    run = Recorder(store)
    store.append_event("r1", envelope)
    store.close()
    report = receipt_kernel.verify(db_path)
    (content,) = [check for check in report["checks"] if check["check"] == "content"]
    assert content["verdict"] == "fail" and report["overall_verdict"] == "fail"
    run.edit(2, lambda text: text.replace('"seq": 2', '"seq": 3'))
    assert verdict(run.judge(LedgerChainValidInvariant())) == "fail"


@pytest.mark.parametrize(
    "envelope, error",
    [
        (without("event_type"), KeyError),
        ({**draft(), "event_type": None}, sqlite3.IntegrityError),
        ({**draft(), "event_type": ["RUN_START"]}, sqlite3.Error),
        *[({**draft(), "event_schema_version": version}, TypeError) for version in ("1", None, [1])],
        *[({**draft(), "event_schema_version": version}, ValueError) for version in (2, 1.5, 999)],
    ],
    ids=ascii,
)
def test_an_envelope_without_a_type_or_with_a_strange_version_is_refused(
    store: SqliteReceiptStore, envelope: dict[str, Any], error: type[Exception]
) -> None:
    store.ensure_run("r1", "p", "1", "g")
    with pytest.raises(error):
        store.append_event("r1", envelope)
    store._conn.rollback()
    assert store.event_count("r1") == 0


def test_an_envelope_of_a_newer_version_says_so(store: SqliteReceiptStore) -> None:
    store.ensure_run("r1", "p", "1", "g")
    with pytest.raises(ValueError, match="newer than supported"):
        store.append_event("r1", {**draft(), "event_schema_version": 999})


@pytest.mark.ours
def test_a_number_is_no_run_id(store: SqliteReceiptStore) -> None:
    store.ensure_run("5", "p", "1", "g")
    with pytest.raises((TypeError, ValueError)):
        store.append_event(5, draft())  # type: ignore[arg-type]
    assert store.event_count("5") == 0
