"""A child process of a worker: runs the tasks it is told to, one at a time, until its channel ends.

    python -m remotejob.worker.executors.processes.child_main CHANNEL LIFELINE DUMP

The three are open files that the worker has given it.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from remotejob.domain.errors import InvalidData, SettingsError
from remotejob.domain.times import span_ms
from remotejob.jobs.content import payloads
from remotejob.tasks.completion import Completion
from remotejob.tasks.registry import registry
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.executors.processes.channel import (
    FROM_CHILD,
    FROM_WORKER,
    RESULT_LIMIT,
    Channel,
    Closed,
    Garbled,
    Prepared,
)
from remotejob.worker.executors.processes.run_proxy import Asking, RunProxy
from remotejob.worker.executors.processes.stack_dump import write_into
from remotejob.worker.executors.processes.transferred_errors import OUT_OF_MEMORY, described
from remotejob.worker.runs.log_context import JobContext, job_context

if TYPE_CHECKING:
    pass

_MIB: Final = 1024 * 1024
_SPARE: Final = 2 * _MIB
"""Bytes kept under a limit of memory, to be able to say that it was reached."""


def main(channel: Channel, lifeline: int, dump: int) -> int:
    """Run jobs until the worker closes the channel, or one leaves this process unfit for more."""
    for file in (lifeline, dump):
        # for this process, not for programs that a task starts
        os.set_inheritable(file, False)  # noqa: FBT003 (its own signature)
    die_with(lifeline)
    write_into(dump)
    try:
        hello = channel.receive().head
        try:
            _prepare(hello)
        except BaseException as error:  # noqa: BLE001 (whatever it is, the worker is told)
            channel.send("unready", _packed(described(error)))
            return 1
        spare = bytearray(0 if hello["memory_mib"] is None else _SPARE)
        channel.send("ready")
        while _run(channel, channel.receive().head, spare):
            pass
    except Closed:
        return 0
    finally:
        # at once: a thread that a task left may keep this process from its end
        channel.close()
    return 1


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


def _run(channel: Channel, said: dict[str, Any], spare: bytearray) -> bool:
    """Run a job; whether this process can run another.

    Raises: Garbled, when nothing can be said of its end.
    """
    run_id = said["run"]
    asking = Asking(channel, run_id)
    # while there is memory for it
    least = channel.prepared("failed", _packed(OUT_OF_MEMORY), run=run_id, last=True)
    last = False
    try:
        task = _task(said["task"])
        with job_context(*JobContext.unpacked(said["context"])):
            completion, result = _called(RunProxy(said, task=task, asking=asking))
        asking.end()
        # also where the task took no notice of it
        asking.check()
        delay_ms = span_ms(completion.delay_dependents)
        word = channel.prepared("returned", result, run=run_id, delay_dependents_ms=delay_ms)
    except Closed:
        raise
    except BaseException as error:  # noqa: BLE001 (whatever it raises fails it, not the process)
        short_of_memory = isinstance(error, MemoryError)
        if short_of_memory:
            spare.clear()
        asking.end()
        last = asking.broken or short_of_memory
        word = _failed(channel, error, run_id=run_id, last=last) or least
    if asking.mute:
        raise Garbled("broken off in the midst of a word: this process can say nothing more")
    channel.transmit(word)
    return not last and word is not least


def _failed(channel: Channel, error: BaseException, *, run_id: str, last: bool) -> Prepared | None:
    """The word for it; None where memory does not suffice to say it."""
    try:
        return channel.prepared("failed", _packed(described(error)), run=run_id, last=last)
    except MemoryError:
        return None


def _packed(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode()


def _called(run: RunProxy) -> tuple[Completion, bytes]:
    returned = call_here(run)
    completion = returned if isinstance(returned, Completion) else Completion(result=returned)
    # here, where a result that cannot be kept is this run's error
    result = payloads.encode(completion.result, what="the result").encode()
    if len(result) > RESULT_LIMIT:
        raise InvalidData(
            f"a result of {len(result)} bytes: {RESULT_LIMIT} at most from a process of its own; "
            "keep more in an output"
        )
    return completion, result


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
    _channel = Channel(_connection(sys.argv[1]), says=FROM_CHILD, hears=FROM_WORKER)
    sys.exit(main(_channel, *map(int, sys.argv[2:4])))
