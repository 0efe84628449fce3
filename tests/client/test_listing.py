"""Listing jobs: newest first over shards and days, by queue and state, no more than asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest

from remotejob import Fatal, InvalidData, InvalidName, Job, Queue, RemoteJob, RunningJob, State
from remotejob.backends.memory import MemoryStore
from remotejob.domain.ids import partition_of, shard_of
from remotejob.domain.times import from_ms
from remotejob.names import SHARDS
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation

HOUR = timedelta(hours=1)


@pytest.fixture
def jobs(queue: Queue, clock: FakeClock) -> list[Job]:
    """A hundred jobs, an hour from each to the next, the oldest first."""
    made = []
    for _ in range(100):
        made.append(queue.submit("work"))
        clock.advance(HOUR)
    return made


def _ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def test_jobs_come_newest_first_over_shards_and_days(queue: Queue, jobs: list[Job]) -> None:
    assert {shard_of(job.id) for job in jobs} == set(range(SHARDS))
    assert len({partition_of(job.id)[:8] for job in jobs}) == 5
    assert _ids(queue.jobs()) == _ids(jobs)[::-1]


@pytest.mark.parametrize("limit", [0, 1, 7, 100, 1000])
def test_no_more_jobs_come_than_asked_for(queue: Queue, jobs: list[Job], limit: int) -> None:
    assert _ids(queue.jobs(limit=limit)) == _ids(jobs)[::-1][:limit]


def test_since_is_a_moment_in_any_time_zone(queue: Queue, jobs: list[Job]) -> None:
    since = jobs[30].created_at
    for hours in (-12, 0, 14):
        there = since.astimezone(timezone(timedelta(hours=hours)))
        assert _ids(queue.jobs(since=there)) == _ids(jobs[30:])[::-1]


def test_since_without_a_time_zone_is_refused(queue: Queue) -> None:
    with pytest.raises(InvalidData, match=r"since=.*time zone"):
        queue.jobs(since=datetime(2026, 1, 1))  # noqa: DTZ001 (that is what is refused)


def test_jobs_since_a_time_are_those_made_at_it_or_later(queue: Queue, jobs: list[Job]) -> None:
    since = jobs[30].created_at
    assert _ids(queue.jobs(since=since)) == _ids(jobs[30:])[::-1]
    just_after = since + timedelta(milliseconds=1)
    assert _ids(queue.jobs(since=just_after)) == _ids(jobs[31:])[::-1]


def test_jobs_are_listed_as_long_as_records_are_kept(
    queue: Queue, clock: FakeClock, installation: Installation, jobs: list[Job]
) -> None:
    clock.advance(installation.retention - 50 * HOUR)
    assert _ids(queue.jobs()) == _ids(jobs[50:])[::-1]


def test_a_state_filters(
    queue: Queue, worker: Simulation, tasks: Registry, clock: FakeClock
) -> None:
    tasks.task("work")(lambda job: None)
    done = [queue.submit("work") for _ in range(3)]
    worker.step()
    ready = queue.submit("work")
    waiting = queue.submit("work", delay=HOUR)

    assert sorted(_ids(queue.jobs(state=State.COMPLETED))) == sorted(_ids(done))
    assert _ids(queue.jobs(state="ready")) == [ready.id]
    assert _ids(queue.jobs(state="waiting")) == [waiting.id]
    assert queue.jobs(state=State.FAILED) == []


def test_a_limit_counts_what_the_filter_lets_pass(queue: Queue) -> None:
    waiting = queue.submit("work", delay=HOUR)
    for _ in range(20):
        queue.submit("work")

    assert _ids(queue.jobs(state=State.WAITING, limit=1)) == [waiting.id]


def test_a_queue_lists_its_own_jobs_and_the_system_all(
    queue: Queue, installation: Installation, clock: FakeClock
) -> None:
    system = RemoteJob(installation)
    mine = queue.submit("work")
    clock.advance(HOUR)
    other = system.queue("second").submit("work")

    assert _ids(queue.jobs()) == [mine.id]
    assert _ids(system.queue("second").jobs()) == [other.id]
    assert _ids(system.jobs()) == [other.id, mine.id]


def test_a_job_made_by_a_clock_a_little_ahead_is_listed(
    installation: Installation, queue: Queue
) -> None:
    behind = FakeClock(datetime(2026, 1, 15, 23, 58, tzinfo=UTC))
    midnight = int(datetime(2026, 1, 16, tzinfo=UTC).timestamp() * 1000)
    with patch.object(installation.clock, "now_ms", lambda: midnight):
        ahead = queue.submit("work")
    with patch.object(installation.clock, "now_ms", behind.now_ms):
        assert _ids(queue.jobs()) == [ahead.id]


def test_a_short_list_does_not_read_old_days(
    queue: Queue, jobs: list[Job], installation: Installation
) -> None:
    read: list[str] = []
    assert isinstance(installation.store, MemoryStore)
    listing = installation.store.listing

    def noted(partition: str, *, after: str | None = None) -> object:
        read.append(partition)
        return listing(partition, after=after)

    with patch.object(installation.store, "listing", noted):
        assert len(queue.jobs(limit=3)) == 3

    newest = jobs[-1].created_at.date()
    days = {datetime.strptime(name[:8], "%Y%m%d").replace(tzinfo=UTC).date() for name in read}
    assert min(days) >= newest
    assert from_ms(installation.clock.now_ms()).date() in days


@pytest.fixture
def of_tasks(queue: Queue, installation: Installation) -> dict[str, list[Job]]:
    """Jobs of three tasks, one of which no queue runs any more; the oldest first."""
    before = {"default": replace(installation.queues["default"], tasks=("work", "other", "gone"))}
    then = RemoteJob(replace(installation, queues=before)).queue()
    made: dict[str, list[Job]] = {"work": [], "other": [], "gone": []}
    for name in ("work", "gone", "other", "work", "gone", "work"):
        made[name].append(then.submit(name))
    assert "gone" not in queue.tasks
    return made


@pytest.mark.parametrize("task", ["work", "other", "gone", "never"])
def test_jobs_are_listed_by_their_task_though_no_queue_runs_it_any_more(
    queue: Queue, remote: RemoteJob, of_tasks: dict[str, list[Job]], task: str
) -> None:
    wanted = sorted(_ids(of_tasks.get(task, [])), reverse=True)
    assert _ids(queue.jobs(task=task)) == wanted
    assert _ids(remote.jobs(task=task, state="ready", limit=1)) == wanted[:1]
    assert queue.jobs(task=task, state="failed") == []


def test_failed_jobs_are_listed_by_their_task(
    installation: Installation, tasks: Registry, worker: Simulation
) -> None:
    described = {"default": replace(installation.queues["default"], tasks=("work", "other"))}
    queue = RemoteJob(replace(installation, queues=described)).queue()

    def fails(job: RunningJob) -> None:
        raise Fatal("never")

    for name in ("work", "other"):
        tasks.task(name)(fails)
    jobs = [queue.submit(name) for name in ("work", "other", "work")]
    while worker.step():
        pass
    assert {job.id for job in queue.failed()} == {job.id for job in jobs}
    assert [job.id for job in queue.failed(task="other")] == [jobs[1].id]
    assert queue.failed(task="gone") == []

    assert [job.id for job in queue.delete_failed(queue.failed(task="other")).done] == [jobs[1].id]
    assert {job.id for job in queue.failed()} == {jobs[0].id, jobs[2].id}


@pytest.mark.parametrize("task", ["", "two words", "x" * 65, 5])
def test_a_name_that_no_task_can_have_is_refused(queue: Queue, task: Any) -> None:
    for refused in (queue.jobs, queue.failed):
        with pytest.raises(InvalidName, match="give a task's name"):
            refused(task=task)
