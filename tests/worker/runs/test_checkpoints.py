"""Checkpoints: what a run leaves for the next one, and how long it is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    CommandRefused,
    InvalidData,
    JobCancelled,
    LeaseLost,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    RunInterrupted,
    RunningJob,
    State,
    WorkerStopping,
)
from remotejob.domain.checkpoints import CHECKPOINT_INLINE, CHECKPOINT_LIMIT
from remotejob.domain.usage import item_bytes
from remotejob.jobs.scheduler.sweep import sweep
from remotejob.jobs.scheduler.tick import tick
from remotejob.manual.holder import JobHolder
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from remotejob.testing.crashes import Crash, Fault, Faults, Unreachable
from remotejob.testing.interception import intercepted
from tests.worker.runs.conftest import LEASE

SMALL: dict[str, Any] = {"page": 7, "cursor": "naïve"}
LARGE: dict[str, Any] = {"seen": ["x" * 50] * 200}
SIZES = pytest.mark.parametrize("state", [SMALL, LARGE], ids=["small", "large"])
PAST_THE_LEASE = LEASE + timedelta(minutes=1)
AGAIN = Retry(max_attempts=3, wait=timedelta(0))

Then = Callable[[RunningJob], object]


@pytest.fixture
def worker(installation: Installation, tasks: Registry) -> Simulation:
    return Simulation(installation=installation, tasks=tasks)


def runs(tasks: Registry, first: Then, *, retry: Retry = AGAIN) -> list[Any]:
    """A task whose first run does that, and the others complete; what each was resumed from."""
    resumed: list[Any] = []

    @tasks.task("work", retry=retry)
    def work(job: RunningJob) -> str:
        resumed.append(job.resumed_from)
        if len(resumed) == 1:
            first(job)
        return "done"

    return resumed


def keeps(state: Any, then: Then) -> Then:
    def first(job: RunningJob) -> None:
        job.checkpoint({"page": 1})
        job.checkpoint(LARGE | {"not": "the last"})
        job.checkpoint(state)
        then(job)

    return first


def dies(job: RunningJob) -> None:
    raise Crash("the machine is gone")


def fails(job: RunningJob) -> None:
    raise ValueError("no")


def files(installation: Installation, job_id: str) -> list[str]:
    return list(installation.files.keys(Area.OUTPUT, f"default/{job_id}/"))


def a_day_later(installation: Installation, clock: FakeClock, *, days: int = 1) -> None:
    for _ in range(days):
        clock.advance(timedelta(days=1))
        sweep(installation)


@SIZES
def test_reclaimed_job_goes_on_from_the_last_checkpoint(
    state: Any, queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    resumed = runs(tasks, keeps(state, dies))
    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()
    assert job.refresh().last_checkpoint == state
    clock.advance(PAST_THE_LEASE)
    worker.step()

    assert resumed == [None, state]
    assert job.refresh().result == "done"
    assert job.record.crashes == 1


@SIZES
def test_job_that_failed_goes_on_from_the_last_checkpoint(
    state: Any, queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    resumed = runs(tasks, keeps(state, fails))
    job = queue.submit("work")
    while worker.step():
        pass

    assert resumed == [None, state]
    assert job.refresh().result == "done"


@SIZES
def test_job_given_back_goes_on_from_the_last_checkpoint(
    state: Any, queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    def stopped(job: RunningJob) -> None:
        (run,) = worker.runs.running()
        run.stop_signal.set(WorkerStopping("told to"))
        job.check()

    resumed = runs(tasks, keeps(state, stopped))
    job = queue.submit("work")
    while worker.step():
        pass

    assert resumed == [None, state]
    assert (job.refresh().result, job.attempt) == ("done", 1)


@SIZES
def test_job_cancelled_and_restarted_goes_on_from_the_last_checkpoint(
    state: Any,
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    def cancelled(job: RunningJob) -> None:
        RemoteJob(installation).job(job.id).cancel()
        clock.advance(LEASE / 3)
        worker.beat()
        job.check()

    resumed = runs(tasks, keeps(state, cancelled))
    job = queue.submit("work")
    worker.step()
    assert job.refresh().state is State.CANCELLED
    a_day_later(installation, clock)
    assert job.refresh().last_checkpoint == state
    job.restart()
    worker.step()

    assert resumed == [None, state]
    assert job.refresh().result == "done"


@SIZES
def test_failed_job_that_is_restarted_goes_on_from_the_last_checkpoint(
    state: Any,
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    def first(job: RunningJob) -> None:
        job.output("half.txt", b"half of it")
        keeps(state, fails)(job)

    resumed = runs(tasks, first, retry=Retry(max_attempts=1))
    job = queue.submit("work")
    worker.step()
    assert job.refresh().state is State.FAILED
    a_day_later(installation, clock, days=3)
    left = files(installation, job.id)
    assert len(left) == (state is LARGE), "the sweep has removed all else"
    job.restart()
    worker.step()

    assert resumed == [None, state]


@SIZES
def test_job_whose_lock_was_taken_over_goes_on_from_the_last_checkpoint(
    state: Any,
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    resumed: list[Any] = []

    @tasks.task("work", retry=AGAIN)
    def work(job: RunningJob) -> None:
        if job.data == "other":
            worker.step()
            return
        resumed.append(job.resumed_from)
        if len(resumed) == 1:
            job.checkpoint(state)
            raise Crash("the machine is gone")

    job = queue.submit("work", resource="printer")
    with pytest.raises(Crash):
        worker.step()
    queue.submit("work", data="other", resource="printer", priority=-10)
    clock.advance(PAST_THE_LEASE)
    worker.step()
    assert job.refresh().record.crashes == 1
    while not job.refresh().ended:
        clock.advance(timedelta(minutes=10))
        tick(installation)
        worker.step()

    assert resumed == [None, state]


@SIZES
def test_completed_job_keeps_no_checkpoint_and_no_file_of_one(
    state: Any,
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    def first(job: RunningJob) -> None:
        job.output("made.txt", b"whole")
        keeps(state, lambda job: None)(job)

    runs(tasks, first)
    job = queue.submit("work")
    worker.step()
    a_day_later(installation, clock)

    assert job.refresh().state is State.COMPLETED
    assert job.last_checkpoint is None
    assert (job.record.checkpoint_json, job.record.checkpoint_ref) == (None, None)
    (left,) = files(installation, job.id)
    assert left.endswith("/made.txt")


def test_files_of_runs_that_were_resumed_from_go_with_the_others(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    resumed: list[Any] = []

    @tasks.task("work", retry=AGAIN)
    def work(job: RunningJob) -> None:
        resumed.append(job.resumed_from)
        job.checkpoint(LARGE | {"run": len(resumed)})
        assert job.resumed_from == resumed[-1], "as this run found it"
        if len(resumed) < 3:
            raise ValueError("no")

    job = queue.submit("work")
    while worker.step():
        pass
    assert [one and one["run"] for one in resumed] == [None, 1, 2]
    a_day_later(installation, clock)

    assert files(installation, job.id) == []
    assert job.refresh().record.checkpoint_ref is None


def test_many_checkpoints_of_one_run_take_two_files(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    def first(job: RunningJob) -> None:
        for number in range(20):
            job.checkpoint(LARGE | {"number": number})
            job.checkpoint(LARGE | {"number": number + 0.5})
            assert queue_job.refresh().last_checkpoint["number"] == number + 0.5
        assert len(files(installation, job.id)) == 2

    runs(tasks, first)
    queue_job = queue.submit("work")
    worker.step()

    assert queue_job.refresh().result == "done"


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED])
def test_checkpoint_of_a_job_that_nobody_restarts_goes_before_its_record(
    end: State,
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    runs(tasks, keeps(LARGE, fails), retry=Retry(max_attempts=1))
    waits = Retry(max_attempts=2, wait=timedelta(hours=1))
    job = queue.submit("work", retry=None if end is State.FAILED else waits)
    worker.step()
    if end is State.CANCELLED:
        job.cancel()
    assert job.refresh().state is end

    a_day_later(installation, clock, days=28)
    assert job.refresh().last_checkpoint == LARGE
    a_day_later(installation, clock, days=2)

    assert files(installation, job.id) == []
    assert job.refresh().last_checkpoint is None
    assert job.record.checkpoint_ref is None
    assert job.record.expires_s is not None
    assert job.record.expires_s * 1000 > clock.now_ms() - 86_400_000


def test_removed_job_leaves_no_checkpoint(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    runs(tasks, keeps(LARGE, fails), retry=Retry(max_attempts=1))
    job = queue.submit("work")
    worker.step()
    assert files(installation, job.id)

    job.remove()

    assert files(installation, job.id) == []


def test_jobs_made_of_another_begin_from_the_beginning(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    resumed: list[Any] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        resumed.append(job.resumed_from)
        job.checkpoint(SMALL)
        if job.data == "fails":
            raise ValueError("no")

    queue.submit("work", repeat=Repeat(times=1, wait=timedelta(minutes=1)))
    failing = queue.submit("work", data="fails")
    worker.step()
    clock.advance(timedelta(minutes=1))
    worker.step()
    failing.refresh().replay()
    worker.step()

    assert resumed == [None] * 4
    assert failing.refresh().last_checkpoint == SMALL


def test_job_run_again_here_goes_on_where_its_next_run_would(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    runs(tasks, keeps(SMALL, fails), retry=Retry(max_attempts=1))
    job = queue.submit("work")
    worker.step()
    found: list[Any] = []

    def here(again: RunningJob) -> None:
        found.append(again.resumed_from)
        again.checkpoint(LARGE)
        # a breakpoint, say
        clock.advance(timedelta(days=2))
        again.checkpoint({"page": 8})

    replayed = job.refresh().replay_here(here)

    assert replayed.error is None
    assert found == [SMALL]
    assert job.refresh().last_checkpoint == SMALL


def test_checkpoint_is_durable_when_it_returns(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    seen: list[Any] = []

    def first(job: RunningJob) -> None:
        for state in (SMALL, LARGE, [1, "two", None], None, "text"):
            job.progress(1, 2)
            job.checkpoint(state)
            there = RemoteJob(installation).job(job.id)
            seen.append((there.last_checkpoint, there.progress))

    runs(tasks, first)
    queue.submit("work")
    worker.step()

    assert [state for state, _ in seen] == [SMALL, LARGE, [1, "two", None], None, "text"]
    assert {progress for _, progress in seen} == {(1, 2)}, "it reports as a heartbeat does"


def test_checkpoint_extends_the_lease(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    def first(job: RunningJob) -> None:
        for _ in range(5):
            clock.advance(LEASE - timedelta(minutes=1))
            job.checkpoint(SMALL)
        assert job.lease_until.timestamp() * 1000 == clock.now_ms() + LEASE // timedelta(
            milliseconds=1
        )

    runs(tasks, first)
    job = queue.submit("work")
    worker.step()

    assert job.refresh().result == "done"


def test_messages_are_kept_hidden_however_often_there_are_checkpoints(
    queue: Queue,
    worker: Simulation,
    tasks: Registry,
    clock: FakeClock,
    installation: Installation,
) -> None:
    other = Simulation(installation=installation, tasks=tasks, worker="other")

    def first(job: RunningJob) -> None:
        for page in range(60):
            clock.advance(timedelta(minutes=1))
            job.checkpoint({"page": page})
            worker.beat()
            assert other.step() == 0

    runs(tasks, first)
    queue.submit("work")
    worker.step()


def test_run_whose_job_another_has_keeps_nothing(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock, installation: Installation
) -> None:
    other = Simulation(installation=installation, tasks=tasks, worker="other")
    resumed: list[Any] = []
    refused: list[RunInterrupted] = []

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        resumed.append(job.resumed_from)
        if len(resumed) == 1:
            job.checkpoint({"by": "the first"})
            # this machine stands still, and its clock with it: it knows nothing of its lease's end
            (run,) = worker.runs.running()
            clock.advance(PAST_THE_LEASE)
            run.extended(run.record, clock.monotonic(), LEASE, reported=0)
            other.step()
            for state in (SMALL, LARGE):
                with pytest.raises(LeaseLost) as problem:
                    job.checkpoint(state)
                refused.append(problem.value)
            return "by the first"
        job.checkpoint({"by": "the second"})
        raise Crash("and the second dies")

    job = queue.submit("work")
    with pytest.raises(Crash):
        worker.step()

    assert resumed == [None, {"by": "the first"}]
    assert job.refresh().last_checkpoint == {"by": "the second"}


@SIZES
def test_cancelled_run_learns_it_at_its_checkpoint(
    state: Any, queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    stopped: list[RunInterrupted] = []

    def first(job: RunningJob) -> None:
        job.checkpoint({"page": 1})
        RemoteJob(installation).job(job.id).cancel()
        try:
            job.checkpoint(state)
        except RunInterrupted as problem:
            stopped.append(problem)
            raise

    runs(tasks, first)
    job = queue.submit("work")
    worker.step()

    assert isinstance(stopped[0], JobCancelled)
    assert job.refresh().state is State.CANCELLED
    assert job.last_checkpoint == {"page": 1}
    assert job.record.lease_ms is None, "its holder has let go"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"at": {1, 2}}, "cannot be written as JSON"),
        (float("nan"), "cannot be written as JSON"),
        ({1: "a number"}, "is not text"),
        ("x" * CHECKPOINT_LIMIT, f"{CHECKPOINT_LIMIT + 2} bytes: {CHECKPOINT_LIMIT} at most"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_request(
    state: Any,
    said: str,
    queue: Queue,
    tasks: Registry,
    installation: Installation,
) -> None:
    faults = Faults()
    worker = Simulation(installation=faults.process(installation, "worker"), tasks=tasks)

    def first(job: RunningJob) -> None:
        job.checkpoint(SMALL)
        before = len(faults.calls)
        with pytest.raises(InvalidData, match=said):
            job.checkpoint(state)
        assert len(faults.calls) == before

    runs(tasks, first)
    job = queue.submit("work")
    worker.step()
    assert job.refresh().result == "done"


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.ERROR_AFTER])
@pytest.mark.parametrize("name", ["files.put", "store.update"])
def test_checkpoint_is_tried_again_while_the_lease_lasts(
    name: str, fault: Fault, queue: Queue, tasks: Registry, installation: Installation
) -> None:
    faults = Faults(fault)
    worker = Simulation(installation=faults.process(installation, "worker"), tasks=tasks)

    def first(job: RunningJob) -> None:
        job.checkpoint(LARGE | {"page": 1})
        faults.strike_in(1 if name == "files.put" else 2)
        job.checkpoint(LARGE | {"page": 2})
        assert faults.struck is not None
        assert faults.struck.name == name
        job.checkpoint(LARGE | {"page": 3})
        raise ValueError("no")

    resumed = runs(tasks, first)
    queue.submit("work")
    while worker.step():
        pass

    assert resumed == [None, LARGE | {"page": 3}]


class _Down:
    """A port that does not answer, while it is so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down = False

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], Any]) -> Any:
        if self.down and name == self.name:
            function()
            raise Unreachable(f"{name}: connection closed")
        return function()


