from typing import Any, ClassVar

from receipt_kernel.envelope import canonical_json as canonical_json
from receipt_kernel.envelope import compute_hash as compute_hash
from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class LedgerChainValidInvariant:
    invariant_id: ClassVar[str]
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
