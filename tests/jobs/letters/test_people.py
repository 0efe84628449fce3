"""People list letters, send them again and discard them; a letter that was looked at stays."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta

import pytest

from remotejob import InvalidName, Job, Letter, Queue, RemoteJob, State, UnknownQueue
from remotejob.domain.times import to_ms
from remotejob.jobs.messaging.messages import Pending, dead_letter_body
from remotejob.ports import Address, Channel, Installation, Outgoing, upload_address
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.testing.crashes import CRASHES, ERRORS, Crash, Fault, Faults, Unreachable
from tests.functions.conftest import event
from tests.jobs.letters.letters import (
    DEAD,
    HOUR,
    NORMAL,
    NOTHING,
    give_up,
    letters,
    set_aside,
    take_messages,
)
from tests.sampling import Sample, each_request, sampled

UPLOADS = upload_address(Channel.UPLOADS)
UPLOADS_DEAD = upload_address(Channel.UPLOADS_DEAD_LETTER)
UNDELIVERED = upload_address(Channel.UPLOADS_UNDELIVERED)
COMPLETED_DEAD = Address("default", Channel.COMPLETED_DEAD_LETTER)
FAILED_DEAD = Address("default", Channel.FAILED_DEAD_LETTER)
UPLOAD = json.dumps(event("eventbridge_object_created"))


@pytest.fixture
def job(queue: Queue) -> Job:
    return queue.submit("work")


def put_one_in_each(job: Job, installation: Installation) -> None:
    """A letter in each dead-letter queue."""
    give_up(job, installation)
    status = json.dumps({"v": 1, "id": job.id, "state": "completed"})
    for address in (COMPLETED_DEAD, FAILED_DEAD):
        installation.messages.send(address, [Outgoing(body=status)])
    for address in (UPLOADS_DEAD, UNDELIVERED):
        installation.messages.send(address, [Outgoing(body=UPLOAD)])


def test_letters_of_all_queues_are_listed_with_their_jobs_and_stay(
    job: Job, installation: Installation, remote: RemoteJob, clock: FakeClock
) -> None:
    put_one_in_each(job, installation)
    clock.advance(HOUR)

    for _ in range(2):
        found = {letter.channel: letter for letter in remote.dead_letters()}
        assert set(found) == {
            Channel.DEAD_LETTER,
            Channel.COMPLETED_DEAD_LETTER,
            Channel.FAILED_DEAD_LETTER,
            Channel.UPLOADS_DEAD_LETTER,
            Channel.UPLOADS_UNDELIVERED,
        }
    pending, status = found[Channel.DEAD_LETTER], found[Channel.COMPLETED_DEAD_LETTER]
    assert (pending.job_id, pending.state, pending.queue) == (job.id, State.READY, "default")
    assert pending.reason == "it was received too often, and no worker could handle it"
    assert to_ms(pending.sent_at) == clock.now_ms() - to_ms_of(HOUR)
    assert (status.job_id, status.reason) == (job.id, "its reader failed to handle it")
    upload = found[Channel.UPLOADS_DEAD_LETTER]
    assert (upload.queue, upload.state) == (None, None)
    assert upload.file is not None
    assert upload.file.startswith("s3://")
    assert upload.job_id is not None
    assert "log says why" in upload.reason


def to_ms_of(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("kind", "count"), [("pending", 1), ("status", 2), ("uploads", 2), (None, 5)]
)
def test_letters_of_one_kind(kind: str | None, count: int, clock: FakeClock) -> None:
    installation = memory_installation(clock, queues={"default": ("work",), "other": ("work",)})
    remote = RemoteJob(installation)
    put_one_in_each(remote.queue().submit("work"), installation)

    assert len(remote.dead_letters(kind=kind)) == count
    assert len(remote.dead_letters(queue="other")) == 0
    assert len(remote.dead_letters(queue="default")) == 3


def test_a_kind_or_a_queue_that_is_none_is_refused_before_any_request(remote: RemoteJob) -> None:
    with pytest.raises(InvalidName, match="kind 'letters': use one of pending, status, uploads"):
        remote.dead_letters(kind="letters")
    with pytest.raises(UnknownQueue):
        remote.redrive(queue="none")
    with pytest.raises(InvalidName, match="job id"):
        remote.redrive(jobs=["x"])


def test_a_listing_says_what_others_look_at(
    job: Job, installation: Installation, remote: RemoteJob
) -> None:
    give_up(job, installation)
    installation.messages.receive(DEAD, limit=1, wait=NOTHING, hidden=HOUR)

    found = remote.dead_letters()

    assert (found.letters, found.hidden, found.complete) == ((), 1, True)


def test_more_letters_than_a_request_brings_are_listed(
    installation: Installation, remote: RemoteJob
) -> None:
    installation.messages.send(DEAD, [Outgoing(body="{")] * 23)

    assert len({letter.id for letter in remote.dead_letters()}) == 23
    assert len(remote.dead_letters()) == 23


def test_redrive_sends_each_back_to_where_its_kind_goes(
    job: Job, installation: Installation, remote: RemoteJob
) -> None:
    put_one_in_each(job, installation)

    outcomes = remote.redrive()

    assert [one.done for one in outcomes] == [True] * 5
    assert len(remote.dead_letters()) == 0
    assert [json.loads(body)["id"] for body in take_messages(installation)] == [job.id]
    for channel in (Channel.COMPLETED, Channel.FAILED):
        (status,) = letters(installation, Address("default", channel))
        assert json.loads(status.body)["id"] == job.id
    assert [one.body for one in letters(installation, UPLOADS)] == [UPLOAD] * 2
    assert job.refresh().record.given_up == 0, "nobody counts what people ask for"


def test_redrive_sends_an_upload_as_it_was_though_the_function_set_it_aside(
    installation: Installation, remote: RemoteJob
) -> None:
    letter = dead_letter_body(reason="no queue 'x'", lane=Channel.UPLOADS, body=UPLOAD)
    installation.messages.send(UPLOADS_DEAD, [Outgoing(body=letter)])

    (listed,) = remote.dead_letters()
    remote.redrive(kind="uploads")

    assert listed.reason == "no queue 'x'"
    assert [one.body for one in letters(installation, UPLOADS)] == [UPLOAD]


def test_redrive_sends_at_once_what_the_scheduler_holds_back(
    job: Job, installation: Installation, remote: RemoteJob
) -> None:
    """A worker set it aside, again and again."""
    for _ in range(2):
        set_aside(installation, Pending.of(job.record).body())
        (outcome,) = remote.redrive(jobs=[job])
        assert outcome.done
    assert len(take_messages(installation)) == 3


def test_redrive_of_chosen_letters_leaves_the_others(
    queue: Queue, installation: Installation, remote: RemoteJob
) -> None:
    jobs = [queue.submit("work") for _ in range(3)]
    take_messages(installation)
    for job in jobs:
        installation.messages.send(DEAD, [Outgoing(body=Pending.of(job.record).body())])
    by_job = {letter.job_id: letter for letter in remote.dead_letters()}

    assert [one.letter.job_id for one in remote.redrive(jobs=[jobs[0]])] == [jobs[0].id]
    chosen = by_job[jobs[1].id]
    assert [one.letter.id for one in remote.redrive(messages=[chosen.id])] == [chosen.id]
    assert remote.redrive(jobs=[jobs[2]], messages=[chosen.id]) == []

    assert [letter.job_id for letter in remote.dead_letters()] == [jobs[2].id]


def test_letters_that_nobody_could_handle_stay_and_say_why(
    installation: Installation, remote: RemoteJob
) -> None:
    set_aside(installation, "{", reason="it is not JSON")

    (outcome,) = remote.redrive()

    assert (outcome.done, outcome.what) == (False, "kept for people: it is not JSON")
    assert len(remote.dead_letters()) == 1
    assert take_messages(installation) == []


def test_discard_deletes_what_nobody_needs_and_sees_to_the_jobs(
    job: Job, installation: Installation, remote: RemoteJob, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: "done")
    put_one_in_each(job, installation)
    set_aside(installation, "{", reason="it is not JSON")

    outcomes = remote.discard_dead_letters()

    assert all(one.done for one in outcomes)
    assert len(outcomes) == 6
    assert len(remote.dead_letters()) == 0
    assert letters(installation, UPLOADS) == []
    worker.step()
    assert job.refresh().state is State.COMPLETED


def test_letter_of_a_running_job_is_not_discarded(
    job: Job, installation: Installation, remote: RemoteJob, worker: Simulation
) -> None:
    worker.tasks.task("work")(lambda job: "done")
    (message,) = worker.receive()
    worker.handler.begin(message)
    installation.messages.delete(NORMAL, [message.receipt])
    installation.messages.send(DEAD, [Outgoing(body=message.body)])

    (outcome,) = remote.discard_dead_letters()

    assert not outcome.done
    assert "the job runs" in outcome.what
    assert len(remote.dead_letters()) == 1


@pytest.mark.parametrize("sample", sampled(3))
@pytest.mark.parametrize("act", ["redrive", "discard_dead_letters"])
@pytest.mark.parametrize("fault", [*CRASHES, *ERRORS])
def test_fault_while_letters_are_sent_again_loses_none(
    fault: Fault, act: str, sample: Sample
) -> None:
    def run(number: int) -> Faults:
        clock, faults = FakeClock(), Faults(fault, at=number)
        installation = memory_installation(clock)
        job = RemoteJob(installation).queue().submit("work")
        put_one_in_each(job, installation)
        with suppress(Crash, Unreachable):
            getattr(RemoteJob(faults.process(installation, "somebody")), act)()
        faults.disarm()
        clock.advance(HOUR)
        left: list[Letter] = list(RemoteJob(installation).dead_letters())
        RemoteJob(installation).redrive()

        report = faults.report()
        assert take_messages(installation), report
        assert len(RemoteJob(installation).dead_letters()) == 0, report
        if act == "redrive":
            for channel in (Channel.COMPLETED, Channel.FAILED):
                assert letters(installation, Address("default", channel)), report
            assert len(letters(installation, UPLOADS)) >= 2, report
        else:
            sent = len(letters(installation, UPLOADS))
            assert sent == sum(one.kind == "uploads" for one in left), report
        return faults

    each_request(run, fault, sample)
