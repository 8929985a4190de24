"""``ledger.chain_valid``: the events are there, in order, unchanged, and each column is its envelope."""

from __future__ import annotations

from typing import Any

from ..envelope import canonical_json, compute_hash  # noqa: F401 - 0.1.0 has them here too
from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge


class LedgerChainValidInvariant:
    """Seq 1, 2, 3…; each ``prev_event_hash`` the event before; each hash its bytes; each column its envelope."""

    invariant_id = "ledger.chain_valid"

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        return judge(self, ctx, "ledger.chain_valid", {})
