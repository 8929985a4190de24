"""What the package raises and warns of.

Every error is a ``ValueError``. Those of a store are, before that, the classes that users of Python's ``sqlite3`` module
catch: where 0.1.0 raised an error of ``sqlite3``, ``except sqlite3.Error`` still has it.
"""

from __future__ import annotations

import sqlite3
import warnings


class StoreError(sqlite3.OperationalError, ValueError):
    """A store could not do what was asked; nothing of it was written."""


class IntegrityError(sqlite3.IntegrityError, ValueError):
    """A write went against a constraint of the schema."""


class UnknownRunError(IntegrityError):
    """There is no such run: call ``ensure_run`` first."""


class LedgerError(ValueError):
    """A native ledger refused what was asked, or could not do it; nothing of it was written."""


class PlaintextSealedWarning(UserWarning):
    """Sealed evidence was stored unencrypted, as 0.1.0 did, because the store has no recipients."""


class OldSqliteWarning(UserWarning):
    """The SQLite of this interpreter is one that can lose a commit of two connections."""


class RetentionWarning(UserWarning):
    """Retention left something alone, and says why."""


_WARNED: set[type[Warning]] = set()


def warn_once(category: type[Warning], message: str, stacklevel: int) -> None:
    """Warns once a process. A filter that makes errors of all warnings makes none of this one; one that names it does."""
    if category in _WARNED:
        return
    try:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    except category:
        if any(action == "error" and named is category for action, _, named, _, _ in warnings.filters):
            raise
    _WARNED.add(category)
