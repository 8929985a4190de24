import os
import sqlite3
import types
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Final

from typing_extensions import Self

from receipt_kernel.envelope import canonical_json as canonical_json
from receipt_kernel.envelope import compute_hash as compute_hash
from receipt_kernel.envelope import compute_hash_raw as compute_hash_raw
from receipt_kernel.envelope import seal_envelope as seal_envelope
from receipt_kernel.redact import RedactionReport as RedactionReport
from receipt_kernel.redact import redact as redact
from receipt_kernel.types import EVENT_SCHEMA_VERSION as EVENT_SCHEMA_VERSION
from receipt_kernel.types import BlobRef as BlobRef
from receipt_kernel.types import BlobState as BlobState
from receipt_kernel.types import EvidenceClass as EvidenceClass

STORE_SCHEMA_VERSION: Final = 1
_SCHEMA_SQL: str

class SqliteReceiptStore:
    db_path: str | os.PathLike[str]
    redaction_enabled: bool
    _conn: sqlite3.Connection
    def _ensure_conn(self) -> None: ...
    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        redaction_enabled: bool = True,
        custom_redactor: Callable[[bytes, str, str, str], tuple[bytes, RedactionReport | None]] | None = None,
        recipients: Iterable[str] | None = None,
        rules: str | None = None,
        redact_events: bool = False,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
        /,
    ) -> None: ...
    def initialize_schema(self) -> None: ...
    def close(self) -> None: ...
    def ensure_run(
        self,
        run_id: str,
        policy_id: str,
        policy_version: str,
        stage_graph_id: str,
        meta: dict[str, Any] | None = None,
    ) -> None: ...
    def get_run(self, run_id: str) -> dict[str, Any] | None: ...
    def append_event(self, run_id: str, envelope: dict[str, Any]) -> str: ...
    def get_events(self, run_id: str, event_type: str | None = None) -> list[dict[str, Any]]: ...
    def get_event_by_ref(self, ref: str) -> dict[str, Any] | None: ...
    def event_count(self, run_id: str) -> int: ...
    def put_blob(
        self,
        data: bytes | bytearray | memoryview | BinaryIO,
        *,
        content_type: str = "application/octet-stream",
        kind: str = "evidence",
        evidence_class: str = "public",
    ) -> BlobRef: ...
    def get_blob(self, sha256: str) -> bytes | None: ...
    def get_blob_meta(self, sha256: str) -> dict[str, Any] | None: ...
    def has_blob(self, sha256: str) -> bool: ...
    def blob_is_live(self, sha256: str) -> bool: ...
