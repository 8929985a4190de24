"""The native interface: a ledger under the kernel's strict rules."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from . import _beside, _native, _sqlite
from ._json import loads
from .errors import LedgerError, OldSqliteWarning, warn_once
from .invariants._judge import of_dict
from .store_sqlite import SqliteReceiptStore
from .types import BlobRef, InvariantResult, Verdict


_Actor = tuple[str, str]
_PYTHON: _Actor = ("system", "python")


class Policy:
    """Which invariants a run is judged by, and which stages it may walk."""

    def __init__(self, native: _native.Policy) -> None:
        self._native = native

    @staticmethod
    def from_toml(text: str) -> Policy:
        """A policy in TOML. Raises ``ValueError`` for an unknown key or invariant, and for a policy that asks nothing."""
        return Policy(_native.Policy.from_toml(text))

    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> Policy:
        """The policy in a TOML file."""
        return Policy.from_toml(Path(path).read_text(encoding="utf-8"))

    @staticmethod
    def structural() -> Policy:
        """The structural invariants, over the stage graph ``v1_default``."""
        return Policy(_native.Policy.structural())

    @property
    def id(self) -> str:
        """Its id."""
        return self._native.id

    @property
    def version(self) -> str:
        """Its version."""
        return self._native.version

    @property
    def digest(self) -> str:
        """The SHA-256 of its canonical JSON, which RUN_START and EVALUATION name."""
        return self._native.digest

    def to_dict(self) -> dict[str, Any]:
        """The policy in full, as RUN_START commits to it."""
        value: dict[str, Any] = loads(self._native.to_json())
        return value

    def __repr__(self) -> str:
        return f"Policy(id={self.id!r}, version={self.version!r}, digest={self.digest!r})"


class Ledger:
    """A ledger file, made where there is none unless ``create`` is false.

    ``recipients`` (age public keys) are added to those that sealed evidence is encrypted to; ``rules`` (TOML) take the
    place of the ledger's own redaction rules. Both stay with the ledger. It may be used from many threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        recipients: Iterable[str] | None = None,
        rules: str | None = None,
    ) -> None:
        if _sqlite.is_open(path) is not None or _native.is_open_elsewhere(path):
            problem = f"this process has {os.fspath(path)!r} open through another SQLite library, such as that of sqlite3 and"
            raise LedgerError(f"{problem} SqliteReceiptStore: close it there first, as two lose what was recorded")
        _beside.watch()
        names = None if recipients is None else list(recipients)
        self._ledger = _native.Ledger(os.fspath(path), "create" if create else "open", names, rules)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file, once the runs that were taken from it are gone too."""
        self._ledger.close()

    def start(
        self, run_id: str, policy: Policy, *, meta: Mapping[str, Any] | None = None, actor: _Actor = _PYTHON
    ) -> Run:
        """Starts a run, which commits to its policy and stage graph in full; durable when it returns."""
        return Run(self._ledger.start(run_id, policy._native, actor, _json(meta)))

    def resume(self, run_id: str, *, actor: _Actor = _PYTHON) -> Run:
        """Takes up a run that was started, here or in another process."""
        return Run(self._ledger.resume(run_id, actor))

    def runs(self) -> list[dict[str, Any]]:
        """Every run, as ``receipt --json runs`` has it."""
        names = ("run_id", "events", "finalized", "overall_verdict")
        return [dict(zip(names, run, strict=True)) for run in self._ledger.runs()]

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """A run's envelopes in their order."""
        events: list[dict[str, Any]] = loads(self._ledger.events(run_id))
        return events

    def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """A run's envelopes, of one type where one is given; what invariants in Python ask for."""
        events = self.events(run_id)
        return [event for event in events if not event_type or event["event_type"] == event_type]

    def get_blob(self, sha256: str) -> bytes | None:
        """A blob's bytes, hashed again; ``None`` where there is no such blob."""
        return self._ledger.blob(sha256)

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[dict[str, Any]]:
        """The rows of one SQL statement that only reads, each a dict by the names of its columns.

        The tables are those of ``docs/FORMAT.md``. What lies in them is as it was stored: nobody has verified it. Raises
        :class:`LedgerError` for a statement that would write, for more than one, and where a parameter is missing.
        """
        return self._ledger.query(sql, params)

    def verify(self, run_id: str | None = None) -> dict[str, Any]:
        """The report of ``receipt --json verify``, over one run or all."""
        return self._verify(run_id, None, None)

    def _verify(self, run_id: str | None, checkpoint: bytes | None, vkey: str | None) -> dict[str, Any]:
        report: dict[str, Any] = loads(self._ledger.verify(run_id, checkpoint, vkey))
        return report

    def evaluate(self, run_id: str, policy: Policy | None = None) -> dict[str, Any]:
        """Judges a run as it is now, by a policy or by the one that it committed to, and records nothing."""
        evaluation = self._ledger.evaluate(run_id, None if policy is None else policy._native)
        value: dict[str, Any] = loads(evaluation)
        return value


