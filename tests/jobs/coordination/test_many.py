"""Commands to many jobs, and what is done with failed ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from remotejob import (
    CommandRefused,
    InvalidData,
    InvalidName,
    Job,
    JobNotFound,
    Queue,
    RemoteJob,
    Retry,
    State,
)
from remotejob.domain.ids import new_job_id
from remotejob.jobs.scheduler.tick import tick
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.ports import Area, Installation
from remotejob.settings import parse
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.messages.handler import ProcessDeath
from tests.jobs.coordination.work import Work, dies

MINUTE = timedelta(minutes=1)


def states(jobs: list[Job]) -> set[State]:
    return {job.refresh().state for job in jobs}


def test_many_jobs_are_paused_resumed_cancelled_and_restarted(
    remote: RemoteJob, queue: Queue, work: Work
) -> None:
    jobs = [queue.submit("work", data=n) for n in range(12)]

    assert len(remote.pause_jobs(jobs).done) == 12
    assert states(jobs) == {State.PAUSED}
    remote.resume_jobs([job.id for job in jobs])
    assert states(jobs) == {State.WAITING}
    cancelled = remote.cancel_jobs(jobs)
    assert {job.state for job in cancelled.done} == states(jobs) == {State.CANCELLED}
    remote.restart_jobs(jobs, retry=Retry(max_attempts=3))
    work.off()
    assert states(jobs) == {State.COMPLETED}
    assert jobs[0].record.retry == Retry(max_attempts=3)


def test_one_that_refuses_does_not_hold_back_the_others(
    remote: RemoteJob, queue: Queue, installation: Installation
) -> None:
    ended, waiting = queue.submit("work").cancel(), queue.submit("work", delay=MINUTE)
    unknown = new_job_id(installation.clock.now_ms(), installation.entropy)

    commanded = remote.pause_jobs([ended, unknown, waiting, waiting])

    assert [job.id for job in commanded.done] == [waiting.id]
    assert isinstance(commanded.refused[ended.id], CommandRefused)
    assert isinstance(commanded.refused[unknown], JobNotFound)
    assert waiting.refresh().state is State.PAUSED


def test_nothing_is_done_when_one_is_no_id(remote: RemoteJob, queue: Queue) -> None:
    job = queue.submit("work")
    with pytest.raises(InvalidName, match="nonsense"):
        remote.cancel_jobs([job, "nonsense"])
    assert job.refresh().state is State.READY


def test_jobs_are_got_in_the_order_asked_for(remote: RemoteJob, queue: Queue) -> None:
    jobs = [queue.submit("work", data=n) for n in range(3)]
    asked = [jobs[2].id, jobs[0].id]
    for order in (asked, asked[::-1]):
        assert [job.id for job in remote.get_jobs(order)] == order
    jobs[0].cancel().remove()
    assert [job.id for job in remote.get_jobs(asked)] == [jobs[2].id]


def test_jobs_are_made_ready_now_or_at_a_time(
    remote: RemoteJob, queue: Queue, work: Work, clock: FakeClock, installation: Installation
) -> None:
    jobs = [queue.submit("work", data=n, delay=timedelta(days=3)) for n in range(2)]
    at = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + 5 * MINUTE

    remote.make_jobs_ready(jobs, at=at)
    work.off()
    assert work.began == []
    assert {job.refresh().due_at for job in jobs} == {at}
    clock.advance(5 * MINUTE)
    tick(installation)
    work.off()
    assert states(jobs) == {State.COMPLETED}


def test_time_without_a_zone_is_refused(queue: Queue) -> None:
    job = queue.submit("work", delay=MINUTE)
    with pytest.raises(InvalidData, match="time zone"):
        job.make_ready(datetime(2030, 1, 1))  # noqa: DTZ001 (it is what is refused)


def test_job_that_does_not_wait_cannot_be_made_ready(queue: Queue) -> None:
    with pytest.raises(CommandRefused, match="it is ready; make_ready is allowed when it is wait"):
        queue.submit("work").make_ready()


def test_failed_jobs_are_listed_and_retried_all_or_some(
    queue: Queue, remote: RemoteJob, work: Work
) -> None:
    good = queue.submit("work", data="good")
    bad = [queue.submit("work", data="fail") for _ in range(3)]
    work.off()
    assert {job.id for job in queue.failed()} == {job.id for job in bad}

    some = queue.retry_failed(bad[:1])
    assert [job.id for job in some.done] == [bad[0].id]
    assert {job.id for job in queue.failed()} == {job.id for job in bad[1:]}
    queue.retry_failed()
    assert queue.failed() == []
    work.off()
    assert len(queue.failed()) == 3
    assert good.refresh().state is State.COMPLETED


def test_failed_jobs_are_deleted(queue: Queue, remote: RemoteJob, work: Work) -> None:
    good = queue.submit("work", data="good")
    bad = [queue.submit("work", data="fail") for _ in range(3)]
    work.off()

    assert [job.id for job in queue.delete_failed([bad[1].id]).done] == [bad[1].id]
    assert {job.id for job in queue.failed()} == {bad[0].id, bad[2].id}
    assert {job.id for job in queue.delete_failed().done} == {bad[0].id, bad[2].id}

    assert queue.failed() == []
    assert [job.id for job in queue.jobs()] == [good.id]
    for job in bad:
        with pytest.raises(JobNotFound):
            job.refresh()


@pytest.mark.parametrize("name", ["retry_failed", "delete_failed"])
def test_given_job_that_has_not_failed_is_neither_retried_nor_deleted(
    name: str, queue: Queue, work: Work
) -> None:
    bad, good = queue.submit("work", data="fail"), queue.submit("work", data="good")
    work.off()
    cancelled = queue.submit("work").cancel()

    commanded = getattr(queue, name)([good, cancelled.id, bad])

    assert [job.id for job in commanded.done] == [bad.id]
    assert set(commanded.refused) == {good.id, cancelled.id}
    said = f"cannot {name} job {good.id}: it is completed; {name} is allowed when it is failed"
    assert str(commanded.refused[good.id]) == said
    assert states([good, cancelled]) == {State.COMPLETED, State.CANCELLED}


def test_removed_job_leaves_no_file_and_no_log(
    queue: Queue, work: Work, installation: Installation
) -> None:
    job = queue.submit("work", data="fail", body=b"photo")
    work.off()
    assert list(installation.store.notes(job.id, "failure#"))

    job.remove()

    assert list(installation.store.notes(job.id, "failure#")) == []
    assert list(installation.files.keys(Area.INPUT, "jobs/")) == []
    assert queue.jobs() == []


@pytest.mark.parametrize("command", ["pause", "resume", "cancel", "restart", "remove", "rerun"])
def test_removed_job_is_not_found(command: str, queue: Queue) -> None:
    job = queue.submit("work").cancel()
    job.remove()
    with pytest.raises(JobNotFound):
        getattr(job, command)()


def test_message_of_a_removed_job_is_dropped(queue: Queue, work: Work, clock: FakeClock) -> None:
    queue.submit("work").cancel().remove()
    work.off()
    clock.advance(timedelta(hours=12))
    assert work.began == []
    assert work.worker.receive() == []


@pytest.mark.parametrize("state", ["ready", "waiting", "paused"])
def test_job_that_has_not_ended_is_not_removed(state: str, queue: Queue) -> None:
    job = queue.submit("work", delay=MINUTE if state == "waiting" else None)
    if state == "paused":
        job.pause()
    with pytest.raises(CommandRefused, match=f"it is {state}; remove is allowed when"):
        job.remove()
    assert job.refresh().state is State(state)


def test_event_of_an_upload_makes_no_job_again_once_it_was_removed(
    remote: RemoteJob, work: Work, clock: FakeClock, installation: Installation
) -> None:
    settings = parse({"queues": {"default": {"tasks": ["work"]}}, "routes": [{"task": "work"}]})
    upload = Upload(
        bucket="uploads",
        key="cat.jpg",
        size=5,
        etag="e",
        version="v1",
        sequencer=None,
        at_ms=clock.now_ms(),
    )
    record = ingest(upload, settings, installation)
    assert record is not None
    work.off()
    remote.job(record.id).remove()

    assert ingest(upload, settings, installation) is None
    work.off()
    assert len(work.began) == 1
    assert remote.jobs() == []


def test_stale_jobs_are_flushed_on_demand(
    remote: RemoteJob, queue: Queue, work: Work, installation: Installation, clock: FakeClock
) -> None:
    def beats_once_and_dies(worker: Simulation) -> Callable[[], object]:
        def happens() -> object:
            clock.advance(timedelta(seconds=25))
            worker.beat()
            return dies()

        return happens

    jobs = []
    for number in (1, 2):
        worker = Simulation(installation=installation, tasks=work.worker.tasks)
        work.while_running[number] = beats_once_and_dies(worker)
        jobs.append(queue.submit("work", data=number))
        with suppress(ProcessDeath):
            worker.step()
    assert remote.flush_stale() == 0
    clock.advance(timedelta(seconds=63))

    assert remote.flush_stale() == 2

    work.off()
    assert states(jobs) == {State.COMPLETED}
    assert [job.record.crashes for job in jobs] == [1, 1]
