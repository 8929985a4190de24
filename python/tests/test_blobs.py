"""Blobs: what is put comes back by its hash, without its secrets."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import pathlib
import warnings
from typing import Any

import pytest
from helpers import RECIPIENT, TS, Recorder
from receipt_kernel import BlobRef
from receipt_kernel.envelope import verify_envelope_hash
from receipt_kernel.redact import RedactionReport
from receipt_kernel.store_sqlite import SqliteReceiptStore

HELLO = hashlib.sha256(b"hello").hexdigest()


def test_a_blob_comes_back_by_its_hash(store: SqliteReceiptStore) -> None:
    blob = store.put_blob(b"hello")
    assert blob == BlobRef(f"blob://sha256:{HELLO}", HELLO, "application/octet-stream", 5, "public")
    assert store.get_blob(HELLO) == b"hello" and type(store.get_blob(HELLO)) is bytes
    assert store.has_blob(HELLO) is True and store.blob_is_live(HELLO) is True
    meta = store.get_blob_meta(HELLO)
    assert meta is not None
    assert list(meta) == [
        "sha256",
        "content_type",
        "bytes_len",
        "evidence_class",
        "state",
        "created_at",
        "expired_at",
        "redaction_report",
    ]
    datetime.datetime.fromisoformat(meta.pop("created_at"))
    assert {**meta, "redaction_report": None} == {
        "sha256": HELLO,
        "content_type": "application/octet-stream",
        "bytes_len": 5,
        "evidence_class": "public",
        "state": "live",
        "expired_at": None,
        "redaction_report": None,
    }


def test_an_unknown_blob_is_none_and_not_there(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    for name in ("nope", "", "sha256:" + HELLO, HELLO.upper(), HELLO[:-1], None):
        assert store.get_blob(name) is None  # type: ignore[arg-type]
        assert store.get_blob_meta(name) is None  # type: ignore[arg-type]
        assert store.has_blob(name) is False  # type: ignore[arg-type]
        assert store.blob_is_live(name) is False  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 10, bytes(range(256)), b"x" * 3_000_000], ids=["empty", "zeros", "all bytes", "3 MB"]
)
def test_any_bytes_are_a_blob(store: SqliteReceiptStore, data: bytes) -> None:
    for given in (data, bytearray(data), memoryview(data)):
        blob = store.put_blob(given)
        assert blob.sha256 == hashlib.sha256(data).hexdigest()
        assert blob.bytes_len == len(data)
        assert store.get_blob(blob.sha256) == data


@pytest.mark.parametrize("data", ["text", None, 5, [1]])
def test_what_is_no_bytes_is_no_blob(store: SqliteReceiptStore, data: Any) -> None:
    with pytest.raises(TypeError):
        store.put_blob(data)
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


def test_a_blob_put_twice_is_stored_once(store: SqliteReceiptStore) -> None:
    assert store.put_blob(b"hello") == store.put_blob(b"hello", kind="oracle:test_log")
    assert store._conn.execute("select count(*) from blobs").fetchone() == (1,)


@pytest.mark.ours
def test_a_file_object_is_put_as_a_stream(store: SqliteReceiptStore, tmp_path: pathlib.Path) -> None:
    data = os.urandom(5_000_000)
    (tmp_path / "big").write_bytes(data)
    with open(tmp_path / "big", "rb") as file:
        blob = store.put_blob(file)
    assert store.get_blob(blob.sha256) == data and blob.bytes_len == len(data)
    assert store.put_blob(io.BytesIO(b"hello")).sha256 == HELLO
    with pytest.raises(TypeError):
        store.put_blob(io.StringIO("text"))  # type: ignore[arg-type]


@pytest.mark.ours
def test_a_stream_that_fails_leaves_nothing_and_raises_its_own_error(store: SqliteReceiptStore) -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            raise RuntimeError("the cable is out")

        def readable(self) -> bool:
            return True

    with pytest.raises(Exception, match="the cable is out"):
        store.put_blob(Broken())  # type: ignore[arg-type]
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.parametrize("evidence_class", ["bogus", "", "Public", None, 5])
def test_an_evidence_class_is_public_or_sealed(store: SqliteReceiptStore, evidence_class: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        store.put_blob(b"x", evidence_class=evidence_class)
    assert store._conn.execute("select count(*) from blobs").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("order", [("public", "sealed"), ("sealed", "public")])
def test_the_strictest_class_wins_and_row_and_ref_agree(store: SqliteReceiptStore, order: tuple[str, str]) -> None:
    for evidence_class in order:
        blob = store.put_blob(b"x", evidence_class=evidence_class)
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["evidence_class"] == blob.evidence_class == "sealed"


@pytest.mark.ours
def test_an_expired_blob_that_is_put_again_is_there_again(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    store._conn.execute(
        "update blobs set state = 'expired_hash_only', data = null, expired_at = ?, created_at = ?", (TS, TS)
    )
    store._conn.commit()
    assert store.get_blob(HELLO) is None and store.blob_is_live(HELLO) is False
    store.put_blob(b"hello")
    meta = store.get_blob_meta(HELLO)
    assert store.get_blob(HELLO) == b"hello" and store.blob_is_live(HELLO)
    assert meta is not None and meta["state"] == "live" and meta["expired_at"] is None and meta["created_at"] > TS


@pytest.mark.ours
@pytest.mark.parametrize("change", ["data = x'00'", "data = null", "data = 'hello'", "data = x''"])
def test_bytes_that_are_not_those_of_the_hash_are_not_given_out(store: SqliteReceiptStore, change: str) -> None:
    store.put_blob(b"hello")
    store._conn.execute(f"update blobs set {change}")
    store._conn.commit()
    assert store.get_blob(HELLO) is None
    assert store.blob_is_live(HELLO) is False


@pytest.mark.ours
def test_a_blob_of_no_known_state_is_not_live(store: SqliteReceiptStore) -> None:
    store.put_blob(b"hello")
    store._conn.execute("update blobs set state = 'zzz'")
    store._conn.commit()
    assert store.blob_is_live(HELLO) is False


def test_secrets_are_redacted_before_the_write_and_the_ref_is_of_what_is_stored(
    store: SqliteReceiptStore, db_path: str
) -> None:
    blob = store.put_blob(b"key = sk-ant-" + b"a1B2" * 10, content_type="text/plain")
    stored = store.get_blob(blob.sha256)
    assert stored is not None and b"[REDACTED:" in stored and b"sk-ant-" not in stored
    assert blob.sha256 == hashlib.sha256(stored).hexdigest() and blob.bytes_len == len(stored)
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["redaction_report"]["redacted"] is True and meta["redaction_report"]["hits"]
    store.close()
    assert b"a1B2a1B2" not in pathlib.Path(db_path).read_bytes()


def test_redaction_can_be_switched_off(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, redaction_enabled=False)
    store.initialize_schema()
    data = b"key = sk-ant-" + b"a1B2" * 10
    assert store.get_blob(store.put_blob(data, content_type="text/plain").sha256) == data
    store.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_redactor_of_ones_own_gets_four_arguments_for_every_type(db_path: str) -> None:
    calls: list[tuple[Any, ...]] = []

    def redactor(*arguments: Any) -> tuple[bytes, RedactionReport]:
        calls.append(arguments)
        return b"instead", RedactionReport([], "told", True)

    store = SqliteReceiptStore(db_path, custom_redactor=redactor)
    store.initialize_schema()
    blob = store.put_blob(b"hello", content_type="image/png", evidence_class="sealed")
    assert calls == [(b"hello", "image/png", "sealed", HELLO)]
    assert [type(argument) for argument in calls[0]] == [bytes, str, str, str]
    assert store.get_blob(blob.sha256) == b"instead" and blob.bytes_len == 7
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["redaction_report"]["original_hash"] == "told"
    store.close()


def test_a_redactor_may_have_nothing_to_report_and_what_it_raises_arrives(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, custom_redactor=lambda *a: (a[0], None))  # type: ignore[arg-type,return-value]
    store.initialize_schema()
    assert store.put_blob(b"hello").sha256 == HELLO
    store.close()

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no")

    store = SqliteReceiptStore(db_path, custom_redactor=broken)
    with pytest.raises(RuntimeError, match=r"^no$"):
        store.put_blob(b"other")
    assert store._conn.execute("select count(*) from blobs").fetchone() == (1,)
    store.close()
    silent = SqliteReceiptStore(db_path, redaction_enabled=False, custom_redactor=broken)
    silent.put_blob(b"other")
    silent.close()


@pytest.mark.ours
def test_secrets_in_events_are_redacted_where_that_was_asked_for(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, redact_events=True)  # type: ignore[call-arg]
    store.initialize_schema()
    secret = "sk-ant-" + "a1B2" * 10
    run = Recorder(store)
    run.event("DECISION", {"note": f"use {secret}"}, actor_id=secret)
    event = store.get_events("r1")[1]
    assert secret not in json.dumps(event) and verify_envelope_hash(event)
    store.close()
    assert b"a1B2a1B2" not in pathlib.Path(db_path).read_bytes()


@pytest.mark.ours
def test_sealed_evidence_without_recipients_is_stored_as_it_is_with_a_warning(store: SqliteReceiptStore) -> None:
    from receipt_kernel import PlaintextSealedWarning, errors

    errors._WARNED.clear()
    with pytest.warns(PlaintextSealedWarning):
        blob = store.put_blob(b"for few", evidence_class="sealed")
    with warnings.catch_warnings():
        # Once a process.
        warnings.simplefilter("error")
        store.put_blob(b"for few others", evidence_class="sealed")
        # And no failure of a program that makes errors of all warnings.
        errors._WARNED.clear()
        store.put_blob(b"for a few more", evidence_class="sealed")
        warnings.filterwarnings("error", category=PlaintextSealedWarning)
        errors._WARNED.clear()
        with pytest.raises(PlaintextSealedWarning):
            store.put_blob(b"not stored", evidence_class="sealed")
    assert not store.has_blob(hashlib.sha256(b"not stored").hexdigest())
    assert store.get_blob(blob.sha256) == b"for few" and blob.evidence_class == "sealed"


@pytest.mark.ours
@pytest.mark.filterwarnings("error")
def test_sealed_evidence_is_encrypted_to_the_recipients(db_path: str) -> None:
    store = SqliteReceiptStore(db_path, recipients=[RECIPIENT])  # type: ignore[call-arg]
    store.initialize_schema()
    blob = store.put_blob(b"for few: canary-7f3a91", evidence_class="sealed")
    data = store.get_blob(blob.sha256)
    assert data is not None and data.startswith(b"age-encryption.org/v1") and b"canary" not in data
    assert blob.content_type == "application/vnd.age" and blob.evidence_class == "sealed"
    assert blob.sha256 == hashlib.sha256(data).hexdigest() and blob.bytes_len == len(data)
    public = store.put_blob(b"for all")
    assert store.get_blob(public.sha256) == b"for all"
    store.close()
    assert b"canary-7f3a91" not in pathlib.Path(db_path).read_bytes()


@pytest.mark.ours
def test_rules_of_ones_own_are_added_and_wrong_ones_refused(db_path: str) -> None:
    rules = '[[rule]]\nid = "badge"\nkeywords = ["badge-"]\npattern = "badge-[0-9]{4}"\n'
    store = SqliteReceiptStore(db_path, rules=rules)  # type: ignore[call-arg]
    store.initialize_schema()
    assert store.get_blob(store.put_blob(b"the door: badge-7351").sha256) == b"the door: [REDACTED:badge]"
    store.close()
    with pytest.raises(ValueError):
        SqliteReceiptStore(db_path, rules="nonsense = 1").initialize_schema()  # type: ignore[call-arg]
