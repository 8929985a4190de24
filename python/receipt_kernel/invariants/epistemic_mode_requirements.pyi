from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from receipt_kernel.invariants._helpers import get_evidence_blob_sha as get_evidence_blob_sha
from receipt_kernel.invariants._helpers import get_run_mode as get_run_mode
from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import Verdict as Verdict

DEFAULT_MODE_REQUIREMENTS: Final[dict[str, tuple[str, ...]]]

class EpistemicModeRequirementsInvariant:
    invariant_id: ClassVar[str]
    def __init__(
        self,
        *,
        requirements: Mapping[str, Sequence[str]] | None = None,
        allow_unknown_modes: bool = False,
    ) -> None: ...
    def evaluate(self, ctx: dict[str, Any]) -> InvariantResult: ...
