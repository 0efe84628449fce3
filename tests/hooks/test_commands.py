"""Hooks of commands: which command, on what, with what, and how it went. In memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from remotejob import (
    CommandRefused,
    InvalidData,
    Job,
    Queue,
    RemoteJob,
    RunningJob,
    Submission,
    UnknownTask,
)
from remotejob.client.hooks import Hooks
from remotejob.domain.events import CommandEvent
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation


@pytest.fixture
def installation(clock: FakeClock, hooks: Hooks) -> Installation:
    queues = {"default": ("work", "other")}
    return replace(memory_installation(clock, queues=queues), hooks=hooks)


@pytest.fixture
def heard(hooks: Hooks) -> list[CommandEvent]:
    events: list[CommandEvent] = []
    hooks.on("call", events.append)
    hooks.on("error", events.append)
    return events


def completed(queue: Queue, worker: Simulation) -> Job:
    job = queue.submit("work")
    worker.step()
    return job


COMMANDS: dict[str, Callable[[Queue, Simulation], Any]] = {
    "pause": lambda queue, _: queue.submit("work").pause(),
    "resume": lambda queue, _: queue.submit("work").pause().resume(),
    "make_ready": lambda queue, _: queue.submit("work", delay=None).pause().resume().make_ready(),
    "cancel": lambda queue, _: queue.submit("work").cancel(),
    "restart": lambda queue, _: queue.submit("work").cancel().restart(),
    "rerun": lambda queue, worker: completed(queue, worker).rerun(),
    "remove": lambda queue, _: queue.submit("work").cancel().remove(),
    "submit": lambda queue, _: queue.submit("work"),
    "submit_many": lambda queue, _: queue.submit_many([Submission(task="work")]),
    "get_work": lambda queue, _: queue.get_work(),
    "trigger": lambda queue, _: queue.trigger("pending", queue.store({"body": b"a"}), task="work"),
    "stop": lambda queue, _: queue.stop(),
    "start": lambda queue, _: queue.start(),
    "retry_failed": lambda queue, _: queue.retry_failed(),
    "delete_failed": lambda queue, _: queue.delete_failed(),
}


@pytest.mark.parametrize(
    "command",
    ["pause_jobs", "resume_jobs", "make_jobs_ready", "cancel_jobs", "restart_jobs", "remove_jobs"],
)
def test_command_to_many_jobs_is_one_call(
    installation: Installation, queue: Queue, heard: list[CommandEvent], command: str
) -> None:
    remote = RemoteJob(installation)
    jobs = [queue.submit("work") for _ in range(2)]
    heard.clear()
    result = getattr(remote, command)(jobs)

    (event,) = heard
    assert (event.event, event.command, event.target) == ("call", command, remote)
    assert event.arguments == {"jobs": jobs}
    assert event.result is result


@pytest.mark.parametrize("command", COMMANDS)
def test_command_that_was_carried_out_is_a_call_with_its_result(
    queue: Queue, worker: Simulation, heard: list[CommandEvent], command: str
) -> None:
    result = COMMANDS[command](queue, worker)

    last = heard[-1]
    assert (last.event, last.command) == ("call", command)
    assert last.result is result
    assert last.error is None


def test_arguments_reach_hooks_by_name_however_they_were_given(
    queue: Queue, heard: list[CommandEvent]
) -> None:
    queue.submit("work", data=3)

    assert heard[0].target is queue
    assert heard[0].arguments == {"task": "work", "data": 3}


def test_refused_command_is_an_error_and_is_raised_all_the_same(
    queue: Queue, heard: list[CommandEvent]
) -> None:
    job = queue.submit("work")
    with pytest.raises(CommandRefused) as refusal:
        job.resume()

    last = heard[-1]
    assert (last.event, last.command) == ("error", "resume")
    assert last.error is refusal.value
    assert last.target is job
    with pytest.raises(UnknownTask):
        queue.submit("unknown")
    assert heard[-1].arguments == {"task": "unknown"}


def test_job_taken_by_hand_tells_how_it_was_ended(queue: Queue, heard: list[CommandEvent]) -> None:
    for _ in range(3):
        queue.submit("work")
    done, failed, released = queue.get_work(max_jobs=3)
    heard.clear()
    done.done("well")
    failed.fail("badly")
    released.release()

    assert [event.command for event in heard] == ["done", "fail", "release"]
    assert [dict(event.arguments) for event in heard] == [
        {"result": "well"},
        {"error": "badly"},
        {},
    ]


def test_hooks_of_one_task_get_the_commands_on_its_jobs(queue: Queue, hooks: Hooks) -> None:
    commands: list[tuple[str, object]] = []
    hooks.on("call", lambda event: commands.append((event.command, event.target)), task="other")
    queue.submit("work").pause()
    job = queue.submit("other").pause()

    assert commands == [("submit", queue), ("pause", job)]


def test_the_process_that_gives_a_command_notifies_its_hooks(
    installation: Installation, queue: Queue, heard: list[CommandEvent]
) -> None:
    its_own, there = Hooks(), []
    its_own.on("call", lambda event: there.append(event.command))
    worker = Simulation(installation=replace(installation, hooks=its_own))

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        RemoteJob(worker.installation).job(job.id).cancel()

    queue.submit("work")
    heard.clear()
    worker.step()

    assert heard == []
    assert there == ["cancel"]


def test_refresh_is_told_and_a_wait_is_not(
    queue: Queue, worker: Simulation, heard: list[CommandEvent]
) -> None:
    job = queue.submit("work").cancel()
    heard.clear()
    job.wait()
    job.why()
    assert heard == []

    job.refresh()

    (event,) = heard
    assert (event.event, event.command, event.target) == ("call", "refresh", job)
    assert (dict(event.arguments), event.result) == ({}, job)


def test_log_is_told_with_its_arguments_where_the_job_runs(
    queue: Queue, worker: Simulation, heard: list[CommandEvent]
) -> None:
    another = Simulation(installation=worker.installation)

    @another.tasks.task("other")
    def other(job: RunningJob) -> None:
        job.log("page 7", level="warning", data={"page": 7})

    job = queue.submit("other")
    heard.clear()
    another.step()

    (event,) = heard
    assert (event.event, event.command, event.target.id) == ("call", "log", job.id)
    assert event.arguments == {"message": "page 7", "level": "warning", "data": {"page": 7}}


def test_a_refused_log_is_an_error(queue: Queue, heard: list[CommandEvent]) -> None:
    queue.submit("work")
    (job,) = queue.get_work()
    heard.clear()
    with pytest.raises(InvalidData):
        job.log("page 7", level="loud")  # type: ignore[arg-type]
    job.cancel()
    assert [(event.event, event.command) for event in heard] == [
        ("error", "log"),
        ("call", "cancel"),
    ]
