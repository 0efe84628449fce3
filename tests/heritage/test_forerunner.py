"""What forerunner's users may rely on, where no other test shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    Fatal,
    InvalidName,
    Job,
    Priority,
    Queue,
    RemoteJob,
    Retry,
    RunningJob,
    State,
)
from remotejob.domain.priority import Order
from remotejob.hooks import Event, JobEvent, off, on
from remotejob.ports import Channel
from remotejob.tasks.compose import compose
from remotejob.testing import Simulation, memory_installation
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

    def of(self, job: Job) -> list[str]:
        """What was heard of a job, in order; its message may be sent more than once."""
        return [name for name, job_id in self.heard if job_id == job.id and name != "staged"]

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
        if job.data != "good":
            raise ValueError("no")

    worker.tasks.task("other")(lambda job: None)
    bad = queue.submit("work")
    queue.submit("other")
    work_off(worker)
    good = queue.submit("work", data="good")
    work_off(worker)

    assert plugin.of(bad) == ["created", "progress", "count_failed", "progress", "failed"]
    assert plugin.of(good) == ["created", "progress", "completed"]
    assert {job_id for _, job_id in plugin.heard} == {bad.id, good.id}
    assert {("staged", bad.id), ("staged", good.id)} <= set(plugin.heard)


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


def test_job_handler_is_found_and_run_by_its_name(queue: Queue, worker: Simulation) -> None:
    registry = worker.tasks

    @registry.task("shout")
    def shout(job: RunningJob) -> dict[str, Any]:
        return {"said": job.data["word"].upper(), "by": job.id}

    registry.task("work")(compose(["shout"], registry=registry))
    job = queue.submit("work", data={"word": "here"})
    work_off(worker)

    assert job.refresh().result == {"word": "here", "said": "HERE", "by": job.id}
    assert registry["shout"].function is shout
    assert "whisper" not in registry
    with pytest.raises(InvalidName, match="registered already"):
        registry.task("shout")(shout)


def test_error_that_is_raised_or_returned_fails_the_job(queue: Queue, worker: Simulation) -> None:
    @worker.tasks.task("work")
    def work(job: RunningJob) -> object:
        if job.data == "raised":
            raise ValueError("no")
        return ValueError("no")

    jobs = [queue.submit("work", data=how) for how in ("raised", "returned")]
    work_off(worker)

    assert [job.refresh().state for job in jobs] == [State.FAILED] * 2
    assert [job.errors[-1].kind for job in jobs] == ["ValueError", "InvalidData"]


@pytest.mark.parametrize(
    ("order", "lanes"),
    [
        ("weighted", [Channel.HIGH, Channel.LOW]),
        ("fifo", [Channel.NORMAL, Channel.NORMAL]),
        ("random", [Channel.NORMAL, Channel.NORMAL]),
    ],
)
def test_only_a_weighted_queue_lets_a_job_overtake_another(
    order: str, lanes: list[Channel]
) -> None:
    made = memory_installation()
    described = replace(made.queues["default"], order=Order(order))
    installation = replace(made, queues={"default": described})
    queue = RemoteJob(installation).queue()

    sent = []
    for priority in (Priority.HIGH, Priority.LOW):
        queue.submit("work", priority=priority)
        worker = Simulation(installation=installation)
        sent += [message.address.channel for message in worker.receive()]

    assert sent == lanes
    assert set(Order) == {"weighted", "fifo", "random"}
