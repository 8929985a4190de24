"""``output.bound_to_claims``: the claims are about the output that was put."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import get_evidence_blob_sha, get_run_mode, load_evidence_json  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class OutputBoundToClaimsInvariant:
    """In the modes that it concerns, ``claims_map`` names the blob of evidence ``final_output``."""

    invariant_id = "output.bound_to_claims"

    def __init__(self, *, require_in_modes: tuple[str, ...] = ("factual", "mixed")) -> None:
        self._modes = tuple(texts("require_in_modes", require_in_modes))

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "output.bound_to_claims", {"require_in_modes": list(self._modes)})
