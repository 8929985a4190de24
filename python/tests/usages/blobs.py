"""Blobs and redaction."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any
from unittest import mock

from receipt_kernel import RetentionPolicy
from receipt_kernel import redact as redact_module
from receipt_kernel.envelope import compute_hash_raw
from receipt_kernel.redact import RedactionHit, RedactionReport, redact
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore
from usages import KEY, LATER, sql, ticking, usage


@usage
def blobs_of_every_kind_of_bytes(store: SqliteReceiptStore) -> Any:
    return [store.put_blob(data).to_dict() for data in (b"", b"a", bytearray(b"b"), memoryview(b"c"), b"\xff" * 10)]  # type: ignore[arg-type]


@usage
def a_blob_that_is_text_is_refused(store: SqliteReceiptStore) -> Any:
    store.put_blob("text")  # type: ignore[arg-type]


@usage
def the_same_blob_again_under_another_type(store: SqliteReceiptStore) -> Any:
    first = store.put_blob(b"x", content_type="text/plain")
    again = store.put_blob(b"x", content_type="application/json")
    meta = store.get_blob_meta(first.sha256)
    assert meta is not None
    return [first.to_dict(), again.to_dict(), meta["content_type"]]


@usage
def the_same_blob_again_as_sealed(store: SqliteReceiptStore) -> Any:
    first = store.put_blob(b"x")
    again = store.put_blob(b"x", evidence_class="sealed")
    meta = store.get_blob_meta(first.sha256)
    assert meta is not None
    return [again.evidence_class, meta["evidence_class"], store.put_blob(b"x").evidence_class]


@usage
def a_class_of_ones_own(store: SqliteReceiptStore) -> Any:
    return store.put_blob(b"x", evidence_class="internal").evidence_class


@usage
def an_expired_blob_is_put_again(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(b"x")
    purge_expired(store, RetentionPolicy(0, 0), LATER, maintenance_run_id="m")
    store.put_blob(b"x")
    data = store.get_blob(blob.sha256)
    return None if data is None else data.decode()


@usage
def blobs_that_are_not_there(store: SqliteReceiptStore) -> Any:
    nowhere = "0" * 64
    answers = (
        store.get_blob(nowhere),
        store.get_blob_meta(nowhere),
        store.has_blob(nowhere),
        store.blob_is_live(nowhere),
    )
    return [*answers, store.get_blob("x"), store.has_blob("")]


@usage
def a_secret_is_redacted_in_text(store: SqliteReceiptStore) -> Any:
    blob = store.put_blob(KEY, content_type="text/plain")
    meta = store.get_blob_meta(blob.sha256)
    data = store.get_blob(blob.sha256)
    assert meta is not None and data is not None
    report = meta["redaction_report"]
    return [data.decode(), report["hits"], report["redacted"], sorted(report)]


@usage
def the_hash_of_the_original_in_the_row(store: SqliteReceiptStore) -> Any:
    meta = store.get_blob_meta(store.put_blob(KEY, content_type="text/plain").sha256)
    assert meta is not None
    return len(meta["redaction_report"]["original_hash"])


@usage
def a_secret_in_the_default_type(store: SqliteReceiptStore) -> Any:
    return KEY == store.get_blob(store.put_blob(KEY).sha256)


@usage
def redaction_is_switched_off(store: SqliteReceiptStore) -> Any:
    store.redaction_enabled = False
    return KEY == store.get_blob(store.put_blob(KEY, content_type="text/plain").sha256)


@usage
def a_redactor_of_ones_own(store: SqliteReceiptStore) -> Any:
    seen = []

    def hide(data: bytes, content_type: str, evidence_class: str, original_hash: str) -> tuple[bytes, RedactionReport]:
        seen.append([data.decode(), content_type, evidence_class, original_hash])
        return data.replace(b"me", b"**"), RedactionReport([RedactionHit("me", 0, 2, "**")], original_hash, True)

    other = SqliteReceiptStore(store.db_path, custom_redactor=hide)
    blob = other.put_blob(b"hide me", content_type="text/plain")
    answer = [seen, sql(other, "select data, redaction_json from blobs")[0][1], blob.bytes_len]
    other.close()
    return answer


@usage
def the_redactor_of_the_module_is_patched(store: SqliteReceiptStore) -> Any:
    with mock.patch("receipt_kernel.store_sqlite.redact", return_value=(b"patched", RedactionReport())) as patched:
        blob = store.put_blob(b"original", content_type="text/plain")
    return [store.get_blob(blob.sha256) == b"patched", list(patched.call_args.args[1:]), dict(patched.call_args.kwargs)]


@usage
def a_pattern_is_added(store: SqliteReceiptStore) -> Any:
    import re

    own = ("mine", re.compile(r"PROJ-\d+"), "[REDACTED:mine]")
    with mock.patch.object(redact_module, "_SECRET_PATTERNS", [*redact_module._SECRET_PATTERNS, own]):
        data, report = redact(b"see PROJ-123", "text/plain", "public")
        stored = store.get_blob(store.put_blob(b"see PROJ-123", content_type="text/plain").sha256)
    return [data.decode(), dataclasses.asdict(report), stored == data]


@usage
def the_patterns_are_listed(store: SqliteReceiptStore) -> Any:
    return [[name, replacement] for name, _, replacement in redact_module._SECRET_PATTERNS]


@usage
def types_that_are_text(store: SqliteReceiptStore) -> Any:
    types = ("text/plain", "text/x; charset=utf-8", "application/json", "application/xml", "application/yaml")
    others = ("application/x-yaml", "application/octet-stream", "image/png", "TEXT/PLAIN", "", "application/x-ndjson")
    return [redact_module._is_text_content(name) for name in types + others]


@usage
def text_without_secrets_stays(store: SqliteReceiptStore) -> Any:
    data, report = redact("é fine 😀".encode(), "text/plain", "public", "abc")
    return [data.decode(), report.to_dict()]


@usage
def a_redactor_is_any_callable(store: SqliteReceiptStore) -> Any:
    class Upper:
        def __call__(self, data: bytes, content_type: str, evidence_class: str, original_hash: str) -> Any:
            return data.upper(), None

    seen = []
    for redactor in (Upper(), functools.partial(lambda tail, data, *_: (data + tail, RedactionReport()), b"!")):
        other = SqliteReceiptStore(store.db_path, custom_redactor=redactor)
        blob = other.put_blob(b"quiet", content_type="image/png")
        seen.append(
            [(other.get_blob(blob.sha256) or b"").decode(), other.get_blob_meta(blob.sha256)["redaction_report"]]
        )  # type: ignore[index]
        other.close()
    return seen


@usage
def a_redactor_beside_redaction_switched_off(store: SqliteReceiptStore) -> Any:
    called = []

    def note(data: bytes, *rest: str) -> Any:
        called.append(rest)
        return data, None

    other = SqliteReceiptStore(store.db_path, redaction_enabled=False, custom_redactor=note)
    blob = other.put_blob(KEY, content_type="text/plain")
    answer = [len(called), other.get_blob(blob.sha256) == KEY]
    other.close()
    return answer


@usage
def a_file_is_kept_as_evidence(store: SqliteReceiptStore) -> Any:
    data = bytes(range(256)) * 5000
    blob = store.put_blob(data, content_type="application/zip", kind="artifact")
    return [blob.to_dict(), store.get_blob(blob.sha256) == data, compute_hash_raw(data) == blob.sha256]


@usage
def what_is_known_of_a_blob(store: SqliteReceiptStore) -> Any:
    with ticking():
        blob = store.put_blob(b"plain", content_type="text/plain", evidence_class="public")
    return [store.get_blob_meta(blob.sha256), store.has_blob(blob.sha256), store.blob_is_live(blob.sha256)]


@usage
def secrets_of_the_thirteen_patterns(store: SqliteReceiptStore) -> Any:
    texts = (
        b"sk-ant-aaaabbbbccccddddeeee1234",
        b"sk-aaaabbbbccccddddeeee1234",
        b"AKIAABCDEFGHIJKLMNOP",
        b"ghp_" + b"a1" * 18,
        b"redis://user:pass@host/0",
    )
    answers = []
    for text in texts:
        clean, report = redact(b"see " + text + b" there", "text/plain", "public")
        answers.append([clean.decode(), [hit.replacement for hit in report.hits], report.redacted])
    return answers


@usage
def secrets_that_overlap(store: SqliteReceiptStore) -> Any:
    clean, _ = redact(b'{"password": "redis://a@b correct-horse-battery-9"}', "application/json", "public")
    return b"battery" in clean


@usage
def a_secret_in_a_json_member(store: SqliteReceiptStore) -> Any:
    clean, _ = redact(b'{"user": "bob", "password": "correct-horse-battery-9"}', "application/json", "public")
    try:
        return list(json.loads(clean))
    except ValueError:
        return "no JSON"


@usage
def a_secret_that_the_thirteen_miss(store: SqliteReceiptStore) -> Any:
    clean, report = redact(b"glpat-ABCDEFGHIJ1234567890", "text/plain", "public")
    return [clean == b"glpat-ABCDEFGHIJ1234567890", report.redacted]


@usage
def a_word_that_looks_like_a_key(store: SqliteReceiptStore) -> Any:
    return redact(b"see task-aaaabbbbccccddddeeee in the plan", "text/plain", "public")[0].decode()
