from typing import Any

from receipt_kernel.envelope import make_envelope as make_envelope
from receipt_kernel.store_sqlite import SqliteReceiptStore
from receipt_kernel.types import BlobState as BlobState
from receipt_kernel.types import EvidenceClass as EvidenceClass
from receipt_kernel.types import RetentionPolicy as RetentionPolicy

def compute_expiry_ts(
    created_at: str, evidence_class: EvidenceClass, policy: RetentionPolicy
) -> str | None: ...
def find_expired_blobs(
    store: SqliteReceiptStore, policy: RetentionPolicy, now: str | None = None
) -> list[dict[str, Any]]: ...
def purge_expired(
    store: SqliteReceiptStore,
    policy: RetentionPolicy,
    now: str | None = None,
    *,
    dry_run: bool = False,
    maintenance_run_id: str | None = None,
) -> list[dict[str, Any]]: ...
