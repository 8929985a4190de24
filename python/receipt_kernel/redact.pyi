import re
from dataclasses import dataclass, field
from typing import Any

@dataclass(frozen=True)
class RedactionHit:
    pattern_name: str
    offset: int
    length: int
    replacement: str

@dataclass
class RedactionReport:
    hits: list[RedactionHit] = field(default_factory=list)
    original_hash: str = ""
    redacted: bool = False
    def to_dict(self) -> dict[str, Any]: ...

def redact(
    data: bytes | bytearray | memoryview,
    content_type: str,
    evidence_class: str,
    original_hash: str = "",
) -> tuple[bytes, RedactionReport]: ...

_SECRET_PATTERNS: list[tuple[str, re.Pattern[str], str]]

def _is_text_content(content_type: str) -> bool: ...
def added() -> list[tuple[str, re.Pattern[str], str]]: ...
