"""Runs `async def` tasks: on the worker's event loop, or on a loop of the calling thread."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import RunInterrupted, WorkerStopping
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.tasks.forked import only_here
from remotejob.tasks.own_context import own_context
from remotejob.tasks.running_job import RunningJob
from remotejob.worker.executors import stack_note
from remotejob.worker.executors.job_scope import CURRENT, JobScope
from remotejob.worker.executors.task_loop import JobTask, TaskLoop
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

Handler = Callable[[AsyncRunningJob], Coroutine[Any, Any, Any]]

_BLOCKED: Final = 5.0
"""Seconds without a turn of the loop, after which the log says what blocks it."""

_LONGEST_BLOCK: Final = 10.0
"""Seconds for which a task that must stop may block the loop; then others get another loop."""

_LONGEST_CLEANUP: Final = 30.0
"""Seconds after which a handler that must stop is dropped: it may clean up, not go on."""


def run_to_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a new loop, in this thread unless the thread already runs a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_here(coroutine)
    # for example in a notebook, whose cells run on a loop
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, _run_here, coroutine).result()


def _run_here(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def call() -> Any:
        return await only_here(coroutine)

    with asyncio.Runner(loop_factory=TaskLoop) as runner:
        return runner.run(call())


class LoopBroken(WorkerStopping):
    """The loop that a job ran on failed it, by another's deed: the job is given back."""


class Loop:
    """An `Executor` with one event loop on its own thread, started with the first job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: TaskLoop | None = None
        self._handlers: set[_Handler] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._probed_at: float | None = None
        """When we scheduled `_turned` to see whether the loop turns, on this machine's clock; None
        once it has run."""
        self._warned = False

    def run(self, run: Run) -> Any:
        """Run a job on the loop, and wait here until it has ended.

        Raises: the handler's error; RunInterrupted, if the run was stopped.
        """
        with self._lock:
            loop = self._open_loop(run)
        handler = _Handler(run, AsyncRunningJob(RunningJob(run)), loop)
        with run.stop_signal.reaches(handler):
            try:
                self._begin(handler, run)
                return self._result(handler, run)
            finally:
                with self._lock:
                    self._handlers.discard(handler)

    def _result(self, handler: _Handler, run: Run) -> Any:
        """Wait for the handler's end.

        Raises: its error; LoopBroken, when another job is the reason.
        """
        stopped_at: float | None = None
        while True:
            try:
                return handler.ended.result(_BLOCKED)
            except LoopBroken as problem:
                run.stop_signal.set(problem)
                raise
            except TimeoutError:
                # the handler's own error, or ours, and it may have ended at this moment
                if handler.ended.done():
                    return handler.ended.result()
            self._check_turns(handler.loop)
            if run.stop_signal.reason is not None:
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at >= _LONGEST_CLEANUP:
                    handler.abandon()

    def close(self, *, within: timedelta) -> None:
        """Cancel all handlers, and end the loop once they have ended or the time is over."""
        with self._lock:
            closed, self._closed = self._closed, True
            loop, thread = self._loop, self._thread
        if closed or loop is None or thread is None:
            return
        loop.call_soon_threadsafe(self._cancel_all, loop, within.total_seconds())
        thread.join(within.total_seconds() + 1)
        if thread.is_alive():
            log.error("the event loop does not end because a handler blocks it")

    def _begin(self, handler: _Handler, run: Run) -> None:
        # with the caller's context, which has the job's log fields
        context = own_context()
        context.run(CURRENT.set, handler.scope)
        with self._lock:
            # under the lock: `close` cancels all that began before it
            handler.loop = self._open_loop(run)
            run.begin()
            self._handlers.add(handler)
            handler.loop.call_soon_threadsafe(handler.start, context, context=context)

    def _open_loop(self, run: Run) -> TaskLoop:
        """The loop, started if needed. Raises: WorkerStopping, when it is closed."""
        if self._closed:
            run.stop_signal.set(WorkerStopping("the worker is stopping"))
            raise WorkerStopping("the worker is stopping")
        if self._loop is None:
            self._loop = TaskLoop()
            self._thread = threading.Thread(
                target=self._run_loop, args=(self._loop,), name="event-loop", daemon=True
            )
            self._thread.start()
        return self._loop

    def _run_loop(self, loop: TaskLoop) -> None:
        while not self._over(loop):
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # a task that a handler started raised it, which must not end the others
                log.exception("an error ended the event loop; it goes on")
            except BaseException as error:
                log.exception("the event loop broke; another takes its place")
                self._replace(loop, f"the event loop broke: {type(error).__name__}: {error}")
            else:
                if not self._over(loop):
                    log.warning("a task stopped the event loop; it goes on")
        with contextlib.suppress(Exception):
            loop.close()

    def _over(self, loop: TaskLoop) -> bool:
        with self._lock:
            return self._closed or self._loop is not loop

    def _replace(self, loop: TaskLoop, why: str) -> None:
        """Run later jobs on a new loop; the jobs of this one run again, and not counted."""
        with self._lock:
            if self._loop is not loop:
                return
            self._loop = self._thread = self._probed_at = None
            self._warned = False
            left = [handler for handler in self._handlers if handler.loop is loop]
        for handler in left:
            handler.give_back(why)
        with contextlib.suppress(RuntimeError):
            # from here, no scope: it ends when it turns again
            loop.call_soon_threadsafe(loop.stop, context=contextvars.Context())

    def _cancel_all(self, loop: TaskLoop, seconds: float) -> None:
        """In the loop's thread: cancel every handler and what they started, then stop."""
        with self._lock:
            handlers = [handler for handler in self._handlers if handler.loop is loop]
        mine = {handler.task for handler in handlers if handler.task is not None}
        tasks = mine | asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()

        async def end() -> None:
            if tasks:
                await asyncio.wait(tasks, timeout=seconds)
            await loop.shutdown_asyncgens()
            loop.stop()

        # the loop keeps a reference until it has stopped
        loop.end = loop.create_task(end())  # type: ignore[attr-defined]

    def _check_turns(self, loop: TaskLoop) -> None:
        """Log once what blocks the loop, if it has not turned since the last check."""
        now = time.monotonic()
        with self._lock:
            probed_at, thread = self._probed_at, self._thread
            if probed_at is None:
                self._probed_at = now
        if probed_at is None:
            try:
                loop.call_soon_threadsafe(self._turned)
            except RuntimeError:
                self._replace(loop, "the event loop had ended")
        elif now - probed_at >= _BLOCKED / 2 and thread is not None and thread.ident is not None:
            with self._lock:
                warned, self._warned = self._warned, True
            if not warned:
                frame = sys._current_frames().get(thread.ident)
                log.warning(
                    "the event loop is blocked for %.1f s: await long calls, or run the task in "
                    "threads; it is at\n%s",
                    now - probed_at,
                    "" if frame is None else "".join(traceback.format_stack(frame)[-3:]),
                )
            self._replace_if_lost(loop, blocked_s=now - probed_at)

    def _replace_if_lost(self, loop: TaskLoop, *, blocked_s: float) -> None:
        """Leave a blocked loop to the task that blocks it, if that must stop and does not."""
        blocking = asyncio.current_task(loop)
        scope = blocking.scope if isinstance(blocking, JobTask) else None
        if scope is not None and blocked_s >= _LONGEST_BLOCK and scope.must_stop():
            log.error("%s must stop, and blocks the event loop: another replaces it", scope.label)
            self._replace(loop, f"{scope.label} blocked the event loop")

    def _turned(self) -> None:
        """In the loop's thread."""
        with self._lock:
            self._probed_at, self._warned = None, False


