"""A job taken by hand: how it is kept, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    AccessProblem,
    CommandRefused,
    InvalidData,
    InvalidName,
    JobCancelled,
    JobFailed,
    JobNotFound,
    LeaseLost,
    OutputNotFound,
    Queue,
    RemoteJob,
    Repeat,
    Retry,
    State,
    TimedOut,
)
from remotejob.domain.errors import InvalidBody, StoreUnavailable
from remotejob.manual.holder import JobHolder
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import CRASHES, Crash, Fault, Faults, Unreachable
from remotejob.testing.interception import intercepted
from tests.manual.looking import EMPTY, depth

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)
AGAIN = Retry(max_attempts=3, wait=timedelta(minutes=1))


def taken(queue: Queue, **options: Any) -> TakenJob:
    (job,) = queue.get_work(**options)
    return job


def test_once_done_returns_the_outcome_is_durable_and_the_message_deleted(
    queue: Queue, installation: Installation
) -> None:
    submitted = queue.submit("work", body=b"content", filename="a.txt")
    job = taken(queue)
    with job.open() as stream:
        job.output("b.txt", stream.read().upper())

    job.done({"count": 7})

    assert submitted.refresh().state is State.COMPLETED
    assert submitted.result == {"count": 7}
    with submitted.outputs["b.txt"].open() as stream:
        assert stream.read() == b"CONTENT"
    assert depth(installation) == EMPTY
    assert told(installation, Channel.COMPLETED) == [submitted.id]
    assert submitted.record.owed is None


def test_failed_job_runs_again_as_its_policy_says(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    submitted = queue.submit("work", retry=AGAIN)

    taken(queue).fail("Network is down!!!")

    assert submitted.refresh().state is State.WAITING
    assert submitted.errors[-1].message == "Network is down!!!"
    assert queue.get_work() == []
    clock.advance(timedelta(minutes=1))
    job = taken(queue)
    assert job.attempt == 2
    job.done()
    assert submitted.refresh().state is State.COMPLETED


def test_without_a_policy_the_first_failure_is_the_last(
    queue: Queue, installation: Installation
) -> None:
    submitted = queue.submit("work")

    taken(queue).fail(ValueError("no"))

    assert submitted.refresh().state is State.FAILED
    assert (submitted.errors[-1].kind, submitted.errors[-1].message) == ("ValueError", "no")
    assert depth(installation) == EMPTY
    assert told(installation, Channel.FAILED) == [submitted.id]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("disk full", "disk full"),
        (ValueError("no"), "ValueError: no"),
        ({"reason": "it failed", "code": 44}, '{"reason":"it failed","code":44}'),
    ],
)
def test_a_fatal_failure_is_the_last_whatever_the_policy(
    queue: Queue, error: Any, message: str
) -> None:
    submitted = queue.submit("work", retry=AGAIN)

    taken(queue).fail(error, fatal=True)

    assert submitted.refresh().state is State.FAILED
    assert (submitted.errors[-1].kind, submitted.errors[-1].message) == ("Fatal", message)


def test_a_released_job_is_taken_up_at_once_and_the_run_does_not_count(
    queue: Queue, worker: Simulation
) -> None:
    submitted = queue.submit("work")

    taken(queue).release()

    assert submitted.refresh().state is State.READY
    worker.step()
    assert submitted.refresh().result == "by the worker"
    assert submitted.attempt == 1


ENDINGS: dict[str, Callable[[TakenJob], Any]] = {
    "complete": TakenJob.done,
    "fail": lambda job: job.fail("no"),
    "release": TakenJob.release,
}


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_a_job_ends_once(queue: Queue, first: str, second: str) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    ENDINGS[first](job)
    state = submitted.refresh().state
    expected: Any = CommandRefused
    if first == "release":
        from remotejob import WorkerStopping

        expected = WorkerStopping

    with pytest.raises(expected):
        ENDINGS[second](job)

    assert job.ended
    assert submitted.refresh().state is state


def test_a_result_json_cannot_write_is_refused_and_the_job_stays_yours(queue: Queue) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    with pytest.raises(InvalidData, match="the result cannot be written"):
        job.done(object())

    job.done("better")
    assert submitted.refresh().result == "better"


def test_dependents_become_due_as_long_after_the_end_as_asked_for(
    queue: Queue, clock: FakeClock
) -> None:
    first = queue.submit("work")
    dependent = queue.submit("work", depends=[first])
    job = taken(queue)

    job.done(delay_dependents=timedelta(minutes=5))

    assert queue.get_work() == []
    clock.advance(timedelta(minutes=5))
    assert taken(queue).id == dependent.id


@pytest.mark.parametrize("delay", [5, -SECOND])
def test_a_delay_of_dependents_that_is_none_is_refused_and_the_job_stays_yours(
    queue: Queue, delay: Any
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    with pytest.raises(InvalidData, match="delay_dependents="):
        job.done(delay_dependents=delay)

    assert not job.ended
    assert submitted.refresh().state is State.RUNNING


@pytest.mark.parametrize("given", [(), (None,)])
def test_without_an_error_the_reason_says_that_none_was_given(
    queue: Queue, given: tuple[None, ...]
) -> None:
    submitted = queue.submit("work")
    taken(queue).fail(*given)
    assert submitted.refresh().state is State.FAILED
    assert submitted.errors[-1].message == "no reason was given"


def test_a_taken_job_is_read_again(queue: Queue, clock: FakeClock, holder: JobHolder) -> None:
    submitted = queue.submit("work", retry=AGAIN)
    taken(queue).fail("first")
    clock.advance(timedelta(minutes=1))
    job = taken(queue)
    assert (job.state, job.attempt, job.crashes) == (State.RUNNING, 2, 0)
    assert [error.message for error in job.errors] == ["first"]
    job.checkpoint({"page": 1})
    before = job.run.record

    assert job.refresh() is job

    assert job.record == submitted.refresh().record
    # what the run knows of its lease is its own, and so is where it began
    assert job.run.record is before
    assert job.resumed_from is None
    clock.advance(LEASE / 2)
    holder.beat()
    job.acknowledge()
    job.done(7)
    assert (job.record.state, job.state) == (State.COMPLETED, State.COMPLETED)
    assert submitted.refresh().result == 7


def test_refresh_shows_what_others_did(queue: Queue) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    submitted.cancel()
    assert job.state is State.RUNNING
    assert job.refresh().state is State.CANCELLED


def test_a_taken_job_that_is_gone_is_not_found(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    job.done()
    clock.advance(timedelta(hours=2))
    submitted.remove()
    with pytest.raises(JobNotFound):
        job.refresh()


def test_a_taken_job_is_cancelled_and_its_run_is_over(
    queue: Queue, installation: Installation
) -> None:
    submitted = queue.submit("work", resource="one")
    dependent = queue.submit("work", depends=[submitted])
    waiting = queue.submit("work", resource="one")
    job = taken(queue)

    job.cancel()

    assert (job.ended, job.state) == (True, State.CANCELLED)
    assert submitted.refresh().state is dependent.refresh().state is State.CANCELLED
    assert submitted.record.lease_ms is None
    with pytest.raises(JobCancelled):
        job.done()
    # nothing waits for the lease: neither the next of its resource, nor a restart
    assert taken(queue).id == waiting.id
    assert submitted.restart().state is State.WAITING


def test_a_job_that_was_ended_is_not_cancelled(queue: Queue) -> None:
    queue.submit("work")
    job = taken(queue)
    job.done()
    with pytest.raises(CommandRefused):
        job.cancel()


def test_a_block_whose_job_was_cancelled_in_it_ends_quietly(queue: Queue) -> None:
    submitted = queue.submit("work")
    with taken(queue) as job:
        job.cancel()
    assert submitted.refresh().state is State.CANCELLED


def test_antecedents_are_found_by_hand(queue: Queue, worker: Simulation) -> None:
    first = queue.submit("work")
    job = taken(queue)
    job.output("page.txt", b"page 1")
    job.log("written")
    job.done({"pages": 1})
    second = queue.submit("work", depends=[first])

    chained = taken(queue)

    assert (chained.id, chained.depends) == (second.id, (first.id,))
    (found,) = chained.antecedents()
    assert (found.id, found.result, found.outputs["page.txt"].read_bytes()) == (
        first.id,
        {"pages": 1},
        b"page 1",
    )
    assert [line.message for line in job.refresh().logs()] == ["written"]


@pytest.mark.parametrize("error", [7, {"no": object()}])
def test_an_error_that_says_nothing_is_refused_and_the_job_stays_yours(
    queue: Queue, error: Any
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    with pytest.raises(InvalidData):
        job.fail(error)

    assert not job.ended
    assert submitted.refresh().state is State.RUNNING


def test_a_result_that_cannot_be_kept_fails_the_run_and_says_so(
    installation: Installation,
) -> None:
    class NoFiles:
        def request(self, name: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
            if name == "files.put":
                raise AccessProblem(name)
            return call()

    broken = intercepted(installation, NoFiles())
    queue = RemoteJob(broken, holder=JobHolder(broken, start=lambda beat: None)).queue()
    submitted = queue.submit("work")

    with pytest.raises(JobFailed, match="could not be stored"):
        taken(queue).done("x" * 10_000)

    assert submitted.refresh().state is State.FAILED


def test_the_lease_is_kept_alive_while_the_job_is_held(
    queue: Queue, holder: JobHolder, worker: Simulation, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    for _ in range(20):
        clock.advance(LEASE / 2)
        holder.beat()
        assert worker.step() == 0

    job.done("late")
    assert submitted.refresh().result == "late"
    assert submitted.record.crashes == 0


def test_progress_and_log_reach_the_record(
    queue: Queue, holder: JobHolder, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    job.progress(1, 2)
    job.log("half", level="success")

    clock.advance(LEASE / 2)
    holder.beat()
    assert submitted.refresh().progress == (1, 2)

    job.log("all")
    job.done()
    with pytest.raises(CommandRefused, match="ended here already, by done, fail or release") as no:
        job.done()
    assert "complete" not in str(no.value)
    assert [line.message for line in submitted.refresh().logs()] == ["half", "all"]


def test_a_job_of_a_process_that_died_is_run_by_another(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    clock.advance(2 * LEASE)
    worker.step()
    assert submitted.refresh().result == "by the worker"
    assert submitted.record.crashes == 1

    with pytest.raises(LeaseLost):
        job.done("too late")
    assert submitted.refresh().result == "by the worker"


@pytest.mark.parametrize("ending", ENDINGS)
def test_ending_a_cancelled_job_says_that_it_was_and_lets_go_of_it(
    queue: Queue, installation: Installation, ending: str
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    submitted.cancel()

    with pytest.raises(JobCancelled):
        ENDINGS[ending](job)

    assert submitted.refresh().state is State.CANCELLED
    assert submitted.record.lease_ms is None
    assert depth(installation) == EMPTY


def test_calls_of_a_cancelled_job_raise_after_the_next_heartbeat(
    queue: Queue, holder: JobHolder, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    submitted.cancel()
    clock.advance(LEASE / 2)
    holder.beat()

    assert job.cancelled
    with pytest.raises(JobCancelled):
        job.progress(1)


def test_a_cancelled_job_that_is_never_called_again_is_let_go_when_its_lease_is_over(
    queue: Queue, holder: JobHolder, clock: FakeClock
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    submitted.cancel()
    clock.advance(LEASE / 2)
    holder.beat()
    ended = [job.ended]

    clock.advance(LEASE)
    holder.beat()
    ended.append(job.ended)

    assert ended == [False, True]
    assert submitted.refresh().record.lease_ms is None


def test_a_job_without_a_sign_of_life_is_failed_with_that_reason(
    queue: Queue, holder: JobHolder, clock: FakeClock, installation: Installation
) -> None:
    submitted = queue.submit("work")
    job = taken(queue, work_timeout=timedelta(minutes=5))

    for _ in range(12):
        clock.advance(LEASE / 2)
        holder.beat()

    assert submitted.refresh().state is State.FAILED
    assert submitted.errors[-1].kind == "TimedOut"
    assert "no sign of life" in submitted.errors[-1].message
    assert depth(installation) == EMPTY
    with pytest.raises(TimedOut):
        job.log("late")
    with pytest.raises(TimedOut):
        job.done()


def test_a_silent_job_is_tried_again_as_its_policy_says(
    queue: Queue, holder: JobHolder, clock: FakeClock, worker: Simulation
) -> None:
    submitted = queue.submit("work", retry=AGAIN)
    taken(queue, work_timeout=timedelta(seconds=10))

    clock.advance(timedelta(seconds=10))
    holder.beat()
    assert submitted.refresh().state is State.WAITING

    clock.advance(timedelta(minutes=1))
    worker.step()
    assert submitted.refresh().result == "by the worker"


SIGNS: dict[str, Callable[[TakenJob], Any]] = {
    "progress": lambda job: job.progress(1, 2),
    "log": lambda job: job.log("still here"),
    "check": TakenJob.check,
    "cancelled": lambda job: job.cancelled,
    "open": lambda job: job.open().close(),
    "output": lambda job: job.output("a", b""),
    "stir": TakenJob.stir,
    "acknowledge": TakenJob.acknowledge,
}


@pytest.mark.parametrize("sign", SIGNS)
def test_every_call_is_a_sign_of_life(
    queue: Queue, holder: JobHolder, clock: FakeClock, sign: str
) -> None:
    queue.submit("work", body=b"content")
    job = taken(queue, work_timeout=timedelta(seconds=30))

    for _ in range(5):
        clock.advance(timedelta(seconds=20))
        SIGNS[sign](job)
        holder.beat()
        assert not job.ended

    clock.advance(timedelta(seconds=30))
    holder.beat()
    assert job.ended


def test_silence_counts_from_when_somebody_begins_to_watch(
    queue: Queue, holder: JobHolder, clock: FakeClock
) -> None:
    queue.submit("work")
    job = taken(queue)
    clock.advance(LEASE / 2)

    holder.watch(job, LEASE / 2)

    holder.beat()
    ended = [job.ended]
    clock.advance(LEASE / 2)
    holder.beat()
    assert [*ended, job.ended] == [False, True]


def test_leaving_the_block_completes_the_job(queue: Queue) -> None:
    submitted = queue.submit("work")

    with taken(queue) as job:
        job.log("done by leaving")

    assert submitted.refresh().state is State.COMPLETED
    assert submitted.result is None


def test_a_block_that_ended_the_job_itself_leaves_it_so(queue: Queue) -> None:
    submitted = queue.submit("work")

    with taken(queue) as job:
        job.fail("no")

    assert submitted.refresh().state is State.FAILED


def test_an_exception_that_leaves_the_block_fails_the_job_and_goes_on(queue: Queue) -> None:
    submitted = queue.submit("work")

    with pytest.raises(ZeroDivisionError), taken(queue):
        1 / 0  # noqa: B018

    assert submitted.refresh().errors[-1].kind == "ZeroDivisionError"


def test_ctrl_c_in_the_block_gives_the_job_back(queue: Queue) -> None:
    submitted = queue.submit("work")

    with pytest.raises(KeyboardInterrupt), taken(queue):
        raise KeyboardInterrupt

    assert submitted.refresh().state is State.READY
    assert submitted.record.failures == 0


def test_acknowledging_extends_the_lease_and_deletes_nothing(
    queue: Queue, clock: FakeClock, worker: Simulation
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)
    clock.advance(LEASE * 0.9)

    job.acknowledge()

    clock.advance(LEASE * 0.9)
    assert worker.step() == 0
    clock.advance(LEASE)
    worker.step()
    assert submitted.refresh().result == "by the worker", "the message is still there"


def test_acknowledging_a_job_of_another_run_says_so(
    queue: Queue, clock: FakeClock, worker: Simulation
) -> None:
    queue.submit("work")
    job = taken(queue)
    clock.advance(2 * LEASE)
    worker.step()

    with pytest.raises(LeaseLost):
        job.acknowledge()


def test_acknowledging_that_cannot_be_found_out_says_so(installation: Installation) -> None:
    class StoreFails:
        now = False

        def request(self, name: str, arguments: tuple[Any, ...], call: Callable[[], Any]) -> Any:
            if self.now and name == "store.update":
                raise Unreachable(name)
            return call()

    faults = StoreFails()
    broken = intercepted(installation, faults)
    queue = RemoteJob(broken, holder=JobHolder(broken, start=lambda beat: None)).queue()
    queue.submit("work")
    job = taken(queue)
    faults.now = True

    with pytest.raises(StoreUnavailable, match="try again"):
        job.acknowledge()


def test_files_are_opened_by_name(queue: Queue) -> None:
    queue.submit("work", body=b"in", filename="cat.jpg")
    job = taken(queue)
    job.output("cat.png", b"out")

    assert job.open().read() == b"in"
    assert job.create_read_stream().read() == b"in"
    assert job.create_read_stream("cat.jpg").read() == b"in"
    assert job.open("cat.png").read() == b"out"
    assert job.create_read_stream("cat.png").read() == b"out"
    with pytest.raises(OutputNotFound, match=r"'dog.png'.*cat\.png, cat\.jpg"):
        job.open("dog.png")


def test_complete_keeps_assets_as_outputs(queue: Queue) -> None:
    submitted = queue.submit("work")

    taken(queue).complete(
        None,
        [
            {"key": "output", "filename": "cat.png", "body": b"png"},
            {"name": "small", "body": b"small"},
            {"body": b"only a body"},
        ],
    )

    outputs = submitted.refresh().outputs
    assert {name: output.open().read() for name, output in outputs.items()} == {
        "cat.png": b"png",
        "small": b"small",
        "output": b"only a body",
    }
    assert outputs["cat.png"].content_type == "image/png"


def test_complete_with_an_error_fails_the_job(queue: Queue) -> None:
    submitted = queue.submit("work")

    taken(queue).complete(ValueError("not a cat"), [{"key": "output", "body": b"half"}])

    assert submitted.refresh().state is State.FAILED
    assert submitted.errors[-1].message == "not a cat"
    assert dict(submitted.outputs) == {}


@pytest.mark.parametrize(
    ("assets", "refusal", "match"),
    [
        ([{"body": b"1"}, {"body": b"2"}], InvalidName, "two assets have the name 'output'"),
        ([{"filename": "../cat.png", "body": b""}], InvalidName, "cat.png"),
        ([{"filename": "cat.png"}], InvalidBody, "give its body"),
        ([{"filename": "cat.png", "body": "no/such/file"}], InvalidBody, "is not a file"),
        ([{"fliename": "cat.png", "body": b""}], InvalidData, "fliename.*filename"),
        ({"filename": "cat.png", "body": b""}, InvalidData, "give a list"),
        (["cat.png"], InvalidData, "give a dict"),
    ],
)
def test_assets_that_make_no_sense_are_refused_and_the_job_stays_yours(
    queue: Queue, assets: Any, refusal: type[Exception], match: str
) -> None:
    submitted = queue.submit("work")
    job = taken(queue)

    with pytest.raises(refusal, match=match):
        job.complete(None, assets)

    assert not job.ended
    assert submitted.refresh().state is State.RUNNING


@pytest.mark.parametrize("ending", ["complete", "fail"])
@pytest.mark.parametrize("fault", CRASHES)
def test_a_process_that_dies_at_any_request_loses_no_job(fault: Fault, ending: str) -> None:
    number, reached = 0, True
    while reached:
        number += 1
        clock = FakeClock()
        plain = memory_installation(clock)
        worker = Simulation(installation=plain)
        worker.tasks.task("work")(lambda job: "by the worker")
        job = RemoteJob(plain).queue().submit("work", retry=AGAIN)
        faults = Faults(fault, at=number)
        dying = faults.process(plain, "hand")
        queue = RemoteJob(dying, holder=JobHolder(dying, start=lambda beat: None)).queue()
        try:
            for one in queue.get_work():
                ENDINGS[ending](one)
        except Crash:
            pass
        for _ in range(5):
            clock.advance(timedelta(minutes=2))
            worker.step()
        reached = faults.struck is not None

        assert job.refresh().state is State.COMPLETED, f"{fault} {number}"
        assert job.record.owed is None
        assert depth(plain) == EMPTY
    assert number > 4


def told(installation: Installation, channel: Channel) -> list[str]:
    messages = installation.messages.receive(
        Address("default", channel), limit=10, wait=timedelta(0), hidden=SECOND
    )
    return [json.loads(message.body)["id"] for message in messages]


def test_done_gives_the_id_of_the_job_that_repeats_it(queue: Queue, system: RemoteJob) -> None:
    queue.submit("work", repeat=Repeat(times=1))
    following = taken(queue).done()
    assert following is not None
    assert system.job(following).repeat == Repeat(times=0)
    queue.submit("work")
    assert taken(queue).done() is None
