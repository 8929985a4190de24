"""``confidence.sanity``: no claim is surer than its evidence is strong."""

from __future__ import annotations

from typing import Any

from ..types import EvidenceStrength, InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import build_blob_kind_map, get_run_mode, load_evidence_json  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class ConfidenceSanityInvariant:
    """In the modes that it concerns, no claim of high confidence rests on weak evidence."""

    invariant_id = "confidence.sanity"

    def __init__(self, *, require_in_modes: tuple[str, ...] = ("factual", "mixed")) -> None:
        self._modes = tuple(texts("require_in_modes", require_in_modes))

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "confidence.sanity", {"require_in_modes": list(self._modes)})
