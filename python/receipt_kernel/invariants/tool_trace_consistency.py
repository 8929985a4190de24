"""``tools.trace_consistency``: the tool calls that claims cite were made."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import collect_run_blob_refs, get_run_mode, load_evidence_json, parse_blob_ref  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class ToolTraceConsistencyInvariant:
    """In the modes that it concerns, each cited tool call is in ``tool_trace``, and its output is a blob of this run."""

    invariant_id = "tools.trace_consistency"

    def __init__(self, *, enforce_in_modes: tuple[str, ...] = ("factual", "mixed")) -> None:
        self._modes = tuple(texts("enforce_in_modes", enforce_in_modes))

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "tools.trace_consistency", {"enforce_in_modes": list(self._modes)})
