"""What the users of both versions of remotejob may rely on, where no other test shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import Queue, RemoteJob, Retry, RunningJob, State
from remotejob.backends.memory import MemoryMessages
from remotejob.client.notices import Notice
from remotejob.domain.priority import Lane
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Address, Area, Channel, Installation, Received
from remotejob.settings import parse
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.heritage.conftest import QUEUES, work_off

SECOND = timedelta(seconds=1)


class Patient(MemoryMessages):
    """Notes where somebody looks and how long they would wait, and lets nobody wait."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.looks: list[tuple[Channel, timedelta]] = []
        self.at_last: Callable[[], object] | None = None
        """Done before the hundredth look."""

    def receive(
        self, address: Address, *, limit: int, wait: timedelta, hidden: timedelta
    ) -> list[Received]:
        self.looks.append((address.channel, wait))
        if len(self.looks) == 100 and self.at_last is not None:
            self.at_last()
        return super().receive(address, limit=limit, wait=timedelta(0), hidden=hidden)

    @property
    def waited(self) -> timedelta:
        return sum((wait for _, wait in self.looks), start=timedelta(0))


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    """In memory: what both backends do alike is shown elsewhere."""
    return memory_installation(clock, queues=QUEUES)


@pytest.fixture
def patient(clock: FakeClock) -> Patient:
    return Patient(clock)


@pytest.fixture
def watched(clock: FakeClock, patient: Patient) -> Queue:
    """A queue in memory at which nobody waits."""
    return RemoteJob(replace(memory_installation(clock), messages=patient)).queue()


@pytest.mark.parametrize("status", ["pending", "completed", "failed"])
@pytest.mark.parametrize("seconds", [0, 3, 45])
def test_next_waits_as_long_as_it_is_told(
    watched: Queue, patient: Patient, status: str, seconds: int
) -> None:
    found = watched.next(status, wait=seconds * SECOND)  # type: ignore[call-overload]

    assert found is None
    assert patient.waited == seconds * SECOND


@pytest.mark.parametrize("status", ["pending", "completed"])
def test_next_waits_for_ever_unless_it_is_told_how_long(
    watched: Queue, patient: Patient, status: str
) -> None:
    def job_appears() -> None:
        job = watched.submit("work")
        if status == "completed":
            watched.get_work()[0].done()
        appeared.append(job.id)

    appeared: list[str] = []
    patient.at_last = job_appears

    found = watched.next(status)  # type: ignore[call-overload]

    assert isinstance(found, TakenJob if status == "pending" else Notice)
    assert [found.id if isinstance(found, TakenJob) else found.job_id] == appeared


def test_next_looks_into_the_lanes_in_turn_a_second_each(watched: Queue, patient: Patient) -> None:
    watched.next("pending", wait=6 * SECOND)

    lanes = [Channel(lane) for lane in Lane]
    assert patient.looks[: len(lanes)] == [(lane, timedelta(0)) for lane in lanes]
    assert patient.looks[len(lanes) :] == [(lane, SECOND) for lane in lanes] * 2


def test_jobs_in_progress_are_listed_by_their_state(queue: Queue) -> None:
    first = queue.submit("work")
    queue.get_work()
    second = queue.submit("work")

    assert [job.id for job in queue.jobs(state="running")] == [first.id]
    assert [job.id for job in queue.jobs(state=State.READY)] == [second.id]


def test_each_queue_of_the_settings_has_its_tasks_and_its_own_workers() -> None:
    settings = parse(
        {
            "queues": {
                "default": {"tasks": ["work"]},
                "video": {"tasks": ["cut", "join"], "max_workers": 3},
            }
        }
    )

    assert {name: queue.tasks for name, queue in settings.queues.items()} == {
        "default": ("work",),
        "video": ("cut", "join"),
    }
    assert {name: queue.max_workers for name, queue in settings.queues.items()} == {
        "default": 10,
        "video": 3,
    }


@pytest.mark.parametrize("stored", ["raw", "plain"])
def test_raw_file_is_an_upload_and_other_stored_files_are_none(
    queue: Queue, installation: Installation, clock: FakeClock, stored: str
) -> None:
    """Of every key that a route takes, the upload function makes a job."""
    every_key = parse(
        {"queues": {"default": {"tasks": ["work"]}}, "routes": [{"task": "work", "prefix": ""}]}
    )
    if stored == "raw":
        key = queue.store_raw("photos/cat.jpg", {"by": "me"}, b"a cat")
    else:
        key = queue.store({"key": "photos/cat.jpg", "by": "me", "body": b"a cat"})
    there = installation.files.describe(Area.INPUT, key)
    upload = Upload(
        bucket=there.bucket,
        key=key,
        size=there.size,
        etag=there.etag,
        version=there.version,
        sequencer=None,
        at_ms=clock.now_ms(),
    )

    record = ingest(upload, every_key, installation)

    assert (record is not None) == (stored == "raw")
    assert [job.filename for job in queue.jobs()] == (["cat.jpg"] if stored == "raw" else [])


def test_job_has_one_id_in_its_record_every_run_and_every_message(
    queue: Queue, worker: Simulation, installation: Installation
) -> None:
    runs: list[str] = []
    bodies: list[str] = []

    @worker.tasks.task("work")
    def work(job: RunningJob) -> None:
        runs.append(job.id)
        if job.attempt == 1:
            raise ValueError("once")

    job = queue.submit("work", retry=Retry(max_attempts=2, wait=timedelta(0)))
    for _ in range(2):
        for message in worker.receive():
            bodies.append(json.loads(message.body)["id"])
            settlement = worker.handler.attend(message)
            assert settlement is not None
            worker.settler.add(settlement)
        worker.settler.flush()

    assert job.refresh().state is State.COMPLETED
    assert runs == bodies == [job.id] * 2
    notice = queue.next("completed", wait=timedelta(0))
    assert notice is not None
    assert notice.job_id == job.id == notice.job.record.id
    work_off(worker)
