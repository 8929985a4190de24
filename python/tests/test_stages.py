"""Stage graphs: what may follow what."""

from __future__ import annotations

import dataclasses

import pytest

from receipt_kernel.stages import DEFAULT_STAGE_GRAPH, MINIMAL_STAGE_GRAPH, StageGraph

DEFAULT = {
    "graph_id": "v1_default",
    "transitions": {
        "START": ["COLLECT"],
        "COLLECT": ["EVALUATE"],
        "EVALUATE": ["DECIDE"],
        "DECIDE": ["FINALIZE", "REMEDIATE"],
        "REMEDIATE": ["COLLECT"],
        "FINALIZE": [],
    },
    "initial_stage": "START",
    "terminal_stages": ["FINALIZE"],
}
MINIMAL = {
    "graph_id": "v1_minimal",
    "transitions": {"START": ["FINALIZE"], "FINALIZE": []},
    "initial_stage": "START",
    "terminal_stages": ["FINALIZE"],
}


@pytest.mark.parametrize("graph, expected", [(DEFAULT_STAGE_GRAPH, DEFAULT), (MINIMAL_STAGE_GRAPH, MINIMAL)])
def test_the_two_graphs_are_those_of_old_and_go_to_a_dict_and_back(
    graph: StageGraph, expected: dict[str, object]
) -> None:
    assert graph.to_dict() == expected
    assert list(graph.to_dict()) == list(expected)
    assert StageGraph.from_dict(graph.to_dict()) == graph
    assert type(graph.terminal_stages) is frozenset
    assert repr(graph) == (
        f"StageGraph(graph_id={graph.graph_id!r}, transitions={expected['transitions']!r}, "
        "initial_stage='START', terminal_stages=frozenset({'FINALIZE'}))"
    )


def test_exactly_the_declared_transitions_are_legal() -> None:
    for graph in (DEFAULT_STAGE_GRAPH, MINIMAL_STAGE_GRAPH):
        legal = {(a, b) for a, targets in graph.transitions.items() for b in targets}
        for a in graph.all_stages():
            for b in graph.all_stages():
                if (a, b) in legal:
                    assert graph.validate_transition(a, b) is None
                else:
                    with pytest.raises(ValueError, match=r"^Illegal transition"):
                        graph.validate_transition(a, b)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (
            "X",
            "START",
            "Unknown stage 'X' in graph 'v1_default'. "
            "Known stages: ['COLLECT', 'DECIDE', 'EVALUATE', 'FINALIZE', 'REMEDIATE', 'START']",
        ),
        ("START", "X", "Illegal transition 'START' -> 'X' in graph 'v1_default'. Allowed from 'START': ['COLLECT']"),
        (
            "FINALIZE",
            "START",
            "Illegal transition 'FINALIZE' -> 'START' in graph 'v1_default'. Allowed from 'FINALIZE': []",
        ),
        (
            "DECIDE",
            "COLLECT",
            "Illegal transition 'DECIDE' -> 'COLLECT' in graph 'v1_default'. "
            "Allowed from 'DECIDE': ['FINALIZE', 'REMEDIATE']",
        ),
        ("it's", "X", None),
    ],
)
def test_a_refusal_says_what_would_be_allowed(a: str, b: str, message: str | None) -> None:
    with pytest.raises(ValueError) as caught:
        DEFAULT_STAGE_GRAPH.validate_transition(a, b)
    if message is None:
        assert str(caught.value).startswith('Unknown stage "it\'s" in graph')
    else:
        assert str(caught.value) == message


def test_terminal_and_all_stages() -> None:
    assert DEFAULT_STAGE_GRAPH.is_terminal("FINALIZE") is True
    assert DEFAULT_STAGE_GRAPH.is_terminal("DECIDE") is False
    assert DEFAULT_STAGE_GRAPH.is_terminal("X") is False
    assert DEFAULT_STAGE_GRAPH.all_stages() == frozenset(DEFAULT["transitions"])
    graph = StageGraph("a", {"A": ["B"]}, "A", frozenset({"B"}))
    assert graph.all_stages() == frozenset({"A", "B"})
    with pytest.raises(ValueError, match=r"^Unknown stage 'B' in graph 'a'. Known stages: \['A'\]$"):
        graph.validate_transition("B", "A")


def test_a_graph_is_a_dataclass_that_can_be_changed() -> None:
    graph = dataclasses.replace(DEFAULT_STAGE_GRAPH, graph_id="mine")
    assert graph != DEFAULT_STAGE_GRAPH
    graph.graph_id = "v1_default"
    assert graph == DEFAULT_STAGE_GRAPH
    with pytest.raises(TypeError, match="unhashable"):
        hash(graph)


def test_from_dict_wants_every_member() -> None:
    for member in DEFAULT:
        with pytest.raises(KeyError, match=member):
            StageGraph.from_dict({key: value for key, value in DEFAULT.items() if key != member})


def test_to_dict_sorts_the_terminal_stages() -> None:
    graph = StageGraph("a", {"A": ["C", "B"], "B": [], "C": []}, "A", frozenset({"C", "B"}))
    assert graph.to_dict()["terminal_stages"] == ["B", "C"]
    assert graph.to_dict()["transitions"]["A"] == ["C", "B"]
