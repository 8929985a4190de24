from typing import Any, ClassVar

from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class FinalizationCompletenessInvariant:
    invariant_id: ClassVar[str]
    require_decision_ref: bool
    allow_warn_as_success: bool
    def __init__(self, require_decision_ref: bool = False, allow_warn_as_success: bool = True) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
