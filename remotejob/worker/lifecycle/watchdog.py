"""What looks after a worker once a second, and never waits for AWS."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from remotejob.outages import OutageLog
from remotejob.ports import Clock
from remotejob.worker.lifecycle.health import Health, Watch, lost
from remotejob.worker.lifecycle.presence import Later, Presence
from remotejob.worker.lifecycle.protection_policy import Guard, ProtectionPolicy
from remotejob.worker.runs.in_flight import InFlight

log = logging.getLogger(__name__)

TICK: Final = timedelta(seconds=1)

_HOPELESS: Final = 60.0
"""Seconds after which a run that was ended over its thread's head is thought never to return."""

_LOOK: Final = "look after itself"


@dataclass(frozen=True, kw_only=True, slots=True)
class Threads:
    """The threads a worker lives by."""

    lanes: Sequence[threading.Thread]
    jobs: Sequence[threading.Thread]
    helpers: Sequence[threading.Thread]

    def lost(self) -> str | None:
        """One that has ended, while the worker works."""
        return lost((*self.lanes, *self.jobs, *self.helpers))

    def too_few(self) -> str | None:
        """Why the worker cannot go on, if it cannot: nothing receives, runs, or looks after it."""
        gone = [all_ for all_ in (self.lanes, self.jobs) if not any(x.is_alive() for x in all_)]
        return lost(self.helpers) or (lost(gone[0]) if gone else None)


class Watchdog:
    """Gives signs of life, has the worker protected, writes its health, and sees when it is lost.

    What it does with AWS it has done beside: an outage must not look as if the worker were stuck.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        runs: InFlight,
        watch: Watch,
        presence: Presence,
        later: Later,
        guard: Guard | None,
        need: ProtectionPolicy,
        health_file: Path | None,
    ) -> None:
        """`later` has a function called beside."""
        self._clock = clock
        self._runs = runs
        self._watch = watch
        self._presence = presence
        self._later = later
        self._guard = guard
        self._need = need
        self._health_file = health_file
        self._outages = OutageLog(clock)

    def beat(
        self,
        threads: Threads,
        *,
        stop: Callable[[], None],
        stopping: threading.Event,
        done: threading.Event,
    ) -> None:
        """Until `done`; `stop` is called when the worker is lost."""
        looks: tuple[Callable[[], None], ...] = (
            lambda: self._presence.give_if_due(self._later),
            self._protect,
            lambda: self._stop_when_lost(threads, stop, stopping),
            lambda: self._write_health(threads, stopping),
        )
        while True:
            # one that fails costs none of the others
            for look in looks:
                try:
                    look()
                except Exception as problem:  # noqa: BLE001 (what is not said is found out)
                    self._outages.failed(_LOOK, problem)
            if done.wait(TICK.total_seconds()):
                return

    def say_stopped(self) -> None:
        """The last thing, once `beat` has returned: others of the container may go on for hours."""
        if self._health_file is None:
            return
        said = Health(at_ms=self._clock.now_ms(), running=0, waiting=0, problem=None, stopped=True)
        try:
            said.write(self._health_file)
        except OSError as problem:
            # it has stopped all the same
            self._outages.failed(_LOOK, problem)

    def _protect(self) -> None:
        if self._guard is None:
            return
        began = [run.began for run in self._runs.running() if not run.ended]
        if self._need.look(self._clock.monotonic(), began):
            self._guard.protect()
        else:
            self._guard.unprotect()

    def _write_health(self, threads: Threads, stopping: threading.Event) -> None:
        if self._health_file is None:
            return
        gone = threads.lost()
        # asked after the threads were: they end once it stops
        if stopping.is_set():
            gone = None
        Health(
            at_ms=self._clock.now_ms(),
            running=len(self._runs.running()),
            waiting=len(self._runs.waiting()),
            problem=gone or self._watch.overdue(),
        ).write(self._health_file)

    def _stop_when_lost(
        self, threads: Threads, stop: Callable[[], None], stopping: threading.Event
    ) -> None:
        """Stop once half the threads are held by runs that were ended over their heads, or when
        threads that nothing goes on without have ended.

        A thread cannot be ended from outside; a process can, and the service starts another.
        """
        held = sum(run.ended_for(_HOPELESS) for run in self._runs.running())
        dead = threads.too_few()
        if stopping.is_set():
            return
        if held * 2 >= len(threads.jobs):
            log.critical("stopping: %d tasks do not return, long after their time", held)
            stop()
        elif dead is not None:
            log.critical("stopping: %s", dead)
            stop()
