"""What the scheduler last saw and decided about a queue's workers: a note in the job table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.scaling import ScalingState
from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.domain.unreadable import reading_item
from remotejob.names import Partition
from remotejob.ports import Installation

NAME: Final = "state"
KEPT: Final = timedelta(days=30)

_CLOCKS_AHEAD: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingNote:
    """The last decision about a queue's workers."""

    state: ScalingState
    desired: int = 0
    reason: str = ""
    """Why it should have so many workers, for people to read."""
    failed_starts: int = 0
    """Workers that lately failed to start."""
    crashes: int = 0
    """Workers that lately ran and failed."""
    last_failure: str = ""
    """What ECS said of the last one of either, or nothing."""


def partition_of(queue: str) -> str:
    return f"{Partition.SCALING}{queue}"


def load_scaling(queue: str, installation: Installation) -> ScalingNote | None:
    """The last decision about a queue; None if there is none that makes sense."""
    partition = partition_of(queue)
    for name, text in installation.store.notes(partition, NAME):
        if name != NAME:
            continue
        try:
            with reading_item(partition, NAME):
                return _read(json.loads(text), now_ms=installation.clock.now_ms())
        except UnreadableItem as problem:
            installation.skipped.add(problem)
    return None


def save_scaling(queue: str, note: ScalingNote, installation: Installation) -> None:
    expires_ms = installation.clock.now_ms() + span_ms(KEPT)
    installation.store.put_note(
        partition_of(queue), NAME, dumps(asdict(note)), expires_s=expires_ms // 1000
    )


def _read(noted: Any, *, now_ms: int) -> ScalingNote:
    """Raises: ValueError, TypeError or others, when it is not what the scheduler can have noted."""
    state = {name: noted["state"].get(name) for name in ScalingState.__dataclass_fields__}
    state["highest"] = state["highest"] or 0
    for name, value in state.items():
        if value is not None and (type(value) is not int or value < 0):
            raise TypeError(f"{name} is not a whole number")
        if name.endswith("_ms") and value is not None and value > now_ms + span_ms(_CLOCKS_AHEAD):
            raise ValueError(f"{name} is in the future")
    note = ScalingNote(
        state=ScalingState(**state),
        **{
            name: noted[name]
            for name in ScalingNote.__dataclass_fields__
            if name != "state" and name in noted
        },
    )
    for name in ("desired", "failed_starts", "crashes"):
        if type(getattr(note, name)) is not int:
            raise TypeError(f"{name} is not a whole number")
    for name in ("reason", "last_failure"):
        if not isinstance(getattr(note, name), str):
            raise TypeError(f"{name} is not text")
    return note
