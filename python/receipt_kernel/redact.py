"""Redaction: secrets are replaced before anything is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from . import _native

#: The patterns of 0.1.0: name, expression, replacement. The rules that are used find what these find and more; a pattern
#: that you add is used beside them.
_SECRET_PATTERNS: list[tuple[str, re.Pattern[str], str]] = [
    ("anthropic_api_key", re.compile(r"sk-ant-[a-zA-Z0-9_-]{20,}"), "[REDACTED:anthropic_key]"),
    ("openai_api_key", re.compile(r"sk-[a-zA-Z0-9]{20,}"), "[REDACTED:openai_key]"),
    ("aws_access_key", re.compile(r"AKIA[0-9A-Z]{16}"), "[REDACTED:aws_key]"),
    ("aws_secret_key", re.compile(r"(?i)aws_secret_access_key\s*[=:]\s*\S+"), "[REDACTED:aws_secret]"),
    ("bearer_token", re.compile(r"(?i)bearer\s+[a-zA-Z0-9._\-]{20,}"), "[REDACTED:bearer]"),
    ("authorization_header", re.compile(r"(?i)authorization\s*[=:]\s*\S+"), "[REDACTED:auth_header]"),
    ("password_field", re.compile(r"""(?i)["']?password["']?\s*[=:]\s*"[^"]*\""""), "[REDACTED:password]"),
    ("password_field_sq", re.compile(r"""(?i)["']?password["']?\s*[=:]\s*'[^']*'"""), "[REDACTED:password]"),
    (
        "private_key_block",
        re.compile(r"(?s)-----BEGIN (?:RSA )?PRIVATE KEY-----.*?-----END (?:RSA )?PRIVATE KEY-----"),
        "[REDACTED:private_key]",
    ),
    ("github_token", re.compile(r"gh[pousr]_[A-Za-z0-9_]{36,}"), "[REDACTED:github_token]"),
    ("connection_string", re.compile(r"(?i)(?:mysql|postgres|mongodb|redis)://[^\s@]*@\S+"), "[REDACTED:connection_string]"),
    (
        "generic_secret_assign",
        re.compile(r"""(?i)(?:secret|token|key|apikey|api_key)\s*[=:]\s*"[^"]{16,}\""""),
        "[REDACTED:generic_secret]",
    ),
    (
        "generic_secret_assign_sq",
        re.compile(r"(?i)(?:secret|token|key|apikey|api_key)\s*[=:]\s*'[^']{16,}'"),
        "[REDACTED:generic_secret]",
    ),
]
_KNOWN = tuple(_SECRET_PATTERNS)

#: What 0.1.0 looked into, by its type. All evidence is looked into now, whatever its type says.
_TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/x-yaml")


def _is_text_content(content_type: str) -> bool:
    """Whether 0.1.0 looked into evidence of this type."""
    return content_type.startswith("text/") or content_type in _TEXT_TYPES


def added() -> list[tuple[str, re.Pattern[str], str]]:
    """The patterns that somebody has added."""
    return [] if len(_SECRET_PATTERNS) == len(_KNOWN) else [one for one in _SECRET_PATTERNS if one not in _KNOWN]


@dataclass(frozen=True)
class RedactionHit:
    """A secret that was replaced: the rule, and where it stood, in characters of the original."""

    pattern_name: str
    offset: int
    length: int
    replacement: str


@dataclass
class RedactionReport:
    """What was replaced."""

    hits: list[RedactionHit] = field(default_factory=list)
    original_hash: str = ""
    redacted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "hits": [
                {
                    "pattern_name": hit.pattern_name,
                    "offset": hit.offset,
                    "length": hit.length,
                    "replacement": hit.replacement,
                }
                for hit in self.hits
            ],
            "original_hash": self.original_hash,
            "redacted": self.redacted,
        }


def redact(
    data: bytes, content_type: str, evidence_class: str, original_hash: str = ""
) -> tuple[bytes, RedactionReport]:
    """Replaces the secrets in ``data``, whatever its type and class say, and reports what was replaced.

    ``original_hash`` goes into the report as it is given. Beside the redacted bytes the hash of the original lets
    anybody test guesses of a short secret, so a store never keeps it.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        # As 0.1.0 says of what is not bytes.
        raise AttributeError(f"{type(data).__name__!r} object has no attribute 'decode'")
    clean, found = _native.redact(bytes(data))
    hits = [RedactionHit(*hit) for hit in found]
    for name, pattern, replacement in added():
        text = clean.decode("utf-8", "surrogateescape")
        spans = [found.span() for found in pattern.finditer(text)]
        hits += [RedactionHit(name, start, end - start, replacement) for start, end in spans]
        if spans:
            clean = pattern.sub(lambda _, text=replacement: text, text).encode("utf-8", "surrogateescape")
    return clean, RedactionReport(hits, original_hash, bool(hits))
