"""``receipt.completeness``: the required evidence was put, and its blobs are there, live and unchanged."""

from __future__ import annotations

from typing import Any

from ..types import InvariantResult, Reason, Verdict  # noqa: F401 - 0.1.0 has them here too
from ._judge import judge, texts


class ReceiptCompletenessInvariant:
    """Each required key was put, and its blob hashes to its name. Evidence that retention has removed is WARN."""

    invariant_id = "receipt.completeness"

    def __init__(self, required_keys: list[str] | None = None, verify_blobs: bool = True) -> None:
        self.required_keys = texts("required_keys", required_keys or [])
        self.verify_blobs = verify_blobs

    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult:
        """Judges the run of a context ``{"store": store, "run_id": id}``."""
        params = {"required_keys": self.required_keys, "verify_blobs": bool(self.verify_blobs)}
        return judge(self, ctx, "receipt.completeness", params)
