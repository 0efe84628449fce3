"""A chained task finds what the jobs before it made, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from remotejob import AccessProblem, Job, Queue, RemoteJob, RunningJob, State
from remotejob.domain.times import from_ms
from remotejob.jobs.content.outputs import Output
from remotejob.ports import Area, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.interception import intercepted

LONG = 10_000
"""Characters of a result that is a file."""


def made(queue: Queue, worker: Simulation, *lengths: int) -> list[Job]:
    jobs = [queue.submit("in-thread", data={"do": "make", "n": length}) for length in lengths]
    while worker.step():
        pass
    return jobs


@pytest.mark.parametrize("task", ["in-thread", "own-process", "stranger", "async-in-process"])
def test_a_task_finds_its_antecedents_and_what_they_made(
    task: str, queue: Queue, worker: Simulation
) -> None:
    jobs = made(queue, worker, 3, LONG)
    chained = queue.submit(task, data={"do": "chained"}, depends=jobs)
    worker.step()

    assert chained.refresh().state is State.COMPLETED, chained.errors
    assert chained.result == [
        [job.id, job.data, "r" * n, {"page.txt": f"page {n}"}]
        for job, n in zip(jobs, (3, LONG), strict=True)
    ]


def test_very_many_antecedents_reach_a_process(queue: Queue, worker: Simulation) -> None:
    jobs = made(queue, worker, *[3_000 + n for n in range(120)])
    chained = queue.submit("own-process", data={"do": "chained"}, depends=jobs)
    worker.step()

    assert chained.refresh().state is State.COMPLETED, chained.errors
    assert [one[0] for one in chained.result] == [job.id for job in jobs]


def test_a_process_reads_only_what_its_antecedents_made(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    first, other = (job.refresh() for job in made(queue, worker, 1, 2))
    chained = queue.submit(
        "own-process",
        data={
            "do": "reach_for_antecedents",
            "bucket": installation.files.bucket(Area.OUTPUT),
            "theirs": _output(first).key,
            "others": _output(other).key,
        },
        depends=[first],
    )
    worker.step()
    assert chained.refresh().result == ["refused", "page 1", "refused"]


def _output(job: Job) -> Output:
    return job.outputs["page.txt"]


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except AccessProblem as problem:
        return str(problem)


class Reads:
    """Counts the reads of records, and refuses files of one queue, as its policy would."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refused = "nobody"

    def request(self, name: str, arguments: tuple[Any, ...], call: Any) -> Any:
        self.calls.append(name)
        if name in ("files.open", "files.download") and arguments[1].startswith(self.refused):
            raise AccessProblem("AWS does not allow these credentials s3:GetObject")
        return call()


def played(queues: dict[str, tuple[str, ...]], reads: Reads) -> tuple[RemoteJob, list[Simulation]]:
    base = memory_installation(FakeClock(), queues=queues)
    installation = intercepted(base, reads)
    workers = [Simulation(installation=installation, queue=name) for name in queues]
    return RemoteJob(base), workers


def test_nothing_is_read_unless_asked_for() -> None:
    reads = Reads()
    remote, (worker,) = played({"default": ("work",)}, reads)
    found: list[Any] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        if job.data == "asks":
            found.append(job.antecedents())

    first = remote.queue().submit("work")
    worker.step()
    calls = []
    for options in ({"depends": [first]}, {"data": "asks"}, {"data": "asks", "depends": [first]}):
        job = remote.queue().submit("work", **options)
        reads.calls.clear()
        worker.step()
        calls.append(reads.calls.count("store.get_many"))
        assert job.refresh().state is State.COMPLETED
    assert calls == [0, 0, 1]
    assert [len(one) for one in found] == [0, 1]


def test_a_run_knows_when_it_was_due_and_after_which_jobs() -> None:
    clock = FakeClock()
    remote = RemoteJob(memory_installation(clock))
    worker = Simulation(installation=remote._installation)
    found: list[Any] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        found.append((job.due_at, job.depends))

    first = remote.queue().submit("work")
    later = remote.queue().submit("work", delay=timedelta(minutes=1), depends=[first])
    worker.step()
    clock.advance(timedelta(minutes=1))
    worker.step()
    due = from_ms(clock.now_ms())
    assert (later.due_at, found) == (due, [(None, ()), (due, (first.id,))])


def test_removed_antecedents_are_left_out() -> None:
    remote, (worker,) = played({"default": ("work",)}, Reads())
    found: list[list[str]] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        found.append([one.id for one in job.antecedents()])

    first, second = (remote.queue().submit("work") for _ in range(2))
    worker.step()
    worker.step()
    remote.queue().submit("work", depends=[first, second], delay=timedelta(0))
    remote.remove_jobs([first])
    worker.step()
    assert found[-1] == [second.id]


def test_files_of_another_queue_may_be_out_of_reach_and_the_error_says_so() -> None:
    reads = Reads()
    reads.refused = "first/"
    remote, (worker, other) = played({"first": ("make",), "second": ("chain",)}, reads)
    found: list[Any] = []

    @worker.tasks.task("make")
    def make(job: RunningJob) -> str:
        job.output("page.txt", b"page")
        return "r" * int(job.data)

    @other.tasks.task("chain")
    def chain(job: RunningJob) -> None:
        for one in job.antecedents():
            found.extend(
                [_tried(partial(getattr, one, "result")), _tried(one.outputs["page.txt"].open)]
            )

    jobs = [remote.queue("first").submit("make", data=n) for n in (3, LONG)]
    while worker.step():
        pass
    remote.queue("second").submit("chain", depends=jobs)
    other.step()
    short, *refused = found
    assert short == "rrr"
    assert len(refused) == 3
    for said in refused:
        assert "belongs to queue 'first'" in said
        assert "workers of queue 'second' may not read" in said
