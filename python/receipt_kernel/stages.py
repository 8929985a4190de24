"""Stage graphs: which stages a run may walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class StageGraph:
    """Which stage may follow which."""

    graph_id: str
    transitions: dict[str, list[str]]
    initial_stage: str
    terminal_stages: frozenset[str]

    def validate_transition(self, from_stage: str, to_stage: str) -> None:
        """Raises ``ValueError`` where the graph has no such step."""
        if from_stage not in self.transitions:
            known = sorted(self.transitions)
            raise ValueError(f"Unknown stage {from_stage!r} in graph {self.graph_id!r}. Known stages: {known}")
        allowed = self.transitions[from_stage]
        if to_stage not in allowed:
            step = f"{from_stage!r} -> {to_stage!r}"
            raise ValueError(
                f"Illegal transition {step} in graph {self.graph_id!r}. Allowed from {from_stage!r}: {allowed}"
            )

    def is_terminal(self, stage: str) -> bool:
        """Whether a run may end there."""
        return stage in self.terminal_stages

    def all_stages(self) -> frozenset[str]:
        """Every stage that a transition speaks of."""
        return frozenset(self.transitions).union(*self.transitions.values())

    def to_dict(self) -> dict[str, Any]:
        """The graph as JSON has it."""
        return {
            "graph_id": self.graph_id,
            "transitions": {stage: list(following) for stage, following in self.transitions.items()},
            "initial_stage": self.initial_stage,
            "terminal_stages": sorted(self.terminal_stages),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StageGraph:
        """From what :meth:`to_dict` gives."""
        return cls(
            graph_id=data["graph_id"],
            transitions={stage: list(following) for stage, following in data["transitions"].items()},
            initial_stage=data["initial_stage"],
            terminal_stages=frozenset(data["terminal_stages"]),
        )


#: From START over COLLECT, EVALUATE and DECIDE to FINALIZE, or to REMEDIATE and back to COLLECT.
DEFAULT_STAGE_GRAPH = StageGraph(
    graph_id="v1_default",
    transitions={
        "START": ["COLLECT"],
        "COLLECT": ["EVALUATE"],
        "EVALUATE": ["DECIDE"],
        "DECIDE": ["FINALIZE", "REMEDIATE"],
        "REMEDIATE": ["COLLECT"],
        "FINALIZE": [],
    },
    initial_stage="START",
    terminal_stages=frozenset({"FINALIZE"}),
)

#: From START to FINALIZE.
MINIMAL_STAGE_GRAPH = StageGraph(
    graph_id="v1_minimal",
    transitions={"START": ["FINALIZE"], "FINALIZE": []},
    initial_stage="START",
    terminal_stages=frozenset({"FINALIZE"}),
)
