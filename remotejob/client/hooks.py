"""Hooks: functions called when something happens to a job, in the process where it happens.

The creator's process reports `created`, `staged` and commands; the worker's process reports
`progress`, `completed`, `count_failed` and `failed`; the process that cancels reports `cancelled`;
the supervisor reports `child_restarted`.

Source: forerunner, `onCreated`, `onStaged`, `onProgress`, `onComplete`, `onCountFailed`,
`onFailed`; redis-dist-job-queue, its events; job-collection, `jc.events`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from remotejob.domain.argument_checks import check_choice, check_text, is_a, reading
from remotejob.domain.errors import InvalidData
from remotejob.domain.events import CommandEvent, Event
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import name_of, shown
from remotejob.domain.times import from_ms
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.functions import check_function, is_async
from remotejob.tasks.own_context import own_context

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
    """The job as it was at that moment."""
    progress: tuple[float, float] | None = None
    """For `progress`: done and total."""
    message: str | None = None
    """For `progress`: the words that the task gave with it."""
    failure: Failure | None = None
    """For `count_failed` and `failed`: the failure of the last run."""
    again_at: datetime | None = None
    """For `count_failed`: the earliest time of the next run; None means at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildEvent:
    """A child process was replaced. Source: redis-dist-job-queue, `childRestart`."""

    event: Event
    child: ChildRestarted


Function = Callable[[Any], object]
"""A hook. It takes a `CommandEvent` for `call` and `error`, a `ChildEvent` for `child_restarted`,
and a `JobEvent` for all others."""

F = TypeVar("F", bound=Function)


class Hooks:
    """The registered functions of each event. Thread-safe."""

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
        """Call a function at each such event, for all jobs or those of one task. Also a decorator.

        Functions run one after another, in the order they were registered. An exception in one is
        logged and has no other effect.

        Raises: InvalidName, when there is no such event; InvalidData, when the function is not
        callable, or nothing would ever call it.
        """
        known = _event(event)
        if task is not None:
            check_text("task", task, remedy="give the name of a task")
        if known is Event.CHILD_RESTARTED and task is not None:
            raise InvalidData(
                f"task={shown(task)}: the event {known} belongs to no job; leave it out"
            )

        def register(function: F) -> F:
            with reading("hook"):
                plain = callable(function) and not is_async(function)
            if not plain:
                raise InvalidData(f"hook {shown(function)}: give a plain function of one argument")
            check_function(f"hook {shown(function)}", function, "event")
            with self._lock:
                self._functions[known] = (*self._functions.get(known, ()), (task, function))
            return function

        return register if function is None else register(function)

    def registered(self) -> list[tuple[Event, Function]]:
        """Every function with its event; one that was registered twice is there twice."""
        with self._lock:
            known = dict(self._functions)
        return [(event, function) for event, entries in known.items() for _, function in entries]

    def off(self, event: Event | str, function: Function) -> None:
        """Stop calling a function. It is not an error if it was not registered."""
        known = _event(event)
        given: object = function
        if not callable(given):
            return
        with self._lock:
            entries = self._functions.get(known, ())
            self._functions[known] = tuple(entry for entry in entries if entry[1] != function)

    def tell(
        self,
        event: Event,
        record: JobRecord,
        installation: Installation,
        *,
        progress: tuple[float, float] | None = None,
        message: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Call the functions registered for an event of a job."""
        functions = self._registered(event, record.task)
        if not functions:
            return
        # imported at the first event: a worker without hooks never loads the client
        from remotejob.client.job import Job

        waits = event is Event.COUNT_FAILED and record.state is State.WAITING
        due = record.due_ms if waits else None
        job_event = JobEvent(
            event=event,
            at=from_ms(installation.clock.now_ms()),
            job=Job(record, installation),
            progress=progress,
            message=message,
            failure=failure,
            again_at=None if due is None else from_ms(due),
        )
        _call(functions, job_event, event)

    def tell_child_restarted(self, child: ChildRestarted) -> None:
        """Call the functions of `child_restarted`. Pass this to a supervisor as `on_event`."""
        event = Event.CHILD_RESTARTED
        _call(self._registered(event, None), ChildEvent(event=event, child=child), event)

    def tell_command(self, told: CommandEvent, *, task: str | None) -> None:
        """Call the functions of `call` or `error`."""
        _call(self._registered(told.event, task), told, told.event)

    def wants(self, event: Event) -> bool:
        """Whether any function is registered for an event."""
        return bool(self._functions.get(event))

    def _registered(self, event: Event, task: str | None) -> list[Function]:
        entries = self._functions.get(event)
        if not entries:
            return []
        return [function for wanted, function in entries if wanted is None or wanted == task]


def _event(event: Event | str) -> Event:
    return check_choice("event ", event, Event)


def _call(functions: list[Function], argument: object, event: Event) -> None:
    for function in functions:
        try:
            # a hook may fork, in the midst of a worker's own threads, or set decimals there
            with OnlyHere():
                returned: Any = own_context().run(function, argument)
            if is_a(returned, Coroutine):
                returned.close()
                log.error(
                    "hook failed: it returned a coroutine, which nothing awaits; write it with def",
                    extra={"event": event, "hook": name_of(function)},
                )
        except (Exception, SystemExit):
            # a failing hook must not fail the job, nor end a worker's thread
            log.exception(
                "hook failed", extra={"event": event, "hook": getattr(function, "__name__", "")}
            )


registry: Final = Hooks()
"""The hooks of this process, shared by every system it connects to."""

on: Final = registry.on
off: Final = registry.off
