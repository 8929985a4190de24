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
        self._modes = tuple(texts("require_in_modes", require_in_modes))
        self._policy = DEFAULT_ORACLE_POLICY if policy is None else policy

    def min_class_for(self, mode: str, claim_level: str, scope: str | None = None) -> int:
        """The least oracle class for claims of a mode, confidence and scope."""
        if scope is not None and (mode, claim_level, scope) in self._policy:
            return self._policy[(mode, claim_level, scope)]
        return self._policy.get((mode, claim_level), 0)

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        names = ("mode", "confidence", "scope")
        rows = [{**dict(zip(names, key)), "min_class": least} for key, least in self._minimums(ctx).items()]  # noqa: B905
        return judge(self, ctx, "oracle.independence_minimum", {"require_in_modes": list(self._modes), "policy": rows})

    def _minimums(self, ctx: Any) -> dict[tuple[str, ...], int]:
        """The table; where a subclass or a patch has a rule of its own, what that says of the claims of the run."""
        store, run_id = (ctx.get("store"), ctx.get("run_id")) if hasattr(ctx, "get") else (None, None)
        own = getattr(self.min_class_for, "__func__", None) is not OracleIndependenceInvariant.min_class_for
        if not own or store is None or not run_id:
            return self._policy
        mode, found = get_run_mode(store, run_id), load_evidence_json(store, run_id, "claims_map")
        claims = found.get("claims") if isinstance(found, dict) else None
        minimums: dict[tuple[str, ...], int] = {}
        for claim in claims if isinstance(claims, list) and mode is not None else ():
            level, scope = (claim.get("confidence"), claim.get("scope")) if isinstance(claim, dict) else (None, None)
            level = level.lower() if isinstance(level, str) else ""
            of = (mode, level or "unspecified")
            minimums[(*of, scope) if isinstance(scope, str) else of] = self.min_class_for(mode, level, scope)
        return minimums
