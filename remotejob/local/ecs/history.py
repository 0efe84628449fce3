"""The starts and ends of tasks, in order: what `remotejob local` shows, and what tests wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from remotejob.local.ecs.service import Service, StopCode, Task

_MOST: Final = 10_000
"""Changes that are kept; of more, the oldest are forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A task that has started or ended."""

    number: int
    """From 1."""
    service: str
    """Its name."""
    task_arn: str
    has_started: bool
    log: str
    pid: int | None = None
    exit_code: int | None = None
    """Of one that ended; None if it never ran."""
    stop_code: StopCode | None = None
    reason: str = ""
    by_itself: bool = False
    """Whether it ended although nobody stopped it."""
    failed_in_a_row: int = 0
    """Starts of the service that failed one after another, with this one."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        code = found["stop_code"]
        return cls(**{**found, "stop_code": StopCode(code) if code else None})


class History:
    """The last changes."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._number = 0

    def started(self, service: Service, task: Task) -> None:
        """Note that a task's process runs."""
        pid = getattr(task.process, "pid", None)
        self._note(service, task, has_started=True, pid=pid)

    def ended(self, service: Service, task: Task, *, by_itself: bool) -> None:
        """Note the end of a task; call it before the failure is counted."""
        failed = by_itself and not task.has_settled
        self._note(
            service,
            task,
            has_started=False,
            exit_code=task.exit_code,
            stop_code=task.stop_code,
            reason=task.reason,
            by_itself=by_itself,
            failed_in_a_row=service.failures + 1 if failed else 0,
        )

    def since(self, number: int) -> Sequence[Change]:
        """The changes after the one of this number; 0 for all."""
        return [change for change in self._changes if change.number > number]

    def _note(self, service: Service, task: Task, **more: Any) -> None:
        self._number += 1
        log = str(task.log) if task.log is not None else ""
        self._changes.append(
            Change(number=self._number, service=service.name, task_arn=task.arn, log=log, **more)
        )
        del self._changes[:-_MOST]
