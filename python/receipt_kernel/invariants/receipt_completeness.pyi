from collections.abc import Sequence
from typing import Any, ClassVar

from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class ReceiptCompletenessInvariant:
    invariant_id: ClassVar[str]
    required_keys: list[str]
    verify_blobs: bool
    def __init__(self, required_keys: Sequence[str] | None = None, verify_blobs: bool = True) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