@pytest.mark.parametrize("name", ["files.put", "store.update"])
def test_checkpoint_that_cannot_be_written_raises_and_the_one_before_stays_whole(
    name: str, queue: Queue, tasks: Registry, installation: Installation
) -> None:
    outage = _Down(name)
    worker = Simulation(installation=intercepted(installation, outage), tasks=tasks)
    resumed: list[Any] = []

    @tasks.task("work", retry=AGAIN)
    def work(job: RunningJob) -> str:
        resumed.append(job.resumed_from)
        if len(resumed) > 1:
            return "done"
        job.checkpoint(LARGE | {"page": 1})
        outage.down = True
        try:
            job.checkpoint(LARGE | {"page": 2})
        except Unreachable:
            # if only S3 is away, heartbeats keep the lease and the task may go on
            outage.down = False
            job.checkpoint(LARGE | {"page": 3})
            job.checkpoint(LARGE | {"page": 4})
            # not the file that is spoken of, nor the one that may be, or that S3 may yet write
            assert len(files(installation, job.id)) == 3
        finally:
            outage.down = False
        raise ValueError("no")

    queue.submit("work")
    while worker.step():
        pass

    assert resumed[0] is None
    assert resumed[1]["page"] == 4


def test_small_checkpoints_leave_the_record_within_a_kilobyte(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    sizes: list[int] = []

    def first(job: RunningJob) -> None:
        job.progress(1, 2)
        job.checkpoint("x" * (CHECKPOINT_INLINE - 2))
        sizes.append(item_bytes(submitted.refresh().record.to_item()))
        job.checkpoint("x" * (CHECKPOINT_INLINE - 1))
        sizes.append(item_bytes(submitted.refresh().record.to_item()))

    runs(tasks, first)
    submitted = queue.submit("work", data={"size": 200})
    worker.step()

    inline, background = sizes
    assert background < 600 < inline <= 1024


def test_receipt_counts_what_checkpoints_took(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    runs(tasks, keeps(SMALL, lambda job: None))
    plain, job = queue.submit("work"), None
    worker.step()
    tasks._tasks.clear()
    runs(tasks, lambda job: None)
    job = queue.submit("work")
    worker.step()

    with_three, without = plain.refresh().receipt(), job.refresh().receipt()
    assert with_three.calls("UpdateItem") - without.calls("UpdateItem") == 3
    assert with_three.calls("PutObject") == 1


def test_checkpoints_of_several_threads_come_one_after_the_other(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation
) -> None:
    def first(job: RunningJob) -> None:
        def some(number: int) -> None:
            for part in range(5):
                job.checkpoint(LARGE | {"thread": number, "part": part})

        threads = [threading.Thread(target=some, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert submitted.refresh().last_checkpoint["part"] == 4
        assert len(files(installation, job.id)) == 2

    runs(tasks, first)
    submitted = queue.submit("work")
    worker.step()
    assert submitted.refresh().result == "done"


@SIZES
def test_job_taken_by_hand_keeps_checkpoints_too(
    state: Any, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    holder = JobHolder(installation, start=lambda beat: None)
    queue = RemoteJob(installation, holder=holder).queue()
    queue.submit("work")
    (job,) = queue.get_work()
    assert job.resumed_from is None
    job.checkpoint(state)
    job.release()
    with pytest.raises(WorkerStopping):
        job.checkpoint(LARGE | {"too": "late"})
    (job,) = queue.get_work()
    assert job.resumed_from == state
    job.release()

    found: list[Any] = []
    tasks.task("work")(lambda running: found.append(running.resumed_from))
    worker.step()
    assert found == [state]


def test_job_taken_by_hand_keeps_nothing_once_it_was_ended(installation: Installation) -> None:
    holder = JobHolder(installation, start=lambda beat: None)
    queue = RemoteJob(installation, holder=holder).queue()
    queue.submit("work")
    (job,) = queue.get_work()
    job.done()

    with pytest.raises(CommandRefused):
        job.checkpoint(SMALL)


def test_run_restarted_under_its_holder_lets_go_of_the_lease(
    queue: Queue, worker: Simulation, tasks: Registry, installation: Installation, clock: FakeClock
) -> None:
    resumed: list[Any] = []

    @tasks.task("work")
    def work(job: RunningJob) -> str:
        resumed.append(job.resumed_from)
        if len(resumed) == 1:
            job.checkpoint(SMALL)
            RemoteJob(installation).job(job.id).cancel().restart()
            clock.advance(LEASE / 3)
            worker.beat()
            job.check()
        return "done"

    job = queue.submit("work")
    worker.step()
    # not only when the lease of the first run would have ended
    worker.step()

    assert resumed == [None, SMALL]
    assert job.refresh().result == "done"
