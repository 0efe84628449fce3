"""What forerunner's users may rely on, where no other test shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from remotejob import Fatal, InvalidName, Queue, Retry, RunningJob, State
from remotejob.domain.priority import Order
from remotejob.hooks import Event, JobEvent, off, on
from remotejob.tasks import Registry
from remotejob.testing import Simulation
from tests.heritage.conftest import work_off


class Plugin:
    """A set of hooks that belong together."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def listen(self) -> None:
        for event in Event:
            if event in ("created", "staged", "progress", "completed", "count_failed", "failed"):
                on(event, self.hear, task="work")

    def leave(self) -> None:
        for event in Event:
            off(event, self.hear)

    def hear(self, event: JobEvent) -> None:
        self.heard.append((event.event, event.job.id))


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    made = Plugin()
    made.listen()
    yield made
    made.leave()


def test_a_set_of_hooks_follows_a_jobs_whole_life_and_no_other_task(
    queue: Queue, worker: Simulation, plugin: Plugin
) -> None:
    @worker.tasks.task("work", retry=Retry(max_attempts=2, wait=timedelta(0)))
    def work(job: RunningJob) -> None:
        job.progress(1, 2)
        raise ValueError("no")

    worker.tasks.task("other")(lambda job: None)
    job = queue.submit("work")
    queue.submit("other")
    work_off(worker)

    assert {job_id for _, job_id in plugin.heard} == {job.id}
    names = [name for name, _ in plugin.heard if name != "staged"]
    assert names == ["created", "progress", "count_failed", "progress", "failed"]
    assert ("staged", job.id) in plugin.heard


def test_one_hook_may_hear_of_several_tasks(queue: Queue, worker: Simulation) -> None:
    heard: list[str] = []

    def completed(event: JobEvent) -> None:
        heard.append(event.job.task)

    for name in ("work", "other"):
        worker.tasks.task(name)(lambda job: None)
        on("completed", completed, task=name)
    try:
        queue.submit("work")
        queue.submit("other")
        work_off(worker)
    finally:
        off("completed", completed)

    assert sorted(heard) == ["other", "work"]


def test_failed_job_may_be_tried_again_at_once(queue: Queue, worker: Simulation) -> None:
    runs: list[int] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.attempt)
        raise ValueError("no")

    job = queue.submit("work", retry=Retry(max_attempts=3, wait=timedelta(0)))
    work_off(worker)

    assert runs == [1, 2, 3]
    assert job.refresh().state is State.FAILED


def test_task_can_force_its_job_to_fail_whatever_is_left(queue: Queue, worker: Simulation) -> None:
    runs: list[int] = []

    @worker.tasks.task("work", retry=Retry(max_attempts=3, wait=timedelta(0)))
    def work(job: RunningJob) -> None:
        runs.append(job.attempt)
        raise Fatal("it will never do")

    job = queue.submit("work")
    work_off(worker)

    assert runs == [1]
    assert job.refresh().state is State.FAILED


def test_job_handler_is_found_and_run_by_its_name() -> None:
    registry = Registry()

    @registry.task("shout")
    def shout(job: RunningJob) -> str:
        return "HERE"

    assert registry["shout"].function is shout
    assert "whisper" not in registry
    with pytest.raises(InvalidName, match="registered already"):
        registry.task("shout")(shout)


def test_queues_come_in_the_orders_they_came_in() -> None:
    assert set(Order) == {"weighted", "fifo", "random"}
