"""The event loop of async tasks, which no task can stop, and on which no forked copy goes on.

What belongs to a whole loop elsewhere belongs to one job here (see `job_scope`): its default pool,
task factory and exception handler.
"""

from __future__ import annotations

import asyncio
import logging
import os
import selectors
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

from remotejob.tasks.async_calls import AsyncCalls
from remotejob.tasks.forked import AWAITED, OnlyHere, end_copy_of, keep_private
from remotejob.worker.executors.job_scope import CURRENT, JobScope

log = logging.getLogger(__name__)


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


class JobTask(asyncio.Task[Any]):
    """An asyncio task that knows its job, and notes if another one cancels it."""

    def __init__(self, coroutine: Any, **options: Any) -> None:
        context = options.get("context")
        self.scope: Final = CURRENT.get() if context is None else context.get(CURRENT)
        super().__init__(coroutine, **options)

    def cancel(self, msg: Any | None = None) -> bool:
        by = CURRENT.get()
        if by is not None and self.scope is not None and by is not self.scope and not self.done():
            self.scope.harm(by)
        return super().cancel(msg)


def _job_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> JobTask:
    return JobTask(coroutine, loop=loop, **options)


class TaskLoop(asyncio.SelectorEventLoop):
    """An event loop for async tasks. Without a job's scope it is a loop like any other."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        self._owner: Final = os.getpid()
        super().set_task_factory(_job_task)
        self._debug_at_first: Final = self.get_debug()
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
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        scope = CURRENT.get()
        pool = None if scope is None else scope.executor()
        return super().run_in_executor(pool, _call_only_here, func, *args)

    def set_default_executor(self, executor: Any) -> None:
        scope = CURRENT.get()
        if scope is None:
            super().set_default_executor(executor)
        else:
            scope.set_executor(executor)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        scope = CURRENT.get()
        if scope is None:
            await super().shutdown_default_executor()
            return
        pool = scope.take_executor()
        if pool is not None:
            waits = AsyncCalls().make(pool.shutdown)
            await (waits if timeout is None else asyncio.wait_for(waits, timeout))

    async def shutdown_asyncgens(self) -> None:
        if not self._is_shared("shutdown_asyncgens"):
            await super().shutdown_asyncgens()

    def stop(self) -> None:
        if not self._is_shared("stop"):
            super().stop()

    def _is_shared(self, call: str) -> bool:
        """Whether a job asks, whose call has no effect then, because others run on the loop."""
        scope = CURRENT.get()
        if scope is None:
            return False
        log.warning(
            "%s called %s() of the event loop, which it shares: no effect; return from the task, "
            "or give it runs_in=Process() for a loop of its own",
            scope.label,
            call,
        )
        return True

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        scope = CURRENT.get()
        if scope is None or scope.task_factory is None:
            return super().create_task(coro, **options)
        super().set_task_factory(scope.task_factory)
        try:
            return super().create_task(coro, **options)
        finally:
            super().set_task_factory(_job_task)

    def set_task_factory(self, factory: Any) -> None:
        scope = CURRENT.get()
        if scope is None:
            super().set_task_factory(factory or _job_task)
        else:
            scope.task_factory = factory

    def get_task_factory(self) -> Any:
        scope = CURRENT.get()
        factory = super().get_task_factory() if scope is None else scope.task_factory
        return None if factory is _job_task else factory

    def set_exception_handler(self, handler: Any) -> None:
        scope = CURRENT.get()
        if scope is None:
            super().set_exception_handler(handler)
        else:
            scope.exception_handler = handler

    def get_exception_handler(self) -> Any:
        scope = CURRENT.get()
        return super().get_exception_handler() if scope is None else scope.exception_handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        scope = CURRENT.get() or getattr(task, "scope", None)
        if isinstance(scope, JobScope) and scope.exception_handler is not None:
            try:
                scope.exception_handler(self, context)
            except Exception:
                log.exception("the exception handler of %s failed", scope.label)
        else:
            super().call_exception_handler(context)

    def forget(self, scope: JobScope) -> None:
        """The scope's job has ended: what it set for the whole loop ends with it."""
        scope.close()
        if self.get_debug() != self._debug_at_first:
            log.warning("%s left the loop's debug mode changed: it is set back", scope.label)
            self.set_debug(self._debug_at_first)

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
