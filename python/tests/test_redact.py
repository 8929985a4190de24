"""Redaction: secrets go, all that is not a secret stays."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from helpers import on_file
from receipt_kernel.redact import RedactionHit, RedactionReport, redact
from receipt_kernel.store_sqlite import SqliteReceiptStore

MIXED = "a1B2c3D4"

# One secret for each of the thirteen patterns of old, and what stands there then.
THIRTEEN = {
    "anthropic_api_key": ("sk-ant-" + MIXED * 5, "[REDACTED:anthropic_key]"),
    "openai_api_key": ("sk-" + MIXED * 6, "[REDACTED:openai_key]"),
    "aws_access_key": ("AKIA" + "Q7RX" * 4, "[REDACTED:aws_key]"),
    "aws_secret_key": ("aws_secret_access_key = " + "wJalrXUt/K7MDENG" * 2 + "bPxRfiCY", "[REDACTED:aws_secret]"),
    "bearer_token": ("Bearer " + MIXED * 4, "[REDACTED:bearer]"),
    "authorization_header": ("Authorization: Zm9vYmFyYmF6cXV4", "[REDACTED:auth_header]"),
    "password_field": ('password = "hunter2222"', "[REDACTED:password]"),
    "password_field_sq": ("password: 'hunter2222'", "[REDACTED:password]"),
    "private_key_block": (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----",
        "[REDACTED:private_key]",
    ),
    "github_token": ("ghp_" + MIXED * 5, "[REDACTED:github_token]"),
    "connection_string": ("postgres://user:pa55word@db.example.org:5432/x", "[REDACTED:connection_string]"),
    "generic_secret_assign": ('api_key = "' + MIXED * 3 + '"', "[REDACTED:generic_secret]"),
    "generic_secret_assign_sq": ("token: '" + MIXED * 3 + "'", "[REDACTED:generic_secret]"),
}


def clean(text: str | bytes, content_type: str = "text/plain") -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return redact(data, content_type, "public")[0]


def test_there_are_thirteen() -> None:
    assert len(THIRTEEN) == 13


@pytest.mark.parametrize("name", THIRTEEN)
def test_each_pattern_of_old_is_redacted_under_its_replacement(name: str) -> None:
    secret, replacement = THIRTEEN[name]
    data, report = redact(f"before {secret}\nafter".encode(), "text/plain", "public", "given")
    assert replacement.encode() in data
    assert data.startswith(b"before ") and data.endswith(b"\nafter")
    value = secret.split()[-1].strip("\"'") if "PRIVATE" not in secret else "MIIEpAIBAAKCAQEA7bq"
    assert value.encode() not in data
    assert report.redacted is True
    assert report.original_hash == "given"
    assert (name, replacement) in [(hit.pattern_name, hit.replacement) for hit in report.hits]


def test_a_report_is_of_dataclasses_and_goes_to_a_dict() -> None:
    hit = RedactionHit("a", 1, 2, "r")
    assert repr(hit) == "RedactionHit(pattern_name='a', offset=1, length=2, replacement='r')"
    assert {hit: 1}[RedactionHit("a", 1, 2, "r")] == 1
    assert repr(RedactionReport()) == "RedactionReport(hits=[], original_hash='', redacted=False)"
    assert RedactionReport([hit], "h", True).to_dict() == {
        "hits": [{"pattern_name": "a", "offset": 1, "length": 2, "replacement": "r"}],
        "original_hash": "h",
        "redacted": True,
    }
    assert list(RedactionReport([hit]).to_dict()["hits"][0]) == ["pattern_name", "offset", "length", "replacement"]
    with pytest.raises(AttributeError):
        hit.offset = 5  # type: ignore[misc]
    report = RedactionReport()
    report.hits.append(hit)
    assert RedactionReport().hits == [] and report != RedactionReport()


def test_clean_text_is_the_same_bytes_and_an_empty_report() -> None:
    for data in (b"", b"all 12 tests passed\n", "na\u00efve \U0001f600".encode()):
        assert redact(data, "text/plain", "public") == (data, RedactionReport())


def test_hits_are_in_the_order_of_the_text() -> None:
    text = "\n".join(secret for secret, _ in THIRTEEN.values())
    _, report = redact(text.encode(), "text/plain", "public")
    offsets = [hit.offset for hit in report.hits]
    assert len(offsets) >= 13 and offsets == sorted(offsets)


def test_offsets_and_lengths_are_in_characters() -> None:
    secret = THIRTEEN["github_token"][0]
    _, report = redact(f"\u00e9\U0001f600 {secret}".encode(), "text/plain", "public")
    assert [(hit.offset, hit.length) for hit in report.hits] == [(3, len(secret))]


def test_bytes_like_data_gives_bytes() -> None:
    data, _ = redact(bytearray(THIRTEEN["github_token"][0].encode()), "text/plain", "public")  # type: ignore[arg-type]
    assert type(data) is bytes and data == b"[REDACTED:github_token]"
    with pytest.raises((TypeError, AttributeError)):
        redact("text", "text/plain", "public")  # type: ignore[arg-type]


# Values that stand in one another


@pytest.mark.ours
@pytest.mark.parametrize(
    "text, secrets",
    [
        ('{"password": "redis://a@b correct-horse-battery-9"}', ["horse-battery-9"]),
        ('secret = "mysql://r@h then S3cretTail-42!"', ["S3cretTail"]),
        (
            "-----BEGIN PRIVATE KEY-----\n" + "redis://a@b\n" * 4 + "MIIEvQIBADANBgkqhkiG\n-----END PRIVATE KEY-----",
            ["MIIEvQIBADANBgkqhkiG"],
        ),
        (
            '{"dsn":"redis://a:b@c","x":[{"password":"a"},{"password":"a"},{"password":"a"}],"pin":"password: \'48213377\'"}',
            ["48213377"],
        ),
    ],
)
def test_no_tail_of_a_secret_is_left_where_secrets_overlap(text: str, secrets: list[str]) -> None:
    data = clean(text)
    for secret in secrets:
        assert secret.encode() not in data, data


@pytest.mark.ours
@pytest.mark.parametrize(
    "text, kept",
    [
        (
            'token = "sk-ant-' + MIXED * 11 + '"\nresult: FAIL 3 tests failed in 0.21 s\n',
            "\nresult: FAIL 3 tests failed in 0.21 s\n",
        ),
        ('AWS_SECRET_ACCESS_KEY="' + "wJalrXUt/K7MDENG" * 3 + '"\nAWS_REGION=eu-west-1\n', "\nAWS_REGION=eu-west-1\n"),
    ],
)
def test_the_lines_behind_a_secret_stay(text: str, kept: str) -> None:
    data = clean(text)
    assert data.endswith(kept.encode()), data
    assert b"a1B2" not in data and b"wJalrXUt" not in data


@pytest.mark.ours
def test_a_replacement_is_whole() -> None:
    data = clean("Authorization: Bearer " + MIXED * 5 + "\nnext")
    assert b"TED:" not in data.replace(b"[REDACTED:", b"") and data.endswith(b"\nnext")


@pytest.mark.ours
@pytest.mark.parametrize(
    "value",
    [
        {"user": "bob", "password": "hunter2222"},
        {"api_key": MIXED * 3, "n": 5},
        {"client_secret": MIXED * 3},
        {"headers": {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}},
        {"aws_secret_access_key": "wJalrXUt/K7MDENG" * 2 + "bPxRfiCY"},
        {"password": 'with \\" quote and the rest 12345'},
    ],
    ids=lambda value: next(iter(value)),
)
def test_redacted_json_is_json_with_the_same_keys(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    data = clean(text, "application/json")
    assert data != text.encode()
    again = json.loads(data)
    assert list(again) == list(value)
    for secret in ("hunter2222", MIXED * 3, "dXNlcjpwYXNzd29yZA", "wJalrXUt", "the rest 12345"):
        assert secret.encode() not in data


# What is looked into


@pytest.mark.ours
@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "application/json; charset=utf-8",
        "Application/JSON",
        "TEXT/PLAIN",
        "application/x-ndjson",
        "application/jsonl",
        "application/ld+json",
        "application/problem+json",
        "application/javascript",
        "application/x-sh",
        "application/toml",
        "application/sql",
        "application/x-www-form-urlencoded",
        "message/http",
        "image/svg+xml",
        "application/xhtml+xml",
        "",
    ],
)
def test_all_that_is_text_is_looked_into_whatever_its_type_says(content_type: str) -> None:
    assert clean(f"x {THIRTEEN['github_token'][0]} y", content_type) == b"x [REDACTED:github_token] y"


@pytest.mark.ours
def test_the_default_type_of_put_blob_is_looked_into(store: SqliteReceiptStore) -> None:
    blob = store.put_blob(f"x {THIRTEEN['github_token'][0]} y".encode())
    assert store.get_blob(blob.sha256) == b"x [REDACTED:github_token] y"


@pytest.mark.ours
@pytest.mark.parametrize(
    "data", [b"\xff ", b"\xc3", b"ok \xed\xa0\x80 "], ids=["stray byte", "cut character", "surrogate"]
)
def test_a_byte_that_is_no_utf8_does_not_hide_a_secret(data: bytes) -> None:
    secret = THIRTEEN["github_token"][0].encode()
    for text in (data + b" " + secret, secret + b" " + data):
        out = clean(text)
        assert secret not in out and b"[REDACTED:github_token]" in out and data in out


@pytest.mark.ours
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_looked_into(encoding: str) -> None:
    secret = THIRTEEN["github_token"][0]
    out = clean(f"token is {secret} and more\n".encode(encoding))
    assert secret.encode(encoding.replace("utf-16", "utf-16-le") if encoding == "utf-16" else encoding) not in out
    assert secret.encode() not in out


@pytest.mark.ours
@pytest.mark.parametrize(
    "text, secret",
    [
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpw"),
        ("authorization: token " + MIXED * 4, MIXED),
        ("Authorization: Bearer ab+cd/" + MIXED * 4, MIXED),
        ("curl https://u:pa55w0rdpa55@example.org/x", "pa55w0rdpa55"),
        ("postgresql://u:pa55w0rdpa55@db/x", "pa55w0rdpa55"),
        ("mongodb+srv://u:pa55w0rdpa55@db/x", "pa55w0rdpa55"),
        ("rediss://:pa55w0rdpa55@cache:6379", "pa55w0rdpa55"),
        ("xoxb-" + "123456789012-1234567890123-" + MIXED * 3, MIXED),
        ("sk_live_" + MIXED * 4, MIXED),
        ("glpat-" + "a1B2c3D4e5F6g7H8i9J0", "a1B2c3D4"),
        ("npm_" + "a1B2c3D4" * 4 + "a1B2", "a1B2c3D4"),
        ("AIza" + "Sy" + "a1B2c3D4e" * 3 + "x9Yz7W", "a1B2c3D4"),
        ("github_pat_" + "11ABCDEFG0" + "a1B2c3D4e5F6" + "_" + "a1B2c3D4e5F" * 5 + "a1B2", "a1B2c3D4e5F6"),
        ("hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "HiJkLmNoPq"),
        ("sk-proj-" + "a1B2c3D4" * 8, "a1B2c3D4"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----",
            "b3BlbnNzaC1rZXk",
        ),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1\n-----END EC PRIVATE KEY-----", "MHcCAQEEIIrY"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bqBcutoff", "MIIEpAIBAAKCAQEA"),
        ("AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2, "QPZRY9X8GF2"[:58]),
        ("GET /x?access_token=" + MIXED * 4 + "&y=1", MIXED),
        ("PASSWORD=hunter2222x\nNEXT=1", "hunter2222x"),
        ("./deploy --password hunter2222x --dry-run", "hunter2222x"),
        ("{'password': \"hunter2222x\"}", "hunter2222x"),
    ],
    ids=lambda value: value[:24],
)
def test_secrets_that_the_thirteen_patterns_miss_are_found(text: str, secret: str) -> None:
    data = clean(text)
    assert secret.encode() not in data, data
    assert b"[REDACTED:" in data


@pytest.mark.ours
@pytest.mark.parametrize(
    "text",
    [
        "task-a1b2c3d4e5f6g7h8i9j0k1",
        "disk-a1b2c3d4e5f6g7h8i9j0k1",
        'monkey = "a1b2c3d4e5f6g7h8i9"',
        "the password is needed",
        "sk-learn",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert clean(text) == text.encode()


@pytest.mark.ours
def test_no_hash_of_the_secret_bytes_is_stored(store: SqliteReceiptStore, db_path: str) -> None:
    blob = store.put_blob(b'pin: password = "4821"', content_type="text/plain")
    meta = store.get_blob_meta(blob.sha256)
    assert meta is not None and meta["redaction_report"]["redacted"] is True
    assert meta["redaction_report"]["original_hash"] == ""
    store.close()
    ((stored,),) = on_file(db_path, "select redaction_json from blobs")
    assert json.loads(stored)["original_hash"] == ""


@pytest.mark.differs("a report of over 10,000 secrets, of evidence that is no text, or of rules of one's own")
@pytest.mark.ours
def test_a_report_has_more_keys_only_where_there_is_more_to_say(store: SqliteReceiptStore) -> None:
    def keys(data: bytes, by: SqliteReceiptStore = store) -> list[str]:
        meta = by.get_blob_meta(by.put_blob(data).sha256)
        assert meta is not None
        return [] if meta["redaction_report"] is None else list(meta["redaction_report"])

    secret, of_old = b"sk-ant-aaaabbbbccccddddeeee1234\n", ["hits", "original_hash", "redacted"]
    assert keys(b"nothing") == [] and keys(secret) == of_old
    assert keys(secret * 10_001) == [*of_old, "more_hits"]
    assert keys(b"\x00\x01\x02\x03" * 100 + secret) == [*of_old, "scanned", "unscanned"]
    rules = '[[rule]]\nid = "badge"\nkeywords = ["badge-"]\npattern = "badge-[0-9]{4}"\n'
    with SqliteReceiptStore(store.db_path, rules=rules) as other:
        assert keys(b"badge-7351", other) == [*of_old, "rules"]


@pytest.mark.ours
@pytest.mark.parametrize(
    "piece", [b"-----BEGIN PRIVATE KEY-----\n", b"mysql://", b'password="', b"secret = '", b"sk-ant-", b"Bearer "]
)
def test_hostile_text_takes_no_longer_than_other_text(piece: bytes) -> None:
    data = piece * (2_000_000 // len(piece))
    began = time.monotonic()
    clean(data)
    assert time.monotonic() - began < 5


@pytest.mark.ours
def test_ten_megabytes_of_clean_log_take_seconds_and_not_minutes() -> None:
    data = b"2026-01-01T00:00:00Z INFO worker 7 took 12 ms for /index.html\n" * 160_000
    began = time.monotonic()
    out, report = redact(data, "text/plain", "public")
    assert out == data and not report.redacted
    assert time.monotonic() - began < 5
