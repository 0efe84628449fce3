"""Who is let go on is sent for once, at once, and by somebody; who cannot go on gives way."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Job, JobCancelled, LeaseLost, Queue, RemoteJob, State, Submission
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.transactions import ABSENT, Check, Conflict, Count, Erase, Key, Put, Step
from remotejob.jobs.scheduler.tick import tick
from remotejob.names import Field
from remotejob.ports import Address, Channel, Depth, Installation
from remotejob.tasks.completion import Completion
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import CRASHES, Crash, Faults
from remotejob.testing.interception import intercepted
from remotejob.worker.messages.settlements import Hide
from remotejob.worker.runs.run import Run
from tests.jobs.coordination.work import Work

HOUR = timedelta(hours=1)
NORMAL = Address("default", Channel.NORMAL)
FAILED = Address("default", Channel.FAILED)


def other_worker(work: Work, installation: Installation) -> Simulation:
    return Simulation(installation=installation, tasks=work.worker.tasks, worker="other")


def waiting_messages(installation: Installation) -> int:
    depth = installation.messages.depth(NORMAL)
    return depth.visible + depth.hidden + depth.delayed


def test_dependents_let_go_long_after_they_were_due_are_sent_for_once(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    first = queue.submit("work", data=1, delay=timedelta(seconds=1))
    for data in range(5):
        queue.submit("work", data=data, depends=[first])
    clock.advance(HOUR)
    work.step()
    assert first.refresh().state is State.COMPLETED

    tick(installation)

    assert waiting_messages(installation) == 5


def test_many_dependents_are_let_go_in_turns_and_all_of_them(
    queue: Queue, work: Work, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remotejob.jobs.coordination.dependencies._EDGES_AT_A_TIME", 4)
    first = queue.submit("work", data="first")
    later = queue.submit_many([Submission(task="work", depends=[first])] * 10)
    for _ in range(4):
        work.off()
        clock.advance(timedelta(seconds=61))
    work.off()
    assert {job.refresh().state for job in later} == {State.COMPLETED}


def test_many_dependents_are_cancelled_in_turns_and_all_of_them(
    queue: Queue,
    work: Work,
    clock: FakeClock,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remotejob.jobs.coordination.dependencies._EDGES_AT_A_TIME", 4)
    first = queue.submit("work", data="fail")
    later = queue.submit_many([Submission(task="work", depends=[first])] * 10)
    for _ in range(6):
        work.off()
        clock.advance(timedelta(minutes=3))
        tick(installation)
    assert {job.refresh().state for job in (*later, first)} == {State.CANCELLED, State.FAILED}
    assert first.record.owed is None


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_dependent_of_a_queue_that_is_no_longer_deployed_holds_up_nobody(
    end: str, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """Its jobs are found once the queue is back."""
    first = queue.submit("work", data=1 if end == "completed" else "fail")
    gone = RemoteJob(installation).queue().submit("work", depends=[first])
    fewer = replace(installation, queues={"other": installation.queues["default"]})
    worker = Simulation(installation=fewer, tasks=work.worker.tasks)

    worker.step()
    clock.advance(timedelta(minutes=2))
    worker.step()

    assert worker.receive() == []
    if end == "cancelled":
        assert gone.refresh().state is State.CANCELLED
        assert gone.record.owed is None
        assert installation.messages.depth(FAILED) == Depth(visible=0, hidden=0, delayed=0)
        return
    assert gone.refresh().state is State.WAITING
    clock.advance(HOUR)
    tick(installation)
    work.off()
    assert gone.refresh().state is State.COMPLETED


def test_woken_job_that_finds_its_other_lock_held_wakes_the_next(
    capped: Installation, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """K waits at the tenant's cap, and somebody else takes K's resource meanwhile."""
    queue = RemoteJob(
        replace(
            capped,
            queues={"default": replace(capped.queues["default"], tenant_limit=1)},
        )
    ).queue()
    queue.submit("work", data="J", tenant="t")
    late: list[Job] = []
    other = other_worker(work, installation)

    def while_j_runs() -> None:
        late.append(queue.submit("work", data="K", tenant="t", resource="X"))
        other.step()
        clock.advance(timedelta(seconds=1))
        late.append(queue.submit("work", data="L", tenant="t"))
        other.step()

    def while_x_is_held() -> None:
        # J's end has woken K; X is held by this job; L must not be forgotten
        work.worker.step()
        work.worker.step()
        assert late[0].refresh().record.parked == "resource#X"
        assert late[1].refresh().state is State.COMPLETED

    work.while_running["J"] = while_j_runs
    work.while_running["holds X"] = while_x_is_held
    queue.submit("work", data="holds X", resource="X")
    for message in work.worker.receive():
        settlement = work.worker.handler.attend(message)
        if settlement is not None:
            work.worker.settler.add(settlement)
            work.worker.settler.flush()
    work.off()

    assert [job.refresh().state for job in late] == [State.COMPLETED] * 2


def test_woken_job_that_was_put_off_gives_way_to_the_next(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    queue.submit("work", data=1, resource="X")
    late: list[Job] = []
    other = other_worker(work, installation)

    def while_it_runs() -> None:
        for data in (2, 3):
            clock.advance(timedelta(seconds=1))
            late.append(queue.submit("work", data=data, resource="X"))
            other.step()
        late[0].make_ready(at=late[0].created_at + timedelta(days=1))

    work.while_running[1] = while_it_runs
    work.off()

    assert [job.refresh().state for job in late] == [State.WAITING, State.COMPLETED]
    clock.advance(timedelta(days=1))
    tick(installation)
    work.off()
    assert late[0].refresh().state is State.COMPLETED


def test_lock_let_go_just_before_a_job_is_parked_at_it_is_seen(
    queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    """The holder looks for waiters too early to see one; parking looks once more."""
    first = queue.submit("work", data=1, resource="X")
    second: list[Job] = []

    class LetsGoFirst:
        def request(self, name, arguments, function):  # type: ignore[no-untyped-def]
            if name == "store.transact" and arguments[0].condition.name == "park":
                ended.append(work.worker.handler.complete(run, completion))
                work.worker.settler.add(ended[0])
                work.worker.settler.flush()
            return function()

    completion, ended = Completion(), []  # type: ignore[var-annotated]
    (message,) = work.worker.receive()
    begun = work.worker.handler.begin(message)
    assert isinstance(begun, Run)
    run = begun
    second.append(queue.submit("work", data=2, resource="X"))
    other = other_worker(work, intercepted(installation, LetsGoFirst()))
    other.step()
    assert first.refresh().state is State.COMPLETED

    work.off()

    assert second[0].refresh().state is State.COMPLETED


@pytest.mark.parametrize("fault", CRASHES)
def test_crash_between_parking_and_the_second_look_loses_no_wake_up(
    fault: str, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    for number in range(1, 40):
        begun: list[Job] = []
        faults = Faults(fault, at=number)  # type: ignore[arg-type]

        def while_it_runs(begun: list[Job] = begun, faults: Faults = faults) -> None:
            begun.append(queue.submit("work", data="second", resource="Y"))
            crashing = other_worker(work, faults.process(installation, "other"))
            with suppress(Crash):
                crashing.step()

        work.while_running["first"] = while_it_runs
        queue.submit("work", data="first", resource="Y")
        work.off()
        clock.advance(timedelta(seconds=65))
        work.off()
        clock.advance(timedelta(minutes=10))
        tick(installation)
        work.off()
        assert begun[0].refresh().state is State.COMPLETED, faults.report()
        if faults.struck is None:
            break
    else:
        pytest.fail("the fault was never out of reach")


def test_lock_that_many_want_hides_the_message_and_goes_on_with_other_jobs(
    queue: Queue, work: Work, installation: Installation
) -> None:
    class Contended:
        def request(self, name, arguments, function):  # type: ignore[no-untyped-def]
            if name == "store.transact":
                raise StoreUnavailable("a transaction met others each time")
            return function()

    job = queue.submit("work", data=1, resource="X")
    busy = other_worker(work, intercepted(installation, Contended()))
    (message,) = busy.receive()

    settlement = busy.handler.attend(message)

    assert isinstance(settlement, Hide)
    assert timedelta(seconds=5) <= settlement.span <= timedelta(seconds=10)
    assert job.refresh().state is State.READY


@pytest.mark.parametrize("ending", ["done", "fail"])
def test_outcome_of_a_run_whose_job_was_cancelled_and_restarted_is_not_taken_for_made(
    ending: str, queue: Queue
) -> None:
    queue.submit("work")
    (taken,) = queue.get_work()
    job = RemoteJob(queue._installation).job(taken.id)
    job.cancel().restart()

    with pytest.raises((LeaseLost, JobCancelled)):
        taken.done() if ending == "done" else taken.fail("boom")

    assert job.refresh().state is State.WAITING
    assert job.record.failures == 0


def test_one_step_alone_is_no_transaction(installation: Installation) -> None:
    key = Key("somewhere", "name")
    steps: list[Step] = [
        Put(key=key, content={Field.JOB: "a"}, condition=ABSENT),
        Put(key=key, content={Field.JOB: "b"}, condition=ABSENT),
        Count(key=key, add={Field.DEPENDENTS: 2}),
        Check(key=key, condition=ABSENT),
        Erase(key=key, condition=ABSENT),
        Erase(key=key),
    ]

    outcomes = [installation.store.transact([step]) for step in steps]

    refused = [isinstance(outcome, Conflict) for outcome in outcomes]
    assert refused == [False, True, False, True, True, False]
    assert installation.store.item(key) is None
