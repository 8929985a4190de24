"""The thirteen invariants: what must be true of a run."""

from __future__ import annotations

from .claims_evidence_binding import ClaimsEvidenceBindingInvariant
from .confidence_sanity import ConfidenceSanityInvariant
from .epistemic_mode_requirements import EpistemicModeRequirementsInvariant
from .evaluation_completeness import EvaluationCompletenessInvariant
from .finalization_completeness import FinalizationCompletenessInvariant
from .ledger_chain_valid import LedgerChainValidInvariant
from .oracle_independence import OracleIndependenceInvariant
from .output_bound_to_claims import OutputBoundToClaimsInvariant
from .receipt_completeness import ReceiptCompletenessInvariant
from .refs_closed_world import RefsClosedWorldInvariant
from .run_shape import SingleFinalizeInvariant, StageRequiredPathInvariant
from .tool_trace_consistency import ToolTraceConsistencyInvariant

__all__ = [  # noqa: RUF022 - in the order in which a run is usually judged
    "LedgerChainValidInvariant",
    "ReceiptCompletenessInvariant",
    "EvaluationCompletenessInvariant",
    "FinalizationCompletenessInvariant",
    "SingleFinalizeInvariant",
    "StageRequiredPathInvariant",
    "ClaimsEvidenceBindingInvariant",
    "ToolTraceConsistencyInvariant",
    "EpistemicModeRequirementsInvariant",
    "RefsClosedWorldInvariant",
    "OutputBoundToClaimsInvariant",
    "ConfidenceSanityInvariant",
    "OracleIndependenceInvariant",
]
