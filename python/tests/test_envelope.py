"""Making, sealing and checking one envelope."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest

from helpers import TS, draft
from receipt_kernel.envelope import (
    canonical_json,
    compute_hash,
    compute_hash_raw,
    make_envelope,
    seal_envelope,
    verify_envelope_hash,
)

MEMBERS = {
    "event_schema_version": 1,
    "run_id": "",
    "seq": 0,
    "ts": TS,
    "event_type": "RUN_START",
    "stage": "START",
    "policy": {"policy_id": "p", "policy_version": "1", "stage_graph_id": "g"},
    "actor": {"kind": "agent", "id": "a1"},
    "prev_event_hash": None,
    "event_hash": None,
    "payload": {"a": 1},
    "refs": {"blobs": [], "events": []},
}


def test_a_draft_has_these_members_in_this_order() -> None:
    envelope = draft(payload={"a": 1})
    assert envelope == MEMBERS
    assert list(envelope) == list(MEMBERS)
    assert list(envelope["policy"]) == list(MEMBERS["policy"])  # type: ignore[call-overload]
    assert list(envelope["actor"]) == list(MEMBERS["actor"])  # type: ignore[call-overload]
    assert type(envelope) is dict


def test_a_draft_takes_what_it_is_given() -> None:
    envelope = draft(
        blob_refs=["blob://x"],
        event_refs=("event://r/1",),
        run_id="r",
        seq=7,
        prev_event_hash="sha256:aa",
        ts="2026-02-02T00:00:00Z",
    )
    assert envelope["refs"] == {"blobs": ["blob://x"], "events": ["event://r/1"]}
    assert (envelope["run_id"], envelope["seq"], envelope["prev_event_hash"]) == ("r", 7, "sha256:aa")
    assert envelope["ts"] == "2026-02-02T00:00:00Z"


def test_a_draft_keeps_its_payload_and_copies_its_refs() -> None:
    payload: dict[str, Any] = {"a": []}
    refs = ["blob://x"]
    envelope = draft(payload=payload, blob_refs=refs)
    assert envelope["payload"] is payload
    assert envelope["refs"]["blobs"] is not refs


@pytest.mark.parametrize("ts", [None, ""])
def test_ts_is_now_in_utc_where_none_is_given(ts: str | None) -> None:
    before = datetime.datetime.now(datetime.timezone.utc)
    text = draft(ts=ts)["ts"]
    after = datetime.datetime.now(datetime.timezone.utc)
    moment = datetime.datetime.fromisoformat(text)
    assert before <= moment <= after
    assert text == moment.isoformat() and text.endswith("+00:00")


def test_an_unknown_event_type_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(ValueError) as caught:
        draft("BOGUS")
    assert str(caught.value) == (
        "Unknown event_type 'BOGUS'. Valid types: ['BLOB_EXPIRE', 'DECISION', 'EVALUATION', 'EVIDENCE_PUT', "
        "'REMEDIATION', 'RUN_FINALIZE', 'RUN_START', 'STAGE_ADVANCE']"
    )


def test_arguments_are_keywords_and_the_eight_first_are_wanted() -> None:
    with pytest.raises(TypeError):
        make_envelope("RUN_START")  # type: ignore[misc, call-arg]
    with pytest.raises(TypeError, match="payload"):
        make_envelope(  # type: ignore[call-arg]
            event_type="RUN_START",
            stage="",
            policy_id="",
            policy_version="",
            stage_graph_id="",
            actor_kind="",
            actor_id="",
        )


@pytest.mark.ours
@pytest.mark.parametrize("name", ["blob_refs", "event_refs"])
def test_a_str_is_no_list_of_refs(name: str) -> None:
    with pytest.raises(TypeError):
        draft(**{name: "blob://x"})


def test_sealing_gives_a_new_dict_with_the_hash_of_the_rest() -> None:
    envelope = draft(payload={"a": [1, 2.5, "\u00e9"]})
    before = dict(envelope)
    sealed = seal_envelope(envelope)
    assert envelope == before
    rest = {key: value for key, value in sealed.items() if key != "event_hash"}
    assert sealed["event_hash"] == "sha256:" + hashlib.sha256(canonical_json(rest)).hexdigest()
    assert list(sealed) == [key for key in MEMBERS if key != "event_hash"] + ["event_hash"]
    assert sealed["payload"] is envelope["payload"]


def test_the_hash_of_this_envelope_is_for_ever() -> None:
    assert seal_envelope(draft(payload={"a": 1}))["event_hash"] == (
        "sha256:b196905fc718acb3e7ab4c0747f26a9b23a12fc36632c0873a754b5ac57a210a"
    )


def test_sealing_again_changes_nothing_whatever_hash_was_there() -> None:
    sealed = seal_envelope(draft())
    assert seal_envelope(sealed) == sealed
    assert seal_envelope({**sealed, "event_hash": "x"}) == sealed


def test_any_dict_can_be_sealed() -> None:
    assert seal_envelope({"a": 1}) == {"a": 1, "event_hash": compute_hash(b'{"a":1}')}
    assert seal_envelope({})["event_hash"] == compute_hash(b"{}")


@pytest.mark.parametrize("payload", [float("nan"), {"a": float("inf")}])
def test_what_has_no_canonical_bytes_cannot_be_sealed(payload: Any) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        seal_envelope(draft(payload=payload))
    with pytest.raises(TypeError, match="Object of type bytes is not JSON serializable"):
        seal_envelope(draft(payload={"a": b"x"}))


def test_a_sealed_envelope_verifies_and_any_change_is_seen() -> None:
    sealed = seal_envelope(draft(payload={"a": 1}))
    assert verify_envelope_hash(sealed) is True
    for key in sealed:
        if key != "event_hash":
            assert verify_envelope_hash({**sealed, key: "other"}) is False, key
            assert verify_envelope_hash({k: v for k, v in sealed.items() if k != key}) is False, key
    assert verify_envelope_hash({**sealed, "extra": 1}) is False


def test_a_hash_that_is_missing_or_no_text_does_not_verify() -> None:
    sealed = seal_envelope(draft())
    for wrong in (None, "", 5, sealed["event_hash"].upper(), sealed["event_hash"][7:], sealed["event_hash"] + " "):
        assert verify_envelope_hash({**sealed, "event_hash": wrong}) is False
    assert verify_envelope_hash(draft()) is False
    assert verify_envelope_hash({}) is False


def test_hashes_of_bytes() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert compute_hash_raw(b"") == empty and compute_hash(b"") == "sha256:" + empty
    data = bytes(range(256)) * 1000
    for given in (data, bytearray(data), memoryview(data)):
        assert compute_hash_raw(given) == hashlib.sha256(data).hexdigest()
    for wrong in ("text", None, 5, [1]):
        with pytest.raises(TypeError):
            compute_hash(wrong)  # type: ignore[arg-type]
