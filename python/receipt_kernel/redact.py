"""Redaction: secrets are replaced before anything is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import _native


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
    clean, hits = _native.redact(bytes(data))
    return clean, RedactionReport([RedactionHit(*hit) for hit in hits], original_hash, bool(hits))
