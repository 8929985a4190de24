from receipt_kernel.errors import LedgerError as LedgerError
from receipt_kernel.errors import OldSqliteWarning as OldSqliteWarning
from receipt_kernel.errors import PlaintextSealedWarning as PlaintextSealedWarning
from receipt_kernel.errors import RetentionWarning as RetentionWarning
from receipt_kernel.errors import StoreError as StoreError
from receipt_kernel.errors import UnknownRunError as UnknownRunError
from receipt_kernel.ledger import Ledger as Ledger
from receipt_kernel.ledger import Policy as Policy
from receipt_kernel.ledger import Run as Run
from receipt_kernel.ledger import evaluate as evaluate
from receipt_kernel.ledger import verify as verify
from receipt_kernel.types import BlobRef as BlobRef
from receipt_kernel.types import BlobState as BlobState
from receipt_kernel.types import EvidenceClass as EvidenceClass
from receipt_kernel.types import EvidenceStrength as EvidenceStrength
from receipt_kernel.types import InvariantResult as InvariantResult
from receipt_kernel.types import Reason as Reason
from receipt_kernel.types import RetentionPolicy as RetentionPolicy
from receipt_kernel.types import Verdict as Verdict

__version__: str
__all__ = [
    "BlobRef",
    "BlobState",
    "EvidenceClass",
    "EvidenceStrength",
    "InvariantResult",
    "Ledger",
    "LedgerError",
    "OldSqliteWarning",
    "PlaintextSealedWarning",
    "Policy",
    "Reason",
    "RetentionPolicy",
    "RetentionWarning",
    "Run",
    "StoreError",
    "UnknownRunError",
    "Verdict",
    "evaluate",
    "verify",
]
