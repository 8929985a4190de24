"""What the package raises and warns of.

Every error is a ``ValueError``. Those of a store are also the classes that users of Python's ``sqlite3`` module catch.
"""

from __future__ import annotations

import sqlite3


class StoreError(ValueError, sqlite3.OperationalError):
    """A store could not do what was asked; nothing of it was written."""


class IntegrityError(ValueError, sqlite3.IntegrityError):
    """Raw SQL went against a constraint of the schema."""


class UnknownRunError(IntegrityError):
    """There is no such run: call ``ensure_run`` first."""


class LedgerError(ValueError):
    """A native ledger refused what was asked, or could not do it; nothing of it was written."""


class PlaintextSealedWarning(UserWarning):
    """Sealed evidence was stored unencrypted, as 0.1.0 did, because the store has no recipients."""


class RetentionWarning(UserWarning):
    """Retention left something alone, and says why."""
