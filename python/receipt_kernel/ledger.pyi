import os
import pathlib
import types
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Protocol, type_check_only

from typing_extensions import Self

from receipt_kernel.store_sqlite import SqliteReceiptStore
from receipt_kernel.types import BlobRef, InvariantResult

@type_check_only
class _Invariant(Protocol):
    @property
    def invariant_id(self) -> str: ...
    def evaluate(self, ctx: dict[str, Any], /) -> InvariantResult: ...

class Policy:
    @staticmethod
    def from_toml(text: str) -> Policy: ...
    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> Policy: ...
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...

class Ledger:
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        recipients: Iterable[str] | None = None,
        rules: str | None = None,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
        /,
    ) -> None: ...
    def start(
        self,
        run_id: str,
        policy: Policy,
        *,
        meta: Mapping[str, Any] | None = None,
        actor: tuple[str, str] = ...,
    ) -> Run: ...
    def resume(self, run_id: str) -> Run: ...
    def runs(self) -> list[dict[str, Any]]: ...
    def events(self, run_id: str) -> list[dict[str, Any]]: ...
    def verify(self, run_id: str | None = None) -> dict[str, Any]: ...
    def evaluate(self, run_id: str, policy: Policy | None = None) -> dict[str, Any]: ...
    def close(self) -> None: ...

class Run:
    @property
    def run_id(self) -> str: ...
    def advance(self, stage: str, reason: str = "") -> str: ...
    def put(
        self,
        key: str,
        data: bytes | bytearray | memoryview | BinaryIO | pathlib.Path,
        *,
        content_type: str = "application/octet-stream",
        kind: str = "evidence",
        evidence_class: str = "public",
        meta: Mapping[str, Any] | None = None,
    ) -> BlobRef: ...
    def append(self, event_type: str, payload: Mapping[str, Any], *, key: str | None = None) -> str: ...
    def append_batch(self, events: Iterable[Any]) -> list[str]: ...
    def evaluate(self) -> dict[str, Any]: ...
    def decide(self, payload: Mapping[str, Any]) -> str: ...
    def finalize(self, summary: str = "") -> dict[str, Any]: ...

def evaluate(
    ledger: Ledger | SqliteReceiptStore | str | os.PathLike[str],
    run_id: str,
    policy: Policy | None = None,
    *,
    invariants: Iterable[_Invariant] = (),
) -> dict[str, Any]: ...
def verify(
    path: str | os.PathLike[str],
    run_id: str | None = None,
    *,
    checkpoint: str | bytes | os.PathLike[str] | None = None,
    vkey: str | None = None,
) -> dict[str, Any]: ...
