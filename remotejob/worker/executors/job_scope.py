"""What one job has of the event loop that it shares with others: its own pool, factory, handler."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

log = logging.getLogger(__name__)


class JobScope:
    """The part of an event loop that belongs to one job, and ends with it."""

    def __init__(self, *, task: str, job: str, must_stop: Callable[[], bool]) -> None:
        self.label: Final = f"task {task} (job {job})"
        self.must_stop: Final = must_stop
        self.task_factory: Any = None
        self.exception_handler: Any = None
        self.harmed_by: str | None = None
        """Another job that cancelled tasks of this one."""
        self._lock = threading.Lock()
        self._given: Executor | None = None
        self._own: ThreadPoolExecutor | None = None

    def executor(self) -> Executor:
        """The job's default pool. Another job cannot fill it up or shut it down."""
        with self._lock:
            if self._given is not None:
                return self._given
            if self._own is None:
                self._own = ThreadPoolExecutor(thread_name_prefix="job-pool")
            return self._own

    def set_executor(self, executor: Executor) -> None:
        with self._lock:
            self._given = executor

    def take_executor(self) -> Executor | None:
        """The pool that is in use, for the caller to shut down; the next call gets a new one."""
        with self._lock:
            taken, self._given, self._own = self._given or self._own, None, None
            return taken

    def harm(self, by: JobScope) -> None:
        """Note that another job cancelled a task of this one."""
        if self.harmed_by is None:
            self.harmed_by = by.label
            log.warning("%s cancelled tasks of %s, which runs again", by.label, self.label)

    def close(self) -> None:
        """The job has ended."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.shutdown(wait=False, cancel_futures=True)


CURRENT: Final[contextvars.ContextVar[JobScope | None]] = contextvars.ContextVar(
    "remotejob-job-scope", default=None
)
"""The scope of the job whose code runs, also in tasks, callbacks and threads that it started."""
