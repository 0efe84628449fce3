"""The watchdog: checks the worker once a second, and never waits for AWS."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from remotejob.outages import OutageLog
from remotejob.ports import Clock
from remotejob.worker.lifecycle.health import Health, Watch
from remotejob.worker.lifecycle.presence import Presence, StartRequest
from remotejob.worker.lifecycle.protection_policy import Guard, ProtectionPolicy
from remotejob.worker.lifecycle.threads import Threads
from remotejob.worker.runs.in_flight import InFlight

log = logging.getLogger(__name__)

TICK: Final = timedelta(seconds=1)

_HOPELESS: Final = 60.0
"""Seconds after which the thread of a run that was ended from outside is taken to hang for ever."""

_CHECK: Final = "check the worker"


class Watchdog:
    """Gives signs of life, keeps the worker protected, writes its health, stops it if it is lost.

    Its requests run in the background: an outage must not make the worker look stuck.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        runs: InFlight,
        watch: Watch,
        presence: Presence,
        start: StartRequest,
        guard: Guard | None,
        policy: ProtectionPolicy,
        health_file: Path | None,
        check_supplies: Callable[[], None],
    ) -> None:
        """`start` runs a request in the background. `check_supplies` stops the worker's intake
        while its disk is full, or its queue is stopped or has spent its budget."""
        self._clock = clock
        self._runs = runs
        self._watch = watch
        self._presence = presence
        self._start = start
        self._guard = guard
        self._policy = policy
        self._health_file = health_file
        self._check_supplies = check_supplies
        self._outages = OutageLog(clock)

    def beat(
        self,
        threads: Threads,
        *,
        stop: Callable[[], None],
        stopping: threading.Event,
        done: threading.Event,
    ) -> None:
        """Check once a second until `done`; call `stop` when the worker is lost."""
        checks: tuple[Callable[[], None], ...] = (
            lambda: self._presence.give_if_due(self._start),
            self._protect,
            self._check_supplies,
            lambda: self._stop_when_lost(threads, stop, stopping),
            lambda: self._write_health(threads, stopping),
        )
        while True:
            # each in a try of its own: a check that fails must not prevent the others
            for check in checks:
                try:
                    check()
                except Exception as problem:  # noqa: BLE001 (the next second tries again)
                    self._outages.failed(_CHECK, problem)
            if done.wait(TICK.total_seconds()):
                return

    def say_stopped(self) -> None:
        """Write the last health, once `beat` has returned.

        Without it the container would look unhealthy while other workers in it go on for hours.
        """
        if self._health_file is None:
            return
        last = Health(at_ms=self._clock.now_ms(), running=0, waiting=0, problem=None, stopped=True)
        try:
            last.write(self._health_file)
        except OSError as problem:
            # the worker has stopped anyway
            self._outages.failed(_CHECK, problem)

    def _protect(self) -> None:
        if self._guard is None:
            return
        began = [run.began for run in self._runs.running() if not run.ended]
        if self._policy.look(self._clock.monotonic(), began):
            self._guard.protect()
        else:
            self._guard.unprotect()

    def _write_health(self, threads: Threads, stopping: threading.Event) -> None:
        if self._health_file is None:
            return
        gone = threads.lost()
        # read after the threads: once the worker stops, they end as they should
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
        """Stop if tasks that do not return hold half the job threads, or if too few threads live.

        A thread cannot be ended from outside; a process can, and the service starts another.
        """
        held = sum(run.ended_for(_HOPELESS) for run in self._runs.running())
        dead = threads.too_few()
        if stopping.is_set():
            return
        if held * 2 >= len(threads.jobs):
            log.critical("stopping: %d tasks have not returned long after they were stopped", held)
            stop()
        elif dead is not None:
            log.critical("stopping: %s", dead)
            stop()