def _json(value: Mapping[str, Any] | None) -> bytes:
    return _native.recorded_json(dict(value or {}))


class Run:
    """A run that is open for writing."""

    def __init__(self, native: _native.Run) -> None:
        self._run = native

    @property
    def run_id(self) -> str:
        """Its id."""
        return self._run.run_id

    @property
    def stage(self) -> str:
        """The stage that it is in."""
        return self._run.stage

    def advance(self, stage: str, reason: str = "") -> str:
        """Goes to another stage. Raises :class:`LedgerError` where the stage graph has no such step."""
        return self._run.advance(stage, reason)

    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview | BinaryIO | Path,
        *,
        content_type: str = "application/octet-stream",
        kind: str = "evidence",
        evidence_class: str = "public",
        meta: Mapping[str, Any] | None = None,
    ) -> BlobRef:
        """Puts evidence on record under a key. A binary file object or a ``Path`` is read in pieces."""
        stored = self._run.put(key, data, content_type, evidence_class, kind, _json(meta))
        sha256, stored_type, length, stored_class = stored
        return BlobRef(f"blob://sha256:{sha256}", sha256, stored_type, length, stored_class)

    def append(self, event_type: str, payload: Mapping[str, Any], *, key: str | None = None) -> str:
        """Appends a DECISION or REMEDIATION. The same idempotency key twice gives the same event once."""
        return self._run.append_batch([(event_type, _json(payload), [], key)])[0]

    def append_batch(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Appends many events ``(event_type, payload)`` in one transaction."""
        return self._run.append_batch([(kind, _json(payload), [], None) for kind, payload in events])

    def evaluate(self) -> dict[str, Any]:
        """Judges the run by the policy that it committed to, and records it."""
        evaluation: dict[str, Any] = loads(self._run.evaluate())
        return evaluation

    def decide(self, payload: Mapping[str, Any]) -> str:
        """Records a decision ``{"decision_id", "basis", "action_plan"}``, which refers to the last evaluation."""
        unknown = set(payload) - {"decision_id", "basis", "action_plan"}
        if unknown or "decision_id" not in payload:
            raise LedgerError("a decision has decision_id, basis and action_plan, and nothing else")
        basis = payload.get("basis", ())
        basis = [basis] if isinstance(basis, str) else list(basis)
        return self._run.decide(payload["decision_id"], basis, payload.get("action_plan", ""))

    def finalize(self, summary: str = "") -> dict[str, Any]:
        """Ends the run with the best verdict that its last evaluation allows."""
        return {"overall_verdict": self._run.finalize(summary)}


def evaluate(
    ledger: Ledger | SqliteReceiptStore | str | os.PathLike[str],
    run_id: str,
    policy: Policy | None = None,
    *,
    invariants: Iterable[Any] = (),
) -> dict[str, Any]:
    """Judges a run by a policy, or by the one that it committed to, and by ``invariants`` of yours beside it.

    Each of ``invariants`` has an ``invariant_id`` and ``evaluate(ctx)``, which gives an :class:`InvariantResult`; one that
    raises, or gives something else, is UNKNOWN. All of yours are required. A store of the old interface has no policy:
    there, the structural invariants stand in for it where you give none.
    """
    if isinstance(ledger, SqliteReceiptStore):
        value = _evaluate_store(ledger, run_id, policy)
        own: Any = ledger
    elif isinstance(ledger, Ledger):
        value, own = ledger.evaluate(run_id, policy), ledger
    else:
        with Ledger(ledger, create=False) as opened:
            return evaluate(opened, run_id, policy, invariants=invariants)
    results = [_ask(invariant, {"store": own, "run_id": run_id}) for invariant in invariants]
    value["results"] += [{**result.to_dict(), "required": True} for result in results]
    worst = [Verdict(value["overall_verdict"]), *(result.verdict for result in results)]
    value["overall_verdict"] = max(worst, key=_SEVERITY.index).value
    return value


#: From best to worst.
_SEVERITY = [Verdict.PASS, Verdict.WARN, Verdict.UNKNOWN, Verdict.FAIL]


def _ask(invariant: Any, ctx: dict[str, Any]) -> InvariantResult:
    name = str(getattr(invariant, "invariant_id", type(invariant).__name__))
    try:
        result = invariant.evaluate(ctx)
        if isinstance(result, InvariantResult) and isinstance(result.verdict, Verdict):
            return result
        problem = f"it gave {type(result).__name__}, which is no InvariantResult"
    except Exception as error:  # noqa: BLE001 - it is somebody else's
        problem = f"it raised {type(error).__name__}: {error}"
    return of_dict(
        {
            "invariant_id": name,
            "verdict": "unknown",
            "reasons": [{"code": "INVARIANT_ERROR", "msg": problem, "pointers": []}],
            "evidence_refs": [],
            "meta": {},
        }
    )


def _evaluate_store(store: SqliteReceiptStore, run_id: str, policy: Policy | None) -> dict[str, Any]:
    chosen = Policy.structural() if policy is None else policy
    own: Any = store
    with own._shared.lock:
        evaluation = _native.evaluate_policy(own._conn, run_id, chosen._native)
    value: dict[str, Any] = loads(evaluation)
    return value


def verify(
    path: str | os.PathLike[str],
    run_id: str | None = None,
    *,
    checkpoint: str | bytes | os.PathLike[str] | None = None,
    vkey: str | None = None,
) -> dict[str, Any]:
    """The report of ``receipt --json verify`` on a ledger file, which is only read.

    ``checkpoint`` is a signed note that was kept outside: its text or bytes, or the path of its file. ``vkey`` is the
    verifier key that must have signed it.
    """
    note: bytes | None
    if checkpoint is None or isinstance(checkpoint, bytes):
        note = checkpoint
    elif isinstance(checkpoint, str) and "\n" in checkpoint:
        note = checkpoint.encode()
    else:
        note = Path(checkpoint).read_bytes()
    _tell_of_old_sqlite()
    with _sqlite.apart(path) as file:
        ledger = _native.Ledger(file, "read", None, None)
        try:
            report: dict[str, Any] = loads(ledger.verify(run_id, note, vkey))
            return report
        finally:
            ledger.close()


def _tell_of_old_sqlite() -> None:
    found = sqlite3.sqlite_version_info
    if found < _sqlite.MENDED:
        wanted = ".".join(map(str, _sqlite.MENDED))
        problem = f"SqliteReceiptStore works on SQLite {sqlite3.sqlite_version}, which is older than {wanted}: when two"
        problem += " connections write and checkpoint at the same time, it can rarely lose a commit"
        warn_once(OldSqliteWarning, problem, stacklevel=3)
