"""Worker processes under one parent, so that a crash takes down only the jobs of its own process.

Source: redis-dist-job-queue, `childProcessCount`, `childRestart` and `shutdown`. Of ours: a child
is not started again without end, and none outlives its supervisor.

The jobs a dead child held are not the supervisor's business: their leases end, another worker
claims them, and the crash budget of each decides when it has failed.
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

from remotejob.domain.errors import SettingsError
from remotejob.domain.urgency import Urgency
from remotejob.worker.lifecycle.protection_policy import Guard
from remotejob.worker.lifecycle.shutdown import SIGNAL_OF
from remotejob.worker.lifecycle.supervised import BEGUN, BUSY, IDLE, told

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorOptions:
    """What a supervisor starts, and how patient it is."""

    command: tuple[str, ...]
    """The program of every child; each is told its number (see `Supervised`)."""
    processes: int
    """Children at a time."""
    grace: timedelta = timedelta(seconds=115)
    """How long children may take to stop before they are killed: longer than a worker's own grace,
    shorter than Fargate's longest stop timeout, 120 s."""
    first_wait: timedelta = timedelta(milliseconds=500)
    """Before a child is started in place of a dead one; doubled for each death in a row."""
    longest_wait: timedelta = timedelta(seconds=30)
    steady_after: timedelta = timedelta(minutes=1)
    """A child that lived so long begins a new row of deaths."""
    failed_starts: int = 3
    """Deaths of one child in a row before it has begun, after which the supervisor gives up."""

    def __post_init__(self) -> None:
        """Raises: SettingsError."""
        if not self.command:
            raise SettingsError("command=(): name the program of the children")
        if self.processes < 1:
            raise SettingsError(f"processes={self.processes}: a supervisor needs 1 or more")
        if self.failed_starts < 1:
            raise SettingsError(f"failed_starts={self.failed_starts}: use 1 or more")
        for name in ("grace", "first_wait", "longest_wait", "steady_after"):
            if getattr(self, name) < timedelta(0):
                raise SettingsError(f"{name}={getattr(self, name)}: it must not be negative")

    def wait(self, deaths: int) -> timedelta:
        """How long to wait after so many deaths in a row, from 1."""
        # the power is bounded: a child that dies for weeks must not overflow
        return min(self.longest_wait, self.first_wait * (1 << min(deaths - 1, 20)))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildRestarted:
    """A child died, and another runs in its place."""

    number: int
    """Which of the children, from 1; the new one has the same."""
    pid: int
    """The new one's."""
    exit_code: int | None
    """How the old one ended; None when a signal ended it."""
    signal: int | None
    """The number of the signal that ended the old one, or None. 9 is what the kernel sends when
    memory runs out."""
    restarts: int
    """How often this child was started again until now, this time included."""


class Supervisor:
    """Keeps a number of child processes running until it is told to stop."""

    def __init__(
        self,
        options: SupervisorOptions,
        *,
        on_event: Callable[[ChildRestarted], None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        """`on_event` is called in the thread of `run`, between one thing it does and the next.
        `guard` protects all, while any child asks for it."""
        self._options = options
        self._on_event = on_event
        self._guard = guard
        self._children = [_Child(number=number + 1) for number in range(options.processes)]
        self._events: queue.SimpleQueue[_Child | _Said | Urgency] = queue.SimpleQueue()
        """Children that have ended, what others have said, and being told to stop."""
        self._urgency: Urgency | None = None
        self._kill_at: float | None = None
        self._worst = 0

    def stop(self, urgency: Urgency = Urgency.NORMAL) -> None:
        """Stop the children as `Worker.stop` says, and wait for them.

        What is left when the grace is over is killed, where it is not SOFT. Each call is passed on
        to each child. Safe to call from a signal handler.
        """
        # an event's lock may be held by the very thread the signal interrupted; this queue's is not
        self._events.put(urgency)

    def run(self) -> int:
        """Supervise until stopped, or until a child cannot be started.

        Returns an exit status: the worst of the children's at their stop, where a signal counts as
        128 and its number; 0 if all stopped well.
        """
        log.info("supervisor starts", extra={"processes": self._options.processes})
        try:
            for child in self._children:
                self._start(child)
            while any(child.process or child.start_at is not None for child in self._children):
                self._handle_next()
        finally:
            # nothing is left but when something broke here
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
                case _Said():
                    self._hear(event)
                case _Child():
                    self._see_to_end(event)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            log.critical("killing what has not stopped in %s", self._options.grace)
            self._kill()
        for child in self._children:
            if child.start_at is not None and child.start_at <= now:
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.start_at = None
        # both ways: the child's first byte says that it began, and the end of our side, which
        # comes however we end, tells it that we are gone
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603  (the command of this very process)
                    self._options.command,
                    env=told(child.number, theirs.fileno(), replaces=child.pid),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C in a terminal is for us, who pass it on once; and whatever a child
                    # leaves behind can be ended with it.
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
            self._tell(child, process.pid, child.ended)

    def _await_end(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(child)

    def _listen(self, child: _Child, pid: int, channel: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while said := channel.recv(64):
                child.begun |= BEGUN in said
                # of several that came together the last counts
                busy, idle = said.rfind(BUSY), said.rfind(IDLE)
                if busy != idle:
                    self._events.put(_Said(child, pid, busy=busy > idle))

    def _hear(self, said: _Said) -> None:
        child = said.child
        # what a dead one had said before is heard late, and means nothing
        if child.process is not None and child.process.pid == said.pid:
            child.busy = said.busy
            self._protect()

    def _protect(self) -> None:
        if self._guard is None:
            return
        if any(child.busy for child in self._children):
            self._guard.protect()
        else:
            self._guard.unprotect()

    def _tell(self, child: _Child, pid: int, ended: int) -> None:
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
                # whoever listens must not cost the children their supervisor
                log.exception("on_event failed", extra={"child": event.number})

    def _see_to_end(self, child: _Child) -> None:
        process, channel, listener = child.process, child.channel, child.listener
        assert process is not None
        assert channel is not None
        assert listener is not None
        # something the child started may still hold its side, which then never ends by itself
        with channel:
            channel.shutdown(socket.SHUT_RDWR)
            listener.join()
        began, child.begun, child.busy = child.begun, False, False
        self._protect()
        # what a dead run started must not work on beside the next run
        _kill_group(process)
        child.process, child.channel, child.ended = None, None, process.returncode
        status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if self._urgency is None:
            self._restart_later(child, status=status, began=began)
        elif began or -process.returncode not in SIGNAL_OF.values():
            self._worst = max(self._worst, status)
        # else it was told before it could listen, and held nothing

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
            "giving up: child %d ended %d times before it could work, at last with status %d; "
            "its own last lines say why",
            child.number,
            child.failed_starts,
            status,
        )
        # a status of 0 would read as a worker that was told to stop
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
    """One of the children, through all its processes."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    """While it runs, and until its end was seen to."""
    pid: int | None = None
    """Its own, or that of the one before."""
    channel: socket.socket | None = None
    listener: threading.Thread | None = None
    begun: bool = False
    """Whether it has said that it can work."""
    busy: bool = False
    """Whether it asks to be protected."""
    started_at: float = 0.0
    start_at: float | None = None
    """When to start the next process."""
    ended: int | None = None
    """How the last process ended."""
    restarts: int = 0
    deaths: int = 0
    """In a row, none of which came late."""
    failed_starts: int = 0
    """In a row."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a process of a child says of itself."""

    child: _Child
    pid: int
    busy: bool = field(kw_only=True)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # Nobody may be left in the group; macOS says EPERM for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
