"""``finalization.completeness``: the run ended, with a verdict that its evaluation bears out."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge


class FinalizationCompletenessInvariant:
    """The last event is a RUN_FINALIZE with a verdict; where that is asked, it refers to a decision of this run."""

    invariant_id = "finalization.completeness"

    def __init__(self, require_decision_ref: bool = False, allow_warn_as_success: bool = True) -> None:
        self.require_decision_ref = require_decision_ref
        self.allow_warn_as_success = allow_warn_as_success

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        params = {
            "require_decision_ref": bool(self.require_decision_ref),
            "allow_warn_as_success": bool(self.allow_warn_as_success),
        }
        return judge(self, ctx, "finalization.completeness", params)
