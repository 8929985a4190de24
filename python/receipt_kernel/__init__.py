"""receipt-kernel: a flight recorder for runs.

The interface of 0.1.0 is here unchanged: :mod:`receipt_kernel.store_sqlite`, :mod:`receipt_kernel.envelope`,
:mod:`receipt_kernel.invariants` and the rest. :class:`Ledger`, :class:`Run`, :class:`Policy`, :func:`evaluate` and
:func:`verify` are the kernel's own, with its strict rules.
"""

from __future__ import annotations

from ._native import __version__
from .errors import (
    LedgerError,
    OldSqliteWarning,
    PlaintextSealedWarning,
    RetentionWarning,
    StoreError,
    UnknownRunError,
)
from .ledger import Ledger, Policy, Run, evaluate, verify
from .types import (
    BlobRef,
    BlobState,
    EvidenceClass,
    EvidenceStrength,
    InvariantResult,
    Reason,
    RetentionPolicy,
    Verdict,
)

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
