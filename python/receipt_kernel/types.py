"""The types that events, evidence and verdicts are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


#: The version of the envelope.
EVENT_SCHEMA_VERSION = 1

#: Every type of event.
VALID_EVENT_TYPES = frozenset(
    {
        "RUN_START",
        "STAGE_ADVANCE",
        "EVIDENCE_PUT",
        "EVALUATION",
        "DECISION",
        "REMEDIATION",
        "RUN_FINALIZE",
        "BLOB_EXPIRE",
    }
)


class Verdict(Enum):
    """What an invariant says of a run. UNKNOWN is a failure."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"

    def is_success(self) -> bool:
        """Whether it is PASS or WARN."""
        return self in (Verdict.PASS, Verdict.WARN)

    def is_failure(self) -> bool:
        """Whether it is FAIL or UNKNOWN."""
        return not self.is_success()


class EvidenceClass(Enum):
    """How evidence is stored and how long it lives."""

    PUBLIC = "public"
    SEALED = "sealed"


class EvidenceStrength(Enum):
    """How much evidence of a kind can carry."""

    STRONG = "strong"
    MEDIUM = "medium"
    WEAK = "weak"


class BlobState(Enum):
    """Whether a blob's bytes are kept."""

    LIVE = "live"
    EXPIRED_HASH_ONLY = "expired_hash_only"
    PURGED = "purged"


#: The strength of each kind of evidence that is known; any other kind is weak.
KIND_TO_STRENGTH: dict[str, EvidenceStrength] = {
    "oracle:test_log": EvidenceStrength.STRONG,
    "oracle:pytest_log": EvidenceStrength.STRONG,
    "oracle:linter_output": EvidenceStrength.STRONG,
    "oracle:retrieval_bundle": EvidenceStrength.STRONG,
    "oracle:sandbox_exec": EvidenceStrength.STRONG,
    "oracle:static_analysis": EvidenceStrength.STRONG,
    "tool:trace": EvidenceStrength.STRONG,
    "tool:output": EvidenceStrength.STRONG,
    "user:provided": EvidenceStrength.MEDIUM,
    "user:document": EvidenceStrength.MEDIUM,
    "model:summary": EvidenceStrength.MEDIUM,
    "model:self_report": EvidenceStrength.WEAK,
    "model:generated": EvidenceStrength.WEAK,
}


def strength_for_kind(evidence_kind: str) -> EvidenceStrength:
    """The strength of a kind of evidence; weak where the kind is not known."""
    return KIND_TO_STRENGTH.get(evidence_kind, EvidenceStrength.WEAK)


@dataclass(frozen=True)
class BlobRef:
    """Where evidence lies, and what it is."""

    ref: str
    sha256: str
    content_type: str
    bytes_len: int
    evidence_class: str = "public"

    def to_dict(self) -> dict[str, Any]:
        """The fields, as an EVIDENCE_PUT event has them."""
        return {
            "ref": self.ref,
            "sha256": self.sha256,
            "content_type": self.content_type,
            "bytes_len": self.bytes_len,
            "evidence_class": self.evidence_class,
        }


@dataclass
class RetentionPolicy:
    """How many seconds evidence of each class is kept, and its address after that; below 0 is for ever."""

    public_ttl_seconds: int = 2592000
    sealed_ttl_seconds: int = 604800
    hash_retention_seconds: int = -1

    def ttl_for_class(self, evidence_class: EvidenceClass) -> int:
        """How many seconds evidence of a class is kept."""
        return self.sealed_ttl_seconds if evidence_class is EvidenceClass.SEALED else self.public_ttl_seconds

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return {
            "public_ttl_seconds": self.public_ttl_seconds,
            "sealed_ttl_seconds": self.sealed_ttl_seconds,
            "hash_retention_seconds": self.hash_retention_seconds,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RetentionPolicy:
        """From what :meth:`to_dict` gives; what is left out has its default."""
        default = cls()
        return cls(**{name: data.get(name, value) for name, value in default.to_dict().items()})


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is."""

    code: str
    msg: str
    pointers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields, with the pointers as a list."""
        return {"code": self.code, "msg": self.msg, "pointers": list(self.pointers)}


@dataclass
class InvariantResult:
    """What an invariant says of a run."""

    invariant_id: str
    verdict: Verdict
    reasons: list[Reason] = field(default_factory=list)
    evidence_refs: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields, as an EVALUATION event has them."""
        return {
            "invariant_id": self.invariant_id,
            "verdict": self.verdict.value,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "evidence_refs": list(self.evidence_refs),
            "meta": dict(self.meta),
        }
