"""The program of a child process: runs the tasks it is sent, one at a time, until its channel ends.

    python -m remotejob.worker.executors.processes.child_main CHANNEL LIFELINE DUMP

The three arguments are numbers of open files that it inherits from the worker.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
from typing import Any, Final

from remotejob.domain.chain import within
from remotejob.domain.errors import SettingsError
from remotejob.domain.times import span_ms
from remotejob.jobs.content import payloads
from remotejob.tasks.completion import Completion
from remotejob.tasks.forked import OnlyHere, flush
from remotejob.tasks.registry import registry
from remotejob.tasks.task import Task
from remotejob.worker.executors.in_thread import call_here
from remotejob.worker.executors.leftovers import Running
from remotejob.worker.executors.processes.channel import (
    FROM_CHILD,
    FROM_WORKER,
    Channel,
    Closed,
    Garbled,
    Prepared,
)
from remotejob.worker.executors.processes.run_proxy import Asking, RunProxy
from remotejob.worker.executors.processes.stack_dump import write_into
from remotejob.worker.executors.processes.transferred_errors import (
    OUT_OF_MEMORY,
    described,
    short_of_memory,
)
from remotejob.worker.runs.log_context import JobContext, job_context
from remotejob.worker.runs.surroundings import OF_PROCESS, Surroundings

log = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
_SPARE: Final = 2 * _MIB
"""Bytes to reserve under a memory limit, so the process can report that it was reached."""


def main(channel: Channel, lifeline: int, dump: int) -> int:
    """Run jobs until the worker closes the channel, or a job leaves this process unfit for more."""
    for file in (lifeline, dump):
        # programs that a task starts must not inherit them
        os.set_inheritable(file, False)  # noqa: FBT003 (its own signature)
    # what it has printed must not be lost if it crashes
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    die_with(lifeline)
    write_into(dump)
    try:
        hello = channel.receive().head
        try:
            _prepare(hello)
        except BaseException as error:  # noqa: BLE001 (the worker handles any error)
            channel.send("unready", _packed(described(error)))
            return 1
        spare = bytearray(0 if hello["memory_mib"] is None else _SPARE)
        channel.send("ready")
        state = _State()
        while _run(channel, channel.receive().head, spare, state):
            pass
    except Closed:
        return 0
    finally:
        # now: a thread that a task left running may keep this process from ending
        channel.close()
    return 1


def die_with(lifeline: int) -> None:
    """Kill this process and its group once the other end of a pipe is closed.

    Nobody writes into the pipe, so its only event is that the worker has ended, however it did.
    """
    if hasattr(fcntl, "F_SETSIG"):
        # let the kernel do it: a thread cannot run while other code holds the interpreter's lock
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    # for systems without F_SETSIG, and in case the worker ended before the call above
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _prepare(hello: dict[str, Any]) -> None:
    # find modules as the worker does, wherever it was started
    sys.path[:] = hello["path"]
    if hello["logging"] is not None:
        module, _, function = hello["logging"].partition(":")
        getattr(importlib.import_module(module), function)()
    # the worker echoes the lines that jobs log
    logging.getLogger("remotejob.job").disabled = True
    if hello["memory_mib"] is not None:
        _limit_memory(hello["memory_mib"])
    for module in hello["modules"]:
        with OnlyHere():
            importlib.import_module(module)


def _limit_memory(mib: int) -> None:
    if sys.platform != "linux":
        log.warning("memory_mib=%d has no effect: only Linux limits memory", mib)
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = mib * _MIB
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class _State:
    """This process as its first job finds it, and each later one shall find it, too."""

    def __init__(self) -> None:
        self._surroundings: Final = Surroundings(OF_PROCESS)
        self._running: Final = Running()

    def cleaned(self) -> dict[str, tuple[str, ...]]:
        """Set back what the job changed; what it changed, and what cannot be set back."""
        left = self._surroundings.restore()
        return {"restored": left.restored, "lost": (*left.lost, *self._running.left())}


def _run(channel: Channel, order: dict[str, Any], spare: bytearray, state: _State) -> bool:
    """Run a job; return whether this process can run another.

    Raises: Garbled, when its end cannot be reported.
    """
    run_id = order["run"]
    asking = Asking(channel, run_id)
    # prepare it now, while there is memory for it
    fallback = channel.prepared("failed", _packed(OUT_OF_MEMORY), run=run_id, last=True)
    last = False
    try:
        task = _task(order["task"])
        with job_context(*JobContext.unpacked(order["context"])):
            proxy = RunProxy(order, task=task, asking=asking)
            with within(proxy.link):
                # else each job would have the numbers of the one before it, or of a forked parent
                random.seed()
                completion, result = _call(proxy)
        asking.end()
        # even if the task ignored the error
        asking.check()
        delay_ms = span_ms(completion.delay_dependents)
        left = state.cleaned()
        last = bool(left["lost"])
        report = channel.prepared(
            "returned", result, run=run_id, delay_dependents_ms=delay_ms, last=last, **left
        )
    except Closed:
        raise
    except BaseException as error:  # noqa: BLE001 (any error fails the job, not the process)
        full = short_of_memory(error)
        if full:
            spare.clear()
        asking.end()
        left = {} if full else state.cleaned()
        # memory that a job had is not all there for the next
        last = asking.broken or full or bool(left.get("lost"))
        report = _failed(channel, error, run=run_id, last=last, **left) or fallback
    if asking.mute:
        raise Garbled("a call was broken off while it was sent: this process can report no more")
    # while it is known whose it is
    flush()
    channel.transmit(report)
    return not last and report is not fallback


def _failed(channel: Channel, error: BaseException, **head: Any) -> Prepared | None:
    """The frame that reports an error; None if there is not enough memory for it."""
    try:
        return channel.prepared("failed", _packed(described(error)), **head)
    except MemoryError:
        return None


def _packed(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _call(run: RunProxy) -> tuple[Completion, bytes]:
    returned = call_here(run)
    completion = returned if isinstance(returned, Completion) else Completion(result=returned)
    # encode it here, so a result that cannot be stored fails this run
    return completion, payloads.encode_result(completion.result).encode()


def _task(name: str) -> Task:
    if name not in registry:
        raise SettingsError(
            f"task {name!r} is not registered in its child process: register it in a module that "
            "the tasks module imports, not in code that only the worker runs"
        )
    return registry[name]


def _connection(descriptor: str) -> socket.socket:
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    return connection


if __name__ == "__main__":
    _channel = Channel(_connection(sys.argv[1]), sends=FROM_CHILD, receives=FROM_WORKER)
    sys.exit(main(_channel, *map(int, sys.argv[2:4])))
