"""Hooks: functions that are told what happens to jobs, in the process where it happens.

The creator's process tells `created`, `staged`, and what is done to jobs by command; the worker's
`progress`, `completed`, `count_failed` and `failed`; `cancelled` is told by whoever cancels; the
supervisor's tells `child_restarted`.

Source: forerunner, `onCreated`, `onStaged`, `onProgress`, `onComplete`, `onCountFailed`,
`onFailed`; redis-dist-job-queue, its events; job-collection, `jc.events`.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from remotejob.domain.errors import InvalidData, InvalidName
from remotejob.domain.events import CommandEvent, Event
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import from_ms

if TYPE_CHECKING:
    from remotejob.client.job import Job
    from remotejob.ports import Installation
    from remotejob.worker.lifecycle.supervisor import ChildRestarted

__all__ = [
    "ChildEvent",
    "CommandEvent",
    "Event",
    "Hooks",
    "JobEvent",
    "off",
    "on",
    "registry",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEvent:
    """Something happened to a job."""

    event: Event
    at: datetime
    job: Job
    """As it stood then."""
    progress: tuple[float, float] | None = None
    """Done and total; of `progress`."""
    failure: Failure | None = None
    """Of `count_failed` and `failed`: the last run's."""
    again_at: datetime | None = None
    """Of `count_failed`: when the job runs again, at the earliest; None for at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildEvent:
    """A child process was replaced. Source: redis-dist-job-queue, `childRestart`."""

    event: Event
    child: ChildRestarted


Function = Callable[[Any], object]
"""Takes a `JobEvent`; of `call` and `error` a `CommandEvent`; of `child_restarted` a `ChildEvent`.
"""

F = TypeVar("F", bound=Function)


class Hooks:
    """Functions by event. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: dict[Event, tuple[tuple[str | None, Function], ...]] = {}

    @overload
    def on(self, event: Event | str, function: F, *, task: str | None = None) -> F: ...
    @overload
    def on(self, event: Event | str, *, task: str | None = None) -> Callable[[F], F]: ...

    def on(
        self, event: Event | str, function: F | None = None, *, task: str | None = None
    ) -> F | Callable[[F], F]:
        """Call a function at each such event; of all jobs, or of one task's. Also a decorator.

        Functions are called one after the other, in the order they were given. What one raises is
        logged, and changes nothing else.

        Raises: InvalidName, when there is no such event; InvalidData, when the function cannot be
        called, or nothing would ever call it.
        """
        known = _event(event)
        if known is Event.CHILD_RESTARTED and task is not None:
            raise InvalidData(f"task={task!r}: the event {known} is of no job; leave it out")

        def register(function: F) -> F:
            if not callable(function) or inspect.iscoroutinefunction(function):
                raise InvalidData(f"hook {function!r}: give a plain function of one argument")
            with self._lock:
                self._functions[known] = (*self._functions.get(known, ()), (task, function))
            return function

        return register if function is None else register(function)

    def off(self, event: Event | str, function: Function) -> None:
        """Call a function no more. One that was not registered is no error."""
        known = _event(event)
        with self._lock:
            kept = [one for one in self._functions.get(known, ()) if one[1] != function]
            self._functions[known] = tuple(kept)

    def tell(
        self,
        event: Event,
        record: JobRecord,
        installation: Installation,
        *,
        progress: tuple[float, float] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Call the functions of an event of a job."""
        functions = self._of(event, record.task)
        if not functions:
            return
        # imported at the first event: a worker without hooks never loads the client
        from remotejob.client.job import Job

        waits = event is Event.COUNT_FAILED and record.state is State.WAITING
        due = record.due_ms if waits else None
        told = JobEvent(
            event=event,
            at=from_ms(installation.clock.now_ms()),
            job=Job(record, installation),
            progress=progress,
            failure=failure,
            again_at=None if due is None else from_ms(due),
        )
        _call(functions, told, event)

    def tell_child_restarted(self, child: ChildRestarted) -> None:
        """Call the functions of `child_restarted`: a supervisor's `on_event`."""
        event = Event.CHILD_RESTARTED
        _call(self._of(event, None), ChildEvent(event=event, child=child), event)

    def tell_command(self, told: CommandEvent, *, task: str | None) -> None:
        """Call the functions of `call` or `error`."""
        _call(self._of(told.event, task), told, told.event)

    def wants(self, event: Event) -> bool:
        """Whether any function is registered for an event."""
        return bool(self._functions.get(event))

    def _of(self, event: Event, task: str | None) -> list[Function]:
        registered = self._functions.get(event)
        if not registered:
            return []
        return [function for wanted, function in registered if wanted is None or wanted == task]


def _event(event: Event | str) -> Event:
    try:
        return Event(event)
    except ValueError:
        raise InvalidName(f"event {event!r}: use one of {', '.join(Event)}") from None


def _call(functions: list[Function], told: object, event: Event) -> None:
    for function in functions:
        try:
            function(told)
        except (Exception, SystemExit):
            # told of the work, it is not the work; and it must not end a worker's thread
            log.exception(
                "hook failed", extra={"event": event, "hook": getattr(function, "__name__", "")}
            )


registry: Final = Hooks()
"""The hooks of this process: those of every system it works with."""

on: Final = registry.on
off: Final = registry.off
