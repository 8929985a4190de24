"""How an invariant's class asks the kernel: of a store of ours in Rust, of any other through what it shows."""

from __future__ import annotations

import json
from typing import Any

from .. import _native
from ..envelope import canonical_json
from ..types import InvariantResult, Reason, Verdict

#: The evidence whose bytes the invariants read.
_READS = ["claims_map", "tool_trace", "final_output", "exit_status"]


def judge(ctx: Any, invariant_id: str, params: dict[str, Any]) -> InvariantResult:
    """What an invariant says of the run of a context. It never raises: what cannot be read is UNKNOWN."""
    store = ctx.get("store") if isinstance(ctx, dict) else None
    run_id = ctx.get("run_id") if isinstance(ctx, dict) else None
    if store is None or not isinstance(run_id, str) or not run_id:
        return _unknown(invariant_id, "CONTEXT_MISSING", "store/run_id not provided")
    try:
        native = getattr(store, "_native", None)
        encoded = canonical_json(params)
        if isinstance(native, _native.Store):
            return of_json(native.evaluate(run_id, invariant_id, encoded))
        if invariant_id == "ledger.chain_valid":
            problem = "the store shows no rows, so that no column can be compared with its envelope"
            return _unknown(invariant_id, "READ_FAILURE", problem)
        return of_json(_foreign_run(store, run_id).evaluate(invariant_id, encoded))
    except Exception as error:  # noqa: BLE001 - a store of somebody else's may raise anything
        return _unknown(invariant_id, "READ_FAILURE", f"the run could not be read: {error}")


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


def _foreign_run(store: Any, run_id: str) -> _native.ForeignRun:
    run = _native.ForeignRun(run_id, [_canonical(event) for event in store.get_events(run_id)])
    while wanted := run.wanted(_READS):
        for sha256, _ in wanted:
            run.supply(sha256, *_fact(store, sha256))
    return run


def _canonical(envelope: Any) -> bytes:
    try:
        return canonical_json(envelope)
    except (TypeError, ValueError, RecursionError):
        # Not an event: the kernel says so.
        return b"null"


def _fact(store: Any, sha256: str) -> tuple[bytes | None, str]:
    try:
        data = store.get_blob(sha256)
        if data is not None:
            return bytes(data), "intact"
        meta = store.get_blob_meta(sha256)
        state = None if meta is None else meta.get("state")
    except Exception as error:  # noqa: BLE001 - as above
        return None, f"the blob could not be read: {error}"
    return None, {None: "missing", "live": "malformed"}.get(state, "expired")
