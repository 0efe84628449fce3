"""What a job costs on the happy path, in requests: counted where botocore sends them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from remotejob import RemoteJob, RunningJob, Submission
from remotejob.names import Field
from remotejob.ports import Installation
from remotejob.testing import Simulation
from tests.aws import aws_installation, emitters


@dataclass
class Sent:
    """The requests of a part of a test."""

    operations: Counter[str] = field(default_factory=Counter)
    index_writes: list[str] = field(default_factory=list)
    """Writes that name the index's key other than to remove it."""

    def note(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        self.operations[operation] += 1
        if operation in ("PutItem", "UpdateItem"):
            written = json.loads(request.body)
            written["UpdateExpression"] = written.get("UpdateExpression", "").split("REMOVE")[0]
            if Field.ATTENTION in json.dumps(written):
                self.index_writes.append(operation)


@contextmanager
def sending() -> Iterator[Sent]:
    """Note what is sent within the block."""
    sent = Sent()
    for event in emitters():
        event.register_first("before-send", sent.note)
    try:
        yield sent
    finally:
        for event in emitters():
            event.unregister("before-send", sent.note)


@pytest.fixture
def installation() -> Iterator[Installation]:
    with aws_installation(queues={"default": ("nothing", "copy")}) as made:
        yield made


@pytest.fixture
def worker(installation: Installation) -> Simulation:
    simulation = Simulation(installation=installation)

    @simulation.tasks.task("nothing")
    def nothing(job: RunningJob) -> None:
        job.progress(1, 2)
        job.log("half way")

    @simulation.tasks.task("copy")
    def copy(job: RunningJob) -> None:
        job.output("copy", job.download())

    return simulation


def test_submit_takes_two_requests_and_a_body_one_more(installation: Installation) -> None:
    queue = RemoteJob(installation).queue()

    with sending() as plain:
        queue.submit("nothing", data={"size": 3})
    with sending() as with_body:
        queue.submit("copy", body=b"a body", filename="a.jpg")

    assert plain.operations == {"PutItem": 1, "SendMessage": 1}
    assert with_body.operations == {"PutObject": 1, "PutItem": 1, "SendMessage": 1}
    assert not plain.index_writes


def test_only_a_job_that_waits_is_written_into_the_index(installation: Installation) -> None:
    with sending() as sent:
        RemoteJob(installation).queue().submit("nothing", delay=timedelta(minutes=1))

    assert sent.index_writes == ["PutItem"]


def test_submit_many_takes_110_requests_for_100_jobs(installation: Installation) -> None:
    with sending() as sent:
        RemoteJob(installation).queue().submit_many([Submission(task="nothing")] * 100)

    assert sent.operations == {"PutItem": 100, "SendMessageBatch": 10}
    assert not sent.index_writes


def test_worker_takes_two_updates_a_job_and_tenths_for_its_messages(
    installation: Installation, worker: Simulation
) -> None:
    RemoteJob(installation).queue().submit_many([Submission(task="nothing")] * 10)

    with sending() as sent:
        assert worker.step() == 10

    assert sent.operations == {
        "ReceiveMessage": 3,  # one a lane
        "UpdateItem": 20,
        "SendMessageBatch": 1,
        "DeleteMessageBatch": 1,
    }
    assert not sent.index_writes


def test_worker_takes_a_get_for_the_body_and_a_put_for_each_output(
    installation: Installation, worker: Simulation
) -> None:
    RemoteJob(installation).queue().submit("copy", body=b"a body")

    with sending() as sent:
        assert worker.step() == 1

    assert sent.operations["GetObject"] == 1
    assert sent.operations["PutObject"] == 1
    assert sent.operations["UpdateItem"] == 2
    assert set(sent.operations) == {
        "ReceiveMessage",
        "UpdateItem",
        "GetObject",
        "PutObject",
        "SendMessage",
        "DeleteMessageBatch",
    }
