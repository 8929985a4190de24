import enum
from dataclasses import dataclass, field
from typing import Any, Final

EVENT_SCHEMA_VERSION: Final = 1
VALID_EVENT_TYPES: Final[frozenset[str]]
KIND_TO_STRENGTH: Final[dict[str, EvidenceStrength]]

class Verdict(enum.Enum):
    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    def is_success(self) -> bool: ...
    def is_failure(self) -> bool: ...

class EvidenceClass(enum.Enum):
    PUBLIC = "public"
    SEALED = "sealed"

class EvidenceStrength(enum.Enum):
    STRONG = "strong"
    MEDIUM = "medium"
    WEAK = "weak"

class BlobState(enum.Enum):
    LIVE = "live"
    EXPIRED_HASH_ONLY = "expired_hash_only"
    PURGED = "purged"

def strength_for_kind(evidence_kind: str | None) -> EvidenceStrength: ...

@dataclass(frozen=True)
class BlobRef:
    ref: str
    sha256: str
    content_type: str
    bytes_len: int
    evidence_class: str = "public"
    def to_dict(self) -> dict[str, Any]: ...

@dataclass
class RetentionPolicy:
    public_ttl_seconds: int = 2592000
    sealed_ttl_seconds: int = 604800
    hash_retention_seconds: int = -1
    def ttl_for_class(self, evidence_class: EvidenceClass) -> int: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RetentionPolicy: ...

@dataclass(frozen=True)
class Reason:
    code: str
    msg: str
    pointers: tuple[str, ...] = ()
    def to_dict(self) -> dict[str, Any]: ...

@dataclass
class InvariantResult:
    invariant_id: str
    verdict: Verdict
    reasons: list[Reason] = field(default_factory=list)
    evidence_refs: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    def to_dict(self) -> dict[str, Any]: ...
