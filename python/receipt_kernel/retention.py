"""Retention: evidence whose time is over is removed, and events say so."""

from __future__ import annotations

import math
import re
import warnings
from datetime import datetime, timedelta, timezone
from typing import Any

from . import _sqlite
from .envelope import canonical_json, compute_hash_raw, make_envelope  # noqa: F401 - 0.1.0 has them here too
from .errors import RetentionWarning
from .invariants.ledger_chain_valid import LedgerChainValidInvariant
from .store_sqlite import SqliteReceiptStore
from .types import BlobState, EvidenceClass, RetentionPolicy


#: Beyond this many seconds something is kept for ever: no instant that can be written is as far away.
_FOREVER = 400_000_000_000

#: The policy that maintenance runs name.
_POLICY = ("retention", "0.1.0", "v1_minimal")


def _instant(text: object) -> datetime:
    """The moment of an ISO 8601 text, which without an offset is in UTC."""
    if not isinstance(text, str):
        raise TypeError(f"an instant must be ISO 8601 text, not {type(text).__name__}")
    # Python 3.10 reads three digits of a second or six, and no Z.
    digits = re.sub(r"[.,]([0-9]{1,6})[0-9]*", lambda found: "." + found[1].ljust(6, "0"), text)
    instant = datetime.fromisoformat(digits[:-1] + "+00:00" if digits[-1:] in ("Z", "z") else digits)
    return instant.replace(tzinfo=timezone.utc) if instant.tzinfo is None else instant.astimezone(timezone.utc)


def _seconds(name: str, value: object) -> float | None:
    """How long something is kept; ``None`` for ever."""
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} must be a number of seconds, not {value!r}")
    return value if 0 <= value < _FOREVER else None


