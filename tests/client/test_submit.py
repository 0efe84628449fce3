"""Submit: what is stored, in which order, and what is sent where and when."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from remotejob import (
    InvalidData,
    Priority,
    Queue,
    QueueUnavailable,
    RemoteJob,
    Retry,
    State,
    Submission,
)
from remotejob.backends.memory import MemoryMessages
from remotejob.domain.check_times import GRACE, LOOKAHEAD
from remotejob.domain.ids import shard_of
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import InputFile
from remotejob.domain.times import from_ms, span_ms
from remotejob.ports import Address, Area, Channel, Installation, Outgoing
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.client.conftest import Pipe, Sent

MINUTE = timedelta(minutes=1)


class Recorder:
    """A port that notes each call before it passes it on."""

    def __init__(self, port: Any, calls: list[str]) -> None:
        self._port = port
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self._calls.append(name)
            return value(*arguments, **options)

        return call


def test_a_job_is_ready_and_its_message_names_it(queue: Queue, sent: Sent) -> None:
    job = queue.submit("work")

    assert job.state is State.READY
    assert [json.loads(body) for body in sent(Channel.NORMAL)] == [
        {"v": 1, "id": job.id, "task": "work"}
    ]


def test_a_job_can_be_found_by_its_id(queue: Queue, installation: Installation) -> None:
    job = queue.submit("work", data=[1])
    assert RemoteJob(installation).job(job.id).record == job.record


def test_file_record_and_message_are_written_in_this_order(installation: Installation) -> None:
    calls: list[str] = []
    recorded: dict[str, Any] = {
        name: Recorder(getattr(installation, name), calls)
        for name in ("store", "messages", "files")
    }
    queue = RemoteJob(replace(installation, **recorded)).queue()

    queue.submit("work", body=b"content")

    assert [call for call in calls if call != "bucket"] == ["put", "put_new", "send"]


@pytest.mark.parametrize("kind", ["path", "text path", "bytes", "file", "pipe"])
def test_a_body_arrives_whatever_it_is_given_as(
    queue: Queue, worker: Simulation, tasks: Registry, tmp_path: Path, kind: str
) -> None:
    content = bytes(range(256)) * 5000
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    seen: list[bytes] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        with job.open() as stream:
            seen.append(stream.read())

    bodies: dict[str, Any] = {
        "path": path,
        "text path": str(path),
        "bytes": content,
        "file": io.BytesIO(content),
        "pipe": Pipe(content),
    }
    job = queue.submit("work", body=bodies[kind])
    worker.step()

    assert seen == [content]
    assert job.input is not None
    assert job.input.size == len(content)
    assert job.refresh().state is State.COMPLETED


def test_a_path_gives_its_name_and_type(
    queue: Queue, installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "größe 写真.jpg"
    path.write_bytes(b"content")

    job = queue.submit("work", body=path)

    assert job.filename == "größe 写真.jpg"
    assert job.input is not None
    assert job.input.content_type == "image/jpeg"
    assert job.input.key == f"jobs/default/{job.id}/größe 写真.jpg"
    assert job.input.bucket == installation.files.bucket(Area.INPUT)


def test_a_name_and_type_that_are_given_count(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"content")

    job = queue.submit("work", body=path, filename="a.png", content_type="image/x")

    assert job.filename == "a.png"
    assert job.input is not None
    assert job.input.content_type == "image/x"


def test_bytes_without_a_name_are_called_input(queue: Queue) -> None:
    assert queue.submit("work", body=b"content").filename == "input"


def test_a_job_reads_the_version_it_was_submitted_with(
    queue: Queue, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    job = queue.submit("work", body=b"submitted")
    assert job.input is not None
    installation.files.put(Area.INPUT, job.input.key, b"replaced")
    seen: list[bytes] = []

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        seen.append(job.download().read_bytes())

    worker.step()
    assert seen == [b"submitted"]


def test_a_job_without_body_and_data_has_none(queue: Queue, installation: Installation) -> None:
    job = queue.submit("work")
    assert (job.input, job.filename, job.data) == (None, None, None)
    assert list(installation.files.keys(Area.INPUT, "")) == []


@pytest.mark.parametrize("data", [0, False, "", [], {}, {"größe": [1, 2.5, None]}])
def test_data_comes_back_as_it_was(queue: Queue, installation: Installation, data: Any) -> None:
    job = queue.submit("work", data=data)
    assert RemoteJob(installation).job(job.id).data == data


@pytest.mark.parametrize(
    ("priority", "channel"),
    [
        (Priority.CRITICAL, Channel.HIGH),
        (Priority.HIGH, Channel.HIGH),
        (-9, Channel.NORMAL),
        (Priority.MEDIUM, Channel.NORMAL),
        (Priority.NORMAL, Channel.NORMAL),
        (9, Channel.NORMAL),
        (Priority.LOW, Channel.LOW),
        (1000, Channel.LOW),
    ],
)
def test_a_priority_travels_in_its_lane(
    queue: Queue, sent: Sent, priority: int, channel: Channel
) -> None:
    queue.submit("work", priority=priority)
    assert {one: len(sent(one)) for one in Channel} == {one: int(one is channel) for one in Channel}


def test_a_retry_policy_travels_with_the_job(queue: Queue) -> None:
    retry = Retry(max_attempts=4, wait=MINUTE)
    assert queue.submit("work", retry=retry).record.retry == retry
    assert queue.submit("work").record.retry is None


def test_a_short_delay_delays_the_message(
    queue: Queue, clock: FakeClock, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: None)
    job = queue.submit("work", delay=10 * MINUTE)
    assert job.state is State.WAITING
    assert job.due_at == from_ms(clock.now_ms()) + 10 * MINUTE

    clock.advance(10 * MINUTE - timedelta(milliseconds=1))
    assert worker.step() == 0
    clock.advance(timedelta(milliseconds=1))
    assert worker.step() == 1
    assert job.refresh().state is State.COMPLETED


def test_a_delayed_job_is_looked_after_once_it_is_overdue(
    queue: Queue, installation: Installation
) -> None:
    record = queue.submit("work", delay=15 * MINUTE).record

    assert record.attention == attention_key(Attention.WAITING, record.id)
    assert record.due_ms is not None
    assert record.attention_ms == record.due_ms + span_ms(GRACE)
    marks = installation.store.attention(
        Attention.WAITING, shard_of(record.id), until_ms=record.attention_ms
    )
    assert [mark.job_id for mark in marks] == [record.id]


def test_a_job_due_beyond_the_longest_delay_is_left_to_the_scheduler(
    queue: Queue, sent: Sent
) -> None:
    record = queue.submit("work", delay=15 * MINUTE + timedelta(milliseconds=1)).record

    assert sent(Channel.NORMAL) == []
    assert record.due_ms is not None
    assert record.attention_ms == record.due_ms - span_ms(LOOKAHEAD)


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_after_is_a_moment_in_any_time_zone(hours: int, queue: Queue, clock: FakeClock) -> None:
    moment = from_ms(clock.now_ms()) + MINUTE
    job = queue.submit("work", after=moment.astimezone(timezone(timedelta(hours=hours))))
    assert (job.state, job.due_at) == (State.WAITING, moment)


def test_after_a_moment_that_is_past_the_job_is_ready(queue: Queue, clock: FakeClock) -> None:
    job = queue.submit("work", after=from_ms(clock.now_ms()) - MINUTE)
    assert (job.state, job.due_at) == (State.READY, None)
    assert job.record.attention is None


def test_no_delay_at_all_is_ready(queue: Queue) -> None:
    assert queue.submit("work", delay=timedelta(0)).state is State.READY


def test_a_queue_has_its_own_lanes(installation: Installation, sent: Sent) -> None:
    RemoteJob(installation).queue("second").submit("work")

    assert sent(Channel.NORMAL) == []
    assert isinstance(installation.messages, MemoryMessages)
    assert len(installation.messages.bodies(Address("second", Channel.NORMAL))) == 1


@pytest.mark.parametrize("options", [{"body": b"x"}, {"data": "x" * 5000}], ids=["body", "data"])
def test_a_job_may_not_wait_longer_than_its_input_is_kept(
    queue: Queue, installation: Installation, options: dict[str, Any]
) -> None:
    longest = installation.retention

    with pytest.raises(InvalidData, match=r"inputs are kept for 30 days.*raise retention_days"):
        queue.submit("work", delay=longest + timedelta(days=1), **options)

    assert queue.submit("work", delay=longest - timedelta(days=1), **options).id
    assert queue.submit("work", delay=longest + timedelta(days=1), data={"small": True}).id


def test_a_message_that_cannot_be_sent_is_reported_with_the_stored_job(
    installation: Installation,
) -> None:
    class TakesNothing(MemoryMessages):
        def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
            raise ConnectionError("the network is gone")

    queue = RemoteJob(replace(installation, messages=TakesNothing(installation.clock))).queue()

    with pytest.raises(QueueUnavailable, match="do not submit it again") as told:
        queue.submit("work")

    (job,) = queue.jobs()
    assert job.id in str(told.value)


@pytest.mark.parametrize("body", [b"", io.BytesIO()])
def test_an_empty_body_is_an_input_like_any_other(queue: Queue, body: Any) -> None:
    job = queue.submit("work", body=body, filename="empty.txt")
    assert job.input is not None
    assert (job.input.size, job.input.name) == (0, "empty.txt")


def test_input_of_another_queues_job_is_copied_where_its_workers_may_read_it() -> None:
    installation = memory_installation(queues={"one": ("work",), "two": ("work",)})
    remote = RemoteJob(installation)
    first = remote.queue("one").submit("work", body=b"content", filename="a.txt")

    (same,) = remote.queue("one").submit_many([Submission("work", input=first.input)])
    (other,) = remote.queue("two").submit_many([Submission("work", input=first.input)])

    assert same.input == first.input
    assert other.input is not None
    assert other.input.key == f"jobs/two/{other.id}/a.txt"
    first.cancel().remove()
    with installation.files.open(other.input.bucket, other.input.key) as stream:
        assert stream.read() == b"content"


@pytest.mark.parametrize("key", ["photos/a.txt", "jobs/stored/a.txt", "jobs/01ARZ3/a.txt", "two"])
def test_input_that_all_may_read_is_not_copied(key: str) -> None:
    installation = memory_installation(queues={"one": ("work",), "two": ("work",)})
    installation.files.put(Area.INPUT, key, b"content")
    file = replace(SOME_FILE, bucket=installation.files.bucket(Area.INPUT), key=key)

    (job,) = RemoteJob(installation).queue("two").submit_many([Submission("work", input=file)])

    assert job.input == file


def test_replay_in_another_queue_has_its_own_copy_of_an_upload() -> None:
    """A route's prefix is for the workers of its queue alone."""
    installation = memory_installation(queues={"one": ("work",), "two": ("work",)})
    remote = RemoteJob(installation)
    remote.queue("one").store_raw("photos/a.txt", {}, b"content")
    first = remote.queue("one").trigger("pending", "photos/a.txt").cancel()

    same, other = first.replay(), first.replay("two")

    assert same.input == first.input
    assert other.input is not None
    assert other.input.key == f"jobs/two/{other.id}/a.txt"


SOME_FILE = InputFile(bucket="", key="", size=7, name="a.txt")
