from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from receipt_kernel.invariants._helpers import build_blob_class_map as build_blob_class_map
from receipt_kernel.invariants._helpers import build_blob_kind_map as build_blob_kind_map
from receipt_kernel.invariants._helpers import get_run_mode as get_run_mode
from receipt_kernel.invariants._helpers import load_evidence_json as load_evidence_json
from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

DEFAULT_ORACLE_POLICY: Final[dict[tuple[str, ...], int]]

class OracleIndependenceInvariant:
    invariant_id: ClassVar[str]
    def __init__(
        self,
        *,
        require_in_modes: Sequence[str] = ("factual", "mixed"),
        policy: Mapping[tuple[str, ...], int] | None = None,
    ) -> None: ...
    def min_class_for(self, mode: str, claim_level: str, scope: str | None = None) -> int: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
