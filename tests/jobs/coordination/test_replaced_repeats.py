"""Repeats that are replaced: exactly one is left, whoever comes when, and whatever is killed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from remotejob import Job, Queue, RemoteJob, Repeat, State
from remotejob.domain.changes import EXISTS, Change, Condition
from remotejob.domain.marks import MARK
from remotejob.domain.series import Head
from remotejob.jobs.coordination.series import begin_generation
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import CRASHES, ERRORS, STALLS, Crash, Fault, Faults
from tests.jobs.coordination.work import Work

MINUTE = timedelta(minutes=1)
EXISTING = Condition(name="existing", expression=EXISTS)
NIGHTLY = Repeat(wait=timedelta(hours=1))


def alive(queue: Queue) -> list[Job]:
    return [job for job in queue.jobs() if job.repeat == NIGHTLY and not job.ended]


class System:
    """A system in memory, whose processes come and go."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.clock = FakeClock()
        self.installation = memory_installation(self.clock)
        self.faults = faults or Faults()
        self.task = next(iter(self.installation.queues["default"].tasks))
        self.queue = RemoteJob(self.installation).queue()

    def process(self, name: str) -> Installation:
        return self.faults.process(self.installation, name)

    def submit(self, *, name: str = "creator", delay: timedelta | None = None) -> Job:
        queue = RemoteJob(self.process(name)).queue()
        return queue.submit(self.task, repeat=NIGHTLY, delay=delay, cancel_repeats=True)

    def work(self, installation: Installation) -> None:
        worker = Simulation(installation=installation)
        worker.tasks.task(self.task)(lambda job: None)
        while worker.step():
            pass

    def rest(self) -> None:
        """What the scheduler and a worker do in the next minutes."""
        for _ in range(5):
            tick(self.installation)
            self.work(self.installation)
            self.clock.advance(MINUTE)


@pytest.mark.parametrize("delay", [None, timedelta(hours=1)])
def test_of_many_that_replace_the_repeats_at_once_one_is_left(
    delay: timedelta | None, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work", repeat=NIGHTLY, delay=timedelta(hours=1))
    together = Barrier(4)

    def submit(_: int) -> Job:
        together.wait()
        return queue.submit("work", repeat=NIGHTLY, delay=delay, cancel_repeats=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(submit, range(4)))
    assert len(alive(queue)) == 1
    work.off()
    clock.advance(MINUTE)
    tick(installation)
    work.off()

    assert len(alive(queue)) == 1


def _another_replaces(system: System) -> None:
    RemoteJob(system.installation).queue().submit(system.task, repeat=NIGHTLY, cancel_repeats=True)


def _a_worker_works(system: System) -> None:
    system.work(system.installation)


def _the_scheduler_ticks(system: System) -> None:
    system.clock.advance(MINUTE)
    tick(system.installation)


INTRUSIONS: list[Callable[[System], None]] = [
    _another_replaces,
    _a_worker_works,
    _the_scheduler_ticks,
]


@pytest.mark.parametrize("intrusion", INTRUSIONS, ids=lambda act: act.__name__.strip("_"))
@pytest.mark.parametrize(
    "fault",
    [STALLS[0], *(pytest.param(fault, marks=pytest.mark.exhaustive) for fault in STALLS[1:])],
)
def test_others_may_act_between_any_two_steps_of_a_replacement(
    fault: Fault, intrusion: Callable[[System], None]
) -> None:
    for number in range(1, 10_000, 13):
        systems: list[System] = []
        faults = Faults(fault, at=number, meanwhile=lambda: intrusion(systems[0]))  # noqa: B023
        system = System(faults)
        systems.append(system)
        # the first is ready: while the stall lasts, a worker may run it and make its successor
        system.queue.submit(system.task, repeat=NIGHTLY)
        system.submit()
        system.rest()
        assert len(alive(system.queue)) == 1, faults.report()
        if faults.struck is None:
            break
    assert number > 13


@pytest.mark.parametrize("fault", STALLS)
def test_repeats_may_be_replaced_between_any_two_steps_of_a_worker(fault: Fault) -> None:
    for number in range(1, 10_000):
        systems: list[System] = []
        faults = Faults(fault, at=number, meanwhile=lambda: _another_replaces(systems[0]))  # noqa: B023
        system = System(faults)
        systems.append(system)
        system.queue.submit(system.task, repeat=NIGHTLY)
        system.work(system.process("worker"))
        if faults.struck is None:
            break
        # the task's last run may be cancelled while it runs: its lease ends first
        system.clock.advance(2 * MINUTE)
        system.rest()
        assert len(alive(system.queue)) == 1, faults.report()
    assert number > 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault.CRASH_AFTER,
        *(
            pytest.param(fault, marks=pytest.mark.exhaustive)
            for fault in (*CRASHES, *ERRORS)
            if fault is not Fault.CRASH_AFTER
        ),
    ],
)
def test_who_replaces_the_repeats_may_die_at_any_step(fault: Fault) -> None:
    for number in range(1, 10_000, 11):
        faults = Faults(fault, at=number)
        system = System(faults)
        old = system.queue.submit(system.task, repeat=NIGHTLY, delay=timedelta(hours=3))
        with suppress(Crash, Exception):
            system.submit(delay=timedelta(hours=2))
        made = len(alive(system.queue)) > 1 or old.refresh().state is State.CANCELLED
        system.rest()

        assert len(alive(system.queue)) == 1, faults.report()
        assert (old.refresh().state is State.CANCELLED) is made
        if faults.struck is None:
            break
    assert number > 5


