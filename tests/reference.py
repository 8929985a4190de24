"""Drives the Python package receipt-kernel 0.1.0, for the tests that exchange files with it.

    reference.py write LEDGER SEED RUNS     writes runs of all event types, made from the seed
    reference.py continue LEDGER RUN JSON   appends the events of the JSON list, and begins the run where there is none
    reference.py verify LEDGER              what the package's own chain check says of each run
    reference.py dump LEDGER                every event and blob, as the package reads them
    reference.py put LEDGER TEXT COUNT…     puts the text so many times over, as evidence of a run
    reference.py refused LEDGER HASH…       the error on opening it; what it reads of blobs without opening it properly

Each answer is a JSON value a line.
"""

import hashlib
import json
import random
import struct
import sys

from receipt_kernel.envelope import canonical_json, make_envelope
from receipt_kernel.invariants.ledger_chain_valid import LedgerChainValidInvariant
from receipt_kernel.store_sqlite import SqliteReceiptStore

TYPES = [
    "STAGE_ADVANCE",
    "EVIDENCE_PUT",
    "EVALUATION",
    "DECISION",
    "REMEDIATION",
    "BLOB_EXPIRE",
]
STAGES = ["START", "COLLECT", "EVALUATE", "DECIDE", "REMEDIATE", "FINALIZE"]
FLOATS = [1e16, 1e-5, -0.0, 5e-324, 0.0, 1.0, 1e22, 1e-7, 0.1, 123456789012345680.0, 1.7976931348623157e308]
CHARACTERS = (
    "".join(map(chr, range(0x20)))
    + "abcXYZ 019\"\\/<>&'"
    + "\x7f\x80\xa0éßΩЖ中\u2028\u2029\ufeff\ufffd\uffff"
    + "😀𝄞\U0010ffff"
)


def say(value):
    print(json.dumps(value))


def text(rng, surrogates):
    some = "".join(rng.choice(CHARACTERS) for _ in range(rng.randrange(12)))
    if surrogates and rng.random() < 0.1:
        # None of them beside its other half: a pair would be one character.
        some += rng.choice(["\ud800", "\udfff", "\udc00x\ud83d"])
    return some


