"""What invariants in Python ask of a store: its evidence by key, and the blobs of a run."""

from __future__ import annotations

import json
from typing import Any


_PREFIX = "blob://sha256:"


def parse_blob_ref(ref: Any) -> str | None:
    """The hexadecimal digits of a reference ``blob://sha256:…``; ``None`` for anything else."""
    return ref[len(_PREFIX) :] if isinstance(ref, str) and ref.startswith(_PREFIX) else None


def _payloads(store: Any, run_id: str, event_type: str) -> list[dict[str, Any]]:
    payloads = (event.get("payload") for event in store.get_events(run_id, event_type))
    return [payload for payload in payloads if isinstance(payload, dict)]


def _dict(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def get_run_mode(store: Any, run_id: str) -> str | None:
    """The mode of the first RUN_START, in lower case."""
    for payload in _payloads(store, run_id, "RUN_START"):
        mode = _dict(payload, "meta").get("mode")
        return mode.lower() if isinstance(mode, str) else None
    return None


def find_evidence_by_key(store: Any, run_id: str, key: str) -> dict[str, Any] | None:
    """``payload.evidence`` of the last EVIDENCE_PUT of a key."""
    for payload in reversed(_payloads(store, run_id, "EVIDENCE_PUT")):
        if payload.get("key") == key:
            evidence = payload.get("evidence")
            return evidence if isinstance(evidence, dict) else None
    return None


def get_evidence_blob_sha(store: Any, run_id: str, key: str) -> str | None:
    """The address of the last evidence of a key."""
    sha256 = (find_evidence_by_key(store, run_id, key) or {}).get("sha256")
    return sha256 if isinstance(sha256, str) else None


def load_evidence_json(store: Any, run_id: str, key: str) -> Any:
    """The last evidence of a key as JSON; ``None`` where it is not there, or is none."""
    sha256 = get_evidence_blob_sha(store, run_id, key)
    data = None if sha256 is None else store.get_blob(sha256)
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _of_evidence(store: Any, run_id: str, name: str) -> dict[str, Any]:
    found = {}
    for payload in _payloads(store, run_id, "EVIDENCE_PUT"):
        ref, value = _dict(payload, "evidence").get("ref"), _dict(payload, "meta").get(name)
        if isinstance(ref, str) and value is not None:
            found[ref] = value
    return found


def build_blob_kind_map(store: Any, run_id: str) -> dict[str, str]:
    """The kind of each blob that a run has put, by its reference."""
    kinds = _of_evidence(store, run_id, "evidence_kind")
    return {ref: kind for ref, kind in kinds.items() if isinstance(kind, str)}


def build_blob_class_map(store: Any, run_id: str) -> dict[str, int]:
    """The oracle class of each blob that a run has put, by its reference."""
    classes = _of_evidence(store, run_id, "oracle_class")
    return {ref: number for ref, number in classes.items() if type(number) is int}


def collect_run_blob_refs(store: Any, run_id: str) -> set[str]:
    """The references of every blob that a run has put or referred to."""
    found = set()
    for event in store.get_events(run_id):
        payload = event.get("payload") if event.get("event_type") == "EVIDENCE_PUT" else None
        named = [_dict(payload, "evidence").get("ref")] if isinstance(payload, dict) else []
        blobs = _dict(event, "refs").get("blobs")
        named += blobs if isinstance(blobs, list) else []
        found.update(ref for ref in named if parse_blob_ref(ref) is not None)
    return found
