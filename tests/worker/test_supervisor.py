"""The supervisor, with real processes that do as they are told."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob.domain.errors import SettingsError
from remotejob.domain.urgency import Urgency
from remotejob.worker.lifecycle.supervised import Supervised, child_environment
from remotejob.worker.lifecycle.supervisor import (
    GIVES_UP,
    ChildRestarted,
    Supervisor,
    SupervisorOptions,
)
from tests.end_to_end.waiting import until
from tests.worker.family import PATIENCE, Family, family, options

Plan = dict[int, Sequence[str]]
SERVE = "serve 1 0"
"""Until told once, then exit status 0."""


def running(supervisor: Supervisor) -> Future[int]:
    """What `run` returns, once it does."""
    status: Future[int] = Future()
    # a daemon: a supervisor that never ends fails its test, and holds up no other
    threading.Thread(target=lambda: status.set_result(supervisor.run()), daemon=True).start()
    return status


@contextmanager
def supervised(
    folder: Path,
    plan: Plan,
    *,
    grace: float = PATIENCE,
    on_event: Callable[[ChildRestarted], None] | None = None,
) -> Iterator[tuple[Family, Supervisor, Future[int]]]:
    """A supervisor in this process, with children in theirs."""
    with family(folder, plan) as told:
        supervisor = Supervisor(options(folder, grace=grace), on_event=on_event)
        status = running(supervisor)
        try:
            yield told, supervisor, status
        finally:
            if not status.done():
                supervisor.stop()
                supervisor.stop()


@contextmanager
def program(folder: Path, plan: Plan) -> Iterator[tuple[Family, subprocess.Popen[bytes]]]:
    """A supervisor as a program of its own, the first of its process group."""
    with family(folder, plan) as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.family", "supervisor", str(folder)],
            start_new_session=True,
        )
        try:
            yield told, process
        finally:
            process.kill()
            process.wait(PATIENCE)
            told.await_end()


def stopped(supervisor: Supervisor, status: Future[int]) -> int:
    supervisor.stop()
    return status.result(PATIENCE)


@pytest.mark.parametrize(
    ("death", "exit_code", "signal_number"),
    [("crash 9", 9, None), ("crash 0", 0, None), ("kill 9", None, 9)],
)
def test_a_dead_child_is_replaced_and_a_hook_is_called(
    tmp_path: Path, death: str, exit_code: int | None, signal_number: int | None
) -> None:
    events: list[ChildRestarted] = []
    plan: Plan = {1: [SERVE], 2: [death, SERVE]}
    with supervised(tmp_path, plan, on_event=events.append) as (told, supervisor, status):
        told.await_line("begun 2", times=2)
        told.await_line("begun 1")

        assert stopped(supervisor, status) == 0
        told.await_end()

    (event,) = events
    assert (event.number, event.restarts) == (2, 1)
    assert (event.exit_code, event.signal) == (exit_code, signal_number)
    assert told.told.count("begun 1") == 1, "the other child went on"
    assert told.told.count("SIGTERM 1") == told.told.count("SIGTERM 2") == 1


def test_restart_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with supervised(tmp_path, {1: ["kill 9", SERVE]}) as (told, supervisor, status):
        told.await_line("begun 1", times=2)
        assert stopped(supervisor, status) == 0

    (line,) = [record for record in caplog.records if record.message == "child restarted"]
    assert line.levelno == logging.WARNING
    assert vars(line)["child"] == 1
    assert vars(line)["signal"] == 9


def test_a_child_that_dies_again_and_again_at_its_work_is_always_started_again(
    tmp_path: Path,
) -> None:
    events: list[ChildRestarted] = []
    plan: Plan = {1: [*["crash 1"] * 5, SERVE]}
    with supervised(tmp_path, plan, on_event=events.append) as (told, supervisor, status):
        told.await_line("begun 1", times=6)

        assert stopped(supervisor, status) == 0

    assert [event.restarts for event in events] == [1, 2, 3, 4, 5]
    assert len({event.pid for event in events}) == 5


@pytest.mark.parametrize(
    ("steady_after", "waits_ms"),
    [(timedelta(hours=1), [1, 2, 4, 4]), (timedelta(0), [1, 1, 1, 1])],
)
def test_waits_grow_while_children_do_not_live_long(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    steady_after: timedelta,
    waits_ms: list[int],
) -> None:
    with family(tmp_path, {1: [*["crash 1"] * 4, SERVE]}) as told:
        supervisor = Supervisor(replace(options(tmp_path), steady_after=steady_after))
        status = running(supervisor)
        told.await_line("begun 1", times=5)
        assert stopped(supervisor, status) == 0

    lines = [line for line in caplog.records if "another starts in" in line.msg]
    waits = [line.args[2] for line in lines if isinstance(line.args, tuple)]
    assert waits == [timedelta(milliseconds=wait) for wait in waits_ms]


def test_a_listener_that_fails_costs_no_child(tmp_path: Path) -> None:
    def fail(event: ChildRestarted) -> None:
        raise RuntimeError("the listener's own fault")

    with supervised(tmp_path, {1: ["crash 1", SERVE]}, on_event=fail) as (told, supervisor, status):
        told.await_line("begun 1", times=2)

        assert stopped(supervisor, status) == 0


def test_what_a_dead_child_started_ends_with_it(tmp_path: Path) -> None:
    # its one child does not come up again, so that what it left is the last to hold the fifo
    plan: Plan = {1: ["leave", "fail 5"]}
    with supervised(tmp_path, plan) as (told, _, status):
        assert status.result(PATIENCE) == 5
        told.await_line("begun 1")

        told.await_end()


def test_a_child_that_cannot_start_ends_all_with_its_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan: Plan = {1: [SERVE], 2: ["fail 2"]}
    with supervised(tmp_path, plan) as (told, _, status):
        assert status.result(PATIENCE) == 2
        told.await_end()

    assert told.told.count("failed 2") == 3, "not without end"
    (line,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "giving up: child 2 ended 3 times" in line.message


def test_a_child_that_needs_another_container_ends_all_with_its_status(
    tmp_path: Path,
) -> None:
    plan: Plan = {1: [SERVE], 2: [f"crash {GIVES_UP}"]}
    with supervised(tmp_path, plan) as (told, _, status):
        assert status.result(PATIENCE) == GIVES_UP
        told.await_end()

    assert told.told.count("begun 2") == 1, "it is not started again"


def test_failed_starts_count_in_a_row(tmp_path: Path) -> None:
    plan: Plan = {1: ["fail 2", "fail 2", "crash 1", "fail 2", "fail 2", SERVE]}
    with supervised(tmp_path, plan) as (told, supervisor, status):
        told.await_line("begun 1", times=2)

        assert stopped(supervisor, status) == 0


def test_a_start_that_fails_with_status_0_is_still_a_failure(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: ["fail 0"]}) as (_, _, status):
        assert status.result(PATIENCE) == 1


def test_a_program_that_does_not_exist_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = SupervisorOptions(
        command=(str(tmp_path / "nothing"),), processes=1, first_wait=timedelta(0)
    )
    assert Supervisor(wrong).run() == 1
    assert "cannot be started" in caplog.text


def test_worst_status_is_the_supervisors(tmp_path: Path) -> None:
    plan: Plan = {1: ["serve 1 3"], 2: ["serve 1 7"], 3: [SERVE]}
    with supervised(tmp_path, plan) as (told, supervisor, status):
        for number in plan:
            told.await_line(f"begun {number}")

        assert stopped(supervisor, status) == 7


def test_second_stop_is_passed_on(tmp_path: Path) -> None:
    with supervised(tmp_path, {1: ["serve 2 0"]}) as (told, supervisor, status):
        told.await_line("begun 1")
        supervisor.stop()
        told.await_line("SIGTERM 1")
        assert not status.done()

        # not as a second SIGTERM: two that come at once are one
        assert stopped(supervisor, status) == 0
        told.await_line("SIGQUIT 1")


@pytest.mark.parametrize(
    ("urgency", "name"),
    [(Urgency.SOFT, "SIGUSR1"), (Urgency.NORMAL, "SIGTERM"), (Urgency.HARD, "SIGQUIT")],
)
def test_each_urgency_is_a_signal_to_the_children(
    tmp_path: Path, urgency: Urgency, name: str
) -> None:
    with supervised(tmp_path, {1: [SERVE], 2: [SERVE]}) as (told, supervisor, status):
        for number in (1, 2):
            told.await_line(f"begun {number}")
        supervisor.stop(urgency)

        assert status.result(PATIENCE) == 0
        told.await_line(f"{name} 1")
        told.await_line(f"{name} 2")


def test_soft_stop_kills_nobody_and_can_be_hurried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with supervised(tmp_path, {1: ["serve 2 0"]}, grace=0) as (told, supervisor, status):
        told.await_line("begun 1")
        supervisor.stop(Urgency.SOFT)
        told.await_line("SIGUSR1 1")
        assert not status.done()

        supervisor.stop(Urgency.SOFT)
        told.await_line("SIGUSR1 1", times=2)
        assert status.result(PATIENCE) == 0, "its grace of nothing did not count"
    assert "killing" not in caplog.text


def test_child_that_dies_during_a_soft_stop_is_not_started_again(tmp_path: Path) -> None:
    plan: Plan = {1: ["serve 1 7"], 2: ["serve 2 0"]}
    with supervised(tmp_path, plan) as (told, supervisor, status):
        for number in (1, 2):
            told.await_line(f"begun {number}")
        supervisor.stop(Urgency.SOFT)
        told.await_line("SIGUSR1 1")
        told.await_line("SIGUSR1 2")
        until(lambda: supervisor._children[0].process is None, what="the end of the first")

        assert stopped(supervisor, status) == 7
    assert told.told.count("begun 1") == 1


class Guarding:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.on = False
        self.asked: list[bool] = []

    def protect(self) -> None:
        self.on = True
        self.asked.append(True)

    def unprotect(self) -> None:
        self.on = False
        self.asked.append(False)


def test_supervisor_is_protected_while_any_child_is_busy(tmp_path: Path) -> None:
    guard = Guarding()
    with family(tmp_path, {1: ["work"], 2: ["work"], 3: [SERVE]}) as told:
        supervisor = Supervisor(options(tmp_path), guard=guard)
        status = running(supervisor)
        until(lambda: guard.asked == [True, True], what="both ask")
        for child in supervisor._children[:2]:
            assert guard.on, "one of them is busy yet"
            assert child.process is not None
            child.process.send_signal(signal.SIGUSR1)
            told.await_line(f"SIGUSR1 {child.number}")
            until(lambda child=child: not child.busy, what="it asks no more")  # type: ignore[misc]
        assert not guard.on
        assert stopped(supervisor, status) == 0


def test_busy_child_that_died_keeps_nobody_protected(tmp_path: Path) -> None:
    guard = Guarding()
    with family(tmp_path, {1: ["die-working", SERVE]}) as told:
        supervisor = Supervisor(options(tmp_path), guard=guard)
        status = running(supervisor)
        until(lambda: guard.on, what="it asks")
        (child,) = supervisor._children
        assert child.process is not None
        child.process.send_signal(signal.SIGUSR1)
        told.await_line("begun 1", times=2)
        assert not guard.on
        assert stopped(supervisor, status) == 0


def test_child_knows_which_child_it_replaces() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        said = child_environment(3, theirs.detach(), replaces=77)
        child = Supervised.from_environment(said)
        assert child is not None
        assert (child.number, child.replaces) == (3, 77)
        assert Supervised.from_environment(said) is None, "what a task starts is nobody's child"
        child.begun()
        child.protect()
        child.protect()
        child.unprotect()
        assert ours.recv(10) == b"b+-"
        child._channel.close()


def test_a_child_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    plan: Plan = {1: ["serve 100 0"], 2: [SERVE]}
    with supervised(tmp_path, plan, grace=0.2) as (told, supervisor, status):
        told.await_line("begun 1")
        told.await_line("begun 2")

        assert stopped(supervisor, status) == 128 + signal.SIGKILL
        told.await_end()

    assert told.told.count("SIGTERM 1") == 1


def test_a_child_that_waits_to_be_started_again_holds_up_no_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    restarted = threading.Event()
    with family(tmp_path, {1: ["crash 1"]}) as told:
        patient = SupervisorOptions(
            command=options(tmp_path).command,
            processes=1,
            first_wait=timedelta(hours=1),
            longest_wait=timedelta(hours=1),
        )
        supervisor = Supervisor(patient, on_event=lambda _: restarted.set())
        status = running(supervisor)
        until(lambda: "another starts in 1:00:00" in caplog.text, what="the wait of an hour")

        assert stopped(supervisor, status) == 0
        told.await_end()

    assert not restarted.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_supervisor_reaches_each_child_once_as_sigterm(
    tmp_path: Path, number: signal.Signals
) -> None:
    with program(tmp_path, {1: [SERVE], 2: [SERVE]}) as (told, process):
        told.await_line("begun 1")
        told.await_line("begun 2")

        # as a terminal does at Ctrl-C: to the whole of its process group
        os.killpg(process.pid, number)

        assert process.wait(PATIENCE) == 0
        told.await_end()
    assert sorted(told.told) == ["SIGTERM 1", "SIGTERM 2", "begun 1", "begun 2"]


def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with program(tmp_path, {1: [SERVE], 2: [SERVE]}) as (told, process):
        told.await_line("begun 1")
        told.await_line("begun 2")

        process.kill()

        told.await_end()
    assert {"SIGTERM 1", "SIGTERM 2"} <= set(told.told), "they stopped as they do at SIGTERM"


def test_waits_grow_to_an_end() -> None:
    waits = SupervisorOptions(
        command=("x",),
        processes=1,
        first_wait=timedelta(seconds=1),
        longest_wait=timedelta(seconds=5),
    )
    seconds = [waits.wait(deaths).total_seconds() for deaths in (1, 2, 3, 4, 100_000)]
    assert seconds == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"processes": 0},
        {"command": ()},
        {"failed_starts": 0},
        {"grace": timedelta(seconds=-1)},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"command": ("x",), "processes": 1}
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        SupervisorOptions(**(right | wrong))  # type: ignore[arg-type]


def test_a_process_without_supervisor_is_nobodys_child() -> None:
    assert Supervised.from_environment({}) is None


@pytest.mark.parametrize("said", ["", "1", "1:", "one:2", "1:-1", "1:9999", "1:0:x"])
def test_a_childs_variable_that_no_supervisor_wrote_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="REMOTEJOB_CHILD"):
        Supervised.from_environment({"REMOTEJOB_CHILD": said})


def test_a_dead_childs_temporary_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "remotejob-process-of-a-dead-child"
    left.mkdir()
    (left / "large").write_bytes(b"x" * 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with supervised(tmp_path, {1: ["kill 9", SERVE]}) as (told, supervisor, status):
        told.await_line("begun 1", times=2)
        assert not left.exists()
        assert stopped(supervisor, status) == 0
