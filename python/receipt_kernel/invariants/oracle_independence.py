"""``oracle.independence_minimum``: who vouches for a claim is as independent as the claim is sure."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._helpers import build_blob_class_map, build_blob_kind_map, get_run_mode, load_evidence_json  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


#: The least oracle class for claims of each mode and confidence: any oracle will do.
DEFAULT_ORACLE_POLICY: dict[tuple[str, ...], int] = {
    (mode, level): 0 for mode in ("factual", "mixed", "exploratory") for level in ("high", "medium", "low")
}


class OracleIndependenceInvariant:
    """Each claim that cites an oracle cites one whose class (0 local … 3 third party) meets the policy's minimum.

    ``policy`` goes from ``(mode, confidence)`` or ``(mode, confidence, scope)`` to the least class.
    """

    invariant_id = "oracle.independence_minimum"

    def __init__(
        self,
        *,
        require_in_modes: tuple[str, ...] = ("factual", "mixed"),
        policy: dict[tuple[str, ...], int] | None = None,
    ) -> None:
        self.require_in_modes = tuple(texts("require_in_modes", require_in_modes))
        self.policy = DEFAULT_ORACLE_POLICY if policy is None else policy

    def min_class_for(self, mode: str, claim_level: str, scope: str | None = None) -> int:
        """The least oracle class for claims of a mode, confidence and scope."""
        if scope is not None and (mode, claim_level, scope) in self.policy:
            return self.policy[(mode, claim_level, scope)]
        return self.policy.get((mode, claim_level), 0)

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        names = ("mode", "confidence", "scope")
        rows = [{**dict(zip(names, key)), "min_class": least} for key, least in self.policy.items()]  # noqa: B905
        return judge(ctx, self.invariant_id, {"require_in_modes": list(self.require_in_modes), "policy": rows})
