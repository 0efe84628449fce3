"""One child process, from its start to its end, as the worker has it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from remotejob.domain.errors import ProcessDied
from remotejob.tasks.runs_in import Process
from remotejob.worker.executors.processes.channel import (
    FROM_CHILD,
    FROM_WORKER,
    Channel,
    Closed,
    Garbled,
)
from remotejob.worker.executors.processes.environment import environment_for
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.executors.processes.stack_dump import Dump
from remotejob.worker.executors.processes.transferred_errors import raised_there

log = logging.getLogger(__name__)

_COMMAND: Final = (sys.executable, "-m", "remotejob.worker.executors.processes.child_main")
_LONGEST_KILL: Final = 5.0
"""Seconds; a process that the kernel does not end by then hangs in it."""

_LONGEST_END = 5.0
"""Seconds that a process which runs nothing may take to end."""


class ChildProcess:
    """A process with a channel to it, and all that it starts: one group, which ends with it."""

    def __init__(self, options: Process, program: ChildProgram) -> None:
        """Raises: OSError, when the system has no room for it."""
        self.options: Final = options
        self._modules: Final = program.modules
        self.jobs = 0
        """How many it has run."""
        self._lock = threading.Lock()
        self._reaped = False
        self._ended = threading.Event()
        self._ready = False
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as handed_on:
            ours, theirs = socket.socketpair()
            undone.callback(ours.close)
            handed_on.callback(theirs.close)
            lifeline, self._lifeline = os.pipe()
            undone.callback(os.close, self._lifeline)
            handed_on.callback(os.close, lifeline)
            self._dump: Final = Dump()
            undone.callback(self._dump.close)
            files = (theirs.fileno(), lifeline, self._dump.fileno())
            # a group of its own: what the task starts is killed with it, Ctrl-C is the worker's
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
                (*_COMMAND, *map(str, files)),
                stdin=subprocess.DEVNULL,
                pass_fds=files,
                env=environment_for(options.credentials, os.environ),
                start_new_session=True,
            )
            self.pid: Final = self._process.pid
            self.channel: Final = Channel(ours, says=FROM_WORKER, hears=FROM_CHILD)
            self._look_after()
            undone.pop_all()
        with contextlib.suppress(Closed):
            self.channel.send(
                "hello",
                memory_mib=options.memory_mib,
                modules=program.modules,
                path=[entry for entry in sys.path if isinstance(entry, str)],
                logging=program.logging,
            )

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def _look_after(self) -> None:
        """Raises: OSError, when there is no thread to be had for it."""
        try:
            threading.Thread(target=self._wait, name=f"child-{self.pid}", daemon=True).start()
        except RuntimeError as problem:
            # as the system has it where it has no room for a process
            self._process.kill()
            self._process.wait()
            raise OSError(errno.EAGAIN, str(problem)) from None

    def make_ready(self) -> None:
        """Wait until it has imported the tasks.

        Raises: what its imports raised; ProcessDied.
        """
        if self._ready:
            return
        try:
            frame = self.channel.receive()
        except (Closed, Garbled):
            raise self.died() from None
        if frame.kind != "ready":
            self.kill()
            raise self._unready(frame.body)
        self._ready = True

    def _unready(self, said: bytes) -> BaseException:
        remark = (
            "before the run, when its process began and imported "
            f"{', '.join(self._modules) or 'nothing'}"
        )
        try:
            error: dict[str, Any] = json.loads(said)
            if self.options.memory_mib is not None and error["memory"] is True:
                remark += f"; its limit is memory_mib={self.options.memory_mib}"
            return raised_there(error, remark=remark)
        except (LookupError, TypeError, ValueError, RecursionError) as problem:
            return ProcessDied(f"the process of the task said what is not understood: {problem}")

    def begin(self) -> None:
        """It is about to run a job."""
        self._dump.clear()

    def stack(self) -> str | None:
        """Where its task stands, the most recent call first. It may take half a second."""
        return self._dump.asked(partial(self._signal, os.kill))

    def signal_kill(self) -> None:
        """Kill the group, without waiting for its end."""
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    send(self.pid, number)

    def kill(self) -> bool:
        """Kill the group; whether it has ended."""
        self.signal_kill()
        ended = self._ended.wait(_LONGEST_KILL)
        if not ended:
            log.error("process %d does not end though it was killed", self.pid)
        return ended

    def retire(self) -> None:
        """Let it end by itself, for it runs nothing; by force, where something holds it up."""
        self.channel.close()
        self._dump.close()
        if self.alive:
            threading.Thread(target=self._end, name=f"end-{self.pid}", daemon=True).start()

    def ended_within(self, seconds: float) -> bool:
        return self._ended.wait(max(0, seconds))

    def died(self) -> ProcessDied:
        """How it ended; where it has lost its voice and not its life, it is killed first."""
        # what closes the channel ends in a moment, by itself
        if not self._ended.wait(1):
            self.kill()
        died = ProcessDied(_how(self._process.returncode, self.options.memory_mib))
        stack = self._dump.read()
        if stack is not None:
            died.add_note(f"Its task stood here when the process ended:\n{stack}")
        return died

    def _end(self) -> None:
        # a thread that a task left may keep a Python from its end for ever
        if not self._ended.wait(_LONGEST_END):
            self.signal_kill()

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            # not reaped yet, so that its number is nobody else's when the rest is killed
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.signal_kill()
        else:
            self._process.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with self._lock:
            # under the lock: once it is reaped, its number may be another's
            self._process.wait()
            self._reaped = True
        self._ended.set()
        # also where something that it started holds the other end
        self.channel.end_of_peer()
        os.close(self._lifeline)


def _how(status: int | None, memory_mib: int | None) -> str:
    if status is None:
        how = "does not end though it was killed"
    elif status >= 0:
        how = f"ended with exit status {status}"
    else:
        how = f"ended with signal {-status} ({_name(-status)})"
        if -status == signal.SIGKILL:
            how += ", which the kernel sends when memory runs out"
    limit = "" if memory_mib is None else f"; its limit is memory_mib={memory_mib}"
    return f"the process of the task {how}{limit}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
