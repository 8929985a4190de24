"""Retention: bytes go when their time is over, the hash and a receipt stay."""

from __future__ import annotations

import datetime
import json
import pathlib
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

from helpers import Recorder, verdict
from receipt_kernel import EvidenceClass, RetentionPolicy
from receipt_kernel.envelope import verify_envelope_hash
from receipt_kernel.invariants import FinalizationCompletenessInvariant, LedgerChainValidInvariant
from receipt_kernel.retention import compute_expiry_ts, find_expired_blobs, purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MADE = "2026-01-01T00:00:00+00:00"
POLICY = RetentionPolicy()
# The default policy keeps sealed evidence for 7 days, public evidence for 30.
DAY_8, DAY_31 = "2026-01-09T00:00:00+00:00", "2026-02-01T00:00:00+00:00"


@pytest.fixture
def blobs(store: SqliteReceiptStore) -> dict[str, str]:
    """A public and a sealed blob, made at the beginning of 2026."""
    shas = {
        "public": store.put_blob(b"for all to see", content_type="text/plain").sha256,
        "sealed": store.put_blob(b"for few", evidence_class="sealed").sha256,
    }
    age(store)
    return shas


def age(store: SqliteReceiptStore, made: str = MADE) -> None:
    store._conn.execute("update blobs set created_at = ?", (made,))
    store._conn.commit()


def found(store: SqliteReceiptStore, now: str | None, policy: RetentionPolicy = POLICY) -> list[str]:
    return [blob["evidence_class"] for blob in find_expired_blobs(store, policy, now)]


def events_of_expiry(store: SqliteReceiptStore) -> list[dict[str, Any]]:
    runs = store._conn.execute("select run_id from runs order by rowid").fetchall()
    return [event for (run_id,) in runs for event in store.get_events(run_id, "BLOB_EXPIRE")]


@pytest.mark.parametrize(
    "created_at, evidence_class, policy, expected",
    [
        (MADE, EvidenceClass.PUBLIC, POLICY, "2026-01-31T00:00:00+00:00"),
        (MADE, EvidenceClass.SEALED, POLICY, "2026-01-08T00:00:00+00:00"),
        ("2026-01-01T00:00:00.250000+00:00", EvidenceClass.SEALED, POLICY, "2026-01-08T00:00:00.250000+00:00"),
        ("2026-01-01T00:00:00+05:00", EvidenceClass.SEALED, POLICY, "2026-01-07T19:00:00+00:00"),
        (MADE, EvidenceClass.PUBLIC, RetentionPolicy(public_ttl_seconds=0), MADE),
        (MADE, EvidenceClass.PUBLIC, RetentionPolicy(public_ttl_seconds=-1), None),
        (MADE, EvidenceClass.SEALED, RetentionPolicy(sealed_ttl_seconds=-7), None),
        (
            "2026-02-28T23:59:59+00:00",
            EvidenceClass.PUBLIC,
            RetentionPolicy(public_ttl_seconds=1),
            "2026-03-01T00:00:00+00:00",
        ),
    ],
)
def test_expiry_is_creation_and_the_ttl_of_the_class(
    created_at: str, evidence_class: EvidenceClass, policy: RetentionPolicy, expected: str | None
) -> None:
    assert compute_expiry_ts(created_at, evidence_class, policy) == expected


def test_a_creation_that_is_no_time_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        compute_expiry_ts("garbage", EvidenceClass.PUBLIC, POLICY)


