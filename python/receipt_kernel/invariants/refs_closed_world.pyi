from collections.abc import Sequence
from typing import Any, ClassVar

from receipt_kernel.invariants._helpers import collect_run_blob_refs as collect_run_blob_refs
from receipt_kernel.invariants._helpers import get_run_mode as get_run_mode
from receipt_kernel.invariants._helpers import load_evidence_json as load_evidence_json
from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

class RefsClosedWorldInvariant:
    invariant_id: ClassVar[str]
    def __init__(self, *, require_in_modes: Sequence[str] = ("factual", "mixed")) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
