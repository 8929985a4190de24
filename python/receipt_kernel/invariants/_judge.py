"""How an invariant's class asks the kernel: of the rows of a store of ours, or of what a store shows."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from .. import _native
from ..envelope import canonical_json
from ..errors import StoreError
from ..store_sqlite import SqliteReceiptStore
from ..types import InvariantResult, Reason, Verdict

#: The evidence whose bytes the invariants read.
_READS = ["claims_map", "tool_trace", "final_output", "exit_status"]

#: The methods through which invariants read; where one is not ours, it is called.
_METHODS = ("get_events", "get_blob", "has_blob", "blob_is_live")
_OURS = {name: getattr(SqliteReceiptStore, name) for name in _METHODS}

#: Which of them each invariant asks of a blob whose bytes it does not read.
_ASKS = {
    "receipt.completeness": ("has_blob", "blob_is_live"),
    "evaluation.completeness": ("has_blob", "blob_is_live"),
    "claims.evidence_binding": ("has_blob",),
    "tools.trace_consistency": ("has_blob",),
}
_NO_HASH = "sha256:" + "0" * 64
#: Those that read no evidence.
_NO_DOCUMENTS = (
    "receipt.completeness",
    "evaluation.completeness",
    "finalization.completeness",
    "run.single_finalize",
    "run.stage_required_path",
    "epistemic.mode_requirements",
)


def judge(invariant: Any, ctx: Any, invariant_id: str, params: dict[str, Any]) -> InvariantResult:
    """What the invariant of this id says of the run of a context, under the name that ``invariant`` goes by.

    Of a store of ours that nobody has changed it never raises: what cannot be read is UNKNOWN. Where a subclass or a patch
    has a method of its own, that is called, and what it raises comes through.
    """
    result = _judged(ctx, invariant_id, params)
    result.invariant_id = invariant.invariant_id
    return result


def _judged(ctx: Any, invariant_id: str, params: dict[str, Any]) -> InvariantResult:
    given = getattr(ctx, "get", lambda name: None)
    store, run_id = given("store"), given("run_id")
    if store is None or not isinstance(run_id, str) or (not run_id and invariant_id not in _STRUCTURAL):
        return _unknown(invariant_id, "CONTEXT_MISSING", "store/run_id not provided")
    encoded = canonical_json(params)
    others = [name for name in _METHODS if not _is_ours(store, name)]
    if invariant_id == "ledger.chain_valid" or not others:
        return of_json(_of_rows(store, run_id, invariant_id, encoded))
    if not hasattr(store, "get_events"):
        return _unknown(invariant_id, "READ_FAILURE", "the run could not be read: the store has no get_events")
    return of_json(_foreign_run(store, run_id, invariant_id).evaluate(invariant_id, encoded))


_STRUCTURAL = ("ledger.chain_valid", *(name for name in _NO_DOCUMENTS if name != "epistemic.mode_requirements"))


def _is_ours(store: Any, name: str) -> bool:
    return getattr(getattr(store, name, None), "__func__", None) is _OURS[name]


def _of_rows(store: Any, run_id: str, invariant_id: str, params: bytes) -> bytes:
    if not isinstance(store, SqliteReceiptStore):
        if not hasattr(store, "_ensure_conn"):
            problem = "the store shows no rows, so that no column can be compared with its envelope"
            return json.dumps(_unknown(invariant_id, "READ_FAILURE", problem).to_dict()).encode()
        store._ensure_conn()
        return _native.Judge().evaluate(store._conn, "", run_id, invariant_id, params)
    try:
        connection = store._conn
    except (StoreError, sqlite3.Error) as error:
        if getattr(store._ensure_conn, "__func__", None) is not SqliteReceiptStore._ensure_conn:
            raise
        result = _unknown(invariant_id, "READ_FAILURE", f"the run could not be read: {error}")
        return json.dumps(result.to_dict()).encode()
    own: Any = store
    with own._shared.lock:
        answer: bytes = own._judge.evaluate(connection, own._shared.path, run_id, invariant_id, params)
    return answer


def of_json(text: bytes) -> InvariantResult:
    """A result, from the kernel's JSON."""
    return of_dict(json.loads(text))


def of_dict(value: dict[str, Any]) -> InvariantResult:
    """A result, from what its ``to_dict`` gives."""
    reasons = [Reason(reason["code"], reason["msg"], tuple(reason["pointers"])) for reason in value["reasons"]]
    verdict = Verdict(value["verdict"])
    return InvariantResult(value["invariant_id"], verdict, reasons, value["evidence_refs"], value["meta"])


def checked(invariant_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that the kernel takes; ``TypeError`` where it does not."""
    try:
        _native.check_invariant(invariant_id, canonical_json(params))
    except ValueError as error:
        raise TypeError(str(error)) from None
    return params


def texts(name: str, given: Any) -> list[str]:
    """A list of texts; ``TypeError`` for one text, which would be split into its letters."""
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{name} must be a list of strings, not one string")
    return list(given)


def _unknown(invariant_id: str, code: str, msg: str) -> InvariantResult:
    return InvariantResult(invariant_id, Verdict.UNKNOWN, [Reason(code, msg)])


def _foreign_run(store: Any, run_id: str, invariant_id: str) -> _native.ForeignRun:
    shown = enumerate(store.get_events(run_id), 1)
    run = _native.ForeignRun(run_id, [_canonical(_placed(event, run_id, place)) for place, event in shown])
    reads = [] if invariant_id in _NO_DOCUMENTS else _READS
    while wanted := run.wanted(reads):
        for sha256, bytes_wanted in wanted:
            run.supply(sha256, *_fact(store, sha256, bytes_wanted, invariant_id))
    return run


def _placed(event: Any, run_id: str, place: int) -> Any:
    """An event that a store shows, in its place. A store that stands in for ours often leaves out what only the chain asks
    for, and the chain is never judged by what is shown."""
    if not isinstance(event, dict):
        return event
    seq = event.get("seq")
    own = {"run_id": run_id, "seq": seq if type(seq) is int and seq > 0 else place}
    return {**event, **own, "prev_event_hash": None, "event_hash": _NO_HASH}


def _canonical(envelope: Any) -> bytes:
    try:
        return canonical_json(envelope)
    except (TypeError, ValueError, RecursionError):
        # Not an event: the kernel says so.
        return b"null"


def _fact(store: Any, sha256: str, bytes_wanted: bool, invariant_id: str) -> tuple[bytes | None, str]:
    """What a store says of a blob, asked as 0.1.0 asked."""
    if bytes_wanted:
        data = store.get_blob(sha256)
        return (None, "missing") if data is None else (bytes(data), "intact")
    asks = _ASKS.get(invariant_id, ())
    if "has_blob" in asks and not store.has_blob(sha256):
        return None, "missing"
    if "blob_is_live" in asks and not store.blob_is_live(sha256):
        return None, "expired"
    return None, "intact"
