"""Retention: evidence whose time is over is removed, and events say so."""

from __future__ import annotations

import re
import warnings
from datetime import datetime, timedelta, timezone
from typing import Any

from .envelope import canonical_json, make_envelope  # noqa: F401 - 0.1.0 has them here too
from .errors import RetentionWarning
from .store_sqlite import SqliteReceiptStore
from .types import BlobState, EvidenceClass, RetentionPolicy  # noqa: F401 - 0.1.0 has them here too


#: Beyond this many seconds something is kept for ever: no instant that can be written is as far away.
_FOREVER = 400_000_000_000


def _instant(text: object, *, offset: bool) -> datetime:
    if not isinstance(text, str):
        raise TypeError(f"an instant must be ISO 8601 text, not {type(text).__name__}")
    # Python 3.10 reads three digits of a second or six, and no Z.
    digits = re.sub(r"[.,]([0-9]{1,6})[0-9]*", lambda found: "." + found[1].ljust(6, "0"), text)
    instant = datetime.fromisoformat(digits[:-1] + "+00:00" if digits[-1:] in ("Z", "z") else digits)
    if instant.tzinfo is None:
        if offset:
            raise ValueError(f"{text!r} has no offset from UTC, so that it names no instant")
        instant = instant.replace(tzinfo=timezone.utc)
    return instant.astimezone(timezone.utc)


def _ttls(policy: RetentionPolicy) -> list[int]:
    return [_seconds(name, value) for name, value in RetentionPolicy.to_dict(policy).items()]


def _seconds(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number of seconds, not {value!r}")
    return value if 0 <= value < _FOREVER else -1


def compute_expiry_ts(created_at: str, evidence_class: EvidenceClass, policy: RetentionPolicy) -> str | None:
    """Until when evidence is kept, in UTC; ``None`` for ever. An instant without an offset is in UTC."""
    seconds = _seconds("ttl", policy.ttl_for_class(evidence_class))
    created = _instant(created_at, offset=False)
    try:
        return None if seconds < 0 else (created + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return None


def _now(now: str | None) -> str:
    return (datetime.now(timezone.utc) if now is None else _instant(now, offset=True)).isoformat()


def _report(problems: list[str]) -> None:
    for problem in problems:
        warnings.warn(problem, RetentionWarning, stacklevel=3)


def _dicts(due: list[tuple[str, str, int, str, str, str]]) -> list[dict[str, Any]]:
    names = ("sha256", "content_type", "bytes_len", "created_at", "evidence_class", "expires_at")
    return [dict(zip(names, blob, strict=True)) for blob in due]


def find_expired_blobs(
    store: SqliteReceiptStore, policy: RetentionPolicy, now: str | None = None
) -> list[dict[str, Any]]:
    """The blobs whose time is over at ``now``, an instant with an offset.

    A row that cannot be judged stops nothing: it is left out, with a :class:`~receipt_kernel.errors.RetentionWarning`.
    """
    due, problems = store._native.find_expired(_ttls(policy), _now(now), canonical_json(policy.to_dict()))
    _report(problems)
    return _dicts(due)


def purge_expired(
    store: SqliteReceiptStore,
    policy: RetentionPolicy,
    now: str | None = None,
    *,
    dry_run: bool = False,
    maintenance_run_id: str | None = None,
) -> list[dict[str, Any]]:
    """Removes the bytes of the blobs whose time is over, and says so in BLOB_EXPIRE events of a maintenance run.

    Bytes and events are one transaction, and no copy of the bytes stays in the files. A run that ``maintenance_run_id``
    names is yours: it is begun where it is new, and stays open; one that has ended is a ``ValueError``. Without a name
    the receipts are a whole run of their own. Blobs that have been without bytes for ``hash_retention_seconds`` become
    ``purged``.
    """
    if dry_run:
        return find_expired_blobs(store, policy, now)
    ttls, instant = _ttls(policy), _now(now)
    due, problems, _ = store._native.purge(ttls, instant, canonical_json(policy.to_dict()), maintenance_run_id)
    _report(problems)
    return _dicts(due)
