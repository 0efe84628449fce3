"""A program that runs jobs whose tasks fork: if a copy went on as the worker, it would print, too.

Its `main` prints the outcome of one such job, and of the one after it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from remotejob import (
    AsyncRunningJob,
    Process,
    RemoteJob,
    RemoteJobError,
    RunningJob,
    hooks,
    task,
)
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.executors.executors import Executors

# Python warns of what these tests are about
warnings.filterwarnings("ignore", category=DeprecationWarning)

What = Callable[[Any], Any]


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def exits(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    return ["parent", _status(pid)]


def exits_with(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        sys.exit(7)
    return ["parent", _status(pid)]


def exits_with_text(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        sys.exit("said by the copy")
    return ["parent", _status(pid)]


def raises(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        raise ValueError("raised in the copy")
    return ["parent", _status(pid)]


def interrupted(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        raise KeyboardInterrupt
    return ["parent", _status(pid)]


def returns(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        return "the copy"
    return ["parent", _status(pid)]


def returns_first(job: Any) -> Any:
    gone, end = os.pipe()
    if os.fork() == 0:
        os.close(gone)
        return "the copy"
    os.close(end)
    os.read(gone, 1)
    return ["parent", 0]


def returns_last(job: Any) -> Any:
    go, end = os.pipe()
    if os.fork() == 0:
        os.close(end)
        # until the parent's process has ended, or run another job
        os.read(go, 1)
        time.sleep(0.2)
        return "the copy"
    os.close(go)
    os.close(end)
    return ["parent", 0]


def stays(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        # its end is not what the test waits for
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (1, 2):
            os.dup2(nothing, number)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        signal.pause()
    return ["parent", 0 if pid else 1]


def pseudo_terminal(job: Any) -> Any:
    pid, terminal = pty.fork()
    if pid == 0:
        return "the copy"
    status = _status(pid)
    os.close(terminal)
    return ["parent", status]


def by_multiprocessing(job: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=print, args=("in a process",))
    process.start()
    process.join()
    return ["parent", process.exitcode]


def terminated(job: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join()
    return ["parent", process.exitcode]


def pool(job: Any) -> Any:
    with multiprocessing.get_context("fork").Pool(2) as made:
        return ["parent", sum(made.map(abs, [1, -1])) - 2]


def before_exec(job: Any) -> Any:
    def refused() -> None:
        job.log("from preexec_fn")

    try:
        subprocess.run(["true"], preexec_fn=refused, check=True)
    except subprocess.SubprocessError:
        return ["parent", subprocess.run(["true"], preexec_fn=lambda: None).returncode]
    return "not refused"


def uses_the_job(job: Any) -> Any:
    """Call what a job has, and pass on how each call was refused."""
    lines, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(lines)
        for call in (
            lambda: job.progress(1, 2),
            lambda: job.log("of the copy"),
            lambda: job.checkpoint("of the copy"),
            lambda: job.output("of-the-copy", b""),
            lambda: job.open(),
            lambda: job.download(),
            lambda: job.check(),
            lambda: job.cancelled,
            lambda: job.folder(),
            lambda: job.data,
            lambda: job.time_left(),
            lambda: job.run_id,
            lambda: job.resumed_from,
        ):
            try:
                call()  # type: ignore[no-untyped-call]
            except RemoteJobError as error:
                os.write(said, b"." if "forked copy" in str(error) else b"?")
            else:
                os.write(said, b"!")
        os._exit(0)
    os.close(said)
    status = _status(pid)
    job.log("of the parent")
    refused = os.read(lines, 100).decode()
    return ["parent" if refused == "." * 13 else refused, status]


def prints(job: Any) -> Any:
    """Leave text in a buffer before the fork, and in the copy's own after."""
    print("printed once")
    pid = os.fork()
    if pid == 0:
        print("printed by the copy")
        return None
    return ["parent", _status(pid)]


def in_a_hook(job: Any) -> Any:
    forked: list[int] = []

    def fork(_: object) -> None:
        forked.append(os.fork())

    hooks.on("progress", fork)
    job.progress(1, 2)
    hooks.off("progress", fork)
    return ["parent", _status(forked[0])]


WHAT: dict[str, What] = {
    what.__name__: what
    for what in (
        exits,
        exits_with,
        exits_with_text,
        raises,
        interrupted,
        returns,
        returns_first,
        returns_last,
        stays,
        pseudo_terminal,
        by_multiprocessing,
        terminated,
        pool,
        before_exec,
        uses_the_job,
        prints,
        in_a_hook,
    )
}


def _do(job: Any, data: Any) -> Any:
    return os.getpid() if data == "pid" else WHAT[data](job)


@task("thread")
def in_thread(job: RunningJob) -> Any:
    return _do(job, job.data)


@task("process", runs_in=Process())
def in_process(job: RunningJob) -> Any:
    return _do(job, job.data)


@task("async")
async def in_loop(job: AsyncRunningJob) -> Any:
    return _do(job, await job.data())


@task("async-process", runs_in=Process())
async def in_loop_of_process(job: AsyncRunningJob) -> Any:
    return _do(job, await job.data())


@task("to-thread")
async def in_pool_of_loop(job: AsyncRunningJob) -> Any:
    return await asyncio.to_thread(_do, job, await job.data())


@task("subtask")
async def in_subtask(job: AsyncRunningJob) -> Any:
    data = await job.data()

    async def do() -> Any:
        return _do(job, data)

    return await asyncio.create_task(do())


@task("awaits")
async def copy_awaits(job: AsyncRunningJob) -> Any:
    if await job.data() == "pid":
        return os.getpid()
    event = asyncio.get_running_loop().create_future()
    pid = os.fork()
    if pid == 0:
        await event
        return "the copy"
    return ["parent", _status(pid)]


def main(where: str, what: str) -> None:
    names = {name: one for name, one in registry.items() if one.function.__module__ == __name__}
    installation = memory_installation(FakeClock(), queues={"default": tuple(names)})
    executors = Executors(names.values())
    worker = Simulation(installation=installation, tasks=registry, call=executors.run)
    queue = RemoteJob(installation).queue()
    for data in (what, "pid"):
        job = queue.submit(where, data=data, body=b"input")
        worker.step()
        job.refresh()
        result = "a number" if isinstance(job.result, int) else job.result
        lines = [line.message for line in job.logs()]
        print(json.dumps([str(job.state), result, [*map(str, job.errors)], lines]), flush=True)
    executors.close(within=timedelta(seconds=10))
