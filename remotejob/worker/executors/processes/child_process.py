"""A child process on the worker's side: starts it, kills it, and finds out how it ended."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from remotejob.domain.errors import ProcessDied
from remotejob.tasks.forked import keep_private
from remotejob.tasks.runs_in import Credentials, Process
from remotejob.worker.executors.processes.channel import (
    FROM_CHILD,
    FROM_WORKER,
    Channel,
    Closed,
    Garbled,
)
from remotejob.worker.executors.processes.environment import environment_for
from remotejob.worker.executors.processes.memory_kills import memory_kills
from remotejob.worker.executors.processes.output import ChildOutput
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.executors.processes.stack_dump import Dump
from remotejob.worker.executors.processes.transferred_errors import error_of_child
from remotejob.worker.runs.process_folder import process_folder

log = logging.getLogger(__name__)

_COMMAND: Final = (sys.executable, "-m", "remotejob.worker.executors.processes.child_main")
_LONGEST_KILL: Final = 5.0
"""Seconds; a killed process that lives longer hangs in the kernel."""

_LONGEST_END = 5.0
"""Seconds that an idle process may take to end."""


class ChildProcess:
    """A process with a channel to it. All that it starts is in its group, and ends with it."""

    def __init__(self, options: Process, program: ChildProgram) -> None:
        """Raises: OSError, when the system has no room for it."""
        self.options: Final = options
        self._modules: Final = program.modules
        self._memory_kills: Final = memory_kills()
        self.jobs = 0
        """How many jobs it has run."""
        self._lock = threading.Lock()
        self._reaped = False
        self._ended = threading.Event()
        self._ready = False
        with contextlib.ExitStack() as undone, contextlib.ExitStack() as inherited:
            ours, theirs = socket.socketpair()
            undone.callback(ours.close)
            inherited.callback(theirs.close)
            lifeline, held = os.pipe()
            self._lifeline: Final = io.FileIO(held, "wb")
            keep_private(self._lifeline)
            undone.callback(self._lifeline.close)
            inherited.callback(os.close, lifeline)
            self._dump: Final = Dump()
            undone.callback(self._dump.close)
            self.output: Final = ChildOutput()
            undone.callback(self.output.discard)
            # what a task leaves in its temporary folder ends with the process
            self._temporary: Final = tempfile.mkdtemp(prefix="task-", dir=process_folder())
            undone.callback(shutil.rmtree, self._temporary, ignore_errors=True)
            files = (theirs.fileno(), lifeline, self._dump.fileno())
            # a group of its own: we can kill what a task starts, and Ctrl-C reaches only the worker
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter, our own module)
                (*_COMMAND, *map(str, files)),
                stdin=subprocess.DEVNULL,
                stdout=self.output.stdout,
                stderr=self.output.stderr,
                pass_fds=files,
                env={
                    **environment_for(Credentials(options.credentials), os.environ),
                    "TMPDIR": self._temporary,
                },
                start_new_session=True,
            )
            self.pid: Final = self._process.pid
            self.channel: Final = Channel(ours, sends=FROM_WORKER, receives=FROM_CHILD)
            self._start_threads()
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

    def _start_threads(self) -> None:
        """Raises: OSError, when no thread can be started."""
        try:
            self.output.start(self.pid)
            threading.Thread(target=self._wait, name=f"child-{self.pid}", daemon=True).start()
        except (RuntimeError, OSError) as problem:
            # raise the same error as when the system has no room for a process
            self._process.kill()
            self._process.wait()
            self.output.close()
            raise OSError(errno.EAGAIN, str(problem)) from None

    def make_ready(self) -> None:
        """Wait until it has imported the tasks.

        Raises: the error of its imports; ProcessDied.
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

    def _unready(self, body: bytes) -> BaseException:
        remark = (
            "before the run, when its process began and imported "
            f"{', '.join(self._modules) or 'nothing'}"
        )
        try:
            error: dict[str, Any] = json.loads(body)
            if self.options.memory_mib is not None and error["memory"] is True:
                remark += f"; its limit is memory_mib={self.options.memory_mib}"
            return error_of_child(error, remark=remark)
        except (LookupError, TypeError, ValueError, RecursionError) as problem:
            return ProcessDied(f"the task's process sent an unreadable error: {problem}")

    def begin(self) -> None:
        """Prepare to run a job: forget the stack of the last one."""
        self._dump.clear()

    def stack(self) -> str | None:
        """The stack of its task, the most recent call first. Takes up to half a second."""
        return self._dump.request(partial(self._signal, os.kill))

    def signal_kill(self) -> None:
        """Kill the group without waiting for its end."""
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    send(self.pid, number)

    def kill(self) -> bool:
        """Kill the group; return whether it has ended."""
        self.signal_kill()
        ended = self._ended.wait(_LONGEST_KILL)
        if not ended:
            log.error("process %d does not end although it was killed", self.pid)
        return ended

    def retire(self) -> None:
        """Let an idle process end; kill it if that takes too long."""
        self.channel.close()
        self._dump.close()
        if self.alive:
            threading.Thread(target=self._end, name=f"end-{self.pid}", daemon=True).start()

    def ended_within(self, seconds: float) -> bool:
        return self._ended.wait(max(0, seconds))

    def died(self) -> ProcessDied:
        """How it ended, as an error. Kills it first, if it lives on without its channel."""
        # a process that closes its channel normally ends at once
        if not self._ended.wait(1):
            self.kill()
        died = ProcessDied(_how(self._process.returncode, self.options.memory_mib))
        if self._process.returncode == -signal.SIGKILL and self._memory_kills is not None:
            died.memory_ran_out = (memory_kills() or 0) > self._memory_kills
        stack = self._dump.read()
        if stack is not None:
            died.add_note(f"Its task stood here when the process ended:\n{stack}")
        return died

    def _end(self) -> None:
        # a thread that a task left running may keep the interpreter alive for ever
        if not self._ended.wait(_LONGEST_END):
            self.signal_kill()

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            # do not reap it yet: no other process can have its number while we kill its group
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            self.signal_kill()
        else:
            self._process.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with self._lock:
            # under the lock: once it is reaped, another process may have its number
            self._process.wait()
            self._reaped = True
        # before its run learns of the end, and even if a program that it started goes on writing
        self.output.close()
        self._ended.set()
        # even if a program that it started still holds the other end
        self.channel.end_of_peer()
        self._lifeline.close()
        shutil.rmtree(self._temporary, ignore_errors=True)


def _how(status: int | None, memory_mib: int | None) -> str:
    if status is None:
        how = "does not end although it was killed"
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
