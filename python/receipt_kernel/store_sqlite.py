"""The store: runs, events and blobs in one SQLite file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from . import _native
from ._json import loads
from .envelope import canonical_json, compute_hash, compute_hash_raw, seal_envelope  # noqa: F401 - 0.1.0 has them here too
from .errors import PlaintextSealedWarning
from .redact import RedactionReport, redact
from .types import EVENT_SCHEMA_VERSION, BlobRef, BlobState, EvidenceClass  # noqa: F401 - 0.1.0 has them here too


#: The version of the tables.
STORE_SCHEMA_VERSION = 1


class SqliteReceiptStore:
    """A store in a file, or in memory under the path ``:memory:``.

    It imposes no order on events; the invariants judge it. It may be used from many threads. After a fork the child
    opens its own.

    ``recipients`` are age public keys (``age1…`` or SSH): sealed evidence is encrypted to them. ``rules`` is TOML of
    redaction rules beside the built-in ones. With ``redact_events`` payloads, actors and the meta of runs are redacted
    before they are hashed.
    """

    def __init__(
        self,
        db_path: str,
        *,
        redaction_enabled: bool = True,
        custom_redactor: Callable[[bytes, str, str, str], tuple[bytes, RedactionReport]] | None = None,
        recipients: Iterable[str] | None = None,
        rules: str | None = None,
        redact_events: bool = False,
    ) -> None:
        self.db_path = db_path
        self.redaction_enabled = redaction_enabled
        self._custom_redactor = custom_redactor
        self._redact_events = redact_events
        self._native = _native.Store(db_path, None if recipients is None else list(recipients), rules)
        self._connection = _Connection(self._native)

    def __enter__(self) -> SqliteReceiptStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _conn(self) -> _Connection:
        """The store's own connection, for raw SQL."""
        return self._connection

    def initialize_schema(self) -> None:
        """Makes the tables that are missing."""
        self._native.initialize_schema()

    def close(self) -> None:
        """Closes the file. What raw SQL has not committed is rolled back."""
        self._native.close()

    def ensure_run(
        self,
        run_id: str,
        policy_id: str,
        policy_version: str,
        stage_graph_id: str,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Writes a run's row, once. Raises ``ValueError`` where it is there under another policy or stage graph."""
        row = [_text("run_id", run_id), _text("policy_id", policy_id)]
        row += [_text("policy_version", policy_version), _text("stage_graph_id", stage_graph_id)]
        meta_json = json.dumps(meta or {}, allow_nan=False)
        if self._redact_events:
            meta_json = self._native.redacted(meta_json)
        self._native.ensure_run(row, meta_json)

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        """A run's row, with its meta; ``None`` where there is none."""
        row = self._native.get_run(run_id) if isinstance(run_id, str) else None
        if row is None:
            return None
        names = ("run_id", "policy_id", "policy_version", "stage_graph_id", "created_at")
        return {**dict(zip(names, row, strict=False)), "meta": loads(row[5])}

    def append_event(self, run_id: str, envelope: dict[str, Any]) -> str:
        """Appends an event behind the last one of its run; durable when it returns. Gives its reference.

        The store sets ``run_id``, ``seq``, ``prev_event_hash`` and ``event_hash``; ``envelope`` stays as it is. Raises
        ``ValueError`` for what is no envelope of version 1, and :class:`~receipt_kernel.errors.UnknownRunError` (a
        ``sqlite3.IntegrityError``) where there is no such run: nothing is stored.
        """
        if not isinstance(envelope, dict):
            raise ValueError(f"an envelope is a dict, not {type(envelope).__name__}")
        version = envelope.get("event_schema_version")
        if type(version) is not int or version != EVENT_SCHEMA_VERSION:
            newer = "newer than supported" if type(version) is int and version > EVENT_SCHEMA_VERSION else "not supported"
            raise ValueError(f"event_schema_version {version!r} is {newer}: it must be {EVENT_SCHEMA_VERSION}")
        return self._native.append_event(_text("run_id", run_id), envelope, self._redact_events)

    def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """A run's events in their order; of one type, as their envelopes name it, where one is given."""
        if not isinstance(run_id, str):
            return []
        events: list[dict[str, Any]] = loads(self._native.get_events(run_id))
        if not event_type:
            return events
        return [event for event in events if isinstance(event, dict) and event.get("event_type") == event_type]

    def get_event_by_ref(self, ref: str) -> dict[str, Any] | None:
        """The event of a reference, such as ``event://run/1``; ``None`` where there is none."""
        text = self._native.get_event(ref) if isinstance(ref, str) else None
        return None if text is None else loads(text)

    def event_count(self, run_id: str) -> int:
        """How many events a run has."""
        return self._native.event_count(run_id) if isinstance(run_id, str) else 0

    def put_blob(
        self,
        data: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        kind: str = "evidence",
        evidence_class: str = "public",
    ) -> BlobRef:
        """Stores evidence, redacted, under the SHA-256 of what is stored.

        ``data`` is bytes, or a binary file object, which is read in pieces. Of two classes for the same bytes the
        stricter one stays; content that had expired is stored again.
        """
        evidence_class = evidence_class.value if isinstance(evidence_class, EvidenceClass) else evidence_class
        if isinstance(data, str):
            raise TypeError("Strings must be encoded before hashing")
        if evidence_class == "sealed" and not self._native.seals:
            message = "sealed evidence is stored unencrypted: give the store recipients=[…] to encrypt it"
            warnings.warn(message, PlaintextSealedWarning, stacklevel=2)
        sha256, stored_type, length, stored_class = self._put(data, content_type, evidence_class)
        return BlobRef(f"blob://sha256:{sha256}", sha256, stored_type, length, stored_class)

    def _put(self, data: Any, content_type: str, evidence_class: str) -> tuple[str, str, int, str]:
        streams = hasattr(data, "read")
        if self.redaction_enabled and self._custom_redactor is None:
            put = self._native.put_stream if streams else self._native.put
            return put(data, content_type, evidence_class)
        data = data.read() if streams else data
        redaction_json = None
        if self.redaction_enabled and self._custom_redactor is not None:
            original_hash = compute_hash_raw(data)
            data, report = self._custom_redactor(data, content_type, evidence_class, original_hash)
            if report is not None and report.redacted:
                redaction_json = json.dumps(report.to_dict())
        return self._native.put_plain(data, content_type, evidence_class, redaction_json)

    def get_blob(self, sha256: str) -> bytes | None:
        """A blob's bytes, hashed again; ``None`` where they are not there, or are not what was put."""
        return self._native.get_blob(sha256) if isinstance(sha256, str) else None

    def get_blob_meta(self, sha256: str) -> dict[str, Any] | None:
        """A blob's row without its bytes; ``None`` where there is none."""
        row = self._native.get_blob_meta(sha256) if isinstance(sha256, str) else None
        if row is None:
            return None
        names = ("sha256", "content_type", "bytes_len", "evidence_class", "state", "created_at", "expired_at")
        return {**dict(zip(names, row, strict=False)), "redaction_report": None if row[7] is None else json.loads(row[7])}

    def has_blob(self, sha256: str) -> bool:
        """Whether there is a row for a blob, with or without its bytes."""
        return self.get_blob_meta(sha256) is not None

    def blob_is_live(self, sha256: str) -> bool:
        """Whether a blob's bytes are there and are what was put."""
        return self._native.blob_is_live(sha256) if isinstance(sha256, str) else False


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


class _Connection:
    """Raw SQL on the store's own connection.

    As with Python's ``sqlite3``, a statement that changes rows begins a transaction, and somebody has to commit it; a
    method of the store that writes commits it too.
    """

    def __init__(self, native: _native.Store, /) -> None:
        self._native = native

    def cursor(self) -> _Cursor:
        """A cursor."""
        return _Cursor(self._native)

    def execute(self, sql: str, params: Any = ()) -> _Cursor:
        """Runs one statement."""
        return self.cursor().execute(sql, params)

    def executemany(self, sql: str, seq_of_params: Iterable[Any]) -> _Cursor:
        """Runs one statement for each set of parameters."""
        return self.cursor().executemany(sql, seq_of_params)

    def commit(self) -> None:
        """Makes what raw SQL has done durable."""
        self._native.commit()

    def rollback(self) -> None:
        """Undoes what raw SQL has done since the last commit."""
        self._native.rollback()

    @property
    def in_transaction(self) -> bool:
        """Whether something waits to be committed."""
        return self._native.in_transaction()

    @property
    def total_changes(self) -> int:
        """How many rows have been changed on this connection."""
        return self._native.total_changes()

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, kind: object, exc: object, traceback: object, /) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()


class _Cursor:
    """The rows that a statement gave."""

    rowcount: int = -1
    lastrowid: int | None = None
    description: tuple[tuple[Any, ...], ...] | None = None
    arraysize: int = 1

    def __init__(self, native: _native.Store, /) -> None:
        self._native = native
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, sql: str, params: Any = ()) -> _Cursor:
        """Runs one statement."""
        columns, rows, self.rowcount, self.lastrowid = self._native.execute(sql, params)
        self.description = tuple((name, *(None,) * 6) for name in columns) or None
        self._rows = iter(rows)
        return self

    def executemany(self, sql: str, seq_of_params: Iterable[Any]) -> _Cursor:
        """Runs one statement for each set of parameters."""
        changed = 0
        for params in seq_of_params:
            self.execute(sql, params)
            changed += max(self.rowcount, 0)
        self.rowcount = changed
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or ``None``."""
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows."""
        wanted = range(self.arraysize if size is None else size)
        return [row for _, row in zip(wanted, self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def __next__(self) -> tuple[Any, ...]:
        return next(self._rows)

    def close(self) -> None:
        """Forgets the rows."""
        self._rows = iter(())
