"""A change that took effect is taken as done, also when its answer was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from remotejob import Job, JobCancelled, Queue, Repeat, Retry, RunningJob, State, WorkerStopping
from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Installation
from remotejob.tasks import Registry
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.settlements import Leave
from remotejob.worker.runs.run import Run
from tests.lost_answers import Lost, LostAnswer

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
MINUTE = timedelta(minutes=1)
LANES = [Address("default", Channel(lane.value)) for lane in Lane]
COMPLETED = Address("default", Channel.COMPLETED)
FAILED = Address("default", Channel.FAILED)

EITHER = pytest.mark.parametrize("lost", [Lost.SENT_AGAIN, Lost.ERROR], ids=["sent again", "error"])

CLAIM = "claim"
CLAIM_LOCKED = "claim_locked"
RECLAIM = "same_silent_run"
HEARTBEAT = "own_live_run"
END = "own_run"


@dataclass
class Work:
    """A worker that loses an answer, and what its tasks do."""

    installation: Installation
    tasks: Registry
    runs: list[str] = field(default_factory=list)
    does: Callable[[RunningJob], Any] = field(default=lambda job: "done")

    def __post_init__(self) -> None:
        @self.tasks.task("work")
        def work(job: RunningJob) -> Any:
            self.runs.append(job.run_id)
            return self.does(job)

    def losing(self, answer: LostAnswer) -> Simulation:
        return Simulation(installation=intercepted(self.installation, answer), tasks=self.tasks)

    def other(self) -> Simulation:
        return Simulation(installation=self.installation, tasks=self.tasks, worker="other")


@pytest.fixture
def work(installation: Installation, tasks: Registry) -> Work:
    return Work(installation, tasks)


def messages(installation: Installation, *addresses: Address) -> int:
    depths = [installation.messages.depth(address) for address in addresses]
    return sum(depth.visible + depth.hidden + depth.delayed for depth in depths)


def ended_once(job: Job, work: Work) -> None:
    """In one step, as if nothing had been lost."""
    assert job.refresh().state is State.COMPLETED
    assert job.result == "done"
    assert len(work.runs) == job.attempt == 1
    assert (job.record.crashes, job.record.failures, job.record.releases) == (0, 0, 0)
    assert messages(work.installation, *LANES) == 0
    assert messages(work.installation, COMPLETED) == 1


# The claim


@pytest.mark.parametrize(
    ("kind", "resource"), [(CLAIM, None), (CLAIM_LOCKED, "cat.jpg")], ids=["plain", "locked"]
)
def test_claim_whose_answer_was_lost_begins_the_run(
    work: Work, queue: Queue, kind: str, resource: str | None
) -> None:
    answer = LostAnswer(kind)
    job = queue.submit("work", resource=resource)

    work.losing(answer).step()

    assert answer.happened
    ended_once(job, work)


def test_claim_whose_answer_was_lost_holds_the_lease_of_its_first_try(
    work: Work, queue: Queue, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work")
    worker = work.losing(LostAnswer(CLAIM, meanwhile=lambda: clock.advance(15 * SECOND)))
    (message,) = worker.receive()

    run = worker.handler.begin(message)

    assert isinstance(run, Run)
    record = installation.store.get(run.job_id)
    assert record is not None
    assert record.lease_ms is not None
    assert record.lease_ms - clock.now_ms() == (run.lease.ends - clock.monotonic()) * 1000


@pytest.mark.parametrize("resource", [None, "cat.jpg"], ids=["plain", "locked"])
def test_claim_after_a_death_whose_answer_was_lost_counts_the_death_once(
    work: Work, queue: Queue, clock: FakeClock, resource: str | None
) -> None:
    job = queue.submit("work", resource=resource)
    dead = work.other()
    (message,) = dead.receive()
    assert isinstance(dead.handler.begin(message), Run)
    clock.advance(2 * LEASE)
    answer = LostAnswer(RECLAIM)

    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().result == "done"
    assert len(work.runs) == 1
    assert (job.attempt, job.record.crashes) == (2, 1)


def test_claim_whose_answer_was_lost_does_not_run_a_job_cancelled_meanwhile(
    work: Work, queue: Queue, installation: Installation
) -> None:
    job = queue.submit("work")

    work.losing(LostAnswer(CLAIM, meanwhile=job.cancel)).step()

    assert job.refresh().state is State.CANCELLED
    assert work.runs == []
    assert messages(installation, *LANES) == 0


def test_claim_whose_answer_was_lost_leaves_the_job_to_others_if_the_caller_gives_up(
    work: Work, queue: Queue, clock: FakeClock
) -> None:
    """The run never began, so its lease has to end first."""
    job = queue.submit("work")
    with pytest.raises(ConnectionError):
        work.losing(LostAnswer(CLAIM, Lost.ERROR)).step()

    work.other().step()
    assert work.runs == []
    clock.advance(2 * LEASE)
    work.other().step()
    assert job.refresh().result == "done"


def test_last_death_whose_record_was_lost_ends_the_job_once(
    work: Work, queue: Queue, clock: FakeClock, installation: Installation
) -> None:
    job = queue.submit("work")
    for _ in range(3):
        dead = work.other()
        (message,) = dead.receive()
        assert isinstance(dead.handler.begin(message), Run)
        clock.advance(2 * LEASE)
    answer = LostAnswer(RECLAIM)

    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().state is State.FAILED
    assert job.record.crashes == 3
    assert (work.runs, job.record.owed) == ([], None)
    assert messages(installation, FAILED) == 1
    assert messages(installation, *LANES) == 0


# The heartbeat and the checkpoint


@EITHER
def test_heartbeat_whose_answer_was_lost_costs_no_lease(
    work: Work, queue: Queue, clock: FakeClock, lost: Lost
) -> None:
    answer = LostAnswer(HEARTBEAT, lost)
    worker = work.losing(answer)

    def does(job: RunningJob) -> str:
        for _ in range(90):
            clock.advance(SECOND)
            worker.beat()
            job.check()
        return "done"

    work.does = does
    job = queue.submit("work")
    worker.step()

    assert answer.happened
    ended_once(job, work)


@EITHER
def test_checkpoint_whose_answer_was_lost_is_kept_and_costs_no_lease(
    work: Work, queue: Queue, lost: Lost
) -> None:
    answer = LostAnswer(HEARTBEAT, lost)
    kept: list[str | None] = []

    def does(running: RunningJob) -> str:
        running.checkpoint("half")
        kept.append(job.refresh().record.checkpoint_json)
        return "done"

    work.does = does
    job = queue.submit("work")
    work.losing(answer).step()

    assert answer.happened
    assert kept == ['"half"']
    ended_once(job, work)


# The end of a run


@EITHER
@pytest.mark.parametrize("resource", [None, "cat.jpg"], ids=["plain", "locked"])
def test_completion_whose_answer_was_lost_is_taken_as_done(
    work: Work, queue: Queue, installation: Installation, lost: Lost, resource: str | None
) -> None:
    answer = LostAnswer(END, lost)
    job = queue.submit("work", resource=resource)

    work.losing(answer).step()

    assert answer.happened
    ended_once(job, work)
    assert list(installation.store.items("resource#cat.jpg", "lock#")) == []


@EITHER
def test_completion_whose_answer_was_lost_makes_one_successor(
    work: Work, queue: Queue, installation: Installation, clock: FakeClock, lost: Lost
) -> None:
    answer = LostAnswer(END, lost)
    job = queue.submit("work", repeat=Repeat(times=1, wait=MINUTE))

    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().result == "done"
    assert sorted(one.state for one in queue.jobs()) == [State.COMPLETED, State.WAITING]
    assert messages(installation, *LANES) == 1, "the successor's"
    clock.advance(MINUTE)
    work.other().step()
    assert [one.state for one in queue.jobs()] == [State.COMPLETED] * 2
    assert len(work.runs) == 2


@EITHER
def test_failure_whose_answer_was_lost_is_counted_once_and_tried_again(
    work: Work, queue: Queue, installation: Installation, clock: FakeClock, lost: Lost
) -> None:
    def fails(_: RunningJob) -> None:
        raise ValueError("no")

    work.does = fails
    answer = LostAnswer(END, lost)
    job = queue.submit("work", retry=Retry(max_attempts=2, wait=MINUTE))
    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().state is State.WAITING
    assert (job.record.failures, len(job.record.errors)) == (1, 1)
    assert messages(installation, *LANES) == 1
    clock.advance(MINUTE)
    work.does = lambda job: "done"
    work.other().step()
    assert job.refresh().result == "done"


@EITHER
def test_failure_for_good_whose_answer_was_lost_is_reported_once(
    work: Work, queue: Queue, installation: Installation, lost: Lost
) -> None:
    def fails(_: RunningJob) -> None:
        raise ValueError("no")

    work.does = fails
    answer = LostAnswer(END, lost)
    job = queue.submit("work")
    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().state is State.FAILED
    assert (job.record.failures, len(job.record.errors), job.record.owed) == (1, 1, None)
    assert messages(installation, FAILED) == 1
    assert messages(installation, *LANES) == 0


@EITHER
def test_release_whose_answer_was_lost_gives_the_job_back_at_once(
    work: Work, queue: Queue, lost: Lost
) -> None:
    answer = LostAnswer(END, lost)
    worker = work.losing(answer)
    job = queue.submit("work")
    (message,) = worker.receive()
    run = worker.handler.begin(message)
    assert isinstance(run, Run)

    settlement = worker.handler.end_run(run, WorkerStopping("Spot"))
    assert settlement is not None
    worker.settler.add(settlement)
    worker.settler.flush()

    assert answer.happened
    assert job.refresh().state is State.READY
    assert (job.attempt, job.record.releases) == (0, 1)
    work.other().step()
    assert job.refresh().result == "done"


def test_settled_end_whose_answer_was_lost_owes_nothing_and_its_message_is_gone(
    work: Work, queue: Queue, installation: Installation
) -> None:
    def fails(_: RunningJob) -> None:
        raise ValueError("no")

    work.does = fails
    answer = LostAnswer("owed_by_run")
    job = queue.submit("work")
    work.losing(answer).step()

    assert answer.happened
    assert job.refresh().record.owed is None
    assert messages(installation, *LANES) == 0


def test_end_of_a_cancelled_run_whose_answer_was_lost_lets_the_job_be_restarted(
    work: Work, queue: Queue
) -> None:
    job = queue.submit("work")

    def does(_: RunningJob) -> str:
        job.cancel()
        return "too late"

    work.does = does
    answer = LostAnswer("cancelled_run")
    work.losing(answer).step()

    assert answer.happened
    job.restart()
    work.does = lambda job: "done"
    work.other().step()
    assert job.refresh().result == "done"


def test_cancel_at_the_moment_of_the_commit_is_no_lost_answer(work: Work, queue: Queue) -> None:
    """The cancelled job has the time stamps that the commit would have set, and no result."""
    job = queue.submit("work")

    def does(_: RunningJob) -> str:
        job.cancel()
        return "too late"

    work.does = does
    work.other().step()
    assert job.refresh().state is State.CANCELLED

    # the run has let go of the job: nobody has to wait for the end of its lease
    job.restart()
    work.does = lambda job: "done"
    work.other().step()
    assert job.refresh().result == "done"


@pytest.mark.parametrize("repeat", [None, Repeat(times=1)], ids=["plain", "repeated"])
def test_end_of_another_run_is_no_lost_answer(
    work: Work, queue: Queue, clock: FakeClock, installation: Installation, repeat: Repeat | None
) -> None:
    """Both completed; only the run whose claim counts may report it."""
    job = queue.submit("work", repeat=repeat)
    late = work.other()
    (message,) = late.receive()
    run = late.handler.begin(message)
    assert isinstance(run, Run)
    clock.advance(2 * LEASE)
    work.other().step()
    assert job.refresh().result == "done"
    told, made = messages(installation, COMPLETED), len(list(queue.jobs()))

    settlement = late.handler.complete(run, Completion(result="late"))
    assert isinstance(settlement, Leave)
    assert not isinstance(run.stop_signal.reason, JobCancelled), "nobody cancelled it"
    late.settler.add(settlement)
    late.settler.flush()

    assert job.refresh().result == "done"
    assert messages(installation, COMPLETED) == told
    assert len(list(queue.jobs())) == made
