"""``run.single_finalize`` and ``run.stage_required_path``: how a run ends, and the way that it takes."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class SingleFinalizeInvariant:
    """There is exactly one RUN_FINALIZE."""

    invariant_id = "run.single_finalize"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "run.single_finalize", {})


class StageRequiredPathInvariant:
    """The required stages were walked, in order."""

    invariant_id = "run.stage_required_path"

    def __init__(self, required_path: list[str]) -> None:
        self.required_path = texts("required_path", required_path)

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        if not self.required_path:
            return _unconditional(ctx, self.invariant_id)
        return judge(self, ctx, "run.stage_required_path", {"required_path": self.required_path})


def _unconditional(ctx: dict[str, Any], invariant_id: str) -> InvariantResult:
    """A path that asks for nothing is walked by every run that there is."""
    stages = [event.get("stage") for event in ctx["store"].get_events(ctx["run_id"])]
    if not stages:
        reason = Reason("NO_EVENTS", f"No events found for run_id={ctx['run_id']}")
        return InvariantResult(invariant_id, Verdict.UNKNOWN, [reason])
    visited = [stage for place, stage in enumerate(stages) if place == 0 or stages[place - 1] != stage]
    return InvariantResult(invariant_id, Verdict.PASS, meta={"visited": visited, "required": []})
