from collections.abc import Sequence
from typing import Any, ClassVar

from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class EvaluationCompletenessInvariant:
    invariant_id: ClassVar[str]
    required_evidence_keys: list[str]
    required_invariants: Sequence[str]
    verify_blobs: bool
    require_receipt_completeness_in_results: bool
    def __init__(
        self,
        required_evidence_keys: Sequence[str] | None = None,
        required_invariants: Sequence[str] = (),
        verify_blobs: bool = False,
        require_receipt_completeness_in_results: bool = False,
    ) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
