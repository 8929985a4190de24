"""Envelopes: made, hashed, and checked."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ._native import canonical_json, compute_hash, compute_hash_raw  # noqa: F401 - 0.1.0 has them here too
from .types import EVENT_SCHEMA_VERSION, VALID_EVENT_TYPES


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
    blob_refs: list[str] | None = None,
    event_refs: list[str] | None = None,
    run_id: str = "",
    seq: int = 0,
    prev_event_hash: str | None = None,
    ts: str | None = None,
) -> dict[str, Any]:
    """An envelope without its hash. A store gives it its run, place and hash when it is appended.

    Raises ``ValueError`` for an unknown event type, and ``TypeError`` for references that are one string.
    """
    if event_type not in VALID_EVENT_TYPES:
        raise ValueError(f"Unknown event_type {event_type!r}. Valid types: {sorted(VALID_EVENT_TYPES)}")
    return {
        "event_schema_version": EVENT_SCHEMA_VERSION,
        "run_id": run_id,
        "seq": seq,
        "ts": ts or datetime.now(timezone.utc).isoformat(),
        "event_type": event_type,
        "stage": stage,
        "policy": {"policy_id": policy_id, "policy_version": policy_version, "stage_graph_id": stage_graph_id},
        "actor": {"kind": actor_kind, "id": actor_id},
        "prev_event_hash": prev_event_hash,
        "event_hash": None,
        "payload": payload,
        "refs": {"blobs": _references("blob_refs", blob_refs), "events": _references("event_refs", event_refs)},
    }


def _references(name: str, given: list[str] | None) -> list[str]:
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{name} must be a list of strings, not one string")
    return list(given or ())


def _hash(envelope: dict[str, Any]) -> str:
    return compute_hash(canonical_json({key: value for key, value in envelope.items() if key != "event_hash"}))


def seal_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    """A copy of an envelope with the hash of its canonical bytes."""
    sealed = {key: value for key, value in envelope.items() if key != "event_hash"}
    sealed["event_hash"] = _hash(sealed)
    return sealed


def verify_envelope_hash(envelope: dict[str, Any]) -> bool:
    """Whether an envelope has a hash, and it is that of its canonical bytes."""
    claimed = envelope.get("event_hash")
    return bool(claimed) and _hash(envelope) == claimed
