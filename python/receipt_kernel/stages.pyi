from dataclasses import dataclass
from typing import Any, Final

@dataclass
class StageGraph:
    graph_id: str
    transitions: dict[str, list[str]]
    initial_stage: str
    terminal_stages: frozenset[str]
    def validate_transition(self, from_stage: str, to_stage: str) -> None: ...
    def is_terminal(self, stage: str) -> bool: ...
    def all_stages(self) -> frozenset[str]: ...
    def to_dict(self) -> dict[str, Any]: ...
    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StageGraph: ...

DEFAULT_STAGE_GRAPH: Final[StageGraph]
MINIMAL_STAGE_GRAPH: Final[StageGraph]
