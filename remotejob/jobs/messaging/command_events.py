"""Notifies hooks of commands: calls of public methods that change a job or a queue."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from remotejob.domain.events import CommandEvent, Event
from remotejob.domain.times import from_ms
from remotejob.ports import Installation


class _Commanded(Protocol):
    @property
    def _installation(self) -> Installation: ...


S = TypeVar("S", bound=_Commanded)
P = ParamSpec("P")
R = TypeVar("R")


def command(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Notify hooks after each call of a method, whether it returned or raised."""
    name, signature = method.__name__, inspect.signature(method)

    @wraps(method)
    def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        hooks = self._installation.hooks

        def notify(event: Event, *, result: object = None, error: Exception | None = None) -> None:
            given = dict(signature.bind_partial(self, *args, **kwargs).arguments)
            del given["self"]
            command_event = CommandEvent(
                event=event,
                at=from_ms(self._installation.clock.now_ms()),
                command=name,
                target=self,
                arguments=given,
                result=result,
                error=error,
            )
            hooks.tell_command(command_event, task=getattr(self, "task", given.get("task")))

        try:
            result = method(self, *args, **kwargs)
        except Exception as error:
            if hooks.wants(Event.ERROR):
                notify(Event.ERROR, error=error)
            raise
        if hooks.wants(Event.CALL):
            notify(Event.CALL, result=result)
        return result

    return called
