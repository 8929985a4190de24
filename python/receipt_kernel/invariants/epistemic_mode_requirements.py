"""``epistemic.mode_requirements``: the run's mode is known, and what it asks for was put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import get_evidence_blob_sha, get_run_mode  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


#: The evidence keys that each mode asks for.
DEFAULT_MODE_REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "factual": ("claims_map",),
    "mixed": ("claims_map",),
    "creative": (),
}


class EpistemicModeRequirementsInvariant:
    """``payload.meta.mode`` of RUN_START is a mode with requirements, and the evidence that it asks for was put."""

    invariant_id = "epistemic.mode_requirements"

    def __init__(
        self, *, requirements: Mapping[str, tuple[str, ...]] | None = None, allow_unknown_modes: bool = False
    ) -> None:
        given = DEFAULT_MODE_REQUIREMENTS if requirements is None else requirements
        self._req = {mode: tuple(texts("requirements", keys)) for mode, keys in given.items()}
        self._allow_unknown = allow_unknown_modes

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        params = {
            "requirements": {mode: list(keys) for mode, keys in self._req.items()},
            "allow_unknown_modes": bool(self._allow_unknown),
        }
        return judge(self, ctx, "epistemic.mode_requirements", params)