def test_job_made_before_the_replacement_and_found_by_nobody_does_not_run(
    queue: Queue, work: Work, installation: Installation
) -> None:
    old = queue.submit("work", data="old", repeat=NIGHTLY)
    queue.submit("work", data="new", repeat=NIGHTLY, cancel_repeats=True)
    # as if a listing that lagged behind had left it out
    installation.store.update(revived(old))
    work.off()

    assert work.began == ["new"]
    assert old.refresh().state is State.CANCELLED
    assert "Replaced" in [error.kind for error in old.errors]


def revived(job: Job) -> Change:
    return Change(
        job_id=job.id,
        condition=EXISTING,
        values={},
        set={Field.STATE: State.READY},
        remove=(Field.OWED, Field.FINISHED, *MARK),
    )


def test_successor_that_a_worker_makes_late_is_cancelled(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work", data="old", repeat=NIGHTLY)
    work.while_running["old"] = lambda: (
        queue.submit("work", data="new", repeat=NIGHTLY, delay=MINUTE, cancel_repeats=True).id
    )
    work.off()
    clock.advance(2 * MINUTE)
    work.off()

    assert [job.data for job in alive(queue)] == ["new"]


def test_key_that_has_its_job_replaces_nothing(queue: Queue, work: Work) -> None:
    old = queue.submit("work", data="old", repeat=NIGHTLY)

    def start() -> Job:
        return queue.submit(
            "work", data="new", repeat=NIGHTLY, idempotency_key="v1", cancel_repeats=True
        )

    first = start()
    work.off()
    assert first.refresh().state is State.COMPLETED
    assert start().id == first.id

    assert old.refresh().state is State.CANCELLED
    assert [job.id for job in alive(queue)] == [first.next_id]


def test_many_with_one_key_replace_the_repeats_once(queue: Queue) -> None:
    queue.submit("work", repeat=NIGHTLY, delay=MINUTE)
    together = Barrier(4)

    def submit(_: int) -> str:
        together.wait()
        return queue.submit(
            "work", repeat=NIGHTLY, idempotency_key="k", delay=MINUTE, cancel_repeats=True
        ).id

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(submit, range(4)))

    assert {job.id for job in alive(queue)} == ids
    assert len(ids) == 1


def test_repeats_are_cancelled_by_command(queue: Queue, work: Work) -> None:
    first = queue.submit("work", data=1, repeat=NIGHTLY, delay=MINUTE)
    paused = queue.submit("work", data=2, repeat=NIGHTLY, delay=MINUTE).pause()
    limited = queue.submit("work", data=3, repeat=Repeat(times=3), delay=MINUTE)
    plain = queue.submit("work", data=4, delay=MINUTE)

    ended = queue.cancel_repeats("work")

    assert {job.id for job in ended} == {first.id, paused.id}
    assert first.refresh().state is paused.refresh().state is State.CANCELLED
    assert limited.refresh().state is plain.refresh().state is State.WAITING
    later = queue.submit("work", repeat=NIGHTLY, delay=MINUTE)
    assert [job.id for job in alive(queue)] == [later.id]


def test_repeats_that_are_cancelled_while_one_runs_end(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work", data=1, repeat=NIGHTLY)
    work.while_running[1] = lambda: len(queue.cancel_repeats("work"))
    for _ in range(4):
        work.off()
        clock.advance(MINUTE)
        tick(installation)

    assert alive(queue) == []
    assert work.began == [1]


def test_other_tasks_and_queues_keep_their_repeats() -> None:
    system = System()
    tasks = system.installation.queues["default"].tasks
    if len(tasks) == 1:
        description = replace(system.installation.queues["default"], tasks=(*tasks, "other"))
        queues = {"default": description, "second": replace(description, name="second")}
        system.installation = replace(system.installation, queues=queues)
    remote = RemoteJob(system.installation)
    kept = [
        remote.queue().submit("other", repeat=NIGHTLY, delay=MINUTE),
        remote.queue("second").submit(tasks[0], repeat=NIGHTLY, delay=MINUTE),
    ]
    system.submit(delay=MINUTE)
    system.submit(delay=MINUTE)
    assert [job.refresh().state for job in kept] == [State.WAITING] * 2


def test_job_older_than_the_retention_is_replaced_too() -> None:
    system = System()
    old = system.queue.submit(system.task, repeat=NIGHTLY, delay=timedelta(days=300))
    system.clock.advance(timedelta(days=100))
    system.submit(delay=MINUTE)
    assert old.refresh().state is State.CANCELLED


def test_replaced_job_that_is_restarted_repeats_again(
    queue: Queue, work: Work, clock: FakeClock
) -> None:
    old = queue.submit("work", data="old", repeat=NIGHTLY)
    queue.submit("work", data="new", repeat=NIGHTLY, cancel_repeats=True)
    old.restart()
    work.off()
    assert sorted(work.began, key=str) == ["new", "old"]
    assert old.refresh().next_id is not None
    assert len(alive(queue)) == 2


def test_rerun_that_repeats_joins_the_repeats_of_today(queue: Queue, work: Work) -> None:
    queue.submit("work", repeat=NIGHTLY, cancel_repeats=True)
    plain = queue.submit("work", data="again")
    work.off()
    plain.refresh().rerun(repeat=NIGHTLY)
    work.off()
    assert work.began.count("again") == 2


def test_one_that_cannot_be_replaced_does_not_stop_the_scheduler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    system = System()
    broken = Head(queue="default", task="a-broken-one", generation=3)
    _, step = replace(broken, generation=0).next(now_ms=0)
    system.installation.store.transact(
        [replace(step, content={**step.content, Field.HEAD: "not a number"})]
    )
    old = system.queue.submit(system.task, repeat=NIGHTLY, delay=timedelta(hours=1))
    begin_generation("default", system.task, system.installation)

    tick(system.installation)

    assert "repeats not replaced" in caplog.text
    assert old.refresh().state is State.CANCELLED
