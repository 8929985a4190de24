"""``claims.evidence_binding``: each claim cites evidence that is there."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import get_evidence_blob_sha, get_run_mode, load_evidence_json, parse_blob_ref  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class ClaimsEvidenceBindingInvariant:
    """In the modes that it concerns, each claim of ``claims_map`` cites blobs that are in the store."""

    invariant_id = "claims.evidence_binding"

    def __init__(self, *, require_in_modes: tuple[str, ...] = ("factual", "mixed")) -> None:
        self._require_in_modes = tuple(texts("require_in_modes", require_in_modes))

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "claims.evidence_binding", {"require_in_modes": list(self._require_in_modes)})
