from collections.abc import Iterable
from typing import Any

from receipt_kernel.types import EVENT_SCHEMA_VERSION as EVENT_SCHEMA_VERSION
from receipt_kernel.types import VALID_EVENT_TYPES as VALID_EVENT_TYPES

def canonical_json(obj: Any) -> bytes: ...
def compute_hash(data: bytes | bytearray | memoryview) -> str: ...
def compute_hash_raw(data: bytes | bytearray | memoryview) -> str: ...
def make_envelope(
    *,
    event_type: str,
    stage: str,
    policy_id: str,
    policy_version: str,
    stage_graph_id: str,
    actor_kind: str,
    actor_id: str,
    payload: dict[str, Any],
    blob_refs: Iterable[str] | None = None,
    event_refs: Iterable[str] | None = None,
    run_id: str = "",
    seq: int = 0,
    prev_event_hash: str | None = None,
    ts: str | None = None,
) -> dict[str, Any]: ...
def seal_envelope(envelope: dict[str, Any]) -> dict[str, Any]: ...
def verify_envelope_hash(envelope: dict[str, Any]) -> bool: ...
