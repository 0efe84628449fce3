"""The event loop of async tasks, on which a forked copy of the process cannot go on."""

from __future__ import annotations

import asyncio
import os
import selectors
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

from remotejob.tasks.forked import AWAITED, OnlyHere, end_copy_of, keep_private


class _Selector(selectors.DefaultSelector):
    """Waits for files, in the process that made it alone."""

    def __init__(self) -> None:
        super().__init__()
        self._owner: Final = os.getpid()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if os.getpid() == self._owner:
            return super().select(timeout)
        if timeout != 0:
            end_copy_of(self._owner, AWAITED)
        # a step is due: the task that the copy's own task woke
        return []


class TaskLoop(asyncio.SelectorEventLoop):
    """An event loop for async tasks."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        self._owner: Final = os.getpid()
        # the copy's changes to what it watches would be changes to ours
        keep_private(selector)
        _ALL.add(self)

    def run_forever(self) -> None:
        with OnlyHere():
            try:
                super().run_forever()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:
                end_copy_of(self._owner, AWAITED)
                raise
            end_copy_of(self._owner, AWAITED)

    def run_in_executor(  # type: ignore[override]  # typeshed has it async
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        if executor is None:
            return super().run_in_executor(None, _call_only_here, func, *args)
        return super().run_in_executor(executor, func, *args)

    def after_fork(self) -> None:
        """In a copy of the process: forget the steps that others were about to take."""
        # no public way leads to them
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]


def _call_only_here(function: Callable[..., Any], *args: Any) -> Any:
    with OnlyHere():
        return function(*args)


_ALL: weakref.WeakSet[TaskLoop] = weakref.WeakSet()


def _after_fork() -> None:
    for loop in list(_ALL):
        loop.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