class _Handler:
    """One call of an async task, which is cancelled when its run must stop."""

    def __init__(self, run: Run, job: AsyncRunningJob, loop: TaskLoop) -> None:
        self._run = run
        self._job = job
        self.loop = loop
        self.scope: Final = JobScope(
            task=run.task.name,
            job=run.job_id,
            must_stop=lambda: run.stop_signal.reason is not None,
        )
        self.task: JobTask | None = None
        self._handling: Coroutine[Any, Any, Any] | None = None
        self._cancelled = False
        self.ended: Final[Future[Any]] = Future()

    def start(self, context: contextvars.Context) -> None:
        """In the loop's thread."""
        # hold it here: the loop only has a weak reference
        self.task = JobTask(self._call(), loop=self.loop, context=context)
        # from `all_tasks`, which a handler may wait for or cancel
        asyncio.tasks._unregister_task(self.task)
        self.task.add_done_callback(self._done)
        if self._cancelled:
            self.task.cancel()

    def stopping(self, reason: RunInterrupted) -> None:
        try:
            self.loop.call_soon_threadsafe(self._cancel, reason)
        except RuntimeError:
            # the loop is closed, so the handler has been cancelled already
            log.debug("cancelled after the loop's end: %s", reason)

    def kill(self, *, grace: timedelta) -> bool:  # noqa: ARG002 (the protocol's)
        """Do nothing more than cancel: other tasks share the thread."""
        return True

    def give_back(self, why: str) -> None:
        """End it without its doing: it takes no further step, and its job runs again."""
        self._end(LoopBroken(f"{why}; this job is not the reason, and runs again"))

    def abandon(self) -> None:
        """End it although it takes no notice: it takes no further step."""
        reason = self._run.stop_signal.reason
        if reason is not None and self._end(reason):
            log.error("%s takes no notice of its end: it is dropped", self.scope.label)
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._drop, context=contextvars.Context())

    def _drop(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _end(self, error: BaseException) -> bool:
        with contextlib.suppress(InvalidStateError):
            self.ended.set_exception(error)
            return True
        return False

    def _wanted(self) -> bool:
        return not self.ended.done()

    async def _call(self) -> None:
        function: Handler = self._run.task.function
        try:
            self._handling = function(self._job)
            result = await only_here(self._handling, wanted=self._wanted)
        except asyncio.CancelledError as error:
            self._end(self._run.stop_signal.reason or self._harmed() or error)
        except BaseException as error:  # noqa: BLE001 (asyncio ends the loop for SystemExit)
            self._end(self._harmed() or error)
        else:
            harmed = self._harmed()
            if harmed is not None:
                self._end(harmed)
            with contextlib.suppress(InvalidStateError):
                self.ended.set_result(result)
        finally:
            self.loop.forget(self.scope)

    def _harmed(self) -> LoopBroken | None:
        by = self.scope.harmed_by
        return None if by is None else LoopBroken(f"{by} cancelled its tasks; it runs again")

    def _done(self, _: asyncio.Task[Any]) -> None:
        """Set the end of a call that was cancelled before its first step."""
        self._end(self._run.stop_signal.reason or self._harmed() or asyncio.CancelledError())

    def _cancel(self, reason: RunInterrupted) -> None:
        # only once: a second cancel would interrupt its clean-up
        if not self._cancelled:
            self._cancelled = True
            if self.task is not None:
                if self._handling is not None:
                    stack_note.note(reason, stack_note.of_coroutine(self._handling))
                self.task.cancel()
