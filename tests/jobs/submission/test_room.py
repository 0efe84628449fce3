"""A queue with a ceiling refuses further jobs while its lanes are full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import BatchUnfinished, Priority, Queue, QueueFull, RemoteJob, Submission
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.testing import Simulation
from tests.aws import counted_requests


@pytest.fixture
def installation(installation: Installation) -> Installation:
    described = installation.queues["default"]
    return replace(installation, queues={"default": replace(described, max_pending=3)})


def _manifest(folder: Path) -> str:
    path = folder / "rows.jsonl"
    path.write_text("1\n2\n", encoding="utf-8")
    return str(path)


WAYS: dict[str, Callable[[Queue, Path], object]] = {
    "submit": lambda queue, _: queue.submit("work", body=b"x"),
    "delayed by minutes": lambda queue, _: queue.submit("work", delay=timedelta(minutes=1)),
    "submit_many": lambda queue, _: queue.submit_many([Submission("work"), Submission("work")]),
    "map": lambda queue, _: queue.map("work", [1, 2]),
    "a manifest": lambda queue, folder: queue.map("work", _manifest(folder)),
    "trigger": lambda queue, _: queue.trigger("pending", "jobs/there"),
    "replay": lambda queue, _: queue.jobs(state="completed")[0].replay(),
    "rerun": lambda queue, _: queue.jobs(state="completed")[0].rerun(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_full_lane_takes_no_more_and_nothing_is_stored(
    way: str,
    queue: Queue,
    installation: Installation,
    worker: Simulation,
    tasks: Registry,
    tmp_path: Path,
) -> None:
    tasks.task("work")(lambda _: None)
    installation.files.put(Area.INPUT, "jobs/there", b"x")
    queue.submit("work")
    worker.step()
    queue.submit_many([Submission("work")] * 3)

    with pytest.raises(QueueFull, match=r"about 3 messages .* 3 is the most.*max_pending"):
        WAYS[way](queue, tmp_path)

    assert len(queue.jobs()) == 4
    assert list(installation.files.keys(Area.INPUT, "")) == ["jobs/there"]


def test_more_than_fit_are_refused_as_a_whole(queue: Queue) -> None:
    queue.submit("work")
    with pytest.raises(QueueFull, match="3 more are too many"):
        queue.submit_many([Submission("work")] * 3)
    assert len(queue.jobs()) == 1


def test_other_lanes_have_room_of_their_own(queue: Queue) -> None:
    queue.submit_many([Submission("work")] * 3)
    queue.submit("work", priority=Priority.HIGH)


def test_there_is_room_again_once_jobs_have_begun(
    queue: Queue, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work")(lambda _: None)
    queue.submit_many([Submission("work")] * 3)
    worker.step()
    queue.submit("work")


def test_an_iterator_is_cut_off_with_the_reason(queue: Queue) -> None:
    queue.submit_many([Submission("work")] * 3)
    with pytest.raises(BatchUnfinished, match="is full"):
        queue.map("work", iter([1]))


def test_a_queue_without_a_ceiling_is_not_measured(installation: Installation) -> None:
    described = installation.queues["default"]
    queues = {"default": replace(described, max_pending=None)}
    queue = RemoteJob(replace(installation, queues=queues)).queue()
    with counted_requests() as counts:
        queue.submit("work")
        queue.map("work", [1])
    assert not counts["GetQueueAttributes"]


def test_a_job_that_is_there_under_its_key_needs_no_room(queue: Queue) -> None:
    made = queue.submit("work", idempotency_key="a")
    queue.submit_many([Submission("work")] * 2)
    assert queue.submit("work", idempotency_key="a").id == made.id
    assert [job.id for job in queue.submit_many([Submission("work", idempotency_key="a")])] == [
        made.id
    ]
    with pytest.raises(QueueFull):
        queue.submit("work", idempotency_key="b")
    with pytest.raises(QueueFull):
        queue.submit_many([Submission("work", idempotency_key=key) for key in "ab"])
    assert len(queue.jobs()) == 3
