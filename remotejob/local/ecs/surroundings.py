"""What surrounds each worker of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from remotejob.local import workers


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What an image would bring, and what is added to each worker's environment."""

    command: tuple[str, ...] = workers.DEFAULT_COMMAND
    directory: Path = field(default_factory=Path.cwd)
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "directory": str(self.directory),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        return cls(
            command=tuple(found["command"]),
            directory=Path(found["directory"]),
            environment=found["environment"],
        )