def _until(created_at: object, seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return _instant(created_at) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def compute_expiry_ts(created_at: str, evidence_class: EvidenceClass, policy: RetentionPolicy) -> str | None:
    """Until when evidence is kept, in UTC; ``None`` for ever. An instant without an offset is in UTC."""
    until = _until(created_at, _seconds("ttl", policy.ttl_for_class(evidence_class)))
    return None if until is None else until.isoformat()


def _checked(policy: RetentionPolicy) -> None:
    for name, value in RetentionPolicy.to_dict(policy).items():
        _seconds(name, value)


def _asked_at(now: str | None) -> str:
    return now or datetime.now(timezone.utc).isoformat()


_COLUMNS = ("sha256", "content_type", "bytes_len", "created_at", "evidence_class")


def _due(store: SqliteReceiptStore, policy: RetentionPolicy, now: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The blobs whose time is over, and what is wrong with the rows that cannot be judged."""
    at, due, problems = _instant(now), [], []
    for row in store._rows(f"SELECT {', '.join(_COLUMNS)} FROM blobs WHERE state = 'live' ORDER BY rowid", ()):
        blob = dict(zip(_COLUMNS, row, strict=True))
        try:
            ttl = policy.ttl_for_class(EvidenceClass(blob["evidence_class"]))
            until = _until(blob["created_at"], _seconds("ttl", ttl))
        except (TypeError, ValueError) as error:
            problems.append(f"left alone: {str(blob['sha256'])[:64]}: {error}")
            continue
        if until is not None and at > until:
            due.append({**blob, "expires_at": until.isoformat()})
    return due, problems


def _long_gone(store: SqliteReceiptStore, policy: RetentionPolicy, now: str) -> list[dict[str, Any]]:
    """The blobs whose bytes have been gone for longer than even their addresses are looked after."""
    kept = _seconds("hash_retention_seconds", policy.hash_retention_seconds)
    if kept is None:
        return []
    at, gone = _instant(now), []
    columns = "sha256, content_type, bytes_len, created_at, evidence_class, expired_at"
    for row in store._rows(f"SELECT {columns} FROM blobs WHERE state = 'expired_hash_only' ORDER BY rowid", ()):
        try:
            until = _until(row[5], kept)
        except (TypeError, ValueError):
            continue
        if until is not None and at > until:
            gone.append({**dict(zip(_COLUMNS, row, strict=False)), "created_at": row[5]})
    return gone


def _report(problems: list[str]) -> None:
    for problem in problems:
        warnings.warn(problem, RetentionWarning, stacklevel=3)


def find_expired_blobs(
    store: SqliteReceiptStore, policy: RetentionPolicy, now: str | None = None
) -> list[dict[str, Any]]:
    """The blobs whose time is over at ``now``, an instant that without an offset is in UTC.

    A row that cannot be judged stops nothing: it is left out, with a :class:`~receipt_kernel.errors.RetentionWarning`.
    """
    _checked(policy)
    due, problems = _due(store, policy, _asked_at(now))
    _report(problems)
    return due


class _Maintenance:
    """The run that has the receipts: one that the caller names, or a whole one of its own."""

    def __init__(self, store: SqliteReceiptStore, policy: RetentionPolicy, now: str, named: str | None) -> None:
        self.store, self.policy, self.now, self.own = store, policy, now, named is None
        self.run_id = self._free_id() if named is None else named
        store.ensure_run(self.run_id, *_POLICY, meta={"type": "maintenance", "action": "purge_expired"})
        if self.own:
            self.write("RUN_START", {"meta": {"type": "maintenance", "action": "purge_expired"}}, stage="START")
            step = {"from_stage": "START", "to_stage": "FINALIZE", "reason": "removing what is due"}
            self.write("STAGE_ADVANCE", step)

    def _free_id(self) -> str:
        stamp = "".join(letter for letter in self.now[:19] if letter.isalnum())
        number = 1
        while self.store._rows("SELECT 1 FROM runs WHERE run_id = ?", (f"purge-{stamp}Z-{number}",)):
            number += 1
        return f"purge-{stamp}Z-{number}"

    def write(
        self, event_type: str, payload: dict[str, Any], blobs: list[str] | None = None, *, stage: str = "FINALIZE"
    ) -> None:
        envelope = make_envelope(
            event_type=event_type,
            stage=stage,
            policy_id=_POLICY[0],
            policy_version=_POLICY[1],
            stage_graph_id=_POLICY[2],
            actor_kind="system",
            actor_id="retention_policy",
            payload=payload,
            blob_refs=blobs,
        )
        self.store.append_event(self.run_id, envelope)

    def remove(self, run: Any, blob: dict[str, Any], to: BlobState) -> None:
        """Takes a blob's bytes, or its address, off the books, and says so."""
        taken = "state = ?" if to is BlobState.PURGED else "state = ?, data = NULL, expired_at = ?"
        values = (to.value,) if to is BlobState.PURGED else (to.value, self.now)
        run.execute(f"UPDATE blobs SET {taken} WHERE sha256 = ?", (*values, blob["sha256"]))
        payload = {name: blob[name] for name in ("sha256", "bytes_len", "created_at", "evidence_class")}
        payload |= {"expired_at": self.now, "new_state": to.value, "policy": self.policy.to_dict()}
        self.write("BLOB_EXPIRE", payload, [f"blob://sha256:{blob['sha256']}"])

    def end(self, summary: str) -> None:
        """Judges and ends a run that nobody named."""
        if not self.own:
            return
        result = LedgerChainValidInvariant().evaluate({"store": self.store, "run_id": self.run_id})
        verdict = result.verdict.value
        evaluation = {"results": [result.to_dict()], "overall_verdict": verdict, "evidence_complete": True}
        self.write("EVALUATION", evaluation)
        self.write("RUN_FINALIZE", {"overall_verdict": verdict, "summary": summary})


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
    names is yours: it gets one event for each blob. Without a name the receipts are a whole run of their own. Blobs that
    have been without bytes for ``hash_retention_seconds`` become ``purged``.
    """
    if dry_run:
        return find_expired_blobs(store, policy, now)
    _checked(policy)
    now = _asked_at(now)
    _instant(now)
    removed: list[dict[str, Any]] = []
    with store._writing() as run:
        due, problems = _due(store, policy, now)
        gone = _long_gone(store, policy, now)
        maintenance = None
        for blob in [*due, *gone]:
            if "expires_at" in blob and not store.blob_is_live(blob["sha256"]):
                problems.append(f"left alone: {blob['sha256']}: its bytes are not those that were put")
                continue
            maintenance = maintenance or _Maintenance(store, policy, now, maintenance_run_id)
            if "expires_at" in blob:
                maintenance.remove(run, blob, BlobState.EXPIRED_HASH_ONLY)
                removed.append(blob)
            else:
                maintenance.remove(run, blob, BlobState.PURGED)
        if maintenance is not None:
            maintenance.end(f"expired {len(removed)} blobs, purged {len(gone)}")
    if removed and not store._conn.in_transaction and not _sqlite.scrub(store._conn):
        problems.append("somebody still reads what was before: copies remain until the next purge")
    _report(problems)
    return removed
