"""Registering tasks, and a worker that lacks one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remotejob import InvalidData, InvalidName, Retry, SettingsError, UnknownQueue
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import memory_installation
from remotejob.worker.worker import Worker, WorkerOptions


def work(job: RunningJob) -> None:
    """A task."""


def test_a_registered_task_keeps_its_function_and_options() -> None:
    tasks = Registry()
    retry = Retry(max_attempts=3)
    registered = tasks.task("work", retry=retry, timeout=timedelta(seconds=5))(work)

    assert registered is work
    assert (tasks["work"].function, tasks["work"].retry) == (work, retry)
    assert tasks["work"].timeout == timedelta(seconds=5)
    assert list(tasks) == ["work"]


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "täsk", "x" * 65, "a\n", "-a"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        Registry().task(name)
    assert repr(name) in str(refusal.value)
    assert "use letters" in str(refusal.value)


def test_a_task_without_brackets_says_how_to_write_it() -> None:
    bare: Any = Registry().task
    with pytest.raises(InvalidName, match=r'has no name; write @task\("work"\)'):
        bare(work)


@pytest.mark.parametrize("option", ["timeout", "lease"])
def test_a_span_in_seconds_is_refused(option: str) -> None:
    options: Any = {option: 60}
    with pytest.raises(InvalidData, match=f"{option}=60: use a timedelta"):
        Registry().task("work", **options)


@pytest.mark.parametrize("name", ["a", "Thumb.nail-2_x", "x" * 64])
def test_a_name_that_can_be_one_is_taken(name: str) -> None:
    tasks = Registry()
    tasks.task(name)(work)
    assert name in tasks


def test_a_name_that_is_taken_says_by_whom() -> None:
    tasks = Registry()
    tasks.task("work")(work)
    with pytest.raises(InvalidName, match=r"'work' is registered already, by work; rename one"):
        tasks.task("work")(work)
    assert len(tasks) == 1


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1)])
def test_a_timeout_that_leaves_no_time_is_refused(timeout: timedelta) -> None:
    with pytest.raises(InvalidData, match="leaves it no time"):
        Registry().task("work", timeout=timeout)


def test_a_worker_without_a_task_of_its_queue_does_not_start() -> None:
    tasks = Registry()
    tasks.task("thumbnial")(work)
    installation = memory_installation(queues={"default": ("thumbnail",)})

    with pytest.raises(SettingsError) as refusal:
        Worker(installation, tasks, WorkerOptions(queue="default", name="w"))

    message = str(refusal.value)
    assert "'thumbnail', which is not registered (there is 'thumbnial')" in message
    assert '@task("thumbnail")' in message
    assert "[queues.default] in remotejob.toml" in message


def test_a_worker_of_an_unknown_queue_does_not_start() -> None:
    with pytest.raises(UnknownQueue, match="unknown queue 'nowhere': this system has default"):
        Worker(memory_installation(), Registry(), WorkerOptions(queue="nowhere", name="w"))


def test_a_worker_may_have_more_tasks_than_its_queue() -> None:
    tasks = Registry()
    for name in ("work", "another"):
        tasks.task(name)(work)
    Worker(memory_installation(), tasks, WorkerOptions(queue="default", name="w"))
    tasks.require(("work",), queue="default")
