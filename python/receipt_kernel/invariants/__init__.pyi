from receipt_kernel.invariants.claims_evidence_binding import ClaimsEvidenceBindingInvariant as ClaimsEvidenceBindingInvariant
from receipt_kernel.invariants.confidence_sanity import ConfidenceSanityInvariant as ConfidenceSanityInvariant
from receipt_kernel.invariants.epistemic_mode_requirements import EpistemicModeRequirementsInvariant as EpistemicModeRequirementsInvariant
from receipt_kernel.invariants.evaluation_completeness import EvaluationCompletenessInvariant as EvaluationCompletenessInvariant
from receipt_kernel.invariants.finalization_completeness import FinalizationCompletenessInvariant as FinalizationCompletenessInvariant
from receipt_kernel.invariants.ledger_chain_valid import LedgerChainValidInvariant as LedgerChainValidInvariant
from receipt_kernel.invariants.oracle_independence import OracleIndependenceInvariant as OracleIndependenceInvariant
from receipt_kernel.invariants.output_bound_to_claims import OutputBoundToClaimsInvariant as OutputBoundToClaimsInvariant
from receipt_kernel.invariants.receipt_completeness import ReceiptCompletenessInvariant as ReceiptCompletenessInvariant
from receipt_kernel.invariants.refs_closed_world import RefsClosedWorldInvariant as RefsClosedWorldInvariant
from receipt_kernel.invariants.run_shape import SingleFinalizeInvariant as SingleFinalizeInvariant
from receipt_kernel.invariants.run_shape import StageRequiredPathInvariant as StageRequiredPathInvariant
from receipt_kernel.invariants.tool_trace_consistency import ToolTraceConsistencyInvariant as ToolTraceConsistencyInvariant

__all__ = [
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
