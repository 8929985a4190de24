"""``refs.closed_world``: claims cite only what this run put."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import collect_run_blob_refs, get_run_mode, load_evidence_json  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class RefsClosedWorldInvariant:
    """In the modes that it concerns, claims cite only blobs that this run has put before."""

    invariant_id = "refs.closed_world"

    def __init__(self, *, require_in_modes: tuple[str, ...] = ("factual", "mixed")) -> None:
        self._modes = tuple(texts("require_in_modes", require_in_modes))

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "refs.closed_world", {"require_in_modes": list(self._modes)})