def number(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(FLOATS)
    if kind == 1:
        while True:
            value = struct.unpack("<d", rng.getrandbits(64).to_bytes(8, "little"))[0]
            if value - value == 0:
                return value
    if kind == 2 and rng.random() < 0.05:
        digits = rng.choice([20, 309, 1000, 4299, 4300])
        return rng.choice([1, -1]) * rng.randrange(10 ** (digits - 1), 10**digits)
    if kind == 3:
        return rng.choice([2**53, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 0, -1])
    return rng.randrange(-1000, 1000)


def value(rng, depth):
    kind = rng.randrange(7 if depth > 0 else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return number(rng)
    if kind in (3, 4):
        return text(rng, True)
    if kind == 5:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {text(rng, False): value(rng, depth - 1) for _ in range(rng.randrange(4))}


def payload(rng):
    made = {text(rng, False): value(rng, 4) for _ in range(rng.randrange(5))}
    if rng.random() < 0.05:
        nested = value(rng, 0)
        for _ in range(rng.randrange(10, 100)):
            nested = [nested] if rng.random() < 0.5 else {"in": nested}
        made["nested"] = nested
    return made


def envelope(event_type, stage, payload, **rest):
    return make_envelope(
        event_type=event_type,
        stage=stage,
        policy_id=rest.pop("policy_id", "p"),
        policy_version=rest.pop("policy_version", "1"),
        stage_graph_id=rest.pop("stage_graph_id", "v1_default"),
        actor_kind="system",
        actor_id="ci",
        payload=payload,
        **rest,
    )


def put(rng, store):
    data = rng.choice([rng.randbytes(rng.randrange(300)), text(rng, False).encode() * rng.randrange(1, 50)])
    ref = store.put_blob(
        data,
        content_type=rng.choice(["application/octet-stream", "text/plain", "application/json"]),
        evidence_class=rng.choice(["public", "sealed"]),
    )
    body = {"key": text(rng, False), "evidence": ref.to_dict(), "meta": payload(rng)}
    return body, [ref.ref] if rng.random() < 0.8 else []


def write(store, seed, runs):
    rng = random.Random(int(seed))
    store._conn.execute("PRAGMA synchronous = OFF")
    types = {}
    for index in range(int(runs)):
        name = f"run-{seed}-{index}"
        store.ensure_run(name, policy_id="p", policy_version="1", stage_graph_id="v1_default", meta=payload(rng))
        events = rng.randrange(1, 7)
        for number_of in range(events):
            last = number_of + 1 == events
            event_type = rng.choice(TYPES)
            if number_of == 0:
                event_type = "RUN_START"
            elif last and rng.random() < 0.5:
                event_type = "RUN_FINALIZE"
            body, blobs = put(rng, store) if event_type == "EVIDENCE_PUT" else (payload(rng), [])
            if event_type == "RUN_FINALIZE":
                body["overall_verdict"] = rng.choice(["pass", "warn", "fail", "unknown"])
            events_refs = [f"event://{name}/{number_of}"] if number_of and rng.random() < 0.3 else []
            sealed = envelope(event_type, rng.choice(STAGES), body, blob_refs=blobs, event_refs=events_refs)
            store.append_event(name, sealed)
            types[event_type] = types.get(event_type, 0) + 1
    say(types)


def continue_(store, run, events):
    if store.get_run(run) is None:
        store.ensure_run(run, policy_id="p", policy_version="1", stage_graph_id="v1_default")
    for event in json.loads(events):
        say(store.append_event(run, envelope(**event)))


def run_ids(store):
    return [row[0] for row in store._conn.execute("SELECT run_id FROM runs ORDER BY run_id").fetchall()]


def verify(store):
    for run in run_ids(store):
        result = LedgerChainValidInvariant().evaluate({"store": store, "run_id": run})
        say({"run_id": run, "verdict": result.verdict.value, "codes": [reason.code for reason in result.reasons]})


def dump(store):
    for run in run_ids(store):
        for event in store.get_events(run):
            hashed = canonical_json({key: value for key, value in event.items() if key != "event_hash"})
            recomputed = "sha256:" + hashlib.sha256(hashed).hexdigest()
            say({"run_id": run, "envelope": event, "recomputed": recomputed})
    for (sha256,) in store._conn.execute("SELECT sha256 FROM blobs ORDER BY sha256").fetchall():
        say({"sha256": sha256, "hex": store.get_blob(sha256).hex()})


def put_many(store, text, *counts):
    policy = {"policy_id": "p", "policy_version": "1", "stage_graph_id": "v1_default"}
    store.ensure_run("theirs", **policy)
    for count in counts:
        blob = store.put_blob((text * int(count)).encode(), content_type="text/plain")
        payload = {"key": "k" + count, "evidence": blob.to_dict(), "meta": {}}
        event = make_envelope(event_type="EVIDENCE_PUT", stage="COLLECT", payload=payload, actor_kind="system",
                              actor_id="ci", blob_refs=[blob.ref], **policy)
        store.append_event("theirs", event)


def refused(path, *blobs):
    store = SqliteReceiptStore(path)
    try:
        store.initialize_schema()
        say({"error": None})
    except Exception as error:
        say({"error": str(error)})
    store.close()
    store = SqliteReceiptStore(path)
    for sha256 in blobs:
        data = store.get_blob(sha256)
        say({"sha256": sha256, "hex": None if data is None else data.hex()})
    store.close()


def main():
    verb, path, *rest = sys.argv[1:]
    if verb == "refused":
        return refused(path, *rest)
    store = SqliteReceiptStore(path)
    store.initialize_schema()
    try:
        {"write": write, "continue": continue_, "verify": verify, "dump": dump, "put": put_many}[verb](store, *rest)
    finally:
        store.close()


if __name__ == "__main__":
    main()
