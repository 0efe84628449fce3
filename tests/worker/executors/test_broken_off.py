"""Calls of the job that are broken off: no other job is given what was meant for theirs."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidData, State
from remotejob.domain.record import RESULT_LIMIT
from remotejob.ports import Installation
from remotejob.tasks import registry
from remotejob.testing import Simulation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes.channel import (
    FROM_CHILD,
    FROM_WORKER,
    Channel,
    Closed,
    Garbled,
)
from remotejob.worker.executors.processes.run_proxy import Asking
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import told, until_gone

MIB = 1024 * 1024


class Interrupting:
    """Files whose download has the process interrupted that asks for it."""

    def __init__(self, files: Any, told: Path) -> None:
        self._files = files
        self._told = told

    def download(self, *args: Any, **kwargs: Any) -> None:
        (pid,) = told(self._told)
        os.kill(pid, signal.SIGUSR1)
        self._files.download(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def worker(installation: Installation, executors: Executors, file: Path) -> Simulation:
    files: Any = Interrupting(installation.files, file)
    interrupting = replace(installation, files=files)
    return Simulation(installation=interrupting, tasks=registry, call=executors.run)


@pytest.mark.parametrize(
    ("raises", "then", "kind"),
    [
        ("unlucky", "raise", "Unlucky"),
        ("timeout", "raise", "TimeoutError"),
        ("unlucky", "return", "Unlucky"),
        ("timeout", "ask", "TimeoutError"),
    ],
)
def test_a_call_broken_off_by_a_signal_fails_its_run_and_no_other_has_its_answer(
    done: Done, file: Path, raises: str, then: str, kind: str
) -> None:
    job = done("interrupted", body=b"abc", told=str(file), raises=raises, then=then)
    (pid,) = told(file)
    assert job.state is State.FAILED
    assert [(one.kind, one.message) for one in job.errors] == [(kind, "too slow")]
    assert "Limit the time of a task by its timeout" in job.tracebacks()[-1]
    after = [done("echo", n=n) for n in range(4)]
    assert [one.result for one in after] == [0, 1, 2, 3]
    until_gone([pid])


def test_a_file_that_nobody_answers_for_is_asked_for_again_by_the_process(
    done: Done, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    download, calls = installation.files.download, []

    def away_at_first(_: Interrupting, *args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise ConnectionError("no answer")
        download(*args, **kwargs)

    monkeypatch.setattr(Interrupting, "download", away_at_first)
    job = done("folder", body=b"abc")
    assert job.state is State.COMPLETED, job.errors
    assert len(calls) == 2


@pytest.mark.parametrize("free", [0, 1, 2, 4, 6])
def test_want_of_memory_in_a_call_names_the_limit_and_no_other_run_has_the_answer(
    done: Done, free: int
) -> None:
    before = done("pid", task="limited").result
    job = done("read_without_memory", task="limited", free=free, body=b"x" * (8 * MIB))
    assert job.state is State.FAILED
    (failed,) = job.errors
    assert (failed.kind, failed.message) == ("MemoryError", "(its limit is memory_mib=192)")
    after = [done("echo", task="limited", n=n).result for n in range(3)]
    assert after == [0, 1, 2]
    until_gone([before])


def test_a_question_of_another_run_has_the_process_killed(done: Done) -> None:
    pid = done("pid").result
    job = done("ask_for_another")
    (failed,) = job.errors
    assert failed.kind == "ProcessDied"
    assert failed.message.endswith("'check', of another run")
    assert done("echo", n=1).result == 1
    until_gone([pid])


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A child's channel, and the bare other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(theirs, sends=FROM_CHILD, receives=FROM_WORKER), ours


def test_an_answer_to_another_run_is_none(ends: tuple[Channel, socket.socket]) -> None:
    child, end = ends
    worker = Channel(end, sends=FROM_WORKER, receives=FROM_CHILD)
    worker.send("answer", run="another", lease_ms=1)
    asking = Asking(child, "this")
    with pytest.raises(Garbled, match="another run"):
        asking.ask("lease")
    assert asking.mute
    worker.send("answer", run="this", lease_ms=1)
    with pytest.raises(Garbled, match="another run"):
        asking.ask("lease")


def test_what_is_too_long_to_be_asked_breaks_nothing(ends: tuple[Channel, socket.socket]) -> None:
    child, end = ends
    asking = Asking(child, "this")
    with pytest.raises(InvalidData, match="too long"):
        asking.ask("output", name="x" * FROM_CHILD.head)
    Channel(end, sends=FROM_WORKER, receives=FROM_CHILD).send("answer", run="this", lease_ms=1)
    assert asking.ask("lease").head["lease_ms"] == 1
    assert not asking.broken


def test_a_word_in_the_midst_of_which_it_was_broken_off_is_the_last(
    ends: tuple[Channel, socket.socket],
) -> None:
    child, _ = ends

    def interrupt(*_: object) -> None:
        raise TimeoutError("too slow")

    asking = Asking(child, "this")
    before = signal.signal(signal.SIGUSR1, interrupt)
    # nobody reads it, and so it waits in the midst
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(TimeoutError, match="too slow"):
            asking.ask("checkpoint", b"x" * (8 * MIB))
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert asking.mute


@pytest.mark.parametrize(
    ("head", "body"), [(FROM_CHILD.head + 1, 0), (2**32 - 1, 0), (20, 1), (20, 2**32 - 1)]
)
def test_more_than_a_child_may_say_is_not_read(head: int, body: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("!II", head, body) + b'{"kind":   "check" }')
        with pytest.raises(Garbled, match="bytes"):
            Channel(ours, sends=FROM_WORKER, receives=FROM_CHILD).receive()


def test_memory_is_taken_for_what_came_and_not_for_what_was_announced() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            text = b'{"kind": "returned"}'
            theirs.sendall(struct.pack("!II", len(text), RESULT_LIMIT) + text + b"1234")
        channel = Channel(ours, sends=FROM_WORKER, receives=FROM_CHILD)
        tracemalloc.start()
        try:
            with pytest.raises(Closed):
                channel.receive()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 2 * MIB


def test_a_process_that_announces_too_much_is_killed(done: Done) -> None:
    (failed,) = done("announce", lengths=[2**30, 0]).errors
    assert failed.kind == "ProcessDied"
    assert "a frame of 1073741824 bytes" in failed.message
    assert done("echo", n=1).result == 1


def test_what_a_task_may_say_is_taken_and_more_is_cut_or_refused(done: Done) -> None:
    job = done("say_much")
    assert job.state is State.COMPLETED, job.errors
    assert job.result == "went on"
    (line,) = job.logs()
    assert (len(line.message), line.data) == (10_000, "y" * 4000)


def test_a_result_that_is_too_long_is_refused_with_the_remedy(done: Done) -> None:
    (failed,) = done("long_result").errors
    assert failed.kind == "InvalidData"
    assert failed.message.endswith("keep more in an output")
