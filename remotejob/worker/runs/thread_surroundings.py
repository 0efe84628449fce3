"""What the jobs in threads share: set back once nobody can still be using it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from remotejob.worker.runs.run import Run
from remotejob.worker.runs.surroundings import OF_THREAD, OF_THREADS, Left, Surroundings

log = logging.getLogger(__name__)


class ThreadSurroundings:
    """Compares the process before the first of jobs that overlap with that after the last."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._running = 0
        self._before: Surroundings | None = None
        self._tasks: dict[str, None] = {}

    @contextmanager
    def during(self, run: Run) -> Iterator[None]:
        """A job, in the calling thread."""
        thread = Surroundings(OF_THREAD)
        with self._lock:
            if self._running == 0:
                self._before, self._tasks = Surroundings(OF_THREADS), {}
            self._running += 1
            self._tasks[run.task.name] = None
        try:
            yield
        finally:
            _say(thread.restore(), run.task.name, run)
            with self._lock:
                self._running -= 1
                if self._running == 0 and self._before is not None:
                    self._restore(self._before, run)

    def _restore(self, before: Surroundings, run: Run) -> None:
        _say(before.restore(), " or ".join(list(self._tasks)[:10]), run)


def _say(left: Left, names: str, run: Run) -> None:
    if left.restored:
        restored = ", ".join(left.restored)
        log.warning("task %s changed %s: set back", names, restored, extra=run.log_fields)
    if left.lost:
        log.error(
            "task %s left %s, which stays: give it runs_in=Process()",
            names,
            ", ".join(left.lost),
            extra=run.log_fields,
        )
