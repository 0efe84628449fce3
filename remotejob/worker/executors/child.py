"""A child process of a worker: runs the tasks it is told to, one at a time, until its channel ends.

    python -m remotejob.worker.executors.child CHANNEL LIFELINE

The two are open files that the worker has given it.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, cast

from remotejob import payloads
from remotejob.domain.errors import SettingsError
from remotejob.domain.times import span_ms
from remotejob.tasks import Task, registry
from remotejob.worker.completion import Completion
from remotejob.worker.context import JobContext, job_context
from remotejob.worker.executors.carried import described
from remotejob.worker.executors.channel import Channel, Closed
from remotejob.worker.executors.here import call_here
from remotejob.worker.executors.remote_run import Asking, RemoteRun

if TYPE_CHECKING:
    from remotejob.worker.run import Run

_MIB: Final = 1024 * 1024


def main(channel: Channel, lifeline: int) -> int:
    """Run jobs until the worker closes the channel."""
    # for this process, not for programs that a task starts
    os.set_inheritable(lifeline, False)  # noqa: FBT003 (its own signature)
    die_with(lifeline)
    try:
        hello = channel.receive().head
        try:
            _prepare(hello)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the worker is told)
            channel.send("unready", error=described(error))
            return 1
        channel.send("ready")
        while True:
            _run(channel, channel.receive().head)
    except Closed:
        return 0


def die_with(lifeline: int) -> None:
    """Die once the other end of a pipe is closed, with all processes of this one's group.

    Nobody writes into it, so that its only event is that the worker has ended, however it did.
    """
    if hasattr(fcntl, "F_SETSIG"):
        # by the kernel: a thread would wait for code that holds the interpreter's lock
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    # where the kernel cannot, and for what ended before it was asked to
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _prepare(hello: dict[str, Any]) -> None:
    # as the worker finds its modules, wherever it was started from
    sys.path[:] = hello["path"]
    if hello["logging"] is not None:
        module, _, function = hello["logging"].partition(":")
        getattr(importlib.import_module(module), function)()
    # the worker echoes what jobs log, for it is the worker that they tell
    logging.getLogger("remotejob.job").disabled = True
    if hello["memory_mib"] is not None:
        _limit_memory(hello["memory_mib"])
    for module in hello["modules"]:
        importlib.import_module(module)


def _limit_memory(mib: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = mib * _MIB
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _run(channel: Channel, said: dict[str, Any]) -> None:
    asking = Asking(channel)
    try:
        task = _task(said["task"])
        with job_context(*JobContext.unpacked(said["context"])):
            completion, result = _called(RemoteRun(said, task=task, asking=asking))
        asking.end()
        channel.send("returned", result, delay_dependents_ms=span_ms(completion.delay_dependents))
    except Closed:
        raise
    except BaseException as error:  # noqa: BLE001 (whatever it raises fails it, not the process)
        asking.end()
        channel.send("failed", error=described(error))


def _called(run: RemoteRun) -> tuple[Completion, bytes]:
    returned = call_here(cast("Run", run))
    completion = returned if isinstance(returned, Completion) else Completion(result=returned)
    # here, where a result that cannot be kept is this run's error
    return completion, payloads.encode(completion.result, what="the result").encode()


def _task(name: str) -> Task:
    if name not in registry:
        raise SettingsError(
            f"task {name!r} is not registered in its process: what registers it must be imported "
            "by the tasks module, and not run by the worker alone"
        )
    return registry[name]


def _connection(descriptor: str) -> socket.socket:
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    return connection


if __name__ == "__main__":
    sys.exit(main(Channel(_connection(sys.argv[1])), int(sys.argv[2])))
