"""The store: runs, events and blobs in one SQLite file, through the interpreter's own ``sqlite3`` module."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path  # noqa: F401 - 0.1.0 has it here too
from typing import Any, BinaryIO

from . import _native, _sqlite
from ._json import loads
from .envelope import canonical_json, compute_hash, compute_hash_raw, seal_envelope  # noqa: F401 - 0.1.0 has them here too
from .errors import PlaintextSealedWarning, StoreError, UnknownRunError, warn_once
from .redact import RedactionReport, redact
from .redact import added as _added_patterns
from .types import EVENT_SCHEMA_VERSION, BlobRef, BlobState, EvidenceClass  # noqa: F401 - 0.1.0 has them here too


#: The version of the tables.
STORE_SCHEMA_VERSION = 1

#: The tables, with the columns and the order that raw SQL may rely on.
_SCHEMA_SQL = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY,
    policy_id TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    stage_graph_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    meta_json TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs(run_id),
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    envelope_json TEXT NOT NULL,
    event_hash TEXT NOT NULL,
    prev_event_hash TEXT,
    created_at TEXT NOT NULL,
    UNIQUE(run_id, seq)
);
CREATE INDEX IF NOT EXISTS idx_events_run_seq ON events(run_id, seq);
CREATE INDEX IF NOT EXISTS idx_events_type ON events(event_type);
CREATE TABLE IF NOT EXISTS blobs (
    sha256 TEXT PRIMARY KEY,
    content_type TEXT NOT NULL,
    bytes_len INTEGER NOT NULL,
    evidence_class TEXT NOT NULL DEFAULT 'public',
    state TEXT NOT NULL DEFAULT 'live',
    data BLOB,
    created_at TEXT NOT NULL,
    expired_at TEXT,
    redaction_json TEXT
);
CREATE TABLE IF NOT EXISTS schema_meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""

#: Sealed evidence is an age file.
_SEALED_TYPE = "application/vnd.age"

_redact = redact


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


class SqliteReceiptStore:
    """A store in a file, or in memory under the path ``:memory:``.

    It imposes no order on events; the invariants judge it. It may be used from many threads. After a fork the child
    opens its own. ``_conn`` is the store's own ``sqlite3.Connection``.

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
        self._recipients = None if recipients is None else list(recipients)
        self._rules = rules
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._sealer = _native.Sealer(self._recipients, self._rules)
        self._judge = _native.Judge()
        self._shared = _sqlite.Shared()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_sealer", "_judge", "_shared")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __enter__(self) -> SqliteReceiptStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ensure_conn(self) -> None:
        """Opens the file where it is not open. A file that is not there is an error."""
        self._open(create=False)

    def _open(self, *, create: bool) -> None:
        with self._shared.lock:
            if self._connection is not None:
                if self._shared.process not in (0, os.getpid()):
                    raise StoreError("this store was opened before a fork: open it again in this process")
                return
            if self._closed and os.fspath(self.db_path) == ":memory:":
                raise StoreError("the store is closed, and what it held in memory is gone")
            self._connection = _sqlite.connect(self.db_path, create=create)
            self._shared.opened(self._connection)

    @property
    def _conn(self) -> sqlite3.Connection:
        """The store's own connection, for raw SQL; opened where it is not open."""
        if self._connection is None:
            self._ensure_conn()
        else:
            # Not through the method: a subclass may ask for the connection in its own.
            self._open(create=False)
        assert self._connection is not None
        return self._connection

    @_conn.setter
    def _conn(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        if connection is None:
            self._shared.forget()
        else:
            self._shared.opened(connection)

    def _rows(self, sql: str, params: tuple[Any, ...]) -> list[Any]:
        connection = self._conn
        with self._shared.lock:
            return _sqlite.select(connection, sql, params)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Cursor]:
        with _sqlite.writing(self._shared, self._conn) as run:
            yield run

    def initialize_schema(self) -> None:
        """Makes the tables that are missing."""
        self._open(create=True)
        with self._writing() as run:
            for statement in _SCHEMA_SQL.split(";"):
                run.execute(statement)
            run.execute(
                "INSERT OR IGNORE INTO schema_meta (key, value) VALUES ('store_schema_version', ?)",
                (str(STORE_SCHEMA_VERSION),),
            )

    def close(self) -> None:
        """Closes the file. What raw SQL has not committed is rolled back."""
        with self._shared.lock:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            self._closed = True
            if self._shared.process in (0, os.getpid()):
                connection.close()
                self._shared.forget()

    def ensure_run(
        self,
        run_id: str,
        policy_id: str,
        policy_version: str,
        stage_graph_id: str,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Writes a run's row, once: where there is one already, it stays as it is."""
        row = (_text("run_id", run_id), policy_id, policy_version, stage_graph_id)
        for name, value in zip(("policy_id", "policy_version", "stage_graph_id"), row[1:], strict=True):
            if value is None:
                raise TypeError(f"{name} must be a str, not None")
        meta_json = json.dumps(meta or {}, allow_nan=False)
        if self._redact_events:
            meta_json = self._sealer.redacted(meta_json)
        with self._writing() as run:
            run.execute(
                "INSERT OR IGNORE INTO runs (run_id, policy_id, policy_version, stage_graph_id, created_at, meta_json) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*row, _now(), meta_json),
            )

    def get_run(self, run_id: str) -> dict[str, Any] | None:
        """A run's row, with its meta; ``None`` where there is none."""
        names = ("run_id", "policy_id", "policy_version", "stage_graph_id", "created_at")
        sql = f"SELECT {', '.join(names)}, meta_json FROM runs WHERE run_id = ?"
        rows = self._rows(sql, (run_id,)) if isinstance(run_id, str) else []
        return {**dict(zip(names, rows[0], strict=False)), "meta": loads(rows[0][5])} if rows else None

    def append_event(self, run_id: str, envelope: dict[str, Any]) -> str:
        """Appends an event behind the last one of its run; durable when it returns. Gives its reference.

        The store sets ``run_id``, ``seq``, ``prev_event_hash`` and ``event_hash``; ``envelope`` stays as it is. Any other
        member may be missing but ``event_type``, and of any type: invariants and ``verify`` say what is wrong with it.
        Raises ``ValueError`` for a newer version and for what could not be read back as it is, and
        :class:`~receipt_kernel.errors.UnknownRunError` (a ``sqlite3.IntegrityError``) where there is no such run: nothing
        is stored.
        """
        version = envelope.get("event_schema_version", EVENT_SCHEMA_VERSION)
        if version > EVENT_SCHEMA_VERSION:
            problem = f"Event schema version {version} is newer than supported ({EVENT_SCHEMA_VERSION})"
            raise ValueError(f"{problem}: update receipt-kernel")
        event_type = envelope["event_type"]
        with self._writing() as run:
            return self._append(run, _text("run_id", run_id), dict(envelope), event_type)

    def _append(self, run: sqlite3.Cursor, run_id: str, envelope: dict[str, Any], event_type: Any) -> str:
        sql = "SELECT seq, event_hash FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 1"
        plain = run.connection.text_factory is str
        rows = run.execute(sql, (run_id,)).fetchall() if plain else _sqlite.select(run.connection, sql, (run_id,))
        last = rows[0] if rows else None
        if last is not None and not (isinstance(last[0], int) and isinstance(last[1], str)):
            raise StoreError(f"run {run_id!r} cannot be continued: the row of its last event has no seq or no hash")
        text, seq, prev, event_hash = self._sealer.seal(run_id, last, envelope, self._redact_events)
        try:
            run.execute(
                "INSERT INTO events (run_id, seq, event_type, envelope_json, event_hash, prev_event_hash, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, seq, event_type, text, event_hash, prev, _now()),
            )
        except sqlite3.IntegrityError as error:
            if last is None and not _sqlite.select(run.connection, "SELECT 1 FROM runs WHERE run_id = ?", (run_id,)):
                problem = f"there is no run {run_id!r}: call ensure_run first ({error})"
                raise UnknownRunError(problem) from error
            raise
        return f"event://{run_id}/{seq}"

    def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]:
        """A run's events in their order; of one type, as their envelopes name it, where one is given."""
        if not isinstance(run_id, str):
            return []
        rows = self._rows("SELECT envelope_json FROM events WHERE run_id = ? ORDER BY seq", (run_id,))
        events: list[dict[str, Any]] = [loads(row[0]) for row in rows]
        if not event_type:
            return events
        return [event for event in events if isinstance(event, dict) and event.get("event_type") == event_type]

    def get_event_by_ref(self, ref: str) -> dict[str, Any] | None:
        """The event of a reference, such as ``event://run/1``; ``None`` where there is none."""
        place = _native.parse_event_ref(ref) if isinstance(ref, str) else None
        rows = self._rows("SELECT envelope_json FROM events WHERE run_id = ? AND seq = ?", place) if place else []
        return loads(rows[0][0]) if rows else None

    def event_count(self, run_id: str) -> int:
        """How many events a run has."""
        if not isinstance(run_id, str):
            return 0
        count: int = self._rows("SELECT count(*) FROM events WHERE run_id = ?", (run_id,))[0][0]
        return count

    def put_blob(
        self,
        data: bytes | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        kind: str = "evidence",
        evidence_class: str = "public",
    ) -> BlobRef:
        """Stores evidence, redacted, under the SHA-256 of what is stored.

        ``data`` is bytes, or a binary file object. Of two classes for the same bytes the stricter one stays; content that
        had expired is stored again.
        """
        chosen = evidence_class.value if isinstance(evidence_class, EvidenceClass) else evidence_class
        if chosen not in ("public", "sealed"):
            raise ValueError(f"evidence_class must be 'public' or 'sealed', not {chosen!r}")
        if chosen == "sealed" and not self._sealer.seals:
            problem = "sealed evidence is stored unencrypted: give the store recipients=[…] to encrypt it"
            warn_once(PlaintextSealedWarning, problem, stacklevel=2)
        read = getattr(data, "read", None)
        clean, redaction_json = self._redacted(read() if read else data, content_type, chosen)
        if chosen == "sealed" and self._sealer.seals:
            # Of what is sealed the row says no more than that it is.
            clean, content_type, redaction_json = self._sealer.encrypt(clean), _SEALED_TYPE, None
        sha256 = compute_hash_raw(clean)
        chosen = self._keep(sha256, content_type, clean, chosen, redaction_json)
        return BlobRef(f"blob://sha256:{sha256}", sha256, content_type, len(clean), chosen)

    def _redacted(self, data: Any, content_type: str, evidence_class: str) -> tuple[bytes, str | None]:
        if isinstance(data, str):
            raise TypeError("Strings must be encoded before hashing")
        data = data if isinstance(data, bytes) else memoryview(data).tobytes()
        if not self.redaction_enabled:
            return data, None
        if self._custom_redactor is None and redact is _redact and not _added_patterns():
            clean, _, redaction_json = self._sealer.redact(data)
            return clean, redaction_json
        chosen = redact if self._custom_redactor is None else self._custom_redactor
        clean, report = chosen(data, content_type, evidence_class, compute_hash_raw(data))
        if report is None or not report.redacted:
            return clean, None
        said = report.to_dict()
        if chosen is _redact:
            # Beside the redacted bytes, a hash of the original would let anybody test guesses of a short secret.
            said["original_hash"] = ""
        return clean, json.dumps(said)

    def _keep(self, sha256: str, content_type: str, data: bytes, chosen: str, redaction_json: str | None) -> str:
        """Writes a blob's bytes where they are not there already, and gives the class that its row has."""
        with self._writing() as run:
            sql = "SELECT evidence_class FROM blobs WHERE sha256 = ?"
            held = _sqlite.select(run.connection, sql, (sha256,))
            if held and held[0][0] == "sealed":
                chosen = "sealed"
            if not held:
                run.execute(
                    "INSERT INTO blobs (sha256, content_type, bytes_len, evidence_class, state, data, created_at, "
                    "redaction_json) VALUES (?, ?, ?, ?, 'live', ?, ?, ?)",
                    (sha256, content_type, len(data), chosen, data, _now(), redaction_json),
                )
            elif not self.blob_is_live(sha256):
                run.execute(
                    "UPDATE blobs SET bytes_len = ?, evidence_class = ?, state = 'live', data = ?, created_at = ?, "
                    "expired_at = NULL, redaction_json = ? WHERE sha256 = ?",
                    (len(data), chosen, data, _now(), redaction_json, sha256),
                )
            elif held[0][0] != chosen:
                run.execute("UPDATE blobs SET evidence_class = ? WHERE sha256 = ?", (chosen, sha256))
        return chosen

    def get_blob(self, sha256: str) -> bytes | None:
        """A blob's bytes, hashed again; ``None`` where they are not there, or are not what was put."""
        if not isinstance(sha256, str):
            return None
        rows = self._rows("SELECT data FROM blobs WHERE sha256 = ? AND state = 'live'", (sha256,))
        data = rows[0][0] if rows else None
        return data if isinstance(data, bytes) and compute_hash_raw(data) == sha256 else None

    def get_blob_meta(self, sha256: str) -> dict[str, Any] | None:
        """A blob's row without its bytes; ``None`` where there is none."""
        names = ("sha256", "content_type", "bytes_len", "evidence_class", "state", "created_at", "expired_at")
        sql = f"SELECT {', '.join(names)}, redaction_json FROM blobs WHERE sha256 = ?"
        rows = self._rows(sql, (sha256,)) if isinstance(sha256, str) else []
        if not rows:
            return None
        report = rows[0][7]
        return {**dict(zip(names, rows[0], strict=False)), "redaction_report": report and json.loads(report)}

    def has_blob(self, sha256: str) -> bool:
        """Whether there is a row for a blob, with or without its bytes."""
        return isinstance(sha256, str) and bool(self._rows("SELECT 1 FROM blobs WHERE sha256 = ?", (sha256,)))

    def blob_is_live(self, sha256: str) -> bool:
        """Whether a blob's bytes are there and are what was put."""
        return SqliteReceiptStore.get_blob(self, sha256) is not None


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value
