"""Runs `async def` tasks: on the worker's event loop, or on a loop of the calling thread."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.errors import RunInterrupted, WorkerStopping
from remotejob.tasks.async_running_job import AsyncRunningJob
from remotejob.tasks.forked import only_here
from remotejob.tasks.running_job import RunningJob
from remotejob.worker.executors import stack_note
from remotejob.worker.executors.task_loop import TaskLoop
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

Handler = Callable[[AsyncRunningJob], Coroutine[Any, Any, Any]]

_BLOCKED: Final = 5.0
"""Seconds without a turn of the loop, after which the log says what blocks it."""


def run_to_end(function: Handler, job: RunningJob) -> Any:
    """Run it on a new loop, in this thread unless the thread already runs a loop."""
    async_job = AsyncRunningJob(job)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_here(function, async_job)
    # for example in a notebook, whose cells run on a loop
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_run_here, function, async_job).result()


def _run_here(function: Handler, job: AsyncRunningJob) -> Any:
    async def call() -> Any:
        return await only_here(function(job))

    with asyncio.Runner(loop_factory=TaskLoop) as runner:
        return runner.run(call())


class Loop:
    """An `Executor` with one event loop on its own thread, started with the first job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
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
            self._begin(handler, run)
            while True:
                try:
                    return handler.ended.result(_BLOCKED)
                except TimeoutError:
                    # the handler's own error, or ours, and it may have ended at this moment
                    if handler.ended.done():
                        return handler.ended.result()
                    self._check_turns(loop)

    def close(self, *, within: timedelta) -> None:
        """Cancel all handlers, and end the loop once they have ended or the time is over."""
        with self._lock:
            closed, self._closed = self._closed, True
            loop, thread = self._loop, self._thread
        if closed or loop is None or thread is None:
            return
        loop.call_soon_threadsafe(_cancel_all, loop, within.total_seconds())
        thread.join(within.total_seconds() + 1)
        if thread.is_alive():
            log.error("the event loop does not end because a handler blocks it")

    def _begin(self, handler: _Handler, run: Run) -> None:
        # with the caller's context, which has the job's log fields
        context = contextvars.copy_context()
        with self._lock:
            # under the lock: `close` cancels all that began before it
            loop = self._open_loop(run)
            loop.call_soon_threadsafe(handler.start, context, context=context)

    def _open_loop(self, run: Run) -> asyncio.AbstractEventLoop:
        """The loop, started if needed. Raises: WorkerStopping, when it is closed."""
        if self._closed:
            run.stop_signal.set(WorkerStopping("the worker is stopping"))
            raise WorkerStopping("the worker is stopping")
        if self._loop is None:
            self._loop = TaskLoop()
            self._thread = threading.Thread(
                target=_run_loop, args=(self._loop,), name="event-loop", daemon=True
            )
            self._thread.start()
        return self._loop

    def _check_turns(self, loop: asyncio.AbstractEventLoop) -> None:
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
                raise WorkerStopping("the event loop has ended, and the worker with it") from None
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

    def _turned(self) -> None:
        """In the loop's thread."""
        with self._lock:
            self._probed_at, self._warned = None, False


class _Handler:
    """One call of an async task, which is cancelled when its run must stop."""

    def __init__(self, run: Run, job: AsyncRunningJob, loop: asyncio.AbstractEventLoop) -> None:
        self._run = run
        self._job = job
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._handling: Coroutine[Any, Any, Any] | None = None
        self._cancelled = False
        self.ended: Final[Future[Any]] = Future()

    def start(self, context: contextvars.Context) -> None:
        """In the loop's thread."""
        # hold it here: the loop only has a weak reference
        self._task = self._loop.create_task(self._call(), context=context)
        self._task.add_done_callback(self._done)
        if self._cancelled:
            self._task.cancel()

    def stopping(self, reason: RunInterrupted) -> None:
        try:
            self._loop.call_soon_threadsafe(self._cancel, reason)
        except RuntimeError:
            # the loop is closed, so the handler has been cancelled already
            log.debug("cancelled after the loop's end: %s", reason)

    def kill(self, *, grace: timedelta) -> bool:  # noqa: ARG002 (the protocol's)
        """Do nothing more than cancel: other tasks share the thread."""
        return True

    async def _call(self) -> None:
        function: Handler = self._run.task.function
        try:
            self._handling = function(self._job)
            result = await only_here(self._handling)
        except asyncio.CancelledError as error:
            stopped = self._run.stop_signal.reason
            self.ended.set_exception(error if stopped is None else stopped)
        except BaseException as error:  # noqa: BLE001 (asyncio ends the loop for SystemExit)
            self.ended.set_exception(error)
        else:
            self.ended.set_result(result)

    def _done(self, _: asyncio.Task[Any]) -> None:
        """Set the end of a call that was cancelled before its first step."""
        if not self.ended.done():
            self.ended.set_exception(self._run.stop_signal.reason or asyncio.CancelledError())

    def _cancel(self, reason: RunInterrupted) -> None:
        # only once: a second cancel would interrupt its clean-up
        if not self._cancelled:
            self._cancelled = True
            if self._task is not None:
                if self._handling is not None:
                    stack_note.note(reason, stack_note.of_coroutine(self._handling))
                self._task.cancel()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    with closing(loop):
        while True:
            try:
                loop.run_forever()
            except BaseException:
                # a task that a handler started raised SystemExit, which must not end the others
                log.exception("an error ended the event loop; it goes on")
            else:
                return


def _cancel_all(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()

    async def end() -> None:
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await loop.shutdown_asyncgens()
        loop.stop()

    # the loop keeps a reference until it has stopped
    loop.end = loop.create_task(end())  # type: ignore[attr-defined]