def test_what_has_expired_is_found_in_the_order_of_its_making(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert found(store, "2026-01-02T00:00:00+00:00") == []
    assert found(store, DAY_8) == ["sealed"]
    assert found(store, DAY_31) == ["public", "sealed"]
    assert found(store, None) == ["public", "sealed"]
    (sealed,) = find_expired_blobs(store, POLICY, DAY_8)
    assert sealed == {
        "sha256": blobs["sealed"],
        "content_type": "application/octet-stream",
        "bytes_len": 7,
        "created_at": MADE,
        "evidence_class": "sealed",
        "expires_at": "2026-01-08T00:00:00+00:00",
    }
    assert list(sealed) == ["sha256", "content_type", "bytes_len", "created_at", "evidence_class", "expires_at"]


def test_the_very_moment_is_not_yet_over(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert found(store, "2026-01-08T00:00:00+00:00") == []
    assert found(store, "2026-01-08T00:00:00.000001+00:00") == ["sealed"]


def test_a_negative_ttl_is_for_ever(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert found(store, "2999-01-01T00:00:00+00:00", RetentionPolicy(-1, -1)) == []
    assert found(store, "2999-01-01T00:00:00+00:00", RetentionPolicy(-1, 0)) == ["sealed"]


def test_a_dry_run_removes_nothing(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert purge_expired(store, POLICY, DAY_8, dry_run=True) == find_expired_blobs(store, POLICY, DAY_8) != []
    assert store.get_blob(blobs["sealed"]) == b"for few"
    assert events_of_expiry(store) == []


def test_a_purge_removes_the_bytes_and_keeps_the_hash(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    expected = find_expired_blobs(store, POLICY, DAY_8)
    assert purge_expired(store, POLICY, DAY_8, maintenance_run_id="m1") == expected
    sha = blobs["sealed"]
    meta = store.get_blob_meta(sha)
    assert meta is not None
    assert (meta["state"], meta["expired_at"], meta["bytes_len"]) == ("expired_hash_only", DAY_8, 7)
    assert store.get_blob(sha) is None and store.has_blob(sha) and not store.blob_is_live(sha)
    assert store.blob_is_live(blobs["public"])
    assert purge_expired(store, POLICY, DAY_8, maintenance_run_id="m1") == []


def test_a_purge_writes_a_receipt_for_each_blob_into_the_run_it_is_given(
    store: SqliteReceiptStore, blobs: dict[str, str]
) -> None:
    purge_expired(store, POLICY, DAY_31, maintenance_run_id="m1")
    run = store.get_run("m1")
    assert run is not None
    assert (run["policy_id"], run["stage_graph_id"]) == ("retention", "v1_minimal")
    receipts = store.get_events("m1", "BLOB_EXPIRE")
    assert [event["payload"]["sha256"] for event in receipts] == [blobs["public"], blobs["sealed"]]
    payload = receipts[1]["payload"]
    assert {
        key: payload[key] for key in ("evidence_class", "bytes_len", "created_at", "expired_at", "new_state", "policy")
    } == {
        "evidence_class": "sealed",
        "bytes_len": 7,
        "created_at": MADE,
        "expired_at": DAY_31,
        "new_state": "expired_hash_only",
        "policy": POLICY.to_dict(),
    }
    assert receipts[1]["refs"]["blobs"] == [f"blob://sha256:{blobs['sealed']}"]
    assert all(verify_envelope_hash(event) for event in store.get_events("m1"))
    assert verdict(LedgerChainValidInvariant().evaluate({"store": store, "run_id": "m1"})) == "pass"


def test_a_maintenance_run_can_be_used_again(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    purge_expired(store, POLICY, DAY_8, maintenance_run_id="m1")
    purge_expired(store, POLICY, DAY_31, maintenance_run_id="m1")
    assert len(store.get_events("m1", "BLOB_EXPIRE")) == 2


@pytest.mark.ours
def test_a_purge_that_names_no_run_writes_receipts_into_one_of_its_own(
    store: SqliteReceiptStore, blobs: dict[str, str]
) -> None:
    purge_expired(store, POLICY, DAY_31)
    ((run_id,),) = store._conn.execute("select run_id from runs").fetchall()
    events = store.get_events(run_id)
    assert (events[0]["event_type"], events[-1]["event_type"]) == ("RUN_START", "RUN_FINALIZE")
    assert {event["payload"]["sha256"] for event in events_of_expiry(store)} == set(blobs.values())
    ctx = {"store": store, "run_id": run_id}
    for invariant in (LedgerChainValidInvariant(), FinalizationCompletenessInvariant()):
        assert verdict(invariant.evaluate(ctx)) == "pass", invariant.evaluate(ctx)


@pytest.mark.ours
def test_a_purge_of_nothing_writes_nothing(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert purge_expired(store, POLICY, MADE) == []
    assert store._conn.execute("select count(*) from events").fetchone() == (0,)


@pytest.mark.ours
@pytest.mark.parametrize(
    "now",
    [
        "tomorrow",
        "zzz",
        "9",
        "2026-13-01T00:00:00+00:00",
        "2026-01-10T00:00:00+25:00",
    ],
)
def test_now_is_a_time(store: SqliteReceiptStore, blobs: dict[str, str], now: str) -> None:
    for call in (find_expired_blobs, purge_expired):
        with pytest.raises(ValueError):
            call(store, POLICY, now)
    assert store.blob_is_live(blobs["sealed"]) and store.blob_is_live(blobs["public"])


@pytest.mark.differs("a purge at a time with an offset")
@pytest.mark.ours
def test_times_are_compared_as_moments_whatever_their_offset(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert found(store, "2026-01-08T04:59:59+05:00") == []
    assert found(store, "2026-01-08T05:00:01+05:00") == ["sealed"]
    assert found(store, "2026-01-07T19:00:01-05:00") == ["sealed"]
    assert found(store, "2026-01-07T18:59:59-05:00") == []
    assert found(store, "2026-01-08T00:00:00Z") == []
    assert found(store, "2026-01-08T00:00:00.5Z") == ["sealed"]


IN_ZONE = """
import sys
from receipt_kernel import EvidenceClass, RetentionPolicy
from receipt_kernel.retention import compute_expiry_ts
print(compute_expiry_ts("2026-01-01T00:00:00", EvidenceClass.SEALED, RetentionPolicy()))
"""


@pytest.mark.differs("a creation without an offset")
@pytest.mark.ours
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_a_creation_without_an_offset_is_utc_wherever_the_process_runs(zone: str) -> None:
    done = subprocess.run([sys.executable, "-c", IN_ZONE], env={"TZ": zone}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2026-01-08T00:00:00+00:00"


@pytest.mark.ours
@pytest.mark.parametrize(
    "edit", ["created_at = 'garbage'", "created_at = ''", "evidence_class = 'bogus'", "created_at = 5"]
)
def test_one_bad_row_does_not_keep_the_others(store: SqliteReceiptStore, blobs: dict[str, str], edit: str) -> None:
    store._conn.execute(f"update blobs set {edit} where sha256 = ?", (blobs["public"],))
    store._conn.commit()
    with pytest.warns(UserWarning, match=blobs["public"][:12]):
        purged = purge_expired(store, POLICY, DAY_31)
    assert [blob["sha256"] for blob in purged] == [blobs["sealed"]]
    kept = store._conn.execute("select data from blobs where sha256 = ?", (blobs["public"],)).fetchone()
    assert kept == (b"for all to see",)


@pytest.mark.parametrize("ttl", [float("nan"), None, "3600", [1]], ids=repr)
def test_a_ttl_is_a_number_of_seconds(store: SqliteReceiptStore, blobs: dict[str, str], ttl: Any) -> None:
    for policy in (RetentionPolicy(public_ttl_seconds=ttl), RetentionPolicy(sealed_ttl_seconds=ttl)):
        with pytest.raises((TypeError, ValueError)):
            purge_expired(store, policy, DAY_31)
    assert store.blob_is_live(blobs["sealed"]) and store.blob_is_live(blobs["public"])


@pytest.mark.ours
def test_a_ttl_beyond_the_calendar_is_for_ever(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    for ttl in (10**12, 10**15, 2**63 - 1):
        assert found(store, DAY_31, RetentionPolicy(ttl, 0)) == ["sealed"]
        assert compute_expiry_ts(MADE, EvidenceClass.PUBLIC, RetentionPolicy(ttl)) is None


def test_a_purge_may_name_a_run_that_has_ended(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    run = Recorder(store)
    run.finalize()
    purge_expired(store, POLICY, DAY_31, maintenance_run_id="r1")
    assert [event["event_type"] for event in store.get_events("r1")][1:] == ["RUN_FINALIZE", "BLOB_EXPIRE", "BLOB_EXPIRE"]
    assert not store.blob_is_live(blobs["sealed"])


def test_a_moment_without_an_offset_is_in_utc(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    assert found(store, "2026-01-07T23:59:59.000000") == []
    assert found(store, "2026-01-08T00:00:01.000000") == ["sealed"]


@pytest.mark.parametrize("ttl, until", [(1.5, "00:00:01.500000"), (0.25, "00:00:00.250000"), (60.0, "00:01:00")])
def test_a_ttl_may_be_a_float(ttl: float, until: str) -> None:
    policy = RetentionPolicy(public_ttl_seconds=ttl)  # type: ignore[arg-type]
    assert compute_expiry_ts("2026-01-01T00:00:00+00:00", EvidenceClass.PUBLIC, policy) == f"2026-01-01T{until}+00:00"


def test_a_purge_appends_through_the_store(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    seen = []

    class Watched(SqliteReceiptStore):
        def append_event(self, run_id: str, envelope: Any) -> str:
            seen.append((run_id, envelope["event_type"], sorted(envelope["payload"])))
            return super().append_event(run_id, envelope)

    store.close()
    watched = Watched(store.db_path)
    purge_expired(watched, POLICY, DAY_8, maintenance_run_id="m")
    members = ["bytes_len", "created_at", "evidence_class", "expired_at", "new_state", "policy", "sha256"]
    assert seen == [("m", "BLOB_EXPIRE", members)]
    watched.close()


@pytest.mark.ours
def test_a_purge_that_cannot_append_removes_nothing(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    with mock.patch.object(store, "append_event", side_effect=RuntimeError("full")), pytest.raises(RuntimeError):
        purge_expired(store, POLICY, DAY_31, maintenance_run_id="m")
    assert store.blob_is_live(blobs["sealed"]) and store.blob_is_live(blobs["public"])
    assert not store._conn.in_transaction


PURGE = """
import json, sys
from receipt_kernel import RetentionPolicy
from receipt_kernel.retention import purge_expired
from receipt_kernel.store_sqlite import SqliteReceiptStore
store = SqliteReceiptStore(sys.argv[1])
print(json.dumps([blob["sha256"] for blob in purge_expired(store, RetentionPolicy(), sys.argv[2], maintenance_run_id=sys.argv[3])]))
store.close()
"""


@pytest.mark.ours
def test_two_purgers_write_one_receipt_for_a_blob(store: SqliteReceiptStore, db_path: str) -> None:
    for n in range(40):
        store.put_blob(f"blob {n}".encode())
    age(store)
    store.close()
    running = [
        subprocess.Popen([sys.executable, "-c", PURGE, db_path, DAY_31, f"m{n}"], stdout=subprocess.PIPE)
        for n in range(3)
    ]
    said = [sha for process in running for sha in json.loads(process.communicate(timeout=60)[0])]
    receipts = [event["payload"]["sha256"] for event in events_of_expiry(store)]
    assert len(said) == len(receipts) == len(set(receipts)) == 40


@pytest.mark.differs("a purge that is killed, or two at once")
@pytest.mark.ours
def test_a_purge_that_is_killed_leaves_a_receipt_for_each_blob_that_is_gone(
    store: SqliteReceiptStore, db_path: str
) -> None:
    for n in range(300):
        store.put_blob(f"blob {n}".encode() * 200)
    age(store)
    store.close()
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2):
        process = subprocess.Popen([sys.executable, "-c", PURGE, db_path, DAY_31, "m1"], stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=0.15 + delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        ((gone,),) = store._conn.execute("select count(*) from blobs where state != 'live'").fetchall()
        assert len(events_of_expiry(store)) == gone
        store.close()


@pytest.mark.ours
@pytest.mark.parametrize("size", [100, 2_000, 100_000])
def test_no_copy_of_expired_bytes_is_left_in_the_files(db_path: str, size: int) -> None:
    canary = b"canary-7f3a91-"
    store = SqliteReceiptStore(db_path)
    store.initialize_schema()
    store.put_blob((canary * (size // len(canary) + 1))[:size])
    age(store)
    purge_expired(store, POLICY, DAY_31)
    # A process of its own reads: closing a file here would drop this process's locks on it.
    count = "import sys; print(sum(open(p, 'rb').read().count(sys.argv[1].encode()) for p in sys.argv[2:]))"
    files = [str(path) for path in pathlib.Path(db_path).parent.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", count, canary.decode(), *files], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"
    store.close()


@pytest.mark.ours
def test_a_hash_whose_time_is_over_is_marked_as_purged(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    policy = RetentionPolicy(hash_retention_seconds=3600)
    purge_expired(store, policy, DAY_31)
    later = "2026-06-01T00:00:00+00:00"
    purge_expired(store, policy, later)
    meta = store.get_blob_meta(blobs["public"])
    assert meta is not None and meta["state"] == "purged"


def test_a_policy_that_keeps_hashes_keeps_them(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    purge_expired(store, POLICY, DAY_31, maintenance_run_id="m1")
    purge_expired(store, POLICY, "2036-01-01T00:00:00+00:00", maintenance_run_id="m1")
    meta = store.get_blob_meta(blobs["public"])
    assert meta is not None and meta["state"] == "expired_hash_only"


def test_now_is_the_clock_where_none_is_given(store: SqliteReceiptStore, blobs: dict[str, str]) -> None:
    made = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=8)
    age(store, made.isoformat())
    assert found(store, None) == ["sealed"]
