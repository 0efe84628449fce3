"""The supervisor: keeps several worker processes running, so a crash ends only one process's jobs.

Source: redis-dist-job-queue, `childProcessCount`, `childRestart` and `shutdown`. We add two rules:
a child that cannot start is not restarted for ever, and no child outlives its supervisor.

The supervisor ignores the jobs of a dead child: their leases end, another worker claims them, and
each job's crash budget decides when it has failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import SettingsError
from remotejob.domain.urgency import Urgency
from remotejob.tasks.forked import keep_private
from remotejob.worker.lifecycle.protection_policy import Guard
from remotejob.worker.lifecycle.shutdown import SIGNAL_OF
from remotejob.worker.lifecycle.supervised import BEGUN, BUSY, IDLE, child_environment
from remotejob.worker.runs.process_folder import remove_of_dead

log = logging.getLogger(__name__)

GIVES_UP: Final = 75
"""Exit status of a worker that only another container helps, such as when its disk is full.
Source: sysexits.h, EX_TEMPFAIL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorOptions:
    """Which children a supervisor runs, and when it restarts or kills them."""

    command: tuple[str, ...]
    """The program of every child; each learns its number (see `Supervised`)."""
    processes: int
    """Children at a time."""
    grace: timedelta = timedelta(seconds=115)
    """How long children may take to stop before they are killed: longer than a worker's own grace,
    shorter than Fargate's longest stop timeout, 120 s."""
    first_wait: timedelta = timedelta(milliseconds=500)
    """How long to wait before restarting a dead child; doubled for each further death in a row."""
    longest_wait: timedelta = timedelta(seconds=30)
    steady_after: timedelta = timedelta(minutes=1)
    """If a child has lived so long, the count of its deaths in a row starts again."""
    failed_starts: int = 3
    """The supervisor gives up when one child has died so often in a row before it could work."""

    def __post_init__(self) -> None:
        """Raises: SettingsError."""
        if not self.command:
            raise SettingsError("command=(): give the program of the children")
        if self.processes < 1:
            raise SettingsError(f"processes={self.processes}: a supervisor needs 1 or more")
        if self.failed_starts < 1:
            raise SettingsError(f"failed_starts={self.failed_starts}: use 1 or more")
        for name in ("grace", "first_wait", "longest_wait", "steady_after"):
            if getattr(self, name) < timedelta(0):
                raise SettingsError(f"{name}={getattr(self, name)}: it must not be negative")

    def wait(self, deaths: int) -> timedelta:
        """How long to wait after so many deaths in a row, from 1."""
        # bounded: a child that keeps dying for weeks must not overflow the timedelta
        return min(self.longest_wait, self.first_wait * (1 << min(deaths - 1, 20)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildRestarted:
    """A child died, and another process has replaced it."""

    number: int
    """The child's number, from 1; the new process has the same."""
    pid: int
    """The id of the new process."""
    exit_code: int | None
    """How the old process ended; None if a signal ended it."""
    signal: int | None
    """The number of the signal that ended the old process, or None. The kernel sends 9 when memory
    runs out."""
    restarts: int
    """How often this child has been restarted, this time included."""


class Supervisor:
    """Keeps a number of child processes running until `stop` is called."""

    def __init__(
        self,
        options: SupervisorOptions,
        *,
        on_event: Callable[[ChildRestarted], None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        """`on_event` is called on the thread of `run`. `guard` protects the container while any
        child asks for it."""
        self._options = options
        self._on_event = on_event
        self._guard = guard
        self._children = [_Child(number=number + 1) for number in range(options.processes)]
        self._events: queue.SimpleQueue[_Child | _Report | Urgency] = queue.SimpleQueue()
        """Children that have ended, reports of children, and requests to stop."""
        self._urgency: Urgency | None = None
        self._kill_at: float | None = None
        self._worst = 0

    def stop(self, urgency: Urgency | str = Urgency.NORMAL) -> None:
        """Stop the children, with the urgency as in `Worker.stop`, and wait for them.

        Children still alive when the grace is over are killed, unless the urgency is SOFT. Each
        call is passed on to each child. Safe to call from a signal handler.
        """
        # reentrant: the thread that a signal interrupts may hold the lock of an Event: a deadlock
        self._events.put(check_choice("urgency=", urgency, Urgency))

    def run(self) -> int:
        """Supervise until stopped, or until a child cannot be started.

        Returns an exit status: 0 if all children stopped well, else the worst of theirs, where a
        signal counts as 128 plus its number.
        """
        log.info("supervisor starts", extra={"processes": self._options.processes})
        try:
            for child in self._children:
                self._start(child)
            while any(child.process or child.start_at is not None for child in self._children):
                self._handle_next()
        finally:
            # children are left only if an error ended the loop
            self._kill()
        log.info("supervisor stops", extra={"exit_status": self._worst})
        return self._worst

    def _handle_next(self) -> None:
        due = [child.start_at for child in self._children if child.start_at is not None]
        due += [self._kill_at] if self._kill_at is not None else []
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            self._do_what_is_due()
        else:
            match event:
                case Urgency():
                    self._stop_children(event)
                case _Report():
                    self._on_report(event)
                case _Child():
                    self._on_death(event)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            log.critical("killing the children that have not stopped in %s", self._options.grace)
            self._kill()
        for child in self._children:
            if child.start_at is not None and child.start_at <= now:
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.start_at = None
        # it serves both ways: the child reports that it began, and notices when our side closes,
        # which happens however we end
        ours, theirs = socket.socketpair()
        keep_private(ours)
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603  (the command of this very process)
                    self._options.command,
                    env=child_environment(child.number, theirs.fileno(), replaces=child.pid),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # a group of its own: Ctrl-C in a terminal reaches only us, and we pass it on
                    # once; and we can kill all that a child leaves behind
                    process_group=0,
                )
            except OSError as problem:
                ours.close()
                log.error("child %d cannot be started: %s", child.number, problem)  # noqa: TRY400
                self._restart_later(child, status=1, began=False)
                return
        child.process, child.channel, child.started_at = process, ours, time.monotonic()
        child.pid = process.pid
        child.listener = threading.Thread(
            target=self._listen, args=(child, process.pid, ours), daemon=True
        )
        child.listener.start()
        threading.Thread(target=self._await_end, args=(child, process), daemon=True).start()
        if child.ended is not None:
            self._report_restart(child, process.pid, child.ended)

    def _await_end(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(child)

    def _listen(self, child: _Child, pid: int, channel: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while reports := channel.recv(64):
                child.begun |= BEGUN in reports
                # if several arrived together, the last counts
                busy, idle = reports.rfind(BUSY), reports.rfind(IDLE)
                if busy != idle:
                    self._events.put(_Report(child, pid, busy=busy > idle))

    def _on_report(self, report: _Report) -> None:
        child = report.child
        # ignore late reports of a dead process
        if child.process is not None and child.process.pid == report.pid:
            child.busy = report.busy
            self._protect()

    def _protect(self) -> None:
        if self._guard is None:
            return
        if any(child.busy for child in self._children):
            self._guard.protect()
        else:
            self._guard.unprotect()

    def _report_restart(self, child: _Child, pid: int, ended: int) -> None:
        child.restarts += 1
        event = ChildRestarted(
            number=child.number,
            pid=pid,
            exit_code=ended if ended >= 0 else None,
            signal=-ended if ended < 0 else None,
            restarts=child.restarts,
        )
        log.warning(
            "child restarted",
            extra={
                "child": event.number,
                "pid": event.pid,
                "exit_code": event.exit_code,
                "signal": event.signal,
                "restarts": event.restarts,
            },
        )
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                # an error in a hook must not end the supervisor
                log.exception("on_event failed", extra={"child": event.number})

    def _on_death(self, child: _Child) -> None:
        process, channel, listener = child.process, child.channel, child.listener
        assert process is not None
        assert channel is not None
        assert listener is not None
        # a program that the child started may hold its side open, so we close ours
        with channel:
            channel.shutdown(socket.SHUT_RDWR)
            listener.join()
        began, child.begun, child.busy = child.begun, False, False
        self._protect()
        # programs that a dead run started must not go on next to its next run
        _kill_group(process)
        remove_of_dead()
        child.process, child.channel, child.ended = None, None, process.returncode
        status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if self._urgency is None and status == GIVES_UP:
            log.critical("stopping: child %d needs another container", child.number)
            self._worst = max(self._worst, status)
            # the others take no jobs either, and finish those that they have
            self._stop_children(Urgency.SOFT)
        elif self._urgency is None:
            self._restart_later(child, status=status, began=began)
        elif began or -process.returncode not in SIGNAL_OF.values():
            self._worst = max(self._worst, status)
        # else our signal came before it could handle it, and it had no jobs

    def _restart_later(self, child: _Child, *, status: int, began: bool) -> None:
        now = time.monotonic()
        child.failed_starts = 0 if began else child.failed_starts + 1
        if child.failed_starts >= self._options.failed_starts:
            self._give_up(child, status)
            return
        steady = now - child.started_at > self._options.steady_after.total_seconds()
        child.deaths = 1 if steady else child.deaths + 1
        wait = self._options.wait(child.deaths)
        child.start_at = now + wait.total_seconds()
        log.error(
            "child %d ended with status %d; another starts in %s",
            child.number,
            status,
            wait,
            extra={"child": child.number, "began": began},
        )

    def _give_up(self, child: _Child, status: int) -> None:
        log.critical(
            "giving up: child %d ended %d times before it could work, the last with status %d; "
            "see its own last log lines",
            child.number,
            child.failed_starts,
            status,
        )
        # not 0, which would mean that we were asked to stop
        self._worst = max(self._worst, status, 1)
        self._stop_children(Urgency.NORMAL)

    def _stop_children(self, urgency: Urgency) -> None:
        self._urgency = urgency.after(self._urgency)
        if self._kill_at is None and self._urgency is not Urgency.SOFT:
            self._kill_at = time.monotonic() + self._options.grace.total_seconds()
        for child in self._children:
            child.start_at = None
            if child.process is not None:
                child.process.send_signal(SIGNAL_OF[self._urgency])

    def _kill(self) -> None:
        for child in self._children:
            if child.process is not None:
                _kill_group(child.process)


@dataclass(kw_only=True, slots=True)
class _Child:
    """One child, through all its processes."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    """Until its end has been handled."""
    pid: int | None = None
    """Of the process, or of the one before."""
    channel: socket.socket | None = None
    listener: threading.Thread | None = None
    begun: bool = False
    """Whether it has reported that it can work."""
    busy: bool = False
    """Whether it asks to be protected."""
    started_at: float = 0.0
    start_at: float | None = None
    """When to start the next process."""
    ended: int | None = None
    """How the last process ended."""
    restarts: int = 0
    deaths: int = 0
    """In a row, each within `steady_after`."""
    failed_starts: int = 0
    """In a row."""


@dataclass(frozen=True, slots=True)
class _Report:
    """A process of a child is busy, or no longer."""

    child: _Child
    pid: int
    busy: bool = field(kw_only=True)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The group may be empty; macOS says EPERM for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
