"""Many jobs: few requests, and only what was stored is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import PartlySubmitted, Queue, QueueUnavailable, RemoteJob, State, Submission
from remotejob.backends.memory import MemoryMessages, MemoryStore
from remotejob.domain.errors import StoreUnavailable
from remotejob.domain.record import JobRecord
from remotejob.ports import Address, Channel, Installation, Outgoing
from remotejob.tasks import Registry
from remotejob.testing import Simulation
from tests.aws import aws_installation, counted_requests
from tests.client.conftest import Sent


class RefusesSome(MemoryStore):
    """A store that is throttled: the first and the last record of each call are not taken."""

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        super().put_fresh(records[1:-1])
        raise StoreUnavailable("throttled")


class BreaksLater(MemoryStore):
    """A store that takes one call and then breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        self.calls += 1
        if self.calls > 1:
            raise ConnectionError("the table is gone")
        super().put_fresh(records)


class BreaksMidway(MemoryStore):
    """A store that breaks after a part of a call."""

    def put_fresh(self, records: Sequence[JobRecord]) -> None:
        super().put_fresh(records[:2])
        raise ConnectionError("the table is gone")


class TakesNothing(MemoryMessages):
    def send(self, address: Address, messages: Sequence[Outgoing]) -> None:
        raise QueueUnavailable("the queue is full")


def _ids(bodies: list[str]) -> list[str]:
    return [json.loads(body)["id"] for body in bodies]


def test_many_jobs_are_stored_and_sent_in_order(queue: Queue, sent: Sent) -> None:
    jobs = queue.submit_many(Submission(task="work", data=number) for number in range(1200))

    assert [job.data for job in jobs] == list(range(1200))
    assert _ids(sent(Channel.NORMAL)) == [job.id for job in jobs]
    assert {job.refresh().state for job in jobs} == {State.READY}


def test_no_submissions_make_no_jobs(untouched: Queue) -> None:
    assert untouched.submit_many([]) == []


def test_many_jobs_run(queue: Queue, worker: Simulation, tasks: Registry) -> None:
    tasks.task("work")(lambda job: job.data)
    jobs = queue.submit_many([Submission(task="work", data=number) for number in range(25)])
    while worker.step():
        pass
    assert [job.refresh().result for job in jobs] == list(range(25))


def test_each_job_has_its_lane_body_and_time(queue: Queue, sent: Sent) -> None:
    jobs = queue.submit_many(
        [
            Submission(task="work", priority=-10),
            Submission(task="other", body=b"content", filename="a.txt"),
            Submission(task="work", delay=timedelta(hours=1)),
        ]
    )
    assert _ids(sent(Channel.HIGH)) == [jobs[0].id]
    assert _ids(sent(Channel.NORMAL)) == [jobs[1].id]
    assert [job.state for job in jobs] == [State.READY, State.READY, State.WAITING]
    assert jobs[1].filename == "a.txt"


def test_a_hundred_jobs_take_a_request_each_and_ten_for_their_messages() -> None:
    with aws_installation() as installation, counted_requests() as requests:
        RemoteJob(installation).queue().submit_many([Submission(task="work")] * 100)

    assert requests == {"PutItem": 100, "SendMessageBatch": 10}


def test_one_job_takes_two_requests_and_one_for_its_body() -> None:
    with aws_installation() as installation, counted_requests() as requests:
        RemoteJob(installation).queue().submit("work", body=b"content", data={"size": 400})

    assert requests == {"PutObject": 1, "PutItem": 1, "SendMessage": 1}


def test_only_what_was_stored_is_sent_and_the_error_names_the_rest(
    installation: Installation, sent: Sent
) -> None:
    store = RefusesSome()
    queue = RemoteJob(replace(installation, store=store)).queue()

    with pytest.raises(PartlySubmitted) as partly:
        queue.submit_many([Submission(task="work", data=number) for number in range(10)])

    problem = partly.value
    assert len(problem.stored) == 8
    assert [one.data for one in problem.refused] == [0, 9]
    assert _ids(sent(Channel.NORMAL)) == list(problem.stored)
    assert all(store.get(job_id) for job_id in problem.stored)
    assert "8 jobs were submitted, 2 were not" in str(problem)
    assert "again" in str(problem)


def test_a_store_that_breaks_midway_reports_what_is_stored(
    installation: Installation, sent: Sent
) -> None:
    queue = RemoteJob(replace(installation, store=BreaksLater())).queue()

    with pytest.raises(PartlySubmitted, match="the table is gone") as partly:
        queue.submit_many([Submission(task="work")] * 1300)

    problem = partly.value
    assert len(set(problem.stored)) == 500
    assert len(problem.refused) == 800
    assert _ids(sent(Channel.NORMAL)) == list(problem.stored)
    assert isinstance(problem.__cause__, ConnectionError)


def test_what_a_broken_call_has_stored_is_not_called_refused(
    installation: Installation, sent: Sent
) -> None:
    queue = RemoteJob(replace(installation, store=BreaksMidway())).queue()

    with pytest.raises(PartlySubmitted, match="the table is gone") as partly:
        queue.submit_many([Submission(task="work", data=number) for number in range(5)])

    assert [one.data for one in partly.value.refused] == [2, 3, 4]
    assert _ids(sent(Channel.NORMAL)) == list(partly.value.stored)
    assert len(partly.value.stored) == 2


def test_what_is_stored_counts_as_submitted_though_its_messages_were_not_taken(
    installation: Installation,
) -> None:
    messages = TakesNothing(installation.clock)
    queue = RemoteJob(replace(installation, messages=messages)).queue()

    with pytest.raises(PartlySubmitted, match="the queue is full") as partly:
        queue.submit_many([Submission(task="work")] * 3)

    # the sweep sends for them
    assert len(partly.value.stored) == 3
    assert partly.value.refused == ()
    assert {job.id for job in queue.jobs()} == set(partly.value.stored)
