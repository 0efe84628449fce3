"""A small batch, with a fault at each single request that is made for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remotejob import Job, RemoteJob, RemoteJobError, State, StillRunning
from remotejob.client.batch import Batch
from remotejob.domain.batches import BatchState
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation
from remotejob.testing.crashes import CRASHES, ERRORS, STALLS, Crash, Fault, Faults, Unreachable
from remotejob.testing.interception import intercepted
from tests.jobs.batches.working import MINUTE, QUEUES, work_off, worker_of
from tests.one_thread import OneThread

T = TypeVar("T")

ITEMS = [{"fail": False}, {"fail": True}, {"fail": False}]
FAULTS = [*CRASHES, *ERRORS, *STALLS]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # a tick and a listing read all shards, of which most are empty
    for module in ("jobs.scheduler.tick", "jobs.queries.listing"):
        monkeypatch.setattr(f"remotejob.{module}.ThreadPoolExecutor", OneThread)


@dataclass
class Play:
    """A system in which one request goes wrong, and what is done in it."""

    installation: Installation
    clock: FakeClock
    faults: Faults

    def process(self, name: str) -> Installation:
        return self.faults.process(self.installation, name)

    def mapped(self) -> Batch:
        """A batch that was made while nothing went wrong."""
        return RemoteJob(self.installation).queue().map("work", ITEMS, on_complete="summary")

    def others(self) -> None:
        """What goes on while a process stands still."""
        # longer than the scheduler leaves a blocked job alone
        self.clock.advance(11 * MINUTE)
        tick(self.installation)
        work_off(worker_of(self.installation))

    def recovered(self) -> None:
        """Nothing goes wrong any more, and time passes."""
        self.faults.disarm()
        for _ in range(3):
            self.others()
        self.clock.advance(timedelta(hours=2))
        sweep(self.installation)
        for _ in range(2):
            self.others()

    def summaries(self) -> list[dict[str, object]]:
        """What the followers that ran were told."""
        jobs = RemoteJob(self.installation).jobs(state=State.COMPLETED)
        told = [job.result["batch"] for job in jobs if job.task == "summary"]
        return sorted(told, key=lambda one: int(one["completed"]))


def plays(fault: Fault) -> Iterator[Play]:
    """One play for each request there is, until one ends before the fault is reached."""
    for number in itertools.count(1):
        clock = FakeClock()
        play = Play(memory_installation(clock, queues=QUEUES), clock, Faults(fault, at=number))
        play.faults.meanwhile = play.others
        yield play
        if play.faults.struck is None:
            assert number > 5, "the fault was tried at hardly any request"
            return


def struck() -> suppress:
    """A process that may meet the fault."""
    return suppress(Crash, Unreachable, RemoteJobError)


def counts(batch: Batch) -> tuple[int, int, int]:
    batch.refresh()
    return (batch.counts.completed, batch.counts.failed, batch.counts.cancelled)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_while_it_is_worked_on_counts_each_end_once(fault: Fault) -> None:
    for play in plays(fault):
        batch = play.mapped()
        with struck():
            work_off(worker_of(play.process("worker")))
        play.recovered()

        assert counts(batch) == (2, 1, 0), play.faults.report()
        assert batch.state is BatchState.DONE
        (told,) = play.summaries()
        assert (told["completed"], told["failed"]) == (2, 1), play.faults.report()
        assert all(job.record.owed is None for job in batch.children())


@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS])
def test_fault_of_the_scheduler_counts_each_end_once(fault: Fault) -> None:
    for play in plays(fault):
        batch = play.mapped()
        dying = worker_of(play.installation)
        for message in dying.receive():
            dying.handler.attend(message)  # and dies before it settles
        scheduler = play.process("scheduler")
        play.clock.advance(11 * MINUTE)
        with struck():
            tick(scheduler)
        play.recovered()

        assert counts(batch) == (2, 1, 0), play.faults.report()
        assert len(play.summaries()) == 1, play.faults.report()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_while_mapping_leaves_a_whole_batch_or_says_that_it_is_not(fault: Fault) -> None:
    for play in plays(fault):
        returned = None
        with struck():
            queue = RemoteJob(play.process("client")).queue()
            returned = queue.map("work", ITEMS, on_complete="summary")
        play.recovered()

        batch = only_batch(play)
        if batch is None:
            assert returned is None
            assert RemoteJob(play.installation).jobs() == []
            continue
        if returned is not None or batch.whole:
            assert counts(batch) == (2, 1, 0), play.faults.report()
            assert len(play.summaries()) == 1
            continue
        assert batch.state is BatchState.MAKING, play.faults.report()
        batch.cancel()
        play.recovered()
        assert batch.refresh().state is BatchState.CANCELLED
        assert play.summaries() == []
        states = [job.record for job in RemoteJob(play.installation).jobs()]
        assert all(record.terminal and record.owed is None for record in states)


def only_batch(play: Play) -> Batch | None:
    """The batch that somebody noted before dying, found by the calls that were made for it."""
    for call in play.faults.calls:
        if call.name == "store.transact" and "batch#b-" in call.arguments:
            batch_id = call.arguments.split("batch#", 1)[1][: len("b-") + 26]
            with suppress(RemoteJobError):
                return RemoteJob(play.installation).batch(batch_id)
    return None


def _cancel(batch: Batch) -> None:
    batch.cancel()


def _retry(batch: Batch) -> None:
    batch.retry()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("act", [_cancel, _retry])
def test_fault_of_a_manager_keeps_the_counts_right(
    fault: Fault, act: Callable[[Batch], None]
) -> None:
    for play in plays(fault):
        batch = play.mapped()
        if act is _retry:
            work_off(worker_of(play.installation))
        with struck():
            act(RemoteJob(play.process("manager")).batch(batch.id))
        play.recovered()

        ended = counts(batch)
        assert sum(ended) == 3, play.faults.report()
        found = [job.state for job in batch.children()]
        states = (State.COMPLETED, State.FAILED, State.CANCELLED)
        assert ended == tuple(found.count(state) for state in states), play.faults.report()
        # a retry that was not carried out has told nobody anything
        restarted = act is _retry and any(job.attempt > 1 for job in batch.children())
        assert len(play.summaries()) == (2 if restarted else 1), play.faults.report()
        if act is _cancel:
            # what was left half done is done by asking again
            batch.cancel()
            assert batch.state is BatchState.DONE


@pytest.mark.parametrize("fault", STALLS)
def test_job_restarted_while_on_complete_is_released_is_reported(fault: Fault) -> None:
    raced = 0
    for play in plays(fault):
        batch = play.mapped()

        def restarted(play: Play = play, batch: Batch = batch) -> None:
            nonlocal raced
            for job in batch.children("failed"):
                with suppress(StillRunning):
                    job.restart().pause()
                    raced += 1

        play.faults.meanwhile = restarted
        with struck():
            work_off(worker_of(play.process("worker")))
        play.recovered()
        for job in batch.children("paused"):
            assert play.faults.struck is not None
            assert batch.refresh().progress == (2, 3), play.faults.report()
            job.resume()
        work_off(worker_of(play.installation, failing=False))

        last = play.summaries()[-1]
        batch.refresh()
        assert batch.state is BatchState.DONE
        assert last["completed"] == batch.counts.completed, play.faults.report()
    assert raced > 1, "no restart came in between"


@pytest.mark.parametrize("fault", STALLS)
def test_restart_that_meets_the_end_of_the_batch_is_reported(fault: Fault) -> None:
    followers = set()
    for play in plays(fault):
        batch = play.mapped()
        slow = next(iter(batch.children())).pause()
        work_off(worker_of(play.installation))
        (failed,) = batch.children("failed")

        def ended(play: Play = play, slow: Job = slow) -> None:
            slow.resume()
            work_off(worker_of(play.installation, failing=False))

        play.faults.meanwhile = ended
        with struck():
            RemoteJob(play.process("manager")).job(failed.id).restart()
        if play.faults.struck is None:
            ended()
        work_off(worker_of(play.installation, failing=False))

        assert counts(batch) == (3, 0, 0), play.faults.report()
        assert play.summaries()[-1]["completed"] == 3, play.faults.report()
        followers.add(len(play.summaries()))
    assert followers == {1, 2}, "the end came before the restart, and after"


@pytest.mark.parametrize("fault", STALLS)
def test_restart_of_a_job_that_ended_otherwise_meanwhile_keeps_the_counts_right(
    fault: Fault,
) -> None:
    for play in plays(fault):
        batch = play.mapped()
        work_off(worker_of(play.installation))
        (failed,) = batch.children("failed")

        def ended_otherwise(play: Play = play, job_id: str = failed.id) -> None:
            with suppress(RemoteJobError):
                RemoteJob(play.installation).job(job_id).restart().cancel()

        play.faults.meanwhile = ended_otherwise
        with struck():
            RemoteJob(play.process("manager")).job(failed.id).restart()
        work_off(worker_of(play.installation))

        found = [job.state for job in batch.children()]
        states = (State.COMPLETED, State.FAILED, State.CANCELLED)
        assert counts(batch) == tuple(found.count(one) for one in states), play.faults.report()


@pytest.mark.parametrize("fault", STALLS)
def test_batch_cancelled_at_any_moment_of_its_making_runs_no_job(fault: Fault) -> None:
    states: set[BatchState] = set()
    for play in plays(fault):
        cancelled: list[Batch] = []

        def cancel(play: Play = play, cancelled: list[Batch] = cancelled) -> None:
            batch = only_batch(play)
            if batch is not None:
                cancelled.append(batch.cancel())

        play.faults.meanwhile = cancel
        with struck():
            queue = RemoteJob(play.process("client")).queue()
            queue.map("work", ITEMS, on_complete="summary")

        for batch in cancelled:
            states.add(batch.refresh().state)
            found = {job.state for job in batch.children()}
            assert found <= {State.CANCELLED}, play.faults.report()
    assert states == {BatchState.CANCELLED, BatchState.DONE}, "before it was sealed, and after"


def test_batch_cancelled_while_its_maker_dies_runs_no_job() -> None:
    clock = FakeClock()
    installation = memory_installation(clock, queues=QUEUES)

    class CancelledThenDead:
        """A client whose batch is cancelled just before its children are stored, and that dies."""

        def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
            if name != "store.put_fresh":
                return function()
            batch_id = arguments[0].batch
            RemoteJob(installation).batch(batch_id).cancel()
            function()
            raise Crash("the client died")

    with suppress(Crash):
        RemoteJob(intercepted(installation, CancelledThenDead())).queue().map("work", ITEMS)
    clock.advance(timedelta(hours=2))
    sweep(installation)
    work_off(worker_of(installation))

    assert list(RemoteJob(installation).jobs()) == []
