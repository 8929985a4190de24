from collections.abc import Sequence
from typing import Any, ClassVar

from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class SingleFinalizeInvariant:
    invariant_id: ClassVar[str]
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...

class StageRequiredPathInvariant:
    invariant_id: ClassVar[str]
    required_path: Sequence[str]
    def __init__(self, required_path: Sequence[str]) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
