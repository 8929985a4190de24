"""Canonical bytes: those of json.dumps with sorted keys, no spaces, ASCII, and no NaN."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import functools
import json
import random
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from helpers import vectors
from receipt_kernel.envelope import canonical_json, compute_hash, compute_hash_raw


class NT(NamedTuple):
    a: int
    b: int


class IE(enum.IntEnum):
    A = 7


class SE(str, enum.Enum):
    B = "bee"


class FS(float):
    def __repr__(self) -> str:
        return "not a number"


class D2(dict):  # type: ignore[type-arg]
    pass


def evaluate(expression: str) -> Any:
    """A vector's Python expression, with the names that the vectors use."""
    cyc: list[Any] = []
    cyc.append(cyc)
    names = {
        "NT": NT,
        "IE": IE,
        "SE": SE,
        "FS": FS,
        "D2": D2,
        "cyc": cyc,
        "collections": collections,
        "datetime": datetime,
        "decimal": decimal,
    }
    return eval(expression, names)


def dumps(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("utf-8")


@pytest.mark.parametrize("file, count", [("canonical.jsonl", 129), ("canonical_random.jsonl", 270)])
def test_what_json_reads_has_the_bytes_of_the_vectors(file: str, count: int) -> None:
    cases = vectors(file)
    assert len(cases) == count
    for case in cases:
        value = json.loads(case["json"])
        data = canonical_json(value)
        assert type(data) is bytes
        assert data == case["canonical"].encode("ascii"), case["name"]
        assert compute_hash_raw(data) == case["sha256"], case["name"]
        assert compute_hash(data) == "sha256:" + case["sha256"]


def on_an_empty_stack(call: Callable[[], Any]) -> Any:
    """What a call gives or raises in a new thread: how deep json.dumps gets depends on its caller."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return outcome[0]


PYTHON_ONLY = vectors("canonical_python_only.jsonl")


def test_there_are_46_vectors_of_python_values() -> None:
    assert len(PYTHON_ONLY) == 46


@pytest.mark.parametrize("case", PYTHON_ONLY, ids=lambda case: case["name"])
def test_python_values_are_written_as_json_dumps_writes_them(case: dict[str, Any]) -> None:
    data = on_an_empty_stack(lambda: canonical_json(evaluate(case["expr"])))
    if "error" in case:
        assert type(data).__name__ == case["error"]
        if case["error"] == "RecursionError":
            assert str(data).startswith("maximum recursion depth exceeded")
        elif "digits" in case["msg"]:
            # The interpreter's own words, which each version has changed.
            assert str(data).startswith("Exceeds the limit (4300")
        else:
            assert str(data) == case["msg"]
        return
    assert isinstance(data, bytes), data
    assert compute_hash_raw(data) == case["sha256"]
    text = data.decode("ascii")
    if case["canonical"].endswith("..."):
        assert text.startswith(case["canonical"][:-3])
    else:
        assert text == case["canonical"]


@pytest.mark.parametrize(
    "case",
    [case for case in vectors("canonical_errors.jsonl") if case["stage"] == "dumps"],
    ids=lambda case: case["name"],
)
def test_what_is_no_json_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        canonical_json(json.loads(case["json"]))
    assert str(caught.value) == case["msg"]


def test_random_values_have_the_bytes_of_json_dumps() -> None:
    rng = random.Random(20260101)
    for _ in range(2000):
        value = random_value(rng, 4)
        assert canonical_json(value) == dumps(value)


def random_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-(1 << rng.randrange(1, 200)), 1 << rng.randrange(1, 200))
    if kind in (2, 3):
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-320, 308)
    if kind in (4, 5, 6):
        return random_text(rng)
    if kind == 7:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {random_text(rng): random_value(rng, depth - 1) for _ in range(rng.randrange(5))}


def random_text(rng: random.Random) -> str:
    top = rng.choice([0x7F, 0xFF, 0xFFFF, 0x10FFFF])
    return "".join(chr(rng.randrange(top + 1)) for _ in range(rng.randrange(12)))


class Text(str):
    def __str__(self) -> str:
        return "other"


class Number(int):
    def __repr__(self) -> str:
        return "other"


class Backwards(dict):  # type: ignore[type-arg]
    """A dict whose own `items` says something else than what is in it."""

    def items(self) -> Any:
        return [("z", 1), ("a", 2)]


class Longer(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter([1, 2, 3])


@pytest.mark.parametrize(
    "value",
    [
        Text("x"),
        {Text("x"): 1},
        Number(5),
        {Number(5): 1},
        [Number(5)],
        Backwards(b=0),
        Longer([9]),
        {"a": Longer()},
        {1.0: "a", 2: "b", False: "c"},
        {-1: "a", -2: "b"},
        {10: 1, 9: 2},
        (),
        {},
        [],
        "",
        {"": {"": []}},
        {"a": (1, (2, [3]))},
        {FS(1.5): 1},
        {"\ud800": 1},
        "\udfff",
        "\ud83d\ude00",
        {"\ue000": 1, "\U0001f600": 2, "\ud800": 3},
        2**63,
        -(2**63) - 1,
        2**64,
        10**4299,
        -0.0,
        5e-324,
        1e22,
        1e16,
        1e-5,
        123456789012345680.0,
        collections.Counter("aab"),
        collections.ChainMap,
        object,
        int,
        ...,
        1j,
        b"",
        memoryview(b""),
        {b"k": 1},
        {(1,): 1},
        {SE.B: 1, "a": 2},
        {IE.A: 1, 3: 2},
        {None: 1, True: 2},
        {object(): 1},
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_the_answer_is_that_of_json_dumps_bytes_or_error(value: Any) -> None:
    try:
        expected: bytes | Exception = dumps(value)
    except (TypeError, ValueError) as error:
        expected = error
    if isinstance(expected, bytes):
        assert canonical_json(value) == expected
        return
    with pytest.raises(type(expected)) as caught:
        canonical_json(value)
    if "object at 0x" not in str(expected):
        assert str(caught.value) == str(expected)


def test_a_value_met_twice_is_no_cycle_and_a_cycle_is_refused() -> None:
    shared = {"a": [1]}
    assert canonical_json([shared, shared]) == b'[{"a":[1]},{"a":[1]}]'
    loop: dict[str, Any] = {"a": {}}
    loop["a"]["b"] = loop
    with pytest.raises(ValueError, match=r"^Circular reference detected$"):
        canonical_json(loop)


def test_nothing_is_left_of_an_error_for_the_next_call() -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": [object()]})
    assert canonical_json({"a": [1]}) == b'{"a":[1]}'


def test_very_deep_values_are_an_error_and_no_crash() -> None:
    deep: Any = functools.reduce(lambda inner, _: [inner], range(100_000), 0)
    with pytest.raises((RecursionError, ValueError)):
        canonical_json(deep)
    while deep:  # taken apart by hand: freeing it in one go is as deep
        deep = deep[0] if isinstance(deep, list) else None


def test_integers_have_at_most_4300_digits() -> None:
    with pytest.raises(ValueError, match=r"\(4300|4300 digits"):
        canonical_json({"n": 10**4300})
    assert canonical_json(10**4299) == b"1" + b"0" * 4299


def test_many_threads_get_the_same_bytes() -> None:
    value = {"k" * 50: [i * 1.1 for i in range(500)], "u": "\U0001f600" * 100}
    expected = dumps(value)
    wrong: list[bytes] = []

    def work() -> None:
        for _ in range(50):
            if (data := canonical_json(value)) != expected:
                wrong.append(data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
