"""``evaluation.completeness``: the run was evaluated, and no better than its results are."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class EvaluationCompletenessInvariant:
    """There is an EVALUATION with results, complete evidence, and an overall verdict that its results bear out."""

    invariant_id = "evaluation.completeness"

    def __init__(
        self,
        required_evidence_keys: list[str] | None = None,
        required_invariants: tuple[str, ...] = (),
        verify_blobs: bool = False,
        require_receipt_completeness_in_results: bool = False,
    ) -> None:
        self.required_evidence_keys = texts("required_evidence_keys", required_evidence_keys or [])
        self.required_invariants = tuple(texts("required_invariants", required_invariants))
        self.verify_blobs = verify_blobs
        self.require_receipt_completeness_in_results = require_receipt_completeness_in_results

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        params = {
            "required_evidence_keys": self.required_evidence_keys,
            "required_invariants": list(self.required_invariants),
            "verify_blobs": bool(self.verify_blobs),
            "require_receipt_completeness_in_results": bool(self.require_receipt_completeness_in_results),
        }
        return judge(self, ctx, "evaluation.completeness", params)
