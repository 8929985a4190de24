"""No tampering with a ledger passes the invariant of the chain."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from helpers import Recorder, codes, verdict
from scenes import CHAIN, CLAIMING, ONCE, STRUCTURAL, Scene, inner

def deciding(count: int = 3) -> Scene:
    run = Scene(None)
    for n in range(count):
        run.then("DECISION", {"n": n})
    return run


def test_an_edit_that_a_hash_shows_fails() -> None:
    run = deciding()
    run.edit(3, lambda text: text.replace('"n": 1', '"n": 9').replace('"n":1', '"n":9'))
    result = run.judge(CHAIN)
    assert verdict(result) == "fail" and "EVENT_HASH_MISMATCH" in codes(result)


def test_a_gap_and_a_broken_link_fail() -> None:
    assert verdict(deciding().edited("delete from events where seq = 2").judge(CHAIN)) == "fail"
    assert (
        verdict(deciding().edited("update events set prev_event_hash = 'sha256:00' where seq = 3").judge(CHAIN))
        == "fail"
    )


def renumber(run: Scene) -> None:
    """What a forger does with the columns, and no hash made anew."""
    rows = run.store._conn.execute("select id, event_hash from events where run_id = 'r1' order by seq, id").fetchall()
    for offset in (1000, 0):
        previous = None
        for seq, (row, event_hash) in enumerate(rows, 1):
            run.edited("update events set seq = ?, prev_event_hash = ? where id = ?", seq + offset, previous, row)
            previous = event_hash


def cut_from_the_middle(run: Scene) -> None:
    run.edited("delete from events where seq = 3")
    renumber(run)


def swapped(run: Scene) -> None:
    run.edited("update events set seq = 99 where seq = 2").edited("update events set seq = 2 where seq = 3")
    run.edited("update events set seq = 3 where seq = 99")
    renumber(run)


def spliced(run: Scene) -> None:
    other = Recorder(run.store, "other", mode=None)
    other.event("DECISION", {"n": "foreign"})
    run.edited("update events set seq = 99 where run_id = 'r1' and seq = 2")
    run.edited("update events set run_id = 'r1', seq = 2 where run_id = 'other' and seq = 2")
    run.edited("delete from events where run_id = 'r1' and seq = 99")
    renumber(run)


def copied_run(run: Scene) -> None:
    run.store.ensure_run("copy", "p", "1", "g")
    run.edited("update events set run_id = 'copy'")
    run.run_id = "copy"


def column(assignment: str) -> Callable[[Scene], None]:
    return lambda run: run.sql(f"update events set {assignment} where seq = 2")


TAMPERING: dict[str, Callable[[Scene], None]] = {
    "an event cut from the middle": cut_from_the_middle,
    "two events swapped": swapped,
    "an event of another run spliced in": spliced,
    "a run copied under another id": copied_run,
    "the hash in the text edited": inner("event_hash", "sha256:" + "0" * 64),
    "the hash in the text removed": inner("event_hash", None),
    "the type column edited": column("event_type = 'RUN_FINALIZE'"),
    "the hash column edited": column("event_hash = 'sha256:00'"),
    "text in another order": lambda run: run.edit(2, lambda text: json.dumps(dict(reversed(json.loads(text).items())))),
    "text with more space": lambda run: run.edit(2, lambda text: text + " "),
    "text indented": lambda run: run.edit(2, lambda text: json.dumps(json.loads(text), sort_keys=True, indent=1)),
    "text with raw letters": lambda run: run.edit(2, lambda text: text.replace("a1", "\\u0061" + "1")),
    "a key twice": lambda run: run.edit(2, lambda text: '{"event_type":"EVALUATION",' + text[1:]),
    "text that is no JSON": lambda run: run.edit(2, lambda text: "{bad"),
    "text that is a number": lambda run: run.edit(2, lambda text: "5"),
    "text that is null": lambda run: run.edit(2, lambda text: "null"),
    "text that is a list": lambda run: run.edit(2, lambda text: "[]"),
    "text with NaN": lambda run: run.edit(
        2, lambda text: text.replace('"n": 0', '"n": NaN').replace('"n":0', '"n":NaN')
    ),
    "text that is very deep": lambda run: run.edit(2, lambda text: "[" * 100_000),
    "text that is no UTF-8": column("envelope_json = cast(x'7bff7d' as text)"),
    "text in a blob": column("envelope_json = cast(envelope_json as blob)"),
    "seq in words": column("seq = 'abc'"),
    "seq and a half": column("seq = 2.5"),
    "an integer of 5,000 digits": lambda run: run.edit(
        2, lambda text: text.replace('"n": 0', '"n": ' + "7" * 5000).replace('"n":0', '"n":' + "7" * 5000)
    ),
}


@pytest.mark.ours
@pytest.mark.parametrize("act", TAMPERING)
def test_tampering_with_the_ledger_fails_the_chain_and_raises_nothing(act: str) -> None:
    run = deciding()
    assert verdict(run.judge(CHAIN)) == "pass"
    TAMPERING[act](run)
    result = run.judge(CHAIN)
    assert verdict(result) == "fail", result
    for invariant in STRUCTURAL + CLAIMING:
        run.judge(invariant)


@pytest.mark.ours
def test_the_type_that_counts_is_that_of_the_envelope() -> None:
    run = Scene(None).evaluated("fail").ended("fail").evaluated("pass").ended("pass")
    run.edited("update events set event_type = 'DECISION' where seq = 3")
    assert [event["seq"] for event in run.store.get_events("r1", "RUN_FINALIZE")] == [3, 5]
    assert codes(run.judge(ONCE)) == ["MULTIPLE_FINALIZE"]


def test_the_chain_counts_what_it_saw() -> None:
    assert deciding(9).judge(CHAIN).meta == {"event_count": 10}
