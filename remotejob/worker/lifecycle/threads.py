"""The worker's threads: making them, joining them, and finding those that have ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from remotejob.worker.lifecycle.health import lost

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """The threads a worker needs."""

    lanes: Sequence[threading.Thread]
    jobs: Sequence[threading.Thread]
    helpers: Sequence[threading.Thread]

    def lost(self) -> str | None:
        """The first that has ended, though the worker has not stopped."""
        return lost((*self.lanes, *self.jobs, *self.helpers))

    def too_few(self) -> str | None:
        """Why the worker cannot go on: no lane or no job thread is left, or a helper has ended."""
        gone = [all_ for all_ in (self.lanes, self.jobs) if not any(x.is_alive() for x in all_)]
        return lost(self.helpers) or (lost(gone[0]) if gone else None)


def new_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """A thread that logs the error if one ends it; not yet started."""

    def run() -> None:
        try:
            target()
        except BaseException:
            # the watchdog notices that it is gone
            log.critical("thread %s ended unexpectedly", name, exc_info=True)

    # a daemon: a task that never returns must not keep the process from exiting
    return threading.Thread(target=run, name=name, daemon=True)


def join_until(threads: Iterable[threading.Thread], until: float) -> None:
    """Wait for threads, until that time on the machine's own clock at most."""
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
